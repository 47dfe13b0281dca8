package xfs

import "context"

// unlinkedLimit bounds how many unlinked inodes are followed: what was open
// and without a name at one moment.
const unlinkedLimit = 1 << 20

// loadUnlinked collects the inodes of the 64 lists that each group keeps of
// those that have no name any more and are still open.
func (x *index) loadUnlinked(ctx context.Context) error {
	fs := x.fs
	in := make(inode, fs.sb.inodeSize)
	for ag := range fs.groups {
		heads, err := fs.unlinkedHeads(uint32(ag))
		if err != nil {
			return err
		}
		for _, agino := range heads {
			for agino != noUnlinked && len(x.unlinked) < unlinkedLimit {
				if err := ctx.Err(); err != nil {
					return err
				}
				ino := fs.sb.inodeNumber(uint32(ag), agino)
				_, _, ok := fs.sb.splitInode(ino)
				if _, again := x.unlinked[ino]; again || !ok {
					break
				}
				n, err := fs.read(in, fs.inodePlace(uint32(ag), agino))
				if err != nil {
					return err
				}
				if n < len(in) || !in.magic() {
					break
				}
				x.unlinked[ino] = struct{}{}
				agino = in.next()
			}
		}
	}
	return nil
}
