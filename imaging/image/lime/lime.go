// Package lime reads images of memory as LiME and AVML write them. It follows
// "LiME Memory Range Header Version 1" in the documentation of LiME, and what
// AVML 0.x writes: the same headers and, in its version 2, data in the framing
// format of Snappy (framing_format.txt of Snappy).
//
// # Layout
//
// A file is ranges of memory, one behind the other. Each has a header of 32
// bytes, all little-endian: 4 bytes magic ("EMiL" for LiME, "AVML"), 4 bytes
// version (1, for AVML 2), the first and the last physical address, 8 bytes
// each, and 8 that are reserved. The range of 640 KiB from 4 KiB on has
//
//	454d694c 01000000  0010000000000000  ff0f0a0000000000  0000000000000000
//
// With "EMiL" the bytes of memory follow. With "AVML" chunks follow: type (1),
// length (3), then for types 00 (compressed) and 01 (plain) a CRC-32C of the
// plain bytes (4) and the data, up to 64 KiB when plain; ff begins the stream.
// Behind them stands their length (8).
//
// # Offsets are physical addresses
//
// The image begins at address 0 and ends behind the highest address that the
// file has. What lies between ranges was not memory, or was not captured: it
// reads as zeros, and Header lists the ranges, so a reader can tell. Where
// ranges overlap the first in the file counts, and Damage says so.
//
// # Bounds
//
// A file whose addresses spread over more than 1 TiB and four times the bytes
// that it has is named and not read: only its holes would be large. Of the
// chunks every sixteenth place is held in memory.
//
// What it does not do: ELF cores, crash dumps, hibernation files, and the
// unpadded LiME format ("raw", "padded"), which has no headers: the last is
// memory as it is.
package lime

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"snapcase/imaging"
	"snapcase/imaging/image/container"

	"github.com/klauspost/compress/s2"
)

// The names of the formats.
const (
	LiME = "lime"
	AVML = "avml"
)

const (
	headSize   = 32
	maxRanges  = 1 << 20
	maxChunk   = 64 << 10 // plain bytes of a chunk
	stride     = 16       // chunks between two known places
	freeSpread = 1 << 40  // addresses that the image may have beyond four times its bytes
	listed     = 64       // ranges in the Header
)

var (
	le       = binary.LittleEndian
	limeSign = []byte("EMiL\x01\x00\x00\x00")
	avmlSign = []byte("AVML\x02\x00\x00\x00")
)

// Is says whether a file is an image of memory, by its first bytes.
func Is(head []byte) bool {
	return len(head) >= headSize && (bytes.HasPrefix(head, limeSign) || bytes.HasPrefix(head, avmlSign)) && le.Uint64(head[16:]) >= le.Uint64(head[8:])
}

// place is where a chunk stands in the file, and its first plain byte in the
// piece.
type place struct{ at, plain int64 }

// piece is a run of addresses and where its bytes are.
type piece struct {
	start, length int64
	at            int64   // in the file, of plain bytes
	known         []place // of every stride-th chunk
	reason        string  // why there are none
}

func (p *piece) end() int64 { return p.start + p.length }

type file struct {
	src    imaging.Source
	pieces []piece // by address, without overlaps
}

// Open opens the image in src. Its Format is LiME or AVML, as it begins.
func Open(src imaging.Source) (*container.Image, error) {
	f := &file{src: src}
	img := &container.Image{Format: LiME}
	stored, err := f.scan(img)
	if err != nil {
		return nil, err
	}
	f.order(img)
	if len(f.pieces) == 0 {
		return nil, &imaging.FormatError{Format: img.Format, Reason: "it has no range of memory"}
	}
	size := f.pieces[len(f.pieces)-1].end()
	if size > freeSpread+4*stored {
		return nil, container.Unsupported(img.Format, "%d bytes of memory are spread over %d addresses", stored, size)
	}
	f.describe(img)
	img.Reader = container.NewReader(size, f, container.NewGaps(size))
	return img, nil
}

// Sum is how many bytes of memory the file has, each address once. damage is what
// is wrong with it, nil where it is whole: a range that ends too early is counted
// as far as it goes. The error is that the file is none of these formats, or
// could not be read. It reads the headers, and of AVML's version 2 all chunks'.
func Sum(src imaging.Source) (sum int64, damage []string, err error) {
	f := &file{src: src}
	img := &container.Image{Format: LiME}
	if _, err := f.scan(img); err != nil {
		return 0, nil, err
	}
	f.order(img)
	for i := range f.pieces {
		sum += f.pieces[i].length
	}
	return sum, img.Damage, nil
}

// scan reads the headers. stored is the bytes of memory that the file has.
func (f *file) scan(img *container.Image) (stored int64, err error) {
	var h [headSize]byte
	at := int64(0)
	for n := 0; f.src.Size()-at >= headSize; n++ {
		if err := container.ReadFull(f.src, h[:], at); err != nil {
			return 0, err
		}
		if !Is(h[:]) || le.Uint64(h[16:]) > container.MaxSize {
			img.Note("no header of a range stands at byte %d of the file: what lies from there on is not read", at)
			return stored, nil
		}
		if n == maxRanges {
			img.Note("it has more than %d ranges: those from byte %d of the file on are not read", maxRanges, at)
			return stored, nil
		}
		packed := h[0] == 'A'
		if n == 0 && packed {
			img.Format = AVML
		}
		p := piece{start: int64(le.Uint64(h[8:]))}        //nolint:gosec // bounded above
		p.length = int64(le.Uint64(h[16:])) - p.start + 1 //nolint:gosec // as above
		at += headSize
		if !packed {
			p.at = at
			stored += min(p.length, f.src.Size()-at)
			if f.src.Size()-at < p.length {
				img.Note("the range at address %#x is cut off: %d of its %d bytes are in the file", p.start, f.src.Size()-at, p.length)
			}
			at += p.length
			f.pieces = append(f.pieces, p)
			continue
		}
		next, err := f.chunks(&p, at, img)
		if err != nil {
			return 0, err
		}
		stored += p.length
		at = next
	}
	if rest := f.src.Size() - at; rest > 0 {
		img.Note("%d bytes stand behind the last range", rest)
	}
	return stored, nil
}

// chunk is the head of a chunk.
type chunk struct {
	kind  byte
	size  int64 // bytes behind the head of four
	plain int64 // -1 for what is no data
}

// chunk reads the head of the chunk at byte at of the file; ok is false where
// none fits there.
func (f *file) chunk(at int64) (c chunk, ok bool, err error) {
	var b [13]byte
	n := min(int64(len(b)), f.src.Size()-at)
	if n < 4 {
		return c, false, nil
	}
	if err := container.ReadFull(f.src, b[:n], at); err != nil {
		return c, false, err
	}
	c = chunk{kind: b[0], size: int64(b[1]) | int64(b[2])<<8 | int64(b[3])<<16, plain: -1}
	if c.size > f.src.Size()-at-4 {
		return c, false, nil
	}
	switch c.kind {
	case 0:
		v, k := binary.Uvarint(b[8:max(8, min(n, 4+c.size))])
		if k <= 0 || v > maxChunk {
			return c, false, nil
		}
		c.plain = int64(v) //nolint:gosec // bounded
	case 1:
		if c.plain = c.size - 4; c.plain < 0 || c.plain > maxChunk {
			return c, false, nil
		}
	default:
		if c.kind < 0x80 {
			return c, false, nil
		}
	}
	return c, true, nil
}

// chunks finds the places of the chunks of p from byte at of the file on, and
// adds the piece; next is the byte behind them and their length.
func (f *file) chunks(p *piece, at int64, img *container.Image) (next int64, err error) {
	want, from := p.length, at
	p.length = 0
	for n := 0; p.length < want; {
		c, ok, err := f.chunk(at)
		if err != nil {
			return 0, err
		}
		if !ok || c.plain > want-p.length {
			reason := fmt.Sprintf("no chunk of memory stands at byte %d of the file", at)
			img.Note("the range at address %#x has %d of %d bytes: %s", p.start, p.length, want, reason)
			f.add(*p)
			f.add(piece{start: p.end(), length: want - p.length, reason: reason})
			return f.nextHeader(at)
		}
		if c.plain > 0 {
			if n%stride == 0 {
				p.known = append(p.known, place{at, p.length})
			}
			n++
			p.length += c.plain
		}
		at += 4 + c.size
	}
	f.add(*p)
	var b [8]byte
	if f.src.Size()-at < int64(len(b)) {
		img.Note("the file ends before the length of the range at address %#x", p.start)
		return f.src.Size(), nil
	}
	if err := container.ReadFull(f.src, b[:], at); err != nil {
		return 0, err
	}
	if got := le.Uint64(b[:]); got != uint64(at-from) { //nolint:gosec // not negative
		img.Note("the range at address %#x says that it takes %d bytes of the file, and takes %d", p.start, got, at-from)
	}
	return at + int64(len(b)), nil
}

func (f *file) add(p piece) {
	if p.length > 0 {
		f.pieces = append(f.pieces, p)
	}
}

// nextHeader looks for the header of a range behind a broken one.
func (f *file) nextHeader(at int64) (int64, error) {
	b := make([]byte, 1<<20)
	for at < f.src.Size() {
		b := b[:min(int64(len(b)), f.src.Size()-at)]
		if err := container.ReadFull(f.src, b, at); err != nil {
			return 0, err
		}
		for i := 0; ; {
			k := bytes.Index(b[i:], avmlSign)
			if k < 0 {
				break
			}
			i += k
			if Is(b[i:]) || len(b)-i < headSize {
				return at + int64(i), nil
			}
			i++
		}
		if int64(len(b)) == f.src.Size()-at {
			break
		}
		at += int64(len(b)) - headSize
	}
	return f.src.Size(), nil
}

// order sorts the pieces by address and takes out what overlaps.
func (f *file) order(img *container.Image) {
	slices.SortStableFunc(f.pieces, func(a, b piece) int { return cmp.Compare(a.start, b.start) })
	kept := f.pieces[:0]
	for _, p := range f.pieces {
		if n := len(kept); n > 0 && p.start < kept[n-1].end() {
			cut := min(p.length, kept[n-1].end()-p.start)
			if p.known != nil {
				cut = p.length // chunks are not cut
			}
			img.Note("the range at address %#x overlaps one before it: %d of its %d bytes are left out", p.start, cut, p.length)
			if cut == p.length {
				continue
			}
			p.start, p.length, p.at = p.start+cut, p.length-cut, p.at+cut
		}
		kept = append(kept, p)
	}
	f.pieces = kept
}

// describe lists the ranges, those that touch as one.
func (f *file) describe(img *container.Image) {
	n := 0
	for i := 0; i < len(f.pieces); {
		from, to := f.pieces[i].start, f.pieces[i].end()
		for i++; i < len(f.pieces) && f.pieces[i].start == to; i++ {
			to = f.pieces[i].end()
		}
		if n++; n <= listed {
			img.Put(fmt.Sprintf("range %d", n), fmt.Sprintf("addresses %#x to %#x, %d bytes", from, to-1, to-from))
		}
	}
	img.Put("ranges", fmt.Sprint(n))
}

// Find implements container.Map.
func (f *file) Find(off int64) (container.Span, error) {
	i, _ := slices.BinarySearchFunc(f.pieces, off, func(p piece, off int64) int {
		if p.end() <= off {
			return -1
		}
		return 1
	})
	if i == len(f.pieces) {
		return container.Span{Length: math.MaxInt64 - off}, nil
	}
	p := &f.pieces[i]
	in := off - p.start
	switch {
	case in < 0:
		return container.Span{Length: -in}, nil
	case p.reason != "":
		return container.Span{Length: p.length - in, Reason: p.reason}, nil
	case p.known == nil:
		return container.Span{Length: p.length - in, From: f.src, At: p.at + in}, nil
	}
	return f.packed(p, in)
}

// packed finds byte in of a piece in its chunks.
func (f *file) packed(p *piece, in int64) (container.Span, error) {
	i, _ := slices.BinarySearchFunc(p.known, in+1, func(k place, in int64) int { return cmp.Compare(k.plain, in) })
	at := p.known[i-1]
	for {
		c, ok, err := f.chunk(at.at)
		if err != nil {
			return container.Span{}, err
		}
		if !ok {
			return container.Span{}, fmt.Errorf("the chunk at byte %d of the file is not what it was", at.at)
		}
		if skip := in - at.plain; c.plain > 0 && skip < c.plain {
			return container.Span{Length: c.plain - skip, Packed: true, Key: at.at, Size: int(c.plain), Skip: int(skip)}, nil
		}
		at.at += 4 + c.size
		at.plain += max(0, c.plain)
	}
}

// Unpack implements container.Map; key is where the chunk stands in the file.
func (f *file) Unpack(key int64, dst []byte) (string, error) {
	where := fmt.Sprintf("the chunk at byte %d of the file", key)
	c, ok, err := f.chunk(key)
	if err != nil || !ok || c.plain != int64(len(dst)) {
		clear(dst)
		return where + " is not what it was", err
	}
	b := make([]byte, c.size)
	if err := container.ReadFull(f.src, b, key+4); err != nil {
		clear(dst)
		return "", err
	}
	if c.kind == 1 {
		copy(dst, b[4:])
	} else if _, err := s2.Decode(dst, b[4:]); err != nil {
		clear(dst)
		return fmt.Sprintf("%s is damaged: %v", where, err), nil
	}
	if masked(dst) != le.Uint32(b) {
		return where + " fails its checksum", nil
	}
	if g := container.GapsIn(f.src, key, 4+c.size); len(g) > 0 {
		return fmt.Sprintf("%s lies in a gap: %s", where, g[0].Reason), nil
	}
	return "", nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is the checksum of Snappy's frames.
func masked(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}
