package ext4

import (
	"context"
	"fmt"
)

// orphanLimit bounds the length of the orphan list that is followed. The list
// holds what was open or half truncated at one moment.
const orphanLimit = 1 << 20

// loadOrphans collects the inodes of the orphan list, which starts in the
// superblock and goes on in the dtime of each inode, and of the orphan file.
func (x *index) loadOrphans(ctx context.Context) error {
	raw := x.fs.sb.raw
	for ino := le.Uint32(raw[232:]); ino != 0 && len(x.orphans) < orphanLimit; {
		if _, again := x.orphans[ino]; again || ctx.Err() != nil {
			break
		}
		in, ok, err := x.fs.readInode(ino)
		if err != nil {
			return fmt.Errorf("orphan list: %w", err)
		}
		if !ok {
			break
		}
		x.orphans[ino] = struct{}{}
		ino = in.dtime()
	}
	ino := le.Uint32(raw[0x280:])
	if x.fs.sb.compat&compatOrphanFile == 0 || ino == 0 || ino > x.fs.sb.maxInode() {
		return nil
	}
	in, ok, err := x.fs.readInode(ino)
	if err != nil || !ok {
		return err
	}
	c, err := x.fs.content(ino, in)
	if err != nil {
		return fmt.Errorf("orphan file: %w", err)
	}
	block := make([]byte, x.fs.sb.blockSize)
	for off := int64(0); off+int64(len(block)) <= min(c.Size(), 64<<20); off += int64(len(block)) {
		if _, err := c.ReadAt(block, off); err != nil {
			return fmt.Errorf("orphan file: %w", err)
		}
		for i := 0; i+4 <= len(block)-8; i += 4 {
			if n := le.Uint32(block[i:]); n != 0 && n <= x.fs.sb.maxInode() && len(x.orphans) < orphanLimit {
				x.orphans[n] = struct{}{}
			}
		}
	}
	return nil
}
