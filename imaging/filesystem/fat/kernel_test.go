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
	"slices"
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

// mounted runs f over the image as the kernel shows it.
func mounted(t *testing.T, image, options string, f func(dir string)) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount an image")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "vfat", "-o", "loop,utf8,tz=UTC,shortname=mixed"+options, image, dir).CombinedOutput(); err != nil {
		t.Skipf("needs loop devices: %v: %s", err, out)
	}
	defer func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	}()
	f(dir)
}

// forms are the images that the tests make.
var forms = []struct {
	name string
	size int64
	args []string
}{
	{"fat12", 4 << 20, []string{"-F12", "-s1"}},
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
	"Grüße aus Köln.txt", "Новый том.docx", "日本語のファイル名.txt", "🦊 fox 🦊.png", "two.dots.tar.gz", "+,;=[].cfg", "ÄÖÜ.TXT",
	strings.Repeat("long", 63) + "xyz", strings.Repeat("ж", 127), "thirteenchars", "twenty-six characters here", "~tilde~1.txt",
	"EFI", "trailing", "x.y", "NUL.dat", "12345678.123", "123456789.123",
}

// fill makes a tree with files in fragments.
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
	a, err := os.Create(filepath.Join(dir, "fragments a"))
	must(err)
	b, err := os.Create(filepath.Join(dir, "fragments b"))
	must(err)
	for range 60 {
		for _, f := range []*os.File{a, b} {
			_, err := f.Write(content(4096))
			must(err)
			must(f.Sync())
		}
	}
	must(a.Close())
	must(b.Close())
	must(os.WriteFile(filepath.Join(dir, "read-only"), content(100), 0o444))
	must(os.Chmod(filepath.Join(dir, "read-only"), 0o444))
	when := time.Date(2001, 9, 9, 1, 46, 40, 0, time.UTC)
	must(os.Chtimes(filepath.Join(dir, "README.TXT"), when, when))
}

// truth is what the kernel shows.
func truth(t *testing.T, dir string) []fstest.Want {
	t.Helper()
	var want []fstest.Want
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path == dir {
			return nil
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		w := fstest.Want{Path: strings.TrimPrefix(path, dir), Type: filesystem.TypeDir, Size: st.Size(), Modified: imaging.TimeOf(st.ModTime())}
		if !d.IsDir() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			w.Type, w.SHA256 = filesystem.TypeFile, sum(b)
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

// TestKernel makes images, fills them through the kernel, deletes, and compares
// what is read with what the kernel shows and The Sleuth Kit finds.
func TestKernel(t *testing.T) {
	need(t, "mkfs.fat", "mount")
	for i, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			image := makeImage(t, form.size, form.args...)
			r := rand.New(rand.NewPCG(uint64(i), 1))
			mounted(t, image, "", func(dir string) { fill(t, dir, r) })
			removed := map[string][]byte{}
			mounted(t, image, "", func(dir string) {
				for k, n := range names {
					if k%2 == 0 {
						b, err := os.ReadFile(filepath.Join(dir, n))
						if err != nil {
							t.Fatal(err)
						}
						removed["/"+n] = b
						if err := os.Remove(filepath.Join(dir, n)); err != nil {
							t.Fatal(err)
						}
					}
				}
				if err := os.RemoveAll(filepath.Join(dir, "EFI.d", "boot")); err != nil {
					t.Fatal(err)
				}
			})
			var want []fstest.Want
			mounted(t, image, ",ro", func(dir string) { want = truth(t, dir) })
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
				t.Errorf("%d entries in use, the kernel has %d and the root", live, len(want))
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
		if strings.HasPrefix(e.Path, "/EFI.d/boot/") {
			under++
		}
	}
	if under < 7 {
		t.Errorf("%d entries below the deleted directory", under)
	}
	for path, content := range removed {
		e, ok := found[path]
		if !ok {
			e, ok = found["/_"+path[2:]] // a short name
			if !ok {
				e, ok = found["/_"+strings.ToUpper(path[2:])]
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

// compareTSK demands the inode numbers, the names and the status that fls
// gives, and of deleted files the bytes of icat.
func compareTSK(t *testing.T, image string, f *FS) {
	t.Helper()
	if _, err := exec.LookPath("fls"); err != nil {
		t.Log("not compared: needs fls")
		return
	}
	theirs := map[string]string{}
	for line := range strings.Lines(string(command(t, "fls", "-r", "-p", image))) {
		kind, path, ok := strings.Cut(strings.TrimRight(line, "\n"), ":\t")
		if !ok || strings.HasPrefix(path, "$") || strings.HasSuffix(path, "(Volume Label Entry)") {
			continue
		}
		status := "allocated"
		if strings.Contains(kind, "*") {
			status = "deleted"
		}
		words := strings.Fields(kind)
		ino, _, _ := strings.Cut(words[len(words)-1], "(")
		theirs[ino] = status + " /" + path
	}
	ours := map[string]string{}
	for _, e := range all(t, f) {
		if e.Path != "/" {
			ours[fmt.Sprint(e.Ref.Inode)] = e.Status.String() + " " + e.Path
		}
	}
	names, contents := 0, 0
	for _, ino := range sorted(theirs) {
		if got := ours[ino]; got != theirs[ino] {
			names++
			t.Logf("inode %s: %q, fls %q", ino, got, theirs[ino])
		}
	}
	for _, ino := range sorted(ours) {
		if _, ok := theirs[ino]; !ok {
			t.Logf("inode %s: %q, fls does not have it", ino, ours[ino])
		}
	}
	for _, e := range all(t, f) {
		if e.Status != filesystem.Deleted || e.Type != filesystem.TypeFile || theirs[fmt.Sprint(e.Ref.Inode)] == "" {
			continue
		}
		contents++
		if got, want := read(t, f, e.Ref), command(t, "icat", "-r", image, fmt.Sprint(e.Ref.Inode)); !bytes.Equal(got, want) {
			t.Errorf("%q: %d bytes, icat %d", e.Path, len(got), len(want))
		}
	}
	t.Logf("%d entries of fls, %d not the same; %d contents compared with icat", len(theirs), names, contents)
}

func sorted(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// checkCover demands that every byte up to the last cluster has exactly one
// owner among what is in use or free.
func checkCover(t *testing.T, f *FS) {
	t.Helper()
	var list []filesystem.Extent
	for x, err := range f.Extents(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if x.Status == filesystem.Allocated {
			list = append(list, x)
		}
	}
	slices.SortFunc(list, func(a, b filesystem.Extent) int { return int(a.Start - b.Start) })
	at := int64(0)
	for _, x := range list {
		if x.Start != at {
			t.Fatalf("owned up to byte %d, the next extent is %+v", at, x)
		}
		at = x.Start + x.Length
	}
	if at != f.g.end() {
		t.Errorf("owned up to byte %d of %d", at, f.g.end())
	}
}
