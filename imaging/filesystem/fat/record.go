package fat

import (
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

const (
	attrReadOnly = 0x01
	attrVolume   = 0x08
	attrDir      = 0x10
	attrLong     = 0x0f
	gone         = 0xe5 // first byte of a deleted record
	maxParts     = 20   // of a long name
	partUnits    = 13
)

// raw is a record as stored, 32 bytes.
type raw []byte

func (r raw) attr() byte    { return r[11] }
func (r raw) deleted() bool { return r[0] == gone }

// end says that the record was never used: it ends the directory.
func (r raw) end() bool    { return r[0] == 0 }
func (r raw) long() bool   { return r[11]&0x3f == attrLong }
func (r raw) dir() bool    { return r[11]&attrDir != 0 }
func (r raw) volume() bool { return r[11]&attrVolume != 0 }
func (r raw) size() int64  { return int64(le.Uint32(r[28:])) }

// cluster is the first one; the upper half has a meaning in FAT32 alone.
func (r raw) cluster(kind int) uint32 {
	c := uint32(le.Uint16(r[26:]))
	if kind == 32 {
		c |= uint32(le.Uint16(r[20:])) << 16 & 0x0fffffff
	}
	return c
}

// sum is the checksum of the short name that its long name carries, with the
// first byte given.
func (r raw) sum(first byte) byte {
	s := first
	for _, c := range r[1:11] {
		s = s>>1 | s<<7
		s += c
	}
	return s
}

// firstByte is the one first byte of the short name with which its checksum is
// sum: turning and adding can both be undone.
func (r raw) firstByte(sum byte) byte {
	for i := 10; i >= 1; i-- {
		sum -= r[i]
		sum = sum<<1 | sum>>7
	}
	return sum
}

// short is the short name as text. The first byte is given, since a deleted
// record has lost it.
func (r raw) short(first byte) string {
	b := append([]byte{first}, r[1:11]...)
	if b[0] == 0x05 { // stands for E5, which would mean deleted
		b[0] = 0xe5
	}
	base, ext := trim(b[:8]), trim(b[8:])
	if r[12]&0x08 != 0 {
		base = lower(base)
	}
	if r[12]&0x10 != 0 {
		ext = lower(ext)
	}
	if ext == "" {
		return base
	}
	return base + "." + ext
}

func trim(b []byte) string { return strings.TrimRight(string(b), " ") }

func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// legal says whether c may stand first in a short name.
func legal(c byte) bool {
	return c == 0x05 || c > ' ' && c != gone && c != 0x7f && (c < 'a' || c > 'z') && !strings.ContainsRune("\"*+,./:;<=>?[\\]|", rune(c))
}

// plausible says whether the record can be one that a system wrote. It is
// asked only of what no live directory vouches for.
func (r raw) plausible(g *geometry) bool {
	first := r[0]
	if first == gone {
		first = 'A'
	}
	if r.attr()&0xc0 != 0 || !legal(first) || r.attr()&(attrVolume|attrDir) == attrVolume|attrDir {
		return false
	}
	for _, c := range r[1:11] {
		if c < ' ' || c >= 'a' && c <= 'z' || c == 0x7f {
			return false
		}
	}
	if c := r.cluster(g.kind); c != 0 && !g.valid(c) {
		return false
	}
	if r.dir() && r.size() != 0 {
		return false
	}
	_, okM := stamp(le.Uint16(r[24:]), le.Uint16(r[22:]), 0)
	_, okB := stamp(le.Uint16(r[16:]), le.Uint16(r[14:]), r[13])
	_, okA := stamp(le.Uint16(r[18:]), 0, 0)
	return okM && okB && okA
}

// units are the thirteen UTF-16 units of a part of a long name.
func (r raw) units() (u [partUnits]uint16) {
	for i := range u {
		switch {
		case i < 5:
			u[i] = le.Uint16(r[1+2*i:])
		case i < 11:
			u[i] = le.Uint16(r[14+2*(i-5):])
		default:
			u[i] = le.Uint16(r[28+2*(i-11):])
		}
	}
	return u
}

// closed says whether the part has the end of the name: a NUL, or filling.
func (r raw) closed() bool {
	for _, c := range r.units() {
		if c == 0 || c == 0xffff {
			return true
		}
	}
	return false
}

// longName gives the name that parts, in their order on the disk, make before
// the live record r; ok is false when they do not belong to it.
func longName(parts []raw, r raw) (name string, ok bool) {
	n := len(parts)
	if n == 0 || n > maxParts || int(parts[0][0]) != n|0x40 {
		return "", false
	}
	for i, p := range parts {
		if int(p[0]&0x3f) != n-i || i > 0 && p[0] != byte(n-i) || p[13] != r.sum(r[0]) {
			return "", false
		}
	}
	return join(parts), true
}

// lostName gives the name that parts make before the deleted record r. The
// numbers of the parts are lost: those that count stand directly before the
// record, have one checksum, and end with the first that has the end of the
// name. The checksum gives the first byte of the short name, which must fit.
func lostName(parts []raw, r raw) (name string, ok bool) {
	n := len(parts)
	if n == 0 {
		return "", false
	}
	sum := parts[n-1][13]
	from := n - 1
	for !parts[from].closed() && from > 0 && n-from < maxParts && parts[from-1][13] == sum {
		from--
	}
	name = join(parts[from:])
	return name, name != "" && fits(r.firstByte(sum), name)
}

// fits says whether a short name that begins with c can have been made for a
// long name.
func fits(c byte, long string) bool {
	if !legal(c) {
		return false
	}
	for _, l := range long {
		switch {
		case l == ' ' || l == '.': // left out
		case strings.ContainsRune("+,;=[]", l):
			return c == '_'
		case l >= 'a' && l <= 'z':
			return c == byte(l)-'a'+'A'
		case l > ' ' && l < 0x7f:
			return c == byte(l)
		default:
			return true
		}
	}
	return true
}

// join makes the name of its parts, which stand last part first.
func join(parts []raw) string {
	u := make([]uint16, 0, partUnits*len(parts))
	for i := len(parts) - 1; i >= 0; i-- {
		for _, c := range parts[i].units() {
			if c == 0 {
				return encode(u)
			}
			u = append(u, c)
		}
	}
	return encode(u)
}

// encode is UTF-16 as UTF-8. A surrogate without its other half gives the
// three bytes that it would have, so that different names stay different.
func encode(u []uint16) string {
	b := make([]byte, 0, len(u)+len(u)/2)
	for i := 0; i < len(u); i++ {
		c := rune(u[i])
		if !utf16.IsSurrogate(c) {
			b = utf8.AppendRune(b, c)
			continue
		}
		if i+1 < len(u) {
			if full := utf16.DecodeRune(c, rune(u[i+1])); full != utf8.RuneError {
				b = utf8.AppendRune(b, full)
				i++
				continue
			}
		}
		b = append(b, 0xe0|byte(c>>12), 0x80|byte(c>>6)&0x3f, 0x80|byte(c)&0x3f)
	}
	return string(b)
}

// stamp turns a date, a time and hundredths of a second into a moment; ok is
// false where they make no sense. A date of zero is no time at all.
func stamp(date, clock uint16, hundredths byte) (t imaging.Time, ok bool) {
	if date == 0 {
		return imaging.Time{}, true
	}
	y, m, d := 1980+int(date>>9), int(date>>5&15), int(date&31)
	hour, minute, sec := int(clock>>11), int(clock>>5&63), int(clock&31)*2
	if m == 0 || m > 12 || d == 0 || hour > 23 || minute > 59 || sec > 58 || hundredths > 199 {
		return imaging.Time{}, false
	}
	v := time.Date(y, time.Month(m), d, hour, minute, sec, 0, time.UTC)
	if v.Day() != d { // the 31st of a month of 30 days
		return imaging.Time{}, false
	}
	return imaging.TimeOf(v.Add(time.Duration(hundredths) * 10 * time.Millisecond)), true
}

// times fills in what the record says and tells whether all of it made sense.
func (r raw) times(e *filesystem.Entry) (ok bool) {
	var ok1, ok2, ok3 bool
	e.Modified, ok1 = stamp(le.Uint16(r[24:]), le.Uint16(r[22:]), 0)
	e.Born, ok2 = stamp(le.Uint16(r[16:]), le.Uint16(r[14:]), r[13])
	e.Accessed, ok3 = stamp(le.Uint16(r[18:]), 0, 0)
	return ok1 && ok2 && ok3
}
