package xfs

// The names of a walk lie in chunks, so that growing never copies: a volume
// with five million names needs some 140 MB.
const (
	byteChunk = 1 << 16
	maxChunks = 1 << 16 // 4 GiB of names
	// nameHead is what a name has before its bytes: the directory, the name
	// before it of 4 bytes each, its length, type and flags.
	nameHead = 11
)

// name is one directory entry. Its inode is known by who points to it.
type name struct {
	dir   uint32 // number of the directory
	next  uint32 // the name of the same inode before this one, plus one
	ftype uint8
	flags uint8
	text  []byte // lies in the table
}

const (
	nameSlack    = 1 << iota // from free space of a directory
	nameResidual             // from a deleted directory
	nameSalvaged             // behind a damaged entry: it may be in use
	nameLog                  // from an older version in the log
	nameStray                // from a directory's block in free space
	nameHalf                 // the upper half of the inode number is lost
)

// lostName is a name whose inode is 0 or has no place in the volume.
type lostName struct {
	name uint32
	ino  uint64
}

type nameTable struct {
	chunks [][]byte
	full   bool // more names than can be numbered: the rest is left out
}

// at gives the name with that number, which is its place.
func (t *nameTable) at(i uint32) name {
	p := t.chunks[i/byteChunk][i%byteChunk:]
	size := int(p[8])
	return name{dir: be.Uint32(p), next: be.Uint32(p[4:]), ftype: p[9], flags: p[10], text: p[nameHead : nameHead+size : nameHead+size]}
}

// link hangs the name behind another of its inode.
func (t *nameTable) link(i, next uint32) {
	be.PutUint32(t.chunks[i/byteChunk][i%byteChunk+4:], next)
}

// add copies n, whose text is at most 255 bytes long, and gives its number; ok
// is false when the table is full.
func (t *nameTable) add(n *name) (i uint32, ok bool) {
	k := len(t.chunks) - 1
	if k < 0 || len(t.chunks[k])+nameHead+len(n.text) > byteChunk {
		if k+1 == maxChunks {
			t.full = true
			return 0, false
		}
		t.chunks = append(t.chunks, make([]byte, 0, byteChunk))
		k++
	}
	c := t.chunks[k]
	i = uint32(k*byteChunk + len(c))
	c = be.AppendUint32(be.AppendUint32(c, n.dir), n.next)
	c = append(c, uint8(len(n.text)), n.ftype, n.flags)
	t.chunks[k] = append(c, n.text...)
	return i, true
}
