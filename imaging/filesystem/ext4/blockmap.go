package ext4

import (
	"cmp"
	"fmt"
	"slices"
)

// Bits of run.phys.
const (
	unwrittenBit = 1 << 63 // it reads as zeros
	journalBit   = 1 << 62 // it is a copy in the journal
	escapedBit   = 1 << 61 // that lacks the journal's magic at its start
)

// run is consecutive blocks of content that lie consecutively in the volume.
type run struct {
	at   uint32 // block of the content
	n    uint32
	phys uint64 // block of the volume, and bits
}

func (r run) block() uint64   { return r.phys &^ (unwrittenBit | journalBit | escapedBit) }
func (r run) unwritten() bool { return r.phys&unwrittenBit != 0 }
func (r run) journaled() bool { return r.phys&journalBit != 0 }

// budget bounds how many blocks of trees are read over all inodes. In a sound
// volume each such block belongs to one inode, so that four times the blocks
// of the image can never be used up; inodes that share trees, as only a
// hostile volume has, are followed for a few blocks each after that.
type budget struct{ left int64 }

func (fs *FS) newBudget() *budget {
	return &budget{left: 4 * (fs.src.Size()/fs.sb.blockSize + 16)}
}

// blockMap is where the content of one inode lies. It can be used again.
type blockMap struct {
	fs     *FS
	spend  *budget
	runs   []run    // by content block, without overlaps
	tree   []uint64 // blocks that hold the map itself
	damage string   // the first thing found wrong
	owner  uint32   // checksum seed of the inode
	seen   map[uint64]struct{}
	small  int      // blocks that may still be read when spend is used up
	past   *history // where blocks of the map are taken as they were at when
	when   int32
	bufs   [6][]byte
}

func (m *blockMap) note(format string, args ...any) {
	if m.damage == "" {
		m.damage = fmt.Sprintf(format, args...)
	}
}

// load reads the map of an inode. An error is a failure of the source.
func (m *blockMap) load(ino uint32, in inode) error {
	m.runs, m.tree, m.damage, m.small = m.runs[:0], m.tree[:0], "", 8
	clear(m.seen)
	m.owner = m.fs.owner(ino, in.generation())
	if in.flags()&flagInline != 0 {
		return nil
	}
	var err error
	if in.flags()&flagExtents != 0 {
		err = m.extents(in.block(), 6, true)
	} else {
		err = m.pointers(in.block())
	}
	m.finish()
	return err
}

// treeBlock reads a block of the map; nil when it must not be followed.
func (m *blockMap) treeBlock(block uint64, level int) ([]byte, error) {
	switch _, again := m.seen[block]; {
	case !m.fs.inVolume(block, 1) || block == 0:
		m.note("range: block %d of the block map lies outside the volume", block)
		return nil, nil
	case again:
		m.note("loop: block %d stands twice in the block map", block)
		return nil, nil
	case m.spend.left <= 0 && m.small <= 0:
		m.note("partial: the block map is not followed to its end, the volume's maps have more blocks than the volume")
		return nil, nil
	}
	if m.spend.left > 0 {
		m.spend.left--
	} else {
		m.small--
	}
	if m.seen == nil {
		m.seen = make(map[uint64]struct{})
	}
	m.seen[block] = struct{}{}
	m.tree = append(m.tree, block)
	if m.bufs[level] == nil {
		m.bufs[level] = make([]byte, m.fs.sb.blockSize)
	}
	buf := m.bufs[level]
	if m.past != nil {
		if c, ok := m.past.copyAt(block, m.when); ok {
			return buf, m.past.read(buf, c.at, 0)
		}
	}
	n, err := m.fs.read(buf, int64(block)*m.fs.sb.blockSize)
	if err == nil && n < len(buf) {
		m.note("truncated: block %d of the block map lies outside the image", block)
	}
	return buf, err
}

// extents reads a node of an extent tree. depth is above what the node may
// have, so that a tree cannot lead back into itself.
func (m *blockMap) extents(p []byte, above int, root bool) error {
	entries, room, depth := int(le.Uint16(p[2:])), int(le.Uint16(p[4:])), int(le.Uint16(p[6:]))
	switch {
	case le.Uint16(p) != 0xf30a:
		m.note("range: a node of the extent tree has no magic")
		return nil
	case depth >= above || depth > 5:
		m.note("range: extent tree of depth %d", depth)
		return nil
	}
	if !root && !m.fs.extentBlockGood(m.owner, p, room) {
		m.note("csum: a block of the extent tree does not match its checksum")
	}
	if limit := len(p)/12 - 1; entries > limit || entries > room {
		m.note("range: a node of the extent tree says %d entries and has room for %d", entries, min(limit, room))
		entries = min(limit, entries)
	}
	for i := range entries {
		e := p[12+12*i:][:12]
		if depth == 0 {
			m.leaf(e)
			continue
		}
		child := uint64(le.Uint32(e[4:])) | uint64(le.Uint16(e[8:]))<<32
		buf, err := m.treeBlock(child, depth)
		if err != nil {
			return err
		}
		if buf == nil {
			continue
		}
		if err := m.extents(buf, depth, false); err != nil {
			return err
		}
	}
	return nil
}

// leaf adds one extent.
func (m *blockMap) leaf(e []byte) {
	r := run{at: le.Uint32(e), n: uint32(le.Uint16(e[4:])), phys: uint64(le.Uint32(e[8:])) | uint64(le.Uint16(e[6:]))<<32}
	unwritten := r.n > 32768
	if unwritten {
		r.n -= 32768
	}
	if r.n == 0 {
		m.note("range: an extent at block %d is empty", r.at)
		return
	}
	if uint64(r.at)+uint64(r.n) > 1<<32 {
		m.note("range: an extent at block %d is longer than a file can be", r.at)
		r.n = uint32(1<<32 - uint64(r.at))
	}
	m.add(r, unwritten)
}

// add appends a run, cut to the volume and joined to the one before.
func (m *blockMap) add(r run, unwritten bool) {
	if !m.fs.inVolume(r.phys, uint64(r.n)) || r.phys == 0 {
		m.note("range: block %d of the volume, named by block %d of the content, lies outside the volume",
			max(r.phys, m.fs.sb.blocks), r.at)
		if r.phys == 0 || r.phys >= m.fs.sb.blocks {
			return
		}
		r.n = uint32(m.fs.sb.blocks - r.phys)
	}
	end := int64(r.phys+uint64(r.n)) * m.fs.sb.blockSize
	if end > m.fs.src.Size() && !unwritten {
		m.note("truncated: block %d lies outside the image", max(r.phys, uint64(m.fs.src.Size()/m.fs.sb.blockSize)))
	}
	if unwritten {
		r.phys |= unwrittenBit
	}
	if k := len(m.runs) - 1; k >= 0 {
		last := &m.runs[k]
		if last.at+last.n == r.at && last.phys+uint64(last.n) == r.phys && uint64(last.n)+uint64(r.n) < 1<<32 {
			last.n += r.n
			return
		}
	}
	if int64(len(m.runs)) > m.fs.src.Size()/m.fs.sb.blockSize+16 {
		m.note("overlap: the block map has more pieces than the image has blocks; the rest is left out")
		return
	}
	m.runs = append(m.runs, r)
}

// pointers reads the 15 pointers of a block map.
func (m *blockMap) pointers(p []byte) error {
	per := uint64(m.fs.sb.blockSize / 4)
	m.direct(p[:48], 0)
	at, span := uint64(12), uint64(1)
	for level := 1; level <= 3; level++ {
		if b := le.Uint32(p[44+4*level:]); b != 0 {
			if err := m.indirect(uint64(b), at, span, level); err != nil {
				return err
			}
		}
		span *= per
		at += span
	}
	return nil
}

// direct adds the blocks that a list of pointers names, from content block at.
func (m *blockMap) direct(p []byte, at uint64) {
	for i := 0; i+4 <= len(p) && at < 1<<32; i, at = i+4, at+1 {
		if b := le.Uint32(p[i:]); b != 0 {
			m.add(run{at: uint32(at), n: 1, phys: uint64(b)}, false)
		}
	}
}

// indirect reads a block of pointers that each lead to span content blocks.
func (m *blockMap) indirect(block, at, span uint64, level int) error {
	buf, err := m.treeBlock(block, level)
	if err != nil || buf == nil {
		return err
	}
	if level == 1 {
		m.direct(buf, at)
		return nil
	}
	per := uint64(m.fs.sb.blockSize / 4)
	for i := 0; i < len(buf) && at < 1<<32; i, at = i+4, at+span {
		if b := le.Uint32(buf[i:]); b != 0 {
			if err := m.indirect(uint64(b), at, span/per, level-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// finish sorts the runs by content block and takes away what overlaps: of two
// claims to one content block the first in the tree stays.
func (m *blockMap) finish() {
	sorted := true
	for i := 1; i < len(m.runs); i++ {
		a, b := m.runs[i-1], m.runs[i]
		if uint64(a.at)+uint64(a.n) > uint64(b.at) {
			sorted = false
			break
		}
	}
	if sorted {
		return
	}
	m.note("overlap: the block map names content blocks twice or out of order")
	slices.SortStableFunc(m.runs, func(a, b run) int { return cmp.Compare(a.at, b.at) })
	end, k := uint64(0), 0
	for _, r := range m.runs {
		if cut := min(end-min(end, uint64(r.at)), uint64(r.n)); cut > 0 {
			r.at, r.n, r.phys = r.at+uint32(cut), r.n-uint32(cut), r.phys+cut
		}
		if r.n == 0 {
			continue
		}
		end = uint64(r.at) + uint64(r.n)
		m.runs[k] = r
		k++
	}
	m.runs = m.runs[:k]
}
