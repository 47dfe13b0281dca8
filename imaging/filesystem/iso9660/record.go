package iso9660

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"snapcase/imaging"
)

const (
	flagHidden     = 0x01
	flagDir        = 0x02
	flagAssociated = 0x04
	flagMore       = 0x80 // another record of the same file follows

	recordHead = 33
	recordMost = 255
)

// record is a directory record.
type record struct {
	at         int64
	length     int // 0: none stands there
	extent     uint32
	size       uint32
	attributes byte // blocks of the extended attribute record before the data
	flags      byte
	unit, gap  byte
	name       string // as stored
	when       imaging.Time
	use        []byte // what follows the name
	damage     string
}

func (r *record) dir() bool { return r.flags&flagDir != 0 }

// start is the byte at which its content starts.
func (r *record) start(block int64) int64 {
	return (int64(r.extent) + int64(r.attributes)) * block
}

// parseRecord reads the record at the start of b; length is 0 where none
// stands there or where it does not fit.
func parseRecord(b []byte, at int64) (r record) {
	r.at = at
	if len(b) < recordHead+1 {
		return r
	}
	n, name := int(b[0]), int(b[32])
	if n < recordHead+1 || n > len(b) || recordHead+name > n {
		return r
	}
	r.length = n
	r.attributes, r.extent, r.size = b[1], le.Uint32(b[2:]), le.Uint32(b[10:])
	r.flags, r.unit, r.gap = b[25], b[26], b[27]
	r.name = string(b[recordHead : recordHead+name])
	if e, s := be.Uint32(b[6:]), be.Uint32(b[14:]); e != r.extent || s != r.size {
		r.damage = fmt.Sprintf("range: the two copies of its place and size differ: block %d and %d, %d and %d bytes", r.extent, e, r.size, s)
	}
	var ok bool
	if r.when, ok = shortTime(b[18:25]); !ok {
		r.damage = also(r.damage, "range: its time makes no sense and is left out")
	}
	use := recordHead + name
	use += use & 1 // the name is padded to an odd length
	if use < n {
		r.use = append([]byte(nil), b[use:n]...)
	}
	return r
}

// record reads the record at a byte of the image.
func (fs *FS) record(at int64) (record, error) {
	b := make([]byte, recordMost)
	n, err := readZero(fs.src, b, at)
	if err != nil {
		return record{}, err
	}
	if inSector := sector - int(at%sector); n > inSector {
		n = inSector
	}
	return parseRecord(b[:n], at), nil
}

// shortTime is seven bytes: years since 1900, month, day, hour, minute, second,
// and the offset from UTC in quarters of an hour.
func shortTime(b []byte) (t imaging.Time, ok bool) {
	if strings.Trim(string(b[:6]), "\x00") == "" {
		return t, true
	}
	return moment(1900+int(b[0]), int(b[1]), int(b[2]), int(b[3]), int(b[4]), int(b[5]), 0, b[6])
}

// longTime is seventeen: digits down to hundredths, and the offset.
func longTime(b []byte) (t imaging.Time, ok bool) {
	d := string(b[:16])
	if strings.Trim(d, "0\x00") == "" {
		return t, true
	}
	if strings.Trim(d, "0123456789") != "" {
		return t, false
	}
	n := func(from, to int) (v int) {
		for _, c := range d[from:to] {
			v = 10*v + int(c-'0')
		}
		return v
	}
	return moment(n(0, 4), n(4, 6), n(6, 8), n(8, 10), n(10, 12), n(12, 14), n(14, 16), b[16])
}

func moment(y, m, d, hour, minute, sec, hundredths int, zone byte) (imaging.Time, bool) {
	off := int(int8(zone)) //nolint:gosec // the format's own sign
	if m < 1 || m > 12 || d < 1 || d > 31 || hour > 23 || minute > 59 || sec > 59 || off < -48 || off > 52 {
		return imaging.Time{}, false
	}
	t := time.Date(y, time.Month(m), d, hour, minute, sec, hundredths*1e7, time.UTC)
	if t.Day() != d {
		return imaging.Time{}, false
	}
	return imaging.TimeOf(t.Add(-time.Duration(off) * 15 * time.Minute)), true
}

// plainName is a name as systems show it: in UTF-8, without ";1" and without
// the point before an empty extension.
func plainName(name string, kind treeKind) string {
	if kind == joliet {
		u := make([]uint16, 0, len(name)/2+1)
		for i := 0; i+1 < len(name); i += 2 {
			u = append(u, uint16(name[i])<<8|uint16(name[i+1]))
		}
		s := strings.TrimSuffix(encode(u), ";1")
		if len(name)%2 == 1 {
			s += name[len(name)-1:]
		}
		return s
	}
	if s, ok := strings.CutSuffix(name, ";1"); ok {
		return strings.TrimSuffix(s, ".")
	}
	return name
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
	case name == "" || name == "." || name == "..":
		return fmt.Sprintf("range: the name is %q", name)
	case strings.Contains(name, "/"):
		return "range: the name contains a slash"
	case strings.Contains(name, "\x00"):
		return "range: the name contains a NUL"
	}
	return ""
}
