package acquire

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"snapcase/evidence"
)

// TestContainer acquires the disk in an image container, and the file itself
// where that is asked for.
func TestContainer(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("needs qemu-img")
	}
	want := pattern(3*blockSize, 31)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "disk.raw"), want, 0o644))
	packed := filepath.Join(dir, "disk.qcow2")
	if out, err := exec.Command("qemu-img", "convert", "-c", "-O", "qcow2", filepath.Join(dir, "disk.raw"), packed).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img: %v: %s", err, out)
	}
	j, _ := newJob(t, packed)
	a, err := Run(t.Context(), j)
	must(t, err)
	if a.Kind != evidence.KindDisk || a.API != "container" || a.Container == nil || a.Container.Format != "qcow2" || a.SHA256 != evidence.Digest(sha256.Sum256(want)) {
		t.Errorf("%+v", a)
	}
	if !bytes.Equal(read(t, j.Folder.Image(a.Exhibit)), want) {
		t.Error("another disk came out")
	}
	j.Raw, j.Kind, j.Label = true, evidence.KindDisk, "as it is"
	a, err = Run(t.Context(), j)
	must(t, err)
	if !bytes.Equal(read(t, j.Folder.Image(a.Exhibit)), read(t, packed)) || a.Container != nil {
		t.Errorf("%+v", a)
	}
}

// TestMissingPiece: what a lost piece of a split image held is a gap with its
// place, after an interruption too.
func TestMissingPiece(t *testing.T) {
	want := pattern(3*blockSize, 32)
	dir := t.TempDir()
	for i, name := range []string{"disk.001", "disk.002", "disk.003"} {
		if i != 1 {
			must(t, os.WriteFile(filepath.Join(dir, name), want[i*blockSize:(i+1)*blockSize], 0o644))
		}
	}
	j, l := newJob(t, filepath.Join(dir, "disk.001"))
	j.Kind = evidence.KindDisk
	l.fail = "evidence.acquire.end"
	if _, err := Run(t.Context(), j); err == nil {
		t.Fatal("no error")
	}
	l.fail = ""
	a, err := Run(t.Context(), j)
	if !errors.Is(err, evidence.ErrGaps) {
		t.Fatal(err)
	}
	lost := int64(0)
	for _, e := range a.ReadErrors {
		if e.Length > 0 && (e.Offset < blockSize || e.Offset+e.Length > 2*blockSize) {
			t.Errorf("%+v", e)
		}
		lost += e.Length
	}
	if lost != blockSize || a.Bytes != 3*blockSize {
		t.Errorf("%d bytes lost of %d: %+v", lost, a.Bytes, a.ReadErrors)
	}
	clear(want[blockSize : 2*blockSize])
	if !bytes.Equal(read(t, j.Folder.Image(a.Exhibit)), want) {
		t.Error("the image is not the pieces with zeros between")
	}
}
