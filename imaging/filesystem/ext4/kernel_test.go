package ext4

import (
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

	"snapcase/imaging"
	"snapcase/imaging/filesystem"

	"golang.org/x/sys/unix"
)

// disk is an image file as a Source.
type disk struct {
	*os.File
	size int64
}

func (d disk) Size() int64 { return d.size }

func openDisk(t testing.TB, path string) disk {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	i, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return disk{f, i.Size()}
}

// volume is an image that the kernel mounts.
type volume struct {
	t          testing.TB
	image, dir string
	mounted    bool
	open       *os.File // held while the volume stops
	once       bool     // it was mounted: then it must mount again
	dated      bool     // directories were changed by a replay that gave them its own time
}

func needKernel(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("makes and mounts volumes: not with -short")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root to mount")
	}
	b, _ := os.ReadFile("/proc/filesystems")
	if !strings.Contains(string(b), "\text4\n") {
		t.Skip("needs a kernel with ext4")
	}
	if _, err := exec.LookPath("mke2fs"); err != nil {
		t.Skip("needs mke2fs")
	}
}

// newVolume makes a file system and mounts it; the test skips when mke2fs or
// the kernel does not know an option.
func newVolume(t testing.TB, size int64, options, mount string) *volume {
	t.Helper()
	needKernel(t)
	dir := t.TempDir()
	v := &volume{t: t, image: filepath.Join(dir, "image"), dir: filepath.Join(dir, "mnt")}
	f, err := os.Create(v.image)
	v.must(err)
	v.must(f.Truncate(size))
	f.Close()
	v.must(os.Mkdir(v.dir, 0o700))
	if out, err := exec.Command("mke2fs", append(append([]string{"-q", "-F"}, strings.Fields(options)...), v.image)...).CombinedOutput(); err != nil {
		t.Skipf("mke2fs: %s", out)
	}
	v.mount("rw," + mount)
	return v
}

func (v *volume) mount(options string) {
	v.t.Helper()
	if out, err := exec.Command("mount", "-t", "ext4", "-o", "loop,"+strings.TrimSuffix(options, ","), v.image, v.dir).CombinedOutput(); err != nil {
		if v.once {
			v.t.Fatalf("mount: %s", out)
		}
		v.t.Skipf("mount: %s", out)
	}
	v.mounted, v.once = true, true
	v.t.Cleanup(v.unmount)
}

func (v *volume) unmount() {
	if !v.mounted {
		return
	}
	v.mounted = false
	if out, err := exec.Command("umount", v.dir).CombinedOutput(); err != nil {
		v.t.Errorf("umount: %s", out)
	}
}

func (v *volume) path(name string) string { return v.dir + "/" + name }

func (v *volume) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

func (v *volume) write(name string, data []byte) {
	v.t.Helper()
	v.must(os.WriteFile(v.path(name), data, 0o640))
}

// commit makes the kernel commit what it has done.
func (v *volume) commit() {
	v.t.Helper()
	v.must(exec.Command("sync", "-f", v.dir).Run())
}

// shutdown stops the volume as a crash would, with the journal flushed before
// or not, and leaves it unmounted.
func (v *volume) shutdown(flush bool) {
	v.t.Helper()
	const ioctl = 0x8004587d // EXT4_IOC_SHUTDOWN
	how := 2                 // no flush
	if flush {
		how = 1
	}
	f, err := os.Open(v.dir)
	v.must(err)
	err = unix.IoctlSetPointerInt(int(f.Fd()), ioctl, how)
	f.Close()
	if err != nil {
		v.t.Skipf("shutdown: %v", err)
	}
	if v.open != nil {
		v.open.Close()
		v.open = nil
	}
	v.unmount()
}

// copyImage goes on with a copy of the image and gives the path of the first.
func (v *volume) copyImage() (first string) {
	v.t.Helper()
	first = v.image
	v.image += ".copy"
	if out, err := exec.Command("cp", "--sparse=always", first, v.image).CombinedOutput(); err != nil {
		v.t.Fatalf("cp: %s", out)
	}
	return first
}

// fill makes a tree of what the format has forms for.
func (v *volume) fill(r *rand.Rand) {
	v.t.Helper()
	for _, n := range []int{0, 3, 40, 700, 2500} {
		d := fmt.Sprintf("d%d", n)
		v.must(os.Mkdir(v.path(d), 0o755))
		for i := range n {
			v.write(d+"/"+randomName(r, i), randomBytes(r, r.IntN(9000)))
		}
	}
	v.must(os.Mkdir(v.path("special"), 0o1777))
	for _, n := range []int{1, 59, 60, 160, 1000} {
		v.must(os.Symlink(strings.Repeat("t/", n)[:n], v.path(fmt.Sprintf("special/link%d", n))))
	}
	for name, mode := range map[string]uint32{"fifo": unix.S_IFIFO, "sock": unix.S_IFSOCK, "chr": unix.S_IFCHR, "blk": unix.S_IFBLK} {
		v.must(unix.Mknod(v.path("special/"+name), mode|0o620, int(unix.Mkdev(259, 70000))))
	}
	v.write("special/first", []byte("hard linked"))
	for i := range 5 {
		v.must(os.Link(v.path("special/first"), v.path(fmt.Sprintf("d3/again%d", i))))
	}
	for _, n := range []int{0, 1, 4095, 4096, 100000, 1 << 20} {
		v.write(fmt.Sprintf("size%d", n), randomBytes(r, n))
	}
	f, err := os.Create(v.path("pieces"))
	v.must(err)
	for i := range 300 {
		_, err = f.WriteAt(randomBytes(r, 3000), int64(i)*65536)
		v.must(err)
	}
	f.Close()
}

func randomBytes(r *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// randomName is of letters of several scripts and of bytes that are none, up
// to 200 bytes long; i makes it unique.
func randomName(r *rand.Rand, i int) string {
	alphabets := []string{"abcdefghij", "äöüßéèñ", "имяфайла", "\x01\x02\n\t\x7f", "😀🔑", " .-_'\"\\$*"}
	name := fmt.Sprintf("%d-", i)
	want := 1 + r.IntN(40)
	if r.IntN(20) == 0 {
		want = 180
	}
	a := []rune(alphabets[r.IntN(len(alphabets))])
	for len(name) < want {
		name += string(a[r.IntN(len(a))])
	}
	return name
}

// churn changes all that there is: new and removed files, renames, growing and
// shrinking directories, truncation, inodes and blocks that are used again.
func (v *volume) churn(r *rand.Rand) {
	v.t.Helper()
	for i := range 1200 {
		d := fmt.Sprintf("new%d", i%5)
		v.must(os.MkdirAll(v.path(d), 0o755))
		v.write(fmt.Sprintf("%s/%s", d, randomName(r, i)), randomBytes(r, r.IntN(9000)))
	}
	for _, d := range []string{"d40", "d700", "d2500", "new1"} {
		list, err := os.ReadDir(v.path(d))
		v.must(err)
		for i, e := range list {
			switch i % 5 {
			case 0, 1:
				v.must(os.RemoveAll(v.path(d + "/" + e.Name())))
			case 2:
				v.must(os.Rename(v.path(d+"/"+e.Name()), v.path(fmt.Sprintf("d0/moved-%s-%d", d, i))))
			}
		}
	}
	v.must(os.Truncate(v.path("pieces"), 4<<20))
	v.must(os.Chmod(v.path("size4096"), 0o4711))
	v.must(os.RemoveAll(v.path("new4")))
	v.commit()
	for i := range 300 {
		v.write(fmt.Sprintf("new2/again%d", i), []byte("second"))
		if i%3 == 0 {
			v.must(os.Remove(v.path(fmt.Sprintf("new2/again%d", i))))
		}
		if i%100 == 0 {
			v.commit()
		}
	}
	f, err := os.Create(v.path("open-and-deleted"))
	v.must(err)
	_, err = f.WriteString("still here")
	v.must(err)
	v.open = f
	v.must(os.Remove(f.Name()))
	v.must(os.RemoveAll(v.path("new3")))
	v.commit()
	v.must(os.Mkdir(v.path("new3"), 0o711))
	v.write("new3/last", randomBytes(r, 15000))
	if f, err := os.OpenFile(v.path("new3/magic"), os.O_CREATE|os.O_WRONLY|os.O_SYNC, 0o600); err == nil {
		// escaped in a journal that holds data
		_, err = f.Write([]byte(strings.Repeat("\xc0\x3b\x39\x98\x00\x00\x00\x01", 2048)))
		v.must(err)
		f.Close()
	}
}

// truth is what the kernel says of one path.
func truth(t testing.TB, path string) string {
	t.Helper()
	var s unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_ALL, &s); err != nil {
		t.Fatal(err)
	}
	link, size := "", int64(s.Size)
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		link, _ = os.Readlink(path)
	case unix.S_IFCHR, unix.S_IFBLK, unix.S_IFIFO, unix.S_IFSOCK:
		size = 0
	}
	stamp := func(x unix.StatxTimestamp) imaging.Time {
		return imaging.Time{Sec: x.Sec, Nsec: int32(x.Nsec), Set: true}
	}
	born := stamp(s.Btime)
	if s.Mask&unix.STATX_BTIME == 0 {
		born = imaging.Time{}
	}
	return fmt.Sprintf("%d %o %d %d %d %d a%v m%v c%v b%v %q", s.Ino, s.Mode, s.Uid, s.Gid, s.Nlink, size,
		stamp(s.Atime), stamp(s.Mtime), stamp(s.Ctime), born, link)
}

// undated leaves out the times of modification and change, and the size: where
// a directory has room for a name is for who adds it to choose.
func undated(line string) string {
	head, rest, _ := strings.Cut(line, " m")
	_, tail, _ := strings.Cut(rest, " b")
	f := strings.Fields(head)
	return strings.Join(append(f[:5], f[6:]...), " ") + " b" + tail
}

func line(e *filesystem.Entry) string {
	return fmt.Sprintf("%d %o %d %d %d %d a%v m%v c%v b%v %q", e.Ref.Inode, e.Mode, e.UID, e.GID, e.Links, e.Size,
		e.Accessed, e.Modified, e.Changed, e.Born, e.Link)
}

func sum(t testing.TB, src io.ReaderAt, size int64) string {
	t.Helper()
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(src, 0, size)); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// compare demands that the reader gives what the kernel gives of the mounted
// volume, entry by entry.
func (v *volume) compare(x *FS) {
	t := v.t
	t.Helper()
	live := map[string]filesystem.Entry{}
	for e, err := range x.Walk(context.Background()) {
		if err != nil {
			t.Fatalf("walk: %v", err)
		}
		if e.Status == filesystem.Allocated {
			live[e.Path] = e
			if e.Damage != "" {
				t.Errorf("%q: damage %q", e.Path, e.Damage)
			}
		}
	}
	seen := 0
	err := filepath.WalkDir(v.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		seen++
		name := "/" + strings.TrimPrefix(strings.TrimPrefix(path, v.dir), "/")
		e, ok := live[name]
		if !ok {
			t.Errorf("%q is missing", name)
			return nil
		}
		got, want := line(&e), truth(t, path)
		if v.dated && d.IsDir() {
			got, want = undated(got), undated(want)
		}
		if got != want {
			t.Errorf("%q:\n got %s\nwant %s", name, got, want)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		src, err := x.Open(e.Ref)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			return nil
		}
		if got, want := sum(t, src, src.Size()), sum(t, f, e.Size); got != want {
			t.Errorf("%q: content differs", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen != len(live) {
		t.Errorf("the kernel has %d entries, the reader %d", seen, len(live))
	}
	t.Logf("%d entries compared", seen)
}
