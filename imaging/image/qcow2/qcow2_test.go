package qcow2_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/image/container"
	"snapcase/imaging/image/container/containertest"
	"snapcase/imaging/image/qcow2"

	"github.com/klauspost/compress/zstd"
)

var be = binary.BigEndian

// builder writes an image; each cluster in turn is plain, packed, zeros and not
// here.
type builder struct {
	disk     []byte
	bits     uint
	version  uint32
	zstd     bool
	backing  string
	claim    uint64 // size in the header, when it is not that of the disk
	snapshot string
}

func (b *builder) build(t testing.TB) []byte {
	t.Helper()
	cluster := 1 << b.bits
	n := (len(b.disk) + cluster - 1) / cluster
	perTable := cluster / 8
	tables := (n + perTable - 1) / perTable
	l1At := cluster
	l1Room := (8*tables + cluster - 1) / cluster * cluster
	out := make([]byte, l1At+l1Room+tables*cluster)
	copy(out, "QFI\xfb")
	be.PutUint32(out[4:], b.version)
	be.PutUint32(out[20:], uint32(b.bits))
	be.PutUint64(out[24:], max(b.claim, uint64(len(b.disk))))
	be.PutUint32(out[36:], uint32(tables))
	be.PutUint64(out[40:], uint64(l1At))
	if b.version == 3 {
		be.PutUint32(out[100:], 112)
		if b.zstd {
			be.PutUint64(out[72:], 8)
			out[104] = 1
		}
	}
	if b.backing != "" {
		be.PutUint64(out[8:], 300)
		be.PutUint32(out[16:], uint32(len(b.backing)))
		copy(out[300:], b.backing)
	}
	for i := range tables {
		be.PutUint64(out[l1At+8*i:], uint64(l1At+l1Room+i*cluster)|1<<63)
	}
	for i := range n {
		c := make([]byte, cluster)
		copy(c, b.disk[i*cluster:])
		e := uint64(0)
		switch z := b.pack(t, c); {
		case i%4 == 0 && len(z) < cluster:
			x := 62 - (b.bits - 8)
			at := len(out)
			out = append(out, z...)
			e = 1<<62 | uint64((len(out)-1)/512-at/512)<<x | uint64(at)
		case i%4 == 3 && b.backing != "":
		case bytes.Count(c, []byte{0}) == cluster && b.version == 3:
			e = 1
		case bytes.Count(c, []byte{0}) == cluster && b.backing == "":
		default:
			out = append(out, make([]byte, -len(out)&(cluster-1))...)
			e = 1<<63 | uint64(len(out))
			out = append(out, c...)
		}
		be.PutUint64(out[l1At+l1Room+8*i:], e)
	}
	if b.snapshot != "" {
		out = append(out, make([]byte, -len(out)&7)...)
		be.PutUint32(out[60:], 1)
		be.PutUint64(out[64:], uint64(len(out)))
		s := make([]byte, 40)
		be.PutUint16(s[12:], 1)
		be.PutUint16(s[14:], uint16(len(b.snapshot)))
		out = append(append(append(out, s...), '1'), b.snapshot...)
	}
	return out
}

func (b *builder) pack(t testing.TB, c []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if b.zstd {
		w, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		return w.EncodeAll(c, nil)
	}
	w, err := flate.NewWriter(&out, 9)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(c)
	w.Close()
	return out.Bytes()
}

func TestRead(t *testing.T) {
	disk := containertest.Disk(1<<20 + 512)
	for _, b := range []builder{
		{bits: 9, version: 2},
		{bits: 12, version: 3},
		{bits: 12, version: 3, zstd: true},
		{bits: 16, version: 3, snapshot: "before the break-in"},
		{bits: 12, version: 3, backing: "/var/lib/images/base.raw"},
	} {
		b.disk = disk
		img, err := qcow2.Open(bytes.NewReader(b.build(t)), containertest.Folder{"base.raw": disk})
		if err != nil {
			t.Fatal(err)
		}
		containertest.Same(t, img, disk)
		if len(img.Gaps()) > 0 || len(img.Damage) > 0 {
			t.Errorf("gaps %v, damage %q", img.Gaps(), img.Damage)
		}
		if s := b.snapshot; s != "" && !strings.Contains(img.Header[len(img.Header)-1].Value, s) {
			t.Errorf("header %q", img.Header)
		}
	}
}

func TestNamed(t *testing.T) {
	for want, change := range map[string]func(b []byte){
		"version 1":          func(b []byte) { be.PutUint32(b[4:], 1) },
		"encrypted":          func(b []byte) { be.PutUint32(b[32:], 2) },
		"external data file": func(b []byte) { be.PutUint64(b[72:], 4) },
		"not known":          func(b []byte) { be.PutUint64(b[72:], 1<<20) },
		"backing file":       func(b []byte) { be.PutUint64(b[8:], 300); be.PutUint32(b[16:], 5) },
		"more than is read":  func(b []byte) { be.PutUint64(b[24:], 1<<62) },
	} {
		w := builder{disk: make([]byte, 8192), bits: 12, version: 3}
		b := w.build(t)
		change(b)
		var no *container.UnsupportedError
		if _, err := qcow2.Open(bytes.NewReader(b), nil); !errors.As(err, &no) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// What is cut off is a gap. A turned bit of plain bytes cannot be seen: qcow2
// has no checksums; but nothing may fail.
func TestBroken(t *testing.T) {
	disk := containertest.Disk(300 << 10)
	for _, zstd := range []bool{false, true} {
		w := builder{disk: disk, bits: 12, version: 3, zstd: zstd}
		containertest.Broken(w.build(t), func(what string, f []byte) {
			img, err := qcow2.Open(bytes.NewReader(f), nil)
			containertest.Exercise(t, img, err)
			if err == nil && strings.HasPrefix(what, "cut") {
				if _, right := containertest.Damaged(t, img, disk); !right {
					t.Errorf("%s: bytes are wrong and no gap says so", what)
				}
			}
		})
	}
}

// A backing file that has gaps of its own hands them on.
func TestGapBelow(t *testing.T) {
	disk := containertest.Disk(64 << 10)
	w := builder{disk: disk, bits: 12, version: 3, backing: "base"}
	img, err := qcow2.Open(bytes.NewReader(w.build(t)), gapped{containertest.Folder{}, disk})
	if err != nil {
		t.Fatal(err)
	}
	if lost, right := containertest.Damaged(t, img, disk); !right || lost != 8192 {
		t.Errorf("right %v, gaps %v", right, img.Gaps())
	}
}

type gapped struct {
	containertest.Folder
	disk []byte
}

func (g gapped) Image(string) (*container.Image, error) {
	gaps := container.NewGaps(int64(len(g.disk)))
	gaps.Add(10<<12, 10<<12, "piece 2 is missing")
	return &container.Image{Format: "split", Reader: container.NewReader(int64(len(g.disk)), hole{bytes.NewReader(g.disk)}, gaps)}, nil
}

type hole struct{ src imaging.Source }

func (h hole) Find(off int64) (container.Span, error) {
	switch {
	case off < 10<<12:
		return container.Span{Length: 10<<12 - off, From: h.src, At: off}, nil
	case off < 20<<12:
		return container.Span{Length: 20<<12 - off, Reason: "gone"}, nil
	}
	return container.Span{Length: h.src.Size() - off, From: h.src, At: off}, nil
}

func (h hole) Unpack(int64, []byte) (string, error) { return "", nil }

func FuzzOpen(f *testing.F) {
	disk := make([]byte, 24<<10)
	copy(disk[9000:], "some text")
	for _, w := range []builder{
		{bits: 9, version: 2},
		{bits: 12, version: 3, snapshot: "s"},
		{bits: 12, version: 3, zstd: true},
		{bits: 12, version: 3, backing: "a/base"},
		{bits: 12, version: 3, claim: 1 << 49},
	} {
		w.disk = disk
		f.Add(w.build(f))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		img, err := qcow2.Open(bytes.NewReader(b), containertest.Folder{"base": disk})
		containertest.Exercise(t, img, err)
	})
}

func BenchmarkRead(b *testing.B) {
	disk := containertest.Disk(32 << 20)
	for name, w := range map[string]builder{
		"deflate": {disk: disk, bits: 16, version: 3},
		"zstd":    {disk: disk, bits: 16, version: 3, zstd: true},
	} {
		b.Run(name, func(b *testing.B) {
			img, err := qcow2.Open(bytes.NewReader(w.build(b)), nil)
			if err != nil {
				b.Fatal(err)
			}
			p := make([]byte, 1<<20)
			b.SetBytes(int64(len(disk)))
			for b.Loop() {
				for at := int64(0); at < img.Size(); at += int64(len(p)) {
					if _, err := img.ReadAt(p, at); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
