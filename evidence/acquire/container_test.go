package acquire

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/evidence"

	"github.com/klauspost/compress/s2"
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

// TestMemory acquires memory in LiME and AVML at its addresses, with the keys
// in it, and memory that only looks like a container as it is.
func TestMemory(t *testing.T) {
	ram := pattern(3<<20, 33)
	const key = "AKIA2OGYBAH6QLWVZT7M"
	copy(ram[1<<20+70:], " "+key+" ")
	header := func(magic string, version uint32, start, n int) []byte {
		b := binary.LittleEndian.AppendUint32([]byte(magic), version)
		b = binary.LittleEndian.AppendUint64(b, uint64(start))
		return append(binary.LittleEndian.AppendUint64(b, uint64(start+n-1)), make([]byte, 8)...)
	}
	const split, second = 640 << 10, 1 << 20 // the hole below a MiB
	want := make([]byte, second+len(ram)-split)
	copy(want, ram[:split])
	copy(want[second:], ram[split:])
	var lime, avml []byte
	for _, r := range []struct {
		start int
		b     []byte
	}{{0, ram[:split]}, {second, ram[split:]}} {
		lime = append(append(lime, header("EMiL", 1, r.start, len(r.b))...), r.b...)
		var z bytes.Buffer
		w := s2.NewWriter(&z, s2.WriterSnappyCompat(), s2.WriterBlockSize(64<<10))
		_, err := w.Write(r.b)
		must(t, errors.Join(err, w.Close()))
		avml = append(append(avml, header("AVML", 2, r.start, len(r.b))...), z.Bytes()...)
		avml = binary.LittleEndian.AppendUint64(avml, uint64(z.Len()))
	}
	for format, b := range map[string][]byte{"lime": lime, "avml": avml} {
		for _, kind := range []evidence.Kind{"", evidence.KindMemory} {
			j, _ := newJob(t, write(t, "memory", b))
			j.Kind = kind
			a, err := Run(t.Context(), j)
			must(t, err)
			if a.Kind != evidence.KindMemory || a.Container == nil || a.Container.Format != format || len(a.ReadErrors) > 0 || !bytes.Equal(read(t, j.Folder.Image(a.Exhibit)), want) {
				t.Errorf("%s: %+v", format, a)
			}
			hits := string(read(t, filepath.Join(j.Folder.Exhibit(a.Exhibit), "hits.jsonl")))
			if !strings.Contains(hits, fmt.Sprintf(`"offset":%d,"key_id":"%s"`, 1<<20+71+second-split, key)) {
				t.Errorf("%s: hits %s", format, hits)
			}
		}
	}
	j, _ := newJob(t, write(t, "memory", lime))
	j.Kind = evidence.KindDisk
	if _, err := Run(t.Context(), j); !errors.Is(err, evidence.ErrUsage) {
		t.Errorf("as a disk: %v", err)
	}
	for _, text := range []string{"\x1f\x8b\x08\x00", "QFI\xfb\x00\x00\x00\x03", "plain"} {
		b := append([]byte(text), ram...)
		j, _ := newJob(t, write(t, "memory", b))
		j.Kind = evidence.KindMemory
		a, err := Run(t.Context(), j)
		must(t, err)
		if a.Container != nil || !bytes.Equal(read(t, j.Folder.Image(a.Exhibit)), b) {
			t.Errorf("%q: %+v", text, a)
		}
	}
}
