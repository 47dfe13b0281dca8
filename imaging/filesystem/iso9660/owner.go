package iso9660

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"snapcase/imaging/filesystem"
)

// Extents yields who owns which bytes: the system area and the descriptors, the
// path tables and the boot catalog, then directories, files and boot images of
// all trees. There is no list of free blocks: what has no owner is used by
// nothing that is known here, such as what stands between the files and padding
// at the end.
func (fs *FS) Extents(ctx context.Context) iter.Seq2[filesystem.Extent, error] {
	return func(yield func(filesystem.Extent, error) bool) {
		o := &owners{fs: fs, yield: yield}
		w := &walker{fs: fs, ctx: ctx, give: o.entry}
		if err := o.run(w); err != nil && !errors.Is(err, errEnough) {
			yield(filesystem.Extent{}, fmt.Errorf("extents of iso9660: %w", err))
		}
	}
}

// owners turns entries into extents.
type owners struct {
	fs    *FS
	yield func(filesystem.Extent, error) bool
}

func (o *owners) run(w *walker) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if err := o.put(filesystem.Extent{Length: firstDescriptor, Kind: filesystem.OwnMeta}); err != nil {
		return err
	}
	for _, t := range o.fs.trees {
		if err := o.tables(t.root - 156); err != nil {
			return err
		}
	}
	for _, b := range o.fs.boot[:min(1, len(o.fs.boot))] { // the catalog; images come as files
		if err := o.put(filesystem.Extent{Start: b.at, Length: b.length, Kind: filesystem.OwnMeta}); err != nil {
			return err
		}
	}
	return w.run()
}

// tables gives a descriptor and the path tables that it names.
func (o *owners) tables(at int64) error {
	b := make([]byte, sector)
	if _, err := readZero(o.fs.src, b, at); err != nil {
		return err
	}
	if err := o.put(filesystem.Extent{Start: at, Length: sector, Kind: filesystem.OwnMeta}); err != nil {
		return err
	}
	block, size := int64(le.Uint16(b[128:])), int64(le.Uint32(b[132:]))
	for _, first := range []uint32{le.Uint32(b[140:]), le.Uint32(b[144:]), be.Uint32(b[148:]), be.Uint32(b[152:])} {
		if first == 0 {
			continue
		}
		if err := o.put(filesystem.Extent{Start: int64(first) * block, Length: size, Kind: filesystem.OwnMeta}); err != nil {
			return err
		}
	}
	return nil
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

// entry gives the extents of an entry, to the end of their last block.
func (o *owners) entry(e filesystem.Entry, n *node) error {
	x := filesystem.Extent{Kind: filesystem.OwnContent, Ref: e.Ref, Size: e.Size, Status: e.Status}
	if e.Type == filesystem.TypeDir {
		x.Kind = filesystem.OwnDir
	}
	if x.Status == filesystem.Orphan {
		x.Status = filesystem.Allocated
	}
	if n.refused != "" {
		return nil
	}
	block := int64(sector)
	if int(e.Ref.Generation) < len(o.fs.trees) {
		block = o.fs.trees[e.Ref.Generation].block
	}
	for _, p := range n.runs {
		x.Start, x.Length, x.FileOffset = p.off, (p.n+block-1)/block*block, p.pos
		if err := o.put(x); err != nil {
			return err
		}
	}
	return nil
}
