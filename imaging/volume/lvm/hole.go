package lvm

import (
	"cmp"
	"slices"
	"sort"

	"snapcase/imaging"
)

// FirstHole gives the first bytes within n from off that no source has: those
// of Gaps, and those that a source says it lacks itself.
func (p *plan) FirstHole(off, n int64) (imaging.Hole, bool) {
	if off < 0 || off >= p.size || n <= 0 {
		return imaging.Hole{}, false
	}
	var best imaging.Hole
	end := off + min(n, p.size-off)
	for _, g := range p.gaps {
		if h, ok := g.first(p.partStart(g.Start), off, end); ok {
			best, end = h, h.Offset
		}
	}
	i := sort.Search(len(p.parts), func(i int) bool { return p.parts[i].start+p.parts[i].size > off })
	for ; i < len(p.parts) && p.parts[i].start < end; i++ {
		s := &p.parts[i]
		from := max(off, s.start)
		if h, ok := s.firstHole(from-s.start, min(end, s.start+s.size)-from); ok {
			h.Offset += s.start
			return h, true
		}
	}
	return best, best.Length > 0
}

// partStart is where the segment begins that has a byte: stripes are counted
// from there.
func (p *plan) partStart(off int64) int64 {
	i := sort.Search(len(p.parts), func(i int) bool { return p.parts[i].start+p.parts[i].size > off })
	if i == len(p.parts) || p.parts[i].start > off {
		return off
	}
	return p.parts[i].start
}

// first is the first missing byte of the gap between off and end, in a segment
// that begins at base.
func (g *Gap) first(base, off, end int64) (imaging.Hole, bool) {
	from, to := max(off, g.Start), min(end, g.Start+g.Size)
	if from >= to {
		return imaging.Hole{}, false
	}
	if g.Stripes <= 1 || g.StripeSize <= 0 {
		return imaging.Hole{Offset: from, Length: to - from, Reason: g.What}, true
	}
	at, in := (from-base)/g.StripeSize, (from-base)%g.StripeSize
	turn := at % int64(g.Stripes)
	if turn != int64(g.Stripe) {
		wait := (int64(g.Stripe) - turn + int64(g.Stripes)) % int64(g.Stripes)
		from, in = base+(at+wait)*g.StripeSize, 0
	}
	if from >= to {
		return imaging.Hole{}, false
	}
	return imaging.Hole{Offset: from, Length: min(to-from, g.StripeSize-in), Reason: g.What}, true
}

// firstHole looks whether a source lacks bytes of the segment, n from off. Of
// stripes each leg is asked once for all that it has of them.
func (s *part) firstHole(off, n int64) (imaging.Hole, bool) {
	if s.chunk == 0 {
		return s.legs[0].firstHole(off, n)
	}
	var best imaging.Hole
	count := int64(len(s.legs))
	row := s.chunk * count
	for i := range s.legs {
		// What the leg has of the rows that the run touches.
		from, to := off/row*s.chunk, ((off+n-1)/row+1)*s.chunk
		for from < to {
			h, ok := s.legs[i].firstHole(from, to-from)
			if !ok {
				break
			}
			at := (h.Offset/s.chunk*count+int64(i))*s.chunk + h.Offset%s.chunk
			size := min(h.Length, s.chunk-h.Offset%s.chunk)
			if at+size <= off { // of the first row, before the run
				from = h.Offset + size
				continue
			}
			if lead := off - at; lead > 0 {
				at, size = off, size-lead
			}
			if at < off+n && (best.Length == 0 || at < best.Offset) {
				best = imaging.Hole{Offset: at, Length: min(size, off+n-at), Reason: h.Reason}
			}
			break
		}
	}
	return best, best.Length > 0
}

// firstHole asks what the leg lies on. What the leg itself lacks is a gap of
// the volume.
func (l *leg) firstHole(off, n int64) (h imaging.Hole, ok bool) {
	switch {
	case l.sub != nil:
		h, ok = l.sub.FirstHole(l.base+off, n)
	case l.src != nil:
		h, ok = imaging.FirstHole(l.src, l.base+off, n)
	}
	h.Offset -= l.base
	return h, ok
}

// Sources lists the sources that hold bytes of the volume, by their index
// among those given to Scan, in the order in which the volume begins on them.
func (v *LV) Sources() []int {
	if v.plan == nil {
		return nil
	}
	claims := slices.Clone(v.plan.claims)
	slices.SortStableFunc(claims, func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.part, b.part), cmp.Compare(a.leg, b.leg), cmp.Compare(a.start, b.start))
	})
	var list []int
	for _, c := range claims {
		if c.source >= 0 && !slices.Contains(list, c.source) {
			list = append(list, c.source)
		}
	}
	return list
}
