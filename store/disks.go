package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"snapcase/evidence"
	"snapcase/imaging/disk"
)

// diskSet is the disks of a case that were opened together, so that volumes
// that lie on several exhibits are put together.
type diskSet struct {
	exhibits map[string]evidence.Acquisition
	disks    map[string]*disk.Disk
	failed   map[string]error // why an image could not be opened
	files    []sealedImage
}

// openDisks opens the disks among the exhibits. One whose image cannot be
// opened is left out: who asks for it gets the error.
func openDisks(f evidence.Folder, all []evidence.Acquisition) *diskSet {
	s := &diskSet{exhibits: map[string]evidence.Acquisition{}, disks: map[string]*disk.Disk{}, failed: map[string]error{}}
	var images []disk.Image
	for _, a := range all {
		if a.Kind != evidence.KindDisk {
			continue
		}
		src, err := openSealed(f, a.Exhibit)
		if err != nil {
			s.failed[a.Exhibit] = err
			continue
		}
		s.exhibits[a.Exhibit] = a
		s.files = append(s.files, src)
		images = append(images, disk.Image{Name: a.Exhibit, Source: src})
	}
	for _, d := range disk.OpenAll(images) {
		s.disks[d.Name] = d
	}
	return s
}

func (s *diskSet) close() error {
	if s == nil {
		return nil
	}
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// disk is that of an exhibit.
func (s *diskSet) disk(exhibit string) (*disk.Disk, error) {
	if d := s.disks[exhibit]; d != nil {
		return d, d.Err
	}
	if err := s.failed[exhibit]; err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("disk of %s: %w", exhibit, evidence.ErrNotFound)
}

// shape is a digest of how the volumes of an exhibit are put together, of those
// too that are listed under another exhibit and have bytes here. Where it
// changes, the exhibit has to be loaded again.
func (s *diskSet) shape(exhibit string) string {
	if s == nil {
		return ""
	}
	d := s.disks[exhibit]
	if d == nil {
		return ""
	}
	sum := sha256.Sum256([]byte(d.Assembly()))
	return hex.EncodeToString(sum[:])
}

// diskCache keeps the images that were opened, until the case is closed. It is
// safe for concurrent use.
type diskCache struct {
	mu         sync.Mutex
	closed     bool
	images     map[string]sealedImage
	set        *diskSet
	key        string     // the exhibits of the set
	generation int64      // of the index that the set was opened for
	old        []*diskSet // whose contents may still be read
}

var errClosed = errors.New("the case is closed")

func (d *diskCache) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	errs := []error{d.set.close()}
	for _, i := range d.images {
		errs = append(errs, i.Close())
	}
	for _, s := range d.old {
		errs = append(errs, s.close())
	}
	d.images, d.set, d.old = nil, nil, nil
	return errors.Join(errs...)
}

// image is the sealed image of an exhibit, opened at most once.
func (d *diskCache) image(f evidence.Folder, exhibit string) (sealedImage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errClosed
	}
	if i := d.images[exhibit]; i != nil {
		return i, nil
	}
	src, err := openSealed(f, exhibit)
	if err != nil {
		return nil, err
	}
	if d.images == nil {
		d.images = map[string]sealedImage{}
	}
	d.images[exhibit] = src
	return src, nil
}

// opened gives the disks of the exhibits that a snapshot of the index has.
func (d *diskCache) opened(f evidence.Folder, s *snapshot) (*diskSet, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return nil, errClosed
	case d.set != nil && d.generation == s.generation:
		return d.set, nil
	}
	all, err := evidence.ReadExhibits(f)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(a evidence.Acquisition) bool { return !slices.Contains(s.exhibits, a.Exhibit) })
	var key strings.Builder
	for _, a := range all {
		fmt.Fprintln(&key, a.Exhibit, a.Kind, a.SHA256)
	}
	d.generation = s.generation
	if d.set != nil && d.key == key.String() {
		return d.set, nil
	}
	if d.set != nil {
		d.old = append(d.old, d.set)
	}
	d.set, d.key = openDisks(f, all), key.String()
	return d.set, nil
}

// volume is a volume of an exhibit's image, with a file system.
func (c *Case) volume(ctx context.Context, exhibit, id string) (*disk.Volume, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	snap := c.snap
	c.mu.Unlock()
	if snap == nil {
		return nil, fmt.Errorf("volume %s of %s: no question was asked of the index", id, exhibit)
	}
	set, err := c.disks.opened(c.folder, snap)
	if err != nil {
		return nil, err
	}
	d, err := set.disk(exhibit)
	if err != nil {
		return nil, err
	}
	v := d.Volume(id)
	if v == nil {
		return nil, evidence.WithHint(fmt.Errorf("volume %s of %s: %w", id, exhibit, evidence.ErrNotFound), "snapcase stats CASE lists the volumes")
	}
	if v.FS == nil {
		return nil, fmt.Errorf("volume %s of %s: no file system is read there", id, exhibit)
	}
	return v, c.sameShape(set, snap, exhibit)
}

// sameShape refuses to read an exhibit whose volumes are not put together as
// they were when it was indexed: the image of another may be gone, and zeros
// would be read in its place.
func (c *Case) sameShape(set *diskSet, snap *snapshot, exhibit string) error {
	c.disks.mu.Lock()
	defer c.disks.mu.Unlock()
	if snap.compared[exhibit] {
		return nil
	}
	if snap.shapes[exhibit] != set.shape(exhibit) {
		return evidence.WithHint(fmt.Errorf("the volumes of %s are not put together as they were when it was indexed: an exhibit that they lie on may be missing", exhibit), "run snapcase verify CASE, then snapcase index CASE")
	}
	snap.compared[exhibit] = true
	return nil
}
