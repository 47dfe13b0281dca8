package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// orders are the two orders of bytes.
func orders() []binary.ByteOrder { return []binary.ByteOrder{le, be} }

// serial is how DOS writes the number of a volume.
func serial(b []byte) string {
	n := le.Uint32(b)
	return fmt.Sprintf("%04X-%04X", n>>16, n&0xffff)
}

func powerOfTwo(n uint32) bool { return n != 0 && n&(n-1) == 0 }

func ntfsSignature(p *probe) (Signature, bool) {
	b := p.at(0, 512)
	if b == nil || string(b[3:11]) != "NTFS    " {
		return Signature{}, false
	}
	return Signature{Type: "ntfs", UUID: fmt.Sprintf("%016X", le.Uint64(b[72:])), Label: ntfsLabel(p, b), Offset: 3}, true
}

// ntfsLabel reads the attribute $VOLUME_NAME of the fourth record of the MFT.
func ntfsLabel(p *probe, b []byte) string {
	sector, cluster := int64(le.Uint16(b[11:])), int64(b[13])
	if cluster > 128 {
		cluster = 1 << min(256-cluster, 16)
	}
	record := int64(int8(b[64])) //nolint:gosec // the format's own sign
	if record < 0 {
		record = 1 << min(-record, 16)
	} else {
		record *= sector * cluster
	}
	mft := le.Uint64(b[48:])
	if sector < 256 || sector > 4096 || cluster == 0 || record < 512 || record > 65536 || mft > uint64(p.size/(sector*cluster)) {
		return ""
	}
	r := p.at(int64(mft)*sector*cluster+3*record, int(record))
	if r == nil || string(r[:4]) != "FILE" {
		return ""
	}
	for at := int(le.Uint16(r[20:])); at+24 <= len(r); {
		kind, n := le.Uint32(r[at:]), int(min(le.Uint32(r[at+4:]), 65536))
		if n < 24 || at+n > len(r) {
			return ""
		}
		if kind == 0x60 && r[at+8] == 0 {
			size, off := int(min(le.Uint32(r[at+16:]), 65536)), int(le.Uint16(r[at+20:]))
			if off+size > n {
				return ""
			}
			return wide(r[at+off:][:size], le)
		}
		at += n
	}
	return ""
}

func exfatSignature(p *probe) (Signature, bool) {
	b := p.at(0, 512)
	if b == nil || string(b[3:11]) != "EXFAT   " {
		return Signature{}, false
	}
	s := Signature{Type: "exfat", UUID: serial(b[100:]), Version: fmt.Sprintf("%d.%d", b[105], b[104]), Offset: 3}
	s.Label = exfatLabel(p, b)
	return s, true
}

// exfatLabel searches the first clusters of the root directory.
func exfatLabel(p *probe, b []byte) string {
	sector, cluster := b[108], b[109]
	table, heap, root := int64(le.Uint32(b[80:])), int64(le.Uint32(b[88:])), int64(le.Uint32(b[96:]))
	if sector < 9 || sector > 12 || cluster > 25-sector {
		return ""
	}
	left := 1 << 14 // records
	for range 64 {
		if root < 2 || root >= 0xfffffff7 {
			return ""
		}
		at := heap<<sector + (root-2)<<(sector+cluster)
		for end := at + 1<<(sector+cluster); at < end && left > 0; at += 32 {
			left--
			r := p.at(at, 32)
			if r == nil || r[0] == 0 {
				return ""
			}
			if r[0] == 0x83 {
				return wide(r[2:][:2*min(r[1], 11)], le)
			}
		}
		next := p.at(table<<sector+root*4, 4)
		if next == nil {
			return ""
		}
		root = int64(le.Uint32(next))
	}
	return ""
}

// vfat knows FAT by the fields of its boot sector, which must make sense
// together. The label is that of the boot sector; the driver knows better.
func vfat(p *probe) (Signature, bool) {
	b := p.at(0, 512)
	if b == nil || b[510] != 0x55 || b[511] != 0xaa || string(b[3:11]) == "NTFS    " || string(b[3:11]) == "EXFAT   " || string(b[3:11]) == "-FVE-FS-" {
		return Signature{}, false
	}
	sector, cluster := uint32(le.Uint16(b[11:])), uint32(b[13])
	small := uint32(le.Uint16(b[22:]))
	if sector < 512 || sector > 4096 || !powerOfTwo(sector) || !powerOfTwo(cluster) || le.Uint16(b[14:]) == 0 ||
		b[16] == 0 || b[16] > 4 || b[21] != 0xf0 && b[21] < 0xf8 || small == 0 && le.Uint32(b[36:]) == 0 {
		return Signature{}, false
	}
	s := Signature{Type: "vfat", Version: "FAT16", UUID: serial(b[39:]), Label: bootLabel(b[43:54])}
	switch {
	case small == 0:
		s.Version, s.UUID, s.Label = "FAT32", serial(b[67:]), bootLabel(b[71:82])
	case bytes.HasPrefix(b[54:], []byte("FAT12")):
		s.Version = "FAT12"
	}
	return s, true
}

// bootLabel is the label of a boot sector, where "NO NAME" stands for none.
func bootLabel(b []byte) string {
	if s := padded(b); s != "NO NAME" {
		return s
	}
	return ""
}

// bitlocker reads the header and, where that names a block of metadata, the
// identifier and the description of the volume.
func bitlocker(p *probe) (Signature, bool) {
	b := p.at(0, 512)
	if b == nil || string(b[3:11]) != "-FVE-FS-" && string(b[3:11]) != "MSWIN4.1" {
		return Signature{}, false
	}
	s := Signature{Type: "BitLocker", Version: "2", Offset: 3, container: true}
	var meta uint64
	switch {
	case string(b[3:11]) == "MSWIN4.1": // BitLocker To Go
		if guid(b[424:]) != "4967d63b-2e29-4ad8-8399-f6a339e3d001" {
			return Signature{}, false
		}
		meta = le.Uint64(b[440:])
	case string(b[:3]) == "\xeb\x52\x90": // Vista
		meta, s.Version = le.Uint64(b[56:])*uint64(le.Uint16(b[11:]))*uint64(b[13]), "1"
	default:
		meta = le.Uint64(b[176:])
	}
	if meta < uint64(p.size) {
		s.fve(p, int64(meta))
	}
	return s, true
}

// fve reads a block of BitLocker metadata: a header of 64 bytes, one of 48,
// then entries, of which type 7 is the description.
func (s *Signature) fve(p *probe, at int64) {
	h := p.at(at, 112)
	if h == nil || string(h[:8]) != "-FVE-FS-" {
		return
	}
	s.UUID = guid(h[80:])
	size := min(le.Uint32(h[64:]), 65536)
	list := p.at(at+64, int(size))
	for off := 48; off+8 <= len(list); {
		n := int(le.Uint16(list[off:]))
		if n < 8 || off+n > len(list) {
			return
		}
		if le.Uint16(list[off+2:]) == 7 && le.Uint16(list[off+4:]) == 2 {
			s.Label = strings.TrimRight(wide(list[off+8:off+n], le), " ")
			return
		}
		off += n
	}
}
