package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newTestCase makes an empty case that is closed at the end of the test.
func newTestCase(t testing.TB) *Case {
	t.Helper()
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	must(t, custody.MakeKey(key, "test"))
	c, err := Create(t.Context(), filepath.Join(dir, "case"), NewCase{Title: "T", Examiner: "jdoe", Key: key}, testOptions(t, key))
	must(t, err)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func testOptions(t testing.TB, key string) Options {
	t.Helper()
	signer, err := custody.LoadSigner(key)
	must(t, err)
	return Options{Custody: custody.Options{Actor: "jdoe", Signer: signer, Tool: custody.Tool{Name: "snapcase", Version: "test", SHA256: fmt.Sprintf("%064d", 0)}, Host: "test", Now: time.Now}}
}

// bring acquires a folder that holds the given files.
func bring(t testing.TB, c *Case, kind evidence.Kind, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		must(t, os.WriteFile(p, []byte(text), 0o644))
	}
	return bringPath(t, c, kind, dir)
}

func bringPath(t testing.TB, c *Case, kind evidence.Kind, path string) string {
	t.Helper()
	a, err := c.Acquire(t.Context(), AcquireRequest{Source: path, Kind: kind}, nil)
	if err != nil && !errors.Is(err, evidence.ErrGaps) {
		t.Fatal(err)
	}
	return a.Exhibit
}

// trail is the text of a CloudTrail file.
func trail(t testing.TB, records ...map[string]any) string {
	t.Helper()
	b, err := json.Marshal(map[string]any{"Records": records})
	must(t, err)
	return string(b)
}

func collect[T any](t testing.TB, seq func(func(T, error) bool)) []T {
	t.Helper()
	var all []T
	for v, err := range seq {
		must(t, err)
		all = append(all, v)
	}
	return all
}

// TestAcquireAgain fails the index of an exhibit that is sealed: the same
// request goes on with the index, and one after it is another exhibit.
func TestAcquireAgain(t *testing.T) {
	c := newTestCase(t)
	path := filepath.Join(t.TempDir(), "events.json")
	must(t, os.WriteFile(path, []byte(trail(t, map[string]any{"eventID": "e1", "eventName": "GetUser", "eventTime": "2026-10-14T01:02:03Z"})), 0o644))
	r := AcquireRequest{Source: path, Kind: evidence.KindCloudTrail}
	must(t, os.Mkdir(c.indexPath(), 0o755))
	first, err := c.Acquire(t.Context(), r, nil)
	if err == nil || !first.Ended.Set {
		t.Fatalf("no failure behind the seal: %+v, %v", first, err)
	}
	must(t, os.Remove(c.indexPath()))
	again, err := c.Acquire(t.Context(), r, nil)
	must(t, err)
	if again.Exhibit != first.Exhibit || !again.Again {
		t.Fatalf("acquired anew: %+v", again)
	}
	stats, err := c.Stats(t.Context())
	must(t, err)
	if len(stats) != 1 || stats[0].Records != 1 {
		t.Fatalf("%+v", stats)
	}
	r.Hold = true
	for _, want := range []string{"EX-002", "EX-002"} {
		if a, err := c.Acquire(t.Context(), r, nil); err != nil || a.Exhibit != want {
			t.Fatalf("held: %+v, %v", a, err)
		}
	}
	must(t, c.Acquired("EX-002"))
	if a, err := c.Acquire(t.Context(), r, nil); err != nil || a.Exhibit != "EX-003" {
		t.Fatalf("done with: %+v, %v", a, err)
	}
}

// TestIndexWaits holds the lock of a case: an index waits for it, says for
// whom, and goes on; one that is cancelled meanwhile ends.
func TestIndexWaits(t *testing.T) {
	c := newTestCase(t)
	l, err := takeLock(c.lockPath(), "test")
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	if err := c.Index(ctx, IndexOptions{}, func(s evidence.Step) {
		if !strings.Contains(s.What, fmt.Sprintf("process %d", os.Getpid())) {
			t.Errorf("%q does not say who has the case", s.What)
		}
		cancel()
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	waited := false
	must(t, c.Index(t.Context(), IndexOptions{}, func(evidence.Step) {
		if !waited {
			must(t, l.release())
		}
		waited = true
	}))
	if !waited {
		t.Error("nothing was said of the wait")
	}
}

func TestCaseReopens(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	must(t, custody.MakeKey(key, "test"))
	folder := filepath.Join(dir, "case")
	c, err := Create(t.Context(), folder, NewCase{Title: "T", Examiner: "jdoe", Key: key}, testOptions(t, key))
	must(t, err)
	added(t)(c.Note(t.Context(), "", "first"))
	must(t, c.Close())
	if _, err := Create(t.Context(), folder, NewCase{Title: "T", Examiner: "jdoe", Key: key}, testOptions(t, key)); !errors.Is(err, os.ErrExist) {
		t.Errorf("made again: %v", err)
	}
	c, err = Open(t.Context(), folder, testOptions(t, key))
	must(t, err)
	bring(t, c, evidence.KindFile, map[string]string{"a": "text"})
	added(t)(c.Tag(t.Context(), []string{"EX-001/a#1"}, "bad", false))
	for _, none := range []string{"EX-001/a#2", "EX-001/b#1", "EX-002/a#1", "EX-001/p1/2:0/a"} {
		if _, err := c.Tag(t.Context(), []string{none}, "bad", false); !errors.Is(err, evidence.ErrNotFound) {
			t.Errorf("tag of %s, which is not there: %v", none, err)
		}
		if _, err := c.Note(t.Context(), none, "words"); !errors.Is(err, evidence.ErrNotFound) {
			t.Errorf("note on %s, which is not there: %v", none, err)
		}
	}
	records, err := c.Records(t.Context())
	must(t, err)
	if len(records) < 3 || records[0].Type != "case.open" {
		t.Errorf("the ledger has %+v", records)
	}
	if _, err := c.Tag(t.Context(), []string{"nonsense"}, "bad", false); !errors.Is(err, evidence.ErrUsage) {
		t.Errorf("tag of nonsense: %v", err)
	}
	must(t, c.Close())
	ro, err := Open(t.Context(), folder, Options{ReadOnly: true})
	must(t, err)
	defer ro.Close()
	if _, err := ro.Note(t.Context(), "", "x"); !errors.Is(err, evidence.ErrReadOnly) {
		t.Errorf("a read-only case takes a note: %v", err)
	}
	if err := ro.Index(t.Context(), IndexOptions{}, nil); !errors.Is(err, evidence.ErrReadOnly) {
		t.Errorf("a read-only case is indexed: %v", err)
	}
	r, err := custody.Verify(t.Context(), evidence.Folder(folder), custody.VerifyOptions{Now: time.Now})
	must(t, err)
	if len(r.Failures) != 0 && r.ExitCode() != 5 {
		t.Errorf("%+v", r)
	}
}

func TestTags(t *testing.T) {
	c := newTestCase(t)
	ctx := context.Background()
	bring(t, c, evidence.KindCloudTrail, map[string]string{"\xff": trail(t, map[string]any{"eventID": "e3", "eventName": "C"}), "a.json": trail(t, map[string]any{"eventID": "e1", "eventName": "A", "eventTime": "2026-01-01T00:00:00Z"}, map[string]any{"eventID": "e2", "eventName": "B", "eventTime": "2026-01-01T00:00:01Z"})})
	added(t)(c.Tag(ctx, []string{"EX-001/a.json#2", "EX-001/\xff#1"}, "bad", false))
	added(t)(c.Tag(ctx, []string{"EX-001/a.json#2"}, "also", false))
	all := collect(t, c.Timeline(ctx, TimelineQuery{Tag: "bad"}))
	if len(all) != 1 || all[0].Type != "B" || fmt.Sprint(all[0].Tags) != "[also bad]" {
		t.Errorf("tagged: %+v", all)
	}
	added(t)(c.Tag(ctx, []string{"EX-001/a.json#2"}, "bad", true))
	if all := collect(t, c.Timeline(ctx, TimelineQuery{Tag: "bad"})); len(all) != 0 {
		t.Errorf("a tag that was taken away is there: %+v", all)
	}
	tags, err := c.tagsOf(ctx)
	must(t, err)
	if fmt.Sprint(tags["EX-001/\xff#1"]) != "[bad]" {
		t.Errorf("a name that is no UTF-8 lost its tag: %q", tags)
	}
}

func ignoreGaps(err error) error {
	if errors.Is(err, evidence.ErrGaps) {
		return nil
	}
	return err
}

// added takes what was written to the ledger.
func added(t testing.TB) func(any, error) {
	return func(_ any, err error) {
		t.Helper()
		must(t, err)
	}
}
