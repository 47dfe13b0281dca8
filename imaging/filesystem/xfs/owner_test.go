package xfs

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"
	"testing"

	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fstest"
)

// checkCover demands that every byte of a sound volume has exactly one owner
// among what is allocated, free or the volume's own.
func checkCover(t *testing.T, fs *FS) {
	t.Helper()
	var list []filesystem.Extent
	for e, err := range fs.Extents(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Status == filesystem.Allocated {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b filesystem.Extent) int { return cmp.Compare(a.Start, b.Start) })
	at, bad := int64(0), 0
	for _, e := range list {
		shared := e.Start < at && e.Kind == filesystem.OwnContent && fs.sb.rocompat&roReflink != 0
		if e.Start != at && !shared && bad < 5 {
			bad++
			t.Errorf("owned up to byte %d (block %d), the next extent is %+v", at, at/fs.sb.blockSize, e)
		}
		at = max(at, e.Start+e.Length)
	}
	if at != min(fs.info.Size, fs.src.Size()) {
		t.Errorf("owned up to byte %d of %d", at, fs.info.Size)
	}
}

// TestCoverMade checks the owner map of the feature images.
func TestCoverMade(t *testing.T) {
	images, _ := filepath.Glob(filepath.Join(corpus(t), "made", "xfs*.img.zst"))
	for _, path := range images {
		t.Run(filepath.Base(path), func(t *testing.T) {
			fs, err := Open(fstest.Bytes(unpack(t, path)))
			if err != nil {
				t.Fatal(err)
			}
			checkCover(t, fs)
		})
	}
}
