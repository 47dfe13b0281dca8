package exfat

import (
	"math/bits"

	"snapcase/imaging/filesystem"
)

// lost gives what no record leads to: clusters that begin like a directory,
// with what lies in them, then the other clusters in use.
func (w *walker) lost() error {
	if w.fs.scanned {
		if err := w.strays(); err != nil {
			return err
		}
	}
	if w.fs.used == nil {
		return nil
	}
	return w.orphans()
}

// owned says whether anything that was given has cluster c.
func (w *walker) owned(c uint32) bool { return w.files.has(c) || w.dirs.has(c) || w.gone.has(c) }

// strays finds the clusters that begin like a directory. Those that a set in
// another one of them leads to come with it; the rest stand by themselves.
func (w *walker) strays() error {
	var list []uint32
	children := w.fs.g.newSet()
	head := make([]byte, 3*recordSize)
	for c := uint32(2); w.fs.g.valid(c) && w.fs.g.offset(c) < w.fs.src.Size(); c++ {
		if c%1024 == 0 && w.ctx.Err() != nil {
			return w.ctx.Err()
		}
		if w.owned(c) {
			continue
		}
		if n, err := readZero(w.fs.src, head, w.fs.g.offset(c)); err != nil || n < len(head) || !begins(head) {
			if err != nil {
				return err
			}
			continue
		}
		ok, err := w.mark(c, children)
		if err != nil {
			return err
		}
		if ok {
			list = append(list, c)
		}
	}
	for _, child := range []bool{false, true} {
		for _, c := range list {
			if children.has(c) != child || w.owned(c) {
				continue
			}
			if err := w.stray(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// begins says whether three records begin a directory: a file, its stream and
// a name.
func begins(b []byte) bool {
	return b[0]&^inUse == typeFile && b[recordSize]&^inUse == typeStream && b[2*recordSize]&^inUse == typeName && b[1] >= 2
}

// mark says whether the first set of a cluster is sound, and adds the first
// clusters of the directories in it to children.
func (w *walker) mark(c uint32, children *set) (bool, error) {
	l := &level{runs: []run{{c, 1}}, dead: true, origin: inStray}
	w.second = true
	ok := false
	for {
		f, err := w.next(l)
		if err != nil || f == nil {
			return ok, err
		}
		ok = ok || f.off == w.fs.g.offset(c)
		if first := le.Uint32(f.stream[20:]); f.dir() && first != c && w.fs.g.valid(first) {
			children.add(first)
		}
	}
}

// stray gives the directory that begins at cluster c, and what lies in it.
func (w *walker) stray(c uint32) error {
	n, err := w.extent(c)
	if err != nil {
		return err
	}
	ino := lostInode + uint64(c)
	e := filesystem.Entry{
		Ref: filesystem.Ref{Inode: ino, Generation: n << 1}, Path: "/$Orphan/" + nameOf(ino), Type: filesystem.TypeDir, Mode: 0o40777,
		Status: filesystem.Orphan, From: "lost-dir", Size: int64(n) * w.fs.g.cluster, First: w.fs.g.offset(c),
		Damage: "partial: a directory without a name",
	}
	l := level{parent: ino, runs: []run{{c, n}}, origin: inLost}
	if w.fs.used == nil || !w.fs.used.has(c) {
		e.Status, e.From, e.Ref.Generation = filesystem.Deleted, "stray-block", e.Ref.Generation|1
		l.dead, l.origin = true, inStray
		w.gone.claim(c, n)
	} else {
		w.dirs.claim(c, n)
	}
	if err := w.give(e, []run{{c, n}}, e.Size); err != nil {
		return err
	}
	for _, second := range []bool{false, true} {
		if l.dead && !second {
			continue
		}
		again := l
		again.runs = []run{{c, n}}
		if err := w.walk(again, e.Path, second); err != nil {
			return err
		}
	}
	return nil
}

// extent counts the clusters of a directory that begins at c: more follow only
// where one is full and the next begins with a record.
func (w *walker) extent(c uint32) (n uint32, err error) {
	g := &w.fs.g
	used := w.fs.used != nil && w.fs.used.has(c)
	for n = 1; n < 1<<30; n++ {
		at := c + n
		if !g.valid(at) || w.owned(at) || w.fs.used != nil && w.fs.used.has(at) != used {
			return n, nil
		}
		for _, off := range []int64{g.offset(at) - recordSize, g.offset(at)} {
			r, err := w.fetch(off)
			if err != nil || r == nil {
				return n, err
			}
			if k := r[0] &^ inUse; k != typeFile && k != typeStream && k != typeName {
				return n, nil
			}
		}
	}
	return n, nil
}

// orphans gives the clusters in use that nothing has, as files of runs.
func (w *walker) orphans() error {
	var open run
	flush := func() error {
		if open.n == 0 {
			return nil
		}
		r := open
		open.n = 0
		ino := lostInode + uint64(r.first)
		e := filesystem.Entry{
			Ref: filesystem.Ref{Inode: ino, Generation: r.n << 1}, Path: "/$Orphan/" + nameOf(ino), Type: filesystem.TypeFile, Mode: 0o100777,
			Status: filesystem.Orphan, From: "bitmap", Size: int64(r.n) * w.fs.g.cluster, First: w.fs.g.offset(r.first),
			Damage: also("partial: no record gives its name and size: clusters that follow one another are given", w.fs.missing([]run{r})),
		}
		return w.give(e, []run{r}, e.Size)
	}
	err := w.words(func(used, owned uint64, base uint32) error {
		for left := used &^ owned; left != 0; left &= left - 1 {
			c := base + uint32(bits.TrailingZeros64(left))
			if open.n > 0 && (open.first+open.n != c || open.n >= 1<<30) {
				if err := flush(); err != nil {
					return err
				}
			}
			if open.n == 0 {
				open.first = c
			}
			open.n++
		}
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// words gives, for 64 clusters from base on, which of them are in use according
// to the bitmap and which are owned by what is. Words of which neither has any
// are left out.
func (w *walker) words(each func(used, owned uint64, base uint32) error) error {
	for k := range w.fs.used.pages {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		base := uint32(k)*pageBits + 2
		if w.fs.used.pages[k] == nil && w.files.pages[k] == nil && w.dirs.pages[k] == nil {
			continue
		}
		for i := uint32(0); i < pageBits && base-2+i < w.fs.g.clusters; i += 64 {
			c := base + i
			if err := each(w.fs.used.word(c), w.files.word(c)|w.dirs.word(c), c); err != nil {
				return err
			}
		}
	}
	return nil
}
