package squashfs

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

// fillTree makes a tree with what squashfs stores in different ways: blocks that
// compress and that do not, holes, ends in fragments, equal files, large
// directories, links, devices.
func fillTree(t *testing.T, dir string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(5, 6))
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	write := func(name string, b []byte) { must(os.WriteFile(filepath.Join(dir, name), b, 0o644)) }
	must(os.MkdirAll(filepath.Join(dir, "a", "b", "c"), 0o755))
	must(os.Mkdir(filepath.Join(dir, "nothing in it"), 0o700))
	text := []byte(strings.Repeat("a line of text that compresses\n", 40000))
	write("text", text)
	write("text again", text)
	write("noise", noise(700_001))
	write("a/b/c/small", []byte("small"))
	write("empty", nil)
	write("one block", noise(131072))
	write("one block and one", noise(131073))
	hole := make([]byte, 3<<20)
	copy(hole[1<<20:], "in the middle")
	write("hole", hole)
	write("Grüße \xff\n.txt", []byte("a name that is no UTF-8"))
	must(os.Mkdir(filepath.Join(dir, "many"), 0o755))
	for i := range 3000 {
		write(fmt.Sprintf("many/a rather long name of a file, number %05d", i), text[:i%97])
	}
	must(os.Symlink("../etc/passwd", filepath.Join(dir, "link")))
	must(os.Symlink(strings.Repeat("x/", 2000), filepath.Join(dir, "long link")))
	must(os.Link(filepath.Join(dir, "noise"), filepath.Join(dir, "hard link")))
	must(syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	if os.Geteuid() == 0 {
		must(syscall.Mknod(filepath.Join(dir, "null"), syscall.S_IFCHR|0o666, 1<<8|3))
		must(syscall.Mknod(filepath.Join(dir, "disk"), syscall.S_IFBLK|0o660, 259<<8|7))
		must(os.Chown(filepath.Join(dir, "text"), 70000, 1001))
	}
	must(os.Chmod(filepath.Join(dir, "text"), 0o4751))
	old := time.Date(2001, 9, 9, 1, 46, 40, 0, time.UTC)
	must(os.Chtimes(filepath.Join(dir, "text"), old, old))
}

// facts is what is compared of an entry.
func facts(ino uint64, mode, uid, gid, links, rdev uint32, size, mtime int64, link string, b []byte) string {
	return fmt.Sprintf("%d %o %d:%d %d %d %d %d %.40q %x", ino, mode, uid, gid, links, rdev, size, mtime, link, sha256.Sum256(b))
}

// seen is what the kernel, or a tool, makes of an image. Numbers and links are
// compared where the kernel gave them.
func seen(t *testing.T, dir string, kernel bool) map[string]string {
	t.Helper()
	tree := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			return err
		}
		link := ""
		var b []byte
		size := st.Size
		switch st.Mode & syscall.S_IFMT {
		case syscall.S_IFLNK:
			link, err = os.Readlink(path)
		case syscall.S_IFREG:
			b, err = os.ReadFile(path)
		case syscall.S_IFDIR:
			size = 0
		}
		if !kernel {
			st.Ino, st.Nlink = 0, 0
		}
		tree["/"+strings.TrimPrefix(path[len(dir):], "/")] = facts(st.Ino, st.Mode, st.Uid, st.Gid, uint32(st.Nlink), uint32(st.Rdev), size, st.Mtim.Sec, link, b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// mount gives where the kernel shows an image, or "".
func mount(t *testing.T, image string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		return ""
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "squashfs", "-o", "loop,ro", image, dir).CombinedOutput(); err != nil {
		t.Logf("not compared with the kernel: %s", out)
		return ""
	}
	t.Cleanup(func() { exec.Command("umount", dir).Run() })
	return dir
}

// forms are the images that the tests make.
var forms = [][]string{
	{"-comp", "gzip"},
	{"-comp", "gzip", "-b", "4K", "-no-exports", "-always-use-fragments"},
	{"-comp", "gzip", "-noI", "-noD", "-noF", "-noId"},
	{"-comp", "gzip", "-no-fragments", "-b", "1M"},
	{"-comp", "xz"},
	{"-comp", "xz", "-b", "1M", "-Xdict-size", "100%"},
	{"-comp", "zstd"},
	{"-comp", "zstd", "-Xcompression-level", "22", "-b", "1M"},
	{"-comp", "lz4"},
	{"-comp", "lz4", "-Xhc"},
	{"-comp", "lzo"},
	{"-comp", "lzo", "-Xalgorithm", "lzo1x_1_15"},
	{"-comp", "lzma"},
}

// TestTools compares every entry with the mount of the kernel, or where that
// cannot be had with what unsquashfs unpacks.
func TestTools(t *testing.T) {
	need(t, "mksquashfs", "unsquashfs")
	if testing.Short() {
		t.Skip("takes long")
	}
	in := filepath.Join(t.TempDir(), "in")
	fillTree(t, in)
	for _, form := range forms {
		t.Run(strings.Join(form, " "), func(t *testing.T) {
			image := filepath.Join(t.TempDir(), "image")
			command(t, "mksquashfs", append([]string{in, image, "-quiet", "-no-progress"}, form...)...)
			kernel := true
			dir := mount(t, image)
			if dir == "" {
				kernel, dir = false, filepath.Join(t.TempDir(), "out")
				command(t, "unsquashfs", "-quiet", "-no-progress", "-d", dir, image)
			}
			tree := seen(t, dir, kernel)
			src := fstest.File(t, image)
			f, err := Open(src)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, e := range all(t, f) {
				n++
				var b []byte
				size := e.Size
				switch e.Type {
				case filesystem.TypeFile:
					b = read(t, f, e.Ref)
				case filesystem.TypeDir:
					size = 0
				default:
				}
				if !kernel {
					e.Ref.Inode, e.Links = 0, 0
				}
				got := facts(e.Ref.Inode, e.Mode, e.UID, e.GID, e.Links, e.Rdev, size, e.Modified.Sec, e.Link, b)
				if got != tree[e.Path] || e.Damage != "" || e.Ref.Stream != "" {
					t.Errorf("%q: %s (%s), theirs %s", e.Path, got, e.Damage, tree[e.Path])
				}
			}
			if n != len(tree) {
				t.Errorf("%d entries, theirs %d", n, len(tree))
			}
			t.Logf("%+v: %d entries compared, kernel %v", f.Info().Features, n, kernel)
			fstest.Sound(t, Open, src, nil)
		})
	}
}
