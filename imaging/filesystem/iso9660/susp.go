package iso9660

import (
	"fmt"
	"strings"

	"snapcase/imaging"
)

const (
	continuesMost = 32        // areas that a record's entries may go on in
	entriesMost   = 64 << 10  // bytes of them
	linkMost      = 1<<16 - 1 // bytes of a link target
)

// rock is what Rock Ridge says of a record.
type rock struct {
	present               bool
	name                  string
	hasName               bool
	mode, links, uid, gid uint32
	hasMode               bool
	link                  string
	rdev                  uint32
	child                 int64 // block of the directory that was moved away; -1: none
	moved                 bool  // it was moved here
	sparse, compressed    bool
	real                  uint32 // uncompressed size
	born, modified        imaging.Time
	accessed, changed     imaging.Time
	damage                string

	nameGoesOn, partGoesOn bool
}

// susp says whether a tree has Rock Ridge, and how many bytes stand before its
// entries.
func (fs *FS) susp(t tree) (ok bool, skip int, err error) {
	root, err := fs.record(t.root)
	if err != nil {
		return false, 0, err
	}
	self, err := fs.record(root.start(t.block))
	if err != nil || self.length == 0 {
		return false, 0, err
	}
	use := self.use
	// CD-ROM XA puts fourteen bytes before.
	for _, at := range []int{0, 14} {
		if len(use) >= at+7 && string(use[at:at+2]) == "SP" && use[at+4] == 0xbe && use[at+5] == 0xef {
			return true, int(use[at+6]), nil
		}
	}
	spare := int64(entriesMost)
	r, err := fs.rock(self, t, &spare)
	return r.present, 0, err
}

// rock reads the entries behind the name of a record, and the areas in which
// they go on, as long as there are bytes to spare: forged records may all go on
// in the same area.
func (fs *FS) rock(rec record, t tree, spare *int64) (rock, error) {
	r := rock{child: -1}
	skip := t.skip
	if rec.name == "\x00" && skip > 0 && len(rec.use) >= 7 && string(rec.use[:2]) == "SP" {
		skip = 0 // the record that says how much to skip
	}
	if skip >= len(rec.use) {
		return r, nil
	}
	area, total := rec.use[skip:], 0
	for range continuesMost {
		ce, more := r.entries(area)
		if !more {
			return r, nil
		}
		if total += int(min(ce.n, entriesMost)); ce.n > entriesMost || total > entriesMost {
			r.hurt(fmt.Sprintf("range: its attributes go on for %d bytes", ce.n))
			return r, nil
		}
		if *spare -= int64(ce.n); *spare < 0 {
			r.hurt("range: the attributes of all entries together are longer than the image: the rest of its own is not read")
			return r, nil
		}
		area = make([]byte, ce.n)
		have, err := readZero(fs.src, area, int64(ce.block)*t.block+int64(ce.offset))
		if err != nil {
			return r, err
		}
		if have < len(area) {
			r.hurt("truncated: some of its attributes lie past the end of the image")
		}
	}
	r.hurt("loop: its attributes go on without end")
	return r, nil
}

// more is where entries go on.
type more struct{ block, offset, n uint32 }

// entries reads one area of entries: two letters, the length, a version, then
// what they say.
func (r *rock) entries(b []byte) (ce more, goesOn bool) {
	for len(b) >= 4 {
		n := int(b[2])
		if b[0] == 0 {
			return ce, goesOn // filling
		}
		if n < 4 || n > len(b) {
			r.hurt(fmt.Sprintf("range: an attribute of %d bytes where %d are left", n, len(b)))
			return ce, goesOn
		}
		e := b[:n]
		b = b[n:]
		switch kind := string(e[:2]); {
		case kind == "CE" && n >= 28:
			ce, goesOn = more{le.Uint32(e[4:]), le.Uint32(e[12:]), le.Uint32(e[20:])}, true
		case kind == "ST":
			return ce, goesOn
		default:
			r.entry(kind, e)
		}
	}
	return ce, goesOn
}

// entry reads one entry, with its head of four bytes.
func (r *rock) entry(kind string, e []byte) {
	n := len(e)
	switch {
	case kind == "RR":
		r.present = true
	case kind == "PX" && n >= 36:
		r.present, r.hasMode = true, true
		r.mode, r.links, r.uid, r.gid = le.Uint32(e[4:]), le.Uint32(e[12:]), le.Uint32(e[20:]), le.Uint32(e[28:])
		if be.Uint32(e[8:]) != r.mode || be.Uint32(e[24:]) != r.uid || be.Uint32(e[32:]) != r.gid {
			r.hurt("range: the two copies of its mode and owner differ")
		}
	case kind == "PN" && n >= 20:
		major, minor := le.Uint32(e[4:]), le.Uint32(e[12:])
		if major == 0 && minor > 0xff { // one number of sixteen bits in the lower half
			major, minor = minor>>8, minor&0xff
		}
		r.rdev = minor&0xff | major<<8 | minor&^0xff<<12
	case kind == "NM" && n >= 5:
		r.present = true
		r.addName(e[4], string(e[5:]))
	case kind == "SL" && n >= 5:
		r.present = true
		r.addLink(e[5:])
	case kind == "CL" && n >= 12:
		r.child = int64(le.Uint32(e[4:]))
	case kind == "RE":
		r.moved = true
	case kind == "TF" && n >= 5:
		r.times(e[4], e[5:])
	case kind == "SF":
		r.sparse = true
	case kind == "ZF" && n >= 16:
		r.compressed, r.real = true, le.Uint32(e[8:])
	}
}

// addName adds a piece of the name; flag 1 says that it goes on, 2 and 4 stand
// for the directory itself and the one above.
func (r *rock) addName(flags byte, piece string) {
	switch {
	case flags&2 != 0:
		piece = "."
	case flags&4 != 0:
		piece = ".."
	}
	switch {
	case r.hasName && !r.nameGoesOn:
		r.hurt("range: it has a second name")
		return
	case len(r.name)+len(piece) > linkMost:
		r.hurt("range: its name is too long and is cut")
		return
	}
	r.name, r.hasName, r.nameGoesOn = r.name+piece, true, flags&1 != 0
}

// addLink adds components of a link target: flags, length, text. The flags are
// 1 where the text goes on in the next one, 2 for ".", 4 for "..", 8 for the
// root.
func (r *rock) addLink(b []byte) {
	for len(b) >= 2 {
		f, n := b[0], int(b[1])
		if n > len(b)-2 {
			r.hurt("range: its link target is cut")
			n = len(b) - 2
		}
		text := string(b[2 : 2+n])
		b = b[2+n:]
		switch {
		case f&2 != 0:
			text = "."
		case f&4 != 0:
			text = ".."
		case f&8 != 0:
			text = "/"
		}
		if len(r.link)+len(text) >= linkMost {
			r.hurt("range: its link target is too long and is cut")
			return
		}
		if r.link != "" && !r.partGoesOn && !strings.HasSuffix(r.link, "/") {
			r.link += "/"
		}
		r.link += text
		r.partGoesOn = f&1 != 0
	}
}

// times reads the stamps that the flags name, in the order of their bits.
func (r *rock) times(flags byte, b []byte) {
	r.present = true
	size, read := 7, shortTime
	if flags&0x80 != 0 {
		size, read = 17, longTime
	}
	for bit := range 7 {
		if flags>>bit&1 == 0 {
			continue
		}
		if len(b) < size {
			r.hurt("range: a time is missing")
			return
		}
		t, ok := read(b[:size])
		b = b[size:]
		if !ok {
			r.hurt("range: a time makes no sense and is left out")
			continue
		}
		switch bit {
		case 0:
			r.born = t
		case 1:
			r.modified = t
		case 2:
			r.accessed = t
		case 3:
			r.changed = t
		}
	}
}

func (r *rock) hurt(s string) {
	if !strings.Contains(r.damage, s) {
		r.damage = also(r.damage, s)
	}
}
