package md

import (
	"errors"
	"fmt"
	"io"

	"snapcase/imaging"
)

// layout is how the array's bytes are found.
type layout struct {
	size   int64
	chunk  int64 // bytes: legs take turns; 0: one after another
	mirror bool  // all legs have the same, the first is read
	legs   []leg
	turns  *turns // of parity and striped copies; then there are no legs here
}

// leg is the data of one member.
type leg struct {
	src    imaging.Source // nil: missing
	source int
	start  int64
	size   int64
}

// missing is how many bytes of the leg no source has.
func (l *leg) missing() int64 {
	if l.src == nil {
		return l.size
	}
	return min(l.size, max(0, l.start+l.size-l.src.Size()))
}

func (l *leg) read(p []byte, off int64) (int, error) {
	n := 0
	if at := l.start + off; l.src != nil && at < l.src.Size() {
		var err error
		if n, err = l.src.ReadAt(p, at); err != nil && !errors.Is(err, io.EOF) {
			return n, err
		}
	}
	clear(p[n:])
	return len(p), nil
}

// Size is the length of the array in bytes.
func (l *layout) Size() int64 { return l.size }

// ReadAt reads the array; what no source has is zeros.
func (l *layout) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read array: negative offset %d", off)
	}
	if off >= l.size {
		return 0, io.EOF
	}
	var eof error
	if rest := l.size - off; int64(len(p)) > rest {
		p, eof = p[:rest], io.EOF
	}
	if l.turns != nil {
		return l.readTurns(p, off, eof)
	}
	for done := 0; done < len(p); {
		g, at, n := l.find(off + int64(done))
		k, err := g.read(p[done:][:min(n, int64(len(p)-done))], at)
		done += k
		if err != nil {
			return done, fmt.Errorf("read array at %d: %w", off+int64(done), err)
		}
	}
	return len(p), eof
}

func (l *layout) readTurns(p []byte, off int64, eof error) (int, error) {
	for done := 0; done < len(p); {
		at := off + int64(done)
		n := min(int64(len(p)-done), l.turns.chunk-at%l.turns.chunk)
		k, err := l.turns.read(p[done:][:n], at)
		done += k
		if err != nil {
			return done, fmt.Errorf("read array at %d: %w", at, err)
		}
	}
	return len(p), eof
}

// find gives the leg that has a byte, where it lies there, and how many bytes
// follow there.
func (l *layout) find(off int64) (g *leg, at, n int64) {
	switch {
	case l.mirror:
		return &l.legs[0], off, l.size - off
	case l.chunk > 0:
		c, in := off/l.chunk, off%l.chunk
		count := int64(len(l.legs))
		return &l.legs[c%count], c/count*l.chunk + in, l.chunk - in
	}
	i := 0
	for ; i < len(l.legs)-1 && off >= l.legs[i].size; i++ {
		off -= l.legs[i].size
	}
	return &l.legs[i], off, l.legs[i].size - off
}

// Locate maps a byte of a source to the byte of the array that lies there.
// source is the index among those given to Scan, off counts from its start. ok
// is false where the array has nothing there, or is not read.
func (a *Array) Locate(source int, off int64) (at int64, ok bool) {
	if a.layout == nil {
		return 0, false
	}
	l, before := a.layout, int64(0)
	if l.turns != nil {
		return l.turns.locate(source, off)
	}
	for i := range l.legs {
		g := &l.legs[i]
		if in := off - g.start; g.source == source && in >= 0 && in < g.size {
			switch {
			case l.mirror:
				return in, true
			case l.chunk > 0:
				return (in/l.chunk*int64(len(l.legs))+int64(i))*l.chunk + in%l.chunk, true
			}
			return before + in, true
		}
		before += g.size
	}
	return 0, false
}

// Place maps a byte of the array to the source that it is read from, and to the
// byte of that: Locate is the way back. ok is false where no source has it.
func (a *Array) Place(at int64) (source int, off int64, ok bool) {
	if a.layout == nil || at < 0 || at >= a.layout.size {
		return 0, 0, false
	}
	l := a.layout
	var g *leg
	if l.turns == nil {
		g, off, _ = l.find(at)
	} else {
		var row int64
		if g, row = l.turns.whole(at / l.turns.chunk); g == nil {
			return 0, 0, false
		}
		off = row*l.turns.chunk + at%l.turns.chunk
	}
	if off += g.start; g.src == nil || off >= g.src.Size() {
		return 0, 0, false
	}
	return g.source, off, true
}
