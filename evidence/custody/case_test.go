package custody

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"snapcase/evidence"
)

// testBlock is the block length of the images of tests.
const testBlock = 128 << 10

const testCase = "urn:uuid:6f1f7ad2-4a1e-4c1b-9d55-1f2f7c1f0a11"

// clock is a wall clock and a boot clock that go on a millisecond a look.
type clock struct {
	mu   sync.Mutex
	wall time.Time
	ns   int64
	boot string
}

func newClock() *clock {
	return &clock{wall: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), ns: 1e12, boot: "b1"}
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = c.wall.Add(time.Millisecond)
	c.ns += 1e6
	return c.wall
}

func (c *clock) bootTime() (string, int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.boot, c.ns
}

func newSigner(t testing.TB) Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	s, err := ssh.NewSignerFromKey(private)
	must(t, err)
	return fileSigner{s}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func options(t testing.TB, c *clock) Options {
	return Options{Actor: "alice@example.org", Signer: newSigner(t), Host: "h", Now: c.now, Boot: c.bootTime, Tool: Tool{Args: []string{"test"}, Name: "snapcase", SHA256: zeroHash, Version: "0"}}
}

// newLedger makes a case folder with an open ledger that has its case.open.
func newLedger(t testing.TB) (evidence.Folder, *Ledger, *clock) {
	t.Helper()
	f, c := evidence.Folder(t.TempDir()), newClock()
	l, err := Create(f, testCase, options(t, c))
	must(t, err)
	t.Cleanup(func() { l.Close() })
	must(t, l.Append(t.Context(), Record{Type: "case.open", Data: map[string]any{"title": "T"}}))
	return f, l, c
}

func sumOf(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func put(t testing.TB, path string, b []byte) string {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, b, 0o644))
	return sumOf(b)
}

// addImage seals an image exhibit of five blocks of 128 KiB, the last half as
// long, of which the first is data.
func addImage(t testing.TB, f evidence.Folder, l *Ledger, id string) {
	t.Helper()
	must(t, l.Append(t.Context(), Record{Type: "evidence.acquire.start", Exhibit: id, Data: map[string]any{"kind": "disk", "source": "x"}}))
	image := make([]byte, testBlock*9/2)
	for i := range testBlock {
		image[i] = byte(i >> 9)
	}
	var blocks bytes.Buffer
	for off := 0; off < len(image); off += testBlock {
		b := image[off:min(len(image), off+testBlock)]
		fmt.Fprintf(&blocks, "%s  %d %d\n", sumOf(b), off, len(b))
	}
	dir := f.Exhibit(id) + "/"
	sum := put(t, dir+"image.raw", image)
	files := map[string]any{
		"blocks-sha256.txt":   put(t, dir+"blocks-sha256.txt", blocks.Bytes()),
		"manifest-sha256.txt": put(t, dir+"manifest-sha256.txt", []byte(sum+"  image.raw\n")),
		"acquisition.json":    put(t, dir+"acquisition.json", []byte("{}\n")),
	}
	must(t, l.Append(t.Context(), Record{Type: "evidence.acquire.end", Exhibit: id, Result: "ok", Data: map[string]any{"kind": "disk", "sha256": sum, "block_list_sha256": files["blocks-sha256.txt"], "files_sha256": files, "read_errors": []any{}}}))
}

// addFolder seals a folder exhibit of two files.
func addFolder(t testing.TB, f evidence.Folder, l *Ledger, id string) {
	t.Helper()
	must(t, l.Append(t.Context(), Record{Type: "evidence.acquire.start", Exhibit: id, Data: map[string]any{"kind": "cloudtrail", "source": "x"}}))
	dir := f.Exhibit(id) + "/"
	m := put(t, dir+"files/a.json", []byte(`{"Records":[]}`)) + "  a.json\n" + put(t, dir+"files/sub/b.json", []byte(`{}`)) + "  sub/b.json\n"
	files := map[string]any{
		"manifest-sha256.txt": put(t, dir+"manifest-sha256.txt", []byte(m)),
		"acquisition.json":    put(t, dir+"acquisition.json", []byte("{}\n")),
	}
	must(t, l.Append(t.Context(), Record{Type: "evidence.acquire.end", Exhibit: id, Result: "ok", Data: map[string]any{"kind": "cloudtrail", "sha256": files["manifest-sha256.txt"], "files_sha256": files, "read_errors": []any{}}}))
}

// wholeCase makes a case with two exhibits, closed, and its signers file.
func wholeCase(t testing.TB) (evidence.Folder, string) {
	t.Helper()
	f, l, _ := newLedger(t)
	addImage(t, f, l, "EX-001")
	addFolder(t, f, l, "EX-002")
	must(t, l.Append(t.Context(), Record{Type: "review.note", Data: map[string]any{"text": "done"}}))
	must(t, l.Close())
	signers := filepath.Join(t.TempDir(), "signers")
	b, err := os.ReadFile(allowedSigners(f))
	must(t, err)
	must(t, os.WriteFile(signers, b, 0o644))
	return f, signers
}

func verify(t testing.TB, f evidence.Folder, signers string) Report {
	t.Helper()
	r, err := Verify(t.Context(), f, VerifyOptions{Signers: signers, Now: newClock().now})
	must(t, err)
	return r
}

func has(r Report, code string) bool {
	for _, f := range r.Failures {
		if f.Code == code {
			return true
		}
	}
	return false
}
