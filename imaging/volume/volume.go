// Package volume finds the volumes of a disk: the partitions of a GPT or MBR
// and the gaps between them. It follows the UEFI Specification, chapter 5, and
// for the MBR what the Linux kernel does.
//
// # Layout
//
// An MBR is sector 0: four entries of 16 bytes from byte 446 (status, type at
// 4, first sector at 8, count at 12, little-endian) and 55 AA at 510. An entry
// of type 05, 0F or 85 is an extended partition: its first sector has the same
// layout, with one logical partition (relative to that sector) and the link to
// the next such sector (relative to the extended partition).
//
// A GPT is a header in sector 1, an array of entries that it names, and a copy
// of both at the end of the disk; each header has a CRC of itself and one of
// the array. An entry has a type GUID, its own GUID, first and last sector and
// a name of 36 UTF-16 units. With sectors of 512 bytes, an entry from sector
// 2048 to 4095 is 1 MiB that starts at byte 1,048,576.
//
// # Volumes
//
// A partition is p1, p2, … by its place in the table (logical ones from p5);
// p0 is the whole image where there is no table; u1, u2, … are the gaps that
// neither a partition nor a table covers, in order. An entry that overlaps
// another, runs past the end of the image or fits no sense is listed all the
// same and its Damage says so. Where primary and backup GPT differ, or one is
// bad, Table.State says so: it is a finding. Where a chain of logical partitions
// is cut, damaged or comes back, those behind are not known: Table.Breaks has the
// place.
//
// # Why not a library
//
// The readers that exist refuse a table whose checksum or header is off, take
// the size of the entry array from the image without a bound, read no logical
// partition and do not compare the two copies.
//
// What it does not do: tables of BSD, Sun, SGI, Apple and DASD disks are named
// in State and not read; LVM2 and MD RAID are contents of volumes here.
package volume

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"snapcase/imaging"
)

var le = binary.LittleEndian

// The schemes that Scan reads.
const (
	SchemeGPT  = "gpt"
	SchemeMBR  = "mbr"
	SchemeNone = "none"
)

// Unallocated is the Type of a gap.
const Unallocated = "unallocated"

// Volume is a run of the image that a table names, a gap, or all of it.
type Volume struct {
	ID     string // p1, p2, …; p0 without a table; u1, u2, … for gaps
	Scheme string // gpt, mbr, none
	Type   string // linux, efi, bios, swap, lvm, raid, unallocated, …; "unknown", or "" for p0
	Code   string // as stored: a GUID in upper case, or "0x83"; "" for p0 and gaps
	Label  string // the name in a GPT entry
	UUID   string // of the partition: as Linux gives PARTUUID, lower case
	Start  int64  // bytes from the start of the image, as the table says
	Size   int64  // bytes, as the table says: it may run past the end of the image
	Damage string // "" or a code and a short sentence
}

// Source is the bytes of the volume, cut to what the image has.
func (v Volume) Source(src imaging.Source) imaging.Source {
	return imaging.Section(src, v.Start, v.Size)
}

// Gap says whether v is space that no partition covers.
func (v Volume) Gap() bool { return v.Type == Unallocated }

// Region is a run of the image that holds a table.
type Region struct {
	Start, Size int64 // bytes
	What        string
}

// Table is how an image is divided.
type Table struct {
	Scheme     string // gpt, mbr, none
	SectorSize int64  // bytes, that the table counts in
	UUID       string // of the disk: GPT GUID, or the MBR's signature; "" when there is none
	Volumes    []Volume
	Regions    []Region
	State      []string // what an examiner must know
	Breaks     []Break  // where it could not be followed; State tells of them too
}

// Break is a place where a table is cut or damaged, so that partitions that it
// names may be missing in Volumes.
type Break struct {
	Offset int64 // bytes from the start of the image
	Reason string
}

func (t *Table) broken(offset int64, format string, args ...any) {
	t.note(format, args...)
	t.Breaks = append(t.Breaks, Break{Offset: offset, Reason: t.State[len(t.State)-1]})
}

func (t *Table) note(format string, args ...any) {
	t.State = append(t.State, fmt.Sprintf(format, args...))
}

// Scan reads the partition table of src. Damage is told in the table; the
// error is a failure of the source alone. A source with a method SectorSize
// (bytes, 0 when not known) is asked for the unit that an MBR counts in, which
// is 512 otherwise; a GPT tells it by its place.
func Scan(src imaging.Source) (Table, error) {
	sector := int64(0)
	if s, ok := src.(interface{ SectorSize() int64 }); ok {
		sector = s.SectorSize()
	}
	return ScanSector(src, sector)
}

// ScanSector is Scan with the sector size in bytes that an MBR counts in; 0,
// or what no disk has, is taken as 512.
func ScanSector(src imaging.Source, sector int64) (Table, error) {
	if !slices.Contains(sectorSizes(), sector) {
		sector = 512
	}
	first, err := read(src, 0, 512)
	if err != nil {
		return Table{}, fmt.Errorf("read partition table: %w", err)
	}
	m := parseMBR(first, src.Size(), sector)
	t := Table{Scheme: SchemeNone, SectorSize: sector}
	if g := findGPT(src, sector); g.found() && (!m.valid || m.protective) {
		g.fill(&t, src.Size(), m)
	} else if m.valid && !m.protective {
		m.fill(&t, src)
		g.ignored(&t)
	} else {
		t.whole(src, m)
	}
	t.finish(src.Size())
	return t, nil
}

// sectorSizes are those that disks have, the usual first.
func sectorSizes() []int64 { return []int64{512, 4096, 2048, 1024} }

// whole is the table of an image that has none.
func (t *Table) whole(src imaging.Source, m mbr) {
	if m.protective {
		t.note("the MBR protects a GPT, of which neither copy was found")
	}
	if name := foreignTable(src); name != "" {
		t.note("a %s partition table was found: it is not read yet", name)
	}
	t.Volumes = []Volume{{ID: "p0", Scheme: SchemeNone, Size: src.Size()}}
}

// read gives up to n bytes from off: fewer at the end of src.
func read(src imaging.Source, off int64, n int) ([]byte, error) {
	p := make([]byte, n)
	if off < 0 || off >= src.Size() {
		return nil, nil
	}
	n, err := src.ReadAt(p, off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return p[:n], err
}

// span turns sectors into bytes and says when they leave what an int64 holds
// or what the image has.
func span(first, count uint64, sector, size int64) (start, length int64, damage string) {
	const top = math.MaxInt64
	unit := uint64(sector)
	switch {
	case first > top/unit:
		return top, 0, fmt.Sprintf("range: it starts at sector %d, which no image has", first)
	case count > (top-first*unit)/unit:
		start = int64(first * unit)
		return start, top - start, fmt.Sprintf("range: it has %d sectors, which no image has", count)
	}
	start, length = int64(first*unit), int64(count*unit)
	switch {
	case start >= size:
		damage = "truncated: it starts past the end of the image"
	case length > size-start:
		damage = fmt.Sprintf("truncated: its last %d bytes lie past the end of the image", length-(size-start))
	}
	return start, length, damage
}

func (v *Volume) damaged(format string, args ...any) {
	if v.Damage != "" {
		v.Damage += "; "
	}
	v.Damage += fmt.Sprintf(format, args...)
}

// finish marks overlaps, adds the gaps and sorts by start.
func (t *Table) finish(size int64) {
	byStart := func(a, b Volume) int { return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Size, b.Size)) }
	slices.SortStableFunc(t.Volumes, byStart)
	t.overlaps()
	if t.Scheme != SchemeNone {
		t.Volumes = append(t.Volumes, t.gaps(size)...)
		slices.SortStableFunc(t.Volumes, byStart)
	}
}

// overlaps marks partitions that share bytes with another or with a table.
func (t *Table) overlaps() {
	far := -1 // the one that reaches farthest so far
	for i := range t.Volumes {
		v := &t.Volumes[i]
		if v.Size == 0 {
			continue
		}
		if far >= 0 && v.Start < t.Volumes[far].Start+t.Volumes[far].Size {
			v.damaged("overlap: it shares bytes with %s", t.Volumes[far].ID)
			t.Volumes[far].damaged("overlap: it shares bytes with %s", v.ID)
		}
		if far < 0 || v.Start+v.Size > t.Volumes[far].Start+t.Volumes[far].Size {
			far = i
		}
	}
	for i := range t.Volumes {
		v := &t.Volumes[i]
		for _, r := range t.Regions {
			if v.Start < r.Start+r.Size && r.Start < v.Start+v.Size {
				v.damaged("overlap: it covers the %s", r.What)
				break
			}
		}
		if len(v.Damage) > 500 {
			v.Damage = v.Damage[:500] + " …"
		}
	}
}

// gaps gives what neither partitions nor tables cover.
func (t *Table) gaps(size int64) []Volume {
	type run struct{ start, end int64 }
	var used []run
	for _, v := range t.Volumes {
		used = append(used, run{min(v.Start, size), min(v.Start+v.Size, size)})
	}
	for _, r := range t.Regions {
		used = append(used, run{r.Start, r.Start + r.Size})
	}
	used = append(used, run{size, size})
	slices.SortFunc(used, func(a, b run) int { return cmp.Compare(a.start, b.start) })
	var gaps []Volume
	at := int64(0)
	for _, u := range used {
		if u.start > at {
			gaps = append(gaps, Volume{
				ID: fmt.Sprintf("u%d", len(gaps)+1), Scheme: t.Scheme, Type: Unallocated, Start: at, Size: u.start - at,
			})
		}
		at = max(at, u.end)
	}
	return gaps
}

// region notes a run of the image that holds a table, cut to the image.
func (t *Table) region(start, n, size int64, what string) {
	if start >= 0 && start < size && n > 0 {
		t.Regions = append(t.Regions, Region{Start: start, Size: min(n, size-start), What: what})
	}
}
