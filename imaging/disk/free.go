package disk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// Run is a run of bytes of a volume, both in bytes from its start.
type Run struct{ Start, Length int64 }

// Unallocated gives the runs of the volume that nothing in use owns, in order
// and not touching: what the file system's own map of free space says, without
// what an inode in use claims all the same, and with what deleted files claim.
// Of a gap between partitions it is everything. Runs end where the image does.
//
// doubt says why the runs may not be whole, "" when they are. The error is
// ErrNoMap where nobody can know, a failure of the source, or ctx.
func (v *Volume) Unallocated(ctx context.Context) (runs []Run, doubt string, err error) {
	if v.FS == nil && v.Gap() {
		return []Run{{0, v.Source.Size()}}, "", ctx.Err()
	}
	err = v.extents(ctx, &doubt, func(x filesystem.Extent) {
		if x.Kind == filesystem.OwnFree {
			runs = append(runs, Run{x.Start, x.Length})
		}
	})
	if err != nil {
		return nil, doubt, err
	}
	runs = merge(runs)
	var used []Run // in use, within what is said to be free: rare
	err = v.extents(ctx, &doubt, func(x filesystem.Extent) {
		if x.Kind == filesystem.OwnFree || x.Status == filesystem.Deleted {
			return
		}
		i, _ := slices.BinarySearchFunc(runs, x.Start, func(r Run, at int64) int { return cmp.Compare(r.Start+r.Length-1, at) })
		if i < len(runs) && runs[i].Start < x.Start+x.Length {
			used = append(used, Run{x.Start, x.Length})
		}
	})
	if err != nil {
		return nil, doubt, err
	}
	return v.cut(without(runs, merge(used)), doubt)
}

// Slack gives the runs of the volume behind the content of ref, up to the end
// of what is reserved for it, in the order of the file. doubt and error are as
// those of Unallocated.
func (v *Volume) Slack(ctx context.Context, ref filesystem.Ref) (runs []Run, doubt string, err error) {
	type piece struct {
		at int64
		Run
	}
	var all []piece
	err = v.extents(ctx, &doubt, func(x filesystem.Extent) {
		if x.Ref != ref || x.Kind != filesystem.OwnContent && x.Kind != filesystem.OwnDir || x.Size-x.FileOffset >= x.Length {
			return
		}
		skip := max(0, x.Size-x.FileOffset)
		all = append(all, piece{x.FileOffset + skip, Run{x.Start + skip, x.Length - skip}})
	})
	if err != nil {
		return nil, doubt, err
	}
	slices.SortFunc(all, func(a, b piece) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.Start, b.Start)) })
	for _, p := range slices.Compact(all) {
		runs = append(runs, p.Run)
	}
	return v.cut(runs, doubt)
}

// ErrNoMap says that nothing tells who owns the bytes of a volume: no file
// system is read there, or its reader has no map of owners.
var ErrNoMap = errors.New("nothing tells who owns its bytes")

// extents calls f for every extent that lies in the volume.
func (v *Volume) extents(ctx context.Context, doubt *string, f func(filesystem.Extent)) error {
	m, ok := v.FS.(filesystem.Mapper)
	if !ok {
		return ErrNoMap
	}
	for x, err := range m.Extents(ctx) {
		if err != nil {
			var damage *imaging.FormatError
			var crash *crash
			if !errors.As(err, &damage) && !errors.As(err, &crash) {
				return err
			}
			*doubt = err.Error()
			continue
		}
		x.Length = min(x.Length, v.Size-x.Start)
		if x.Start >= 0 && x.Length > 0 {
			f(x)
		}
	}
	return ctx.Err()
}

// cut leaves out what lies behind the end of the image.
func (v *Volume) cut(runs []Run, doubt string) ([]Run, string, error) {
	size, lost := v.Source.Size(), int64(0)
	out := runs[:0]
	for _, r := range runs {
		n := min(r.Length, max(0, size-r.Start))
		if lost += r.Length - n; n > 0 {
			out = append(out, Run{r.Start, n})
		}
	}
	if lost > 0 && doubt == "" {
		doubt = fmt.Sprintf("%d bytes of it lie behind the end of the image", lost)
	}
	return out, doubt, nil
}

// merge orders runs and joins those that touch or overlap.
func merge(runs []Run) []Run {
	slices.SortFunc(runs, func(a, b Run) int { return cmp.Compare(a.Start, b.Start) })
	out := runs[:0]
	for _, r := range runs {
		if k := len(out) - 1; k >= 0 && r.Start <= out[k].Start+out[k].Length {
			out[k].Length = max(out[k].Length, r.Start+r.Length-out[k].Start)
			continue
		}
		out = append(out, r)
	}
	return out
}

// without takes used out of runs; both are merged.
func without(runs, used []Run) []Run {
	if len(used) == 0 {
		return runs
	}
	var out []Run
	i := 0
	for _, r := range runs {
		at, end := r.Start, r.Start+r.Length
		for i < len(used) && used[i].Start+used[i].Length <= at {
			i++
		}
		for j := i; j < len(used) && used[j].Start < end; j++ {
			if used[j].Start > at {
				out = append(out, Run{at, used[j].Start - at})
			}
			at = max(at, used[j].Start+used[j].Length)
		}
		if at < end {
			out = append(out, Run{at, end - at})
		}
	}
	return out
}

// HasMap says whether it is known what of the volume is unallocated.
func (v *Volume) HasMap() bool {
	_, ok := v.FS.(filesystem.Mapper)
	return ok || v.FS == nil && v.Gap()
}
