package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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

	"golang.org/x/sys/unix"

	"snapcase/evidence"
	"snapcase/imaging"
)

// TestFilesEqualTheKernel fills an ext4 through a loop mount, and compares what
// the files verb says with what the kernel says, entry by entry and field by
// field; then the deleted ones.
func TestFilesEqualTheKernel(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a loop device")
	}
	for _, tool := range []string{"mkfs.ext4", "mount", "umount", "losetup"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	for _, options := range []string{"", "-O ^extent,^64bit -b 1024", "-I 128 -b 2048", "-O inline_data"} {
		t.Run("mkfs"+options, func(t *testing.T) { compareWithKernel(t, strings.Fields(options)) })
	}
}

func compareWithKernel(t *testing.T, options []string) {
	dir := t.TempDir()
	image, mnt := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "mnt")
	must(t, os.Mkdir(mnt, 0o755))
	f, err := os.Create(image)
	must(t, err)
	must(t, f.Truncate(96<<20))
	must(t, f.Close())
	do(t, "mkfs.ext4", append([]string{"-q", "-F"}, append(options, image)...)...)
	mount(t, "loop", image, mnt)
	deleted := fill(t, mnt)
	do(t, "umount", mnt)

	home := t.TempDir()
	cs := filepath.Join(dir, "case")
	output(t, home, []int{0}, "new", cs, "--title", "T", "--examiner", "jdoe")
	before := sum(t, image)
	output(t, home, []int{0, 4}, "acquire", cs, image, "--as", "disk")
	if sum(t, image) != before {
		t.Fatal("the source has changed")
	}
	got := map[string]evidence.FileEntry{}
	dead := 0
	for _, e := range entries(t, output(t, home, []int{0, 4}, "files", cs, "--json", "--hash", "--attributes")) {
		if e.Status != "allocated" {
			dead++
			continue
		}
		path := e.Path
		if e.PathB64 != nil {
			path = string(e.PathB64)
		}
		if _, twice := got[path]; twice {
			t.Errorf("%q is listed twice", path)
		}
		got[path] = e
	}

	mount(t, "loop,ro,noload", image, mnt)
	defer do(t, "umount", mnt)
	want := 0
	must(t, filepath.WalkDir(mnt, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := "/" + strings.TrimPrefix(strings.TrimPrefix(p, mnt), "/")
		want++
		compareEntry(t, p, rel, got[rel])
		return nil
	}))
	if len(got) != want {
		t.Errorf("%d allocated entries listed, the kernel has %d", len(got), want)
	}
	if dead < deleted {
		t.Errorf("%d deleted entries listed, %d were deleted", dead, deleted)
	}
}

// fill makes a tree with what is hard about names, times and content, and
// deletes some of it; it says how many files it deleted.
func fill(t *testing.T, mnt string) int {
	r := rand.New(rand.NewPCG(1, 2))
	blob := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	write := func(name string, b []byte) {
		p := filepath.Join(mnt, name)
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		must(t, os.WriteFile(p, b, 0o640))
	}
	for i := range 300 {
		write(fmt.Sprintf("many/f%03d", i), blob(r.IntN(9000)))
	}
	write("empty", nil)
	write("small", []byte("x"))
	write("big", blob(5<<20))
	write("ünïcödé/Ελληνικά/日本語", blob(100))
	write(strings.Repeat("l", 255), blob(1))
	write("esc\x1b[31mred\nline\t\u202etxt", blob(10))
	write("bytes\xff\xfe\x80", blob(20))
	write("deep/"+strings.Repeat("d/", 60)+"leaf", blob(3))
	sparse, err := os.Create(filepath.Join(mnt, "sparse"))
	must(t, err)
	for _, at := range []int64{0, 5 << 20, 33 << 20} {
		_, err = sparse.WriteAt(blob(5000), at)
		must(t, err)
	}
	must(t, sparse.Truncate(40<<20))
	must(t, sparse.Close())
	must(t, os.Link(filepath.Join(mnt, "small"), filepath.Join(mnt, "many/hard")))
	must(t, os.Symlink("small", filepath.Join(mnt, "short")))
	must(t, os.Symlink("/"+strings.Repeat("long/", 40), filepath.Join(mnt, "longlink")))
	must(t, unix.Mkfifo(filepath.Join(mnt, "fifo"), 0o600))
	must(t, unix.Mknod(filepath.Join(mnt, "char"), unix.S_IFCHR|0o600, int(unix.Mkdev(5, 300))))
	must(t, unix.Mknod(filepath.Join(mnt, "block"), unix.S_IFBLK|0o600, int(unix.Mkdev(8, 1))))
	must(t, os.Chown(filepath.Join(mnt, "small"), 100_000, 70_000))
	must(t, os.Chmod(filepath.Join(mnt, "small"), 0o4755|os.ModeSetuid))
	for name, at := range map[string]time.Time{"empty": time.Unix(-300_000_000, 123), "big": time.Unix(2_230_000_000, 999_999_999)} {
		must(t, os.Chtimes(filepath.Join(mnt, name), at, at))
	}
	must(t, unix.Setxattr(filepath.Join(mnt, "small"), "user.note", []byte("a\xff\x1b[31m"), 0))
	must(t, unix.Setxattr(filepath.Join(mnt, "big"), "trusted.large", blob(500), 0))
	must(t, unix.Setxattr(filepath.Join(mnt, "many"), "security.selinux", []byte("system_u:object_r:etc_t:s0\x00"), 0))
	unix.Sync()
	n := 0
	for i := 0; i < 300; i += 10 {
		must(t, os.Remove(filepath.Join(mnt, fmt.Sprintf("many/f%03d", i))))
		n++
	}
	return n
}

func compareEntry(t *testing.T, path, rel string, e evidence.FileEntry) {
	t.Helper()
	var s unix.Statx_t
	must(t, unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_ALL, &s))
	if e.Address == "" {
		t.Errorf("%q is missing", rel)
		return
	}
	same := func(what string, got, want any) {
		if got != want {
			t.Errorf("%q: %s is %v, the kernel says %v", rel, what, got, want)
		}
	}
	at := func(x unix.StatxTimestamp) imaging.Time {
		return imaging.Time{Sec: x.Sec, Nsec: int32(x.Nsec), Set: true}
	}
	same("inode", e.Inode, s.Ino)
	same("mode", e.Mode, fmt.Sprintf("%06o", s.Mode))
	same("uid", e.UID, s.Uid)
	same("gid", e.GID, s.Gid)
	same("links", e.Links, s.Nlink)
	same("size", e.Size, int64(s.Size))
	same("modified", e.Modified, at(s.Mtime))
	same("accessed", e.Accessed, at(s.Atime))
	same("changed", e.Changed, at(s.Ctime))
	if s.Mask&unix.STATX_BTIME != 0 {
		same("born", e.Born, at(s.Btime))
	}
	compareAttributes(t, path, e)
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		link, err := os.Readlink(path)
		must(t, err)
		if e.Link == nil {
			t.Errorf("%q: no link target", rel)
		} else {
			same("link", *e.Link, link)
		}
	case unix.S_IFREG:
		same("sha256", e.SHA256, sum(t, path))
	}
}

// compareAttributes compares the extended attributes with the kernel's.
func compareAttributes(t *testing.T, path string, e evidence.FileEntry) {
	t.Helper()
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, names)
	must(t, err)
	got := map[string]string{}
	for _, a := range e.Attributes {
		value := string(a.ValueB64)
		if a.Value != nil {
			value = *a.Value
		}
		got[a.Name] = value
	}
	list := strings.FieldsFunc(string(names[:n]), func(r rune) bool { return r == 0 })
	for _, name := range list {
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		must(t, err)
		if v, ok := got[name]; !ok || v != string(value[:n]) {
			t.Errorf("%q: attribute %s is %q, the kernel says %q", path, name, v, value[:n])
		}
	}
	if len(list) != len(got) {
		t.Errorf("%q: %d attributes, the kernel has %d", path, len(got), len(list))
	}
}

func entries(t *testing.T, b []byte) []evidence.FileEntry {
	t.Helper()
	var all []evidence.FileEntry
	sc := bufio.NewScanner(bytes.NewReader(b))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var e evidence.FileEntry
		must(t, json.Unmarshal(sc.Bytes(), &e))
		all = append(all, e)
	}
	return all
}

func sum(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	must(t, err)
	return hex.EncodeToString(h.Sum(nil))
}

func mount(t *testing.T, options, image, mnt string) {
	t.Helper()
	if out, err := exec.Command("mount", "-o", options, image, mnt).CombinedOutput(); err != nil {
		t.Skipf("needs loop mounts: %v: %s", err, out)
	}
}

func do(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
