package lvm

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"snapcase/imaging"
)

const (
	areaMagic = " LVM2 x[5A%r0N*>"
	// maxText is up to where a text is read, and how much of an area is
	// searched for older ones; LVM makes areas of 1 MiB.
	maxText = 32 << 20
	// maxVersions bounds how many older texts of all sources are kept.
	maxVersions = 4096
	ignored     = 1 // flag of a place: the area is not in use
)

// found is one text with where it was found.
type found struct {
	meta    *metadata
	current bool // a header names it
	good    bool // and its CRC holds
	whole   bool // nothing of it is overwritten
	sum     uint32
	source  int
	offset  int64 // bytes from the start of the source
}

func hasArea(src imaging.Source, at int64) bool {
	p, err := readAt(src, at, sectorSize)
	return err == nil && len(p) == sectorSize && string(p[4:20]) == areaMagic
}

// area is one metadata area while it is read.
type area struct {
	v *physical
	region
}

// read gives n bytes from off in the area: what leaves its end goes on behind
// its header. Fewer come where the source ends.
func (a *area) read(off, n int64) ([]byte, error) {
	first := min(n, a.size-off)
	p, err := readAt(a.v.src, a.start+off, int(first))
	if err != nil || int64(len(p)) < first || first == n {
		return p, err
	}
	more, err := readAt(a.v.src, a.start+sectorSize, int(min(n-first, off-sectorSize)))
	return append(p, more...), err
}

// area reads header, current text and older ones.
func (s *scan) area(v *physical, r region) error {
	h, err := readAt(v.src, r.start, sectorSize)
	if err != nil {
		return err
	}
	if len(h) < sectorSize {
		v.note("truncated: the metadata area at byte %d lies past the end of the source", r.start)
		return nil
	}
	a := &area{v: v, region: r}
	var current []int64
	if string(h[4:20]) != areaMagic {
		v.note("the metadata area at byte %d has no header: its buffer was searched", r.start)
	} else if current, err = s.header(a, h); err != nil {
		return err
	}
	a.size = min(a.size, v.src.Size()-a.start)
	return s.older(a, current)
}

// header reads what the header names and gives where those texts begin.
func (s *scan) header(a *area, h []byte) (current []int64, err error) {
	v := a.v
	headGood := checksum(h[4:]) == le.Uint32(h)
	if !headGood {
		v.note("the checksum of the metadata area at byte %d does not match", a.start)
	}
	size := int64(min(le.Uint64(h[32:]), 1<<62)) //nolint:gosec // bounded
	if at := le.Uint64(h[24:]); at != uint64(a.start) || a.size != 0 && size != a.size {
		v.note("the metadata area of %d bytes at byte %d says that it is %d bytes at byte %d", a.size, a.start, size, at)
	}
	if a.size == 0 {
		a.size = size
	}
	for i := range 2 {
		loc := h[40+24*i:]
		off, n, flags := le.Uint64(loc), le.Uint64(loc[8:]), le.Uint32(loc[20:])
		if off == 0 {
			break
		}
		if off < sectorSize || off >= uint64(a.size) || n == 0 || n > uint64(a.size-sectorSize) || n > maxText {
			v.note("the metadata area at byte %d names a text of %d bytes at byte %d, which it cannot hold", a.start, n, off)
			continue
		}
		p, err := a.read(int64(off), int64(n))
		if err != nil {
			return nil, err
		}
		f := &found{current: i == 0, source: v.index, offset: a.start + int64(off), sum: le.Uint32(loc[16:])}
		f.good = headGood && flags&ignored == 0 && uint64(len(p)) == n && checksum(p) == f.sum
		switch {
		case i == 1:
			v.note("the metadata area at byte %d has a change that was prepared and not committed", a.start)
			continue
		case flags&ignored != 0:
			v.note("the metadata area at byte %d is marked as not in use", a.start)
		case !f.good:
			v.note("the text at byte %d does not match its checksum", f.offset)
		}
		s.keep(v, f, p)
		if f.meta != nil {
			current = append(current, int64(off))
		}
	}
	return current, nil
}

// text is what came of decoding one.
type text struct {
	meta *metadata
	err  error
}

// keep decodes a text and keeps it when it is one. Members of a group have the
// same texts: each is decoded once.
func (s *scan) keep(v *physical, f *found, p []byte) {
	end := bytes.IndexByte(p, 0)
	if end < 0 {
		end = len(p)
	}
	if !f.current && s.values <= maxValues {
		if !s.full {
			v.note("the older texts have too many values: the rest of them is left out")
		}
		s.full = true
		return
	}
	sum := sha256.Sum256(p[:end])
	t, again := s.decoded[sum]
	if !again {
		root, count, err := parse(p[:end], min(s.values, maxValues))
		s.values -= count
		t = text{decode(root), err}
		s.decoded[sum] = t
	}
	var err error
	f.meta, err = t.meta, t.err
	switch {
	case f.meta == nil && f.current:
		v.note("the text at byte %d is none", f.offset)
		return
	case f.meta == nil:
		return
	case err != nil && f.current:
		v.note("the text at byte %d: %v", f.offset, err)
	}
	f.whole = f.whole && err == nil
	s.texts = append(s.texts, f)
}

// older searches the buffer for texts that no header names.
func (s *scan) older(a *area, current []int64) error {
	size := min(a.size, maxText)
	if size < a.size {
		a.v.note("the first %d bytes of the metadata area at byte %d were searched for older texts, not all %d", size, a.start, a.size)
	}
	buf, err := readAt(a.v.src, a.start, int(size))
	if err != nil {
		return err
	}
	var starts []int
	for i := sectorSize; i < len(buf); i += sectorSize {
		if isText(buf[i:]) {
			starts = append(starts, i)
		}
	}
	for k, at := range starts {
		if slices.Contains(current, int64(at)) {
			continue
		}
		if len(s.texts) >= maxVersions {
			a.v.note("more than %d older texts: the rest is left out", maxVersions)
			return nil
		}
		var p []byte
		if k+1 < len(starts) {
			p = buf[at:starts[k+1]]
		} else if p = buf[at:]; bytes.IndexByte(p, 0) < 0 && size == a.size && starts[0] > sectorSize {
			p = append(slices.Clone(p), buf[sectorSize:starts[0]]...)
		}
		s.keep(a.v, &found{whole: bytes.IndexByte(p, 0) >= 0, source: a.v.index, offset: a.start + int64(at)}, p)
	}
	return nil
}

// isText says whether a text of a group begins here: its name, id and seqno.
func isText(p []byte) bool {
	i := 0
	for i < len(p) && i < 128 && isWord(p[i]) {
		i++
	}
	rest, ok := bytes.CutPrefix(p[i:], []byte(" {\nid = \""))
	if i == 0 || !ok || len(rest) < 60 {
		return false
	}
	return bytes.HasPrefix(rest[38:], []byte("\"\nseqno = "))
}
