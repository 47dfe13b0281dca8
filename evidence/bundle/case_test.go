package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

const testCase = "urn:uuid:6f1f7ad2-4a1e-4c1b-9d55-1f2f7c1f0a11"

var sealTime = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, path string, b []byte) string {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, b, 0o644))
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// made is a case with what belongs to it.
type made struct {
	folder  evidence.Folder
	ledger  *custody.Ledger
	signers string // allowed_signers, kept outside
	key     string
	reports string
	exports string
}

func (m made) plan(out string) Plan {
	return Plan{
		Folder: m.folder, Ledger: m.ledger, Out: out, Reports: m.reports, Exports: m.exports, Contact: "alice\nX: y", Version: "0.1.0",
		Now: func() time.Time { return sealTime },
	}
}

// makeCase makes a case with a disk, a folder of logs, a torn tail that was
// kept, reports and exports. bytes of the disk are mostly holes.
func makeCase(t testing.TB) made {
	t.Helper()
	dir := t.TempDir()
	m := made{folder: evidence.Folder(filepath.Join(dir, "Case 1")), key: filepath.Join(dir, "key"), signers: filepath.Join(dir, "signers"), reports: filepath.Join(dir, "reports"), exports: filepath.Join(dir, "exports")}
	must(t, os.MkdirAll(m.folder.Exhibits(), 0o755))
	must(t, custody.MakeKey(m.key, "alice"))
	put(t, m.folder.CaseFile(), []byte(`{"version":1,"id":"`+testCase+`","title":"T","examiner":"alice@example.org","key":"k","created":"2026-11-23T09:00:00Z"}`+"\n"))
	put(t, m.folder.CaseKey(), []byte("the HMAC key"))
	put(t, m.folder.Index(), []byte("an index"))
	put(t, filepath.Join(m.reports, "index.html"), []byte("<html>"))
	put(t, filepath.Join(m.reports, "tables", "events.csv"), []byte("a,b\n"))
	put(t, filepath.Join(m.exports, "case.jsonld"), []byte("{}"))
	m.ledger = openLedger(t, m, true)
	t.Cleanup(func() { m.ledger.Close() })
	add(t, m, custody.Record{Type: "case.open", Data: map[string]any{"title": "T"}})
	image := make([]byte, 9<<20)
	for i := range 200_000 {
		image[1<<20+i] = byte(i * 7)
	}
	addImage(t, m, "EX-001", image, nil)
	addFolder(t, m, "EX-002")
	add(t, m, custody.Record{Type: "review.note", Data: map[string]any{"text": "a note"}})
	b, err := os.ReadFile(filepath.Join(string(m.folder), "allowed_signers"))
	must(t, err)
	must(t, os.WriteFile(m.signers, b, 0o644))
	return m
}

func openLedger(t testing.TB, m made, create bool) *custody.Ledger {
	t.Helper()
	s, err := custody.LoadSigner(m.key)
	must(t, err)
	n := int64(0)
	o := custody.Options{
		Actor: "alice@example.org", Signer: s, Host: "h", Tool: custody.Tool{Args: []string{"test"}, Name: "snapcase", Version: "0.1.0"},
		Now:  func() time.Time { n++; return sealTime.Add(time.Duration(n) * time.Millisecond) },
		Boot: func() (string, int64) { return "b", n * 1e6 },
	}
	var l *custody.Ledger
	if create {
		l, err = custody.Create(m.folder, testCase, o)
	} else {
		l, err = custody.Open(m.folder, o)
	}
	must(t, err)
	return l
}

func add(t testing.TB, m made, r custody.Record) {
	t.Helper()
	must(t, m.ledger.Append(t.Context(), r))
}

func addImage(t testing.TB, m made, id string, image []byte, errs []any) {
	t.Helper()
	add(t, m, custody.Record{Type: "evidence.acquire.start", Exhibit: id, Data: map[string]any{"kind": "disk", "source": "x"}})
	dir := m.folder.Exhibit(id) + "/"
	var blocks strings.Builder
	for off := 0; off < len(image); off += 4 << 20 {
		b := image[off:min(len(image), off+4<<20)]
		fmt.Fprintf(&blocks, "%x  %d %d\n", sha256.Sum256(b), off, len(b))
	}
	sum := put(t, dir+"image.raw", image)
	files := map[string]any{
		"blocks-sha256.txt":   put(t, dir+"blocks-sha256.txt", []byte(blocks.String())),
		"manifest-sha256.txt": put(t, dir+"manifest-sha256.txt", []byte(sum+"  image.raw\n")),
		"acquisition.json":    put(t, dir+"acquisition.json", []byte("{}\n")),
	}
	result := "ok"
	if errs == nil {
		errs = []any{}
	} else {
		result = "partial"
	}
	add(t, m, custody.Record{Type: "evidence.acquire.end", Exhibit: id, Result: result, Data: map[string]any{"kind": "disk", "sha256": sum, "block_list_sha256": files["blocks-sha256.txt"], "files_sha256": files, "read_errors": errs}})
}

func addFolder(t testing.TB, m made, id string) {
	t.Helper()
	add(t, m, custody.Record{Type: "evidence.acquire.start", Exhibit: id, Data: map[string]any{"kind": "cloudtrail", "source": "x"}})
	dir := m.folder.Exhibit(id) + "/"
	list := put(t, dir+"files/a.json", []byte(`{"Records":[]}`)) + "  a.json\n" + put(t, dir+"files/sub/b.json", []byte(`{}`)) + "  sub/b.json\n"
	files := map[string]any{
		"manifest-sha256.txt": put(t, dir+"manifest-sha256.txt", []byte(list)),
		"acquisition.json":    put(t, dir+"acquisition.json", []byte("{}\n")),
	}
	put(t, dir+".acquiring", []byte("what a killed process left"))
	add(t, m, custody.Record{Type: "evidence.acquire.end", Exhibit: id, Result: "ok", Data: map[string]any{"kind": "cloudtrail", "sha256": files["manifest-sha256.txt"], "files_sha256": files, "read_errors": []any{}}})
}

func verifyBag(t testing.TB, path, signers string) custody.Report {
	t.Helper()
	r, err := Verify(t.Context(), path, custody.VerifyOptions{Signers: signers, Now: func() time.Time { return sealTime.Add(time.Hour) }})
	must(t, err)
	return r
}

func has(r custody.Report, code string) bool {
	for _, f := range r.Failures {
		if f.Code == code {
			return true
		}
	}
	return false
}
