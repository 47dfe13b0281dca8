package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"snapcase/evidence"
	"snapcase/imaging/disk"
)

// diskCache keeps the images that were opened, until the case is closed. It is
// safe for concurrent use.
type diskCache struct {
	mu     sync.Mutex
	closed bool
	images map[string]*openImage
}

// openImage is a sealed image; its disk is read when it is asked for.
type openImage struct {
	*sealedImage
	once sync.Once
	disk *disk.Disk
	err  error
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
	d.images = nil
	return errors.Join(errs...)
}

// image is the sealed image of an exhibit, opened at most once.
func (d *diskCache) image(f evidence.Folder, exhibit string) (*openImage, error) {
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
		d.images = map[string]*openImage{}
	}
	d.images[exhibit] = &openImage{sealedImage: src}
	return d.images[exhibit], nil
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

// openDisk is the disk that an exhibit's image holds.
func (c *Case) openDisk(ctx context.Context, exhibit string) (*disk.Disk, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	i, err := c.disks.image(c.folder, exhibit)
	if err != nil {
		return nil, err
	}
	i.once.Do(func() { i.disk, i.err = disk.Open(i.sealedImage) })
	if err := i.failed(); err != nil {
		return nil, err
	}
	return i.disk, i.err
}
