package zst

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// FrameSize is how many bytes of the image a frame of Writer holds: what must be
// unpacked to read one byte.
const FrameSize = 1 << 20

// Writer compresses an image into the seekable format, several frames at once.
// The same bytes give the same file. It is not safe for concurrent use.
type Writer struct {
	w      io.Writer
	enc    *zstd.Encoder
	buf    []byte
	out    [][]byte // one buffer a frame of the batch
	table  []byte
	failed error
}

// NewWriter writes to w. Close must be called: it writes the seek table.
func NewWriter(w io.Writer) (*Writer, error) {
	n := runtime.GOMAXPROCS(0)
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(n), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, fmt.Errorf("compress image: %w", err)
	}
	return &Writer{w: w, enc: enc, buf: make([]byte, 0, n*FrameSize), out: make([][]byte, n)}, nil
}

// Write compresses p. After a failure nothing more is taken.
func (w *Writer) Write(p []byte) (int, error) {
	given := len(p)
	for len(p) > 0 && w.failed == nil {
		n := min(len(p), cap(w.buf)-len(w.buf))
		w.buf, p = append(w.buf, p[:n]...), p[n:]
		if len(w.buf) == cap(w.buf) {
			w.flush()
		}
	}
	if w.failed != nil {
		return 0, w.failed
	}
	return given, nil
}

// flush compresses what is buffered, frame by frame side by side, and writes it
// in order.
func (w *Writer) flush() {
	var wg sync.WaitGroup
	n := (len(w.buf) + FrameSize - 1) / FrameSize
	plain := func(i int) []byte { return w.buf[i*FrameSize : min((i+1)*FrameSize, len(w.buf))] }
	for i := range n {
		wg.Go(func() { w.out[i] = w.enc.EncodeAll(plain(i), w.out[i][:0]) })
	}
	wg.Wait()
	for i := range n {
		b := w.out[i]
		if _, err := w.w.Write(b); err != nil {
			w.failed = fmt.Errorf("compress image: %w", err)
			return
		}
		w.table = le.AppendUint32(w.table, uint32(len(b)))
		w.table = le.AppendUint32(w.table, uint32(len(plain(i))))
		w.table = append(w.table, b[len(b)-4:]...) // the frame ends with the same checksum
	}
	w.buf = w.buf[:0]
}

// Close writes the last frame and the seek table. It does not close what is
// written to. A second call gives an error.
func (w *Writer) Close() error {
	if w.failed != nil {
		return w.failed
	}
	w.flush()
	if w.failed != nil {
		return w.failed
	}
	size := len(w.table) + footerSize
	if size > math.MaxUint32 {
		return fmt.Errorf("compress image: %d bytes of seek table are too many", size)
	}
	head := le.AppendUint32(nil, tableMagic)
	head = le.AppendUint32(head, uint32(size))
	tail := le.AppendUint32(nil, uint32(len(w.table)/12))
	tail = append(append(tail, 0x80), seekSign...)
	for _, b := range [][]byte{head, w.table, tail} {
		if _, err := w.w.Write(b); err != nil {
			w.failed = fmt.Errorf("compress image: %w", err)
			return w.failed
		}
	}
	w.failed = fmt.Errorf("compress image: %w", io.ErrClosedPipe)
	return w.enc.Close()
}
