// Package zst reads and writes raw images compressed with zstd in the seekable
// format, in which any byte can be had without those before it. It follows
// "Zstandard Seekable Format" version 0.1.0, in contrib/seekable_format of zstd.
//
// # Layout
//
// The image is cut into pieces, each a zstd frame of its own. A skippable frame
// (5E 2A 4D 18, its length in 4 bytes), the seek table, stands at the end: for
// each frame its compressed and its plain length, 4 bytes each, and by choice 4
// bytes of checksum, the low half of XXH64 of the plain bytes. The last 9 bytes
// are the number of frames (4), a byte whose highest bit says that there are
// checksums, and B1 EA 92 8F. All is little-endian. A table of one frame,
//
//	5e2a4d18 15000000  18000000 00001000 d1aebe2d  01000000 80 b1ea928f
//
// has 24 bytes that hold 1,048,576. To "zstd -d" a seek table is a comment: it
// restores the whole image.
//
// # Bounds
//
// A frame of more than 128 MiB is refused. The seek table is read in parts and
// is not held in memory.
//
// What it does not do: a zstd file without a seek table is named and not read,
// since it can only be read from its start. Dictionaries are not supported.
package zst

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"sync"

	"snapcase/imaging"
	"snapcase/imaging/image/container"

	"github.com/klauspost/compress/zstd"
)

const (
	format     = "zst"
	footerSize = 9
	tableMagic = 0x184d2a5e
	mostFrame  = 128 << 20
	stride     = 256 // entries between two known places
)

var (
	le        = binary.LittleEndian
	frameSign = []byte("\x28\xb5\x2f\xfd")
	seekSign  = []byte("\xb1\xea\x92\x8f")
)

// Is says whether a file is of the seekable format, by its first and its last
// bytes. A zstd file without a seek table is an *UnsupportedError.
func Is(head, tail []byte) (bool, error) {
	skippable := len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte("\x2a\x4d\x18"))
	switch {
	case !bytes.HasPrefix(head, frameSign) && !skippable:
		return false, nil
	case bytes.HasSuffix(tail, seekSign):
		return true, nil
	case skippable:
		return false, nil
	}
	return false, container.Unsupported(format, "it is a zstd file without a seek table, or it is cut off: decompress it first")
}

func bad(off int64, reason string, args ...any) error {
	return &imaging.FormatError{Format: format, Offset: off, Reason: fmt.Sprintf(reason, args...)}
}

// place is where a frame starts, in the file and in the image.
type place struct{ packed, plain int64 }

type file struct {
	src    imaging.Source
	pages  *container.Pages
	table  int64 // place of the first entry
	width  int64 // of an entry: 8 or 12
	frames int64
	known  []place // of every stride-th frame
	end    place
}

// Open opens the image in src.
func Open(src imaging.Source) (*container.Image, error) {
	f := &file{src: src, pages: container.NewPages(src)}
	img := &container.Image{Format: format}
	if err := f.footer(); err != nil {
		return nil, err
	}
	if err := f.scan(); err != nil {
		return nil, err
	}
	if start := f.table - 8; f.end.packed != start {
		img.Note("the frames of the seek table end at byte %d, and the table begins at %d", f.end.packed, start)
	}
	img.Put("frames", fmt.Sprint(f.frames))
	if f.width == 8 {
		img.Put("checksums", "none in the seek table")
	}
	img.Reader = container.NewReader(f.end.plain, f, container.NewGaps(f.end.plain))
	return img, nil
}

// footer finds the seek table.
func (f *file) footer() error {
	size := f.src.Size()
	if size < footerSize+8 {
		return bad(0, "it is too short")
	}
	var b [footerSize]byte
	if err := container.ReadFull(f.src, b[:], size-footerSize); err != nil {
		return err
	}
	if !bytes.Equal(b[5:], seekSign) {
		return bad(size-4, "no seek table")
	}
	if b[4]&0x7c != 0 {
		return bad(size-5, "the seek table has flags that are not known: %#x", b[4])
	}
	f.frames, f.width = int64(le.Uint32(b[:])), 8
	if b[4]&0x80 != 0 {
		f.width = 12
	}
	f.table = size - footerSize - f.frames*f.width
	if f.table < 8 {
		return bad(size-footerSize, "the seek table has no room for its %d frames", f.frames)
	}
	var h [8]byte
	if err := container.ReadFull(f.src, h[:], f.table-8); err != nil {
		return err
	}
	if le.Uint32(h[:]) != tableMagic || int64(le.Uint32(h[4:])) != f.frames*f.width+footerSize {
		return bad(f.table-8, "the seek table does not begin where its %d frames put it", f.frames)
	}
	return nil
}

// scan adds up the frames and keeps every stride-th place.
func (f *file) scan() error {
	var at place
	rows := make([]byte, stride*f.width)
	for n := int64(0); n < f.frames; n += stride {
		f.known = append(f.known, at)
		b, err := f.rows(rows, n)
		if err != nil {
			return err
		}
		for ; len(b) > 0; b = b[f.width:] {
			plain := int64(le.Uint32(b[4:]))
			if plain > mostFrame {
				return container.Unsupported(format, "a frame has %d bytes: more than %d are not read", plain, mostFrame)
			}
			at.packed += int64(le.Uint32(b))
			at.plain += plain
		}
		if at.plain > container.MaxSize || at.packed > math.MaxInt64/2 {
			return container.Unsupported(format, "it claims more than %d bytes", int64(container.MaxSize))
		}
	}
	f.end = at
	return nil
}

// rows reads the entries from frame n on, as many as fit into b.
func (f *file) rows(b []byte, n int64) ([]byte, error) {
	b = b[:min(int64(len(b)), (f.frames-n)*f.width)]
	_, err := f.pages.Read(b, f.table+n*f.width)
	return b, err
}

// frame is one entry with its place.
type frame struct {
	place
	packedSize, plainSize int64
	sum                   uint32
	number                int64
}

// at finds the frame that holds byte off of the image.
func (f *file) at(off int64) (frame, error) {
	lo, hi := 0, len(f.known)
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; f.known[mid].plain <= off {
			lo = mid
		} else {
			hi = mid
		}
	}
	var buf [stride * 12]byte
	n := int64(lo) * stride
	b, err := f.rows(buf[:stride*f.width], n)
	if err != nil {
		return frame{}, err
	}
	r := frame{place: f.known[lo], number: n}
	for ; len(b) > 0; b = b[f.width:] {
		r.packedSize, r.plainSize = int64(le.Uint32(b)), int64(le.Uint32(b[4:]))
		if off < r.plain+r.plainSize {
			if f.width == 12 {
				r.sum = le.Uint32(b[8:])
			}
			return r, nil
		}
		r.packed, r.plain, r.number = r.packed+r.packedSize, r.plain+r.plainSize, r.number+1
	}
	return frame{}, fmt.Errorf("no frame holds byte %d", off)
}

// Find implements container.Map.
func (f *file) Find(off int64) (container.Span, error) {
	r, err := f.at(off)
	if err != nil {
		return container.Span{}, err
	}
	skip := off - r.plain
	return container.Span{Length: r.plainSize - skip, Packed: true, Key: r.plain, Size: int(r.plainSize), Skip: int(skip)}, nil
}

// Unpack implements container.Map; key is where the frame starts in the image.
func (f *file) Unpack(key int64, dst []byte) (string, error) {
	r, err := f.at(key)
	if err != nil {
		clear(dst)
		return "", err
	}
	where := fmt.Sprintf("frame %d at byte %d of the file", r.number, r.packed)
	if r.packed+r.packedSize > f.table-8 || r.packedSize > 2*r.plainSize+1<<20 {
		clear(dst)
		return where + " does not fit where the seek table puts it", nil
	}
	b := make([]byte, r.packedSize)
	if err := container.ReadFull(f.src, b, r.packed); err != nil {
		clear(dst)
		return "", err
	}
	bad := f.decode(dst, b)
	if bad == nil && f.width == 12 && uint32(xxh64(dst)) != r.sum {
		bad = fmt.Errorf("it fails the checksum of the seek table")
	}
	below := container.GapsIn(f.src, r.packed, r.packedSize)
	switch {
	case bad != nil && len(below) > 0:
		return fmt.Sprintf("%s is damaged: %v: %s", where, bad, below[0].Reason), nil
	case bad != nil:
		return fmt.Sprintf("%s is damaged: %v", where, bad), nil
	case len(below) > 0:
		return fmt.Sprintf("%s lies in a gap: %s", where, below[0].Reason), nil
	}
	return "", nil
}

var decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(mostFrame))
})

func (f *file) decode(dst, b []byte) error {
	d, err := decoder()
	if err != nil {
		clear(dst)
		return err
	}
	got, err := d.DecodeAll(b, dst[:0:len(dst)])
	n := min(len(got), len(dst))
	clear(dst[n:])
	switch {
	case err != nil:
		return fmt.Errorf("after %d bytes: %w", n, err)
	case n < len(dst):
		return fmt.Errorf("it ends after %d of %d bytes", n, len(dst))
	}
	return nil
}
