package netcap

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

const (
	maxDigests = 256     // different payloads that are kept of one id and sequence number, each way
	minDigests = 8       // likewise, where many pairs share the memory
	headLength = 64      // bytes that payloads of different lengths are compared by
	pairUnits  = 1 << 14 // what one pair may keep at first; see matcher
	leastUnits = 1 << 5
	allUnits   = leastUnits * maxPairs // what all pairs may keep
	slotUnits  = 2
)

// digest stands for a payload and counts it.
type digest struct {
	sum      [16]byte // of SHA-256, over what was captured
	head     [8]byte  // likewise, over the first headLength bytes
	length   uint32   // as declared
	captured uint32
	count    uint32
	odd      bool
	part     bool // of a packet that goes on in fragments
}

func digestOf(i *ICMP, odd bool) digest {
	b := i.Payload
	sum := sha256.Sum256(b)
	d := digest{length: uint32(min(i.PayloadBytes, 1<<32-1)), captured: uint32(len(b)), count: 1, odd: odd, part: i.Fragment} //nolint:gosec // a frame has at most maxCaptured
	copy(d.sum[:], sum[:])
	if len(b) >= headLength {
		sum = sha256.Sum256(b[:headLength])
		copy(d.head[:], sum[:])
	}
	return d
}

func (d *digest) whole() bool { return d.captured == d.length && !d.part }

// compare orders digests by their sums. Two are equal where they stand for
// one payload, cut in the same place.
func (d digest) compare(e digest) int {
	if c := bytes.Compare(d.sum[:], e.sum[:]); c != 0 {
		return c
	}
	if d.part != e.part {
		return map[bool]int{false: -1, true: 1}[d.part]
	}
	return cmp.Or(cmp.Compare(d.length, e.length), cmp.Compare(d.captured, e.captured))
}

// likeness is what is known of a reply beside a request.
type likeness uint8

const (
	differs likeness = iota
	unclear
	shortened // it begins as its request does and has less, or nothing
	repeats   // as far as both were captured
)

// like compares a reply with a request.
func (d *digest) like(request *digest) likeness {
	heads := d.captured >= headLength && request.captured >= headLength
	alike := heads && d.head == request.head
	sized := !d.part && !request.part // the lengths are those of the packets
	switch {
	case d.captured == request.captured && d.sum == request.sum && (d.length == request.length || !sized):
		return repeats
	case d.length == 0 || sized && d.length < request.length && alike:
		return shortened
	case sized && d.length > request.length, d.whole() && request.whole():
		return differs
	case sized && d.length < request.length:
		if heads {
			return differs
		}
		return unclear
	case d.captured == request.captured:
		return differs
	case !heads:
		return unclear
	case alike:
		return repeats
	}
	return differs
}

// digestsOf is how many digests a slot may keep each way, in a pair that may
// keep so many units.
func digestsOf(limit int) int { return max(minDigests, min(maxDigests, limit/64)) }

// payloads holds the digests of one direction: those with the smallest sums
// where there are more than may be kept, so that the order of the frames does
// not matter.
type payloads struct {
	kept  []digest // by sum
	total int64    // packets, kept or not
}

// add counts a payload and says by how many digests the list grew.
func (p *payloads) add(d digest, most int) (grown int) {
	p.total++
	i, found := slices.BinarySearchFunc(p.kept, d, digest.compare)
	if found {
		p.kept[i].count++
		return 0
	}
	full := len(p.kept) == most
	if full && i == most {
		return 0
	}
	if full {
		p.kept = p.kept[:most-1]
	}
	p.kept = slices.Insert(p.kept, i, d)
	if full {
		return 0
	}
	return 1
}

// trim keeps so many digests at most and says how many were dropped.
func (p *payloads) trim(most int) (dropped int) {
	if dropped = len(p.kept) - most; dropped <= 0 {
		return 0
	}
	p.kept = slices.Clone(p.kept[:most])
	return dropped
}

// others is the number of packets whose payloads are not kept.
func (p *payloads) others() int64 {
	n := p.total
	for i := range p.kept {
		n -= int64(p.kept[i].count)
	}
	return n
}

// odd is the number of different payloads that no known ping makes, as far as
// they are kept.
func (p *payloads) odd() (n int) {
	for i := range p.kept {
		if p.kept[i].odd {
			n++
		}
	}
	return n
}

// slot holds what went both ways under one id and sequence number.
type slot struct{ requests, replies payloads }

// slotKey is who asked, the id and the sequence number.
type slotKey uint64

func newSlotKey(side int, id, seq uint16) slotKey {
	return slotKey(side)<<32 | slotKey(id)<<16 | slotKey(seq) //nolint:gosec // 0 or 1
}

func (k slotKey) id() uint16  { return uint16(k >> 16) } //nolint:gosec // a part of k
func (k slotKey) seq() uint16 { return uint16(k) }       //nolint:gosec // a part of k

// hash spreads keys evenly.
func (k slotKey) hash() uint64 {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(k)))
	return binary.BigEndian.Uint64(sum[:])
}

// matcher holds the slots of a pair. Where they would be too many, it keeps
// those whose hash ends in shift zero bits: a sample that depends on the
// numbers alone and not on the order of the frames.
type matcher struct {
	slots map[slotKey]*slot
	shift uint
	units int
}

func (m *matcher) sampled(k slotKey) bool {
	return m.shift == 0 || k.hash()&(1<<m.shift-1) == 0
}

// add takes a packet of a pair that may keep limit units and gives by how
// much its units grew.
func (m *matcher) add(k slotKey, request bool, d digest, limit int) int {
	if !m.sampled(k) {
		return 0
	}
	was := m.units
	s := m.slots[k]
	if s == nil {
		if m.slots == nil {
			m.slots = map[slotKey]*slot{}
		}
		s = &slot{}
		m.slots[k] = s
		m.units += slotUnits
	}
	if request {
		m.units += s.requests.add(d, digestsOf(limit))
	} else {
		m.units += s.replies.add(d, digestsOf(limit))
	}
	return m.units - was
}

// shrink halves the sample until it keeps at most limit units and gives by
// how many they became fewer.
func (m *matcher) shrink(limit int) int {
	was := m.units
	for _, s := range m.slots {
		m.units -= s.requests.trim(digestsOf(limit)) + s.replies.trim(digestsOf(limit))
	}
	for m.units > limit && m.shift < 63 {
		m.shift++
		for k, s := range m.slots {
			if !m.sampled(k) {
				m.units -= slotUnits + len(s.requests.kept) + len(s.replies.kept)
				delete(m.slots, k)
			}
		}
	}
	return was - m.units
}

// matched is what the slots of a pair add up to.
type matched struct {
	compared, differing, shortened int64
	unclear                        int64 // not comparable: cut, or one of too many payloads
	orphans, oddOrphans            int64 // without a request
	reused                         slotKey
	reusedBy                       int   // different odd payloads of that key, as far as they are kept
	reusedIn                       int64 // packets of that key, one way
	reusedMore                     bool  // not all are kept
}

func (m *matcher) tally() (t matched) {
	for k, s := range m.slots {
		t.slot(s)
		for _, p := range []*payloads{&s.requests, &s.replies} {
			if n := p.odd(); n > t.reusedBy || n == t.reusedBy && (p.total > t.reusedIn || p.total == t.reusedIn && k < t.reused) {
				t.reused, t.reusedBy, t.reusedIn, t.reusedMore = k, n, p.total, p.others() > 0
			}
		}
	}
	return t
}

func (t *matched) slot(s *slot) {
	if s.requests.total == 0 {
		t.orphans += s.replies.total
		for i := range s.replies.kept {
			if d := &s.replies.kept[i]; d.odd {
				t.oddOrphans += int64(d.count)
			}
		}
		if len(s.replies.kept) == s.replies.odd() { // then the others are taken to be odd too
			t.oddOrphans += s.replies.others()
		}
		return
	}
	more := s.requests.others() > 0
	t.unclear += s.replies.others()
	for i := range s.replies.kept {
		d := &s.replies.kept[i]
		best := differs
		for j := range s.requests.kept {
			best = max(best, d.like(&s.requests.kept[j]))
		}
		n := int64(d.count)
		switch {
		case best == unclear || best == differs && more:
			t.unclear += n
			continue
		case best == differs:
			t.differing += n
		case best == shortened:
			t.shortened += n
		}
		t.compared += n
	}
}
