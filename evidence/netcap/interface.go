package netcap

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"snapcase/imaging"
)

// The options of an interface that change what a time means.
const (
	optEnd    = 0
	optResol  = 9
	optOffset = 14
)

// capturer is an interface of a section.
type capturer struct {
	link   uint16
	snap   uint32 // 0 for no limit
	resol  byte   // if_tsresol: units of 10^-n s, with the high bit 2^-n
	offset int64  // if_tsoffset, s
	broken bool   // its options are, so its times are not known
}

// newInterface reads an interface description. One that is broken keeps its
// number, because packets name interfaces by it.
func (w *walk) newInterface(s *section, at int64, body []byte) {
	c := capturer{resol: 6}
	id := len(s.interfaces)
	switch {
	case id == maxInterfaces:
		w.aside(at, fmt.Sprintf("more than %d interfaces in a section", maxInterfaces))
		return
	case len(body) < 8:
		c = capturer{link: unknownLink, broken: true}
		w.aside(at, fmt.Sprintf("the description of interface %d is too short; its frames are not decoded", id))
	default:
		c.link, c.snap = s.order.Uint16(body), s.order.Uint32(body[4:])
		if !c.options(s.order, body[8:]) {
			c.broken = true
			w.aside(at, fmt.Sprintf("the options of interface %d are broken; the times of its frames are not known", id))
		}
	}
	s.interfaces = append(s.interfaces, c)
}

// options reads the options and says whether they are sound.
func (c *capturer) options(order binary.ByteOrder, b []byte) bool {
	for len(b) > 0 {
		if len(b) < 4 {
			return false
		}
		code, n := order.Uint16(b), int(order.Uint16(b[2:]))
		b = b[4:]
		if code == optEnd {
			return true
		}
		if n > len(b) {
			return false
		}
		switch {
		case code == optResol && n == 1:
			c.resol = b[0]
		case code == optOffset && n == 8:
			c.offset = int64(order.Uint64(b)) //nolint:gosec // signed in the file
		case code == optResol || code == optOffset:
			return false
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return true
}

const (
	giga = 1_000_000_000
	// The years 1 to 9999: what a moment can be in text.
	minSec = -62135596800
	maxSec = 253402300799
)

// time is a time stamp of the interface. It is not set where the options are
// broken or the moment is outside the years 1 to 9999.
func (c *capturer) time(stamp uint64) imaging.Time {
	if c.broken {
		return imaging.Time{}
	}
	sec, nsec := split(stamp, c.resol)
	if sec > 2*maxSec || c.offset > 2*maxSec || c.offset < -2*maxSec {
		return imaging.Time{}
	}
	at := int64(sec) + c.offset //nolint:gosec // checked above
	if at < minSec || at > maxSec {
		return imaging.Time{}
	}
	return imaging.Time{Sec: at, Nsec: int32(nsec), Set: true} //nolint:gosec // below giga
}

// split gives the seconds and nanoseconds of a stamp in units of resol.
func split(stamp uint64, resol byte) (sec, nsec uint64) {
	n := int(resol & 0x7f)
	if resol&0x80 != 0 {
		if n < 64 {
			sec, stamp = stamp>>n, stamp&(1<<n-1)
		}
		hi, lo := bits.Mul64(stamp, giga)
		switch {
		case n < 64:
			return sec, hi<<(64-n) | lo>>n
		default:
			return 0, hi >> (n - 64)
		}
	}
	if n > 19 { // longer than any stamp: less than a second
		if n > 28 {
			return 0, 0
		}
		return 0, stamp / pow10(n-9)
	}
	unit := pow10(n)
	hi, lo := bits.Mul64(stamp%unit, giga)
	nsec, _ = bits.Div64(hi, lo, unit)
	return stamp / unit, nsec
}

func pow10(n int) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}
