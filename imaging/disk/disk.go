// Package disk opens a disk image as a whole: it finds the volumes, says of
// each what it holds, and opens the file systems that have a reader. It has
// the one list of drivers.
//
// # Order of detection
//
// The partition table comes first (package volume), and each partition, each
// gap between partitions and, without a table, the whole image is a Volume. Of
// each volume all signatures are looked for that the package knows, at the
// start, at the places that formats use further in, and at the end. Then the
// drivers are asked in the order of the list whether the volume looks like
// theirs; they check the superblock by its own rules and look for backups.
//
// One driver that opens is the answer. Where several open, or a container
// (LVM2, LUKS, RAID, …) has its signature there too, the first file system
// whose root directory can be read wins, and Notes tells of every other
// signature: an ext4 superblock may have survived under a LUKS header, and the
// member of a mirror is readable by itself. Where none can be read, FSType is
// the signature that says most and Err says what would be needed.
//
// For example, of an image of a Debian cloud instance:
//
//	u1   unallocated  start     17408
//	p14  bios         start   1048576  boot code: no file system is expected
//	p15  efi          start   4194304  vfat
//	p1   linux        start 134217728  ext4
//
// # What a signature gives
//
// Type has the words that blkid(8) uses, UUID its text form, Label the text as
// stored, in UTF-8 where the format stores UTF-16.
//
// A driver that panics has failed on that volume; the others are not touched.
//
// An ISO 9660 image with a partition table, as installers are distributed, is a
// volume p0 beside its partitions.
//
// Physical volumes of LVM2 on the disk are put together: their logical volumes
// are volumes too, named vg-lv, and vg-lv@seqno where they were removed.
//
// What it does not do: it does not assemble what lies on several disks, nor
// RAID, does not decrypt, and does not search a gap for what does not begin at
// its start.
package disk

import (
	"fmt"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
	"snapcase/imaging/volume"
)

// Disk is an opened image. It is safe for concurrent use.
type Disk struct {
	Scheme     string          // of the partition table: gpt, mbr, none
	SectorSize int64           // bytes, that the table counts in
	UUID       string          // of the disk; "" when there is none
	State      []string        // what an examiner must know of the table
	Volumes    []*Volume       // by their start
	Regions    []volume.Region // runs of the image that hold tables
	size       int64
}

// Volume is a run of the image with what it holds.
type Volume struct {
	volume.Volume // ID, Scheme, Type, Code, Label, UUID, Start, Size, Damage: of the partition

	FS      filesystem.FileSystem // nil when none is read
	FSType  string                // by signature: ext4, xfs, vfat, swap, LVM2_member, …; "" when none is known
	FSLabel string                // of the file system or signature
	FSUUID  string
	// FSVersion is what blkid calls so: "FAT32", "2" for LUKS2; often "".
	FSVersion string
	// Notes is what an examiner must know: the state of the file system, of
	// the table (on the first volume), further signatures, why drivers failed.
	Notes []string
	// Err says why FS is nil though something is there, and what would be
	// needed. It is nil when FS is set, for gaps, and for volumes that hold no
	// file system by their nature (swap, boot code, zeros).
	Err error
	// Source is the bytes of the volume, as far as the image has them.
	Source imaging.Source

	Signatures []Signature // all that were found, the one that FSType names first

	logical *logical // of a volume that LVM made of others
}

func (v *Volume) note(format string, args ...any) {
	v.Notes = append(v.Notes, fmt.Sprintf(format, args...))
}

// Open reads the partition table and detects what each volume holds. Damage is
// told in the result; the error is a failure of the source alone, and only
// where the table could not be read. Where a volume could not be read its Err
// says so.
func Open(src imaging.Source) (*Disk, error) { return open(src, drivers()) }

func open(src imaging.Source, list []driver) (*Disk, error) {
	t, err := volume.Scan(src)
	if err != nil {
		return nil, fmt.Errorf("open disk: %w", err)
	}
	d := &Disk{Scheme: t.Scheme, SectorSize: t.SectorSize, UUID: t.UUID, State: t.State, Regions: t.Regions, size: src.Size()}
	for _, pv := range t.Volumes {
		v := &Volume{Volume: pv, Source: pv.Source(src)}
		v.detect(list)
		d.Volumes = append(d.Volumes, v)
	}
	d.hybrid(src, list)
	if err := d.assemble(list); err != nil {
		return nil, fmt.Errorf("open disk: %w", err)
	}
	if len(d.Volumes) > 0 {
		d.Volumes[0].Notes = append(prefixed("partition table: ", d.State), d.Volumes[0].Notes...)
	}
	return d, nil
}

func prefixed(prefix string, list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = prefix + s
	}
	return out
}

// Volume gives the volume with that id, nil when there is none.
func (d *Disk) Volume(id string) *Volume {
	for _, v := range d.Volumes {
		if v.ID == id {
			return v
		}
	}
	return nil
}

// Size is the length of the image in bytes.
func (d *Disk) Size() int64 { return d.size }

// Locate turns an offset of the image into one of the volume; ok is false
// where the volume does not hold that byte. Both are in bytes.
func (v *Volume) Locate(imageOffset int64) (volumeOffset int64, ok bool) {
	if v.logical != nil {
		return v.logical.locate(imageOffset)
	}
	at := imageOffset - v.Start
	if imageOffset < v.Start || at >= v.Source.Size() {
		return 0, false
	}
	return at, true
}
