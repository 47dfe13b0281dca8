package disk

import (
	"fmt"
	"strconv"
)

// This file knows the members of larger stores: RAID of firmware, DRBD,
// bcache, VMFS, ZFS.

// endings are the marks that the firmware of RAID controllers leaves at the
// end of a disk.
func endings(p *probe) (Signature, bool) {
	is := func(sector int64, off int64, magic, kind, version string) (Signature, bool) {
		at := p.sector(sector)
		if at < 0 || !p.has(at+off, magic) {
			return Signature{}, false
		}
		return Signature{Type: kind, Version: version, Offset: at + off}, true
	}
	if s, ok := is(2, 0, "Intel Raid ISM Cfg Sig. ", "isw_raid_member", ""); ok {
		s.Version = text(p.at(s.Offset+24, 6))
		return s, true
	}
	if s, ok := is(1, 0, "$XIDE$", "lsi_mega_raid_member", ""); ok {
		return s, true
	}
	if s, ok := is(2, 0, "NVIDIA  ", "nvidia_raid_member", ""); ok {
		s.Version = strconv.Itoa(int(le.Uint16(p.at(s.Offset+16, 2))))
		return s, true
	}
	if s, ok := is(1, 256, "DPTM", "adaptec_raid_member", ""); ok && p.has(s.Offset-256, "\x37\xfc\x4d\x1e") {
		s.Version = strconv.Itoa(int(p.at(s.Offset-256+0x3f, 1)[0]))
		return s, true
	}
	for _, sector := range []int64{63, 255, 256, 16, 399, 591, 675, 735, 911, 951, 974, 991, 3087} {
		if s, ok := is(sector, 0, "Promise Technology, Inc.", "promise_fasttrack_raid_member", ""); ok {
			return s, true
		}
	}
	for _, magic := range []string{"\xf3\x16\x78\x5a", "\xfd\x16\x78\x5a"} {
		if s, ok := is(11, 0, magic, "hpt45x_raid_member", ""); ok {
			return s, true
		}
	}
	return checked(p)
}

// checked are marks of a few bytes that only their checksum makes certain.
func checked(p *probe) (Signature, bool) {
	at := p.sector(1)
	b := p.at(at, 512)
	if b == nil {
		return Signature{}, false
	}
	if b[0] == 0x55 && b[1] == 0xaa {
		var sum byte
		for _, c := range b[:50] {
			sum += c
		}
		if sum == b[50] {
			return Signature{Type: "via_raid_member", Version: strconv.Itoa(int(b[2])), Offset: at}, true
		}
	}
	if b[0] == 'J' && b[1] == 'M' {
		var sum uint16
		for i := 0; i < 128; i += 2 {
			sum += le.Uint16(b[i:])
		}
		if sum == 0 || sum == 1 {
			return Signature{Type: "jmicron_raid_member", Version: fmt.Sprintf("%d.%d", b[3], b[2]), Offset: at}, true
		}
	}
	if le.Uint32(b[0x60:]) == 0x2f000000 {
		return Signature{Type: "silicon_medley_raid_member", Version: fmt.Sprintf("%d.%d", le.Uint16(b[0x126:]), le.Uint16(b[0x124:])), Offset: at + 0x60}, true
	}
	return Signature{}, false
}

func ddf(p *probe) (Signature, bool) {
	for _, sector := range []int64{1, 257} {
		if at := p.sector(sector); at >= 0 && p.has(at, "\xde\x11\xde\x11") {
			b := p.at(at, 40)
			return Signature{Type: "ddf_raid_member", UUID: hexOrText(b[8:32]), Version: text(b[32:40]), Offset: at}, true
		}
	}
	return Signature{}, false
}

// hexOrText is a field as text where it is printable, else in hexadecimal.
func hexOrText(b []byte) string {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return fmt.Sprintf("%x", b)
		}
	}
	return string(b)
}

func drbd(p *probe) (Signature, bool) {
	at := p.size - 4096
	b := p.at(at, 64)
	if b == nil || string(b[60:63]) != "\x83\x74\x02" {
		return Signature{}, false
	}
	s := Signature{Type: "drbd", Offset: at}
	switch b[63] {
	case 0x6b, 0x6c:
		s.Version, s.UUID = "v08", fmt.Sprintf("%x", be.Uint64(b[40:]))
	case 0x6d:
		s.Version, s.UUID = "v09", fmt.Sprintf("%x", be.Uint64(b[48:]))
	default:
		return Signature{}, false
	}
	return s, true
}

// bcache shares its magic with the first bcachefs, whose checksum is longer:
// in bcache the place of the superblock stands 16 bytes before the magic.
func bcache(p *probe) (Signature, bool) {
	b := p.at(4096, 104)
	if b == nil || string(b[24:40]) != bcacheMagic {
		return Signature{}, false
	}
	s := Signature{Type: "bcache", UUID: uuid(b[40:]), Label: text(b[72:104]), Version: strconv.FormatUint(le.Uint64(b[16:]), 10), Offset: 4096 + 24, container: true}
	if le.Uint64(b[8:]) != 8 {
		s.Type, s.UUID, s.Version, s.container = "bcachefs", uuid(b[56:]), bcachefsVersion(p, 4096+24), false
	}
	return s, true
}

// vmfsVolume is an extent of a VMFS datastore.
func vmfsVolume(p *probe) (Signature, bool) {
	const at = 1 << 20
	b := p.at(at, 0x264)
	if b == nil || string(b[:4]) != "\x0d\xd0\x01\xc0" {
		return Signature{}, false
	}
	return Signature{Type: "VMFS_volume_member", UUID: vmfsUUID(b[0x254:]), Version: strconv.Itoa(int(le.Uint32(b[4:]))), Offset: at}, true
}

func vmfsUUID(b []byte) string {
	return fmt.Sprintf("%08x-%08x-%04x-%x", le.Uint32(b), le.Uint32(b[4:]), le.Uint16(b[8:]), b[10:16])
}

func scoutfs(p *probe) (Signature, bool) {
	b := p.at(65536, 80)
	if b == nil || le.Uint32(b[4:]) != 0x103c428b {
		return Signature{}, false
	}
	s := Signature{Type: "scoutfs_data", UUID: uuid(b[0x38:]), Version: strconv.FormatUint(le.Uint64(b[0x28:]), 10), Offset: 65540}
	if le.Uint64(b[0x30:])&1 != 0 {
		s.Type = "scoutfs_meta"
	}
	return s, true
}

// zfs reads the list of names and values of the first of the four labels, two
// at the start and two at the end, that has the identifier of a pool.
func zfs(p *probe) (Signature, bool) {
	const label = 256 << 10
	end := p.size&^(label-1) - 2*label
	for _, at := range []int64{0, label, end, end + label} {
		b := p.at(at+16<<10, 112<<10)
		if b == nil || b[0] != 1 {
			continue
		}
		s := Signature{Type: "zfs_member", Offset: at + 16<<10}
		for pos := 12; pos+12 <= len(b); {
			size, n := int(be.Uint32(b[pos:])), int(min(be.Uint32(b[pos+8:]), 256))
			if size < 20 || pos+size > len(b) || 12+(n+3)&^3+8 > size {
				break
			}
			name, value := string(b[pos+12:][:n]), b[pos+12+(n+3)&^3:pos+size]
			kind, value := be.Uint32(value), value[8:]
			switch {
			case name == "pool_guid" && kind == 8 && len(value) >= 8:
				s.UUID = strconv.FormatUint(be.Uint64(value), 10)
			case name == "version" && kind == 8 && len(value) >= 8:
				s.Version = strconv.FormatUint(be.Uint64(value), 10)
			case name == "name" && kind == 9 && len(value) >= 4:
				if n := int(min(be.Uint32(value), 4096)); 4+n <= len(value) {
					s.Label = string(value[4:][:n])
				}
			}
			pos += size
		}
		if s.UUID != "" {
			return s, true
		}
	}
	return Signature{}, false
}
