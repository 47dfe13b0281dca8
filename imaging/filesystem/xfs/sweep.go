package xfs

import "context"

// sweepGroup finds the inodes of a group whose tree is damaged by what they
// say of themselves, and gives those that the known chunks do not have.
func (fs *FS) sweepGroup(ctx context.Context, ag uint32, known *chunkTable) ([]chunk, error) {
	s := &fs.sb
	var list []chunk
	var c chunk
	flush := func() {
		if c.holes != ^uint64(0) && !known.touches(ag, c.start) {
			list = append(list, c)
		}
	}
	c.holes = ^uint64(0)
	buf := make([]byte, spanBytes)
	total := int64(s.groupLen(uint64(ag))) * s.blockSize
	for off := int64(0); off < total; off += int64(len(buf)) {
		if err := ctx.Err(); err != nil {
			return list, err
		}
		n, err := fs.read(buf[:min(int64(len(buf)), total-off)], fs.offset(ag, 0)+off)
		if err != nil {
			return list, err
		}
		if n == 0 {
			break
		}
		for at := 0; at+s.inodeSize <= n; at += s.inodeSize {
			in := inode(buf[at : at+s.inodeSize])
			agino := uint32((off + int64(at)) / int64(s.inodeSize))
			if !in.magic() || !fs.strayInode(s.inodeNumber(ag, agino), in) {
				continue
			}
			if start := agino / chunkInodes * chunkInodes; c.start != start || c.holes == ^uint64(0) {
				flush()
				c = chunk{ag: ag, start: start, holes: ^uint64(0), origin: chunkSwept}
			}
			bit := uint64(1) << (agino % chunkInodes)
			c.holes &^= bit
			if !in.live() {
				c.free |= bit
			}
		}
	}
	flush()
	return list, nil
}
