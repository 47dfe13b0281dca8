package imaging

import "fmt"

// Hole is a run of a source whose bytes nobody has. Where Refused is set a read
// of them is a *HoleError; else they read as zeros. Neither is what stood there.
type Hole struct {
	Offset, Length int64  // bytes
	Reason         string // lower case, no full stop
	Refused        bool
}

// HoleError says that a read came to bytes that the source refuses to make up.
type HoleError struct{ Hole }

func (e *HoleError) Error() string {
	return fmt.Sprintf("the %d bytes from offset %d are not here: %s", e.Length, e.Offset, e.Reason)
}

// FirstHole gives the first hole within n bytes from off, cut to them. ok is
// false where there is none, or where src does not know its holes.
func FirstHole(src Source, off, n int64) (h Hole, ok bool) {
	if s, knows := src.(interface {
		FirstHole(off, n int64) (Hole, bool)
	}); knows && n > 0 {
		return s.FirstHole(off, n)
	}
	return Hole{}, false
}

// FirstHole is that of the source, in bytes of the section.
func (s *section) FirstHole(off, n int64) (Hole, bool) {
	if off < 0 || off >= s.size {
		return Hole{}, false
	}
	h, ok := FirstHole(s.src, s.off+off, min(n, s.size-off))
	h.Offset -= s.off
	return h, ok
}
