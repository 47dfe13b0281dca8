package vmdk

import (
	"cmp"
	"fmt"
	"slices"

	"snapcase/imaging/image/container"
)

// walk is the grains of a stream as its markers give them.
type walk struct {
	grains []placed // by number
	sorted bool     // they came in order: what is between them was not written
	reach  int64    // behind the last grain, bytes of the extent
	why    string   // there is nothing behind reach
}

// mostGrains bounds the memory of a walk: 2 TiB of disk in grains of 64 KiB.
const mostGrains = 1 << 25

type placed struct{ grain, sector uint32 }

// walk follows the markers from the end of the header on: a sector number and a
// length, with the grain behind; or, with length 0, a number of sectors and what
// they hold (0 end, 1 table, 2 directory, 3 footer).
func (s *sparse) walk() error {
	w := &walk{sorted: true}
	at := max(s.overhead, sectorSize)
	for {
		var m [16]byte
		reason, err := s.pages.Read(m[:], at)
		if err != nil {
			return err
		}
		if reason != "" {
			w.why = fmt.Sprintf("the stream is cut off at byte %d", s.src.Size())
			break
		}
		value, size, kind := le.Uint64(m[:]), int64(le.Uint32(m[8:])), le.Uint32(m[12:])
		next, ok := s.marker(w, at, value, size, kind)
		if !ok {
			w.why = fmt.Sprintf("the stream cannot be followed at byte %d", at)
			break
		}
		at = next
	}
	slices.SortStableFunc(w.grains, func(a, b placed) int { return cmp.Compare(a.grain, b.grain) })
	s.walked = w
	return nil
}

// marker takes one marker; it returns where the next is.
func (s *sparse) marker(w *walk, at int64, value uint64, size int64, kind uint32) (int64, bool) {
	if size == 0 {
		if kind < 1 || kind > 3 || value > uint64(s.src.Size())/sectorSize {
			return 0, false
		}
		return at + sectorSize + int64(value)*sectorSize, true
	}
	perGrain := uint64(s.grain / sectorSize)
	if size > 2*s.grain || value%perGrain != 0 || value >= uint64(s.size/sectorSize) || value/perGrain > 1<<32-1 || at/sectorSize > 1<<32-1 {
		return 0, false
	}
	if at+12+size > s.src.Size() || len(w.grains) >= mostGrains {
		return 0, false
	}
	g := placed{uint32(value / perGrain), uint32(at / sectorSize)}
	if n := len(w.grains); n > 0 && w.grains[n-1].grain >= g.grain {
		w.sorted = false
	}
	w.grains = append(w.grains, g)
	w.reach = max(w.reach, min((int64(g.grain)+1)*s.grain, s.size))
	return at + (12+size+sectorSize-1)/sectorSize*sectorSize, true
}

// sector is where a grain is, 0 when it was not met. Of two the later counts.
func (w *walk) sector(n int64) uint32 {
	i, _ := slices.BinarySearchFunc(w.grains, n+1, func(p placed, n int64) int { return cmp.Compare(int64(p.grain), n) })
	if i == 0 || int64(w.grains[i-1].grain) != n {
		return 0
	}
	return w.grains[i-1].sector
}

func (w *walk) find(s *sparse, n, in int64, span container.Span) (container.Span, bool, error) {
	switch {
	case w.sector(n) != 0:
		return s.packed(n, in, span), true, nil
	case n*s.grain >= w.reach:
		span.Length = s.size - n*s.grain - in
		span.Reason = w.why
		return span, true, nil
	case !w.sorted:
		span.Reason = "no marker of this grain was met, and the stream has no directory"
		return span, true, nil
	}
	return span, false, nil
}
