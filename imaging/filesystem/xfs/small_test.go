package xfs

import (
	"strings"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fstest"
)

// TestSmall runs the suite of the readers on the image of testdata/small.sh.
func TestSmall(t *testing.T) {
	old := imaging.Time{Sec: -315521755, Nsec: 678901234, Set: true}
	late := imaging.Time{Sec: 2209086245, Nsec: 678901234, Set: true}
	fstest.Run(t, Open, fstest.File(t, "testdata/small.img.gz"), []fstest.Want{
		{Path: "/short/file1", Type: filesystem.TypeFile, Size: 2, SHA256: "4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865"},
		{Path: "/block/entry-number-40", Type: filesystem.TypeFile},
		{Path: "/leaf/entry-number-250", Type: filesystem.TypeFile},
		{Path: "/node/a-rather-long-name-that-fills-blocks-700", Type: filesystem.TypeFile, Size: 2},
		{Path: "/link", Type: filesystem.TypeSymlink, Size: 11, Link: "short/file1"},
		{Path: "/longlink", Type: filesystem.TypeSymlink, Size: 700, Link: strings.Repeat("target/", 100)},
		{Path: "/sparse", Type: filesystem.TypeFile, Size: 3 << 30},
		{Path: "/fifo", Type: filesystem.TypeFIFO},
		{Path: "/device", Type: filesystem.TypeChar},
		{Path: "/old", Type: filesystem.TypeFile, Modified: old, Accessed: old},
		{Path: "/new", Type: filesystem.TypeFile, Modified: late},
		{Path: "/late-5", Type: filesystem.TypeFile, Size: 7},
		{Path: "/leaf/entry-number-7", Type: filesystem.TypeFile, Status: filesystem.Deleted},
		{Path: "/leaf/entry-number-8", Type: filesystem.TypeFile, Status: filesystem.Deleted},
		{Path: "/block/entry-number-9", Type: filesystem.TypeFile, Status: filesystem.Deleted},
		{Path: "/short/file3", Type: filesystem.TypeFile, Status: filesystem.Deleted, Size: fstest.AnySize},
		{Path: "/gone/victim-1", Type: filesystem.TypeFile, Status: filesystem.Deleted, Size: fstest.AnySize},
	})
}

// TestUnlinked looks for the file that was open and had no name.
func TestUnlinked(t *testing.T) {
	fs, err := Open(fstest.File(t, "testdata/small.img.gz"))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, e := range all(t, fs) {
		if e.Status == filesystem.Orphan {
			found = true
			if e.From != "unlinked-list" || e.Size != 11 || e.Links != 0 {
				t.Errorf("orphan is %+v", e)
			}
		}
	}
	if !found {
		t.Error("no orphan")
	}
}

// TestBadPrimary destroys what lies at the start, bit by bit.
func TestBadPrimary(t *testing.T) {
	whole := fstest.File(t, "testdata/small.img.gz")
	want := 0
	fs, err := Open(whole)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all(t, fs) {
		if e.Status == filesystem.Allocated {
			want++
		}
	}
	for name, n := range map[string]int64{"superblock": 512, "headers": 4096} {
		t.Run(name, func(t *testing.T) {
			p := make([]byte, whole.Size())
			if _, err := whole.ReadAt(p, 0); err != nil {
				t.Fatal(err)
			}
			clear(p[:n])
			src := fstest.Bytes(p)
			if !Probe(src) {
				t.Error("not known")
			}
			fs, err := Open(src)
			if err != nil {
				t.Fatal(err)
			}
			got := 0
			for e, err := range fs.Walk(t.Context()) {
				if err == nil && e.Status == filesystem.Allocated {
					got++
				}
			}
			t.Log(fs.Info().State)
			if got != want {
				t.Errorf("%d entries, want %d", got, want)
			}
		})
	}
}
