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

// TestReverseMap compares the owner map with the file system's own, block by
// block.
func TestReverseMap(t *testing.T) {
	fs, err := Open(fstest.Bytes(unpack(t, filepath.Join(corpus(t), "made", "xfs_rmap.img.zst"))))
	if err != nil {
		t.Fatal(err)
	}
	checkRmap(t, fs)
}

// checkRmap demands that each record of the reverse map agrees with Extents.
func checkRmap(t *testing.T, fs *FS) {
	t.Helper()
	type owned struct {
		block uint64
		ino   uint64
		kind  filesystem.OwnerKind
	}
	ours := map[owned]bool{}
	bs := fs.sb.blockSize
	for e, err := range fs.Extents(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		for at := e.Start / bs; e.Status == filesystem.Allocated && at*bs < e.Start+e.Length; at++ {
			ours[owned{uint64(at), e.Ref.Inode, e.Kind}] = true
		}
	}
	records, blocks := 0, 0
	for ag := range fs.groups {
		damage, err := fs.walkTree(uint32(ag), fs.groups[ag].rmap, func(recs []byte) {
			for ; len(recs) >= 24; recs = recs[24:] {
				records++
				owner, flags := int64(be.Uint64(recs[8:])), be.Uint64(recs[16:])>>62
				for i := range be.Uint32(recs[4:]) {
					blocks++
					o := owned{block: uint64(ag)*fs.sb.groupSize + uint64(be.Uint32(recs)+i), ino: uint64(owner), kind: filesystem.OwnContent}
					switch {
					case owner == -4: // the log
						o.ino, o.kind = 0, filesystem.OwnJournal
					case owner < 0: // headers, trees, inodes, what is set aside
						o.ino, o.kind = 0, filesystem.OwnMeta
					case flags&1 != 0:
						o.kind = filesystem.OwnMeta
					case flags&2 != 0:
						o.kind = filesystem.OwnXattr
					case !ours[o]:
						o.kind = filesystem.OwnDir
					}
					if !ours[o] {
						t.Errorf("the reverse map says %+v (owner %d), the owner map does not", o, owner)
						return
					}
				}
			}
		}, nil)
		if err != nil || damage != "" {
			t.Errorf("group %d: %s %v", ag, damage, err)
		}
	}
	if t.Logf("%d records, %d blocks", records, blocks); records < 100 {
		t.Errorf("%d records", records)
	}
}
