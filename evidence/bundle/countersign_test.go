package bundle

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

// second makes another key, and a file of signers that lists it too.
func second(t testing.TB, m made) (s custody.Signer, both string) {
	t.Helper()
	key := filepath.Join(t.TempDir(), "second")
	must(t, custody.MakeKey(key, "bea"))
	s, err := custody.LoadSigner(key)
	must(t, err)
	a, err := os.ReadFile(m.signers)
	must(t, err)
	b, err := os.ReadFile(key + ".pub")
	must(t, err)
	both = filepath.Join(t.TempDir(), "both")
	must(t, os.WriteFile(both, append(a, []byte(`bea namespaces="snapcase-*" `+string(b))...), 0o644))
	return s, both
}

// TestCountersign seals a folder, an archive and one that somebody packed in
// another order; the first seal and all that it covers stay as they were.
func TestCountersign(t *testing.T) {
	m, archive := smallArchive(t)
	s, both := second(t, m)
	bag := filepath.Join(t.TempDir(), "bag")
	p := m.plan(bag)
	_, err := Write(t.Context(), p)
	must(t, err)
	backwards := unpack(t, archive)
	slices.Reverse(backwards)
	for _, path := range []string{bag, archive, packEntries(t, backwards, nil)} {
		before := verifyBag(t, path, both)
		r, err := Countersign(t.Context(), path, "", s, custody.VerifyOptions{Now: p.Now})
		must(t, err)
		after := verifyBag(t, path, both)
		if before.Assurance != "A1" || after.Assurance != "A2" || r.ID != before.Bundle || after.Bundle != before.Bundle || after.Verdict != before.Verdict {
			t.Fatalf("%+v\n%+v\n%+v", r, before, after)
		}
		if first := verifyBag(t, path, m.signers); first.Assurance != "A1" || first.Verdict != before.Verdict {
			t.Fatalf("%+v", first)
		}
		if _, err := Countersign(t.Context(), path, "", s, custody.VerifyOptions{Now: p.Now}); !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
		left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
		if err != nil || len(left) > 0 {
			t.Fatalf("%v was left, %v", left, err)
		}
	}
}

func TestCountersignRefuses(t *testing.T) {
	m, archive := smallArchive(t)
	s, _ := second(t, m)
	o := custody.VerifyOptions{Now: m.plan("").Now}
	good, err := os.ReadFile(archive)
	must(t, err)
	stop, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Countersign(stop, archive, "", s, o); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := Countersign(t.Context(), archive, archive, s, o); !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	must(t, os.WriteFile(archive, good[:len(good)/2], 0o644))
	if _, err := Countersign(t.Context(), archive, "", s, o); !errors.Is(err, evidence.ErrBroken) {
		t.Fatal(err)
	}
	if now, err := os.ReadFile(archive); err != nil || len(now) != len(good)/2 {
		t.Fatal("a bundle that was refused has changed", err)
	}
}
