package vmdk

import (
	"errors"
	"fmt"

	"snapcase/imaging"
	"snapcase/imaging/image/container"
)

const (
	flagNewline    = 1 << 0
	flagZeroGrain  = 1 << 2
	flagCompressed = 1 << 16
	flagMarkers    = 1 << 17

	atEnd = ^uint64(0) // the directory is named in the footer
)

// sparse is one sparse extent.
type sparse struct {
	src       imaging.Source
	pages     *container.Pages
	size      int64 // of the disk in it, bytes
	grain     int64 // bytes
	perTable  int64 // entries
	dir, copy int64 // places of the directories, bytes; copy 0: none
	flags     uint32
	textAt    int64
	textSize  int64
	overhead  int64
	walked    *walk // set when the markers are used, not the directory
}

// openSparse reads the header, and the footer where that counts.
func openSparse(src imaging.Source, pages *container.Pages, img *container.Image) (*sparse, error) {
	s := &sparse{src: src, pages: pages}
	h := make([]byte, sectorSize)
	if src.Size() < sectorSize {
		return nil, bad(0, "the header is cut off")
	}
	if err := container.ReadFull(src, h, 0); err != nil {
		return nil, err
	}
	if !isSparse(h) {
		return nil, bad(0, "no signature")
	}
	if v := le.Uint32(h[4:]); v < 1 || v > 3 {
		return nil, bad(4, "version %d is not known", v)
	}
	if err := s.geometry(h); err != nil {
		return nil, err
	}
	if h[72] != 0 {
		img.Note("it was not closed cleanly")
	}
	if s.flags&flagNewline != 0 && string(h[73:77]) != "\n \r\n" {
		img.Note("the line ends in its header were changed: it was copied as text, and its bytes with it")
	}
	if s.flags&flagCompressed != 0 && le.Uint16(h[77:]) != 1 {
		return nil, container.Unsupported(format, "compression %d is not known", le.Uint16(h[77:]))
	}
	if le.Uint64(h[56:]) != atEnd {
		return s, nil
	}
	ok, err := s.footer()
	if err != nil || ok {
		return s, err
	}
	img.Note("the footer is missing: the grains are found by their markers")
	return s, s.walk()
}

// geometry reads what header and footer both have.
func (s *sparse) geometry(h []byte) error {
	capacity, grain := le.Uint64(h[12:]), le.Uint64(h[20:])
	s.flags, s.perTable = le.Uint32(h[8:]), int64(le.Uint32(h[44:]))
	if capacity > container.MaxSize/sectorSize {
		return container.Unsupported(format, "it claims a disk of %d sectors: more than is read", capacity)
	}
	const mostGrain = 32768 // sectors: 16 MiB
	if grain == 0 || grain > mostGrain || grain&(grain-1) != 0 {
		return bad(20, "a grain of %d sectors makes no sense", grain)
	}
	if s.perTable == 0 || s.perTable > 1<<16 {
		return bad(44, "a grain table of %d entries makes no sense", s.perTable)
	}
	s.size, s.grain = int64(capacity)*sectorSize, int64(grain)*sectorSize
	sectors := func(at int) int64 { // 0 when it cannot be in the file
		if v := le.Uint64(h[at:]); v <= uint64(s.src.Size())/sectorSize {
			return int64(v) * sectorSize
		}
		return 0
	}
	s.textAt, s.textSize = sectors(28), sectors(36)
	s.copy, s.dir, s.overhead = sectors(48), sectors(56), sectors(64)
	if v := le.Uint64(h[56:]); s.dir == 0 && v != atEnd && s.copy == 0 {
		return bad(56, "the grain directory is at sector %d and the file has %d bytes", v, s.src.Size())
	}
	return nil
}

// footer reads the header that a stream has at its end.
func (s *sparse) footer() (bool, error) {
	at := s.src.Size() - 2*sectorSize
	if at < sectorSize {
		return false, nil
	}
	h := make([]byte, sectorSize)
	if err := container.ReadFull(s.src, h, at); err != nil {
		return false, err
	}
	if !isSparse(h) || le.Uint64(h[56:]) == atEnd {
		return false, nil
	}
	f := &sparse{src: s.src}
	if f.geometry(h) != nil || f.size != s.size || f.grain != s.grain || f.perTable != s.perTable {
		return false, nil
	}
	s.dir, s.copy = f.dir, 0
	return s.dir != 0, nil
}

// descriptor is the text within the extent; "" when there is none.
func (s *sparse) descriptor() (string, error) {
	const most = 1 << 20
	if s.textAt == 0 || s.textSize == 0 {
		return "", nil
	}
	b := make([]byte, min(s.textSize, most, s.src.Size()-s.textAt))
	return string(b), container.ReadFull(s.src, b, s.textAt)
}

// entry reads an entry of a directory or table, in bytes; reason says why it
// cannot be trusted.
func (s *sparse) entry(table, i int64) (e uint32, reason string, err error) {
	var b [4]byte
	reason, err = s.pages.Read(b[:], table+4*i)
	return le.Uint32(b[:]), reason, err
}

// found is the entry of a grain.
type found struct {
	entry  uint32
	whole  bool   // no table is there: the answer holds for all the grains of it
	reason string // why the entry cannot be trusted
}

// grainAt finds the entry of a grain. A directory or table that cannot be read
// is replaced by its copy. Where only the copy has the grain, it is used and
// listed: one of the two is wrong.
func (s *sparse) grainAt(n int64) (found, error) {
	first, err := s.lookUp(s.dir, n)
	if err != nil || s.copy == 0 || first.reason == "" && first.entry != 0 {
		return first, err
	}
	second, err := s.lookUp(s.copy, n)
	switch {
	case err != nil || second.reason != "":
		return first, err
	case first.reason != "":
		return second, nil
	case second.entry > 1:
		second.reason = "only the copy of the grain directory has this grain"
		return second, nil
	}
	first.whole = first.whole && second.whole
	return first, nil
}

// lookUp finds the entry of a grain by one directory.
func (s *sparse) lookUp(dir, n int64) (f found, err error) {
	if dir == 0 {
		return found{reason: "the grain directory lies past the end of the file"}, nil
	}
	var table uint32
	if table, f.reason, err = s.entry(dir, n/s.perTable); err != nil || f.reason != "" {
		return f, err
	}
	if table == 0 {
		return found{whole: true}, nil
	}
	f.entry, f.reason, err = s.entry(int64(table)*sectorSize, n%s.perTable)
	return f, err
}

// find says where the bytes of the extent from off are, and whether they are
// here: when not they are those of the parent.
func (s *sparse) find(off int64) (span container.Span, here bool, err error) {
	if off >= s.size {
		return container.Span{Length: 1 << 62, Reason: "the extent ends before these bytes"}, true, nil
	}
	n, in := off/s.grain, off%s.grain
	span.Length = min(s.grain-in, s.size-off)
	if s.walked != nil {
		return s.walked.find(s, n, in, span)
	}
	f, err := s.grainAt(n)
	e := f.entry
	span.Reason = f.reason
	switch {
	case err != nil || f.reason != "" && e == 0:
		return span, true, err
	case f.whole:
		span.Length = (n/s.perTable+1)*s.perTable*s.grain - off
		return span, false, nil
	case e == 0:
		return span, false, nil
	case e == 1 && s.flags&flagZeroGrain != 0:
		return span, true, nil
	case s.flags&flagCompressed != 0: // the marker will tell
		return s.packed(n, in, span), true, nil
	}
	span.From, span.At = s.src, int64(e)*sectorSize+in
	return span, true, nil
}

func (s *sparse) packed(n, in int64, span container.Span) container.Span {
	span.Packed, span.Key, span.Skip = true, n*s.grain, int(in)
	span.Size = int(min(s.grain, s.size-n*s.grain))
	return span
}

// unpack fills dst with the grain at key, in bytes of the extent.
func (s *sparse) unpack(key int64, dst []byte) (string, error) {
	n := key / s.grain
	var e uint32
	var err error
	if s.walked != nil {
		e = s.walked.sector(n)
	} else {
		var f found
		if f, err = s.grainAt(n); err != nil {
			clear(dst)
			return "", err
		}
		e = f.entry
	}
	at := int64(e) * sectorSize
	head := int64(0)
	most := 2 * s.grain
	if s.flags&flagMarkers != 0 {
		var m [12]byte
		if at > s.src.Size()-int64(len(m)) {
			clear(dst)
			return fmt.Sprintf("the grain at byte %d lies past the end of the file", at), nil
		}
		if err := container.ReadFull(s.src, m[:], at); err != nil {
			clear(dst)
			return "", err
		}
		lba, size := le.Uint64(m[:]), int64(le.Uint32(m[8:]))
		if lba != uint64(key/sectorSize) || size > most {
			clear(dst)
			return fmt.Sprintf("the marker at byte %d names %d bytes of sector %d, where those of %d should be", at, size, lba, key/sectorSize), nil
		}
		head, most = int64(len(m)), size
	}
	return s.inflate(dst, at+head, min(most, s.src.Size()-at-head))
}

func (s *sparse) inflate(dst []byte, at, n int64) (string, error) {
	if n <= 0 {
		clear(dst)
		return fmt.Sprintf("the grain at byte %d lies past the end of the file", at), nil
	}
	b := make([]byte, n)
	if err := container.ReadFull(s.src, b, at); err != nil {
		clear(dst)
		return "", err
	}
	err := container.InflateZlib(dst, b)
	if errors.Is(err, container.ErrLong) && int64(len(dst)) < s.grain {
		whole := make([]byte, s.grain) // the last grain is stored whole
		err = container.InflateZlib(whole, b)
		copy(dst, whole)
	}
	if err == nil {
		return "", nil
	}
	reason := fmt.Sprintf("the grain at byte %d is damaged: %v", at, err)
	if g := container.GapsIn(s.src, at, n); len(g) > 0 {
		reason += ": " + g[0].Reason
	}
	return reason, nil
}
