package xfs

import "hash/crc32"

// blockKind says where a block of metadata of version 5 describes itself:
// offsets of checksum, lsn, uuid and owner, 0 where it has none.
type blockKind struct{ crc, lsn, uuid, owner int }

// knownBlock knows a block by its magic.
func knownBlock(p []byte) blockKind {
	if len(p) < basic {
		return blockKind{}
	}
	switch be.Uint32(p) {
	case magicSuper:
		return blockKind{crc: 224, lsn: 240, uuid: 32}
	case magicAGF:
		return blockKind{crc: 216, lsn: 208, uuid: 64}
	case magicAGI:
		return blockKind{crc: 312, lsn: 320, uuid: 296}
	case magicAFL:
		return blockKind{crc: 32, lsn: 24, uuid: 8}
	case kindInodes.v5, kindFinobt.v5, kindFree.v5, kindCount.v5, kindRmap.v5, kindRefs.v5:
		return blockKind{crc: 52, lsn: 24, uuid: 32}
	case kindBmap.v5:
		return blockKind{crc: 64, lsn: 32, uuid: 40, owner: 56}
	case magicBlock5, magicData5, 0x58444633: // XDF3: free space of a directory
		return blockKind{crc: 4, lsn: 16, uuid: 24, owner: 40}
	case magicLink, 0x5841524d: // XARM: value of an attribute
		return blockKind{crc: 12, lsn: 48, uuid: 16, owner: 32}
	}
	switch be.Uint16(p[8:]) {
	case 0x3ebe, 0x3bee, 0x3df1, 0x3dff: // node, attribute leaf, directory leaves
		return blockKind{crc: 12, lsn: 24, uuid: 32, owner: 48}
	}
	return blockKind{}
}

// seal writes the checksum anew.
func (k blockKind) seal(p []byte, s *superblock) {
	if be.Uint32(p) == magicSuper {
		p = p[:min(len(p), int(s.sectorSize))]
	}
	putSum(p, k.crc)
}

// crcOf is the CRC32C of p.
func crcOf(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }
