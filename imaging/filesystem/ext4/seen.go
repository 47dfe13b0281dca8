package ext4

import (
	"cmp"
	"slices"
)

// maxSightings bounds how many versions of inodes a reading of the journal
// keeps; with more of them each copy is read again instead.
const maxSightings = 1 << 17

// inodesNow says what the inodes of the volume are now: of each that a stretch
// has, its generation and whether it is in use. A walk knows that from its
// first reading of the tables.
type inodesNow struct {
	x    *index
	gens [][]uint32
	live [][]bool
}

func (x *index) newNow() *inodesNow {
	return &inodesNow{x: x, gens: make([][]uint32, len(x.stretches)), live: make([][]bool, len(x.stretches))}
}

// of gives what is known of inodes from ino on, which lie in one block of a
// table. There is nothing behind the last one that was ever used.
func (n *inodesNow) of(ino uint32) (gens []uint32, live []bool) {
	k, i, ok := n.x.place(ino)
	if !ok || i >= len(n.gens[k]) {
		return nil, nil
	}
	return n.gens[k][i:], n.live[k][i:]
}

// sighting is a version of an inode that a copy of its block has, and which
// tells something: of a directory, or of a life that is over.
type sighting struct {
	ino, at uint32
	when    int32
	over    bool // the life
	raw     [128]byte
}

// sightings collects them while the journal is read, so that no copy of an
// inode table has to be read a second time.
type sightings struct {
	now    *inodesNow
	tables []tableStart
	list   []sighting
	full   bool
	buf    []byte
}

// take looks at the copy of a block.
func (s *sightings) take(fs *FS, t *tag, p []byte, c blockCopy) {
	ino, n := fs.firstInode(s.tables, t.block)
	if n == 0 || s.full || c.when >= 0 {
		return
	}
	if t.escaped {
		s.buf = append(s.buf[:0], p...)
		be.PutUint32(s.buf, journalMagic)
		p = s.buf
	}
	gens, live := s.now.of(ino)
	size := fs.sb.inodeSize
	for i := range int(n) {
		in := inode(p[i*size:][:size])
		if in.mode() == 0 {
			continue
		}
		over := i >= len(gens) || !live[i] || gens[i] != in.generation()
		if !over && (in.mode()&0xf000 != 0x4000 || in.links() == 0) {
			continue
		}
		if len(s.list) >= maxSightings {
			s.full = true
			return
		}
		s.list = append(s.list, sighting{ino: ino + uint32(i), at: c.at, when: c.when, over: over, raw: [128]byte(in[:128])})
	}
}

// tell makes lives and versions of directories of what was seen.
func (h *history) tell(s *sightings) {
	slices.SortFunc(s.list, func(a, b sighting) int {
		return cmp.Or(cmp.Compare(a.ino, b.ino), cmp.Compare(b.when, a.when), cmp.Compare(b.at, a.at))
	})
	var of slot
	for i := range s.list {
		g := &s.list[i]
		c := blockCopy{when: g.when, at: g.at}
		if i == 0 || s.list[i-1].ino != g.ino {
			h.keep(&of)
		} else if s.list[i-1].when == g.when && s.list[i-1].at == g.at {
			continue // the part of a transaction at the start of the area is read twice
		}
		of.see(h.j.fs, inode(g.raw[:]), g.ino, &c, g.over)
	}
	h.keep(&of)
}

// keep takes what a slot has found, and empties it.
func (h *history) keep(s *slot) {
	for _, l := range s.lives {
		if l.telling > 0 && len(h.lives) < maxHistory {
			h.lives = append(h.lives, l)
		} else if l.telling > 0 {
			h.full = true
		}
	}
	if len(h.dirs)+len(s.dirs) > maxHistory {
		h.full = true
	} else {
		h.dirs = append(h.dirs, s.dirs...)
	}
	s.lives, s.dirs = s.lives[:0], s.dirs[:0]
}
