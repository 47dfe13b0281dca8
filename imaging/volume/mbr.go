package volume

import (
	"bytes"
	"fmt"
	"strings"

	"snapcase/imaging"
)

// maxLogical bounds the chain of logical partitions.
const maxLogical = 1024

// mbr is sector 0, as far as it is a partition table.
type mbr struct {
	entries    [4]mbrEntry
	sector     int64
	signature  uint32
	valid      bool // it has entries that make sense
	protective bool // one of them covers a GPT
	boot       bool // a boot sector of a file system stands in the same place
	odd        bool // a status byte is neither 00 nor 80
}

type mbrEntry struct {
	slot   int // 0 to 3
	status byte
	code   byte
	first  uint64
	count  uint64
}

func (e mbrEntry) used() bool     { return e.code != 0 && e.count != 0 }
func (e mbrEntry) extended() bool { return e.code == 0x05 || e.code == 0x0f || e.code == 0x85 }

// parseEntries reads the four entries of a boot sector; ok is false without
// the signature at its end.
func parseEntries(p []byte) (entries [4]mbrEntry, ok bool) {
	if len(p) < 512 || p[510] != 0x55 || p[511] != 0xaa {
		return entries, false
	}
	for i := range entries {
		e := p[446+16*i:][:16]
		entries[i] = mbrEntry{i, e[0], e[4], uint64(le.Uint32(e[8:])), uint64(le.Uint32(e[12:]))}
	}
	return entries, true
}

// parseMBR tells a table from the boot sector of a file system, which has the
// same last two bytes and code where the entries would be.
func parseMBR(p []byte, size, sector int64) mbr {
	m := mbr{sector: sector}
	var ok bool
	if m.entries, ok = parseEntries(p); !ok {
		return m
	}
	m.signature = le.Uint32(p[440:])
	m.boot = bootSector(p)
	inside, all := 0, 0
	for _, e := range m.entries {
		if e.status != 0 && e.status != 0x80 {
			m.odd = true
		}
		if !e.used() {
			continue
		}
		all++
		if e.first > 0 && e.first < uint64(size/sector) {
			inside++
		}
		m.protective = m.protective || e.code == 0xee
	}
	switch {
	case m.boot:
		m.valid = !m.odd && all > 0 && inside == all
	case m.odd:
		m.valid = inside > 0
	default:
		m.valid = all > 0
	}
	m.protective = m.protective && m.valid
	return m
}

// bootSector says whether p is the first sector of FAT, NTFS, exFAT or
// BitLocker.
func bootSector(p []byte) bool {
	for _, oem := range []string{"NTFS    ", "EXFAT   ", "-FVE-FS-"} {
		if bytes.HasPrefix(p[3:], []byte(oem)) {
			return true
		}
	}
	sector, cluster := le.Uint16(p[11:]), p[13]
	return sector >= 512 && sector <= 4096 && sector&(sector-1) == 0 &&
		cluster != 0 && cluster&(cluster-1) == 0 &&
		le.Uint16(p[14:]) != 0 && (p[16] == 1 || p[16] == 2) && (p[21] == 0xf0 || p[21] >= 0xf8)
}

// fill makes the table of an MBR.
func (m mbr) fill(t *Table, src imaging.Source) {
	t.Scheme, t.SectorSize = SchemeMBR, m.sector
	if m.signature != 0 {
		t.UUID = fmt.Sprintf("%08x", m.signature)
	}
	size := src.Size()
	t.region(0, min(512, m.sector), size, "MBR")
	if m.boot {
		t.note("sector 0 is the boot sector of a file system as well as a partition table: the table was followed")
	}
	next := 5
	for _, e := range m.entries {
		switch {
		case !e.used():
		case e.extended():
			next = m.logical(t, src, e, next)
		case m.odd && (e.first == 0 || e.first >= uint64(size/m.sector)):
			t.note("entry %d of the MBR makes no sense (status 0x%02x, type 0x%02x, sector %d, %d sectors): it was left out", e.slot+1, e.status, e.code, e.first, e.count)
		default:
			t.Volumes = append(t.Volumes, m.volume(e, e.slot+1, size))
		}
	}
}

func (m mbr) volume(e mbrEntry, id int, size int64) Volume {
	v := Volume{ID: fmt.Sprintf("p%d", id), Scheme: SchemeMBR, Type: mbrType(e.code), Code: fmt.Sprintf("0x%02x", e.code)}
	if m.signature != 0 {
		v.UUID = fmt.Sprintf("%08x-%02x", m.signature, id)
	}
	v.Start, v.Size, v.Damage = span(e.first, e.count, m.sector, size)
	if e.status != 0 && e.status != 0x80 {
		v.damaged("range: its status byte is 0x%02x", e.status)
	}
	return v
}

// logical follows the chain of an extended partition and gives the number of
// the next logical one. A chain that breaks or comes back ends there, and
// Breaks says where: for a loop it is the record whose link comes back.
func (m mbr) logical(t *Table, src imaging.Source, ext mbrEntry, next int) int {
	size := src.Size()
	start, length, damage := span(ext.first, ext.count, m.sector, size)
	what := fmt.Sprintf("the extended partition of entry %d (type 0x%02x, start %d, %d bytes)", ext.slot+1, ext.code, start, length)
	if damage != "" {
		t.broken(max(start, size), "%s: %s", what, damage)
	}
	seen := map[uint64]bool{}
	off := int64(0) // of the record that names the next
	for at := ext.first; ; {
		if seen[at] || len(seen) >= maxLogical {
			t.broken(off, "%s: loop: its chain comes back to sector %d or has more than %d links", what, at, maxLogical)
			return next
		}
		seen[at] = true
		off, _, _ = span(at, 1, m.sector, size)
		p, err := read(src, off, 512)
		entries, ok := parseEntries(p)
		if err != nil || !ok {
			t.broken(off, "%s: the chain of logical partitions breaks at byte %d: %s", what, off, whyBroken(err, len(p)))
			return next
		}
		t.region(off, min(512, m.sector), size, "extended boot record")
		link := false
		base := at
		for _, e := range entries[:] {
			switch {
			case !e.used():
			case e.extended() && !link:
				link, at = true, ext.first+e.first
			case !e.extended() && e.slot < 2:
				e.first += base
				v := m.volume(e, next, size)
				if v.Start < start || v.Start+v.Size > start+length {
					v.damaged("range: it leaves its extended partition")
				}
				t.Volumes = append(t.Volumes, v)
				next++
			}
		}
		if !link {
			return next
		}
	}
}

func whyBroken(err error, n int) string {
	switch {
	case err != nil:
		return err.Error()
	case n < 512:
		return "it lies past the end of the image"
	}
	return "no boot record stands there"
}

// others lists the entries beside the protective one: a hybrid MBR.
func (m mbr) others() string {
	var s []string
	for _, e := range m.entries {
		if e.used() && e.code != 0xee {
			s = append(s, fmt.Sprintf("entry %d type 0x%02x sector %d, %d sectors", e.slot+1, e.code, e.first, e.count))
		}
	}
	return strings.Join(s, "; ")
}

// mbrType is the word for a type byte.
func mbrType(code byte) string {
	switch code {
	case 0x01, 0x04, 0x06, 0x0b, 0x0c, 0x0e, 0x11, 0x14, 0x16, 0x1b, 0x1c, 0x1e:
		return "fat"
	case 0x07, 0x17:
		return "ntfs" // or exFAT
	case 0x27:
		return "recovery"
	case 0x42:
		return "ldm"
	case 0x82:
		return "swap"
	case 0x83:
		return "linux"
	case 0x8e:
		return "lvm"
	case 0xa5, 0xa6, 0xa9:
		return "bsd"
	case 0xaf:
		return "hfs"
	case 0xbe, 0xbf:
		return "solaris"
	case 0x41:
		return "prep"
	case 0xda:
		return "data"
	case 0xe8:
		return "luks"
	case 0xea:
		return "boot"
	case 0xee:
		return "protective"
	case 0xef:
		return "efi"
	case 0xfb, 0xfc:
		return "vmfs"
	case 0xfd:
		return "raid"
	}
	return "unknown"
}
