package credential

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
)

// What must be known of the bytes before and behind the start of an id to
// judge it, at most: UTF-16 takes two bytes a character.
const (
	before = 2 * reach
	behind = 2 * (idLen + reach)
)

// MaxHits and MaxOther bound what a Scanner keeps, so that evidence made to
// flood it cannot: ids that stand alone, and those that are a part of
// something longer. The lowest offsets are kept; Omitted counts the others.
const (
	MaxHits  = 500_000
	MaxOther = 50_000
)

// Scanner finds access key ids in a stream that comes in blocks. It is safe
// for concurrent use, and what it finds does not depend on how the stream is
// cut into blocks or in which order they come.
type Scanner struct {
	key []byte
	max [2]int

	mu      sync.Mutex
	byStart map[int64]*rest // by the offset of their first byte
	byEnd   map[int64]*rest // by the offset behind their last byte
	found   [2]kept
}

// kept are hits of one class, and how many more there were.
type kept struct {
	hits    []Hit
	omitted int64
}

// rest is a part of the stream whose ids at [from, to) wait for bytes that
// were not seen yet: before it, behind it, or both.
type rest struct {
	off      int64
	data     []byte
	from, to int // in data
	left     bool
	right    bool
}

func (r *rest) end() int64 { return r.off + int64(len(r.data)) }

// NewScanner makes a Scanner whose fingerprints are made under caseKey. With
// an empty key there are no fingerprints.
func NewScanner(caseKey []byte) *Scanner {
	return &Scanner{
		key: slices.Clone(caseKey), max: [2]int{MaxHits, MaxOther},
		byStart: map[int64]*rest{}, byEnd: map[int64]*rest{},
	}
}

// Scan looks at the bytes of the stream from offset. Each byte of the stream
// is given once; the block is not kept.
func (s *Scanner) Scan(block []byte, offset int64) {
	if len(block) == 0 {
		return
	}
	r := &rest{off: offset, data: block, to: len(block), left: offset > 0, right: true}
	hits, parts := s.settle(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(hits)
	for _, p := range parts {
		// Only here are bytes of the block kept, at most a few kilobytes.
		p.data = slices.Clone(p.data)
	}
	for len(parts) > 0 {
		p := parts[0]
		parts = append(parts[1:], s.join(p)...)
	}
}

// settle judges the ids of r whose surroundings are known, and gives what
// remains, as parts of r.
func (s *Scanner) settle(r *rest) ([]Hit, []*rest) {
	lo, hi := r.from, r.to
	if r.left {
		lo = max(lo, before)
	}
	if r.right {
		hi = min(hi, len(r.data)-behind)
	}
	if lo >= hi { // nothing is known well enough
		return nil, []*rest{r}
	}
	hits := s.judge(r.data, lo, hi, r.off)
	var parts []*rest
	if r.from < lo {
		parts = append(parts, &rest{off: r.off, data: r.data[:min(len(r.data), lo+behind)], from: r.from, to: lo, left: true})
	}
	if hi < r.to {
		from := max(0, hi-before)
		parts = append(parts, &rest{off: r.off + int64(from), data: r.data[from:], from: hi - from, to: r.to - from, right: true})
	}
	return hits, parts
}

// join puts p beside what waits for it and settles that, or lets p wait.
func (s *Scanner) join(p *rest) []*rest {
	if p.left {
		if l := s.byEnd[p.off]; l != nil {
			s.forget(l)
			return s.again(merge(l, p))
		}
	}
	if p.right {
		if n := s.byStart[p.end()]; n != nil {
			s.forget(n)
			return s.again(merge(p, n))
		}
	}
	if p.left {
		s.byStart[p.off] = p
	}
	if p.right {
		s.byEnd[p.end()] = p
	}
	return nil
}

func (s *Scanner) forget(r *rest) {
	if s.byStart[r.off] == r {
		delete(s.byStart, r.off)
	}
	if s.byEnd[r.end()] == r {
		delete(s.byEnd, r.end())
	}
}

// merge is l and r, which touch, as one.
func merge(l, r *rest) *rest {
	return &rest{
		off: l.off, data: slices.Concat(l.data, r.data),
		from: l.from, to: len(l.data) + r.to, left: l.left, right: r.right,
	}
}

// again settles a merged part. Where nothing could be settled it waits.
func (s *Scanner) again(r *rest) []*rest {
	hits, parts := s.settle(r)
	s.add(hits)
	for _, p := range parts {
		if p != r {
			p.data = slices.Clone(p.data)
		}
	}
	return parts
}

// judge finds the ids of b that start in [lo, hi); b starts at offset off.
func (s *Scanner) judge(b []byte, lo, hi int, off int64) []Hit {
	var hits []Hit
	findIDs(b, lo, hi, func(p int, enc string) {
		id, alone := idAt(b, p, enc)
		h := Hit{Offset: off + int64(p), KeyID: id, Kind: kindOf([]byte(id[:4])), Encoding: enc, Documentation: strings.Contains(id, "EXAMPLE")}
		if !alone {
			h.Kind = Other
		}
		text, at := b, p
		switch enc {
		case UTF16LE:
			text, at = decode16(b, p, enc)
		case UTF16BE:
			text, at = decode16(b, p, enc)
			h.Offset--
		}
		var secret span
		secret, h.Secret, h.Token = beside(text, at)
		if h.Secret && len(s.key) > 0 {
			m := hmac.New(sha256.New, s.key)
			m.Write(secret.value)
			h.Fingerprint = hex.EncodeToString(m.Sum(nil)[:8])
		}
		hits = append(hits, h)
	})
	return hits
}

// Find finds the access key ids of a stream that is given whole, as a Scanner
// does. With an empty key there are no fingerprints.
func Find(caseKey, stream []byte) []Hit {
	return (&Scanner{key: caseKey}).judge(stream, 0, len(stream), 0)
}

// decode16 is the text around the id at b[p:], one byte a character, 0xff for
// what is not ASCII, and the id's place in it.
func decode16(b []byte, p int, enc string) (text []byte, at int) {
	n := min(p/2, reach)
	from := p - 2*n
	to := min(len(b), p+2*(idLen+reach))
	for i := from; i < to; i += 2 {
		text = append(text, char16(b[i], high(b, i, enc)))
	}
	return text, n
}

func char16(lo, hi byte) byte {
	if hi != 0 {
		return 0xff
	}
	return lo
}

// add keeps hits within the bounds.
func (s *Scanner) add(hits []Hit) {
	for _, h := range hits {
		class := 0
		if h.Kind == Other {
			class = 1
		}
		k := &s.found[class]
		if k.hits = append(k.hits, h); len(k.hits) >= 2*s.max[class] {
			k.cut(s.max[class])
		}
	}
}

func (k *kept) cut(most int) {
	slices.SortFunc(k.hits, byOffset)
	if n := len(k.hits) - most; n > 0 {
		k.omitted += int64(n)
		k.hits = slices.Clone(k.hits[:most])
	}
}

func byOffset(a, b Hit) int {
	if a.Offset != b.Offset {
		if a.Offset < b.Offset {
			return -1
		}
		return 1
	}
	return strings.Compare(a.Encoding, b.Encoding)
}

// Hits ends the stream and gives what was found, by offset. The Scanner takes
// no more blocks after it.
func (s *Scanner) Hits() []Hit {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range []map[int64]*rest{s.byStart, s.byEnd} {
		for _, r := range m {
			if r.from < r.to {
				s.add(s.judge(r.data, r.from, r.to, r.off))
				r.from = r.to
			}
		}
		clear(m)
	}
	var all []Hit
	for i := range s.found {
		s.found[i].cut(s.max[i])
		all = append(all, s.found[i].hits...)
	}
	slices.SortFunc(all, byOffset)
	return all
}

// Omitted counts the hits that were found beyond MaxHits and MaxOther; it is
// known after Hits.
func (s *Scanner) Omitted() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.found[0].omitted + s.found[1].omitted
}
