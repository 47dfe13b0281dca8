package ntfs

import (
	"fmt"
	"math/bits"
)

const (
	bitsPart  = 64 << 10 // bytes
	keptParts = 256
	// maxLookups bounds the clusters of freed files that one walk looks up,
	// maxLoads how many parts it reads for that.
	maxLookups, maxLoads = 1 << 34, 1 << 18
)

// bitmap reads parts of a bitmap and keeps some of them.
type bitmap struct {
	c       *Content // nil: nothing is known
	at      int64    // of the current part, bytes
	part    []byte
	kept    map[int64][]byte
	loads   int
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
	if b.part = b.kept[b.at]; b.part != nil {
		return true, nil
	}
	p := make([]byte, min(bitsPart, b.c.size-b.at))
	if _, err := b.c.ReadAt(p, b.at); err != nil && !isEOF(err) {
		return false, err
	}
	if b.loads++; b.kept == nil || len(b.kept) == keptParts {
		b.kept = make(map[int64][]byte)
	}
	b.part, b.kept[b.at] = p, p
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
		if b.c == nil || b.lookups > maxLookups || b.loads > maxLoads {
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
