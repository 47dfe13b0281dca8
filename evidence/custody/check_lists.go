package custody

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
	"sync"

	"snapcase/evidence"
)

// manifestLine is one line of an exhibit's manifest.
type manifestLine struct{ sum, path string }

// maxManifestLine bounds a line of a manifest.
const maxManifestLine = 16 << 10

// ParseManifestLine reads `<sha256>  <path>`. code is "" or one of the verify
// report: MANIFEST_SYNTAX, MANIFEST_PATH_UNSAFE. Paths hold [A-Za-z0-9._/-]
// and stay below their folder.
func ParseManifestLine(line string) (sum, path, code string) {
	if len(line) < 67 || line[64:66] != "  " || !hex64.MatchString(line[:64]) {
		return "", "", codeManifestSyntax
	}
	sum, path = line[:64], line[66:]
	if !SafePath(path) {
		return sum, path, codeManifestPath
	}
	return sum, path, ""
}

// SafePath says whether path may stand in a manifest: only [A-Za-z0-9._/-],
// relative, and no part of it empty, "." or "..".
func SafePath(path string) bool {
	for _, part := range strings.Split(path, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	for i := range len(path) {
		switch c := path[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '/', c == '-':
		default:
			return false
		}
	}
	return true
}

// readManifest reads the manifest of an exhibit.
func (c *Checker) readManifest(name string, r io.Reader) ([]manifestLine, error) {
	var all []manifestLine
	err := manifestLines(r, func(n int64, line string) {
		sum, p, code := ParseManifestLine(line)
		if code != "" {
			c.fail(code, name, "<sha256>  <path>", fmt.Sprintf("line %d: %.200q", n, line))
			return
		}
		all = append(all, manifestLine{sum, p})
	})
	if errors.Is(err, errManifest) {
		c.fail(codeManifestSyntax, name, "lines ended by LF", err.Error())
		return all, nil
	}
	return all, err
}

var errManifest = errors.New("a line that is too long or has no end")

// manifestLines gives the lines of a manifest with their numbers from 1. A
// line without LF, or a far too long one, ends it with an error that says so
// ; other errors are of reading.
func manifestLines(r io.Reader, f func(n int64, line string)) error {
	b := bufio.NewReaderSize(r, maxManifestLine)
	for n := int64(1); ; n++ {
		line, err := b.ReadSlice('\n')
		switch {
		case err == nil:
			f(n, string(line[:len(line)-1]))
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil
		case errors.Is(err, io.EOF), errors.Is(err, bufio.ErrBufferFull):
			if _, err := io.Copy(io.Discard, b); err != nil {
				return err
			}
			return fmt.Errorf("line %d: %w", n, errManifest)
		default:
			return err
		}
	}
}

// blockList is blocks-sha256.txt: digests of blocks of one length that touch;
// the last may be shorter.
type blockList struct {
	length int64
	last   int64 // length of the last block
	sums   []evidence.Digest
}

// maxBlocks bounds the list in memory; beyond it a changed place is not named.
const maxBlocks = 2 << 20

// readBlockList reads lines `<sha256> <offset> <length>`, separated by blanks.
// A list of another form is nil: then no place can be named. The error is only
// of reading.
func readBlockList(r io.Reader) (*blockList, error) {
	var b blockList
	ok := true
	err := manifestLines(r, func(_ int64, line string) {
		ok = ok && b.line(line)
	})
	if errors.Is(err, errManifest) {
		return nil, nil
	}
	if err != nil || !ok || len(b.sums) == 0 {
		return nil, err
	}
	return &b, nil
}

func (b *blockList) line(line string) bool {
	words := strings.Fields(line)
	if len(words) != 3 || len(b.sums) >= maxBlocks {
		return false
	}
	d, err := evidence.ParseDigest(words[0])
	off, err1 := strconv.ParseInt(words[1], 10, 64)
	n, err2 := strconv.ParseInt(words[2], 10, 64)
	if err != nil || err1 != nil || err2 != nil || n <= 0 {
		return false
	}
	if len(b.sums) == 0 {
		b.length = n
	} else if b.last != b.length {
		return false // only the last block may be shorter
	}
	if n > b.length || off/b.length != int64(len(b.sums)) || off%b.length != 0 {
		return false
	}
	b.sums, b.last = append(b.sums, d), n
	return true
}

// blockCheck compares a stream with a block list.
type blockCheck struct {
	list *blockList
	h    hash.Hash
	i    int
	in   int64 // bytes in the present block
	diff int64 // offset of the first block that differs; -1
}

func (b *blockCheck) write(p []byte) {
	for len(p) > 0 && b.diff < 0 {
		if b.i >= len(b.list.sums) {
			b.diff = int64(b.i) * b.list.length // there is more than the list has
			return
		}
		want := b.list.length
		if b.i == len(b.list.sums)-1 {
			want = b.list.last
		}
		n := min(int64(len(p)), want-b.in)
		b.h.Write(p[:n])
		p, b.in = p[n:], b.in+n
		if b.in == want {
			b.end()
		}
	}
}

func (b *blockCheck) end() {
	if evidence.Digest(b.h.Sum(nil)) != b.list.sums[b.i] {
		b.diff = int64(b.i) * b.list.length
	}
	b.h.Reset()
	b.i, b.in = b.i+1, 0
}

// finish gives the offset of the first difference; -1 for none.
func (b *blockCheck) finish() int64 {
	if b.diff < 0 && (b.in > 0 || b.i < len(b.list.sums)) {
		b.diff = int64(b.i) * b.list.length // the stream is too short
	}
	return b.diff
}

// hashImage hashes a stream as a whole and, beside it on another core, by
// blocks, while the next piece is read. diff is the offset of the first block
// that differs from the list; -1 for none or no list.
func hashImage(r io.Reader, list *blockList) (d evidence.Digest, diff int64, err error) {
	const piece = 1 << 20
	blocks := &blockCheck{list: list, h: sha256.New(), diff: -1}
	whole := sha256.New()
	bufs := [2][]byte{make([]byte, piece), make([]byte, piece)}
	var hashing sync.WaitGroup
	for i := 0; err == nil; i++ {
		buf := bufs[i%len(bufs)]
		var n int
		n, err = io.ReadFull(r, buf)
		hashing.Wait()
		if n == 0 {
			break
		}
		hashing.Go(func() { whole.Write(buf[:n]) })
		if list != nil && blocks.diff < 0 {
			hashing.Go(func() { blocks.write(buf[:n]) })
		}
	}
	hashing.Wait()
	var broken *ReadFailure // what ReadFull itself says only tells the end
	if !errors.As(err, &broken) && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		err = nil
	}
	if list != nil {
		blocks.finish()
	}
	return evidence.Digest(whole.Sum(nil)), blocks.diff, err
}
