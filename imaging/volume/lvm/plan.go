package lvm

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"

	"snapcase/imaging"
)

// plan is how a volume's bytes are found.
type plan struct {
	size    int64
	parts   []part // by start, without overlap
	claims  []claim
	gaps    []Gap
	missing int64 // bytes that no source has
}

// part is one segment.
type part struct {
	start, size int64
	chunk       int64 // bytes of a stripe before the next leg's turn; 0 with one leg
	legs        []leg
	copies      []leg // the other legs of a mirror: not read, but located
}

// leg is a run on a physical volume, or in another volume of the group.
type leg struct {
	src    imaging.Source // nil: zeros, unless sub is set
	source int
	base   int64 // bytes in src or sub
	size   int64
	sub    *plan
}

// claim is a run of a source that a plan reads, for the way back.
type claim struct {
	source     int
	start, end int64
	part, leg  int32
	copy       bool
}

// missing is how many bytes of the leg no source has.
func (l *leg) missing() int64 {
	switch {
	case l.sub != nil:
		return l.sub.missing + max(0, l.base+l.size-l.sub.size)
	case l.src == nil:
		return l.size
	}
	return min(l.size, max(0, l.base+l.size-l.src.Size()))
}

// Size is the length of the volume in bytes.
func (p *plan) Size() int64 { return p.size }

// ReadAt reads the volume; what no source has is zeros.
func (p *plan) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read logical volume: negative offset %d", off)
	}
	if off >= p.size {
		return 0, io.EOF
	}
	var eof error
	if rest := p.size - off; int64(len(b)) > rest {
		b, eof = b[:rest], io.EOF
	}
	i := sort.Search(len(p.parts), func(i int) bool { return p.parts[i].start+p.parts[i].size > off })
	for done := 0; done < len(b); {
		rest, pos := b[done:], off+int64(done)
		if i == len(p.parts) {
			clear(rest)
			break
		}
		s := &p.parts[i]
		if pos < s.start {
			n := min(int64(len(rest)), s.start-pos)
			clear(rest[:n])
			done += int(n)
			continue
		}
		n, err := s.read(rest[:min(int64(len(rest)), s.start+s.size-pos)], pos-s.start)
		done += n
		if err != nil {
			return done, fmt.Errorf("read logical volume at %d: %w", off+int64(done), err)
		}
		i++
	}
	return len(b), eof
}

// read fills b from off in the part.
func (s *part) read(b []byte, off int64) (int, error) {
	if s.chunk == 0 {
		return s.legs[0].read(b, off)
	}
	n := int64(len(s.legs))
	for done := 0; done < len(b); {
		pos := off + int64(done)
		at, in := pos/s.chunk, pos%s.chunk
		part := b[done:][:min(int64(len(b)-done), s.chunk-in)]
		k, err := s.legs[at%n].read(part, at/n*s.chunk+in)
		done += k
		if err != nil {
			return done, err
		}
	}
	return len(b), nil
}

func (l *leg) read(b []byte, off int64) (int, error) {
	n := 0
	var err error
	switch at := l.base + off; {
	case l.sub != nil && at < l.sub.size:
		n, err = l.sub.ReadAt(b, at)
	case l.src != nil && at < l.src.Size():
		n, err = l.src.ReadAt(b, at)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return n, err
	}
	clear(b[n:])
	return len(b), nil
}

// index makes the claims, sorted; work is what may still be spent on it.
func (p *plan) index(work *int) (whole bool) {
	for i := range p.parts {
		s := &p.parts[i]
		for k, all := range [][]leg{s.legs, s.copies} {
			for j := range all {
				if !p.claim(&all[j], int32(i), int32(j), k == 1, work) { //nolint:gosec // bounded by the text
					return false
				}
			}
		}
	}
	slices.SortFunc(p.claims, func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end))
	})
	return true
}

func (p *plan) claim(l *leg, part, leg int32, copied bool, work *int) bool {
	if l.sub == nil {
		if *work--; l.src != nil && l.size > 0 {
			p.claims = append(p.claims, claim{l.source, l.base, l.base + l.size, part, leg, copied})
		}
		return *work > 0
	}
	for _, c := range l.sub.claims {
		if *work--; *work <= 0 {
			return false
		}
		s := &l.sub.parts[c.part]
		if s.start < l.base+l.size && l.base < s.start+s.size {
			p.claims = append(p.claims, claim{c.source, c.start, c.end, part, leg, copied})
		}
	}
	return true
}

// locate is the way back from a byte of a source.
func (p *plan) locate(source int, off int64) (int64, bool) {
	const most = 64 // claims that overlap are searched up to this many
	i := sort.Search(len(p.claims), func(i int) bool {
		c := &p.claims[i]
		return c.source > source || c.source == source && c.start > off
	})
	for k := i - 1; k >= max(0, i-most); k-- {
		c := &p.claims[k]
		if c.source != source {
			break
		}
		if off >= c.end {
			continue
		}
		if at, ok := p.parts[c.part].locate(c, off); ok {
			return at, true
		}
	}
	return 0, false
}

func (s *part) locate(c *claim, off int64) (int64, bool) {
	legs := s.legs
	if c.copy {
		legs = s.copies
	}
	l := &legs[c.leg]
	at := off
	if l.sub != nil {
		var ok bool
		if at, ok = l.sub.locate(c.source, off); !ok {
			return 0, false
		}
	}
	if at -= l.base; at < 0 || at >= l.size {
		return 0, false
	}
	if s.chunk == 0 {
		return s.start + at, true
	}
	n := int64(len(s.legs))
	return s.start + (at/s.chunk*n+int64(c.leg))*s.chunk + at%s.chunk, true
}

// Locate maps a byte of a source to the byte of the volume that lies there. pv
// is the index of the source among those given to Scan, off counts from the
// start of that source. ok is false where the volume has nothing there, or is
// not read. Of a mirror all legs are mapped, although one is read.
func (v *LV) Locate(pv int, off int64) (lvOffset int64, ok bool) {
	if v.plan == nil {
		return 0, false
	}
	return v.plan.locate(pv, off)
}

// Place maps a byte of the volume to the source that it is read from, and to
// the byte of that: Locate is the way back. ok is false where no source has it.
func (v *LV) Place(lvOffset int64) (pv int, off int64, ok bool) {
	if v.plan == nil {
		return 0, 0, false
	}
	return v.plan.place(lvOffset)
}

func (p *plan) place(off int64) (source int, at int64, ok bool) {
	i := sort.Search(len(p.parts), func(i int) bool { return p.parts[i].start+p.parts[i].size > off })
	if i == len(p.parts) || off < p.parts[i].start {
		return 0, 0, false
	}
	s := &p.parts[i]
	off -= s.start
	l := &s.legs[0]
	if s.chunk > 0 {
		n, c := int64(len(s.legs)), off/s.chunk
		l, off = &s.legs[c%n], c/n*s.chunk+off%s.chunk
	}
	at = l.base + off
	switch {
	case l.sub != nil:
		return l.sub.place(at)
	case l.src == nil || at >= l.src.Size():
		return 0, 0, false
	}
	return l.source, at, true
}
