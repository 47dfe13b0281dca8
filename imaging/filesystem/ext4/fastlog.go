package ext4

import (
	"bytes"
	"context"
	"fmt"
)

// Tags of a fast commit, little-endian unlike the rest of the journal: the tag
// and the length of its value, 16 bits each, and the value.
const (
	fastAddRange = 1 // inode, extent of 12 bytes
	fastDelRange = 2 // inode, first block of the content, blocks
	fastCreate   = 3 // inode of the directory, inode, name
	fastLink     = 4 // the same
	fastUnlink   = 5 // the same
	fastInode    = 6 // inode, its bytes
	fastPad      = 7
	fastTail     = 8 // transaction, checksum
	fastHead     = 9 // features, transaction
)

// maxFast is how much of the area of fast commits is read, in bytes: eight
// times what it has when nothing else is said.
const maxFast = 8 << 20

// fastTag is one change that a fast commit tells.
type fastTag struct {
	kind  uint16
	value []byte
}

// fastLog is the fast commits that belong behind the last transaction of a
// journal.
type fastLog struct {
	tags    []fastTag // of those that are whole
	commits int
	damage  string // why they end where they do, unless they just end

	inodeSize int
	sequence  uint32 // of the transaction that they begin
	sum       uint32
	whole     int // of tags
}

// fast reads the fast commits that follow transaction sequence-1, as the kernel
// does: they begin with a head that names that sequence, each ends with a tail
// that names it too and has the checksum of all since the one before, and what
// follows the last good tail is what an older series has left, or was being
// written.
func (j *journal) fast(ctx context.Context, sequence uint32) (*fastLog, error) {
	l := &fastLog{inodeSize: j.fs.sb.inodeSize, sequence: sequence}
	r := j.reader()
	limit := uint32(maxFast / j.fs.sb.blockSize)
	for k := j.end + 1; k < j.blocks; k++ { // the kernel leaves one block out
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if k-j.end > limit {
			l.damage = fmt.Sprintf("partial: the fast commits have more than %d blocks: the rest is not shown", limit)
			break
		}
		p, err := r.block(k)
		if err != nil {
			return nil, fmt.Errorf("fast commits: %w", err)
		}
		if k == j.end+1 && le.Uint16(p) != fastHead || !l.block(bytes.Clone(p)) {
			break
		}
	}
	l.tags = l.tags[:l.whole]
	return l, nil
}

// block takes the tags of a block and says whether more may follow.
func (l *fastLog) block(p []byte) bool {
	for off := 0; off+4 <= len(p); {
		kind, n := le.Uint16(p[off:]), int(le.Uint16(p[off+2:]))
		if off+4+n > len(p) || !l.sound(kind, n) {
			return false
		}
		all := p[off : off+4+n]
		value := all[4:]
		off += len(all)
		switch kind {
		case fastTail:
			if !l.tail(value, crc32c(l.sum, all[:8])) {
				return false
			}
			l.sum = 0
			continue
		case fastHead:
			if le.Uint32(value) != 0 {
				l.damage = fmt.Sprintf("partial: fast commits with the unknown features 0x%x: they are not shown", le.Uint32(value))
				return false
			}
			if le.Uint32(value[4:]) != l.sequence {
				return false
			}
		case fastPad:
		default:
			l.tags = append(l.tags, fastTag{kind, value})
		}
		l.sum = crc32c(l.sum, all)
	}
	return true
}

// tail ends a fast commit.
func (l *fastLog) tail(value []byte, sum uint32) bool {
	switch {
	case le.Uint32(value) != l.sequence:
		return false
	case le.Uint32(value[4:]) != sum:
		l.damage = fmt.Sprintf("csum: fast commit %d behind transaction %d does not match its checksum: it and what follows are not shown", l.commits+1, l.sequence-1)
		if l.commits == 0 {
			l.damage += "; the kernel would not mount the volume"
		}
		return false
	}
	l.commits++
	l.whole = len(l.tags)
	return true
}

// sound says that a tag exists and can have a value of n bytes.
func (l *fastLog) sound(kind uint16, n int) bool {
	switch kind {
	case fastAddRange:
		return n == 16
	case fastDelRange:
		return n == 12
	case fastCreate, fastLink, fastUnlink:
		return n > 8 && n <= 8+255
	case fastInode:
		return n >= 4+128 && n <= 4+l.inodeSize
	case fastTail:
		return n >= 8
	case fastHead:
		return n == 8
	}
	return kind == fastPad
}
