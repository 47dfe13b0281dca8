package xfs

import (
	"encoding/binary"
	"fmt"
)

// group is what the reader keeps of the headers of one allocation group.
type group struct {
	inodes  tree // of inode chunks
	free    tree // of free extents by place
	rmap    tree // of owners, root 0 where there is none
	refs    tree // of shared blocks, root 0 where there is none
	finobt  tree
	count   tree // of free extents by size
	agfBad  bool // no magic: free, rmap, refs and count are not known
	agiBad  bool // no magic: inodes and finobt are not known
	outside bool // the header lies outside the image
	damage  string
}

// tree names the root of a B+tree of a group.
type tree struct {
	kind  treeKind
	root  uint32
	level uint32 // levels of the tree
}

// treeKind is the shape of the B+trees of one kind.
type treeKind struct {
	v4, v5        uint32 // magic
	rec, key, ptr int    // bytes
	word          string
}

var (
	kindInodes = treeKind{0x49414254, 0x49414233, 16, 4, 4, "inode tree"}
	kindFinobt = treeKind{0x46494254, 0x46494233, 16, 4, 4, "tree of free inodes"}
	kindFree   = treeKind{0x41425442, 0x41423342, 8, 8, 4, "tree of free extents"}
	kindCount  = treeKind{0x41425443, 0x41423343, 8, 8, 4, "tree of free extents by size"}
	kindRmap   = treeKind{0x524d4233, 0x524d4233, 24, 40, 4, "reverse map"}
	kindRefs   = treeKind{0x52334643, 0x52334643, 12, 4, 4, "tree of shared blocks"}
	kindBmap   = treeKind{0x424d4150, 0x424d4133, 16, 8, 8, "extent tree"}
)

// loadGroups reads the headers of all groups that the image has.
func (fs *FS) loadGroups() error {
	s := &fs.sb
	bytes := int64(s.groupSize) * s.blockSize
	held := uint64((fs.src.Size() + bytes - 1) / bytes)
	n := min(s.groups, max(held, 1))
	fs.groups = make([]group, n)
	bad := 0
	buf := make([]byte, 4*s.sectorSize)
	for ag := range fs.groups {
		have, err := fs.read(buf, int64(ag)*bytes)
		if err != nil {
			return fmt.Errorf("header of group %d: %w", ag, err)
		}
		g := &fs.groups[ag]
		if have < len(buf) {
			g.outside, g.agfBad, g.agiBad = true, true, true
			continue
		}
		fs.parseGroup(uint32(ag), buf)
		if g.damage != "" {
			if bad++; bad <= 4 {
				fs.note("group %d: %s", ag, g.damage)
			}
		}
	}
	if bad > 4 {
		fs.note("%d of %d groups have damaged headers", bad, n)
	}
	if lost := s.groups - n; lost > 0 || fs.groups[n-1].outside {
		fs.note("truncated: the image has %d bytes, the file system %d", fs.src.Size(), fs.info.Size)
	}
	return nil
}

// parseGroup reads the sectors of the free space and inode headers.
func (fs *FS) parseGroup(ag uint32, p []byte) {
	s, g := &fs.sb, &fs.groups[ag]
	f, i := p[s.sectorSize:2*s.sectorSize], p[2*s.sectorSize:3*s.sectorSize]
	note := func(text string) {
		if g.damage == "" {
			g.damage = text
		}
	}
	if be.Uint32(f) == magicAGF {
		g.free = tree{kindFree, be.Uint32(f[16:]), be.Uint32(f[28:])}
		g.count = tree{kindCount, be.Uint32(f[20:]), be.Uint32(f[32:])}
		if s.rocompat&roRmapbt != 0 {
			g.rmap = tree{kindRmap, be.Uint32(f[24:]), be.Uint32(f[36:])}
		}
		if s.rocompat&roReflink != 0 {
			g.refs = tree{kindRefs, be.Uint32(f[88:]), be.Uint32(f[92:])}
		}
		if s.crc() && !crcGood(f, 216) {
			note("csum: the header of the free space does not match its checksum")
		}
	} else {
		g.agfBad = true
		note("range: the header of the free space has no magic")
	}
	if be.Uint32(i) == magicAGI {
		g.inodes = tree{kindInodes, be.Uint32(i[20:]), be.Uint32(i[24:])}
		if s.rocompat&roFinobt != 0 {
			g.finobt = tree{kindFinobt, be.Uint32(i[328:]), be.Uint32(i[332:])}
		}
		if s.crc() && !crcGood(i, 312) {
			note("csum: the header of the inodes does not match its checksum")
		}
	} else {
		g.agiBad = true
		note("range: the header of the inodes has no magic")
	}
	if be.Uint32(f) == magicAGF && be.Uint32(f[8:]) != ag || be.Uint32(i) == magicAGI && be.Uint32(i[8:]) != ag {
		note("range: a header says another group")
	}
}

// note adds to Info.State.
func (fs *FS) note(format string, args ...any) {
	fs.info.State = append(fs.info.State, fmt.Sprintf(format, args...))
}

// unlinkedHeads reads the 64 lists of unlinked inodes of a group.
func (fs *FS) unlinkedHeads(ag uint32) (heads [64]uint32, err error) {
	s := &fs.sb
	buf := make([]byte, s.sectorSize)
	for i := range heads {
		heads[i] = noUnlinked
	}
	if fs.groups[ag].agiBad {
		return heads, nil
	}
	_, err = fs.read(buf, int64(ag)*int64(s.groupSize)*s.blockSize+2*s.sectorSize)
	if err != nil || be.Uint32(buf) != magicAGI {
		return heads, err
	}
	_, err = binary.Decode(buf[40:40+256], be, &heads)
	return heads, err
}
