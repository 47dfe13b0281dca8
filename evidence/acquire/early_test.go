package acquire

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"snapcase/evidence"
	"snapcase/imaging"
)

const earlyTest = 4096

// service is a source of blocks that counts how often each was asked for, and
// holds the acquisition back until it is let go.
type service struct {
	data  []byte
	has   func(n int64) bool
	hurt  map[int64]bool
	gate  chan struct{} // the acquisition waits here
	reads []atomic.Int32
}

func newService(blocks int64, has func(int64) bool) *service {
	s := &service{data: make([]byte, blocks*earlyTest), has: has, gate: make(chan struct{}), reads: make([]atomic.Int32, blocks)}
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test's bytes
	for n := range blocks {
		if has(n) {
			for i := range earlyTest {
				s.data[n*earlyTest+int64(i)] = byte(r.Uint32())
			}
		}
	}
	return s
}

func (s *service) Size() int64  { return int64(len(s.data)) }
func (s *service) Close() error { return nil }

func (s *service) ReadAt(p []byte, off int64) (int, error) {
	n := off / earlyTest
	s.reads[n].Add(1)
	if s.hurt[n] {
		return 0, &imaging.RangeError{Offset: n * earlyTest, Length: earlyTest, Tries: 8, Err: errors.New("no")}
	}
	return bytes.NewReader(s.data).ReadAt(p, off)
}

func (s *service) ReadBlock(p []byte, off int64) (int, *evidence.Digest, error) {
	<-s.gate
	n, err := s.ReadAt(p, off)
	if n < len(p) {
		return n, nil, err
	}
	sum := evidence.Digest(sha256.Sum256(p))
	return n, &sum, nil
}

func (s *service) NextData(off int64) (start, end int64) {
	n := off / earlyTest
	for n*earlyTest < s.Size() && !s.has(n) {
		n++
	}
	start = min(s.Size(), max(off, n*earlyTest))
	for n*earlyTest < s.Size() && s.has(n) {
		n++
	}
	return start, min(s.Size(), n*earlyTest)
}

func (s *service) job(folder string, early func(*Early)) Job {
	return Job{
		Folder: evidence.Folder(folder), Source: "snap-1", Ledger: &testLedger{path: filepath.Join(folder, "ledger.jsonl")}, Now: time.Now, CaseKey: []byte("k"), Early: early,
		Remote: &Remote{ID: "snap-1", Input: s, Block: earlyTest, Readers: 4, Data: s.Size(), Origin: func() evidence.Origin { return evidence.Origin{} }},
	}
}

func (s *service) check(t *testing.T, folder string, a evidence.Acquisition) {
	t.Helper()
	b, err := os.ReadFile(evidence.Folder(folder).Image(a.Exhibit))
	if err != nil || !bytes.Equal(b, s.data) || a.SHA256 != evidence.Digest(sha256.Sum256(s.data)) {
		t.Fatalf("the image is not the source's: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(evidence.Folder(folder).Exhibit(a.Exhibit), ".*"))
	if err != nil || len(left) > 0 {
		t.Fatalf("left behind: %v %v", left, err)
	}
}

// TestEarly reads all over an image while nothing of it is acquired yet, in this
// process and as another one does, then lets the acquisition go on: every block
// was asked for once.
func TestEarly(t *testing.T) {
	s := newService(3000, func(n int64) bool { return n%3 != 0 })
	folder := t.TempDir()
	var wg sync.WaitGroup
	var early *Early
	a, err := Run(t.Context(), s.job(folder, func(e *Early) {
		early = e
		wg.Go(func() {
			defer close(s.gate)
			readSome(t, s, e)
			p, err := OpenPartial(evidence.Folder(folder), "EX-001")
			if err != nil {
				t.Error(err)
				return
			}
			defer p.Close()
			readSome(t, s, p)
			if _, err := os.Stat(evidence.Folder(folder).Acquisition("EX-001")); !errors.Is(err, os.ErrNotExist) {
				t.Error("it is said to be complete")
			}
		})
	}))
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	s.check(t, folder, a)
	readSome(t, s, early) // when it is sealed too
	if err := early.Close(); err != nil {
		t.Error(err)
	}
	for n := range s.reads {
		if k := s.reads[n].Load(); k > 1 || k == 1 != s.has(int64(n)) {
			t.Fatalf("block %d was asked for %d times", n, k)
		}
	}
}

// readSome compares pieces of a source at random places, from several readers.
func readSome(t *testing.T, s *service, src imaging.Source) {
	var wg sync.WaitGroup
	for k := range uint64(8) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(3, k)) //nolint:gosec // a test's places
			for range 100 {
				// Behind the first blocks: those are on their way, and held back.
				off, p := 16*earlyTest+r.Int64N(s.Size()-16*earlyTest), make([]byte, r.IntN(3*earlyTest))
				n, err := src.ReadAt(p, off)
				if err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(p[:n], s.data[off:off+int64(n)]) || n < len(p) && off+int64(n) != s.Size() {
					t.Errorf("%d bytes at %d: %d, %v", len(p), off, n, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestEarlyWhileItGoesOn reads while the acquisition is in full swing.
func TestEarlyWhileItGoesOn(t *testing.T) {
	s := newService(3000, func(n int64) bool { return n%7 != 0 })
	close(s.gate)
	folder := t.TempDir()
	var wg sync.WaitGroup
	a, err := Run(t.Context(), s.job(folder, func(e *Early) {
		wg.Go(func() {
			for range 5 {
				readSome(t, s, e)
			}
		})
	}))
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	s.check(t, folder, a)
	for n := range s.reads {
		if k := s.reads[n].Load(); k > 1 {
			t.Fatalf("block %d was asked for %d times", n, k)
		}
	}
}

// TestEarlyInterrupted stops, damages what was kept, and goes on: what has not
// its digest is fetched again and never shown, the rest is not.
func TestEarlyInterrupted(t *testing.T) {
	s := newService(2000, func(n int64) bool { return n < 1000 || n > 1500 })
	folder := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	_, err := Run(ctx, s.job(folder, func(e *Early) {
		wg.Go(func() {
			readSome(t, s, e)
			stop()
			close(s.gate)
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}))
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	wg.Wait()
	path := filepath.Join(evidence.Folder(folder).Exhibit("EX-001"), earlyName)
	kept, err := os.ReadFile(path)
	if err != nil || len(kept) < 18*earlyTest {
		t.Fatal(len(kept), err)
	}
	kept[17*earlyTest+5] ^= 1
	if err := os.WriteFile(path, kept, 0o600); err != nil {
		t.Fatal(err)
	}
	partial(t, s, folder)
	before := make([]int32, len(s.reads))
	for n := range s.reads {
		before[n] = s.reads[n].Load()
	}
	a, err := Run(t.Context(), s.job(folder, nil)) // without asking for it early, too
	if err != nil {
		t.Fatal(err)
	}
	s.check(t, folder, a)
	again := 0
	for n := range s.reads {
		if before[n] > 0 && s.reads[n].Load() > before[n] {
			again++
		}
	}
	if again != 1 {
		t.Errorf("%d blocks that were kept were asked for again, 1 was damaged", again)
	}
}

// partial looks at what is there while nobody acquires it.
func partial(t *testing.T, s *service, folder string) {
	t.Helper()
	p, err := OpenPartial(evidence.Folder(folder), "EX-001")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	here, not := 0, 0
	b := make([]byte, earlyTest)
	for n := range int64(len(s.reads)) {
		_, err := p.ReadAt(b, n*earlyTest)
		switch {
		case errors.Is(err, evidence.ErrIncomplete):
			not++
		case err != nil && !errors.Is(err, io.EOF):
			t.Fatal(err)
		case !bytes.Equal(b, s.data[n*earlyTest:(n+1)*earlyTest]):
			t.Fatalf("block %d is shown and is not the source's", n)
		default:
			here++
		}
	}
	if here < 100 || not < 100 {
		t.Errorf("%d blocks are here, %d not", here, not)
	}
}

// TestEarlyLost: what the source cannot give is an error, not zeros.
func TestEarlyLost(t *testing.T) {
	s := newService(100, func(int64) bool { return true })
	s.hurt = map[int64]bool{5: true, 50: true}
	folder := t.TempDir()
	var early *Early
	a, err := Run(t.Context(), s.job(folder, func(e *Early) {
		early = e
		b := make([]byte, 10)
		var r *imaging.RangeError
		if _, err := e.ReadAt(b, 5*earlyTest); !errors.As(err, &r) || r.Offset != 5*earlyTest {
			t.Error(err)
		}
		close(s.gate)
	}))
	if !errors.Is(err, evidence.ErrGaps) || len(a.ReadErrors) != 2 {
		t.Fatal(a.ReadErrors, err)
	}
	var r *imaging.RangeError
	if _, err := early.ReadAt(make([]byte, 10), 50*earlyTest+7); !errors.As(err, &r) || r.Offset != 50*earlyTest {
		t.Error(err)
	}
	if err := early.Close(); err != nil {
		t.Error(err)
	}
}

func TestEarlyRefused(t *testing.T) {
	s := newService(10, func(int64) bool { return true })
	j := s.job(t.TempDir(), func(*Early) {})
	j.Format = "zst"
	if _, err := Run(t.Context(), j); !errors.Is(err, evidence.ErrUsage) || !strings.Contains(err.Error(), "packed") {
		t.Error(err)
	}
}
