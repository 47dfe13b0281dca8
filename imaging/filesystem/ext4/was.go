package ext4

import (
	"context"
	"fmt"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// pastView is what is asked about the past of an inode. It is not safe for
// concurrent use.
type pastView struct {
	h     *history
	reuse *reuse
}

// withPast gives use a view that all calls share, one at a time.
func (fs *FS) withPast(use func(p *pastView) error) error {
	h, err := fs.past(context.Background())
	if err != nil {
		return err
	}
	fs.viewMutex.Lock()
	defer fs.viewMutex.Unlock()
	if fs.view == nil {
		fs.view = &pastView{h, fs.newReuse(h, fs.newBitmaps())}
	}
	fs.view.reuse.left = fs.reuseBudget()
	return use(fs.view)
}

// was fills the record of an inode that is not in use with what it was: from
// what it still says itself or, since kernels clear that, from the newest
// older copy in the journal that has the same generation. m is left with its
// map.
func (fs *FS) was(r *record, ino uint32, in inode, m *blockMap, p *pastView) error {
	m.runs = m.runs[:0]
	l := p.h.life(ino, in.generation())
	if l == nil || telling(in) == 2 || l.telling < 2 && mapped(in) && residue(in) {
		return fs.still(r, ino, in, m, p.reuse.used)
	}
	changed := r.e.Changed
	r.past = l.when
	old, err := p.h.inode(ino, l.at)
	if err != nil {
		return err
	}
	r.e.Type = old.kind()
	if fs.deletionTime(r.dtime) {
		if deleted := int64(r.dtime); r.e.Modified.Sec >= deleted && !l.emptied {
			// freeing content sets the time of its change
			r.e.Modified, _ = old.stamp(16, 136)
		}
		if before, _ := old.stamp(12, 132); before.Sec > int64(r.dtime) && changed.Set {
			addDamage(&r.e, "range: the journal has a change of the inode that is later than its deletion, by the times that they say")
		}
	}
	if old.kind() == filesystem.TypeFile && l.telling < 2 && written(in, old) {
		addDamage(&r.e, unsaid)
	}
	return fs.lived(r, old, l, m, p)
}

// written says that a freed inode may have had content that an older version of
// it had not: writing sets the time of modification, and freeing content does.
func written(in, old inode) bool {
	now, _ := in.stamp(16, 136)
	then, _ := old.stamp(16, 136)
	return now != then || in.extraSize() == 0 && now.Sec == int64(in.dtime())
}

// unsaid is the damage of a file that was made shortly before a commit, so that
// its content, if any, was not yet known.
const unsaid = "partial: the last copy of the inode has no content: what was written after it is not known"

// residue says that extents stand behind the count of a cleared inode.
func residue(in inode) bool {
	for _, b := range in.block()[12:] {
		if b != 0 && in.flags()&flagExtents != 0 {
			return true
		}
	}
	return false
}

// cleared is the damage of a freed inode that says nothing of its content.
const cleared = "partial: size and place of the content were cleared"

// still takes what a freed inode says itself.
func (fs *FS) still(r *record, ino uint32, in inode, m *blockMap, used *bitmaps) error {
	off, _ := fs.inodeOffset(ino)
	if r.e.Size > 0 && fs.within(r, in, off) || !mapped(in) {
		return nil
	}
	err := m.load(ino, in)
	if err != nil {
		return err
	}
	var damage string
	if r.e.Size, damage, err = fs.residual(in, m, used); err != nil {
		return err
	}
	if r.e.Size == 0 && len(m.runs) == 0 {
		damage = cleared
	}
	addDamage(&r.e, damage)
	return fs.mappedContent(r, m)
}

// lived takes size, content, link and device from an older copy of an inode.
// Content that the journal holds as well is taken from there.
func (fs *FS) lived(r *record, old inode, l *life, m *blockMap, p *pastView) error {
	e := &r.e
	var stored uint64
	if stored, e.Size = fs.size(old); uint64(e.Size) < stored {
		addDamage(e, sizeDamage(stored))
	}
	if !fs.inodeGood(l.ino, old) {
		addDamage(e, "csum: the older copy of the inode does not match its checksum")
	}
	if l.emptied {
		addDamage(e, "partial: the file was emptied before it was deleted: size and content are those before")
	}
	if e.Type == filesystem.TypeChar || e.Type == filesystem.TypeBlock {
		e.Rdev = old.rdev()
	}
	if fs.within(r, old, -1) || !mapped(old) {
		return nil
	}
	m.past, m.when = p.h, l.when
	err := m.load(l.ino, old)
	m.past = nil
	if err != nil {
		return err
	}
	addDamage(e, m.damage)
	p.h.substitute(m, l.when)
	var all, taken uint64
	for _, r := range m.runs {
		all += uint64(r.n)
		if r.unwritten() || r.journaled() {
			continue
		}
		n, err := p.reuse.taken(r.block(), uint64(r.n), l.when)
		if err != nil {
			return err
		}
		taken += n
	}
	if p.reuse.left < 0 {
		addDamage(e, "partial: the deleted files claim many times the blocks that there are: whether others used these since is not known")
	}
	if taken > 0 {
		addDamage(e, fmt.Sprintf("reallocated: %d of %d blocks are or were in use again", taken, all))
	}
	return fs.mappedContent(r, m)
}

// substitute replaces the blocks of a map that were written to the journal
// while the file had them by their copies there, which nothing can have
// overwritten since.
func (h *history) substitute(m *blockMap, when int32) {
	var out []run
	for i, r := range m.runs {
		rest := r
		for at := h.first(r.block()); at < len(h.copies) && !r.unwritten(); {
			block := h.copies[at].block
			if block-r.block() >= uint64(r.n) {
				break
			}
			at += len(h.of(block))
			c, ok := h.copyAt(block, when)
			if !ok {
				continue
			}
			if out == nil {
				out = append(make([]run, 0, len(m.runs)+8), m.runs[:i]...)
			}
			k := uint32(block - r.block())
			if n := k - (rest.at - r.at); n > 0 {
				out = append(out, run{at: rest.at, n: n, phys: rest.phys})
			}
			place, _ := h.j.place(c.at &^ escapedCopy)
			if place |= journalBit; c.at&escapedCopy != 0 {
				place |= escapedBit
			}
			out = append(out, run{at: r.at + k, n: 1, phys: place})
			rest = run{at: r.at + k + 1, n: r.n - k - 1, phys: block + 1}
		}
		if out != nil && rest.n > 0 {
			out = append(out, rest)
		}
	}
	if out != nil {
		m.runs = out
	}
}

// residue is the content of an inode that is not in use.
func (fs *FS) residue(ino uint32, in inode) (c *Content, err error) {
	m := blockMap{fs: fs, spend: fs.newBudget()}
	r := record{dtime: in.dtime()}
	r.e.Type = in.kind()
	_, r.e.Size = fs.size(in)
	if err := fs.withPast(func(p *pastView) error { return fs.was(&r, ino, in, &m, p) }); err != nil {
		return nil, err
	}
	return &Content{fs: fs, runs: m.runs, small: r.small, size: r.e.Size, damage: r.e.Damage}, nil
}

// earlier is the content of a life of an inode that has another one now; nil
// when nothing is known of it.
func (fs *FS) earlier(ino, gen uint32) (c *Content, err error) {
	err = fs.withPast(func(p *pastView) error {
		l := p.h.life(ino, gen)
		if l == nil {
			return nil
		}
		m := blockMap{fs: fs, spend: fs.newBudget()}
		r, err := fs.lifeRecord(l, &m, p)
		c = &Content{fs: fs, runs: m.runs, small: r.small, size: r.e.Size, damage: r.e.Damage}
		return err
	})
	return c, err
}

// lifeRecord is the record of a life of an inode that has another one now.
func (fs *FS) lifeRecord(l *life, m *blockMap, p *pastView) (record, error) {
	old, err := p.h.inode(l.ino, l.at)
	if err != nil {
		return record{}, err
	}
	r := record{past: l.when, dtime: l.dtime}
	r.e = filesystem.Entry{
		Ref:  filesystem.Ref{Inode: uint64(l.ino), Generation: l.gen},
		Type: old.kind(), Mode: old.mode(), UID: old.uid(), GID: old.gid(), Links: old.links(), First: -1,
		Status: filesystem.Deleted,
	}
	if !old.times(&r.e) {
		addDamage(&r.e, "range: a time has more than a second of nanoseconds; they are left out")
	}
	if l.dtime != 0 {
		r.e.Deleted = imaging.Time{Sec: int64(l.dtime), Set: true}
	}
	if old.kind() == filesystem.TypeFile && l.telling < 2 {
		addDamage(&r.e, unsaid)
	}
	m.runs = m.runs[:0]
	return r, fs.lived(&r, old, l, m, p)
}
