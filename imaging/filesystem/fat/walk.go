package fat

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"snapcase/imaging/filesystem"
)

// Walk yields the root, what is in use, what was deleted, and then what no
// record leads to: chains of the FAT, and blocks of old directories in free
// clusters. It reads the volume anew each time. Two walks give the same.
func (fs *FS) Walk(ctx context.Context) iter.Seq2[filesystem.Entry, error] {
	return func(yield func(filesystem.Entry, error) bool) {
		w := &walker{give: func(e filesystem.Entry) error {
			if !yield(e, nil) {
				return errEnough
			}
			return nil
		}}
		w.init(fs, ctx)
		if err := w.run(); err != nil && !errors.Is(err, errEnough) {
			yield(filesystem.Entry{}, fmt.Errorf("walk fat: %w", err))
		}
	}
}

// walker turns records into entries. claim, when set, is told of the clusters
// of each.
type walker struct {
	tree
	files set   // clusters of files in use
	dead  set   // clusters of deleted directories
	spare int64 // clusters of other chains that may still be followed
	give  func(filesystem.Entry) error
	claim func(e filesystem.Entry, c uint32) func(uint32)
}

func (w *walker) init(fs *FS, ctx context.Context) {
	w.tree = tree{fs: fs, ctx: ctx, t: fs.table()}
	w.files, w.dead = fs.newSet(), fs.newSet()
	w.spare = 4 * int64(fs.g.clusters)
	w.visit = w.entry
}

func (w *walker) run() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	root, err := w.root()
	if err != nil {
		return err
	}
	if err := w.give(root); err != nil {
		return err
	}
	for _, second := range []bool{false, true} {
		if err := w.walk(second); err != nil {
			return err
		}
	}
	if err := w.lost(); err != nil {
		return err
	}
	return w.stray()
}

// root is the entry of the root directory.
func (w *walker) root() (filesystem.Entry, error) {
	g := &w.fs.g
	e := filesystem.Entry{
		Ref: filesystem.Ref{Inode: rootInode}, Path: "/", Type: filesystem.TypeDir, Mode: 0o40777, Links: 1,
		Size: g.rootBytes, First: g.rootStart,
	}
	if g.kind != 32 {
		if rest := g.rootStart + g.rootBytes - w.fs.src.Size(); rest > 0 {
			hurt(&e, fmt.Sprintf("truncated: its last %d bytes lie past the end of the image", min(rest, g.rootBytes)))
		}
		return e, nil
	}
	ch, err := w.t.follow(g.rootCluster, w.fs.newSet(), w.claims(e, g.rootCluster))
	e.Size, e.First = int64(ch.count)*g.cluster, -1
	if ch.count > 0 {
		e.First = g.offset(g.rootCluster)
	}
	hurt(&e, ch.damage)
	w.cut(&e, ch)
	return e, err
}

func (w *walker) claims(e filesystem.Entry, c uint32) func(uint32) {
	if w.claim == nil {
		return nil
	}
	return w.claim(e, c)
}

func hurt(e *filesystem.Entry, s string) {
	switch {
	case s == "":
	case e.Damage == "":
		e.Damage = s
	default:
		e.Damage += "; " + s
	}
}

func (w *walker) cut(e *filesystem.Entry, ch chain) {
	if ch.missing > 0 {
		hurt(e, fmt.Sprintf("truncated: %d of its clusters lie past the end of the image", ch.missing))
	}
}

// from is the word for where a record was found.
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

// entry gives out a record and says with how many clusters to enter it.
func (w *walker) entry(f *found) (enter uint32, err error) {
	r := f.rec
	if w.second && !f.dead { // given in the first round
		if len(w.path)+1+len(f.name) > maxPath {
			return 0, nil
		}
		ch, err := w.t.follow(r.cluster(w.fs.g.kind), w.dirs, nil)
		return ch.count, err
	}
	e := filesystem.Entry{
		Ref: filesystem.Ref{Inode: w.fs.inodeAt(f.off)}, Parent: f.level.parent,
		Type: filesystem.TypeFile, Mode: 0o100777, Links: 1, Size: r.size(), From: f.from(), Damage: f.damage, First: -1,
	}
	switch {
	case f.dead:
		e.Status, e.Ref.Generation, e.Links = filesystem.Deleted, 1, 0
	case f.origin == inLost:
		e.Status = filesystem.Orphan
	}
	if r.dir() {
		e.Type, e.Mode, e.Size = filesystem.TypeDir, 0o40777, 0
	}
	if r.attr()&attrReadOnly != 0 {
		e.Mode &^= 0o222
	}
	if !r.times(&e) {
		hurt(&e, "range: a time makes no sense and is left out")
	}
	e.Path = string(w.path) + "/" + f.name
	switch {
	case f.dead:
		enter, err = w.deleted(&e, r)
	case r.dir():
		enter, err = w.dir(&e, r)
	default:
		err = w.file(&e, r)
	}
	if err != nil {
		return 0, err
	}
	if enter > 0 && len(e.Path) > maxPath {
		hurt(&e, "range: its path is too long: what lies in it is not listed")
		enter = 0
	}
	return enter, w.give(e)
}

// dir follows a directory in use.
func (w *walker) dir(e *filesystem.Entry, r raw) (enter uint32, err error) {
	g := &w.fs.g
	c := r.cluster(g.kind)
	if r.size() != 0 {
		hurt(e, fmt.Sprintf("range: its record says that it has %d bytes, and a directory says 0", r.size()))
	}
	ch, err := w.t.follow(c, w.dirs, w.claims(*e, c))
	if err != nil {
		return 0, err
	}
	hurt(e, ch.damage)
	w.cut(e, ch)
	e.Size = int64(ch.count) * g.cluster
	if ch.count > 0 {
		e.First = g.offset(c)
	}
	return ch.count, nil
}

// file follows a file in use and compares its chain with its size.
func (w *walker) file(e *filesystem.Entry, r raw) error {
	g := &w.fs.g
	c, need := r.cluster(g.kind), g.clustersOf(r.size())
	if c == 0 {
		if need > 0 {
			hurt(e, "range: it has no first cluster")
		}
		return nil
	}
	each := w.claims(*e, c)
	ch, err := w.t.follow(c, w.files, each)
	if err == nil && ch.shared && each != nil && ch.count < need {
		err = w.also(ch.met, need-ch.count, each)
	}
	if err != nil {
		return err
	}
	if ch.count > 0 || ch.shared {
		e.First = g.offset(c)
	}
	hurt(e, ch.damage)
	switch {
	case ch.shared:
	case ch.count < need:
		hurt(e, fmt.Sprintf("truncated: its chain has %d clusters, its size needs %d: what is missing reads as zeros", ch.count, need))
	case ch.count > need:
		hurt(e, fmt.Sprintf("range: its chain has %d clusters, its size needs %d", ch.count, need))
	}
	w.cut(e, ch)
	return nil
}

// also claims up to n clusters of a chain that another file has claimed, from
// c on. What all files together may claim so is bounded.
func (w *walker) also(c, n uint32, each func(uint32)) error {
	for ; n > 0 && w.spare > 0; n-- {
		w.spare--
		each(c)
		link, s, err := w.t.get(c)
		if err != nil || s != next {
			return err
		}
		c = link
	}
	return nil
}

// deleted says what is left of a record that is not in use.
func (w *walker) deleted(e *filesystem.Entry, r raw) (enter uint32, err error) {
	g := &w.fs.g
	c, need := r.cluster(g.kind), g.clustersOf(r.size())
	if r.dir() {
		if c == 0 {
			return 0, nil
		}
		need = 1
	}
	switch {
	case need == 0:
		return 0, nil
	case !g.valid(c):
		hurt(e, fmt.Sprintf("range: its first cluster %d does not exist", c))
		return 0, nil
	}
	n, err := w.t.contiguous(c, need)
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		hurt(e, fmt.Sprintf("reallocated: its first cluster %d is in use, by another file or by this one under another name", c))
		return 0, nil
	}
	e.First = g.offset(c)
	if r.dir() {
		enter, err = w.deadDir(c)
		e.Size = int64(enter) * g.cluster
		n = enter
	} else if n < need {
		hurt(e, fmt.Sprintf("partial: %d of %d bytes: cluster %d is in use by another file", int64(n)*g.cluster, r.size(), c+n))
	}
	if each := w.claims(*e, c); each != nil {
		for i := range n {
			each(c + i)
		}
	}
	return enter, err
}

// deadDir counts the free clusters from c on that look like one directory, and
// marks them; 0 where c does not begin one or was met already.
func (w *walker) deadDir(c uint32) (n uint32, err error) {
	g := &w.fs.g
	if w.dead.has(c) {
		return 0, nil
	}
	if ok, err := w.begins(c); err != nil || !ok {
		return 0, err
	}
	for {
		w.dead.add(c + n)
		n++
		// More follow only where this one is full and the next is free, and
		// begins with what a directory has in its middle.
		full, err := w.fetch(g.offset(c+n-1) + g.cluster - recordSize)
		if err != nil || full == nil || full.end() || !g.valid(c+n) || w.dead.has(c+n) {
			return n, err
		}
		if k, err := w.t.contiguous(c+n, 1); err != nil || k == 0 {
			return n, err
		}
		r, err := w.fetch(g.offset(c + n))
		if err != nil || r == nil || !r.long() && !r.plausible(g) {
			return n, err
		}
	}
}

// begins says whether cluster c begins a directory: its first record is "."
// and names the cluster itself.
func (w *walker) begins(c uint32) (bool, error) {
	r, err := w.fetch(w.fs.g.offset(c))
	if err != nil || r == nil {
		return false, err
	}
	return string(r[1:11]) == "          " && (r[0] == '.' || r.deleted()) && r.dir() && r.cluster(w.fs.g.kind) == c, nil
}

func nameless(ino uint64) string { return "/$Orphan/#" + strconv.FormatUint(ino, 10) }
