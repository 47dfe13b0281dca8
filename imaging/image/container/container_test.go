package container_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/image/container"
	"snapcase/imaging/image/container/containertest"
)

// The list is compared with a byte for each byte of the image.
func TestGaps(t *testing.T) {
	const size = 200
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		g := container.NewGaps(size)
		var want [size]string
		for range r.IntN(30) {
			off, n := int64(r.IntN(260)-30), int64(r.IntN(60)-5)
			reason := string("abc"[r.IntN(3)])
			g.Add(off, n, reason)
			for i := max(off, 0); off >= 0 && i < min(off+n, size); i++ {
				if want[i] == "" {
					want[i] = reason
				}
			}
		}
		var got [size]string
		last := container.Range{}
		for _, x := range g.List() {
			if x.Offset < last.Offset+last.Length || x.Length <= 0 || x.Offset == last.Offset+last.Length && x.Reason == last.Reason {
				t.Fatalf("%v after %v", x, last)
			}
			last = x
			for i := x.Offset; i < x.Offset+x.Length; i++ {
				got[i] = x.Reason
			}
		}
		if got != want {
			t.Fatalf("%v\nis not\n%v", got, want)
		}
		off, n := int64(r.IntN(size)), int64(1+r.IntN(50))
		for _, x := range g.In(off, n) {
			if x.Offset < off || x.Offset+x.Length > off+n || want[x.Offset] != x.Reason {
				t.Fatalf("in %d+%d: %v", off, n, x)
			}
		}
	}
}

func TestGapsEnd(t *testing.T) {
	const size = 1 << 20
	g := container.NewGaps(size)
	for i := range int64(100_000) {
		g.Add((i*7919)%100_000*10, 1, "x")
	}
	list := g.List()
	sum := int64(0)
	for _, r := range list {
		sum += r.Length
	}
	if sum != size || len(list) > 1<<18 || !strings.Contains(list[len(list)-1].Reason, "in doubt") {
		t.Errorf("%d ranges cover %d bytes; the last is %v", len(list), sum, list[len(list)-1])
	}
}

// packed is a map of pieces of n bytes, each a letter; some have a reason, some
// panic, some fail.
type packed struct{ n, size int64 }

func (p packed) Find(off int64) (container.Span, error) {
	k := off / p.n
	return container.Span{Length: min((k+1)*p.n, p.size) - off, Packed: true, Key: k, Size: int(p.n), Skip: int(off % p.n)}, nil
}

var errDisk = errors.New("the disk failed")

func (p packed) Unpack(key int64, dst []byte) (string, error) {
	for i := range dst {
		dst[i] = byte('a' + key%26)
	}
	switch key {
	case 5:
		return "bad", nil
	case 9:
		panic("a decoder broke")
	case 13:
		return "", errDisk
	}
	return "", nil
}

func TestReader(t *testing.T) {
	const n, size = 100, 2650
	r := container.NewReader(size, packed{n, size}, container.NewGaps(size))
	want := make([]byte, size)
	for i := range want {
		if want[i] = byte('a' + i/n%26); i/n == 9 {
			want[i] = 0
		}
	}
	for _, step := range []int{7, 100, 1300} {
		for at := 0; at < 1300; at += step {
			p := bytes.Repeat([]byte{1}, min(step, 1300-at))
			if k, err := r.ReadAt(p, int64(at)); k != len(p) || err != nil || !bytes.Equal(p, want[at:at+len(p)]) {
				t.Fatalf("at %d: %d, %v, %q", at, k, err, p)
			}
		}
	}
	if _, err := r.ReadAt(make([]byte, 10), 1305); !errors.Is(err, errDisk) {
		t.Errorf("a disk that fails: %v", err)
	}
	gaps := r.Gaps()
	if len(gaps) != 2 || gaps[0] != (container.Range{Offset: 500, Length: 100, Reason: "bad"}) || gaps[1].Offset != 900 || !strings.Contains(gaps[1].Reason, "broke") {
		t.Errorf("gaps %v", gaps)
	}
	if k, err := r.ReadAt(make([]byte, 100), 2600); k != 50 || err == nil {
		t.Errorf("over the end: %d, %v", k, err)
	}
}

// lies is a map that answers nonsense.
type lies struct{ container.Span }

func (l lies) Find(int64) (container.Span, error)   { return l.Span, nil }
func (l lies) Unpack(int64, []byte) (string, error) { return "", nil }

func TestReaderRefusesNonsense(t *testing.T) {
	for _, s := range []container.Span{
		{}, {Length: -1}, {Length: 5, Packed: true}, {Length: 5, Packed: true, Size: 4}, {Length: 5, Packed: true, Size: 8, Skip: 4}, {Length: 5, Packed: true, Size: 8, Skip: -1},
	} {
		r := container.NewReader(10, lies{s}, container.NewGaps(10))
		if _, err := r.ReadAt(make([]byte, 10), 0); err == nil {
			t.Errorf("%+v was taken", s)
		}
	}
}

func TestPlainPastTheEnd(t *testing.T) {
	src := bytes.NewReader([]byte("0123456789"))
	for _, at := range []int64{8, 10, 1 << 40} {
		r := container.NewReader(4, lies{container.Span{Length: 4, From: src, At: at}}, container.NewGaps(4))
		p := []byte("xxxx")
		if _, err := r.ReadAt(p, 0); err != nil {
			t.Fatal(err)
		}
		have := max(10-at, 0)
		if gaps := r.Gaps(); len(gaps) != 1 || gaps[0].Offset != have || gaps[0].Length != 4-have || string(p) != ("89"[:have]+strings.Repeat("\x00", int(4-have))) {
			t.Errorf("at %d: %q, %v", at, p, gaps)
		}
	}
}

func TestPages(t *testing.T) {
	b := containertest.Disk(300_000)
	p := container.NewPages(bytes.NewReader(b))
	other := p.Of(bytes.NewReader(b[1000:]), 1)
	for range 500 {
		off := rand.IntN(len(b) - 1000 - 70_000)
		got := make([]byte, rand.IntN(70_000))
		for skip, pages := range map[int]*container.Pages{0: p, 1000: other} {
			if reason, err := pages.Read(got, int64(off)); reason != "" || err != nil || !bytes.Equal(got, b[skip+off:][:len(got)]) {
				t.Fatalf("%d at %d: %q, %v", len(got), off, reason, err)
			}
		}
	}
	for _, off := range []int64{-1, 299_999, 300_000, 1 << 62} {
		if reason, err := p.Read(make([]byte, 8), off); reason == "" || err != nil {
			t.Errorf("at %d: %q, %v", off, reason, err)
		}
	}
}

func TestImage(t *testing.T) {
	var i container.Image
	i.Put("none", "")
	i.Put("long", strings.Repeat("x", 1<<20))
	for n := range 2000 {
		i.Note("note %d", n)
	}
	i.Store("md5", "aa")
	i.Store("md5", "aa")
	if len(i.Header) != 1 || len(i.Header[0].Value) != 64<<10 || len(i.Damage) != 1001 || i.Stored["md5"] != "aa" {
		t.Errorf("%d fields, %d notes, %v", len(i.Header), len(i.Damage), i.Stored)
	}
	var two container.Image
	two.Store("md5", "aa")
	two.Store("md5", "bb")
	if len(two.Damage) != 1 || fmt.Sprint(two.Kinds()) != "[md5]" {
		t.Errorf("%q", two.Damage)
	}
}

func FuzzInflate(f *testing.F) {
	f.Add([]byte{0x78, 0x9c, 0x4b, 0x4c, 0x4a, 0x06, 0, 2, 0x4d, 1, 0x27}, 3)
	f.Add([]byte{0x4b, 0x4c, 0x4a, 0x06, 0}, 3)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		dst := bytes.Repeat([]byte{0xee}, max(min(n, 1<<16), 0))
		if container.Inflate(dst, b) != nil && container.InflateZlib(dst, b) != nil {
			return
		}
	})
}

var _ imaging.Source = (*container.Reader)(nil)
