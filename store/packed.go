package store

import (
	"encoding/binary"
	"encoding/hex"
	"math"

	"snapcase/imaging"
)

// packedID is an id of a record in little space: a UUID in canonical form is
// 16 bytes; other text is kept beside.
type packedID struct {
	uuid [16]byte
	text string // when it is no UUID
	kind idKind
}

type idKind uint8

const (
	noID idKind = iota
	uuidID
	textID
)

func packID(s string) packedID {
	if s == "" {
		return packedID{}
	}
	if b, ok := parseUUID(s); ok {
		return packedID{uuid: b, kind: uuidID}
	}
	return packedID{text: s, kind: textID}
}

// parseUUID reads the canonical form only (lower case, hyphens), so that the
// text can be made again exactly.
func parseUUID(s string) (b [16]byte, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return b, false
	}
	j := 0
	for i := 0; i < 36; i++ {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			continue
		}
		var v byte
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			v = c - '0'
		case c >= 'a' && c <= 'f':
			v = c - 'a' + 10
		default:
			return b, false
		}
		b[j/2] = b[j/2]<<4 | v
		j++
	}
	return b, true
}

func uuidText(b []byte) string {
	var out [36]byte
	hex.Encode(out[0:8], b[0:4])
	hex.Encode(out[9:13], b[4:6])
	hex.Encode(out[14:18], b[6:8])
	hex.Encode(out[19:23], b[8:10])
	hex.Encode(out[24:36], b[10:16])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out[:])
}

// value is what the database holds: 16 bytes, text, or NULL.
func (p *packedID) value() any {
	switch p.kind {
	case uuidID:
		return p.uuid[:]
	case textID:
		return p.text
	case noID:
	}
	return nil
}

func (p *packedID) String() string {
	if p.kind == uuidID {
		return uuidText(p.uuid[:])
	}
	return p.text
}

// unpackID is the text of a value of the database.
func unpackID(v any) string {
	switch v := v.(type) {
	case []byte:
		if len(v) == 16 {
			return uuidText(v)
		}
		return string(v)
	case string:
		return v
	}
	return ""
}

// compare orders as the text does; no id comes first.
func (p *packedID) compare(q *packedID) int {
	if p.kind == uuidID && q.kind == uuidID {
		for i := 0; i < 16; i += 8 {
			a, b := binary.BigEndian.Uint64(p.uuid[i:]), binary.BigEndian.Uint64(q.uuid[i:])
			if a != b {
				if a < b {
					return -1
				}
				return 1
			}
		}
		return 0
	}
	a, b := p.String(), q.String()
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Times are kept as nanoseconds since 1970 in 64 bits, which end in 1677 and
// 2262; what lies beyond is set to the end, and its exact value stands in
// times_beyond.
const (
	minNano = math.MinInt64
	maxNano = math.MaxInt64
)

// nano is t in nanoseconds, and whether that is exact.
func nano(t imaging.Time) (ns int64, exact bool) {
	const limit = math.MaxInt64/1_000_000_000 - 1
	switch {
	case t.Sec > limit:
		return maxNano, false
	case t.Sec < -limit:
		return minNano, false
	}
	return t.Sec*1_000_000_000 + int64(t.Nsec), true
}

// ofNano is the inverse of nano where that is exact.
func ofNano(ns int64) imaging.Time {
	sec, nsec := ns/1_000_000_000, ns%1_000_000_000
	if nsec < 0 {
		sec--
		nsec += 1_000_000_000
	}
	return imaging.Time{Sec: sec, Nsec: int32(nsec), Set: true} //nolint:gosec // below 1e9
}

// nanoOrNull is t for a column.
func nanoOrNull(t imaging.Time) any {
	if !t.Set {
		return nil
	}
	ns, _ := nano(t)
	return ns
}
