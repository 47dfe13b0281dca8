package fat

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"snapcase/imaging"
)

const (
	attrReadOnly = 0x01
	attrLabel    = 0x08
	attrDir      = 0x10
	attrLong     = 0x0f
	attrMask     = 0x3f

	deletedMark = 0xe5
	lastLong    = 0x40 // in the number of the last part of a long name
)

// longName collects the parts of a long name, which stand before the record,
// last part first.
type longName struct {
	units   []uint16 // of the parts so far, in the order of the name
	sum     byte
	next    byte // number of the part that must come now; 0 when complete or deleted
	deleted bool
}

// part takes a record that is a part of a long name.
func (l *longName) part(r []byte) {
	units := make([]uint16, 0, 13)
	for _, at := range [13]int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
		u := le.Uint16(r[at:])
		if u == 0 || u == 0xffff && len(units) > 0 && allOnes(r, at) {
			break
		}
		units = append(units, u)
	}
	n := r[0]
	switch {
	case n == deletedMark:
		if !l.deleted || l.sum != r[13] {
			*l = longName{sum: r[13], deleted: true}
		}
	case n&lastLong != 0:
		*l = longName{sum: r[13], next: n &^ lastLong}
	case l.deleted || n != l.next || r[13] != l.sum:
		*l = longName{}
		return
	}
	if len(l.units)+len(units) > 20*13 {
		*l = longName{}
		return
	}
	l.units = append(units, l.units...)
	if l.next > 0 {
		l.next--
	}
}

// allOnes says that from at on only padding follows.
func allOnes(r []byte, at int) bool {
	for _, k := range [13]int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
		if k >= at && le.Uint16(r[k:]) != 0xffff {
			return false
		}
	}
	return true
}

// of gives the name of a record: the long one where it belongs to it, else the
// short one. For a deleted record the first character of the short name is
// found through the checksum; it is "_" where it is lost.
func (l *longName) of(r []byte) string {
	deleted := r[0] == deletedMark
	if len(l.units) > 0 && l.next == 0 && l.deleted == deleted {
		if !deleted && checksum(r[:11]) == l.sum {
			return wtf8(l.units)
		}
		if deleted {
			if _, ok := firstChar(r, l.sum); ok {
				return wtf8(l.units)
			}
		}
	}
	name := [11]byte(r[:11])
	if deleted {
		name[0] = '_'
	} else if name[0] == 0x05 {
		name[0] = deletedMark
	}
	return shortName(name, r[12])
}

// firstChar finds the byte that makes the checksum of a short name right.
func firstChar(r []byte, sum byte) (byte, bool) {
	name := [11]byte(r[:11])
	for c := 1; c < 256; c++ {
		if name[0] = byte(c); checksum(name[:]) == sum {
			return byte(c), true
		}
	}
	return 0, false
}

func checksum(name []byte) (s byte) {
	for _, c := range name {
		s = s>>1 | s<<7
		s += c
	}
	return s
}

// shortName joins the two parts; cases are the flags at byte 12 that say which
// part was written in small letters.
func shortName(name [11]byte, cases byte) string {
	base, ext := strings.TrimRight(string(name[:8]), " "), strings.TrimRight(string(name[8:]), " ")
	if cases&0x08 != 0 {
		base = lower(base)
	}
	if cases&0x10 != 0 {
		ext = lower(ext)
	}
	if ext != "" {
		base += "." + ext
	}
	return base
}

// lower makes ASCII small; other bytes stay as they are stored.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// wtf8 is UTF-8 in which a lone surrogate keeps its value, as three bytes that
// are not UTF-8.
func wtf8(units []uint16) string {
	var b []byte
	for i := 0; i < len(units); i++ {
		r := rune(units[i])
		if utf16.IsSurrogate(r) {
			if i+1 < len(units) {
				if pair := utf16.DecodeRune(r, rune(units[i+1])); pair != utf8.RuneError {
					b = utf8.AppendRune(b, pair)
					i++
					continue
				}
			}
			b = append(b, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0xbf, 0x80|byte(r)&0xbf)
			continue
		}
		b = utf8.AppendRune(b, r)
	}
	return string(b)
}

// moment reads a date and a time of FAT; tenths counts 10 ms from 0 to 199.
func moment(date, clock uint16, tenths byte) imaging.Time {
	year, month, day := 1980+int(date>>9), int(date>>5&15), int(date&31)
	h, m, s := int(clock>>11), int(clock>>5&63), int(clock&31)*2
	if date == 0 || month < 1 || month > 12 || day < 1 || h > 23 || m > 59 || s > 59 || tenths > 199 {
		return imaging.Time{}
	}
	return imaging.Time{Sec: days(year, month, day)*86400 + int64(h*3600+m*60+s) + int64(tenths/100), Nsec: int32(tenths%100) * 10_000_000, Set: true}
}

// days since 1970-01-01 in the Gregorian calendar.
func days(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	return int64(365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - 719468)
}
