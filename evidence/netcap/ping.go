package netcap

import (
	"encoding/binary"

	"snapcase/imaging"
)

// kind is what the payload of an echo packet looks like.
type kind uint8

const (
	kindEmpty   kind = iota
	kindUnseen       // too little was captured to tell
	kindLinux        // 8 or 16 bytes of time, then 0x10, 0x11, …
	kindBSD          // 8 bytes of time, then 0x08, 0x09, …
	kindWindows      // abc…w, over and over
	kindCount        // 0x00, 0x01, …: Linux without room for a time
	kindCisco        // 4 zeros, 4 bytes of clock, then abcd over and over
	kindZeros        // zeros, or 4 bytes of clock and zeros: fping, BusyBox
	kindMonitor      // the fixed text of a monitoring tool
	kindClock        // as Linux or BSD, with a time that is not the capture's
	kindUnknown
	kinds
)

var kindNames = [kinds]string{
	kindLinux: "Linux ping", kindBSD: "BSD and macOS ping", kindWindows: "Windows ping", kindCount: "Linux ping without a time",
	kindCisco: "Cisco ping", kindZeros: "fping or BusyBox ping", kindMonitor: "a monitoring tool",
}

// odd says that no known ping makes such a payload.
func (k kind) odd() bool { return k == kindUnknown || k == kindClock }

// known says that a known ping makes such a payload.
func (k kind) known() bool { return kindNames[k] != "" }

// monitors are the fixed texts of monitoring tools.
var monitors = []string{"Prometheus Blackbox Exporter"}

const (
	alphabet   = 23 // letters that Windows goes through
	enough     = 24 // bytes of a cut payload that are needed to tell its kind
	clockRange = 86400
)

// kindOf tells the kind of a payload of which b was captured at time t.
func kindOf(b []byte, declared int64, t imaging.Time) kind {
	cut := int64(len(b)) < declared
	switch {
	case declared == 0:
		return kindEmpty
	case cut && len(b) < enough:
		return kindUnseen
	case every(b, func(i int) byte { return 'a' + byte(i%alphabet) }):
		return kindWindows
	case every(b, func(i int) byte { return byte(i) }):
		return kindCount
	case every(b, zero) || len(b) >= enough && every(b[4:], zero):
		return kindZeros
	case len(b) >= enough && every(b[:4], zero) && every(b[8:], func(i int) byte { return "\xab\xcd"[i%2] }):
		return kindCisco
	}
	for _, m := range monitors {
		if string(b) == m[:min(len(m), len(b))] && int64(len(m)) == declared {
			return kindMonitor
		}
	}
	return timedKind(b, t)
}

func zero(int) byte { return 0 }

// every says that each byte of b is the one that belongs at its place.
func every(b []byte, want func(i int) byte) bool {
	for i, c := range b {
		if c != want(i) {
			return false
		}
	}
	return true
}

// timedKind tells the kinds that begin with the time of sending.
func timedKind(b []byte, t imaging.Time) kind {
	found := kindUnknown
	try := func(head int, k kind, want func(i int) byte) {
		if len(b) < head || found.known() || !every(b[head:], want) {
			return
		}
		switch {
		case timed(b[:head], t) && (t.Set || len(b) >= enough):
			found = k
		case len(b) >= enough: // the pattern alone tells
			found = kindClock
		}
	}
	try(16, kindLinux, func(i int) byte { return byte(i + 16) })
	try(8, kindLinux, func(i int) byte { return byte(i + 16) })
	try(8, kindBSD, func(i int) byte { return byte(i + 8) })
	return found
}

// timed says that b is a time, seconds and a fraction in either byte order,
// within a day of t, or no time at all.
func timed(b []byte, t imaging.Time) bool {
	half := len(b) / 2
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		var sec, frac uint64
		if half == 8 {
			sec, frac = order.Uint64(b), order.Uint64(b[8:])
		} else {
			sec, frac = uint64(order.Uint32(b)), uint64(order.Uint32(b[4:]))
		}
		if sec == 0 && frac == 0 {
			return true
		}
		if frac >= giga || sec > maxSec {
			continue
		}
		if off := int64(sec) - t.Sec; !t.Set || off < clockRange && off > -clockRange { //nolint:gosec // checked above
			return true
		}
	}
	return false
}
