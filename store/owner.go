package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"snapcase/evidence"
	"snapcase/imaging/disk"
	"snapcase/imaging/filesystem"
)

// Owner says who owns the first byte that b names, by the file systems'
// own maps: an entry's content, the slack behind it, the journal, metadata, or
// nobody. What a volume's map cannot tell is unallocated with Area "unknown".
func (c *Case) Owner(ctx context.Context, b evidence.Bytes) (evidence.ByteOwner, error) {
	o, err := c.owner(ctx, b)
	if err != nil {
		return o, fmt.Errorf("who owns %s: %w", b, err)
	}
	return o, nil
}

func (c *Case) owner(ctx context.Context, b evidence.Bytes) (evidence.ByteOwner, error) {
	answer := evidence.ByteOwner{Exhibit: b.Exhibit}
	src, err := c.OpenImage(ctx, b.Exhibit)
	if err != nil {
		return answer, err
	}
	a, err := c.acquisition(b.Exhibit)
	if err != nil {
		return answer, err
	}
	if a.Kind == evidence.KindMemory {
		if b.Volume != "" {
			return answer, fmt.Errorf("it is a memory image, without volumes: %w", evidence.ErrUsage)
		}
		answer.Offset, answer.Status = &b.Offset, hitMemory
		_, _, err := rangeOf(b, src.Size(), src.Size(), "image")
		return answer, err
	}
	d, err := c.openDisk(ctx, b.Exhibit)
	if err != nil {
		return answer, err
	}
	own, err := c.askOwner(ctx, d, b, src.Size(), &answer)
	if broken := c.broken(b.Exhibit); broken != nil {
		return answer, broken
	}
	if err != nil {
		return answer, err
	}
	return answer, c.nameOwner(ctx, d, own, &answer)
}

// askOwner asks the map of the disk, or of the volume that b names, and notes
// where the byte lies.
func (c *Case) askOwner(ctx context.Context, d *disk.Disk, b evidence.Bytes, size int64, answer *evidence.ByteOwner) (*disk.Owner, error) {
	if b.Volume == "" {
		if b.Offset >= size {
			return nil, evidence.WithHint(fmt.Errorf("offset %d: %w", b.Offset, evidence.ErrNotFound), "the image has %d bytes", size)
		}
		all, err := d.Owners(ctx, []int64{b.Offset})
		if err != nil {
			return nil, err
		}
		answer.Offset = &b.Offset
		if v := d.Volume(all[0].Volume); v != nil {
			if at, ok := v.Locate(b.Offset); ok {
				answer.VolumeOffset = &at
			}
		}
		return &all[0], nil
	}
	v, err := c.anyVolume(ctx, b.Exhibit, b.Volume)
	if err != nil {
		return nil, err
	}
	if b.Offset >= v.Source.Size() {
		return nil, evidence.WithHint(fmt.Errorf("offset %d: %w", b.Offset, evidence.ErrNotFound), "the image has %d bytes of the volume", v.Source.Size())
	}
	all, err := v.Owners(ctx, []int64{b.Offset})
	if err != nil {
		return nil, err
	}
	answer.VolumeOffset = &b.Offset
	if at, ok := v.Locate(v.Start + b.Offset); ok && at == b.Offset {
		at := v.Start + b.Offset
		answer.Offset = &at
	}
	return &all[0], nil
}

// nameOwner puts an owner in words, with the entry by which it is known, as
// the places of access keys are.
func (c *Case) nameOwner(ctx context.Context, d *disk.Disk, o *disk.Owner, answer *evidence.ByteOwner) error {
	l := &imageLoad{load: &load{acq: evidence.Acquisition{Exhibit: answer.Exhibit}}, disk: d, wanted: map[ownerKey]*ownerName{}}
	if o.Ref != (filesystem.Ref{}) {
		e, err := c.findEntry(ctx, evidence.Address{Exhibit: cmp.Or(o.Image, answer.Exhibit), Volume: o.Volume, Inode: o.Ref.Inode, Generation: o.Ref.Generation})
		switch {
		case err == nil:
			l.wanted[keyOf(o)] = &ownerName{path: e.path, found: true}
		case errors.Is(err, evidence.ErrNotFound):
			l.wanted[keyOf(o)] = &ownerName{}
		default:
			return err
		}
	}
	at := int64(-1)
	if answer.Offset != nil {
		at = *answer.Offset
	}
	p := l.placeOf(o, at)
	answer.Status, answer.Doubt = p.status, o.Doubt
	if o.Volume != "" {
		answer.Volume = &o.Volume
	}
	answer.Area, _ = p.area.(string)
	if s, ok := p.address.(string); ok {
		answer.Address = &s
	}
	if n, ok := p.fileOffset.(int64); ok {
		answer.FileOffset = &n
	}
	return nil
}

// acquisition is acquisition.json of one exhibit.
func (c *Case) acquisition(exhibit string) (evidence.Acquisition, error) {
	all, err := c.exhibits()
	if err != nil {
		return evidence.Acquisition{}, err
	}
	for _, a := range all {
		if a.Exhibit == exhibit {
			return a, nil
		}
	}
	return evidence.Acquisition{}, evidence.WithHint(fmt.Errorf("%s: %w", exhibit, evidence.ErrNotFound), "snapcase stats CASE lists the exhibits")
}
