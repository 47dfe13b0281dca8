package imaging

import "math/bits"

// Bitmap is a set of the numbers from 0 up to Len, one bit each.
type Bitmap struct {
	words []uint64
	n     int64
	count int64
}

// NewBitmap is the empty set of numbers below n.
func NewBitmap(n int64) *Bitmap { return &Bitmap{words: make([]uint64, (n+63)/64), n: n} }

// Len is how many numbers there could be; Count is how many there are.
func (b *Bitmap) Len() int64 { return b.n }

// Count is how many numbers are in the set.
func (b *Bitmap) Count() int64 { return b.count }

// Has says whether i is in the set.
func (b *Bitmap) Has(i int64) bool {
	return i >= 0 && i < b.n && b.words[i/64]>>(i%64)&1 == 1
}

// Set adds i, which is at least 0 and below Len.
func (b *Bitmap) Set(i int64) {
	if !b.Has(i) {
		b.words[i/64] |= 1 << (i % 64)
		b.count++
	}
}

// Next is the first number at or behind i that is in the set, or (in false)
// that is not; Len where there is none.
func (b *Bitmap) Next(i int64, in bool) int64 {
	for i < b.n {
		w := b.words[i/64]
		if !in {
			w = ^w
		}
		if w >>= i % 64; w != 0 {
			return min(b.n, i+int64(bits.TrailingZeros64(w)))
		}
		i = i/64*64 + 64
	}
	return b.n
}

// Between counts the numbers of the set from lo up to hi.
func (b *Bitmap) Between(lo, hi int64) (n int) {
	for i := b.Next(lo, true); i < hi; i = b.Next(i+1, true) {
		n++
	}
	return n
}
