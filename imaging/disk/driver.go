package disk

import (
	"context"
	"fmt"
	"iter"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/exfat"
	"snapcase/imaging/filesystem/ext4"
	"snapcase/imaging/filesystem/fat"
	"snapcase/imaging/filesystem/iso9660"
	"snapcase/imaging/filesystem/ntfs"
	"snapcase/imaging/filesystem/squashfs"
	"snapcase/imaging/filesystem/xfs"
)

// driver is a reader of file systems.
type driver struct {
	name  string
	probe func(imaging.Source) bool
	open  func(imaging.Source) (filesystem.FileSystem, error)
}

// drivers gives the readers in the order in which they are asked: those with
// the strictest superblock first.
func drivers() []driver {
	return []driver{
		{"xfs", xfs.Probe, opened(xfs.Open)},
		{"ext4", ext4.Probe, opened(ext4.Open)},
		{"ntfs", ntfs.Probe, opened(ntfs.Open)},
		{"fat", fat.Probe, opened(fat.Open)},
		{"exfat", exfat.Probe, opened(exfat.Open)},
		{"iso9660", iso9660.Probe, opened(iso9660.Open)},
		{"squashfs", squashfs.Probe, opened(squashfs.Open)},
	}
}

// opened turns the Open of a package, which gives its own type, into that of
// a driver.
func opened[F filesystem.FileSystem](open func(imaging.Source) (F, error)) func(imaging.Source) (filesystem.FileSystem, error) {
	return func(src imaging.Source) (filesystem.FileSystem, error) {
		f, err := open(src)
		if err != nil {
			return nil, err
		}
		return f, nil
	}
}

// try asks a driver. ok is false where the volume is not of its kind; an error
// says why it could not be opened all the same. A panic is an error.
func (d driver) try(src imaging.Source) (fs filesystem.FileSystem, ok bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			fs, ok, err = nil, true, crashed(d.name, r)
		}
	}()
	if !d.probe(src) {
		return nil, false, nil
	}
	if fs, err = d.open(src); err != nil {
		return nil, true, err
	}
	g := &guard{fs: fs, name: d.name, info: fs.Info()}
	if m, is := fs.(filesystem.Mapper); is {
		return &mapGuard{guard: g, m: m}, true, nil
	}
	return g, true, nil
}

// crash is the panic of a reader.
type crash struct {
	name  string
	cause any
}

func (c *crash) Error() string {
	return fmt.Sprintf("the %s reader failed on these bytes: %v", c.name, c.cause)
}

func crashed(name string, cause any) error { return &crash{name, cause} }

// guard turns the panics of a reader into errors.
type guard struct {
	fs   filesystem.FileSystem
	name string
	info filesystem.Info
}

// mapGuard is a guard of a reader that has an owner map.
type mapGuard struct {
	*guard
	m filesystem.Mapper
}

func (g *guard) Info() filesystem.Info { return g.info }

func (g *guard) Walk(ctx context.Context) iter.Seq2[filesystem.Entry, error] {
	return guarded(g.name, func() iter.Seq2[filesystem.Entry, error] { return g.fs.Walk(ctx) })
}

func (g *mapGuard) Extents(ctx context.Context) iter.Seq2[filesystem.Extent, error] {
	return guarded(g.name, func() iter.Seq2[filesystem.Extent, error] { return g.m.Extents(ctx) })
}

// Changes yields nothing where the reader knows of no change journal.
func (g *guard) Changes(ctx context.Context) iter.Seq2[filesystem.Change, error] {
	return guarded(g.name, func() iter.Seq2[filesystem.Change, error] {
		if c, ok := g.fs.(filesystem.Changer); ok {
			return c.Changes(ctx)
		}
		return func(func(filesystem.Change, error) bool) {}
	})
}

// guarded yields what seq does and a panic of seq as a last error. A panic of
// the consumer is the consumer's.
func guarded[T any](name string, seq func() iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		consumer, done := false, false
		defer func() {
			if consumer {
				return
			}
			if r := recover(); r != nil && !done {
				var none T
				yield(none, crashed(name, r))
			}
		}()
		seq()(func(v T, err error) bool {
			if done {
				return false
			}
			consumer = true
			done = !yield(v, err)
			consumer = false
			return !done
		})
	}
}

func (g *guard) Open(ref filesystem.Ref) (src imaging.Source, err error) {
	defer func() {
		if r := recover(); r != nil {
			src, err = nil, crashed(g.name, r)
		}
	}()
	if src, err = g.fs.Open(ref); err != nil {
		return nil, err
	}
	return &content{src: src, name: g.name, size: src.Size()}, nil
}

// Attributes gives none where the reader knows of none.
func (g *guard) Attributes(ref filesystem.Ref) (list []filesystem.Attribute, damage string, err error) {
	defer func() {
		if r := recover(); r != nil {
			list, damage, err = nil, "", crashed(g.name, r)
		}
	}()
	if a, ok := g.fs.(filesystem.Attributer); ok {
		return a.Attributes(ref)
	}
	return nil, "", nil
}

// FileNames gives none where the reader knows of none.
func (g *guard) FileNames(ref filesystem.Ref) (list []filesystem.FileName, err error) {
	defer func() {
		if r := recover(); r != nil {
			list, err = nil, crashed(g.name, r)
		}
	}()
	if n, ok := g.fs.(filesystem.FileNamer); ok {
		return n.FileNames(ref)
	}
	return nil, nil
}

// content is the content of a file, guarded.
type content struct {
	src  imaging.Source
	name string
	size int64
}

func (c *content) Size() int64 { return c.size }

func (c *content) ReadAt(p []byte, off int64) (n int, err error) {
	defer func() {
		if r := recover(); r != nil {
			n, err = 0, crashed(c.name, r)
		}
	}()
	return c.src.ReadAt(p, off)
}

// Damage is what is wrong with the content in the words of Entry.Damage; ""
// when nothing is, or when the reader does not say.
func (c *content) Damage() string {
	if d, ok := c.src.(interface{ Damage() string }); ok {
		return d.Damage()
	}
	return ""
}
