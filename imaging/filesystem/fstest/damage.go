package fstest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

const (
	// hangs is how long a reader may take over one damaged image.
	hangs = 10 * time.Second
	// cuts is how many truncated copies are tried, floods how many flipped.
	cuts, floods = 20, 20
	// perFile is how many bytes of each file of a damaged image are read.
	perFile = 256 << 10
)

// Damage opens and walks copies of the image that are cut at twenty places and
// copies with flipped bits (the same ones in every run): the reader must not
// panic and must be done within ten seconds each. Errors are welcome.
func Damage[F filesystem.FileSystem](t *testing.T, open func(imaging.Source) (F, error), image imaging.Source) {
	t.Helper()
	t.Run("whole", func(t *testing.T) { Survive(t, open, image) })
	for i := range int64(cuts) {
		at := image.Size() / cuts * i
		if i%2 == 1 {
			at += 777 // not on a block
		}
		t.Run(fmt.Sprintf("cut at %d", at), func(t *testing.T) {
			Survive(t, open, imaging.Section(image, 0, at))
		})
	}
	used := usedSectors(t, image)
	for i := range uint64(floods) {
		f := flips(used, image, i)
		t.Run(fmt.Sprintf("flip seed %d", i), func(t *testing.T) { Survive(t, open, f) })
	}
}

// Survive opens image, walks it, reads the start of every file and asks for
// the extents. It fails the test on a panic and when ten seconds pass.
func Survive[F filesystem.FileSystem](t *testing.T, open func(imaging.Source) (F, error), image imaging.Source) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	defer cancel()
	done := make(chan string, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				done <- fmt.Sprintf("panic: %v\n%s", r, debug.Stack())
			}
		}()
		f, err := open(image)
		if err == nil {
			exercise(ctx, f)
		}
		done <- ""
	}()
	select {
	case s := <-done:
		if s != "" {
			t.Fatal(s)
		}
		if ctx.Err() != nil {
			t.Fatalf("took longer than %s", hangs)
		}
	case <-time.After(hangs + 2*time.Second):
		stack := make([]byte, 64<<10)
		t.Fatalf("hangs: nothing for %s\n%s", hangs, stack[:runtime.Stack(stack, true)])
	}
}

// exercise uses all of a file system and ignores what it says.
func exercise(ctx context.Context, fs filesystem.FileSystem) {
	fs.Info()
	buf := make([]byte, 32<<10)
	for e, err := range fs.Walk(ctx) {
		if err != nil {
			continue
		}
		if a, ok := fs.(filesystem.Attributer); ok {
			list, _, _ := a.Attributes(e.Ref) // that it ends is the test
			for _, x := range list {
				_ = x.Text()
			}
		}
		src, err := fs.Open(e.Ref)
		if err != nil {
			continue
		}
		for off := int64(0); off < min(src.Size(), perFile); off += int64(len(buf)) {
			if _, err := src.ReadAt(buf, off); err != nil {
				break
			}
		}
		_, _ = src.ReadAt(buf[:512], max(0, src.Size()-100))
	}
	if m, ok := fs.(filesystem.Mapper); ok {
		for _, err := range m.Extents(ctx) {
			if err != nil && ctx.Err() != nil {
				break // the walk itself is the test
			}
		}
	}
}

// usedSectors lists the offsets of the 512-byte sectors that hold anything, so
// that flips do not all fall into emptiness.
func usedSectors(t *testing.T, image imaging.Source) []int64 {
	t.Helper()
	var used []int64
	buf := make([]byte, 1<<20)
	for off := int64(0); off < image.Size(); off += int64(len(buf)) {
		n, err := image.ReadAt(buf, off)
		if err != nil && n == 0 && !errors.Is(err, io.EOF) {
			t.Fatalf("read image: %v", err)
		}
		for s := 0; s < n; s += 512 {
			for _, b := range buf[s:min(s+512, n)] {
				if b != 0 {
					used = append(used, off+int64(s))
					break
				}
			}
		}
	}
	return used
}

// flipped is a source with some bits turned over.
type flipped struct {
	imaging.Source
	bits map[int64]byte // offset to mask
}

// flips turns over 4 to 512 bits, half of them in the first tenth of what is
// used, where most formats keep their own tables.
func flips(used []int64, image imaging.Source, seed uint64) imaging.Source {
	f := &flipped{Source: image, bits: map[int64]byte{}}
	if len(used) == 0 {
		return f
	}
	r := rand.New(rand.NewPCG(seed, 0x5eed)) //nolint:gosec // not for secrets
	n := 4 << (seed % 8)
	for i := range n {
		reach := len(used)
		if i%2 == 0 {
			reach = max(1, reach/10)
		}
		off := used[r.IntN(reach)] + int64(r.IntN(512))
		f.bits[off] |= 1 << r.IntN(8)
	}
	return f
}

func (f *flipped) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.Source.ReadAt(p, off)
	if n < 4096 || n < len(f.bits) {
		for i := range n {
			p[i] ^= f.bits[off+int64(i)]
		}
		return n, err
	}
	for at, mask := range f.bits {
		if at >= off && at < off+int64(n) {
			p[at-off] ^= mask
		}
	}
	return n, err
}
