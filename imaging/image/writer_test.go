package image_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"snapcase/imaging/image"
)

const g = image.Granule

// pattern has a letter for each granule: z is zeros, e zeros but for the last
// byte, others are that letter; then tail bytes of 'T'.
func pattern(s string, tail int) []byte {
	var b []byte
	for _, c := range []byte(s) {
		p := make([]byte, g)
		switch c {
		case 'z':
		case 'e':
			p[g-1] = 1
		default:
			p = bytes.Repeat([]byte{c}, g)
		}
		b = append(b, p...)
	}
	return append(b, bytes.Repeat([]byte{'T'}, tail)...)
}

// allocated is the room that path takes, in bytes.
func allocated(t *testing.T, path string) int64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

func check(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes differ from the %d given", path, len(got), len(want))
	}
}

func TestWriteSequential(t *testing.T) {
	for _, s := range []string{"", "z", "zzzz", "azb", "zea", "azzzzb", "abez"} {
		for _, tail := range []int{0, 1, 4096} {
			for _, step := range []int{1 << 20, g, 1000, g + 1} {
				path := filepath.Join(t.TempDir(), "image.part")
				w, err := image.Create(path, 2*g)
				if err != nil {
					t.Fatal(err)
				}
				want := pattern(s, tail)
				for at := 0; at < len(want); at += step {
					if _, err := w.Write(want[at:min(at+step, len(want))]); err != nil {
						t.Fatal(err)
					}
				}
				if err := w.Finish(int64(len(want))); err != nil {
					t.Fatal(err)
				}
				check(t, path, want)
				zeros := int64(bytes.Count([]byte(s), []byte("z"))) * g
				if w.HoleBytes() != zeros || w.DataBytes()+zeros != int64(len(want)) {
					t.Errorf("%s+%d by %d: data %d, holes %d of %d", s, tail, step, w.DataBytes(), w.HoleBytes(), len(want))
				}
				if zeros == int64(len(want)) && allocated(t, path) != 0 {
					t.Errorf("%q takes %d bytes on disk", s, allocated(t, path))
				}
			}
		}
	}
}

func TestWriteAtConcurrent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image.part")
	w, err := image.Create(path, g)
	if err != nil {
		t.Fatal(err)
	}
	var s []byte
	for range 64 {
		s = append(s, "abzze"[rand.IntN(5)])
	}
	want := pattern(string(s), 100)
	var wg sync.WaitGroup
	for _, i := range rand.Perm(len(want)/(2*g) + 1) {
		wg.Go(func() {
			at := i * 2 * g
			if _, err := w.WriteAt(want[at:min(at+2*g, len(want))], int64(at)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := w.Finish(int64(len(want))); err != nil {
		t.Fatal(err)
	}
	check(t, path, want)
}

// What an earlier run wrote must never show through a hole of the next one.
func TestResumeLeavesNothingStale(t *testing.T) {
	for _, at := range []int64{0, g, 3 * g} {
		path := filepath.Join(t.TempDir(), "image.part")
		w, err := image.Create(path, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(pattern("abcdefgh", 0)); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Sync(), w.Close()); err != nil {
			t.Fatal(err)
		}
		want := pattern("abczzXzz", 777)
		if w, err = image.Resume(path, at, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(want[at:]); err != nil {
			t.Fatal(err)
		}
		if err := w.Finish(int64(len(want))); err != nil {
			t.Fatal(err)
		}
		check(t, path, want)
	}
}

// Holes at the end are part of what Sync makes durable; a block that is given
// again as zeros becomes a hole.
func TestRewriteAndTrailingHole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image.part")
	w, err := image.Create(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"abcd", "zz"} {
		if _, err := w.WriteAt(pattern(s, 0), 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.WriteAt(pattern("zz", 0), 4*g); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Sync(), w.Close()); err != nil {
		t.Fatal(err)
	}
	check(t, path, pattern("zzcdzz", 0))
	if w, err = image.Resume(path, w.Done(), 0); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(6 * g); err != nil {
		t.Fatal(err)
	}
	check(t, path, pattern("zzcdzz", 0))
}

func TestWriterRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image.part")
	w, err := image.Create(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteAt([]byte{1}, 1); err == nil {
		t.Error("an offset off the granule was taken")
	}
	if _, err := w.Write(pattern("a", 0)); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(10); err == nil {
		t.Error("a size before the data was taken")
	}
	if _, err := image.Create(path, 0); !errors.Is(err, os.ErrExist) {
		t.Errorf("create over a file: %v", err)
	}
	for _, at := range []int64{-g, 1, 2 * g} {
		if _, err := image.Resume(path, at, 0); err == nil {
			t.Errorf("resume at %d of a file of %d bytes was taken", at, g)
		}
	}
	check(t, path, pattern("a", 0))
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", dir).Run(); err != nil {
		t.Skip("needs root and tmpfs")
	}
	defer exec.Command("umount", dir).Run()
	w, err := image.Create(filepath.Join(dir, "image.part"), 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(bytes.Repeat([]byte{7}, 2<<20))
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("full disk: %v", err)
	}
	if _, again := w.Write([]byte{1}); !errors.Is(again, syscall.ENOSPC) {
		t.Errorf("write after a failure: %v", again)
	}
	if err := w.Finish(2 << 20); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("finish after a failure: %v", err)
	}
}

func TestIsZero(t *testing.T) {
	for n := range 300 {
		p := make([]byte, n)
		if !image.IsZero(p) {
			t.Fatalf("%d zeros", n)
		}
		for i := range p {
			p[i] = 0x80
			if image.IsZero(p) {
				t.Fatalf("%d bytes, set at %d", n, i)
			}
			p[i] = 0
		}
	}
}

func BenchmarkIsZero(b *testing.B) {
	p := make([]byte, 4<<20)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		if !image.IsZero(p) {
			b.Fatal("not zero")
		}
	}
}
