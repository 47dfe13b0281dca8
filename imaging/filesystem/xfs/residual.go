package xfs

import (
	"fmt"

	"snapcase/imaging/filesystem"
)

// residual finds what the fork of a freed inode still names. Freeing clears
// the size, the counts and the format, but writes the fork back only as far as
// it is used: not at all. m gets the extents that stand there, as long as they
// make sense.
func (m *blockMap) residual(ino uint64, in inode) error {
	m.reset(ino)
	if !in.magic() || in.blank() {
		return nil
	}
	p := in[in.core():]
	m.stale(p)
	if len(m.runs) > 0 || !m.fs.sb.crc() {
		return nil
	}
	// the root of an extent tree whose blocks still say their owner
	level, count, room := int(be.Uint16(p)), int(be.Uint16(p[2:])), (len(p)-4)/16
	if level == 0 || level > maxLevels || count == 0 || count > room {
		return nil
	}
	block, ok := m.fs.sb.block(be.Uint64(p[4+room*8:]), 1)
	if !ok || block == 0 {
		return nil
	}
	head := make([]byte, m.fs.sb.longHeader())
	n, err := m.fs.read(head, int64(block)*m.fs.sb.blockSize)
	if err != nil || n < len(head) || be.Uint32(head) != kindBmap.v5 || be.Uint64(head[56:]) != ino {
		return err
	}
	if err := m.root(p); err != nil {
		return err
	}
	m.finish()
	return nil
}

// stale takes extents from p up to the first that cannot be one.
func (m *blockMap) stale(p []byte) {
	next := uint64(0)
	for ; len(p) >= 16; p = p[16:] {
		at, fsb, n, unwritten := extent(p)
		phys, ok := m.fs.sb.block(fsb, uint64(n))
		if !ok || n == 0 || phys == 0 || at < next || at+uint64(n) > m.fs.maxBlock() {
			return
		}
		next = at + uint64(n)
		m.add(run{at: at, phys: phys, n: n}, unwritten)
	}
}

// residualSize is how long the content of a freed inode can have been at most,
// and what must be said of it.
func (m *blockMap) residualSize(space *freeSpace) (size int64, damage string, err error) {
	if len(m.runs) == 0 {
		return 0, "partial: size and place of the content were cleared", nil
	}
	last := m.runs[len(m.runs)-1]
	size = int64(last.at+uint64(last.n)) * m.fs.sb.blockSize
	var all, taken uint64
	for _, r := range m.runs {
		n, err := space.used(r.block(), uint64(r.n))
		if err != nil {
			return size, "", err
		}
		all, taken = all+uint64(r.n), taken+n
	}
	if taken > 0 {
		return size, fmt.Sprintf("reallocated: %d of %d blocks are in use again", taken, all), nil
	}
	return size, "partial: the size was cleared; the content has at most the length of the remaining extents", nil
}

// residue is the content of an inode that is not in use.
func (fs *FS) residue(ino uint64, in inode) (*Content, error) {
	m := blockMap{fs: fs, spend: fs.newBudget()}
	if err := m.residual(ino, in); err != nil {
		return nil, err
	}
	c := &Content{fs: fs}
	var err error
	c.size, c.damage, err = m.residualSize(fs.newFreeSpace())
	c.runs = m.runs
	return c, err
}

// freed says that an inode which is not in use was once.
func freed(in inode) bool { return in.magic() && in.mode() == 0 && !in.blank() }

// first is where the first block of a map lies, -1 when there is none.
func (m *blockMap) first() int64 {
	if len(m.runs) == 0 {
		return -1
	}
	return int64(m.runs[0].block()) * m.fs.sb.blockSize
}

// bare is the entry of a name whose inode says nothing about it.
func bare(ino uint64, n *name) filesystem.Entry {
	return filesystem.Entry{Ref: filesystem.Ref{Inode: ino}, Type: fileKind(n.ftype), First: -1}
}
