package exfat

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// The types of records, without the top bit, which says that one is in use.
const (
	inUse      = 0x80
	secondary  = 0x40 // set in the type of what follows a first record
	typeBitmap = 0x01
	typeUpcase = 0x02
	typeLabel  = 0x03
	typeFile   = 0x05
	typeGUID   = 0x20
	typeStream = 0x40
	typeName   = 0x41
	typeVendor = 0x61 // vendor allocation: it has clusters of its own

	attrReadOnly = 0x01
	attrDir      = 0x10

	flagFlat  = 2 // no chain: the clusters follow one another
	nameUnits = 15
)

// recordSet is the records of one file, as they stand. head or stream is nil
// where it was overwritten.
type recordSet struct {
	head, stream []byte
	names        [][]byte
	vendors      [][]byte
	dead         bool // its records are not in use
	whole        bool // as many records as the first one counts
	sound        bool // whole, and its checksum is right
}

// newSet sorts the records of a file. The first decides whether it is in use.
func newRecordSet(list [][]byte) recordSet {
	s := recordSet{dead: list[0][0]&inUse == 0}
	if list[0][0]&^inUse == typeFile {
		s.head = list[0]
		s.whole = len(list)-1 == int(s.head[1])
	}
	for _, r := range list {
		switch r[0] &^ inUse {
		case typeStream:
			if s.stream == nil {
				s.stream = r
			}
		case typeName:
			s.names = append(s.names, r)
		case typeVendor:
			s.vendors = append(s.vendors, r)
		}
	}
	s.sound = s.whole && s.stream != nil && le.Uint16(s.head[2:]) == checksum(list)
	return s
}

// checksum is that of a set as it was when it was in use.
func checksum(list [][]byte) (sum uint16) {
	for k, r := range list {
		for i, c := range r {
			if k == 0 && (i == 2 || i == 3) {
				continue
			}
			if i == 0 {
				c |= inUse
			}
			sum = sum<<15 | sum>>1
			sum += uint16(c)
		}
	}
	return sum
}

// dir says whether the set is of a directory.
func (s *recordSet) dir() bool { return s.head != nil && le.Uint16(s.head[4:])&attrDir != 0 }

// name is the name as UTF-8 and what is wrong with it.
func (s *recordSet) name() (name, damage string) {
	u := make([]uint16, 0, nameUnits*len(s.names))
	for _, r := range s.names {
		for i := range nameUnits {
			u = append(u, le.Uint16(r[2+2*i:]))
		}
	}
	if s.stream != nil {
		want := int(s.stream[3])
		if want > len(u) {
			damage = fmt.Sprintf("partial: %d of %d characters of the name are left", len(u), want)
		}
		u = u[:min(want, len(u))]
	} else {
		for i, c := range u {
			if c == 0 {
				u = u[:i]
				break
			}
		}
	}
	return encode(u), damage
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
			if both := utf16.DecodeRune(c, rune(u[i+1])); both != utf8.RuneError {
				b = utf8.AppendRune(b, both)
				i++
				continue
			}
		}
		b = append(b, 0xe0|byte(c>>12), 0x80|byte(c>>6)&0x3f, 0x80|byte(c)&0x3f)
	}
	return string(b)
}

// strange says what a name has that no system writes.
func strange(name string) string {
	switch {
	case name == "." || name == "..":
		return fmt.Sprintf("range: the name is %q", name)
	case strings.Contains(name, "/"):
		return "range: the name contains a slash"
	case strings.Contains(name, "\x00"):
		return "range: the name contains a NUL"
	}
	return ""
}

// stamp turns a date and time, hundredths of a second and an offset from UTC
// into a moment. ok is false where they make no sense. Zero is no time at all.
func stamp(v uint32, hundredths, zone byte) (t imaging.Time, ok bool) {
	if v == 0 {
		return imaging.Time{}, true
	}
	date, clock := v>>16, v&0xffff
	y, m, d := 1980+int(date>>9), int(date>>5&15), int(date&31)
	hour, minute, sec := int(clock>>11), int(clock>>5&63), int(clock&31)*2
	if m == 0 || m > 12 || d == 0 || hour > 23 || minute > 59 || sec > 58 || hundredths > 199 {
		return imaging.Time{}, false
	}
	at := time.Date(y, time.Month(m), d, hour, minute, sec, 0, time.UTC)
	if at.Day() != d { // the 31st of a month of 30 days
		return imaging.Time{}, false
	}
	at = at.Add(time.Duration(hundredths) * 10 * time.Millisecond)
	if zoned(zone) {
		at = at.Add(-time.Duration(int8(zone<<1)>>1) * 15 * time.Minute) //nolint:gosec // seven bits with a sign
	}
	return imaging.TimeOf(at), true
}

// zoned says whether the field of the offset from UTC holds one.
func zoned(zone byte) bool { return zone&0x80 != 0 }

// times fills in what the first record says; ok is whether it made sense.
func (s *recordSet) times(e *filesystem.Entry) (ok bool) {
	if s.head == nil {
		return true
	}
	h := s.head
	var ok1, ok2, ok3 bool
	e.Born, ok1 = stamp(le.Uint32(h[8:]), h[20], h[22])
	e.Modified, ok2 = stamp(le.Uint32(h[12:]), h[21], h[23])
	e.Accessed, ok3 = stamp(le.Uint32(h[16:]), 0, h[24])
	return ok1 && ok2 && ok3
}

// span is what the record of the stream says of the content.
type span struct {
	first       uint32
	size, valid int64
	flat, dir   bool
	damage      string
}

// span reads the record of the stream, or that of a vendor allocation.
func (fs *FS) span(r []byte, dir bool) span {
	s := span{first: le.Uint32(r[20:]), flat: r[1]&flagFlat != 0, dir: dir}
	most := uint64(int64(fs.g.clusters) * fs.g.cluster)
	size, valid := le.Uint64(r[24:]), le.Uint64(r[8:])
	if r[0]&^inUse == typeVendor || dir {
		valid = size
	}
	switch {
	case size > most:
		s.damage = fmt.Sprintf("range: its size is %d, and all clusters together have %d bytes", size, most)
		size = most
	case valid > size:
		s.damage = fmt.Sprintf("range: %d of %d bytes were written", valid, size)
	}
	s.size, s.valid = int64(size), int64(min(valid, size))
	return s
}
