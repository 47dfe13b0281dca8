package main

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/evidence"
)

// chainDisk is an image of 64 MiB with one extended partition over all but the
// first MiB, and three logical partitions of 1 MiB in it.
func chainDisk() []byte {
	b := make([]byte, 64*mib)
	entry := func(sector, slot int, code byte, first, count uint32) {
		p := b[sector*512:]
		e := p[446+16*slot:]
		e[4] = code
		binary.LittleEndian.PutUint32(e[8:], first)
		binary.LittleEndian.PutUint32(e[12:], count)
		p[510], p[511] = 0x55, 0xaa
	}
	entry(0, 0, 0x05, 2048, 126*1024)
	for i := range 3 {
		at := 2048 + 20480*i
		entry(at, 0, 0x83, 64, 2048)
		if i < 2 {
			entry(at, 1, 0x05, uint32(20480*(i+1)), 20480)
		}
	}
	return b
}

// TestBrokenChain wants a chain of logical partitions that is cut, damaged or
// comes back to be a gap at its place, with exit code 4.
func TestBrokenChain(t *testing.T) {
	const second, third = (2048 + 20480) * 512, (2048 + 40960) * 512
	for _, c := range []struct {
		name   string
		change func(b []byte) []byte
		places []int64
		says   string
	}{
		{"sound", func(b []byte) []byte { return b }, nil, ""},
		{"cut", func(b []byte) []byte { return b[:third-mib] }, []int64{third - mib, third}, "past the end of the image"},
		{"damaged", func(b []byte) []byte { b[second+510] = 0; return b }, []int64{second}, "no boot record stands there"},
		{"loop", func(b []byte) []byte { copy(b[third+462:], b[2048*512+462:][:16]); return b }, []int64{third}, "loop: its chain comes back to sector 22528"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, home := t.TempDir(), t.TempDir()
			path, cs := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "case")
			must(t, os.WriteFile(path, c.change(chainDisk()), 0o644))
			codes := []int{4}
			if c.says == "" {
				codes = []int{0}
			}
			var found struct{ Gaps []evidence.Gap }
			must(t, json.Unmarshal(output(t, home, codes, "image", path, "--json"), &found))
			gapsAt(t, found.Gaps, c.places, c.says)
			if text := string(output(t, home, codes, "image", path)); !strings.Contains(text, c.says) {
				t.Errorf("image prints %q", text)
			}
			output(t, home, []int{0}, "new", cs, "--title", "T", "--examiner", "jdoe")
			output(t, home, codes, "acquire", cs, path, "--as", "disk")
			var all []evidence.ExhibitStats
			must(t, json.Unmarshal(output(t, home, codes, "stats", cs, "--json"), &all))
			gapsAt(t, all[0].Gaps, c.places, c.says)
			output(t, home, codes, "files", cs, "--json")
		})
	}
}

func gapsAt(t *testing.T, gaps []evidence.Gap, places []int64, says string) {
	t.Helper()
	if len(gaps) != len(places) {
		t.Fatalf("gaps %+v, want them at %d", gaps, places)
	}
	for i, g := range gaps {
		if g.Offset != places[i] || g.Place == "" || !strings.Contains(g.Reason, says) {
			t.Errorf("gap %+v, want it at %d for %q", g, places[i], says)
		}
	}
}
