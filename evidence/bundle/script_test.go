package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/evidence/custody"
)

// many is how often a slow test does a thing: few times, or with
// SNAPCASE_LONG=1 as often as the goals ask.
func many(few, often int) int {
	if os.Getenv("SNAPCASE_LONG") == "1" {
		return often
	}
	return few
}

// script runs VERIFY.sh on a bag and gives its exit code.
func script(t testing.TB, bag, signers string) (int, string) {
	t.Helper()
	sh := filepath.Join(t.TempDir(), "VERIFY.sh")
	must(t, os.WriteFile(sh, VerifyScript(), 0o755))
	args := []string{sh, bag}
	if signers != "" {
		args = append(args, signers)
	}
	out, err := exec.Command("sh", args...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), string(out)
	}
	must(t, err)
	return 0, string(out)
}

func needsScriptTools(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"sh", "sha256sum", "ssh-keygen", "awk", "od", "base64", "find"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
}

func bagFiles(t testing.TB, bag string) []string {
	t.Helper()
	var all []string
	must(t, filepath.WalkDir(bag, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, rerr := filepath.Rel(bag, p)
			must(t, rerr)
			all = append(all, filepath.ToSlash(rel))
		}
		return err
	}))
	return all
}

// smallBag is a bag whose image is small, so that hundreds of checks are quick.
func smallBag(t testing.TB) (bag, signers string) {
	t.Helper()
	m := makeCase(t)
	bag = filepath.Join(t.TempDir(), "bag")
	p := m.plan(bag)
	p.Without = []string{"EX-001"}
	addImage(t, m, "EX-003", bytes.Repeat([]byte("0123456789abcdef"), 4096), nil)
	_, err := Write(t.Context(), p)
	must(t, err)
	return bag, m.signers
}

func TestScriptOnWholeBags(t *testing.T) {
	needsScriptTools(t)
	m := makeCase(t)
	bag := filepath.Join(t.TempDir(), "bag")
	_, err := Write(t.Context(), m.plan(bag))
	must(t, err)
	if code, out := script(t, bag, m.signers); code != 0 {
		t.Fatalf("%d\n%s", code, out)
	}
	if code, out := script(t, bag, ""); code != 5 {
		t.Fatalf("%d\n%s", code, out)
	}
	gap, signers := smallBag(t)
	if code, out := script(t, gap, signers); code != 4 {
		t.Fatalf("%d\n%s", code, out)
	}
	other := makeCase(t)
	if code, out := script(t, bag, other.signers); code != 5 || verifyBag(t, bag, other.signers).ExitCode() != 5 {
		t.Fatalf("%d\n%s", code, out)
	}
	// the bag's own copy says the same
	if out, err := exec.Command("sh", filepath.Join(bag, "VERIFY.sh"), bag, m.signers).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// both wants the same exit code of Verify and VERIFY.sh.
func both(t *testing.T, bag, signers, what string) custody.Report {
	t.Helper()
	r := verifyBag(t, bag, signers)
	code, out := script(t, bag, signers)
	if r.ExitCode() != code {
		t.Errorf("%s: Verify says %d, VERIFY.sh %d\n%+v\n%s", what, r.ExitCode(), code, r, out)
	}
	return r
}

// TestScriptAgreesOnFlippedBits flips bits in every file of a bag.
func TestScriptAgreesOnFlippedBits(t *testing.T) {
	needsScriptTools(t)
	bag, signers := smallBag(t)
	perFile := many(1, 30)
	r := rand.New(rand.NewPCG(1, 2))
	flips := 0
	for _, name := range bagFiles(t, bag) {
		path := filepath.Join(bag, name)
		b, err := os.ReadFile(path)
		must(t, err)
		for range perFile {
			c := bytes.Clone(b)
			bit := r.IntN(len(b) * 8)
			c[bit/8] ^= 1 << (bit % 8)
			must(t, os.WriteFile(path, c, 0o644))
			flips++
			what := fmt.Sprintf("bit %d of %s", bit, name)
			got := both(t, bag, signers, what)
			if got.Verdict != custody.Broken || !named(got, name) {
				t.Errorf("%s: %+v", what, got)
			}
		}
		must(t, os.WriteFile(path, b, 0o644))
	}
	both(t, bag, signers, "restored")
	t.Logf("%d flips", flips)
}

// TestEveryFlipIsNamed is the same without the script, and so with many more.
func TestEveryFlipIsNamed(t *testing.T) {
	bag, signers := smallBag(t)
	perFile := many(20, 400)
	r := rand.New(rand.NewPCG(3, 4))
	flips := 0
	for _, name := range bagFiles(t, bag) {
		path := filepath.Join(bag, name)
		b, err := os.ReadFile(path)
		must(t, err)
		for range perFile {
			c := bytes.Clone(b)
			bit := r.IntN(len(b) * 8)
			c[bit/8] ^= 1 << (bit % 8)
			must(t, os.WriteFile(path, c, 0o644))
			flips++
			if got := verifyBag(t, bag, signers); got.Verdict != custody.Broken || !named(got, name) {
				t.Fatalf("bit %d of %s: %+v", bit, name, got)
			}
		}
		must(t, os.WriteFile(path, b, 0o644))
	}
	t.Logf("%d flips", flips)
}

// named says whether a failure is about the file; a changed tag manifest shows
// as a seal that does not hold.
func named(r custody.Report, name string) bool {
	for _, f := range r.Failures {
		if f.Path == name || name == tagManifestName && strings.HasPrefix(f.Path, "seal/") {
			return true
		}
	}
	return false
}

// TestScriptAgreesOnChanges drops, adds, renames, swaps and copies files.
func TestScriptAgreesOnChanges(t *testing.T) {
	needsScriptTools(t)
	whole, signers := smallBag(t)
	files := bagFiles(t, whole)
	n := 0
	try := func(what string, change func(bag string), want string) {
		t.Helper()
		n++
		bag := filepath.Join(t.TempDir(), "bag")
		must(t, os.CopyFS(bag, os.DirFS(whole)))
		change(bag)
		var r custody.Report
		if n%many(5, 1) == 0 {
			r = both(t, bag, signers, what)
		} else {
			r = verifyBag(t, bag, signers)
		}
		if want != "" && (r.Verdict != custody.Broken || !has(r, want)) {
			t.Errorf("%s: want %s: %+v", what, want, r)
		}
	}
	for _, name := range files {
		want := "FILE_MISSING"
		switch {
		case strings.HasPrefix(name, "seal/"):
			want = "SEAL_MISSING"
		case name == tagManifestName:
			want = "TAGMANIFEST_MISSING"
		case name == manifestName:
			want = "MANIFEST_MISSING"
		case name == "custody/ledger.jsonl":
			want = "LEDGER_MISSING"
		}
		in := func(bag string) string { return filepath.Join(bag, filepath.FromSlash(name)) }
		try("drop "+name, func(bag string) { must(t, os.Remove(in(bag))) }, want)
		renamed := "FILE_UNLISTED"
		if name == tagManifestName {
			renamed = want // without it nothing is listed
		}
		try("rename "+name, func(bag string) { must(t, os.Rename(in(bag), in(bag)+"x")) }, renamed)
		try("empty "+name, func(bag string) { must(t, os.WriteFile(in(bag), nil, 0o644)) }, "")
		try("copy "+name, func(bag string) { put(t, in(bag)+".copy", []byte("x")) }, "FILE_UNLISTED")
		try("append to "+name, func(bag string) {
			b, err := os.ReadFile(in(bag))
			must(t, err)
			must(t, os.WriteFile(in(bag), append(b, '\n'), 0o644))
		}, "")
	}
	for _, c := range []struct{ add, want string }{
		{"x", "FILE_UNLISTED"},
		{"data/x", "FILE_UNLISTED"},
		{"data/exhibits/EX-009/x", "FILE_UNLISTED"},
		{"seal/x", "FILE_UNLISTED"},
		{"seal/.hidden", "FILE_UNLISTED"},
		{"seal/d/x", "FILE_UNLISTED"},
		{"fetch.txt", "FETCH_TXT_PRESENT"},
		{"a b", "MANIFEST_PATH_UNSAFE"},
		{"data/\x1b[31m", "MANIFEST_PATH_UNSAFE"},
		{"data/ü", "MANIFEST_PATH_UNSAFE"},
		{"seal/tagmanifest-sha256.txt.0123456789abcdef.sig.tsr", "FILE_UNLISTED"},
		{"custody/checkpoints/99999999.txt", "FILE_UNLISTED"},
		{".hidden", "FILE_UNLISTED"},
	} {
		try("add "+c.add, func(bag string) { put(t, filepath.Join(bag, c.add), []byte("x")) }, c.want)
	}
	try("empty folder", func(bag string) { must(t, os.Mkdir(filepath.Join(bag, "data/empty"), 0o755)) }, "FILE_UNLISTED")
	try("a link", func(bag string) { must(t, os.Symlink("manifest-sha256.txt", filepath.Join(bag, "data/l"))) }, "FILE_NOT_REGULAR")
	try("swapped files", func(bag string) {
		a, b := filepath.Join(bag, "data/exhibits/EX-002/files/a.json"), filepath.Join(bag, "data/exhibits/EX-002/files/sub/b.json")
		must(t, os.Rename(a, a+"t"))
		must(t, os.Rename(b, a))
		must(t, os.Rename(a+"t", b))
	}, "FILE_HASH_MISMATCH")
	otherBag, _ := smallBag(t)
	try("another case's seal", func(bag string) {
		from, err := filepath.Glob(filepath.Join(otherBag, "seal/*"))
		must(t, err)
		b, err := os.ReadFile(from[0])
		must(t, err)
		put(t, filepath.Join(bag, "seal", filepath.Base(from[0])), b)
	}, "SIG_BAD")
	try("another case's ledger", func(bag string) {
		must(t, os.RemoveAll(filepath.Join(bag, "custody")))
		must(t, os.CopyFS(filepath.Join(bag, "custody"), os.DirFS(filepath.Join(otherBag, "custody"))))
	}, "FILE_HASH_MISMATCH")
}

// reseal writes manifests and seal of a bag anew with a key.
func reseal(t *testing.T, bag string, s custody.Signer) {
	t.Helper()
	must(t, os.RemoveAll(filepath.Join(bag, "seal")))
	lists := map[string]*strings.Builder{manifestName: {}, tagManifestName: {}}
	for _, of := range []string{manifestName, tagManifestName} {
		for _, name := range bagFiles(t, bag) {
			isData := strings.HasPrefix(name, "data/")
			if isData != (of == manifestName) || name == tagManifestName {
				continue
			}
			b, err := os.ReadFile(filepath.Join(bag, name))
			must(t, err)
			fmt.Fprintf(lists[of], "%s  %s\n", put(t, filepath.Join(t.TempDir(), "x"), b), name)
		}
		put(t, filepath.Join(bag, of), []byte(lists[of].String()))
	}
	sig, err := s.Sign([]byte(lists[tagManifestName].String()), custody.BundleNamespace)
	must(t, err)
	put(t, filepath.Join(bag, "seal", tagManifestName+"."+custody.Key16(s.PublicKey())+".sig"), sig)
}

// TestResealed is a third party, and the signer, who change a bag and seal it
// anew.
func TestResealed(t *testing.T) {
	needsScriptTools(t)
	m := makeCase(t)
	whole := filepath.Join(t.TempDir(), "bag")
	_, err := Write(t.Context(), m.plan(whole))
	must(t, err)
	stranger := filepath.Join(t.TempDir(), "key")
	must(t, custody.MakeKey(stranger, "s"))
	theirs, err := custody.LoadSigner(stranger)
	must(t, err)
	copyOf := func() string {
		bag := filepath.Join(t.TempDir(), "bag")
		must(t, os.CopyFS(bag, os.DirFS(whole)))
		return bag
	}
	bag := copyOf()
	put(t, filepath.Join(bag, "data/reports/index.html"), []byte("<HTML>"))
	reseal(t, bag, theirs)
	if r := both(t, bag, m.signers, "sealed by a stranger"); r.Verdict != custody.Untrusted || !has(r, "SIGNER_UNTRUSTED") {
		t.Fatalf("%+v", r)
	}
	// the manifests agree with the changed image; the ledger does not
	bag = copyOf()
	put(t, filepath.Join(bag, "data/exhibits/EX-001/acquisition.json"), []byte("{\"other\":1}\n"))
	reseal(t, bag, m.ledger.Signer())
	if r := verifyBag(t, bag, m.signers); r.Verdict != custody.Broken || !has(r, "HASH_DIFFERS_FROM_LEDGER") {
		t.Fatalf("%+v", r)
	}
	bag = copyOf()
	b, err := os.ReadFile(filepath.Join(bag, "custody/ledger.jsonl"))
	must(t, err)
	lines := bytes.SplitAfter(b, []byte("\n"))
	put(t, filepath.Join(bag, "custody/ledger.jsonl"), bytes.Join(lines[:len(lines)-3], nil))
	reseal(t, bag, m.ledger.Signer())
	if r := both(t, bag, m.signers, "cut and sealed anew"); r.Verdict != custody.Broken || !has(r, "LEDGER_TRUNCATED") {
		t.Fatalf("%+v", r)
	}
	// countersigned: two trusted seals
	bag = copyOf()
	list, err := os.ReadFile(filepath.Join(bag, tagManifestName))
	must(t, err)
	sig, err := theirs.Sign(list, custody.BundleNamespace)
	must(t, err)
	put(t, filepath.Join(bag, "seal", tagManifestName+"."+custody.Key16(theirs.PublicKey())+".sig"), sig)
	if r := both(t, bag, m.signers, "countersigned by an unknown key"); r.Verdict != custody.Intact || r.Assurance != "A1" || len(r.Notes) != 1 {
		t.Fatalf("%+v", r)
	}
	pub, err := os.ReadFile(stranger + ".pub")
	must(t, err)
	mine, err := os.ReadFile(m.signers)
	must(t, err)
	put(t, m.signers, append(append(mine, "bob "...), pub...))
	if r := both(t, bag, m.signers, "countersigned"); r.Verdict != custody.Intact || r.Assurance != "A2" {
		t.Fatalf("%+v", r)
	}
}
