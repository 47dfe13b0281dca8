package lime_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"snapcase/imaging/image/container"
	"snapcase/imaging/image/container/containertest"
	"snapcase/imaging/image/lime"

	"github.com/klauspost/compress/s2"
)

var le = binary.LittleEndian

// ram is a run of memory.
type ram struct {
	start int64
	b     []byte
}

func header(magic string, version uint32, start, n int64) []byte {
	b := le.AppendUint32([]byte(magic), version)
	b = le.AppendUint64(b, uint64(start))
	b = le.AppendUint64(b, uint64(start+n-1))
	return append(b, make([]byte, 8)...)
}

func limeOf(all ...ram) (b []byte) {
	for _, r := range all {
		b = append(append(b, header("EMiL", 1, r.start, int64(len(r.b)))...), r.b...)
	}
	return b
}

// avmlOf packs with the writer of the library, page by page.
func avmlOf(t testing.TB, all ...ram) (b []byte) {
	t.Helper()
	for _, r := range all {
		var z bytes.Buffer
		w := s2.NewWriter(&z, s2.WriterSnappyCompat(), s2.WriterBlockSize(64<<10))
		for at := 0; at < len(r.b); at += 4096 {
			if _, err := w.Write(r.b[at:min(len(r.b), at+4096)]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		b = append(append(b, header("AVML", 2, r.start, int64(len(r.b)))...), z.Bytes()...)
		b = le.AppendUint64(b, uint64(z.Len()))
	}
	return b
}

// memory is what all gives at its addresses.
func memory(all ...ram) []byte {
	var b []byte
	for _, r := range all {
		if n := int(r.start) + len(r.b); n > len(b) {
			b = append(b, make([]byte, n-len(b))...)
		}
		copy(b[r.start:], r.b)
	}
	return b
}

func ranges() []ram {
	d := containertest.Disk(4 << 20)
	return []ram{{0x1000, d[:640<<10]}, {0x100000, d[640<<10 : 3<<20]}, {3<<20 + 640<<10, d[3<<20:]}}
}

func TestRead(t *testing.T) {
	all := ranges()
	want := memory(all...)
	for format, b := range map[string][]byte{
		lime.LiME: limeOf(all...), lime.AVML: avmlOf(t, all...),
		lime.LiME + " in another order": limeOf(all[2], all[0], all[1]),
		lime.AVML + " and LiME":         append(avmlOf(t, all[0], all[1]), limeOf(all[2])...),
	} {
		if !lime.Is(b) {
			t.Errorf("%s: not recognised", format)
		}
		img, err := lime.Open(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		containertest.Same(t, img, want)
		if sum, damage, err := lime.Sum(bytes.NewReader(b)); err != nil || sum != 4<<20 || len(damage) > 0 {
			t.Errorf("%s: %d bytes of memory, %q, %v", format, sum, damage, err)
		}
		if len(img.Gaps()) > 0 || len(img.Damage) > 0 || !strings.HasPrefix(format, img.Format) {
			t.Errorf("%s: %s, gaps %v, damage %q", format, img.Format, img.Gaps(), img.Damage)
		}
		if len(img.Header) != 4 || img.Header[1].Value != "addresses 0x100000 to 0x35ffff, 2490368 bytes" {
			t.Errorf("header %q", img.Header)
		}
	}
}

// With checksums no turned bit of AVML goes unseen.
func TestBroken(t *testing.T) {
	all := []ram{{0, containertest.Disk(100 << 10)}, {200 << 10, containertest.Disk(70 << 10)}}
	want := memory(all...)
	opened := 0
	containertest.Broken(avmlOf(t, all...), func(what string, f []byte) {
		img, err := lime.Open(bytes.NewReader(f))
		containertest.Exercise(t, img, err)
		if err != nil {
			return
		}
		opened++
		if _, right := containertest.Damaged(t, img, want); !right && len(img.Damage) == 0 && img.Size() == int64(len(want)) {
			// The addresses of a range have no checksum.
			if h := img.Header; len(h) == 3 && h[0].Value == "addresses 0x0 to 0x18fff, 102400 bytes" && h[1].Value == "addresses 0x32000 to 0x437ff, 71680 bytes" {
				t.Errorf("%s: bytes are wrong and nothing says so", what)
			}
		}
	})
	if opened < 100 {
		t.Errorf("only %d opened", opened)
	}
}

func TestDamage(t *testing.T) {
	all := ranges()
	whole := limeOf(all...)
	img, err := lime.Open(bytes.NewReader(whole[:len(whole)-5000]))
	if err != nil || len(img.Damage) != 1 {
		t.Fatalf("cut: %v, %q", err, img.Damage)
	}
	if lost, right := containertest.Damaged(t, img, memory(all...)); lost != 5000 || !right {
		t.Errorf("cut: %d bytes lost, the others right: %v", lost, right)
	}
	packed := avmlOf(t, all...)
	at := len(avmlOf(t, all[0])) + 32 + 10
	bad := bytes.Clone(packed)
	bad[at] = 0x7f // a chunk that may not be passed over
	if img, err = lime.Open(bytes.NewReader(bad)); err != nil || len(img.Damage) != 1 {
		t.Fatalf("chunk: %v, %q", err, img.Damage)
	}
	if lost, right := containertest.Damaged(t, img, memory(all...)); lost != int64(len(all[1].b)) || !right {
		t.Errorf("chunk: %d bytes lost, the others right: %v", lost, right)
	}
	img, err = lime.Open(bytes.NewReader(limeOf(all[0], ram{0x2000, make([]byte, 4096)}, all[1])))
	if err != nil || len(img.Damage) != 1 {
		t.Errorf("overlap: %v, %q", err, img.Damage)
	}
	var not *container.UnsupportedError
	if _, err := lime.Open(bytes.NewReader(limeOf(all[0], ram{1 << 42, make([]byte, 4096)}))); !errors.As(err, &not) {
		t.Errorf("far apart: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	all := []ram{{0, containertest.Disk(9000)}, {64 << 10, containertest.Disk(70 << 10)}}
	f.Add(limeOf(all...))
	f.Add(avmlOf(f, all...))
	f.Add(append(avmlOf(f, all[0]), limeOf(all[1])...))
	f.Fuzz(func(t *testing.T, b []byte) {
		img, err := lime.Open(bytes.NewReader(b))
		containertest.Exercise(t, img, err)
	})
}
