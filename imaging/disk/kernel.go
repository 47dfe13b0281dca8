package disk

import (
	"fmt"
	"strconv"
)

func ext(p *probe) (Signature, bool) {
	b := p.at(1024, 1024)
	if b == nil || le.Uint16(b[56:]) != 0xef53 || le.Uint32(b[24:]) > 6 {
		return Signature{}, false
	}
	s := Signature{Type: "ext2", UUID: uuid(b[104:]), Label: text(b[120:136]), Offset: 1080, Version: fmt.Sprintf("%d.%d", le.Uint32(b[76:]), le.Uint16(b[62:]))}
	compat, incompat, ro := le.Uint32(b[92:]), le.Uint32(b[96:]), le.Uint32(b[100:])
	switch {
	case incompat&0x8 != 0:
		s.Type = "jbd"
	case incompat&^0x16 != 0 || ro&^0x7 != 0:
		s.Type = "ext4"
	case compat&0x4 != 0:
		s.Type = "ext3"
	}
	return s, true
}

func xfsSignature(p *probe) (Signature, bool) {
	b := p.at(0, 512)
	if b == nil || string(b[:4]) != "XFSB" {
		return Signature{}, false
	}
	if size := be.Uint32(b[4:]); size < 512 || size > 65536 || size&(size-1) != 0 {
		return Signature{}, false
	}
	return Signature{Type: "xfs", UUID: uuid(b[32:]), Label: text(b[108:120]), Version: strconv.Itoa(int(be.Uint16(b[100:]) & 15))}, true
}

// xfsLog knows the log of an XFS file system that lies elsewhere by the first
// record of it: a log written around may begin in the midst of one, of which the
// longest has 256 KiB and eight headers. What begins with a superblock has its
// log within.
func xfsLog(p *probe) (Signature, bool) {
	if p.has(0, "XFSB") {
		return Signature{}, false
	}
	b := p.at(0, int(min(p.size, 512*(512+8+1))))
	for at := 0; at+512 <= len(b); at += 512 {
		h := b[at:][:512]
		version, length, format := be.Uint32(h[8:]), be.Uint32(h[12:]), be.Uint32(h[300:])
		if be.Uint32(h) != 0xfeedbabe || version != 1 && version != 2 || length == 0 || length > 256<<10 ||
			be.Uint32(h[16:]) != be.Uint32(h[4:]) || be.Uint32(h[20:]) != uint32(at/512) || format > 3 {
			continue
		}
		return Signature{Type: "xfs_external_log", UUID: uuid(h[304:]), Offset: int64(at)}, true
	}
	return Signature{}, false
}

func luks(p *probe) (Signature, bool) {
	b := p.at(0, 592)
	if b == nil || string(b[:6]) != "LUKS\xba\xbe" {
		return Signature{}, false
	}
	s := Signature{Type: "crypto_LUKS", UUID: text(b[168:208]), Version: strconv.Itoa(int(be.Uint16(b[6:]))), container: true}
	if be.Uint16(b[6:]) == 2 {
		s.Label = text(b[24:72])
	}
	return s, true
}

func lvm2(p *probe) (Signature, bool) {
	for at := int64(0); at < 2048; at += 512 {
		b := p.at(at, 512)
		if b == nil || string(b[:8]) != "LABELONE" || string(b[24:32]) != "LVM2 001" {
			continue
		}
		s := Signature{Type: "LVM2_member", Version: "LVM2 001", Offset: at, container: true}
		if off := le.Uint32(b[20:]); off <= 512-32 {
			u := b[off:][:32]
			s.UUID = fmt.Sprintf("%s-%s-%s-%s-%s-%s-%s", u[:6], u[6:10], u[10:14], u[14:18], u[18:22], u[22:26], u[26:])
		}
		return s, true
	}
	return Signature{}, false
}

func lvm1(p *probe) (Signature, bool) {
	b := p.at(0, 128)
	if b == nil || string(b[:2]) != "HM" || b[3] != 0 || b[2] != 1 && b[2] != 2 {
		return Signature{}, false
	}
	u := hexOrText(b[44:76])
	if len(u) == 32 {
		u = fmt.Sprintf("%s-%s-%s-%s-%s-%s-%s", u[:6], u[6:10], u[10:14], u[14:18], u[18:22], u[22:26], u[26:])
	}
	return Signature{Type: "LVM1_member", UUID: u, Version: strconv.Itoa(int(b[2])), container: true}, true
}

// mdSuper is a superblock of version 1 at the place that it names itself.
func mdSuper(p *probe, at int64, version string) (Signature, bool) {
	b := p.at(at, 256)
	if b == nil || le.Uint32(b) != 0xa92b4efc || le.Uint32(b[4:]) != 1 || le.Uint64(b[144:]) != uint64(at/512) {
		return Signature{}, false
	}
	return Signature{Type: "linux_raid_member", UUID: uuid(b[16:]), Label: text(b[32:64]), Version: version, Offset: at}, true
}

// mdRaid looks for the superblocks of Linux RAID that stand before the data.
func mdRaid(p *probe) (Signature, bool) {
	for at, version := range map[int64]string{0: "1.1", 4096: "1.2"} {
		if s, ok := mdSuper(p, at, version); ok {
			s.container = true
			return s, true
		}
	}
	return Signature{}, false
}

// mdRaidEnd looks for those that stand behind it: the data begins where the
// volume does, and the member of a mirror can be read as it is.
func mdRaidEnd(p *probe) (Signature, bool) {
	if p.size >= 16*512 {
		if s, ok := mdSuper(p, (p.size/512-16)&^7*512, "1.0"); ok {
			return s, true
		}
	}
	at := p.size&^65535 - 65536
	b := p.at(at, 128)
	if b == nil {
		return Signature{}, false
	}
	for _, order := range orders() {
		if order.Uint32(b) != 0xa92b4efc || order.Uint32(b[4:]) != 0 {
			continue
		}
		var u [16]byte
		for i, off := range []int{20, 52, 56, 60} {
			be.PutUint32(u[4*i:], order.Uint32(b[off:]))
		}
		return Signature{Type: "linux_raid_member", UUID: uuid(u[:]), Version: fmt.Sprintf("0.%d.%d", order.Uint32(b[8:]), order.Uint32(b[12:])), Offset: at}, true
	}
	return Signature{}, false
}

// swap looks at the end of the first page, for each page size. A hibernation
// image of TuxOnIce has its mark at the start as well.
func swap(p *probe) (Signature, bool) {
	if p.has(0, "\xed\xc3\x02\xe9\x98\x56\xe5\x0c") {
		s := Signature{Type: "swsuspend", Version: "tuxonice"}
		if h := p.at(1024, 28); h != nil {
			s.UUID = uuid(h[12:])
		}
		return s, true
	}
	for page := int64(4096); page <= 65536; page *= 2 {
		magic := p.at(page-10, 10)
		if magic == nil {
			break
		}
		s := Signature{Type: "swap", Offset: page - 10}
		switch string(magic) {
		case "SWAP-SPACE":
			s.Version = "0"
		case "SWAPSPACE2":
			s.Version = "1"
		case "S1SUSPEND\x00", "S2SUSPEND\x00", "ULSUSPEND\x00", "LINHIB0001":
			s.Type = "swsuspend"
			s.Version = text(magic)
		default:
			continue
		}
		if s.Version != "0" {
			h := p.at(1024, 44)
			s.UUID, s.Label = uuid(h[12:]), text(h[28:])
		}
		return s, true
	}
	return Signature{}, false
}
