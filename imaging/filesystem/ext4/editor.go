package ext4

import (
	"cmp"
	"fmt"
	"slices"
)

// editLimit bounds what an editor keeps of changed blocks, in bytes.
const editLimit = 64 << 20

// editor changes the volume in memory: inodes, their maps, directories and
// bitmaps. What it is asked for and cannot do it counts.
type editor struct {
	fs      *FS
	blocks  map[uint64][]byte
	maps    map[uint32]*fileMap
	dirs    map[uint32]*dirEdit
	spend   *budget
	own     *owners      // the layout; made when it is needed
	keepOut []blockRange // sorted: what is not to be given to anyone
	freed   []blockRange
	group   int // where the next free block is looked for
	bit     uint64
	looked  int // free blocks that were not empty
	scanned int // blocks of directories
	names   int // of directories
	moved   int // runs of maps, to make room among them
	undone  int
	why     string              // the first thing that could not be done
	behind  map[uint32]struct{} // inodes that it concerns
}

func (fs *FS) newEditor() *editor {
	return &editor{
		fs: fs, blocks: make(map[uint64][]byte), maps: make(map[uint32]*fileMap),
		dirs: make(map[uint32]*dirEdit), spend: fs.newBudget(), behind: make(map[uint32]struct{}),
	}
}

// fail counts a change of an inode that cannot be made.
func (e *editor) fail(ino uint32, format string, args ...any) {
	e.behind[ino] = struct{}{}
	if e.undone++; e.undone == 1 {
		e.why = fmt.Sprintf(format, args...)
	}
}

// peek gives a block of the volume, which must not be changed.
func (e *editor) peek(block uint64) ([]byte, error) {
	if p, ok := e.blocks[block]; ok {
		return p, nil
	}
	p := make([]byte, e.fs.sb.blockSize)
	_, err := e.fs.read(p, int64(block)*e.fs.sb.blockSize)
	return p, err
}

// edit gives a block of the volume to be changed; nil when it lies outside, or
// when too many were changed.
func (e *editor) edit(block uint64) ([]byte, error) {
	if p, ok := e.blocks[block]; ok {
		return p, nil
	}
	if !e.fs.inVolume(block, 1) || int64(len(e.blocks)+1)*e.fs.sb.blockSize > editLimit {
		return nil, nil
	}
	p, err := e.peek(block)
	if err == nil {
		e.blocks[block] = p
	}
	return p, err
}

// inode gives an inode, to be changed or not; nil when it has no place.
func (e *editor) inode(ino uint32, change bool) (inode, error) {
	off, ok := e.fs.inodeOffset(ino)
	if !ok {
		return nil, nil
	}
	get := e.peek
	if change {
		get = e.edit
	}
	p, err := get(uint64(off / e.fs.sb.blockSize))
	if p == nil || err != nil {
		return nil, err
	}
	at, size := int(off%e.fs.sb.blockSize), e.fs.sb.inodeSize
	return inode(p[at : at+size : at+size]), nil
}

// live gives an inode that the kernel would find, or nil.
func (e *editor) live(ino uint32, change bool) (inode, error) {
	in, err := e.inode(ino, false)
	if err != nil || in == nil || !in.live() || !e.common(ino) {
		return nil, err
	}
	if in, err = e.inode(ino, change); in == nil && err == nil {
		e.fail(ino, "partial: too many blocks are changed to change inode %d", ino)
	}
	return in, err
}

// common says that an inode is not one of those that the volume keeps for
// itself.
func (e *editor) common(ino uint32) bool {
	return ino == rootInode || ino >= e.fs.sb.firstInode && !e.fs.reserved(ino)
}

// setLinks changes a count of links.
func (e *editor) setLinks(ino uint32, in inode, links uint32) {
	le.PutUint16(in[26:], uint16(min(links, 1<<16-1)))
	e.fs.sealInode(ino, in)
}

// markInode says in the bitmap that an inode is in use or free.
func (e *editor) markInode(ino uint32, used bool) error {
	g, at := (ino-1)/e.fs.sb.inodesPerGroup, (ino-1)%e.fs.sb.inodesPerGroup
	d := &e.fs.groups[g]
	p, err := e.edit(d.inodeBitmap)
	if p == nil || err != nil {
		return err
	}
	if d.flags&inodeUninit != 0 {
		clear(p)
		d.flags &^= inodeUninit
	}
	d.unused = min(d.unused, e.fs.sb.inodesPerGroup-at-1)
	setBit(p, uint64(at), used)
	return nil
}

func setBit(p []byte, bit uint64, on bool) {
	if on {
		p[bit/8] |= 1 << (bit % 8)
	} else {
		p[bit/8] &^= 1 << (bit % 8)
	}
}

// bitmap gives the block bitmap of a group, or nil.
func (e *editor) bitmap(g int, change bool) ([]byte, error) {
	d := &e.fs.groups[g]
	if !e.fs.inVolume(d.blockBitmap, 1) {
		return nil, nil
	}
	if d.flags&blockUninit == 0 && !change {
		return e.peek(d.blockBitmap)
	}
	p, err := e.edit(d.blockBitmap)
	if p == nil || err != nil || d.flags&blockUninit == 0 {
		return p, err
	}
	if e.own == nil {
		e.own = &owners{fs: e.fs}
		e.own.layout()
	}
	clear(p)
	s := &e.fs.sb
	start := s.groupStart(uint64(g))
	end := start + s.groupBlocks(uint64(g))
	for _, r := range e.own.within(start, end) {
		for b := max(r.start, start); b < min(r.end, end); b++ {
			setBit(p, (b-start)/s.clusterBlocks, true)
		}
	}
	d.flags &^= blockUninit
	return p, nil
}

// markBlocks says in the bitmaps that blocks are in use or free.
func (e *editor) markBlocks(block, n uint64, used bool) error {
	s := &e.fs.sb
	for n > 0 && block >= s.firstBlock {
		g, at := (block-s.firstBlock)/s.perGroup, (block-s.firstBlock)%s.perGroup
		if g >= uint64(len(e.fs.groups)) {
			return nil
		}
		part := min(n, s.perGroup-at)
		p, err := e.bitmap(int(g), true)
		if err != nil {
			return err
		}
		for i := at; p != nil && i < at+part; i++ {
			setBit(p, i/s.clusterBlocks, used)
		}
		block, n = block+part, n-part
	}
	return nil
}

// maxLooked is how many free blocks are read in search of an empty one.
const maxLooked = 256

// allocate takes a free block, best an empty one: then nothing of what files
// have left is hidden by it. It gives 0 when there is none.
func (e *editor) allocate() (uint64, error) {
	s := &e.fs.sb
	var second uint64
	for ; e.group < len(e.fs.groups); e.group, e.bit = e.group+1, 0 {
		p, err := e.bitmap(e.group, false)
		if err != nil {
			return 0, err
		}
		start, n := s.groupStart(uint64(e.group)), s.groupBlocks(uint64(e.group))
		for ; p != nil && e.bit*s.clusterBlocks < n; e.bit++ {
			b := start + e.bit*s.clusterBlocks
			if p[e.bit/8]&(1<<(e.bit%8)) != 0 || e.kept(b) || int64(b+1)*s.blockSize > e.fs.src.Size() {
				continue
			}
			content, err := e.peek(b)
			if err != nil {
				return 0, err
			}
			if e.looked < maxLooked && slices.ContainsFunc(content, func(c byte) bool { return c != 0 }) {
				e.looked++
				second = cmp.Or(second, b)
				continue
			}
			e.bit++
			return b, e.markBlocks(b, 1, true)
		}
	}
	if second == 0 {
		return 0, nil
	}
	return second, e.markBlocks(second, 1, true)
}

// kept says that a block is not to be given to anyone.
func (e *editor) kept(block uint64) bool {
	i, _ := slices.BinarySearchFunc(e.keepOut, block, func(r blockRange, at uint64) int { return cmp.Compare(r.end, at+1) })
	return i < len(e.keepOut) && e.keepOut[i].start <= block
}

// finish writes the maps that were changed and the bitmaps, and gives the
// volume with all changes.
func (e *editor) finish() (*patched, error) {
	for _, ino := range e.changed() {
		if err := e.writeMap(ino, e.maps[ino]); err != nil {
			return nil, err
		}
	}
	for _, r := range join(e.freed, e.fs.sb.blocks) {
		if err := e.markBlocks(r.start, r.end-r.start, false); err != nil {
			return nil, err
		}
	}
	taken, err := e.taken()
	if err != nil {
		return nil, err
	}
	for _, r := range taken {
		if err := e.markBlocks(r.start, r.end-r.start, true); err != nil {
			return nil, err
		}
	}
	s := &patched{Source: e.fs.src, size: e.fs.sb.blockSize, blocks: e.blocks}
	for b := range e.blocks {
		s.order = append(s.order, b)
	}
	slices.Sort(s.order)
	return s, nil
}

// taken gives the blocks of the files in use whose maps were changed, also
// where they were taken from another one before.
func (e *editor) taken() ([]blockRange, error) {
	var all []blockRange
	for _, ino := range e.changed() {
		in, err := e.live(ino, false)
		if err != nil {
			return nil, err
		}
		for _, r := range e.maps[ino].runs {
			if in != nil {
				all = append(all, blockRange{r.block(), r.block() + uint64(r.n)})
			}
		}
	}
	return join(all, e.fs.sb.blocks), nil
}

// changed gives the inodes whose maps were changed, sorted.
func (e *editor) changed() []uint32 {
	var list []uint32
	for ino, m := range e.maps {
		if m.changed {
			list = append(list, ino)
		}
	}
	slices.Sort(list)
	return list
}
