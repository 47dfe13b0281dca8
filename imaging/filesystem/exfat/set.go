package exfat

import "math/bits"

const (
	pageBits  = 1 << 15
	pageWords = pageBits / 64
)

type page [pageWords]uint64

// full is the page with every bit set. It is shared and never written.
var full = func() *page {
	p := new(page)
	for i := range p {
		p[i] = ^uint64(0)
	}
	return p
}()

// set is a set of clusters. A page without any, and one with all of them, take
// no memory, so that a record that claims the whole of a huge volume is cheap.
type set struct {
	pages []*page
	sums  []uint32 // how many are set in the pages before; only after total
}

func (g *geometry) newSet() *set {
	return &set{pages: make([]*page, (uint64(g.clusters)+pageBits-1)/pageBits)}
}

// word gives the word of 64 clusters that holds cluster c, which must be valid.
func (s *set) word(c uint32) uint64 {
	i := c - 2
	if p := s.pages[i/pageBits]; p != nil {
		return p[i%pageBits/64]
	}
	return 0
}

func (s *set) has(c uint32) bool { return s.word(c)>>((c-2)%64)&1 != 0 }

func (s *set) add(c uint32) {
	i := c - 2
	p := s.pages[i/pageBits]
	if p == full {
		return
	}
	if p == nil {
		p = new(page)
		s.pages[i/pageBits] = p
	}
	p[i%pageBits/64] |= 1 << (i % 64)
}

// claim adds up to n clusters from c on and stops at the first that is in the
// set already; got is how many were added.
func (s *set) claim(c, n uint32) (got uint32) {
	for got < n {
		i := c + got - 2
		switch p := s.pages[i/pageBits]; {
		case p == nil && i%pageBits == 0 && n-got >= pageBits:
			s.pages[i/pageBits] = full
			got += pageBits
		case s.has(c + got):
			return got
		default:
			s.add(c + got)
			got++
		}
	}
	return got
}

// total prepares count. The set must not change after it.
func (s *set) total() {
	s.sums = make([]uint32, len(s.pages)+1)
	for k, p := range s.pages {
		n := uint32(0)
		if p == full {
			n = pageBits
		} else if p != nil {
			for _, w := range p {
				n += uint32(bits.OnesCount64(w))
			}
		}
		s.sums[k+1] = s.sums[k] + n
	}
}

// below is how many of the first i clusters are in the set.
func (s *set) below(i uint32) uint32 {
	n := s.sums[i/pageBits]
	if i%pageBits == 0 {
		return n
	}
	p := s.pages[i/pageBits]
	if p == nil {
		return n
	}
	for _, w := range p[:i%pageBits/64] {
		n += uint32(bits.OnesCount64(w))
	}
	if rest := i % 64; rest > 0 {
		n += uint32(bits.OnesCount64(p[i%pageBits/64] << (64 - rest)))
	}
	return n
}

// count is how many of the n clusters from c on are in the set.
func (s *set) count(c, n uint32) (sum uint32) {
	if n > pageBits {
		return s.below(c-2+n) - s.below(c-2)
	}
	for n > 0 {
		shift := (c - 2) % 64
		k := min(64-shift, n)
		sum += uint32(bits.OnesCount64(s.word(c) >> shift << (64 - k)))
		c, n = c+k, n-k
	}
	return sum
}
