package lvm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"snapcase/imaging"
)

// checkMaps demands that every extent of the sources that Locate knows is what
// the volume reads there.
func checkMaps(t *testing.T, v *LV, pvs ...imaging.Source) (found int) {
	t.Helper()
	for pv, src := range pvs {
		for off := int64(0); off < src.Size(); off += 4096 {
			at, ok := v.Locate(pv, off)
			if !ok {
				continue
			}
			found++
			var a, b [4]byte
			src.ReadAt(a[:], off)
			if n, err := v.Source.ReadAt(b[:], at); n != 4 || err != nil && !errors.Is(err, io.EOF) || a != b {
				t.Errorf("%s: byte %d of source %d is not byte %d: %x, %x, %v", v.Name, off, pv, at, a, b, err)
			}
			placed(t, v, at)
		}
	}
	return found
}

// placed demands that a byte of the volume lies where Locate finds it again.
func placed(t *testing.T, v *LV, at int64) {
	t.Helper()
	pv, off, ok := v.Place(at)
	if back, found := v.Locate(pv, off); ok && (!found || back != at) {
		t.Errorf("%s: byte %d lies at byte %d of source %d, which is byte %d", v.Name, at, off, pv, back)
	}
}

func TestSegments(t *testing.T) {
	a, b := newDisk('A'), newDisk('B')
	text := vgText(7, "AB",
		logical("linear1", visible, striped(0, 2, "pv0", 3), striped(2, 1, "pv1", 0)),
		logical("stripes2", visible, striped(0, 4, "pv0", 6, "pv1", 4)))
	a.write(text)
	b.write(text)
	g := group(t, 0, a, b)
	if g.Name != "vg" || g.Seqno != 7 || g.Former || len(g.Notes) != 0 || g.ExtentSize != extent || g.Host != "vm" || g.Written.Sec != 1700000007 {
		t.Errorf("group %+v", g)
	}
	one, two := find(t, g.LVs, "linear1"), find(t, g.LVs, "stripes2")
	if one.Size != 3*extent || two.Size != 4*extent || !one.Visible || one.Damage+two.Damage != "" {
		t.Errorf("%+v, %+v", one, two)
	}
	const chunk = 8192
	for _, c := range []struct {
		v    *LV
		off  int64
		disk byte
		at   int64
	}{
		{one, 0, 'A', dataStart + 3*extent},
		{one, 2*extent - 4, 'A', dataStart + 5*extent - 4},
		{one, 2 * extent, 'B', dataStart},
		{two, 0, 'A', dataStart + 6*extent},
		{two, chunk, 'B', dataStart + 4*extent},
		{two, 2 * chunk, 'A', dataStart + 6*extent + chunk},
		{two, 3*chunk + 8, 'B', dataStart + 4*extent + chunk + 8},
		{two, 4*extent - 4, 'B', dataStart + 6*extent - 4},
	} {
		if disk, at := where(t, c.v, c.off); disk != c.disk || at != c.at {
			t.Errorf("%s at %d: disk %c byte %d, want %c %d", c.v.Name, c.off, disk, at, c.disk, c.at)
		}
	}
	if n := checkMaps(t, one, a, b) + checkMaps(t, two, a, b); n != 7*extent/4096 {
		t.Errorf("%d parts map back", n)
	}
	if _, ok := one.Locate(0, 0); ok {
		t.Error("the label is mapped to a volume")
	}
}

func TestMissingMember(t *testing.T) {
	a, b := newDisk('A'), newDisk('B')
	text := vgText(3, "AB",
		logical("linear1", visible, striped(0, 2, "pv0", 3), striped(2, 1, "pv1", 0)),
		logical("stripes2", visible, striped(0, 4, "pv0", 6, "pv1", 4)))
	a.write(text)
	b.write(text)
	g := group(t, 0, a)
	if g.PVs[1].Source != -1 || !strings.HasPrefix(g.PVs[1].Damage, "partial: ") {
		t.Errorf("member %+v", g.PVs[1])
	}
	one, two := find(t, g.LVs, "linear1"), find(t, g.LVs, "stripes2")
	if want := (Gap{Start: 2 * extent, Size: extent, Stripes: 1, What: "pv1 is not among the sources"}); len(one.Gaps) != 1 || one.Gaps[0] != want {
		t.Errorf("gaps %+v", one.Gaps)
	}
	if want := "partial: bytes 131072 to 196607 read as zeros: pv1 is not among the sources"; one.Damage != want {
		t.Errorf("damage %q", one.Damage)
	}
	if want := (Gap{Size: 4 * extent, Stripe: 1, Stripes: 2, StripeSize: 8192, What: "pv1 is not among the sources"}); len(two.Gaps) != 1 || two.Gaps[0] != want {
		t.Errorf("gaps %+v", two.Gaps)
	}
	for off, want := range map[int64]byte{0: 'A', 8192: 0, 16384: 'A', 24576: 0} {
		if disk, _ := where(t, two, off); disk != want {
			t.Errorf("stripes at %d: %c", off, disk)
		}
	}
	short := imaging.Section(a, 0, dataStart+4*extent+100)
	g = group(t, 0, short, b)
	one = find(t, g.LVs, "linear1")
	if want := (Gap{Start: extent + 100, Size: 3*extent - extent - 100, Stripes: 1, What: "pv0 ends before them"}); len(one.Gaps) != 1 || one.Gaps[0].Start != want.Start {
		t.Errorf("gaps %+v, want from %d", one.Gaps, want.Start)
	}
	if disk, _ := where(t, one, extent+96); disk != 'A' {
		t.Error("the last bytes of a cut member are lost")
	}
	if disk, _ := where(t, one, 2*extent); disk != 'B' {
		t.Error("what stands behind the gap is lost")
	}
}

func TestGapEndsWithItsSegment(t *testing.T) {
	a, b := newDisk('A'), newDisk('B')
	a.write(vgText(3, "AB", logical("x1", visible, striped(0, 1, "pv1", 0), striped(1, 1, "pv0", 0))))
	v := find(t, group(t, 0, a).LVs, "x1")
	if len(v.Gaps) != 1 || v.Gaps[0].Start != 0 || v.Gaps[0].Size != extent {
		t.Errorf("gaps %+v", v.Gaps)
	}
	_ = b
}

func TestHistory(t *testing.T) {
	a := newDisk('A')
	gone := logical("evil9", visible, striped(0, 3, "pv0", 2))
	kept := logical("root1", visible, striped(0, 2, "pv0", 0))
	a.write(vgText(1, "A"))
	a.write(vgText(2, "A", kept))
	a.write(vgText(3, "A", kept, gone))
	a.write(vgText(4, "A", kept))
	a.write(vgText(5, "A", kept, logical("new2", visible, striped(0, 1, "pv0", 3))))
	g := group(t, 0, a)
	if g.Seqno != 5 || len(g.History) != 4 || g.History[1].Seqno != 3 || !slices.Equal(g.History[1].LVs, []string{"root1", "evil9"}) || g.History[1].Command != "Write from lvcreate 3." {
		t.Errorf("seqno %d, history %+v", g.Seqno, g.History)
	}
	v := find(t, g.Gone, "evil9")
	if len(g.Gone) != 1 || v.Seqno != 3 || v.Size != 3*extent {
		t.Errorf("gone %+v", g.Gone)
	}
	if want := "reallocated: 65536 of its bytes lie where now is vg/new2"; v.Damage != want {
		t.Errorf("damage %q", v.Damage)
	}
	if disk, at := where(t, v, 0); disk != 'A' || at != dataStart+2*extent {
		t.Errorf("it begins at %d of %c", at, disk)
	}
	if checkMaps(t, v, a) != 3*extent/4096 {
		t.Error("it does not map back")
	}
	a.commit(0, 0, 0)
	g = group(t, 0, a)
	if !g.Former || g.Seqno != 5 || len(g.LVs) != 2 || len(g.Gone) != 1 || len(g.Notes) == 0 {
		t.Errorf("removed group: %+v", g)
	}
}

// TestWrap fills the buffer several times over: the text that counts crosses
// the end of the area in some of the rounds.
func TestWrap(t *testing.T) {
	a := newDisk('A')
	var volumes []string
	for i := range 5 {
		volumes = append(volumes, logical(fmt.Sprintf("v%d", i), visible, striped(0, 1, "pv0", i)))
	}
	wrapped := 0
	for i := 1; i < 200; i++ {
		before := a.next
		a.write(vgText(i, "A", volumes[:1+i%5]...))
		if a.next < before {
			wrapped++
		}
		g := group(t, 0, a)
		if g.Former || g.Seqno != uint64(i) || len(g.LVs) != 1+i%5 || len(g.Notes) != 0 {
			t.Fatalf("text %d: seqno %d, %d volumes, notes %q", i, g.Seqno, len(g.LVs), g.Notes)
		}
		for k, v := range g.History {
			if v.Whole && v.Seqno != uint64(i-1-k) {
				t.Fatalf("text %d: history %d is %d", i, k, v.Seqno)
			}
		}
	}
	if wrapped < 3 {
		t.Errorf("the buffer wrapped %d times", wrapped)
	}
}

func TestBadChecksum(t *testing.T) {
	a, b := newDisk('A'), newDisk('B')
	for i := 1; i < 4; i++ {
		text := vgText(i, "AB", logical("x1", visible, striped(0, i, "pv0", 0)))
		at := a.write(text)
		if i < 3 {
			b.write(text)
		} else {
			a.memory[areaStart+at+300] ^= 1
		}
	}
	g := group(t, 0, a, b)
	if g.Seqno != 2 || g.Former || !strings.Contains(strings.Join(g.Notes, "\n"), "does not match its checksum") {
		t.Errorf("seqno %d, notes %q", g.Seqno, g.Notes)
	}
	g = group(t, 0, a)
	if g.Seqno != 3 || g.Former || !strings.Contains(g.Notes[0], "no text of the group matches its checksum") {
		t.Errorf("seqno %d, notes %q", g.Seqno, g.Notes)
	}
}

func TestCopiesOfOneVolume(t *testing.T) {
	a, b := newDisk('A'), newDisk('B')
	text := vgText(1, "AB", logical("x1", visible, striped(0, 1, "pv0", 0), striped(1, 1, "pv1", 0)))
	a.write(text)
	b.write(text)
	later := &disk{memory: slices.Clone(a.memory), next: a.next}
	text = vgText(2, "AB", logical("x1", visible, striped(0, 2, "pv0", 0), striped(2, 1, "pv1", 0)))
	later.write(text)
	all, err := Scan([]imaging.Source{a, b, later})
	if err != nil || len(all) != 2 {
		t.Fatalf("%d groups, %v", len(all), err)
	}
	if all[0].Seqno != 1 || all[0].PVs[0].Source != 0 || all[0].PVs[1].Source != 1 || all[1].Seqno != 2 || all[1].PVs[0].Source != 2 || all[1].PVs[1].Source != -1 {
		t.Errorf("%+v", all)
	}
	if !strings.Contains(strings.Join(all[1].Notes, "\n"), "pv1 is not read from source 1") || len(all[1].LVs[0].Gaps) != 1 {
		t.Errorf("notes %q", all[1].Notes)
	}
	// In whatever order they come, those that belong together are together.
	laterB := &disk{memory: slices.Clone(b.memory), next: b.next}
	laterB.write(text)
	all, err = Scan([]imaging.Source{a, later, laterB, b})
	if err != nil || len(all) != 2 {
		t.Fatalf("%d groups, %v", len(all), err)
	}
	if all[0].PVs[0].Source != 0 || all[0].PVs[1].Source != 3 || all[1].PVs[0].Source != 1 || all[1].PVs[1].Source != 2 {
		t.Errorf("%+v", all)
	}
	// Of the same text they are told apart by their order.
	all, err = Scan([]imaging.Source{a, b, a, b})
	if err != nil || len(all) != 2 || all[0].PVs[0].Source != 0 || all[0].PVs[1].Source != 1 || all[1].PVs[0].Source != 2 || all[1].PVs[1].Source != 3 {
		t.Errorf("%v %+v", err, all)
	}
}

const mirrored = "start_extent = 0\nextent_count = 2\ntype = \"raid1\"\ndevice_count = 2\nregion_size = 1024\nraids = [\n\"m0\", \"i0\", \"m1\", \"i1\"\n]\n"

func raidGroup(seqno int) string {
	return vgText(seqno, "AB", logical("r1", visible, mirrored),
		logical("m0", `"READ"`, striped(0, 1, "pv0", 0)), logical("m1", `"READ"`, striped(0, 1, "pv1", 0)),
		logical("i0", `"READ"`, striped(0, 2, "pv0", 4)), logical("i1", `"READ"`, striped(0, 2, "pv1", 7)))
}

// record writes the state of a leg where its metadata volume lies.
func record(d *disk, events, failed, recovery uint64) {
	p := d.memory[dataStart:]
	copy(p, "DmRd")
	le.PutUint64(p[16:], events)
	le.PutUint64(p[24:], failed)
	le.PutUint64(p[32:], recovery)
	le.PutUint64(p[40:], math.MaxUint64)
}

func TestRaid1(t *testing.T) {
	const whole = math.MaxUint64
	for _, c := range []struct {
		name               string
		events0, events1   uint64
		failed             uint64
		recovery, recover1 uint64
		missing            bool
		disk               byte
		damage             string
	}{
		{"both", 5, 5, 0, whole, whole, false, 'A', ""},
		{"first failed", 5, 9, 1, whole, whole, false, 'B', ""},
		{"first behind", 5, 9, 0, whole, whole, false, 'B', ""},
		{"first rebuilt", 5, 5, 0, 100, whole, false, 'B', ""},
		{"second behind", 9, 5, 2, whole, whole, false, 'A', ""},
		{"first missing", 5, 5, 0, whole, whole, true, 'B', ""},
		{"only the stale one", 9, 5, 2, whole, 0, true, 'B', "not up to date"},
	} {
		a, b := newDisk('A'), newDisk('B')
		a.write(raidGroup(4))
		b.write(raidGroup(4))
		record(a, c.events0, c.failed, c.recovery)
		record(b, c.events1, c.failed, c.recover1)
		sources := []imaging.Source{a, b}
		if c.missing {
			sources[0] = memory(make([]byte, 100))
		}
		v := find(t, group(t, 0, sources...).LVs, "r1")
		if disk, _ := where(t, v, 8); disk != c.disk || !strings.Contains(v.Damage, c.damage) || c.damage == "" && v.Damage != "" {
			t.Errorf("%s: disk %c, damage %q", c.name, disk, v.Damage)
		}
		if at, ok := v.Locate(1, dataStart+8*extent); !ok || at != extent {
			t.Errorf("%s: the other leg maps to %d, %v", c.name, at, ok)
		}
	}
}

func TestMirrorReadsWholeLeg(t *testing.T) {
	a, b := newDisk('A'), newDisk('B')
	seg := "start_extent = 0\nextent_count = 2\ntype = \"mirror\"\nmirror_count = 2\nmirrors = [\n\"pv0\", 1,\n\"pv1\", 2\n]\n"
	b.write(vgText(2, "AB", logical("m1", visible, seg)))
	v := find(t, group(t, 0, a, b).LVs, "m1")
	if disk, at := where(t, v, 0); disk != 'A' || at != dataStart+extent {
		t.Errorf("%c %d", disk, at)
	}
	v = find(t, group(t, 0, b).LVs, "m1")
	if disk, at := where(t, v, 0); disk != 'B' || at != dataStart+2*extent || v.Damage != "" {
		t.Errorf("%c %d %q", disk, at, v.Damage)
	}
}

func TestNotRead(t *testing.T) {
	kind := func(name string) string {
		return "start_extent = 0\nextent_count = 2\ntype = \"" + name + "\"\nthin_pool = \"pool\"\norigin = \"root1\"\n"
	}
	a := newDisk('A')
	volumes := []string{
		logical("root1", visible, striped(0, 2, "pv0", 0)), logical("snap2", visible, striped(0, 1, "pv0", 2)),
		logical("snapshot0", `"READ"`, "start_extent = 0\nextent_count = 2\ntype = \"snapshot\"\nchunk_size = 8\norigin = \"root1\"\ncow_store = \"snap2\"\n"),
		logical("loopa", visible, striped(0, 1, "loopb", 0)), logical("loopb", visible, striped(0, 1, "loopa", 0)),
		logical("lost3", visible, striped(0, 1, "pv9", 0)),
	}
	for i, k := range []string{"thin-pool", "thin", "cache", "raid5_ls", "raid6", "raid10", "vdo", "writecache", "thin+CROP", "future"} {
		volumes = append(volumes, logical(fmt.Sprintf("k%c", 'A'+i), visible, kind(k)))
	}
	a.write(vgText(9, "A", volumes...))
	g := group(t, 0, a)
	for i := range g.LVs {
		v := &g.LVs[i]
		if v.Name == "root1" {
			if v.Source == nil {
				t.Errorf("the origin of a snapshot is not read: %s", v.Reason)
			}
			continue
		}
		if v.Source != nil || v.Reason == "" {
			t.Errorf("%s: reason %q", v.Name, v.Reason)
		}
		if _, ok := v.Locate(0, dataStart+2*extent); ok {
			t.Errorf("%s is mapped", v.Name)
		}
	}
	if v := find(t, g.LVs, "snap2"); !strings.Contains(v.Reason, "snapshot of root1") {
		t.Errorf("snapshot: %q", v.Reason)
	}
}

func TestOverlapIsTold(t *testing.T) {
	a := newDisk('A')
	a.write(vgText(2, "A", logical("x1", visible, striped(0, 3, "pv0", 0)), logical("y2", visible, striped(0, 2, "pv0", 2))))
	g := group(t, 0, a)
	for _, name := range []string{"x1", "y2"} {
		if v := find(t, g.LVs, name); !strings.HasPrefix(v.Damage, "overlap: ") {
			t.Errorf("%s: %q", name, v.Damage)
		}
	}
}

func TestReadAtKeepsTheContract(t *testing.T) {
	a := newDisk('A')
	a.write(vgText(2, "A", logical("x1", visible, striped(0, 2, "pv0", 0))))
	src := find(t, group(t, 0, a).LVs, "x1").Source
	p := make([]byte, 16)
	if n, err := src.ReadAt(p, src.Size()-5); n != 5 || !errors.Is(err, io.EOF) {
		t.Errorf("across the end: %d, %v", n, err)
	}
	if n, err := src.ReadAt(p, math.MaxInt64); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("behind the end: %d, %v", n, err)
	}
	if n, err := src.ReadAt(p, -1); n != 0 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("before the start: %d, %v", n, err)
	}
}

// broken fails behind its first bytes.
type broken struct {
	memory
	after int64
}

func (b broken) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > b.after {
		return 0, errors.New("bad sector")
	}
	return b.memory.ReadAt(p, off)
}

func TestFailureOfASource(t *testing.T) {
	a := newDisk('A')
	a.write(vgText(2, "A", logical("x1", visible, striped(0, 2, "pv0", 0))))
	if _, err := Scan([]imaging.Source{broken{a.memory, 2048}}); err == nil || !strings.Contains(err.Error(), "source 0: bad sector") {
		t.Errorf("scan: %v", err)
	}
	g := group(t, 0, broken{a.memory, dataStart + 100})
	src := find(t, g.LVs, "x1").Source
	if n, err := src.ReadAt(make([]byte, 200), 0); n != 0 || err == nil || !strings.Contains(err.Error(), "bad sector") {
		t.Errorf("read: %d, %v", n, err)
	}
}

// exercise scans and reads a little of all there is.
func exercise(t *testing.T, pvs ...imaging.Source) {
	all, err := Scan(pvs)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 5000)
	for i := range all {
		for _, v := range append(all[i].LVs, all[i].Gone...) {
			if v.Source == nil {
				continue
			}
			if v.Size < 0 || v.Source.Size() != v.Size {
				t.Errorf("%s: %d bytes, source %d", v.Name, v.Size, v.Source.Size())
			}
			for _, off := range []int64{0, v.Size / 2, v.Size - 100} {
				if off >= 0 && off < v.Size {
					if n, err := v.Source.ReadAt(p, off); n == 0 || err != nil && !errors.Is(err, io.EOF) {
						t.Errorf("%s at %d of %d: %d, %v", v.Name, off, v.Size, n, err)
					}
				}
			}
			for pv := range pvs {
				if at, ok := v.Locate(pv, dataStart+extent); ok && (at < 0 || at >= v.Size) {
					t.Errorf("%s: %d of %d", v.Name, at, v.Size)
				}
			}
		}
	}
}

func TestDamageIsSurvived(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	a, b := newDisk('A'), newDisk('B')
	a.write(vgText(1, "AB", logical("x1", visible, striped(0, 2, "pv0", 0))))
	a.write(raidGroup(2))
	b.write(raidGroup(2))
	record(a, 1, 0, math.MaxUint64)
	for i := range 300 {
		d := slices.Clone(a.memory)
		for range 1 + i%20 {
			at := r.IntN(areaStart + 8192)
			d[at] ^= 1 << r.IntN(8)
			if i%2 == 0 { // with a header that holds
				p := d[areaStart:]
				n := binary.LittleEndian.Uint64(p[48:])
				off := binary.LittleEndian.Uint64(p[40:])
				if off > 0 && off < areaSize && n > 0 && n < areaSize-off {
					le.PutUint32(p[56:], checksum(p[off:off+n]))
					le.PutUint32(p, checksum(p[4:sectorSize]))
				}
			}
		}
		exercise(t, d, b)
	}
	for n := 0; n < deviceLen; n += 7777 {
		exercise(t, imaging.Section(a, 0, int64(n)), b)
	}
}

func TestTooManyValues(t *testing.T) {
	text := "vg {\nid = \"" + id('G') + "\"\nseqno = 1\n" + strings.Repeat("a{}", 2000)
	root, count, err := parse([]byte(text), 1000)
	if err == nil || count != 1000 || decode(root) == nil {
		t.Errorf("%d values, %v", count, err)
	}
}
