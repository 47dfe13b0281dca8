package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"snapcase/evidence"
	"snapcase/imaging"
	"snapcase/imaging/disk"
)

// Content is bytes that were opened, put together from runs of an image or a
// volume. It is valid until the case is closed.
type Content struct {
	imaging.Source
	// Runs say where each piece lies, in the order of the content.
	Runs []ContentRun
	// Damage says why the content is not whole, "" when it is.
	Damage string
}

// ContentRun is one piece of a Content; everything is in bytes.
type ContentRun struct {
	Offset       int64 `json:"offset"`        // in the content
	VolumeOffset int64 `json:"volume_offset"` // in the volume; in the image where no volume is named
	Length       int64 `json:"length"`
}

// OpenBytes gives the bytes that b names, from the sealed image. A range that
// goes past the end is cut, and Damage says so; so it does where the source
// could not be read and zeros stand.
func (c *Case) OpenBytes(ctx context.Context, b evidence.Bytes) (*Content, error) {
	content, err := c.openBytes(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", b, err)
	}
	return content, nil
}

func (c *Case) openBytes(ctx context.Context, b evidence.Bytes) (_ *Content, err error) {
	missing := c.begun()
	defer func() { err = cmp.Or(missing(), err) }()
	src, err := c.OpenImage(ctx, b.Exhibit)
	if err != nil {
		return nil, err
	}
	if b.Volume == "" {
		runs, damage, err := rangeOf(b, src.Size(), src.Size(), "image")
		if err != nil {
			return nil, err
		}
		return c.content(b.Exhibit, nil, src, runs, damage)
	}
	v, err := c.anyVolume(ctx, b.Exhibit, b.Volume)
	if err != nil {
		return nil, err
	}
	var runs []disk.Run
	var damage string
	if b.Unallocated {
		runs, damage, err = v.Unallocated(ctx)
	} else {
		runs, damage, err = rangeOf(b, v.Source.Size(), v.Size, "volume")
	}
	if err = c.mapError(b.Exhibit, err); err != nil {
		return nil, err
	}
	return c.content(b.Exhibit, v, v.Source, runs, damage)
}

// mapError adds to an error of asking who owns the bytes of a volume: the
// image may have been altered, or nobody can know.
func (c *Case) mapError(exhibit string, err error) error {
	if broken := c.broken(exhibit); broken != nil {
		return broken
	}
	if errors.Is(err, disk.ErrNoMap) {
		return evidence.WithHint(err, "read all of its bytes with snapcase cat CASE %s/VOLUME@0+LENGTH", exhibit)
	}
	return err
}

// rangeOf is a range as a run of a source of have bytes, that should be size
// bytes.
func rangeOf(b evidence.Bytes, have, size int64, what string) ([]disk.Run, string, error) {
	if b.Offset > max(have, size) {
		return nil, "", evidence.WithHint(fmt.Errorf("offset %d: %w", b.Offset, evidence.ErrNotFound), "the %s has %d bytes", what, size)
	}
	n := min(b.Length, max(0, have-b.Offset))
	damage := ""
	if n < b.Length {
		damage = fmt.Sprintf("truncated: the %s ends at byte %d, %d bytes of the range are not there", what, have, b.Length-n)
	}
	if n == 0 {
		return nil, damage, nil
	}
	return []disk.Run{{Start: b.Offset, Length: n}}, damage, nil
}

// OpenSlack gives the bytes behind the content of an entry up to the end of
// what is reserved for it. An entry without such bytes gives none.
func (c *Case) OpenSlack(ctx context.Context, a evidence.Address) (*Content, evidence.FileEntry, error) {
	e, err := c.findEntry(ctx, a)
	if err != nil {
		return nil, evidence.FileEntry{}, fmt.Errorf("open the slack of %s: %w", a, err)
	}
	v, err := c.volume(ctx, e.Exhibit, e.Volume)
	if err != nil {
		return nil, e.FileEntry, fmt.Errorf("open the slack of %s: %w", a, err)
	}
	missing := c.begun()
	runs, damage, err := v.Slack(ctx, e.ref())
	if err = cmp.Or(missing(), err); err != nil {
		return nil, e.FileEntry, fmt.Errorf("open the slack of %s: %w", a, err)
	}
	if err = c.mapError(e.Exhibit, err); err != nil {
		return nil, e.FileEntry, fmt.Errorf("open the slack of %s: %w", a, err)
	}
	content, err := c.content(e.Exhibit, v, v.Source, runs, damage)
	return content, e.FileEntry, err
}

// content puts runs of src together. v is the volume that src is, nil where it
// is the image.
func (c *Case) content(exhibit string, v *disk.Volume, src imaging.Source, runs []disk.Run, damage string) (*Content, error) {
	s := &runSource{src: src}
	for _, r := range runs {
		s.runs = append(s.runs, ContentRun{Offset: s.size, VolumeOffset: r.Start, Length: r.Length})
		s.size += r.Length
	}
	unread, err := c.unreadIn(exhibit, v, runs)
	if err != nil {
		return nil, err
	}
	return &Content{Source: s, Runs: s.runs, Damage: alsoDamaged(damage, unread)}, nil
}

// unreadIn says which bytes of some runs could not be read of the source; ""
// for none.
func (c *Case) unreadIn(exhibit string, v *disk.Volume, runs []disk.Run) (string, error) {
	all, err := c.exhibits()
	if err != nil {
		return "", err
	}
	ordered := slices.Clone(runs)
	slices.SortFunc(ordered, func(a, b disk.Run) int { return cmp.Compare(a.Start, b.Start) })
	probes := 0
	for _, x := range all {
		if x.Exhibit != exhibit {
			continue
		}
		for _, r := range x.ReadErrors {
			for off := r.Offset; off < r.Offset+r.Length; off += unreadStep - off%unreadStep {
				if probes++; probes > unreadProbe {
					return fmt.Sprintf("partial: more of the source could not be read than is looked at, from byte %d of the image on", off), nil
				}
				at, ok := off, true
				if v != nil {
					at, ok = v.Locate(off)
				}
				if ok && holds(ordered, at) {
					return fmt.Sprintf("partial: the source could not be read at byte %d of the image: zeros stand there", off), nil
				}
			}
		}
	}
	return "", nil
}

// holds says whether a byte lies in one of some runs, which are in order.
func holds(runs []disk.Run, at int64) bool {
	i, _ := slices.BinarySearchFunc(runs, at, func(r disk.Run, at int64) int { return cmp.Compare(r.Start+r.Length-1, at) })
	return i < len(runs) && runs[i].Start <= at
}

// runSource is runs of a source, one behind the other.
type runSource struct {
	src  imaging.Source
	runs []ContentRun
	size int64
}

func (s *runSource) Size() int64 { return s.size }

func (s *runSource) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read: negative offset %d", off)
	}
	i, _ := slices.BinarySearchFunc(s.runs, off, func(r ContentRun, off int64) int { return cmp.Compare(r.Offset+r.Length-1, off) })
	for ; i < len(s.runs) && n < len(p); i++ {
		in := off + int64(n) - s.runs[i].Offset
		want := min(int64(len(p)-n), s.runs[i].Length-in)
		k, err := s.src.ReadAt(p[n:int64(n)+want], s.runs[i].VolumeOffset+in)
		if n += k; int64(k) < want {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteMap writes the runs of a content as JSON Lines.
func (c *Content) WriteMap(w io.Writer) error {
	enc := json.NewEncoder(w)
	for _, r := range c.Runs {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// unallocatedOf names the unallocated bytes of the volumes of a disk exhibit of which it is known
// what is unallocated: those with a map of owners, and gaps between partitions.
func (c *Case) unallocatedOf(ctx context.Context, exhibit string) ([]evidence.Bytes, error) {
	d, err := c.openDisk(ctx, exhibit)
	if err != nil {
		return nil, err
	}
	var all []evidence.Bytes
	for _, v := range d.Volumes {
		if v.HasMap() {
			all = append(all, evidence.Bytes{Exhibit: exhibit, Volume: v.ID, Unallocated: true})
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("unallocated bytes of %s: no volume tells who owns its bytes: %w", exhibit, evidence.ErrNotFound)
	}
	return all, nil
}

// UnallocatedOf gives the names of the unallocated bytes of places, each an
// exhibit (EX-001, all of its volumes of which that is known) or one volume
// (EX-001/p2).
func (c *Case) UnallocatedOf(ctx context.Context, places []string) (names []string, err error) {
	for _, p := range places {
		exhibit, volume, one := strings.Cut(strings.TrimSuffix(p, "/$Unallocated"), "/")
		if one {
			names = append(names, evidence.Bytes{Exhibit: exhibit, Volume: volume, Unallocated: true}.String())
			continue
		}
		if _, err := c.OpenImage(ctx, exhibit); err != nil {
			return nil, err
		}
		all, err := c.unallocatedOf(ctx, exhibit)
		if err != nil {
			return nil, err
		}
		for _, b := range all {
			names = append(names, b.String())
		}
	}
	return names, nil
}
