package ext4

import (
	"bytes"

	"snapcase/imaging"
)

// logKind says whether p is one of the journal's own blocks, of which kind and
// of which transaction.
func logKind(p []byte) (kind, sequence uint32, ok bool) {
	return be.Uint32(p[4:]), be.Uint32(p[8:]), be.Uint32(p) == journalMagic
}

// Flags of a tag.
const (
	tagEscaped  = 0x1 // the block began with the journal's magic
	tagSameUUID = 0x2 // no UUID follows
	tagLast     = 0x8
)

// tag says of which block of the volume a block of the journal is a copy.
type tag struct {
	block   uint64
	sum     uint32
	escaped bool
}

// tail is how many bytes at the end of a descriptor are its checksum.
func (j *journal) tail() int {
	if j.sums {
		return 4
	}
	return 0
}

// tags appends the tags of a descriptor block.
func (j *journal) tags(tags []tag, p []byte) []tag {
	end := len(p) - j.tail()
	for off := 12; off+j.tagSize <= end; {
		b := p[off : off+j.tagSize]
		flags := be.Uint16(b[6:])
		t := tag{block: uint64(be.Uint32(b)), escaped: flags&tagEscaped != 0, sum: uint32(be.Uint16(b[4:]))}
		if j.wide {
			t.block |= uint64(be.Uint32(b[8:])) << 32
		}
		if j.sum32 {
			t.sum = be.Uint32(b[12:])
		}
		tags = append(tags, t)
		off += j.tagSize
		if flags&tagSameUUID == 0 {
			off += 16
		}
		if flags&tagLast != 0 {
			break
		}
	}
	return tags
}

// revokes gives the blocks that a revoke block names to use.
func (j *journal) revokes(p []byte, use func(block uint64)) {
	size := 4
	if j.wide {
		size = 8
	}
	end := min(int64(be.Uint32(p[12:])), int64(len(p)-j.tail()))
	for off := 16; int64(off+size) <= end; off += size {
		if j.wide {
			use(be.Uint64(p[off:]))
		} else {
			use(uint64(be.Uint32(p[off:])))
		}
	}
}

// blockGood checks the checksum at the end of a descriptor or revoke block.
func (j *journal) blockGood(p []byte) bool {
	if !j.sums {
		return true
	}
	n := len(p) - 4
	return crc32c(crc32c(j.seed, p[:n]), []byte{0, 0, 0, 0}) == be.Uint32(p[n:])
}

// copyGood checks a copy of a block, as it stands in the journal, against its
// tag.
func (j *journal) copyGood(t *tag, sequence uint32, p []byte) bool {
	if !j.sums {
		return true
	}
	c := crc32c(crc32c(j.seed, be.AppendUint32(nil, sequence)), p)
	return c == t.sum || !j.sum32 && c&0xffff == t.sum
}

// commitGood checks the checksum of a commit block. Older kernels left behind
// its header what stood there, and did not count it.
func (j *journal) commitGood(p []byte) bool {
	if !j.sums {
		return true
	}
	const at, header = 16, 60
	want := be.Uint32(p[at:])
	c := crc32c(crc32c(j.seed, p[:at]), []byte{0, 0, 0, 0})
	if crc32c(c, p[at+4:]) == want {
		return true
	}
	c = crc32c(c, p[at+4:header])
	return crc32c(c, bytes.Repeat([]byte{0}, len(p)-header)) == want
}

// commitTime is when a transaction was committed; not set when the commit does
// not say.
func commitTime(p []byte) imaging.Time {
	sec, nsec := be.Uint64(p[48:]), be.Uint32(p[56:])
	if sec == 0 || sec > 1<<40 || nsec >= 1e9 {
		return imaging.Time{}
	}
	return imaging.Time{Sec: int64(sec), Nsec: int32(nsec), Set: true}
}

// crcTable is that of the CRC-32 whose highest bit comes first: the first kind
// of checksum of a journal.
func crcTable() *[256]uint32 {
	var t [256]uint32
	for i := range t {
		c := uint32(i) << 24
		for range 8 {
			high := c >> 31
			c <<= 1
			if high != 0 {
				c ^= 0x04c11db7
			}
		}
		t[i] = c
	}
	return &t
}

func crc32be(t *[256]uint32, state uint32, p []byte) uint32 {
	for _, b := range p {
		state = state<<8 ^ t[byte(state>>24)^b]
	}
	return state
}

// sumV1Good checks a commit against the checksum of its transaction: none, or
// the same.
func sumV1Good(p []byte, sum uint32) bool {
	kind, size, stored := p[12], p[13], be.Uint32(p[16:])
	return kind == 0 && size == 0 && stored == 0 || kind == 1 && size == 4 && stored == sum
}
