package xfs

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/imaging/filesystem"

	"golang.org/x/sys/unix"
)

// TestSparse makes inodes where no 32 KiB of free space lie together, so that
// chunks have holes.
func TestSparse(t *testing.T) {
	v := newVolume(t, 330<<20)
	f, err := os.Create(v.path("filler"))
	v.must(err)
	var s unix.Statfs_t
	v.must(unix.Statfs(v.dir, &s))
	size := int64(s.Bavail) * s.Bsize &^ (1<<20 - 1)
	for ; size > 1<<20; size -= 1 << 20 {
		if unix.Fallocate(int(f.Fd()), 0, 0, size) == nil {
			break
		}
	}
	for k := 0; ; k++ { // the rest
		if os.WriteFile(v.path(fmt.Sprintf("rest%d", k)), make([]byte, 1<<18), 0o600) != nil {
			break
		}
	}
	for off := int64(0); off+65536 <= size; off += 65536 {
		v.must(unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, 16384))
	}
	f.Close()
	v.must(exec.Command("sync", "-f", v.dir).Run())
	v.must(os.Mkdir(v.path("d"), 0o755))
	for i := range 4000 {
		v.write(fmt.Sprintf("d/file%d", i), []byte{byte(i)})
	}
	v.remount("ro,norecovery")
	x, err := Open(openDisk(t, v.image))
	v.must(err)
	table, err := x.table(t.Context())
	v.must(err)
	sparse := 0
	for _, c := range table.chunks {
		if c.holes != 0 {
			sparse++
		}
	}
	if t.Logf("%d of %d chunks are sparse", sparse, len(table.chunks)); sparse == 0 {
		t.Error("no chunk is sparse")
	}
	v.compare(x)
	checkCover(t, x)
}

// TestProto makes volumes that the kernel may not mount, from a prototype.
func TestProto(t *testing.T) {
	if _, err := exec.LookPath("mkfs.xfs"); err != nil {
		t.Skip("needs mkfs.xfs")
	}
	dir := t.TempDir()
	data := bytes.Repeat([]byte("0123456789abcdef"), 5000)
	if err := os.WriteFile(filepath.Join(dir, "data"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("/boot/none\n0 0\nd--755 0 0\n")
	for _, n := range []int{0, 4, 30, 200, 1500} {
		fmt.Fprintf(&b, "dir%d d--750 7 8\n", n)
		for i := range n {
			fmt.Fprintf(&b, "entry-%d-%s ---640 1 2 %s/data\n", i, strings.Repeat("n", i%60), dir)
			if i == 20 {
				break
			}
		}
		for i := 21; i < n; i++ {
			fmt.Fprintf(&b, "entry-%d-%s l--777 1 2 ../target%d\n", i, strings.Repeat("n", i%60), i)
		}
		b.WriteString("$\n")
	}
	fmt.Fprintf(&b, "long l--777 0 0 /%s\n$\n", strings.Repeat("long/", 200))
	proto := filepath.Join(dir, "proto")
	if err := os.WriteFile(proto, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	want := protoWant(t, []byte(b.String()))
	for _, options := range []string{
		"-m crc=0 -b size=512", "-m crc=0 -b size=1k -n size=16k", "-m crc=0 -n ftype=0 -i size=512",
		"-m crc=0 -b size=4k -i attr=1,projid32bit=0", "-m crc=0 -b size=64k", "-b size=1k", "-b size=64k -n size=64k", "-s size=4096 -d agcount=3",
	} {
		t.Run(options, func(t *testing.T) {
			image := filepath.Join(dir, "image")
			os.Remove(image)
			args := append(strings.Fields(options), "-q", "-f", "-p", proto, "-d", "file,size=400m,name="+image)
			if out, err := exec.Command("mkfs.xfs", args...).CombinedOutput(); err != nil {
				t.Skipf("mkfs.xfs: %s", out)
			}
			x, err := Open(openDisk(t, image))
			if err != nil {
				t.Fatal(err)
			}
			live := 0
			for _, e := range all(t, x) {
				// mkfs writes long targets of version 5 without their header
				headless := e.Path == "/long" && strings.HasPrefix(e.Damage, "range: the target of the link has no header")
				if e.Status != filesystem.Allocated || e.Damage != "" && !headless {
					t.Errorf("%q is %s, damage %q", e.Path, e.Status, e.Damage)
				}
				live++
				if got := fmt.Sprintf("%s %o %d %d %q", e.Type, e.Mode&0o7777, e.UID, e.GID, e.Link); got != want[e.Path] {
					t.Errorf("%q: got %s, want %s", e.Path, got, want[e.Path])
				}
				if e.Type != filesystem.TypeFile {
					continue
				}
				got := make([]byte, e.Size)
				src, err := x.Open(e.Ref)
				if err != nil {
					t.Fatal(err)
				}
				src.ReadAt(got, 0)
				if !bytes.Equal(got, data) {
					t.Errorf("%q: content differs", e.Path)
				}
			}
			if live != len(want) {
				t.Errorf("%d entries, want %d", live, len(want))
			}
			checkCover(t, x)
		})
	}
}
