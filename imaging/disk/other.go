package disk

import (
	"crypto/md5" //nolint:gosec // the format's own identifier
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"
	"strconv"
)

// This file knows file systems whose signature takes more than a comparison.

func f2fs(p *probe) (Signature, bool) {
	b := p.at(1024, 1200)
	if b == nil || le.Uint32(b) != 0xf2f52010 {
		return Signature{}, false
	}
	return Signature{
		Type: "f2fs", UUID: uuid(b[108:]), Label: wide(b[124:1148], le), Offset: 1024,
		Version: fmt.Sprintf("%d.%d", le.Uint16(b[4:]), le.Uint16(b[6:])),
	}, true
}

// nilfs2 has a magic of two bytes: its checksum makes it certain.
func nilfs2(p *probe) (Signature, bool) {
	for _, at := range []int64{1024, p.size&^4095 - 4096} {
		b := p.at(at, 1024)
		if b == nil || le.Uint16(b[6:]) != 0x3434 {
			continue
		}
		n := int(le.Uint16(b[8:]))
		if n < 20 || n > len(b) {
			continue
		}
		c := append([]byte(nil), b[:n]...)
		clear(c[16:20])
		if ^crc32.Update(^le.Uint32(b[12:]), crc32.IEEETable, c) != le.Uint32(b[16:]) {
			continue
		}
		return Signature{Type: "nilfs2", UUID: uuid(b[152:]), Label: padded(b[168:248]), Version: strconv.Itoa(int(le.Uint32(b))), Offset: at + 6}, true
	}
	return Signature{}, false
}

// minix has a magic of two bytes, in either order: its counts must fit.
func minix(p *probe) (Signature, bool) {
	b := p.at(1024, 64)
	if b == nil || p.has(1024, "\xe2\xe1\xf5\xe0") || p.has(1080, "\x53\xef") {
		return Signature{}, false
	}
	for _, order := range orders() {
		version, block := 0, uint32(1024)
		switch order.Uint16(b[16:]) {
		case 0x137f, 0x138f:
			version = 1
		case 0x2468, 0x2478:
			version = 2
		}
		inodes, imap, zmap := uint32(order.Uint16(b)), uint32(order.Uint16(b[4:])), uint32(order.Uint16(b[6:]))
		zones, first, log := uint32(order.Uint16(b[2:])), uint32(order.Uint16(b[8:])), order.Uint16(b[10:])
		switch {
		case version == 2:
			zones = order.Uint32(b[20:])
		case version == 0 && order.Uint16(b[24:]) == 0x4d5a:
			version, block = 3, uint32(order.Uint16(b[28:]))
			inodes, imap, zmap = order.Uint32(b), uint32(order.Uint16(b[6:])), uint32(order.Uint16(b[8:]))
			first, log, zones = uint32(order.Uint16(b[10:])), order.Uint16(b[12:]), order.Uint32(b[20:])
		}
		if version == 0 || inodes == 0 || zones <= first || first == 0 || log > 8 || imap == 0 || zmap == 0 || !powerOfTwo(block) {
			continue
		}
		if uint64(imap)*uint64(block)*8 < uint64(inodes)+1 || uint64(zmap)*uint64(block)*8 < uint64(zones-first)+1 {
			continue
		}
		return Signature{Type: "minix", Version: strconv.Itoa(version), Offset: 1040}, true
	}
	return Signature{}, false
}

// ufs has its superblock in one of several places.
func ufs(p *probe) (Signature, bool) {
	for _, at := range []int64{0, 8192, 65536, 262144} {
		b := p.at(at, 1380)
		if b == nil {
			continue
		}
		for _, order := range orders() {
			s := Signature{Type: "ufs", Offset: at + 1372}
			switch order.Uint32(b[1372:]) {
			case 0x011954, 0x00195612:
				s.Version = "1"
			case 0x19540119:
				s.Version, s.Label = "2", padded(b[680:712])
			default:
				continue
			}
			if hi, lo := order.Uint32(b[144:]), order.Uint32(b[148:]); hi|lo != 0 {
				s.UUID = fmt.Sprintf("%08x%08x", hi, lo)
			}
			return s, true
		}
	}
	return Signature{}, false
}

func gfs2(p *probe) (Signature, bool) {
	b := p.at(65536, 272)
	if b == nil || string(b[:4]) != "\x01\x16\x19\x70" {
		return Signature{}, false
	}
	s := Signature{Type: "gfs2", UUID: uuid(b[256:]), Label: text(b[160:224]), Offset: 65536}
	if be.Uint32(b[24:]) == 1309 {
		s.Type, s.UUID = "gfs", ""
	}
	return s, true
}

func hpfs(p *probe) (Signature, bool) {
	if !p.has(8192, "\x49\xe8\x95\xf9") || p.at(8704, 4) == nil || !p.has(8704, "\x49\x18\x91\xf9") {
		return Signature{}, false
	}
	s := Signature{Type: "hpfs", Version: strconv.Itoa(int(p.at(8200, 1)[0])), Offset: 8192}
	if b := p.at(0, 512); b[510] == 0x55 && b[511] == 0xaa && b[38] == 0x28 {
		s.UUID, s.Label = serial(b[39:]), padded(b[43:54])
	}
	return s, true
}

// hfs is HFS and HFS+, the latter also where it lies in a wrapper of HFS.
func hfs(p *probe) (Signature, bool) {
	b := p.at(1024, 162)
	if b == nil {
		return Signature{}, false
	}
	switch string(b[:2]) {
	case "H+", "HX":
		return hfsPlus(p, 1024), true
	case "BD":
	default:
		return Signature{}, false
	}
	if string(b[124:126]) == "H+" {
		block, first, start := int64(be.Uint32(b[20:])), int64(be.Uint16(b[28:])), int64(be.Uint16(b[126:]))
		if at := first*512 + start*block + 1024; p.has(at, "H+") || p.has(at, "HX") {
			return hfsPlus(p, at), true
		}
	}
	if size := be.Uint32(b[20:]); size == 0 || size&511 != 0 {
		return Signature{}, false
	}
	s := Signature{Type: "hfs", UUID: finderUUID(b[116:124]), Offset: 1024}
	if n := int(b[36]); n <= 27 {
		s.Label = string(b[37:][:n])
	}
	return s, true
}

// finderUUID is how the eight bytes of a volume become a UUID; "" of zeros.
func finderUUID(b []byte) string {
	if be.Uint64(b) == 0 {
		return ""
	}
	h := md5.New() //nolint:gosec // the format's own identifier
	h.Write([]byte{0xb3, 0xe2, 0x0f, 0x39, 0xf2, 0x92, 0x11, 0xd6, 0x97, 0xa4, 0x00, 0x30, 0x65, 0x43, 0xec, 0xac})
	h.Write(b[:8])
	u := h.Sum(nil)
	u[6], u[8] = u[6]&0x0f|0x30, u[8]&0x3f|0x80
	return uuid(u)
}

// hfsPlus reads the label, which is the name of the first record in the
// catalogue, where its first extent holds it.
func hfsPlus(p *probe, at int64) Signature {
	s := Signature{Type: "hfsplus", Offset: at}
	b := p.at(at, 512)
	if b == nil {
		return s
	}
	s.UUID = finderUUID(b[104:112])
	block := int64(be.Uint32(b[40:]))
	if !powerOfTwo(uint32(block)) || block < 512 { //nolint:gosec // from 32 bits
		return s
	}
	start := at - 1024 + int64(be.Uint32(b[288:]))*block
	limit := int64(be.Uint32(b[292:])) * block
	node := p.at(start, 106)
	if node == nil || node[8] != 1 {
		return s
	}
	size := int64(be.Uint16(node[32:]))
	leaf := int64(be.Uint32(node[24:])) * size
	if size < 512 || leaf > limit-size {
		return s
	}
	if b = p.at(start+leaf, 14+8+510); b == nil || int8(b[8]) != -1 || be.Uint32(b[16:]) != 1 { //nolint:gosec // the format's own sign
		return s
	}
	if n := int(be.Uint16(b[20:])); n <= 255 {
		s.Label = wide(b[22:][:2*n], be)
	}
	return s
}

// befs has its identifier among the small attributes of the root directory.
func befs(p *probe) (Signature, bool) {
	for _, at := range []int64{0, 512} {
		b := p.at(at, 140)
		if b == nil {
			continue
		}
		var order binary.ByteOrder = le
		s := Signature{Type: "befs", Label: text(b[:32]), Version: "little-endian", Offset: at + 32}
		switch string(b[32:36]) {
		case "1SFB":
		case "BFS1":
			order, s.Version = be, "big-endian"
		default:
			continue
		}
		if order.Uint32(b[68:]) != 0xdd121031 || order.Uint32(b[112:]) != 0x15b6830e {
			continue
		}
		block, shift := order.Uint32(b[40:]), order.Uint32(b[76:])
		if !powerOfTwo(block) || block > 65536 || shift > 31 {
			return s, true
		}
		where := uint64(order.Uint32(b[116:]))<<shift + uint64(order.Uint16(b[120:]))
		log := bits.TrailingZeros32(block)
		if where > uint64(p.size)>>log {
			return s, true
		}
		s.UUID = befsUUID(p.at(int64(where)<<log, int(block)), order)
		return s, true
	}
	return Signature{}, false
}

func befsUUID(inode []byte, order binary.ByteOrder) string {
	for at := 232; at+8 <= len(inode); {
		name, data := int(order.Uint16(inode[at+4:])), int(order.Uint16(inode[at+6:]))
		if name == 0 || at+8+name+3+data > len(inode) {
			return ""
		}
		if string(inode[at+8:][:name]) == "be:volume_id" && data == 8 {
			return fmt.Sprintf("%x", order.Uint64(inode[at+8+name+3:]))
		}
		at += 8 + name + 3 + data + 1
	}
	return ""
}

func ubifs(p *probe) (Signature, bool) {
	b := p.at(0, 128)
	if b == nil || le.Uint32(b) != 0x06101831 || b[20] != 6 {
		return Signature{}, false
	}
	return Signature{Type: "ubifs", UUID: uuid(b[108:]), Version: fmt.Sprintf("w%dr%d", le.Uint32(b[80:]), le.Uint32(b[124:]))}, true
}
