package custody

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"snapcase/evidence"
	"snapcase/imaging"
)

func note(s string) Record {
	return Record{Type: "review.note", Data: map[string]any{"text": s}}
}

func TestAppendAndReadBack(t *testing.T) {
	f, l, _ := newLedger(t)
	n := int64(1)
	want := Record{
		Type: "review.note", Exhibit: "EX-001", Result: "ok", Authority: "a", Purpose: "p", Location: "l", TZ: "UTC", Corrects: &n,
		Data: map[string]any{"text": "tab\tquote\" é \u2028 \U0001F600 \x01", "n": int64(-5), "list": []any{"a", true, map[string]any{}}, "raw": "\xff\xfe", "é\ufb33": "x", "\U0001F600": "y"},
	}
	must(t, l.Append(t.Context(), want))
	var got []Record
	for r, err := range Records(f) {
		must(t, err)
		got = append(got, r)
	}
	r := got[len(got)-1]
	if r.Data["raw_b64"] != "//4=" || r.Data["n"] != int64(-5) || r.Data["text"] != want.Data["text"] || *r.Corrects != 1 || r.Exhibit != "EX-001" || r.Prev != got[0].Hash {
		t.Fatalf("%+v", r)
	}
	b, err := json.Marshal(r)
	must(t, err)
	if !json.Valid(b) || !bytes.Contains(b, []byte(`"hash":"`+r.Hash+`"`)) {
		t.Fatalf("%s", b)
	}
	if head, n := l.Head(); head != r.Hash || n != 2 {
		t.Fatalf("head %s of %d", head, n)
	}
	for _, bad := range []Record{
		{Type: "x"},
		{Type: "review.note", Exhibit: "../x"},
		{Type: "review.note", Data: map[string]any{"x": 1.5}},
		{Type: "review.note", Data: map[string]any{"x": nil}},
		{Type: "review.note", Data: map[string]any{"x": int64(1) << 53}},
		{Type: "review.note", Data: map[string]any{"x": strings.Repeat("x", maxLine)}},
	} {
		if err := l.Append(t.Context(), bad); err == nil {
			t.Errorf("%+v was appended", bad)
		}
	}
	must(t, l.Append(t.Context(), note("after refusals")))
}

func TestRootIsTlog(t *testing.T) {
	c := newChain()
	var hashes []tlog.Hash
	read := tlog.HashReaderFunc(func(ix []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(ix))
		for i, x := range ix {
			out[i] = hashes[x]
		}
		return out, nil
	})
	for n := range int64(300) {
		line := []byte(fmt.Sprint("line ", n))
		more, err := tlog.StoredHashes(n, line, read)
		must(t, err)
		hashes = append(hashes, more...)
		c.add(line)
		want, err := tlog.TreeHash(n+1, read)
		must(t, err)
		if c.tree.root() != want.String() {
			t.Fatalf("root of %d is %s, want %s", n+1, c.tree.root(), want)
		}
	}
}

func TestTornTailIsKept(t *testing.T) {
	f, l, c := newLedger(t)
	must(t, l.Append(t.Context(), note("1")))
	must(t, l.Close())
	whole, err := os.ReadFile(f.Ledger())
	must(t, err)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	torn := lines[1][:len(lines[1])/2]
	must(t, os.WriteFile(f.Ledger(), append(bytes.Clone(whole), torn...), 0o644))
	signers := allowedSigners(f)
	if r := verify(t, f, signers); r.Verdict != Partial || !has(r, "LEDGER_TORN_TAIL") {
		t.Fatalf("%+v", r)
	}
	o := options(t, c)
	o.Signer = l.o.Signer
	l, err = Open(f, o)
	must(t, err)
	must(t, l.Append(t.Context(), note("2")))
	must(t, l.Close())
	kept, err := os.ReadFile(filepath.Join(tornFolder(f), fmt.Sprintf("%d-%d.bin", len(whole), len(torn))))
	if err != nil || !bytes.Equal(kept, torn) {
		t.Fatalf("kept %q, %v", kept, err)
	}
	if r := verify(t, f, signers); r.Verdict != Intact || r.Records != 4 {
		t.Fatalf("%+v", r)
	}
	must(t, os.WriteFile(filepath.Join(tornFolder(f), fmt.Sprintf("%d-%d.bin", len(whole), len(torn))), []byte("x"), 0o644))
	if r := verify(t, f, signers); !has(r, "FILE_HASH_MISMATCH") {
		t.Fatalf("%+v", r)
	}
}

func TestDiverged(t *testing.T) {
	cases := map[string]func(t *testing.T, path string, b []byte){
		"shorter": func(t *testing.T, path string, b []byte) { must(t, os.Truncate(path, int64(len(b)-10))) },
		"changed": func(t *testing.T, path string, b []byte) { b[len(b)-30] ^= 1; must(t, os.WriteFile(path, b, 0o644)) },
		"replaced": func(t *testing.T, path string, b []byte) {
			must(t, os.Remove(path))
			must(t, os.WriteFile(path, b, 0o644))
		},
		"forked": func(t *testing.T, path string, b []byte) {
			lines := bytes.SplitAfter(b, []byte("\n"))
			must(t, os.WriteFile(path, append(b, lines[1]...), 0o644))
		},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			f, l, _ := newLedger(t)
			must(t, l.Append(t.Context(), note("1")))
			b, err := os.ReadFile(f.Ledger())
			must(t, err)
			change(t, f.Ledger(), bytes.Clone(b))
			for range 2 {
				err = l.Append(t.Context(), note("2"))
				if !errors.Is(err, evidence.ErrBroken) || !strings.Contains(err.Error(), "LEDGER_DIVERGED") {
					t.Fatal(err)
				}
			}
		})
	}
}

// faulty fails the nth call of a kind.
type faulty struct {
	ledgerFile
	call   string
	n      int
	err    error
	short  int // bytes that a failing write writes first
	called map[string]int
}

func (f *faulty) fails(call string) bool {
	f.called[call]++
	return call == f.call && f.called[call] == f.n
}

func (f *faulty) Write(p []byte) (int, error) {
	if f.fails("write") {
		n, err := f.ledgerFile.Write(p[:min(f.short, len(p))])
		return n, errors.Join(f.err, err)
	}
	return f.ledgerFile.Write(p)
}

func (f *faulty) Datasync() error {
	if f.fails("sync") {
		return f.err
	}
	return f.ledgerFile.Datasync()
}

func (f *faulty) Truncate(n int64) error {
	if f.fails("truncate") {
		return f.err
	}
	return f.ledgerFile.Truncate(n)
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		call  string
		short int
		err   error
		after bool // appending works again
	}{
		{"write", 0, syscall.ENOSPC, true},
		{"write", 17, syscall.ENOSPC, true},
		{"write", 17, syscall.EIO, true},
		{"write", 17, nil, true}, // a short write without an error
		{"sync", 0, syscall.EIO, false},
	} {
		t.Run(fmt.Sprintf("%s %d %v", c.call, c.short, c.err), func(t *testing.T) {
			f, l, k := newLedger(t)
			before, err := os.ReadFile(f.Ledger())
			must(t, err)
			l.f = &faulty{ledgerFile: l.f, call: c.call, n: 1, err: c.err, short: c.short, called: map[string]int{}}
			if err := l.Append(t.Context(), note("1")); err == nil || c.err != nil && !errors.Is(err, c.err) {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(f.Ledger()); c.after && (err != nil || !bytes.Equal(b, before)) {
				t.Fatalf("the ledger was left as\n%s", b)
			}
			if err := l.Append(t.Context(), note("2")); (err == nil) != c.after {
				t.Fatalf("after the fault: %v", err)
			}
			o := options(t, k)
			o.Signer = l.o.Signer
			l.Close()
			again, err := Open(f, o)
			must(t, err)
			must(t, again.Append(t.Context(), note("3")))
			must(t, again.Close())
			if r := verify(t, f, allowedSigners(f)); r.Verdict != Intact {
				t.Fatalf("%+v", r)
			}
		})
	}
}

func TestClockJumps(t *testing.T) {
	f, l, c := newLedger(t)
	step := func(d time.Duration) {
		c.mu.Lock()
		c.wall = c.wall.Add(d)
		c.mu.Unlock()
	}
	step(365 * 24 * time.Hour)
	must(t, l.Append(t.Context(), note("a year later")))
	must(t, l.Append(t.Context(), note("no jump")))
	step(-366 * 24 * time.Hour)
	must(t, l.Append(t.Context(), note("back")))
	must(t, l.Append(t.Context(), note("no jump")))
	step(-time.Second) // too small
	must(t, l.Append(t.Context(), note("no jump")))
	c.mu.Lock()
	c.boot, c.ns = "b2", 5
	c.mu.Unlock()
	must(t, l.Append(t.Context(), note("another boot")))
	must(t, l.Close())
	var types []string
	var last imaging.Time
	for r, err := range Records(f) {
		must(t, err)
		types = append(types, r.Type)
		if r.Time.Compare(last) < 0 && last.Set {
			t.Fatalf("time went back at %d", r.Seq)
		}
		last = r.Time
	}
	if got := strings.Join(types, " "); got != "case.open clock.jump review.note review.note clock.jump review.note review.note review.note review.note" {
		t.Fatal(got)
	}
	r := verify(t, f, allowedSigners(f))
	if r.Verdict != Intact || len(r.Notes) != 2 {
		t.Fatalf("%+v", r)
	}
	r, err := Verify(t.Context(), f, VerifyOptions{Signers: allowedSigners(f), Strict: true, Now: c.now})
	if err != nil || r.Verdict != Partial || !has(r, "CLOCK_JUMP") {
		t.Fatalf("strict: %+v %v", r, err)
	}
}

func TestAutomaticCheckpoints(t *testing.T) {
	f, l, c := newLedger(t)
	names := func() int {
		n, err := checkpointNames(f)
		must(t, err)
		return len(n)
	}
	if names() != 1 { // case.open
		t.Fatal(names())
	}
	for i := range 256 {
		must(t, l.Append(t.Context(), note(strconv.Itoa(i))))
	}
	if names() != 2 {
		t.Fatalf("%d after 256 records", names())
	}
	c.mu.Lock()
	c.wall, c.ns = c.wall.Add(11*time.Minute), c.ns+int64(11*time.Minute)
	c.mu.Unlock()
	must(t, l.Append(t.Context(), note("later")))
	if names() != 3 {
		t.Fatalf("%d after ten minutes", names())
	}
	must(t, l.Append(t.Context(), Record{Type: "custody.release", Exhibit: "EX-001"}))
	if names() != 4 {
		t.Fatalf("%d after a release", names())
	}
	one, err := l.Checkpoint(t.Context())
	must(t, err)
	if two, err := l.Checkpoint(t.Context()); err != nil || two != one || names() != 4 {
		t.Fatalf("%v %v %v", one, two, err)
	}
}

func TestReadOnlyWithoutSigner(t *testing.T) {
	f, l, c := newLedger(t)
	must(t, l.Close())
	o := options(t, c)
	o.Signer = nil
	r, err := Open(f, o)
	must(t, err)
	defer r.Close()
	if err := r.Append(t.Context(), note("x")); !errors.Is(err, evidence.ErrReadOnly) {
		t.Fatal(err)
	}
}

func TestSecondKeyIsRecorded(t *testing.T) {
	f, l, c := newLedger(t)
	must(t, l.Close())
	o := options(t, c)
	o.Actor = "bob, the \"second\"\n"
	l, err := Open(f, o)
	must(t, err)
	must(t, l.Append(t.Context(), note("bob")))
	must(t, l.Close())
	if r := verify(t, f, allowedSigners(f)); r.Verdict != Intact || r.Records != 3 {
		t.Fatalf("%+v", r)
	}
	s, err := readSigners(allowedSigners(f))
	must(t, err)
	if len(s.lines) != 2 || s.ignored != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestCancelled(t *testing.T) {
	f, l, _ := newLedger(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Append(ctx, note("x")); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	// another open file holds the lock: waiting ends with the context
	h, err := os.Open(f.Ledger())
	must(t, err)
	defer h.Close()
	must(t, syscall.Flock(int(h.Fd()), syscall.LOCK_EX))
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := l.Append(ctx, note("x")); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	must(t, syscall.Flock(int(h.Fd()), syscall.LOCK_UN))
	must(t, l.Append(t.Context(), note("y")))
}
