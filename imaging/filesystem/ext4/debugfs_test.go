package ext4

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/imaging/filesystem/fstest"
)

// debugfs runs commands on an image.
func debugfs(t *testing.T, image string, commands ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "commands")
	if err := os.WriteFile(file, []byte(strings.Join(commands, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("debugfs", "-w", "-f", file, image).CombinedOutput()
	if err != nil {
		t.Skipf("debugfs: %v: %s", err, out)
	}
}

// writeJournal makes an image whose journal debugfs writes: many transactions
// over the same blocks, some of them revoked, some that begin with the
// journal's magic, and a last one that is not committed.
func writeJournal(t *testing.T, options, open string) (image string) {
	t.Helper()
	for _, tool := range []string{"mke2fs", "debugfs"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	dir := t.TempDir()
	image = filepath.Join(dir, "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 24<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mke2fs", append(append([]string{"-q", "-F"}, strings.Fields(options)...), image)...).CombinedOutput(); err != nil {
		t.Skipf("mke2fs: %s", out)
	}
	r := rand.New(rand.NewPCG(1, uint64(len(options+open))))
	commands := []string{"journal_open " + open}
	for i := range 60 {
		blocks, data := []string{}, []byte{}
		for range 1 + r.IntN(180) {
			blocks = append(blocks, fmt.Sprint(12000+r.IntN(900)))
			b := randomBytes(r, 1024)
			if r.IntN(3) == 0 {
				copy(b, "\xc0\x3b\x39\x98\x00\x00\x00\x02\x00\x00\x00\x03")
			}
			data = append(data, b...)
		}
		file := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		last := ""
		if i == 59 {
			last = "-c "
		}
		commands = append(commands, fmt.Sprintf("journal_write %s-b %s %s", last, strings.Join(blocks, ","), file))
		if i%4 == 1 {
			commands = append(commands, fmt.Sprintf("journal_write -r %d,%d,%s", 12000+r.IntN(900), 12000+r.IntN(900), blocks[0]))
		}
	}
	debugfs(t, image, append(commands, "journal_close")...)
	return image
}

// TestReplayDebugfs compares the replayed view with what debugfs makes of a
// journal of each format that there is.
func TestReplayDebugfs(t *testing.T) {
	for _, k := range []struct{ name, options, open string }{
		{"32bit", "-t ext4 -b 1024 -J size=8 -O ^64bit,^metadata_csum", ""},
		{"64bit", "-t ext4 -b 1024 -J size=8 -O 64bit,^metadata_csum", ""},
		{"32bit csum v2", "-t ext4 -b 1024 -J size=8 -O ^64bit", "-c -v 2"},
		{"64bit csum v2", "-t ext4 -b 1024 -J size=8 -O 64bit", "-c -v 2"},
		{"32bit csum v3", "-t ext4 -b 1024 -J size=8 -O ^64bit", "-c -v 3"},
		{"64bit csum v3", "-t ext4 -b 1024 -J size=8 -O 64bit", "-c -v 3"},
		{"ext3", "-t ext3 -b 1024 -J size=8", ""},
	} {
		t.Run(k.name, func(t *testing.T) {
			image := writeJournal(t, k.options, k.open)
			before := readFile(t, image)
			x, err := Open(fstest.Bytes(before))
			if err != nil {
				t.Fatal(err)
			}
			t.Log(x.Info().State)
			if k.open != "" && (!x.log.sums || x.log.sum32 != strings.Contains(k.open, "3")) || x.log.wide != strings.HasPrefix(k.name, "64") {
				t.Errorf("journal is %+v", x.log)
			}
			debugfs(t, image, "journal_run")
			after := readFile(t, image)
			changed := 0
			for b := 12000; b < 12900; b++ {
				got := make([]byte, 1024)
				if _, err := x.read(got, int64(b)*1024); err != nil {
					t.Fatal(err)
				}
				want := after[b*1024:][:1024]
				if !bytes.Equal(got, want) {
					t.Errorf("block %d differs from what debugfs replays", b)
				}
				if !bytes.Equal(want, before[b*1024:][:1024]) {
					changed++
				}
			}
			if changed < 500 {
				t.Errorf("debugfs changed %d blocks", changed)
			}
		})
	}
}
