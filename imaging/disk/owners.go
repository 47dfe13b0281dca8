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

// Owner says what one byte of the image belongs to.
type Owner struct {
	Volume string // id; "" where no volume holds the byte
	Image  string // the name of the image that the volume is listed under
	// Region is the table that the byte is part of: "primary GPT header", or
	// "volume slack" where it lies behind the file system; else "".
	Region string
	// Kind is what the byte is used for, 0 where it is not known: the volume
	// has no owner map, or nothing in it claims the byte.
	Kind       filesystem.OwnerKind
	Ref        filesystem.Ref // the owner, for content, directories and attributes
	FileOffset int64          // of the byte in the owner's content
	Status     filesystem.Status
	Slack      bool // behind the end of the owner's content
	// Claims is how many extents claim the byte with the same right, 1 as a
	// rule; of several the first is given.
	Claims int
	// Doubt says why the owner map of the volume is not whole, "" when it is:
	// then a claim may be missing.
	Doubt string
}

const volumeSlack = "volume slack"

// query is one offset that is asked for, in one volume.
type query struct {
	at    int64 // bytes from the start of the volume
	index int   // of the answer
	rank  int
}

// The rights of claims, the better the higher.
const (
	rankNone = iota
	rankFree
	rankDeleted
	rankSlack // allocated, behind the end of the content
	rankAllocated
)

// Owners says of each offset of the image, in bytes, who owns it; the answers
// are in the order of the questions. An allocated claim beats a deleted one, a
// deleted one beats free space. Of each volume that is asked for the owner map
// is read once; memory grows with the number of offsets alone. Where volumes
// overlap the one with the better claim is given. The error is a failure of
// the source or of ctx; damage to an owner map is told in Owner.Doubt.
func (d *Disk) Owners(ctx context.Context, offsets []int64) ([]Owner, error) {
	answers := make([]Owner, len(offsets))
	ranks := make([]int, len(offsets))
	for i, off := range offsets {
		for _, r := range d.Regions {
			if off >= r.Start && off-r.Start < r.Size {
				answers[i].Region = r.What
				break
			}
		}
	}
	for _, v := range append(slices.Clone(d.Volumes), d.Foreign()...) {
		var list []query
		for i, off := range offsets {
			at, ok := v.locate(d.number, off)
			if !ok {
				continue
			}
			// what a volume is made of says less than the volume itself
			if answers[i].Volume == "" || ranks[i] == rankNone && v.made != nil && v.Type != removed {
				answers[i].Volume, answers[i].Image = v.ID, v.Image
				if answers[i].Region == "" && v.FS != nil && at >= v.FS.Info().Size {
					answers[i].Region = volumeSlack
				}
			}
			list = append(list, query{at: at, index: i, rank: ranks[i]})
		}
		if err := v.owners(ctx, list, answers); err != nil {
			return nil, fmt.Errorf("owners in %s: %w", v.ID, err)
		}
		for _, q := range list {
			ranks[q.index] = q.rank
		}
	}
	return answers, nil
}

// Owners says of each offset of the volume, in bytes, who owns it by this
// volume's own map; else it is as Disk.Owners.
func (v *Volume) Owners(ctx context.Context, offsets []int64) ([]Owner, error) {
	answers := make([]Owner, len(offsets))
	list := make([]query, 0, len(offsets))
	for i, at := range offsets {
		answers[i].Volume = v.ID
		if v.FS != nil && at >= v.FS.Info().Size {
			answers[i].Region = volumeSlack
		}
		list = append(list, query{at: at, index: i})
	}
	if err := v.owners(ctx, list, answers); err != nil {
		return nil, fmt.Errorf("owners in %s: %w", v.ID, err)
	}
	return answers, nil
}

// owners reads the owner map of one volume and improves the answers.
func (v *Volume) owners(ctx context.Context, list []query, answers []Owner) error {
	m, ok := v.FS.(filesystem.Mapper)
	if !ok || len(list) == 0 {
		return ctx.Err()
	}
	slices.SortFunc(list, func(a, b query) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.index, b.index)) })
	for x, err := range m.Extents(ctx) {
		if err != nil {
			var damage *imaging.FormatError
			var crash *crash
			if !errors.As(err, &damage) && !errors.As(err, &crash) {
				return err
			}
			for _, q := range list {
				answers[q.index].Doubt = err.Error()
			}
			continue
		}
		if x.Length <= 0 {
			continue
		}
		i, _ := slices.BinarySearchFunc(list, x.Start, func(q query, at int64) int { return cmp.Compare(q.at, at) })
		for ; i < len(list) && list[i].at-x.Start < x.Length; i++ {
			list[i].claim(x, v, &answers[list[i].index])
		}
	}
	return ctx.Err()
}

// claim makes x the answer to q if it has the better right.
func (q *query) claim(x filesystem.Extent, v *Volume, o *Owner) {
	in := x.FileOffset + (q.at - x.Start)
	slack := x.Kind != filesystem.OwnMeta && x.Kind != filesystem.OwnFree && in >= x.Size
	rank := rankAllocated
	switch {
	case x.Kind == filesystem.OwnFree:
		rank = rankFree
	case x.Status == filesystem.Deleted:
		rank = rankDeleted
	case slack:
		rank = rankSlack
	}
	switch {
	case rank < q.rank:
	case rank == q.rank:
		o.Claims++
	default:
		q.rank = rank
		*o = Owner{
			Volume: v.ID, Image: v.Image, Region: o.Region, Doubt: o.Doubt, Kind: x.Kind, Ref: x.Ref, FileOffset: in,
			Status: x.Status, Slack: slack, Claims: 1,
		}
		if x.Kind == filesystem.OwnFree {
			o.FileOffset = 0
		}
	}
}
