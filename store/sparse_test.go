package store

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"snapcase/evidence"
)

// sparseFiles are written into a volume of 320 MiB: all have a run of base64 far
// beyond what it could hold, text or nothing before it.
var sparseFiles = []struct {
	name   string
	before string
	at     int64
}{
	{"text", strings.Repeat("text ", 2000), 4<<30 - 300},
	{"short", "a few words", 5<<30 + 123},
	{"leading", "", 6<<30 + 77},
	{"near", "a few words", 3 << 20},
}

// TestInsideSparse wants a key in the base64 behind a hole at its byte, as grep
// and base64 -d show it over the mounted file, and no gap.
func TestInsideSparse(t *testing.T) {
	if testing.Short() || os.Getuid() != 0 {
		t.Skip("mounts volumes")
	}
	for name, c := range map[string]struct {
		mkfs, mount string
		tools       []string
	}{
		"ext4": {"mkfs.ext4 -qF disk", "mount -o loop disk mnt", []string{"mkfs.ext4"}},
		"ext2": {"mkfs.ext2 -qF -b 1024 disk", "mount -o loop disk mnt", []string{"mkfs.ext2"}},
		"xfs":  {"mkfs.xfs -q disk", "mount -o loop disk mnt", []string{"mkfs.xfs"}},
		"ntfs": {"mkfs.ntfs -QqF disk", "ntfs-3g disk mnt", []string{"mkfs.ntfs", "ntfs-3g"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			shell(t, dir, "mkdir mnt; truncate -s 320M disk; "+c.mkfs, append(c.tools, "grep", "base64")...)
			mount := exec.Command("sh", "-ec", c.mount)
			mount.Dir = dir
			if out, err := mount.CombinedOutput(); err != nil {
				t.Skipf("%s: %v: %s", c.mount, err, out)
			}
			shown := sparseShown(t, filepath.Join(dir, "mnt"))
			must(t, exec.Command("umount", filepath.Join(dir, "mnt")).Run())
			got := indexed(t, diskCase(t, evidence.KindDisk, filepath.Join(dir, "disk"), nil))
			st, err := got.Stats(context.Background())
			must(t, err)
			if len(st[0].Gaps) > 0 {
				t.Errorf("gaps %+v", st[0].Gaps)
			}
			hits := hitsOf(t, got)
			for n, f := range sparseFiles {
				if want := shown[n]; !slices.Equal(hits[idText(n)], []string{want}) {
					t.Errorf("%s: %q, want %q", f.name, hits[idText(n)], want)
				}
			}
			sparseCopies(t, got)
		})
	}
}

// sparseShown writes the files and gives the places that other tools show.
func sparseShown(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	for n, f := range sparseFiles {
		path := filepath.Join(dir, f.name)
		text := base64.StdEncoding.EncodeToString([]byte(credentialsText(n)))
		w, err := os.Create(path)
		must(t, err)
		_, err = w.WriteString(f.before)
		must(t, err)
		_, err = w.WriteAt([]byte(text), f.at)
		must(t, err)
		must(t, w.Close())
		at := f.at // grep reads the holes of FUSE byte by byte
		if f.at < 1<<30 {
			out, err := exec.Command("grep", "-abo", text, path).Output()
			must(t, err)
			at, err = strconv.ParseInt(strings.Split(string(out), ":")[0], 10, 64)
			must(t, err)
		}
		out, err := exec.Command("sh", "-c", fmt.Sprintf("tail -c +%d %s | base64 -d", at+1, path)).Output()
		must(t, err)
		if string(out) != credentialsText(n) {
			t.Fatalf("%s: base64 gives %q", f.name, out)
		}
		all = append(all, fmt.Sprintf("allocated /%s!base64-%d", f.name, at))
	}
	return all
}

// sparseCopies opens what was found by its address.
func sparseCopies(t *testing.T, c *Case) {
	t.Helper()
	keys, err := c.Keys(context.Background(), false)
	must(t, err)
	for _, k := range keys {
		for _, p := range k.Places {
			insideCat(t, c, k.KeyID, p)
		}
	}
}
