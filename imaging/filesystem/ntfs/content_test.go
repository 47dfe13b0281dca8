package ntfs

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/filesystem/fstest"
)

// letters is a volume of clusters of 512 bytes, each full of one letter.
func letters() *FS {
	var b []byte
	for c := byte('a'); c <= 'z'; c++ {
		b = append(b, bytes.Repeat([]byte{c}, 512)...)
	}
	return &FS{src: fstest.Bytes(b), boot: boot{cluster: 512, clusters: 26}}
}

func all(t *testing.T, c *Content) []byte {
	t.Helper()
	p := make([]byte, c.Size())
	if n, err := c.ReadAt(p, 0); n != len(p) || err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("%d of %d bytes, %v", n, len(p), err)
	}
	return p
}

func repeat(parts ...any) []byte {
	var b []byte
	for i := 0; i < len(parts); i += 2 {
		b = append(b, bytes.Repeat([]byte{byte(parts[i].(rune))}, parts[i+1].(int))...)
	}
	return b
}

func TestHolesAndWhatWasNeverWritten(t *testing.T) {
	fs := letters()
	s := &stream{runs: []run{{0, 2, 3}, {2, 1, -1}, {3, 1, 0}}, mapped: 4, size: 1900, init: 1700}
	if got, want := all(t, fs.content(s)), repeat('d', 512, 'e', 512, '\x00', 512, 'a', 164, '\x00', 200); !bytes.Equal(got, want) {
		t.Errorf("%q", got)
	}
	s.size = 5000
	c := fs.content(s)
	if c.Size() != 2048 || c.Damage() == "" {
		t.Errorf("more than its clusters: %d bytes, %q", c.Size(), c.Damage())
	}
}

func TestCompressionUnits(t *testing.T) {
	fs := letters()
	packed := append([]byte{0x03, 0xb0, 0x02, 'x', 0xfc, 0x0f}, make([]byte, 506)...) // x, then 4,095 of it
	whole := make([]byte, fs.src.Size())
	fs.src.ReadAt(whole, 0)
	copy(whole[5*512:], packed)
	fs.src = fstest.Bytes(whole)
	// units of 16 clusters: plain, zeros, one cluster that holds a chunk, and
	// one that makes no sense
	s := &stream{
		runs:  []run{{0, 16, 6}, {16, 16, -1}, {32, 1, 5}, {33, 15, -1}, {48, 1, 3}, {49, 15, -1}},
		flags: 1, unit: 4, mapped: 64, size: 32768, init: 32768,
	}
	c := fs.content(s)
	p := make([]byte, 24576)
	if n, err := c.ReadAt(p, 0); n != len(p) || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if !bytes.Equal(p[:8192], whole[6*512:22*512]) || !bytes.Equal(p[8192:16384], make([]byte, 8192)) {
		t.Error("the plain unit or the zeros differ")
	}
	if !bytes.Equal(p[16384:], repeat('x', 4096, '\x00', 4096)) {
		t.Errorf("the packed unit is %q", p[16384:16400])
	}
	var f *imaging.FormatError
	if n, err := c.ReadAt(p, 20000); n != 4576 || !errors.As(err, &f) || f.Offset != 24576 {
		t.Errorf("the damaged unit: %d, %v", n, err)
	}
	if n, err := c.ReadAt(p[:100], 8000); n != 100 || err != nil || p[0] != whole[6*512+8000] {
		t.Errorf("after the damage: %d, %v", n, err)
	}
}
