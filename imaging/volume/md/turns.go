package md

import (
	"fmt"
	"slices"

	"snapcase/imaging"
)

// turns is where the chunks of an array of level 4, 5, 6 or 10 lie: each has a
// place on a member, by its row there, and rows have parity or copies.
type turns struct {
	level  int32
	layout int32 // of parity: 0 to 3 rotate, last is that of level 4
	n      int64 // members
	data   int64 // chunks of data in a row of parity
	chunk  int64 // bytes
	chunks int64 // of the array
	near   int64 // copies of level 10 on members that follow one another
	far    int64 // and in rows that are stride apart
	offset bool  // the far copies are in the next rows
	stride int64 // rows
	legs   []leg // by the member's number; src is nil where it is missing
}

// last is a layout whose parity is on the last member.
const last = 5

// place is where copy k of chunk c lies; of parity there is one copy.
func (t *turns) place(c, k int64) (member, row int64) {
	if t.level != 10 {
		row = c / t.data
		return t.member(row, c%t.data), row
	}
	p := c*t.near + k%t.near
	member, row = p%t.n, p/t.n
	if t.offset {
		row *= t.far
	}
	f := k / t.near
	return (member + f*t.near) % t.n, row + f*t.stride
}

// parity gives the members that hold P and Q in a row; -1 for none.
func (t *turns) parity(row int64) (p, q int64) {
	switch t.layout {
	case 0, 2: // left
		p = t.n - 1 - row%t.n
	case 1, 3: // right
		p = row % t.n
	default:
		p = t.data
	}
	if t.level != 6 {
		return p, -1
	}
	return p, (p + 1) % t.n
}

// member is the one that holds chunk d of a row of parity.
func (t *turns) member(row, d int64) int64 {
	p, q := t.parity(row)
	skip := int64(1)
	if q >= 0 {
		skip = 2
	}
	switch {
	case t.layout == 2 || t.layout == 3: // symmetric: the data begin behind the parity
		return (p + skip + d) % t.n
	case q == 0: // P is the last, Q the first
		return d + 1
	case d >= p:
		return d + skip
	}
	return d
}

// back is the chunk that lies in a row of a member; ok is false for parity and
// what is not used.
func (t *turns) back(member, row int64) (c int64, ok bool) {
	if t.level == 10 {
		f := int64(0)
		switch {
		case t.offset:
			f, row = row%t.far, row/t.far
		case t.far > 1:
			f, row = row/t.stride, row%t.stride
		}
		if f >= t.far {
			return 0, false
		}
		c = (row*t.n + ((member-f*t.near)%t.n+t.n)%t.n) / t.near
		return c, c < t.chunks
	}
	if p, q := t.parity(row); member == p || member == q {
		return 0, false
	}
	for d := range t.data {
		if t.member(row, d) == member {
			c = row*t.data + d
			return c, c < t.chunks
		}
	}
	return 0, false
}

// copies is how many places a chunk has.
func (t *turns) copies() int64 {
	if t.level == 10 {
		return t.near * t.far
	}
	return 1
}

// whole is the first copy of chunk c whose member is there; nil where it has to
// be computed.
func (t *turns) whole(c int64) (l *leg, row int64) {
	for k := range t.copies() {
		m, row := t.place(c, k)
		if t.legs[m].src != nil {
			return &t.legs[m], row
		}
	}
	return nil, 0
}

// read fills p, which lies in one chunk, from the array's byte off.
func (t *turns) read(p []byte, off int64) (int, error) {
	c, in := off/t.chunk, off%t.chunk
	if l, row := t.whole(c); l != nil {
		return l.read(p, row*t.chunk+in)
	}
	m, row := t.place(c, 0)
	_, q := t.parity(row)
	clear(p)
	part := make([]byte, len(p))
	for i := range t.legs {
		if int64(i) == m || int64(i) == q {
			continue
		}
		if _, err := t.legs[i].read(part, row*t.chunk+in); err != nil {
			return 0, err
		}
		for k, b := range part {
			p[k] ^= b
		}
	}
	return len(p), nil
}

// locate is the way back from a byte of a source.
func (t *turns) locate(source int, off int64) (int64, bool) {
	for i := range t.legs {
		g := &t.legs[i]
		in := off - g.start
		if g.src == nil || g.source != source || in < 0 || in >= g.size {
			continue
		}
		if c, ok := t.back(int64(i), in/t.chunk); ok {
			return c*t.chunk + in%t.chunk, true
		}
	}
	return 0, false
}

// firstHole asks what the members lie on; the array itself lacks nothing.
func (t *turns) firstHole(off, n int64) (imaging.Hole, bool) {
	if !slices.ContainsFunc(t.legs, func(l leg) bool { _, ok := l.firstHole(0, l.size); return ok && l.src != nil }) {
		return imaging.Hole{}, false
	}
	for end := off + n; off < end; {
		c, in := off/t.chunk, off%t.chunk
		size := min(t.chunk-in, end-off)
		l, row := t.whole(c)
		for i := range t.legs {
			if l == &t.legs[i] || l == nil && t.legs[i].src != nil {
				if l == nil {
					_, row = t.place(c, 0)
				}
				if h, ok := t.legs[i].firstHole(row*t.chunk+in, size); ok {
					return imaging.Hole{Offset: off + h.Offset - row*t.chunk - in, Length: h.Length, Reason: h.Reason}, true
				}
			}
		}
		off += size
	}
	return imaging.Hole{}, false
}

// inTurns reads levels 4, 5, 6 and 10, if what is missing can be had from
// copies or from P.
func (a *Array) inTurns(s *super, place map[int]*super) {
	t := &turns{level: s.level, layout: s.layout, n: int64(s.devices), chunk: s.chunk, near: 1, far: 1}
	if s.chunk <= 0 || s.chunk%sector != 0 || s.used < s.chunk {
		a.Reason = fmt.Sprintf("range: chunks of %d bytes, %d used of each member", s.chunk, s.used)
		return
	}
	if a.Reason = t.shape(s.used / s.chunk); a.Reason != "" {
		return
	}
	var missing []int
	for i := range s.devices {
		g := leg{source: -1, size: s.used}
		if m := place[i]; m != nil {
			g = leg{m.src, m.source, m.start, s.used}
			if g.missing() > 0 {
				a.State = append(a.State, fmt.Sprintf("member %d is not used: source %d ends before its data", i, m.source))
				g = leg{source: -1, size: s.used}
			}
		}
		if g.src == nil {
			missing = append(missing, i)
		}
		t.legs = append(t.legs, g)
	}
	if len(missing) == s.devices {
		a.Reason = "no member that is in step is among the sources"
		return
	}
	if len(missing) > 0 {
		if !t.enough(len(missing)) {
			a.Reason = fmt.Sprintf("of %d members %v are not among the sources: what lies on them cannot be had from the others", s.devices, missing)
			return
		}
		a.State = append(a.State, fmt.Sprintf("members %v are not among the sources: their bytes are taken from copies or computed from the parity", missing))
	}
	a.layout = &layout{size: t.chunks * t.chunk, turns: t}
}

// shape works out rows and copies for members of so many chunks; it gives the
// reason why they are not read.
func (t *turns) shape(rows int64) string {
	if t.level == 10 {
		t.near, t.far, t.offset = int64(t.layout&255), int64(t.layout>>8&255), t.layout>>16&1 != 0
		switch {
		case t.layout>>17 != 0:
			return fmt.Sprintf("raid10 of layout %#x is not read", t.layout)
		case t.near < 1 || t.far < 1 || t.near*t.far > t.n || t.near > 1 && t.far > 1:
			return fmt.Sprintf("raid10 with %d near and %d far copies on %d members is not read", t.near, t.far, t.n)
		}
		t.chunks = rows / t.far * t.n / t.near
		t.stride = (t.chunks*t.near*t.far + t.n - 1) / t.n / t.far
		if t.offset {
			t.stride = 1
		}
		return ""
	}
	t.data = t.n - 1
	if t.level == 6 {
		t.data = t.n - 2
	}
	known := t.layout >= 0 && t.layout <= 3
	if t.level == 4 {
		t.layout, known = last, true
	}
	if t.data < 1 || !known {
		return fmt.Sprintf("%s of %d members with layout %d is not read", levelName(t.level), t.n, t.layout)
	}
	if rows > maxSectors/t.data {
		return fmt.Sprintf("range: members of %d chunks", rows)
	}
	t.chunks = rows * t.data
	return ""
}

// enough says whether every chunk can be had although members are missing. The
// members of copies come again after as many chunks as there are members.
func (t *turns) enough(missing int) bool {
	if t.level != 10 {
		return missing <= 1
	}
	for c := range min(t.chunks, t.n) {
		if l, _ := t.whole(c); l == nil {
			return false
		}
	}
	return true
}
