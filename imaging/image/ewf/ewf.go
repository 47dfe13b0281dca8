// Package ewf reads disk images in the Expert Witness Compression Format, as
// EnCase, FTK Imager and ewfacquire write them: E01, split E01 to EZZ and on,
// and S01. It follows "Expert Witness Compression Format" of libewf (version 1).
//
// # Layout
//
// A segment file begins with 13 bytes: the signature 45 56 46 09 0D 0A FF 00,
// 01, the number of the segment (2 bytes, from 1) and 00 00. Sections follow.
// Each begins with a descriptor of 76 bytes: type (16 bytes), offset of the next
// section (8), size of this one with its descriptor (8), 40 bytes of padding and
// an Adler-32 of the 72 bytes before. All is little-endian.
//
//	header2, header  who, when, what: zlib over tabular text, UTF-16 or ASCII
//	volume, disk     sectors, sectors a chunk, bytes a sector
//	sectors          the chunks
//	table, table2    where the chunks are; two copies
//	error2           sectors that could not be read when the image was taken
//	digest, hash     MD5, SHA-1 of the whole image
//	next, done       the end of a segment, of the last one
//
// The image is cut into chunks, mostly of 64 sectors: 32,768 bytes. A table has
// 24 bytes of header (number of entries, 4 of padding, base offset in 8, 4 of
// padding, Adler-32), 4 bytes an entry and an Adler-32 of the entries. An entry
// is the offset of a chunk from the base; its highest bit says that the chunk is
// a zlib stream. Otherwise the chunk is stored, with an Adler-32 of 4 bytes
// behind it. The entry 80 00 06 1C (as a number 0x8000061C), with base 0, is a
// compressed chunk at byte 1,564 that ends where the next begins.
//
// # What a damaged image gives
//
// A table whose checksum fails is replaced by its copy; where both fail, the
// entries that agree are used and the others are gaps. A chunk that fails its
// checksum is given as found and listed. Where the chain of sections is broken
// the next sound descriptor is searched. Tables do not say which chunks they
// hold, only in which order: chunks before a missing segment or table count from
// the front, those behind it from the end, and what stands between two missing
// ones cannot be placed; Damage says so. A segment of another set is left out.
//
// What it does not do: Ex01 and Lx01 (version 2), L01 (logical evidence) and
// encrypted images are named and not read. It does not compare the stored hashes
// with the image: whoever reads all of it does.
package ewf

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"slices"

	"snapcase/imaging"
	"snapcase/imaging/image/container"
)

const format = "ewf"

var le = binary.LittleEndian

var (
	magic     = []byte("EVF\x09\x0d\x0a\xff\x00")
	otherEWFs = map[string]string{
		"EVF2\x0d\x0a\x81\x00":     "an Ex01 image (EWF version 2) is not supported: convert it to E01",
		"LVF\x09\x0d\x0a\xff\x00":  "an L01 file holds files, not a disk: it is not supported",
		"LEF2\x0d\x0a\x81\x00":     "an Lx01 file holds files, not a disk: it is not supported",
		"MVF\x09\x0d\x0a\xff\x00":  "a delta (shadow) file of EWF is not supported",
		"DVF\x09\x0d\x0a\xff\x00":  "a delta (shadow) file of EWF is not supported",
		"EVFX\x0d\x0a\x81\x00":     "an encrypted EWF image is not supported",
		"[SECURE ACCESS COMPRESSI": "a SAFE image is not supported",
	}
)

// Segment is one file of an image.
type Segment struct {
	Name   string // for messages
	Source imaging.Source
}

// Number is the number of the segment file that src is, from its own bytes; 0
// when it is none.
func Number(src imaging.Source) int {
	var b [13]byte
	if container.ReadFull(src, b[:], 0) != nil || !bytes.Equal(b[:8], magic) {
		return 0
	}
	return int(le.Uint16(b[9:]))
}

// Is says whether b, the first bytes of a file, begins as EWF does. What is of
// that family and cannot be read is an *UnsupportedError.
func Is(b []byte) (bool, error) {
	for m, why := range otherEWFs {
		if bytes.HasPrefix(b, []byte(m)) {
			return false, container.Unsupported(format, "%s", why)
		}
	}
	return bytes.HasPrefix(b, magic), nil
}

// Open opens the image that is in the segments, in any order. Their numbers are
// read from their own bytes. It is an error when nothing says how large the
// image is; an I/O failure is one too.
func Open(segments []Segment) (*container.Image, error) {
	d := &disk{img: &container.Image{Format: format}}
	for _, s := range segments {
		if err := d.add(s); err != nil {
			return nil, err
		}
	}
	if len(d.segments) == 0 {
		return nil, &imaging.FormatError{Format: format, Reason: "no segment file begins as EWF does"}
	}
	slices.SortFunc(d.segments, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	if err := d.read(); err != nil {
		return nil, err
	}
	if d.media == nil {
		return nil, &imaging.FormatError{Format: format, Reason: "no volume section is sound: the size of the image is not known"}
	}
	d.place()
	d.img.SectorSize = d.sector
	d.img.Reader = container.NewReader(d.size, d, d.gaps)
	d.describe()
	return d.img, nil
}

type segment struct {
	name   string
	number int
	src    imaging.Source
	pages  *container.Pages
	last   bool // it ends with "done"
	alien  bool // it belongs to another set
}

type disk struct {
	img      *container.Image
	segments []*segment
	pages    *container.Pages
	media    []byte // the volume section that is used
	set      [16]byte
	chunk    int64 // bytes
	sector   int64
	size     int64
	runs     []*run // by order in the files; after place by first chunk
	gaps     *container.Gaps
	errors   []sectors // of error2
	fields   map[string]string
	headers  int      // sections read
	at       *segment // that is read now
}

// add takes a segment, unless it is none or its number is taken.
func (d *disk) add(s Segment) error {
	var b [13]byte
	if s.Source.Size() < int64(len(b)) {
		d.img.Note("%s is too short for a segment file", s.Name)
		return nil
	}
	if err := container.ReadFull(s.Source, b[:], 0); err != nil {
		return fmt.Errorf("read segment %s: %w", s.Name, err)
	}
	if ok, err := Is(b[:]); err != nil {
		return err
	} else if !ok {
		d.img.Note("%s is left out: it does not begin as a segment file does", s.Name)
		return nil
	}
	n := int(le.Uint16(b[9:]))
	if n == 0 {
		d.img.Note("%s is left out: it says that it is segment 0", s.Name)
		return nil
	}
	for _, old := range d.segments {
		if old.number == n {
			d.img.Note("%s is left out: %s is segment %d already", s.Name, old.name, n)
			return nil
		}
	}
	if d.pages == nil {
		d.pages = container.NewPages(s.Source)
	}
	d.segments = append(d.segments, &segment{
		name: s.Name, number: n, src: s.Source, pages: d.pages.Of(s.Source, n),
	})
	return nil
}

// Find implements container.Map.
func (d *disk) Find(off int64) (container.Span, error) {
	n := off / d.chunk
	start := n * d.chunk
	r, next := d.runOf(n)
	if r == nil {
		end := d.size
		if next != nil {
			end = min(next.first*d.chunk, end)
		}
		return container.Span{Length: end - off, Reason: "no table holds these chunks"}, nil
	}
	size := min(d.chunk, d.size-start)
	return container.Span{
		Length: start + size - off, Packed: true, Key: n, Size: int(size), Skip: int(off - start),
	}, nil
}

// Unpack implements container.Map.
func (d *disk) Unpack(key int64, dst []byte) (string, error) {
	r, _ := d.runOf(key)
	if r == nil {
		return "", errors.New("no table holds this chunk")
	}
	return r.unpack(key-r.first, dst, d.chunk)
}

func checksum(b []byte) bool {
	n := len(b) - 4
	return adler32.Checksum(b[:n]) == le.Uint32(b[n:])
}
