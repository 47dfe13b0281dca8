package flowlog

import (
	"fmt"
	"math"
	"net/netip"

	"snapcase/imaging"
)

const (
	maxPort = 1<<16 - 1
	maxByte = 1<<8 - 1
	maxTime = 253402300799 // 9999-12-31T23:59:59Z
	maxAddr = 45           // bytes of the longest address, ::ffff: with a dotted end
)

// number reads decimal digits without a sign.
func number(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	n := uint64(0)
	for _, c := range b {
		if c -= '0'; c > 9 {
			return 0, false
		}
		n = n*10 + uint64(c)
	}
	return int64(n), n <= math.MaxInt64 //nolint:gosec // checked in the same breath
}

func null(b []byte) bool { return len(b) == 1 && b[0] == '-' }

// setNumber reads a number from 0 to most, or Null.
func setNumber(to *int64, b []byte, most int64) string {
	if null(b) {
		*to = Null
		return ""
	}
	n, ok := number(b)
	if !ok || n > most {
		return fmt.Sprintf("is no number from 0 to %d", most)
	}
	*to = n
	return ""
}

// setTime reads Unix seconds.
func setTime(to *imaging.Time, b []byte) string {
	if null(b) {
		*to = imaging.Time{}
		return ""
	}
	n, ok := number(b)
	if !ok || n > maxTime {
		return "is no time in Unix seconds"
	}
	*to = imaging.Time{Sec: n, Set: true}
	return ""
}

// setAddr reads an address of either kind. An IPv4 address that is written as
// an IPv6 one (::ffff:192.0.2.1) is the IPv4 address.
func (p *parser) setAddr(to *netip.Addr, b []byte) string {
	if null(b) {
		*to = netip.Addr{}
		return ""
	}
	if four, ok := fourBytes(b); ok {
		*to = netip.AddrFrom4(four)
		return ""
	}
	const no = "is no IP address"
	if len(b) > maxAddr {
		return no
	}
	a, err := netip.ParseAddr(p.words.get(b))
	if err != nil || a.Zone() != "" {
		return no
	}
	*to = a.Unmap()
	return ""
}

// fourBytes reads a dotted IPv4 address: four numbers to 255 without leading
// zeros.
func fourBytes(b []byte) (four [4]byte, ok bool) {
	if len(b) < 7 || len(b) > 15 {
		return four, false
	}
	part, digits, n := 0, 0, uint(0)
	for _, c := range b {
		if c == '.' {
			if digits == 0 || part == 3 {
				return four, false
			}
			four[part] = byte(n)
			part, digits, n = part+1, 0, 0
			continue
		}
		if c -= '0'; c > 9 || digits > 0 && n == 0 {
			return four, false
		}
		if n = n*10 + uint(c); n > maxByte {
			return four, false
		}
		digits++
	}
	four[3] = byte(n)
	return four, part == 3 && digits > 0
}

// isTimestamp knows the time that an export task of CloudWatch puts before a
// line: 2014-12-14T04:06:50.000Z, also without a fraction.
func isTimestamp(b []byte) bool {
	const shape = "0000-00-00T00:00:00"
	if len(b) <= len(shape) || b[len(b)-1] != 'Z' {
		return false
	}
	for i, c := range []byte(shape) {
		if c == '0' && !digit(b[i]) || c != '0' && b[i] != c {
			return false
		}
	}
	fraction := b[len(shape) : len(b)-1]
	if len(fraction) == 0 {
		return true
	}
	for _, c := range fraction[1:] {
		if !digit(c) {
			return false
		}
	}
	return fraction[0] == '.' && len(fraction) > 1 && len(fraction) <= 10
}

func digit(c byte) bool { return c-'0' <= 9 }
