package xfs

import "fmt"

const (
	magicBlock4 = 0x58443242 // XD2B: one block with its own index
	magicData4  = 0x58443244 // XD2D: data of a larger directory
	magicBlock5 = 0x58444233 // XDB3
	magicData5  = 0x58444433 // XDD3

	freeTag = 0xffff
)

// dirent is an entry as found in a block; text lies in the block.
type dirent struct {
	ino   uint64
	ftype uint8
	flags uint8
	text  []byte
}

// direntReader reads the entries of directory blocks.
type direntReader struct {
	sb   *superblock
	high uint64 // upper half of the directory's own inode number
	// flags is set on every entry.
	flags uint8
	emit  func(dirent)
}

// dataHeader is where the entries of a directory block begin.
func (s *superblock) dataHeader() int {
	if s.crc() {
		return 64
	}
	return 16
}

// length is the room that an entry with a name of n bytes takes.
func (s *superblock) direntLen(n int) int {
	n += 8 + 1 + 2
	if s.hasType() {
		n++
	}
	return (n + 7) &^ 7
}

// isDirBlock knows a block with entries by its magic.
func isDirBlock(p []byte) bool {
	switch be.Uint32(p) {
	case magicBlock4, magicData4, magicBlock5, magicData5:
		return true
	}
	return false
}

// dirEnd is where the entries of a block end: a directory of one block has its
// index behind them.
func dirEnd(p []byte) (end int, damage string) {
	if m := be.Uint32(p); m != magicBlock4 && m != magicBlock5 {
		return len(p), ""
	}
	count := int64(be.Uint32(p[len(p)-8:]))
	if n := int64(len(p)) - 8 - 8*count; n >= 64 {
		return int(n), ""
	}
	return len(p) - 8, fmt.Sprintf("the index has %d entries", count)
}

// block reads the entries of a directory block and what stands in its free
// space. It gives "" or what is wrong and where in p.
func (r *direntReader) block(p []byte) (damage string) {
	if !isDirBlock(p) {
		return "it is no block of a directory"
	}
	end, damage := dirEnd(p)
	extra := r.flags
	for off := r.sb.dataHeader(); off+8 <= end; {
		if be.Uint16(p[off:]) == freeTag {
			n := int(be.Uint16(p[off+2:]))
			if n >= 8 && n%8 == 0 && n <= end-off {
				r.freeRun(p, off, off+n, r.flags|nameSlack)
				off += n
				continue
			}
		} else if d, ok := r.entry(p[:end], off); ok {
			d.flags = extra
			r.emit(d)
			off += r.sb.direntLen(len(d.text))
			continue
		}
		if damage == "" {
			damage = fmt.Sprintf("there is no entry at byte %d", off)
		}
		extra |= nameSalvaged // until here the order of the entries was known
		off += 8
	}
	return damage
}

// entry reads the entry at off, whose last two bytes must say where it begins.
func (r *direntReader) entry(p []byte, off int) (dirent, bool) {
	d, tag, ok := r.parse(p, off)
	return d, ok && tag == off && d.ino != 0
}

// parse takes an entry apart: inode number, length of the name, name, type,
// place of the entry.
func (r *direntReader) parse(p []byte, off int) (d dirent, tag int, ok bool) {
	if off+16 > len(p) {
		return d, 0, false
	}
	size := int(p[off+8])
	n := r.sb.direntLen(size)
	if size == 0 || off+n > len(p) {
		return d, 0, false
	}
	d.ino, d.text = be.Uint64(p[off:]), p[off+9:off+9+size]
	if r.sb.hasType() {
		d.ftype = p[off+9+size]
	}
	return d, int(be.Uint16(p[off+n-2:])), true
}

// freeRun looks for entries in the free space p[from:to]. What makes an entry
// free is a mark of two bytes and the length of the run over the upper half of
// its inode number, and the place of the run in its last two bytes. Runs that
// join keep all else: an entry that joined a run before it keeps its whole
// number, one that a run behind it joined keeps its tag.
func (r *direntReader) freeRun(p []byte, from, to int, flags uint8) {
	for off := from; off+16 <= to; {
		d, tag, ok := r.parse(p[:to], off)
		if !ok || !r.plausible(&d) || !r.tagFits(p, off, tag) {
			off += 8
			continue
		}
		d.flags |= flags
		r.emit(d)
		off += r.sb.direntLen(len(d.text))
	}
}

// tagFits says that the tag of a freed entry is its own place, or that of a
// run which ended with it.
func (r *direntReader) tagFits(p []byte, off, tag int) bool {
	if tag == off {
		return true
	}
	return tag >= r.sb.dataHeader() && tag < off && tag%8 == 0 && be.Uint16(p[tag:]) == freeTag
}

// plausible says that a freed entry can have been one, and completes its inode
// number: the lost half is taken from the directory, since inodes are made in
// the group of their directory.
func (r *direntReader) plausible(d *dirent) bool {
	if d.ino>>48 == freeTag {
		d.ino &= 0xffffffff
		if r.high != 0 {
			d.ino |= r.high
			d.flags |= nameHalf
		}
	}
	return r.sound(d)
}

func dotName(p []byte) bool {
	return len(p) == 1 && p[0] == '.' || len(p) == 2 && p[0] == '.' && p[1] == '.'
}
