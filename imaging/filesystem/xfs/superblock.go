package xfs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"
	"strings"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

var be = binary.BigEndian

const (
	magicSuper = 0x58465342 // XFSB
	// minSuper is the part of a superblock that is read, in bytes.
	minSuper = 264
	// minGroup is the smallest allocation group that mkfs ever made, bytes.
	minGroup = 16 << 20
	noInode  = ^uint64(0)
)

// superblock is what the reader uses of one.
type superblock struct {
	raw        []byte // one sector
	at         int64  // bytes from the start of the volume; 0 for the primary
	blockSize  int64
	blocks     uint64
	groupSize  uint64 // blocks of every group but the last
	groups     uint64
	sectorSize int64
	inodeSize  int
	inopblog   uint // log2 of inodes in a block
	agblklog   uint
	dirBlock   int64 // bytes of a directory block
	root       uint64
	logStart   uint64 // file system block number, 0 when the log is external
	logBlocks  uint64
	version    int // 4 or 5
	features2  uint32
	rocompat   uint32
	incompat   uint32
	uuid       [16]byte // that metadata blocks carry
}

// parseSuper reads a superblock and says why it cannot be one. p is at least
// minSuper bytes, best 64 KiB from the place of the superblock on.
func parseSuper(p []byte, at int64) (superblock, string) {
	if len(p) < minSuper || be.Uint32(p) != magicSuper {
		return superblock{}, "no XFS superblock magic"
	}
	s := superblock{
		at: at, blockSize: int64(be.Uint32(p[4:])), blocks: be.Uint64(p[8:]),
		logStart: be.Uint64(p[48:]), root: be.Uint64(p[56:]),
		groupSize: uint64(be.Uint32(p[84:])), groups: uint64(be.Uint32(p[88:])), logBlocks: uint64(be.Uint32(p[96:])),
		version: int(be.Uint16(p[100:]) & 15), sectorSize: int64(be.Uint16(p[102:])), inodeSize: int(be.Uint16(p[104:])),
		inopblog: uint(p[123]), agblklog: uint(p[124]),
	}
	if s.hasBit(p, versionMore) {
		s.features2 = be.Uint32(p[200:])
	}
	copy(s.uuid[:], p[32:48])
	if s.version == 5 {
		s.rocompat, s.incompat = be.Uint32(p[212:]), be.Uint32(p[216:])
		if s.incompat&incompatMetaUUID != 0 {
			copy(s.uuid[:], p[248:264])
		}
	}
	if why := s.check(int(p[192])); why != "" {
		return s, why
	}
	s.raw = bytes.Clone(p[:min(len(p), int(s.sectorSize))])
	return s, ""
}

func (s *superblock) hasBit(p []byte, bit uint16) bool { return be.Uint16(p[100:])&bit != 0 }

// check demands what every later calculation relies on.
func (s *superblock) check(dirblklog int) string {
	power := func(n int64) bool { return n > 0 && bits.OnesCount64(uint64(n)) == 1 }
	switch {
	case s.version != 4 && s.version != 5:
		return fmt.Sprintf("version %d", s.version)
	case !power(s.blockSize) || s.blockSize < 512 || s.blockSize > 65536:
		return fmt.Sprintf("block size %d", s.blockSize)
	case !power(s.sectorSize) || s.sectorSize < 512 || s.sectorSize > 32768:
		return fmt.Sprintf("sector size %d", s.sectorSize)
	case !power(int64(s.inodeSize)) || s.inodeSize < 256 || s.inodeSize > 2048 || int64(s.inodeSize) > s.blockSize:
		return fmt.Sprintf("inode size %d", s.inodeSize)
	case int64(s.inodeSize)<<s.inopblog != s.blockSize:
		return fmt.Sprintf("2^%d inodes of %d bytes in a block of %d", s.inopblog, s.inodeSize, s.blockSize)
	case s.groupSize*uint64(s.blockSize) < minGroup || s.groupSize > 1<<31 || uint(bits.Len64(s.groupSize-1)) != s.agblklog:
		return fmt.Sprintf("groups of %d blocks, addressed by %d bits", s.groupSize, s.agblklog)
	case s.blocks == 0 || s.blocks > 1<<62/uint64(s.blockSize) || s.groups == 0 ||
		s.groups != (s.blocks+s.groupSize-1)/s.groupSize:
		return fmt.Sprintf("%d blocks in %d groups of %d", s.blocks, s.groups, s.groupSize)
	case dirblklog > 16 || s.blockSize<<dirblklog > 65536:
		return fmt.Sprintf("directory blocks of %d bytes times 2^%d", s.blockSize, dirblklog)
	}
	s.dirBlock = s.blockSize << dirblklog
	return ""
}

// crcGood checks the CRC32C of p, which stands little-endian at off and counts
// as zero itself.
func crcGood(p []byte, off int) bool {
	c := crc32.Update(0, castagnoli, p[:off])
	c = crc32.Update(c, castagnoli, zero4[:])
	c = crc32.Update(c, castagnoli, p[off+4:])
	return c == binary.LittleEndian.Uint32(p[off:])
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	zero4      [4]byte
)

func (s *superblock) crc() bool { return s.version == 5 }

func (s *superblock) checksumGood() bool {
	return !s.crc() || len(s.raw) == int(s.sectorSize) && crcGood(s.raw, 224)
}

// groupLen is how many blocks group ag has.
func (s *superblock) groupLen(ag uint64) uint64 {
	if ag+1 < s.groups {
		return s.groupSize
	}
	return s.blocks - ag*s.groupSize
}

// block turns a block number of the file system, which has the group in its
// upper bits, into a count of blocks from the start; ok is false when the n
// blocks from there leave the group.
func (s *superblock) block(fsb, n uint64) (linear uint64, ok bool) {
	ag, in := fsb>>s.agblklog, fsb&(1<<s.agblklog-1)
	if ag >= s.groups {
		return 0, false
	}
	size := s.groupLen(ag)
	return ag*s.groupSize + in, in < size && n <= size-in
}

// hasType says that directory entries carry the type of what they name.
func (s *superblock) hasType() bool {
	return s.version == 5 || s.features2&features2Ftype != 0
}

// info is the description of the file system.
func (s *superblock) info() filesystem.Info {
	i := filesystem.Info{
		Type: "xfs", Label: strings.TrimRight(string(s.raw[108:120]), "\x00"),
		UUID:      uuidText(s.raw[32:48]),
		BlockSize: s.blockSize, Size: int64(s.blocks) * s.blockSize, Features: s.features(),
	}
	if s.at != 0 {
		i.State = append(i.State, fmt.Sprintf("the superblock is bad; the copy at byte %d is used", s.at))
	}
	if !s.checksumGood() {
		i.State = append(i.State, "csum: the superblock does not match its checksum")
	}
	i.State = append(i.State, s.state()...)
	return i
}

// notSuper is the error of a source without a superblock.
func notSuper(reason string) error {
	return &imaging.FormatError{Format: "xfs", Offset: 0, Reason: reason}
}
