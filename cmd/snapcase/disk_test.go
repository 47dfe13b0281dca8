package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"snapcase/evidence"
	"snapcase/imaging"
)

// Where the volumes of the test disk lie, in MiB.
const (
	mib      = 1 << 20
	extAt    = 1
	xfsAt    = 129
	lvmAt    = 449
	fatAt    = 865
	ntfsAt   = 929
	diskEnd  = 993
	diskSize = 1000
	lvExtAt  = lvmAt + 1 // extents of 4 MiB begin at 1 MiB
	lvXFSAt  = lvExtAt + 64
)

// part is a file system of the test disk: where it lies and what it is called.
type part struct {
	id, fs   string
	at, size int64 // MiB
}

var parts = []part{
	{"p1", "ext4", extAt, 128},
	{"p2", "xfs", xfsAt, 320},
	{"vg0-lvext", "ext4", lvExtAt, 64},
	{"vg0-lvxfs", "xfs", lvXFSAt, 320},
	{"p4", "vfat", fatAt, 64},
	{"p5", "ntfs", ntfsAt, 64},
}

// TestDiskEqualsTheKernel makes a disk of GPT, ext4, XFS, LVM2 with both, FAT
// and NTFS, filled through the kernel's own mounts (FAT by mtools, NTFS by
// ntfs-3g), and compares every field and every content with those mounts: from
// a raw image, from E01, from qcow2 and from a block device.
func TestDiskEqualsTheKernel(t *testing.T) {
	if testing.Short() {
		t.Skip("needs minutes")
	}
	needs(t, "sfdisk", "losetup", "mount", "umount", "mkfs.ext4", "mkfs.xfs", "lvm", "mkfs.fat", "mcopy", "mkfs.ntfs", "ntfs-3g", "ewfacquire", "qemu-img")
	dir, home := t.TempDir(), t.TempDir()
	image, seed := filepath.Join(dir, "disk.raw"), uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	makeDisk(t, image, r)
	fatTree := fillDisk(t, dir, image, r)

	do(t, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", image, filepath.Join(dir, "disk.qcow2"))
	do(t, "ewfacquire", "-u", "-q", "-t", filepath.Join(dir, "disk"), "-f", "encase6", "-c", "fast", "-S", "400000000", "-l", filepath.Join(dir, "log"), image)
	device := loop(t, image, 0, 0)
	var first []byte
	for _, source := range []string{image, filepath.Join(dir, "disk.E01"), filepath.Join(dir, "disk.qcow2"), device} {
		cs := filepath.Join(dir, "case")
		output(t, home, []int{0}, "new", cs, "--title", "T", "--examiner", "jdoe")
		format := "raw"
		if source == device {
			format = "zst"
		}
		output(t, home, []int{0}, "acquire", cs, source, "--as", "disk", "--format", format)
		got := output(t, home, []int{0}, "files", cs, "--json", "--hash", "--attributes")
		must(t, os.RemoveAll(cs))
		switch {
		case first == nil:
			first = got
		case !bytes.Equal(first, got):
			t.Errorf("%s is listed otherwise than the raw image", source)
		}
	}
	listed := map[string]map[string]evidence.FileEntry{}
	for _, e := range entries(t, first) {
		if e.Status != "allocated" {
			continue
		}
		if listed[e.Volume] == nil {
			listed[e.Volume] = map[string]evidence.FileEntry{}
		}
		path := e.Path
		if e.PathB64 != nil {
			path = string(e.PathB64)
		}
		if _, twice := listed[e.Volume][path]; twice {
			t.Errorf("%s: %q is listed twice", e.Volume, path)
		}
		listed[e.Volume][path] = e
	}
	for _, p := range parts {
		t.Run(p.id, func(t *testing.T) {
			switch p.fs {
			case "vfat":
				compareFAT(t, fatTree, listed[p.id])
			case "ntfs":
				compareNTFS(t, loop(t, image, p.at, p.size), listed[p.id])
			default:
				compareMount(t, loop(t, image, p.at, p.size), p.fs, listed[p.id])
			}
		})
	}
}

func needs(t *testing.T, tools ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for loop devices")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
}

// loop is a device of size MiB of the image from at; 0 is all of it. It goes
// with the test.
func loop(t *testing.T, image string, at, size int64) string {
	t.Helper()
	args := []string{"-f", "--show", "-o", fmt.Sprint(at * mib)}
	if size > 0 {
		args = append(args, "--sizelimit", fmt.Sprint(size*mib))
	}
	out, err := exec.Command("losetup", append(args, image)...).Output()
	if err != nil {
		t.Skip("needs free loop devices")
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() { exec.Command("losetup", "-d", device).Run() })
	return device
}

// makeDisk writes the table, the volume group and the file systems.
func makeDisk(t *testing.T, image string, r *rand.Rand) {
	t.Helper()
	must(t, os.WriteFile(image, nil, 0o644))
	must(t, os.Truncate(image, diskSize*mib))
	var table strings.Builder
	table.WriteString("label: gpt\n")
	starts := []int64{extAt, xfsAt, lvmAt, fatAt, ntfsAt, diskEnd}
	for i, kind := range []string{"L", "L", "V", "U", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"} {
		fmt.Fprintf(&table, "start=%d, size=%d, type=%s\n", starts[i]*2048, (starts[i+1]-starts[i])*2048, kind)
	}
	c := exec.Command("sfdisk", "-q", image)
	c.Stdin = strings.NewReader(table.String())
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v: %s", err, out)
	}
	pv := loop(t, image, lvmAt, fatAt-lvmAt)
	config := `devices { scan="/dev" filter=["a|^` + pv + `$|","r|.*|"] use_devicesfile=0 } activation { udev_sync=0 udev_rules=0 } backup { backup=0 archive=0 }`
	for _, line := range []string{
		"pvcreate " + pv, "vgcreate vg0 " + pv, "lvcreate -an -Zn -Wn -L 64M -n lvext vg0", "lvcreate -an -Zn -Wn -L 320M -n lvxfs vg0",
	} {
		args := strings.Fields(line)
		do(t, "lvm", append([]string{args[0], "--driverloaded", "n", "--config", config}, args[1:]...)...)
	}
	blocks := []string{"1024", "2048", "4096"}
	for _, p := range parts {
		device := loop(t, image, p.at, p.size)
		switch p.fs {
		case "ext4":
			do(t, "mkfs.ext4", "-q", "-F", "-b", blocks[r.IntN(3)], device)
		case "xfs":
			do(t, "mkfs.xfs", "-q", "-f", "-b", "size="+blocks[r.IntN(3)], device)
		case "vfat":
			do(t, "mkfs.fat", "-F", "32", device)
		case "ntfs":
			do(t, "mkfs.ntfs", "-q", "-F", "-f", device)
		}
		do(t, "losetup", "-d", device)
	}
}

// fillDisk fills the file systems; it gives the tree that the FAT was made of.
func fillDisk(t *testing.T, dir, image string, r *rand.Rand) string {
	t.Helper()
	tree := filepath.Join(dir, "fat")
	for _, p := range parts {
		device, mnt := loop(t, image, p.at, p.size), filepath.Join(dir, "mnt")
		must(t, os.MkdirAll(mnt, 0o755))
		t.Cleanup(func() { exec.Command("umount", mnt).Run() }) // where the test ended before
		switch p.fs {
		case "vfat":
			plainTree(t, tree, r)
			all, err := filepath.Glob(filepath.Join(tree, "*"))
			must(t, err)
			c := exec.Command("mcopy", append(append([]string{"-s", "-m", "-Q", "-i", device}, all...), "::/")...)
			c.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("mcopy: %v: %s", err, out)
			}
		case "ntfs":
			if out, err := exec.Command("ntfs-3g", device, mnt).CombinedOutput(); err != nil {
				t.Skipf("needs ntfs-3g to mount: %v: %s", err, out)
			}
			plainTree(t, mnt, r)
			do(t, "umount", mnt)
		default:
			mount(t, "rw", device, mnt)
			fill(t, mnt)
			hardTree(t, mnt, r)
			if p.id == "vg0-lvxfs" {
				hugeFile(t, mnt)
			}
			do(t, "umount", mnt)
		}
		do(t, "losetup", "-d", device)
	}
	return tree
}

// The times that a reader takes for others when it keeps 32 bits.
var farTimes = []time.Time{
	time.Date(1960, 2, 29, 12, 34, 56, 123456789, time.UTC), time.Date(2040, 2, 29, 23, 59, 59, 987654321, time.UTC),
	time.Date(1901, 12, 31, 0, 0, 0, 1, time.UTC), time.Date(2106, 2, 7, 6, 28, 16, 0, time.UTC),
}

// hugeFile has data beyond 4 GiB.
func hugeFile(t *testing.T, mnt string) {
	t.Helper()
	huge, err := os.Create(filepath.Join(mnt, "huge"))
	must(t, err)
	for _, at := range []int64{0, 1<<32 - 3000, 1<<32 + 70_000} {
		_, err = huge.WriteAt(bytes.Repeat([]byte{byte(at%250 + 1), 0}, 4500), at) // no text: that would be searched for base64
		must(t, err)
	}
	must(t, huge.Truncate(1<<32+1<<20))
	must(t, huge.Close())
}

// hardTree adds to a tree what fill leaves out: random depth and names, times
// before 1970 and behind 2038, owners and modes.
func hardTree(t *testing.T, mnt string, r *rand.Rand) {
	t.Helper()
	letters := []rune("abcXYZ019 .-_äßéλЖ中文字🙂'\"\\*?<>|:\t\n\u200b\u202e")
	dirs := []string{mnt}
	for i := range 400 {
		name := make([]rune, 1+r.IntN(40))
		for k := range name {
			name[k] = letters[r.IntN(len(letters))]
		}
		p := filepath.Join(dirs[r.IntN(len(dirs))], fmt.Sprintf("%s%d", string(name), i))
		switch r.IntN(6) {
		case 0:
			must(t, os.Mkdir(p, 0o755))
			dirs = append(dirs, p)
		case 1:
			must(t, os.Symlink(strings.Repeat("../", r.IntN(300))+"x", p))
		case 2:
			must(t, os.Link(filepath.Join(mnt, "big"), p))
		default:
			must(t, os.WriteFile(p, bytes.Repeat([]byte{byte(i)}, r.IntN(60_000)), 0o600))
			must(t, os.Chown(p, r.IntN(1<<31), r.IntN(1<<31)))
			must(t, os.Chmod(p, fs.FileMode(r.IntN(0o1000))|fs.ModeSetuid))
			must(t, os.Chtimes(p, farTimes[r.IntN(4)], farTimes[r.IntN(4)]))
			if r.IntN(4) == 0 {
				must(t, unix.Setxattr(p, "user.note", bytes.Repeat([]byte("n"), 1+r.IntN(900)), 0))
			}
		}
	}
}

// plainTree makes a tree that FAT and NTFS can hold.
func plainTree(t *testing.T, root string, r *rand.Rand) {
	t.Helper()
	for i := range 200 {
		p := filepath.Join(root, fmt.Sprintf("Ordner %d", r.IntN(12)), fmt.Sprintf("ünï %s λ中%d.txt", strings.Repeat("lang ", r.IntN(30)), i))
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		b := make([]byte, r.IntN(80_000))
		for k := range b {
			b[k] = byte(r.Uint32())
		}
		must(t, os.WriteFile(p, b, 0o644))
		at := time.Date(1981+r.IntN(120), 5, 17, 10, 20, 2*r.IntN(30), 0, time.UTC)
		must(t, os.Chtimes(p, at, at))
	}
}

// compareMount compares with a mount of the kernel, both ways.
func compareMount(t *testing.T, device, fs string, listed map[string]evidence.FileEntry) {
	t.Helper()
	mnt := t.TempDir()
	mount(t, "ro", device, mnt)
	defer do(t, "umount", mnt)
	want := 0
	eachPath(t, mnt, func(p, rel string) {
		want++
		compareEntry(t, p, rel, listed[rel])
	})
	if len(listed) != want || want < 600 {
		t.Errorf("%d entries are listed, the kernel's %s has %d", len(listed), fs, want)
	}
}

func eachPath(t *testing.T, root string, f func(p, rel string)) {
	t.Helper()
	must(t, filepath.WalkDir(root, func(p string, _ fs.DirEntry, err error) error {
		if err == nil {
			f(p, "/"+strings.TrimPrefix(strings.TrimPrefix(p, root), "/"))
		}
		return err
	}))
}

// compareFAT compares with the tree that was copied: FAT keeps names, sizes,
// contents and times of two seconds.
func compareFAT(t *testing.T, tree string, listed map[string]evidence.FileEntry) {
	t.Helper()
	want := 0
	eachPath(t, tree, func(p, rel string) {
		e, ok := listed[rel]
		want++
		st, err := os.Stat(p)
		must(t, err)
		switch {
		case !ok && rel == "/":
			want--
		case !ok:
			t.Errorf("%q is missing", rel)
		case st.IsDir():
			if e.Type != "dir" {
				t.Errorf("%q is a %s", rel, e.Type)
			}
		case e.Type != "file" || e.Size != st.Size() || e.SHA256 != sum(t, p) || e.Modified != imaging.TimeOf(st.ModTime()):
			t.Errorf("%q: %+v, want %d bytes of %v", rel, e, st.Size(), st.ModTime().UTC())
		}
	})
	if len(listed) != want {
		t.Errorf("%d entries are listed, %d were copied", len(listed), want)
	}
}

// compareNTFS compares with a mount of ntfs-3g; the files of the file system
// itself are not in it.
func compareNTFS(t *testing.T, device string, listed map[string]evidence.FileEntry) {
	t.Helper()
	mnt := t.TempDir()
	if out, err := exec.Command("ntfs-3g", "-o", "ro", device, mnt).CombinedOutput(); err != nil {
		t.Fatalf("ntfs-3g: %v: %s", err, out)
	}
	defer do(t, "umount", mnt)
	want := 0
	eachPath(t, mnt, func(p, rel string) {
		e, ok := listed[rel]
		want++
		var s unix.Stat_t
		must(t, unix.Lstat(p, &s))
		at := func(x unix.Timespec) imaging.Time { return imaging.Time{Sec: x.Sec, Nsec: int32(x.Nsec), Set: true} }
		switch {
		case !ok:
			t.Errorf("%q is missing", rel)
		case e.Inode != s.Ino || e.Modified != at(s.Mtim) || e.Accessed != at(s.Atim) || e.Changed != at(s.Ctim):
			t.Errorf("%q: %+v, ntfs-3g has inode %d, times %v %v %v", rel, e, s.Ino, at(s.Mtim), at(s.Atim), at(s.Ctim))
		case s.Mode&unix.S_IFMT == unix.S_IFREG && (e.Size != s.Size || e.SHA256 != sum(t, p)):
			t.Errorf("%q: %d bytes with %s, ntfs-3g has %d with %s", rel, e.Size, e.SHA256, s.Size, sum(t, p))
		case rel != "/" && !slices.ContainsFunc(e.FileNames, func(n evidence.FileName) bool { return n.Name == filepath.Base(rel) && n.Born.Set }):
			t.Errorf("%q: names of its own: %+v", rel, e.FileNames)
		}
	})
	own := 0
	for path := range listed {
		if strings.HasPrefix(path, "/$") {
			own++
		}
	}
	if len(listed)-own != want || want < 200 {
		t.Errorf("%d entries are listed, %d of them the file system's own; ntfs-3g has %d", len(listed), own, want)
	}
}
