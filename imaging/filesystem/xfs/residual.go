package xfs

import (
	"context"
	"fmt"

	"snapcase/imaging/filesystem"
)

// residual finds what the fork of a freed inode still names. Freeing clears
// the size, the counts and the format, but writes the fork back only as far as
// it is used: not at all. m gets the extents that stand there, as long as they
// make sense.
func (m *blockMap) residual(ino uint64, in inode) error {
	m.reset(ino)
	if !in.magic() || in.blank() {
		return nil
	}
	p := in[in.core():]
	m.stale(p)
	if len(m.runs) > 0 || !m.fs.sb.crc() {
		return nil
	}
	// the root of an extent tree whose blocks still say their owner
	level, count, room := int(be.Uint16(p)), int(be.Uint16(p[2:])), (len(p)-4)/16
	if level == 0 || level > maxLevels || count == 0 || count > room {
		return nil
	}
	block, ok := m.fs.sb.block(be.Uint64(p[4+room*8:]), 1)
	if !ok || block == 0 {
		return nil
	}
	head := make([]byte, m.fs.sb.longHeader())
	n, err := m.fs.read(head, int64(block)*m.fs.sb.blockSize)
	if err != nil || n < len(head) || be.Uint32(head) != kindBmap.v5 || be.Uint64(head[56:]) != ino {
		return err
	}
	if err := m.root(p); err != nil {
		return err
	}
	m.finish()
	return nil
}

// stale takes extents from p up to the first that cannot be one.
func (m *blockMap) stale(p []byte) {
	next := uint64(0)
	for ; len(p) >= 16; p = p[16:] {
		at, fsb, n, unwritten := extent(p)
		phys, ok := m.fs.sb.block(fsb, uint64(n))
		if !ok || n == 0 || phys == 0 || at < next || at+uint64(n) > m.fs.maxBlock() {
			return
		}
		next = at + uint64(n)
		m.add(run{at: at, phys: phys, n: n}, unwritten)
	}
}

// sizeUnknown is the damage of content whose place is known and free.
const sizeUnknown = "partial: the size was cleared; the content has at most the length of the remaining extents"

// residualSize is how long the content of a freed inode can have been at most,
// and what must be said of it.
func (m *blockMap) residualSize(space *freeSpace) (size int64, damage string, err error) {
	if len(m.runs) == 0 {
		return 0, "partial: size and place of the content were cleared", nil
	}
	last := m.runs[len(m.runs)-1]
	size = int64(last.at+uint64(last.n)) * m.fs.sb.blockSize
	var all, taken uint64
	for _, r := range m.runs {
		n, err := space.used(r.block(), uint64(r.n))
		if err != nil {
			return size, "", err
		}
		all, taken = all+uint64(r.n), taken+n
	}
	if taken > 0 {
		return size, fmt.Sprintf("reallocated: %d of %d blocks are in use again", taken, all), nil
	}
	return size, sizeUnknown, nil
}

// before gives the last life of a freed inode: from its place on the disk when
// only the log says that it was freed, or from the log.
func (fs *FS) before(ino uint64, in inode, h *history) (*oldInode, error) {
	if in.live() {
		return &oldInode{raw: in, whole: true}, nil
	}
	if !freed(in) {
		return nil, nil
	}
	if fs.raw != fs.src {
		ag, agino, _ := fs.sb.splitInode(ino)
		p := make(inode, fs.sb.inodeSize)
		if _, err := readZero(fs.raw, p, fs.inodePlace(ag, agino)); err != nil {
			return nil, err
		}
		if p.live() && p.gen()+1 == in.gen() && p.size() > 0 {
			return &oldInode{raw: p, whole: true}, nil
		}
	}
	if o := h.before(ino, in.gen()); o != nil && o.telling() > 0 {
		return o, nil
	}
	return nil, nil
}

// was fills a record of a freed inode with what it was before, if that is
// known, and with its residual extents otherwise. m is left with its map.
func (fs *FS) was(r *record, ino uint64, in inode, h *history, m *blockMap, space *freeSpace) error {
	o, err := fs.before(ino, in, h)
	if err != nil {
		return err
	}
	e := &r.e
	if o != nil {
		e.Type, e.Mode, r.past = o.raw.kind(), o.raw.mode(), !in.live()
		r.local, err = fs.remembered(e, ino, o, m)
		if err != nil || r.local != nil {
			return err
		}
		if len(m.runs) > 0 {
			_, damage, err := m.residualSize(space)
			if damage == sizeUnknown {
				damage = ""
			}
			addDamage(e, damage)
			e.First = m.first()
			return err
		}
	}
	if err := m.residual(ino, in); err != nil {
		return err
	}
	size, damage, err := m.residualSize(space)
	if o == nil {
		e.Size = size
	} else if damage == sizeUnknown {
		damage = ""
	}
	e.First = m.first()
	addDamage(e, damage)
	return err
}

// remembered takes what an older version says; local is content that the inode
// itself held.
func (fs *FS) remembered(e *filesystem.Entry, ino uint64, o *oldInode, m *blockMap) (local []byte, err error) {
	m.reset(ino)
	var ok bool
	if e.Size, ok = o.raw.bounded(); !ok {
		addDamage(e, sizeDamage(o.raw))
	}
	switch {
	case e.Type == filesystem.TypeChar || e.Type == filesystem.TypeBlock:
		e.Rdev = o.raw.rdev()
		return []byte{}, nil
	case !o.whole:
		return nil, nil
	case o.raw.format() == formatLocal:
		local = append([]byte{}, o.raw.data()[:min(e.Size, int64(len(o.raw.data())))]...)
		if e.Size = int64(len(local)); e.Type == filesystem.TypeSymlink {
			e.Link = string(local)
		}
		return local, nil
	}
	if err := m.load(ino, o.raw); err != nil {
		return nil, err
	}
	addDamage(e, m.damage)
	if e.Type == filesystem.TypeSymlink {
		text, damage, err := fs.target(ino, e.Size, m.runs)
		addDamage(e, damage)
		e.Link, e.Size = string(text), int64(len(text))
		return append([]byte{}, text...), err
	}
	return nil, nil
}

// lastLife fills an entry with the size and the place of its content as an
// older version of the inode has them. local is content that the inode itself
// held; m is left with the map.
func (fs *FS) lastLife(e *filesystem.Entry, ino uint64, o *oldInode, m *blockMap, space *freeSpace) (local []byte, err error) {
	if local, err = fs.remembered(e, ino, o, m); err != nil || local != nil {
		return local, err
	}
	switch {
	case len(m.runs) > 0:
		_, damage, err := m.residualSize(space)
		if err != nil {
			return nil, err
		}
		if damage != sizeUnknown {
			addDamage(e, damage)
		}
	case e.Size > 0:
		addDamage(e, "partial: the place of the content is not known")
	}
	e.First = m.first()
	return nil, nil
}

// fromLog is the content of an inode whose chunk was freed, as the log has it;
// nil where it does not know the inode.
func (fs *FS) fromLog(ref filesystem.Ref) (*Content, error) {
	t, err := fs.table(context.Background())
	if err != nil || !t.dropped(ref.Inode) {
		return nil, err
	}
	h, err := fs.past(context.Background())
	if err != nil {
		return nil, err
	}
	o := h.only(ref.Inode)
	if o == nil || o.raw.gen() != ref.Generation {
		return nil, nil
	}
	e := filesystem.Entry{Ref: ref, Type: o.raw.kind(), First: -1}
	m := blockMap{fs: fs, spend: fs.newBudget()}
	local, err := fs.lastLife(&e, ref.Inode, o, &m, fs.newFreeSpace())
	if err != nil {
		return nil, err
	}
	c := &Content{fs: fs, runs: m.runs, small: local, size: e.Size, damage: e.Damage}
	if local != nil {
		c.size = int64(len(local))
	}
	return c, nil
}

// residue is the content of an inode that is not in use.
func (fs *FS) residue(ino uint64, in inode) (*Content, error) {
	h, err := fs.past(context.Background())
	if err != nil {
		return nil, err
	}
	m := blockMap{fs: fs, spend: fs.newBudget()}
	var r record
	if err := fs.was(&r, ino, in, h, &m, fs.newFreeSpace()); err != nil {
		return nil, err
	}
	c := &Content{fs: fs, runs: m.runs, small: r.local, size: r.e.Size, damage: r.e.Damage}
	if c.small != nil {
		c.size = int64(len(c.small))
	}
	return c, nil
}

// freed says that an inode which is not in use was once.
func freed(in inode) bool { return in.magic() && in.mode() == 0 && !in.blank() }

// first is where the first block of a map lies, -1 when there is none.
func (m *blockMap) first() int64 {
	if len(m.runs) == 0 {
		return -1
	}
	return int64(m.runs[0].block()) * m.fs.sb.blockSize
}

// bare is the entry of a name whose inode says nothing about it.
func bare(ino uint64, n *name) filesystem.Entry {
	return filesystem.Entry{Ref: filesystem.Ref{Inode: ino}, Type: fileKind(n.ftype), First: -1}
}
