package ext4

import (
	"bytes"
	"fmt"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// Inode flags that the reader looks at.
const (
	flagEncrypt  = 0x800
	flagIndex    = 0x1000
	flagHuge     = 0x40000
	flagExtents  = 0x80000
	flagEAInode  = 0x200000
	flagInline   = 0x10000000
	flagCasefold = 0x40000000
)

// inode is the raw bytes of one, 128 at least.
type inode []byte

func (in inode) mode() uint32 { return uint32(le.Uint16(in)) }
func (in inode) uid() uint32  { return uint32(le.Uint16(in[2:])) | uint32(le.Uint16(in[120:]))<<16 }

func (in inode) gid() uint32        { return uint32(le.Uint16(in[24:])) | uint32(le.Uint16(in[122:]))<<16 }
func (in inode) links() uint32      { return uint32(le.Uint16(in[26:])) }
func (in inode) dtime() uint32      { return le.Uint32(in[20:]) }
func (in inode) flags() uint32      { return le.Uint32(in[32:]) }
func (in inode) block() []byte      { return in[40:100:100] }
func (in inode) generation() uint32 { return le.Uint32(in[100:]) }
func (in inode) acl() uint64 {
	return uint64(le.Uint32(in[104:])) | uint64(le.Uint16(in[118:]))<<32
}

// blocks512 is the count of blocks as stored, in sectors unless flagHuge.
func (in inode) blocks512() uint64 {
	return uint64(le.Uint32(in[28:])) | uint64(le.Uint16(in[116:]))<<32
}

// extraSize is how many bytes behind the first 128 are fields; 0 when the
// stored value makes no sense.
func (in inode) extraSize() int {
	if len(in) < 132 {
		return 0
	}
	if n := int(le.Uint16(in[128:])); n%4 == 0 && n <= len(in)-128 {
		return n
	}
	return 0
}

// kind is the type that the mode says.
func (in inode) kind() filesystem.Type {
	switch in.mode() & 0xf000 {
	case 0x8000:
		return filesystem.TypeFile
	case 0x4000:
		return filesystem.TypeDir
	case 0xa000:
		return filesystem.TypeSymlink
	case 0x1000:
		return filesystem.TypeFIFO
	case 0xc000:
		return filesystem.TypeSocket
	case 0x2000:
		return filesystem.TypeChar
	case 0x6000:
		return filesystem.TypeBlock
	}
	return filesystem.TypeUnknown
}

// live says that the kernel would give this inode to who follows a name.
func (in inode) live() bool { return in.links() > 0 && in.kind() != filesystem.TypeUnknown }

// fileKind is the type that the file_type byte of a directory entry says.
func fileKind(b uint8) filesystem.Type {
	kinds := [...]filesystem.Type{
		filesystem.TypeUnknown, filesystem.TypeFile, filesystem.TypeDir, filesystem.TypeChar,
		filesystem.TypeBlock, filesystem.TypeFIFO, filesystem.TypeSocket, filesystem.TypeSymlink,
	}
	if int(b) < len(kinds) {
		return kinds[b]
	}
	return filesystem.TypeUnknown
}

// stamp is a time: seconds at off, and at extra, if that lies within the
// fields, two bits of epoch and 30 of nanoseconds. good is false when the
// nanoseconds are a second or more; they are left out then.
func (in inode) stamp(off, extra int) (t imaging.Time, good bool) {
	t = imaging.Time{Sec: int64(int32(le.Uint32(in[off:]))), Set: true}
	if extra+4 > 128+in.extraSize() {
		return t, true
	}
	x := le.Uint32(in[extra:])
	t.Sec += int64(x&3) << 32
	if x>>2 >= 1e9 {
		return t, false
	}
	t.Nsec = int32(x >> 2)
	return t, true
}

// times sets the four stamps of e; Born stays unset where the inode is too
// small or records zero.
func (in inode) times(e *filesystem.Entry) (good bool) {
	var a, c, m, b bool
	e.Accessed, a = in.stamp(8, 140)
	e.Changed, c = in.stamp(12, 132)
	e.Modified, m = in.stamp(16, 136)
	b = true
	if in.extraSize() >= 20 {
		if e.Born, b = in.stamp(144, 148); e.Born.Sec == 0 && e.Born.Nsec == 0 {
			e.Born = imaging.Time{}
		}
	}
	return a && c && m && b
}

// size is the length as stored, and bounded: the high half counts for regular
// files, and for directories of a large_dir volume.
func (fs *FS) size(in inode) (stored uint64, bounded int64) {
	stored = uint64(le.Uint32(in[4:]))
	kind := in.kind()
	if kind == filesystem.TypeFile || kind == filesystem.TypeDir && fs.sb.incompat&incompatLargeDir != 0 {
		stored |= uint64(le.Uint32(in[108:])) << 32
	}
	switch kind {
	case filesystem.TypeFile, filesystem.TypeDir, filesystem.TypeUnknown:
		return stored, int64(min(stored, fs.maxSize(in)))
	case filesystem.TypeSymlink:
		return stored, int64(min(stored, 65536))
	case filesystem.TypeFIFO, filesystem.TypeSocket, filesystem.TypeChar, filesystem.TypeBlock:
	}
	return stored, 0
}

// maxSize is the largest content that the inode's kind of map can hold.
func (fs *FS) maxSize(in inode) uint64 {
	switch {
	case in.flags()&(flagExtents|flagInline) != 0: // what is not inline reads as zeros
		return (1<<32 - 1) * uint64(fs.sb.blockSize)
	}
	n := uint64(fs.sb.blockSize / 4)
	return min(12+n+n*n+n*n*n, 1<<32-1) * uint64(fs.sb.blockSize)
}

// rdev is the device number of a character or block device.
func (in inode) rdev() uint32 {
	if old := le.Uint32(in.block()); old != 0 {
		return old
	}
	return le.Uint32(in.block()[4:])
}

// fast says that a symbolic link's target stands where other inodes have
// their map.
func (fs *FS) fast(in inode) bool {
	if in.flags()&(flagExtents|flagInline) != 0 || le.Uint32(in[4:]) >= 60 {
		return false
	}
	if in.flags()&flagEAInode != 0 || in.flags()&flagHuge != 0 {
		return true
	}
	own := in.blocks512()
	if in.acl() != 0 {
		own -= min(own, fs.sb.clusterBlocks*uint64(fs.sb.blockSize)/512)
	}
	return own == 0
}

// attrData finds the value of the attribute system.data behind the inode's
// fields: what inline content does not fit into 60 bytes. at is where it
// stands in the inode.
func (in inode) attrData() (value []byte, at int, ok bool) {
	start := 128 + in.extraSize()
	if in.extraSize() == 0 || start+4 > len(in) || le.Uint32(in[start:]) != 0xea020000 {
		return nil, 0, false
	}
	base := start + 4
	for p := base; p+16 <= len(in) && le.Uint32(in[p:]) != 0; {
		nameLen, offset, size := int(in[p]), int(le.Uint16(in[p+2:])), int64(le.Uint32(in[p+8:]))
		end := p + 16 + nameLen
		if end > len(in) {
			return nil, 0, false
		}
		if in[p+1] == 7 && bytes.Equal(in[p+16:end], []byte("data")) && le.Uint32(in[p+4:]) == 0 {
			if int64(base+offset)+size > int64(len(in)) {
				return nil, 0, false
			}
			return in[base+offset:][:size], base + offset, true
		}
		p = (end + 3) &^ 3
	}
	return nil, 0, false
}

// inline is the content of an inode that holds it itself, size bytes long,
// and what is wrong with it.
func (in inode) inline(size int64) (content []byte, damage string) {
	content = append(content, in.block()...)
	rest, _, _ := in.attrData()
	content = append(content, rest...)
	if int64(len(content)) >= size {
		return content[:size], ""
	}
	return content, fmt.Sprintf("truncated: %d bytes of inline content, the inode says %d", len(content), size)
}
