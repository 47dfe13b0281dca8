package ext4

import (
	"fmt"
	"math/bits"
)

// bitmaps answers whether blocks are in use and keeps the last block bitmaps
// it read. It is not safe for concurrent use.
type bitmaps struct {
	fs   *FS
	kept map[uint64][]byte
}

func (fs *FS) newBitmaps() *bitmaps { return &bitmaps{fs: fs, kept: make(map[uint64][]byte)} }

// of gives the bitmap of a group; nil where there is none to ask: then no
// block of the group counts as used.
func (b *bitmaps) of(g uint64) ([]byte, error) {
	if p, ok := b.kept[g]; ok {
		return p, nil
	}
	if len(b.kept) >= 256 {
		clear(b.kept)
	}
	d := &b.fs.groups[g]
	if d.flags&blockUninit != 0 || !b.fs.inVolume(d.blockBitmap, 1) {
		b.kept[g] = nil
		return nil, nil
	}
	p := make([]byte, b.fs.sb.blockSize)
	n, err := b.fs.read(p, int64(d.blockBitmap)*b.fs.sb.blockSize)
	if err != nil || n == 0 {
		p = nil
	}
	b.kept[g] = p
	return p, err
}

// used counts how many of n blocks from block on are in use.
func (b *bitmaps) used(block, n uint64) (uint64, error) {
	s := &b.fs.sb
	var count uint64
	for n > 0 && block >= s.firstBlock {
		g, i := (block-s.firstBlock)/s.perGroup, (block-s.firstBlock)%s.perGroup
		if g >= uint64(len(b.fs.groups)) {
			break
		}
		part := min(n, s.perGroup-i)
		p, err := b.of(g)
		if err != nil {
			return count, err
		}
		if p != nil {
			count += b.count(p, i, part)
		}
		block, n = block+part, n-part
	}
	return count, nil
}

// count counts used blocks from i to i+n of one bitmap, in blocks although the
// bits stand for clusters.
func (b *bitmaps) count(p []byte, i, n uint64) uint64 {
	var c uint64
	for n > 0 {
		bit := i / b.fs.sb.clusterBlocks
		if bit/8 >= uint64(len(p)) {
			return c
		}
		if b.fs.sb.clusterBlocks == 1 && i%8 == 0 && n >= 8 {
			c += uint64(bits.OnesCount8(p[i/8]))
			i, n = i+8, n-8
			continue
		}
		if p[bit/8]&(1<<(bit%8)) != 0 {
			c++
		}
		i, n = i+1, n-1
	}
	return c
}

// residual completes the map of an inode that is no longer in use: kernels
// clear the size and the count of extents, but extents may still stand behind
// the count. It says how long the content may be and how much of it is in use
// by others now.
func (fs *FS) residual(in inode, m *blockMap, used *bitmaps) (size int64, damage string, err error) {
	stored, size := fs.size(in)
	damage = m.damage
	if uint64(size) < stored && damage == "" {
		damage = sizeDamage(stored)
	}
	if in.flags()&flagExtents != 0 && len(m.runs) == 0 {
		m.damage = ""
		fs.staleExtents(in.block(), m)
	}
	if len(m.runs) == 0 {
		return size, damage, nil
	}
	last := m.runs[len(m.runs)-1]
	if size == 0 {
		size = (int64(last.at) + int64(last.n)) * fs.sb.blockSize
		damage = "partial: the size was cleared, the length is that of the remaining extents"
	}
	var all, taken uint64
	for _, r := range m.runs {
		n, err := used.used(r.block(), uint64(r.n))
		if err != nil {
			return size, damage, err
		}
		all, taken = all+uint64(r.n), taken+n
	}
	if taken > 0 {
		return size, fmt.Sprintf("reallocated: %d of %d blocks are in use again", taken, all), nil
	}
	return size, damage, nil
}

// staleExtents takes the entries of a root node that its header no longer
// counts, where they make sense as extents in ascending order.
func (fs *FS) staleExtents(p []byte, m *blockMap) {
	next := uint64(0)
	for i := 12; i+12 <= len(p); i += 12 {
		e := p[i:][:12]
		at, n := uint64(le.Uint32(e)), uint64(le.Uint16(e[4:]))
		phys := uint64(le.Uint32(e[8:])) | uint64(le.Uint16(e[6:]))<<32
		unwritten := n > 32768
		if unwritten {
			n -= 32768
		}
		if n == 0 || phys <= fs.sb.firstBlock || !fs.inVolume(phys, n) || at < next || at+n > 1<<32 {
			continue
		}
		next = at + n
		m.add(run{at: uint32(at), n: uint32(n), phys: phys}, unwritten)
	}
}
