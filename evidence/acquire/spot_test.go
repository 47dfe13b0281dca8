package acquire

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// blocks is a snapshot with some blocks of 4 KiB.
type blocks struct {
	*bytes.Reader
	has []int64
}

func (b *blocks) BlockSize() int { return 4096 }

func (b *blocks) NextData(off int64) (start, end int64) {
	for _, i := range b.has {
		if (i+1)*4096 > off {
			return max(off, i*4096), min(b.Size(), (i+1)*4096)
		}
	}
	return b.Size(), b.Size()
}

func TestCompare(t *testing.T) {
	data := make([]byte, 100*4096+512)
	for i := range data {
		data[i] = byte(i / 7)
	}
	path := filepath.Join(t.TempDir(), "device")
	a := &Attached{Path: path, Volume: "vol-1"}
	for _, n := range []int64{0, 1, 2, 15, 16, 17, 101} {
		var has []int64
		for i := range n {
			has = append(has, 100-i)
		}
		slices.Sort(has)
		s := &blocks{bytes.NewReader(data), has}
		places := spread(s)
		if int64(len(places)) != min(n, spots) || !slices.IsSorted(places) || len(slices.Compact(slices.Clone(places))) != len(places) {
			t.Fatalf("%d blocks: %d places %v", n, len(places), places)
		}
		if n > 1 && (places[0] != has[0]*4096 || places[len(places)-1] != 100*4096) {
			t.Errorf("%d blocks: from %d to %d", n, places[0], places[len(places)-1])
		}
		must(t, os.WriteFile(path, data, 0o600))
		if note, err := a.Compare(s, "snap-1"); err != nil || strings.Contains(note, "other") {
			t.Errorf("%d blocks: %s, %v", n, note, err)
		}
		if n == 0 {
			continue
		}
		other := slices.Clone(data)
		other[len(other)-1] ^= 1
		must(t, os.WriteFile(path, other, 0o600))
		if note, err := a.Compare(s, "snap-1"); err != nil || !strings.Contains(note, "the first other one lies at byte 409600") {
			t.Errorf("%d blocks: %s, %v", n, note, err)
		}
		must(t, os.WriteFile(path, data[:4096], 0o600))
		if _, err := a.Compare(s, "snap-1"); err == nil {
			t.Error("a device that is too short compares")
		}
	}
}
