package ext4

import "hash/crc32"

// castagnoli is the table of crc32c.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crc32c continues the checksum as the kernel keeps it: without the inversion
// at the end that the standard library makes.
func crc32c(state uint32, p []byte) uint32 {
	return ^crc32.Update(^state, castagnoli, p)
}

// crc32cUint32 is crc32c of the four bytes of v, and crc32cUint16 of two: for
// so few a call costs more than their sum, and what is passed would escape.
func crc32cUint32(state, v uint32) uint32 {
	return crc32cUint16(crc32cUint16(state, uint16(v)), uint16(v>>16))
}

func crc32cUint16(state uint32, v uint16) uint32 {
	state = castagnoli[byte(state)^byte(v)] ^ state>>8
	return castagnoli[byte(state)^byte(v>>8)] ^ state>>8
}

// crc16 is the one of uninit_bg: polynomial 0x8005, reflected.
func crc16(state uint16, p []byte) uint16 {
	for _, b := range p {
		state ^= uint16(b)
		for range 8 {
			low := state & 1
			state >>= 1
			if low != 0 {
				state ^= 0xa001
			}
		}
	}
	return state
}

// checksumSeed is what every crc32c of the volume starts from.
func (s *superblock) checksumSeed() uint32 {
	if s.incompat&incompatCsumSeed != 0 {
		return le.Uint32(s.raw[0x270:])
	}
	return crc32c(^uint32(0), s.raw[104:120])
}

func (s *superblock) checksumGood() bool {
	return s.rocompat&roMetaCsum == 0 || crc32c(^uint32(0), s.raw[:1020]) == le.Uint32(s.raw[1020:])
}

// descGood checks the checksum of the descriptor of group g.
func (fs *FS) descGood(g uint64, d []byte) bool {
	n := []byte{byte(g), byte(g >> 8), byte(g >> 16), byte(g >> 24)}
	switch {
	case fs.sb.rocompat&roMetaCsum != 0:
		c := crc32cUint16(crc32c(crc32cUint32(fs.seed, uint32(g)), d[:30]), 0)
		return uint16(crc32c(c, d[32:])) == le.Uint16(d[30:])
	case fs.sb.rocompat&roGdtCsum != 0:
		c := crc16(crc16(crc16(^uint16(0), fs.sb.raw[104:120]), n), d[:30])
		if fs.sb.incompat&incompat64bit != 0 {
			c = crc16(c, d[32:])
		}
		return c == le.Uint16(d[30:])
	}
	return true
}

// owner is the seed of what belongs to one inode: its blocks and itself.
func (fs *FS) owner(ino, generation uint32) uint32 {
	return crc32cUint32(crc32cUint32(fs.seed, ino), generation)
}

// inodeGood checks the checksum of an inode.
func (fs *FS) inodeGood(ino uint32, in inode) bool {
	if fs.sb.rocompat&roMetaCsum == 0 {
		return true
	}
	c, wide := fs.inodeSum(ino, in)
	if !wide {
		return uint16(c) == le.Uint16(in[124:])
	}
	return c == uint32(le.Uint16(in[124:]))|uint32(le.Uint16(in[130:]))<<16
}

// inodeSum is the checksum of an inode; when it is not wide only the lower half
// of it is stored.
func (fs *FS) inodeSum(ino uint32, in inode) (c uint32, wide bool) {
	c = crc32cUint16(crc32c(fs.owner(ino, in.generation()), in[:124]), 0)
	c = crc32cUint16(c, le.Uint16(in[126:]))
	switch {
	case len(in) == 128:
		return c, false
	case in.extraSize() < 4:
		return crc32c(c, in[128:]), false
	}
	return crc32c(crc32cUint16(crc32cUint16(c, le.Uint16(in[128:])), 0), in[132:]), true
}

// sealInode sets the checksum of an inode.
func (fs *FS) sealInode(ino uint32, in inode) {
	if fs.sb.rocompat&roMetaCsum == 0 {
		return
	}
	c, wide := fs.inodeSum(ino, in)
	le.PutUint16(in[124:], uint16(c))
	if wide {
		le.PutUint16(in[130:], uint16(c>>16))
	}
}

// dirBlockGood checks the tail of a directory block; blocks of the index have
// theirs elsewhere and are not checked.
func (fs *FS) dirBlockGood(owner uint32, p []byte) bool {
	if fs.sb.rocompat&roMetaCsum == 0 || !hasTail(p) {
		return true
	}
	return crc32c(owner, p[:len(p)-12]) == le.Uint32(p[len(p)-4:])
}

// hasTail knows the false last entry that holds a directory block's checksum.
func hasTail(p []byte) bool {
	t := p[len(p)-12:]
	return le.Uint32(t) == 0 && le.Uint16(t[4:]) == 12 && t[6] == 0 && t[7] == 0xde
}

// extentBlockGood checks the tail of a block of an extent tree, whose header
// says how many entries of 12 bytes it has room for.
func (fs *FS) extentBlockGood(owner uint32, p []byte, room int) bool {
	tail := 12 + 12*room
	if fs.sb.rocompat&roMetaCsum == 0 || tail+4 > len(p) {
		return true
	}
	return crc32c(owner, p[:tail]) == le.Uint32(p[tail:])
}

// sealDir sets the checksum of a directory's block, if it has one.
func (fs *FS) sealDir(owner uint32, p []byte) {
	if fs.sb.rocompat&roMetaCsum != 0 && hasTail(p) {
		le.PutUint32(p[len(p)-4:], crc32c(owner, p[:len(p)-12]))
	}
}
