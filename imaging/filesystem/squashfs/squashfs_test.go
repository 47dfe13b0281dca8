package squashfs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fstest"
)

var samples = []string{"gzip.sqs", "xz.sqs", "zstd.sqs", "lz4.sqs", "lzo.sqs", "lzma.sqs", "plain.sqs.gz"}

func TestConformance(t *testing.T) {
	when := imaging.Time{Sec: 1614834368, Set: true}
	for _, name := range samples {
		t.Run(name, func(t *testing.T) {
			fstest.Run(t, Open, fstest.File(t, filepath.Join("testdata", name)), []fstest.Want{
				{Path: "/", Type: filesystem.TypeDir, Size: fstest.AnySize},
				{Path: "/user-data", Type: filesystem.TypeFile, Size: 14, Mode: 0o104755, Modified: when, SHA256: "88c95955b024402aa9572b663f7eeb134f01343bb92af27b50e97e72b22c565f"},
				{Path: "/text", Size: 20000, SHA256: "d4a759eca6c17659386a14debaa7825d6cba2ae12097fb2ef63773be19a36258"},
				{Path: "/hard", Size: 20000, SHA256: "d4a759eca6c17659386a14debaa7825d6cba2ae12097fb2ef63773be19a36258"},
				{Path: "/hole", Size: 70000, SHA256: "4e6baad42d8a408ee4bec71e78cfd02b6e7393a09afed39aace2998db71ea5c2"},
				{Path: "/dir/sub/second", Size: 21, SHA256: "d492a0e6d2b2d9b5898e31926ce8a48f9555a3a452946d2f4219c7cf982ac2a2"},
				{Path: "/link", Type: filesystem.TypeSymlink, Size: 13, Link: "../etc/passwd"},
				{Path: "/many/a name that is long enough, number 300", Size: 0},
			})
		})
	}
}

// plain is the image that is not compressed, so that tests can change it.
func plain(t testing.TB) []byte {
	src := fstest.File(t, "testdata/plain.sqs.gz")
	b := make([]byte, src.Size())
	if _, err := src.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return b
}

func opened(t *testing.T, b []byte) *FS {
	t.Helper()
	f, err := Open(fstest.Bytes(b))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestDamage changes one thing and holds what is said.
func TestDamage(t *testing.T) {
	b := plain(t)
	name := bytes.Index(b, []byte("user-data"))
	for _, c := range []struct {
		name, path, damage string
		change             func(b []byte)
	}{
		{"a size that is too small", "/", "range: the entries of its list are longer than its size", func(b []byte) {
			root := le.Uint64(b[32:])
			b[le.Uint64(b[64:])+root>>16+2+root&0xffff+24]--
		}},
		{"a name with a slash", "/user/data", "range: the name contains a slash", func(b []byte) { b[name+4] = '/' }},
		{"an inode elsewhere", "/user-data", "partial: byte", func(b []byte) { le.PutUint16(b[name-8:], 8100) }},
		{"a number that differs", "/user-data", "range: its directory says that its inode is", func(b []byte) { b[name-6]++ }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := bytes.Clone(b)
			c.change(b)
			found := ""
			for _, e := range all(t, opened(t, b)) {
				if e.Path == c.path {
					found += e.Damage
				}
			}
			if !strings.Contains(found, c.damage) {
				t.Errorf("%q lacks %q", found, c.damage)
			}
		})
	}
}

// TestOrphan demands that an inode that no directory leads to is given.
func TestOrphan(t *testing.T) {
	b := plain(t)
	name := bytes.Index(b, []byte("user-data"))
	text := bytes.Index(b, []byte("\x02\x00\x03\x00text")) - 4
	copy(b[name-8:name-4], b[text:text+4]) // leads to another file
	n := 0
	f := opened(t, b)
	for _, e := range all(t, f) {
		if e.Status == filesystem.Orphan {
			n++
			if s := string(read(t, f, e.Ref)); s != "#cloud-config\n" || !strings.HasPrefix(e.Path, "/$Orphan/#") {
				t.Errorf("%q: %q", e.Path, s)
			}
		}
	}
	if n != 1 {
		t.Errorf("%d orphans", n)
	}
}

// TestBroken demands that a block that does not unpack is an error with its
// place, and that what comes before it is given.
func TestBroken(t *testing.T) {
	src := fstest.File(t, "testdata/zstd.sqs")
	b := make([]byte, src.Size())
	if _, err := src.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	f := opened(t, b)
	for _, e := range all(t, f) {
		if e.Path != "/text" {
			continue
		}
		in, err := f.find(e.Ref)
		if err != nil {
			t.Fatal(err)
		}
		c, err := f.content(in)
		if err != nil {
			t.Fatal(err)
		}
		clear(b[c.list[1].at:][:c.list[1].length()])
		f = opened(t, b)
		c2, err := f.Open(e.Ref)
		if err != nil {
			t.Fatal(err)
		}
		n, err := c2.ReadAt(make([]byte, 20000), 0)
		var at *imaging.FormatError
		if n != 8192 || !errors.As(err, &at) || at.Offset != c.list[1].at {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
}

// TestBomb demands that blocks that ask for more than a block are refused.
func TestBomb(t *testing.T) {
	for _, c := range []struct {
		id uint16
		b  string
	}{
		{1, "\x78\x9c"},
		{2, "\x5d\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00"},
		{4, "\xfd7zXZ\x00\x00\x01\x69\x22\xde\x36\x02\x00\x21\x01\x28\x00\x00\x00"},
		{6, "\x28\xb5\x2f\xfd\xe0\xff\xff\xff\xff\xff\xff\xff\x00"},
	} {
		u, _, err := unpackerOf(c.id)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := u(make([]byte, 8192), []byte(c.b)); err == nil {
			t.Errorf("compression %d: %d bytes and no error", c.id, n)
		}
	}
	if _, _, err := unpackerOf(9); err == nil {
		t.Error("compression 9 is known")
	}
}

// TestCorpus reads an image that another project made.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("SNAPCASE_CORPUS")
	if dir == "" {
		t.Skip("needs SNAPCASE_CORPUS, the folder of the test corpus")
	}
	list, err := filepath.Glob(filepath.Join(dir, "images", "other", "*.sqs*"))
	if err != nil || len(list) == 0 {
		t.Skip("the corpus has no squashfs image")
	}
	for _, path := range list {
		fstest.Run(t, Open, fstest.File(t, path), nil)
	}
}

func FuzzOpen(f *testing.F) {
	for _, name := range samples {
		src := fstest.File(f, filepath.Join("testdata", name))
		b := make([]byte, src.Size())
		src.ReadAt(b, 0)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fstest.Survive(t, Open, fstest.Bytes(b))
		Probe(fstest.Bytes(b))
	})
}

func FuzzUnpack(f *testing.F) {
	f.Add(uint16(4), []byte("\xfd7zXZ\x00\x00\x01\x69\x22\xde\x36\x02\x00\x21\x01\x16\x00\x00\x00"))
	f.Add(uint16(1), []byte("\x78\x9c\x03\x00\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, id uint16, b []byte) {
		u, _, err := unpackerOf(id%6 + 1)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := u(make([]byte, 8192), b); err == nil && n > 8192 {
			t.Errorf("%d bytes", n)
		}
	})
}

func BenchmarkWalk(b *testing.B) {
	f, err := Open(fstest.File(b, "testdata/zstd.sqs"))
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		for _, err := range f.Walk(context.Background()) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "entries/s")
}
