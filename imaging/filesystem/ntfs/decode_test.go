package ntfs

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf16"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

func TestRuns(t *testing.T) {
	for _, c := range []struct {
		in     []byte
		want   []run
		damage string
	}{
		{[]byte{0x21, 0x08, 0x00, 0x10, 0}, []run{{0, 8, 4096}}, ""},
		{[]byte{0x11, 3, 100, 0x01, 5, 0x11, 2, 0xf6, 0}, []run{{0, 3, 100}, {3, 5, -1}, {8, 2, 90}}, ""},
		{[]byte{0x11, 3, 0x9c}, []run{{0, 3, -1}}, "range: "},
		{[]byte{0x11, 0, 5}, nil, "range: "},
		{[]byte{0x91, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, nil, "range: "},
		{[]byte{0x31, 1, 1}, nil, "range: "},
		{[]byte{0x28, 255, 255, 255, 255, 255, 255, 255, 127, 1, 0}, nil, "range: "},
		{[]byte{0x21, 1, 0x00, 0x7f}, []run{{0, 1, -1}}, "range: "},
	} {
		got, damage := appendRuns(nil, c.in, 0, 10000)
		if len(got) != len(c.want) || !strings.HasPrefix(damage, c.damage) || c.damage == "" && damage != "" {
			t.Errorf("%x: %v, %q", c.in, got, damage)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%x: %v, want %v", c.in, got, c.want)
			}
		}
	}
}

// TestLZNT1 has the example of [MS-XCA] 3.3.
func TestLZNT1(t *testing.T) {
	in := []byte{
		0x38, 0xb0, 0x88, 0x46, 0x23, 0x20, 0x00, 0x20, 0x47, 0x20, 0x41, 0x00, 0x10, 0xa2, 0x47, 0x01, 0xa0, 0x45, 0x20, 0x44,
		0x00, 0x08, 0x45, 0x01, 0x50, 0x79, 0x00, 0xc0, 0x45, 0x20, 0x05, 0x24, 0x13, 0x88, 0x05, 0xb4, 0x02, 0x4a, 0x44, 0xef,
		0x03, 0x58, 0x02, 0x8c, 0x09, 0x16, 0x01, 0x48, 0x45, 0x00, 0xbe, 0x00, 0x9e, 0x00, 0x04, 0x01, 0x18, 0x90, 0x00,
	}
	const text = "F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D E E F# D E F# G F# D E F# G F# E D E A F# F# G A A G F# E D D E F# E D D\x00"
	out := make([]byte, chunkSize)
	n, ok := lznt1(out, in)
	if !ok || n != chunkSize || string(bytes.TrimRight(out, "\x00")) != strings.TrimRight(text, "\x00") {
		t.Errorf("%d, %v, %q", n, ok, bytes.TrimRight(out, "\x00"))
	}
	for cut := 1; cut < len(in)-1; cut++ {
		if _, ok := lznt1(out, in[:cut]); ok && cut > 2 {
			t.Errorf("cut to %d bytes it is whole", cut)
		}
	}
}

func units(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = le.AppendUint16(b, u)
	}
	return b
}

func TestNames(t *testing.T) {
	for in, want := range map[string]string{
		string(units("naïve 日本 😀")): "naïve 日本 😀",
		"\x3d\xd8x\x00":             "\xed\xa0\xbdx",
		"a\x00\x00\xde":             "a\xed\xb8\x80",
		"a\x00b":                    "a",
	} {
		if got := utf8Of([]byte(in)); got != want {
			t.Errorf("%x: %q, want %q", in, got, want)
		}
	}
}

func TestMoments(t *testing.T) {
	for in, want := range map[uint64]imaging.Time{
		0:                  {},
		1:                  {Sec: -11644473600, Nsec: 100, Set: true},
		116444736000000000: {Set: true},
		^uint64(0):         {Sec: 1833029933770, Nsec: 955161500, Set: true},
		0x7fffffffffffffff: {Sec: 910692730085, Nsec: 477580700, Set: true},
		133485408001234567: {Sec: 1704067200, Nsec: 123456700, Set: true},
	} {
		if got := moment(le.AppendUint64(nil, in)); got != want {
			t.Errorf("%d: %+v, want %+v", in, got, want)
		}
	}
}

// link makes a reparse point of Windows.
func link(tag uint32, flags int, target string) []byte {
	name := units(target)
	p := le.AppendUint32(nil, tag)
	p = le.AppendUint32(p, 0)
	for _, n := range []int{0, len(name), len(name), 0} {
		p = le.AppendUint16(p, uint16(n))
	}
	p = append(p, make([]byte, flags)...)
	return append(p, name...)
}

func TestReparse(t *testing.T) {
	for _, c := range []struct {
		name   string
		in     []byte
		kind   filesystem.Type
		link   string
		damage string
	}{
		{"symbolic link", link(0xa000000c, 4, `..\日本`), filesystem.TypeSymlink, `..\日本`, ""},
		{"junction", link(0xa0000003, 0, `\??\C:\Users`), filesystem.TypeSymlink, `\??\C:\Users`, ""},
		{"WSL link", append([]byte{0x1d, 0, 0, 0xa0, 9, 0, 0, 0, 2, 0, 0, 0}, "/etc/x"...), filesystem.TypeSymlink, "/etc/x", ""},
		{"WSL FIFO", []byte{0x24, 0, 0, 0x80, 0, 0, 0, 0}, filesystem.TypeFIFO, "", ""},
		{"overlay", []byte{0x17, 0, 0, 0x80, 0, 0, 0, 0}, filesystem.TypeFile, "", "partial: Windows packed"},
		{"cloud", []byte{0x1a, 0x60, 0, 0x90, 0, 0, 0, 0}, filesystem.TypeFile, "", "partial: the content may be in the cloud"},
		{"unknown", []byte{1, 2, 3, 4, 0, 0, 0, 0}, filesystem.TypeFile, "", "partial: a driver with the reparse tag 0x04030201"},
		{"cut", link(0xa000000c, 4, "abc")[:22], filesystem.TypeSymlink, "", "range: "},
		{"empty", nil, filesystem.TypeFile, "", "range: "},
	} {
		e := filesystem.Entry{Type: filesystem.TypeFile}
		reparse(&e, c.in)
		if e.Type != c.kind || e.Link != c.link || !strings.HasPrefix(e.Damage, c.damage) || c.damage == "" && e.Damage != "" {
			t.Errorf("%s: %v %q %q", c.name, e.Type, e.Link, e.Damage)
		}
	}
}

func FuzzRecord(f *testing.F) {
	src := small(f)
	fs, err := Open(src)
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range []uint64{0, 3, 5, 64, 75, 137} {
		r, err := fs.record(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(r.raw)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) < 256 {
			return
		}
		r := parseRecord(7, p)
		x := &file{record: r, attrs: r.attrs, clusters: 4000}
		x.names()
		for _, a := range x.attrs {
			s := x.stream(a.kind, a.name)
			c := fs.content(s)
			if c.size < 0 || c.init < 0 {
				t.Errorf("%d, %d", c.size, c.init)
			}
		}
	})
}

func FuzzLZNT1(f *testing.F) {
	f.Add([]byte{0x38, 0xb0, 0x88, 0x46, 0x23, 0x20, 0x00, 0x20, 0x47, 0x20, 0x41, 0x00, 0x10, 0xa2})
	f.Add([]byte{0x02, 0x30, 1, 2, 3, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		out := make([]byte, 3*chunkSize+5)
		if n, _ := lznt1(out, in); n > len(out) {
			t.Error(n)
		}
	})
}

func FuzzReparse(f *testing.F) {
	f.Add(link(0xa000000c, 4, `..\x`))
	f.Add([]byte{0x1d, 0, 0, 0xa0, 9, 0, 0, 0, 2, 0, 0, 0, 'x'})
	f.Fuzz(func(_ *testing.T, p []byte) {
		reparse(&filesystem.Entry{}, p)
	})
}
