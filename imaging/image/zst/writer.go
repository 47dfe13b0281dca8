package zst

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// FrameSize is how many bytes of the image a frame of Writer and Encoder holds:
// what must be unpacked to read one byte.
const FrameSize = 1 << 20

// Encoder makes frames. The same bytes give the same frames. It is safe for
// concurrent use.
type Encoder struct{ enc *zstd.Encoder }

// NewEncoder makes an Encoder. Close frees it.
func NewEncoder() (*Encoder, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, fmt.Errorf("compress image: %w", err)
	}
	return &Encoder{enc}, nil
}

// Close frees the encoder.
func (e *Encoder) Close() error { return e.enc.Close() }

// Frame appends the frame of at most FrameSize bytes to dst, and its entry to t.
func (e *Encoder) Frame(dst, plain []byte, t *Table) []byte {
	from := len(dst)
	dst = e.enc.EncodeAll(plain, dst)
	t.Add(dst[from:], int64(len(plain)))
	return dst
}

// Frames appends the frames of any number of bytes to dst, and their entries
// to t.
func (e *Encoder) Frames(dst, plain []byte, t *Table) []byte {
	for len(plain) > 0 {
		n := min(len(plain), FrameSize)
		dst, plain = e.Frame(dst, plain[:n], t), plain[n:]
	}
	return dst
}

// Table is the seek table of an image while it is written. The zero value is
// that of no frames.
type Table struct{ rows []byte }

// Add adds the entry of a frame that was made with its checksum.
func (t *Table) Add(frame []byte, plain int64) {
	t.rows = le.AppendUint32(t.rows, uint32(len(frame)))
	t.rows = le.AppendUint32(t.rows, uint32(plain))  //nolint:gosec // at most FrameSize
	t.rows = append(t.rows, frame[len(frame)-4:]...) // the frame ends with the same checksum
}

// Append adds the entries of another table.
func (t *Table) Append(u Table) { t.rows = append(t.rows, u.rows...) }

// Sizes lists the lengths of the frames in the file, in bytes.
func (t *Table) Sizes() []int64 {
	var list []int64
	for b := t.rows; len(b) > 0; b = b[12:] {
		list = append(list, int64(le.Uint32(b)))
	}
	return list
}

// Bytes are the table as it stands at the end of the file.
func (t *Table) Bytes() ([]byte, error) {
	size := len(t.rows) + footerSize
	if size > math.MaxUint32 {
		return nil, fmt.Errorf("compress image: %d bytes of seek table are too many", size)
	}
	b := le.AppendUint32(make([]byte, 0, size+8), tableMagic)
	b = le.AppendUint32(b, uint32(size))
	b = append(b, t.rows...)
	b = le.AppendUint32(b, uint32(len(t.rows)/12)) //nolint:gosec // bounded by size
	return append(append(b, 0x80), seekSign...), nil
}

// Unpack unpacks the one frame that b is to dst, whose length must be that of
// the frame's content; what is wrong with it is an error.
func Unpack(dst, b []byte) error { return (&file{}).decode(dst, b) }

// Writer compresses an image into the seekable format, several frames at once.
// The same bytes give the same file. It is not safe for concurrent use.
type Writer struct {
	w      io.Writer
	enc    *Encoder
	buf    []byte
	out    [][]byte // one buffer a frame of the batch
	tables []Table
	table  Table
	failed error
}

// NewWriter writes to w. Close must be called: it writes the seek table.
func NewWriter(w io.Writer) (*Writer, error) {
	n := runtime.GOMAXPROCS(0)
	enc, err := NewEncoder()
	if err != nil {
		return nil, err
	}
	return &Writer{w: w, enc: enc, buf: make([]byte, 0, n*FrameSize), out: make([][]byte, n), tables: make([]Table, n)}, nil
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
	for i := range n {
		wg.Go(func() {
			w.tables[i] = Table{rows: w.tables[i].rows[:0]}
			w.out[i] = w.enc.Frame(w.out[i][:0], w.buf[i*FrameSize:min((i+1)*FrameSize, len(w.buf))], &w.tables[i])
		})
	}
	wg.Wait()
	for i := range n {
		if _, err := w.w.Write(w.out[i]); err != nil {
			w.failed = fmt.Errorf("compress image: %w", err)
			return
		}
		w.table.Append(w.tables[i])
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
	tail, err := w.table.Bytes()
	if err != nil {
		return err
	}
	if _, err := w.w.Write(tail); err != nil {
		w.failed = fmt.Errorf("compress image: %w", err)
		return w.failed
	}
	w.failed = fmt.Errorf("compress image: %w", io.ErrClosedPipe)
	return w.enc.Close()
}
