package netcap

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

const (
	startWindow = 1 << 20
	maxEmpty    = 100 // reads that bring nothing and no error
)

// window is a stretch of the unpacked file that slides forward. Its buffer
// grows to twice the longest stretch that was asked for, so that moving what
// is left to its front costs no more than reading does.
type window struct {
	r    io.Reader // unpacked
	raw  failing
	buf  []byte
	pos  int   // of the next byte in buf
	end  int   // of what is filled in buf
	base int64 // offset of buf[0] in the unpacked file
	err  error // why no more bytes come; io.EOF at the proper end
}

// failing remembers the error of a reader, so that a broken disk is told from
// a broken gzip stream.
type failing struct {
	r   io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

// openWindow reads r as it stands or, where it begins as gzip does, unpacked.
func openWindow(r io.Reader) *window {
	w := &window{buf: make([]byte, startWindow), raw: failing{r: r}}
	in := bufio.NewReaderSize(&w.raw, 64<<10)
	w.r = in
	if head, _ := in.Peek(2); len(head) == 2 && head[0] == 0x1f && head[1] == 0x8b {
		z, err := gzip.NewReader(in)
		if err != nil {
			w.err = gzipError(err)
			return w
		}
		w.r = z
	}
	return w
}

func gzipError(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// offset is that of the next byte in the unpacked file.
func (w *window) offset() int64 { return w.base + int64(w.pos) }

// peek is the next n bytes, or what is left of the file where there are
// fewer. It is valid until the next peek.
func (w *window) peek(n int) []byte {
	if w.end-w.pos < n {
		w.fill(n)
	}
	return w.buf[w.pos:min(w.end, w.pos+n)]
}

// pass moves n bytes on, which peek has shown.
func (w *window) pass(n int) { w.pos += n }

func (w *window) fill(n int) {
	if w.pos+n > len(w.buf) {
		to := w.buf
		if 2*n > len(to) {
			to = make([]byte, 2*n)
		}
		w.base += int64(w.pos)
		w.end = copy(to, w.buf[w.pos:w.end])
		w.pos, w.buf = 0, to
	}
	for empty := 0; w.err == nil && w.end-w.pos < n; {
		got, err := w.r.Read(w.buf[w.end:])
		w.end += got
		if w.err = err; got == 0 && err == nil {
			if empty++; empty == maxEmpty {
				w.err = io.ErrNoProgress
				w.raw.err = w.err
			}
		}
	}
}

// failure is the error of the reader below, if that is why the bytes end.
func (w *window) failure() error {
	if w.raw.err == nil {
		return nil
	}
	return fmt.Errorf("read capture at offset %d: %w", w.base+int64(w.end), w.raw.err)
}

// cut says why the bytes end where they should not: "" at the proper end of
// the file.
func (w *window) cut() string {
	switch {
	case errors.Is(w.err, io.EOF):
		return ""
	case errors.Is(w.err, io.ErrUnexpectedEOF):
		return "the gzip stream is cut short"
	}
	return w.err.Error()
}
