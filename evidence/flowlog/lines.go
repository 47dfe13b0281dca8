package flowlog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

const (
	maxLine     = 1 << 20  // bytes of a line without its end; a longer one is passed over
	maxUnpacked = 64 << 30 // bytes of text out of one gzip file
	window      = 256 << 10
	packedAhead = 64 << 10
	maxIdle     = 100 // reads in a row that give neither bytes nor an error
)

// source unpacks: it reads plain text or gzip, told apart by the first two
// bytes, and remembers whether the reader below failed.
type source struct {
	in     *bufio.Reader
	zr     *gzip.Reader
	r      io.Reader
	raw    failing
	packed bool
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
	if s.in == nil {
		s.in = bufio.NewReaderSize(&s.raw, packedAhead)
	} else {
		s.in.Reset(&s.raw)
	}
	s.r = s.in
	head, _ := s.in.Peek(2)
	s.packed = len(head) == 2 && head[0] == 0x1f && head[1] == 0x8b
	if !s.packed {
		return nil
	}
	var err error
	if s.zr == nil {
		s.zr, err = gzip.NewReader(s.in)
	} else {
		err = s.zr.Reset(s.in)
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

// foreign names a plain file that would only give bad lines by the thousand.
func (s *source) foreign() string {
	head, _ := s.in.Peek(4)
	switch {
	case s.packed:
		return ""
	case bytes.Equal(head, []byte("PAR1")):
		return "a Parquet file"
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return "text in UTF-16"
	}
	return ""
}

// line is one line of the text.
type line struct {
	text []byte // without its end, valid until the next call of next; nil where long
	at   int64  // offset in the text
	size int64  // bytes without the line feed
	long bool   // longer than maxLine
	open bool   // the text ends here without a line feed
}

// lines cuts the unpacked text into lines. It holds no more of it than the
// longest line and a window.
type lines struct {
	src  source
	buf  []byte
	pos  int   // of the next byte in buf
	end  int   // of what is filled in buf
	base int64 // offset of buf[0] in the text
	line line  // the current line; behind the last one, at is where the unread rest begins
	done bool  // no more text will come
	err  error // why the text ended before its proper end; nil at its end
	most int64 // bytes of text that are read
}

func (l *lines) start(r io.Reader) {
	if len(l.buf) != window {
		l.buf = make([]byte, window)
	}
	src, buf := l.src, l.buf
	*l = lines{src: src, buf: buf, most: maxUnpacked}
	if err := l.src.start(r); err != nil {
		l.finish(err)
	} else if what := l.src.foreign(); what != "" {
		l.done, l.err = true, errors.New(what+", not text in UTF-8")
	}
}

// failure is the error of the reader below, nil where only the data are bad.
func (l *lines) failure() error { return l.src.raw.err }

func (l *lines) finish(err error) {
	l.done = true
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		l.err = errors.New("the gzip stream is cut short")
	case !errors.Is(err, io.EOF):
		l.err = fmt.Errorf("the gzip stream is damaged: %w", err)
	}
}

// next goes to the next line; false at the end of the text. What stands
// before damage without a line feed is no line.
func (l *lines) next() bool {
	l.line = line{at: l.base + int64(l.pos)}
	seen := 0 // bytes from pos on without a line feed
	for {
		if i := bytes.IndexByte(l.buf[l.pos+seen:l.end], '\n'); i >= 0 {
			l.take(seen + i)
			l.pos++
			return true
		}
		seen = l.end - l.pos
		if seen > maxLine+1 { // a carriage return may be the last
			return l.pass()
		}
		if !l.more() {
			break
		}
	}
	if seen == 0 || l.err != nil {
		return false
	}
	l.take(seen)
	l.line.open = true
	return true
}

// take makes the next n bytes the text of the line.
func (l *lines) take(n int) {
	text := l.buf[l.pos : l.pos+n]
	l.pos += n
	l.line.size = int64(n)
	if n > 0 && text[n-1] == '\r' {
		text = text[:n-1]
	}
	if len(text) > maxLine {
		l.line.long = true
		return
	}
	l.line.text = text
}

// pass goes over a line that is too long; false where the text is damaged
// before its end.
func (l *lines) pass() bool {
	l.line.long = true
	for {
		n := bytes.IndexByte(l.buf[l.pos:l.end], '\n')
		if n >= 0 {
			l.line.size += int64(n)
			l.pos += n + 1
			return true
		}
		l.line.size += int64(l.end - l.pos)
		l.pos = l.end
		if !l.more() {
			l.line.open = true
			return l.err == nil
		}
	}
}

// more brings further text behind what is held and says whether any came.
func (l *lines) more() bool {
	l.base += int64(l.pos)
	l.end = copy(l.buf, l.buf[l.pos:l.end])
	l.pos = 0
	if l.end > len(l.buf)/2 {
		l.buf = append(l.buf, make([]byte, len(l.buf))...)
	}
	for idle := 0; !l.done; idle++ {
		n, err := l.src.r.Read(l.buf[l.end:])
		if err == nil && n == 0 && idle == maxIdle {
			err = io.ErrNoProgress
			l.src.raw.err = err
		}
		l.end += n
		if err != nil {
			l.finish(err)
		}
		if over := l.base + int64(l.end) - l.most; over > 0 && l.src.packed {
			l.end -= int(min(over, int64(n)))
			l.done = true
			l.err = fmt.Errorf("the text is longer than the %d bytes that are read of one gzip file", l.most)
		}
		if n > 0 {
			return true
		}
	}
	return false
}
