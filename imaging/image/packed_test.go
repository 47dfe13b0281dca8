package image

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/image/zst"
)

// TestPacked opens a packed disk that looks like a container, and one with a
// damaged frame.
func TestPacked(t *testing.T) {
	want := bytes.Repeat([]byte("QFI\xfb\x00\x00\x00\x03 is no qcow2 here "), 200_000)
	var b bytes.Buffer
	w, err := zst.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image.raw.zst")
	put := func(b []byte) *Packed {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := OpenPacked(path)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := put(b.Bytes())
	defer p.Close()
	got := make([]byte, len(want))
	if n, err := p.ReadAt(got, 0); n != len(want) || err != nil || !bytes.Equal(got, want) || p.Size() != int64(len(want)) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	harmed := bytes.Clone(b.Bytes())
	harmed[100] ^= 0x40
	h := put(harmed)
	defer h.Close()
	var format *imaging.FormatError
	if n, err := h.ReadAt(got, 0); !errors.As(err, &format) || n != 0 {
		t.Errorf("a damaged frame: %d bytes, %v", n, err)
	}
	if n, err := h.ReadAt(got[:4096], 2<<20); n != 4096 || err != nil {
		t.Errorf("a frame behind it: %d bytes, %v", n, err)
	}
	for _, cut := range []int{0, 20, b.Len() - 1} {
		if err := os.WriteFile(path, b.Bytes()[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenPacked(path); err == nil {
			t.Errorf("opened although cut at %d", cut)
		}
	}
}
