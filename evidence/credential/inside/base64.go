package inside

import (
	"bytes"
	"encoding/base64"
	"io"
	"iter"
	"strconv"
)

const (
	minRun     = 40       // characters of base64 that are decoded; of a line that goes on in the next
	longRun    = 64 << 10 // characters that are held; more are decoded as they come
	shiftedRun = 4 << 10  // characters that are decoded from their second, third and fourth as well
	maxIndent  = 64       // blanks and line ends between two lines
)

// inBase64 are the characters of the standard alphabet.
var inBase64 = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = true
	}
	return t
}()

// The places in and around a run.
const (
	runOut    = iota
	runLine   // in a line
	runBreak  // behind a line that may go on
	runEscape // behind a backslash, which may begin an escaped line end
	runPad    // in the equals signs
)

// runs looks for base64 in a stream that comes in blocks.
type runs struct {
	d     *Decoder
	path  string
	depth int

	pos   int64 // of the next block
	state int
	start int64
	line  int // characters of this line
	gap   int // blanks since the last
	text  []byte
	buf   []byte
	long  *longText
}

// look takes the next block.
func (r *runs) look(b []byte) {
	for i := 0; i < len(b); {
		if r.state == runOut {
			if i = findRun(b, i); i == len(b) {
				break
			}
			r.state, r.start, r.line, r.text = runLine, r.pos+int64(i), 0, r.text[:0]
		}
		i = r.follow(b, i)
	}
	r.pos += int64(len(b))
}

// jump goes on at byte pos of the stream, behind zeros that are not given.
func (r *runs) jump(pos int64) {
	r.close()
	r.pos = pos
}

// close ends the stream.
func (r *runs) close() {
	if r.state != runOut {
		r.end()
	}
}

// findRun is where in b[i:] a run begins that may be long enough, or reaches
// the end of b; len(b) for none. A run of 23 characters covers eight from some
// sixteenth place.
func findRun(b []byte, i int) int {
	for p := i; p+8 <= len(b); p += 16 {
		c := b[p : p+8]
		if inBase64[c[0]] && inBase64[c[7]] && inBase64[c[3]] && inBase64[c[4]] && inBase64[c[1]] && inBase64[c[2]] && inBase64[c[5]] && inBase64[c[6]] {
			for p > i && inBase64[b[p-1]] {
				p--
			}
			return p
		}
	}
	at := len(b)
	for at > max(i, len(b)-24) && inBase64[b[at-1]] {
		at--
	}
	return at
}

// hasRun says whether b holds a run that is long enough.
func hasRun(b []byte) bool {
	for i := 0; i < len(b); {
		from := findRun(b, i)
		for i = from; i < len(b) && inBase64[b[i]]; {
			i++
		}
		if i-from >= minRun {
			return true
		}
	}
	return false
}

// follow goes along a run from b[i:], to its end or that of b, and says where
// that is.
func (r *runs) follow(b []byte, i int) int {
	for i < len(b) {
		c := b[i]
		switch r.state {
		case runLine:
			j := i
			for j < len(b) && inBase64[b[j]] {
				j++
			}
			r.add(b[i:j])
			if i = j; i < len(b) {
				i += r.leave(b[i])
			}
		case runBreak:
			switch {
			case inBase64[c]:
				r.state, r.line = runLine, 0
			case (c == '\n' || c == '\r' || c == ' ' || c == '\t') && r.gap < maxIndent:
				r.gap++
				i++
			case c == '\\':
				r.state = runEscape
				i++
			default:
				r.end()
			}
		case runEscape:
			if c != 'n' && c != 'r' {
				r.end()
				break
			}
			r.state = runBreak
			i++
		case runPad:
			if c != '=' {
				r.end()
				break
			}
			i++
		}
		if r.state == runOut {
			return i
		}
	}
	return i
}

// leave says what a character behind a line means, and how far to go on.
func (r *runs) leave(c byte) int {
	switch {
	case c == '=':
		r.state = runPad
	case (c == '\n' || c == '\r') && r.line >= minRun:
		r.state, r.gap = runBreak, 0
	case c == '\\' && r.line >= minRun:
		r.state, r.gap = runEscape, 0
	default:
		r.end()
		return 0
	}
	return 1
}

func (r *runs) add(b []byte) {
	r.line += len(b)
	r.text = append(r.text, b...)
	if len(r.text) < longRun {
		return
	}
	if r.long == nil {
		r.long = r.d.longText(r.name(0), r.depth+1)
	}
	whole := len(r.text) &^ 3
	r.long.give(r.decode(r.text[:whole]))
	r.text = append(r.text[:0], r.text[whole:]...)
}

func (r *runs) name(shift int64) string {
	return r.path + "!base64-" + strconv.FormatInt(r.start+shift, 10)
}

// decode gives the bytes that b stands for; a last single character is none.
func (r *runs) decode(b []byte) []byte {
	if len(b)&3 == 1 {
		b = b[:len(b)-1]
	}
	if n := base64.RawStdEncoding.DecodedLen(len(b)); cap(r.buf) < n {
		r.buf = make([]byte, max(n, longRun))
	}
	n, _ := base64.RawStdEncoding.Decode(r.buf[:cap(r.buf)], b) // every character is of the alphabet
	return r.buf[:n]
}

// end decodes the run that ends here, where it is long enough.
func (r *runs) end() {
	r.state = runOut
	if r.long != nil {
		r.long.give(r.decode(r.text))
		r.long.end()
		r.long = nil
		return
	}
	if len(r.text) < minRun || isHex(r.text) {
		return
	}
	b := r.decode(r.text)
	if sniff(b) != 0 {
		in := &bounded{d: r.d, r: bytes.NewReader(b), from: fixed(len(b))}
		f := &flow{Reader: r.d.free.reader(in), in: in, plain: -1}
		r.buf = nil // b is read while other runs are decoded
		r.d.guarded(r.name(0), func() { r.d.stream(f, r.name(0), r.depth+1, false) })
		r.d.free.keepReader(f.Reader)
		return
	}
	r.d.take.Whole(r.name(0), -1, b)
	for shift := 1; shift < 4 && len(r.text) <= shiftedRun; shift++ {
		r.d.take.Whole(r.name(int64(shift)), -1, r.decode(r.text[shift:]))
	}
}

// isHex says whether b is a digest rather than base64.
func isHex(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// fixed is a counter of what was read whole.
type fixed int64

func (f fixed) count() int64 { return int64(f) }

// longText decodes a run that is not held whole: the reader of it and whoever
// gives its bytes take turns.
type longText struct {
	next func() (struct{}, bool)
	stop func()
	b    []byte
	done bool
	n    int64
}

// longText begins to decode the stream at path.
func (d *Decoder) longText(path string, depth int) *longText {
	l := &longText{}
	l.next, l.stop = iter.Pull(func(yield func(struct{}) bool) {
		r := &turns{l: l, yield: yield}
		in := &bounded{d: d, r: r, from: l}
		f := &flow{Reader: d.free.reader(in), in: in, plain: -1}
		d.guarded(path, func() { d.stream(f, path, depth, false) })
		d.free.keepReader(f.Reader)
	})
	return l
}

func (l *longText) count() int64 { return l.n }

// give hands b on and comes back when it is read.
func (l *longText) give(b []byte) {
	l.b = b
	l.n += int64(len(b))
	l.next()
}

func (l *longText) end() {
	l.done = true
	l.next()
	l.stop()
}

// turns is the reader's side of a longText.
type turns struct {
	l     *longText
	yield func(struct{}) bool
}

func (t *turns) Read(p []byte) (int, error) {
	for len(t.l.b) == 0 {
		if t.l.done || !t.yield(struct{}{}) {
			return 0, io.EOF
		}
	}
	n := copy(p, t.l.b)
	t.l.b = t.l.b[n:]
	return n, nil
}
