package fat

import (
	"context"
	"errors"
	"strings"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fstest"
)

func at(s string) imaging.Time {
	var t imaging.Time
	if err := t.UnmarshalJSON([]byte(`"` + s + `"`)); err != nil {
		panic(err)
	}
	return t
}

// TestConformance runs the suite over small images made in code.
func TestConformance(t *testing.T) {
	for name, kind := range map[string]int{"fat12": 12, "fat32": 32} {
		t.Run(name, func(t *testing.T) {
			fstest.Run(t, Open, fstest.Bytes(small(kind).b), []fstest.Want{
				{
					Path: "/A long name that needs three.txt", Type: filesystem.TypeFile, Size: 1200, Mode: 0o100777,
					SHA256:   sum([]byte(strings.Repeat("a", 512) + strings.Repeat("b", 512) + strings.Repeat("c", 176))),
					Modified: at("2023-05-07T13:14:30Z"), Born: at("2023-05-06T12:00:00Z"), Accessed: at("2023-05-08T00:00:00Z"),
				},
				{Path: "/SHORT.TXT", Type: filesystem.TypeFile, Size: 5, Mode: 0o100555, SHA256: sum([]byte("short"))},
				{Path: "/DIR/inner 日本 😀", Size: 4, SHA256: sum([]byte("deep"))},
				{Path: "/was here.txt", Size: 700, Status: filesystem.Deleted, SHA256: sum([]byte(strings.Repeat("d", 512) + strings.Repeat("e", 188)))},
				{Path: "/_ONE.TXT", Size: 3, Status: filesystem.Deleted, SHA256: sum([]byte("gon"))},
			})
		})
	}
}

// opened opens an image that was made and gives its entries by status and path.
func opened(t *testing.T, m *made) (*FS, map[string]filesystem.Entry) {
	t.Helper()
	f, err := Open(fstest.Bytes(m.b))
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]filesystem.Entry{}
	for _, e := range all(t, f) {
		key := e.Status.String() + " " + e.Path
		if _, again := list[key]; again {
			t.Errorf("%q is given twice", key)
		}
		list[key] = e
	}
	return f, list
}

// TestDamage holds what is said of chains and records that are not right.
func TestDamage(t *testing.T) {
	for _, c := range []struct {
		name, path, damage string
		change             func(m *made)
	}{
		{"loop", "allocated /A long name that needs three.txt", "loop: its chain comes back to cluster 10", func(m *made) { m.chain(10, 12, 11); m.link(11, 10) }},
		{"cross link", "allocated /SHORT.TXT", "overlap: cluster 12 belongs to another chain too", func(m *made) { m.link(13, 12) }},
		{"free link", "allocated /A long name that needs three.txt", "range: its chain leads to cluster 12, which is free", func(m *made) { m.link(12, 0) }},
		{"first free", "allocated /SHORT.TXT", "range: its first cluster 13 is free", func(m *made) { m.link(13, 0) }},
		{"bad link", "allocated /A long name that needs three.txt", "range: behind cluster 10 its chain leads to cluster 2000, which does not exist", func(m *made) { m.link(10, 2000) }},
		{"bad mark", "allocated /A long name that needs three.txt", "range: its chain leads to cluster 12, which is marked bad", func(m *made) { m.link(12, 0x0ffffff7) }},
		{"too short", "allocated /A long name that needs three.txt", "truncated: its chain has 2 clusters, its size needs 3", func(m *made) { m.chain(10, 12) }},
		{"too long", "allocated /SHORT.TXT", "range: its chain has 3 clusters, its size needs 1", func(m *made) { m.chain(13, 14, 15) }},
		{"no cluster", "allocated /SHORT.TXT", "range: it has no first cluster", func(m *made) { le.PutUint16(m.root()[5*32+26:], 0) }},
		{"reallocated", "deleted /_ONE.TXT", "reallocated: its first cluster 22 is in use", func(m *made) { m.chain(22) }},
		{"partial", "deleted /was here.txt", "partial: 512 of 700 bytes: cluster 21 is in use", func(m *made) { m.chain(21) }},
		{"directory in itself", "allocated /DIR/SELF", "overlap: cluster 30 belongs to another chain too", func(m *made) { copy(m.cluster(30)[64:], record("SELF       ", attrDir, 30, 0)) }},
		{"hidden in a label", "allocated /DIR/LABEL", "range: it is marked as a label", func(m *made) { copy(m.cluster(30)[64:], record("LABEL      ", attrVolume, 31, 4)) }},
		{"hidden as dot", "allocated /DIR/.", "range: the name is \".\"", func(m *made) { copy(m.cluster(30)[64:], record(".          ", attrDir, 31, 0)) }},
		{"slash", "allocated /DIR/a/b", "range: the name contains a slash", func(m *made) { copy(m.cluster(30)[64:], long("a/b", record("A_B        ", 0, 31, 4))) }},
		{"wrong checksum", "allocated /INNER~2", "csum: the long name before it does not belong to it", func(m *made) {
			r := long("inner", record("INNER~1    ", 0, 31, 4))
			copy(r[32:], "INNER~2")
			copy(m.root()[10*32:], r)
		}},
		{"time", "allocated /SHORT.TXT", "range: a time makes no sense", func(m *made) { le.PutUint16(m.root()[5*32+24:], 0xffff) }},
		{"behind the end", "deleted /DIR/AFTER", "range: it stands behind the end mark", func(m *made) { copy(m.cluster(30)[256:], record("AFTER      ", 0, 40, 4)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := small(32)
			if _, list := opened(t, m); list["allocated /A long name that needs three.txt"].Damage != "" {
				t.Fatal("the image has damage before the change")
			}
			c.change(m)
			_, list := opened(t, m)
			e, ok := list[c.path]
			if !ok {
				t.Fatalf("%q is not there: %v", c.path, keys(list))
			}
			if !strings.Contains(e.Damage, c.damage) {
				t.Errorf("damage is %q, want %q", e.Damage, c.damage)
			}
			fstest.Survive(t, Open, fstest.Bytes(m.b))
		})
	}
}

func keys(list map[string]filesystem.Entry) (k []string) {
	for s := range list {
		k = append(k, s)
	}
	return k
}

// TestReused demands that the bytes of another file are not given as those of
// a deleted one.
func TestReused(t *testing.T) {
	m := small(12)
	m.chain(22)
	f, list := opened(t, m)
	if _, err := f.Open(list["deleted /_ONE.TXT"].Ref); !errors.Is(err, ErrReused) {
		t.Errorf("open: %v, want ErrReused", err)
	}
	m.chain(21)
	f, list = opened(t, m)
	if got := read(t, f, list["deleted /was here.txt"].Ref); string(got) != strings.Repeat("d", 512) {
		t.Errorf("%d bytes of a file whose second cluster is in use", len(got))
	}
}

// TestLoopContent demands that content with a chain in a circle ends, with the
// clusters once and then zeros.
func TestLoopContent(t *testing.T) {
	m := small(32)
	m.link(11, 12)
	le.PutUint32(m.root()[4*32+28:], 5000)
	f, list := opened(t, m)
	src, err := f.Open(list["allocated /A long name that needs three.txt"].Ref)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 5000)
	if n, err := src.ReadAt(p, 0); n != 5000 || err != nil {
		t.Fatal(n, err)
	}
	want := strings.Repeat("a", 512) + strings.Repeat("b", 512) + strings.Repeat("c", 176) + strings.Repeat("\x00", 5000-1200)
	if string(p) != want {
		t.Error("the content is not each cluster once and then zeros")
	}
	if d := src.(*Content).Damage(); !strings.HasPrefix(d, "loop:") {
		t.Errorf("damage %q", d)
	}
}

// TestLost demands that chains and directories without a record are given.
func TestLost(t *testing.T) {
	m := small(32)
	m.chain(50, 52) // a file
	copy(m.cluster(50), "lost")
	m.chain(60) // a directory with a file
	copy(m.cluster(60), join2(dots(60, 77), record("CHILD      ", 0, 61, 4)))
	m.chain(61)
	copy(m.cluster(61), "baby")
	m.chain(70, 71)
	m.link(71, 70) // a circle
	copy(m.cluster(80), join2(dots(80, 0), record("OLD        ", 0, 81, 3)))
	copy(m.cluster(81), "old")
	f, list := opened(t, m)
	for path, want := range map[string]string{
		"orphan /$Orphan/#1099511627826":              "lost",
		"orphan /$Orphan/#1099511627836/CHILD":        "baby",
		"orphan /$Orphan/#1099511627846":              "",
		"deleted /$Orphan/#1099511627856/OLD":         "old",
		"allocated /A long name that needs three.txt": strings.Repeat("a", 512),
	} {
		e, ok := list[path]
		if !ok {
			t.Errorf("%q is not there: %q", path, keys(list))
			continue
		}
		if got := read(t, f, e.Ref); !strings.HasPrefix(string(got), want) {
			t.Errorf("%q: %q", path, got)
		}
	}
	if e := list["orphan /$Orphan/#1099511627846"]; e.Size != 1024 || !strings.Contains(e.Damage, "loop:") {
		t.Errorf("circle: %+v", e)
	}
	checkCover(t, f)
}

// TestShared demands that each of two files claims the clusters they share.
func TestShared(t *testing.T) {
	m := small(32)
	m.link(13, 12)                          // SHORT.TXT goes on in the long file
	le.PutUint32(m.root()[5*32+28:], 3*512) // and says that it is as long
	f, list := opened(t, m)
	claims := map[uint64]int{}
	for x, err := range f.Extents(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if at := f.g.offset(11); x.Start <= at && at < x.Start+x.Length {
			claims[x.Ref.Inode]++
		}
	}
	a, b := list["allocated /A long name that needs three.txt"].Ref.Inode, list["allocated /SHORT.TXT"].Ref.Inode
	if len(claims) != 2 || claims[a] != 1 || claims[b] != 1 {
		t.Errorf("cluster 11 is claimed by %v, want %d and %d", claims, a, b)
	}
}

// TestHidden demands that a directory whose clusters a file claims too is
// still read.
func TestHidden(t *testing.T) {
	m := small(32)
	copy(m.root()[5*32+26:], "\x1e\x00") // SHORT.TXT at cluster 30
	_, list := opened(t, m)
	if _, ok := list["allocated /DIR/inner 日本 😀"]; !ok {
		t.Errorf("the directory is hidden: %q", keys(list))
	}
}

// TestBackup demands that the backup boot sector is used and said so, and that
// Probe knows whose volume it is.
func TestBackup(t *testing.T) {
	m := small(32)
	clear(m.b[:512])
	src := fstest.Bytes(m.b)
	if !Probe(src) {
		t.Error("probe: no")
	}
	f, err := Open(src)
	if err != nil {
		t.Fatal(err)
	}
	if s := strings.Join(f.Info().State, "\n"); !strings.Contains(s, "the backup at byte 3072 is used") {
		t.Errorf("state: %s", s)
	}
	copy(m.b, "XFSB")
	if Probe(src) {
		t.Error("probe of a volume that XFS took over: yes")
	}
	if Probe(fstest.Bytes(make([]byte, 4096))) || Probe(fstest.Bytes(nil)) {
		t.Error("probe of nothing: yes")
	}
}

// TestState holds what is said of the volume as a whole.
func TestState(t *testing.T) {
	m := small(32)
	m.link(100, 0x0ffffff7)
	m.b[m.fat+m.size+40] ^= 1
	m.b[65] = 1
	copy(m.root()[32*10:], deletedRecords(record("OLDLABEL   ", attrVolume, 0, 0)))
	f, err := Open(imaging.Section(fstest.Bytes(m.b), 0, int64(len(m.b)-512)))
	if err != nil {
		t.Fatal(err)
	}
	i := f.Info()
	if i.Label != "MADE" || i.UUID != "1122-3344" || i.Type != "vfat" {
		t.Errorf("%+v", i)
	}
	s := strings.Join(i.State, "\n")
	for _, want := range []string{
		"1 clusters are marked bad", "copies 1 and 2 of the FAT differ in 1 bytes", "not unmounted cleanly", `"_LDLABEL"`,
		"the image is cut", `the label in the boot sector is another one: "BOOTLABEL"`, "times are local times",
	} {
		if !strings.Contains(s, want) {
			t.Errorf("state lacks %q:\n%s", want, s)
		}
	}
}

// TestNames holds how names become text.
func TestNames(t *testing.T) {
	r := raw(record("FILE    TXT", 0, 0, 0))
	if got := encode([]uint16{'a', 0xd83d, 0xde00, 0xd83d, 'b', 0xde00}); got != "a😀\xed\xa0\xbdb\xed\xb8\x80" {
		t.Errorf("surrogates: %q", got)
	}
	r[12] = 0x18
	if got := r.short(r[0]); got != "file.txt" {
		t.Errorf("lower case: %q", got)
	}
	r[0] = 0x05
	if got := r.short(r[0]); got != "\xe5ile.txt" {
		t.Errorf("a name that begins with E5: %q", got)
	}
	for _, first := range []byte("AZ09_~\x05") {
		r[0] = first
		if got := r.firstByte(r.sum(first)); got != first {
			t.Errorf("the checksum gives %q back, not %q", got, first)
		}
	}
	// Two deleted names, one behind the other: each takes its own parts.
	a := deletedRecords(long("first long name.txt", record("FIRSTL~1TXT", 0, 0, 0)))
	b := deletedRecords(long("second long name.txt", record("SECOND~1TXT", 0, 0, 0)))
	m := newMade(12)
	copy(m.root(), join2(a[:len(a)-32], b)) // the first record itself is overwritten
	_, list := opened(t, m)
	if _, ok := list["deleted /second long name.txt"]; !ok || len(list) != 2 {
		t.Errorf("%q", keys(list))
	}
}

// TestCancel demands that a long walk looks at its context.
func TestCancel(t *testing.T) {
	f, err := Open(fstest.Bytes(small(32).b))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, err := range f.Extents(ctx) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("extents of a cancelled context: %v", err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, kind := range []int{12, 32} {
		f.Add(small(kind).b)
		m := small(kind)
		m.link(11, 10)
		m.link(13, 12)
		clear(m.b[:13])
		f.Add(m.b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fstest.Survive(t, Open, fstest.Bytes(b))
		Probe(fstest.Bytes(b))
	})
}

func FuzzRecord(f *testing.F) {
	f.Add(long("a name.txt", record("ANAME~1 TXT", 0, 7, 100)))
	f.Add(deletedRecords(long(strings.Repeat("x", 255), record("XXXXXX~1   ", attrDir, 7, 100))))
	g := &geometry{kind: 32, clusters: 1000}
	f.Fuzz(func(t *testing.T, b []byte) {
		var parts []raw
		for len(b) >= 32 {
			r := raw(b[:32])
			b = b[32:]
			if r.long() {
				parts = append(parts, r)
				continue
			}
			if name, ok := longName(parts, r); ok && len(name) > maxParts*partUnits*3 {
				t.Errorf("a name of %d bytes", len(name))
			}
			lostName(parts, r)
			r.plausible(g)
			var e filesystem.Entry
			r.times(&e)
			parts = nil
		}
	})
}
