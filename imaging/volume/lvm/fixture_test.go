package lvm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"snapcase/imaging"
)

// memory is bytes as a source.
type memory []byte

func (m memory) Size() int64 { return int64(len(m)) }

func (m memory) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(m)) {
		return 0, io.EOF
	}
	n := copy(p, m[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

const (
	areaStart = 4096
	areaSize  = 64 << 10
	dataStart = 128 << 10 // of the first extent
	extent    = 64 << 10
	extents   = 14
	deviceLen = dataStart + extents*extent
)

// disk is a physical volume that a test writes.
type disk struct {
	memory
	next int64 // where the next text goes in the area
}

// id is a UUID whose letters are all c.
func id(c byte) string { return dashed(bytes.Repeat([]byte{c}, 32)) }

// newDisk makes a physical volume. Each 4 bytes of its extents tell which disk
// they are of and where they lie.
func newDisk(c byte) *disk {
	d := &disk{memory: make(memory, deviceLen), next: sectorSize}
	for i := dataStart; i < deviceLen; i += 4 {
		binary.BigEndian.PutUint32(d.memory[i:], uint32(c)<<24|uint32(i))
	}
	s := d.memory[sectorSize:][:sectorSize]
	copy(s, "LABELONE")
	le.PutUint64(s[8:], 1)
	le.PutUint32(s[20:], 32)
	copy(s[24:], "LVM2 001")
	copy(s[32:], strings.ReplaceAll(id(c), "-", ""))
	le.PutUint64(s[64:], deviceLen)
	le.PutUint64(s[72:], dataStart)
	le.PutUint64(s[72+32:], areaStart)
	le.PutUint64(s[72+40:], areaSize)
	le.PutUint32(s[16:], checksum(s[20:]))
	d.commit(0, 0, 0)
	return d
}

// commit writes the header of the area.
func (d *disk) commit(off, n int64, sum uint32) {
	h := d.memory[areaStart:][:sectorSize]
	clear(h)
	copy(h[4:], areaMagic)
	le.PutUint32(h[20:], 1)
	le.PutUint64(h[24:], areaStart)
	le.PutUint64(h[32:], areaSize)
	le.PutUint64(h[40:], uint64(off))
	le.PutUint64(h[48:], uint64(n))
	le.PutUint32(h[56:], sum)
	le.PutUint32(h, checksum(h[4:]))
}

// write adds a text to the buffer as LVM does and gives its offset there.
func (d *disk) write(text string) int64 {
	p := append([]byte(text), 0)
	at := d.next
	buf := d.memory[areaStart:][:areaSize]
	if n := copy(buf[at:], p); n < len(p) {
		copy(buf[sectorSize:], p[n:])
		d.next = sectorSize + int64(len(p)-n)
	} else {
		d.next = at + int64(n)
	}
	if d.next = (d.next + sectorSize - 1) / sectorSize * sectorSize; d.next >= areaSize {
		d.next = sectorSize
	}
	d.commit(at, int64(len(p)), checksum(p))
	return at
}

// vgText is a text of group vg; pvs are the letters of its members.
func vgText(seqno int, pvs string, volumes ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "vg {\nid = %q\nseqno = %d\nformat = \"lvm2\"\nstatus = [\"RESIZEABLE\", \"READ\", \"WRITE\"]\nflags = []\nextent_size = %d\nphysical_volumes {\n", id('G'), seqno, extent/sectorSize)
	for i, c := range pvs {
		fmt.Fprintf(&b, "pv%d {\nid = %q\ndevice = \"/dev/sd%c\"\nstatus = [\"ALLOCATABLE\"]\nflags = []\ndev_size = %d\npe_start = %d\npe_count = %d\n}\n", i, id(byte(c)), 'a'+i, deviceLen/sectorSize, dataStart/sectorSize, extents)
	}
	b.WriteString("}\n")
	if len(volumes) > 0 {
		b.WriteString("logical_volumes {\n" + strings.Join(volumes, "") + "}\n")
	}
	fmt.Fprintf(&b, "}\n# Generated\ncontents = \"Text Format Volume Group\"\nversion = 1\ndescription = \"Write from lvcreate %d.\"\ncreation_host = \"vm\"\ncreation_time = %d\n", seqno, 1700000000+seqno)
	return b.String()
}

// logical is one logical volume of a text; its UUID repeats the last letter.
func logical(name, status string, segments ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s {\nid = %q\nstatus = [%s]\nflags = []\nsegment_count = %d\n", name, id(name[len(name)-1]), status, len(segments))
	for i, s := range segments {
		fmt.Fprintf(&b, "segment%d {\n%s}\n", i+1, s)
	}
	return b.String() + "}\n"
}

const visible = `"READ", "WRITE", "VISIBLE"`

func striped(start, count int, areas ...any) string {
	var list []string
	for i := 0; i < len(areas); i += 2 {
		list = append(list, fmt.Sprintf("%q, %d", areas[i], areas[i+1]))
	}
	return fmt.Sprintf("start_extent = %d\nextent_count = %d\ntype = \"striped\"\nstripe_count = %d\nstripe_size = 16\nstripes = [\n%s\n]\n", start, count, len(list), strings.Join(list, ",\n"))
}

// group scans and gives the group of that number.
func group(t *testing.T, at int, pvs ...imaging.Source) Group {
	t.Helper()
	all, err := Scan(pvs)
	if err != nil {
		t.Fatal(err)
	}
	if at >= len(all) {
		t.Fatalf("%d groups", len(all))
	}
	return all[at]
}

func find(t *testing.T, all []LV, name string) *LV {
	t.Helper()
	for i := range all {
		if all[i].Name == name {
			return &all[i]
		}
	}
	t.Fatalf("no volume %q", name)
	return nil
}

// where says from which disk and byte the volume's byte off comes, as the
// fixtures mark it; zeros give 0, 0.
func where(t *testing.T, v *LV, off int64) (byte, int64) {
	t.Helper()
	if v.Source == nil {
		t.Fatalf("%s has no source: %s", v.Name, v.Reason)
	}
	var p [4]byte
	if _, err := v.Source.ReadAt(p[:], off); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	n := binary.BigEndian.Uint32(p[:])
	return byte(n >> 24), int64(n & 0xffffff)
}
