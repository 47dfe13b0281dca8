package fat

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	"snapcase/imaging/filesystem/fstest"
)

// need skips where a tool is missing.
func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
}

func command(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, errs.Bytes())
	}
	return out
}

// forms are the images that the tests make.
var forms = []struct {
	name string
	size int64
	args []string
}{
	{"fat12", 3 << 20, []string{"-F12", "-s2"}},
	{"fat16", 40 << 20, []string{"-F16", "-n", "SECHZEHN"}},
	{"fat32", 80 << 20, []string{"-F32", "-s1", "-n", "ZWEIUND30"}},
	{"fat32_4k", 600 << 20, []string{"-F32", "-S4096", "-s1", "-i", "deadbeef"}},
}

func makeImage(t *testing.T, size int64, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	command(t, "mkfs.fat", append(args, path)...)
	return path
}

// names are such as people give.
var names = []string{
	"README.TXT", "readme.md", "lower.txt", "UPPER.EXE", "MixedCase.Txt", "a", "B", ".profile", "name with spaces.doc",
	"Grüße aus Köln.txt", "Новый том.docx", "日本語のファイル名.txt", "two.dots.tar.gz", "+,;=[].cfg", "ÄÖÜ.TXT",
	strings.Repeat("long", 63) + "xyz", strings.Repeat("ж", 127), "thirteenchars", "twenty-six characters here", "~tilde~1.txt",
	"EFI", "trailing", "x.y", "NUL.dat", "12345678.123", "123456789.123",
}

// fill makes a tree of files in a folder.
func fill(t *testing.T, dir string, r *rand.Rand) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	content := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	for i, n := range names {
		must(os.WriteFile(filepath.Join(dir, n), content(r.IntN(9000)*(i%3)), 0o644))
	}
	deep := dir
	for _, n := range []string{"EFI.d", "boot", "Ünïcödé dir", "x"} {
		deep = filepath.Join(deep, n)
		must(os.Mkdir(deep, 0o755))
		for i := range 3 {
			must(os.WriteFile(filepath.Join(deep, fmt.Sprintf("file %d.bin", i)), content(r.IntN(5000)), 0o644))
		}
	}
	many := filepath.Join(dir, "many")
	must(os.Mkdir(many, 0o755))
	for i := range 300 {
		must(os.WriteFile(filepath.Join(many, fmt.Sprintf("entry number %04d", i)), content(i%7), 0o644))
	}
	must(os.WriteFile(filepath.Join(dir, "read-only"), content(100), 0o444))
	must(os.Chmod(filepath.Join(dir, "read-only"), 0o444))
	when := time.Date(2001, 9, 9, 1, 46, 40, 0, time.UTC)
	must(os.Chtimes(filepath.Join(dir, "README.TXT"), when, when))
}

// truth is what lies in a folder. The time of a file is exact to two seconds.
func truth(t *testing.T, dir string) []fstest.Want {
	t.Helper()
	var want []fstest.Want
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		w := fstest.Want{Path: strings.TrimPrefix(path, dir), Type: filesystem.TypeDir, Size: fstest.AnySize}
		if !d.IsDir() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			st, err := d.Info()
			if err != nil {
				return err
			}
			w.Type, w.Size, w.SHA256 = filesystem.TypeFile, int64(len(b)), sum(b)
			w.Modified = imaging.Time{Sec: st.ModTime().Unix() &^ 1, Set: true}
		}
		want = append(want, w)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return want
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func load(t *testing.T, path string) imaging.Source {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return file{f, st.Size()}
}

type file struct {
	*os.File
	size int64
}

func (f file) Size() int64 { return f.size }

func all(t *testing.T, f *FS) []filesystem.Entry {
	t.Helper()
	var list []filesystem.Entry
	for e, err := range f.Walk(context.Background()) {
		if err != nil {
			t.Fatalf("walk: %v", err)
		}
		list = append(list, e)
	}
	return list
}

func read(t *testing.T, f *FS, ref filesystem.Ref) []byte {
	t.Helper()
	src, err := f.Open(ref)
	if err != nil {
		t.Fatalf("open %v: %v", ref, err)
	}
	b, err := io.ReadAll(io.NewSectionReader(src, 0, src.Size()))
	if err != nil {
		t.Fatalf("read %v: %v", ref, err)
	}
	return b
}

// build makes an image of a tree with mtools, with deleted files and files in
// pieces, and gives the tree as it is then and what was removed.
func build(t *testing.T, form int) (image, dir string, removed map[string][]byte) {
	t.Helper()
	need(t, "mkfs.fat", "mcopy", "mdel", "mdeltree")
	image, dir = makeImage(t, forms[form].size, forms[form].args...), t.TempDir()
	fill(t, dir, rand.New(rand.NewPCG(uint64(form), 1)))
	copyIn := func(names ...string) {
		t.Helper()
		for i, n := range names {
			names[i] = filepath.Join(dir, n)
		}
		command(t, "mcopy", append(append([]string{"-s", "-m", "-Q", "-i", image}, names...), "::/")...)
	}
	write := func(n string, size int) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, n), bytes.Repeat([]byte(n+"\n"), size/len(n)), 0o644); err != nil {
			t.Fatal(err)
		}
		copyIn(n)
	}
	remove := func(n string) {
		t.Helper()
		command(t, "mdel", "-i", image, "::/"+n)
		if err := os.Remove(filepath.Join(dir, n)); err != nil {
			t.Fatal(err)
		}
	}
	// Gaps first, so that later files lie in pieces.
	for i := range 16 {
		write(fmt.Sprintf("gap %02d", i), 5000)
	}
	for i := 0; i < 16; i += 2 {
		remove(fmt.Sprintf("gap %02d", i))
	}
	write("in pieces", 90000)
	top, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var rest []string
	for _, e := range top {
		if !strings.HasPrefix(e.Name(), "gap ") && e.Name() != "in pieces" {
			rest = append(rest, e.Name())
		}
	}
	copyIn(rest...)
	removed = map[string][]byte{}
	for k, n := range names {
		if k%2 == 0 {
			removed["/"+n] = readFile(t, filepath.Join(dir, n))
			remove(n)
		}
	}
	command(t, "mdeltree", "-i", image, "::/EFI.d/boot")
	if err := os.RemoveAll(filepath.Join(dir, "EFI.d", "boot")); err != nil {
		t.Fatal(err)
	}
	return image, dir, removed
}

// TestTools makes images with mkfs.fat and mtools and compares what is read
// with what was put in and with what The Sleuth Kit finds.
func TestTools(t *testing.T) {
	for i, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			image, dir, removed := build(t, i)
			want := truth(t, dir)
			src := load(t, image)
			f, err := Open(src)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", f.Info())
			live := 0
			for _, e := range all(t, f) {
				if e.Status == filesystem.Allocated {
					live++
					if e.Damage != "" {
						t.Errorf("%q: damage %q", e.Path, e.Damage)
					}
				}
			}
			if live != len(want)+1 {
				t.Errorf("%d entries in use, %d were put in, and the root", live, len(want))
			}
			fstest.Sound(t, Open, src, want)
			checkRemoved(t, f, removed)
			compareTSK(t, image, f)
			checkCover(t, f)
			if form.size < 64<<20 {
				fstest.Damage(t, Open, fstest.Bytes(readFile(t, image)))
			}
		})
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// checkRemoved demands the names and the content of what was deleted and not
// overwritten.
func checkRemoved(t *testing.T, f *FS, removed map[string][]byte) {
	t.Helper()
	found := map[string]filesystem.Entry{}
	under := 0
	for _, e := range all(t, f) {
		if e.Status != filesystem.Deleted {
			continue
		}
		found[e.Path] = e
		if strings.HasPrefix(strings.ToLower(e.Path), "/efi.d/_oot/") { // a short name
			under++
		}
	}
	if under < 11 {
		t.Errorf("%d entries below the deleted directory", under)
	}
	for path, content := range removed {
		e, ok := found[path]
		if !ok {
			e, ok = found["/_"+path[2:]] // a short name
			if path == "/ÄÖÜ.TXT" {
				e, ok = found["/_\x99\x9a.TXT"] // in code page 850
			}
		}
		if !ok {
			t.Errorf("%q was deleted and is not found", path)
			continue
		}
		if got := read(t, f, e.Ref); !bytes.Equal(got, content) {
			t.Errorf("%q: %d bytes, not the %d that were deleted (%s)", path, len(got), len(content), e.Damage)
		}
	}
}
