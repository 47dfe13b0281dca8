package xfs

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// benchImage is an image made by testdata/large.sh, named by XFS_BENCH_IMAGE.
func benchImage(b *testing.B) string {
	b.Helper()
	p := os.Getenv("XFS_BENCH_IMAGE")
	if p == "" {
		b.Skip("needs XFS_BENCH_IMAGE, made by testdata/large.sh")
	}
	return p
}

func BenchmarkWalk(b *testing.B) { benchmarkWalk(b, Open) }

// BenchmarkDeep reads all free space too.
func BenchmarkDeep(b *testing.B) { benchmarkWalk(b, OpenDeep) }

func benchmarkWalk(b *testing.B, open func(imaging.Source) (*FS, error)) {
	src := openDisk(b, benchImage(b))
	for b.Loop() {
		x, err := open(src)
		if err != nil {
			b.Fatal(err)
		}
		n := [3]int{}
		for e, err := range x.Walk(context.Background()) {
			if err != nil {
				b.Fatal(err)
			}
			n[e.Status]++
		}
		b.ReportMetric(float64(n[filesystem.Allocated]), "live")
		b.ReportMetric(float64(n[filesystem.Deleted]), "deleted")
	}
}

// BenchmarkFind is the kernel's own listing of the same image, mounted anew.
func BenchmarkFind(b *testing.B) {
	image := benchImage(b)
	needKernel(b)
	dir := b.TempDir()
	for b.Loop() {
		b.StopTimer()
		if out, err := exec.Command("mount", "-t", "xfs", "-o", "loop,ro,norecovery,nouuid", image, dir).CombinedOutput(); err != nil {
			b.Fatalf("mount: %s", out)
		}
		b.StartTimer()
		find := exec.Command("find", dir, "-printf", "%i|%p|%m|%U|%G|%s|%A@|%T@|%C@|%l\\n")
		if err := find.Run(); err != nil {
			b.Error(err)
		}
		b.StopTimer()
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			b.Fatalf("umount: %s", out)
		}
		b.StartTimer()
	}
}
