package xfs

// The names of a walk lie in chunks, so that growing never copies: a volume
// with five million names needs some 200 MB.
const (
	nameChunk = 1 << 12 // names
	byteChunk = 1 << 16 // bytes of names
	maxChunks = 1 << 16 // byteChunks: 4 GiB of names
)

// name is one directory entry. Its inode is known by who points to it.
type name struct {
	dir   uint32 // number of the directory
	next  uint32 // the name of the same inode before this one, plus one
	off   uint32 // of the bytes
	size  uint8
	ftype uint8
	flags uint8
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
	chunks [][]name
	bytes  [][]byte
	count  uint32
	full   bool // more names than can be numbered: the rest is left out
}

func (t *nameTable) at(i uint32) *name { return &t.chunks[i/nameChunk][i%nameChunk] }

func (t *nameTable) text(n *name) []byte {
	return t.bytes[n.off/byteChunk][n.off%byteChunk:][:n.size]
}

// add copies text and gives the number of the new name; ok is false when the
// table is full.
func (t *nameTable) add(n name, text []byte) (i uint32, ok bool) {
	k := len(t.bytes) - 1
	if k < 0 || len(t.bytes[k])+len(text) > byteChunk {
		if k+1 == maxChunks {
			t.full = true
			return 0, false
		}
		t.bytes = append(t.bytes, make([]byte, 0, byteChunk))
		k++
	}
	n.off = uint32(k*byteChunk + len(t.bytes[k]))
	n.size = uint8(len(text))
	t.bytes[k] = append(t.bytes[k], text...)
	if t.count%nameChunk == 0 {
		t.chunks = append(t.chunks, make([]name, 0, nameChunk))
	}
	c := &t.chunks[len(t.chunks)-1]
	*c = append(*c, n)
	t.count++
	return t.count - 1, true
}
