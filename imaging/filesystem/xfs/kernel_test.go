package xfs

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
	"snapcase/imaging/filesystem/fstest"

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
	extra      string   // options of mount, each behind a comma
	open       *os.File // held while the volume stops
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
	if !strings.Contains(string(b), "\txfs\n") {
		t.Skip("needs a kernel with XFS")
	}
	if _, err := exec.LookPath("mkfs.xfs"); err != nil {
		t.Skip("needs mkfs.xfs")
	}
}

// newVolume makes a file system; the test skips when mkfs or the kernel does
// not know an option.
func newVolume(t testing.TB, size int64, options ...string) *volume {
	t.Helper()
	needKernel(t)
	v := &volume{t: t}
	v.make(size, options...)
	return v
}

// make makes the image of a volume and mounts it.
func (v *volume) make(size int64, options ...string) {
	t := v.t
	t.Helper()
	dir := t.TempDir()
	v.image, v.dir = filepath.Join(dir, "image"), filepath.Join(dir, "mnt")
	f, err := os.Create(v.image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := os.Mkdir(v.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.xfs", append(append([]string{"-q", "-f"}, options...), v.image)...).CombinedOutput(); err != nil {
		t.Skipf("mkfs.xfs: %s", out)
	}
	v.mount("rw")
}

func (v *volume) mount(options string) {
	v.t.Helper()
	if out, err := exec.Command("mount", "-t", "xfs", "-o", "loop,nouuid,"+options+v.extra, v.image, v.dir).CombinedOutput(); err != nil {
		v.t.Skipf("mount: %s", out)
	}
	v.mounted = true
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

// remount unmounts and mounts again.
func (v *volume) remount(options string) {
	v.t.Helper()
	v.unmount()
	v.mount(options)
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

// fill makes a tree with what the format has forms for.
func (v *volume) fill(r *rand.Rand) {
	v.t.Helper()
	for _, n := range []int{0, 1, 3, 9, 40, 150, 700, 3000} {
		d := fmt.Sprintf("d%d", n)
		v.must(os.Mkdir(v.path(d), 0o755))
		for i := range n {
			v.write(d+"/"+randomName(r, i), []byte(fmt.Sprintf("file %d", i)))
		}
	}
	v.special(r)
	v.content(r)
	v.stamps()
}

// randomName is of letters of several scripts, of bytes that are none, and up
// to 255 bytes long; i makes it unique.
func randomName(r *rand.Rand, i int) string {
	alphabets := []string{"abcdefghij", "äöüßéèñ", "имяфайла", "名前ファイル", "\x01\x02\n\t\x7f", "\xff\xfe\x80", "😀🔑", " .-_'\"\\$*"}
	name := fmt.Sprintf("%d-", i)
	want := 1 + r.IntN(40)
	if r.IntN(20) == 0 {
		want = 240 + r.IntN(15)
	}
	a := alphabets[r.IntN(len(alphabets))]
	for len(name) < want {
		if a == alphabets[5] {
			name += string(a[r.IntN(len(a))])
			continue
		}
		c := []rune(a)
		name += string(c[r.IntN(len(c))])
	}
	return name[:min(len(name), 255)]
}

func (v *volume) special(r *rand.Rand) {
	v.t.Helper()
	v.must(os.Mkdir(v.path("special"), 0o1777))
	for _, n := range []int{1, 59, 160, 336, 337, 338, 455, 456, 457, 800, 1000, 1023} {
		v.must(os.Symlink(strings.Repeat("t/", n)[:n], v.path(fmt.Sprintf("special/link%d", n))))
	}
	for name, mode := range map[string]uint32{"fifo": unix.S_IFIFO, "sock": unix.S_IFSOCK, "chr": unix.S_IFCHR, "blk": unix.S_IFBLK} {
		v.must(unix.Mknod(v.path("special/"+name), mode|0o620, int(unix.Mkdev(259, 70000))))
	}
	v.write("special/first", []byte("hard linked"))
	for i := range 5 {
		v.must(os.Link(v.path("special/first"), v.path(fmt.Sprintf("d3/again%d", i))))
	}
	deep := "deep"
	for range 60 {
		v.must(os.Mkdir(v.path(deep), 0o700))
		deep += "/" + strings.Repeat("n", 40)
	}
	for i := range 6 { // holes of a directory's blocks: many names go
		v.must(os.Mkdir(v.path(fmt.Sprintf("thin%d", i)), 0o755))
		for k := range 900 {
			v.write(fmt.Sprintf("thin%d/%s", i, strings.Repeat("x", 30)+fmt.Sprint(k)), nil)
		}
		for k := range 900 {
			if k%9 != i {
				v.must(os.Remove(v.path(fmt.Sprintf("thin%d/%s", i, strings.Repeat("x", 30)+fmt.Sprint(k)))))
			}
		}
	}
	_ = r
}

func (v *volume) content(r *rand.Rand) {
	v.t.Helper()
	random := func(n int) []byte {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		return p
	}
	for _, n := range []int{0, 1, 511, 512, 4095, 4096, 4097, 100000, 1 << 20} {
		v.write(fmt.Sprintf("size%d", n), random(n))
	}
	f, err := os.Create(v.path("pieces"))
	v.must(err)
	for i := range 700 {
		_, err = f.WriteAt(random(3000), int64(i)*131072)
		v.must(err)
	}
	f.Close()
	f, err = os.Create(v.path("huge"))
	v.must(err)
	for _, off := range []int64{5, 1 << 33, 1<<42 + 77} {
		_, err = f.WriteAt(random(5000), off)
		v.must(err)
	}
	f.Close()
	f, err = os.Create(v.path("unwritten"))
	v.must(err)
	v.must(unix.Fallocate(int(f.Fd()), 0, 0, 3<<20))
	_, err = f.WriteAt(random(9000), 1<<20)
	v.must(err)
	v.must(unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 3<<20, 1<<20))
	v.must(f.Truncate(2<<20 + 123))
	f.Close()
	f, err = os.Create(v.path("shared"))
	v.must(err)
	if src, err := os.Open(v.path("size1048576")); err == nil {
		if unix.IoctlFileClone(int(f.Fd()), int(src.Fd())) == nil {
			_, err = f.WriteAt(random(4096), 65536)
			v.must(err)
		}
		src.Close()
	}
	f.Close()
	for i, n := range []int{10, 300, 3000, 60000} {
		name := fmt.Sprintf("attr%d", n)
		v.write(name, random(100*i))
		for k := range 3 {
			v.must(unix.Setxattr(v.path(name), fmt.Sprintf("user.%d", k), random(n), 0))
		}
	}
	v.must(unix.Setxattr(v.path("d3"), "trusted.dir", random(200), 0))
	v.must(unix.Setxattr(v.path("d700"), "trusted.dir", random(2000), 0))
}

func (v *volume) stamps() {
	v.t.Helper()
	for i, sec := range []int64{-315619200, -1, 0, 1, 1 << 31, 2208988800, 1700000000, -2147483648} {
		name := fmt.Sprintf("time%d", i)
		v.write(name, nil)
		v.must(os.Lchown(v.path(name), 4000000000+i, 65536+i))
		v.must(os.Chmod(v.path(name), os.FileMode(0o7777&(i*0o1111))))
		ts := []unix.Timespec{{Sec: sec, Nsec: 999999999}, {Sec: sec, Nsec: 1 + int64(i)}}
		v.must(unix.UtimesNanoAt(unix.AT_FDCWD, v.path(name), ts, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// truth is what the kernel says of one path.
func truth(t testing.TB, path string) string {
	t.Helper()
	var s unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_ALL, &s); err != nil {
		t.Fatal(err)
	}
	link := ""
	size := int64(s.Size)
	rdev := uint32(0)
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		link, _ = os.Readlink(path)
	case unix.S_IFCHR, unix.S_IFBLK:
		rdev = s.Rdev_minor&0xff | s.Rdev_major<<8 | s.Rdev_minor&^0xff<<12
		fallthrough
	case unix.S_IFIFO, unix.S_IFSOCK:
		size = 0
	}
	stamp := func(x unix.StatxTimestamp) imaging.Time {
		return imaging.Time{Sec: x.Sec, Nsec: int32(x.Nsec), Set: true}
	}
	return fmt.Sprintf("%d %o %d %d %d %d a%v m%v c%v b%v %q %d", s.Ino, s.Mode, s.Uid, s.Gid, s.Nlink, size,
		stamp(s.Atime), stamp(s.Mtime), stamp(s.Ctime), stamp(s.Btime), link, rdev)
}

func line(e *filesystem.Entry) string {
	return fmt.Sprintf("%d %o %d %d %d %d a%v m%v c%v b%v %q %d", e.Ref.Inode, e.Mode, e.UID, e.GID, e.Links, e.Size,
		e.Accessed, e.Modified, e.Changed, e.Born, e.Link, e.Rdev)
}

// sum is the digest of the first and last 4 MiB of a file.
func sum(t testing.TB, src io.ReaderAt, size int64) string {
	t.Helper()
	h := sha256.New()
	for _, off := range []int64{0, max(0, size-4<<20)} {
		if _, err := io.Copy(h, io.NewSectionReader(src, off, min(4<<20, size-off))); err != nil {
			t.Fatal(err)
		}
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
		if got, want := line(&e), truth(t, path); got != want {
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

// TestKernel makes volumes of many kinds and compares each with the kernel.
func TestKernel(t *testing.T) {
	needKernel(t)
	for name, options := range map[string]string{
		"default":    "",
		"bs1k":       "-b size=1k",
		"bs2k dir8k": "-b size=2k -n size=8k",
		"dir16k":     "-n size=16k",
		"dir64k":     "-n size=64k",
		"bs16k":      "-b size=16k",
		"bs64k":      "-b size=64k",
		"noreflink":  "-m reflink=0,bigtime=0,finobt=0,inobtcount=0",
		"rmapbt":     "-m rmapbt=1,reflink=1",
		"nosparse":   "-i sparse=0",
		"nrext64":    "-i nrext64=1",
		"inode1k":    "-i size=1024",
		"inode2k":    "-i size=2048 -d agcount=3",
		"sector4k":   "-s size=4096",
		"old log":    "-l version=2,su=32k",
		"all":        "-b size=1k -n size=4k -m rmapbt=1,reflink=1 -i nrext64=1,sparse=1",
	} {
		t.Run(name, func(t *testing.T) {
			size := int64(330 << 20)
			if name == "bs64k" {
				size = 1 << 30
			}
			v := newVolume(t, size, strings.Fields(options)...)
			v.fill(rand.New(rand.NewPCG(uint64(len(name)), 7)))
			v.remount("ro,norecovery")
			src := openDisk(t, v.image)
			x, err := Open(src)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(x.Info())
			v.compare(x)
			checkCover(t, x)
			if x.sb.rocompat&roRmapbt != 0 {
				checkRmap(t, x)
			}
			if name == "default" || name == "bs1k" {
				fstest.Sound(t, Open, src, nil)
			}
		})
	}
}
