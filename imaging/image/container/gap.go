package container

import (
	"fmt"
	"slices"
	"sync"

	"snapcase/imaging"
)

// Range is bytes of an image that are not what was imaged.
type Range struct {
	Offset int64 // bytes from the start of the image
	Length int64
	Reason string // lower case, with the place in the file where there is one
}

func (r Range) end() int64 { return r.Offset + r.Length }

const mostGaps = 1 << 16

// Gaps is a list of ranges that do not overlap, in order. It is safe for
// concurrent use. The zero value is not usable: see NewGaps.
type Gaps struct {
	size int64
	mu   sync.RWMutex
	list []Range
	full bool
}

// NewGaps makes the empty list of an image of size bytes.
func NewGaps(size int64) *Gaps { return &Gaps{size: size} }

// Add adds a range, cut to the image. Of bytes that were given before the first
// reason is kept; neighbours with the same reason become one range. After
// 65,536 ranges the whole rest of the image is in doubt.
func (g *Gaps) Add(off, n int64, reason string) {
	end := g.size
	if off < 0 || n <= 0 || off >= end {
		return
	}
	if n < end-off {
		end = off + n
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.full {
		return
	}
	g.fill(off, end, reason)
	if len(g.list) > mostGaps {
		g.full = true
		g.list = rest(g.list, g.size)
	}
}

// rest puts all that is free into the list, as one that ends here.
func rest(list []Range, size int64) []Range {
	reason := fmt.Sprintf("in doubt: there are more than %d damaged ranges, and no more are listed", mostGaps)
	all := make([]Range, 0, 2*len(list)+1)
	at := int64(0)
	for _, r := range append(list, Range{Offset: size}) {
		if at < r.Offset {
			all = append(all, Range{Offset: at, Length: r.Offset - at, Reason: reason})
		}
		if r.Length > 0 {
			all = append(all, r)
		}
		at = r.end()
	}
	return all
}

// fill puts what is free between off and end into the list.
func (g *Gaps) fill(off, end int64, reason string) {
	i := g.search(off)
	for off < end {
		stop := end
		if i < len(g.list) {
			if next := g.list[i]; next.Offset <= off {
				off, i = max(off, next.end()), i+1
				continue
			} else if next.Offset < stop {
				stop = next.Offset
			}
		}
		i = g.insert(i, Range{Offset: off, Length: stop - off, Reason: reason})
		off = g.list[i-1].end() // it may have taken its neighbour in
	}
}

// search finds the first range that ends behind off.
func (g *Gaps) search(off int64) int {
	i, _ := slices.BinarySearchFunc(g.list, off, func(r Range, off int64) int {
		if r.end() <= off {
			return -1
		}
		return 1
	})
	return i
}

// insert puts r at i, or into its neighbours; it returns the index behind it.
func (g *Gaps) insert(i int, r Range) int {
	if i > 0 && g.list[i-1].end() == r.Offset && g.list[i-1].Reason == r.Reason {
		g.list[i-1].Length += r.Length
		i--
	} else {
		g.list = slices.Insert(g.list, i, r)
	}
	if i+1 < len(g.list) && g.list[i].end() == g.list[i+1].Offset && g.list[i].Reason == g.list[i+1].Reason {
		g.list[i].Length += g.list[i+1].Length
		g.list = slices.Delete(g.list, i+1, i+2)
	}
	return i + 1
}

// List is a copy of the ranges.
func (g *Gaps) List() []Range {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return slices.Clone(g.list)
}

// In lists the parts of ranges within n bytes from off.
func (g *Gaps) In(off, n int64) []Range {
	g.mu.RLock()
	defer g.mu.RUnlock()
	var in []Range
	for i := g.search(off); i < len(g.list) && g.list[i].Offset < off+n; i++ {
		r := g.list[i]
		from, to := max(r.Offset, off), min(r.end(), off+n)
		in = append(in, Range{Offset: from, Length: to - from, Reason: r.Reason})
	}
	return in
}

// gapped is a source that knows gaps of its own.
type gapped interface {
	GapsIn(off, n int64) []Range
}

// GapsIn lists the gaps of src within n bytes from off, as far as they are
// known: those bytes must have been read before.
func GapsIn(src imaging.Source, off, n int64) []Range {
	if g, ok := src.(gapped); ok {
		return g.GapsIn(off, n)
	}
	return nil
}
