package ext4

import (
	"bytes"
	"slices"
)

// inodeSet says which inodes may have had more than one life: those that had
// are always in it.
type inodeSet []uint64

func newInodeSet(h *history) inodeSet {
	s := make(inodeSet, 1<<12)
	for i := range h.lives {
		s[h.lives[i].ino/64%uint32(len(s))] |= 1 << (h.lives[i].ino % 64)
	}
	return s
}

func (s inodeSet) has(ino uint32) bool { return s[ino/64%uint32(len(s))]&(1<<(ino%64)) != 0 }

// oldReader reads the names of older copies of directories' blocks. It is not
// safe for concurrent use.
type oldReader struct {
	x            *index
	relived      inodeSet
	newer, older blockNames
}

// blockNames is one block and its live entries. It is sound when it is a
// directory's block throughout.
type blockNames struct {
	p       []byte
	dir     uint32
	entries []oldEntry
	sound   bool
}

// oldEntry is a live entry by its place in the block.
type oldEntry struct {
	ino, off    uint32
	size, ftype uint8
}

func (x *index) newOldReader(relived inodeSet) *oldReader {
	bs := x.fs.sb.blockSize
	return &oldReader{
		x: x, relived: relived,
		newer: blockNames{p: make([]byte, bs)}, older: blockNames{p: make([]byte, bs)},
	}
}

// names reads the copies of one block, the newest first, and gives the names
// that the block as it is now, or the copy before, does not have.
func (o *oldReader) names(b *oldBlock) (*found, error) {
	x, h := o.x, o.x.past.h
	f := new(found)
	o.newer.entries = o.newer.entries[:0]
	if k := len(b.owners) - 1; x.dirs[b.owners[k].dir].flags&dirDeleted == 0 {
		if _, err := x.fs.read(o.newer.p, int64(b.copies[0].block)*x.fs.sb.blockSize); err != nil {
			return nil, err
		}
		o.parse(&o.newer, b.owners[k].dir)
	}
	for i := len(b.copies) - 1; i >= 0; i-- {
		c := &b.copies[i]
		if err := h.read(o.older.p, c.at, 0); err != nil {
			return nil, err
		}
		dir, ok := x.ownerOf(b.owners, c.when, o.older.p)
		if !ok {
			continue
		}
		if o.parse(&o.older, dir); o.older.sound {
			o.differing(f, c.when)
			o.newer, o.older = o.older, o.newer
		}
	}
	return f, nil
}

// parse takes the live entries of a block.
func (o *oldReader) parse(b *blockNames, dir uint32) {
	d := &o.x.dirs[dir]
	b.dir, b.entries = dir, b.entries[:0]
	r := direntReader{
		maxInode: o.x.fs.sb.maxInode(), filetype: o.x.fs.sb.incompat&incompatFiletype != 0,
		hashed: d.flags&dirHashed != 0, indexed: d.flags&dirIndexed != 0, live: true,
	}
	r.emit = func(e dirent) {
		if !dotName(e.text) {
			off := cap(b.p) - cap(e.text) - 8 // text lies in p
			b.entries = append(b.entries, oldEntry{e.ino, uint32(off), uint8(len(e.text)), e.ftype})
		}
	}
	b.sound = r.block(b.p) == ""
}

// differing adds the entries of the older block that do not stand at the same
// place in the newer one. Those of inodes that had several lives are added all
// the same.
func (o *oldReader) differing(f *found, when int32) {
	newer := o.newer.entries
	if o.newer.dir != o.older.dir {
		newer = nil
	}
	for _, e := range o.older.entries {
		for len(newer) > 0 && newer[0].off < e.off {
			newer = newer[1:]
		}
		text := o.older.p[e.off+8:][:e.size]
		if len(newer) > 0 && newer[0] == e && bytes.Equal(o.newer.p[e.off+8:][:e.size], text) && !o.relived.has(e.ino) {
			continue
		}
		f.entries = append(f.entries, foundName{ino: e.ino, dir: o.older.dir, size: e.size, ftype: e.ftype, when: when})
		f.text = append(f.text, text...)
	}
}

// ownerOf says whose block a copy was: that of the directory which had it
// last. Where blocks carry a checksum that must agree, and says whose it is
// when the time does not.
func (x *index) ownerOf(owners []dirSpan, when int32, p []byte) (dir uint32, ok bool) {
	n, _ := slices.BinarySearchFunc(owners, when, func(s dirSpan, when int32) int {
		if s.first <= when {
			return -1
		}
		return 1
	})
	summed := x.fs.sb.rocompat&roMetaCsum != 0 && hasTail(p)
	for i := n - 1; i >= max(0, n-maxTries); i-- {
		if d := &x.dirs[owners[i].dir]; !summed || x.fs.dirBlockGood(x.fs.owner(d.ino, d.generation), p) {
			return owners[i].dir, x.selfSaid(p, d.ino)
		}
	}
	for i := n; i < min(len(owners), n+maxTries) && summed; i++ {
		if d := &x.dirs[owners[i].dir]; x.fs.dirBlockGood(x.fs.owner(d.ino, d.generation), p) {
			return owners[i].dir, true
		}
	}
	return 0, false
}

// selfSaid says that a block does not name another directory as its own: the
// first one begins with ".".
func (x *index) selfSaid(p []byte, ino uint32) bool {
	first := le.Uint16(p[4:]) == 12 && p[6] == 1 && p[8] == '.'
	return !first || le.Uint32(p) == ino
}
