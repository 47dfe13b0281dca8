package exfat

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"snapcase/imaging/filesystem"
)

// Extents yields who owns which bytes: what lies before the heap, the bitmap
// and the table of upper case, then what records claim, in use, deleted or
// lost, then the free clusters. Of a file that was not written to its end Size
// is how much was: what its clusters hold behind is left from before and counts
// as slack. What lies behind the last cluster has no owner.
func (fs *FS) Extents(ctx context.Context) iter.Seq2[filesystem.Extent, error] {
	return func(yield func(filesystem.Extent, error) bool) {
		o := &owners{walker: fs.walker(ctx), yield: yield}
		o.give = o.entry
		if err := o.run(); err != nil && !errors.Is(err, errEnough) {
			yield(filesystem.Extent{}, fmt.Errorf("extents of exfat: %w", err))
		}
	}
}

// owners turns entries into extents.
type owners struct {
	*walker
	yield func(filesystem.Extent, error) bool
}

func (o *owners) run() error {
	g := &o.fs.g
	if err := o.ctx.Err(); err != nil {
		return err
	}
	if err := o.put(filesystem.Extent{Length: g.heap, Kind: filesystem.OwnMeta}); err != nil {
		return err
	}
	for _, list := range [][]run{o.fs.bitmap, o.fs.tables} {
		for _, r := range list {
			if err := o.put(filesystem.Extent{Start: g.offset(r.first), Length: int64(r.n) * g.cluster, Kind: filesystem.OwnMeta}); err != nil {
				return err
			}
		}
	}
	if err := o.walker.run(); err != nil {
		return err
	}
	if o.fs.used == nil {
		return nil
	}
	return o.free()
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

// entry gives the clusters of an entry.
func (o *owners) entry(e filesystem.Entry, runs []run, valid int64) error {
	x := filesystem.Extent{Kind: filesystem.OwnContent, Ref: e.Ref, Size: valid, Status: e.Status}
	if e.Type == filesystem.TypeDir {
		x.Kind = filesystem.OwnDir
	}
	if x.Status == filesystem.Orphan {
		x.Status = filesystem.Allocated
	}
	for _, p := range o.fs.g.pieces(runs) {
		x.Start, x.Length, x.FileOffset = p.off, p.n, p.pos
		if err := o.put(x); err != nil {
			return err
		}
	}
	return nil
}

// free gives the clusters that are neither in use nor owned by what is.
func (o *owners) free() error {
	g := &o.fs.g
	from := uint32(2)
	flush := func(to uint32) error {
		if to <= from {
			return nil
		}
		return o.put(filesystem.Extent{Start: g.offset(from), Length: int64(to-from) * g.cluster, Kind: filesystem.OwnFree})
	}
	err := o.words(func(used, owned uint64, base uint32) error {
		for i := range min(64, g.clusters-(base-2)) {
			if (used|owned)>>i&1 == 0 {
				continue
			}
			if err := flush(base + i); err != nil {
				return err
			}
			from = base + i + 1
		}
		return nil
	})
	if err != nil {
		return err
	}
	return flush(g.clusters + 2)
}
