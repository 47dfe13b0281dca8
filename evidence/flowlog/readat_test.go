package flowlog

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// checkPlaces reads every record of packed or plain data again from its
// place, and compares it with the unpacked text.
func checkPlaces(t *testing.T, data []byte, text, format string) (records int) {
	t.Helper()
	for _, it := range all(t, string(data), format) {
		if it.bad != nil {
			if o := it.bad.Offset; o < 0 || o > int64(len(text)) {
				t.Fatalf("a bad record at %d of %d", o, len(text))
			}
			continue
		}
		records++
		r := it.rec
		line := text[r.Offset : r.Offset+r.Length]
		if before := strings.TrimSuffix(text[:r.Offset], "\xef\xbb\xbf"); before != "" && !strings.HasSuffix(before, "\n") {
			t.Fatalf("record %d begins inside a line: %q", r.N, line)
		}
		if rest := strings.TrimPrefix(text[r.Offset+r.Length:], "\r"); rest != "" && rest[0] != '\n' || strings.Contains(line, "\n") {
			t.Fatalf("record %d ends elsewhere than its line: %q", r.N, line)
		}
		if n := int64(strings.Count(text[:r.Offset], "\n")) + 1; n != r.Line {
			t.Fatalf("record %d on line %d, said to be on %d", r.N, n, r.Line)
		}
		if records > 20 {
			continue
		}
		for _, src := range []io.Reader{bytes.NewReader(data), onlyReader{bytes.NewReader(data)}} {
			if got, err := ReadAt(src, r.Offset, r.Length); err != nil || string(got) != line {
				t.Fatalf("record %d again: %q, %v; want %q", r.N, got, err, line)
			}
		}
	}
	return records
}

type onlyReader struct{ io.Reader }

func TestReadAt(t *testing.T) {
	text := "\xef\xbb\xbf" + defaultFormat + "\r\n" + strings.Join(v2Lines, "\r\n") + "\n\n  " + v2Lines[0] + " \n" +
		v5Format + "\n" + strings.Join(v5Lines, "\n") + "\nrubbish\n\xef\xbb\xbf" + v5Lines[0]
	for _, data := range [][]byte{[]byte(text), pack(t, text), pack(t, text[:500], text[500:])} {
		if n := checkPlaces(t, data, text, ""); n != len(v2Lines)+1+len(v5Lines)+1 {
			t.Errorf("%d records", n)
		}
	}
}

func TestReadAtRefuses(t *testing.T) {
	text := defaultFormat + "\n" + v2Lines[0] + "\n"
	packed := pack(t, text)
	for _, data := range [][]byte{[]byte(text), packed, packed[:60]} {
		for _, c := range [][2]int64{{-1, 5}, {0, 0}, {0, -1}, {0, maxLine + 1}, {int64(len(text)), 1}, {10, int64(len(text))}, {1 << 62, 1 << 10}, {1<<63 - 1, 5}} {
			for _, src := range []io.Reader{bytes.NewReader(data), onlyReader{bytes.NewReader(data)}} {
				if got, err := ReadAt(src, c[0], c[1]); err == nil {
					t.Errorf("%d+%d: %q", c[0], c[1], got)
				}
			}
		}
	}
	if _, err := ReadAt(strings.NewReader("\x1f\x8b\x08"), 0, 5); err == nil {
		t.Error("half a gzip header gave a record")
	}
}
