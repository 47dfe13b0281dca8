package volume

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

type source struct{ *bytes.Reader }

func (s source) Size() int64 { return s.Reader.Size() }

func scan(t *testing.T, d *disk) Table {
	t.Helper()
	table, err := Scan(source{d.source()})
	if err != nil {
		t.Fatal(err)
	}
	check(t, table, int64(len(d.b)))
	return table
}

// check demands what holds of every table: volumes and regions lie in order,
// gaps and partitions and tables cover the image, and gaps overlap nothing.
func check(t *testing.T, table Table, size int64) {
	t.Helper()
	type run struct {
		start, end int64
		gap        bool
	}
	var runs []run
	seen := map[string]bool{}
	last := int64(-1)
	for _, v := range table.Volumes {
		if v.Start < last || v.Start < 0 || v.Size < 0 || v.Size > math.MaxInt64-v.Start {
			t.Errorf("volume %+v is out of order or range", v)
		}
		last = v.Start
		if seen[v.ID] {
			t.Errorf("volume %s twice", v.ID)
		}
		seen[v.ID] = true
		runs = append(runs, run{v.Start, v.Start + v.Size, v.Gap()})
	}
	for _, r := range table.Regions {
		if r.Start < 0 || r.Size <= 0 || r.Start+r.Size > size {
			t.Errorf("region %+v leaves the image of %d bytes", r, size)
		}
		runs = append(runs, run{r.Start, r.Start + r.Size, false})
	}
	slices.SortFunc(runs, func(a, b run) int { return int(min(max(a.start-b.start, -1), 1)) })
	at := int64(0)
	for _, r := range runs {
		if r.start > at && at < size {
			t.Errorf("bytes %d to %d belong to no volume", at, r.start)
		}
		if r.gap && r.start < at {
			t.Errorf("the gap from byte %d overlaps what ends at %d", r.start, at)
		}
		at = max(at, r.end)
	}
	if at < size {
		t.Errorf("bytes %d to %d belong to no volume", at, size)
	}
}

func short(table Table) []string {
	var s []string
	for _, v := range table.Volumes {
		s = append(s, fmt.Sprintf("%s %s %d+%d", v.ID, v.Type, v.Start, v.Size))
	}
	return s
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// says demands that one of the lines contains each text.
func says(t *testing.T, lines []string, texts ...string) {
	t.Helper()
	all := strings.Join(lines, "\n")
	for _, s := range texts {
		if !strings.Contains(all, s) {
			t.Errorf("nothing says %q:\n%s", s, all)
		}
	}
}

func TestGPT(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		t.Run(fmt.Sprint(sector), func(t *testing.T) {
			d := newDisk(4096, sector).gpt(part{codeEFI, 100, 199, "EFI System"}, part{codeLinux, 200, 4000, "wurzel ä"})
			table := scan(t, d)
			s := int64(sector)
			first, array := 2*s+16384, int64(16384)
			var want []string
			if sector > 512 { // the MBR ends before its sector does
				want = append(want, fmt.Sprintf("u1 unallocated 512+%d", sector-512))
			}
			want = append(want,
				fmt.Sprintf("u%d unallocated %d+%d", len(want)+1, first, 100*s-first),
				fmt.Sprintf("p1 efi %d+%d", 100*s, 100*s),
				fmt.Sprintf("p2 linux %d+%d", 200*s, 3801*s),
				fmt.Sprintf("u%d unallocated %d+%d", len(want)+2, 4001*s, 4095*s-array-4001*s))
			same(t, short(table), want...)
			if table.Scheme != SchemeGPT || table.SectorSize != s || len(table.State) != 0 || table.UUID != "01234567-89AB-CDEF-0123-456789ABCDEF" {
				t.Errorf("%+v", table)
			}
			if v := table.Volumes[len(table.Volumes)-2]; v.Label != "wurzel ä" || v.Code != codeLinux || v.UUID != "00000002-0000-0000-0000-0000000000aa" || v.Damage != "" {
				t.Errorf("%+v", v)
			}
		})
	}
}

// TestGPTCopies holds which copy is used and what is said of the other.
func TestGPTCopies(t *testing.T) {
	make := func() *disk {
		return newDisk(4096, 512).gpt(part{codeLinux, 100, 199, "a"}, part{codeLinux, 200, 299, "b"})
	}
	for _, c := range []struct {
		name   string
		change func(d *disk)
		says   []string
	}{
		{"primary wiped", func(d *disk) { clear(d.b[:34*512]) }, []string{"no protective MBR", "the primary GPT is gone: the backup at byte 2096640 is used"}},
		{"primary header changed", func(d *disk) { d.b[512+40]++ }, []string{"the primary GPT at byte 512 is bad: the checksum of its header does not match; the backup is used"}},
		{"primary entries changed", func(d *disk) { d.b[1024+32]++ }, []string{"the checksum of its entries does not match; the backup is used", "primary and backup GPT differ: entry 1 is sectors 101 to 199 and 100 to 199; the backup is used"}},
		{"backup wiped", func(d *disk) { clear(d.b[4095*512:]) }, []string{"no backup GPT was found"}},
		{"backup entries changed", func(d *disk) { d.b[4063*512+128+40]++ }, []string{"the backup GPT at byte 2096640 is bad: the checksum of its entries does not match; the primary is used", "entry 2 is sectors 200 to 299 and 200 to 300"}},
		{"bytes behind", func(d *disk) { d.b = append(d.b, 0, 1, 2); d.b = append(d.b, d.b[:1021]...) }, []string{"1024 bytes lie behind the backup GPT"}},
		{"cut", func(d *disk) { d.b = d.b[:2000*512] }, []string{"the backup GPT should lie at byte 2096640, past the end of the image"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := make()
			c.change(d)
			table := scan(t, d)
			says(t, table.State, c.says...)
			var parts []string
			for _, v := range table.Volumes {
				if !v.Gap() {
					parts = append(parts, fmt.Sprintf("%s %d+%d %s", v.ID, v.Start, v.Size, v.Damage))
				}
			}
			same(t, parts, "p1 51200+51200 ", "p2 102400+51200 ")
		})
	}
	d := make()
	d.copyAt(4095, 1, 4063, d.array([]part{{codeLinux, 100, 199, "a"}, {codeEFI, 300, 399, "hidden"}}))
	table := scan(t, d) // both sound, and not the same
	says(t, table.State, "primary and backup GPT differ: entry 2 is sectors 200 to 299 and 300 to 399; the primary is used")
}

func TestGPTEntries(t *testing.T) {
	d := newDisk(4096, 512).gpt(part{codeLinux, 100, 299, "a"}, part{codeLinux, 200, 399, "b"}, part{codeLinux, 500, 400, "backwards"},
		part{codeLinux, 4000, 9000, "far"}, part{codeLinux, 9000, 9100, "gone"}, part{codeLinux, 0, 1, "the tables"}, part{codeLinux, 600, math.MaxInt64, "endless"})
	table := scan(t, d)
	for id, want := range map[string]string{
		"p1": "overlap: it shares bytes with p2", "p2": "overlap: it shares bytes with p1", "p3": "range: it ends in sector 400 before it starts in 500",
		"p4": "truncated: its last 2511360 bytes lie past the end of the image; range: it leaves the usable sectors 34 to 4062",
		"p5": "truncated: it starts past the end of the image", "p6": "overlap: it covers the MBR", "p7": "which no image has",
	} {
		for _, v := range table.Volumes {
			if v.ID == id && !strings.Contains(v.Damage, want) {
				t.Errorf("%s: %q, want %q", id, v.Damage, want)
			}
		}
	}
	d = newDisk(4096, 512).gpt(part{codeLinux, 100, 199, ""}, part{"00000000-0000-0000-0000-000000000000", 200, 299, "removed"})
	says(t, scan(t, d).State, `entry 2 of the GPT is unused and not empty`, `sectors 200 to 299, name "removed"`)
}

func TestHybrid(t *testing.T) {
	d := newDisk(4096, 512).gpt(part{codeLinux, 100, 199, ""})
	d.entry(1, 0x83, 100, 100)
	table := scan(t, d)
	says(t, table.State, "hybrid MBR: beside the GPT it has entry 2 type 0x83 sector 100, 100 sectors")
	if table.Scheme != SchemeGPT {
		t.Errorf("scheme %s", table.Scheme)
	}
	d.entry(0, 0x83, 300, 50) // no longer protective
	table = scan(t, d)
	says(t, table.State, "a primary GPT lies at byte 512, and the MBR does not protect it: the MBR was followed")
	if table.Scheme != SchemeMBR {
		t.Errorf("scheme %s", table.Scheme)
	}
	d = newDisk(4096, 512)
	d.entry(0, 0xee, 1, 4095)
	table = scan(t, d)
	says(t, table.State, "the MBR protects a GPT, of which neither copy was found")
	same(t, short(table), "p0  0+2097152")
}

func TestMBR(t *testing.T) {
	d := newDisk(10000, 512)
	copy(d.b[440:], "\x78\x56\x34\x12")
	d.entry(0, 0x83, 100, 900)
	d.entry(1, 0x05, 2000, 3000)
	d.entry(3, 0x07, 6000, 5000)
	d.entryAt(2000, 0, 0x82, 10, 490)
	d.entryAt(2000, 1, 0x05, 1000, 2000)
	d.entryAt(3000, 0, 0x8e, 10, 5000)
	table := scan(t, d)
	same(t, short(table),
		"u1 unallocated 512+50688", "p1 linux 51200+460800", "u2 unallocated 512000+512000",
		"u3 unallocated 1024512+4608", "p5 swap 1029120+250880", "u4 unallocated 1280000+256000", "u5 unallocated 1536512+4608",
		"p6 lvm 1541120+2560000", "p4 ntfs 3072000+2560000")
	if table.UUID != "12345678" || table.Volumes[1].UUID != "12345678-01" || table.Volumes[1].Code != "0x83" {
		t.Errorf("%+v", table)
	}
	for i, want := range map[int]string{7: "range: it leaves its extended partition", 8: "truncated: its last 512000 bytes lie past the end"} {
		if v := table.Volumes[i]; !strings.Contains(v.Damage, want) {
			t.Errorf("%s: %q, want %q", v.ID, v.Damage, want)
		}
	}
}

// TestChain holds the ways in which a chain of logical partitions ends badly.
func TestChain(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(d *disk)
		says   string
		parts  int
		at     int64 // of the break
	}{
		{"sound", func(*disk) {}, "", 2, -1},
		{"loop", func(d *disk) { d.entryAt(3000, 1, 0x05, 1000, 100) }, "loop: its chain comes back to sector 3000", 2, 3000 * 512},
		{"back to the start", func(d *disk) { d.entryAt(3000, 1, 0x0f, 0, 100) }, "loop: its chain comes back to sector 2000", 2, 3000 * 512},
		{"out of the image", func(d *disk) { d.entryAt(3000, 1, 0x05, 100000, 100) }, "breaks at byte 52224000: it lies past the end of the image", 2, 52224000},
		{"no record", func(d *disk) { d.b[3000*512+511] = 0 }, "breaks at byte 1536000: no boot record stands there", 1, 3000 * 512},
		{"cut", func(d *disk) { d.b = d.b[:2500*512] }, "its last 1280000 bytes lie past the end of the image", 1, 2500 * 512},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDisk(10000, 512)
			d.entry(0, 0x05, 2000, 3000)
			d.entryAt(2000, 0, 0x83, 10, 490)
			d.entryAt(2000, 1, 0x05, 1000, 2000)
			d.entryAt(3000, 0, 0x83, 10, 490)
			c.change(d)
			table := scan(t, d)
			says(t, table.State, c.says)
			parts := 0
			for _, v := range table.Volumes {
				if !v.Gap() {
					parts++
				}
			}
			if at := breakAt(table); at != c.at {
				t.Errorf("breaks %+v, want one at %d", table.Breaks, c.at)
			}
			if parts != c.parts || c.says == "" && len(table.State) > 0 {
				t.Errorf("%d partitions, want %d; %q", parts, c.parts, table.State)
			}
		})
	}
	d := newDisk(200000, 512) // more links than anybody has
	d.entry(0, 0x05, 10, 199000)
	for i := 10; i < 199000; i += 100 {
		d.entryAt(i, 0, 0x83, 1, 50)
		d.entryAt(i, 1, 0x05, i+90, 100)
	}
	table := scan(t, d)
	says(t, table.State, "or has more than 1024 links")
	if at := breakAt(table); at != (10+1023*100)*512 {
		t.Errorf("breaks %+v", table.Breaks)
	}
}

// breakAt is where the first break of a table lies; -1 for none.
func breakAt(t Table) int64 {
	if len(t.Breaks) == 0 {
		return -1
	}
	return t.Breaks[0].Offset
}

// TestNone holds what is no partition table.
func TestNone(t *testing.T) {
	boot := newDisk(100, 512) // the boot sector of FAT, with text where entries are
	copy(boot.b, "\xeb\x3c\x90MSWIN4.1\x00\x02\x01\x01\x00\x02\xe0\x00\x40\x0b\xf0\x09\x00")
	copy(boot.b[446:], "Non-System disk or disk error, replace and strike any key when ready")
	boot.b[510], boot.b[511] = 0x55, 0xaa
	same(t, short(scan(t, boot)), "p0  0+51200")
	same(t, short(scan(t, newDisk(100, 512))), "p0  0+51200")
	same(t, short(scan(t, newDisk(0, 512))), "p0  0+0")
	same(t, short(scan(t, &disk{[]byte("short"), 512})), "p0  0+5")
	sun := newDisk(100, 512)
	sun.b[508], sun.b[509], sun.b[510], sun.b[511] = 0xda, 0xbe, 0xda, 0xbe
	says(t, scan(t, sun).State, "a Sun partition table was found: it is not read yet")
}

// counted is a source that knows its sector size.
type counted struct {
	source
	sector int64
}

func (c counted) SectorSize() int64 { return c.sector }

func TestSectorSize(t *testing.T) {
	d := newDisk(1000, 4096)
	d.entry(0, 0x83, 10, 100)
	table, err := Scan(counted{source{d.source()}, 4096})
	if err != nil {
		t.Fatal(err)
	}
	same(t, short(table), "u1 unallocated 512+40448", "p1 linux 40960+409600", "u2 unallocated 450560+3645440")
	if table, _ = ScanSector(source{d.source()}, 777); table.SectorSize != 512 {
		t.Errorf("sector size %d", table.SectorSize)
	}
}

type failing struct{ source }

func (failing) ReadAt([]byte, int64) (int, error) { return 0, errors.New("input/output error") }

func TestFailingSource(t *testing.T) {
	if _, err := Scan(failing{source{newDisk(100, 512).source()}}); err == nil {
		t.Error("no error")
	}
}

func TestSource(t *testing.T) {
	d := newDisk(100, 512)
	v := Volume{Start: 99 * 512, Size: 5120}
	if s := v.Source(source{d.source()}); s.Size() != 512 {
		t.Errorf("%d bytes", s.Size())
	}
}

func FuzzScan(f *testing.F) {
	f.Add(newDisk(100, 512).gpt(part{codeLinux, 40, 60, "a"}, part{codeEFI, 50, 90, "b"}).b, int64(512))
	f.Add(newDisk(40, 4096).gpt(part{codeLinux, 10, 20, "a"}).b, int64(0))
	m := newDisk(200, 512)
	m.entry(0, 0x05, 10, 100)
	m.entry(1, 0x83, 150, 100)
	m.entryAt(10, 0, 0x83, 1, 5)
	m.entryAt(10, 1, 0x05, 20, 50)
	m.entryAt(30, 1, 0x05, 0, 50)
	f.Add(m.b, int64(512))
	f.Fuzz(func(t *testing.T, b []byte, sector int64) {
		table, err := ScanSector(source{bytes.NewReader(b)}, sector)
		if err != nil {
			t.Fatal(err)
		}
		check(t, table, int64(len(b)))
	})
}
