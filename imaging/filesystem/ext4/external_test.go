package ext4

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"snapcase/imaging/filesystem"
)

// loop attaches an image.
func loop(t *testing.T, image string) string {
	t.Helper()
	out, err := exec.Command("losetup", "--find", "--show", image).CombinedOutput()
	if err != nil {
		t.Skipf("losetup: %s", out)
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", dev).CombinedOutput(); err != nil {
			t.Errorf("losetup: %s", out)
		}
	})
	return dev
}

// TestExternalJournal stops a volume whose journal lies on another device and
// compares what the two show together with what the kernel makes of copies.
func TestExternalJournal(t *testing.T) {
	needKernel(t)
	for _, block := range []string{"1024", "4096"} {
		t.Run(block, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "log")
			f, err := os.Create(log)
			if err != nil {
				t.Fatal(err)
			}
			f.Truncate(20 << 20)
			f.Close()
			dev := loop(t, log)
			if out, err := exec.Command("mke2fs", "-q", "-F", "-O", "journal_dev", "-b", block, dev).CombinedOutput(); err != nil {
				t.Skipf("mke2fs: %s", out)
			}
			v := newVolume(t, 300<<20, "-t ext4 -b "+block+" -J device="+dev, "")
			v.fill(rand.New(rand.NewPCG(2, 9)))
			v.churn(rand.New(rand.NewPCG(4, 9)))
			v.shutdown(false)
			raw := v.copyImage()
			if out, err := exec.Command("cp", log, log+".copy").CombinedOutput(); err != nil {
				t.Fatalf("cp: %s", out)
			}
			src, journal := openDisk(t, raw), openDisk(t, log)
			without, err := Open(src)
			if err != nil {
				t.Fatal(err)
			}
			if id := without.JournalUUID(); len(id) != 36 || !strings.Contains(strings.Join(without.Info().State, "\n"), id+": it is not read") {
				t.Errorf("without: %q %q", id, without.Info().State)
			}
			x, err := OpenWithJournal(src, journal)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(x.Info().State)
			v.mount("rw,noatime,journal_path=" + loop(t, log+".copy"))
			v.compare(x)
			checkCover(t, x)
			old := slices.ContainsFunc(all(t, x), func(e filesystem.Entry) bool {
				return e.Status == filesystem.Deleted && strings.HasPrefix(e.From, "journal seq")
			})
			if !old {
				t.Error("nothing deleted comes from the journal")
			}
			other, err := OpenWithJournal(src, src)
			if err != nil || !strings.Contains(strings.Join(other.Info().State, "\n"), "the journal is not read: range") {
				t.Errorf("with another device: %v", err)
			}
		})
	}
}
