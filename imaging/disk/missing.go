package disk

import (
	"context"
	"errors"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// mostMissing is how many files Missing names.
const mostMissing = 1 << 20

// Missing says which files have bytes where the volume has none, each with the
// first such place, in bytes of the volume: a member that is not there, or an
// image that ends too early. Their content reads as zeros there. all is the
// first hole of the volume, with ok false where it has none. whole is false
// where not every file could be named.
func (v *Volume) Missing(ctx context.Context) (all imaging.Hole, ok bool, files map[filesystem.Ref]imaging.Hole, whole bool, err error) {
	all, ok = imaging.FirstHole(v.Source, 0, v.Source.Size())
	if !ok {
		return all, false, nil, true, nil
	}
	m, is := v.FS.(filesystem.Mapper)
	if !is {
		return all, true, nil, v.FS == nil, nil
	}
	files, whole = make(map[filesystem.Ref]imaging.Hole), true
	for x, err := range m.Extents(ctx) {
		if err != nil {
			var damage *imaging.FormatError
			var crash *crash
			if !errors.As(err, &damage) && !errors.As(err, &crash) {
				return all, true, files, false, err
			}
			whole = false
			continue
		}
		n := x.Length
		if x.Kind == filesystem.OwnContent {
			n = min(n, x.Size-x.FileOffset) // slack is nobody's content
		}
		if x.Kind == filesystem.OwnFree || x.Ref.Inode == 0 && x.Kind == filesystem.OwnMeta || n <= 0 {
			continue
		}
		h, lost := imaging.FirstHole(v.Source, x.Start, n)
		if old, told := files[x.Ref]; !lost || told && old.Offset <= h.Offset {
			continue
		}
		if len(files) >= mostMissing {
			whole = false
			continue
		}
		files[x.Ref] = h
	}
	return all, true, files, whole, ctx.Err()
}
