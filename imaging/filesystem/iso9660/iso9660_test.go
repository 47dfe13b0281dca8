package iso9660

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fstest"
)

func TestConformance(t *testing.T) {
	when := imaging.Time{Sec: 1614834368, Set: true}
	fstest.Run(t, Open, fstest.File(t, "testdata/small.iso.gz"), []fstest.Want{
		{Path: "/", Type: filesystem.TypeDir, Size: 2048},
		{Path: "/user-data", Type: filesystem.TypeFile, Size: 14, Mode: 0o100644, Modified: when, SHA256: "88c95955b024402aa9572b663f7eeb134f01343bb92af27b50e97e72b22c565f"},
		{Path: "/meta-data", Size: 33, Mode: 0o104750},
		{Path: "/link", Type: filesystem.TypeSymlink, Size: 13, Link: "../etc/passwd", Modified: when},
		{Path: "/1/2/3/4/5/6/7/8/9/file", Size: 5},
		{Path: "/1/2/3/4/5/6/7/8", Type: filesystem.TypeDir, Size: 2048, Modified: when},
		{Path: "/Grüße aus der Ferne, mit einem langen Namen, der in keinen einzelnen Eintrag passt " + strings.Repeat("x", 150), Size: 8},
	})
	fstest.Run(t, Open, fstest.File(t, "testdata/sessions.iso.gz"), []fstest.Want{
		{Path: "/user-data", Size: 23},
		{Path: "/user-data", Size: 14, Status: filesystem.Deleted},
		{Path: "/d/meta-data", Size: 33, Status: filesystem.Deleted},
	})
	fstest.Damage(t, Open, fstest.Bytes(variety().b))
}

// TestVariety holds what is said of forms that few tools write.
func TestVariety(t *testing.T) {
	f, err := Open(fstest.Bytes(variety().b))
	if err != nil {
		t.Fatal(err)
	}
	byPath := map[string]filesystem.Entry{}
	for _, e := range all(t, f) {
		byPath[e.Path] = e
	}
	for path, damage := range map[string]string{
		"/LARGE": "", "/FORKED": "", "/FORKED:associated": "", "/SUB": "",
		"/GAPS":    "partial: it is interleaved: 1 blocks, then a gap of 1, which is not read",
		"/LOOP":    "loop: its records were read already, as those of another directory",
		"/SUB/FAR": "truncated: 2952 of its bytes lie past the end of the image",
		"/ODD":     "range: the two copies of its place and size differ: block 24 and 25, 5 and 5 bytes",
		"/A/B":     "range: the name contains a slash",
		"/SECRET":  "range: it is marked as hidden: some systems do not show it",
	} {
		e, ok := byPath[path]
		if !ok || e.Damage != damage {
			t.Errorf("%q: found %v, damage %q", path, ok, e.Damage)
		}
	}
	if len(byPath) != 11 {
		t.Errorf("%d entries", len(byPath))
	}
	if e := byPath["/SUB/FAR"]; e.Modified.Sec != 1614834368-3600 || e.Mode != 0o100555 {
		t.Errorf("%+v", e)
	}
	large := read(t, f, byPath["/LARGE"].Ref)
	if len(large) != 2148 || !strings.HasPrefix(string(large), "first\x00") || !strings.HasPrefix(string(large[2048:]), "second\x00") {
		t.Errorf("two extents: %d bytes", len(large))
	}
	if s := string(read(t, f, byPath["/FORKED"].Ref)) + string(read(t, f, byPath["/FORKED:associated"].Ref)); s != "datafork" {
		t.Errorf("fork: %q", s)
	}
	if _, err := f.Open(byPath["/GAPS"].Ref); err == nil {
		t.Error("an interleaved file is given")
	}
	for _, ref := range []filesystem.Ref{{Inode: 1}, {Inode: 1 << 60}, {Inode: 40960, Generation: 1}, {Inode: 40960, Stream: "x"}} {
		if _, err := f.Open(ref); err == nil {
			t.Errorf("%+v: opened", ref)
		}
	}
}

// TestTrees demands that a file which only Joliet has is given.
func TestTrees(t *testing.T) {
	m := newMade()
	p := m.b[firstDescriptor:]
	copy(p[2*sector:], p[sector:2*sector])
	copy(p[sector:], p[:sector])
	p[sector] = 2
	copy(p[sector+88:], "%/@")
	copy(p[sector+156:], dirRecord("\x00", 22, sector, flagDir))
	copy(m.block(22), append(dirRecord("\x00", 22, sector, flagDir), dirRecord("\x01", 22, sector, flagDir)...))
	copy(m.block(22)[68:], append(dirRecord("\x00S\x00e\x00e\x00n\x00;\x001", 24, 5, 0), dirRecord("\x00o\x00n\x00l\x00y\x20\xac", 25, 5, 0)...))
	m.add(dirRecord("SEEN;1", 24, 5, 0), dirRecord("HIDDEN;1", 26, 7, 0))
	f, err := Open(fstest.Bytes(m.b))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range all(t, f) {
		got = append(got, e.Path+" "+e.Status.String())
	}
	if s := strings.Join(got, ", "); s != "/ allocated, /Seen allocated, /only€ allocated, /$Primary/HIDDEN orphan" {
		t.Error(s)
	}
}

// TestRock holds entries that go on elsewhere, or nowhere.
func TestRock(t *testing.T) {
	area := func(list ...string) []byte { return []byte(strings.Join(list, "")) }
	entry := func(kind string, b ...byte) string { return kind + string([]byte{byte(4 + len(b)), 1}) + string(b) }
	var r rock
	ce, goesOn := r.entries(area(entry("NM", append([]byte{1}, "long "...)...), entry("NM", append([]byte{0}, "name"...)...),
		entry("SL", 1, 8, 0, 0, 1, 'a', 1, 1, 'b'), entry("SL", 0, 0, 1, 'c', 4, 0, 2, 0),
		entry("TF", 0x0e, 121, 3, 4, 5, 6, 8, 0, 121, 3, 4, 5, 6, 8, 4, 121, 3, 4, 5, 6, 8, 0xfc),
		entry("CE", 7, 0, 0, 0, 0, 0, 0, 7, 9, 0, 0, 0, 0, 0, 0, 9, 11, 0, 0, 0, 0, 0, 0, 11)))
	if r.name != "long name" || r.link != "/a/bc/../." || r.damage != "" || !goesOn || ce != (more{7, 9, 11}) {
		t.Errorf("%+v %+v", r, ce)
	}
	if r.modified.Sec != 1614834368 || r.accessed.Sec != 1614834368-3600 || r.changed.Sec != 1614834368+3600 {
		t.Errorf("times %+v", r)
	}
	m := newMade()
	self := append(dirRecord("\x00", 20, sector, flagDir), entry("SP", 0xbe, 0xef, 0)...)
	self = append(self, entry("CE", 25, 0, 0, 0, 0, 0, 0, 25, 0, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 28)...)
	self = append(self, 0)
	self[0] = byte(len(self))
	copy(m.block(20), self)
	copy(m.block(25), entry("CE", 25, 0, 0, 0, 0, 0, 0, 25, 0, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 28))
	f, err := Open(fstest.Bytes(m.b))
	if err != nil {
		t.Fatal(err)
	}
	rec, err := f.record(20 * sector)
	if err != nil {
		t.Fatal(err)
	}
	spare := int64(1 << 20)
	k, err := f.rock(rec, f.trees[0], &spare)
	if err != nil || k.damage != "loop: its attributes go on without end" {
		t.Errorf("%q %v", k.damage, err)
	}
}

// TestCorpus reads an image that another project made.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("SNAPCASE_CORPUS")
	if dir == "" {
		t.Skip("needs SNAPCASE_CORPUS, the folder of the test corpus")
	}
	need(t, "xorriso") // libarchive refuses this image
	src := fstest.File(t, filepath.Join(dir, "images", "other", "rockridge.iso.gz"))
	work := t.TempDir()
	image, out := filepath.Join(work, "image"), filepath.Join(work, "out")
	b := make([]byte, src.Size())
	if _, err := src.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(image, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	command(t, "xorriso", "-report_about", "WARNING", "-osirrox", "on", "-indev", image, "-extract", "/", out)
	command(t, "touch", "-h", "-d", "@1539936830", filepath.Join(out, "link")) // xorriso sets no time on a link
	f, err := Open(src)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, f, unpacked(t, out, true), true)
	fstest.Run(t, Open, src, nil)
}

func FuzzOpen(f *testing.F) {
	f.Add(variety().b)
	f.Add(newMade().b)
	for _, name := range []string{"small", "sessions"} {
		src := fstest.File(f, "testdata/"+name+".iso.gz")
		b := make([]byte, min(src.Size(), 200<<10))
		src.ReadAt(b, 0)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fstest.Survive(t, Open, fstest.Bytes(b))
		Probe(fstest.Bytes(b))
	})
}

func FuzzRock(f *testing.F) {
	f.Add([]byte("NM\x09\x01\x00nameSL\x0a\x01\x00\x08\x00\x00\x01aPX\x24\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r rock
		r.entries(b)
		if len(r.name) > linkMost || len(r.link) > linkMost+1 {
			t.Errorf("%d and %d bytes", len(r.name), len(r.link))
		}
	})
}
