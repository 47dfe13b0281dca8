package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"snapcase/evidence"
	"snapcase/evidence/acquire"
	"snapcase/imaging"
)

// service gives the blocks of a file, as a snapshot does.
type service struct {
	f     *os.File
	size  int64
	block int64
	let   chan struct{}
	early atomic.Int64 // blocks that were read early
	bulk  atomic.Int64 // and by the acquisition
	total int64        // blocks that have bytes
}

func newService(t testing.TB, path string, block int64) *service {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) })
	fi, err := f.Stat()
	must(t, err)
	s := &service{f: f, size: fi.Size(), block: block, let: make(chan struct{})}
	for off := int64(0); off < s.size; {
		start, end := s.NextData(off)
		s.total += (end - start) / s.block
		off = max(end, off+s.block)
	}
	return s
}

func (s *service) Size() int64  { return s.size }
func (s *service) Close() error { return nil }

func (s *service) ReadAt(p []byte, off int64) (int, error) {
	s.early.Add(1)
	return s.f.ReadAt(p, off)
}

func (s *service) ReadBlock(p []byte, off int64) (int, *evidence.Digest, error) {
	s.bulk.Add(1)
	n, err := s.f.ReadAt(p, off)
	sum := evidence.Digest(sha256.Sum256(p))
	return n, &sum, err
}

// hold lets the acquisition get no more than some blocks until let is closed: its
// journal waits. Who reads early does not.
func (s *service) hold(step evidence.Step) {
	if strings.HasPrefix(step.What, "acquire ") {
		<-s.let
	}
}

// NextData gives the first whole blocks of the file that are no holes.
func (s *service) NextData(off int64) (start, end int64) {
	at, err := unix.Seek(int(s.f.Fd()), off, unix.SEEK_DATA)
	if err != nil {
		return s.size, s.size
	}
	to, err := unix.Seek(int(s.f.Fd()), at, unix.SEEK_HOLE)
	if err != nil {
		to = s.size
	}
	return max(off, at/s.block*s.block), min(s.size, (to+s.block-1)/s.block*s.block)
}

func (s *service) request(browse func(string, error)) AcquireRequest {
	return AcquireRequest{Source: "snap-1", Lazy: true, Browse: browse, Remote: &acquire.Remote{
		ID: "snap-1", Input: s, Block: int(s.block), Readers: 4, Data: s.total * s.block, Origin: func() evidence.Origin { return evidence.Origin{Snapshot: "snap-1"} },
	}}
}

// entriesText is every entry of a case, as text.
func entriesText(t testing.TB, c *Case) string {
	t.Helper()
	var b strings.Builder
	for _, e := range listFiles(t, c, FileQuery{}) {
		damage := ""
		if e.Damage != nil {
			damage = *e.Damage
		}
		fmt.Fprintln(&b, e.Address, e.Status, e.Size, e.Modified, damage)
	}
	return b.String()
}

// TestLazy lists the files of a disk, reads them and finds their keys while the
// acquisition has not got a block yet; this process and another one see the same,
// and it is said not to be complete. In the end all is as if nobody had asked.
func TestLazy(t *testing.T) {
	path := demoDisk(t)
	plain := newTestCase(t)
	want := bringPath(t, plain, evidence.KindDisk, path)
	s, c := newService(t, path, 4096), newTestCase(t)
	var acq evidence.Acquisition
	listed := make(chan error, 1)
	var run sync.WaitGroup
	run.Go(func() {
		var err error
		if acq, err = c.Acquire(t.Context(), s.request(func(_ string, err error) { listed <- err }), s.hold); err != nil {
			t.Error(err)
		}
	})
	must(t, <-listed)
	checkEarly(t, c, plain, want)
	other, err := Open(t.Context(), string(c.Folder()), Options{ReadOnly: true})
	must(t, err)
	defer other.Close()
	checkEarly(t, other, plain, want)
	close(s.let)
	run.Wait()
	all, err := c.Stats(t.Context())
	must(t, err)
	sealed, err := plain.Stats(t.Context())
	must(t, err)
	if len(all) != 1 || all[0].Incomplete != nil || !all[0].Indexed || all[0].SHA256 != sealed[0].SHA256 || acq.SHA256 != sealed[0].SHA256 {
		t.Errorf("%+v, want %s", all, sealed[0].SHA256)
	}
	image, err := os.ReadFile(c.Folder().Image(want))
	must(t, err)
	raw, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(image, raw) {
		t.Error("the image is not the disk")
	}
	for _, k := range []*Case{c, other} {
		if got := entriesText(t, k); got != entriesText(t, plain) {
			t.Error("the listing differs once it is sealed")
		}
		if got, want := keysText(t, k), keysText(t, plain); got != want {
			t.Errorf("keys are\n%s\nwant\n%s", got, want)
		}
	}
	if n := s.early.Load() + s.bulk.Load(); n != s.total {
		t.Errorf("%d blocks were read, there are %d", n, s.total)
	}
	compareFiles(t, other, plain)
	records, err := c.Records(t.Context())
	must(t, err)
	var types []string
	for _, r := range records {
		types = append(types, strings.TrimPrefix(r.Type, "evidence.acquire."))
	}
	if got := strings.Join(types, " "); got != "case.open start end" {
		t.Errorf("records are %s", got)
	}
}

// checkEarly compares what a case shows of an unfinished exhibit.
func checkEarly(t *testing.T, c, plain *Case, exhibit string) {
	t.Helper()
	if got, want := entriesText(t, c), entriesText(t, plain); got != want {
		t.Errorf("listed are\n%s\nwant\n%s", got, want)
	}
	all, err := c.Stats(t.Context())
	must(t, err)
	if len(all) != 1 || all[0].Incomplete == nil || all[0].Incomplete.State != "running" || all[0].SHA256 != (evidence.Digest{}) || !all[0].Indexed {
		t.Fatalf("%+v", all)
	}
	if _, err := os.Stat(c.Folder().Acquisition(exhibit)); !errors.Is(err, os.ErrNotExist) {
		t.Error("it is sealed already")
	}
	keys, err := c.Keys(t.Context(), false)
	must(t, err)
	if len(keys) == 0 {
		t.Error("no key was found in files of interest")
	}
	compareFiles(t, c, plain)
}

// compareFiles compares the content of every file of two cases.
func compareFiles(t *testing.T, c, plain *Case) {
	t.Helper()
	n := 0
	for _, e := range listFiles(t, plain, FileQuery{}) {
		if e.Type != "file" || e.Status != "allocated" || e.Size == 0 {
			continue
		}
		a, err := evidence.ParseAddress(e.Address)
		must(t, err)
		var sums [2][32]byte
		for i, k := range []*Case{c, plain} {
			src, _, err := k.OpenEntry(t.Context(), a)
			must(t, err)
			h := sha256.New()
			_, err = io.Copy(h, io.NewSectionReader(src, 0, src.Size()))
			must(t, err)
			sums[i] = [32]byte(h.Sum(nil))
		}
		if n++; sums[0] != sums[1] {
			t.Errorf("%s differs", e.Address)
		}
	}
	if n == 0 {
		t.Error("no file was compared")
	}
}

func keysText(t testing.TB, c *Case) string {
	t.Helper()
	keys, err := c.Keys(t.Context(), false)
	must(t, err)
	var b strings.Builder
	for _, k := range keys {
		for _, p := range k.Places {
			fmt.Fprintln(&b, k.KeyID, *p.Address, p.Status)
		}
	}
	return b.String()
}

// TestLazyInterrupted ends the acquisition in the middle: what was listed stays,
// said to be interrupted, what is not here is an error and no damage, another index
// run leaves it alone, and the same call goes on.
func TestLazyInterrupted(t *testing.T) {
	path := demoDisk(t)
	s, c := newService(t, path, 4096), newTestCase(t)
	ctx, stop := context.WithCancel(t.Context())
	_, err := c.Acquire(ctx, s.request(func(_ string, err error) {
		if err != nil {
			t.Error(err)
		}
		stop()
		close(s.let)
	}), s.hold)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	before := entriesText(t, c)
	must(t, c.Index(t.Context(), IndexOptions{}, nil))
	if entriesText(t, c) != before || before == "" {
		t.Error("the preliminary listing is gone")
	}
	all, err := c.Stats(t.Context())
	must(t, err)
	if len(all) != 1 || all[0].Incomplete == nil || all[0].Incomplete.State != "interrupted" || all[0].Incomplete.Acquired == 0 {
		t.Fatalf("%+v", all)
	}
	under, err := c.Acquisitions(t.Context())
	must(t, err)
	if len(under) != 1 || under[0].Running || !under[0].Early || under[0].Data == 0 || under[0].Error == "" || under[0].Wanted != s.total*s.block {
		t.Errorf("%+v", under)
	}
	countMissing(t, c)
	again := newService(t, path, 4096)
	close(again.let)
	r := again.request(nil)
	a, err := c.Acquire(t.Context(), r, nil)
	must(t, err)
	raw, err := os.ReadFile(path)
	must(t, err)
	if a.SHA256 != evidence.Digest(sha256.Sum256(raw)) || a.ResumedFrom == 0 {
		t.Errorf("%+v", a)
	}
	if n := again.early.Load() + again.bulk.Load(); n > again.total-10 {
		t.Errorf("%d of %d blocks were read again", n, again.total)
	}
	if all, err = c.Stats(t.Context()); err != nil || all[0].Incomplete != nil {
		t.Errorf("%+v %v", all, err)
	}
}

// countMissing reads every file: each is whole, or it is said not to be here.
func countMissing(t *testing.T, c *Case) {
	t.Helper()
	here, not := 0, 0
	for _, e := range listFiles(t, c, FileQuery{}) {
		if e.Type != "file" || e.Status != "allocated" || e.Size == 0 {
			continue
		}
		a, err := evidence.ParseAddress(e.Address)
		must(t, err)
		src, _, err := c.OpenEntry(t.Context(), a)
		if err == nil {
			_, err = io.Copy(io.Discard, io.NewSectionReader(src, 0, src.Size()))
		}
		switch {
		case err == nil:
			here++
		case errors.Is(err, evidence.ErrIncomplete):
			not++
		default:
			t.Error(err)
		}
	}
	t.Logf("%d files are here, %d not", here, not)
	if here == 0 || not == 0 {
		t.Errorf("%d files are here, %d not", here, not)
	}
}

// TestLazyBig bounds how much of a big volume is read before its files are listed.
func TestLazyBig(t *testing.T) {
	if _, err := exec.LookPath("mke2fs"); err != nil {
		t.Skip("needs mke2fs")
	}
	dir := t.TempDir()
	root, path := filepath.Join(dir, "root"), filepath.Join(dir, "disk.raw")
	must(t, os.MkdirAll(filepath.Join(root, "home/u/.aws"), 0o755))
	must(t, os.WriteFile(filepath.Join(root, "home/u/.aws/credentials"), []byte("[default]\naws_access_key_id = AKIAQYLPMN5HFIQR7BBB\naws_secret_access_key = abcdefghijklmnopqrstuvwxyz0123456789+/AB\n"), 0o600))
	b := make([]byte, 4<<20)
	for i := range 50 {
		_, err := rand.Read(b)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(root, fmt.Sprintf("data%d", i)), b, 0o644))
	}
	must(t, os.WriteFile(path, nil, 0o644))
	must(t, os.Truncate(path, 256<<30))
	out, err := exec.Command("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-E", "lazy_itable_init=1", "-d", root, path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s, c := newService(t, path, 512<<10), newTestCase(t)
	ctx, stop := context.WithCancel(t.Context())
	_, err = c.Acquire(ctx, s.request(func(_ string, err error) {
		if err != nil {
			t.Error(err)
		}
		n := s.early.Load() + s.bulk.Load()
		t.Logf("%d of %d blocks were read before the listing, %d of them by the acquisition", n, s.total, s.bulk.Load())
		if s.early.Load() > 200 || n > 328 || s.total < 500 {
			t.Errorf("%d of %d blocks were read before the listing", n, s.total)
		}
		keys, err := c.Keys(ctx, false)
		if err != nil || len(keys) != 1 || len(listFiles(t, c, FileQuery{})) < 53 {
			t.Errorf("%v %v", keys, err)
		}
		stop()
		close(s.let)
	}), s.hold)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

var _ imaging.Source = (*service)(nil)
