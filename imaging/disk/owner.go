package disk

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sort"

	"snapcase/imaging/filesystem"
)

// Owner says what a byte of the image belongs to.
type Owner struct {
	Volume     string               // id of the volume that the byte lies in; "" between them
	Kind       filesystem.OwnerKind // 0 where nothing is known
	Ref        filesystem.Ref       // the inode, for content, directories, links, attributes and the journal
	FileOffset int64                // of the byte in the owner's content
	Status     filesystem.Status
	Slack      bool // behind the end of the owner's content
}

// Owners tells for offsets (bytes from the start of the image) who owns each,
// in one pass over the extents of each volume that has such an offset. What an
// allocated inode claims wins over what a deleted one does, and both over free
// space. Memory grows with the number of offsets alone.
func (d *Disk) Owners(ctx context.Context, offsets []int64) ([]Owner, error) {
	out := make([]Owner, len(offsets))
	for _, v := range d.Volumes {
		var in []wanted
		for i, o := range offsets {
			if at, ok := v.Locate(o); ok {
				out[i] = Owner{Volume: v.ID}
				in = append(in, wanted{at, i})
			}
		}
		m, ok := v.FS.(filesystem.Mapper)
		if !ok || len(in) == 0 {
			continue
		}
		slices.SortFunc(in, func(a, b wanted) int { return cmp.Compare(a.at, b.at) })
		for e, err := range m.Extents(ctx) {
			if err != nil {
				return nil, fmt.Errorf("who owns the bytes of %s: %w", v.ID, err)
			}
			first := sort.Search(len(in), func(i int) bool { return in[i].at >= e.Start })
			for _, w := range in[first:] {
				if w.at >= e.Start+e.Length {
					break
				}
				out[w.i].claim(e, w.at)
			}
		}
	}
	return out, nil
}

// wanted is an offset in the volume, and which of the question it is.
type wanted struct {
	at int64
	i  int
}

func (o *Owner) claim(e filesystem.Extent, at int64) {
	if o.Kind != 0 && weight(o.Kind, o.Status) >= weight(e.Kind, e.Status) {
		return
	}
	o.Kind, o.Ref, o.Status = e.Kind, e.Ref, e.Status
	o.FileOffset = e.FileOffset + at - e.Start
	o.Slack = e.Kind == filesystem.OwnContent && o.FileOffset >= e.Size
}

// weight is how much a claim counts against others.
func weight(k filesystem.OwnerKind, s filesystem.Status) int {
	switch {
	case k == filesystem.OwnFree:
		return 1
	case s == filesystem.Deleted:
		return 2
	}
	return 3
}

// Locate gives the offset in the volume of a byte of the image; ok is false
// where the byte lies elsewhere.
func (v *Volume) Locate(imageOffset int64) (volumeOffset int64, ok bool) {
	at := imageOffset - v.Start
	return at, at >= 0 && at < v.Source.Size()
}
