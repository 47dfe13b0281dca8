package disk

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"snapcase/imaging/filesystem/fstest"
)

// TestReaders demands that images of tools are opened by the reader of their
// format, alone and whole.
func TestReaders(t *testing.T) {
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	if err := os.MkdirAll(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "a file"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		fstype, label string
		size          int64 // of the empty image that the tool gets
		args          []string
		entries       int
	}{
		{"exfat", "DATEN", 16 << 20, []string{"mkfs.exfat", "-L", "DATEN", "IMAGE"}, 1},
		{"iso9660", "SEED", 0, []string{"genisoimage", "-quiet", "-R", "-V", "SEED", "-o", "IMAGE", tree}, 2},
		{"squashfs", "", 0, []string{"mksquashfs", tree, "IMAGE", "-quiet", "-no-progress", "-noappend"}, 2},
	} {
		t.Run(c.fstype, func(t *testing.T) {
			image := filepath.Join(t.TempDir(), "image")
			if c.size > 0 {
				if err := os.WriteFile(image, make([]byte, c.size), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			args := append([]string(nil), c.args...)
			for i, a := range args {
				if a == "IMAGE" {
					args[i] = image
				}
			}
			run(t, "", args...)
			d, err := Open(fstest.File(t, image))
			if err != nil {
				t.Fatal(err)
			}
			v := d.Volumes[0]
			if len(d.Volumes) != 1 || v.FS == nil || v.FSType != c.fstype || v.FSLabel != c.label {
				t.Fatalf("%d volumes, type %q, label %q, error %v", len(d.Volumes), v.FSType, v.FSLabel, v.Err)
			}
			n := 0
			for _, err := range v.FS.Walk(context.Background()) {
				if err != nil {
					t.Error(err)
				}
				n++
			}
			if n != c.entries {
				t.Errorf("%d entries, want %d", n, c.entries)
			}
			own, err := d.Owners(context.Background(), []int64{0, 100})
			if err != nil || own[0].Volume != "p0" || own[0].Kind == 0 {
				t.Errorf("owner of the first byte: %+v %v", own[0], err)
			}
		})
	}
}
