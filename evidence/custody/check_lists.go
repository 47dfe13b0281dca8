package custody

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
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
