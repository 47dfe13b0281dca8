package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"snapcase/evidence"
	"snapcase/imaging"
)

// hostileTree makes a tree with names that are hard to sort, to show and to
// tell apart.
func hostileTree(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for i, name := range []string{
		"a/b", "a-b", "a/b-c/d", "a/b0", "a/c/d/e", "a.b", "esc\x1b[31mred", "new\nline/x\ny", "bytes\xff\xfe/\x80", "over\u202eride",
		"ÜBER/Straße", "über2", "ΣΊΣΥΦΟΣ", "KELVIN\u212a", "日本語/ファイル", "space name", "-rf", "%s%_\\", "quote'\"", "star*[x]?", "lower.TXT", "UPPER.txt",
		"deep/" + strings.Repeat("d/", 40) + "leaf", strings.Repeat("l", 255), "home/ec2-user/.aws/credentials", "home/ec2-user/.aws/config", "root/.aws/credentials", ".aws/credentials",
	} {
		p := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		must(t, os.WriteFile(p, []byte(strings.Repeat(name, i)), 0o640))
	}
	must(t, os.MkdirAll(filepath.Join(dir, "empty"), 0o700))
	for i := range 300 {
		must(t, os.MkdirAll(filepath.Join(dir, "many"), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, "many", fmt.Sprintf("f%03d", i)), make([]byte, i*17), 0o600))
	}
	for i := range maxRuns + 40 { // more runs than a directory keeps
		d := filepath.Join(dir, "wide", fmt.Sprintf("d%03d", i))
		must(t, os.MkdirAll(d, 0o755))
		must(t, os.WriteFile(filepath.Join(d, "x"), nil, 0o600))
		must(t, os.WriteFile(d+".txt", nil, 0o600))
	}
	must(t, os.Symlink("a/b", filepath.Join(dir, "short")))
	must(t, os.Symlink("/"+strings.Repeat("long/", 40)+"\xff", filepath.Join(dir, "long")))
	must(t, os.Link(filepath.Join(dir, "a/b"), filepath.Join(dir, "many/hard")))
	must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	at := time.Unix(-300_000_000, 123)
	must(t, os.Chtimes(filepath.Join(dir, "a-b"), at, at))
	return dir
}

// ext4Of makes an image of a tree.
func ext4Of(t testing.TB, tree, size string, options ...string) string {
	t.Helper()
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		t.Skip("needs mkfs.ext4")
	}
	image := filepath.Join(t.TempDir(), "disk.raw")
	out, err := exec.Command("mkfs.ext4", append(append([]string{"-q", "-F", "-d", tree}, options...), image, size)...).CombinedOutput()
	if err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	return image
}

func indexed(t testing.TB, c *Case) *Case {
	t.Helper()
	if err := c.Index(context.Background(), IndexOptions{}, nil); err != nil && !errors.Is(err, evidence.ErrGaps) {
		t.Fatal(err)
	}
	return c
}

func listFiles(t testing.TB, c *Case, q FileQuery) []evidence.FileEntry {
	t.Helper()
	var all []evidence.FileEntry
	for e, err := range c.Files(context.Background(), q) {
		must(t, err)
		all = append(all, e)
	}
	return all
}

func rawPath(e evidence.FileEntry) string {
	if e.PathB64 != nil {
		return string(e.PathB64)
	}
	return e.Path
}

// TestFilesEqualTheTree compares every field with what the host says of the
// tree that the image was made of.
func TestFilesEqualTheTree(t *testing.T) {
	tree := hostileTree(t)
	c := indexed(t, diskCase(t, evidence.KindDisk, ext4Of(t, tree, "48M"), nil))
	got := map[string]evidence.FileEntry{}
	all := listFiles(t, c, FileQuery{Hash: true})
	for _, e := range all {
		got[rawPath(e)] = e
	}
	if len(got) != len(all) {
		t.Errorf("%d names, %d entries", len(got), len(all))
	}
	n := 0
	must(t, filepath.WalkDir(tree, func(p string, _ fs.DirEntry, err error) error {
		must(t, err)
		n++
		rel := "/" + strings.TrimPrefix(strings.TrimPrefix(p, tree), "/")
		compareWithHost(t, p, rel, got[rel])
		return nil
	}))
	if want := n + 1; len(all) != want { // lost+found
		t.Errorf("%d entries, want %d", len(all), want)
	}
	if !slices.IsSortedFunc(all, func(a, b evidence.FileEntry) int { return strings.Compare(rawPath(a), rawPath(b)) }) {
		t.Error("not in the order of the bytes of the paths")
	}
}

func compareWithHost(t *testing.T, path, rel string, e evidence.FileEntry) {
	t.Helper()
	var s unix.Stat_t
	must(t, unix.Lstat(path, &s))
	want := evidence.FileEntry{
		Exhibit: "EX-001", Volume: "p0", Path: rel, Inode: e.Inode, Generation: e.Generation, Type: e.Type, Mode: fmt.Sprintf("%06o", s.Mode),
		UID: s.Uid, GID: s.Gid, Links: uint32(s.Nlink), Size: s.Size, Status: "allocated", Modified: e.Modified, Accessed: e.Accessed, Changed: e.Changed, Born: e.Born,
	}
	want.Address = fmt.Sprintf("EX-001/p0/%d:%d%s", e.Inode, e.Generation, rel)
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		want.Size = e.Size
		want.Links = e.Links
	case unix.S_IFLNK:
		l, err := os.Readlink(path)
		must(t, err)
		want.Link = &l
	case unix.S_IFREG:
		b, err := os.ReadFile(path)
		must(t, err)
		h := sha256.Sum256(b)
		want.SHA256 = hex.EncodeToString(h[:])
	}
	if rel != "/" {
		if m := (imaging.Time{Sec: s.Mtim.Sec, Nsec: e.Modified.Nsec, Set: true}); e.Modified != m {
			t.Errorf("%q: modified %v, want %v", rel, e.Modified, m)
		}
	} else {
		want.Mode, want.UID, want.GID = e.Mode, e.UID, e.GID
	}
	a, b := fmt.Sprintf("%+v", plain(e)), fmt.Sprintf("%+v", plain(want))
	if a != b {
		t.Errorf("%q:\n got %s\nwant %s", rel, a, b)
	}
}

// plain replaces pointers by what they point to.
func plain(e evidence.FileEntry) any {
	link := "none"
	if e.Link != nil {
		link = *e.Link
	}
	e.Link, e.PathB64, e.LinkB64 = nil, nil, nil
	return struct {
		evidence.FileEntry
		L string
	}{e, link}
}

// TestFileQueries compares every condition with a slow filter over the whole
// list, read as a stream, counted, and in pages of several sizes both ways.
func TestFileQueries(t *testing.T) {
	c := indexed(t, diskCase(t, evidence.KindDisk, ext4Of(t, hostileTree(t), "48M"), nil))
	all := listFiles(t, c, FileQuery{})
	for _, q := range []FileQuery{
		{},
		{Exhibit: "EX-001"},
		{Volume: "p0"},
		{Dir: "/"},
		{Dir: "/a"},
		{Dir: "/a/"},
		{Dir: "/many"},
		{Dir: "/many", Dirs: true},
		{Dir: "/nowhere"},
		{Dir: "/wide"},
		{Dir: "/wide", Dirs: true},
		{Dir: "/wide", Name: "7.TXT"},
		{Dir: "/wide/d077"},
		{Dir: "/wide", Under: "/wide/d077"},
		{Dir: "/wide", Path: "/wide/d1*"},
		{Dir: "/", Dirs: true, Volume: "p0"},
		{Dir: "/bytes\xff\xfe"},
		{Dirs: true},
		{Under: "/"},
		{Under: "/a"},
		{Under: "/a/b"},
		{Under: "/a/"},
		{Under: "/new\nline"},
		{Under: "/nowhere"},
		{Under: "/many", Name: "F01"},
		{Name: "über"},
		{Name: "STRASSE"},
		{Name: "σίσυφος"},
		{Name: "kelvink"},
		{Name: "txt"},
		{Name: "%s%_"},
		{Name: "\xff"},
		{Name: "ファ"},
		{Path: "/**/.aws/credentials"},
		{Path: "/**/.aws/*"},
		{Path: "/a/*"},
		{Path: "/a/**"},
		{Path: "/a*"},
		{Path: "/many/f[0-1]?[!5]"},
		{Path: "/many/*5"},
		{Path: "/many/f001"},
		{Path: "**"},
		{Path: "/deep/**/leaf"},
		{Path: "/star\\*\\[x\\]\\?"},
		{Path: "/?????/*"},
		{Path: "/many/f1**9", HideDeleted: true},
		{Deleted: true},
		{HideDeleted: true, Name: "a"},
	} {
		t.Run(fmt.Sprintf("%+q", fmt.Sprintf("%+v", q)), func(t *testing.T) {
			want := slowFilter(t, all, q)
			checkListing(t, c, q, want)
		})
	}
}

// slowFilter selects entries as query.go describes it, with no help from the
// index.
func slowFilter(t *testing.T, all []evidence.FileEntry, q FileQuery) []string {
	t.Helper()
	var out []string
	for _, e := range all {
		p := rawPath(e)
		base, parent := filepath.Base(p), filepath.Dir(p)
		if p == "/" {
			base, parent = "", ""
		}
		trim := func(s string) string { return strings.TrimSuffix(s, "/") }
		ok := (q.Exhibit == "" || q.Exhibit == e.Exhibit) && (q.Volume == "" || q.Volume == e.Volume) &&
			(q.Dir == "" || parent == cmp.Or(trim(q.Dir), "/")) &&
			(q.Under == "" || p == trim(q.Under) || strings.HasPrefix(p, trim(q.Under)+"/")) &&
			(q.Name == "" || containsFold(base, q.Name)) && (!q.Deleted || e.Status != "allocated") && (!q.HideDeleted || e.Status == "allocated") && (!q.Dirs || e.Type == "dir")
		if ok && q.Path != "" {
			ok = globRegexp(t, q.Path).MatchString(p)
		}
		if ok {
			out = append(out, e.Address)
		}
	}
	return out
}

// containsFold tries every place with the folding of the standard library.
func containsFold(s, part string) bool {
	if !utf8.ValidString(part) {
		return strings.Contains(s, part)
	}
	for i := range len(s) + 1 {
		for j := i; j <= len(s); j++ {
			if strings.EqualFold(s[i:j], part) {
				return true
			}
		}
	}
	return false
}

func globRegexp(t *testing.T, g string) *regexp.Regexp {
	t.Helper()
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for i := 0; i < len(g); i++ {
		switch {
		case strings.HasPrefix(g[i:], "**/"):
			b.WriteString(`(?:.*/)?`)
			i += 2
		case strings.HasPrefix(g[i:], "**"):
			b.WriteString(`.*`)
			i++
		case g[i] == '*':
			b.WriteString(`[^/]*`)
		case g[i] == '?':
			b.WriteString(`[^/]`)
		case g[i] == '[':
			end := i + strings.IndexByte(g[i:], ']')
			b.WriteString(strings.Replace(g[i:end+1], "!", "^", 1))
			i = end
		case g[i] == '\\':
			i++
			b.WriteString(regexp.QuoteMeta(g[i : i+1]))
		default:
			b.WriteString(regexp.QuoteMeta(g[i : i+1]))
		}
	}
	b.WriteString(`\z`)
	re, err := regexp.Compile(b.String())
	must(t, err)
	return re
}

func addressesOf(all []evidence.FileEntry) (out []string) {
	for _, e := range all {
		out = append(out, e.Address)
	}
	return out
}

func checkListing(t *testing.T, c *Case, q FileQuery, want []string) {
	t.Helper()
	ctx := context.Background()
	if got := addressesOf(listFiles(t, c, q)); !slices.Equal(got, want) {
		t.Fatalf("stream: %d entries, want %d\n%q\n%q", len(got), len(want), got, want)
	}
	for _, limit := range []int64{0, 1, 7, 1 << 40} {
		n, err := c.FileCount(ctx, q, limit)
		must(t, err)
		w := int64(len(want))
		if limit > 0 {
			w = min(w, limit)
		}
		if n != w {
			t.Errorf("count up to %d: %d, want %d", limit, n, w)
		}
	}
	for _, rows := range []int{1, 3, 100} {
		if rows < 3 && len(want) > 30 || rows < 100 && len(want) > 500 {
			continue
		}
		var got, back []string
		r := PageRequest{Rows: rows}
		for {
			p, err := c.FilePage(ctx, q, r)
			must(t, err)
			if p.Ordinal != 0 && p.Ordinal != int64(len(got)+1) {
				t.Fatalf("ordinal %d, want %d", p.Ordinal, len(got)+1)
			}
			if p.Before != (len(got) > 0) && len(p.Rows) > 0 {
				t.Fatalf("before is %v after %d rows", p.Before, len(got))
			}
			got = append(got, addressesOf(p.Rows)...)
			if p.After != (len(got) < len(want)) {
				t.Fatalf("after is %v with %d of %d rows", p.After, len(got), len(want))
			}
			if !p.After {
				break
			}
			r.From = p.Cursors[len(p.Cursors)-1]
		}
		if !slices.Equal(got, want) {
			t.Fatalf("pages of %d: %q", rows, got)
		}
		for r = (PageRequest{Rows: rows, Backward: true}); ; {
			p, err := c.FilePage(ctx, q, r)
			must(t, err)
			back = append(addressesOf(p.Rows), back...)
			if !p.Before {
				break
			}
			r.From = p.Cursors[0]
		}
		if !slices.Equal(back, want) {
			t.Fatalf("pages of %d backward: %q", rows, back)
		}
	}
	for _, row := range []int{1, 2, len(want) / 2, len(want), len(want) + 1} {
		if row < 1 {
			continue
		}
		p, err := c.FilePage(ctx, q, PageRequest{Row: int64(row), Rows: 5})
		must(t, err)
		w := want[min(row-1, len(want)):min(row+4, len(want))]
		if !slices.Equal(addressesOf(p.Rows), w) || len(w) > 0 && p.Ordinal != int64(row) {
			t.Fatalf("row %d: %q, ordinal %d, want %q", row, addressesOf(p.Rows), p.Ordinal, w)
		}
	}
}

func TestOpenEntry(t *testing.T) {
	tree := hostileTree(t)
	c := indexed(t, diskCase(t, evidence.KindDisk, ext4Of(t, tree, "48M"), nil))
	ctx := context.Background()
	for _, e := range listFiles(t, c, FileQuery{}) {
		if e.Type != "file" {
			continue
		}
		want, err := os.ReadFile(filepath.Join(tree, rawPath(e)))
		must(t, err)
		a, err := evidence.ParseAddress(e.Address)
		must(t, err)
		mangled := a
		mangled.Path = strings.ToValidUTF8(a.Path, "\ufffd\ufffd") // two bytes side by side in this tree
		if strings.HasPrefix(a.Path, "/bytes\xff\xfe/") {
			mangled.Path = "/bytes\ufffd\ufffd/\ufffd"
		}
		bare := a
		bare.Path = ""
		for _, a := range []evidence.Address{a, mangled, bare} {
			src, got, err := c.OpenEntry(ctx, a)
			if err != nil {
				t.Errorf("%q: %v", a, err)
				continue
			}
			b, err := io.ReadAll(io.NewSectionReader(src, 0, src.Size()))
			must(t, err)
			if string(b) != string(want) {
				t.Errorf("%q: %d bytes, want %d", a, len(b), len(want))
			}
			if got.Inode != e.Inode || a.Path == e.Path && got.Address != e.Address {
				t.Errorf("%q: it is %q", a, got.Address)
			}
		}
		for _, wrong := range []func(*evidence.Address){
			func(a *evidence.Address) { a.Generation++ },
			func(a *evidence.Address) { a.Inode += 5000 },
			func(a *evidence.Address) { a.Volume = "p1" },
			func(a *evidence.Address) { a.Exhibit = "EX-009" },
			func(a *evidence.Address) { a.Path += "x" },
		} {
			b := a
			wrong(&b)
			if _, _, err := c.OpenEntry(ctx, b); err == nil {
				t.Errorf("%q opened", b)
			}
		}
	}
	img, err := c.OpenImage(ctx, "EX-001")
	must(t, err)
	if img.Size() != 48<<20 {
		t.Errorf("the image has %d bytes", img.Size())
	}
	if _, err := c.OpenImage(ctx, "EX-002"); err == nil {
		t.Error("an image that is not there was opened")
	}
}

// TestTwoDisks lists two exhibits in their order, whichever was loaded last.
func TestTwoDisks(t *testing.T) {
	ctx := context.Background()
	one, two := ext4Of(t, hostileTree(t), "48M"), demoDisk(t)
	c := diskCase(t, evidence.KindDisk, one, nil)
	addImage(t, c.folder, "EX-002", evidence.KindDisk, two, nil)
	indexed(t, c)
	want := addressesOf(listFiles(t, c, FileQuery{}))
	if !slices.IsSortedFunc(want, func(a, b string) int { return strings.Compare(a[:6], b[:6]) }) || want[len(want)-1][:6] != "EX-002" {
		t.Fatal("exhibits out of order")
	}
	for _, id := range []string{"EX-001", "EX-002", "EX-001"} {
		if err := c.Index(ctx, IndexOptions{Exhibit: id, Rebuild: true}, nil); err != nil && !errors.Is(err, evidence.ErrGaps) {
			t.Fatal(err)
		}
		checkListing(t, c, FileQuery{}, want)
		all := listFiles(t, c, FileQuery{})
		for _, q := range []FileQuery{{Dir: "/"}, {Dir: "/home"}, {Under: "/home"}, {Path: "/home/**"}, {Exhibit: "EX-002", Dir: "/home"}, {Exhibit: "EX-002", Under: "/etc"}, {Volume: "p2", Name: "a"}} {
			checkListing(t, c, q, slowFilter(t, all, q))
		}
	}
}
