package iso9660

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"snapcase/imaging/filesystem"
)

// errEnough ends a walk whose consumer has left.
var errEnough = errors.New("enough")

const (
	maxPath = 32 << 10 // bytes: what lies deeper is not entered
	// emptyMost is how many sectors without a record end a directory.
	emptyMost = 64
)

// Walk yields the tree that systems show, then what only its other trees have,
// then what older sessions had. It reads the image anew each time. Two walks
// give the same.
func (fs *FS) Walk(ctx context.Context) iter.Seq2[filesystem.Entry, error] {
	return func(yield func(filesystem.Entry, error) bool) {
		w := &walker{fs: fs, ctx: ctx, give: func(e filesystem.Entry, _ *node) error {
			if !yield(e, nil) {
				return errEnough
			}
			return nil
		}}
		if err := w.run(); err != nil && !errors.Is(err, errEnough) {
			yield(filesystem.Entry{}, fmt.Errorf("walk iso9660: %w", err))
		}
	}
}

// walker goes through the trees.
type walker struct {
	fs    *FS
	ctx   context.Context
	t     tree
	n     int            // number of the tree
	read  map[int64]bool // where directories of this tree were read, sector by sector
	moved []moved        // directories that Rock Ridge moved, which their own place leads to
	given map[key]bool
	spare int64 // bytes of attributes that may still be read
	stack []*level
	path  []byte
	buf   [sector]byte
	bufAt int64
	have  int
	give  func(filesystem.Entry, *node) error
}

// level is a directory on the way down.
type level struct {
	ino     uint64
	path    int
	at, end int64 // of the next record
	sector  int64 // that was entered last
	empty   int   // sectors without a record
}

// moved is a directory that stands where Rock Ridge moved it.
type moved struct {
	node   node
	parent uint64
	path   string
}

func (w *walker) run() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	w.spare = 4*w.fs.src.Size() + entriesMost
	if len(w.fs.trees) > 1 {
		w.given = map[key]bool{}
	}
	for w.n, w.t = range w.fs.trees {
		if err := w.tree(); err != nil {
			return err
		}
	}
	return nil
}

// tree walks one of them.
func (w *walker) tree() error {
	w.read, w.moved, w.path = map[int64]bool{}, nil, w.path[:0]
	switch {
	case w.n == 0 || w.t.older != 0:
	case w.t.kind == joliet:
		w.path = append(w.path, "/$Joliet"...)
	default:
		w.path = append(w.path, "/$Primary"...)
	}
	r, err := w.fs.record(w.t.root)
	if err != nil {
		return err
	}
	root, err := w.fs.node(r, w.t, &w.spare)
	if err != nil {
		return err
	}
	if err := w.rootRock(&root); err != nil {
		return err
	}
	base := len(w.path)
	if err := w.entry(&root, 0, string(w.path[:base])+"/"); err != nil {
		return err
	}
	if err := w.descend(&root, base); err != nil {
		return err
	}
	for i := 0; i < len(w.moved); i++ { // it may grow on the way
		m := w.moved[i]
		if len(m.node.runs) > 0 && w.read[m.node.runs[0].off] {
			continue
		}
		m.node.damage = also(m.node.damage, "range: it was moved here, and nothing leads to it where it was")
		if err := w.entry(&m.node, m.parent, m.path); err != nil {
			return err
		}
		w.path = append(w.path[:0], m.path...)
		if err := w.descend(&m.node, len(w.path)); err != nil {
			return err
		}
	}
	return nil
}

// rootRock takes the attributes of the root from its own first record: the one
// in the descriptor has no room for them.
func (w *walker) rootRock(root *node) error {
	if w.t.kind != rockRidge {
		return nil
	}
	self, err := w.fs.record(root.start(w.t.block))
	if err != nil || self.length == 0 {
		return err
	}
	root.rock, err = w.fs.rock(self, w.t, &w.spare)
	return err
}

// descend goes through a directory and those in it.
func (w *walker) descend(n *node, path int) error {
	w.stack = w.stack[:0]
	w.push(n, path)
	for len(w.stack) > 0 {
		l := w.stack[len(w.stack)-1]
		w.path = w.path[:l.path]
		r, ok, err := w.next(l)
		if err != nil {
			return err
		}
		if !ok {
			w.stack = w.stack[:len(w.stack)-1]
			continue
		}
		if err := w.visit(l, r); err != nil {
			return err
		}
	}
	return nil
}

// push enters a directory.
func (w *walker) push(n *node, path int) {
	if len(n.runs) == 0 {
		return
	}
	p := n.runs[0]
	w.stack = append(w.stack, &level{ino: uint64(n.at), path: path, at: p.off, sector: -1, end: min(p.off+p.n, w.fs.src.Size())})
}

// next gives the next record of a directory; ok is false at its end. A place
// that was read as part of another directory ends it.
func (w *walker) next(l *level) (r record, ok bool, err error) {
	for l.at < l.end {
		start := l.at / sector * sector
		if l.sector != start {
			if w.read[l.at] || l.empty > emptyMost {
				return r, false, nil
			}
			l.sector, w.read[l.at] = start, true
			l.empty++
		}
		if w.bufAt != start || w.have == 0 {
			if err := w.ctx.Err(); err != nil {
				return r, false, err
			}
			w.have = 0
			if w.have, err = readZero(w.fs.src, w.buf[:], start); err != nil {
				return r, false, err
			}
			w.bufAt = start
		}
		if in, n := int(l.at-start), int(min(int64(w.have), l.end-start)); in < n {
			r = parseRecord(w.buf[in:n], l.at)
		} else {
			r = record{}
		}
		if r.length > 0 {
			l.at += int64(r.length)
			l.empty = 0
			return r, true, nil
		}
		l.at = start + sector
	}
	return r, false, nil
}

// visit gives out one record, and enters it where it is a directory.
func (w *walker) visit(l *level, r record) error {
	if r.name == "\x00" || r.name == "\x01" {
		return nil // the directory itself, and the one above
	}
	n, err := w.fs.node(r, w.t, &w.spare)
	if err != nil {
		return err
	}
	l.at = max(l.at, n.after)
	name := plainName(r.name, w.t.kind)
	if n.rock.hasName {
		name = n.rock.name
	}
	if r.flags&flagAssociated != 0 {
		name += ":associated"
	}
	if r.flags&flagHidden != 0 && w.t.kind != rockRidge {
		n.damage = also(n.damage, "range: it is marked as hidden: some systems do not show it")
	}
	n.damage = also(n.damage, strange(name))
	path := string(w.path) + "/" + name
	if n.rock.moved && n.dir() && !n.relinked {
		w.moved = append(w.moved, moved{n, l.ino, path})
		return nil
	}
	enter := n.kind == filesystem.TypeDir && len(n.runs) > 0
	switch {
	case !enter:
	case w.read[n.runs[0].off]:
		n.damage = also(n.damage, "loop: its records were read already, as those of another directory")
		enter = false
	case len(path) > maxPath:
		n.damage = also(n.damage, "range: its path is too long: what lies in it is not listed")
		enter = false
	}
	if enter && !w.sound(&n) {
		n.damage = also(n.damage, "range: no directory stands where its record says")
	}
	if err := w.entry(&n, l.ino, path); err != nil || !enter {
		return err
	}
	w.path = append(w.path[:l.path], path[l.path:]...)
	w.push(&n, len(w.path))
	return nil
}

// sound says whether a directory begins with a record of itself. A failure of
// the source is met again when it is read.
func (w *walker) sound(n *node) bool {
	r, err := w.fs.record(n.runs[0].off)
	return err != nil || r.length > 0 && r.name == "\x00" && r.dir()
}

// entry gives out a node, unless another tree had it.
func (w *walker) entry(n *node, parent uint64, path string) error {
	e := filesystem.Entry{
		Ref: filesystem.Ref{Inode: uint64(n.at), Generation: uint32(w.n)}, Parent: parent, Path: path, Type: n.kind,
		Mode: 0o100555, Links: 1, Size: n.size, Modified: n.when, Damage: n.damage, First: -1,
	}
	if n.kind == filesystem.TypeDir {
		e.Mode = 0o40555
	}
	if len(n.runs) > 0 {
		e.First = n.runs[0].off
	}
	if k := &n.rock; k.hasMode {
		e.Mode, e.Links, e.UID, e.GID, e.Rdev, e.Link = k.mode, k.links, k.uid, k.gid, k.rdev, k.link
	}
	if k := &n.rock; k.modified.Set {
		e.Modified = k.modified
	}
	e.Born, e.Accessed, e.Changed = n.rock.born, n.rock.accessed, n.rock.changed
	switch {
	case w.t.older != 0:
		e.Status, e.From = filesystem.Deleted, "session at byte "+strconv.FormatInt(w.t.older, 10)
	case w.n > 0:
		e.Status, e.From = filesystem.Orphan, "other-tree"
	}
	if w.given != nil && !w.fresh(&e, n) {
		return nil
	}
	return w.give(e, n)
}

// fresh says whether an entry is to be given: the first tree whole, of the
// other ones of the session what lies where nothing known lies, of older
// sessions what had another path or other bytes.
func (w *walker) fresh(e *filesystem.Entry, n *node) bool {
	place := keyOf("%d %v", n.size, n.runs)
	whole := keyOf("%s %s %s %x", e.Path, e.Type, e.Link, place)
	if n.kind == filesystem.TypeDir { // each session writes its directories anew
		whole = keyOf("%s %s", e.Path, e.Type)
	}
	old := w.given[whole]
	if w.n > 0 && w.t.older == 0 {
		old = n.kind != filesystem.TypeFile || n.size == 0 || w.given[place]
	}
	w.given[whole], w.given[place] = true, true
	return w.n == 0 || !old
}

// key stands for what was given. It is cut from a cryptographic digest, so that
// nobody can make two things that have the same.
type key [16]byte

func keyOf(format string, args ...any) (k key) {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, format, args...)
	copy(k[:], h.Sum(nil))
	return k
}
