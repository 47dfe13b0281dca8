package xfs

import (
	"cmp"
	"context"
	"fmt"
	"math/bits"
	"slices"

	"snapcase/imaging/filesystem/inorder"
)

// chunkInodes is how many inodes a chunk has, some of which a sparse chunk
// lacks.
const chunkInodes = 64

// chunk is 64 consecutive inodes of a group.
type chunk struct {
	ag    uint32
	start uint32 // inode number within the group
	free  uint64 // bit i: inode start+i is free
	holes uint64 // bit i: inode start+i does not exist
	// heads has for each inode the number of its last name plus one; nil
	// where no name leads here.
	heads   []uint32
	pending uint64 // inodes left for the second round of a walk
	origin  chunkOrigin
}

// chunkOrigin is how a chunk was found.
type chunkOrigin uint8

const (
	chunkTree  chunkOrigin = iota
	chunkNamed             // a deleted name led to it, the inode tree does not have it
	chunkSwept             // free space was searched, or a group without a tree
)

// inodeNumber is the number of an inode of the group in the whole volume.
func (s *superblock) inodeNumber(ag, agino uint32) uint64 {
	return uint64(ag)<<(s.agblklog+s.inopblog) | uint64(agino)
}

// splitInode is the opposite; ok is false when no such group or block exists.
func (s *superblock) splitInode(ino uint64) (ag, agino uint32, ok bool) {
	shift := s.agblklog + s.inopblog
	g, in := ino>>shift, ino&(1<<shift-1)
	if shift > 32 && in > 1<<32-1 {
		return 0, 0, false
	}
	return uint32(g), uint32(in), g < s.groups && ino != 0 && in>>s.inopblog < s.groupLen(g)
}

// inodePlace is where an inode lies, bytes from the start of the volume.
func (fs *FS) inodePlace(ag, agino uint32) int64 {
	s := &fs.sb
	in := int64(agino & (1<<s.inopblog - 1))
	return fs.offset(ag, uint64(agino>>s.inopblog)) + in*int64(s.inodeSize)
}

// chunkTable is all chunks of the volume, by group and place.
type chunkTable struct {
	fs     *FS
	chunks []chunk
	broken []groupDamage // groups whose tree is damaged
}

// table reads the inode trees of all groups, once.
func (fs *FS) table(ctx context.Context) (*chunkTable, error) {
	fs.tableMutex.Lock()
	defer fs.tableMutex.Unlock()
	if fs.tableKept != nil {
		return fs.tableKept, nil
	}
	t := &chunkTable{fs: fs}
	if err := t.load(ctx); err != nil {
		return nil, err
	}
	fs.tableKept = t
	return t, nil
}

// loadChunks gives a walk its own copy of the chunks.
func (x *index) loadChunks(ctx context.Context) error {
	t, err := x.fs.table(ctx)
	if err != nil {
		return err
	}
	x.chunkTable = chunkTable{fs: x.fs, chunks: slices.Clone(t.chunks), broken: t.broken}
	return nil
}

// groupChunks is what one group's tree gives.
type groupChunks struct {
	chunks []chunk
	damage string
}

func (t *chunkTable) load(ctx context.Context) error {
	fs := t.fs
	err := inorder.Do(ctx, len(fs.groups), func(_, ag int) (groupChunks, error) {
		return fs.groupChunks(uint32(ag))
	}, func(ag int, f groupChunks) error {
		t.chunks = append(t.chunks, f.chunks...)
		if f.damage != "" {
			t.broken = append(t.broken, groupDamage{uint32(ag), f.damage})
		}
		return nil
	})
	if err != nil {
		return err
	}
	var more []chunk
	for _, d := range t.broken {
		if fs.groups[d.ag].outside {
			continue
		}
		list, err := fs.sweepGroup(ctx, d.ag, t)
		if err != nil {
			return err
		}
		more = append(more, list...)
	}
	t.insert(more)
	return nil
}

// insert adds chunks that lie over none.
func (t *chunkTable) insert(more []chunk) {
	t.chunks = append(t.chunks, more...)
	slices.SortFunc(t.chunks, func(a, b chunk) int { return cmp.Or(cmp.Compare(a.ag, b.ag), cmp.Compare(a.start, b.start)) })
}

func (fs *FS) groupChunks(ag uint32) (f groupChunks, err error) {
	if fs.groups[ag].agiBad {
		f.damage = fmt.Sprintf("range: group %d has no inode tree", ag)
		return f, nil
	}
	last := -1
	damage, err := fs.walkTree(ag, fs.groups[ag].inodes, func(recs []byte) {
		for ; len(recs) >= 16; recs = recs[16:] {
			c, ok := fs.parseChunk(ag, recs)
			if !ok || int(c.start) < last {
				f.damage = fmt.Sprintf("range: the inode tree of group %d has an impossible record", ag)
				continue
			}
			last = int(c.start) + chunkInodes
			f.chunks = append(f.chunks, c)
		}
	}, nil)
	if damage != "" {
		f.damage = damage
	}
	return f, err
}

// dropped says that the trees, which are sound in its group, do not have the
// inode: its chunk was freed.
func (t *chunkTable) dropped(ino uint64) bool {
	if _, _, ok := t.find(ino); ok {
		return false
	}
	ag, _, _ := t.fs.sb.splitInode(ino)
	return !slices.ContainsFunc(t.broken, func(d groupDamage) bool { return d.ag == ag })
}

// groupDamage is what is wrong with the inode tree of a group.
type groupDamage struct {
	ag   uint32
	text string
}

// parseChunk reads a record of the inode tree.
func (fs *FS) parseChunk(ag uint32, p []byte) (chunk, bool) {
	s := &fs.sb
	c := chunk{ag: ag, start: be.Uint32(p), free: be.Uint64(p[8:])}
	if s.incompat&incompatSparse != 0 {
		mask := be.Uint16(p[4:])
		for i := range 16 {
			if mask&(1<<i) != 0 {
				c.holes |= 0xf << (4 * i)
			}
		}
	}
	// the first inode of a block, or, where a block has more than 64, of a
	// part of one
	if c.start%min(uint32(1)<<s.inopblog, chunkInodes) != 0 || uint64(c.start)+chunkInodes > 1<<32 {
		return c, false
	}
	if c.holes == ^uint64(0) {
		return c, false
	}
	top := uint64(c.start) + uint64(63-bits.LeadingZeros64(^c.holes))
	return c, top>>s.inopblog < s.groupLen(uint64(ag))
}

// find gives the chunk of an inode and its number in it.
func (t *chunkTable) find(ino uint64) (k, i int, ok bool) {
	ag, agino, ok := t.fs.sb.splitInode(ino)
	if !ok {
		return 0, 0, false
	}
	want, lo, hi := uint64(ag)<<32|uint64(agino), 0, len(t.chunks)
	for lo < hi { // the first chunk that begins behind the inode
		mid := int(uint(lo+hi) / 2)
		if c := &t.chunks[mid]; uint64(c.ag)<<32|uint64(c.start) <= want {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	k = lo - 1
	if k < 0 || t.chunks[k].ag != ag || agino-t.chunks[k].start >= chunkInodes {
		return 0, 0, false
	}
	i = int(agino - t.chunks[k].start)
	return k, i, t.chunks[k].holes&(1<<i) == 0
}

// stretch is chunks that lie close together and are read at once.
type stretch struct {
	first, n int   // chunks
	off      int64 // bytes from the start of the volume
	size     int   // bytes
}

const (
	// stretchBytes is how much of the inodes is read at once, chunkGap how
	// much between two chunks is read along.
	stretchBytes = 2 << 20
	chunkGap     = 64 << 10
)

// stretches cuts the chunks, which are sorted, into reads.
func (x *index) stretches() []stretch {
	var all []stretch
	size := int64(chunkInodes * x.fs.sb.inodeSize)
	for k := range x.chunks {
		off := x.fs.inodePlace(x.chunks[k].ag, x.chunks[k].start)
		if len(all) > 0 {
			s := &all[len(all)-1]
			end := s.off + int64(s.size)
			if off >= s.off && off-end <= chunkGap && off+size-s.off <= stretchBytes {
				s.n++
				s.size = int(max(end, off+size) - s.off)
				continue
			}
		}
		all = append(all, stretch{first: k, n: 1, off: off, size: int(size)})
	}
	return all
}
