package volume

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"unicode/utf16"

	"snapcase/imaging"
)

const (
	entryMin   = 128     // bytes
	entryMax   = 4096    // bytes
	arrayBytes = 4 << 20 // bytes of entries that are read at most
)

// header is one copy of a GPT.
type header struct {
	at       int64 // bytes from the start of the image
	sector   int64
	self     uint64
	other    uint64 // sector of the other copy
	first    uint64 // usable sectors
	last     uint64
	guid     string
	array    uint64 // first sector of the entries
	count    uint32
	entry    uint32 // bytes
	entries  []byte
	headGood bool     // its own checksum holds
	problems []string // none: header and entries are sound
}

func (h *header) bad(format string, args ...any) {
	h.problems = append(h.problems, fmt.Sprintf(format, args...))
}

func (h *header) sound() bool { return h != nil && len(h.problems) == 0 }

// gpt is the two copies; either may be nil.
type gpt struct {
	primary, backup *header
	lost            int64 // where the backup should be and the image does not reach; 0 otherwise
}

func (g gpt) found() bool {
	return g.primary != nil && g.primary.entries != nil || g.backup != nil && g.backup.entries != nil
}

// findGPT looks for the primary behind sector 0 and for the backup where the
// primary says and at the end of the image.
func findGPT(src imaging.Source, sector int64) gpt {
	var g gpt
	sizes := sectorSizes()
	slices.SortStableFunc(sizes, func(a, b int64) int { // the likely one first
		switch sector {
		case a:
			return -1
		case b:
			return 1
		}
		return 0
	})
	for _, s := range sizes {
		if h := readHeader(src, s, s); h != nil && (g.primary == nil || !g.primary.sound() && h.sound()) {
			g.primary = h
		}
	}
	if p := g.primary; p != nil && p.headGood {
		at, _, _ := span(p.other, 1, p.sector, src.Size())
		if at > src.Size()-p.sector {
			g.lost = at
		} else if at != p.at {
			g.backup = readHeader(src, at, p.sector)
		}
	}
	for _, s := range sizes {
		if g.backup.sound() {
			break
		}
		at := (src.Size()/s - 1) * s
		if g.primary != nil && (s != g.primary.sector || at == g.primary.at) {
			continue
		}
		if h := readHeader(src, at, s); h != nil && (g.backup == nil || h.sound()) {
			g.backup = h
		}
	}
	return g
}

// readHeader reads the copy whose header lies at a byte; nil without its
// signature there.
func readHeader(src imaging.Source, at, sector int64) *header {
	if at <= 0 {
		return nil
	}
	p, err := read(src, at, int(sector))
	if err != nil || len(p) < 512 || !bytes.HasPrefix(p, []byte("EFI PART")) {
		return nil
	}
	h := &header{
		at: at, sector: sector, self: le.Uint64(p[24:]), other: le.Uint64(p[32:]), first: le.Uint64(p[40:]), last: le.Uint64(p[48:]),
		guid: guid(p[56:72]), array: le.Uint64(p[72:]), count: le.Uint32(p[80:]), entry: le.Uint32(p[84:]),
	}
	n := le.Uint32(p[12:])
	if n < 92 || int(n) > len(p) {
		h.bad("its header says that it has %d bytes", n)
		n = 92
	}
	sum := le.Uint32(p[16:])
	clear(p[16:20])
	if h.headGood = crc32.ChecksumIEEE(p[:n]) == sum && len(h.problems) == 0; !h.headGood && len(h.problems) == 0 {
		h.bad("the checksum of its header does not match")
	}
	if h.self != uint64(at/sector) {
		h.bad("its header says that it lies in sector %d and lies in %d", h.self, at/sector)
	}
	h.readEntries(src, le.Uint32(p[88:]))
	return h
}

// readEntries reads the array and compares its checksum.
func (h *header) readEntries(src imaging.Source, sum uint32) {
	if h.entry < entryMin || h.entry > entryMax || h.entry%8 != 0 {
		h.bad("its entries have %d bytes each", h.entry)
		return
	}
	want := uint64(h.count) * uint64(h.entry)
	if want > arrayBytes {
		h.bad("it says that it has %d entries: %d were read", h.count, arrayBytes/h.entry)
		want = arrayBytes / uint64(h.entry) * uint64(h.entry)
	}
	off, _, _ := span(h.array, 1, h.sector, src.Size())
	p, err := read(src, off, int(min(want, uint64(src.Size())))) //nolint:gosec // at most arrayBytes
	switch {
	case err != nil:
		h.bad("its entries at byte %d: %v", off, err)
	case uint64(len(p)) < want:
		h.bad("its entries at byte %d end with the image after %d of %d bytes", off, len(p), want)
	case crc32.ChecksumIEEE(p) != sum && want == uint64(h.count)*uint64(h.entry):
		h.bad("the checksum of its entries does not match")
	}
	h.entries = p[:len(p)/int(h.entry)*int(h.entry)]
}

// fill makes the table of a GPT: from the primary when it is sound, else from
// the backup when that is, else from the one whose header is better.
func (g gpt) fill(t *Table, size int64, m mbr) {
	use, name := g.choose()
	t.Scheme, t.SectorSize, t.UUID = SchemeGPT, use.sector, use.guid
	t.region(0, min(512, use.sector), size, "MBR")
	for _, c := range []struct {
		h    *header
		name string
	}{{g.primary, "primary"}, {g.backup, "backup"}} {
		if c.h == nil {
			continue
		}
		t.region(c.h.at, c.h.sector, size, c.name+" GPT header")
		if off, _, damage := span(c.h.array, 1, c.h.sector, size); damage == "" && off > 0 {
			n := int64(len(c.h.entries))
			t.region(off, (n+c.h.sector-1)/c.h.sector*c.h.sector, size, c.name+" GPT entries")
		}
	}
	g.findings(t, size, m, name)
	for i := 0; (i+1)*int(use.entry) <= len(use.entries); i++ {
		use.volume(t, i, size)
	}
}

func (g gpt) choose() (*header, string) {
	p, b := g.primary, g.backup
	switch {
	case b == nil || b.entries == nil:
		return p, "primary"
	case p == nil || p.entries == nil:
		return b, "backup"
	case p.sound() || !b.sound() && (p.headGood || !b.headGood):
		return p, "primary"
	}
	return b, "backup"
}

// findings says what is wrong with the copies and between them.
func (g gpt) findings(t *Table, size int64, m mbr, used string) {
	switch {
	case !m.protective:
		t.note("no protective MBR stands before the GPT")
	case m.others() != "":
		t.note("hybrid MBR: beside the GPT it has %s", m.others())
	}
	p, b := g.primary, g.backup
	if p == nil {
		t.note("the primary GPT is gone: the backup at byte %d is used", b.at)
	} else if !p.sound() {
		t.note("the primary GPT at byte %d is bad: %s; the %s is used", p.at, strings.Join(p.problems, "; "), used)
	}
	switch {
	case b == nil && g.lost > 0:
		t.note("the backup GPT should lie at byte %d, past the end of the image: the image is cut or was never whole", g.lost)
	case b == nil:
		t.note("no backup GPT was found")
	case !b.sound():
		t.note("the backup GPT at byte %d is bad: %s; the %s is used", b.at, strings.Join(b.problems, "; "), used)
	}
	if b != nil && size-(b.at+b.sector) >= b.sector {
		t.note("%d bytes lie behind the backup GPT", size-(b.at+b.sector))
	}
	if p != nil && b != nil {
		if d := differ(p, b); d != "" {
			t.note("primary and backup GPT differ: %s; the %s is used", d, used)
		}
	}
}

// differ says in which of what must be the same the copies are not.
func differ(p, b *header) string {
	var s []string
	if p.guid != b.guid {
		s = append(s, fmt.Sprintf("disk GUID %s and %s", p.guid, b.guid))
	}
	if p.first != b.first || p.last != b.last {
		s = append(s, fmt.Sprintf("usable sectors %d to %d and %d to %d", p.first, p.last, b.first, b.last))
	}
	switch {
	case p.entries == nil || b.entries == nil:
	case p.entry != b.entry || p.count != b.count:
		s = append(s, fmt.Sprintf("%d entries of %d bytes and %d of %d", p.count, p.entry, b.count, b.entry))
	default:
		n := 0
		for i := 0; i < min(len(p.entries), len(b.entries)); i += int(p.entry) {
			x, y := p.entries[i:][:p.entry], b.entries[i:][:p.entry]
			if bytes.Equal(x, y) {
				continue
			}
			if n++; n <= 8 {
				s = append(s, fmt.Sprintf("entry %d is sectors %d to %d and %d to %d", i/int(p.entry)+1, le.Uint64(x[32:]), le.Uint64(x[40:]), le.Uint64(y[32:]), le.Uint64(y[40:])))
			}
		}
		if n > 8 {
			s = append(s, fmt.Sprintf("%d more entries", n-8))
		}
	}
	return strings.Join(s, ", ")
}

// ignored says that a GPT lies behind an MBR that does not protect it.
func (g gpt) ignored(t *Table) {
	if g.found() {
		h, name := g.choose()
		t.note("a %s GPT lies at byte %d, and the MBR does not protect it: the MBR was followed, as the kernel does", name, h.at)
	}
}

// volume adds entry i. An unused entry that is not empty is told in State: it
// may be what is left of a partition.
func (h *header) volume(t *Table, i int, size int64) {
	e := h.entries[i*int(h.entry):][:h.entry]
	first, last := le.Uint64(e[32:]), le.Uint64(e[40:])
	if zero(e[:16]) {
		if !zero(e) && len(t.State) < 64 {
			t.note("entry %d of the GPT is unused and not empty: GUID %s, sectors %d to %d, name %q", i+1, guid(e[16:32]), first, last, name(e[56:128]))
		}
		return
	}
	code := guid(e[:16])
	v := Volume{
		ID: fmt.Sprintf("p%d", i+1), Scheme: SchemeGPT, Type: gptType(code), Code: code,
		Label: name(e[56:128]), UUID: strings.ToLower(guid(e[16:32])),
	}
	count := uint64(0)
	if last >= first {
		count = last - first + 1
	}
	v.Start, v.Size, v.Damage = span(first, count, h.sector, size)
	switch {
	case last < first:
		v.damaged("range: it ends in sector %d before it starts in %d", last, first)
	case h.headGood && (first < h.first || last > h.last):
		v.damaged("range: it leaves the usable sectors %d to %d", h.first, h.last)
	}
	t.Volumes = append(t.Volumes, v)
}

func zero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

// guid is the text form of the 16 bytes, of which the first three parts are
// little-endian.
func guid(p []byte) string {
	return fmt.Sprintf("%08X-%04X-%04X-%X-%X", le.Uint32(p), le.Uint16(p[4:]), le.Uint16(p[6:]), p[8:10], p[10:16])
}

// name is UTF-16 up to its NUL.
func name(p []byte) string {
	u := make([]uint16, 0, len(p)/2)
	for i := 0; i+1 < len(p); i += 2 {
		c := le.Uint16(p[i:])
		if c == 0 {
			break
		}
		u = append(u, c)
	}
	return string(utf16.Decode(u))
}

// gptType is the word for a type GUID.
func gptType(code string) string {
	switch code {
	case "C12A7328-F81F-11D2-BA4B-00A0C93EC93B":
		return "efi"
	case "21686148-6449-6E6F-744E-656564454649":
		return "bios"
	case "0FC63DAF-8483-4772-8E79-3D69D8477DE4", // file system data
		"4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", // root, x86-64
		"44479540-F297-41B2-9AF7-D131D5F0458A", // root, x86
		"B921B045-1DF0-41C3-AF44-4C6F280D3FAE", // root, arm64
		"8484680C-9521-48C6-9C11-B0720656F69E", // usr, x86-64
		"4D21B016-B534-45C2-A9FB-5C16E091FD2D", // var
		"7EC6F557-3BC5-4ACA-B293-16EF5DF639D1", // tmp
		"3B8F8425-20E0-4F3B-907F-1A25A76F98E8", // srv
		"933AC7E1-2EB4-4F13-B844-0E14E2AEF915": // home
		return "linux"
	case "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F":
		return "swap"
	case "E6D6D379-F507-44C2-A23C-238F2A3DF928":
		return "lvm"
	case "A19D880F-05FC-4D3B-A006-743F0F84911E":
		return "raid"
	case "BC13C2FF-59E6-4262-A352-B275FD6F7172":
		return "boot"
	case "CA7D7CCB-63ED-4C53-861C-1742536059CC":
		return "luks"
	case "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7":
		return "data"
	case "E3C9E316-0B5C-4DB8-817D-F92DF00215AE":
		return "reserved"
	case "DE94BBA4-06D1-4D40-A16A-BFD50179D6AC":
		return "recovery"
	case "5808C8AA-7E8F-42E0-85D2-E1E90434CFB3", "AF9B60A0-1431-4F62-BC68-3311714A69AD":
		return "ldm"
	case "E75CAF8F-F680-4CEE-AFA3-B001E56EFC2D":
		return "storage-space"
	case "9E1A2D38-C612-4316-AA26-8B49521E5A8B":
		return "prep"
	case "48465300-0000-11AA-AA11-00306543ECAC":
		return "hfs"
	case "7C3457EF-0000-11AA-AA11-00306543ECAC":
		return "apfs"
	case "6A898CC3-1DD2-11B2-99A6-080020736631":
		return "zfs"
	case "516E7CB4-6ECF-11D6-8FF8-00022D09712B", "516E7CB5-6ECF-11D6-8FF8-00022D09712B",
		"516E7CB6-6ECF-11D6-8FF8-00022D09712B", "516E7CBA-6ECF-11D6-8FF8-00022D09712B":
		return "bsd"
	case "AA31E02A-400F-11DB-9590-000C2911D1B8":
		return "vmfs"
	}
	return "unknown"
}
