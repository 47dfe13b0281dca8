package aws

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"snapcase/evidence"
	"snapcase/evidence/acquire"
	"snapcase/evidence/aws/awstest"
	"snapcase/evidence/custody"
)

// lines is a ledger that keeps the types of its records.
type lines struct{ types []string }

func (l *lines) Append(_ context.Context, r custody.Record) error {
	l.types = append(l.types, strings.TrimPrefix(r.Type, "evidence.acquire."))
	return nil
}

// job acquires a snapshot into a folder.
func job(s *Snapshot, folder string, l acquire.Ledger) acquire.Job {
	return acquire.Job{
		Folder: evidence.Folder(folder), Source: s.ID, Ledger: l, Now: time.Now, CaseKey: []byte("key"),
		Remote: &acquire.Remote{ID: s.ID, Input: s, Block: s.BlockSize(), Readers: s.Workers(), Data: s.DataBytes(), Origin: s.Origin},
	}
}

// TestMain acquires instead of testing where it is told to: it is the process
// that TestKill kills.
func TestMain(m *testing.M) {
	folder := os.Getenv("SNAPCASE_TEST_ACQUIRE")
	if folder == "" {
		os.Exit(m.Run())
	}
	a, err := Open(context.Background(), Options{Region: testRegion})
	if err == nil {
		var s *Snapshot
		if s, err = a.Snapshot(context.Background(), testSnapshot); err == nil {
			_, err = acquire.Run(context.Background(), job(s, folder, &lines{}))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// sums are those of volumes that were hashed before: the zeros of a GiB take time.
var sums sync.Map

// sum is the SHA-256 of what the volume of a cloud has.
func (c *cloud) sum(t testing.TB) evidence.Digest {
	t.Helper()
	key := fmt.Sprint(*c.noise)
	if s, ok := sums.Load(key); ok {
		return s.(evidence.Digest) //nolint:forcetypeassert // nothing else is in it
	}
	h := sha256.New()
	_, err := io.Copy(h, io.NewSectionReader(c.noise, 0, c.noise.Size))
	must(t, err)
	sums.Store(key, evidence.Digest(h.Sum(nil)))
	return evidence.Digest(h.Sum(nil))
}

// checkImage compares an exhibit with the volume, and its list of blocks.
func (c *cloud) checkImage(t *testing.T, folder string, a evidence.Acquisition) {
	t.Helper()
	if want := c.sum(t); a.SHA256 != want || a.Bytes != c.noise.Size || len(a.ReadErrors) != 0 {
		t.Fatalf("%+v, want %s", a, want)
	}
	f, err := os.Open(evidence.Folder(folder).Image("EX-001"))
	must(t, err)
	defer f.Close()
	var list strings.Builder
	b, got, zero := make([]byte, awstest.BlockSize), make([]byte, awstest.BlockSize), make([]byte, awstest.BlockSize)
	linear, none := sha256.New(), sha256.Sum256(zero)
	for i := range int32(c.noise.Size / awstest.BlockSize) { //nolint:gosec // of a test's volume
		off := int64(i) * awstest.BlockSize
		sum := none
		if _, err := f.ReadAt(got, off); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(c.noise.Listed, i) {
			_, err := c.noise.ReadAt(b, off)
			must(t, err)
			sum = sha256.Sum256(b)
			linear.Write(sum[:])
			if !bytes.Equal(b, got) {
				t.Fatalf("block %d of the image is not that of the volume", i)
			}
		} else if !bytes.Equal(zero, got) {
			t.Fatalf("block %d of the image is not zeros", i)
		}
		fmt.Fprintf(&list, "%x  %d %d\n", sum, off, len(b))
	}
	written, err := os.ReadFile(filepath.Join(evidence.Folder(folder).Exhibit("EX-001"), "blocks-sha256.txt"))
	must(t, err)
	if string(written) != list.String() {
		t.Fatal("blocks-sha256.txt is not that of the volume")
	}
	if a.Origin == nil || a.Origin.LinearSHA256 != fmt.Sprintf("%x", linear.Sum(nil)) {
		t.Fatalf("origin %+v", a.Origin)
	}
}

func TestAcquire(t *testing.T) {
	c := newCloud(t, 1, listed())
	folder, l := t.TempDir(), &lines{}
	s := c.open(t)
	a, err := acquire.Run(t.Context(), job(s, folder, l))
	must(t, err)
	c.checkImage(t, folder, a)
	o := a.Origin
	if a.API != "ebs-direct" || a.Kind != evidence.KindDisk || a.Source != testSnapshot || strings.Join(l.types, " ") != "start end" ||
		o.Snapshot != testSnapshot || o.Volume != "vol-0123456789abcdef0" || o.Owner != "111122223333" || o.Region != testRegion || o.Reads != int64(len(listed())) || len(o.Requests) == 0 || o.Listed != int64(len(listed())) || o.BlockSize != 524288 {
		t.Errorf("%+v %+v %v", a, o, l.types)
	}
	if a.DataBytes != int64(len(listed()))*524288 || a.HoleBytes != a.Bytes-a.DataBytes {
		t.Errorf("%d data, %d holes", a.DataBytes, a.HoleBytes)
	}
	var st unix.Stat_t
	must(t, unix.Stat(evidence.Folder(folder).Image("EX-001"), &st))
	if st.Blocks*512 > 64<<20 {
		t.Errorf("the image takes %d bytes: it is not sparse", st.Blocks*512)
	}
	var onDisk evidence.Acquisition
	b, err := os.ReadFile(evidence.Folder(folder).Acquisition("EX-001"))
	must(t, err)
	must(t, json.Unmarshal(b, &onDisk))
	must(t, acquire.Check(evidence.Folder(folder), onDisk))
	for i, n := range c.ebs.Got {
		if n != 1 {
			t.Errorf("block %d was read %d times", i, n)
		}
	}
}

// TestAcquireFaults acquires while everything goes wrong at once.
func TestAcquireFaults(t *testing.T) {
	c := newCloud(t, 1, span(0, 300))
	s := c.open(t)
	for _, k := range []awstest.FaultKind{awstest.Throttle, awstest.Unavailable, awstest.Reset, awstest.ShortBody, awstest.WrongSum, awstest.LostAnswer} {
		c.Break(awstest.Fault{Service: "ebs", Action: "GetSnapshotBlock", Kind: k, Share: 0.05})
	}
	folder := t.TempDir()
	a, err := acquire.Run(t.Context(), job(s, folder, &lines{}))
	must(t, err)
	c.checkImage(t, folder, a)
	if a.Origin.Retries < 20 {
		t.Errorf("%d retries", a.Origin.Retries)
	}
}

// TestAcquireLost: what cannot be had is zeros and a read error, the rest is there.
func TestAcquireLost(t *testing.T) {
	c := newCloud(t, 1, span(0, 200))
	c.ebs.Hurt[100] = &awstest.Error{Status: 500, Code: "InternalServerException", Message: "no"}
	c.ebs.Hurt[101] = &awstest.Error{Status: 500, Code: "InternalServerException", Message: "no"}
	c.ebs.Hurt[150] = &awstest.Error{Status: 400, Code: "ValidationException", Reason: "INVALID_BLOCK", Message: "no"}
	folder := t.TempDir()
	a, err := acquire.Run(t.Context(), job(c.open(t), folder, &lines{}))
	if !errors.Is(err, evidence.ErrGaps) || len(a.ReadErrors) != 2 || a.ReadErrors[0].Offset != 100*524288 || a.ReadErrors[0].Length != 2*524288 || a.ReadErrors[1].Offset != 150*524288 || a.Origin.LinearSHA256 != "" {
		t.Fatalf("%v %+v", err, a)
	}
	c.noise.Listed = append(append(span(0, 100), span(102, 150)...), span(151, 200)...)
	if want := c.sum(t); a.SHA256 != want || a.Bytes-a.DataBytes-a.HoleBytes != 3*524288 {
		t.Errorf("%s, want %s; %d data, %d holes", a.SHA256, want, a.DataBytes, a.HoleBytes)
	}
}

// TestExpiredInTheMiddle: credentials end in the middle; the same command with
// new ones resumes.
func TestExpiredInTheMiddle(t *testing.T) {
	c := newCloud(t, 1, span(0, 600))
	folder, l := t.TempDir(), &lines{}
	c.Break(awstest.Fault{Service: "ebs", Action: "GetSnapshotBlock", Kind: awstest.Expired, First: 400, Last: 1 << 30})
	_, err := acquire.Run(t.Context(), job(c.open(t), folder, l))
	if err == nil || errors.Is(err, evidence.ErrGaps) || !strings.Contains(err.Error(), "the credentials have expired") || !strings.Contains(err.Error(), "bytes are on disk and are kept") || !strings.Contains(hintOf(err), "it resumes") {
		t.Fatalf("%v, hint %q", err, hintOf(err))
	}
	t.Log(err)
	c.Mend()
	a, err := acquire.Run(t.Context(), job(c.open(t), folder, l))
	must(t, err)
	c.checkImage(t, folder, a)
	twice := 0
	for _, n := range c.ebs.Got {
		twice += n - 1
	}
	if a.ResumedFrom < 200*524288 || twice > 128 || strings.Join(l.types, " ") != "start error start end" {
		t.Errorf("resumed from %d, %d blocks read twice, records %v", a.ResumedFrom, twice, l.types)
	}
}

// TestOtherSnapshot: another snapshot, or one that has changed, is not resumed.
func TestOtherSnapshot(t *testing.T) {
	c := newCloud(t, 1, span(0, 600))
	folder := t.TempDir()
	c.Break(awstest.Fault{Service: "ebs", Action: "GetSnapshotBlock", Kind: awstest.Expired, First: 300, Last: 1 << 30})
	if _, err := acquire.Run(t.Context(), job(c.open(t), folder, &lines{})); err == nil {
		t.Fatal("no error")
	}
	c.Mend()
	c.snap.GiB = 2
	c.noise.Size = 2 << 30
	_, err := acquire.Run(t.Context(), job(c.open(t), folder, &lines{}))
	if err == nil || !strings.Contains(err.Error(), "EX-001 is unfinished") {
		t.Fatal(err)
	}
}

// TestDamagedCopy changes the copy of an unfinished acquisition.
func TestDamagedCopy(t *testing.T) {
	for name, damage := range map[string]func(*os.File) error{
		"in data": func(f *os.File) error { _, err := f.WriteAt([]byte{1, 2, 3}, 50*524288+77); return err },
		"in zeros": func(f *os.File) error {
			_, err := f.WriteAt([]byte{1, 2, 3}, 150*524288+77)
			return err
		},
		"cut": func(f *os.File) error { return f.Truncate(99 * 524288) },
	} {
		c := newCloud(t, 1, append(span(0, 100), span(400, 900)...))
		folder := t.TempDir()
		c.Break(awstest.Fault{Service: "ebs", Action: "GetSnapshotBlock", Kind: awstest.Expired, First: 450, Last: 1 << 30})
		if _, err := acquire.Run(t.Context(), job(c.open(t), folder, &lines{})); err == nil {
			t.Fatal("no error")
		}
		c.Mend()
		f, err := os.OpenFile(filepath.Join(evidence.Folder(folder).Exhibit("EX-001"), "image.part"), os.O_RDWR, 0)
		must(t, err)
		must(t, errors.Join(damage(f), f.Close()))
		a, err := acquire.Run(t.Context(), job(c.open(t), folder, &lines{}))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c.checkImage(t, folder, a)
	}
}

// TestKill is A1 and A3: SIGKILL at random moments, then the same hash, and no
// more than 128 blocks read twice for each kill.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("needs ten seconds")
	}
	c := newCloud(t, 1, span(100, 1700))
	c.ebs.Now, c.Now = time.Now, time.Now
	c.Latency = func(*awstest.Request) time.Duration { return 5 * time.Millisecond }
	folder := t.TempDir()
	exe, err := os.Executable()
	must(t, err)
	run := func() *exec.Cmd {
		x := exec.Command(exe)
		x.Env = append(os.Environ(), "SNAPCASE_TEST_ACQUIRE="+folder)
		x.Stderr = os.Stderr
		return x
	}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 9)) //nolint:gosec // a test's choice of moments
	kills := 0
	for range 8 {
		x := run()
		must(t, x.Start())
		time.Sleep(300*time.Millisecond + time.Duration(r.Int64N(int64(900*time.Millisecond))))
		must(t, x.Process.Kill())
		if x.Wait() == nil {
			break // it was done
		}
		kills++
		c.Locked(func() {
			twice := 0
			for _, n := range c.ebs.Got {
				twice += n - 1
			}
			t.Logf("after kill %d: %d blocks read, %d read again", kills, len(c.ebs.Got), twice)
		})
	}
	if _, err := os.Stat(evidence.Folder(folder).Acquisition("EX-001")); err != nil {
		must(t, run().Run())
	}
	b, err := os.ReadFile(evidence.Folder(folder).Acquisition("EX-001"))
	must(t, err)
	var a evidence.Acquisition
	must(t, json.Unmarshal(b, &a))
	c.checkImage(t, folder, a)
	twice := 0
	for _, n := range c.ebs.Got {
		twice += n - 1
	}
	t.Logf("%d kills, %d blocks read again, resumed from %d", kills, twice, a.ResumedFrom)
	if twice > 128*kills {
		t.Errorf("%d blocks were read again after %d kills", twice, kills)
	}
}

// TestCancelled: a cancellation is one, and what was read is kept.
func TestCancelled(t *testing.T) {
	c := newCloud(t, 1, span(0, 900))
	folder := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	s, err := c.account(t).Snapshot(ctx, testSnapshot)
	must(t, err)
	j := job(s, folder, &lines{})
	j.Progress = func(p evidence.Step) {
		if p.Done > 200<<20 {
			stop()
		}
	}
	if _, err = acquire.Run(ctx, j); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	a, err := acquire.Run(t.Context(), job(c.open(t), folder, &lines{}))
	must(t, err)
	c.checkImage(t, folder, a)
	if a.ResumedFrom == 0 {
		t.Error("nothing was kept")
	}
}

// TestMemory reads 1 GiB of 8 and looks at the most that was in use.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("needs ten seconds")
	}
	c := newCloud(t, 8, append(span(0, 1500), span(10_000, 10_500)...))
	s := c.open(t)
	var most uint64
	j := job(s, t.TempDir(), &lines{})
	var m runtime.MemStats
	j.Progress = func(evidence.Step) {
		if runtime.ReadMemStats(&m); m.HeapInuse > most {
			most = m.HeapInuse
		}
	}
	a, err := acquire.Run(t.Context(), j)
	must(t, err)
	t.Logf("%d MiB of heap and 128 MiB of blocks for %d GiB; the heap is also the fake's", most>>20, a.Bytes>>30)
	var u unix.Rusage
	must(t, unix.Getrusage(unix.RUSAGE_SELF, &u))
	t.Logf("maximum resident set %d MiB", u.Maxrss>>10)
}

// BenchmarkAcquire is 1 GiB of data, 20 ms for each block.
func BenchmarkAcquire(b *testing.B) {
	c := newCloud(b, 1, span(0, 2048))
	p := make([]byte, 1<<30)
	_, err := c.noise.ReadAt(p, 0)
	must(b, err)
	c.snap.Data = bytes.NewReader(p)
	c.ebs.Now, c.Now = time.Now, time.Now
	c.Latency = func(*awstest.Request) time.Duration { return 20 * time.Millisecond }
	b.SetBytes(1 << 30)
	for b.Loop() {
		a, err := Open(b.Context(), Options{Region: testRegion})
		must(b, err)
		s, err := a.Snapshot(b.Context(), testSnapshot)
		must(b, err)
		_, err = acquire.Run(b.Context(), job(s, b.TempDir(), &lines{}))
		must(b, err)
	}
}
