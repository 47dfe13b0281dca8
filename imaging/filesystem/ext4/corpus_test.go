package ext4

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
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

// corpus gives the folder of the shared test images.
func corpus(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("SNAPCASE_CORPUS")
	if dir == "" {
		t.Skip("needs SNAPCASE_CORPUS, the folder of the test corpus")
	}
	return filepath.Join(dir, "images")
}

// unpack gives the content of a .gz or .zst file.
func unpack(t testing.TB, path string) []byte {
	t.Helper()
	if strings.HasSuffix(path, ".zst") {
		if _, err := exec.LookPath("zstd"); err != nil {
			t.Skip("needs zstd")
		}
		b, err := exec.Command("zstd", "-dc", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// all walks and fails on an error.
func all(t testing.TB, fs *FS) []filesystem.Entry {
	t.Helper()
	var list []filesystem.Entry
	for e, err := range fs.Walk(context.Background()) {
		if err != nil {
			t.Fatalf("walk: %v", err)
		}
		list = append(list, e)
	}
	return list
}

// TestDamagedCorpus walks the images that e2fsck is tested with: no panic, no
// hang, no fewer live entries than The Sleuth Kit lists.
func TestDamagedCorpus(t *testing.T) {
	dir := filepath.Join(corpus(t), "e2fsprogs")
	b, err := os.ReadFile(filepath.Join(dir, "TRUTH.json"))
	if err != nil {
		t.Fatal(err)
	}
	var truth struct {
		Images map[string]struct{ Live int }
	}
	if err := json.Unmarshal(b, &truth); err != nil {
		t.Fatal(err)
	}
	// Three lines of fls are no names: in an index block it takes hashes for
	// entries of the inodes 158, 275 and 405, which have their own names.
	phantoms := map[string]int{"f_h_reindex": 3}
	for name, want := range truth.Images {
		want.Live -= phantoms[name]
		t.Run(name, func(t *testing.T) {
			src := fstest.Bytes(unpack(t, filepath.Join(dir, name+".img.gz")))
			fstest.Survive(t, Open, src)
			fs, err := Open(src)
			if err != nil {
				t.Logf("open: %v", err)
				if want.Live > 0 {
					t.Errorf("0 live entries, The Sleuth Kit %d", want.Live)
				}
				return
			}
			live := countLive(t, fs)
			if live < want.Live && strings.Contains(strings.Join(fs.Info().State, "\n"), "needs journal recovery") {
				// The Sleuth Kit shows what lies there
				if fs, err = OpenRaw(src); err != nil {
					t.Fatal(err)
				}
				live = countLive(t, fs)
			}
			t.Logf("%d live (The Sleuth Kit %d) %q", live, want.Live, fs.Info().State)
			if live < want.Live {
				t.Errorf("%d live entries, The Sleuth Kit %d", live, want.Live)
			}
		})
	}
}

func countLive(t *testing.T, fs *FS) (live int) {
	t.Helper()
	for _, e := range all(t, fs) {
		if e.Status == filesystem.Allocated && e.Path != "/" {
			live++
		}
	}
	return live
}

func digest(t testing.TB, src imaging.Source) string {
	t.Helper()
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(src, 0, src.Size())); err != nil {
		t.Fatalf("read: %v", err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func nanos(t imaging.Time) int64 { return t.Sec*1e9 + int64(t.Nsec) }

// parseNanos reads "-315521755.1234567890" as find -printf writes it.
func parseNanos(t *testing.T, s string) int64 {
	sec, frac, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(sec, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	f, err := strconv.ParseInt((frac + "000000000")[:9], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n*1e9 + f
}

// TestMade compares the feature images with what the kernel listed, entry by
// entry, and the content of every file by its digest.
func TestMade(t *testing.T) {
	dir := filepath.Join(corpus(t), "made")
	images, _ := filepath.Glob(filepath.Join(dir, "ext4_*.img.zst"))
	if len(images) < 10 {
		t.Fatalf("%d images in %s", len(images), dir)
	}
	for _, path := range images {
		name := strings.TrimSuffix(filepath.Base(path), ".img.zst")
		t.Run(name, func(t *testing.T) {
			fs, err := Open(fstest.Bytes(unpack(t, path)))
			if err != nil {
				t.Fatal(err)
			}
			live := make(map[string]filesystem.Entry)
			for _, e := range all(t, fs) {
				if e.Damage != "" {
					t.Errorf("%q (%s): damage %q", e.Path, e.Status, e.Damage)
				}
				if e.Status == filesystem.Allocated {
					live[e.Path] = e
				}
			}
			seen, sums := 0, 0
			lines := bufio.NewScanner(bytes.NewReader(unpack(t, filepath.Join(dir, name+".truth.gz"))))
			lines.Buffer(nil, 1<<20)
			for lines.Scan() {
				line := lines.Text()
				if sum, file, ok := strings.Cut(line, "  ."); ok && len(sum) == 64 {
					sums++
					src, err := fs.Open(live[file].Ref)
					if err != nil {
						t.Errorf("%q: %v", file, err)
					} else if got := digest(t, src); got != sum {
						t.Errorf("%q: sha256 %s, want %s", file, got, sum)
					}
					continue
				}
				p := strings.Split(line, "|")
				if len(p) < 10 || strings.HasPrefix(line, "#") {
					continue
				}
				seen++
				path := "/" + strings.TrimPrefix(strings.TrimPrefix(p[1], "."), "/")
				e, ok := live[path]
				if !ok {
					t.Errorf("%q is missing", path)
					continue
				}
				got := fmt.Sprintf("%d|%d|%d|%d|%d|%d|%d|%s", e.Ref.Inode, e.UID, e.GID, e.Size,
					nanos(e.Accessed), nanos(e.Modified), nanos(e.Changed), e.Link)
				want := fmt.Sprintf("%s|%s|%s|%s|%d|%d|%d|%s", p[0], p[3], p[4], p[5],
					parseNanos(t, p[6]), parseNanos(t, p[7]), parseNanos(t, p[8]), p[9])
				if got != want {
					t.Errorf("%q:\n got %s\nwant %s", path, got, want)
				}
			}
			if seen < 100 || sums < 100 || seen != len(live) {
				t.Errorf("%d entries and %d digests compared, %d live", seen, sums, len(live))
			}
		})
	}
}

// bigNanos is nanoseconds since 1970 of years that an int64 does not reach.
func bigNanos(t imaging.Time) string {
	n := new(big.Int).Mul(big.NewInt(t.Sec), big.NewInt(1e9))
	return n.Add(n, big.NewInt(int64(t.Nsec))).String()
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
