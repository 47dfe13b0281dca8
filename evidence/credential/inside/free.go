package inside

import (
	"bufio"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// free keeps what is costly to make for the next stream.
type free struct {
	readers []*bufio.Reader
	blocks  [][]byte
	gzips   []*gzip.Reader
	zstds   []*zstd.Decoder
	flates  []io.ReadCloser
	zlibs   []io.ReadCloser
}

func (f *free) reader(r io.Reader) *bufio.Reader {
	if b, ok := pop(&f.readers); ok {
		b.Reset(r)
		return b
	}
	return bufio.NewReaderSize(r, readSize)
}

func (f *free) keepReader(b *bufio.Reader) {
	b.Reset(nil)
	f.readers = append(f.readers, b)
}

func (f *free) block() []byte {
	if b, ok := pop(&f.blocks); ok {
		return b
	}
	return make([]byte, blockSize)
}

func (f *free) keepBlock(b []byte) { f.blocks = append(f.blocks, b) }

func (f *free) gzip() *gzip.Reader {
	if z, ok := pop(&f.gzips); ok {
		return z
	}
	return new(gzip.Reader)
}

func (f *free) keepGzip(z *gzip.Reader) { f.gzips = append(f.gzips, z) }

// windowMax is the largest window of zstd: what zstd --long makes.
const windowMax = 128 << 20

func (f *free) zstd() (*zstd.Decoder, error) {
	if z, ok := pop(&f.zstds); ok {
		return z, nil
	}
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(windowMax), zstd.WithDecoderMaxMemory(windowMax))
}

func (f *free) keepZstd(z *zstd.Decoder) {
	if z.Reset(nil) == nil {
		f.zstds = append(f.zstds, z)
	}
}

func (f *free) inflater(r io.Reader) io.ReadCloser {
	if z, ok := pop(&f.flates); ok {
		if again, ok := z.(flate.Resetter); ok && again.Reset(r, nil) == nil {
			return z
		}
	}
	return flate.NewReader(r)
}

func (f *free) keepInflater(z io.ReadCloser) { f.flates = append(f.flates, z) }

func (f *free) zlib(r io.Reader) (io.ReadCloser, error) {
	if z, ok := pop(&f.zlibs); ok {
		if again, ok := z.(zlib.Resetter); ok {
			return z, again.Reset(r, nil)
		}
	}
	return zlib.NewReader(r)
}

func (f *free) keepZlib(z io.ReadCloser) { f.zlibs = append(f.zlibs, z) }

func pop[T any](all *[]T) (t T, ok bool) {
	n := len(*all)
	if n == 0 {
		return t, false
	}
	t = (*all)[n-1]
	*all = (*all)[:n-1]
	return t, true
}
