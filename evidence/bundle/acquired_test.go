package bundle

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/acquire"
	"snapcase/evidence/custody"
)

// TestAcquired goes the whole way with exhibits that package acquire made: a
// disk, and a folder with names that a bag cannot hold and a link, which is not
// followed and so counts as a gap.
func TestAcquired(t *testing.T) {
	m := makeCase(t)
	dir := t.TempDir()
	disk := make([]byte, 9<<20)
	copy(disk[5<<20:], bytes.Repeat([]byte("data"), 10000))
	put(t, filepath.Join(dir, "disk.raw"), disk)
	for _, name := range []string{"logs/a.json", "logs/A.json", "logs/sub/\xff \n.json", "logs/ü", "logs/-rf"} {
		put(t, filepath.Join(dir, name), []byte(`{"Records":[]}`))
	}
	must(t, os.Symlink("/etc/passwd", filepath.Join(dir, "logs/link")))
	job := func(source string, kind evidence.Kind) acquire.Job {
		return acquire.Job{Folder: m.folder, Source: filepath.Join(dir, source), Kind: kind, Ledger: m.ledger, CaseKey: []byte("the HMAC key"), Now: time.Now}
	}
	_, err := acquire.Run(t.Context(), job("disk.raw", evidence.KindDisk))
	must(t, err)
	if _, err = acquire.Run(t.Context(), job("logs", evidence.KindFile)); err != nil && !errors.Is(err, evidence.ErrGaps) {
		t.Fatal(err)
	}
	verdict := func(want string) {
		t.Helper()
		_, err := m.ledger.Checkpoint(t.Context())
		must(t, err)
		r, err := custody.Verify(t.Context(), m.folder, custody.VerifyOptions{Signers: m.signers, Now: time.Now})
		if err != nil || r.Verdict != want {
			t.Fatalf("%+v %v", r, err)
		}
		for _, name := range []string{"bag", "b.tar.zst"} {
			out := filepath.Join(t.TempDir(), name)
			_, err = Write(t.Context(), m.plan(out))
			must(t, err)
			if b := verifyBag(t, out, m.signers); b.Verdict != want || len(b.Failures) != len(r.Failures) {
				t.Fatalf("%s: %+v\nthe case: %+v", name, b, r)
			}
			if code, text := script(t, out, m.signers); name == "bag" && code != r.ExitCode() {
				t.Fatalf("%d\n%s", code, text)
			}
			f, err := Open(t.Context(), out, t.TempDir(), nil)
			must(t, err)
			all, err := evidence.ReadExhibits(f)
			must(t, err)
			got, err := os.ReadFile(f.Image(all[2].Exhibit))
			if err != nil || !bytes.Equal(got, disk) {
				t.Fatalf("the disk came back changed: %v", err)
			}
			names, err := acquire.Names(f, all[3].Exhibit)
			if err != nil || len(names) != 5 {
				t.Fatalf("%q %v", names, err)
			}
		}
	}
	needsScriptTools(t)
	verdict(custody.Partial)
}
