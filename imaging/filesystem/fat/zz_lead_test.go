package fat_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fat"
	"snapcase/imaging/filesystem/fstest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return string(out)
}

func needs(t testing.TB, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
}

// widths are images of each width: size in KiB and arguments of mkfs.fat.
var widths = []struct {
	name string
	kib  int
	args []string
}{
	{"fat12", 4 << 10, []string{"-F", "12"}},
	{"fat16", 32 << 10, []string{"-F", "16", "-s", "4"}},
	{"fat32", 80 << 10, []string{"-F", "32", "-s", "2"}},
	{"fat32-4k", 400 << 10, []string{"-F", "32", "-S", "4096", "-s", "1"}},
}

func makeImage(t testing.TB, kib int, args ...string) string {
	t.Helper()
	needs(t, "mkfs.fat")
	image := filepath.Join(t.TempDir(), "fat.img")
	must(t, os.WriteFile(image, nil, 0o644))
	must(t, os.Truncate(image, int64(kib)<<10))
	run(t, "mkfs.fat", append(args, "-n", "SEIZED", "-i", "1234ABCD", image)...)
	return image
}

// mtools runs a program of mtools on the image, in UTC.
func mtools(t testing.TB, image, tool string, args ...string) {
	t.Helper()
	needs(t, tool)
	c := exec.Command(tool, append([]string{"-i", image}, args...)...)
	c.Env = append(os.Environ(), "TZ=UTC", "MTOOLS_SKIP_CHECK=1", "LC_ALL=C.UTF-8")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v: %s", c.Args, err, out)
	}
}

// put copies a tree that fill makes into the image.
func put(t testing.TB, image string, fill func(dir string)) {
	t.Helper()
	dir := t.TempDir()
	fill(dir)
	all, err := os.ReadDir(dir)
	must(t, err)
	args := []string{"-s", "-m", "-Q"}
	for _, e := range all {
		args = append(args, filepath.Join(dir, e.Name()))
	}
	mtools(t, image, "mcopy", append(args, "::/")...)
}

var names = []string{
	"plain.txt", "UPPER.TXT", "Mixed Case Name.tar.gz", "лог файл с именем.txt", "日本語のファイル.json", "💾 disk.bin", "a.b.c.d", strings.Repeat("long", 60) + ".txt",
	"exactly13char", "exactly26charactersinaname", "noext", ".aws/credentials", "EFI/BOOT/BOOTX64.EFI", "deep/a/b/c/d/e/f/g/file",
}

func fillTree(t testing.TB, dir string, rnd *rand.Rand) {
	for i, n := range names {
		p := filepath.Join(dir, n)
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		b := make([]byte, rnd.IntN(60000))
		if i%5 == 0 {
			b = nil
		}
		for k := range b {
			b[k] = byte(rnd.Uint32())
		}
		must(t, os.WriteFile(p, b, 0o644))
		must(t, os.Chtimes(p, time.Time{}, time.Date(1999+i, 12, 31, 23, 59, 58, 0, time.UTC)))
	}
	for i := range 150 { // a folder of several clusters
		must(t, os.MkdirAll(filepath.Join(dir, "many"), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, "many", fmt.Sprintf("some file number %d", i)), []byte(fmt.Sprint(i)), 0o644))
	}
}

func walkAll(t testing.TB, f *fat.FS) map[string]filesystem.Entry {
	t.Helper()
	all := map[string]filesystem.Entry{}
	for e, err := range f.Walk(context.Background()) {
		must(t, err)
		if _, twice := all[e.Path]; twice && e.Status == filesystem.Allocated {
			t.Errorf("%q comes twice", e.Path)
		}
		all[e.Path] = e
	}
	return all
}

func sum(t testing.TB, src imaging.Source) [32]byte {
	t.Helper()
	b := make([]byte, src.Size())
	if _, err := src.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}

// TestEqualsMtools compares every entry with what mtools copies out again.
func TestEqualsMtools(t *testing.T) {
	for _, w := range widths {
		t.Run(w.name, func(t *testing.T) {
			image := makeImage(t, w.kib, w.args...)
			rnd := rand.New(rand.NewPCG(1, uint64(w.kib)))
			type file struct {
				dir  bool
				size int64
				sum  [32]byte
				sec  int64
			}
			want := map[string]file{}
			put(t, image, func(dir string) { fillTree(t, dir, rnd) })
			mtools(t, image, "mdel", "::/many/some file number 7")
			dir := t.TempDir()
			mtools(t, image, "mcopy", "-s", "-m", "-n", "-Q", "::/*", dir)
			must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
				must(t, err)
				i, err := d.Info()
				must(t, err)
				f := file{dir: d.IsDir(), size: i.Size(), sec: i.ModTime().Unix()}
				if !f.dir {
					b, err := os.ReadFile(p)
					must(t, err)
					f.sum = sha256.Sum256(b)
				}
				want["/"+strings.TrimPrefix(strings.TrimPrefix(p, dir), "/")] = f
				return nil
			}))
			f, err := fat.Open(fstest.File(t, image))
			must(t, err)
			if i := f.Info(); i.Label != "SEIZED" || i.UUID != "1234-ABCD" || i.Features[0] != w.name[:5] {
				t.Errorf("info %+v", i)
			}
			got := walkAll(t, f)
			for p, k := range want {
				e, ok := got[p]
				switch {
				case !ok:
					t.Errorf("%q is missing", p)
				case (e.Type == filesystem.TypeDir) != k.dir || !k.dir && e.Size != k.size || e.Damage != "":
					t.Errorf("%q: %+v, mtools says %+v", p, e, k)
				case !k.dir && e.Modified.Sec != k.sec:
					t.Errorf("%q: modified %s, mtools says %d", p, e.Modified, k.sec)
				case !k.dir:
					src, err := f.Open(e.Ref)
					must(t, err)
					if sum(t, src) != k.sum {
						t.Errorf("%q: other content", p)
					}
				}
			}
			live := 0
			for _, e := range got {
				if e.Status == filesystem.Allocated {
					live++
				}
			}
			if live != len(want) {
				t.Errorf("%d entries, mtools has %d", live, len(want))
			}
			fstest.Run(t, fat.Open, fstest.File(t, image), nil)
		})
	}
}

// TestDeleted: names and content of freshly deleted files come back whole, and
// The Sleuth Kit gives the same inodes.
func TestDeleted(t *testing.T) {
	for _, w := range widths {
		t.Run(w.name, func(t *testing.T) {
			image := makeImage(t, w.kib, w.args...)
			content := map[string][]byte{}
			put(t, image, func(dir string) {
				for i := range 20 {
					n := fmt.Sprintf("evidence number %d.doc", i)
					content[n] = bytes.Repeat([]byte{byte(i + 1)}, 700*i)
					must(t, os.WriteFile(filepath.Join(dir, n), content[n], 0o644))
				}
			})
			for i := 0; i < 20; i += 2 {
				mtools(t, image, "mdel", fmt.Sprintf("::/evidence number %d.doc", i))
			}
			f, err := fat.Open(fstest.File(t, image))
			must(t, err)
			got := walkAll(t, f)
			for i := range 20 {
				n := fmt.Sprintf("evidence number %d.doc", i)
				e, ok := got["/"+n]
				if !ok || (e.Status == filesystem.Deleted) != (i%2 == 0) || e.Size != int64(len(content[n])) {
					t.Errorf("%q: %+v", n, e)
					continue
				}
				src, err := f.Open(e.Ref)
				must(t, err)
				if src.Size() != e.Size || sum(t, src) != sha256.Sum256(content[n]) {
					t.Errorf("%q: other content, %s", n, e.Damage)
				}
			}
			if w.name == "fat32-4k" {
				return // The Sleuth Kit would have to be told the size of its sectors
			}
			needs(t, "fls")
			for _, l := range strings.Split(run(t, "fls", "-F", "-p", image), "\n") {
				if !strings.Contains(l, "evidence") {
					continue
				}
				var inode uint64
				at := strings.Replace(strings.Fields(l)[1], "*", "", 1)
				if at == "" {
					at = strings.Fields(l)[2]
				}
				fmt.Sscanf(strings.TrimSuffix(at, ":"), "%d", &inode)
				name := l[strings.Index(l, "evidence"):]
				if e := got["/"+name]; e.Ref.Inode != inode {
					t.Errorf("%q is inode %d, fls says %d", name, e.Ref.Inode, inode)
				}
			}
		})
	}
}

// TestEveryByteHasOneOwner: extents of allocated things do not overlap and,
// with the free ones, cover the volume.
func TestEveryByteHasOneOwner(t *testing.T) {
	for _, w := range widths {
		t.Run(w.name, func(t *testing.T) {
			image := makeImage(t, w.kib, w.args...)
			put(t, image, func(dir string) { fillTree(t, dir, rand.New(rand.NewPCG(5, 6))) })
			f, err := fat.Open(fstest.File(t, image))
			must(t, err)
			const unit = 512
			owned := make([]byte, int64(w.kib)<<10/unit)
			for x, err := range f.Extents(t.Context()) {
				must(t, err)
				for at := x.Start / unit; at < (x.Start+x.Length)/unit && x.Status == filesystem.Allocated; at++ {
					if owned[at]++; owned[at] > 1 {
						t.Fatalf("sector %d has two owners: %+v", at, x)
					}
				}
			}
			rest := 0
			for _, o := range owned {
				if o == 0 {
					rest++
				}
			}
			if rest > 64 { // what does not fill a cluster
				t.Errorf("%d sectors have no owner", rest)
			}
		})
	}
}

// tiny makes a FAT12 file system by hand: a folder that holds itself, a chain
// that loops, a chain that leaves the volume.
func tiny() []byte {
	b := make([]byte, 64<<10)
	copy(b, []byte{0xeb, 0x3c, 0x90})
	copy(b[11:], []byte{0, 2, 1, 1, 0, 1, 16, 0, 128, 0, 0xf8, 1, 0})
	b[510], b[511] = 0x55, 0xaa
	set := func(c int, v uint16) {
		at := 512 + c*3/2
		if c%2 == 0 {
			b[at], b[at+1] = byte(v), b[at+1]&0xf0|byte(v>>8)
		} else {
			b[at], b[at+1] = b[at]&0x0f|byte(v<<4), byte(v>>4)
		}
	}
	record := func(at int, name string, attr byte, first uint16, size uint32) {
		copy(b[at:], name)
		b[at+11] = attr
		b[at+26], b[at+27] = byte(first), byte(first>>8)
		b[at+28], b[at+29] = byte(size), byte(size>>8)
	}
	record(1024, "LOOP    BIN", 0x20, 3, 5000)
	record(1056, "DIR        ", 0x10, 2, 0)
	record(1088, "AWAY    BIN", 0x20, 5, 2000)
	record(1120, "\xe5ONE    BIN", 0x20, 6, 400)
	set(2, 0xfff)
	set(3, 4)
	set(4, 3)
	set(5, 0x7ff)
	record(1536, "SELF       ", 0x10, 2, 0)
	return b
}

func TestDamage(t *testing.T) {
	f, err := fat.Open(fstest.Bytes(tiny()))
	must(t, err)
	got := walkAll(t, f)
	for p, want := range map[string]string{"/LOOP.BIN": "loop:", "/DIR/SELF": "loop:", "/AWAY.BIN": "range:", "/DIR": "", "/_ONE.BIN": ""} {
		e, ok := got[p]
		if !ok || !strings.HasPrefix(e.Damage, want) || want == "" && e.Damage != "" {
			t.Errorf("%q: %+v, want %q", p, e, want)
		}
		src, err := f.Open(e.Ref)
		must(t, err)
		sum(t, src)
	}
	fstest.Survive(t, fat.Open, fstest.Bytes(tiny()))
}

func FuzzOpen(f *testing.F) {
	f.Add(tiny())
	f.Add(tiny()[:2000])
	f.Fuzz(func(t *testing.T, b []byte) {
		fs, err := fat.Open(fstest.Bytes(b))
		if err != nil {
			return
		}
		n := 0
		for e, err := range fs.Walk(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n > 100000 {
				return
			}
			src, err := fs.Open(e.Ref)
			if err != nil {
				t.Fatalf("%q: %v", e.Path, err)
			}
			src.ReadAt(make([]byte, 4096), 0)
		}
		for _, err := range fs.Extents(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}
