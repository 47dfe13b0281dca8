package xfs

import (
	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// Values of the format field of a fork.
const (
	formatDev     = 0
	formatLocal   = 1
	formatExtents = 2
	formatBtree   = 3
)

const (
	flagRealtime = 1

	flags2Reflink  = 2
	flags2Bigtime  = 8
	flags2Nrext64  = 0x10
	flags2Metadata = 0x20

	noUnlinked = 0xffffffff
)

// inode is the raw bytes of one, 256 at least.
type inode []byte

func (in inode) magic() bool   { return in[0] == 'I' && in[1] == 'N' }
func (in inode) mode() uint32  { return uint32(be.Uint16(in[2:])) }
func (in inode) version() int  { return int(in[4]) }
func (in inode) format() uint8 { return in[5] }
func (in inode) uid() uint32   { return be.Uint32(in[8:]) }
func (in inode) gid() uint32   { return be.Uint32(in[12:]) }
func (in inode) size() uint64  { return be.Uint64(in[56:]) }
func (in inode) flags() uint32 { return uint32(be.Uint16(in[90:])) }
func (in inode) gen() uint32   { return be.Uint32(in[92:]) }
func (in inode) next() uint32  { return be.Uint32(in[96:]) }

// links is the link count; inodes of version 1 have it in another place.
func (in inode) links() uint32 {
	if in.version() == 1 {
		return uint32(be.Uint16(in[6:]))
	}
	return be.Uint32(in[16:])
}

// flags2 is zero before version 3.
func (in inode) flags2() uint64 {
	if in.version() < 3 {
		return 0
	}
	return be.Uint64(in[120:])
}

// number is the inode number that a version 3 inode carries.
func (in inode) number() uint64 { return be.Uint64(in[152:]) }

// extents is how many extents the data fork has.
func (in inode) extents() uint64 {
	if in.flags2()&flags2Nrext64 != 0 {
		return be.Uint64(in[24:])
	}
	return uint64(be.Uint32(in[76:]))
}

// attrExtents is how many extents the attribute fork has.
func (in inode) attrExtents() uint64 {
	if in.flags2()&flags2Nrext64 != 0 {
		return uint64(be.Uint32(in[76:]))
	}
	return uint64(be.Uint16(in[80:]))
}

// core is where the forks begin.
func (in inode) core() int {
	if in.version() >= 3 {
		return 176
	}
	return 100
}

// split is where the data fork ends, from the start of the inode; without an
// attribute fork, and where the stored value makes no sense, that is the end.
func (in inode) split() int {
	if n := in.core() + 8*int(in[82]); in[82] != 0 && n <= len(in) {
		return n
	}
	return len(in)
}

func (in inode) data() []byte { return in[in.core():in.split()] }
func (in inode) attr() []byte { return in[in.split():] }

// kind is the type that the mode says.
func (in inode) kind() filesystem.Type { return kindOf(in.mode()) }

func kindOf(mode uint32) filesystem.Type {
	switch mode & 0xf000 {
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
func (in inode) live() bool { return in.magic() && in.mode() != 0 }

// blank says that the inode was never used: a new chunk has magic, version,
// generation and, in version 3, its number.
func (in inode) blank() bool {
	for _, b := range in[32:92] { // times, size, blocks, forks, flags
		if b != 0 {
			return false
		}
	}
	return in.mode() == 0
}

// fileKind is the type that the file type byte of a directory entry says.
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

// bigtimeEpoch is the seconds before 1970 at which bigtime begins to count.
const bigtimeEpoch = 1 << 31

// stamp is the time at off: nanoseconds since 1901 with bigtime, else seconds
// and nanoseconds. good is false when the latter are a second or more; they
// are left out then.
func (in inode) stamp(off int) (t imaging.Time, good bool) {
	if in.flags2()&flags2Bigtime != 0 {
		v := be.Uint64(in[off:])
		return imaging.Time{Sec: int64(v/1e9) - bigtimeEpoch, Nsec: int32(v % 1e9), Set: true}, true
	}
	t = imaging.Time{Sec: int64(int32(be.Uint32(in[off:]))), Set: true}
	n := be.Uint32(in[off+4:])
	if n >= 1e9 {
		return t, false
	}
	t.Nsec = int32(n)
	return t, true
}

// times sets the four stamps of e; Born stays unset before version 3.
func (in inode) times(e *filesystem.Entry) (good bool) {
	var a, c, m bool
	b := true
	e.Accessed, a = in.stamp(32)
	e.Modified, m = in.stamp(40)
	e.Changed, c = in.stamp(48)
	if in.version() >= 3 {
		e.Born, b = in.stamp(144)
	}
	return a && c && m && b
}

// rdev is the device number of a character or block device. XFS stores 14 bits
// of major and 18 of minor number; it is given as the kernel packs it.
func (in inode) rdev() uint32 {
	v := be.Uint32(in.data())
	major, minor := v>>18, v&(1<<18-1)
	return minor&0xff | major<<8 | minor&^0xff<<12
}

// maxSize is the largest content that a file can have, bytes.
const maxSize = 1<<63 - 1

// bounded is the length of the content and whether the stored one is possible.
func (in inode) bounded() (int64, bool) {
	size := in.size()
	switch in.kind() {
	case filesystem.TypeFile, filesystem.TypeDir:
		if in.format() == formatLocal && size > uint64(len(in.data())) {
			return int64(len(in.data())), false
		}
		return int64(min(size, maxSize)), size <= maxSize
	case filesystem.TypeSymlink:
		return int64(min(size, maxTarget)), size <= maxTarget
	case filesystem.TypeUnknown, filesystem.TypeFIFO, filesystem.TypeSocket, filesystem.TypeChar, filesystem.TypeBlock:
	}
	return 0, true
}

// maxTarget is the longest target of a symbolic link, bytes.
const maxTarget = 1024
