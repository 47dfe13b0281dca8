package container

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

var inflaters = sync.Pool{New: func() any {
	return &inflater{r: flate.NewReader(bytes.NewReader(nil))}
}}

type inflater struct {
	in bytes.Reader
	r  io.ReadCloser
}

// ErrLong says that a stream goes on when all bytes are there that were wanted.
var ErrLong = errors.New("it does not end")

// Inflate fills dst from a deflate stream at the start of src, which may be
// longer. Where the stream is bad dst holds what came out before, then zeros,
// and the error says how far it came. A stream that is longer or shorter than
// dst is bad too.
func Inflate(dst, src []byte) error {
	_, err := inflate(dst, src)
	return err
}

// InflateZlib is Inflate of a zlib stream: two bytes before it and an Adler-32
// behind it are checked.
func InflateZlib(dst, src []byte) error {
	if len(src) < 2 || src[0]&0x0f != 8 || src[1]&0x20 != 0 || binary.BigEndian.Uint16(src)%31 != 0 {
		clear(dst)
		return errors.New("it does not begin as a zlib stream does")
	}
	rest, err := inflate(dst, src[2:])
	if err != nil {
		return err
	}
	if len(rest) < 4 {
		return errors.New("its Adler-32 is cut off")
	}
	if got, want := adler32.Checksum(dst), binary.BigEndian.Uint32(rest); got != want {
		return fmt.Errorf("Adler-32 is %08x, stored is %08x", got, want)
	}
	return nil
}

// inflate returns what follows the stream in src.
func inflate(dst, src []byte) (rest []byte, err error) {
	i := inflaters.Get().(*inflater)
	defer inflaters.Put(i)
	i.in.Reset(src)
	if err := i.r.(flate.Resetter).Reset(&i.in, nil); err != nil {
		clear(dst)
		return nil, err
	}
	n, err := io.ReadFull(i.r, dst)
	clear(dst[n:])
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("it ends after %d of %d bytes", n, len(dst))
	} else if err != nil {
		return nil, fmt.Errorf("it does not inflate after %d of %d bytes", n, len(dst))
	}
	var one [1]byte
	if n, err := i.r.Read(one[:]); n != 0 || !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w after %d bytes", ErrLong, len(dst))
	}
	return src[len(src)-i.in.Len():], nil
}
