// Package disk opens all of an image in the right order: its partition table,
// its volumes, their file systems. It holds the one list of drivers.
package disk

import (
	"errors"
	"fmt"
	"io"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/ext4"
	"snapcase/imaging/filesystem/fat"
	"snapcase/imaging/volume"
)

// driver reads one kind of file system.
type driver struct {
	name  string
	probe func(imaging.Source) bool
	open  func(imaging.Source) (filesystem.FileSystem, error)
}

func drivers() []driver {
	return []driver{
		{"ext4", ext4.Probe, func(s imaging.Source) (filesystem.FileSystem, error) { return ext4.Open(s) }},
		{"fat", fat.Probe, func(s imaging.Source) (filesystem.FileSystem, error) { return fat.Open(s) }},
	}
}

// Disk is an opened image.
type Disk struct {
	Scheme     string
	SectorSize int64
	State      []string
	Volumes    []*Volume
	Regions    []volume.Region
}

// Volume is one volume of a disk with what lies in it.
type Volume struct {
	volume.Volume
	FS              filesystem.FileSystem
	FSType          string
	FSLabel, FSUUID string
	Notes           []string
	Err             error
	Source          imaging.Source
}

// Open reads the partition table and opens what lies in the volumes.
func Open(src imaging.Source) (*Disk, error) {
	t, err := volume.Scan(src)
	if err != nil {
		return nil, err
	}
	d := &Disk{Scheme: t.Scheme, SectorSize: t.SectorSize, State: t.State, Regions: t.Regions}
	for _, v := range t.Volumes {
		o := &Volume{Volume: v, Source: v.Source(src)}
		o.open()
		d.Volumes = append(d.Volumes, o)
	}
	return d, nil
}

func (v *Volume) open() {
	for _, d := range drivers() {
		if !d.probe(v.Source) {
			continue
		}
		fs, err := d.open(v.Source)
		if err != nil {
			v.Err = err
			continue
		}
		i := fs.Info()
		v.FS, v.FSType, v.FSLabel, v.FSUUID, v.Err = fs, i.Type, i.Label, i.UUID, nil
		v.Notes = append(v.Notes, i.State...)
		return
	}
	if v.Err == nil && !v.Gap() && !v.empty() {
		v.Err = errors.New("no file system is known here")
	}
}

func (v *Volume) empty() bool {
	p := make([]byte, 64<<10)
	n, err := v.Source.ReadAt(p, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		v.Err = fmt.Errorf("read volume: %w", err)
	}
	for _, c := range p[:n] {
		if c != 0 {
			return false
		}
	}
	return true
}

// Volume is the volume of an id; nil when there is none.
func (d *Disk) Volume(id string) *Volume {
	for _, v := range d.Volumes {
		if v.ID == id {
			return v
		}
	}
	return nil
}
