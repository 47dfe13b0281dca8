package disk_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/imaging/disk"
	"snapcase/imaging/filesystem"
	"snapcase/imaging/image"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "LVM_SUPPRESS_FD_WARNINGS=1")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestLogicalVolumes puts an ext4 on a logical volume of two runs, and asks for
// it, for its bytes' owners, and for a volume that was removed.
func TestLogicalVolumes(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for a loop device")
	}
	for _, name := range []string{"lvm", "losetup", "mkfs.ext4"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("needs %s", name)
		}
	}
	dir := t.TempDir()
	path, tree, fs := filepath.Join(dir, "d.raw"), filepath.Join(dir, "tree"), filepath.Join(dir, "fs")
	secret := bytes.Repeat([]byte("the content of one file "), 300_000)
	must(t, os.MkdirAll(tree, 0o755))
	must(t, os.WriteFile(filepath.Join(tree, "file"), secret, 0o644))
	must(t, os.WriteFile(path, nil, 0o644))
	must(t, os.Truncate(path, 120<<20))
	dev, err := exec.Command("losetup", "-f", "--show", path).Output()
	if err != nil {
		t.Skip("needs a free loop device")
	}
	loop := strings.TrimSpace(string(dev))
	detach := func() { exec.Command("losetup", "-d", loop).Run() }
	defer detach()
	config := `devices { scan="/dev" filter=["a|^` + loop + `$|","r|.*|"] use_devicesfile=0 } activation { udev_sync=0 udev_rules=0 } backup { backup=0 archive=0 }`
	run := func(args ...string) {
		t.Helper()
		tool(t, "lvm", append([]string{args[0], "--driverloaded", "n", "--config", config}, args[1:]...)...)
	}
	run("pvcreate", loop)
	run("vgcreate", "cloud-vg", loop)
	run("lvcreate", "-an", "-Zn", "-Wn", "-L", "16M", "-n", "root", "cloud-vg")
	run("lvcreate", "-an", "-Zn", "-Wn", "-L", "8M", "-n", "gone", "cloud-vg")
	run("lvextend", "-L", "32M", "cloud-vg/root")
	run("lvremove", "-f", "cloud-vg/gone")
	run("lvcreate", "-an", "-Zn", "-Wn", "-L", "8M", "-n", "swap", "cloud-vg")
	detach()

	must(t, os.WriteFile(fs, nil, 0o644))
	must(t, os.Truncate(fs, 32<<20))
	tool(t, "mkfs.ext4", "-q", "-d", tree, fs)
	b, err := os.ReadFile(fs)
	must(t, err)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	const start, extent = 1 << 20, 4 << 20
	_, err = f.WriteAt(b[:16<<20], start) // extents 0 to 3
	must(t, err)
	_, err = f.WriteAt(b[16<<20:], start+6*extent) // behind the removed one
	must(t, errors.Join(err, f.Close()))

	src, err := image.Open(path)
	must(t, err)
	defer src.Close()
	d, err := disk.Open(src)
	must(t, err)
	v := d.Volume("cloud--vg-root")
	if v == nil || v.FS == nil || v.FSType != "ext4" || v.Type != "logical" {
		t.Fatalf("%+v", v)
	}
	if p := d.Volume("p0"); p.Err != nil || p.FSType != "LVM2_member" {
		t.Errorf("%+v", p)
	}
	swap := d.Volume("cloud--vg-swap")
	if swap == nil {
		t.Fatal("no swap")
	}
	owners, err := d.Owners(t.Context(), []int64{swap.Start + 5000})
	must(t, err)
	if o := owners[0]; o.Volume != swap.ID || o.Kind != 0 {
		t.Errorf("a byte of a volume without a file system belongs to %+v, want the volume and not what it is made of", o)
	}
	found := false
	for _, v := range d.Volumes {
		found = found || v.Type == "removed" && v.Label == "gone"
	}
	if !found {
		t.Error("the removed volume is not told of")
	}
	for e, err := range v.FS.Walk(t.Context()) {
		must(t, err)
		if e.Path != "/file" {
			continue
		}
		c, err := v.FS.Open(e.Ref)
		must(t, err)
		got := make([]byte, c.Size())
		if _, err := c.ReadAt(got, 0); err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(got, secret) {
			t.Errorf("other content: %v", err)
		}
		disk, err := os.ReadFile(path)
		must(t, err)
		at := int64(bytes.LastIndex(disk, secret[:1<<20]))
		owners, err := d.Owners(t.Context(), []int64{at})
		must(t, err)
		if o := owners[0]; o.Volume != "cloud--vg-root" || o.Ref != e.Ref || o.Kind != filesystem.OwnContent {
			t.Errorf("byte %d belongs to %+v", at, o)
		}
	}
}
