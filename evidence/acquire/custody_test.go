package acquire

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

const caseID = "urn:uuid:6f1f7ad2-4a1e-4c1b-9d55-1f2f7c1f0a11"

// failing is a ledger that fails at one type of record, as if killed there.
type failing struct {
	*custody.Ledger
	at string
}

func (l *failing) Append(ctx context.Context, r custody.Record) error {
	if r.Type == l.at {
		return errors.New("killed here")
	}
	return l.Ledger.Append(ctx, r)
}

// TestCustody runs against the real ledger and its verifier, at each state in
// which a crash can leave an exhibit.
func TestCustody(t *testing.T) {
	dir := t.TempDir()
	keyPath := filepath.Join(dir, "key")
	must(t, custody.MakeKey(keyPath, "test"))
	signer, err := custody.LoadSigner(keyPath)
	must(t, err)
	tool := custody.ToolOf([]string{"acquire"}, "0")
	f := evidence.Folder(filepath.Join(dir, "case"))
	must(t, os.Mkdir(string(f), 0o755))
	l, err := custody.Create(f, caseID, custody.Options{Actor: "alice@example.org", Signer: signer, Host: "h", Now: time.Now, Tool: tool, Binary: custody.RunningBinary})
	must(t, err)
	defer l.Close() //nolint:errcheck // a test
	must(t, l.Append(t.Context(), custody.Record{Type: "case.open", Data: map[string]any{"title": "T"}}))

	check := func(when string, whole bool) {
		t.Helper()
		_, err := l.Checkpoint(t.Context())
		must(t, err)
		r, err := custody.Verify(t.Context(), f, custody.VerifyOptions{Signers: filepath.Join(string(f), "allowed_signers"), Now: time.Now})
		must(t, err)
		// A case made by hand has no case.json; that is not what is asked.
		partial := false
		for _, x := range r.Failures {
			switch x.Code {
			case "COVERAGE_PARTIAL", "READ_ERRORS":
				partial = true
			default:
				t.Errorf("%s: %+v", when, x)
			}
		}
		if partial == whole {
			t.Errorf("%s: %s, %+v", when, r.Verdict, r.Failures)
		}
	}
	must(t, os.WriteFile(f.CaseFile(), []byte(`{"version":1,"id":"`+caseID+`","title":"T","examiner":"alice@example.org","key":"k","created":"2026-11-23T09:00:00Z"}`), 0o644))

	want := pattern(3*blockSize+99, 31)
	j := Job{Folder: f, Source: write(t, "disk.raw", want), Kind: evidence.KindDisk, CaseKey: key, Now: time.Now}
	for _, at := range []string{"evidence.acquire.start", "evidence.acquire.end"} {
		j.Ledger = &failing{l, at}
		if _, err := Run(t.Context(), j); err == nil {
			t.Fatal("no error")
		}
		check("killed at "+at, false)
	}
	j.Ledger = l
	a, err := Run(t.Context(), j)
	must(t, err)
	checkSealed(t, j, a, want)
	check("sealed", true)

	files := manyFiles()
	j = Job{Folder: f, Source: folder(t, files), Kind: evidence.KindFile, Ledger: l, CaseKey: key, Now: time.Now, Label: "all\x1b sorts"}
	a, err = Run(t.Context(), j)
	must(t, err)
	checkFolder(t, j, a, files)
	check("folder", true)

	must(t, os.Symlink("x", filepath.Join(j.Source, "zlink")))
	j.Label = "with a link"
	if _, err = Run(t.Context(), j); !errors.Is(err, evidence.ErrGaps) {
		t.Fatal(err)
	}
	check("folder with a gap", false)
}
