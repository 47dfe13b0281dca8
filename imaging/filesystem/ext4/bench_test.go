package ext4

import (
	"context"
	"os"
	"testing"

	"snapcase/imaging/filesystem"
)

// BenchmarkWalk reads an image made by testdata/large.sh.
func BenchmarkWalk(b *testing.B) { benchmarkWalk(b, true) }

// BenchmarkWalkAlone leaves the journal out.
func BenchmarkWalkAlone(b *testing.B) { benchmarkWalk(b, false) }

func benchmarkWalk(b *testing.B, journal bool) {
	path := os.Getenv("EXT4_BENCH_IMAGE")
	if path == "" {
		b.Skip("needs EXT4_BENCH_IMAGE, made by testdata/large.sh")
	}
	src := openDisk(b, path)
	b.ReportAllocs()
	for b.Loop() {
		x, err := Open(src)
		if err != nil {
			b.Fatal(err)
		}
		if !journal {
			x.log = nil
		}
		n, named := [3]int{}, 0
		for e, err := range x.Walk(context.Background()) {
			if err != nil {
				b.Fatal(err)
			}
			n[e.Status]++
			if e.Status == filesystem.Deleted && e.Ref.Stream == "" && e.Parent != 0 {
				named++
			}
		}
		b.ReportMetric(float64(n[filesystem.Allocated]), "live")
		b.ReportMetric(float64(n[filesystem.Deleted]), "deleted")
		b.ReportMetric(float64(named), "named")
	}
}
