package split_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"snapcase/imaging/image/container"
	"snapcase/imaging/image/container/containertest"
	"snapcase/imaging/image/split"
)

func TestFind(t *testing.T) {
	for _, c := range []struct {
		name, others string
		want         string // numbers, those of missing pieces in brackets
		doubt        bool
	}{
		{"d.001", "d.002 d.003 d.txt e.004 d.04", "1 2 3", false},
		{"d.000", "d.001 d.003", "0 1 [2] 3", false},
		{"d.002", "d.003 d.004", "[1] 2 3 4", false},
		{"d.1", "d.2 d.10 d.3 d.4 d.5 d.6 d.7 d.8", "1 2 3 4 5 6 7 8 [9] 10", false},
		{"d.aa", "d.ab d.ad d.aaa", "0 1 [2] 3", false},
		{"d.raw.00", "d.raw.01", "0 1", false},
		{"d.vmdk", "d.qcow", "", false},
		{"d.raw", "d.img", "", false},
		{"r.2024", "r.2025", "", false},
		{"d.5", "d.80", "", true},
		{"d.001", "", "", false},
		{"d", "e", "", false},
		{".001", ".002", "", false},
	} {
		pieces, reason, doubt := split.Find(append(strings.Fields(c.others), c.name), c.name)
		var got []string
		for _, p := range pieces {
			if p.Name == "" {
				got = append(got, fmt.Sprintf("[%d]", p.Number))
			} else {
				got = append(got, fmt.Sprint(p.Number))
			}
		}
		if strings.Join(got, " ") != c.want || doubt != c.doubt || (reason == "") != (c.want != "") {
			t.Errorf("%s with %s: %v, %q, %v", c.name, c.others, got, reason, doubt)
		}
	}
}

// pieces cuts b into files of n bytes; the lengths of some are changed, and -1
// leaves one out.
func pieces(b []byte, n int, change map[int]int) []split.Piece {
	var all []split.Piece
	for i := 0; i*n < len(b); i++ {
		p := split.Piece{Number: i + 1, Name: fmt.Sprintf("d.%03d", i+1)}
		part := b[i*n : min((i+1)*n, len(b))]
		if to, ok := change[i]; ok && to >= 0 {
			part = part[:to]
		} else if ok {
			p.Name = ""
		}
		if p.Name != "" {
			p.Source = bytes.NewReader(part)
		}
		all = append(all, p)
	}
	return all
}

func TestOpen(t *testing.T) {
	disk := containertest.Disk(100_000)
	for _, c := range []struct {
		change map[int]int
		lost   int64
	}{
		{nil, 0},
		{map[int]int{2: -1}, 10_000},
		{map[int]int{0: -1}, 10_000},
		{map[int]int{2: -1, 3: -1, 4: 1}, 29_999},
		{map[int]int{0: 0, 8: 9_999}, 10_001},
	} {
		img, err := split.Open(pieces(disk, 10_000, c.change))
		if err != nil {
			t.Fatal(err)
		}
		if lost, right := containertest.Damaged(t, img, disk); !right || lost != c.lost {
			t.Errorf("%v: right %v, gaps %v", c.change, right, img.Gaps())
		}
	}
	img, err := split.Open(pieces(disk, 10_000, nil))
	if err != nil {
		t.Fatal(err)
	}
	containertest.Same(t, img, disk)
}

// Two whole disks with numbers for names look like pieces; it is said.
func TestDisksOfTheirOwn(t *testing.T) {
	disk := make([]byte, 4096)
	for _, at := range []int{0, 2048} {
		disk[at+450], disk[at+458], disk[at+510], disk[at+511] = 0x83, 1, 0x55, 0xaa
	}
	img, err := split.Open(pieces(disk, 2048, nil))
	if err != nil || len(img.Damage) != 1 || !strings.Contains(img.Damage[0], "d.002 begins with a partition table") {
		t.Errorf("%v, %q", err, img.Damage)
	}
	if img, err = split.Open(pieces(disk, 1024, nil)); err != nil || len(img.Damage) != 1 {
		t.Errorf("%v, %q", err, img.Damage)
	}
	disk[2048+446] = 1 // the code of a boot sector, not a table
	if img, err = split.Open(pieces(disk, 2048, nil)); err != nil || len(img.Damage) != 0 {
		t.Errorf("%v, %q", err, img.Damage)
	}
}

// Sizes that no cut makes are refused.
func TestSizes(t *testing.T) {
	sizes := func(n ...int) []split.Piece {
		var all []split.Piece
		for i, n := range n {
			all = append(all, split.Piece{Number: i, Name: fmt.Sprint(i), Source: bytes.NewReader(make([]byte, n))})
		}
		return all
	}
	for _, bad := range [][]split.Piece{sizes(10, 10, 11), sizes(10, 12, 10, 10, 3), sizes(0, 0)} {
		if img, err := split.Open(bad); err == nil {
			t.Errorf("opened with %d bytes", img.Size())
		}
	}
	if img, err := split.Open(sizes(5, 8)); err != nil || img.Size() != 16 || img.Gaps()[0] != (container.Range{Offset: 5, Length: 3, Reason: "piece 0 ends after 5 of 8 bytes"}) {
		t.Errorf("%v, %v", img, err)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add("d.001", "d.002", "d.003", []byte("abcdefghij"), 4)
	f.Add("d.aa", "d.ac", "d.zzzz", []byte("abcdefghij"), 1)
	f.Add("d.00000001", "d.99999999", "d.00000003", []byte{}, 0)
	f.Fuzz(func(t *testing.T, a, b, c string, data []byte, cut int) {
		cut = max(min(cut, len(data)), 0)
		files := containertest.Folder{a: data[:cut], b: data[cut:], c: data}
		names, _ := files.Names()
		all, reason, _ := split.Find(names, a)
		if reason != "" {
			return
		}
		for i, p := range all {
			if p.Name != "" {
				all[i].Source, _ = files.File(p.Name)
			}
		}
		img, err := split.Open(all)
		containertest.Exercise(t, img, err)
	})
}
