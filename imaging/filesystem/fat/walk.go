package fat

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"snapcase/imaging/filesystem"
)

const (
	maxDepth   = 128
	maxDirSize = 64 << 20 // bytes of a folder: the kernel takes 2 MiB
)

var errEnough = errors.New("the caller has enough")

// Walk yields the root, then folder by folder what the records say, deleted
// ones included, each folder's content behind it.
func (fs *FS) Walk(ctx context.Context) iter.Seq2[filesystem.Entry, error] {
	return func(yield func(filesystem.Entry, error) bool) {
		w := &walker{fs: fs, ctx: ctx, yield: yield, seen: map[uint32]bool{}}
		if err := w.root(); err != nil && !errors.Is(err, errEnough) {
			yield(filesystem.Entry{}, fmt.Errorf("walk fat: %w", err))
		}
	}
}

type walker struct {
	fs    *FS
	ctx   context.Context
	yield func(filesystem.Entry, error) bool
	seen  map[uint32]bool // first clusters of folders
	see   func(e *filesystem.Entry, c *Content) error
}

func (w *walker) give(e *filesystem.Entry, c *Content) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if w.see != nil {
		return w.see(e, c)
	}
	if !w.yield(*e, nil) {
		return errEnough
	}
	return nil
}

func (w *walker) root() error {
	c, err := w.fs.rootContent()
	if err != nil {
		return err
	}
	e := filesystem.Entry{Ref: filesystem.Ref{Inode: rootInode}, Path: "/", Type: filesystem.TypeDir, Mode: 0o040755, Links: 1, Size: c.size, Damage: c.damage, First: c.first()}
	if w.fs.width == 32 {
		w.seen[w.fs.rootClus] = true
	}
	if err := w.give(&e, c); err != nil {
		return err
	}
	return w.folder(c, "", rootInode, 0)
}

// first is where the content begins in the volume, -1 for nowhere.
func (c *Content) first() int64 {
	switch {
	case c.flat >= 0:
		return c.flat
	case len(c.pieces) > 0:
		return c.fs.offset(c.pieces[0].start)
	}
	return -1
}

// place is where a byte of the content lies in the volume.
func (c *Content) place(off int64) int64 {
	if c.flat >= 0 {
		return c.flat + off
	}
	for i, p := range c.pieces {
		if in := off - c.starts[i]; in < int64(p.n)*c.fs.cluster {
			return c.fs.offset(p.start) + in
		}
	}
	return -1
}

func (w *walker) folder(c *Content, path string, inode uint64, depth int) error {
	type sub struct {
		c     *Content
		path  string
		inode uint64
	}
	var below []sub
	var long longName
	buf := make([]byte, min(c.size, 32<<10))
	for off := int64(0); off < min(c.size, maxDirSize); off += int64(len(buf)) {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		n := int(min(int64(len(buf)), c.size-off))
		if _, err := c.ReadAt(buf[:n], off); err != nil && n == 0 {
			return err
		}
		for at := 0; at+recordSize <= n; at += recordSize {
			r := buf[at : at+recordSize]
			if r[0] == 0 {
				off = maxDirSize
				break
			}
			if r[11]&attrMask == attrLong {
				long.part(r)
				continue
			}
			name := long.of(r)
			long = longName{}
			if r[11]&attrLabel != 0 || name == "." || name == ".." || r[0] == '.' || r[0] == deletedMark && !plausible(r) {
				continue
			}
			e, content, err := w.entry(r, c.place(off+int64(at)), path+"/"+name, inode)
			if err != nil {
				return err
			}
			first := w.fs.firstCluster(r)
			if dir := e.Type == filesystem.TypeDir && e.Status == filesystem.Allocated; dir && (w.seen[first] || depth >= maxDepth) {
				e.Damage = "loop: another folder has the same clusters"
				if depth >= maxDepth {
					e.Damage = fmt.Sprintf("loop: more than %d folders deep", maxDepth)
				}
			} else if dir {
				w.seen[first] = true
				below = append(below, sub{content, e.Path, e.Ref.Inode})
			}
			if err := w.give(&e, content); err != nil {
				return err
			}
		}
	}
	for _, s := range below {
		if err := w.folder(s.c, s.path, s.inode, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// plausible says whether a deleted record looks like one at all.
func plausible(r []byte) bool {
	if r[11]&0xc0 != 0 || r[11]&attrDir != 0 && le.Uint32(r[28:]) != 0 {
		return false
	}
	for _, c := range r[1:11] {
		if c < 0x20 || strings.IndexByte(`"*+,./:;<=>?[\]|`, c) >= 0 {
			return false
		}
	}
	return le.Uint16(r[24:]) == 0 || moment(le.Uint16(r[24:]), le.Uint16(r[22:]), 0).Set
}

func (w *walker) entry(r []byte, at int64, path string, parent uint64) (filesystem.Entry, *Content, error) {
	e := filesystem.Entry{
		Ref: filesystem.Ref{Inode: w.fs.inode(at)}, Parent: parent, Path: path, Type: filesystem.TypeFile, Mode: 0o100755, Links: 1, Size: int64(le.Uint32(r[28:])),
		Modified: moment(le.Uint16(r[24:]), le.Uint16(r[22:]), 0), Accessed: moment(le.Uint16(r[18:]), 0, 0), Born: moment(le.Uint16(r[16:]), le.Uint16(r[14:]), r[13]),
	}
	if r[11]&attrReadOnly != 0 {
		e.Mode = 0o100555
	}
	c, err := w.fs.contentOf(r)
	if err != nil {
		return e, nil, err
	}
	if r[11]&attrDir != 0 {
		e.Type, e.Mode, e.Size = filesystem.TypeDir, 0o040755, c.size
	}
	if r[0] == deletedMark {
		e.Status, e.From, e.Links = filesystem.Deleted, "dir-record", 0
	}
	e.Damage, e.First = c.damage, c.first()
	return e, c, nil
}

// Extents yields the tables, what files and folders claim, and what the FAT
// says is free.
func (fs *FS) Extents(ctx context.Context) iter.Seq2[filesystem.Extent, error] {
	return func(yield func(filesystem.Extent, error) bool) {
		limit := min(fs.size, fs.src.Size())
		give := func(x filesystem.Extent) error {
			if x.Length = min(x.Length, limit-x.Start); x.Length <= 0 {
				return nil
			}
			if !yield(x, nil) {
				return errEnough
			}
			return nil
		}
		w := &walker{fs: fs, ctx: ctx, seen: map[uint32]bool{}, see: func(e *filesystem.Entry, c *Content) error {
			x := filesystem.Extent{Kind: filesystem.OwnContent, Ref: e.Ref, Size: c.size, Status: e.Status}
			if e.Type == filesystem.TypeDir {
				x.Kind = filesystem.OwnDir
			}
			if c.flat >= 0 {
				x.Start, x.Length = c.flat, c.size
				return give(x)
			}
			for i, p := range c.pieces {
				x.Start, x.Length, x.FileOffset = fs.offset(p.start), int64(p.n)*fs.cluster, c.starts[i]
				if err := give(x); err != nil {
					return err
				}
			}
			return nil
		}}
		err := give(filesystem.Extent{Start: 0, Length: fs.rootAt, Kind: filesystem.OwnMeta})
		if err == nil {
			err = w.root()
		}
		if err == nil {
			err = fs.freeExtents(ctx, give)
		}
		if err != nil && !errors.Is(err, errEnough) {
			yield(filesystem.Extent{}, fmt.Errorf("extents of fat: %w", err))
		}
	}
}

func (fs *FS) freeExtents(ctx context.Context, give func(filesystem.Extent) error) error {
	start := uint32(0) // of the run of free clusters under way, 0: none
	flush := func(end uint32) error {
		if start == 0 {
			return nil
		}
		x := filesystem.Extent{Start: fs.offset(start), Length: int64(end-start) * fs.cluster, Kind: filesystem.OwnFree}
		start = 0
		return give(x)
	}
	for c := uint32(2); c-2 < fs.clusters; c++ {
		if c%65536 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		v, err := fs.next(c)
		if err != nil {
			return err
		}
		if v == 0 && start == 0 {
			start = c
		} else if v != 0 {
			if err := flush(c); err != nil {
				return err
			}
		}
	}
	return flush(fs.clusters + 2)
}
