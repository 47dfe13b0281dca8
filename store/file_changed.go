package store

import (
	"context"
	"errors"
	"fmt"

	"snapcase/evidence"
	"snapcase/imaging"
	"snapcase/imaging/disk"
)

// changes is what changed in the exhibits that were acquired with regard to an
// older snapshot.
type changes struct {
	exhibits map[string]*evidence.Origin
	files    map[ownerKey]imaging.Hole // entries with bytes in blocks that changed, and the first such place
	more     bool                      // there are more such entries, or of some it cannot be known
}

// newChanges asks the maps of owners of the exhibits (or of one) whose blocks
// changed.
func (c *Case) newChanges(ctx context.Context, exhibit string) (*changes, error) {
	all, err := evidence.ReadExhibits(c.folder)
	if err != nil {
		return nil, err
	}
	m := &changes{exhibits: map[string]*evidence.Origin{}, files: map[ownerKey]imaging.Hole{}}
	var images []disk.Image
	for _, a := range all {
		if a.Kind != evidence.KindDisk {
			continue
		}
		src, err := c.disks.image(c, &a)
		if err != nil {
			return nil, err
		}
		if a.Origin != nil && a.Origin.Since != "" && (exhibit == "" || a.Exhibit == exhibit) {
			m.exhibits[a.Exhibit] = a.Origin
			images = append(images, disk.Image{Name: a.Exhibit, Source: changedView{src}})
			continue
		}
		images = append(images, disk.Image{Name: a.Exhibit, Source: src})
	}
	if len(m.exhibits) == 0 {
		return nil, evidence.WithHint(fmt.Errorf("what changed: no exhibit was compared with an older snapshot: %w", evidence.ErrNotFound), "acquire one with snapcase acquire CASE snap-NEW --changed-since snap-OLD")
	}
	for _, d := range disk.OpenAll(images) {
		for _, v := range d.Volumes {
			if err := m.volume(ctx, d, v); err != nil {
				return nil, err
			}
		}
	}
	for id := range m.exhibits {
		if err := c.broken(id); err != nil {
			return nil, err // a reader may have taken it for damage
		}
	}
	return m, nil
}

// volume takes the entries of a volume.
func (m *changes) volume(ctx context.Context, d *disk.Disk, v *disk.Volume) error {
	hole, ok, files, whole, err := v.Missing(ctx)
	if evidence.Canceled(err) {
		return err
	}
	if err != nil && !errors.As(err, new(*imaging.HoleError)) {
		return fmt.Errorf("what changed in %s of %s: %w", v.ID, d.Name, err)
	}
	if !ok || hole.Reason != changedReason && len(files) == 0 {
		return nil
	}
	m.more = m.more || !whole
	for ref, h := range files {
		if h.Reason == changedReason {
			m.files[ownerKey{d.Name, v.ID, ref}] = h
		}
	}
	return nil
}

// of says how an entry changed; nil where nothing says that it did.
func (m *changes) of(e *entryRow) *evidence.ChangedSince {
	o := m.exhibits[e.Exhibit]
	if o == nil {
		return nil
	}
	s := &evidence.ChangedSince{Snapshot: o.Since, Offset: -1}
	if h, ok := m.files[ownerKey{e.Exhibit, e.Volume, e.ref()}]; ok {
		s.Block, s.Offset = true, h.Offset
	}
	for _, t := range []imaging.Time{e.Modified, e.Changed, e.Born, e.DeletedAt} {
		s.Time = s.Time || t.Set && o.SinceTaken.Set && t.Compare(o.SinceTaken) > 0
	}
	if !s.Block && !s.Time {
		return nil
	}
	return s
}

// changedOnly narrows the listing to entries that changed.
func (l *fileListing) changedOnly(m *changes) {
	l.changes = m
	l.also(func(e *entryRow) bool { return m.of(e) != nil })
}

// also narrows the listing to entries that keep wants.
func (l *fileListing) also(keep func(*entryRow) bool) {
	before := l.keep
	l.inDir = false
	l.keep = func(ctx context.Context, s *stream, at []position) ([]bool, error) {
		yes := make([]bool, len(at))
		for i := range yes {
			yes[i] = true
		}
		if before != nil {
			var err error
			if yes, err = before(ctx, s, at); err != nil {
				return nil, err
			}
		}
		var some []position
		var place []int
		for i, p := range at {
			if yes[i] {
				some, place = append(some, p), append(place, i)
			}
		}
		rows, err := l.rows(ctx, some)
		if err != nil {
			return nil, err
		}
		for k := range rows {
			yes[place[k]] = keep(&rows[k])
		}
		return yes, nil
	}
}
