package ntfs

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// Changes yields the records of the change journal, and of those that were
// deleted as far as their clusters still hold them. It reads the MFT once and
// the journal twice: first for the directories that only the journal knows.
// Where an earlier walk saw that there is none it reads nothing.
func (fs *FS) Changes(ctx context.Context) iter.Seq2[filesystem.Change, error] {
	return func(yield func(filesystem.Change, error) bool) {
		s := fs.newScanner(ctx)
		if err := s.changes(yield); err != nil && !errors.Is(err, errEnough) {
			yield(filesystem.Change{}, fmt.Errorf("change journal of ntfs: %w", err))
		}
	}
}

func (s *scanner) changes(yield func(filesystem.Change, error) bool) error {
	if s.fs.noUSN.Load() {
		return nil
	}
	dirs, err := s.directories()
	if err != nil {
		return err
	}
	journals, err := s.journals()
	if err != nil || len(journals) == 0 {
		return err
	}
	g := newGone(s, &paths{dirs: dirs, kept: make(map[uint64]place)})
	g.dirsOnly = true
	if err := g.collect(journals); err != nil {
		return err
	}
	u := newUSNReader(s)
	u.lost = func(j *journal, at, _ int64, why string) error {
		if !yield(filesystem.Change{}, j.damage(at, why)) {
			return errEnough
		}
		return nil
	}
	u.found = func(_ *journal, at int64, r *usnRecord) error {
		c, err := g.change(r)
		if err != nil {
			return err
		}
		if r.usn != at {
			c.Damage = fmt.Sprintf("range: the record stands at byte %d of the change journal", at)
		}
		if !yield(c, nil) {
			return errEnough
		}
		return nil
	}
	for i := range journals {
		if err := u.read(&journals[i]); err != nil {
			return err
		}
	}
	return nil
}

// damage is an error at a byte of the journal, with its place in the volume.
func (j *journal) damage(at int64, why string) error {
	e := &imaging.FormatError{Format: "ntfs", Offset: -1, Reason: why}
	c := j.c
	if c.small != nil {
		return e
	}
	cs := c.fs.boot.cluster
	if i := c.find(at / cs); i < len(c.runs) && c.runs[i].lcn >= 0 {
		e.Offset = c.runs[i].lcn*cs + at - int64(c.runs[i].vcn)*cs //nolint:gosec // bounded by maxClusters
	}
	return e
}

// change is a record with what the MFT knows of its file and its directory.
func (g *gone) change(r *usnRecord) (c filesystem.Change, err error) {
	file, dir := splitRef(r.file), splitRef(r.dir)
	c = filesystem.Change{
		USN: r.usn, Time: r.time, Ref: filesystem.Ref{Inode: file.number, Generation: uint32(file.seq)}, Generation: uint32(file.seq),
		Parent: dir.number, ParentGeneration: uint32(dir.seq), Name: r.name, Reason: r.reason, Source: r.source, Attributes: r.attrs,
	}
	now, err := g.state(file.number)
	if err == nil && now.fits(file.seq) {
		c.Ref.Generation = uint32(now.seq)
	}
	c.Dir, _ = g.place(r.dir)
	return c, err
}

// ref is a reference in parts.
type ref struct {
	number uint64
	seq    uint16
}

func splitRef(r uint64) ref { return ref{r & (1<<48 - 1), uint16(r >> 48)} } //nolint:gosec // the top bits
