package acquire

import (
	"bytes"
	"context"
	"crypto/md5"  //nolint:gosec // what is compared
	"crypto/sha1" //nolint:gosec // what is compared
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/credential"
	"snapcase/evidence/custody"
)

var key = []byte("0123456789abcdef0123456789abcdef")

// testLedger is a ledger of lines, enough to be read back.
type testLedger struct {
	path string
	fail string // type of record that fails
	mu   sync.Mutex
	all  []custody.Record
}

func (l *testLedger) Append(_ context.Context, r custody.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Type == l.fail {
		return errors.New("ledger fails")
	}
	b, err := json.Marshal(map[string]any{"type": r.Type, "exhibit": r.Exhibit, "result": r.Result, "data": r.Data})
	if err != nil {
		return err
	}
	if len(b) > 60<<10 {
		return fmt.Errorf("a record of %d bytes", len(b))
	}
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	l.all = append(l.all, r)
	_, err = f.Write(append(b, '\n'))
	return errors.Join(err, f.Close())
}

// types are the types of the records, in short.
func (l *testLedger) types() string {
	var s []string
	for _, r := range l.all {
		s = append(s, strings.TrimPrefix(r.Type, "evidence.acquire."))
	}
	return strings.Join(s, " ")
}

func (l *testLedger) last(t *testing.T) custody.Record {
	t.Helper()
	if len(l.all) == 0 {
		t.Fatal("the ledger is empty")
	}
	return l.all[len(l.all)-1]
}

func newJob(t testing.TB, source string) (Job, *testLedger) {
	t.Helper()
	f := evidence.Folder(filepath.Join(t.TempDir(), "case"))
	must(t, os.Mkdir(string(f), 0o755))
	l := &testLedger{path: f.Ledger()}
	return Job{Folder: f, Source: source, Ledger: l, CaseKey: key, Now: time.Now}, l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pattern is n bytes: random, with zeros of many lengths and ids between.
func pattern(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 2))
	b := make([]byte, n)
	for at := 0; at < n; {
		run := min(n-at, 1+r.IntN(300_000))
		switch r.IntN(3) {
		case 0:
		case 1:
			for i := range run {
				b[at+i] = byte(r.Uint32())
			}
		case 2:
			copy(b[at:at+run], strings.Repeat("text without meaning\n", run/21))
			copy(b[at:at+run], fmt.Sprintf("[default]\naws_access_key_id = AKIA%016d\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n", r.IntN(1e9)))
		}
		at += run
	}
	return b
}

func write(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, b, 0o644))
	return path
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

// checkSealed checks what must hold of every sealed image.
func checkSealed(t testing.TB, j Job, a evidence.Acquisition, want []byte) {
	t.Helper()
	if got := packedBytes(t, j, a); !bytes.Equal(got, want) {
		t.Fatalf("the image differs from the source (%d and %d bytes)", len(got), len(want))
	}
	if sum := sha256.Sum256(want); a.SHA256 != sum || a.Bytes != int64(len(want)) {
		t.Fatalf("sha256 %s of %d bytes, want %x of %d", a.SHA256, a.Bytes, sum, len(want))
	}
	var lines strings.Builder
	part := leastPart
	if a.Packed != nil {
		part = blockSize
	}
	for off := 0; off < len(want); off += part {
		b := want[off:min(len(want), off+part)]
		fmt.Fprintf(&lines, "%x  %d %d\n", sha256.Sum256(b), off, len(b))
	}
	dir := j.Folder.Exhibit(a.Exhibit)
	if got := string(read(t, filepath.Join(dir, blocksName))); got != lines.String() {
		t.Fatalf("list of blocks:\n%swant\n%s", got, lines.String())
	}
	s := credential.NewScanner(key)
	s.Scan(want, 0)
	var hits bytes.Buffer
	must(t, credential.WriteHits(&hits, s.Hits(), 0))
	if got := read(t, filepath.Join(dir, hitsName)); !bytes.Equal(got, hits.Bytes()) {
		t.Fatalf("hits:\n%swant\n%s", got, hits.String())
	}
	names, err := os.ReadDir(dir)
	must(t, err)
	for _, n := range names {
		st, err := n.Info()
		must(t, err)
		if st.Mode().Perm() != 0o444 {
			t.Errorf("%s has mode %v", n.Name(), st.Mode())
		}
	}
	if _, err := exec.LookPath("sha256sum"); err == nil {
		c := exec.Command("sha256sum", "-c", "--quiet", "--strict", "--ignore-missing", manifestName)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("sha256sum -c: %v: %s", err, out)
		}
	}
	var onDisk evidence.Acquisition
	must(t, json.Unmarshal(read(t, j.Folder.Acquisition(a.Exhibit)), &onDisk))
	returned, err := json.Marshal(a)
	must(t, err)
	kept, err := json.Marshal(onDisk)
	must(t, err)
	if !bytes.Equal(kept, returned) {
		t.Errorf("acquisition.json holds %+v\nwant %+v", onDisk, a)
	}
}

// TestSizes are T3 and T4: every size, exactly.
func TestSizes(t *testing.T) {
	for _, n := range []int{1, 511, 512, 4096, 4097, 512<<10 + 512, blockSize - 1, blockSize, blockSize + 1, 3*blockSize + 12345, 9 * blockSize} {
		want := pattern(n, uint64(n))
		j, l := newJob(t, write(t, "disk.raw", want))
		j.Kind = evidence.KindDisk
		before := sha256.Sum256(read(t, j.Source))
		a, err := Run(t.Context(), j)
		must(t, err)
		checkSealed(t, j, a, want)
		if sha256.Sum256(read(t, j.Source)) != before { // T18
			t.Fatal("the source was changed")
		}
		if l.types() != "start end" {
			t.Fatalf("records: %s", l.types())
		}
		if a.DataBytes+a.HoleBytes != a.Bytes || a.API != apiFile || a.ResumedFrom != 0 {
			t.Errorf("%+v", a)
		}
		checkEnd(t, j, l, a) // T17
	}
}

// checkEnd compares the record of the end with known truth.
func checkEnd(t *testing.T, j Job, l *testLedger, a evidence.Acquisition) {
	t.Helper()
	r := l.last(t)
	if r.Type != "evidence.acquire.end" || r.Result != "ok" || r.Exhibit != a.Exhibit {
		t.Fatalf("%+v", r)
	}
	want := map[string]any{
		"source": j.Source, "kind": string(a.Kind), "api": a.API, "reread": "skipped", "bytes": fmt.Sprint(a.Bytes),
		"sectors": fmt.Sprint((a.Bytes + 511) / 512), "sha256": a.SHA256.String(), "resumed_from": fmt.Sprint(a.ResumedFrom),
		"data_bytes": fmt.Sprint(a.DataBytes), "hole_bytes": fmt.Sprint(a.HoleBytes), "unreadable_bytes": "0", "read_errors_total": "0",
		"block_list_sha256": fmt.Sprintf("%x", sha256.Sum256(read(t, filepath.Join(j.Folder.Exhibit(a.Exhibit), blocksName)))),
	}
	for k, v := range want {
		if fmt.Sprint(r.Data[k]) != fmt.Sprint(v) {
			t.Errorf("record: %s is %v, want %v", k, r.Data[k], v)
		}
	}
	files, ok := r.Data["files_sha256"].(map[string]any)
	if !ok || len(files) != 4 {
		t.Fatalf("files_sha256 %v", r.Data["files_sha256"])
	}
	for name, sum := range files {
		if got := fmt.Sprintf("%x", sha256.Sum256(read(t, filepath.Join(j.Folder.Exhibit(a.Exhibit), name)))); got != sum {
			t.Errorf("%s has %s, the record says %v", name, got, sum)
		}
	}
}

func TestSparseAndHashes(t *testing.T) {
	want := make([]byte, 6*blockSize+777)
	copy(want[blockSize+100_000:], pattern(50_000, 1))
	copy(want[5*blockSize:], pattern(3000, 2))
	j, _ := newJob(t, write(t, "disk.raw", want))
	j.Kind, j.Hashes = evidence.KindDisk, []string{"sha256", "md5", "SHA1", "blake3"}
	a, err := Run(t.Context(), j)
	must(t, err)
	checkSealed(t, j, a, want)
	if a.Hashes["md5"] != fmt.Sprintf("%x", md5.Sum(want)) || a.Hashes["sha1"] != fmt.Sprintf("%x", sha1.Sum(want)) || len(a.Hashes["blake3"]) != 64 || len(a.Hashes) != 3 {
		t.Errorf("hashes %v", a.Hashes)
	}
	var st syscall.Stat_t
	must(t, syscall.Stat(j.Folder.Image(a.Exhibit), &st))
	if st.Blocks*512 > 1<<20 || a.HoleBytes < 6*blockSize-200_000 {
		t.Errorf("the image takes %d bytes on disk, %d are holes", st.Blocks*512, a.HoleBytes)
	}
	j.Hashes = []string{"crc32"}
	if _, err := Run(t.Context(), j); !errors.Is(err, evidence.ErrUsage) {
		t.Errorf("crc32: %v", err)
	}
}

// badSource fails at ranges, each time or for the first few times.
type badSource struct {
	*bytes.Reader
	bad   [][2]int64
	times map[int64]int // of an offset: how often it still fails
	mu    sync.Mutex
}

func (s *badSource) Close() error { return nil }

func (s *badSource) ReadAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.bad {
		if off < r[1] && off+int64(len(p)) > r[0] {
			n := max(0, r[0]-off)
			m, _ := s.Reader.ReadAt(p[:n], off)
			return m, &os.PathError{Op: "read", Path: "x", Err: syscall.EIO}
		}
	}
	for at, n := range s.times {
		if n > 0 && off <= at && off+int64(len(p)) > at {
			s.times[at]--
			return 0, syscall.EIO
		}
	}
	return s.Reader.ReadAt(p, off)
}

// TestReadErrors is T5 and T6: each range exactly, zeros in the image, the rest
// whole.
func TestReadErrors(t *testing.T) {
	source := bytes.Repeat([]byte{0xa5}, 3*blockSize+1000)
	bad := [][2]int64{{0, 512}, {5000, 5001}, {blockSize - 512, blockSize + 1024}, {2*blockSize + 4096, 2*blockSize + 4096 + 5*512}, {3*blockSize + 600, 3*blockSize + 1000}}
	want := bytes.Clone(source)
	wantErrors := []evidence.ReadError{}
	for _, r := range bad {
		from, to := r[0]/512*512, min((r[1]+511)/512*512, int64(len(want)))
		clear(want[from:to])
		wantErrors = append(wantErrors, evidence.ReadError{Offset: from, Length: to - from, Error: "EIO: input/output error"})
	}
	j, l := newJob(t, write(t, "disk.raw", source))
	j.Kind = evidence.KindDisk
	j.Open = func(string) (Input, error) {
		return &badSource{Reader: bytes.NewReader(source), bad: bad, times: map[int64]int{blockSize + 100_000: 2}}, nil
	}
	a, err := Run(t.Context(), j)
	if !errors.Is(err, evidence.ErrGaps) {
		t.Fatal(err)
	}
	checkSealed(t, j, a, want)
	if fmt.Sprint(a.ReadErrors) != fmt.Sprint(wantErrors) {
		t.Fatalf("read errors\n%v\nwant\n%v", a.ReadErrors, wantErrors)
	}
	r := l.last(t)
	if r.Result != "partial" || r.Data["read_errors_total"] != "5" || r.Data["unreadable_bytes"] != fmt.Sprint(512+512+1536+5*512+488) {
		t.Fatalf("%+v", r)
	}
}

func TestManyReadErrors(t *testing.T) {
	source := bytes.Repeat([]byte{1}, 1<<20)
	var bad [][2]int64
	for off := int64(0); off < 300*2048; off += 2048 {
		bad = append(bad, [2]int64{off, off + 1})
	}
	j, l := newJob(t, write(t, "disk.raw", source))
	j.Kind = evidence.KindDisk
	j.Open = func(string) (Input, error) { return &badSource{Reader: bytes.NewReader(source), bad: bad}, nil }
	a, err := Run(t.Context(), j)
	if !errors.Is(err, evidence.ErrGaps) || len(a.ReadErrors) != 300 {
		t.Fatal(err, len(a.ReadErrors))
	}
	r := l.last(t)
	if list := r.Data["read_errors"].([]any); len(list) != 100 || r.Data["read_errors_total"] != "300" {
		t.Fatalf("%d errors in the record of %v", len(list), r.Data["read_errors_total"])
	}
	if n := bytes.Count(read(t, filepath.Join(j.Folder.Exhibit(a.Exhibit), readErrorsName)), []byte("\n")); n != 300 {
		t.Fatalf("%d lines", n)
	}
}

// TestGone loses the whole source midway: that is no read error.
func TestGone(t *testing.T) {
	want := pattern(6*blockSize, 21)
	j, l := newJob(t, write(t, "disk.raw", want))
	j.Kind = evidence.KindDisk
	j.Open = func(string) (Input, error) { return &goneSource{Reader: bytes.NewReader(want), at: 4 * blockSize}, nil }
	_, err := Run(t.Context(), j)
	var h evidence.Hinted
	if !errors.Is(err, syscall.ENXIO) || !errors.As(err, &h) || l.types() != "start error" {
		t.Fatal(err, l.types())
	}
	j.Open = nil
	a, err := Run(t.Context(), j)
	must(t, err)
	if a.ResumedFrom != 4*blockSize {
		t.Errorf("resumed from %d", a.ResumedFrom)
	}
	checkSealed(t, j, a, want)
}

type goneSource struct {
	*bytes.Reader
	at int64
}

func (s *goneSource) Close() error { return nil }

func (s *goneSource) ReadAt(p []byte, off int64) (int, error) {
	if off >= s.at {
		return 0, syscall.ENXIO
	}
	return s.Reader.ReadAt(p, off)
}

// TestShrinks reads a source that ends before its size.
func TestShrinks(t *testing.T) {
	source := pattern(2*blockSize, 3)
	j, _ := newJob(t, write(t, "disk.raw", source))
	j.Kind = evidence.KindDisk
	j.Open = func(string) (Input, error) {
		return &shortSource{bytes.NewReader(source[:blockSize+4321]), int64(len(source))}, nil
	}
	a, err := Run(t.Context(), j)
	if !errors.Is(err, evidence.ErrGaps) || len(a.ReadErrors) != 1 || a.ReadErrors[0].Offset != blockSize+4321 || a.ReadErrors[0].Length != blockSize-4321 {
		t.Fatal(err, a.ReadErrors)
	}
	want := bytes.Clone(source)
	clear(want[blockSize+4321:])
	checkSealed(t, j, a, want)
}

type shortSource struct {
	*bytes.Reader
	size int64
}

func (s *shortSource) Size() int64  { return s.size }
func (s *shortSource) Close() error { return nil }

func TestBadSources(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "empty"), nil, 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "x"), []byte("x"), 0o644))
	must(t, os.Mkdir(filepath.Join(dir, "nothing"), 0o755))
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644))
	for _, c := range []struct {
		source string
		kind   evidence.Kind
		want   string
	}{
		{"missing", "", "missing"},
		{"empty", "", "empty"},
		{"nothing", "", "no files"},
		{"pipe", "", "neither a file"},
		{".", evidence.KindDisk, "a folder is no disk image"},
	} {
		j, _ := newJob(t, filepath.Join(dir, c.source))
		j.Kind = c.kind
		a, err := Run(t.Context(), j)
		var h evidence.Hinted
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &h) || a.Ended.Set {
			t.Errorf("%s: %v", c.source, err)
		}
		if all, err := evidence.ReadExhibits(j.Folder); err != nil || len(all) != 0 {
			t.Errorf("%s: %v %v", c.source, all, err)
		}
	}
	j, _ := newJob(t, dir)
	j.Source = j.Folder.Ledger()
	must(t, os.WriteFile(j.Source, []byte("x"), 0o644))
	if _, err := Run(t.Context(), j); err == nil || !strings.Contains(err.Error(), "inside the case") {
		t.Error(err)
	}
	j.Source = filepath.Dir(string(j.Folder))
	if _, err := Run(t.Context(), j); err == nil || !strings.Contains(err.Error(), "inside the source") {
		t.Error(err)
	}
	if os.Getuid() != 0 {
		must(t, os.Chmod(filepath.Join(dir, "x"), 0))
		j.Source = filepath.Join(dir, "x")
		if _, err := Run(t.Context(), j); !errors.Is(err, os.ErrPermission) {
			t.Error(err)
		}
	}
}

// TestBlockDevice acquires a loop device with a partition table.
func TestBlockDevice(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	if _, err := exec.LookPath("losetup"); err != nil {
		t.Skip("needs losetup")
	}
	want := pattern(5<<20, 8)
	image := write(t, "disk.raw", want)
	out, err := exec.Command("losetup", "--find", "--show", "--read-only", image).Output()
	if err != nil {
		t.Skip("needs loop devices")
	}
	device := strings.TrimSpace(string(out))
	defer exec.Command("losetup", "-d", device).Run() //nolint:errcheck // nothing depends on it
	j, l := newJob(t, device)
	a, err := Run(t.Context(), j)
	must(t, err)
	if a.Kind != evidence.KindDisk || a.API != apiDevice || a.Source != device {
		t.Errorf("%+v", a)
	}
	checkSealed(t, j, a, want)
	checkEnd(t, j, l, a)
}

// TestFullDisk is T10: the disk fills midway, the exhibit stays resumable.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	mnt := t.TempDir()
	if err := exec.Command("mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", mnt).Run(); err != nil {
		t.Skip("needs mount")
	}
	defer exec.Command("umount", "-l", mnt).Run() //nolint:errcheck // nothing depends on it
	want := bytes.Repeat([]byte("full of data here\n"), 40<<20/18)
	source := write(t, "disk.raw", want)
	j, l := newJob(t, source)
	j.Folder, j.Kind = evidence.Folder(mnt), evidence.KindDisk
	l.path = j.Folder.Ledger()
	if _, err := Run(t.Context(), j); !errors.Is(err, syscall.ENOSPC) || len(l.all) != 0 {
		t.Fatalf("before the start: %v, records %s", err, l.types())
	}
	// A source that does not say how much it takes: it fills midway.
	sparse := filepath.Join(t.TempDir(), "sparse")
	must(t, os.WriteFile(sparse, nil, 0o644))
	must(t, os.Truncate(sparse, int64(len(want))))
	j.Source = sparse
	j.Open = func(string) (Input, error) { return &shortSource{bytes.NewReader(want), int64(len(want))}, nil }
	a, err := Run(t.Context(), j)
	var h evidence.Hinted
	if !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &h) || l.types() != "start error" || a.Exhibit != "EX-001" || evidence.Canceled(err) {
		t.Fatalf("midway: %v, records %s", err, l.types())
	}
	if all, err := evidence.ReadExhibits(j.Folder); err != nil || len(all) != 0 {
		t.Fatal(all, err)
	}
	must(t, exec.Command("mount", "-o", "remount,size=100m", mnt).Run())
	a, err = Run(t.Context(), j)
	must(t, err)
	if a.Exhibit != "EX-001" {
		t.Fatalf("%+v", a)
	}
	checkSealed(t, j, a, want)
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b) //nolint:errcheck // never fails
	return b
}
