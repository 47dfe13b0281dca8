package acquire

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/evidence"
	"snapcase/imaging/image"
)

// packedBytes is what the sealed image holds, unpacked by zstd where there is one.
// It checks the copy's own digest.
func packedBytes(t testing.TB, j Job, a evidence.Acquisition) []byte {
	t.Helper()
	if a.Packed == nil {
		return read(t, j.Folder.Image(a.Exhibit))
	}
	path := j.Folder.PackedImage(a.Exhibit)
	b := read(t, path)
	if sum := sha256.Sum256(b); a.Packed.SHA256 != sum || a.Packed.Bytes != int64(len(b)) || a.Packed.File != filepath.Base(path) || a.Packed.Format != "zst" {
		t.Fatalf("%+v, want %x of %d bytes", a.Packed, sum, len(b))
	}
	if _, err := os.Lstat(j.Folder.Image(a.Exhibit)); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("there is a raw copy too: %v", err)
	}
	src, err := image.OpenPacked(path)
	must(t, err)
	defer src.Close()
	got := make([]byte, src.Size())
	if n, err := src.ReadAt(got, 0); n != len(got) {
		t.Fatalf("%d of %d bytes: %v", n, len(got), err)
	}
	if _, err := exec.LookPath("zstd"); err == nil {
		out, err := exec.Command("zstd", "-d", "-c", path).Output()
		must(t, err)
		if !bytes.Equal(out, got) {
			t.Fatal("zstd -d gives other bytes")
		}
	}
	return got
}

// TestPackedSizes packs images of sizes around those of blocks and frames.
func TestPackedSizes(t *testing.T) {
	for _, n := range []int{1, 511, 1 << 20, 1<<20 + 1, blockSize - 1, blockSize, blockSize + 1, 3*blockSize + 12345, 20*blockSize + 7} {
		want := pattern(n, uint64(n))
		j, l := newJob(t, write(t, "disk.raw", want))
		j.Kind, j.Format, j.Hashes = evidence.KindDisk, "zst", []string{"md5"}
		a, err := Run(t.Context(), j)
		must(t, err)
		checkSealed(t, j, a, want)
		r := l.last(t)
		if files, ok := r.Data["files_sha256"].(map[string]any); !ok || files[packedName] != a.Packed.SHA256.String() || r.Data["sha256"] != a.SHA256.String() {
			t.Errorf("record: %+v", r.Data)
		}
		manifest := string(read(t, filepath.Join(j.Folder.Exhibit(a.Exhibit), manifestName)))
		if want := fmt.Sprintf("%s  image.raw\n%s  image.raw.zst\n", a.SHA256, a.Packed.SHA256); manifest != want {
			t.Errorf("manifest:\n%s", manifest)
		}
		must(t, Check(j.Folder, a))
	}
}

// TestPackedIsTheSame: two acquisitions of the same bytes are the same file, one
// of them interrupted and with a damaged copy.
func TestPackedIsTheSame(t *testing.T) {
	want := pattern(15*blockSize+4321, 3)
	j, _ := newJob(t, write(t, "disk.raw", want))
	j.Kind, j.Format = evidence.KindDisk, "zst"
	whole, err := Run(t.Context(), j)
	must(t, err)
	for name, harm := range map[string]func(part string){
		"none": func(string) {},
		"cut":  func(part string) { must(t, os.Truncate(part, 3<<20)) },
		"gone": func(part string) { must(t, os.Remove(part)) },
		"flip": func(part string) {
			b := read(t, part)
			b[len(b)/2] ^= 1
			must(t, os.WriteFile(part, b, 0o600))
		},
		"more": func(part string) {
			f, err := os.OpenFile(part, os.O_APPEND|os.O_WRONLY, 0)
			must(t, err)
			_, err = f.Write(make([]byte, 1<<20))
			must(t, errors.Join(err, f.Close()))
		},
	} {
		j, l := newJob(t, write(t, "disk.raw", want))
		j.Kind, j.Format = evidence.KindDisk, "zst"
		ctx, stop := context.WithCancel(t.Context())
		j.Open = func(string) (Input, error) {
			return &cancelAfter{&shortSource{bytes.NewReader(want), int64(len(want))}, 9 * blockSize, stop}, nil
		}
		if _, err := Run(ctx, j); !evidence.Canceled(err) {
			t.Fatal(err)
		}
		harm(filepath.Join(j.Folder.Exhibit("EX-001"), partName))
		j.Open = nil
		raw := j
		raw.Format = "raw"
		if _, err := Run(t.Context(), raw); !errors.Is(err, evidence.ErrUsage) || !strings.Contains(err.Error(), "with format zst") {
			t.Errorf("%s: another format: %v", name, err)
		}
		a, err := Run(t.Context(), j)
		must(t, err)
		checkSealed(t, j, a, want)
		if *a.Packed != *whole.Packed {
			t.Errorf("%s: %+v, want %+v", name, a.Packed, whole.Packed)
		}
		if resumed := a.ResumedFrom > 0; resumed == (name == "gone") {
			t.Errorf("%s: resumed from %d", name, a.ResumedFrom)
		}
		if n := strings.Count(l.types(), "end"); n != 1 {
			t.Errorf("%s: records %s", name, l.types())
		}
	}
}

// TestPackedAfterACrash: sealed, but the ledger does not know it.
func TestPackedAfterACrash(t *testing.T) {
	want := pattern(2*blockSize, 4)
	j, l := newJob(t, write(t, "disk.raw", want))
	j.Kind, j.Format = evidence.KindDisk, "zst"
	l.fail = "evidence.acquire.end"
	if _, err := Run(t.Context(), j); err == nil {
		t.Fatal("the ledger took it")
	}
	l.fail = ""
	must(t, Recover(t.Context(), j.Folder, l))
	must(t, Done(j.Folder, "EX-001"))
	all, err := evidence.ReadExhibits(j.Folder)
	must(t, err)
	if len(all) != 1 || !strings.HasSuffix(l.types(), "end") {
		t.Fatalf("%v %s", all, l.types())
	}
	checkSealed(t, j, all[0], want)
	path := j.Folder.PackedImage("EX-001")
	must(t, os.Chmod(path, 0o600))
	b := read(t, path)
	b[len(b)/3] ^= 4
	must(t, os.WriteFile(path, b, 0o600))
	if err := Check(j.Folder, all[0]); !errors.Is(err, evidence.ErrBroken) {
		t.Errorf("a changed copy: %v", err)
	}
}

// TestPackedImagesOnly refuses to pack a folder and formats that are not known.
func TestPackedImagesOnly(t *testing.T) {
	j, _ := newJob(t, t.TempDir())
	must(t, os.WriteFile(filepath.Join(j.Source, "a.txt"), []byte("a"), 0o644))
	j.Kind, j.Format = evidence.KindFile, "zst"
	if _, err := Run(t.Context(), j); !errors.Is(err, evidence.ErrUsage) {
		t.Error(err)
	}
	j.Format = "rar"
	if _, err := Run(t.Context(), j); !errors.Is(err, evidence.ErrUsage) {
		t.Error(err)
	}
}
