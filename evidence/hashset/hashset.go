// Package hashset reads lists of the digests of known files.
//
// # Formats
//
// The format is told by the lines themselves, so that one reader takes them
// all; lines end with LF or CRLF.
//
//	d41d8cd98f00b204e9800998ecf8427e                   plain: one digest a line
//	e3b0c442…b855  name                                sha256sum, sha1sum, md5sum ("\" before the digest where
//	                                                   the name is escaped, "*" before the name of binary mode)
//	%%%% HASHDEEP-1.0                                  hashdeep and md5deep: the second line names the
//	%%%% size,md5,sha256,filename                      columns, lines with ## are comments
//	"SHA-1","MD5","CRC32","FileName",…                 NSRL RDS version 2 (NSRLFile.txt), and any other CSV
//	                                                   with a line that names columns sha256, sha-1, MD5 …
//
// Empty lines and lines that begin with "#" say nothing. A digest is hexadecimal
// in either case: 32 digits are MD5, 40 SHA-1, 64 SHA-256.
//
// # What a line gives
//
// One digest, the strongest that it has: SHA-256, else SHA-1, else MD5. A line
// with none that can be read gives a BadLine, and reading goes on.
//
// # What it does not do
//
// Quotes of CSV do not go over the end of a line: a quote that is open at the
// end, as a name with a line feed in it leaves it, costs what that line had
// behind it, and no other line. Names, sizes and product codes are not read.
// The databases of NSRL RDS version 3 are SQLite and are read in package store.
package hashset

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// Algorithm is a hash function, the weakest first.
type Algorithm uint8

// The algorithms of lists.
const (
	MD5 Algorithm = iota
	SHA1
	SHA256
)

// Algorithms are all of them.
var Algorithms = [...]Algorithm{MD5, SHA1, SHA256}

// Size is the length of a digest in bytes.
func (a Algorithm) Size() int { return [...]int{16, 20, 32}[a] }

// String is the name: md5, sha1, sha256.
func (a Algorithm) String() string { return [...]string{"md5", "sha1", "sha256"}[a] }

// Digest is one digest of a list. It is comparable.
type Digest struct {
	Algorithm Algorithm
	sum       [32]byte // the first Size bytes
}

// Bytes are the digest; they hold as long as d does.
func (d *Digest) Bytes() []byte { return d.sum[:d.Algorithm.Size()] }

// Parse reads the hexadecimal form; its length tells the algorithm.
func Parse(s []byte) (d Digest, ok bool) {
	switch len(s) {
	case 32:
		d.Algorithm = MD5
	case 40:
		d.Algorithm = SHA1
	case 64:
		d.Algorithm = SHA256
	default:
		return d, false
	}
	_, err := hex.Decode(d.sum[:], s)
	return d, err == nil
}

// BadLine is a line that gave no digest.
type BadLine struct {
	N      int64 // from 1
	Offset int64 // of its first byte
	Reason string
}

func (e *BadLine) Error() string { return fmt.Sprintf("line %d: %s", e.N, e.Reason) }

const maxLine = 1 << 20 // bytes; what is longer is a bad line

// Read yields the digests of a list in the order of its lines, and a *BadLine
// for each that gave none. Any other error is of reading, and the last thing.
func Read(r io.Reader) iter.Seq2[Digest, error] {
	return func(yield func(Digest, error) bool) {
		l := lines{in: bufio.NewReaderSize(r, 256<<10)}
		var columns []int // of CSV: where MD5, SHA-1, SHA-256 stand; -1 for nowhere
		for {
			line, err := l.next()
			if errors.Is(err, io.EOF) {
				return
			}
			var bad *BadLine
			if err != nil && !errors.As(err, &bad) {
				yield(Digest{}, err)
				return
			}
			if err == nil {
				var d Digest
				d, err = l.digest(line, columns)
				if errors.Is(err, errNothing) || err != nil && header(line, &columns) {
					continue
				}
				if err == nil {
					if !yield(d, nil) {
						return
					}
					continue
				}
			}
			if !yield(Digest{}, err) {
				return
			}
		}
	}
}

// lines splits a list.
type lines struct {
	in       *bufio.Reader
	n, start int64 // the line that was given, and where it begins
	end      int64
	long     []byte
}

// next is the next line without its end. It holds until the one after it.
func (l *lines) next() ([]byte, error) {
	l.n, l.start = l.n+1, l.end
	line, err := l.in.ReadSlice('\n')
	l.end += int64(len(line))
	if errors.Is(err, bufio.ErrBufferFull) {
		l.long = append(l.long[:0], line...)
		for errors.Is(err, bufio.ErrBufferFull) {
			line, err = l.in.ReadSlice('\n')
			l.end += int64(len(line))
			if len(l.long) <= maxLine {
				l.long = append(l.long, line...)
			}
		}
		if line = l.long; len(line) > maxLine {
			if err != nil && !errors.Is(err, io.EOF) {
				return nil, err
			}
			return nil, &BadLine{l.n, l.start, fmt.Sprintf("it has more than %d bytes", maxLine)}
		}
	}
	if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0) {
		return nil, err
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), nil
}

// header says whether a line names columns, and then sets them.
func header(line []byte, columns *[]int) bool {
	rest, deep := bytes.CutPrefix(line, []byte("%%%% "))
	if deep {
		line = rest
	}
	if bytes.IndexByte(line, ',') < 0 || len(line) > 4096 {
		return deep // the version of hashdeep
	}
	at := []int{-1, -1, -1}
	found := false
	for i, f := range fields(line, nil) {
		name := strings.ToLower(strings.Map(func(r rune) rune {
			if strings.ContainsRune(" -_\"\ufeff", r) {
				return -1
			}
			return r
		}, string(f)))
		for _, a := range Algorithms {
			if name == a.String() {
				at[a], found = i, true
			}
		}
	}
	if found || deep {
		*columns = at
	}
	return found || deep
}

var errNothing = errors.New("the line says nothing")

// digest is the strongest digest of a line.
func (l *lines) digest(line []byte, columns []int) (Digest, error) {
	bad := func(reason string) (Digest, error) { return Digest{}, &BadLine{l.n, l.start, reason} }
	line = bytes.TrimPrefix(line, []byte("\ufeff"))
	if len(bytes.TrimSpace(line)) == 0 || line[0] == '#' {
		return Digest{}, errNothing
	}
	if columns != nil {
		var buf [16][]byte
		all := fields(line, buf[:0])
		for i := len(Algorithms) - 1; i >= 0; i-- {
			if at := columns[i]; at >= 0 && at < len(all) {
				if d, ok := Parse(bytes.TrimSpace(all[at])); ok && d.Algorithm == Algorithms[i] {
					return d, nil
				}
			}
		}
		return bad("none of its columns holds a digest")
	}
	word := bytes.TrimPrefix(bytes.TrimLeft(line, " \t"), []byte("\\"))
	n := bytes.IndexAny(word, " \t,;")
	if n < 0 {
		n = len(word)
	}
	if d, ok := Parse(word[:n]); ok {
		return d, nil
	}
	return bad("it does not begin with an MD5, SHA-1 or SHA-256 in hexadecimal")
}

// fields splits a line of CSV; fields are given without their quotes, doubled
// quotes within stay as they are. More than 64 fields are not looked at.
func fields(line []byte, out [][]byte) [][]byte {
	for len(out) < 64 {
		if len(line) > 0 && line[0] == '"' {
			end := closing(line)
			out = append(out, line[1:end])
			line = line[min(end+1, len(line)):]
			n := bytes.IndexByte(line, ',')
			if n < 0 {
				return out
			}
			line = line[n+1:]
			continue
		}
		n := bytes.IndexByte(line, ',')
		if n < 0 {
			return append(out, line)
		}
		out, line = append(out, line[:n]), line[n+1:]
	}
	return out
}

// closing is where the quote that line begins with ends; the end of the line
// where it does not.
func closing(line []byte) int {
	for i := 1; i < len(line); i++ {
		if line[i] != '"' {
			continue
		}
		if i+1 == len(line) || line[i+1] != '"' {
			return i
		}
		i++
	}
	return len(line)
}
