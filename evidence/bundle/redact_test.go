package bundle

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

// redactedBag is a bag of a case with notes, of which the ledger withholds them.
func redactedBag(t testing.TB) (m made, bag string, res Result) {
	t.Helper()
	m = makeCase(t)
	whole, err := Write(t.Context(), m.plan(filepath.Join(t.TempDir(), "whole")))
	must(t, err)
	for _, text := range []string{"the plan", "who told us", "last word"} {
		add(t, m, custody.Record{Type: "review.note", Data: map[string]any{"text": text}})
		add(t, m, custody.Record{Type: "evidence.access", Exhibit: "EX-002", Data: map[string]any{"how": "cat"}})
	}
	add(t, m, custody.Record{Type: "review.note", Data: map[string]any{"text": "and one more"}})
	bag = filepath.Join(t.TempDir(), "bag")
	p := m.plan(bag)
	p.Reports, p.Exports = "", ""
	p.Withhold = func(r custody.Record) bool { return strings.HasPrefix(r.Type, "review.") }
	res, err = Write(t.Context(), p)
	must(t, err)
	if res.RedactionOf != whole.ID || len(res.Withheld) != 5 || res.Gaps != 1 {
		t.Fatalf("%+v", res)
	}
	return m, bag, res
}

func TestRedacted(t *testing.T) {
	m, bag, res := redactedBag(t)
	for _, name := range bagFiles(t, bag) {
		b, err := os.ReadFile(filepath.Join(bag, name))
		must(t, err)
		for _, secret := range []string{"a note", "the plan", "who told us", "last word", "and one more"} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s tells %q", name, secret)
			}
		}
	}
	r := verifyBag(t, bag, m.signers)
	if r.Verdict != custody.Partial || len(r.Failures) != 1 || !has(r, "REDACTED") || r.Head != res.Head || r.Assurance != "A1" || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], res.RedactionOf) {
		t.Fatalf("%+v\n%+v", res, r)
	}
	if !strings.HasPrefix(r.Failures[0].Found, "5 withheld: ") {
		t.Fatalf("%+v", r)
	}
	// the head of a line that is withheld can be held to: its checkpoint is signed
	held := custody.VerifyOptions{Signers: m.signers, ExpectHead: res.Head, Now: m.plan("").Now}
	if r, err := Verify(t.Context(), bag, held); err != nil || r.Verdict != custody.Partial {
		t.Fatalf("%+v %v", r, err)
	}
	held.ExpectHead = strings.Repeat("ab", 32)
	if r, err := Verify(t.Context(), bag, held); err != nil || !has(r, "HEAD_DIVERGED") {
		t.Fatalf("%+v %v", r, err)
	}
	f, err := Open(t.Context(), bag, t.TempDir(), nil)
	must(t, err)
	n := 0
	for rec, err := range custody.Records(f) {
		must(t, err)
		if rec.Type == custody.TypeWithheld {
			n++
		}
	}
	if n != 5 {
		t.Fatalf("%d of 5 withheld records are told", n)
	}
	archive := filepath.Join(t.TempDir(), "b.tar.zst")
	p := m.plan(archive)
	p.Reports, p.Exports, p.Withhold = "", "", func(r custody.Record) bool { return r.Type == "review.note" }
	_, err = Write(t.Context(), p)
	must(t, err)
	if r := verifyBag(t, archive, m.signers); r.Verdict != custody.Partial || len(r.Failures) != 1 {
		t.Fatalf("%+v", r)
	}
	if r := verifyBag(t, packEntries(t, reversed(unpack(t, archive)), nil), m.signers); r.Verdict != custody.Partial || len(r.Failures) != 1 {
		t.Fatalf("%+v", r)
	}
	p.Out, p.Withhold = filepath.Join(t.TempDir(), "b.tar.zst"), func(r custody.Record) bool { return r.Type == "evidence.acquire.end" }
	if _, err := Write(t.Context(), p); err == nil {
		t.Fatal("what the check of the evidence needs was withheld")
	}
	other := makeCase(t)
	p = other.plan(filepath.Join(t.TempDir(), "bag"))
	p.Withhold = func(custody.Record) bool { return false }
	if _, err := Write(t.Context(), p); err == nil {
		t.Fatal("a redaction of no bundle was made")
	}
}

func reversed(all []entry) []entry {
	slices.Reverse(all)
	return all
}

// TestRedactedAndChanged is a signer who changes the ledger of a redacted bag
// and seals it anew: Verify and VERIFY.sh both tell.
func TestRedactedAndChanged(t *testing.T) {
	needsScriptTools(t)
	m, whole, _ := redactedBag(t)
	b, err := os.ReadFile(filepath.Join(whole, redactedPath))
	must(t, err)
	lines := bytes.SplitAfter(b, []byte("\n"))
	lines = lines[:len(lines)-1]
	var at []int // of withheld lines
	for i, l := range lines {
		if bytes.HasPrefix(l, []byte(`{"leaf"`)) {
			at = append(at, i)
		}
	}
	two := strings.Replace(string(lines[at[1]]), `,"redacted"`, `,"more":1,"redacted"`, 1)
	for what, c := range map[string]struct {
		change func(l [][]byte) [][]byte
		code   string
	}{
		"nothing": {func(l [][]byte) [][]byte { return l }, ""},
		"another leaf": {func(l [][]byte) [][]byte {
			l[at[0]] = bytes.Replace(l[at[0]], []byte(`leaf":"`), []byte(`leaf":"A`), 1)
			return l
		}, "RECORD_"},
		"leaves swapped":    {func(l [][]byte) [][]byte { swapLeaves(l, at[1], at[2]); return l }, "ROOT_MISMATCH"},
		"a line left out":   {func(l [][]byte) [][]byte { return slices.Delete(l, at[1], at[1]+1) }, "SEQ_GAP"},
		"the last left out": {func(l [][]byte) [][]byte { return l[:len(l)-1] }, "LEDGER_TRUNCATED"},
		"a line twice":      {func(l [][]byte) [][]byte { return slices.Insert(l, at[1], l[at[1]]) }, "SEQ_GAP"},
		"another number": {func(l [][]byte) [][]byte {
			l[at[1]] = bytes.Replace(l[at[1]], []byte(`"seq":`), []byte(`"seq":1`), 1)
			return l
		}, "SEQ_GAP"},
		"a field more": {func(l [][]byte) [][]byte { l[at[1]] = []byte(two); return l }, "RECORD_FIELD_MISSING"},
		"a record changed": {func(l [][]byte) [][]byte {
			l[at[1]+1] = bytes.Replace(l[at[1]+1], []byte("cat"), []byte("dog"), 1)
			return l
		}, "ROOT_MISMATCH"},
		"no end":               {func(l [][]byte) [][]byte { l[len(l)-1] = bytes.TrimSuffix(l[len(l)-1], []byte("\n")); return l }, "LEDGER_TORN_TAIL"},
		"a line more":          {func(l [][]byte) [][]byte { return append(l, l[0]) }, "UNSEALED_TAIL"},
		"a withheld line more": {func(l [][]byte) [][]byte { return append(l, l[at[0]]) }, "UNSEALED_TAIL"},
	} {
		t.Run(what, func(t *testing.T) {
			bag := filepath.Join(t.TempDir(), "bag")
			must(t, os.CopyFS(bag, os.DirFS(whole)))
			put(t, filepath.Join(bag, redactedPath), bytes.Join(c.change(slices.Clone(lines)), nil))
			reseal(t, bag, m.ledger.Signer())
			r := both(t, bag, m.signers, what)
			if c.code == "" {
				if r.Verdict != custody.Partial {
					t.Fatalf("%+v", r)
				}
				return
			}
			if r.Verdict != custody.Broken || !slices.ContainsFunc(r.Failures, func(f custody.Failure) bool { return strings.HasPrefix(f.Code, c.code) }) {
				t.Fatalf("want %s: %+v", c.code, r)
			}
		})
	}
	t.Run("two ledgers", func(t *testing.T) {
		bag := filepath.Join(t.TempDir(), "bag")
		must(t, os.CopyFS(bag, os.DirFS(whole)))
		l, err := os.ReadFile(evidence.Folder(m.folder).Ledger())
		must(t, err)
		put(t, filepath.Join(bag, ledgerPath), l)
		reseal(t, bag, m.ledger.Signer())
		if r := both(t, bag, m.signers, "two ledgers"); !has(r, "LEDGER_DIVERGED") {
			t.Fatalf("%+v", r)
		}
	})
	t.Run("no checkpoint", func(t *testing.T) {
		bag := filepath.Join(t.TempDir(), "bag")
		must(t, os.CopyFS(bag, os.DirFS(whole)))
		must(t, os.RemoveAll(filepath.Join(bag, "custody/checkpoints")))
		reseal(t, bag, m.ledger.Signer())
		if r := both(t, bag, m.signers, "no checkpoint"); !has(r, "CHECKPOINT_MISSING") {
			t.Fatalf("%+v", r)
		}
	})
}

// swapLeaves swaps the leaves of two lines, and leaves their numbers.
func swapLeaves(l [][]byte, i, j int) {
	a, b := bytes.Clone(l[i]), bytes.Clone(l[j])
	leaf := func(line []byte) []byte { return bytes.Clone(line[:bytes.IndexByte(line, ',')]) }
	la, lb := leaf(a), leaf(b)
	l[i], l[j] = append(lb, a[len(la):]...), append(la, b[len(lb):]...)
}
