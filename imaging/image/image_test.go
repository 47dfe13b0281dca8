package image_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/image"
)

var _ imaging.Source = (*image.File)(nil)

func write(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(path, b, 0o400); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenFile(t *testing.T) {
	b := []byte("0123456789")
	f, err := image.Open(write(t, b))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Size() != 10 || f.SectorSize() != 0 || f.Device() {
		t.Errorf("size %d, sector %d, device %v", f.Size(), f.SectorSize(), f.Device())
	}
	for _, c := range []struct {
		off  int64
		want string
		eof  bool
	}{{0, "0123", false}, {6, "6789", false}, {8, "89", true}, {10, "", true}, {1 << 50, "", true}} {
		p := make([]byte, 4)
		n, err := f.ReadAt(p, c.off)
		if string(p[:n]) != c.want || errors.Is(err, io.EOF) != c.eof || err != nil && !c.eof {
			t.Errorf("at %d: %q, %v", c.off, p[:n], err)
		}
	}
	if _, err := f.ReadAt(make([]byte, 1), -1); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read at -1: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir: "folder", pipe: "pipe", "/dev/null": "neither", filepath.Join(dir, "none"): "no such file",
	} {
		if f, err := image.Open(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("open %s: %v, %v; want an error with %q", path, f, err, want)
		}
	}
}

// A file that shrinks while it is read must not look as if it ended there.
func TestShrunk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(path, make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := image.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	n, err := f.ReadAt(make([]byte, 4096), 0)
	if n != 100 || !errors.Is(err, io.ErrUnexpectedEOF) || f.Size() != 8192 {
		t.Errorf("%d, %v, size %d", n, err, f.Size())
	}
}

func TestDevice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.raw")
	want := bytes.Repeat([]byte("abcdefgh"), 128<<10)
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--read-only", "--show", "--sector-size", "4096", "-f", path).Output()
	if err != nil {
		t.Skip("needs root and loop devices")
	}
	dev := strings.TrimSpace(string(out))
	defer exec.Command("losetup", "-d", dev).Run()
	f, err := image.Open(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Size() != int64(len(want)) || f.SectorSize() != 4096 || !f.Device() {
		t.Errorf("size %d, sector %d, device %v", f.Size(), f.SectorSize(), f.Device())
	}
	got := make([]byte, len(want))
	var wg sync.WaitGroup
	for off := 0; off < len(got); off += 100_003 { // not aligned
		wg.Go(func() {
			p := got[off:min(off+100_003, len(got))]
			if n, err := f.ReadAt(p, int64(off)); n != len(p) || err != nil {
				t.Errorf("at %d: %d, %v", off, n, err)
			}
		})
	}
	if wg.Wait(); !bytes.Equal(got, want) {
		t.Error("the bytes differ")
	}
}
