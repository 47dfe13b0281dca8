package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"snapcase/evidence"
	"snapcase/imaging"
)

// demoDisk is the disk of the demonstration case: GPT, an EFI partition, an
// ext4.
func demoDisk(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("../cmd/snapcase/demo/disk.raw.zst")
	must(t, err)
	d, err := zstd.NewReader(nil)
	must(t, err)
	defer d.Close()
	raw, err := d.DecodeAll(b, nil)
	must(t, err)
	path := filepath.Join(t.TempDir(), "disk.raw")
	must(t, os.WriteFile(path, raw, 0o644))
	return path
}

// TestStatsOfDisk compares the figures of a disk with its listing.
func TestStatsOfDisk(t *testing.T) {
	c := indexed(t, diskCase(t, evidence.KindDisk, demoDisk(t), nil))
	all, err := c.Stats(context.Background())
	must(t, err)
	if len(all) != 1 || !all[0].Indexed {
		t.Fatalf("%+v", all)
	}
	for _, v := range all[0].Volumes {
		var entries, deleted, damaged int64
		for _, e := range listFiles(t, c, FileQuery{Volume: v.ID}) {
			entries++
			if e.Status == "deleted" {
				deleted++
			}
			if e.Damage != nil {
				damaged++
			}
		}
		if v.Entries != entries || v.Deleted != deleted || v.Damaged != damaged {
			t.Errorf("%s: %d entries, %d deleted, %d damaged; listed are %d, %d, %d", v.ID, v.Entries, v.Deleted, v.Damaged, entries, deleted, damaged)
		}
		if v.Type == "unallocated" && v.Error != nil {
			t.Errorf("%s: %s", v.ID, *v.Error)
		}
	}
}

// TestFilesEqualFLS compares the listing of the demonstration disk with that
// of The Sleuth Kit.
func TestFilesEqualFLS(t *testing.T) {
	if _, err := exec.LookPath("fls"); err != nil {
		t.Skip("needs fls")
	}
	path := demoDisk(t)
	c := indexed(t, diskCase(t, evidence.KindDisk, path, nil))
	var got []string
	for _, e := range listFiles(t, c, FileQuery{Volume: "p2", HideDeleted: true}) {
		if e.Path == "/" {
			continue
		}
		name := []byte(e.Path) // as fls shows it
		for i, b := range name {
			if b < ' ' {
				name[i] = '^'
			}
		}
		if e.Link != nil {
			name = append(name, " -> "+*e.Link...)
		}
		got = append(got, fmt.Sprintf("%s|%d|%d|%d|%d|%d|%d|%d|%d", name, e.Inode, e.UID, e.GID, e.Size, e.Accessed.Sec, e.Modified.Sec, e.Changed.Sec, e.Born.Sec))
	}
	out, err := exec.Command("fls", "-o", "18432", "-r", "-p", "-m", "/", path).Output()
	must(t, err)
	var want []string
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		f := strings.Split(s.Text(), "|")
		if strings.Contains(f[1], "(deleted") || strings.HasPrefix(f[1], "/$OrphanFiles") {
			continue
		}
		want = append(want, strings.Join(append([]string{f[1], f[2]}, f[4:]...), "|"))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d entries, fls has %d", len(got), len(want))
		for _, g := range got {
			if !slices.Contains(want, g) {
				t.Errorf("only here: %q", g)
			}
		}
		for _, w := range want {
			if !slices.Contains(got, w) {
				t.Errorf("only fls: %q", w)
			}
		}
	}
}

// TestMoments compares the timeline of a disk with the times of its entries.
func TestMoments(t *testing.T) {
	c := indexed(t, diskCase(t, evidence.KindDisk, demoDisk(t), nil))
	ctx := context.Background()
	q, err := c.ask(ctx)
	must(t, err)
	defer q.end() //nolint:errcheck // read-only
	l := &listing{q: q}
	for _, sp := range q.spansOf("moments", "") {
		l.streams = append(l.streams, newStream(sp, 0, "", cond{}))
	}
	var got []string
	var last imaging.Time
	each(ctx, l, 0, q.moments, func(m evidence.Moment, err error) bool {
		must(t, err)
		if last.Set && m.Time.Compare(last) < 0 {
			t.Errorf("%v after %v", m.Time, last)
		}
		last = m.Time
		got = append(got, fmt.Sprintf("%s %s %s %s %s %s", m.Time, m.Source, m.Type, m.Summary, m.Exhibit, m.Record))
		return true
	})
	var want []string
	for _, e := range listFiles(t, c, FileQuery{}) {
		times := []imaging.Time{e.Modified, e.Accessed, e.Changed, e.Born, e.DeletedAt}
		for i, at := range times {
			if !at.Set || slices.Index(times, at) < i {
				continue
			}
			letters := []byte("....")
			for j, other := range times {
				if other == at && j < 4 {
					letters[j] = "MACB"[j]
				}
			}
			if e.DeletedAt == at {
				letters = append(letters, 'D')
			}
			gone := ""
			if e.Status == "deleted" {
				gone = " (deleted)"
			}
			want = append(want, fmt.Sprintf("%s fs %s %s%s %s %s", at, letters, e.Path, gone, e.Exhibit, e.Address))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d moments, want %d", len(got), len(want))
	}
}

// TestCancelledIndex cancels a load at many places: the old index answers
// until a new one is whole.
func TestCancelledIndex(t *testing.T) {
	c := indexed(t, diskCase(t, evidence.KindDisk, demoDisk(t), nil))
	want := addressesOf(listFiles(t, c, FileQuery{}))
	for n := range 12 {
		ctx, cancel := context.WithCancel(context.Background())
		steps := 0
		err := c.Index(ctx, IndexOptions{Rebuild: true}, func(evidence.Step) {
			if steps++; steps > n/4 {
				cancel()
			}
		})
		cancel()
		if err != nil && !evidence.Canceled(err) && !errors.Is(err, evidence.ErrGaps) {
			t.Fatalf("%d: %v", n, err)
		}
		if got := addressesOf(listFiles(t, c, FileQuery{})); !slices.Equal(got, want) {
			t.Fatalf("%d entries, want %d", len(got), len(want))
		}
	}
}

// TestDamagedDisk cuts and overwrites a disk at random: whatever is read is
// counted, nothing panics, and what is lost is told.
func TestDamagedDisk(t *testing.T) {
	raw, err := os.ReadFile(demoDisk(t))
	must(t, err)
	whole := map[string]string{}
	for _, e := range listFiles(t, indexed(t, diskCase(t, evidence.KindDisk, demoDisk(t), nil)), FileQuery{Hash: true}) {
		whole[e.Address] = e.SHA256
	}
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 8 {
		b := slices.Clone(raw)
		if n%3 == 0 {
			b = b[:9<<20+r.IntN(12<<20)]
		} else {
			for range 1 + n*8 {
				at := 9<<20 + r.IntN(3<<20) // where the ext4 keeps what it knows
				for i := range 64 {
					b[at+i] = byte(r.Uint32())
				}
			}
		}
		path := filepath.Join(t.TempDir(), "disk.raw")
		must(t, os.WriteFile(path, b, 0o644))
		c := diskCase(t, evidence.KindDisk, path, nil)
		if err := c.Index(context.Background(), IndexOptions{}, nil); err != nil && !errors.Is(err, evidence.ErrGaps) {
			t.Fatal(err)
		}
		stats, err := c.Stats(context.Background())
		must(t, err)
		var entries, damaged int64
		for _, v := range stats[0].Volumes {
			entries += v.Entries
			damaged += v.Damaged
		}
		lost := int64(0)
		all := listFiles(t, c, FileQuery{Hash: true})
		for _, e := range all {
			if e.Status != "deleted" && e.Damage != nil {
				lost++
			}
			if n%3 == 0 && e.Status == "allocated" && e.Damage == nil && e.SHA256 != whole[e.Address] {
				t.Errorf("%d: %q: another digest, and no damage", n, e.Address)
			}
		}
		if int64(len(all)) != entries {
			t.Errorf("%d: %d entries listed, %d counted", n, len(all), entries)
		}
		if damaged > 0 && len(stats[0].Gaps) == 0 && lost > 0 {
			t.Errorf("%d: %d damaged entries and no gap", n, damaged)
		}
	}
}

// TestDeletedNames deletes files through the kernel and takes their inodes
// again: an address of a deleted name never gives the content of another file.
func TestDeletedNames(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a loop device")
	}
	dir := t.TempDir()
	path, mnt := ext4Of(t, t.TempDir(), "32M"), filepath.Join(dir, "mnt")
	must(t, os.Mkdir(mnt, 0o755))
	if out, err := exec.Command("mount", "-o", "loop", path, mnt).CombinedOutput(); err != nil {
		t.Skipf("needs loop mounts: %v: %s", err, out)
	}
	text := func(round, i int) []byte { return bytes.Repeat(fmt.Appendf(nil, "round %d file %d ", round, i), 300) }
	for round := range 2 {
		for i := range 40 {
			must(t, os.WriteFile(filepath.Join(mnt, fmt.Sprintf("r%d-%02d", round, i)), text(round, i), 0o600))
		}
		for i := 0; i < 40 && round == 0; i += 2 {
			must(t, os.Remove(filepath.Join(mnt, fmt.Sprintf("r0-%02d", i))))
		}
	}
	for i := 1; i < 40; i += 4 {
		must(t, os.Remove(filepath.Join(mnt, fmt.Sprintf("r1-%02d", i))))
	}
	if out, err := exec.Command("umount", mnt).CombinedOutput(); err != nil {
		t.Fatalf("umount: %v: %s", err, out)
	}
	c := indexed(t, diskCase(t, evidence.KindDisk, path, nil))
	deleted := 0
	for _, e := range listFiles(t, c, FileQuery{Hash: true}) {
		if e.Type != "file" && e.Type != "unknown" {
			continue
		}
		a, err := evidence.ParseAddress(e.Address)
		must(t, err)
		src, _, err := c.OpenEntry(context.Background(), a)
		if e.Status == "deleted" {
			deleted++
		}
		var round, i int
		if n, _ := fmt.Sscanf(e.Path, "/r%d-%d", &round, &i); n != 2 {
			continue
		}
		if err != nil {
			if e.Status == "allocated" {
				t.Errorf("%s: %v", e.Address, err)
			}
			continue
		}
		b := make([]byte, src.Size())
		if _, err := src.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if len(b) > 0 && !bytes.Equal(b, text(round, i)) && e.Damage == nil {
			t.Errorf("%s (%s): the content is another's: %.40q", e.Address, e.Status, b)
		}
	}
	if deleted < 10 { // new names took the places of the others
		t.Errorf("%d deleted entries, of the second round alone 10 were deleted", deleted)
	}
	q := FileQuery{Deleted: true}
	checkListing(t, c, q, slowFilter(t, listFiles(t, c, FileQuery{}), q))
}
