package xfs

import (
	"cmp"
	"slices"
)

// freeSpace answers whether blocks are free, from the trees of free extents,
// which it reads group by group when they are asked for. It is not safe for
// concurrent use.
type freeSpace struct {
	fs   *FS
	kept map[uint32][]extentOf
}

// extentOf is n blocks of a group from start on.
type extentOf struct{ start, n uint32 }

func (fs *FS) newFreeSpace() *freeSpace {
	return &freeSpace{fs: fs, kept: make(map[uint32][]extentOf)}
}

// of gives the free extents of a group in order, without overlaps.
func (f *freeSpace) of(ag uint32) ([]extentOf, error) {
	if list, ok := f.kept[ag]; ok {
		return list, nil
	}
	list, _, err := f.fs.freeExtents(ag)
	if err != nil {
		return nil, err
	}
	if len(f.kept) >= 1024 {
		clear(f.kept)
	}
	f.kept[ag] = list
	return list, nil
}

// freeExtents reads the tree of free extents of a group, and adds those that
// the log says were about to be freed.
func (fs *FS) freeExtents(ag uint32) (list []extentOf, damage string, err error) {
	if int(ag) >= len(fs.groups) || fs.groups[ag].agfBad {
		return nil, "", nil
	}
	size := fs.sb.groupLen(uint64(ag))
	damage, err = fs.walkTree(ag, fs.groups[ag].free, func(recs []byte) {
		for ; len(recs) >= 8; recs = recs[8:] {
			e := extentOf{be.Uint32(recs), be.Uint32(recs[4:])}
			if e.n > 0 && uint64(e.start) < size && uint64(e.n) <= size-uint64(e.start) {
				list = append(list, e)
			}
		}
	}, nil)
	list = append(list, fs.freeing[ag]...)
	slices.SortFunc(list, func(a, b extentOf) int { return cmp.Compare(a.start, b.start) })
	kept, end := list[:0], uint32(0)
	for _, e := range list {
		if e.start >= end {
			kept = append(kept, e)
			end = e.start + e.n
		}
	}
	return kept, damage, err
}

// used counts how many of n blocks from block on are in use. The blocks lie in
// one group.
func (f *freeSpace) used(block, n uint64) (uint64, error) {
	s := &f.fs.sb
	ag, at := uint32(block/s.groupSize), uint32(block%s.groupSize)
	if int(ag) < len(f.fs.groups) && f.fs.groups[ag].agfBad {
		return 0, nil // not known
	}
	list, err := f.of(ag)
	if err != nil {
		return 0, err
	}
	i, _ := slices.BinarySearchFunc(list, at, func(e extentOf, at uint32) int { return cmp.Compare(e.start+e.n, at+1) })
	used, end := n, uint64(at)+n
	for ; i < len(list) && uint64(list[i].start) < end; i++ {
		from, to := max(list[i].start, at), min(uint64(list[i].start+list[i].n), end)
		used -= to - uint64(from)
	}
	return used, nil
}
