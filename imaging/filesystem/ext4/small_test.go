package ext4

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fstest"
)

// made is when everything in the images of testdata was last written.
var made = imaging.Time{Sec: 1767323045, Set: true}

// TestConformance runs the suite over the images that testdata/make.sh makes:
// block maps and inodes of 128 bytes; extents; inline data, checksums and
// descriptors of 64 bytes.
func TestConformance(t *testing.T) {
	for _, name := range []string{"ext2", "ext4", "inline"} {
		t.Run(name, func(t *testing.T) {
			fstest.Run(t, Open, fstest.File(t, "testdata/"+name+".img.gz"), []fstest.Want{
				{Path: "/", Type: filesystem.TypeDir, Size: fstest.AnySize, Inode: 2},
				{Path: "/home/user/.aws/config", Type: filesystem.TypeFile, Size: 29, SHA256: "ef0e298daf81a6bbabba6d1ec2542627557f3a274004cafcd76ec9335acc6f0a", Modified: made},
				{Path: "/home/link", Type: filesystem.TypeSymlink, Size: 16, Link: "user/.aws/config"},
				{Path: "/home/longlink", Type: filesystem.TypeSymlink, Size: 80},
				{Path: "/a", Type: filesystem.TypeFile, Size: 4},
				{Path: "/b", Type: filesystem.TypeFile, Size: 4},
				{Path: "/esc\x1b[31m\nname", Type: filesystem.TypeFile, Size: 5},
				{Path: "/sparse", Type: filesystem.TypeFile, Size: 200001},
				{Path: "/many/file-59", Type: filesystem.TypeFile, Size: 2},
				{Path: "/many/file-7", Status: filesystem.Deleted, Size: fstest.AnySize},
			})
		})
	}
}

// FuzzOpen: whatever the bytes, a walk and the owners end without a panic.
func FuzzOpen(f *testing.F) {
	for _, name := range []string{"ext2", "ext4", "inline"} {
		b, err := os.ReadFile("testdata/" + name + ".img.gz")
		if err != nil {
			f.Fatal(err)
		}
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			f.Fatal(err)
		}
		image, err := io.ReadAll(io.LimitReader(z, 192<<10)) // short inputs are tried faster
		if err != nil {
			f.Fatal(err)
		}
		f.Add(image)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fs, err := Open(fstest.Bytes(b))
		if err != nil {
			return
		}
		n := 0
		for e, err := range fs.Walk(t.Context()) {
			if n++; err != nil || n > 20_000 {
				break
			}
			if src, err := fs.Open(e.Ref); err == nil {
				src.ReadAt(make([]byte, 4096), 0)
			}
		}
		for _, err := range fs.Extents(t.Context()) {
			if n++; err != nil || n > 200_000 {
				break
			}
		}
	})
}
