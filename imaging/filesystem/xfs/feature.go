package xfs

import "fmt"

// Bits of the version number and of the feature words.
const (
	versionAttr  = 0x10
	versionLogV2 = 0x400
	versionCI    = 0x4000
	versionMore  = 0x8000

	features2Projid32 = 0x80
	features2Ftype    = 0x200

	roFinobt    = 1
	roRmapbt    = 2
	roReflink   = 4
	roInoBlocks = 8

	incompatFtype       = 1
	incompatSparse      = 2
	incompatMetaUUID    = 4
	incompatBigtime     = 8
	incompatNeedsRepair = 0x10
	incompatNrext64     = 0x20
	incompatExchange    = 0x40
	incompatParent      = 0x80
	incompatMetadir     = 0x100
	incompatZoned       = 0x200
)

// bitName is a feature with the name that mkfs.xfs and xfs_info use.
type bitName struct {
	bit  uint32
	name string
}

var (
	versionNames = []bitName{
		{versionAttr, "attr"},
		{0x20, "nlink"},
		{0x40, "quota"},
		{0x80, "align"},
		{0x100, "dalign"},
		{0x200, "shared"},
		{versionLogV2, "logv2"},
		{0x800, "sector"},
		{0x1000, "extflg"},
		{0x2000, "dirv2"},
		{versionCI, "asciici"},
		{versionMore, ""},
	}
	features2Names = []bitName{
		{2, "lazy-count"},
		{8, "attr2"},
		{0x10, "parent"},
		{features2Projid32, "projid32bit"},
		{0x100, "crc"},
		{features2Ftype, "ftype"},
	}
	roNames = []bitName{
		{roFinobt, "finobt"}, {roRmapbt, "rmapbt"}, {roReflink, "reflink"}, {roInoBlocks, "inobtcount"},
	}
	incompatNames = []bitName{
		{incompatFtype, "ftype"},
		{incompatSparse, "sparse"},
		{incompatMetaUUID, "meta_uuid"},
		{incompatBigtime, "bigtime"},
		{incompatNeedsRepair, "needsrepair"},
		{incompatNrext64, "nrext64"},
		{incompatExchange, "exchange"},
		{incompatParent, "parent"},
		{incompatMetadir, "metadir"},
		{incompatZoned, "zoned"},
	}
)

// features names what the superblock says is in use, unknown bits by number.
func (s *superblock) features() []string {
	list := []string{fmt.Sprintf("v%d", s.version)}
	seen := make(map[string]bool)
	add := func(word string, bits uint32, names []bitName) {
		for _, n := range names {
			if bits&n.bit != 0 && n.name != "" && !seen[n.name] {
				seen[n.name] = true
				list = append(list, n.name)
			}
			bits &^= n.bit
		}
		if bits != 0 {
			list = append(list, fmt.Sprintf("%s:0x%x", word, bits))
		}
	}
	add("version", uint32(be.Uint16(s.raw[100:])&^15), versionNames)
	add("features2", s.features2, features2Names)
	add("rocompat", s.rocompat, roNames)
	add("incompat", s.incompat, incompatNames)
	return list
}

// state says what an examiner must know of the superblock.
func (s *superblock) state() []string {
	var list []string
	if s.incompat&incompatNeedsRepair != 0 {
		list = append(list, "needs repair: the file system says that it must be repaired before it is mounted")
	}
	if s.raw[126] != 0 && s.at == 0 {
		list = append(list, "mkfs was interrupted")
	}
	var known uint32
	for _, n := range incompatNames {
		known |= n.bit
	}
	if u := s.incompat &^ known; u != 0 {
		list = append(list, fmt.Sprintf("unknown incompatible features 0x%x: what they change is not understood", u))
	}
	if be.Uint64(s.raw[16:]) != 0 {
		list = append(list, "realtime device: content of files on it is not read")
	}
	return list
}
