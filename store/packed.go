package store

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"sync"

	"snapcase/imaging"
)

// packedID is an id of a record without a pointer: a UUID in canonical form is
// its 16 bytes, other text of up to 16 bytes stands as it is, longer text is a
// number of longIDs.
type packedID struct {
	b    [16]byte
	n    uint8 // of b, for shortID
	kind idKind
}

type idKind uint8

const (
	noID idKind = iota
	uuidID
	shortID
	longID
)

// longIDs keeps the ids that do not fit into a packedID. It is safe for
// concurrent use.
type longIDs struct {
	mu  sync.Mutex
	all []string
}

func (l *longIDs) pack(s string) (p packedID) {
	if s == "" {
		return p
	}
	if b, ok := parseUUID(s); ok {
		return packedID{b: b, kind: uuidID}
	}
	if len(s) <= len(p.b) {
		p.kind, p.n = shortID, uint8(copy(p.b[:], s))
		return p
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p.kind = longID
	binary.BigEndian.PutUint64(p.b[:], uint64(len(l.all)))
	l.all = append(l.all, strings.Clone(s))
	return p
}

// text is the id as the record has it.
func (l *longIDs) text(p *packedID) string {
	switch p.kind {
	case uuidID:
		return uuidText(p.b[:])
	case shortID:
		return string(p.b[:p.n])
	case longID:
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.all[binary.BigEndian.Uint64(p.b[:])]
	case noID:
	}
	return ""
}

// value is what the database holds.
func (l *longIDs) value(p *packedID) any {
	if p.kind == uuidID {
		return p.b[:]
	}
	if p.kind == noID {
		return nil
	}
	return l.text(p)
}

// compare orders as the text does; no id comes first.
func (l *longIDs) compare(p, q *packedID) int {
	if p.kind == q.kind && p.kind == uuidID {
		return bytes.Compare(p.b[:], q.b[:])
	}
	return strings.Compare(l.text(p), l.text(q))
}

// idValue is what the database holds for an id: 16 bytes for a UUID in
// canonical form, else the text; nil for none.
func idValue(s string) any {
	if b, ok := parseUUID(s); ok {
		return b[:]
	}
	if s == "" {
		return nil
	}
	return s
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

// The ends of the numbers that times of the index are.
const (
	minNano = math.MinInt64
	maxNano = math.MaxInt64
)

// A time of the index is one signed number, so that order and filters are
// those of numbers. Within nearSec seconds of 1970 (November 1823 to February
// 2116) it counts nanoseconds; beyond, from where those end, seconds. What the
// number leaves out, times_beyond has.
const (
	farBase = 1 << 62                 // the number of the first second that is far
	nearSec = farBase / 1_000_000_000 // seconds
)

// nano is the number of t, and whether it says all of it.
func nano(t imaging.Time) (ns int64, exact bool) {
	switch {
	case t.Sec >= nearSec:
		return farBase + min(t.Sec-nearSec, farBase-2), false
	case t.Sec < -nearSec:
		return -farBase - min(-(t.Sec+nearSec), farBase-2), false
	}
	return t.Sec*1_000_000_000 + int64(t.Nsec), true
}

// far says whether a number of the index counts seconds.
func far(ns int64) bool { return ns >= farBase || ns < -nearSec*1_000_000_000 }

// ofNano is the time of a number, to the second where it is far.
func ofNano(ns int64) imaging.Time {
	switch {
	case ns >= farBase:
		return imaging.Time{Sec: ns - farBase + nearSec, Set: true}
	case far(ns):
		return imaging.Time{Sec: ns + farBase - nearSec, Set: true}
	}
	sec, nsec := ns/1_000_000_000, ns%1_000_000_000
	if nsec < 0 {
		sec--
		nsec += 1_000_000_000
	}
	return imaging.Time{Sec: sec, Nsec: int32(nsec), Set: true} //nolint:gosec // below 1e9
}

// secondsOf is the second of a number of the index, in SQL: as ofNano.
func secondsOf(column string) string {
	return fmt.Sprintf("CASE WHEN %[1]s >= %[2]d THEN %[1]s - %[2]d + %[3]d WHEN %[1]s < -%[3]d000000000 THEN %[1]s + %[2]d - %[3]d WHEN %[1]s < 0 THEN (%[1]s - 999999999) / 1000000000 ELSE %[1]s / 1000000000 END", column, int64(farBase), int64(nearSec))
}

// nanoOrNull is t for a column.
func nanoOrNull(t imaging.Time) any {
	if !t.Set {
		return nil
	}
	ns, _ := nano(t)
	return ns
}
