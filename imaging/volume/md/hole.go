package md

import "snapcase/imaging"

// FirstHole gives the first bytes within n from off that no source has, or
// that a source says it lacks itself.
func (l *layout) FirstHole(off, n int64) (imaging.Hole, bool) {
	if off < 0 || off >= l.size || n <= 0 {
		return imaging.Hole{}, false
	}
	n = min(n, l.size-off)
	switch {
	case l.turns != nil:
		return l.turns.firstHole(off, n)
	case l.mirror:
		return l.legs[0].firstHole(off, n)
	case l.chunk > 0:
		return l.firstInTurns(off, n)
	}
	at := int64(0)
	for i := range l.legs {
		g := &l.legs[i]
		from, to := max(off, at), min(off+n, at+g.size)
		if from < to {
			if h, ok := g.firstHole(from-at, to-from); ok {
				h.Offset += at
				return h, true
			}
		}
		at += g.size
	}
	return imaging.Hole{}, false
}

// firstInTurns asks each leg once for all that it has of the rows that the run
// touches.
func (l *layout) firstInTurns(off, n int64) (imaging.Hole, bool) {
	var best imaging.Hole
	count := int64(len(l.legs))
	row := l.chunk * count
	for i := range l.legs {
		from, to := off/row*l.chunk, ((off+n-1)/row+1)*l.chunk
		for from < to {
			h, ok := l.legs[i].firstHole(from, to-from)
			if !ok {
				break
			}
			at := (h.Offset/l.chunk*count+int64(i))*l.chunk + h.Offset%l.chunk
			size := min(h.Length, l.chunk-h.Offset%l.chunk)
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

// firstHole is in bytes of the leg.
func (l *leg) firstHole(off, n int64) (imaging.Hole, bool) {
	n = min(n, l.size-off)
	if n <= 0 {
		return imaging.Hole{}, false
	}
	if l.src == nil {
		return imaging.Hole{Offset: off, Length: n, Reason: "the member is not among the sources"}, true
	}
	have := min(n, max(0, l.src.Size()-l.start-off))
	if h, ok := imaging.FirstHole(l.src, l.start+off, have); ok {
		h.Offset -= l.start
		return h, true
	}
	if have < n {
		return imaging.Hole{Offset: off + have, Length: n - have, Reason: "the source of the member ends before them"}, true
	}
	return imaging.Hole{}, false
}

// Sources lists the sources that the array is read from and whose bytes can be
// traced back to it, by their index among those given to Scan, the first first.
func (a *Array) Sources() []int {
	var list []int
	if a.layout == nil {
		return nil
	}
	legs := a.layout.legs
	if t := a.layout.turns; t != nil {
		legs = t.legs
	}
	for i := range legs {
		if n := legs[i].source; n >= 0 {
			list = append(list, n)
		}
	}
	return list
}
