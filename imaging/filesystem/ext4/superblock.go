package ext4

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

var le = binary.LittleEndian

const (
	superSize   = 1024
	superOffset = 1024
	magic       = 0xef53
	rootInode   = 2
	// scanLimit is how far from the start a backup superblock is searched for
	// when none stands where mkfs would have put it, in bytes.
	scanLimit = 64 << 20
)

// superblock is what the reader uses of one.
type superblock struct {
	raw            []byte
	at             int64  // bytes from the start of the volume
	group          uint64 // whose copy it is, 0 for the primary
	inodes         uint32
	blocks         uint64
	firstBlock     uint64
	blockSize      int64
	clusterBlocks  uint64 // blocks in a cluster
	perGroup       uint64 // blocks
	inodesPerGroup uint32
	inodeSize      int
	firstInode     uint32
	descSize       int
	compat         uint32
	incompat       uint32
	rocompat       uint32
	groupCount     uint64
	notes          []string
}

// parseSuper reads a superblock and says why it cannot be one.
func parseSuper(p []byte, at int64) (superblock, string) {
	if len(p) < superSize || le.Uint16(p[56:]) != magic {
		return superblock{}, "no ext superblock magic"
	}
	s := superblock{
		raw: p, at: at,
		inodes: le.Uint32(p), blocks: uint64(le.Uint32(p[4:])), firstBlock: uint64(le.Uint32(p[20:])),
		perGroup: uint64(le.Uint32(p[32:])), inodesPerGroup: le.Uint32(p[40:]),
		inodeSize: 128, firstInode: 11, descSize: 32, clusterBlocks: 1,
	}
	if le.Uint32(p[24:]) > 6 {
		return s, fmt.Sprintf("block size 2^%d", uint64(le.Uint32(p[24:]))+10)
	}
	s.blockSize = 1024 << le.Uint32(p[24:])
	if le.Uint32(p[76:]) > 0 {
		s.firstInode, s.inodeSize = le.Uint32(p[84:]), int(le.Uint16(p[88:]))
		s.compat, s.incompat, s.rocompat = le.Uint32(p[92:]), le.Uint32(p[96:]), le.Uint32(p[100:])
	}
	if s.incompat&incompat64bit != 0 {
		s.blocks |= uint64(le.Uint32(p[336:])) << 32
		s.descSize = int(le.Uint16(p[254:]))
	}
	if s.rocompat&roBigalloc != 0 {
		log, cluster := le.Uint32(p[24:]), le.Uint32(p[28:])
		if cluster < log || cluster-log > 20 {
			return s, fmt.Sprintf("cluster size 2^%d", uint64(cluster)+10)
		}
		s.clusterBlocks = 1 << (cluster - log)
	}
	return s, s.check()
}

// check demands what every later calculation relies on.
func (s *superblock) check() string {
	bitmap := uint64(s.blockSize) * 8
	switch {
	case s.incompat&incompatJournalDev != 0:
		return "it is an external journal, not a file system"
	case s.inodeSize < 128 || int64(s.inodeSize) > s.blockSize || bits.OnesCount(uint(s.inodeSize)) != 1:
		return fmt.Sprintf("inode size %d", s.inodeSize)
	case s.perGroup == 0 || s.perGroup > bitmap*s.clusterBlocks:
		return fmt.Sprintf("%d blocks a group", s.perGroup)
	case s.inodesPerGroup == 0 || uint64(s.inodesPerGroup) > bitmap:
		return fmt.Sprintf("%d inodes a group", s.inodesPerGroup)
	case s.blocks <= s.firstBlock || s.blocks > 1<<47 || s.firstBlock > 1:
		return fmt.Sprintf("%d blocks from block %d", s.blocks, s.firstBlock)
	case s.inodes < rootInode:
		return fmt.Sprintf("%d inodes", s.inodes)
	}
	if s.descSize == 0 {
		s.descSize = 32
	}
	if s.descSize < 32 || int64(s.descSize) > s.blockSize {
		return fmt.Sprintf("group descriptors of %d bytes", s.descSize)
	}
	s.groupCount = (s.blocks - s.firstBlock + s.perGroup - 1) / s.perGroup
	if s.groupCount*uint64(s.inodesPerGroup) > 1<<32 {
		return fmt.Sprintf("%d groups of %d inodes", s.groupCount, s.inodesPerGroup)
	}
	if want := s.groupCount * uint64(s.inodesPerGroup); want != uint64(s.inodes) {
		s.notes = append(s.notes, fmt.Sprintf("superblock says %d inodes, its groups hold %d", s.inodes, want))
	}
	return ""
}

// maxInode is the highest inode number that the groups have room for.
func (s *superblock) maxInode() uint32 {
	return uint32(min(s.groupCount*uint64(s.inodesPerGroup), 1<<32-1))
}

func (s *superblock) groupStart(g uint64) uint64 { return s.firstBlock + g*s.perGroup }

// groupBlocks is how many blocks group g has: the last one may be short.
func (s *superblock) groupBlocks(g uint64) uint64 {
	return min(s.perGroup, s.blocks-s.groupStart(g))
}

// hasSuper says whether group g starts with a copy of the superblock.
func (s *superblock) hasSuper(g uint64) bool {
	switch {
	case g == 0:
		return true
	case s.compat&compatSparse2 != 0:
		return g == uint64(le.Uint32(s.raw[0x24c:])) || g == uint64(le.Uint32(s.raw[0x250:]))
	case g == 1 || s.rocompat&roSparse == 0:
		return true
	case g%2 == 0:
		return false
	}
	return powerOf(g, 3) || powerOf(g, 5) || powerOf(g, 7)
}

func powerOf(g, base uint64) bool {
	for g%base == 0 {
		g /= base
	}
	return g == 1
}

func readSuper(src imaging.Source, at int64) (superblock, string, error) {
	p := make([]byte, superSize)
	n, err := readZero(src, p, at)
	if err != nil {
		return superblock{}, "", err
	}
	sb, why := parseSuper(p[:n], at)
	return sb, why, nil
}

// findSuperblock gives the primary superblock, or the first backup that makes
// sense where the primary does not.
func findSuperblock(src imaging.Source) (superblock, error) {
	sb, why, err := readSuper(src, superOffset)
	if err != nil {
		return sb, err
	}
	if why == "" {
		return sb, nil
	}
	bad := &imaging.FormatError{Format: "ext4", Offset: superOffset, Reason: why}
	if sb.incompat&incompatJournalDev != 0 && len(sb.raw) > 0 {
		return sb, bad
	}
	backup, ok, err := findBackup(src, true)
	if err != nil || !ok {
		if err == nil {
			err = bad
		}
		return sb, err
	}
	backup.notes = append(backup.notes, fmt.Sprintf("primary superblock is bad (%s): backup superblock used, group %d at byte %d",
		why, backup.group, backup.at))
	return backup, nil
}

// findBackup looks for a backup superblock where mkfs puts them and, with
// scan, at every KiB of the first 64 MiB.
func findBackup(src imaging.Source, scan bool) (superblock, bool, error) {
	for _, g := range []int64{1, 3, 5, 7, 9, 25, 27, 49} {
		for log := range 7 {
			bs := int64(1024) << log
			perGroup := min(bs*8, 65528)
			at := g * perGroup * bs
			if bs == 1024 {
				at += bs
			}
			sb, ok, err := backupAt(src, at)
			if err != nil || ok {
				return sb, ok, err
			}
		}
	}
	if !scan {
		return superblock{}, false, nil
	}
	buf := make([]byte, 1<<20)
	for off := int64(0); off < min(scanLimit, src.Size()); off += int64(len(buf)) {
		n, err := readZero(src, buf, off)
		if err != nil {
			return superblock{}, false, err
		}
		for i := 0; i+superSize <= n; i += superSize {
			if le.Uint16(buf[i+56:]) != magic || off+int64(i) == superOffset {
				continue
			}
			sb, ok, err := backupAt(src, off+int64(i))
			if err != nil || ok {
				return sb, ok, err
			}
		}
	}
	return superblock{}, false, nil
}

// backupAt reads a backup superblock and checks that it stands where one can:
// at the start of a group, the one that it names (old ones name group 0).
func backupAt(src imaging.Source, at int64) (superblock, bool, error) {
	sb, why, err := readSuper(src, at)
	if err != nil || why != "" {
		return sb, false, err
	}
	block := uint64(at / sb.blockSize)
	if at%sb.blockSize != 0 || block <= sb.firstBlock || (block-sb.firstBlock)%sb.perGroup != 0 {
		return sb, false, nil
	}
	sb.group = (block - sb.firstBlock) / sb.perGroup
	named := uint64(le.Uint16(sb.raw[90:]))
	return sb, sb.group < sb.groupCount && (named == 0 || named == sb.group&0xffff), nil
}

// Probe says whether src looks like ext2, ext3 or ext4: a primary superblock
// that makes sense, or a backup where mkfs puts one, unless the start of src
// carries the signature of another format, whose owner came later.
func Probe(src imaging.Source) bool {
	sb, why, err := readSuper(src, superOffset)
	if err != nil {
		return false
	}
	if why == "" {
		return true
	}
	if sb.incompat&incompatJournalDev != 0 || foreign(src) {
		return false
	}
	_, ok, err := findBackup(src, false)
	return err == nil && ok
}

// foreign knows the formats that are likely to have followed an ext volume.
func foreign(src imaging.Source) bool {
	p := make([]byte, 4096)
	if _, err := readZero(src, p, 0); err != nil {
		return true
	}
	for _, s := range []struct {
		off  int
		text string
	}{
		{0, "XFSB"},
		{0, "LUKS\xba\xbe"},
		{3, "NTFS    "},
		{3, "EXFAT   "},
		{3, "-FVE-FS-"},
		{54, "FAT"},
		{82, "FAT32"},
		{0, "hsqs"},
		{4086, "SWAPSPACE2"},
		{1024, "\x10\x20\xf5\xf2"},
		{0, "LABELONE"},
		{512, "LABELONE"},
		{1024, "LABELONE"},
		{1536, "LABELONE"},
		{512, "EFI PART"},
		{32, "NXSB"},
	} {
		if bytes.HasPrefix(p[s.off:], []byte(s.text)) {
			return true
		}
	}
	return false
}

// info is Info as far as the superblock knows it.
func (s *superblock) info(source int64) filesystem.Info {
	i := filesystem.Info{
		Type: s.kind(), BlockSize: s.blockSize, Size: int64(s.blocks) * s.blockSize,
		Label:    string(bytes.TrimRight(s.raw[120:136], "\x00")),
		UUID:     uuid(s.raw[104:120]),
		Features: s.features(), State: append([]string(nil), s.notes...),
	}
	note := func(when bool, format string, args ...any) {
		if when {
			i.State = append(i.State, fmt.Sprintf(format, args...))
		}
	}
	state := le.Uint16(s.raw[58:])
	note(state&1 == 0, "not cleanly unmounted")
	note(state&2 != 0, "the kernel noted errors: %d, the last in %q", le.Uint32(s.raw[404:]), cString(s.raw[476:508]))
	note(s.incompat&^knownIncompat != 0, "unknown incompatible features 0x%x: read as far as it goes", s.incompat&^knownIncompat)
	note(i.Size > source, "truncated: the file system has %d bytes, the image %d", i.Size, source)
	note(!s.checksumGood(), "csum: the superblock's checksum does not match")
	note(le.Uint32(s.raw[232:]) != 0, "the orphan list is not empty: it starts with inode %d", le.Uint32(s.raw[232:]))
	return i
}

// uuid is the text of 16 bytes.
func uuid(u []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

func cString(p []byte) string {
	s, _, _ := bytes.Cut(p, []byte{0})
	return string(s)
}
