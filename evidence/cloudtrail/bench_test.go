package cloudtrail

import (
	"bytes"
	"io"
	"os"
	"testing"
)

// BenchmarkRead reads the public files of the corpus, unpacked in memory.
func BenchmarkRead(b *testing.B) {
	var files [][]byte
	size := int64(0)
	eachFile(b, corpus(b, ""), func(_ string, f *os.File) {
		text, err := io.ReadAll(f)
		if err != nil {
			b.Fatal(err)
		}
		files = append(files, text)
		size += int64(len(text))
	})
	b.SetBytes(size)
	b.ReportAllocs()
	rd, n := NewReader(), 0
	for b.Loop() {
		for _, text := range files {
			for _, err := range rd.Read(bytes.NewReader(text)) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkReadFiles reads the packed files below SNAPCASE_BENCH_LOGS, as
// made by a generator of large trails.
func BenchmarkReadFiles(b *testing.B) {
	dir := os.Getenv("SNAPCASE_BENCH_LOGS")
	if dir == "" {
		b.Skip("needs SNAPCASE_BENCH_LOGS, a folder of trails")
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
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}
