package disk

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fstest"
)

// TestHybrid demands that an ISO 9660 image with a partition table is found
// whatever its partitions cover, and once.
func TestHybrid(t *testing.T) {
	dir := t.TempDir()
	tree, efi := filepath.Join(dir, "tree"), filepath.Join(dir, "efi")
	if err := os.MkdirAll(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{filepath.Join(tree, "user-data"): "#cloud-config\n", efi: ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(efi, mib); err != nil {
		t.Fatal(err)
	}
	run(t, "", "mkfs.fat", efi)
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"MBR behind the first sector", []string{"--protective-msdos-label"}, "p0 iso9660, p1 "},
		{"GPT behind the system area", []string{"-append_partition", "2", "0xef", efi, "-appended_part_as_gpt"}, "p0 iso9660, p1 , p2 vfat, p3 , u1 "},
		{"partition at the start", []string{"-append_partition", "2", "0xef", efi}, "p1 iso9660, p2 vfat, u1 "},
	} {
		t.Run(c.name, func(t *testing.T) {
			image := filepath.Join(t.TempDir(), "image")
			run(t, "", append(append([]string{"xorriso", "-as", "mkisofs", "-quiet", "-R", "-V", "SEED", "-o", image}, c.args...), tree)...)
			d, err := Open(fstest.File(t, image))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range d.Volumes {
				got = append(got, v.ID+" "+v.FSType)
				if v.Err != nil {
					t.Errorf("%s: %v", v.ID, v.Err)
				}
			}
			if s := strings.Join(got, ", "); s != c.want {
				t.Errorf("volumes: %s; want %s", s, c.want)
			}
			seen := false
			for e, err := range d.Volumes[0].FS.Walk(context.Background()) {
				seen = seen || err == nil && e.Path == "/user-data" && e.Type == filesystem.TypeFile
			}
			if !seen {
				t.Error("the file is not listed")
			}
		})
	}
}
