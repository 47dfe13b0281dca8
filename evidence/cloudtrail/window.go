package cloudtrail

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

const (
	maxRecord = 16 << 20 // a longer record is passed over and counted as bad
	maxStream = 4 << 30  // of unpacked text
	minWindow = 64 << 10
	midWindow = 1 << 20
)

// window is a stretch of the unpacked text that slides forward.
type window struct {
	src  source
	buf  []byte
	pos  int   // of the next byte in buf
	end  int   // of what is filled in buf
	base int64 // offset of buf[0] in the text
	done bool  // no more text will come
	err  error // why the text ended before its proper end; nil at its end
}

// source unpacks: it reads plain text or gzip, told apart by the first two
// bytes, and remembers whether the reader below failed.
type source struct {
	in  bufio.Reader
	zr  *gzip.Reader
	r   io.Reader
	raw failing
}

// failing remembers the error of a reader, so that a broken disk is told from
// a broken stream.
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

func (s *source) start(r io.Reader) error {
	s.raw = failing{r: r}
	s.in.Reset(&s.raw)
	s.r = &s.in
	if head, _ := s.in.Peek(2); len(head) < 2 || head[0] != 0x1f || head[1] != 0x8b {
		return nil
	}
	var err error
	if s.zr == nil {
		s.zr, err = gzip.NewReader(&s.in)
	} else {
		err = s.zr.Reset(&s.in)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		s.zr = nil
		return err
	}
	s.r = s.zr
	return nil
}

func (w *window) start(r io.Reader) {
	if w.buf == nil || len(w.buf) > midWindow {
		w.buf = make([]byte, minWindow)
	}
	w.pos, w.end, w.base, w.done, w.err = 0, 0, 0, false, nil
	if err := w.src.start(r); err != nil {
		w.finish(err)
	}
}

func (w *window) bytes() []byte { return w.buf[w.pos:w.end] }

// offset is that of the next byte in the unpacked text.
func (w *window) offset() int64 { return w.base + int64(w.pos) }

// more brings further text behind what the window holds and says whether any
// came. It does not hold more than maxRecord bytes.
func (w *window) more() bool {
	if w.done || w.end-w.pos > maxRecord {
		return false
	}
	w.base += int64(w.pos)
	w.end = copy(w.buf, w.buf[w.pos:w.end])
	w.pos = 0
	if w.end > len(w.buf)/2 || w.base > int64(len(w.buf)) && len(w.buf) < midWindow {
		grown := make([]byte, 2*len(w.buf))
		copy(grown, w.buf[:w.end])
		w.buf = grown
	}
	had := w.end
	for !w.done && w.end < len(w.buf) {
		n, err := w.src.r.Read(w.buf[w.end:])
		w.end += n
		if err != nil {
			w.finish(err)
		}
		if w.base+int64(w.end) > maxStream {
			w.end -= int(min(w.base+int64(w.end)-maxStream, int64(w.end-had)))
			w.finish(fmt.Errorf("the text is longer than the %d bytes that are read of one file", int64(maxStream)))
		}
	}
	return w.end > had
}

func (w *window) finish(err error) {
	w.done = true
	if w.err != nil || errors.Is(err, io.EOF) {
		return
	}
	w.err = err
}

// failure is the error of the reader below, nil where only the data are bad.
func (w *window) failure() error { return w.src.raw.err }

// peek is the next byte; false at the end of the text.
func (w *window) peek() (byte, bool) {
	if w.pos == w.end && !w.more() {
		return 0, false
	}
	return w.buf[w.pos], true
}

// space passes over white space and gives the byte behind it.
func (w *window) space() (byte, bool) {
	for {
		c, ok := w.peek()
		if !ok || c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c, ok
		}
		w.pos++
	}
}

// line passes over the rest of the line; false at the end of the text.
func (w *window) line() bool {
	for {
		c, ok := w.peek()
		if !ok {
			return false
		}
		w.pos++
		if c == '\n' {
			return true
		}
	}
}

// pass goes over one JSON value of any length without looking at its grammar
// beyond strings and brackets, so that the walk can go on behind a record
// that is too long or too deep. It is false where the text ends first.
func (w *window) pass() bool {
	depth, quoted := 0, false
	for {
		c, ok := w.peek()
		if !ok {
			return depth == 0 && !quoted
		}
		if quoted {
			w.pos++
			switch c {
			case '\\':
				if _, ok := w.peek(); ok {
					w.pos++
				}
			case '"':
				quoted = false
				if depth == 0 {
					return true
				}
			}
			continue
		}
		switch c {
		case '"':
			quoted = true
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return true // behind a bare word
			}
			if depth--; depth == 0 {
				w.pos++
				return true
			}
		case ',', ' ', '\n', '\r', '\t':
			if depth == 0 {
				return true
			}
		}
		w.pos++
	}
}
