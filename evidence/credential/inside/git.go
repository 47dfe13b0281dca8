package inside

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zlib"
)

// The pack format is described in gitformat-pack(5).
const (
	packHead     = 12
	packOffset   = 6 // the object is a delta to one before it in the pack
	packRef      = 7 // the object is a delta to one that is named
	packNameSize = 20
	zlibTry      = 64 // bytes that zlib must give to be taken for it
)

// zlibHeader asks b for the header of zlib and for what can be decoded of some
// length, or to its end: two bytes alone say little.
func zlibHeader(b []byte) bool {
	if len(b) < 8 || b[0] != 0x78 || b[1]&0x20 != 0 || binary.BigEndian.Uint16(b)%31 != 0 {
		return false
	}
	z, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return false
	}
	var out [zlibTry]byte
	n, err := fill(z, out[:])
	return n > 0 && (err == nil || errors.Is(err, io.EOF))
}

// packHeader asks b for a version of pack that is known.
func packHeader(b []byte) bool {
	return len(b) >= packHead && binary.BigEndian.Uint32(b[4:]) >= 2 && binary.BigEndian.Uint32(b[4:]) <= 3
}

// zlib decodes a stream of zlib: a loose object of git, for instance.
func (d *Decoder) zlib(f *flow, path, mark string, depth int) {
	z, err := d.free.zlib(f.Reader)
	if err != nil {
		d.damage(path, 0, err)
		return
	}
	d.within(f, z, mark, depth, true)
	d.free.keepZlib(z)
}

// pack decodes the objects of a pack of git, one behind the other. Of a delta
// the instructions are given, in which the bytes stand that are new.
func (d *Decoder) pack(f *flow, path, mark string, depth int) {
	var h [packHead]byte
	if _, err := io.ReadFull(f, h[:]); err != nil {
		d.damage(path, 0, cut(err))
		return
	}
	count := binary.BigEndian.Uint32(h[8:])
	for n := range count {
		if d.stopped() != nil {
			return
		}
		at := f.at()
		err := f.packObject()
		if err == nil {
			err = d.packContent(f, fmt.Sprintf("%sobject-%d", mark, at), depth)
		}
		if err != nil {
			d.damage(path, at, fmt.Errorf("pack: object %d of %d: %w: those behind it are not decoded", n+1, count, err))
			return
		}
	}
}

// packObject reads what stands before the data of an object.
func (f *flow) packObject() error {
	kind := byte(0)
	for i := 0; ; i++ {
		c, err := f.ReadByte()
		if err != nil {
			return cut(err)
		}
		if i == 0 {
			kind = c >> 4 & 7
		}
		if c < 0x80 {
			break
		}
		if i == 9 {
			return errors.New("its length is too long")
		}
	}
	switch kind {
	case 0, 5:
		return fmt.Errorf("no type is %d", kind)
	case packOffset:
		for i := 0; ; i++ {
			c, err := f.ReadByte()
			if err != nil {
				return cut(err)
			}
			if c < 0x80 {
				return nil
			}
			if i == 9 {
				return errors.New("its offset is too long")
			}
		}
	case packRef:
		_, err := f.skip(packNameSize)
		return cut(err)
	}
	return nil
}

// packContent decodes the data of an object; the next one follows its end.
func (d *Decoder) packContent(f *flow, name string, depth int) error {
	z, err := d.free.zlib(f.Reader)
	if err != nil {
		return cut(err)
	}
	defer d.free.keepZlib(z)
	end := &endReader{r: z}
	d.within(f, end, name, depth, false)
	if !end.end {
		return errors.New("its end is not known")
	}
	return nil
}

// endReader notes that a stream was read to its end.
type endReader struct {
	r   io.Reader
	end bool
}

func (e *endReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	e.end = e.end || errors.Is(err, io.EOF)
	return n, err
}
