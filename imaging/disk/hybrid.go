package disk

import (
	"snapcase/imaging"
	"snapcase/imaging/volume"
)

// hybrid adds the volume of an ISO 9660 image that can also be written to a
// disk: its first 32 KiB are free for a partition table, whose partitions then
// cover a part of it, or all but its start. It has the identifier p0, as an
// image without a table, and goes first. A partition that begins where the
// image does holds it already.
func (d *Disk) hybrid(src imaging.Source, list []driver) {
	if d.Scheme == volume.SchemeNone {
		return
	}
	for _, v := range d.Volumes {
		if v.Start == 0 && v.FS != nil {
			return
		}
	}
	whole := &Volume{Volume: volume.Volume{ID: "p0", Scheme: volume.SchemeNone, Size: src.Size()}, Source: src, Image: d.Name, home: d.number}
	for _, dr := range list {
		if dr.name != "iso9660" {
			continue
		}
		fs, ok, err := dr.try(src)
		if err != nil || !ok || !rootReadable(fs) {
			return
		}
		if size := fs.Info().Size; size > 0 && size < whole.Size {
			whole.Size, whole.Source = size, imaging.Section(src, 0, size)
		}
		p := newProbe(whole.Source)
		whole.Signatures = p.all()
		whole.take(found{dr.name, fs})
		whole.note("it begins before the partitions, and has a partition table for when it is written to a disk")
		d.absorb(whole)
		d.Volumes = append([]*Volume{whole}, d.Volumes...)
	}
}

// padding is how far a partition of such an image may reach behind its volume.
const padding = 1 << 20

// absorb says of the partitions that lie in the image, and that hold nothing of
// their own, whose bytes they are.
func (d *Disk) absorb(whole *Volume) {
	for _, v := range d.Volumes {
		if v.FS == nil && v.FSType == "" && v.Err != nil && v.Start+v.Source.Size() <= whole.Size+padding {
			v.Err = nil
			v.note("nothing of its own is known in it: its bytes are those of the ISO 9660 volume p0 that begins before it")
		}
	}
}
