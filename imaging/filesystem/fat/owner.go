package fat

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"snapcase/imaging/filesystem"
)

// Extents yields who owns which bytes: the reserved area, the FATs and the
// fixed root directory, then what records claim, in use, deleted or lost, then
// the free clusters. A cluster that several files share is claimed by each of
// them. Clusters that are marked bad, and what lies behind the last cluster,
// have no owner.
func (fs *FS) Extents(ctx context.Context) iter.Seq2[filesystem.Extent, error] {
	return func(yield func(filesystem.Extent, error) bool) {
		o := &owners{fs: fs, yield: yield}
		o.walker.init(fs, ctx)
		o.walker.give = o.entry
		o.walker.claim = o.start
		if err := o.run(); err != nil && !errors.Is(err, errEnough) {
			yield(filesystem.Extent{}, fmt.Errorf("extents of fat: %w", err))
		}
	}
}

// owners collects the clusters of one entry at a time. The size of an entry is
// known only when its chain ends, so runs wait until then.
type owners struct {
	walker walker
	fs     *FS
	yield  func(filesystem.Extent, error) bool
	runs   []run
}

func (o *owners) run() error {
	g := &o.fs.g
	if err := o.walker.ctx.Err(); err != nil {
		return err
	}
	if err := o.put(filesystem.Extent{Length: g.fatStart + g.fats*g.fatBytes, Kind: filesystem.OwnMeta}); err != nil {
		return err
	}
	if g.kind != 32 {
		root := filesystem.Extent{
			Start: g.rootStart, Length: g.rootBytes, Kind: filesystem.OwnDir,
			Ref: filesystem.Ref{Inode: rootInode}, Size: g.rootBytes,
		}
		if err := o.put(root); err != nil {
			return err
		}
	} else if g.rootBytes > 0 {
		if err := o.put(filesystem.Extent{Start: g.rootStart, Length: g.rootBytes, Kind: filesystem.OwnMeta}); err != nil {
			return err
		}
	}
	if err := o.walker.run(); err != nil {
		return err
	}
	return o.unused()
}

// put gives an extent, cut to the image.
func (o *owners) put(e filesystem.Extent) error {
	if e.Start >= o.fs.src.Size() || e.Length <= 0 {
		return nil
	}
	e.Length = min(e.Length, o.fs.src.Size()-e.Start)
	if !o.yield(e, nil) {
		return errEnough
	}
	return nil
}

// start takes the clusters of the next entry.
func (o *owners) start(filesystem.Entry, uint32) func(uint32) {
	o.runs = o.runs[:0]
	g := &o.fs.g
	pos := int64(0)
	return func(c uint32) {
		off := g.offset(c)
		if k := len(o.runs) - 1; k >= 0 && o.runs[k].off+o.runs[k].n == off {
			o.runs[k].n += g.cluster
		} else {
			o.runs = append(o.runs, run{pos, off, g.cluster})
		}
		pos += g.cluster
	}
}

// entry gives the runs of an entry.
func (o *owners) entry(e filesystem.Entry) error {
	kind := filesystem.OwnContent
	if e.Type == filesystem.TypeDir {
		kind = filesystem.OwnDir
	}
	status := e.Status
	if status == filesystem.Orphan {
		status = filesystem.Allocated
	}
	for _, r := range o.runs {
		x := filesystem.Extent{
			Start: r.off, Length: r.n, Kind: kind, Ref: e.Ref, FileOffset: r.pos, Size: e.Size, Status: status,
		}
		if err := o.put(x); err != nil {
			return err
		}
	}
	o.runs = o.runs[:0]
	return nil
}

// unused gives the free clusters.
func (o *owners) unused() error {
	g := &o.fs.g
	var from, n uint32
	flush := func() error {
		if n == 0 {
			return nil
		}
		x := filesystem.Extent{Start: g.offset(from), Length: int64(n) * g.cluster, Kind: filesystem.OwnFree}
		n = 0
		return o.put(x)
	}
	for c := uint32(2); g.valid(c); c++ {
		_, s, err := o.walker.t.get(c)
		if err != nil {
			return err
		}
		if s != free {
			continue
		}
		if n == 0 || from+n != c {
			if err := flush(); err != nil {
				return err
			}
			from = c
		}
		n++
	}
	return flush()
}
