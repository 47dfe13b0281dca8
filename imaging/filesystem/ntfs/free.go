package ntfs

import (
	"fmt"
	"math/bits"
)

const (
	bitsPart = 64 << 10
	// maxLookups bounds the clusters of freed files that one walk looks up.
	maxLookups = 1 << 34
)

// bitmap reads parts of a bitmap and keeps the last one.
type bitmap struct {
	c       *Content // nil: nothing is known
	at      int64    // of the part, bytes
	part    []byte
	lookups uint64
}

// load makes the part with a byte the current one; ok is false behind the end.
func (b *bitmap) load(at int64) (ok bool, err error) {
	if b.c == nil || at >= b.c.size {
		return false, nil
	}
	if b.part != nil && at >= b.at && at < b.at+int64(len(b.part)) {
		return true, nil
	}
	b.at = at / bitsPart * bitsPart
	b.part = make([]byte, min(bitsPart, b.c.size-b.at))
	if _, err := b.c.ReadAt(b.part, b.at); err != nil && !isEOF(err) {
		b.part = nil
		return false, err
	}
	return true, nil
}

// get says whether bit i is set; behind the end none is.
func (b *bitmap) get(i uint64) (bool, error) {
	at := int64(i / 8) //nolint:gosec // far below
	ok, err := b.load(at)
	return ok && b.part[at-b.at]>>(i%8)&1 != 0, err
}

// count is how many of n bits from i on are set.
func (b *bitmap) count(i, n uint64) (set uint64, err error) {
	for n > 0 {
		at := int64(i / 8) //nolint:gosec // far below
		ok, err := b.load(at)
		if !ok || err != nil {
			return set, err
		}
		if i%8 == 0 && n >= 8 {
			for n >= 8 && at-b.at < int64(len(b.part)) {
				set += uint64(bits.OnesCount8(b.part[at-b.at])) //nolint:gosec // at most 8
				at, i, n = at+1, i+8, n-8
			}
			continue
		}
		set += uint64(b.part[at-b.at] >> (i % 8) & 1)
		i, n = i+1, n-1
	}
	return set, nil
}

// reused says how many clusters of a freed stream are in use again.
func (b *bitmap) reused(s *stream) (string, error) {
	total, again := uint64(0), uint64(0)
	for _, r := range s.runs {
		if r.lcn < 0 {
			continue
		}
		if b.c == nil || b.lookups > maxLookups {
			return "reallocated: whether its clusters are in use again is not known", nil
		}
		b.lookups += r.n
		n, err := b.count(uint64(r.lcn), r.n)
		if err != nil {
			return "", err
		}
		total, again = total+r.n, again+n
	}
	if again == 0 {
		return "", nil
	}
	return fmt.Sprintf("reallocated: %d of %d clusters are in use again", again, total), nil
}
