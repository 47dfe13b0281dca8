package flowlog

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkRead reads plain text in memory.
func BenchmarkRead(b *testing.B) {
	for _, c := range []struct {
		name string
		text []byte
	}{
		{"v2", manyLines(defaultFormat, v2Lines, 200_000)},
		{"v5", manyLines(v5Format, v5Lines, 100_000)},
		{"cloudwatch", manyLines("", stamped(v2Lines), 200_000)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.text)))
			b.ReportAllocs()
			rd, n := NewReader(), 0
			for b.Loop() {
				for _, err := range rd.Read(bytes.NewReader(c.text)) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkReadFiles reads the packed files below SNAPCASE_BENCH_FLOWS, as
// made by a generator of large logs.
func BenchmarkReadFiles(b *testing.B) {
	dir := os.Getenv("SNAPCASE_BENCH_FLOWS")
	if dir == "" {
		b.Skip("needs SNAPCASE_BENCH_FLOWS, a folder of flow logs")
	}
	b.ReportAllocs()
	rd, n := NewReader(), 0
	for b.Loop() {
		eachFile(b, dir, func(path string, f *os.File) {
			for _, err := range rd.Read(f) {
				if err != nil {
					b.Fatal(path, err)
				}
				n++
			}
		})
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}

// manyLines is a log of n lines that repeat the given ones.
func manyLines(header string, lines []string, n int) []byte {
	text := make([]byte, 0, len(header)+1+n*(len(strings.Join(lines, "\n"))/len(lines)+2))
	if header != "" {
		text = append(append(text, header...), '\n')
	}
	for i := range n {
		text = append(append(text, lines[i%len(lines)]...), '\n')
	}
	return text
}

// stamped is lines as an export task of CloudWatch writes them.
func stamped(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = "2014-12-14T04:06:50.000Z " + l
	}
	return out
}

// eachFile opens every packed log below dir.
func eachFile(t testing.TB, dir string, do func(path string, f *os.File)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !strings.HasSuffix(path, ".log.gz") {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		do(path, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
