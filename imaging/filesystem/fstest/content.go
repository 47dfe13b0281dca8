package fstest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// checkContent reads every allocated file to its size and over its end.
func checkContent(t *testing.T, fs filesystem.FileSystem, entries []filesystem.Entry) {
	for _, e := range entries {
		if e.Type != filesystem.TypeFile || e.Status != filesystem.Allocated {
			continue
		}
		src, err := fs.Open(e.Ref)
		if err != nil {
			t.Errorf("%q: open: %v", e.Path, err)
			continue
		}
		if src.Size() != e.Size {
			t.Errorf("%q: source has %d bytes, entry says %d", e.Path, src.Size(), e.Size)
		}
		checkEnds(t, e.Path, src)
		for _, off := range []int64{0, max(0, src.Size()-wholeLimit)} {
			if _, err := io.Copy(io.Discard, io.NewSectionReader(src, off, min(wholeLimit, src.Size()-off))); err != nil {
				t.Errorf("%q: read from %d: %v", e.Path, off, err)
			}
		}
	}
}

// checkEnds demands io.EOF from reads that cross, meet and lie behind the end,
// and an error from a negative offset.
func checkEnds(t *testing.T, path string, src imaging.Source) {
	size := src.Size()
	start := max(0, size-5)
	p := bytes.Repeat([]byte{0xa5}, 16)
	n, err := src.ReadAt(p, start)
	if int64(n) != size-start || !errors.Is(err, io.EOF) {
		t.Errorf("%q: read across the end gave %d bytes, %v; want %d, EOF", path, n, err, size-start)
	}
	for _, off := range []int64{size, size + 1, size + 1<<40} {
		if n, err := src.ReadAt(p, off); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("%q: read at %d of %d gave %d bytes, %v; want EOF", path, off, size, n, err)
		}
	}
	if n, err := src.ReadAt(p, -1); n != 0 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("%q: read at -1 gave %d bytes, %v; want an error", path, n, err)
	}
	if size > 0 {
		if n, err := src.ReadAt(p[:1], size-1); n != 1 || (err != nil && !errors.Is(err, io.EOF)) {
			t.Errorf("%q: read of the last byte gave %d bytes, %v", path, n, err)
		}
	}
}

// checkConcurrent reads the largest files from several goroutines in parts of
// odd length and compares with one read in order.
func checkConcurrent(t *testing.T, fs filesystem.FileSystem, entries []filesystem.Entry) {
	var best filesystem.Entry
	for _, e := range entries {
		if e.Type == filesystem.TypeFile && e.Status == filesystem.Allocated && e.Size > best.Size && e.Size <= 4*wholeLimit {
			best = e
		}
	}
	if best.Size == 0 {
		return
	}
	src, err := fs.Open(best.Ref)
	if err != nil {
		t.Fatalf("%q: open: %v", best.Path, err)
	}
	whole := make([]byte, src.Size())
	if n, err := src.ReadAt(whole, 0); n != len(whole) || (err != nil && !errors.Is(err, io.EOF)) {
		t.Fatalf("%q: read gave %d of %d bytes, %v", best.Path, n, len(whole), err)
	}
	var wg sync.WaitGroup
	for _, part := range []int{509, 4093, 65521, 1 << 20} {
		wg.Go(func() {
			p := make([]byte, part)
			for off := int64(0); off < src.Size(); off += int64(part) {
				n, err := src.ReadAt(p, off)
				if err != nil && !errors.Is(err, io.EOF) {
					t.Errorf("%q: read at %d: %v", best.Path, off, err)
					return
				}
				if !bytes.Equal(p[:n], whole[off:min(off+int64(part), src.Size())]) {
					t.Errorf("%q: %d bytes at %d differ from the read in order", best.Path, part, off)
					return
				}
			}
		})
	}
	wg.Wait()
}

// checkExtents demands that extents of a sound image lie in the volume.
func checkExtents(t *testing.T, fs filesystem.FileSystem, image imaging.Source) {
	m, ok := fs.(filesystem.Mapper)
	if !ok {
		return
	}
	n := 0
	for x, err := range m.Extents(context.Background()) {
		if err != nil {
			t.Errorf("extents: %v", err)
			continue
		}
		n++
		if x.Start < 0 || x.Length <= 0 || x.Start > image.Size() || x.Length > image.Size()-x.Start {
			t.Errorf("extent %+v leaves the volume of %d bytes", x, image.Size())
		}
		if x.Kind == 0 {
			t.Errorf("extent %+v has no kind", x)
		}
	}
	if n == 0 {
		t.Error("no extents")
	}
}
