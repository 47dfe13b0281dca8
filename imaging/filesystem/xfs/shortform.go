package xfs

import (
	"bytes"
	"fmt"
)

// shortForm reads a directory that lies in its inode: the number of entries,
// how many of them need eight bytes for an inode number (then all have them),
// the parent, then for each the length of its name, its place in the block
// that the directory would become, name, type and inode. p is the data fork,
// size the content length. Behind size older entries may stand.
func (r *direntReader) shortForm(p []byte, size int) (parent uint64, damage string) {
	size = min(size, len(p))
	if size < 6 {
		return 0, fmt.Sprintf("it has %d bytes", size)
	}
	count, wide := int(p[0]), 4
	if p[1] != 0 {
		wide = 8
	}
	off := 2 + wide
	if off > size {
		return 0, fmt.Sprintf("it has %d bytes", size)
	}
	parent = inodeOf(p[2:off])
	for i := range count {
		d, n, _, ok := r.shortEntry(p[:size], off, wide)
		if !ok || d.ino == 0 {
			damage = fmt.Sprintf("entry %d of %d is cut off or has no inode", i+1, count)
			r.shortSlack(p, off, wide, r.flags|nameSalvaged)
			return parent, damage
		}
		d.flags = r.flags
		r.emit(d)
		off += n
	}
	r.shortSlack(p, off, wide, r.flags|nameSlack)
	return parent, ""
}

func inodeOf(p []byte) uint64 {
	if len(p) == 8 {
		return be.Uint64(p)
	}
	return uint64(be.Uint32(p))
}

// shortEntry takes the entry at off apart; n is its length, place what it says
// of its place in a block.
func (r *direntReader) shortEntry(p []byte, off, wide int) (d dirent, n, place int, ok bool) {
	if off+3 > len(p) {
		return d, 0, 0, false
	}
	size := int(p[off])
	n = 3 + size + wide
	if r.sb.hasType() {
		n++
	}
	if size == 0 || off+n > len(p) {
		return d, 0, 0, false
	}
	d.text = p[off+3 : off+3+size]
	if r.sb.hasType() {
		d.ftype = p[off+3+size]
	}
	d.ino = inodeOf(p[off+n-wide : off+n])
	return d, n, int(be.Uint16(p[off+1:])), true
}

// shortSlack looks for entries behind the last. When an entry goes, those
// behind it move up and the inode is written back only as far as it is used.
func (r *direntReader) shortSlack(p []byte, from, wide int, flags uint8) {
	first := r.sb.dataHeader() + r.sb.direntLen(1) + r.sb.direntLen(2)
	for off := from; off < len(p); {
		d, n, place, ok := r.shortEntry(p, off, wide)
		if !ok || place < first || place%8 != 0 || int64(place) >= r.sb.dirBlock || !r.sound(&d) {
			off++
			continue
		}
		d.flags = flags
		r.emit(d)
		off += n
	}
}

// sound is plausible for an entry whose inode number is whole.
func (r *direntReader) sound(d *dirent) bool {
	if bytes.IndexByte(d.text, 0) >= 0 || bytes.IndexByte(d.text, '/') >= 0 || dotName(d.text) {
		return false
	}
	if r.sb.hasType() && (d.ftype == 0 || d.ftype > 8) {
		return false
	}
	_, _, ok := r.sb.splitInode(d.ino)
	return ok
}
