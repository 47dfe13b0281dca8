package disk

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBlkid makes what the tools of this machine can make and compares with
// what blkid says of it.
func TestBlkid(t *testing.T) {
	if _, err := exec.LookPath("blkid"); err != nil {
		t.Skip("needs blkid")
	}
	made := 0
	for _, args := range [][]string{
		{"mkfs.ext4", "-q", "-L", "wurzel"},
		{"mkfs.ext2", "-q", "-b", "4096"},
		{"mkfs.ext3", "-q"},
		{"mkfs.ext4", "-q", "-O", "journal_dev"},
		{"mkfs.xfs", "-q", "-L", "xlabel"},
		{"mkfs.fat", "-F16", "-n", "SIXTEEN"},
		{"mkfs.fat", "-F32"},
		{"mkfs.ntfs", "-QqF", "-L", "Fenster"},
		{"mkswap", "-L", "auslagern"},
		{"mkfs.btrfs", "-q", "-L", "butter"},
		{"mkfs.exfat"},
		{"mkfs.minix"},
		{"mkfs.minix", "-3"},
		{"mkfs.f2fs", "-q"},
		{"mkfs.bfs"},
		{"mkfs.cramfs"},
		{"pvcreate", "-q", "--config", "devices{use_devicesfile=0 scan_lvs=0}"},
	} {
		if _, err := exec.LookPath(args[0]); err != nil {
			continue
		}
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "image")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, 320*mib); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(args[0], append(args[1:], path)...).CombinedOutput(); err != nil {
				t.Skipf("%v: %s", err, out)
			}
			out, err := exec.Command("blkid", "-p", "-o", "export", path).Output()
			if err != nil {
				t.Fatalf("blkid: %v", err)
			}
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			want := map[string]string{}
			for line := range strings.Lines(string(out)) {
				k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
				want[k] = strings.ReplaceAll(v, "\\", "")
			}
			d, err := Open(sized{f, 320 * mib})
			if err != nil {
				t.Fatal(err)
			}
			v := d.Volumes[0]
			if v.FSType != want["TYPE"] || v.FSUUID != want["UUID"] || v.FSLabel != want["LABEL"] {
				t.Errorf("%q %q %q, blkid %q %q %q", v.FSType, v.FSUUID, v.FSLabel, want["TYPE"], want["UUID"], want["LABEL"])
			}
			if len(v.Signatures) != 1 {
				t.Errorf("signatures: %+v", v.Signatures)
			}
			made++
		})
	}
	t.Logf("%d formats compared", made)
}

type sized struct {
	*os.File
	size int64
}

func (s sized) Size() int64 { return s.size }
