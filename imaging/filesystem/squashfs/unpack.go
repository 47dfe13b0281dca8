package squashfs

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/anchore/go-lzo"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz/lzma"
)

// dictMost is the largest dictionary, and the largest window, that a compressed
// block may ask for. It is sixteen times the largest block.
const dictMost = 16 << 20

// unpacker unpacks src into dst, which has room for the most that it may give,
// and says how many bytes it gave.
type unpacker func(dst, src []byte) (int, error)

// unpackerOf gives the unpacker of a compression and its name.
func unpackerOf(id uint16) (unpacker, string, error) {
	switch id {
	case 1:
		return guarded(unzlib), "gzip", nil
	case 2:
		return guarded(unlzma), "lzma", nil
	case 3:
		return guarded(func(dst, src []byte) (int, error) { return lzo.Decompress(src, dst) }), "lzo", nil
	case 4:
		return guarded(unxz), "xz", nil
	case 5:
		return guarded(func(dst, src []byte) (int, error) { return lz4.UncompressBlock(src, dst) }), "lz4", nil
	case 6:
		u, err := unzstd()
		return guarded(u), "zstd", err
	}
	return nil, "", fmt.Errorf("its compression has the number %d, which is not known", id)
}

// guarded turns a panic of a library into an error.
func guarded(u unpacker) unpacker {
	return func(dst, src []byte) (n int, err error) {
		defer func() {
			if r := recover(); r != nil {
				n, err = 0, fmt.Errorf("unpacking failed: %v", r)
			}
		}()
		return u(dst, src)
	}
}

// fill reads r to its end into dst.
func fill(dst []byte, r io.Reader) (int, error) {
	n, err := io.ReadFull(r, dst)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return n, nil
	}
	if err != nil {
		return n, err
	}
	switch k, err := r.Read(make([]byte, 1)); {
	case k > 0:
		return n, errors.New("it unpacks to more than a block")
	case err != nil && !errors.Is(err, io.EOF): // a wrong checksum at its end
		return n, err
	}
	return n, nil
}

func unzlib(dst, src []byte) (int, error) {
	r, err := zlib.NewReader(bytes.NewReader(src))
	if err != nil {
		return 0, err
	}
	return fill(dst, exact{r})
}

// exact tells a stream that breaks off from one that ends.
type exact struct{ r io.Reader }

func (e exact) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the stream breaks off")
	}
	return n, err
}

func unlzma(dst, src []byte) (int, error) {
	r, err := lzma.ReaderConfig{DictCap: dictMost}.NewReader(bytes.NewReader(src))
	if err != nil {
		return 0, err
	}
	return fill(dst, exact{r})
}

func unzstd() (unpacker, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(dictMost), zstd.WithDecoderMaxWindow(dictMost))
	if err != nil {
		return nil, fmt.Errorf("make a zstd decoder: %w", err)
	}
	return func(dst, src []byte) (int, error) {
		b, err := d.DecodeAll(src, dst[:0])
		if len(b) > len(dst) {
			return 0, errors.New("it unpacks to more than a block")
		}
		return len(b), err
	}, nil
}

// unxz reads the one block of an xz stream. The stream is taken apart here,
// since a header can ask for a dictionary of 4 GiB.
func unxz(dst, src []byte) (int, error) {
	if len(src) < 24 || string(src[:6]) != "\xfd7zXZ\x00" {
		return 0, errors.New("no xz stream")
	}
	check := src[7] & 15
	size := (int(src[12]) + 1) * 4
	if src[12] == 0 || 12+size > len(src) {
		return 0, errors.New("no block in the xz stream")
	}
	head := src[12 : 12+size]
	if crc32.ChecksumIEEE(head[:size-4]) != le.Uint32(head[size-4:]) {
		return 0, errors.New("the header of the xz block has a wrong checksum")
	}
	dict, err := lzma2Dict(head[:size-4])
	if err != nil {
		return 0, err
	}
	body := bytes.NewReader(src[12+size:])
	r, err := lzma.Reader2Config{DictCap: dict}.NewReader2(body)
	if err != nil {
		return 0, err
	}
	n, err := fill(dst, exact{r})
	if err != nil {
		return n, err
	}
	used := len(src) - body.Len()
	used += -used & 3 // the stream begins at a multiple of four
	return n, checkXZ(check, dst[:n], src[min(used, len(src)):])
}

// checkXZ compares with the checksum behind the block, of the kinds that are
// common.
func checkXZ(kind byte, b, sum []byte) error {
	ok := true
	switch kind {
	case 1:
		ok = len(sum) >= 4 && le.Uint32(sum) == crc32.ChecksumIEEE(b)
	case 4:
		ok = len(sum) >= 8 && le.Uint64(sum) == crc64.Checksum(b, crc64.MakeTable(crc64.ECMA))
	}
	if !ok {
		return errors.New("the xz block has a wrong checksum")
	}
	return nil
}

// lzma2Dict reads the header of an xz block and gives the size of its
// dictionary. Other filters than LZMA2 are refused.
func lzma2Dict(head []byte) (int, error) {
	at := 2
	number := func() (v uint64) {
		for shift := 0; at < len(head) && shift < 63; shift += 7 {
			b := head[at]
			at++
			v |= uint64(b&0x7f) << shift
			if b&0x80 == 0 {
				return v
			}
		}
		return 1 << 63
	}
	for _, flag := range []byte{0x40, 0x80} { // packed and unpacked size
		if head[1]&flag != 0 {
			number()
		}
	}
	id, props := number(), number()
	switch {
	case head[1]&3 != 0 || id != 0x21:
		return 0, fmt.Errorf("it is packed with an xz filter (number %d), which is not read", id)
	case props != 1 || at >= len(head) || head[at] > 40:
		return 0, errors.New("the header of the xz block makes no sense")
	}
	bits := uint64(head[at])
	size := (2 | bits&1) << (bits/2 + 11)
	if size > dictMost {
		return 0, fmt.Errorf("it asks for a dictionary of %d bytes", size)
	}
	return int(size), nil
}
