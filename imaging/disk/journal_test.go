package disk_test

import (
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/disk"
	"snapcase/imaging/filesystem/fstest"
)

// apart makes a file system and the device of its journal, and copies both
// while it is mounted: the file "/late" is in the journal alone.
func apart(t *testing.T, kind string) (fs, log []byte) {
	t.Helper()
	if os.Getuid() != 0 || testing.Short() {
		t.Skip("needs root to mount")
	}
	needs := map[string][]string{"ext4": {"mke2fs"}, "xfs": {"mkfs.xfs", "xfs_io"}}[kind]
	for _, name := range append(needs, "losetup", "mount") {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("needs %s", name)
		}
	}
	dir := t.TempDir()
	attach := func(name string, size int64) (path, dev string) {
		path = filepath.Join(dir, name)
		must(t, os.WriteFile(path, nil, 0o644))
		must(t, os.Truncate(path, size))
		out, err := exec.Command("losetup", "-f", "--show", path).Output()
		if err != nil {
			t.Skip("needs a free loop device")
		}
		dev = strings.TrimSpace(string(out))
		t.Cleanup(func() { exec.Command("losetup", "-d", dev).Run() })
		return path, dev
	}
	size := map[string]int64{"ext4": 16 << 20, "xfs": 300 << 20}[kind]
	fsPath, fsDev := attach("fs", size)
	logPath, logDev := attach("log", size/2)
	options := "rw"
	if kind == "xfs" {
		tool(t, "mkfs.xfs", "-q", "-f", "-l", "size=64m,logdev="+logDev, fsDev)
		options = "logdev=" + logDev
	} else {
		tool(t, "mke2fs", "-q", "-F", "-O", "journal_dev", "-b", "4096", logDev)
		tool(t, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-J", "device="+logDev, fsDev)
	}
	mnt := filepath.Join(dir, "mnt")
	must(t, os.Mkdir(mnt, 0o700))
	if out, err := exec.Command("mount", "-t", kind, "-o", options, fsDev, mnt).CombinedOutput(); err != nil {
		t.Skipf("mount: %s", out)
	}
	defer exec.Command("umount", mnt).Run()
	f, err := os.Create(filepath.Join(mnt, "late"))
	must(t, err)
	_, err = f.WriteString("in the journal alone")
	must(t, err)
	must(t, f.Sync()) // commits, and writes nothing back
	must(t, f.Close())
	if kind == "xfs" {
		tool(t, "xfs_io", "-x", "-c", "shutdown -f", mnt)
	}
	// what the kernel has written, and not what it keeps of the devices
	fs, err = os.ReadFile(fsPath)
	must(t, err)
	log, err = os.ReadFile(logPath)
	must(t, err)
	return fs, log
}

// late reads the file that only the journal tells of.
func late(t *testing.T, v *disk.Volume) string {
	t.Helper()
	for e, err := range v.FS.Walk(t.Context()) {
		must(t, err)
		if e.Path == "/late" {
			src, err := v.FS.Open(e.Ref)
			must(t, err)
			b, err := io.ReadAll(io.NewSectionReader(src, 0, src.Size()))
			must(t, err)
			return string(b)
		}
	}
	return ""
}

// TestJournalApart finds the journal of a file system on another disk, on the
// same disk, nowhere, and twice.
func TestJournalApart(t *testing.T) {
	for kind, word := range map[string]string{"ext4": "journal", "xfs": "log"} {
		t.Run(kind, func(t *testing.T) { journalApart(t, kind, word) })
	}
}

func journalApart(t *testing.T, kind, word string) {
	fs, log := apart(t, kind)
	alone, err := disk.Open(fstest.Bytes(fs))
	must(t, err)
	if got := late(t, alone.Volumes[0]); got != "" {
		t.Fatalf("without the journal the file has %q", got)
	}
	if notes := strings.Join(alone.Volumes[0].Notes, "\n"); !strings.Contains(notes, "it is not read") {
		t.Errorf("without the journal: %q", notes)
	}
	open := func(parts ...[]byte) []*disk.Disk {
		var images []disk.Image
		for i, p := range parts {
			images = append(images, disk.Image{Name: []string{"EX-001", "EX-002", "EX-003"}[i], Source: fstest.Bytes(p)})
		}
		return disk.OpenAll(images)
	}
	two := open(log, fs)
	v := two[1].Volumes[0]
	if got := late(t, v); got != "in the journal alone" {
		t.Errorf("the file has %q: %q", got, v.Notes)
	}
	notes := strings.Join(v.Notes, "\n")
	if !strings.Contains(notes, "its "+word+" lies on p0 of EX-001") || strings.Contains(notes, "it is not read") || !slices.Equal(v.Images, []string{"EX-002", "EX-001"}) {
		t.Errorf("notes %q, images %q", v.Notes, v.Images)
	}
	if w := two[0].Volumes[0]; w.Err != nil || !strings.Contains(strings.Join(w.Notes, "\n"), "the "+word+" of the file system on p0 of EX-002") {
		t.Errorf("the journal: %v %q", w.Err, w.Notes)
	}
	if list := two[1].Reaches(); len(list) != 1 || list[0] != two[0] || two[1].Assembly() == open(fs)[0].Assembly() {
		t.Errorf("reaches %v", list)
	}
	if v := open(log, fs, log)[1].Volumes[0]; late(t, v) != "" || !strings.Contains(strings.Join(v.Notes, "\n"), "can be any of p0 of EX-001, p0 of EX-003: none is read") {
		t.Errorf("with two journals: %q", v.Notes)
	}
	if both := open(log, fs, fs); !strings.Contains(strings.Join(both[1].Volumes[0].Notes, "\n"), "the same "+word+" is read with the file system on p0 of EX-003") ||
		!strings.Contains(strings.Join(both[2].Volumes[0].Notes, "\n"), "the same "+word+" is read with the file system on p0 of EX-002") {
		t.Errorf("two copies with one journal: %q", both[1].Volumes[0].Notes)
	}
	one, err := disk.Open(partitioned(fs, log))
	must(t, err)
	for _, v := range one.Volumes {
		if v.FS == nil {
			continue
		}
		if got := late(t, v); got != "in the journal alone" || len(v.Images) > 0 {
			t.Errorf("on the same disk the file has %q: %q", got, v.Notes)
		}
	}
}

// partitioned is an image with a table of two partitions.
func partitioned(parts ...[]byte) imaging.Source {
	p := make([]byte, 1<<20)
	for i, b := range parts {
		e := p[446+16*i:]
		e[4] = 0x83
		binary.LittleEndian.PutUint32(e[8:], uint32(len(p)/512))
		binary.LittleEndian.PutUint32(e[12:], uint32(len(b)/512))
		p = append(p, b...)
	}
	p[510], p[511] = 0x55, 0xaa
	return fstest.Bytes(p)
}
