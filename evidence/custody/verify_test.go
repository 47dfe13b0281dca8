package custody

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"snapcase/evidence"
)

func TestWholeCaseIsIntact(t *testing.T) {
	f, signers := wholeCase(t)
	r := verify(t, f, signers)
	if r.Verdict != Intact || r.Assurance != "A1" || r.ExitCode() != 0 || r.Err() != nil || r.Records != 6 || len(r.Signers) != 1 {
		t.Fatalf("%+v", r)
	}
	r = verify(t, f, "")
	if r.Verdict != Untrusted || !has(r, "NO_ANCHOR") || !errors.Is(r.Err(), evidence.ErrUntrusted) || r.ExitCode() != 5 || r.Assurance != "A0" {
		t.Fatalf("%+v", r)
	}
	_, other := wholeCase(t)
	if r = verify(t, f, other); r.Verdict != Untrusted || !has(r, "SIGNER_UNTRUSTED") {
		t.Fatalf("%+v", r)
	}
}

// caseFiles are the files of a case that verify covers.
func caseFiles(t testing.TB, f evidence.Folder) []string {
	t.Helper()
	var all []string
	must(t, filepath.WalkDir(string(f), func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(string(f), p)
			if rel != "allowed_signers" { // no anchor: a convenience
				all = append(all, rel)
			}
		}
		return err
	}))
	return all
}

// failing is whether the report names path as broken.
func failing(r Report, path string) bool {
	for _, f := range r.Failures {
		if f.Path == path && f.Exit == 3 {
			return true
		}
	}
	return false
}

// TestEveryFlippedBit flips bits of every file and wants the file named.
func TestEveryFlippedBit(t *testing.T) {
	f, signers := wholeCase(t)
	flips := 0
	for _, name := range caseFiles(t, f) {
		path := filepath.Join(string(f), name)
		b, err := os.ReadFile(path)
		must(t, err)
		step := max(1, len(b)*8/150) | 1
		if strings.HasSuffix(name, "image.raw") {
			step = len(b)*8/20 - 1
		}
		must(t, os.Chmod(path, 0o644))
		for bit := 0; bit < len(b)*8; bit += step {
			c := bytes.Clone(b)
			c[bit/8] ^= 1 << (bit % 8)
			must(t, os.WriteFile(path, c, 0o644))
			flips++
			r := verify(t, f, signers)
			named := failing(r, name) || strings.HasPrefix(name, "checkpoints/") && has(r, "SIG_BAD") || strings.HasSuffix(name, ".jsonl") && r.Verdict == Broken
			if r.Verdict != Broken || !named {
				t.Fatalf("bit %d of %s: %+v", bit, name, r)
			}
			if strings.HasSuffix(name, "image.raw") {
				for _, x := range r.Failures {
					if x.Path == name && (!x.Located || x.Offset != int64(bit/8)/testBlock*testBlock) {
						t.Fatalf("bit %d of the image: %+v", bit, x)
					}
				}
			}
		}
		must(t, os.WriteFile(path, b, 0o644))
	}
	if r := verify(t, f, signers); r.Verdict != Intact {
		t.Fatalf("restored: %+v", r)
	}
	t.Logf("%d flips", flips)
}

// TestLedgerCutEverywhere cuts the ledger at every byte.
func TestLedgerCutEverywhere(t *testing.T) {
	f, l, _ := newLedger(t)
	must(t, l.Append(t.Context(), note("1")))
	must(t, l.Append(t.Context(), note("2")))
	must(t, l.Close())
	b, err := os.ReadFile(f.Ledger())
	must(t, err)
	for n := range b {
		must(t, os.WriteFile(f.Ledger(), b[:n], 0o644))
		r := verify(t, f, allowedSigners(f))
		if r.Verdict != Broken || !has(r, "LEDGER_TRUNCATED") {
			t.Fatalf("cut at %d of %d: %+v", n, len(b), r)
		}
	}
}

func TestNamedFailures(t *testing.T) {
	in := func(f evidence.Folder, name string) string { return filepath.Join(string(f), filepath.FromSlash(name)) }
	edit := func(name string, change func(s string) string) func(t *testing.T, f evidence.Folder) {
		return func(t *testing.T, f evidence.Folder) {
			b, err := os.ReadFile(in(f, name))
			must(t, err)
			after := change(string(b))
			if after == string(b) {
				t.Fatal("the change changes nothing")
			}
			must(t, os.Chmod(in(f, name), 0o644))
			must(t, os.WriteFile(in(f, name), []byte(after), 0o644))
		}
	}
	line := func(n int, change func(lines []string) []string) func(t *testing.T, f evidence.Folder) {
		return edit("ledger.jsonl", func(s string) string {
			return strings.Join(change(strings.SplitAfter(s, "\n")), "")
		})
	}
	remove := func(name string) func(t *testing.T, f evidence.Folder) {
		return func(t *testing.T, f evidence.Folder) { must(t, os.RemoveAll(in(f, name))) }
	}
	lastCheckpoint := func(t *testing.T, f evidence.Folder) string {
		n, err := checkpointNames(f)
		must(t, err)
		return "checkpoints/" + n[len(n)-1]
	}
	for _, c := range []struct {
		name    string
		change  func(t *testing.T, f evidence.Folder)
		code    string
		verdict string
	}{
		{"ledger gone", remove("ledger.jsonl"), "LEDGER_MISSING", Broken},
		{"record dropped", line(0, func(l []string) []string { return append(l[:2:2], l[3:]...) }), "SEQ_GAP", Broken},
		{"records swapped", line(0, func(l []string) []string { l[2], l[3] = l[3], l[2]; return l }), "SEQ_GAP", Broken},
		{"record twice", line(0, func(l []string) []string { return append(l[:3:3], l[2:]...) }), "CHAIN_BREAK", Broken},
		{"no json", line(0, func(l []string) []string { l[2] = "{\n"; return l }), "RECORD_NOT_JSON", Broken},
		{"blank added", edit("ledger.jsonl", func(s string) string { return strings.Replace(s, `":"`, `": "`, 1) }), "RECORD_NOT_CANONICAL", Broken},
		{"float", edit("ledger.jsonl", func(s string) string { return strings.Replace(s, `"seq":2`, `"seq":2.0`, 1) }), "RECORD_NOT_CANONICAL", Broken},
		{"null", edit("ledger.jsonl", func(s string) string { return strings.Replace(s, `"seq":2`, `"seq":null`, 1) }), "RECORD_NOT_CANONICAL", Broken},
		{"key twice", edit("ledger.jsonl", func(s string) string { return strings.Replace(s, `"seq":2`, `"seq":2,"seq":2`, 1) }), "RECORD_NOT_CANONICAL", Broken},
		{"field gone", edit("ledger.jsonl", func(s string) string { return strings.Replace(s, `"host":"h",`, ``, 1) }), "RECORD_FIELD_MISSING", Broken},
		{"too long", line(0, func(l []string) []string { l[2] = strings.Repeat("x", 300000) + "\n"; return l }), "RECORD_TOO_LONG", Broken},
		{"other case", edit("ledger.jsonl", func(s string) string {
			return strings.Replace(s, testCase, "urn:uuid:00000000-4a1e-4c1b-9d55-1f2f7c1f0a11", 3)
		}), "CASE_MISMATCH", Broken},
		{"time back", edit("ledger.jsonl", func(s string) string {
			return strings.Replace(s, `"time":"2026-11-23T09`, `"time":"2027-11-23T09`, 1)
		}), "TIME_ORDER", Broken},
		{"checkpoints gone", remove("checkpoints"), "CHECKPOINT_MISSING", Broken},
		{"last checkpoint gone", func(t *testing.T, f evidence.Folder) {
			m, err := filepath.Glob(in(f, lastCheckpoint(t, f)) + "*")
			must(t, err)
			for _, p := range m {
				must(t, os.Remove(p))
			}
		}, "UNSEALED_TAIL", Partial},
		{"first checkpoint gone", func(t *testing.T, f evidence.Folder) {
			m, err := filepath.Glob(in(f, "checkpoints/00000001.txt*"))
			must(t, err)
			for _, p := range m {
				must(t, os.Remove(p))
			}
		}, "CHECKPOINT_CHAIN_BREAK", Broken},
		{"checkpoint unsigned", func(t *testing.T, f evidence.Folder) {
			m, err := filepath.Glob(in(f, "checkpoints/00000001.txt.*.sig"))
			must(t, err)
			must(t, os.Remove(m[0]))
		}, "CHECKPOINT_UNSIGNED", Broken},
		{"signature renamed", func(t *testing.T, f evidence.Folder) {
			m, err := filepath.Glob(in(f, "checkpoints/00000001.txt.*.sig"))
			must(t, err)
			must(t, os.Rename(m[0], in(f, "checkpoints/00000001.txt.0123456789abcdef.sig")))
		}, "SIG_NAME", Broken},
		{"signature of another", func(t *testing.T, f evidence.Folder) {
			m, err := filepath.Glob(in(f, "checkpoints/*.sig"))
			must(t, err)
			b, err := os.ReadFile(m[0])
			must(t, err)
			must(t, os.Remove(m[1]))
			must(t, os.WriteFile(m[1], b, 0o644))
		}, "SIG_BAD", Broken},
		{"armor with a blank line", func(t *testing.T, f evidence.Folder) {
			m, err := filepath.Glob(in(f, "checkpoints/*.sig"))
			must(t, err)
			b, err := os.ReadFile(m[0])
			must(t, err)
			must(t, os.Remove(m[0]))
			must(t, os.WriteFile(m[0], append(b, '\n'), 0o644))
		}, "SIG_ARMOR_NOT_CANONICAL", Broken},
		{"extra checkpoint file", func(t *testing.T, f evidence.Folder) { put(t, in(f, "checkpoints/x.txt"), []byte("x")) }, "FILE_UNLISTED", Broken},
		{"image gone", remove("exhibits/EX-001/image.raw"), "FILE_MISSING", Broken},
		{"exhibit gone", remove("exhibits/EX-001"), "EXHIBIT_MISSING", Broken},
		{"file gone", remove("exhibits/EX-002/files/a.json"), "FILE_MISSING", Broken},
		{"file added", func(t *testing.T, f evidence.Folder) { put(t, in(f, "exhibits/EX-002/files/c.json"), []byte("x")) }, "FILE_UNLISTED", Broken},
		{"file added beside", func(t *testing.T, f evidence.Folder) { put(t, in(f, "exhibits/EX-001/c.json"), []byte("x")) }, "FILE_UNLISTED", Broken},
		{"link", func(t *testing.T, f evidence.Folder) {
			must(t, os.Remove(in(f, "exhibits/EX-001/image.raw")))
			must(t, os.Symlink("/dev/zero", in(f, "exhibits/EX-001/image.raw")))
		}, "FILE_NOT_REGULAR", Broken},
		{"exhibit unknown", func(t *testing.T, f evidence.Folder) {
			must(t, os.Rename(in(f, "exhibits/EX-001"), in(f, "exhibits/EX-009")))
		}, "EXHIBIT_NOT_IN_LEDGER", Broken},
		{"unfinished exhibit", func(t *testing.T, f evidence.Folder) { must(t, os.MkdirAll(in(f, "exhibits/EX-009"), 0o755)) }, "COVERAGE_PARTIAL", Partial},
		{"case.json of another", func(t *testing.T, f evidence.Folder) {
			put(t, in(f, "case.json"), []byte(`{"version":1,"id":"urn:uuid:other"}`))
		}, "CASE_MISMATCH", Broken},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, signers := wholeCase(t)
			c.change(t, f)
			r := verify(t, f, signers)
			if r.Verdict != c.verdict || !has(r, c.code) {
				t.Fatalf("want %s and %s: %+v", c.verdict, c.code, r)
			}
		})
	}
}

func TestGapsAndUnknownTypes(t *testing.T) {
	f, l, _ := newLedger(t)
	addFolder(t, f, l, "EX-001")
	must(t, l.Append(t.Context(), Record{Type: "evidence.acquire.start", Exhibit: "EX-002", Data: map[string]any{"kind": "disk"}}))
	put(t, f.Exhibit("EX-002")+"/image.part", []byte("half"))
	must(t, l.Append(t.Context(), Record{Type: "future.kind", Data: map[string]any{"x": "y"}}))
	must(t, l.Close())
	r := verify(t, f, allowedSigners(f))
	if r.Verdict != Partial || len(r.Failures) != 1 || r.Failures[0].Code != "COVERAGE_PARTIAL" || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "future.kind") {
		t.Fatalf("%+v", r)
	}
}

func TestReadErrorsAreGaps(t *testing.T) {
	f, l, _ := newLedger(t)
	dir := f.Exhibit("EX-001") + "/"
	must(t, l.Append(t.Context(), Record{Type: "evidence.acquire.start", Exhibit: "EX-001", Data: map[string]any{"kind": "disk"}}))
	sum := put(t, dir+"image.raw", make([]byte, 4096))
	files := map[string]any{"acquisition.json": put(t, dir+"acquisition.json", []byte("{}"))}
	must(t, l.Append(t.Context(), Record{Type: "evidence.acquire.end", Exhibit: "EX-001", Result: "partial", Data: map[string]any{
		"sha256": sum, "files_sha256": files, "read_errors": []any{map[string]any{"offset": "0", "length": "512", "error": "EIO"}},
	}}))
	must(t, l.Close())
	r := verify(t, f, allowedSigners(f))
	if r.Verdict != Partial || !has(r, "READ_ERRORS") || !errors.Is(r.Err(), evidence.ErrGaps) {
		t.Fatalf("%+v", r)
	}
}

func TestExpectHead(t *testing.T) {
	f, signers := wholeCase(t)
	names, err := checkpointNames(f)
	must(t, err)
	first, err := os.ReadFile(filepath.Join(f.Checkpoints(), names[0]))
	must(t, err)
	c, err := ParseCheckpoint(first)
	must(t, err)
	check := func(held string) Report {
		t.Helper()
		r, err := Verify(t.Context(), f, VerifyOptions{Signers: signers, ExpectHead: held, Now: newClock().now})
		must(t, err)
		return r
	}
	file := func(s string) string {
		p := filepath.Join(t.TempDir(), "held")
		must(t, os.WriteFile(p, []byte(s), 0o644))
		return p
	}
	for _, held := range []string{file(string(first)), file(c.Head), file(c.Head + " 1\n"), file("1 " + c.Head), file(GroupHead(c.Head) + "\n"), file(GroupHead(c.Head) + " 1"), c.Head} {
		if r := check(held); r.Verdict != Intact {
			t.Errorf("held %q: %+v", held, r)
		}
	}
	other := strings.Repeat("ab", 32)
	for _, held := range []string{file(other), file(c.Head + " 2"), file(strings.Replace(string(first), "head "+c.Head, "head "+other, 1))} {
		if r := check(held); r.Verdict != Broken || !has(r, "HEAD_DIVERGED") {
			t.Errorf("held %q: %+v", held, r)
		}
	}
	if _, err := Verify(t.Context(), f, VerifyOptions{ExpectHead: file("nonsense"), Now: time.Now}); err == nil {
		t.Error("nonsense was taken as a head")
	}
	// an owner who writes the whole ledger anew is shown by a held head alone
	again, signers2 := wholeCase(t)
	r, err := Verify(t.Context(), again, VerifyOptions{Signers: signers2, ExpectHead: file(string(first)), Now: newClock().now})
	if err != nil || !has(r, "HEAD_DIVERGED") {
		t.Fatalf("%+v %v", r, err)
	}
}

func TestHashImage(t *testing.T) {
	var b blockList
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for off := 0; off < 4<<20; off += 1 << 20 {
		if !b.line(fmt.Sprintf("%s  %d %d", sumOf(data), off, 1<<20)) {
			t.Fatal("a line is refused")
		}
	}
	whole := bytes.Repeat(data, 4)
	d, diff, err := hashImage(bytes.NewReader(whole), &b)
	if err != nil || diff != -1 || d.String() != sumOf(whole) {
		t.Fatalf("%s %d %v", d, diff, err)
	}
	for _, n := range []int{0, 5, 1 << 20, 4<<20 - 1} { // too short: the missing place is named
		if _, diff, _ := hashImage(bytes.NewReader(whole[:n]), &b); diff != int64(n/(1<<20)*(1<<20)) {
			t.Errorf("cut at %d: %d", n, diff)
		}
	}
	if _, diff, _ := hashImage(bytes.NewReader(append(whole, 0)), &b); diff != 4<<20 {
		t.Errorf("one byte more: %d", diff)
	}
}

// TestBlocksOfZeros compares the quick way over zeros with plain hashing, for
// runs of zeros and data of any length.
func TestBlocksOfZeros(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		block := 1 + r.IntN(300_000)
		data := make([]byte, r.IntN(2_000_000)+1)
		for at := 0; at < len(data); {
			n := min(len(data)-at, 1+r.IntN(400_000))
			if r.IntN(2) == 0 {
				data[at+n-1] = 1
			}
			at += n
		}
		var list blockList
		for off := 0; off < len(data); off += block {
			b := data[off:min(len(data), off+block)]
			if !list.line(fmt.Sprintf("%s %d %d", sumOf(b), off, len(b))) {
				t.Fatal("a line is refused")
			}
		}
		if _, diff, err := hashImage(iotest.HalfReader(bytes.NewReader(data)), &list); err != nil || diff != -1 {
			t.Fatalf("block %d of %d: %d %v", block, len(data), diff, err)
		}
		at := r.IntN(len(data))
		data[at] ^= 1
		if _, diff, err := hashImage(bytes.NewReader(data), &list); err != nil || diff != int64(at/block*block) {
			t.Fatalf("block %d of %d, changed at %d: %d %v", block, len(data), at, diff, err)
		}
	}
}

// TestSparseReader reads files with holes in all places as plain reading does.
func TestSparseReader(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for i := range 40 {
		f, err := os.Create(filepath.Join(t.TempDir(), "f"))
		must(t, err)
		size := int64(r.IntN(3_000_000))
		must(t, f.Truncate(size))
		for range r.IntN(5) {
			if size > 0 {
				off := r.Int64N(size)
				_, err := f.WriteAt(bytes.Repeat([]byte{byte(i + 1)}, int(min(int64(r.IntN(200_000)), size-off))), off)
				must(t, err)
			}
		}
		want, err := os.ReadFile(f.Name())
		must(t, err)
		s, err := NewSparseReader(f)
		must(t, err)
		for range 2 {
			got, err := io.ReadAll(s)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes, want %d, %v", len(got), len(want), err)
			}
			s.Plain()
		}
		if size > 0 {
			must(t, f.Truncate(size/2))
			if _, err := io.ReadAll(s); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("a file that became shorter: %v", err)
			}
		}
		f.Close()
	}
}

func BenchmarkHashImage(b *testing.B) {
	data := make([]byte, 256<<20)
	for i := range data {
		data[i] = byte(i >> 7)
	}
	var list blockList
	for off := 0; off < len(data); off += 4 << 20 {
		list.line(fmt.Sprintf("%s %d %d", sumOf(data[off:off+4<<20]), off, 4<<20))
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, diff, err := hashImage(bytes.NewReader(data), &list); err != nil || diff >= 0 {
			b.Fatal(diff, err)
		}
	}
}

func BenchmarkReadLedger(b *testing.B) {
	f, l, _ := newLedger(b)
	for range 200 {
		must(b, l.Append(b.Context(), note("a note of some length, as an examiner writes them")))
	}
	must(b, l.Close())
	data, err := os.ReadFile(f.Ledger())
	must(b, err)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		for _, err := range Read(bytes.NewReader(data)) {
			must(b, err)
		}
	}
	b.ReportMetric(float64(201*b.N)/b.Elapsed().Seconds(), "records/s")
}
