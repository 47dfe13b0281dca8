package xfs

import (
	"cmp"
	"fmt"
	"slices"
)

const unwrittenBit = 1 << 63

// run is consecutive blocks of content that lie consecutively in the volume.
type run struct {
	at   uint64 // block of the content
	phys uint64 // block of the volume, counted from its start; unwrittenBit set: it reads as zeros
	n    uint32
}

func (r run) block() uint64   { return r.phys &^ unwrittenBit }
func (r run) unwritten() bool { return r.phys&unwrittenBit != 0 }

// maxClaims is how many owners of one block the reader follows. Sound volumes
// have one for each block of metadata.
const maxClaims = 4

// budget bounds how many blocks of trees are read over all inodes. In a sound
// volume each such block belongs to one inode, so that four times the blocks
// of the image can never be used up; inodes that share trees, as only a
// hostile volume has, are followed for a few blocks each after that.
type budget struct{ left int64 }

func (fs *FS) newBudget() *budget { return &budget{left: maxClaims * (fs.imageBlocks() + 16)} }

// blockMap is where the content of one inode lies. It can be used again.
type blockMap struct {
	fs     *FS
	spend  *budget
	runs   []run    // by content block, without overlaps
	tree   []uint64 // blocks that hold the map itself
	damage string   // the first thing found wrong
	ino    uint64
	whole  bool // runs overlap or stand out of order
	seen   map[uint64]struct{}
	small  int // blocks that may still be read when spend is used up
}

func (m *blockMap) note(format string, args ...any) {
	if m.damage == "" {
		m.damage = fmt.Sprintf(format, args...)
	}
}

// load reads the map of the data fork. An error is a failure of the source.
func (m *blockMap) load(ino uint64, in inode) error {
	m.reset(ino)
	if in.kindless() {
		return nil
	}
	return m.fork(in.data(), in.format(), in.extents())
}

// loadAttr reads the map of the attribute fork.
func (m *blockMap) loadAttr(ino uint64, in inode) error {
	m.reset(ino)
	if in[82] == 0 || in.split() == len(in) {
		return nil
	}
	return m.fork(in.attr(), in[83], in.attrExtents())
}

// kindless says that the data fork of the inode is no map whatever it says.
func (in inode) kindless() bool { return in.format() != formatExtents && in.format() != formatBtree }

func (m *blockMap) reset(ino uint64) {
	m.runs, m.tree, m.damage, m.small, m.ino, m.whole = m.runs[:0], m.tree[:0], "", 8, ino, true
	clear(m.seen)
}

func (m *blockMap) fork(p []byte, format uint8, count uint64) error {
	switch format {
	case formatExtents:
		room := uint64(len(p) / 16)
		if count > room {
			m.note("range: the inode says %d extents and has room for %d", count, room)
			count = room
		}
		m.records(p[:count*16])
	case formatBtree:
		if err := m.root(p); err != nil {
			return err
		}
		if uint64(len(m.runs)) != count {
			m.note("range: the extent tree has %d extents, the inode says %d", len(m.runs), count)
		}
	}
	m.finish()
	return nil
}

// extent unpacks a record of 1 bit unwritten, 54 bits content block, 52 bits
// block of the file system, 21 bits count.
func extent(p []byte) (at, fsb uint64, n uint32, unwritten bool) {
	hi, lo := be.Uint64(p), be.Uint64(p[8:])
	return hi >> 9 & (1<<54 - 1), hi&0x1ff<<43 | lo>>21, uint32(lo & (1<<21 - 1)), hi>>63 != 0
}

// maxBlock is one more than the last content block that a file can have.
func (fs *FS) maxBlock() uint64 { return (1<<63 - 1) / uint64(fs.sb.blockSize) }

func (m *blockMap) records(p []byte) {
	for ; len(p) >= 16; p = p[16:] {
		at, fsb, n, unwritten := extent(p)
		phys, ok := m.fs.sb.block(fsb, uint64(n))
		if !ok || n == 0 || at+uint64(n) > m.fs.maxBlock() {
			m.note("range: an extent of %d blocks at block %d of the content lies outside the volume", n, at)
			continue
		}
		m.add(run{at: at, phys: phys, n: n}, unwritten)
	}
}

func (m *blockMap) add(r run, unwritten bool) {
	if unwritten {
		r.phys |= unwrittenBit
	}
	if k := len(m.runs) - 1; k >= 0 && m.runs[k].at+uint64(m.runs[k].n) > r.at {
		m.whole = false
	}
	m.runs = append(m.runs, r)
}

// root reads the root of an extent tree, which stands in the inode.
func (m *blockMap) root(p []byte) error {
	if len(p) < 4 {
		m.note("range: the inode has no room for an extent tree")
		return nil
	}
	level, count, room := int(be.Uint16(p)), int(be.Uint16(p[2:])), (len(p)-4)/16
	if level == 0 || level > maxLevels || count > room {
		m.note("range: the root of the extent tree has level %d and %d entries of %d", level, count, room)
		return nil
	}
	for i := range count {
		if err := m.node(be.Uint64(p[4+room*8+i*8:]), level-1); err != nil {
			return err
		}
	}
	return nil
}

// treeBlock reads a block of the map; nil when it must not be followed.
func (m *blockMap) treeBlock(fsb uint64) ([]byte, error) {
	block, ok := m.fs.sb.block(fsb, 1)
	switch _, again := m.seen[block]; {
	case !ok || block == 0:
		m.note("range: block %d of the extent tree lies outside the volume", fsb)
		return nil, nil
	case again:
		m.note("loop: block %d stands twice in the extent tree", block)
		return nil, nil
	case m.spend.left <= 0 && m.small <= 0:
		m.note("partial: the extent tree is not followed to its end, the volume's trees have more blocks than the volume")
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
	p := make([]byte, m.fs.sb.blockSize)
	n, err := m.fs.read(p, int64(block)*m.fs.sb.blockSize)
	if err != nil {
		return nil, err
	}
	if n < len(p) {
		m.note("truncated: block %d of the extent tree lies outside the image", block)
		return nil, nil
	}
	m.tree = append(m.tree, block)
	return p, nil
}

// longHeader is the length of a block's header in an extent tree.
func (s *superblock) longHeader() int {
	if s.crc() {
		return 72
	}
	return 24
}

// node reads a block of the tree that must be of the given level, which falls
// with every step, so that no tree leads back into itself.
func (m *blockMap) node(fsb uint64, level int) error {
	p, err := m.treeBlock(fsb)
	if err != nil || p == nil {
		return err
	}
	s := &m.fs.sb
	if magic := be.Uint32(p); magic != kindBmap.v4 && magic != kindBmap.v5 || int(be.Uint16(p[4:])) != level {
		m.note("range: a block of the extent tree (%d) is none of level %d", fsb, level)
		return nil
	}
	if s.crc() {
		if !crcGood(p, 64) {
			m.note("csum: a block of the extent tree (%d) does not match its checksum", fsb)
		}
		if owner := be.Uint64(p[56:]); owner != m.ino {
			m.note("overlap: a block of the extent tree (%d) belongs to inode %d", fsb, owner)
		}
	}
	head, count := s.longHeader(), int(be.Uint16(p[6:]))
	room := (len(p) - head) / 16
	if count > room {
		m.note("range: a block of the extent tree (%d) says %d entries and has room for %d", fsb, count, room)
		count = room
	}
	if level == 0 {
		m.records(p[head : head+count*16])
		return nil
	}
	for i := range count {
		if err := m.node(be.Uint64(p[head+room*8+i*8:]), level-1); err != nil {
			return err
		}
	}
	return nil
}

// finish puts the runs in order and cuts overlaps: the run that starts first
// keeps what it has.
func (m *blockMap) finish() {
	if m.whole {
		return
	}
	m.note("overlap: extents of the inode lie over one another")
	slices.SortStableFunc(m.runs, func(a, b run) int { return cmp.Compare(a.at, b.at) })
	kept, end := m.runs[:0], uint64(0)
	for _, r := range m.runs {
		if r.at < end {
			cut := min(end-r.at, uint64(r.n))
			r.at, r.phys, r.n = r.at+cut, r.phys+cut, r.n-uint32(cut)
		}
		if r.n > 0 {
			kept = append(kept, r)
			end = r.at + uint64(r.n)
		}
	}
	m.runs = kept
}
