package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/evidence"
	"snapcase/evidence/credential"
)

const mib = 1 << 20

// twoDisks makes two images with one ext4 of tree on a logical volume that
// begins on the first and ends on the second.
func twoDisks(t *testing.T, tree string) [2]string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for loop devices")
	}
	for _, tool := range []string{"lvm", "losetup", "mkfs.ext4"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	dir := t.TempDir()
	var files, loops [2]string
	for i, size := range []int64{17 * mib, 33 * mib} {
		files[i] = filepath.Join(dir, string(rune('a'+i)))
		must(t, os.WriteFile(files[i], nil, 0o644))
		must(t, os.Truncate(files[i], size))
		dev, err := exec.Command("losetup", "-f", "--show", files[i]).Output()
		if err != nil {
			t.Skip("needs free loop devices")
		}
		loops[i] = strings.TrimSpace(string(dev))
		defer exec.Command("losetup", "-d", loops[i]).Run()
	}
	config := `devices { scan="/dev" filter=["a|^` + loops[0] + `$|","a|^` + loops[1] + `$|","r|.*|"] use_devicesfile=0 } activation { udev_sync=0 udev_rules=0 } backup { backup=0 archive=0 }`
	for _, c := range []string{"pvcreate @", "vgcreate data @", "lvcreate -an -Zn -Wn -l 4 -n db data " + loops[0], "lvextend -l 12 data/db " + loops[1]} {
		args := strings.Fields(strings.ReplaceAll(c, "@", loops[0]+" "+loops[1]))
		cmd := exec.Command("lvm", append([]string{args[0], "--driverloaded", "n", "--config", config}, args[1:]...)...)
		cmd.Env = append(os.Environ(), "LVM_SUPPRESS_FD_WARNINGS=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", c, err, out)
		}
	}
	fs, err := os.ReadFile(ext4Of(t, tree, "48M"))
	must(t, err)
	for i, part := range [][]byte{fs[:16*mib], fs[16*mib:]} {
		f, err := os.OpenFile(files[i], os.O_RDWR, 0)
		must(t, err)
		_, err = f.WriteAt(part, mib)
		must(t, errors.Join(err, f.Close()))
	}
	return files
}

// TestVolumeOfTwoExhibits indexes the exhibits of one logical volume one by
// one, in either order: what is missing is said, and what was said goes when
// the other comes.
func TestVolumeOfTwoExhibits(t *testing.T) {
	tree := t.TempDir()
	big := bytes.Repeat([]byte("a row of the table "), 1_300_000) // over the border
	copy(big[23_000_000:], " "+idText(1)+" ")
	copy(big[1_000:], " "+idText(2)+" ")
	must(t, os.WriteFile(filepath.Join(tree, "big"), big, 0o644))
	sum := sha256.Sum256(big)
	files := twoDisks(t, tree)
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		home := []string{"EX-001", "EX-002"}[order[0]] // of the disk with the start
		f := evidence.Folder(t.TempDir())
		writeJSON(t, f.CaseFile(), evidence.CaseFile{Version: evidence.CaseVersion, Title: "T"})
		c, err := Open(context.Background(), string(f), Options{Bundle: true, Index: filepath.Join(t.TempDir(), "index.db")})
		must(t, err)
		for i, id := range []string{"EX-001", "EX-002"} {
			b, err := os.ReadFile(files[order[i]])
			must(t, err)
			s := credential.NewScanner([]byte("k"))
			s.Scan(b, 0)
			addImage(t, f, id, evidence.KindDisk, files[order[i]], s.Hits())
			err = c.Index(context.Background(), IndexOptions{Exhibit: id}, nil)
			switch {
			case i == 1:
				must(t, err)
			case !errors.Is(err, evidence.ErrGaps):
				t.Errorf("one of two alone: %v", err)
			default:
				checkAlone(t, c, order[0] == 0)
			}
		}
		entries := listFiles(t, c, FileQuery{Name: "big", Hash: true})
		if len(entries) != 1 || entries[0].Exhibit != home || entries[0].Volume != "data-db" || entries[0].SHA256 != hex.EncodeToString(sum[:]) || entries[0].Damage != nil {
			t.Fatalf("order %v: %+v", order, entries)
		}
		got := hitsOf(t, c)
		for n, want := range map[int]string{1: "allocated /big 23000001", 2: "allocated /big 1001"} {
			if len(got[idText(n)]) != 1 || got[idText(n)][0] != want {
				t.Errorf("order %v: key %d: %q", order, n, got[idText(n)])
			}
		}
		a, err := evidence.ParseAddress(entries[0].Address)
		must(t, err)
		src, _, err := c.OpenEntry(context.Background(), a)
		must(t, err)
		b, err := io.ReadAll(io.NewSectionReader(src, 0, src.Size()))
		must(t, err)
		if !bytes.Equal(b, big) {
			t.Error("other content")
		}
		stats, err := c.Stats(context.Background())
		must(t, err)
		n := 0
		for _, s := range stats {
			for _, v := range s.Volumes {
				if v.ID == "data-db" {
					n++
					if s.Exhibit != home || strings.Join(v.Exhibits, " ") != home+" "+map[string]string{"EX-001": "EX-002", "EX-002": "EX-001"}[home] {
						t.Errorf("%s: %+v", s.Exhibit, v)
					}
				}
			}
		}
		if n != 1 {
			t.Errorf("listed %d times", n)
		}
		must(t, c.Close())
		// Without the image of the second nothing of the volume is read.
		must(t, os.Remove(f.Image("EX-002")))
		if c, err = Open(context.Background(), string(f), Options{Bundle: true, Index: c.o.Index}); err != nil {
			t.Fatal(err)
		}
		if listed := listFiles(t, c, FileQuery{Name: "big"}); len(listed) != 1 || listed[0].Damage != nil {
			t.Errorf("the index has changed: %+v", listed)
		}
		if src, _, err := c.OpenEntry(context.Background(), a); err == nil {
			t.Errorf("%d bytes are read although an image is gone", src.Size())
		}
		// Without the exhibit the other one is derived again.
		must(t, os.RemoveAll(f.Exhibit("EX-002")))
		if err := c.Index(context.Background(), IndexOptions{}, nil); !errors.Is(err, evidence.ErrGaps) {
			t.Errorf("after the exhibit went: %v", err)
		}
		checkAlone(t, c, order[0] == 0)
		must(t, c.Close())
	}
}

// checkAlone looks at what the index says while one of the disks is not in the
// case.
func checkAlone(t *testing.T, c *Case, start bool) {
	t.Helper()
	all := listFiles(t, c, FileQuery{Name: "big"})
	if !start {
		if len(all) > 0 && all[0].Damage == nil {
			t.Errorf("without the start: %+v", all)
		}
		return
	}
	if len(all) != 1 || all[0].Damage == nil || !strings.Contains(*all[0].Damage, "pv1 is not among the sources") {
		t.Errorf("without the end: %+v", all)
	}
	stats, err := c.Stats(context.Background())
	must(t, err)
	told := false
	for _, g := range stats[0].Gaps {
		told = told || g.Place == "EX-001/data-db" && strings.Contains(g.Reason, "33554432 bytes of the volume from its byte 16777216 are not in the case")
	}
	if !told {
		t.Errorf("gaps: %+v", stats[0].Gaps)
	}
}
