package inside

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// The largest dictionary: what xz -9 makes. The file says how much memory it
// wants, so the frames of xz are read here and not by the module.
const (
	dictMax  = 64 << 20
	dictProp = 28 // the same, as the file writes it
	// dictShare is the share of a dictionary that counts as decoded.
	dictShare = 32
)

// xzReader is what the blocks of an xz file hold, stream behind stream.
type xzReader struct {
	d     *Decoder
	f     *flow
	in    bool // inside a stream
	check byte
	block *lzma.Reader2
	start int64 // of the data of the block
	sum   hash.Hash
}

func badXZ(reason string, args ...any) error { return fmt.Errorf("xz: "+reason, args...) }

func (x *xzReader) Read(p []byte) (int, error) {
	for {
		if x.block == nil {
			if err := x.next(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := x.block.Read(p)
		if x.sum != nil {
			x.sum.Write(p[:n])
		}
		if errors.Is(err, io.EOF) {
			x.block, err = nil, x.endBlock()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// next reads what stands before data: the header of a stream, of a block, or
// the end of a stream.
func (x *xzReader) next() error {
	if !x.in {
		return x.stream()
	}
	size, err := x.f.ReadByte()
	if err != nil {
		return cut(err)
	}
	if size == 0 {
		x.in = false
		return x.index()
	}
	b := make([]byte, (int(size)+1)*4)
	b[0] = size
	if _, err := io.ReadFull(x.f, b[1:]); err != nil {
		return cut(err)
	}
	if crc32.ChecksumIEEE(b[:len(b)-4]) != le.Uint32(b[len(b)-4:]) {
		return badXZ("the header of a block fails its checksum")
	}
	dict, err := blockDict(b[1 : len(b)-4])
	if err != nil {
		return err
	}
	// A block that holds nothing costs the memory of its dictionary all the same.
	if err := x.d.spend(int64(dict) / dictShare); err != nil {
		return err
	}
	x.start = x.f.at()
	x.sum = sumOf(x.check)
	x.block, err = lzma.Reader2Config{DictCap: dict}.NewReader2(x.f.Reader)
	return err
}

// stream reads the header of a stream; zeros may stand before it, but for the
// first.
func (x *xzReader) stream() error {
	for {
		b, err := x.f.Peek(4)
		if len(b) == 4 && le.Uint32(b) == 0 {
			_, _ = x.f.Discard(4) // buffered
			continue
		}
		if len(b) == 0 {
			return err
		}
		break
	}
	var b [12]byte
	if _, err := io.ReadFull(x.f, b[:]); err != nil {
		return cut(err)
	}
	if !bytes.HasPrefix(b[:], []byte("\xfd7zXZ\x00")) || b[6] != 0 || b[7] > 15 || crc32.ChecksumIEEE(b[6:8]) != le.Uint32(b[8:]) {
		return badXZ("what stands behind a stream is none")
	}
	x.in, x.check = true, b[7]
	return nil
}

// blockDict reads the flags, sizes and filters of a block, and gives the size
// of its dictionary.
func blockDict(b []byte) (int, error) {
	flags := b[0]
	r := bytes.NewReader(b[1:])
	for _, bit := range []byte{0x40, 0x80} {
		if flags&bit != 0 {
			if _, err := uvarint(r); err != nil {
				return 0, err
			}
		}
	}
	id, err := uvarint(r)
	if err != nil {
		return 0, err
	}
	size, err := uvarint(r)
	if err != nil {
		return 0, err
	}
	prop, err := r.ReadByte()
	switch {
	case flags&3 != 0 || id != 0x21:
		return 0, badXZ("a filter other than LZMA2: not decoded")
	case size != 1 || err != nil || prop > 40:
		return 0, badXZ("the properties of LZMA2 are not known")
	case prop > dictProp:
		return 0, badXZ("it needs a dictionary of more than %d bytes: not decoded", dictMax)
	}
	return max(lzma.MinDictCap, int(2|prop&1)<<(prop/2+11)), nil
}

// endBlock goes past the padding and compares the checksum.
func (x *xzReader) endBlock() error {
	pad := int(-(x.f.at() - x.start) & 3)
	b := make([]byte, pad+sumSize(x.check))
	if _, err := io.ReadFull(x.f, b); err != nil {
		return cut(err)
	}
	if x.sum == nil {
		return nil
	}
	want := b[pad:]
	got := x.sum.Sum(nil)
	if x.check != checkSHA256 { // little endian in the file
		for i, j := 0, len(got)-1; i < j; i, j = i+1, j-1 {
			got[i], got[j] = got[j], got[i]
		}
	}
	if !bytes.Equal(got, want) {
		return badXZ("a block fails its checksum")
	}
	return nil
}

// index goes past the index and the footer of a stream.
func (x *xzReader) index() error {
	start := x.f.at() - 1
	n, err := uvarint(x.f)
	for ; err == nil && n > 0; n-- {
		if _, err = uvarint(x.f); err == nil {
			_, err = uvarint(x.f)
		}
	}
	if err != nil {
		return cut(err)
	}
	pad := int(-(x.f.at() - start) & 3)
	b := make([]byte, pad+4+12)
	if _, err := io.ReadFull(x.f, b); err != nil {
		return cut(err)
	}
	if !bytes.HasSuffix(b, []byte("YZ")) {
		return badXZ("a stream does not end as one does")
	}
	return nil
}

// The checks of a block.
const (
	checkCRC32  = 1
	checkCRC64  = 4
	checkSHA256 = 10
)

func sumOf(check byte) hash.Hash {
	switch check {
	case checkCRC32:
		return crc32.NewIEEE()
	case checkCRC64:
		return crc64.New(crc64.MakeTable(crc64.ECMA))
	case checkSHA256:
		return sha256.New()
	}
	return nil
}

// sumSize is the length of a check.
func sumSize(check byte) int {
	return [16]int{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}[check&15]
}

// uvarint reads a number of up to nine bytes.
func uvarint(r io.ByteReader) (n uint64, err error) {
	for i := range 9 {
		c, err := r.ReadByte()
		if err != nil {
			return 0, cut(err)
		}
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return n, nil
		}
	}
	return 0, badXZ("a number is too long")
}

// cut is an error where more must follow.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
