package fat

import (
	"context"
	"errors"
	"fmt"
)

// maxPath bounds a path in bytes: a directory whose path would be longer is
// given and not entered.
const maxPath = 32 << 10

// errEnough says that the consumer left.
var errEnough = errors.New("enough")

// origin says where a record was found.
type origin uint8

const (
	inDir   origin = iota
	inSlack        // behind the end mark of a directory
	inDead         // in the blocks of a deleted directory
	inLost         // in a directory in use that no record leads to
	inStray        // in a free block that looks like a directory
)

// found is a record with its name.
type found struct {
	rec    raw
	off    int64 // of the record in the volume
	name   string
	origin origin
	dead   bool // not in use
	damage string
	level  *level // the directory
}

// level is a directory that is being read.
type level struct {
	parent  uint64 // its own number
	up      uint32 // first cluster of the directory above
	path    int    // bytes of the path, without a slash at the end
	first   uint32 // its first cluster; 0: the fixed root directory
	cluster uint32
	left    uint32 // clusters behind this one
	at      int64  // bytes in the cluster or in the fixed root directory
	dead    bool
	origin  origin
	ended   bool // the end mark was met
	parts   []raw
}

// tree goes through all directories, depth first. In the first round it gives
// what is in use, in the second the rest; directories in use are read in both.
type tree struct {
	fs     *FS
	ctx    context.Context
	t      *table
	second bool
	// visit takes a record and says with how many clusters to enter it, where
	// it is a directory.
	visit func(f *found) (enter uint32, err error)
	dirs  set // clusters of directories that were entered in this round
	stack []*level
	path  []byte
	buf   []byte
	from  int64 // what buf holds
	have  int
}

const window = 32 << 10

// walk runs one round from the root.
func (w *tree) walk(second bool) error {
	w.second = second
	w.dirs = w.fs.newSet()
	w.path = w.path[:0]
	g := &w.fs.g
	root := &level{parent: rootInode}
	if g.kind == 32 {
		ch, err := w.t.follow(g.rootCluster, w.dirs, nil)
		if err != nil {
			return err
		}
		if ch.count == 0 {
			return nil
		}
		root.first, root.cluster, root.left = g.rootCluster, g.rootCluster, ch.count-1
	}
	w.stack = append(w.stack[:0], root)
	return w.run()
}

// run empties the stack.
func (w *tree) run() error {
	for len(w.stack) > 0 {
		l := w.stack[len(w.stack)-1]
		w.path = w.path[:l.path]
		f, ok, err := w.next(l)
		if err != nil {
			return err
		}
		if !ok {
			w.stack = w.stack[:len(w.stack)-1]
			continue
		}
		enter, err := w.visit(f)
		if err != nil {
			return err
		}
		if enter > 0 {
			w.push(f, enter)
		}
	}
	return nil
}

// push enters a directory.
func (w *tree) push(f *found, clusters uint32) {
	w.path = append(append(w.path[:f.level.path], '/'), f.name...)
	c := f.rec.cluster(w.fs.g.kind)
	l := &level{
		parent: w.fs.inodeAt(f.off), up: f.level.first, path: len(w.path),
		first: c, cluster: c, left: clusters - 1, dead: f.dead, origin: f.level.origin,
	}
	if f.dead && l.origin != inStray {
		l.origin = inDead
	}
	w.stack = append(w.stack, l)
}

// fetch gives the 32 bytes at an offset of the volume; nil where the image
// does not have them. They are valid until the next call.
func (w *tree) fetch(off int64) (raw, error) {
	if off < w.from || off+recordSize > w.from+int64(w.have) {
		if err := w.ctx.Err(); err != nil {
			return nil, err
		}
		if w.buf == nil {
			w.buf = make([]byte, window)
		}
		// Records never cross a window: both start at multiples of 32.
		n, err := readZero(w.fs.src, w.buf[:min(window, max(w.fs.g.cluster, 4096))], off)
		if err != nil {
			return nil, err
		}
		w.from, w.have = off, n
	}
	if off+recordSize > w.from+int64(w.have) {
		return nil, nil
	}
	return w.buf[off-w.from:][:recordSize], nil
}

// step gives the next record of a directory and its place; ok is false at the
// end.
func (w *tree) step(l *level) (r raw, off int64, ok bool, err error) {
	g := &w.fs.g
	for {
		size, start := g.cluster, g.rootStart
		if l.first == 0 {
			size = g.rootBytes
		} else {
			start = g.offset(l.cluster)
		}
		if l.at+recordSize <= size {
			off = start + l.at
			l.at += recordSize
			if r, err = w.fetch(off); err != nil || r != nil {
				return r, off, err == nil, err
			}
			l.at = size // past the end of the image
			continue
		}
		if l.first == 0 || l.left == 0 {
			return nil, 0, false, nil
		}
		l.left--
		l.at = 0
		if l.dead {
			l.cluster++
			continue
		}
		n, s, err := w.t.get(l.cluster)
		if err != nil || s != next {
			return nil, 0, false, err
		}
		l.cluster = n
	}
}

// next gives the next record of the round with its name: in the second round
// directories in use too, which are to be entered again.
func (w *tree) next(l *level) (*found, bool, error) {
	for {
		r, off, ok, err := w.step(l)
		if err != nil || !ok {
			return nil, false, err
		}
		switch {
		case r.end():
			l.parts = l.parts[:0]
			l.ended = true
			if l.dead {
				return nil, false, nil
			}
			continue
		case r.long():
			if len(l.parts) > maxParts {
				l.parts = append(l.parts[:0], l.parts[1:]...)
			}
			l.parts = append(l.parts, append(raw(nil), r...))
			continue
		}
		f := w.name(l, append(raw(nil), r...), off)
		l.parts = l.parts[:0]
		if f != nil && (f.dead == w.second || w.second && f.rec.dir()) {
			return f, true, nil
		}
	}
}

// name gives a record with its name; nil where it is none of anybody's: the
// label, "." and "..", and garbage where nothing vouches for it.
func (w *tree) name(l *level, r raw, off int64) *found {
	f := &found{rec: r, off: off, origin: l.origin, level: l, dead: l.dead || r.deleted()}
	if l.ended {
		f.origin, f.dead = inSlack, true
	}
	root := l.parent == rootInode && !l.dead
	switch {
	case (f.origin == inSlack || l.dead) && !r.plausible(&w.fs.g):
		return nil
	case w.dots(l, r):
		return nil
	case root && r.volume() && !r.dir() && r.cluster(w.fs.g.kind) == 0 && r.size() == 0:
		return nil
	}
	f.readName(l.parts)
	f.checkName()
	if f.origin == inSlack && !r.deleted() {
		f.hurt("range: it stands behind the end mark of its directory: some systems show it, some do not")
	}
	if r.volume() {
		f.hurt("range: it is marked as a label, and systems do not show it")
	}
	return f
}

// dots says whether r is the "." or ".." that begins a directory. Others of
// that name are given out: they may hide something.
func (w *tree) dots(l *level, r raw) bool {
	if l.parent == rootInode && !l.dead || l.cluster != l.first || l.at > 2*recordSize {
		return false
	}
	name := string(r[:11])
	if r.deleted() {
		name = "." + name[1:]
	}
	c := r.cluster(w.fs.g.kind)
	if l.at == recordSize {
		return name == ".          " && (c == l.first || l.dead && !r.deleted())
	}
	return name == "..         " && (c == l.up || c == 0 && l.up == w.fs.g.rootCluster || l.dead || l.origin == inLost)
}

// readName takes the long name where there is one that belongs to the record.
func (f *found) readName(parts []raw) {
	r, n := f.rec, len(parts)
	if r.deleted() {
		if long, ok := lostName(parts, r); ok {
			f.name = long
			return
		}
		f.name = r.short('_')
		f.hurt("partial: the first character of the name is lost and shown as _")
		return
	}
	f.name = r.short(r[0])
	if long, ok := longName(parts, r); ok {
		f.name = long
	} else if n > 0 && !parts[n-1].deleted() {
		f.hurt("csum: the long name before it does not belong to it")
	}
}

func (f *found) checkName() {
	for _, c := range []byte(f.name) {
		switch c {
		case '/':
			f.hurt("range: the name contains a slash")
			return
		case 0:
			f.hurt("range: the name contains a NUL")
			return
		}
	}
	if f.name == "" || f.name == "." || f.name == ".." {
		f.hurt(fmt.Sprintf("range: the name is %q", f.name))
	}
}

func (f *found) hurt(s string) {
	if f.damage != "" {
		f.damage += "; "
	}
	f.damage += s
}
