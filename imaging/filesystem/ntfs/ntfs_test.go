package ntfs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fstest"
)

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// seq is what seq(1) prints.
func seq(n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintln(&b, i)
	}
	return b.String()
}

// want is what testdata/make.sh put into the image.
func want() []fstest.Want {
	var spread strings.Builder
	for i := range 500 {
		fmt.Fprintf(&spread, "%01024d%s", i, strings.Repeat("\x00", 3072))
	}
	sparse := func(head string, at int) string { return head + strings.Repeat("\x00", at-len(head)) + "end" }
	file := func(path, content string) fstest.Want {
		return fstest.Want{Path: path, Type: filesystem.TypeFile, Size: int64(len(content)), SHA256: sum(content)}
	}
	all := []fstest.Want{
		file("/hello.txt", "hello"), file("/dir/hard.txt", "hello"), file("/hello.txt:Zone.Identifier", "ZoneId=3"),
		file("/dir:note", "on a directory"), file("/dir/sub/naïve 日本 😀.txt", "deep"),
		file("/comp/numbers.txt", seq(12000)), file("/comp/holes", sparse(strings.Repeat("q", 70000), 300001)),
		file("/sparse", sparse("start", 400000)), file("/spread", spread.String()[:499*4096+1024]),
		{Path: "/", Type: filesystem.TypeDir, Inode: 5, Size: fstest.AnySize, Mode: 0o40777},
		{Path: "/dir/link", Type: filesystem.TypeSymlink, Size: fstest.AnySize, Link: "../hello.txt", Mode: 0o120777},
		{Path: "/old", Type: filesystem.TypeFile, Modified: imaging.Time{Sec: -8520238555, Nsec: 123456700, Set: true}},
		{Path: "/new", Type: filesystem.TypeFile, Modified: imaging.Time{Sec: 10413889445, Nsec: 765432100, Set: true}},
		{Path: "/gone", Type: filesystem.TypeDir, Status: filesystem.Deleted, Size: fstest.AnySize},
	}
	gone := func(path, content string) {
		w := file(path, content)
		w.Status = filesystem.Deleted
		all = append(all, w)
	}
	for i := range 60 {
		if w := file(fmt.Sprintf("/dir/file%d", i), fmt.Sprintf("%0*d", i*17+1, i)); i != 7 {
			all = append(all, w)
		}
	}
	gone("/dir/file7", fmt.Sprintf("%0*d", 7*17+1, 7))
	gone("/deleted.txt", seq(2000))
	for i := range 10 {
		gone(fmt.Sprintf("/gone/deep/lost%d", i), fmt.Sprintf("%0900d", i))
	}
	return all
}

func small(t testing.TB) imaging.Source { return fstest.File(t, "testdata/small.img.gz") }

func TestConformance(t *testing.T) {
	fstest.Run(t, Open, small(t), want())
}

func TestInfo(t *testing.T) {
	fs, err := Open(small(t))
	if err != nil {
		t.Fatal(err)
	}
	i := fs.Info()
	if i.Type != "ntfs" || i.Label != "small" || i.BlockSize != 1024 || len(i.UUID) != 16 || len(i.State) != 0 || !slices.Equal(i.Features, []string{"version 3.1"}) {
		t.Errorf("%+v", i)
	}
}

// entries walks a sound image.
func entries(t testing.TB, fs *FS) map[string]filesystem.Entry {
	t.Helper()
	all := make(map[string]filesystem.Entry)
	for e, err := range fs.Walk(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if old, ok := all[e.Path]; !ok || old.Status != filesystem.Allocated {
			all[e.Path] = e
		}
	}
	return all
}

func TestNoDamageOnASoundImage(t *testing.T) {
	fs, err := Open(small(t))
	if err != nil {
		t.Fatal(err)
	}
	for path, e := range entries(t, fs) {
		if e.Damage != "" && e.From != slackFrom {
			t.Errorf("%s: %s", path, e.Damage)
		}
	}
}

// TestOwners demands that each byte of a sound volume is owned once. Values in
// freed records are theirs alone.
func TestOwners(t *testing.T) {
	src := small(t)
	fs, err := Open(src)
	if err != nil {
		t.Fatal(err)
	}
	owner := make([]byte, src.Size())
	resident, mft := false, fs.mftPlace(0)
	hello := entries(t, fs)["/hello.txt"].Ref
	for x, err := range fs.Extents(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if x.Status != filesystem.Allocated && x.Start >= mft && x.Start < mft+fs.mft.size {
			x.Status = filesystem.Allocated
		}
		if x.Status != filesystem.Allocated {
			continue
		}
		for i := x.Start; i < x.Start+x.Length; i++ {
			if owner[i] != 0 {
				t.Fatalf("byte %d is owned twice, the second time by %+v", i, x)
			}
			owner[i] = byte(x.Kind)
		}
		if x.Ref == hello {
			p := make([]byte, x.Length)
			src.ReadAt(p, x.Start)
			resident = string(p) == "hello"
		}
	}
	if !resident {
		t.Error("content in the MFT is not its file's")
	}
	none := 0
	for _, k := range owner {
		if k == 0 {
			none++
		}
	}
	if none > 0 {
		t.Errorf("%d of %d bytes are owned by none", none, len(owner))
	}
}

func TestFileNames(t *testing.T) {
	fs, err := Open(small(t))
	if err != nil {
		t.Fatal(err)
	}
	e := entries(t, fs)["/hello.txt"]
	names, err := fs.FileNames(e.Ref)
	if err != nil || len(names) != 2 || names[0].Name != "hello.txt" || names[1].Name != "hard.txt" || !names[0].Born.Set || names[1].Parent == names[0].Parent {
		t.Errorf("%+v, %v", names, err)
	}
	e.Ref.Generation++
	if _, err := fs.FileNames(e.Ref); !errors.Is(err, ErrReused) {
		t.Errorf("another generation: %v", err)
	}
	if _, err := fs.Open(e.Ref); !errors.Is(err, ErrReused) {
		t.Errorf("open another generation: %v", err)
	}
}

// change is a source with other bytes at some places.
func change(t *testing.T, src imaging.Source, places map[int64][]byte) imaging.Source {
	t.Helper()
	p := make([]byte, src.Size())
	if _, err := src.ReadAt(p, 0); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	for at, b := range places {
		if at < 0 {
			at += int64(len(p))
		}
		copy(p[at:], b)
	}
	return fstest.Bytes(p)
}

func TestCopiesAreUsed(t *testing.T) {
	src := small(t)
	fs, err := Open(src)
	if err != nil {
		t.Fatal(err)
	}
	count := len(entries(t, fs))
	zeros := make([]byte, 1024)
	for name, at := range map[string]int64{"boot sector": 0, "first record": int64(fs.boot.mft) * fs.boot.cluster} {
		fs, err := Open(change(t, src, map[int64][]byte{at: zeros[:512]}))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if s := fs.Info().State; len(s) == 0 || !strings.Contains(s[0], "copy") {
			t.Errorf("%s: state %q", name, s)
		}
		if n := len(entries(t, fs)); n < count {
			t.Errorf("%s: %d of %d entries", name, n, count)
		}
	}
	if _, err := Open(change(t, src, map[int64][]byte{0: zeros[:512], -512: zeros[:512]})); err == nil {
		t.Error("opened without any boot sector")
	}
}

// place is where the record of a path lies.
func placeOf(t *testing.T, fs *FS, path string) int64 {
	t.Helper()
	e, ok := entries(t, fs)[path]
	if !ok {
		t.Fatalf("no %s", path)
	}
	return fs.mftPlace(int64(e.Ref.Inode) * fs.boot.record)
}

func TestTornRecordIsRead(t *testing.T) {
	src := small(t)
	fs, err := Open(src)
	if err != nil {
		t.Fatal(err)
	}
	at := placeOf(t, fs, "/hello.txt")
	fs, err = Open(change(t, src, map[int64][]byte{at + 1022: {0xee, 0xee}}))
	if err != nil {
		t.Fatal(err)
	}
	e := entries(t, fs)["/hello.txt"]
	if !strings.HasPrefix(e.Damage, "csum: sector 2 of the record") || e.Size != 5 {
		t.Errorf("%+v", e)
	}
	fs, err = Open(change(t, src, map[int64][]byte{at: []byte("XXXX")}))
	if err != nil {
		t.Fatal(err)
	}
	all := entries(t, fs)
	if _, ok := all["/hello.txt"]; ok {
		t.Error("a record without signature has a name")
	}
	lost := all[recordName(e.Ref.Inode)]
	if lost.Status != filesystem.Orphan || lost.Damage == "" {
		t.Errorf("what the bitmap knows: %+v", lost)
	}
}

// TestLoop makes two directories each other's parent.
func TestLoop(t *testing.T) {
	src := small(t)
	fs, err := Open(src)
	if err != nil {
		t.Fatal(err)
	}
	all := entries(t, fs)
	dir, sub := all["/dir"], all["/dir/sub"]
	raw := make([]byte, fs.boot.record)
	at := placeOf(t, fs, "/dir")
	src.ReadAt(raw, at)
	for i := 0; i+16 < 500; i += 8 { // the parent in its name
		if le.Uint64(raw[i:]) == recRoot|5<<48 {
			le.PutUint64(raw[i:], sub.Ref.Inode|uint64(sub.Ref.Generation)<<48)
		}
	}
	fs, err = Open(change(t, src, map[int64][]byte{at: raw}))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for e, err := range fs.Walk(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Parent == dir.Ref.Inode || e.Parent == sub.Ref.Inode || e.Status == filesystem.Orphan {
			found++
			if e.Status == filesystem.Allocated || !strings.HasPrefix(e.Path, "/$Orphan/") && e.Status != filesystem.Deleted {
				t.Errorf("%v %q", e.Status, e.Path)
			}
		}
	}
	if found < 60 {
		t.Errorf("%d entries of the loop", found)
	}
}

func TestReallocatedIsTold(t *testing.T) {
	src := small(t)
	fs, err := Open(src)
	if err != nil {
		t.Fatal(err)
	}
	e := entries(t, fs)["/deleted.txt"]
	cluster := e.First / fs.boot.cluster
	at := fs.bitmap.runs[0].lcn*fs.boot.cluster + cluster/8
	fs, err = Open(change(t, src, map[int64][]byte{at: {0xff}}))
	if err != nil {
		t.Fatal(err)
	}
	e = entries(t, fs)["/deleted.txt"]
	if !strings.HasPrefix(e.Damage, "reallocated: ") {
		t.Errorf("damage %q", e.Damage)
	}
	c, err := fs.Open(e.Ref)
	if err != nil || !strings.HasPrefix(c.(*Content).Damage(), "reallocated: ") {
		t.Errorf("%v, %v", c, err)
	}
}

func TestTruncatedImage(t *testing.T) {
	src := small(t)
	fs, err := Open(src)
	if err != nil {
		t.Fatal(err)
	}
	var e filesystem.Entry
	for _, x := range entries(t, fs) {
		if x.Size > 20000 && x.Ref.Inode >= firstUser && x.First > e.First {
			e = x
		}
	}
	fs, err = Open(imaging.Section(src, 0, e.First+5000))
	if err != nil {
		t.Fatal(err)
	}
	cut := entries(t, fs)[e.Path]
	if !strings.Contains(cut.Damage, "truncated: ") || cut.Size != e.Size {
		t.Errorf("%+v, before %+v", cut, e)
	}
}

// TestStray takes the base record away from a part.
func TestStray(t *testing.T) {
	src := small(t)
	fs, err := Open(src)
	if err != nil {
		t.Fatal(err)
	}
	var part *record
	for n := range fs.records {
		if r, err := fs.record(n); err == nil && r.file && r.part() {
			part = r // the last one has content and no name
		}
	}
	if part == nil {
		t.Fatal("the image has no file of several records")
	}
	at := fs.mftPlace(int64(part.base) * fs.boot.record)
	fs, err = Open(change(t, src, map[int64][]byte{at: []byte("XXXX")}))
	if err != nil {
		t.Fatal(err)
	}
	all := entries(t, fs)
	if name := all["/$Orphan/spread"]; name.Status != filesystem.Orphan || name.Ref.Inode == part.base {
		t.Errorf("the part with the name: %+v", name)
	}
	e, ok := all[recordName(part.number)]
	if !ok || e.Status != filesystem.Orphan || !strings.Contains(e.Damage, fmt.Sprintf("part of record %d, which is gone", part.base)) {
		t.Errorf("%+v", e)
	}
	if c, err := fs.Open(e.Ref); err != nil || c.Size() != e.Size || e.Size == 0 {
		t.Errorf("%v, %v", c, err)
	}
}

// TestIndexSlack demands names that no record has any more: 60 files were
// deleted, their records used again, one was renamed.
func TestIndexSlack(t *testing.T) {
	fs, err := Open(small(t))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for e, err := range fs.Walk(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.From != slackFrom {
			continue
		}
		var n int
		if _, err := fmt.Sscanf(e.Path, "/slack/a name of some length, number %d", &n); err != nil || n > 119 || n%2 == 0 && n != 8 {
			t.Errorf("%q was never deleted", e.Path)
		}
		if want := int64(len(fmt.Sprint(n))); e.Size != want || e.Status != filesystem.Deleted || !e.Born.Set || e.Damage == "" {
			t.Errorf("%q: %+v", e.Path, e)
		}
		if c, err := fs.Open(e.Ref); n != 8 && err == nil {
			t.Errorf("%q: opened with %d bytes, which are of another file", e.Path, c.Size())
		}
		found++
	}
	t.Logf("%d of 61 names", found)
	if found < 12 {
		t.Errorf("%d names", found)
	}
}

func TestJournalInUse(t *testing.T) {
	src := small(t)
	fs, err := Open(src)
	if err != nil {
		t.Fatal(err)
	}
	at := entries(t, fs)["/$LogFile"].First
	page := func(lsn uint64, client, flags uint16) []byte {
		p := make([]byte, logPage)
		copy(p, "RSTR")
		le.PutUint32(p[16:], logPage)
		le.PutUint16(p[24:], 48)
		le.PutUint64(p[48:], lsn)
		le.PutUint16(p[60:], client)
		le.PutUint16(p[62:], flags)
		return p
	}
	for i, c := range []struct {
		one, two []byte
		open     bool
	}{
		{page(5, 0, 0), page(4, noClient, 2), true},
		{page(5, 0, 0), page(6, noClient, 0), false},
		{page(5, 0, 2), page(4, 0, 0), false},
	} {
		fs, err := Open(change(t, src, map[int64][]byte{at: c.one, at + logPage: c.two}))
		if err != nil {
			t.Fatal(err)
		}
		if open := strings.Contains(strings.Join(fs.Info().State, "\n"), "$LogFile"); open != c.open {
			t.Errorf("case %d: state %q", i, fs.Info().State)
		}
	}
}

// TestDiskIsNoVolume has a volume at the end of a disk: the copy of its boot
// sector is the disk's last sector.
func TestDiskIsNoVolume(t *testing.T) {
	src := small(t)
	p := make([]byte, 1<<20+src.Size())
	src.ReadAt(p[1<<20:], 0)
	if Probe(fstest.Bytes(p)) {
		t.Error("a disk is taken for its last volume")
	}
	if !Probe(src) || Probe(fstest.Bytes(nil)) || Probe(fstest.Bytes(p[:4096])) {
		t.Error("probe")
	}
}
