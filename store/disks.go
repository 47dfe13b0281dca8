package store

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"snapcase/imaging"
	"snapcase/imaging/disk"
	"snapcase/imaging/image"
)

// diskCache keeps the images that were opened, with their file systems. It is
// safe for concurrent use.
type diskCache struct {
	mu   sync.Mutex
	open map[string]*openDisk
}

type openDisk struct {
	src  *image.File
	once sync.Once
	disk *disk.Disk
	err  error
}

func (d *diskCache) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, o := range d.open {
		errs = append(errs, o.src.Close())
	}
	d.open = nil
	return errors.Join(errs...)
}

// image opens the sealed image of an exhibit, once.
func (c *Case) image(exhibit string) (*openDisk, error) {
	c.disks.mu.Lock()
	defer c.disks.mu.Unlock()
	if o := c.disks.open[exhibit]; o != nil {
		return o, nil
	}
	src, err := image.Open(c.folder.Image(exhibit))
	if err != nil {
		return nil, err
	}
	if c.disks.open == nil {
		c.disks.open = map[string]*openDisk{}
	}
	o := &openDisk{src: src}
	c.disks.open[exhibit] = o
	return o, nil
}

// volume is an opened volume of an exhibit; nil where there is none.
func (c *Case) volume(exhibit, id string) (*disk.Volume, error) {
	o, err := c.image(exhibit)
	if err != nil {
		return nil, err
	}
	o.once.Do(func() { o.disk, o.err = disk.Open(o.src) })
	if o.err != nil {
		return nil, o.err
	}
	return o.disk.Volume(id), nil
}

// OpenImage gives the bytes of a disk or memory exhibit.
func (c *Case) OpenImage(_ context.Context, exhibit string) (imaging.Source, error) {
	o, err := c.image(exhibit)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", exhibit, err)
	}
	return o.src, nil
}
