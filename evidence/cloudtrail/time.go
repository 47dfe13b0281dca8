package cloudtrail

import (
	"time"

	"snapcase/imaging"
)

// parseTime reads 2023-07-10T12:00:00Z, with a blank in place of T, with a
// fraction, with an offset (+02:00 or +0200) or no zone at all, which means
// UTC. Anything else, and a date that does not exist, is not set.
func parseTime(b []byte) imaging.Time {
	if len(b) < 19 || b[4] != '-' || b[7] != '-' || b[10] != 'T' && b[10] != ' ' || b[13] != ':' || b[16] != ':' {
		return imaging.Time{}
	}
	year, month, day := digits(b[0:4]), digits(b[5:7]), digits(b[8:10])
	hour, minute, sec := digits(b[11:13]), digits(b[14:16]), digits(b[17:19])
	if year < 0 || month < 1 || month > 12 || day < 1 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || sec < 0 || sec > 59 {
		return imaging.Time{}
	}
	nsec, rest, ok := fraction(b[19:])
	if !ok {
		return imaging.Time{}
	}
	zone, ok := offset(rest)
	if !ok {
		return imaging.Time{}
	}
	t := time.Date(year, time.Month(month), day, hour, minute, sec, 0, time.UTC)
	if t.Day() != day {
		return imaging.Time{} // 31 June
	}
	return imaging.Time{Sec: t.Unix() - zone, Nsec: nsec, Set: true}
}

func digits(b []byte) int {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// fraction reads .123; what is finer than a nanosecond is cut off.
func fraction(b []byte) (nsec int32, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '.' {
		return 0, b, true
	}
	scale, i := int32(100_000_000), 1
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		nsec += int32(b[i]-'0') * scale
		scale /= 10
	}
	return nsec, b[i:], i > 1
}

// offset reads a zone: seconds east of UTC.
func offset(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) == 1 && (b[0] == 'Z' || b[0] == 'z') {
		return 0, true
	}
	sign := int64(1)
	switch b[0] {
	case '-':
		sign = -1
	case '+':
	default:
		return 0, false
	}
	var h, m int
	switch {
	case len(b) == 6 && b[3] == ':':
		h, m = digits(b[1:3]), digits(b[4:6])
	case len(b) == 5:
		h, m = digits(b[1:3]), digits(b[3:5])
	default:
		return 0, false
	}
	if h < 0 || h > 23 || m < 0 || m > 59 {
		return 0, false
	}
	return sign * int64(h*3600+m*60), true
}
