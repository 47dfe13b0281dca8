package ext4

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/imaging/filesystem/fstest"
)

// TestAttributes compares attributes of every form with the kernel's.
func TestAttributes(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a loop device")
	}
	for _, options := range []string{"", "-I 128", "-O ea_inode -I 512", "-b 1024 -O ^metadata_csum", "-O inline_data"} {
		t.Run(options, func(t *testing.T) {
			dir := t.TempDir()
			image, mnt := filepath.Join(dir, "image"), filepath.Join(dir, "mnt")
			tool(t, "truncate", "-s", "64M", image)
			tool(t, "mkfs.ext4", append(append([]string{"-q", "-F"}, strings.Fields(options)...), image)...)
			if err := os.Mkdir(mnt, 0o700); err != nil {
				t.Fatal(err)
			}
			tool(t, "mount", "-o", "loop,user_xattr,acl", image, mnt)
			t.Cleanup(func() { _ = exec.Command("umount", mnt).Run() })
			if err := os.Mkdir(filepath.Join(mnt, "x"), 0o755); err != nil {
				t.Fatal(err)
			}
			fstest.FillAttributes(t, filepath.Join(mnt, "x"), 200, 65536)
			tool(t, "umount", mnt)
			fs, err := Open(fstest.File(t, image))
			if err != nil {
				t.Fatal(err)
			}
			tool(t, "mount", "-o", "loop,ro,noload", image, mnt)
			fstest.CompareAttributes(t, fs, filepath.Join(mnt, "x"), "/x")
		})
	}
}

// tool runs a tool; the test skips when it is not there or cannot.
func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Skipf("needs %s: %v: %s", name, err, out)
	}
}

// TestAttributesDamaged flips bytes of what holds attributes: no reader may
// panic, and what cannot be right is said.
func TestAttributesDamaged(t *testing.T) {
	b := make([]byte, 256)
	copy(b, "\x00\x00\x02\xea") // as at the start of the attributes of an inode
	p := b[4:]
	p[0], p[1] = 3, 1 // user.abc
	copy(p[16:], "abc")
	p[2], p[8] = 200, 10
	copy(p[200:], "0123456789")
	r := &attrReader{fs: &FS{}}
	if err := r.entries(p, 0); err != nil || len(r.list) != 1 || r.list[0].Name != "user.abc" || string(r.list[0].Value) != "0123456789" {
		t.Fatalf("%v %+v", err, r.list)
	}
	said := 0
	for i := range p {
		for bit := range 8 {
			p[i] ^= 1 << bit
			r := &attrReader{fs: &FS{}}
			if err := r.entries(p, 0); err != nil {
				t.Fatal(err)
			}
			if r.damage != "" || len(r.list) > 0 && r.list[0].Damage != "" {
				said++
			}
			p[i] ^= 1 << bit
		}
	}
	if said < 20 {
		t.Errorf("damage was said %d times", said)
	}
}

// FuzzAttributes reads anything as the attributes of an inode or a block.
func FuzzAttributes(f *testing.F) {
	entry := "\x03\x01\x28\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00abc\x00\x00\x00\x00\x00"
	f.Add([]byte(entry+strings.Repeat("v", 40)), 0)
	f.Add([]byte(strings.Repeat("h", attrHeader)+entry+strings.Repeat("v", 40)), attrHeader)
	f.Add([]byte("\x00\x02\x18\x00\x00\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x06\x00"), 0)
	f.Fuzz(func(t *testing.T, p []byte, at int) {
		if at < 0 || at > len(p) {
			return
		}
		r := &attrReader{fs: &FS{}}
		if err := r.entries(p, at); err != nil {
			t.Fatal(err)
		}
		for _, a := range r.list {
			_ = a.Text()
		}
	})
}
