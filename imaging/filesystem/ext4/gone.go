package ext4

import (
	"bytes"
	"cmp"
	"context"
	"math"
	"slices"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/inorder"
)

// dirKey names one life of a directory.
type dirKey struct{ ino, gen uint32 }

// logName is what is known of a name that stands in an older copy of a
// directory's block: the transaction, and whose name it was. sure is false
// when that is only likely; other says that it was the name of an earlier life
// of the inode, which none knows.
type logName struct {
	when  int32
	gen   uint32
	sure  bool
	other bool
}

// dirSpan is blocks that a directory had from a transaction on.
type dirSpan struct {
	phys  uint64
	n     uint32
	first int32
	dir   uint32
}

// loadPast adds the names that older copies of directories have and the
// directories no longer, and leaves inodes with earlier lives for the second
// round.
func (x *index) loadPast(ctx context.Context) error {
	h, err := x.fs.past(ctx)
	if err != nil {
		return err
	}
	x.past = &pastView{h, x.fs.newReuse(h, x.used)}
	for i := range h.lives {
		if k, at, ok := x.place(h.lives[i].ino); ok {
			x.later(k, at)
			x.stretches[k].upTo = max(x.stretches[k].upTo, at+1)
		}
	}
	if len(h.copies) == 0 {
		return nil
	}
	spans, err := x.dirSpans(ctx, h)
	if err != nil {
		return err
	}
	x.runs = slices.Compact(x.runs)
	if err := x.readNames(ctx); err != nil {
		return err
	}
	x.dirRuns = nil
	return x.oldBlocks(ctx, h, spans)
}

// addResidue takes blocks of a directory that is gone and that nothing else
// has used since: as they were freed, they were never written again.
func (x *index) addResidue(r run, dir uint32, when int32) error {
	if x.dirs[dir].flags&dirDeleted == 0 || len(x.runs) >= maxCopies {
		return nil
	}
	n, err := x.past.reuse.taken(r.block(), uint64(r.n), when)
	if err != nil || n > 0 || x.past.reuse.left < 0 {
		return err
	}
	x.runs = append(x.runs, dirRun{phys: r.block(), n: r.n, at: r.at, dir: dir})
	return nil
}

// later leaves an inode for the second round.
func (x *index) later(k, i int) {
	if x.pending[k] == nil {
		x.pending[k] = make([]uint64, (x.stretches[k].n+63)/64)
	}
	x.pending[k][i/64] |= 1 << (i % 64)
}

// dirOf gives the number of a directory.
func (x *index) dirOf(ino, gen uint32) (uint32, bool) {
	n, ok := slices.BinarySearchFunc(x.dirs[:x.found], ino, func(d dir, ino uint32) int { return cmp.Compare(d.ino, ino) })
	if ok && x.dirs[n].generation == gen {
		return uint32(n), true
	}
	at, ok := x.gone[dirKey{ino, gen}]
	return at, ok
}

// dirSpans says which blocks belonged to which directory from when on,
// according to the older copies of inodes, and to the inode as it is now where
// no copy shows that it changed. Names of directories within their inodes are
// added on the way.
func (x *index) dirSpans(ctx context.Context, h *history) ([]dirSpan, error) {
	var spans []dirSpan
	m := &blockMap{fs: x.fs, spend: x.fs.newBudget(), past: h}
	changed := make(map[uint32]struct{})
	for i := range h.dirs {
		v := &h.dirs[i]
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		raw, err := h.inode(v.ino, v.at)
		if err != nil {
			return nil, err
		}
		n, ok := x.dirOf(v.ino, v.gen)
		if !ok {
			n = uint32(len(x.dirs))
			x.dirs = append(x.dirs, dir{ino: v.ino, generation: v.gen, flags: dirDeleted | dirFlags(raw)})
			x.gone[dirKey{v.ino, v.gen}] = n
		}
		changed[n] = struct{}{}
		if raw.flags()&flagInline != 0 {
			if err := x.mergeOld(x.inlineNames(inlineDir{n, raw}), v.last); err != nil {
				return nil, err
			}
			continue
		}
		m.when = v.last
		if err := m.load(v.ino, raw); err != nil {
			return nil, err
		}
		if len(spans)+len(m.runs) > maxCopies {
			x.full = true
			break
		}
		for _, r := range m.runs {
			spans = append(spans, dirSpan{r.block(), r.n, v.first, n})
			if err := x.addResidue(r, n, v.last); err != nil {
				return nil, err
			}
		}
	}
	for _, r := range x.dirRuns {
		if _, ok := changed[r.dir]; !ok {
			spans = append(spans, dirSpan{r.phys, r.n, math.MinInt32, r.dir})
		}
	}
	slices.SortFunc(spans, func(a, b dirSpan) int {
		return cmp.Or(cmp.Compare(a.phys, b.phys), cmp.Compare(a.first, b.first), cmp.Compare(a.dir, b.dir))
	})
	return spans, nil
}

// oldBlock is a block of which the journal has copies and which belonged to a
// directory: owners, by their time.
type oldBlock struct {
	copies []blockCopy
	owners []dirSpan
}

const (
	// maxOwners bounds how many owners of one block are kept, maxTries how many
	// are compared with a checksum.
	maxOwners = 1 << 10
	maxTries  = 8
)

// oldBlocks reads the copies of blocks that belonged to directories.
func (x *index) oldBlocks(ctx context.Context, h *history, spans []dirSpan) error {
	var blocks []oldBlock
	var near []dirSpan // those that may reach further than the last block
	next := 0
	for i := 0; i < len(h.copies); {
		b := oldBlock{copies: h.of(h.copies[i].block)}
		block := h.copies[i].block
		i += len(b.copies)
		for ; next < len(spans) && spans[next].phys <= block; next++ {
			near = append(near, spans[next])
		}
		near = slices.DeleteFunc(near, func(s dirSpan) bool { return s.phys+uint64(s.n) <= block })
		if len(near) == 0 {
			continue
		}
		if len(near) > maxOwners {
			near, x.full = near[len(near)-maxOwners:], true
		}
		b.owners = slices.Clone(near)
		slices.SortStableFunc(b.owners, func(a, b dirSpan) int { return cmp.Compare(a.first, b.first) })
		blocks = append(blocks, b)
	}
	relived := newInodeSet(h)
	readers := make([]*oldReader, inorder.Workers())
	return inorder.Do(ctx, len(blocks), func(w, i int) (*found, error) {
		if readers[w] == nil {
			readers[w] = x.newOldReader(relived)
		}
		return readers[w].names(&blocks[i])
	}, func(_ int, f *found) error {
		return x.mergeOld(f, 0)
	})
}

// mergeOld adds names from older copies. Those that say no transaction are of
// when.
func (x *index) mergeOld(f *found, when int32) error {
	text := f.text
	for _, e := range f.entries {
		own := text[:e.size]
		text = text[e.size:]
		if e.when == 0 {
			e.when = when
		}
		if e.dotdot || e.flags&(nameSlack|nameSalvaged) != 0 {
			continue
		}
		if err := x.addOld(e, own); err != nil {
			return err
		}
	}
	return nil
}

// newest is how many of an inode's names are compared with one from the
// journal.
const newest = 64

// addOld adds a name from the journal unless the same life of the inode has it
// already in that directory. Of an inode with very many names not all are
// compared: what is there twice then is left out when the inode is given out.
func (x *index) addOld(e foundName, text []byte) error {
	k, i, ok := x.place(e.ino)
	if !ok || x.fs.reserved(e.ino) {
		return nil
	}
	if len(x.fromLog) >= maxHistory {
		x.full = true
		return nil
	}
	l, now, err := x.lifeAt(e.ino, e.when)
	if err != nil {
		return err
	}
	if st := &x.stretches[k]; st.heads != nil {
		for at, tries := st.heads[i], 0; at != 0 && tries < newest; tries++ {
			n := x.names.at(at - 1)
			if n.dir == e.dir && bytes.Equal(n.text, text) {
				o, ok := x.fromLog[at-1]
				switch {
				case ok:
				case n.flags != 0: // now it is known whose name it was
					x.fromLog[at-1] = l
					return nil
				default:
					o.gen = now
				}
				if o.gen == l.gen && o.other == l.other {
					return nil
				}
			}
			at = n.next
		}
	}
	e.flags = nameJournal
	if at, ok := x.addName(e, text); ok {
		x.fromLog[at] = l
		x.later(k, i)
	}
	return nil
}

// lifeAt says which life an inode had at the end of a transaction, and which
// generation it has now. A block of a directory and the inode that it names are
// changed by the same transaction, so that the newest copy of the inode that is
// not newer than the block is exact.
func (x *index) lifeAt(ino uint32, when int32) (l logName, now uint32, err error) {
	l.when = when
	in, ok, err := x.fs.readInode(ino)
	if err != nil || !ok {
		return l, 0, err
	}
	now = in.generation()
	h := x.past.h
	block, off := x.fs.tableOf(ino)
	copies := h.of(block)
	n, _ := slices.BinarySearchFunc(copies, when, func(c blockCopy, when int32) int {
		if c.when <= when {
			return -1
		}
		return 1
	})
	if len(copies) > 0 {
		in = make(inode, x.fs.sb.inodeSize)
		if err := h.read(in, copies[max(n-1, 0)].at, off); err != nil {
			return l, now, err
		}
	}
	l.gen = in.generation()
	if n > 0 || len(copies) == 0 {
		l.sure = in.live() // else a name of what is no file any more
		return l, now, nil
	}
	l.sure, l.other = h.bornBefore(in, when)
	return l, now, nil
}

// bornBefore judges the first copy that there is of an inode, which is newer
// than a transaction: whether the inode had the same life then, or another one,
// or neither is certain. A transaction ends when the one before is committed or
// later, and before it is committed itself.
func (h *history) bornBefore(in inode, when int32) (same, other bool) {
	var e filesystem.Entry
	if in.times(&e); in.mode() == 0 {
		return false, true
	}
	before, ok := h.committed(when - 1)
	after, known := h.committed(when)
	switch {
	case !e.Born.Set || !h.steady:
	case known && later(e.Born, after):
		return false, true
	case ok && later(before, e.Born):
		return true, false
	}
	return false, false
}

func later(a, b imaging.Time) bool {
	return cmp.Or(cmp.Compare(a.Sec, b.Sec), cmp.Compare(a.Nsec, b.Nsec)) > 0
}
