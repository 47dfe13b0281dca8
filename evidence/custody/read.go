package custody

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"syscall"

	"snapcase/evidence"
)

// LineError is a line of a ledger that is no record, or does not follow the
// lines before it. Code is one of the verify report.
type LineError struct {
	Line   int64 // from 1
	Offset int64 // bytes
	Code   string
	Reason string
}

func (e *LineError) Error() string {
	return fmt.Sprintf("ledger line %d at byte %d: %s: %s", e.Line, e.Offset, e.Code, e.Reason)
}

// lineReader cuts a ledger into lines, in bounded memory.
type lineReader struct {
	r   *bufio.Reader
	buf []byte
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 128<<10)}
}

// next gives a line without its LF; the bytes are valid until the next call.
// Of a line that is too long it gives the first maxLine+1 bytes; rest then
// reads the others. torn says that the last line has no LF.
func (l *lineReader) next() (line []byte, torn bool, err error) {
	l.buf = l.buf[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		l.buf = append(l.buf, part...)
		switch {
		case err == nil:
			return l.buf[:len(l.buf)-1], false, nil
		case errors.Is(err, bufio.ErrBufferFull):
			if len(l.buf) > maxLine {
				return l.buf, false, errLongLine
			}
		case errors.Is(err, io.EOF):
			if len(l.buf) == 0 {
				return nil, false, io.EOF
			}
			return l.buf, true, nil
		default:
			return nil, false, err
		}
	}
}

var errLongLine = errors.New("line too long")

// skip passes what is left of a line that is too long on to f.
func (l *lineReader) skip(f func([]byte)) (torn bool, err error) {
	for {
		part, err := l.r.ReadSlice('\n')
		switch {
		case err == nil:
			f(part[:len(part)-1])
			return false, nil
		case errors.Is(err, bufio.ErrBufferFull):
			f(part)
		case errors.Is(err, io.EOF):
			f(part)
			return true, nil
		default:
			return false, err
		}
	}
}

// Read yields the records of a ledger, oldest first. A line that is no record,
// or that does not follow those before it, comes with a *LineError (the record
// is as much as could be decoded) and reading goes on; another error is one of
// reading, and ends it. A tail without LF is LEDGER_TORN_TAIL. A line that is
// withheld in a redacted ledger is a record of TypeWithheld.
func Read(r io.Reader) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		lines := newLineReader(r)
		c := newChain()
		for {
			line, torn, err := lines.next()
			at := LineError{Line: c.n + 1, Offset: c.bytes}
			switch {
			case errors.Is(err, io.EOF):
				return
			case errors.Is(err, errLongLine):
				at.Code, at.Reason = codeRecordTooLong, fmt.Sprintf("more than %d bytes", maxLine)
				torn, err = c.addLong(lines, line)
				if err != nil {
					yield(Record{}, fmt.Errorf("read ledger: %w", err))
					return
				}
				if !yield(Record{}, &at) || torn {
					return
				}
				continue
			case err != nil:
				yield(Record{}, fmt.Errorf("read ledger: %w", err))
				return
			case torn:
				at.Code, at.Reason = codeTornTail, fmt.Sprintf("%d bytes without an end of line", len(line))
				yield(Record{}, &at)
				return
			}
			if leaf, seq, ok := withheld(line); ok && seq == c.seq {
				c.addWithheld(line, leaf)
				if !yield(Record{Seq: seq, Type: TypeWithheld}, nil) {
					return
				}
				continue
			}
			rec, bad := decodeRecord(line)
			if bad == nil {
				if all := c.problems(rec); len(all) > 0 {
					bad = all[0]
				}
			}
			c.add(line)
			if bad != nil {
				at.Code, at.Reason = bad.Code, bad.Reason
				if !yield(rec, &at) {
					return
				}
				continue
			}
			c.follow(rec)
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// Records yields the records of a case's ledger as Read does; it writes
// nothing and takes no lock. A line that another process is just writing is
// not yielded.
func Records(folder evidence.Folder) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		f, err := os.OpenFile(folder.Ledger(), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
		if err != nil {
			yield(Record{}, fmt.Errorf("read ledger: %w", err))
			return
		}
		defer f.Close() //nolint:errcheck // read-only
		for r, err := range Read(f) {
			var at *LineError
			if errors.As(err, &at) && at.Code == codeTornTail {
				return
			}
			if !yield(r, err) {
				return
			}
		}
	}
}
