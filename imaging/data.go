package imaging

// NextData gives the first run of src at or behind byte off that may hold other
// bytes than zeros, as bytes start to end of it; ok is false where nothing but
// zeros follows. Between off and start lies what was never written: a hole of a
// sparse file, which is no Hole of the evidence. A source that does not know its
// holes is one run.
func NextData(src Source, off int64) (start, end int64, ok bool) {
	off = max(0, off)
	if off >= src.Size() {
		return 0, 0, false
	}
	s, knows := src.(interface {
		NextData(off int64) (start, end int64, ok bool)
	})
	if !knows {
		return off, src.Size(), true
	}
	return s.NextData(off)
}

// NextData is that of the source, in bytes of the section.
func (s *section) NextData(off int64) (start, end int64, ok bool) {
	start, end, ok = NextData(s.src, s.off+off)
	if start -= s.off; !ok || start >= s.size {
		return 0, 0, false
	}
	return start, min(end-s.off, s.size), true
}
