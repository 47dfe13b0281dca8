package custody

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"snapcase/evidence"
)

func example(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "example", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestWorkedExample makes the bytes of CUSTODY.md again. The private key of
// the example is not published: its signature is taken apart, verified, and put
// together again by our own code.
func TestWorkedExample(t *testing.T) {
	ledger := example(t, "ledger.jsonl")
	c := newChain()
	var n int
	for line := range bytes.Lines(ledger) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		r, bad := decodeRecord(line)
		if bad != nil {
			t.Fatal(bad)
		}
		if all := c.problems(r); len(all) > 0 {
			t.Fatal(all[0])
		}
		again, err := encodeRecord(r)
		if err != nil || !bytes.Equal(again, line) {
			t.Fatalf("record %d written again (%v):\n%s\n%s", n, err, again, line)
		}
		c.add(line)
		c.follow(r)
		n++
	}
	want := example(t, "00000003.txt")
	got := c.checkpoint(zeroHash, time.Date(2026, 11, 23, 9, 0, 6, 5e8, time.UTC), "alice@example.org")
	if string(got.Text()) != string(want) {
		t.Fatalf("checkpoint:\n%s\nwant:\n%s", got.Text(), want)
	}
	parsed, err := ParseCheckpoint(want)
	if err != nil || string(parsed.Text()) != string(want) {
		t.Fatalf("parse: %v", err)
	}
	armored := example(t, "00000003.txt.19073141c32d1741.sig")
	s, err := ParseSignature(armored)
	if err != nil {
		t.Fatal(err)
	}
	m := NewMessageHashes()
	m.Write(want)
	if err := s.Verify(m, CheckpointNamespace); err != nil {
		t.Fatal(err)
	}
	if k := Key16(s.Key.Marshal()); k != "19073141c32d1741" {
		t.Fatalf("key16 %s", k)
	}
	if f := Fingerprint(s.Key.Marshal()); f != "SHA256:GQcxQcMtF0GQuoBa5Iu7TKYZBwP0YO9EEs0oJuxu43A" {
		t.Fatal(f)
	}
	again, err := sign(s.Key, want, CheckpointNamespace, func([]byte) (*ssh.Signature, error) { return &s.sig, nil })
	if err != nil || !bytes.Equal(again, armored) {
		t.Fatalf("armored again:\n%s", again)
	}
	line, err := signerText("alice@example.org", s.Key.Marshal())
	if err != nil || line != string(example(t, "allowed_signers")) {
		t.Fatalf("allowed_signers: %q %v", line, err)
	}
}

// TestExampleThroughLedger appends the three acts of the example with its
// clocks and compares the file byte for byte.
func TestExampleThroughLedger(t *testing.T) {
	folder := evidence.Folder(t.TempDir())
	s, err := ParseSignature(example(t, "00000003.txt.19073141c32d1741.sig"))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	now, ns := start, int64(812_300_000_000)
	o := Options{
		Actor: "alice@example.org", Host: "sift-01", Signer: replaySigner{s.Key.Marshal(), example(t, "00000003.txt.19073141c32d1741.sig"), example(t, "00000003.txt")},
		Now:  func() time.Time { return now },
		Boot: func() (string, int64) { return "0f3c6d0e-5c0a-4f6e-9a55-3b6f0a9e7d21", ns },
		Tool: Tool{Args: []string{"new", "case1", "--title", "Marc the intern", "--examiner", "alice@example.org"}, Name: "snapcase", SHA256: "eaafc78c6e8d314f2031372c9f0a08d03cf3727637855b74446c5d00fc3a0fc9", Version: "0.1.0"},
	}
	l, err := Create(folder, "urn:uuid:6f1f7ad2-4a1e-4c1b-9d55-1f2f7c1f0a11", o)
	if err != nil {
		t.Fatal(err)
	}
	add := func(at time.Duration, r Record) {
		t.Helper()
		now, ns = start.Add(at), 812_300_000_000+int64(at)
		if r.Seq == 2 {
			ns = 818_800_000_000
		}
		if err := l.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	add(0, Record{Type: "case.open", Authority: "TICKET-991", Data: map[string]any{"title": "Marc the intern"}})
	l.o.Tool.Args = []string{"acquire", "case1", "snap-0123456789abcdef0"}
	add(5250*time.Millisecond, Record{Type: "evidence.acquire.start", Exhibit: "EX-001", Data: map[string]any{"kind": "disk", "source": "snap-0123456789abcdef0"}})
	add(6500*time.Millisecond, Record{Type: "evidence.acquire.end", Exhibit: "EX-001", Result: "ok", Data: map[string]any{"bytes": "1048576", "read_errors": []any{}, "resumed_from": "0", "sha256": "3064068284d6f2bfb4711dc2f6209652a7dfceed01ca7732e633c50aea6b57e2"}})
	got, err := os.ReadFile(folder.Ledger())
	if err != nil || !bytes.Equal(got, example(t, "ledger.jsonl")) {
		t.Fatalf("ledger:\n%s", got)
	}
	for _, name := range []string{"00000003.txt", "00000003.txt.19073141c32d1741.sig"} {
		b, err := os.ReadFile(filepath.Join(folder.Checkpoints(), name))
		if err != nil || !bytes.Equal(b, example(t, name)) {
			t.Errorf("%s: %v\n%s", name, err, b)
		}
	}
	if b, err := os.ReadFile(allowedSigners(folder)); err != nil || !bytes.Equal(b, example(t, "allowed_signers")) {
		t.Errorf("allowed_signers: %v\n%s", err, b)
	}
}

// replaySigner has the example's signature for the example's checkpoint, and
// none for anything else.
type replaySigner struct{ wire, sig, message []byte }

func (r replaySigner) PublicKey() []byte { return r.wire }
func (r replaySigner) Sign(m []byte, _ string) ([]byte, error) {
	if !bytes.Equal(m, r.message) {
		return nil, os.ErrPermission
	}
	return r.sig, nil
}
