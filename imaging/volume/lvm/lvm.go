// Package lvm reads LVM2 volume groups, those that were removed too, without a
// device mapper. It follows what lvm.conf(5) and libvslvm's "Logical Volume
// Manager (LVM) format" say of the layout.
//
// # Layout
//
// A physical volume (PV) has its label in one of its first four sectors of 512
// bytes: LABELONE, the number of the sector (8 bytes), a CRC of what follows
// it (4), the offset of the PV header in the sector (4), "LVM2 001". All
// numbers are little-endian; the CRC is CRC-32 that starts with F597A6CF and
// is not inverted. The header is the UUID (32 letters), the size, then two
// lists of offset and size (8 bytes each) that each end with zeros: the data
// areas and the metadata areas.
//
// A metadata area begins with a header of one sector: CRC, " LVM2 x[5A%r0N*>",
// version, its own place and size, then up to two places of the text: offset
// in the area, size, CRC, flags. The rest of the area is a circular buffer:
// each change of the group writes the whole text anew at the next sector and
// moves the place; a text that meets the end goes on at byte 512 of the area.
//
// The text is sections and values:
//
//	vg0 {
//	id = "g6c00I-VS5Y-DNta-xoNQ-8npR-r2lv-eYHncM"
//	seqno = 5
//	extent_size = 2048
//	physical_volumes {
//	pv0 {
//	id = "tjDkdp-8lxU-WaFg-Yu0y-yBhG-5dpj-mCsuhj"
//	pe_start = 2048
//	…
//	logical_volumes {
//	root {
//	segment1 {
//	start_extent = 0
//	extent_count = 10
//	type = "striped"
//	stripes = ["pv0", 7]
//
// Sizes are in sectors of 512 bytes, places of volumes in extents. Byte b of
// root is byte 2048*512 + 7*2048*512 + b of the PV whose UUID pv0 has.
//
// # Which text counts
//
// Of all texts that the areas of all PVs name, the one with the highest seqno
// whose CRC holds. The older ones still stand in the buffers: Group.History
// lists them with the command that wrote each, and what they name and the
// newest does not is in Group.Gone, mapped as it was. A group that only older
// texts name is a Group too, marked Former. The bytes of what is gone may have
// been given to others since: its Damage says to whom.
//
// # What is read
//
// The segment types striped (linear is striped with one stripe), raid0, zero
// and error, volumes on volumes, and of mirror and raid1 one leg: the first
// that is whole, for raid1 the first that its own records call up to date.
// Snapshots, thin and cache volumes, VDO and the parity RAIDs are listed with
// the Reason why they have no Source. Bytes on a PV that is not there, or that
// its image lacks, read as zeros and are listed in LV.Gaps.
//
// # What it does not do
//
// It reads no thin pool, no snapshot and no parity; it does not compare the
// legs of a mirror; it knows nothing of LVM1, of shared groups' locks and of
// the shadow of lvmlockd. It does not look into the volumes.
package lvm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"snapcase/imaging"
)

var le = binary.LittleEndian

// sectorSize is the unit of the format, whatever the disk has.
const sectorSize = 512

// Group is one volume group.
type Group struct {
	UUID       string
	Name       string // "" for PVs that are in no group
	Seqno      uint64 // the number of the change that wrote the text
	Former     bool   // only older texts name it: it was removed, or what names it is not among the sources
	ExtentSize int64  // bytes
	Status     []string
	Written    imaging.Time // when the text was written, by the host's clock
	Host       string       // that wrote it
	PVs        []PV
	LVs        []LV      // in the order of the text, internal ones too
	Gone       []LV      // that older texts name and the newest does not
	History    []Version // the older texts, newest first
	Notes      []string  // what an examiner must know
}

// PV is one physical volume of a group.
type PV struct {
	Name    string // in the text: pv0
	UUID    string
	Source  int    // index into the sources of Scan, -1 when it is not among them
	Device  string // what the host called it: a hint
	Start   int64  // of the first extent, bytes
	Extents int64
	Size    int64  // bytes, as the text says
	Damage  string // "" or a code and a short sentence
}

// LV is one logical volume.
type LV struct {
	Name     string
	UUID     string
	Size     int64 // bytes
	Visible  bool  // false: it is a part of another
	Status   []string
	Created  imaging.Time
	Host     string // that created it
	Seqno    uint64 // of the text that it was taken from
	Segments []Segment
	Gaps     []Gap  // what reads as zeros because no source has it
	Damage   string // "" or codes with short sentences
	Reason   string // why Source is nil
	// Kind is what it is where it is not read: snapshot, thin, thin-pool, cache,
	// raid5, …, as the text has it; "" where its Source is set.
	Kind string
	// Source is the content, nil when it is not read. It is safe for concurrent
	// use as far as the sources are.
	Source imaging.Source

	plan *plan
}

// Segment is a run of a volume.
type Segment struct {
	Start, Size int64  // bytes in the volume
	Type        string // as stored: striped, raid1, thin, …
	StripeSize  int64  // bytes, 0 with one stripe
	Areas       []Area // the stripes, or the legs of a mirror
}

// Area is where a stripe or leg lies.
type Area struct {
	Name  string // of the PV in the text, or of another volume of the group
	PV    int    // index into Group.PVs, -1 for a volume
	Start int64  // bytes: from the start of the PV, or of the volume
	Size  int64  // bytes
}

// Gap is a run of a volume that no source has.
type Gap struct {
	Start, Size int64 // bytes in the volume
	// Of Stripes stripes of StripeSize bytes the one with this index (from 0)
	// is missing; the others of the run are there. Stripes is 1 where the whole
	// run is missing.
	Stripe, Stripes int
	StripeSize      int64
	What            string // "pv1 is not among the sources"
}

// Version is one older text of a group.
type Version struct {
	Seqno   uint64
	Name    string       // of the group at that time
	Written imaging.Time // by the host's clock
	Host    string
	Command string   // description: usually the command that wrote it
	LVs     []string // the names of the volumes
	Whole   bool     // false: newer texts have overwritten a part of it
	Source  int      // where it was found: index into the sources of Scan
	Offset  int64    // and bytes from the start of that
}

// Probe says whether src is a physical volume: it has a label, or a metadata
// area where one begins by default.
func Probe(src imaging.Source) bool {
	p, err := readAt(src, 0, 4*sectorSize)
	if err != nil {
		return false
	}
	for i := range 4 {
		if isLabel(p, i) {
			return true
		}
	}
	return hasArea(src, defaultArea)
}

// Scan reads the groups of the sources, of which each is one physical volume;
// others are passed over. Damage is told in the groups; the error is a failure
// of a source alone. Where the same physical volume is given several times
// (snapshots of several days, machines made of one image), each copy makes a
// group of its own, of those that name the same text; what is missing from a
// copy is not taken from another.
func Scan(pvs []imaging.Source) ([]Group, error) {
	s := scan{work: maxWork, values: 3 * maxValues, decoded: make(map[[32]byte]text)}
	for i, src := range pvs {
		if err := s.add(i, src); err != nil {
			return nil, fmt.Errorf("read lvm of source %d: %w", i, err)
		}
	}
	return s.groups(), nil
}

// readAt gives up to n bytes from off: fewer at the end of src.
func readAt(src imaging.Source, off int64, n int) ([]byte, error) {
	if off < 0 || off >= src.Size() || n <= 0 {
		return nil, nil
	}
	p := make([]byte, min(int64(n), src.Size()-off))
	n, err := src.ReadAt(p, off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return p[:n], err
}
