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
	images   map[string]*sealedImage
	failed   map[string]error // why an image could not be opened
}

// openDisks opens the disks among the exhibits. One whose image cannot be
// opened is left out: who asks for it gets the error.
func openDisks(all []evidence.Acquisition, open func(a *evidence.Acquisition) (*sealedImage, error)) *diskSet {
	s := &diskSet{exhibits: map[string]evidence.Acquisition{}, disks: map[string]*disk.Disk{}, images: map[string]*sealedImage{}, failed: map[string]error{}}
	var images []disk.Image
	for _, a := range all {
		if a.Kind != evidence.KindDisk {
			continue
		}
		src, err := open(&a)
		if err != nil {
			s.failed[a.Exhibit] = err
			continue
		}
		s.exhibits[a.Exhibit] = a
		s.images[a.Exhibit] = src
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
	for _, f := range s.images {
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

// under gives the images that the volumes of an exhibit lie on.
func (s *diskSet) under(exhibit string) (all []*sealedImage) {
	d := s.disks[exhibit]
	if d == nil {
		return nil
	}
	for _, o := range append([]*disk.Disk{d}, d.Reaches()...) {
		if i := s.images[o.Name]; i != nil {
			all = append(all, i)
		}
	}
	return all
}

// broken is the breach of an image that volumes of the exhibit lie on, as an
// error; nil for none.
func (s *diskSet) broken(exhibit string) error {
	for _, i := range s.under(exhibit) {
		if err := i.failed(); err != nil {
			return err
		}
	}
	return nil
}

// settle waits until all that was read of those images is hashed; then it is
// broken.
func (s *diskSet) settle(exhibit string) error {
	for _, i := range s.under(exhibit) {
		if err := i.settle(); err != nil {
			return err
		}
	}
	return nil
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
	images     map[string]*sealedImage
	old        []*sealedImage // of exhibits that were sealed since, or are read otherwise
	set        *diskSet       // of some of the images
	key        string         // the exhibits of the set
	generation int64          // of the index that the set was opened for
}

var errClosed = errors.New("the case is closed")

func (d *diskCache) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	var errs []error
	for _, i := range d.images {
		errs = append(errs, i.Close())
	}
	for _, i := range d.old {
		errs = append(errs, i.Close())
	}
	d.images, d.old, d.set = nil, nil, nil
	return errors.Join(errs...)
}

// forget has an exhibit opened anew; what was given of it stays valid.
func (d *diskCache) forget(exhibit string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drop(exhibit)
}

func (d *diskCache) drop(exhibit string) {
	if i := d.images[exhibit]; i != nil {
		d.old = append(d.old, i)
		delete(d.images, exhibit)
		d.set, d.key = nil, ""
	}
}

// image is the image of an exhibit, opened at most once as long as it stays as
// it is.
func (d *diskCache) image(c *Case, a *evidence.Acquisition) (*sealedImage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errClosed
	}
	return d.open(c, a)
}

// last is the image of an exhibit that was opened last; nil for none.
func (d *diskCache) last(exhibit string) *sealedImage {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.images[exhibit]
}

func (d *diskCache) open(c *Case, a *evidence.Acquisition) (*sealedImage, error) {
	exhibit := a.Exhibit
	if i := d.images[exhibit]; i != nil {
		if (i.early != nil) == a.Unsealed {
			return i, nil
		}
		d.drop(exhibit)
	}
	src, err := c.openImage(a)
	if err != nil {
		return nil, err
	}
	if d.images == nil {
		d.images = map[string]*sealedImage{}
	}
	if src.early != nil {
		src.early.shared = true
	}
	d.images[exhibit] = src
	return src, nil
}

// early are the images that are not sealed, with how often a read of each failed.
func (d *diskCache) early() map[*earlyImage]int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[*earlyImage]int64{}
	for _, i := range d.images {
		if i.early != nil {
			all[i.early] = i.early.fails.Load()
		}
	}
	return all
}

// broken is that of the disks which are open.
func (d *diskCache) broken(exhibit string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.set == nil {
		return nil
	}
	return d.set.broken(exhibit)
}

// opened gives the disks of the exhibits that a snapshot of the index has.
func (d *diskCache) opened(c *Case, s *snapshot) (*diskSet, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return nil, errClosed
	case d.set != nil && d.generation == s.generation:
		return d.set, nil
	}
	all, err := c.exhibits()
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(a evidence.Acquisition) bool { return !slices.Contains(s.exhibits, a.Exhibit) })
	var key strings.Builder
	for _, a := range all {
		fmt.Fprintln(&key, a.Exhibit, a.Kind, a.SHA256)
	}
	if d.set != nil && d.key == key.String() {
		d.generation = s.generation
		return d.set, nil
	}
	set := openDisks(all, func(a *evidence.Acquisition) (*sealedImage, error) { return d.open(c, a) })
	for _, i := range set.images {
		if i.early == nil {
			continue
		}
		if err := i.early.broken(0); err != nil { // what could not be had now is no damage
			d.drop(i.exhibit)
			return nil, err
		}
	}
	d.set, d.key, d.generation = set, key.String(), s.generation
	return d.set, nil
}

// volume is a volume of an exhibit's image, with a file system.
func (c *Case) volume(ctx context.Context, exhibit, id string) (*disk.Volume, error) {
	v, err := c.anyVolume(ctx, exhibit, id)
	if err == nil && v.FS == nil {
		return nil, fmt.Errorf("volume %s of %s: no file system is read there", id, exhibit)
	}
	return v, err
}

// anyVolume is a volume of an exhibit's image, whatever it holds.
func (c *Case) anyVolume(ctx context.Context, exhibit, id string) (*disk.Volume, error) {
	d, err := c.openDisk(ctx, exhibit)
	if err != nil {
		return nil, err
	}
	v := d.Volume(id)
	if v == nil {
		var have []string
		for _, v := range d.Volumes {
			have = append(have, v.ID)
		}
		return nil, evidence.WithHint(fmt.Errorf("volume %s of %s: %w", id, exhibit, evidence.ErrNotFound), "%s has %s", exhibit, strings.Join(have, ", "))
	}
	return v, nil
}

// openDisk is the disk that an exhibit's image holds, with the volumes that lie
// on it and on others.
func (c *Case) openDisk(ctx context.Context, exhibit string) (*disk.Disk, error) {
	snap, err := c.current(ctx)
	if err != nil {
		return nil, err
	}
	set, err := c.disks.opened(c, snap)
	if err != nil {
		return nil, err
	}
	d, err := set.disk(exhibit)
	if broken := set.broken(exhibit); broken != nil {
		return nil, broken // a reader may have taken it for damage
	}
	if err != nil {
		return nil, err
	}
	return d, c.sameShape(set, snap, exhibit)
}

// current is what is known of the index since the last question, or now where
// none was asked.
func (c *Case) current(ctx context.Context) (*snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	snap := c.snap
	c.mu.Unlock()
	if snap != nil {
		return snap, nil
	}
	q, err := c.ask(ctx)
	if err != nil {
		return nil, err
	}
	return q.snapshot, q.end()
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
