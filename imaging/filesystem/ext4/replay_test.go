package ext4

import (
	"math/rand/v2"
	"strings"
	"testing"

	"snapcase/imaging/filesystem"
)

// kinds are volumes whose journals differ; those that are thorough are tried in
// every way.
var kinds = []struct {
	name, options, mount string
	thorough             bool
}{
	{"default", "-t ext4", "", true},
	{"no checksums", "-t ext4 -O ^metadata_csum,^64bit", "", true},
	{"gdt checksums 64bit", "-t ext4 -O ^metadata_csum,uninit_bg,64bit", "", false},
	{"csum v1", "-t ext4 -O ^metadata_csum", "journal_checksum", false},
	{"bs1k", "-t ext4 -b 1024 -J size=16", "", false},
	{"ext3", "-t ext3", "", true},
	{"ext3 bs1k", "-t ext3 -b 1024 -I 128 -J size=16", "", false},
	{"data journal", "-t ext4 -J size=64", "data=journal", true},
	{"ext3 data journal", "-t ext3 -J size=64", "data=journal", false},
	{"inline", "-t ext4 -O inline_data", "", false},
	{"bigalloc", "-t ext4 -O bigalloc", "", false},
	{"async", "-t ext4", "journal_async_commit,data=writeback", false},
	{"fast commit", "-t ext4 -O fast_commit", "", true},
}

// TestReplay stops a volume in the middle of its work and compares what the
// reader shows with what the kernel makes of a copy.
func TestReplay(t *testing.T) {
	needKernel(t)
	for _, k := range kinds {
		for _, flush := range []bool{true, false} {
			name := k.name
			if !flush {
				name += " not flushed"
			}
			if !flush && !k.thorough {
				continue
			}
			t.Run(name, func(t *testing.T) {
				v := newVolume(t, 300<<20, k.options, k.mount)
				v.fill(rand.New(rand.NewPCG(uint64(len(name)), 9)))
				v.churn(rand.New(rand.NewPCG(3, 9)))
				v.shutdown(flush)
				raw := v.copyImage()
				x, err := Open(openDisk(t, raw))
				if err != nil {
					t.Fatal(err)
				}
				t.Log(x.Info().State)
				if s := strings.Join(x.Info().State, "\n"); !strings.Contains(s, "are shown as the kernel would replay them") {
					t.Errorf("state is %q", s)
				}
				v.dated = strings.Contains(strings.Join(x.Info().State, "\n"), "fast commits:")
				v.mount("rw,noatime")
				v.compare(x)
				orphans := 0
				for _, e := range all(t, x) {
					if e.Status == filesystem.Orphan && e.From == "orphan-list" && e.Size == 10 {
						orphans++
					}
				}
				if orphans != 1 {
					t.Errorf("%d files that were open and deleted, want 1", orphans)
				}
				if !strings.Contains(k.options, "bigalloc") {
					checkCover(t, x)
				}
				if y, err := OpenRaw(openDisk(t, raw)); err != nil || !strings.Contains(strings.Join(y.Info().State, "\n"), "before the replay of") {
					t.Errorf("raw: %v", err)
				}
			})
		}
	}
}
