package iso9660

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fstest"
)

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

func all(t *testing.T, f *FS) []filesystem.Entry {
	t.Helper()
	var list []filesystem.Entry
	for e, err := range f.Walk(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

func read(t *testing.T, f *FS, ref filesystem.Ref) []byte {
	t.Helper()
	src, err := f.Open(ref)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(src, 0, src.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fill makes files, links, devices and a deep path.
func fill(t *testing.T, dir string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	content := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	must(os.MkdirAll(dir, 0o755))
	for i, n := range []string{"README.TXT", "user-data", "meta-data", "name with spaces.doc", "Grüße aus Köln.txt", "日本語.txt", strings.Repeat("long", 25), "empty", ".profile", "two.dots.tar.gz"} {
		must(os.WriteFile(filepath.Join(dir, n), content(r.IntN(9000)*(i%4)), 0o644))
	}
	must(os.Chmod(filepath.Join(dir, "README.TXT"), 0o4751))
	must(os.Chown(filepath.Join(dir, "README.TXT"), 1000, 1001))
	deep := dir
	for i := range 12 {
		deep = filepath.Join(deep, fmt.Sprintf("level-%d", i))
		must(os.Mkdir(deep, 0o750))
		must(os.WriteFile(filepath.Join(deep, fmt.Sprintf("in %d.bin", i)), content(3000), 0o600))
	}
	many := filepath.Join(dir, "many")
	must(os.Mkdir(many, 0o755))
	for i := range 300 {
		must(os.WriteFile(filepath.Join(many, fmt.Sprintf("entry number %04d", i)), content(i%7), 0o644))
	}
	must(os.Symlink("../etc/passwd", filepath.Join(dir, "link")))
	must(os.Symlink("/a/./b/../"+strings.Repeat("component/", 40)+"end", filepath.Join(dir, "long link")))
	must(os.Symlink("/", filepath.Join(dir, "root link")))
	must(os.Link(filepath.Join(dir, "user-data"), filepath.Join(dir, "hard link")))
	must(syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	if os.Geteuid() == 0 {
		must(syscall.Mknod(filepath.Join(dir, "null"), syscall.S_IFCHR|0o666, 1<<8|3))
	}
	old := time.Date(2001, 9, 9, 1, 46, 40, 0, time.UTC)
	must(os.Chtimes(filepath.Join(dir, "README.TXT"), old, old))
}

// facts is what is compared of an entry.
func facts(path string, mode uint32, uid, gid uint32, size, mtime int64, link string, b []byte) string {
	return fmt.Sprintf("%s %o %d:%d %d %d %q %x", path, mode, uid, gid, size, mtime, link, sha256.Sum256(b))
}

// unpacked is what another reader makes of an image.
func unpacked(t *testing.T, dir string, owners bool) map[string]string {
	t.Helper()
	tree := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			return err
		}
		name, link := path[len(dir):], ""
		var b []byte
		size := st.Size
		switch st.Mode & syscall.S_IFMT {
		case syscall.S_IFLNK:
			link, err = os.Readlink(path)
		case syscall.S_IFREG:
			b, err = os.ReadFile(path)
		default:
			size = 0
		}
		if !owners {
			st.Mode, st.Uid, st.Gid = st.Mode&syscall.S_IFMT, 0, 0
		}
		tree[name] = facts(name, st.Mode, st.Uid, st.Gid, size, st.Mtim.Sec, link, b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// compare demands that both have the same entries.
func compare(t *testing.T, f *FS, tree map[string]string, owners bool) {
	t.Helper()
	n := 0
	for _, e := range all(t, f) {
		if e.Path == "/rr_moved" && tree[e.Path] == "" {
			continue // libarchive does not show it, the kernel does
		}
		if e.Path == "/" || e.Status != filesystem.Allocated {
			continue
		}
		n++
		var b []byte
		size := e.Size
		switch e.Type {
		case filesystem.TypeFile:
			b = read(t, f, e.Ref)
		case filesystem.TypeSymlink:
		default:
			size = 0
		}
		if !owners {
			e.Mode, e.UID, e.GID = e.Mode&syscall.S_IFMT, 0, 0
		}
		if got := facts(e.Path, e.Mode, e.UID, e.GID, size, e.Modified.Sec, e.Link, b); got != tree[e.Path] || e.Damage != "" {
			t.Errorf("%s (%s), theirs %s", got, e.Damage, tree[e.Path])
		}
	}
	if n != len(tree) {
		t.Errorf("%d entries, theirs %d", n, len(tree))
	}
	t.Logf("%d entries compared", n)
}

// TestTools compares images of two makers with what libarchive unpacks.
func TestTools(t *testing.T) {
	need(t, "bsdtar")
	for _, c := range []struct {
		name   string
		owners bool
		args   []string
	}{
		{"rock ridge", true, []string{"genisoimage", "-quiet", "-R", "-V", "cidata"}},
		{"rock ridge and joliet", true, []string{"genisoimage", "-quiet", "-R", "-J", "-joliet-long", "-V", "CONFIG-2"}},
		{"joliet", false, []string{"genisoimage", "-quiet", "-J", "-joliet-long", "-input-charset", "utf-8"}},
		{"plain", false, []string{"genisoimage", "-quiet", "-l", "-allow-lowercase", "-allow-multidot", "-input-charset", "utf-8"}},
		{"xorriso", true, []string{"xorriso", "-as", "mkisofs", "-quiet", "-R", "-J", "--old-exclude", "none"}},
		{"xorriso deep", true, []string{"xorriso", "-as", "mkisofs", "-quiet", "-R", "-D"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			need(t, c.args[0])
			dir := t.TempDir()
			image, in, out := filepath.Join(dir, "image.iso"), filepath.Join(dir, "in"), filepath.Join(dir, "out")
			fill(t, in)
			if c.args[0] == "genisoimage" { // it cuts the second part of a long link
				os.Remove(filepath.Join(in, "long link"))
			}
			if err := os.Mkdir(out, 0o755); err != nil {
				t.Fatal(err)
			}
			command(t, c.args[0], append(c.args[1:], "-o", image, in)...)
			bsdtar := []string{"-xpf", image, "-C", out}
			if c.owners { // it cannot make the device
				bsdtar = append(bsdtar, "--exclude", "null")
			}
			command(t, "bsdtar", bsdtar...)
			src := fstest.File(t, image)
			f, err := Open(src)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", f.Info())
			theirs := unpacked(t, out, c.owners)
			if c.owners { // what libarchive does not make, or makes wrongly
				ours := unpacked(t, in, true)
				for _, name := range []string{"/null", "/long link"} {
					if ours[name] != "" {
						theirs[name] = ours[name]
					}
				}
			}
			compare(t, f, theirs, c.owners)
			fstest.Sound(t, Open, src, nil)
		})
	}
}

// TestSessions demands that what an older session had is given as deleted.
func TestSessions(t *testing.T) {
	need(t, "xorriso")
	dir := t.TempDir()
	image := filepath.Join(dir, "image.iso")
	for name, text := range map[string]string{"first": "kept", "second": "the old text", "third": "removed later"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command(t, "xorriso", "-report_about", "WARNING", "-outdev", "stdio:"+image, "-map", filepath.Join(dir, "first"), "/first", "-map", filepath.Join(dir, "second"), "/second", "-map", filepath.Join(dir, "third"), "/d/third", "-commit")
	if err := os.WriteFile(filepath.Join(dir, "second"), []byte("the new text"), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, "xorriso", "-report_about", "WARNING", "-dev", "stdio:"+image, "-rm", "/d/third", "--", "-update", filepath.Join(dir, "second"), "/second", "-commit")
	f, err := Open(fstest.File(t, image))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", f.Info())
	got := map[string]string{}
	for _, e := range all(t, f) {
		if e.Type == filesystem.TypeFile {
			got[e.Path+" "+e.Status.String()] += string(read(t, f, e.Ref)) + "|"
		}
	}
	want := map[string]string{"/first allocated": "kept|", "/second allocated": "the new text|", "/second deleted": "the old text|", "/d/third deleted": "removed later|"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestBoot demands that a boot image is listed though its name is hidden.
func TestBoot(t *testing.T) {
	need(t, "genisoimage")
	dir := t.TempDir()
	in, image := filepath.Join(dir, "in"), filepath.Join(dir, "image")
	if err := os.Mkdir(in, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"boot.img": strings.Repeat("loader..", 512), "seen": "seen"} {
		if err := os.WriteFile(filepath.Join(in, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, hide := range []bool{false, true} {
		args := []string{"-quiet", "-R", "-b", "boot.img", "-no-emul-boot", "-boot-load-size", "4", "-o", image}
		if hide {
			args = append(args, "-hide", "boot.img")
		}
		command(t, "genisoimage", append(args, in)...)
		src := fstest.File(t, image)
		f, err := Open(src)
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, e := range all(t, f) {
			if e.From == "boot-catalog" {
				found = append(found, string(read(t, f, e.Ref)))
			}
		}
		if hide && (len(found) != 1 || found[0] != strings.Repeat("loader..", 256)) || !hide && len(found) != 0 {
			t.Errorf("hidden %v: %d boot images, %.20q; %v", hide, len(found), found, f.Info().Features)
		}
		fstest.Sound(t, Open, src, nil)
	}
}
