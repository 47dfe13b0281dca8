package squashfs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// errEnough ends a walk whose consumer has left.
var errEnough = errors.New("enough")

const maxPath = 32 << 10 // bytes: what lies deeper is not entered

// Walk yields the root and all that directories lead to, then the inodes that
// none does. Two walks give the same.
func (fs *FS) Walk(ctx context.Context) iter.Seq2[filesystem.Entry, error] {
	return func(yield func(filesystem.Entry, error) bool) {
		w := fs.walker(ctx)
		w.give = func(e filesystem.Entry, _ *inode) error {
			if !yield(e, nil) {
				return errEnough
			}
			return nil
		}
		if err := w.run(); err != nil && !errors.Is(err, errEnough) { // damage too: it ended the search for orphans
			yield(filesystem.Entry{}, fmt.Errorf("walk squashfs: %w", err))
		}
	}
}

// walker goes through directories.
type walker struct {
	fs    *FS
	ctx   context.Context
	seen  map[uint64]bool // places of inodes that were given
	lists map[uint64]bool // places of the lists of directories
	stack []*level
	path  []byte
	count int
	give  func(filesystem.Entry, *inode) error
}

func (fs *FS) walker(ctx context.Context) *walker {
	return &walker{fs: fs, ctx: ctx, seen: map[uint64]bool{}, lists: map[uint64]bool{}}
}

// level is a directory on the way down.
type level struct {
	number uint64
	path   int
	list   *cursor
	left   int64 // bytes of the list
	run    int   // entries left behind the current head
	piece  uint32
	base   uint32 // the number that the entries count from
}

func (w *walker) run() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	root, err := w.fs.inodeAt(w.fs.sb.root)
	switch {
	case err != nil && !isDamage(err):
		return err
	case err != nil:
		e := filesystem.Entry{Path: "/", Type: filesystem.TypeDir, Mode: 0o40000, Damage: reason(err), First: -1}
		if err := w.give(e, nil); err != nil {
			return err
		}
	default:
		enter, why, err := w.enters(root, "/")
		if err != nil {
			return err
		}
		if err := w.entry(root, 0, "/", also(root.damage, why)); err != nil {
			return err
		}
		if enter {
			w.stack = append(w.stack, w.level(root, 0))
			if err := w.descend(); err != nil {
				return err
			}
		}
	}
	return w.orphans()
}

func (w *walker) level(in *inode, path int) *level {
	l := &level{number: uint64(in.number), path: path, left: int64(in.size) - 3}
	l.list = w.fs.cursor(w.fs.sb.dirTable, w.dirEnd(), in.start, int(in.offset))
	return l
}

// dirEnd is where the table of directories ends: at the next one.
func (w *walker) dirEnd() uint64 {
	end := w.fs.sb.used
	for _, t := range []uint64{w.fs.sb.fragTable, w.fs.sb.exportTable, w.fs.sb.idTable, w.fs.sb.xattrTable} {
		if t > w.fs.sb.dirTable && t < end {
			end = t
		}
	}
	return end
}

// enters says whether what a directory lists is to be read, and what is wrong
// with the list. An error is a failure of the source.
func (w *walker) enters(in *inode, path string) (enter bool, why string, err error) {
	place := in.start<<16 | uint64(in.offset)
	switch {
	case in.kind != filesystem.TypeDir || in.size <= 3:
		return false, "", nil
	case w.lists[place]:
		return false, "loop: its list was read already, as that of another directory", nil
	case len(path) > maxPath:
		return false, "range: its path is too long: what lies in it is not listed", nil
	}
	w.lists[place] = true
	for l, n := w.level(in, 0), 0; ; n++ {
		if n%256 == 0 && w.ctx.Err() != nil {
			return false, "", w.ctx.Err()
		}
		name, _, _, err := w.next(l)
		switch {
		case err != nil && !isDamage(err):
			return false, "", err
		case err != nil:
			return true, fmt.Sprintf("%s: its list ends behind %d entries", reason(err), n), nil
		case name == "" && (l.left < 0 || l.run > 0):
			return true, "range: the entries of its list are longer than its size", nil
		case name == "":
			return true, "", nil
		}
	}
}

// descend empties the stack.
func (w *walker) descend() error {
	for len(w.stack) > 0 {
		l := w.stack[len(w.stack)-1]
		w.path = w.path[:l.path]
		if w.count++; w.count%256 == 0 && w.ctx.Err() != nil {
			return w.ctx.Err()
		}
		name, ref, number, err := w.next(l)
		switch {
		case err != nil && !isDamage(err):
			return err
		case err != nil || name == "": // of damage the entry of the directory tells
			w.stack = w.stack[:len(w.stack)-1]
			continue
		}
		if err := w.visit(l, name, ref, number); err != nil {
			return err
		}
	}
	return nil
}

// next gives the next entry of a directory; the name is empty at its end.
func (w *walker) next(l *level) (name string, ref uint64, number uint32, err error) {
	h := make([]byte, 12)
	if l.left <= 0 {
		return "", 0, 0, nil
	}
	if l.run == 0 {
		if err := l.list.read(h); err != nil {
			return "", 0, 0, err
		}
		count := le.Uint32(h)
		if count > 255 {
			return "", 0, 0, bad(l.list.at, "a head of %d entries", uint64(count)+1)
		}
		l.run, l.piece, l.base = int(count)+1, le.Uint32(h[4:]), le.Uint32(h[8:])
		l.left -= 12
	}
	if err := l.list.read(h[:8]); err != nil {
		return "", 0, 0, err
	}
	b := make([]byte, int(le.Uint16(h[6:]))+1)
	if len(b) > 256 {
		return "", 0, 0, bad(l.list.at, "a name of %d bytes", len(b))
	}
	if err := l.list.read(b); err != nil {
		return "", 0, 0, err
	}
	l.run--
	l.left -= int64(8 + len(b))                              // the last one may go over the size, as in the kernel
	number = l.base + uint32(int32(int16(le.Uint16(h[2:])))) //nolint:gosec // the format's own sign
	return string(b), uint64(l.piece)<<16 | uint64(le.Uint16(h)), number, nil
}

// visit gives out one entry, and enters it where it is a directory.
func (w *walker) visit(l *level, name string, ref uint64, number uint32) error {
	path := string(w.path) + "/" + name
	in, err := w.fs.inodeAt(ref)
	if err != nil {
		if !isDamage(err) {
			return err
		}
		e := filesystem.Entry{
			Ref: filesystem.Ref{Inode: uint64(number), Stream: streamOf(ref)}, Parent: l.number, Path: path, Damage: also(reason(err), strange(name)), First: -1,
		}
		return w.give(e, nil)
	}
	damage := also(in.damage, strange(name))
	if in.number != number {
		damage = also(damage, fmt.Sprintf("range: its directory says that its inode is %d", number))
	}
	enter, why, err := w.enters(in, path)
	if err != nil {
		return err
	}
	if err := w.entry(in, l.number, path, also(damage, why)); err != nil || !enter {
		return err
	}
	w.path = append(w.path[:l.path], path[l.path:]...)
	w.stack = append(w.stack, w.level(in, len(w.path)))
	return nil
}

// entry gives out an inode under a path.
func (w *walker) entry(in *inode, parent uint64, path, damage string) error {
	e := filesystem.Entry{
		Ref: filesystem.Ref{Inode: uint64(in.number)}, Parent: parent, Path: path, Type: in.kind, Mode: in.mode, UID: in.uid, GID: in.gid,
		Links: in.links, Size: int64(in.size), Modified: imaging.Time{Sec: int64(in.mtime), Set: true}, Link: in.link, Rdev: in.rdev,
		Damage: damage, First: -1,
	}
	if in.kind == filesystem.TypeDir {
		e.Size = max(0, e.Size-3)
	}
	at, err := w.fs.locate(in.number)
	if err != nil && !isDamage(err) {
		return err
	}
	if err != nil || at != in.at {
		e.Ref.Stream = streamOf(in.at)
	}
	if in.kind == filesystem.TypeFile && in.size > 0 {
		if err := w.place(&e, in); err != nil {
			return err
		}
	}
	w.seen[in.at] = true
	return w.give(e, in)
}

// place says where the content of a file starts, and whether the image has it.
func (w *walker) place(e *filesystem.Entry, in *inode) error {
	first := stored{at: int64(min(in.start, 1<<61))}
	if in.fragment != none && in.size < uint64(w.fs.sb.block) {
		var err error
		if first, err = w.fs.fragment(in.fragment); err != nil {
			if isDamage(err) {
				e.Damage = also(e.Damage, reason(err))
				return nil
			}
			return err
		}
	}
	if e.First = first.at; e.First+first.length() > w.fs.src.Size() || e.First == w.fs.src.Size() {
		e.Damage = also(e.Damage, "truncated: its blocks lie past the end of the image")
		e.First = -1
	}
	return nil
}

// orphans gives the inodes of the table that nothing led to. Damage ends the
// search, since the table cannot be followed behind it, and is the error.
func (w *walker) orphans() error {
	err := w.fs.scanInodes(func(in *inode) error {
		if w.count++; w.count%256 == 0 && w.ctx.Err() != nil {
			return w.ctx.Err()
		}
		if w.seen[in.at] {
			return nil
		}
		n := uint64(in.number)
		e := filesystem.Entry{
			Ref: filesystem.Ref{Inode: n, Stream: streamOf(in.at)}, Path: "/$Orphan/#" + strconv.FormatUint(n, 10), Type: in.kind, Mode: in.mode,
			UID: in.uid, GID: in.gid, Links: in.links, Size: int64(in.size), Modified: imaging.Time{Sec: int64(in.mtime), Set: true},
			Link: in.link, Rdev: in.rdev, Damage: in.damage, First: -1, Status: filesystem.Orphan, From: "inode",
		}
		if in.kind == filesystem.TypeDir {
			e.Size = 0
		}
		return w.give(e, in)
	})
	if isDamage(err) {
		return fmt.Errorf("inodes that no directory leads to were searched up to here: %w", err)
	}
	return err
}

// strange says what a name has that no system writes.
func strange(name string) string {
	switch {
	case name == "." || name == "..":
		return fmt.Sprintf("range: the name is %q", name)
	case strings.Contains(name, "/"):
		return "range: the name contains a slash"
	case strings.Contains(name, "\x00"):
		return "range: the name contains a NUL"
	}
	return ""
}
