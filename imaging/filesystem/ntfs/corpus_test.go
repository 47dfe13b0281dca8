package ntfs

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fstest"
)

func corpus(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("SNAPCASE_CORPUS")
	if dir == "" {
		t.Skip("needs SNAPCASE_CORPUS, the folder of the test corpus")
	}
	return filepath.Join(dir, "images")
}

func unpack(t testing.TB, path string) []byte {
	t.Helper()
	if strings.HasSuffix(path, ".zst") {
		b, err := exec.Command("zstd", "-dc", path).Output()
		if err != nil {
			t.Skipf("zstd: %v", err)
		}
		return b
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if b, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// TestCorpus compares with what fls -m says: path, record, size, times.
func TestCorpus(t *testing.T) {
	dir := corpus(t)
	for image, truth := range map[string]string{
		"windows/test.ntfs.dd.gz":      "windows/test.ntfs.dd.truth",
		"made/ntfs_20k_200del.img.zst": "made/ntfs_20k_200del.fls.truth.gz",
	} {
		t.Run(filepath.Base(image), func(t *testing.T) {
			src := fstest.Bytes(unpack(t, filepath.Join(dir, image)))
			fs, err := Open(src)
			if err != nil {
				t.Fatal(err)
			}
			all := make(map[string]filesystem.Entry)
			for e, err := range fs.Walk(context.Background()) {
				if err != nil {
					t.Fatal(err)
				}
				all[e.Path+"|"+strconv.FormatUint(e.Ref.Inode, 10)] = e
			}
			n := 0
			for _, line := range strings.Split(string(unpack(t, filepath.Join(dir, truth))), "\n") {
				f := strings.Split(line, "|")
				if len(f) < 11 || strings.Contains(f[1], "$FILE_NAME") || strings.Contains(f[1], "$OrphanFiles") {
					continue
				}
				path, deleted := strings.CutSuffix(f[1], " (deleted)")
				id := strings.Split(f[2], "-")
				if len(id) == 3 && id[1] == "144" && strings.Contains(path, ":") {
					continue // an index that is no directory
				}
				e, ok := all[path+"|"+id[0]]
				if !ok {
					t.Errorf("not found: %s", line)
					continue
				}
				n++
				size, _ := strconv.ParseInt(f[6], 10, 64)
				if (e.Status == filesystem.Deleted) != deleted || e.Type == filesystem.TypeFile && e.Size != size {
					t.Errorf("%v %d bytes, fls says %s", e.Status, e.Size, line)
				}
				for i, at := range []imaging.Time{e.Accessed, e.Modified, e.Changed, e.Born} {
					// fls prints the low 32 bits, of what is not set too
					if want, _ := strconv.ParseUint(f[7+i], 10, 64); at.Set && uint32(at.Sec) != uint32(want) {
						t.Errorf("time %d is %s, fls says %s", i, at, line)
					}
				}
			}
			t.Logf("%d lines of fls, %d entries", n, len(all))
			if n < 30 {
				t.Errorf("%d lines compared", n)
			}
		})
	}
}

func TestCorpusConformance(t *testing.T) {
	fstest.Run(t, Open, fstest.Bytes(unpack(t, filepath.Join(corpus(t), "windows/test.ntfs.dd.gz"))), []fstest.Want{
		{Path: "/Folder A/Folder B/Hello world text document.txt", Type: filesystem.TypeFile, Size: 12, Inode: 46},
		{Path: "/Folder A/Folder B/Hello world text document.txt:goodbye.txt", Type: filesystem.TypeFile, Size: 20},
		{Path: "/deleted.bin", Status: filesystem.Deleted, Size: fstest.AnySize},
	})
}

func BenchmarkWalk(b *testing.B) {
	src := fstest.Bytes(unpack(b, filepath.Join(corpus(b), "made/ntfs_20k_200del.img.zst")))
	for b.Loop() {
		fs, err := Open(src)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for _, err := range fs.Walk(context.Background()) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		b.ReportMetric(float64(n), "entries")
	}
}
