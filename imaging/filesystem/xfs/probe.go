package xfs

import (
	"cmp"
	"context"
	"slices"

	"snapcase/imaging/filesystem"
)

// probeChunks looks where deleted names and the log lead to and no chunk is:
// the inodes of a chunk stay after it was freed until something else takes
// its blocks.
func (x *index) probeChunks(ctx context.Context) error {
	starts := make(map[uint64]struct{})
	add := func(ino uint64) {
		start := ino / chunkInodes * chunkInodes
		if _, again := x.probed[start]; again {
			return
		}
		if _, _, ok := x.find(ino); !ok && ino != 0 {
			starts[start], x.probed[start] = struct{}{}, struct{}{}
		}
	}
	for _, l := range x.lost {
		if x.names.at(l.name).flags != 0 {
			add(l.ino)
		}
	}
	for ino := range x.past.inodes {
		add(ino)
	}
	for _, ino := range x.swept {
		add(ino)
	}
	x.swept = nil
	order := make([]uint64, 0, len(starts))
	for ino := range starts {
		order = append(order, ino)
	}
	slices.Sort(order)
	var more []chunk
	buf := make([]byte, chunkInodes*x.fs.sb.inodeSize)
	for _, ino := range order {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, ok, err := x.probe(ino, buf)
		if err != nil {
			return err
		}
		if ok {
			more = append(more, c)
		}
	}
	x.addChunks(more)
	return nil
}

// probe reads what may have been a chunk.
func (x *index) probe(ino uint64, buf []byte) (c chunk, ok bool, err error) {
	s := &x.fs.sb
	ag, agino, ok := s.splitInode(ino)
	if !ok || uint64(agino)+chunkInodes > 1<<32 || x.touches(ag, agino) {
		return c, false, nil
	}
	n, err := x.fs.read(buf, x.fs.inodePlace(ag, agino))
	if err != nil {
		return c, false, err
	}
	c = chunk{ag: ag, start: agino, free: ^uint64(0), origin: chunkNamed}
	for i := range chunkInodes {
		in, number := inode(buf[i*s.inodeSize:(i+1)*s.inodeSize]), s.inodeNumber(ag, agino+uint32(i))
		switch {
		case (i+1)*s.inodeSize > n || !x.fs.strayInode(number, in):
			c.holes |= 1 << i
		case in.kind() == filesystem.TypeDir:
			x.strayDirs = append(x.strayDirs, number)
		}
	}
	return c, c.holes != ^uint64(0), nil
}

// strayInode knows an inode that no tree leads to by what it says of itself.
func (fs *FS) strayInode(ino uint64, in inode) bool {
	if !in.magic() {
		return false
	}
	if fs.sb.crc() {
		return in.version() == 3 && in.number() == ino && [16]byte(in[160:176]) == fs.sb.uuid && crcGood(in, 100)
	}
	return (in.version() == 1 || in.version() == 2) && in.format() <= formatBtree
}

// touches says that a chunk from agino on would lie over one that is known.
func (t *chunkTable) touches(ag, agino uint32) bool {
	k, exact := slices.BinarySearchFunc(t.chunks, agino, func(c chunk, agino uint32) int {
		return cmp.Or(cmp.Compare(c.ag, ag), cmp.Compare(c.start, agino))
	})
	near := func(k int) bool {
		return k >= 0 && k < len(t.chunks) && t.chunks[k].ag == ag &&
			int64(t.chunks[k].start)-int64(agino) < chunkInodes && int64(agino)-int64(t.chunks[k].start) < chunkInodes
	}
	return exact || near(k) || near(k-1)
}

// addChunks adds chunks that lie over none and hangs names on their inodes.
func (x *index) addChunks(more []chunk) {
	if len(more) == 0 {
		return
	}
	x.insert(more)
	lost := x.lost
	x.lost = nil
	for _, l := range lost {
		k, i, ok := x.find(l.ino)
		if !ok {
			x.lost = append(x.lost, l)
			continue
		}
		c := &x.chunks[k]
		if c.heads == nil {
			c.heads = make([]uint32, chunkInodes)
		}
		x.names.link(l.name, c.heads[i])
		c.heads[i] = l.name + 1
	}
}
