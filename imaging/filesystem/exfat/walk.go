package exfat

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"snapcase/imaging/filesystem"
)

// errEnough ends a walk whose consumer has left.
var errEnough = errors.New("enough")

// Walk yields the root, what is in use, what was deleted, and then what no
// record leads to: clusters that begin like a directory, with what lies in
// them, and other clusters in use. It reads the volume anew each time. Two
// walks give the same.
func (fs *FS) Walk(ctx context.Context) iter.Seq2[filesystem.Entry, error] {
	return func(yield func(filesystem.Entry, error) bool) {
		w := fs.walker(ctx)
		w.give = func(e filesystem.Entry, _ []run, _ int64) error {
			if !yield(e, nil) {
				return errEnough
			}
			return nil
		}
		if err := w.run(); err != nil && !errors.Is(err, errEnough) {
			yield(filesystem.Entry{}, fmt.Errorf("walk exfat: %w", err))
		}
	}
}

// walker turns sets into entries.
type walker struct {
	tree
	files *set // clusters of what is in use
	dirs  *set // clusters of directories, of this round
	gone  *set // clusters of deleted directories that were entered
	// give takes an entry with its clusters and how many bytes were written.
	give func(e filesystem.Entry, runs []run, valid int64) error
}

func (fs *FS) walker(ctx context.Context) *walker {
	w := &walker{tree: tree{fs: fs, ctx: ctx, t: fs.table()}, files: fs.g.newSet(), dirs: fs.g.newSet(), gone: fs.g.newSet()}
	w.visit = w.entry
	return w
}

// root follows the root directory, which has no record.
func (fs *FS) root(t *table, seen *set) (chain, error) {
	if !fs.g.valid(fs.g.root) {
		return chain{damage: fmt.Sprintf("range: its first cluster %d does not exist", fs.g.root)}, nil
	}
	ch, err := t.follow(fs.g.root, fs.g.clusters+1, seen)
	ch.damage = also(ch.damage, also(fs.usage(ch, false), fs.missing(ch.runs)))
	return ch, err
}

func (w *walker) run() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	for _, r := range append(slices.Clone(w.fs.bitmap), w.fs.tables...) {
		w.files.claim(r.first, r.n)
	}
	for _, second := range []bool{false, true} {
		w.dirs = w.fs.g.newSet()
		ch, err := w.fs.root(w.t, w.dirs)
		if err != nil {
			return err
		}
		if !second {
			if err := w.give(w.rootEntry(ch), ch.runs, int64(ch.count)*w.fs.g.cluster); err != nil {
				return err
			}
		}
		if err := w.walk(level{parent: rootInode, runs: ch.head()}, "", second); err != nil {
			return err
		}
	}
	return w.lost()
}

func (w *walker) rootEntry(ch chain) filesystem.Entry {
	e := filesystem.Entry{
		Ref: filesystem.Ref{Inode: rootInode}, Path: "/", Type: filesystem.TypeDir, Mode: 0o40777, Links: 1,
		Size: int64(ch.count) * w.fs.g.cluster, Damage: ch.damage, First: w.first(ch.runs),
	}
	return e
}

// head gives the clusters that no other directory had before: only those are
// entered.
func (ch *chain) head() []run {
	var list []run
	left := ch.fresh
	for _, r := range ch.runs {
		n := min(r.n, left)
		if n == 0 {
			break
		}
		list = append(list, run{r.first, n})
		left -= n
	}
	return list
}

func (w *walker) first(runs []run) int64 {
	if len(runs) == 0 {
		return -1
	}
	return w.fs.g.offset(runs[0].first)
}

// from is the word for where a set was found.
func (f *found) from() string {
	switch f.origin {
	case inSlack:
		return "dir-slack"
	case inDead:
		return "deleted-dir"
	case inStray:
		return "stray-block"
	case inLost:
		return "lost-dir"
	case inDir:
	}
	if f.dead {
		return "dir"
	}
	return ""
}

// entry gives out a set and the clusters of a directory to enter.
func (w *walker) entry(f *found) (enter []run, err error) {
	again := w.second && !f.dead // given in the first round
	e := filesystem.Entry{
		Ref: filesystem.Ref{Inode: w.fs.inodeAt(f.off)}, Parent: f.level.parent, Type: filesystem.TypeFile, Mode: 0o100777,
		Links: 1, From: f.from(), Damage: f.damage, First: -1, Path: string(w.path) + "/" + f.name,
	}
	switch {
	case f.dead:
		e.Status, e.Ref.Generation, e.Links = filesystem.Deleted, 1, 0
	case f.origin == inLost:
		e.Status = filesystem.Orphan
	}
	if f.behind {
		e.Ref.Generation |= 2
	}
	if f.dir() {
		e.Type, e.Mode = filesystem.TypeDir, 0o40777
	}
	if f.head != nil && le.Uint16(f.head[4:])&attrReadOnly != 0 {
		e.Mode &^= 0o222
	}
	if !f.times(&e) {
		e.Damage = also(e.Damage, "range: a time makes no sense and is left out")
	}
	runs, valid, enter, err := w.clusters(&e, f)
	if err != nil {
		return nil, err
	}
	if len(enter) > 0 && len(e.Path) > maxPath {
		e.Damage = also(e.Damage, "range: its path is too long: what lies in it is not listed")
		enter = nil
	}
	if again {
		return enter, nil
	}
	return enter, w.give(e, runs, valid)
}

// clusters finds what an entry has: its clusters, how many bytes were written,
// and, of a directory, what is to be entered.
func (w *walker) clusters(e *filesystem.Entry, f *found) (runs []run, valid int64, enter []run, err error) {
	if !f.dead && !w.second {
		for _, v := range f.vendors {
			if s := w.fs.span(v, false); w.fs.g.valid(s.first) {
				if _, err := w.t.resolve(s, false, w.files); err != nil {
					return nil, 0, nil, err
				}
			}
		}
	}
	if f.stream == nil {
		return nil, 0, nil, nil
	}
	s := w.fs.span(f.stream, f.dir())
	seen := w.files
	if f.dir() {
		seen = w.dirs
	}
	ch, err := w.t.resolve(s, f.dead, seen)
	if err != nil {
		return nil, 0, nil, err
	}
	e.Size, e.First = s.size, w.first(ch.runs)
	e.Damage = also(e.Damage, also(s.damage, ch.damage))
	switch {
	case !f.dir():
	case f.dead:
		enter = w.deadDir(ch)
	default:
		enter = ch.head()
	}
	return ch.runs, s.valid, enter, nil
}

// deadDir gives the clusters of a deleted directory up to the first that is in
// use again or was entered already.
func (w *walker) deadDir(ch chain) []run {
	var list []run
	for _, r := range ch.runs {
		n := uint32(0)
		for n < r.n && !w.inUse(r.first+n) && w.gone.claim(r.first+n, 1) == 1 {
			n++
		}
		if n > 0 {
			list = append(list, run{r.first, n})
		}
		if n < r.n {
			break
		}
	}
	return list
}

// inUse says whether a cluster is in use according to the bitmap or belongs to
// what is.
func (w *walker) inUse(c uint32) bool {
	return w.fs.used != nil && w.fs.used.has(c) || w.files.has(c) || w.dirs.has(c)
}

func nameOf(ino uint64) string { return "#" + strconv.FormatUint(ino, 10) }
