package disk

import (
	"fmt"
	"strings"
	"unicode/utf16"
)

// isoSignature reads the volume descriptors from sector 16 on. A Joliet descriptor
// has the label in UTF-16 and 16 characters, the primary one in 32 bytes: where
// one begins like the other they are joined.
func isoSignature(p *probe) (Signature, bool) {
	if p.has(32768+9, "CDROM") {
		return Signature{Type: "iso9660", Label: padded(p.at(32768+48, 32)), Version: "High Sierra", Offset: 32768 + 9}, true
	}
	var primary, joliet []byte
	for i := range int64(16) {
		b := p.at(32768+2048*i, 2048)
		if b == nil || string(b[1:6]) != "CD001" || b[0] == 255 {
			break
		}
		switch {
		case b[0] == 1 && primary == nil:
			primary = b
		case b[0] == 2 && joliet == nil && (string(b[88:91]) == "%/@" || string(b[88:91]) == "%/C" || string(b[88:91]) == "%/E"):
			joliet = b
		}
	}
	if primary == nil {
		return Signature{}, false
	}
	s := Signature{Type: "iso9660", Label: padded(primary[40:72]), UUID: isoTime(primary), Offset: 32769}
	if joliet != nil {
		s.Version = "Joliet Extension"
		s.Label = joined(strings.TrimRight(wide(joliet[40:72], be), " "), s.Label)
	}
	return s, true
}

// joined is the long label with the characters that the wide one knows.
func joined(wide, long string) string {
	w := []rune(wide)
	if wide == "" {
		return long
	}
	if len(w) < 16 || len(long) <= len(w) {
		return wide
	}
	for i, c := range w {
		if c < 0x80 && !strings.EqualFold(string(c), long[i:i+1]) && long[i] != '_' {
			return wide
		}
	}
	return wide + long[len(w):]
}

// isoTime is when the volume was changed, else made, which serves as its UUID:
// "2014-04-27-13-43-00-00"; "" where it is not recorded.
func isoTime(b []byte) string {
	for _, off := range []int{830, 813} {
		d := b[off:][:16]
		digits, zeros := true, true
		for _, c := range d {
			digits = digits && c >= '0' && c <= '9'
			zeros = zeros && c == '0'
		}
		if digits && !zeros {
			return fmt.Sprintf("%s-%s-%s-%s-%s-%s-%s", d[:4], d[4:6], d[6:8], d[8:10], d[10:12], d[12:14], d[14:16])
		}
	}
	return ""
}

// udf finds the anchor in sector 256 or near the end, for each sector size,
// and the descriptors that it names.
func udf(p *probe) (Signature, bool) {
	recognised := false
	for _, step := range []int64{2048, 4096} {
		for i := range int64(16) {
			if b := p.at(32768+step*i, 6); b != nil && (string(b[1:6]) == "NSR02" || string(b[1:6]) == "NSR03") {
				recognised = true
			}
		}
	}
	if !recognised {
		return Signature{}, false
	}
	s := Signature{Type: "udf", Offset: 32769}
	for _, sector := range []int64{512, 1024, 2048, 4096} {
		last := p.size/sector - 1
		for _, anchor := range []int64{256, last - 256, last, 512} {
			b := p.at(anchor*sector, 512)
			if b == nil || !tagged(b, 2, anchor) {
				continue
			}
			s.descriptors(p, int64(le.Uint32(b[20:])), int64(le.Uint32(b[16:]))/sector, sector)
			return s, true
		}
	}
	return s, true
}

// tagged says whether b begins with the tag of a descriptor that lies in
// sector at.
func tagged(b []byte, id uint16, at int64) bool {
	if le.Uint16(b) != id || int64(le.Uint32(b[12:])) != at {
		return false
	}
	var sum byte
	for i, c := range b[:16] {
		if i != 4 {
			sum += c
		}
	}
	return sum == b[4]
}

// descriptors reads a sequence of n sectors.
func (s *Signature) descriptors(p *probe, first, n, sector int64) {
	for i := range min(n, 64) {
		b := p.at((first+i)*sector, 512)
		switch {
		case b == nil || tagged(b, 8, first+i):
			return
		case tagged(b, 1, first+i) && s.UUID == "": // primary volume
			s.UUID = setUUID(dstring(b[72:200]))
			if s.Label == "" {
				s.Label = dstring(b[24:56])
			}
		case tagged(b, 6, first+i): // logical volume
			if l := dstring(b[84:212]); l != "" {
				s.Label = l
			}
			if string(b[217:240]) == "*OSTA UDF Compliant\x00\x00\x00\x00" {
				s.Version = bcd(le.Uint16(b[240:]))
			}
			s.integrity(p, int64(le.Uint32(b[436:])), sector)
		}
	}
}

// integrity takes the higher version that the integrity descriptor may name.
func (s *Signature) integrity(p *probe, at, sector int64) {
	b := p.at(at*sector, 512)
	if b == nil || !tagged(b, 9, at) {
		return
	}
	parts, size := int64(le.Uint32(b[72:])), int64(le.Uint32(b[76:]))
	if parts > 16 || size < 46 {
		return
	}
	if use := p.at(at*sector+80+8*parts, 46); use != nil {
		if v := bcd(max(le.Uint16(use[40:]), le.Uint16(use[42:]))); v > s.Version && len(v) == 4 {
			s.Version = v
		}
	}
}

func bcd(v uint16) string { return fmt.Sprintf("%x.%02x", v>>8, v&0xff) }

// dstring is a field whose last byte is the length of what is used and whose
// first says how characters are stored.
func dstring(b []byte) string {
	n := int(b[len(b)-1])
	if n < 2 || n >= len(b) {
		return ""
	}
	var u []uint16
	switch b[0] {
	case 8:
		for _, c := range b[1:n] {
			u = append(u, uint16(c))
		}
	case 16:
		for i := 1; i+1 < n; i += 2 {
			u = append(u, be.Uint16(b[i:]))
		}
	}
	return strings.TrimRight(text([]byte(string(utf16.Decode(u)))), " ")
}

// setUUID makes the identifier that blkid shows of the name of a volume set,
// which begins with a number in hexadecimal of 16 or 8 digits as a rule.
func setUUID(set string) string {
	b := make([]byte, 16)
	if n := copy(b, set); n < 8 {
		return ""
	}
	digits := 0
	for digits < 16 && hexText(b[digits:digits+1]) != "" && b[digits] != '-' {
		digits++
	}
	switch {
	case digits < 8:
		return fmt.Sprintf("%x", b[:8])
	case digits < 16:
		return strings.ToLower(string(b[:8])) + fmt.Sprintf("%x", b[8:12])
	}
	return strings.ToLower(string(b))
}
