// Package containertest holds what the tests of image containers share: a disk
// to put into them, and what must be true of whatever comes out.
//
// It is imported by tests only.
package containertest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/image/container"
)

// Disk is n bytes as a disk has them: runs of zeros, of text and of noise, of
// 512 bytes to 512 KiB. The same n gives the same bytes.
func Disk(n int) []byte {
	r := rand.New(rand.NewPCG(7, 1))
	b := make([]byte, 0, n+1<<20)
	for len(b) < n {
		end := len(b) + 1<<(9+r.IntN(11))
		switch r.IntN(3) {
		case 0:
			b = append(b, make([]byte, end-len(b))...)
		case 1:
			for len(b) < end {
				b = fmt.Appendf(b, "line %d of a log that repeats itself\n", r.IntN(100))
			}
		default:
			for len(b) < end {
				v := r.Uint64()
				b = append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24), byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56))
			}
		}
		b = b[:end]
	}
	return b[:n]
}

// Same wants src to be want: read in one piece, in pieces of several sizes, and
// at random by many at once.
func Same(t *testing.T, src imaging.Source, want []byte) {
	t.Helper()
	if src.Size() != int64(len(want)) {
		t.Fatalf("size %d, want %d", src.Size(), len(want))
	}
	for _, step := range []int{len(want), 1 << 20, 4096, 32<<10 + 1} {
		got := make([]byte, len(want))
		for at := 0; at < len(got); at += step {
			p := got[at:min(at+step, len(got))]
			if n, err := src.ReadAt(p, int64(at)); n != len(p) || err != nil {
				t.Fatalf("at %d: %d, %v", at, n, err)
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("in steps of %d: the first wrong byte is %d", step, differ(got, want))
		}
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			for range 100 {
				at := r.IntN(len(want))
				p := bytes.Repeat([]byte{0xee}, 1+r.IntN(200_000)) // not zeros, which must be written too
				n, err := src.ReadAt(p, int64(at))
				end := min(at+len(p), len(want))
				if n != end-at || !bytes.Equal(p[:n], want[at:end]) || (at+len(p) > len(want)) != errors.Is(err, io.EOF) {
					t.Errorf("%d bytes at %d: %d, %v", len(p), at, n, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func differ(a, b []byte) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return i
}

// Gapped is a source that lists its gaps.
type Gapped interface {
	imaging.Source
	Gaps() []container.Range
}

// Damaged reads all of src and wants every byte outside its gaps to be that of
// want. It returns how many bytes are in gaps, and whether the rest was right.
func Damaged(t *testing.T, src Gapped, want []byte) (lost int64, right bool) {
	t.Helper()
	got := bytes.Repeat([]byte{0xee}, int(min(src.Size(), 1<<28)))
	if n, err := src.ReadAt(got, 0); n != len(got) || err != nil {
		t.Fatalf("%d of %d bytes: %v", n, len(got), err)
	}
	if right = src.Size() == int64(len(want)); !right {
		return 0, false
	}
	at := int64(0)
	for _, g := range append(src.Gaps(), container.Range{Offset: src.Size()}) {
		if g.Offset < at || g.Length < 0 || g.Length > 0 && g.Reason == "" {
			t.Fatalf("gap %v after %d", g, at)
		}
		right = right && bytes.Equal(got[at:g.Offset], want[at:g.Offset])
		at = g.Offset + g.Length
		lost += g.Length
	}
	return lost, right
}

// Exercise reads here and there in whatever a parser made of hostile bytes. It
// fails when the image breaks the rules of a source or a decoder panicked.
func Exercise(t *testing.T, img *container.Image, err error) {
	t.Helper()
	if err != nil {
		var format *imaging.FormatError
		var no *container.UnsupportedError
		if !errors.As(err, &format) && !errors.As(err, &no) {
			t.Fatalf("neither a FormatError nor unsupported: %v", err)
		}
		return
	}
	size := img.Size()
	if size < 0 || size > container.MaxSize {
		t.Fatalf("size %d", size)
	}
	p := make([]byte, 256<<10)
	for _, off := range []int64{0, 1, 65535, size / 3, size - 100_000, size - 1} {
		if off < 0 || off >= size {
			continue
		}
		want := min(int64(len(p)), size-off)
		if n, err := img.ReadAt(p, off); int64(n) != want || err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("at %d of %d: %d, %v", off, size, n, err)
		}
	}
	at := int64(0)
	for _, g := range img.Gaps() {
		if g.Offset < at || g.Length <= 0 || g.Offset+g.Length > size || strings.Contains(g.Reason, "the decoder failed") {
			t.Fatalf("gap %v after %d of %d", g, at, size)
		}
		at = g.Offset + g.Length
	}
}

// Broken calls f with b cut off at many places and with single bits turned.
func Broken(b []byte, f func(what string, b []byte)) {
	for i := range 64 {
		n := len(b) * i / 64
		f(fmt.Sprintf("cut at %d", n), b[:n])
	}
	step := max(len(b)/1000, 1)
	for i := 0; i < len(b); i += step {
		c := bytes.Clone(b)
		c[i] ^= 1 << (i / step % 8)
		f(fmt.Sprintf("bit %d of byte %d turned", i/step%8, i), c)
	}
}

// Folder is a folder of files in memory.
type Folder map[string][]byte

// Names implements container.Folder.
func (f Folder) Names() ([]string, error) {
	var names []string
	for n := range f {
		names = append(names, n)
	}
	return names, nil
}

// File implements container.Folder.
func (f Folder) File(name string) (imaging.Source, error) {
	b, ok := f[name]
	if !ok {
		return nil, fmt.Errorf("%q: %w", name, os.ErrNotExist)
	}
	return bytes.NewReader(b), nil
}

// Image implements container.Folder: the file as a raw image.
func (f Folder) Image(name string) (*container.Image, error) {
	src, err := f.File(name)
	if err != nil {
		return nil, err
	}
	return &container.Image{Format: "raw", Reader: container.Plain(src)}, nil
}

// Forget implements container.Folder.
func (f Folder) Forget(string) error { return nil }
