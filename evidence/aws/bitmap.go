package aws

import "math/bits"

// bitmap says of each block whether it is listed.
type bitmap struct {
	words []uint64
	n     int64 // blocks
	count int64 // of those, listed
}

func newBitmap(n int64) *bitmap { return &bitmap{words: make([]uint64, (n+63)/64), n: n} }

func (b *bitmap) has(i int64) bool {
	return i >= 0 && i < b.n && b.words[i/64]>>(i%64)&1 == 1
}

func (b *bitmap) set(i int64) {
	if !b.has(i) {
		b.words[i/64] |= 1 << (i % 64)
		b.count++
	}
}

// next is the first block at or behind i that is listed, or that is not; n
// where there is none.
func (b *bitmap) next(i int64, listed bool) int64 {
	for i < b.n {
		w := b.words[i/64]
		if !listed {
			w = ^w
		}
		if w >>= i % 64; w != 0 {
			return min(b.n, i+int64(bits.TrailingZeros64(w)))
		}
		i = i/64*64 + 64
	}
	return b.n
}

// between counts the listed blocks from lo up to hi.
func (b *bitmap) between(lo, hi int64) (n int) {
	for i := b.next(lo, true); i < hi; i = b.next(i+1, true) {
		n++
	}
	return n
}
