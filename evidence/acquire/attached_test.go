package acquire

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/evidence"

	"golang.org/x/sys/unix"
)

const testVolume = "vol-0123456789abcdef0"

// nitro is a host with an NVMe device of that serial number and model.
func nitro(t *testing.T, device, serial, model string) Host {
	t.Helper()
	h := Host{Sys: t.TempDir(), Dev: t.TempDir()}
	h.add(t, "nvme1n1", device, serial, model)
	return h
}

func (h Host) add(t *testing.T, name, device, serial, model string) {
	t.Helper()
	must(t, os.MkdirAll(h.sys(name, "device"), 0o755))
	must(t, os.WriteFile(h.sys(name, "device", "serial"), []byte(serial+"\n"), 0o644))
	must(t, os.WriteFile(h.sys(name, "device", "model"), []byte(model+"      \n"), 0o644))
	must(t, os.Symlink(device, h.dev(name)))
}

func TestFindVolume(t *testing.T) {
	disk := write(t, "disk.raw", pattern(9000, 1))
	h := nitro(t, disk, "vol0123456789abcdef0", ebsModel)
	h.add(t, "nvme2n1", disk, "AWS12AB34CD56EF7890A", "Amazon EC2 NVMe Instance Storage")
	h.add(t, "nvme1c1n1", disk, "vol0123456789abcdef0", ebsModel) // a path of it
	must(t, os.MkdirAll(h.sys("nvme1n1", "nvme1n1p1"), 0o755))
	must(t, os.WriteFile(h.sys("nvme1n1", "nvme1n1p1", "partition"), []byte("1\n"), 0o644))
	must(t, os.Symlink(disk, h.dev("nvme1n1p1")))
	a, err := h.FindVolume(testVolume, "/dev/sdf")
	must(t, err)
	if a.Path != h.dev("nvme1n1") || len(a.Partitions) != 1 || a.Partitions[0] != h.dev("nvme1n1p1") || len(a.Notes) != 1 {
		t.Errorf("%+v", a)
	}
	// What is no block device is never taken for one that cannot be written to.
	if err := a.Protect(); err == nil || !strings.Contains(err.Error(), "no block device") {
		t.Errorf("protect a file: %v", err)
	}
	if _, err := h.FindVolume("vol-0123456789abcdef1", ""); !errors.Is(err, evidence.ErrNotFound) {
		t.Errorf("another volume: %v", err)
	}
	// udev's link means another device.
	other := write(t, "other", []byte("x"))
	must(t, os.MkdirAll(h.dev("disk", "by-id"), 0o755))
	must(t, os.Symlink(other, h.dev("disk", "by-id", "nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0")))
	if _, err := h.FindVolume(testVolume, ""); err == nil || !strings.Contains(err.Error(), other) {
		t.Errorf("a link to another device: %v", err)
	}
	// Something holds it.
	h = nitro(t, disk, "vol0123456789abcdef0", ebsModel)
	must(t, os.MkdirAll(h.sys("nvme1n1", "holders", "dm-0"), 0o755))
	if _, err := h.FindVolume(testVolume, ""); err == nil || !strings.Contains(err.Error(), "in use by dm-0") {
		t.Errorf("held: %v", err)
	}
	// Its serial number and not its model, and one serial number twice.
	if _, err := nitro(t, disk, "vol0123456789abcdef0", "Other").FindVolume(testVolume, ""); err == nil {
		t.Error("another model was taken")
	}
	h = nitro(t, disk, "vol0123456789abcdef0", ebsModel)
	h.add(t, "nvme3n1", disk, "vol0123456789abcdef0", ebsModel)
	if _, err := h.FindVolume(testVolume, ""); err == nil {
		t.Error("one of two was taken")
	}
	// Xen.
	h = Host{Sys: t.TempDir(), Dev: t.TempDir()}
	must(t, os.MkdirAll(h.sys("xvdf"), 0o755))
	must(t, os.Symlink(disk, h.dev("xvdf")))
	if a, err := h.FindVolume(testVolume, "/dev/sdf"); err != nil || a.Path != h.dev("xvdf") {
		t.Errorf("Xen: %+v, %v", a, err)
	}
	if _, err := h.FindVolume(testVolume, "/dev/sdg"); !errors.Is(err, evidence.ErrNotFound) {
		t.Errorf("Xen, another name: %v", err)
	}
}

// TestAttached acquires a loop device that stands for an attached volume.
func TestAttached(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for a loop device")
	}
	want := pattern(3*blockSize, 41)
	out, err := exec.Command("losetup", "--show", "-f", write(t, "disk.raw", want)).Output()
	if err != nil {
		t.Skipf("needs a loop device: %v", err)
	}
	loop := strings.TrimSpace(string(out))
	t.Cleanup(func() { must(t, exec.Command("losetup", "-d", loop).Run()) })
	h := nitro(t, loop, "vol0123456789abcdef0", ebsModel)
	a, err := h.FindVolume(testVolume, "")
	must(t, err)
	must(t, a.Protect())
	if err := a.HasSize(int64(len(want)) + 1); err == nil {
		t.Error("another size was taken")
	}
	must(t, a.HasSize(int64(len(want))))
	if f, err := os.OpenFile(loop, os.O_RDWR, 0); err == nil {
		_, err = f.WriteAt([]byte("x"), 0)
		if f.Close(); !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EROFS) {
			t.Errorf("a protected device was written to: %v", err)
		}
	}
	must(t, a.Protect())
	if last := a.Notes[len(a.Notes)-1]; !strings.Contains(last, "read-only already") {
		t.Errorf("once more: %s", last)
	}
	j, l := newJob(t, a.Path)
	j.Origin = &evidence.Origin{Service: "ec2", Volume: testVolume, Device: a.Path, Notes: a.Notes}
	got, err := Run(t.Context(), j)
	must(t, err)
	checkSealed(t, j, got, want)
	if got.API != apiDevice || got.Origin == nil || got.Origin.Volume != testVolume {
		t.Errorf("%+v", got)
	}
	if r := l.last(t); r.Data["origin"] == nil {
		t.Errorf("the ledger does not say which volume: %v", r.Data)
	}
	// A mounted one is not touched.
	if mkfs, err := exec.LookPath("mkfs.ext4"); err == nil {
		must(t, exec.Command("blockdev", "--setrw", loop).Run())
		must(t, exec.Command(mkfs, "-q", "-F", loop).Run())
		at := filepath.Join(t.TempDir(), "mnt")
		must(t, os.Mkdir(at, 0o755))
		must(t, exec.Command("mount", loop, at).Run())
		_, err := h.FindVolume(testVolume, "")
		must(t, exec.Command("umount", at).Run())
		if err == nil || !strings.Contains(err.Error(), "is mounted at") {
			t.Errorf("mounted: %v", err)
		}
	}
}
