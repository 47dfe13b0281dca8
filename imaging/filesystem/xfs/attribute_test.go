package xfs

import (
	"os"
	"strings"
	"testing"

	"snapcase/imaging/filesystem/fstest"
)

// TestAttributes compares attributes of every form with the kernel's.
func TestAttributes(t *testing.T) {
	needKernel(t)
	for _, options := range []string{"", "-b size=1k", "-i size=1024,nrext64=1", "-i size=2048 -s size=4096"} {
		t.Run(options, func(t *testing.T) {
			v := newVolume(t, 330<<20, strings.Fields(options)...)
			v.must(os.Mkdir(v.path("x"), 0o755))
			fstest.FillAttributes(t, v.path("x"), 3000, 65536)
			v.remount("ro,norecovery")
			x, err := Open(openDisk(t, v.image))
			v.must(err)
			fstest.CompareAttributes(t, x, v.path("x"), "/x")
		})
	}
}

// FuzzAttributes reads anything as attributes in an inode and as a leaf.
func FuzzAttributes(f *testing.F) {
	f.Add([]byte("\x00\x10\x01\x00\x03\x04\x00abcdefg"))
	leaf := make([]byte, 256)
	copy(leaf[56:], "\x00\x02")
	copy(leaf[80:], "\x00\x00\x00\x01\x00\x70\x01\x00\x00\x00\x00\x02\x00\x90\x02\x00")
	copy(leaf[112:], "\x00\x04\x03abcdefg")
	copy(leaf[144:], "\x00\x00\x00\x01\x00\x00\x00\x20\x03abc")
	f.Add(leaf)
	f.Fuzz(func(t *testing.T, p []byte) {
		fs := &FS{src: fstest.Bytes(nil), sb: superblock{blockSize: 4096}}
		r := &attrReader{fs: fs}
		r.short(p)
		if len(p) >= 128 {
			for _, v5 := range []bool{false, true} {
				if err := r.leaf(p, v5); err != nil {
					t.Fatal(err)
				}
				nodeFirst(p, v5)
			}
		}
		for _, a := range r.list {
			_ = a.Text()
		}
	})
}
