package inside

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/pierrec/lz4/v4"
)

// The journal file format is described at
// https://systemd.io/JOURNAL_FILE_FORMAT/.
const (
	journalHead    = 208 // the shortest header
	journalCompact = 1 << 4
	objectHead     = 16
	objectData     = 1
	objectLast     = 7 // the highest type of object
	objectMax      = 1 << 30
	packedXZ       = 1
	packedLZ4      = 2
	packedZstd     = 4
	lz4Max         = 16 << 20 // of a field packed by lz4, which is decoded in one piece
)

// journal decodes the fields of a journal that are compressed. The objects are
// read one behind the other, so those that nothing refers to any more are read
// too.
func (d *Decoder) journal(f *flow, path, mark string, depth int) {
	f, done := d.also(f, path)
	defer done()
	h, err := f.Peek(journalHead)
	if err != nil {
		d.damage(path, 0, fmt.Errorf("journal: the header is cut off: %w", err))
		return
	}
	fixed := int64(64)
	if le.Uint32(h[12:])&journalCompact != 0 {
		fixed = 72
	}
	size := le.Uint64(h[88:])
	if size < journalHead || size > headSize {
		d.damage(path, 88, fmt.Errorf("journal: a header of %d bytes", size))
		size = journalHead
	}
	if _, err := f.skip(int64(size)); err != nil { //nolint:gosec // bounded above
		return
	}
	for told := false; d.stopped() == nil; {
		at := f.at()
		o, err := f.Peek(objectHead)
		switch {
		case len(o) < objectHead:
			if err != nil && !errors.Is(err, io.EOF) {
				d.damage(path, at, err)
			}
			return
		case !isObject(o):
			if le.Uint64(o) != 0 && !told {
				told = true
				d.damage(path, at, errors.New("journal: no object begins here: the next one is looked for"))
			}
			_, _ = f.Discard(8) // buffered
			continue
		}
		told = false
		if err := d.object(f, o, fixed, mark, depth); err != nil {
			d.damage(path, at, fmt.Errorf("journal: %w", err))
			return
		}
	}
}

// isObject says whether the head of an object makes sense.
func isObject(o []byte) bool {
	size := le.Uint64(o[8:])
	return o[0] > 0 && o[0] <= objectLast && o[1] < 8 && bytes.Equal(o[2:8], make([]byte, 6)) && size >= objectHead && size <= objectMax
}

// object goes past an object and decodes it where it is packed data. The error
// is that of the journal's own stream.
func (d *Decoder) object(f *flow, o []byte, fixed int64, mark string, depth int) error {
	at, size, how := f.at(), int64(le.Uint64(o[8:])), o[1] //nolint:gosec // bounded by isObject
	end := at + (size+7)&^7
	if o[0] == objectData && how != 0 && size > fixed {
		if _, err := f.skip(fixed); err != nil {
			return cut(err)
		}
		d.field(f, how, size-fixed, fmt.Sprintf("%sobject-%d", mark, at), depth)
	}
	if _, err := f.skip(end - f.at()); err != nil {
		if errors.Is(err, io.EOF) && f.at() >= at+size { // the last one is not filled up
			return nil
		}
		return fmt.Errorf("the object at byte %d: %w", at, cut(err))
	}
	return nil
}

// field decodes the payload of a DATA object, which is the next n bytes of f.
func (d *Decoder) field(f *flow, how byte, n int64, name string, depth int) {
	in := &io.LimitedReader{R: f.Reader, N: n}
	switch how {
	case packedZstd:
		z, err := d.free.zstd()
		if err == nil {
			err = z.Reset(in)
		}
		if err != nil {
			d.damage(name, 0, err)
			return
		}
		d.within(f, z, name, depth, false)
		d.free.keepZstd(z)
	case packedXZ:
		inner := d.decoded(in, f.in)
		d.within(f, &xzReader{d: d, f: inner}, name, depth, false)
		d.free.keepReader(inner.Reader)
	case packedLZ4:
		b, err := lz4Field(in)
		if err != nil {
			d.damage(name, 0, err)
			return
		}
		d.within(f, bytes.NewReader(b), name, depth, false)
	default:
		d.damage(name, 0, fmt.Errorf("journal: it is packed in several ways at once: %#x", how))
	}
}

// lz4Field decodes a length of eight bytes and a block of lz4.
func lz4Field(in *io.LimitedReader) ([]byte, error) {
	if in.N < 8 || in.N > lz4Max {
		return nil, fmt.Errorf("lz4: a field of %d bytes: not decoded", in.N)
	}
	b := make([]byte, in.N)
	if _, err := io.ReadFull(in, b); err != nil {
		return nil, cut(err)
	}
	size := binary.LittleEndian.Uint64(b)
	if size > lz4Max || size > 256*uint64(len(b)) {
		return nil, fmt.Errorf("lz4: a field of %d bytes that says it holds %d: not decoded", len(b), size)
	}
	out := make([]byte, size)
	n, err := lz4.UncompressBlock(b[8:], out)
	if err != nil {
		return nil, err
	}
	return out[:n], nil
}

// also gives the bytes of a stream as they are too, while it is decoded; not
// those of the source itself. done reads it to the end.
func (d *Decoder) also(f *flow, path string) (*flow, func()) {
	if path == "" {
		return f, func() {}
	}
	out := d.take.Stream(path, f.here())
	in := &bounded{d: d, r: io.TeeReader(f, out), from: f.in, base: f.at()}
	g := &flow{Reader: d.free.reader(in), in: in, plain: f.here()}
	return g, func() {
		_, err := io.Copy(io.Discard, g.Reader)
		d.stop(out.Close())
		d.damage(path, g.at(), err)
		d.free.keepReader(g.Reader)
	}
}
