package ext4

import (
	"cmp"
	"context"
	"slices"

	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/inorder"
)

const (
	// maxHistory bounds how many lives, and how many versions of directories,
	// are kept.
	maxHistory = 1 << 20
	// maxLives bounds how many lives of one inode are kept.
	maxLives = 64
)

// life is one use of an inode, from its making to its freeing, that is over:
// each has its own generation. at is the copy that tells most of it: the
// newest one with content, or else the newest one with a name.
type life struct {
	ino, gen uint32
	when     int32
	at       uint32
	dtime    uint32 // 0 when no copy has it
	// emptied: a newer copy has the file in use and without content
	emptied bool
	telling uint8
}

// dirVersion is a directory as it was in the transactions from when first to
// when last; at is the copy of its inode.
type dirVersion struct {
	ino, gen    uint32
	first, last int32
	at          uint32
}

// older is what the copies of one block of an inode table tell.
type older struct {
	lives []life
	dirs  []dirVersion
}

// tableStart is where the inode table of a group begins.
type tableStart struct {
	block uint64
	group uint32
}

// tables lists the inode tables by their place.
func (fs *FS) tables() []tableStart {
	list := make([]tableStart, 0, len(fs.groups))
	for g := range fs.groups {
		if !fs.groups[g].noTable {
			list = append(list, tableStart{fs.groups[g].table, uint32(g)})
		}
	}
	slices.SortFunc(list, func(a, b tableStart) int {
		return cmp.Or(cmp.Compare(a.block, b.block), cmp.Compare(a.group, b.group))
	})
	return list
}

// firstInode gives the first inode of a block, and how many it has; 0 when it
// is no block of an inode table.
func (fs *FS) firstInode(tables []tableStart, block uint64) (ino, n uint32) {
	i, _ := slices.BinarySearchFunc(tables, block+1, func(t tableStart, at uint64) int { return cmp.Compare(t.block, at) })
	if i == 0 || block-tables[i-1].block >= fs.tableBlocks() {
		return 0, 0
	}
	per := uint32(fs.sb.blockSize) / uint32(fs.sb.inodeSize)
	at := uint32(block-tables[i-1].block) * per
	if at >= fs.sb.inodesPerGroup {
		return 0, 0
	}
	return tables[i-1].group*fs.sb.inodesPerGroup + at + 1, min(per, fs.sb.inodesPerGroup-at)
}

// tableOf gives the block of the inode table that holds an inode, and where.
func (fs *FS) tableOf(ino uint32) (block uint64, off int64) {
	at, ok := fs.inodeOffset(ino)
	if !ok {
		return 0, 0
	}
	return uint64(at / fs.sb.blockSize), at % fs.sb.blockSize
}

// readInodes compares every copy of a block of an inode table with the block
// as it is now.
func (h *history) readInodes(ctx context.Context) error {
	fs := h.j.fs
	tables := fs.tables()
	var blocks []int // of copies, where those of a block of a table begin
	for i := range h.copies {
		if i > 0 && h.copies[i-1].block == h.copies[i].block {
			continue
		}
		if _, n := fs.firstInode(tables, h.copies[i].block); n > 0 {
			blocks = append(blocks, i)
		}
	}
	rooms := make([]*room, inorder.Workers())
	err := inorder.Do(ctx, len(blocks), func(w, i int) (*older, error) {
		if rooms[w] == nil {
			bs := fs.sb.blockSize
			rooms[w] = &room{now: make([]byte, bs), then: make([]byte, bs), slots: make([]slot, bs/128), known: make([]uint32, bs/128)}
		}
		block := h.copies[blocks[i]].block
		ino, n := fs.firstInode(tables, block)
		return h.compare(h.of(block), ino, int(n), rooms[w])
	}, func(_ int, o *older) error {
		if len(h.lives)+len(o.lives) > maxHistory || len(h.dirs)+len(o.dirs) > maxHistory {
			h.full = true
			return nil
		}
		h.lives = append(h.lives, o.lives...)
		h.dirs = append(h.dirs, o.dirs...)
		return nil
	})
	slices.SortStableFunc(h.lives, func(a, b life) int { return cmp.Compare(a.ino, b.ino) })
	slices.SortStableFunc(h.dirs, func(a, b dirVersion) int { return cmp.Compare(a.ino, b.ino) })
	return err
}

// slot is what is known so far of one inode of a block.
type slot struct {
	lives []life
	dirs  []dirVersion
	shape [68]byte // of the directory that was seen last
}

// room is what a worker compares blocks in.
type room struct {
	now, then []byte
	slots     []slot
	known     []uint32 // generations
}

// compare reads the copies of one block, the newest first.
func (h *history) compare(copies []blockCopy, ino uint32, n int, w *room) (*older, error) {
	fs, size := h.j.fs, h.j.fs.sb.inodeSize
	now, then, slots, known := w.now, w.then, w.slots[:n], w.known[:n]
	if _, err := fs.read(now, int64(copies[0].block)*fs.sb.blockSize); err != nil {
		return nil, err
	}
	for k := range slots {
		slots[k].lives, slots[k].dirs = slots[k].lives[:0], slots[k].dirs[:0]
	}
	generations(known, now, size)
	for i := len(copies) - 1; i >= 0; i-- {
		if copies[i].when >= 0 {
			continue
		}
		if err := h.read(then, copies[i].at, 0); err != nil {
			return nil, err
		}
		if !h.j.sums {
			if !related(known, then, size) {
				continue // written over by what was not committed any more
			}
			generations(known, then, size)
		}
		for k := range slots {
			old, in := inode(then[k*size:][:size]), inode(now[k*size:][:size])
			if old.mode() != 0 {
				slots[k].see(fs, old, ino+uint32(k), &copies[i], !in.live() || in.generation() != old.generation())
			}
		}
	}
	o := new(older)
	for k := range slots {
		for _, l := range slots[k].lives {
			if l.telling > 0 {
				o.lives = append(o.lives, l)
			}
		}
		o.dirs = append(o.dirs, slots[k].dirs...)
	}
	return o, nil
}

// see takes a version of an inode that is older than those before; over says
// that its life is.
func (s *slot) see(fs *FS, old inode, ino uint32, c *blockCopy, over bool) {
	kind := old.kind()
	if kind == filesystem.TypeDir && old.links() > 0 {
		s.dir(old, ino, c)
	}
	if over && kind != filesystem.TypeUnknown {
		s.life(fs, old, ino, c)
	}
}

// generations takes the generations of a block of inodes.
func generations(into []uint32, p []byte, size int) {
	for k := range into {
		into[k] = inode(p[k*size:][:size]).generation()
	}
}

// related says that at least one inode of a block has the generation that is
// known of it: two blocks of the same part of a table have that in common.
func related(known []uint32, p []byte, size int) bool {
	for k := range known {
		if in := inode(p[k*size:][:size]); in.mode() != 0 && in.generation() == known[k] {
			return true
		}
	}
	return false
}

// telling says how much a version tells: 2 with content, 1 with a name only.
func telling(in inode) uint8 {
	size := le.Uint32(in[4:]) != 0 || in.kind() == filesystem.TypeFile && le.Uint32(in[108:]) != 0
	switch {
	case size && (in.links() > 0 || hasMap(in)):
		return 2
	case in.links() > 0:
		return 1
	}
	return 0
}

// hasMap says that something stands where an inode names its blocks.
func hasMap(in inode) bool {
	b := in.block()
	switch {
	case in.flags()&flagInline != 0:
		return true
	case in.flags()&flagExtents != 0:
		return le.Uint16(b) == 0xf30a && le.Uint16(b[2:]) > 0
	}
	for i := 0; i < len(b); i += 4 {
		if le.Uint32(b[i:]) != 0 {
			return true
		}
	}
	return false
}

// life takes a version of an inode that is older than those before.
func (s *slot) life(fs *FS, in inode, ino uint32, c *blockCopy) {
	t, gen := telling(in), in.generation()
	for i := range s.lives {
		l := &s.lives[i]
		if l.gen != gen {
			continue
		}
		if t > l.telling {
			l.emptied = l.telling > 0 && in.kind() == filesystem.TypeFile
			l.when, l.at, l.telling = c.when, c.at, t
		}
		return
	}
	if len(s.lives) >= maxLives {
		return
	}
	l := life{ino: ino, gen: gen, when: c.when, at: c.at, telling: t}
	if in.links() == 0 && fs.deletionTime(in.dtime()) {
		l.dtime = in.dtime()
	}
	s.lives = append(s.lives, l)
}

// dir takes a version of a directory.
func (s *slot) dir(in inode, ino uint32, c *blockCopy) {
	var shape [68]byte
	copy(shape[:], in.block())
	copy(shape[60:], in[4:8])
	copy(shape[64:], in[32:36])
	if k := len(s.dirs) - 1; k >= 0 && s.dirs[k].gen == in.generation() && shape == s.shape && in.flags()&flagInline == 0 {
		s.dirs[k].first = c.when
		return
	}
	if len(s.dirs) < 1<<12 {
		s.dirs = append(s.dirs, dirVersion{ino, in.generation(), c.when, c.when, c.at})
	}
	s.shape = shape
}

// livesOf gives the lives of an inode, the newest first.
func (h *history) livesOf(ino uint32) []life {
	find := func(l life, at uint32) int { return cmp.Compare(l.ino, at) }
	i, _ := slices.BinarySearchFunc(h.lives, ino, find)
	n := i
	for n < len(h.lives) && h.lives[n].ino == ino {
		n++
	}
	return h.lives[i:n]
}

// life gives the life of an inode that has a generation.
func (h *history) life(ino, gen uint32) *life {
	list := h.livesOf(ino)
	for i := range list {
		if list[i].gen == gen {
			return &list[i]
		}
	}
	return nil
}

// inode reads the version of an inode that a copy of its block has.
func (h *history) inode(ino, at uint32) (inode, error) {
	_, off := h.j.fs.tableOf(ino)
	in := make(inode, h.j.fs.sb.inodeSize)
	return in, h.read(in, at, off)
}
