package store

import (
	"crypto/md5"  //nolint:gosec // what lists hold
	"crypto/sha1" //nolint:gosec // what lists hold
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"snapcase/evidence"
)

// addSet brings in a list of known files.
func addSet(t testing.TB, c *Case, name string, bad bool, path string) string {
	t.Helper()
	label, err := SetLabel(name, bad)
	must(t, err)
	a, err := c.Acquire(t.Context(), AcquireRequest{Source: path, Kind: evidence.KindHashset, Label: label, Raw: true}, nil)
	must(t, ignoreGaps(err))
	return a.Exhibit
}

func textFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// knownPaths lists what a question about known files selects.
func knownPaths(t *testing.T, c *Case, role string) (paths []string) {
	t.Helper()
	for _, e := range listFiles(t, c, FileQuery{Known: role}) {
		paths = append(paths, fmt.Sprintf("%s %s", e.Path, strings.Join(e.Known, ",")))
	}
	return paths
}

// TestKnownFiles marks the files of a disk by lists of every form.
func TestKnownFiles(t *testing.T) {
	tree := t.TempDir()
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		must(t, os.WriteFile(filepath.Join(tree, name), []byte("content of "+name), 0o644))
	}
	must(t, os.Link(filepath.Join(tree, "a"), filepath.Join(tree, "link")))
	c := newTestCase(t)
	bringPath(t, c, evidence.KindDisk, ext4Of(t, tree, "8M"))
	text := func(name string) []byte { return []byte("content of " + name) }
	if err := firstError(c.Files(t.Context(), FileQuery{Known: "good"})); !errors.Is(err, evidence.ErrNotFound) {
		t.Errorf("known without lists: %v", err)
	}
	if err := firstError(c.Files(t.Context(), FileQuery{Known: "evil"})); !errors.Is(err, evidence.ErrUsage) {
		t.Errorf("known of a wrong word: %v", err)
	}
	addSet(t, c, "sums", false, textFile(t, "sums", fmt.Sprintf("%x  a\n%x  other\n%x  a again\n", sha256.Sum256(text("a")), sha256.Sum256(nil), sha256.Sum256(text("a")))))
	if got, want := knownPaths(t, c, "good"), []string{"/a good:sums", "/link good:sums"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	addSet(t, c, "evil", true, textFile(t, "evil", fmt.Sprintf("%X\nnot a digest\n", md5.Sum(text("b")))))                                                                      //nolint:gosec // as above
	addSet(t, c, "rds2", false, textFile(t, "NSRLFile.txt", fmt.Sprintf("\"SHA-1\",\"MD5\",\"FileName\"\r\n\"%X\",\"%X\",\"c\"\r\n", sha1.Sum(text("c")), md5.Sum(text("c"))))) //nolint:gosec // as above
	addSet(t, c, "rds3", false, sqliteSet(t, fmt.Sprintf("%X", sha256.Sum256(text("d"))), fmt.Sprintf("%x", sha1.Sum(text("d")))))                                              //nolint:gosec // as above
	for range 2 {                                                                                                                                                               // the second time from what the index keeps
		for role, want := range map[string][]string{
			"good": {"/a good:sums", "/c good:rds2", "/d good:rds3", "/link good:sums"}, "bad": {"/b bad:evil"}, "unknown": {"/e "},
		} {
			if got := knownPaths(t, c, role); !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", role, got, want)
			}
			p, err := c.FilePage(t.Context(), FileQuery{Known: role}, PageRequest{Rows: 2})
			must(t, err)
			if n := min(2, len(want)); len(p.Rows) != n || p.After != (len(want) > 2) {
				t.Errorf("%s: a page of %d rows, more %v", role, len(p.Rows), p.After)
			}
			if n, err := c.FileCount(t.Context(), FileQuery{Known: role}, 0); err != nil || n != int64(len(want)) {
				t.Errorf("%s: counted %d: %v", role, n, err)
			}
		}
		must(t, c.Index(t.Context(), IndexOptions{}, nil))
	}
	for _, s := range mustStats(t, c) {
		if s.Label == "bad:evil" && (s.BadRecords != 1 || s.Records != 1) || s.Label == "good:sums" && (s.Distinct != 2 || s.Duplicates != 1) {
			t.Errorf("%+v", s)
		}
	}
}

func mustStats(t *testing.T, c *Case) []evidence.ExhibitStats {
	t.Helper()
	all, err := c.Stats(t.Context())
	must(t, err)
	return all
}

// sqliteSet makes a database as RDS version 3 has it: a table METADATA and a
// view FILE.
func sqliteSet(t testing.TB, sha256, sha1 string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rds.db")
	db, err := sql.Open("sqlite", path)
	must(t, err)
	_, err = db.Exec("CREATE TABLE METADATA (metadata_id INTEGER PRIMARY KEY, sha256 VARCHAR, sha1 VARCHAR, md5 VARCHAR, crc32 VARCHAR);" +
		"CREATE VIEW FILE AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS sha256 FROM n;" +
		"INSERT INTO METADATA (sha256, sha1) VALUES ('" + sha256 + "', '" + sha1 + "')")
	must(t, errors.Join(err, db.Close()))
	return path
}

// TestKeptDigests: what was hashed once is not read again, until the index is
// made anew.
func TestKeptDigests(t *testing.T) {
	c := newTestCase(t)
	id := bringPath(t, c, evidence.KindDisk, demoDisk(t))
	var first []string
	for _, e := range listFiles(t, c, FileQuery{Hash: true}) {
		first = append(first, e.Path+" "+e.SHA256)
	}
	must(t, c.Close())
	must(t, os.Rename(c.folder.Image(id), c.folder.Image(id)+".away"))
	open := func(o Options) *Case {
		t.Helper()
		again, err := Open(t.Context(), string(c.folder), o)
		must(t, err)
		t.Cleanup(func() { again.Close() }) //nolint:errcheck // a test
		return again
	}
	var second []string
	for _, e := range listFiles(t, open(Options{ReadOnly: true}), FileQuery{Hash: true}) {
		second = append(second, e.Path+" "+e.SHA256)
	}
	if !slices.Equal(first, second) || len(first) == 0 {
		t.Errorf("%d rows, then %d", len(first), len(second))
	}
	must(t, os.Rename(c.folder.Image(id)+".away", c.folder.Image(id)))
	rebuilt := open(testOptions(t, c.file.Key))
	must(t, rebuilt.Index(t.Context(), IndexOptions{Rebuild: true}, nil))
	must(t, os.Rename(c.folder.Image(id), c.folder.Image(id)+".away"))
	if err := firstError(open(Options{ReadOnly: true}).Files(t.Context(), FileQuery{Hash: true})); err == nil {
		t.Error("digests outlived the index that they were of")
	}
}

// TestSetFile looks digests up in a file that is searched by halves, and says
// so where it is cut or not there.
func TestSetFile(t *testing.T) {
	c := newTestCase(t)
	var b strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&b, "%x\n", sha256.Sum256(fmt.Append(nil, i)))
	}
	id := addSet(t, c, "many", false, textFile(t, "many", b.String()))
	a, err := c.acquisition(id)
	must(t, err)
	s, err := c.openSet(a)
	must(t, err)
	defer s.f.Close() //nolint:errcheck // read-only
	for i := range 40000 {
		sum := sha256.Sum256(fmt.Append(nil, i))
		if ok, err := s.has(2, sum[:]); err != nil || ok != (i < 20000) {
			t.Fatalf("%d: %v, %v", i, ok, err)
		}
	}
	must(t, os.Truncate(c.setPath(id), 1000))
	if _, err := c.openSet(a); err == nil {
		t.Error("a cut file is read")
	}
	must(t, c.Index(t.Context(), IndexOptions{Rebuild: true}, nil))
	again, err := c.openSet(a)
	must(t, err)
	must(t, again.f.Close())
}

func TestSetLabel(t *testing.T) {
	for _, name := range []string{"", "a b", "a:b", "ü", "a/b", strings.Repeat("x", 65)} {
		if l, err := SetLabel(name, true); !errors.Is(err, evidence.ErrUsage) {
			t.Errorf("%q: %s, %v", name, l, err)
		}
	}
	if l, err := SetLabel("nsrl-2026.03", false); err != nil || l != "good:nsrl-2026.03" {
		t.Errorf("%s, %v", l, err)
	}
}

// BenchmarkSet sorts a list of a million digests, and asks for known and for
// unknown ones.
func BenchmarkSet(b *testing.B) {
	c := newTestCase(b)
	var text strings.Builder
	const n = 1_000_000
	for i := range n {
		fmt.Fprintf(&text, "%x\n", sha256.Sum256(fmt.Append(nil, i)))
	}
	id := addSet(b, c, "bench", false, textFile(b, "list", text.String()))
	b.Run("sort", func(b *testing.B) {
		for b.Loop() {
			must(b, c.Index(b.Context(), IndexOptions{Rebuild: true}, nil))
		}
	})
	a, err := c.acquisition(id)
	must(b, err)
	s, err := c.openSet(a)
	must(b, err)
	defer s.f.Close() //nolint:errcheck // read-only
	b.Run("ask", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			sum := sha256.Sum256(fmt.Append(nil, i%(2*n)))
			if _, err := s.has(2, sum[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
