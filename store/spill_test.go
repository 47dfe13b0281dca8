package store

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// TestPackedEntry reads back what it packs, and survives every cut of it.
func TestPackedEntry(t *testing.T) {
	e := filesystem.Entry{
		Ref: filesystem.Ref{Inode: 1<<64 - 2, Generation: 1<<32 - 1, Stream: "s\xff"}, Type: filesystem.TypeSymlink, Mode: 0o120777, UID: 1, GID: 1<<32 - 1,
		Links: 3, Size: 1<<63 - 1, Status: filesystem.Orphan, Modified: imaging.Time{Sec: -1 << 62, Nsec: 999_999_999, Set: true}, Deleted: imaging.Time{Set: true},
		Link: "to", Damage: "loop: it is", From: "inode", First: -1,
	}
	b := packEntry(nil, &e)
	var got filesystem.Entry
	must(t, unpackEntry(b, &got))
	if got != e {
		t.Errorf("%+v, want %+v", got, e)
	}
	for i := range b {
		if unpackEntry(b[:i], &got) == nil {
			t.Errorf("cut at %d of %d is taken as whole", i, len(b))
		}
	}
}

// TestSorter compares a sorter that spills with a sort in memory.
func TestSorter(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, limit := range []int{1, 100, 3000, 1 << 20} {
		s := newSorter(t.TempDir())
		s.limit = limit
		type pair struct{ k, v string }
		var want []pair
		for i := range 3000 {
			k := strings.Repeat("/dir", r.IntN(6)) + strings.Repeat("\x00", max(0, r.IntN(12)-4)) + strconv.Itoa(r.IntN(500))[r.IntN(2):]
			want = append(want, pair{k, strconv.Itoa(i)})
			must(t, s.add([]byte(k), []byte(strconv.Itoa(i))))
		}
		slices.SortStableFunc(want, func(a, b pair) int { return strings.Compare(a.k, b.k) })
		var got []pair
		for rec, err := range s.sorted() {
			must(t, err)
			got = append(got, pair{string(rec.key), string(rec.value)})
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d: wrong order", limit)
		}
		must(t, s.close())
		if left, _ := filepath.Glob(filepath.Join(s.dir, "*")); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
}

func FuzzGlob(f *testing.F) {
	f.Add("/**/.aws/credentials", "/home/a/.aws/credentials")
	f.Add("[a-c]*?\\**", "/b\xff")
	f.Add("/*[!a]**/x", "/a/b/c/x")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		g, err := parseGlob(pattern)
		if err != nil {
			return
		}
		if g.match(path) && (!strings.HasPrefix(path, g.literal) || g.last != "" && path[strings.LastIndexByte(path, '/')+1:] != g.last) {
			t.Errorf("%q matches %q without %q or %q", pattern, path, g.literal, g.last)
		}
	})
}
