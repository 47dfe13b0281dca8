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
// # Volumes made of others
//
// Members of Linux RAID are put together to arrays (md0, md-name), physical
// volumes of LVM2 to logical volumes (vg-lv, and vg-lv@seqno where they were
// removed), of all disks that are opened together and in either order: LVM on an
// array, an array of logical volumes. A partition table in such a volume gives
// volumes too (md0.p1). The search ends when nothing new comes of it, at the
// latest after five rounds; what says that it is a part of what it lies in is not
// followed. Of an instance with the volumes EX-001 and EX-002:
//
//	EX-001  p1       LVM2_member  a physical volume of the LVM group "data"
//	EX-002  p0       LVM2_member  a physical volume of the LVM group "data"
//	EX-001  data-db  xfs          it lies on EX-001, EX-002: it is listed under the first
//
// A member that is missing leaves gaps, which Notes tell of; Missing names the
// files that lie there. The file system of a mirror's member is that of the array
// and is listed there.
//
// A journal of ext4 or a log of XFS that lies on a volume of its own is found by
// its UUID among all volumes of all disks, and read with the file system; where
// several have that UUID none is taken, and Notes say which they are.
//
// # Bounds
//
// It does not decrypt, does not search a gap for what does not begin at its start,
// and does not assemble arrays of whole disks whose superblock stands at the end
// behind a partition table: their members are listed one by one.
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
	Breaks     []volume.Break  // where the table could not be followed, in bytes of the image
	Name       string          // as given to OpenAll
	Err        error           // why the image could not be read at all; nil as a rule
	size       int64
	set        *set
	number     int // in the set
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

	// Breaks is where a partition table in the volume could not be followed, in
	// bytes of the volume.
	Breaks []volume.Break

	// Image is the name of the image that the volume is listed under. Images
	// are the names of all that hold its bytes, where there are several.
	Image  string
	Images []string

	home int       // the number of the disk that it is listed under
	on   []int     // the numbers of the disks that hold its bytes, of a volume that was made or has its journal elsewhere
	made *assembly // nil for what the table of the disk has

	journal *Volume // nil where the file system has its own
}

func (v *Volume) note(format string, args ...any) {
	v.Notes = append(v.Notes, fmt.Sprintf(format, args...))
}

// Image is one of several images that are opened together.
type Image struct {
	Name   string // by which notes and owners tell of it: an exhibit's id
	Source imaging.Source
}

// Open reads the partition table and detects what each volume holds. Damage is
// told in the result; the error is a failure of the source alone, and only
// where the table could not be read. Where a volume could not be read its Err
// says so.
func Open(src imaging.Source) (*Disk, error) { return open(src, drivers()) }

func open(src imaging.Source, list []driver) (*Disk, error) {
	d := openAll([]Image{{Source: src}}, list)[0]
	if d.Err != nil {
		return nil, d.Err
	}
	return d, nil
}

// OpenAll opens the images of one machine together, so that what lies on
// several of them is put together. The disks come in the order of the images;
// one that cannot be read has its Err set and takes no part. A volume that
// lies on several is listed once, under the disk that holds its first byte.
func OpenAll(images []Image) []*Disk { return openAll(images, drivers()) }

func openAll(images []Image, list []driver) []*Disk {
	s := &set{drivers: list, made: make(map[string]*Volume)}
	for i, m := range images {
		d := &Disk{Name: m.Name, size: m.Source.Size(), set: s, number: i}
		s.disks = append(s.disks, d)
		t, err := volume.Scan(m.Source)
		if err != nil {
			d.Err = fmt.Errorf("open disk: %w", err)
			continue
		}
		d.Scheme, d.SectorSize, d.UUID, d.State, d.Regions, d.Breaks = t.Scheme, t.SectorSize, t.UUID, t.State, t.Regions, t.Breaks
		for _, pv := range t.Volumes {
			v := &Volume{Volume: pv, Source: pv.Source(m.Source), Image: m.Name, home: i}
			v.detect(list)
			d.Volumes = append(d.Volumes, v)
		}
		d.hybrid(m.Source, list)
	}
	s.assemble()
	s.journals()
	for _, d := range s.disks {
		if len(d.Volumes) > 0 {
			d.Volumes[0].Notes = append(prefixed("partition table: ", d.State), d.Volumes[0].Notes...)
		}
	}
	return s.disks
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

// Place turns an offset of the volume into one of the image that the volume is
// listed under; ok is false where that does not hold the byte. Of a mirror it
// is the copy that is read. Both are in bytes.
func (v *Volume) Place(volumeOffset int64) (imageOffset int64, ok bool) {
	disk, at, ok := v.place(volumeOffset)
	return at, ok && disk == v.home
}

// Locate turns an offset of the image that the volume is listed under into one
// of the volume; ok is false where the volume does not hold that byte. Both are
// in bytes.
func (v *Volume) Locate(imageOffset int64) (volumeOffset int64, ok bool) {
	return v.locate(v.home, imageOffset)
}
