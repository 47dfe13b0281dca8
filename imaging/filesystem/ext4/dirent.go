package ext4

import (
	"bytes"
	"fmt"
)

// dirent is an entry as found in a block; text lies in the block.
type dirent struct {
	ino   uint32
	ftype uint8
	flags uint8
	text  []byte
}

// direntReader reads the entries of a directory's blocks.
type direntReader struct {
	maxInode uint32
	filetype bool // the volume stores types in entries
	hashed   bool // entries of this directory carry a hash behind the name
	indexed  bool // the directory has an index
	live     bool // what stands between entries is left out
	flags    uint8
	emit     func(dirent)
}

// length is the room that an entry with a name of n bytes takes.
func (r *direntReader) length(n int) int {
	if r.hashed && n > 0 {
		n += 8
	}
	return (8 + n + 3) &^ 3
}

// recLen decodes a stored rec_len: a block of 64 KiB is stored as 0 or 65535.
func recLen(p []byte) int {
	n := int(le.Uint16(p))
	if n == 0 || n == 65535 {
		return 65536
	}
	return n
}

// block reads the entries of p and what stands between them. It gives "" or
// what is wrong and where in p.
func (r *direntReader) block(p []byte) (damage string) {
	for off := 0; off+8 <= len(p); {
		e := p[off:]
		rec := recLen(e[4:])
		if len(p) < 65536 && rec == 65536 {
			rec = int(le.Uint16(e[4:]))
		}
		size := int(e[6])
		if !r.filetype {
			size = int(le.Uint16(e[6:]))
		}
		if rec < 12 || rec%4 != 0 || rec > len(p)-off || size > 255 || 8+size > rec {
			damage = fmt.Sprintf("an entry at byte %d has a length of %d and a name of %d", off, rec, size)
			r.slack(p, off, len(p), r.flags|nameSalvaged)
			return damage
		}
		used := 8
		switch {
		case size == 0: // unused, a checksum, or a block of the index
			if off == 0 && rec == len(p) && r.indexed {
				used += indexBytes(e[8:], true)
			}
		case le.Uint32(e) == 0:
			// an unused entry keeps the name of the one that was there
			if d, ok := r.stale(e, rec); ok && !r.live {
				d.flags |= nameSlack
				r.emit(d)
				used = r.length(size)
			}
		default:
			d := dirent{ino: le.Uint32(e), flags: r.flags, text: e[8 : 8+size]}
			if r.filetype {
				d.ftype = e[7]
			}
			r.emit(d)
			used = r.length(size)
			if off == 12 && r.indexed && string(d.text) == ".." && rec == len(p)-12 && e[17] == 8 {
				used = 20 + indexBytes(e[20:], false)
			}
		}
		r.slack(p, off+min(used, rec), off+rec, r.flags|nameSlack)
		off += rec
	}
	return ""
}

// indexBytes is how much of a block of the index is not slack: the entries
// that count, or all that there is room for where no names ever stood.
func indexBytes(p []byte, all bool) int {
	if len(p) < 8 {
		return 0
	}
	limit, count := int(le.Uint16(p)), int(le.Uint16(p[2:]))
	if all {
		count = limit
	}
	return min(8*count, len(p))
}

// slack looks for entries in p[from:to], which no live entry covers.
func (r *direntReader) slack(p []byte, from, to int, flags uint8) {
	if r.live {
		return
	}
	for off := (from + 3) &^ 3; off+12 <= to; {
		if le.Uint64(p[off:]) == 0 {
			off += 4
			continue
		}
		d, ok := r.stale(p[off:to], to-off)
		if !ok || d.ino == 0 {
			off += 4
			continue
		}
		d.flags = flags
		r.emit(d)
		off += r.length(len(d.text))
	}
}

// stale reads an entry that no length leads to. It must look sound: room for
// its name, a number that an inode can have, a type that exists, and a name
// that a name can be.
func (r *direntReader) stale(e []byte, room int) (dirent, bool) {
	if room < 12 {
		return dirent{}, false
	}
	d := dirent{ino: le.Uint32(e), flags: r.flags}
	rec, size := int(le.Uint16(e[4:])), int(e[6])
	if r.filetype {
		d.ftype = e[7]
	} else if e[7] != 0 {
		return d, false
	}
	if d.ino > r.maxInode || d.ftype > 7 || size == 0 || rec%4 != 0 || rec < 8+size || 8+size > room {
		return d, false
	}
	d.text = e[8 : 8+size]
	if bytes.IndexByte(d.text, 0) >= 0 || bytes.IndexByte(d.text, '/') >= 0 {
		return d, false
	}
	return d, !dotName(d.text)
}

func dotName(p []byte) bool {
	return len(p) == 1 && p[0] == '.' || len(p) == 2 && p[0] == '.' && p[1] == '.'
}
