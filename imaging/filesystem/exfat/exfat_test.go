package exfat

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fstest"
)

func all(t *testing.T, f *FS) []filesystem.Entry {
	t.Helper()
	var list []filesystem.Entry
	for e, err := range f.Walk(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

func read(t *testing.T, f *FS, ref filesystem.Ref) []byte {
	t.Helper()
	src, err := f.Open(ref)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(src, 0, src.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func opened(t *testing.T, b []byte) *FS {
	t.Helper()
	f, err := Open(fstest.Bytes(b))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func find(t *testing.T, f *FS, path string) filesystem.Entry {
	t.Helper()
	for _, e := range all(t, f) {
		if e.Path == path {
			return e
		}
	}
	t.Fatalf("%q: not found", path)
	return filesystem.Entry{}
}

// at is 2021-03-04 05:06:08 UTC.
const at = 1614834368

func TestConformance(t *testing.T) {
	m := small()
	fstest.Run(t, Open, fstest.Bytes(m.b), []fstest.Want{
		{Path: "/", Type: filesystem.TypeDir, Size: 512, Inode: 2},
		{Path: "/flat.bin", Type: filesystem.TypeFile, Size: 1000, Modified: imaging.Time{Sec: at - 3600, Nsec: 70e6, Set: true}, Born: imaging.Time{Sec: at - 3600 + 1, Nsec: 10e6, Set: true}},
		{Path: "/dir", Type: filesystem.TypeDir, Size: 1024},
		{Path: "/dir/Grüße aus der Ferne.txt", Accessed: imaging.Time{Sec: at, Set: true}},
		{Path: "/dir/crossing", Size: 5, SHA256: "b3986952b145da5f0e4bd416f3b948e9864b57895675886c1deb83c16a9beadc"},
		{Path: "/lost and gone", Size: 1500, Status: filesystem.Deleted},
	})
}

// TestContent holds what is read of the files of the small volume.
func TestContent(t *testing.T) {
	f := opened(t, small().b)
	if i := f.Info(); i.Label != "OK" || i.UUID != "DEAD-BEEF" || len(i.State) != 1 || !strings.HasPrefix(i.State[0], "4 of the 7 files") {
		t.Errorf("info: %+v", i)
	}
	flat := find(t, f, "/flat.bin")
	if b := read(t, f, flat.Ref); len(b) != 1000 || b[599] != 'a'+599%26 || bytes.ContainsFunc(b[600:], func(r rune) bool { return r != 0 }) {
		t.Errorf("flat.bin: %q", b)
	}
	e := find(t, f, "/lost and gone")
	want := make([]byte, 1500)
	copy(want, "first part of the deleted file")
	copy(want[512:], "second part")
	if b := read(t, f, e.Ref); !bytes.Equal(b, want) || e.Damage != "" || e.From != "dir" {
		t.Errorf("deleted: %q %+v", b, e)
	}
	checkCover(t, f)
}

// TestDamage changes one thing of the small volume and holds what is said.
func TestDamage(t *testing.T) {
	const flat, dir, lost = 2 * 32, 5 * 32, 8 * 32 // in the root directory
	for _, c := range []struct {
		name, path, damage string
		change             func(m *made)
	}{
		{"a set with another checksum", "/flat.bin", "csum: the checksum of its records is wrong", func(m *made) { m.cluster(3)[flat+9]++ }},
		{"clusters that are free", "/flat.bin", "range: 1 of its 2 clusters are free according to the bitmap", func(m *made) { m.b[madeHeap+1] &^= 2 }},
		{"clusters in use again", "/lost and gone", "reallocated: 1 of 3 clusters are in use again", func(m *made) { m.use(33, 1) }},
		{"a chain that the FAT has lost", "/lost and gone", "partial: behind its cluster number 1 the FAT has lost its chain: the clusters that follow are taken", func(m *made) { m.link(30, 0) }},
		{"a first record overwritten", "/lost and gone", "partial: the record of its times and attributes was overwritten", func(m *made) { m.cluster(3)[lost] = 0x21 }},
		{"a stream overwritten", "/lost and gone", "partial: only a piece of its name is left", func(m *made) { m.cluster(3)[lost+32] = 0x21 }},
		{"a stream without its name", "/#27", "partial: the record of its size and place was overwritten; partial: its name is lost", func(m *made) { m.cluster(3)[lost+32] = 0x21 }},
		{"a size beyond all", "/flat.bin", "range: its size is 72057594037928936, and all clusters together have 102400 bytes", func(m *made) { m.cluster(3)[flat+32+31] = 1 }},
		{"more written than there is", "/flat.bin", "range: 66136 of 1000 bytes were written", func(m *made) { m.cluster(3)[flat+32+10] = 1; resum(m.cluster(3)[flat:][:96]) }},
		{"a chain in a circle", "/dir", "loop: its chain comes back to cluster 20", func(m *made) { m.link(22, 20); m.cluster(3)[dir+32+25] = 40 }},
		{"a cluster of two files", "/dir/crossing", "overlap: cluster 10 belongs to another file too", func(m *made) { m.cluster(22)[20] = 10 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := small()
			c.change(m)
			if e := find(t, opened(t, m.b), c.path); !strings.Contains(e.Damage, c.damage) {
				t.Errorf("damage %q lacks %q", e.Damage, c.damage)
			}
		})
	}
}

// TestLost holds what is given of what no record leads to.
func TestLost(t *testing.T) {
	m := small()
	clear(m.cluster(3)[5*32 : 8*32]) // the set of /dir; what is behind it is behind the end mark
	m.use(50, 3)
	copy(m.cluster(60), gone(file{name: "in a stray block", first: 61, size: 7, valid: 7, flat: true}.records()))
	f := opened(t, m.b)
	for path, want := range map[string]string{
		"/$Orphan/#1125899906842644":                         "orphan lost-dir",
		"/$Orphan/#1125899906842644/Grüße aus der Ferne.txt": "orphan lost-dir",
		"/$Orphan/#1125899906842674":                         "orphan bitmap",
		"/$Orphan/#1125899906842684":                         "deleted stray-block",
		"/$Orphan/#1125899906842684/in a stray block":        "deleted stray-block",
		"/lost and gone":                                     "deleted dir-slack",
	} {
		e := find(t, f, path)
		if got := e.Status.String() + " " + e.From; got != want {
			t.Errorf("%q is %s, want %s", path, got, want)
		}
		if b := read(t, f, e.Ref); int64(len(b)) != e.Size {
			t.Errorf("%q: %d bytes of %d", path, len(b), e.Size)
		}
	}
}

// TestBoot holds when the backup is used.
func TestBoot(t *testing.T) {
	m := small()
	copy(m.b, make([]byte, 512))
	f := opened(t, m.b)
	if !Probe(fstest.Bytes(m.b)) || !strings.Contains(strings.Join(f.Info().State, "\n"), "the backup at byte 6144 is used") {
		t.Errorf("state %q", f.Info().State)
	}
	copy(m.b[3:], "NTFS    ")
	if Probe(fstest.Bytes(m.b)) {
		t.Error("a volume of another format counts as exFAT")
	}
	for _, b := range [][]byte{nil, m.b[:600], make([]byte, 1<<20)} {
		if Probe(fstest.Bytes(b)) {
			t.Error("found in nothing")
		}
		if _, err := Open(fstest.Bytes(b)); err == nil {
			t.Error("opened nothing")
		}
	}
}

// TestStamp holds the offsets from UTC.
func TestStamp(t *testing.T) {
	for zone, want := range map[byte]int64{0: at, 0x7f: at, 0x80: at, 0x84: at - 3600, 0xfc: at + 3600, 0xc0: at + 16*3600, 0xbf: at - 63*900} {
		if got, ok := stamp(when, 0, zone); !ok || got.Sec != want {
			t.Errorf("zone %02x: %v, want %d", zone, got, want)
		}
	}
	for _, v := range []uint32{1, 13<<21 | 1<<16, 2<<21 | 30<<16, when | 24<<11, when | 30} {
		if _, ok := stamp(v, 0, 0); ok {
			t.Errorf("%x is a time", v)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(small().b)
	m := small()
	m.link(22, 20)
	clear(m.b[:512])
	f.Add(m.b)
	m = small()
	clear(m.cluster(3)[5*32 : 8*32])
	f.Add(m.b)
	f.Fuzz(func(t *testing.T, b []byte) {
		fstest.Survive(t, Open, fstest.Bytes(b))
		Probe(fstest.Bytes(b))
	})
}
