package xfs

import "encoding/binary"

// Fields of an inode that a log item says were changed.
const (
	fieldData      = 0x2
	fieldExtents   = 0x4
	fieldRoot      = 0x8
	fieldDevice    = 0x10
	fieldAttrData  = 0x40
	fieldAttrExt   = 0x80
	fieldAttrRoot  = 0x100
	fieldsDataFork = fieldData | fieldExtents | fieldRoot
	fieldsAttrFork = fieldAttrData | fieldAttrExt | fieldAttrRoot
)

// inodeVersion is an inode as a log item has it.
type inodeVersion struct {
	ino    uint64
	fields uint32
	at     int64 // units of 512 bytes: the buffer of inodes
	units  int
	off    int    // of the inode in the buffer, bytes
	core   []byte // as on disk
	data   []byte // data fork, when a field says so
	attr   []byte
	device uint32
}

// coreFields is the widths of the fields of a core, byte for byte as the log
// has it in the order of the machine: 1 is a byte, else one number.
var coreFields = []int{
	2, 2, 1, 1, 1, 1, 4, 4, 4, 2, 2, // magic … project
	0,       // 24: eight bytes whose meaning depends on the version
	8, 8, 8, // times: each one number with bigtime, else two
	8, 8, 4, 4, 2, 1, 1, 4, 2, 2, 4, 4, // size … next unlinked, at 100
	4, 8, 8, 8, 4, // checksum, change count, lsn, flags2, extent size for copies
}

// inodeOf is the number of the inode that an item describes.
func (t *transaction) inodeOf(it *logItem) (uint64, bool) {
	switch p := it.regions[0]; {
	case len(p) >= 56:
		return t.order.Uint64(p[16:]), true
	case len(p) >= 52:
		return t.order.Uint64(p[12:]), true
	}
	return 0, false
}

// inode takes an item apart.
func (t *transaction) inode(it *logItem) (v inodeVersion, ok bool) {
	p := it.regions[0]
	ord := t.order
	if len(it.regions) < 2 || len(it.regions[1]) < 96 {
		return v, false
	}
	switch {
	case len(p) >= 56:
		v = inodeVersion{ino: ord.Uint64(p[16:]), device: ord.Uint32(p[24:]), at: int64(ord.Uint64(p[40:])), units: int(ord.Uint32(p[48:])), off: int(ord.Uint32(p[52:]))}
	case len(p) >= 52: // as a 32-bit machine packs it
		v = inodeVersion{ino: ord.Uint64(p[12:]), device: ord.Uint32(p[20:]), at: int64(ord.Uint64(p[36:])), units: int(ord.Uint32(p[44:])), off: int(ord.Uint32(p[48:]))}
	default:
		return v, false
	}
	v.fields = ord.Uint32(p[4:])
	if v.units <= 0 || v.units > 256 || v.off < 0 || v.off > v.units*basic || v.at < 0 {
		return v, false
	}
	v.core = diskCore(it.regions[1], ord)
	if v.core == nil {
		return v, false
	}
	rest := it.regions[2:]
	if v.fields&fieldsDataFork != 0 && len(rest) > 0 {
		v.data, rest = rest[0], rest[1:]
	}
	if v.fields&fieldsAttrFork != 0 && len(rest) > 0 {
		v.attr = rest[0]
	}
	return v, true
}

// diskCore turns a core in the order of the machine into one as on disk.
func diskCore(p []byte, ord binary.ByteOrder) []byte {
	size := 100
	if p[4] >= 3 {
		size = 176
	}
	if ord.Uint16(p) != 0x494e || len(p) < min(size, 96) {
		return nil
	}
	out := make([]byte, size)
	copy(out, p)
	if ord == binary.ByteOrder(binary.BigEndian) {
		return out
	}
	swap := func(at, n int) {
		if at+n > len(p) || at+n > size {
			return
		}
		for i := range n {
			out[at+i] = p[at+n-1-i]
		}
	}
	flags2 := uint64(0)
	if size == 176 && len(p) >= 128 {
		flags2 = ord.Uint64(p[120:])
	}
	at := 0
	for _, n := range coreFields {
		switch {
		case n == 0 && flags2&flags2Nrext64 != 0:
			swap(at, 8)
			n = 8
		case n == 0:
			swap(at+6, 2)
			n = 8
		case at >= 32 && at < 56 && flags2&flags2Bigtime == 0:
			swap(at, 4)
			swap(at+4, 4)
		default:
			swap(at, n)
		}
		at += n
	}
	if flags2&flags2Bigtime != 0 {
		swap(144, 8)
	} else {
		swap(144, 4)
		swap(148, 4)
	}
	swap(152, 8)
	return out
}

// write puts the version over an inode. The link of the list of unlinked
// inodes is not part of it.
func (v *inodeVersion) write(in inode, s *superblock) {
	next := in.next()
	copy(in, v.core)
	be.PutUint32(in[96:], next)
	if v.fields&fieldDevice != 0 && len(in.data()) >= 4 {
		be.PutUint32(in.data(), v.device)
	}
	putFork(in.data(), v.data, v.fields&fieldRoot != 0, s)
	putFork(in.attr(), v.attr, v.fields&fieldAttrRoot != 0, s)
}

// putFork copies a fork; the root of a tree is logged with the header of a
// block and with its pointers close behind its keys.
func putFork(to, p []byte, root bool, s *superblock) {
	if !root {
		copy(to, p)
		return
	}
	head := s.longHeader()
	if len(p) < head || len(to) < 4 {
		return
	}
	from, room := (len(p)-head)/16, (len(to)-4)/16
	count := min(int(be.Uint16(p[6:])), from, room)
	copy(to[:2], p[4:6])
	be.PutUint16(to[2:], uint16(count))
	copy(to[4:4+room*8], p[head:head+count*8])
	copy(to[4+room*8:], p[head+from*8:head+from*8+count*8])
}
