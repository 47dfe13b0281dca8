package exfat

import (
	"context"
)

// origin is where a record was found.
type origin uint8

const (
	inDir   origin = iota // in a directory in use
	inSlack               // behind the end mark of one
	inDead                // in a deleted directory
	inStray               // in free clusters that begin like a directory
	inLost                // in clusters in use that do, and that nothing leads to
)

// level is a directory on the way down.
type level struct {
	parent uint64 // its number
	path   int    // how much of tree.path is its own
	runs   []run  // what is left of its clusters, the current one first
	at     int64  // of the next record in that cluster
	dead   bool
	ended  bool // its end mark was met
	origin origin
	held   []byte // a record that was read one too many
	heldAt int64
}

// found is a set with its place.
type found struct {
	recordSet
	off    int64 // of its first record
	behind bool  // its second record lies in the cluster behind
	dead   bool  // the set, or its directory, is not in use
	origin origin
	level  *level
	name   string
	damage string
}

const (
	window  = 32 << 10
	maxPath = 32 << 10 // bytes: what lies deeper is not entered
)

// tree goes through directories. It is for one goroutine.
type tree struct {
	fs     *FS
	ctx    context.Context
	t      *table
	second bool // the round of what is not in use
	// visit takes a set and gives the clusters of a directory to enter.
	visit func(f *found) ([]run, error)
	stack []*level
	path  []byte
	buf   []byte
	from  int64 // what buf holds
	have  int
}

// walk goes through a directory and those in it.
func (w *tree) walk(l level, path string, second bool) error {
	w.second = second
	w.path = append(w.path[:0], path...)
	l.path = len(w.path)
	w.stack = append(w.stack[:0], &l)
	for len(w.stack) > 0 {
		top := w.stack[len(w.stack)-1]
		w.path = w.path[:top.path]
		f, err := w.next(top)
		if err != nil {
			return err
		}
		if f == nil {
			w.stack = w.stack[:len(w.stack)-1]
			continue
		}
		enter, err := w.visit(f)
		if err != nil {
			return err
		}
		if len(enter) > 0 {
			w.push(f, enter)
		}
	}
	return nil
}

// push enters a directory.
func (w *tree) push(f *found, runs []run) {
	w.path = append(append(w.path[:f.level.path], '/'), f.name...)
	l := &level{parent: w.fs.inodeAt(f.off), path: len(w.path), runs: runs, dead: f.dead, origin: f.level.origin}
	if f.dead && l.origin != inStray {
		l.origin = inDead
	}
	w.stack = append(w.stack, l)
}

// fetch gives the record at an offset of the volume; nil where the image does
// not have it. It is valid until the next call.
func (w *tree) fetch(off int64) ([]byte, error) {
	if off < w.from || off+recordSize > w.from+int64(w.have) {
		if err := w.ctx.Err(); err != nil {
			return nil, err
		}
		if w.buf == nil {
			w.buf = make([]byte, window)
		}
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

// step gives a copy of the next record of a directory and its place; nil at
// the end.
func (w *tree) step(l *level) ([]byte, int64, error) {
	if r := l.held; r != nil {
		l.held = nil
		return r, l.heldAt, nil
	}
	g := &w.fs.g
	for len(l.runs) > 0 {
		if l.at+recordSize > g.cluster {
			l.at = 0
			if l.runs[0].n--; l.runs[0].n > 0 {
				l.runs[0].first++
			} else {
				l.runs = l.runs[1:]
			}
			continue
		}
		off := g.offset(l.runs[0].first) + l.at
		r, err := w.fetch(off)
		if err != nil {
			return nil, 0, err
		}
		if r == nil { // past the end of the image
			l.at = g.cluster
			continue
		}
		l.at += recordSize
		return append([]byte(nil), r...), off, nil
	}
	return nil, 0, nil
}

// next gives the next set of the round, in the second round directories in use
// too, which are to be entered again; nil at the end of the directory.
func (w *tree) next(l *level) (*found, error) {
	for {
		r, off, err := w.step(l)
		if err != nil || r == nil {
			return nil, err
		}
		kind := r[0] &^ inUse
		switch {
		case r[0] == 0:
			l.ended = true
			continue
		case kind == typeFile, kind == typeStream, kind == typeName:
		default:
			continue // the label, the bitmap, what belongs to another set
		}
		f, err := w.gather(l, r, off)
		if err != nil {
			return nil, err
		}
		// Nothing but its checksum vouches for what no system would show.
		if (f.origin != inDir && f.origin != inLost) && !f.sound {
			continue
		}
		if f.dead == w.second || w.second && f.dir() {
			return f, nil
		}
	}
}

// gather reads the rest of a set, whose first record is given.
func (w *tree) gather(l *level, r []byte, off int64) (*found, error) {
	f := &found{off: off, origin: l.origin, level: l}
	if l.ended && !l.dead {
		f.origin = inSlack
	}
	list, headed, more := [][]byte{r}, r[0]&^inUse == typeFile, 0
	switch r[0] &^ inUse {
	case typeFile:
		more = int(r[1])
	case typeStream:
		more = (int(r[3]) + nameUnits - 1) / nameUnits
	}
	for len(list) <= more {
		q, at, err := w.step(l)
		if err != nil {
			return nil, err
		}
		if q == nil {
			break
		}
		kind := q[0] &^ inUse
		if q[0] == 0 || kind&secondary == 0 || q[0]&inUse != r[0]&inUse ||
			!headed && kind != typeName || kind == typeStream && len(list) > 1 {
			l.held, l.heldAt = q, at
			break
		}
		c := w.fs.g.clusterAt(off)
		f.behind = f.behind || len(list) == 1 && w.fs.g.clusterAt(at) == c+1
		list = append(list, q)
	}
	f.recordSet = newRecordSet(list)
	f.dead = f.recordSet.dead || l.dead || f.origin == inSlack || f.head == nil
	w.describe(f)
	return f, nil
}

// describe gives a set its name and says what is wrong with it.
func (w *tree) describe(f *found) {
	f.name, f.damage = f.recordSet.name()
	switch {
	case f.head == nil && f.stream == nil:
		f.damage = also("partial: only a piece of its name is left", f.damage)
	case f.head == nil:
		f.damage = also("partial: the record of its times and attributes was overwritten", f.damage)
	case f.stream == nil:
		f.damage = also("partial: the record of its size and place was overwritten", f.damage)
	case !f.whole:
		f.damage = also("partial: some of its records were overwritten", f.damage)
	case !f.sound:
		f.damage = also("csum: the checksum of its records is wrong", f.damage)
	}
	if f.name == "" {
		f.name = nameOf(w.fs.inodeAt(f.off))
		f.damage = also(f.damage, "partial: its name is lost")
	}
	f.damage = also(f.damage, strange(f.name))
	if f.origin == inSlack && !f.recordSet.dead {
		f.damage = also(f.damage, "range: it stands behind the end mark of its directory: some systems show it, some do not")
	} else if f.origin == inDir && f.head == nil && !f.recordSet.dead {
		f.damage = also(f.damage, "range: it is marked as in use, and systems do not show it")
	}
}
