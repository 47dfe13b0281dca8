package squashfs

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"snapcase/imaging/filesystem"
)

// Extents yields who owns which bytes: the superblock and the tables, then the
// blocks of files. The bytes are those of compressed blocks: FileOffset is
// where the block stands in the content, and Size is such that none of it
// counts as slack. A fragment is claimed by each file that has its end there.
// What lies behind the tables has no owner.
func (fs *FS) Extents(ctx context.Context) iter.Seq2[filesystem.Extent, error] {
	return func(yield func(filesystem.Extent, error) bool) {
		o := &owners{fs: fs, yield: yield, given: map[uint64]bool{}}
		w := fs.walker(ctx)
		w.give = o.entry
		if err := o.run(w); err != nil && !errors.Is(err, errEnough) {
			yield(filesystem.Extent{}, fmt.Errorf("extents of squashfs: %w", err))
		}
	}
}

// owners turns entries into extents.
type owners struct {
	fs    *FS
	yield func(filesystem.Extent, error) bool
	given map[uint64]bool // places of inodes: each has its blocks once
	count int             // blocks of files that were read
}

// ownedMost bounds the blocks of all files together. Forged inodes may lie over
// one another, and each reads the lists of all behind it.
const ownedMost = 1 << 26

func (o *owners) run(w *walker) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	sb := &o.fs.sb
	for _, x := range [][2]uint64{{0, superSize}, {sb.inodeTable, sb.used}} {
		x := filesystem.Extent{Start: int64(x[0]), Length: int64(x[1] - x[0]), Kind: filesystem.OwnMeta}
		if err := o.put(x); err != nil {
			return err
		}
	}
	return w.run()
}

// put gives an extent, cut to the image.
func (o *owners) put(x filesystem.Extent) error {
	if x.Start >= o.fs.src.Size() || x.Length <= 0 {
		return nil
	}
	x.Length = min(x.Length, o.fs.src.Size()-x.Start)
	if !o.yield(x, nil) {
		return errEnough
	}
	return nil
}

// entry gives the blocks of a file, once for all its names.
func (o *owners) entry(e filesystem.Entry, in *inode) error {
	if in == nil || in.kind != filesystem.TypeFile || in.size == 0 || o.given[in.at] {
		return nil
	}
	o.given[in.at] = true
	again, err := o.fs.inodeAt(in.at) // the walk may have read its list of blocks
	if err != nil {
		return err
	}
	c, err := o.fs.content(again)
	if err != nil {
		if isDamage(err) {
			return nil // the walk and Open tell
		}
		return err
	}
	if o.count += len(c.list); o.count > ownedMost {
		return bad(int64(o.fs.sb.inodeTable), "its files have more than %d blocks", ownedMost)
	}
	block := int64(o.fs.sb.block)
	for i, s := range append(c.list, c.tail) {
		x := filesystem.Extent{
			Start: s.at, Length: s.length(), Kind: filesystem.OwnContent, Ref: e.Ref, FileOffset: int64(i) * block,
			Size: max(e.Size, int64(i)*block+s.length()),
		}
		if err := o.put(x); err != nil {
			return err
		}
	}
	return nil
}
