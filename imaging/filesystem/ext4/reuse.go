package ext4

import (
	"math"
	"math/bits"
)

// maxReuse bounds how many groups' histories of reuse are kept.
const maxReuse = 32

// reuse answers whether blocks of a freed inode hold something newer: they are
// in use now, or copies of the block bitmap in the journal say that they were
// since. It is not safe for concurrent use.
type reuse struct {
	fs   *FS
	h    *history
	used *bitmaps
	kept map[uint64][]int32 // group to when each of its clusters was last taken
	left int64              // blocks that may still be asked for
}

// reuseBudget bounds how many blocks are asked for: deleted files of a hostile
// volume may claim the same ones a million times.
func (fs *FS) reuseBudget() int64 { return 16 * (fs.src.Size()/fs.sb.blockSize + 1024) }

func (fs *FS) newReuse(h *history, used *bitmaps) *reuse {
	return &reuse{fs: fs, h: h, used: used, kept: make(map[uint64][]int32), left: fs.reuseBudget()}
}

// taken counts how many of n blocks from block on were taken after since, or
// are in use. When left falls below zero it counts no more.
func (u *reuse) taken(block, n uint64, since int32) (uint64, error) {
	if u.left -= int64(n); u.left < 0 {
		return 0, nil
	}
	s := &u.fs.sb
	var count uint64
	for n > 0 && block >= s.firstBlock {
		g, i := (block-s.firstBlock)/s.perGroup, (block-s.firstBlock)%s.perGroup
		if g >= uint64(len(u.fs.groups)) {
			break
		}
		part := min(n, s.perGroup-i)
		now, err := u.used.used(block, part)
		if err != nil {
			return count, err
		}
		if now < part {
			last, err := u.of(g)
			if err != nil {
				return count, err
			}
			p, err := u.used.of(g)
			if err != nil {
				return count, err
			}
			for k := i; k < i+part; k++ {
				bit := k / s.clusterBlocks
				if bit < uint64(len(last)) && last[bit] > since && (p == nil || p[bit/8]&(1<<(bit%8)) == 0) {
					now++
				}
			}
		}
		count += now
		block, n = block+part, n-part
	}
	return count, nil
}

// of reads the copies of the block bitmap of a group, from the oldest on, and
// notes where a bit comes up that was not there before. It gives nil when the
// journal tells nothing.
func (u *reuse) of(g uint64) ([]int32, error) {
	if last, ok := u.kept[g]; ok {
		return last, nil
	}
	if len(u.kept) >= maxReuse {
		clear(u.kept)
	}
	copies := u.h.of(u.fs.groups[g].blockBitmap)
	if len(copies) < 2 && (u.fs.logAhead == 0 || len(copies) == 0) {
		u.kept[g] = nil
		return nil, nil
	}
	bs := int(u.fs.sb.blockSize)
	last := make([]int32, 8*bs)
	for i := range last {
		last[i] = math.MinInt32
	}
	before, now := make([]byte, bs), make([]byte, bs)
	for i, c := range copies {
		before, now = now, before
		if err := u.h.read(now, c.at, 0); err != nil {
			return nil, err
		}
		for k := 0; i > 0 && k < bs; k += 8 {
			for up := le.Uint64(now[k:]) &^ le.Uint64(before[k:]); up != 0; up &= up - 1 {
				last[k*8+bits.TrailingZeros64(up)] = c.when
			}
		}
	}
	if u.fs.logAhead > 0 { // the newest copy is newer than the bitmap in its place
		for bit := range last {
			if now[bit/8]&(1<<(bit%8)) != 0 {
				last[bit] = math.MaxInt32
			}
		}
	}
	u.kept[g] = last
	return last, nil
}
