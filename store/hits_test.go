package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"snapcase/evidence"
	"snapcase/evidence/credential"
)

// TestHits plants key ids where a disk can hold them, and looks at what the
// index says of their places.
func TestHits(t *testing.T) {
	tree := t.TempDir()
	file := func(name, text string) {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(tree, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(tree, name), []byte(text), 0o644))
	}
	file("home/b", "key "+idText(1)+"\n")
	must(t, os.Link(filepath.Join(tree, "home/b"), filepath.Join(tree, "home/a")))
	file("home/slack", "short")
	file("home/dir/"+idText(3), "named like a key")
	file("big", strings.Repeat("x", 50_000)+" "+idText(4)+" ")
	path := ext4Of(t, tree, "16M", "-O", "^metadata_csum")
	b, err := os.ReadFile(path)
	must(t, err)
	put := func(at int, text string) { copy(b[at:], text) }
	at := bytes.Index(b, []byte("short"))
	put(at+100, idText(2))
	put(len(b)-8000, idText(5)) // free
	must(t, os.WriteFile(path, b, 0o644))
	s := credential.NewScanner([]byte("k"))
	s.Scan(b, 0)
	c := indexed(t, diskCase(t, evidence.KindDisk, path, s.Hits()))
	got := hitsOf(t, c)
	for _, w := range []struct{ key, want string }{
		{idText(1), "allocated /home/a 4"},
		{idText(2), "slack /home/slack"},
		{idText(3), "allocated /home/dir directory"},
		{idText(4), "allocated /big 50001"},
		{idText(5), "unallocated"},
	} {
		if !slices.ContainsFunc(got[w.key], func(s string) bool { return strings.HasPrefix(s, w.want) }) {
			t.Errorf("%s: %q, want %q", w.key, got[w.key], w.want)
		}
	}
}

// TestUnreadBytes: a file whose bytes the source did not give says so, and no
// other does.
func TestUnreadBytes(t *testing.T) {
	tree := t.TempDir()
	for i := range 20 {
		must(t, os.WriteFile(filepath.Join(tree, fmt.Sprintf("f%02d", i)), bytes.Repeat(fmt.Appendf(nil, "file %02d ", i), 3000), 0o644))
	}
	path := ext4Of(t, tree, "16M")
	b, err := os.ReadFile(path)
	must(t, err)
	at := int64(bytes.Index(b, []byte("file 07 "))) + 9000
	clear(b[at : at+3000])
	must(t, os.WriteFile(path, b, 0o644))
	c := diskCase(t, evidence.KindDisk, path, nil)
	writeJSON(t, c.folder.Acquisition("EX-001"), evidence.Acquisition{Exhibit: "EX-001", Kind: evidence.KindDisk, ReadErrors: []evidence.ReadError{{Offset: at, Length: 3000}}})
	for _, e := range listFiles(t, indexed(t, c), FileQuery{}) {
		if (e.Damage != nil) != (e.Path == "/f07") {
			t.Errorf("%s: damage %v", e.Path, e.Damage)
		}
	}
	s, err := c.Stats(context.Background())
	must(t, err)
	if len(s[0].Gaps) != 1 || !strings.HasSuffix(s[0].Gaps[0].Place, "/f07") {
		t.Errorf("gaps: %+v", s[0].Gaps)
	}
}

func idText(n int) string { return fmt.Sprintf("AKIA%s%c", strings.Repeat("Q", 15), 'A'+n) }

// hitsOf are the places of every key: status, path, file offset or area.
func hitsOf(t *testing.T, c *Case) map[string][]string {
	t.Helper()
	q, err := c.ask(context.Background())
	must(t, err)
	defer q.end() //nolint:errcheck // read-only
	rows, err := q.conn.QueryContext(context.Background(), "SELECT d.text, h.status, coalesce(h.address, ''), coalesce(h.file_offset, ''), coalesce(h.area, '') FROM hits h JOIN dict d ON d.id = h.key ORDER BY h.id")
	must(t, err)
	defer rows.Close() //nolint:errcheck // Err is asked
	out := map[string][]string{}
	for rows.Next() {
		var key, status, address, offset, area string
		must(t, rows.Scan(&key, &status, &address, &offset, &area))
		if a, err := evidence.ParseAddress(address); err == nil {
			address = a.Path
		}
		var f []string
		for _, s := range []string{status, address, area, offset} {
			if s != "" {
				f = append(f, s)
			}
		}
		out[key] = append(out[key], strings.Join(f, " "))
	}
	must(t, rows.Err())
	return out
}

// TestHitsOfFolders: a key in a file of an exhibit that is a folder, and in
// memory.
func TestHitsOfFolders(t *testing.T) {
	f := evidence.Folder(t.TempDir())
	writeJSON(t, f.CaseFile(), evidence.CaseFile{Version: evidence.CaseVersion, Title: "T"})
	hit := credential.Hit{Offset: 7, KeyID: idText(1), Kind: credential.LongTerm, Encoding: credential.ASCII}
	blob := filepath.Join(t.TempDir(), "memory")
	must(t, os.WriteFile(blob, make([]byte, 4096), 0o644))
	addImage(t, f, "EX-001", evidence.KindMemory, blob, []credential.Hit{hit})
	for id, kind := range map[string]evidence.Kind{"EX-002": evidence.KindFile, "EX-003": evidence.KindFindings} {
		h := hit
		h.File = "dir/name"
		addImage(t, f, id, kind, blob, []credential.Hit{h})
		must(t, os.MkdirAll(filepath.Join(f.Files(id), "dir"), 0o755))
		must(t, os.WriteFile(filepath.Join(f.Files(id), "dir/name"), []byte("x"), 0o644))
		manifest := fmt.Sprintf("%x  dir/name\n", sha256.Sum256([]byte("x")))
		must(t, os.WriteFile(filepath.Join(f.Exhibit(id), "manifest-sha256.txt"), []byte(manifest), 0o644))
		writeJSON(t, f.Acquisition(id), evidence.Acquisition{Exhibit: id, Kind: kind, SHA256: sha256.Sum256([]byte(manifest))})
	}
	c, err := Open(context.Background(), string(f), Options{Bundle: true, Index: filepath.Join(t.TempDir(), "index.db")})
	must(t, err)
	defer c.Close() //nolint:errcheck // nothing is buffered
	got := hitsOf(t, indexed(t, c))[idText(1)]
	if want := []string{"memory", "allocated EX-002/dir/name", "log EX-003/dir/name"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
