package acquire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"snapcase/evidence"

	"golang.org/x/sys/unix"
)

// deepest is how many folders may lie in one another; below it is a gap.
const deepest = 512

// item is one file of a source, or something there that is not copied.
type item struct {
	name  string // relative to the source, slashes, raw bytes
	size  int64
	mtime int64 // ns
	kind  string
	gap   string // why it is not copied; "" for a regular file
	link  string // target of a symbolic link
	harm  bool   // what is not copied would have had content
	// object is set for what lies in a bucket.
	object *evidence.Object
}

// originals is a source of files.
type originals interface {
	// items lists everything, by the bytes of the name.
	items(ctx context.Context) ([]item, error)
	open(it item) (original, error)
	// single says that the source is one file, not a folder.
	single() bool
	close()
}

// original is an open file of a source.
type original interface {
	io.ReaderAt
	io.Closer
	stat() (size, mtime int64, err error)
}

// file is an original of this host.
type file struct{ *os.File }

func (f file) stat() (size, mtime int64, err error) {
	st, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	return st.Size(), st.ModTime().UnixNano(), nil
}

// tree is an open source of files.
type tree struct {
	root  int    // of the folder
	alone string // the name in it of a source that is one file; "" for a folder
	as    string // the name that such a file was asked for by
}

// openTree opens a folder, or the folder of a single file.
func openTree(path string, api string) (*tree, error) {
	t := &tree{}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	if api == apiFile {
		t.alone, t.as = filepath.Base(real), filepath.Base(path)
		real = filepath.Dir(real)
		// The folder of a file need not be readable, only passable.
		t.root, err = unix.Open(real, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	} else {
		t.root, err = unix.Open(real, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: real, Err: err}
	}
	return t, nil
}

func (t *tree) close()       { _ = unix.Close(t.root) }
func (t *tree) single() bool { return t.alone != "" }

// items lists everything, by the bytes of the name. Nothing is followed.
func (t *tree) items(ctx context.Context) ([]item, error) {
	var all []item
	if t.alone != "" {
		it := statItem(t.root, t.alone)
		it.name = t.as
		return []item{it}, nil
	}
	err := walk(ctx, t.root, "", 0, func(it item) { all = append(all, it) })
	slices.SortFunc(all, func(a, b item) int { return strings.Compare(a.name, b.name) })
	return all, err
}

// walk yields what lies in the open folder dir.
func walk(ctx context.Context, dir int, prefix string, depth int, yield func(item)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	fail := func(err error) {
		yield(item{name: strings.TrimSuffix(prefix, "/"), kind: "folder", gap: errnoText(err), harm: true})
	}
	if depth > deepest {
		fail(fmt.Errorf("folders lie deeper than %d in one another", deepest))
		return nil
	}
	dup, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		fail(err)
		return nil
	}
	f := os.NewFile(uintptr(dup), prefix)
	names, err := f.Readdirnames(-1)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		fail(err)
	} else if len(names) == 0 && prefix != "" {
		yield(item{name: strings.TrimSuffix(prefix, "/"), kind: "folder", gap: "empty folder"})
	}
	for _, n := range names {
		it := statItem(dir, n)
		it.name = prefix + n
		if it.kind != "folder" || it.gap != "" {
			yield(it)
			continue
		}
		if err := walkInto(ctx, dir, n, it.name, depth, yield); err != nil {
			return err
		}
	}
	return nil
}

func walkInto(ctx context.Context, dir int, n, name string, depth int, yield func(item)) error {
	sub, err := unix.Openat(dir, n, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		yield(item{name: name, kind: "folder", gap: errnoText(err), harm: true})
		return nil
	}
	defer unix.Close(sub) //nolint:errcheck // read-only
	return walk(ctx, sub, name+"/", depth+1, yield)
}

// statItem says what n in dir is.
func statItem(dir int, n string) item {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, n, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return item{kind: "unknown", gap: errnoText(err), harm: true}
	}
	it := item{size: st.Size, mtime: st.Mtim.Nano()}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		it.kind = "file"
	case unix.S_IFDIR:
		it.kind = "folder"
	case unix.S_IFLNK:
		it.kind, it.gap, it.harm = "symlink", "symbolic link, not followed", true
		b := make([]byte, unix.PathMax)
		if n, err := unix.Readlinkat(dir, n, b); err == nil {
			it.link = string(b[:n])
		}
	case unix.S_IFBLK, unix.S_IFCHR:
		it.kind, it.gap, it.harm = "device", "device, not opened", true
	case unix.S_IFIFO:
		it.kind, it.gap, it.harm = "pipe", "pipe, not opened", true
	default:
		it.kind, it.gap, it.harm = "socket", "socket, not opened", true
	}
	return it
}

// open opens a regular file of the tree.
func (t *tree) open(it item) (original, error) {
	f, err := t.openName(it.name)
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

// openName opens a regular file of the tree, following no link on the way.
func (t *tree) openName(name string) (*os.File, error) {
	parts := strings.Split(name, "/")
	if t.alone != "" {
		parts = []string{t.alone}
	}
	dir := t.root
	defer func() {
		if dir != t.root {
			_ = unix.Close(dir)
		}
	}()
	for _, p := range parts[:len(parts)-1] {
		sub, err := unix.Openat(dir, p, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		if dir != t.root {
			_ = unix.Close(dir)
		}
		dir = sub
	}
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	last := parts[len(parts)-1]
	fd, err := unix.Openat(dir, last, flags|unix.O_NOATIME, 0)
	if errors.Is(err, unix.EPERM) {
		fd, err = unix.Openat(dir, last, flags, 0)
	}
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errors.Join(err, unix.Close(fd), errors.New("it is no regular file any more"))
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), name), nil
}
