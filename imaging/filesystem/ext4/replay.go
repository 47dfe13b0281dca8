package ext4

import (
	"context"
)

// replay does what the kernel would do before it mounts the volume, without
// writing: blocks that stand in the journal and not yet in their place go into
// an overlay, through which everything else is read. What the kernel does
// next, freeing what has no name and was open, is not done. With raw it only
// says what there is to be done.
func (fs *FS) replay(ctx context.Context, raw bool) error {
	asked := fs.sb.incompat&incompatRecover != 0
	j, damage, err := fs.journal()
	if err != nil {
		return err
	}
	if j == nil {
		if damage != "" {
			fs.note("the journal is not read: %s", damage)
		}
		if asked {
			fs.note("needs journal recovery: the listing shows the volume before the replay")
		}
		return nil
	}
	fs.log, fs.logEnd = j, j.sequence
	fs.info.State = append(fs.info.State, j.notes...)
	if j.start == 0 {
		if asked {
			fs.note("needs journal recovery, but the journal is empty: nothing is to be replayed")
		}
		return nil
	}
	a, err := j.active(ctx)
	if err != nil {
		return err
	}
	if raw || !asked {
		fs.logAhead = int32(min(a.count, 1<<30))
	}
	switch {
	case !asked:
		fs.note("the journal holds %d transactions, but the superblock does not ask for recovery: the kernel would discard them, and they are not shown", a.count)
	case raw:
		l, err := j.fast(ctx, a.sequence)
		if err != nil {
			return err
		}
		fs.note("needs journal recovery: the listing shows the volume before the replay of %d transactions and %d fast commits", a.count, l.commits)
	default:
		return fs.overlay(ctx, a)
	}
	return nil
}

// overlay makes what the active part of the journal says the view of the
// volume.
func (fs *FS) overlay(ctx context.Context, a *activeLog) error {
	blocks, outside, inside := a.newest()
	fs.src = &overlay{Source: fs.raw, log: fs.log.src, size: fs.sb.blockSize, blocks: blocks}
	fs.logEnd += a.count
	wrong, err := fs.superAgain()
	if err != nil {
		return err
	}
	fs.describe()
	if err := fs.loadGroups(); err != nil {
		return err
	}
	fs.info.State = append(fs.info.State, fs.log.notes...)
	if wrong != "" {
		fs.note("range: the superblock in the journal is not used: %s", wrong)
	}
	if a.count == 0 && a.damage == "" {
		fs.note("needs journal recovery, but the journal holds no whole transaction to be replayed")
		return fs.fastCommits(ctx, a.sequence)
	}
	fs.note("needs journal recovery: %d transactions of the journal (%d changed blocks) are not in their place and are shown as the kernel would replay them; free blocks may hold what was being written, in place of what deleted files had", a.count, len(blocks))
	for _, n := range []struct {
		count int
		why   string
	}{
		{outside, "range: %d changed blocks in the journal lie outside the volume: they are left out"},
		{inside, "range: %d changed blocks in the journal are those of the journal: they are left out"},
		{a.bad, "csum: %d blocks in the journal do not match their checksum: they are left out, and the kernel would not mount the volume"},
	} {
		if n.count > 0 {
			fs.note(n.why, n.count)
		}
	}
	if a.damage != "" {
		fs.note("%s", a.damage)
	}
	if a.full {
		fs.note("partial: the journal holds more than can be replayed: the rest is left out")
	}
	return fs.fastCommits(ctx, a.sequence)
}

// superAgain takes the superblock from the journal, where it is one of the
// blocks that were changed; wrong says why it cannot be used.
func (fs *FS) superAgain() (wrong string, err error) {
	if fs.sb.at != superOffset {
		return "", nil
	}
	sb, wrong, err := readSuper(fs.src, superOffset)
	if err != nil || wrong != "" {
		return wrong, err
	}
	if sb.blockSize != fs.sb.blockSize || sb.inodesPerGroup != fs.sb.inodesPerGroup || sb.perGroup != fs.sb.perGroup {
		return "it is that of a volume of another shape", nil
	}
	fs.sb, fs.seed = sb, sb.checksumSeed()
	return "", nil
}
