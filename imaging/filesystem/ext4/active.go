package ext4

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// escapedCopy in blockCopy.at: the copy lacks the journal's magic at its start.
const escapedCopy = 1 << 31

// maxCopies bounds how many copies and how many revocations are kept of a
// journal: those of 8 GiB with blocks of 4 KiB.
const maxCopies = 1 << 21

// blockCopy says that block at of the journal is a copy of a block of the
// volume, as it was when a transaction was committed: when counts transactions.
type blockCopy struct {
	block uint64
	when  int32
	at    uint32
}

// revocation says that copies of a block up to a transaction mean nothing: it
// was freed.
type revocation struct {
	block uint64
	when  int32
}

// activeLog is the part of a journal that is not yet in its place.
type activeLog struct {
	j       *journal
	copies  []blockCopy
	revokes []revocation
	count   uint32 // transactions
	bad     int    // copies that do not match their checksum
	full    bool   // there were more than maxCopies
	damage  string // why the log ends where it does, unless it just ends

	// of the transaction that is being read
	sequence    uint32
	copied      int // of copies: what comes behind is of this one
	revoked     int
	wrong       bool // a descriptor or a revoke block is not as it was written
	sum         uint32
	lastCommit  int64
	tags        []tag
	left        uint32 // blocks of the log that were not read yet
	logPosition uint32
	reader      *logReader
}

// active reads the transactions that are to be replayed, as the kernel does:
// from the start that the superblock names to the first block that does not
// belong to the next transaction.
func (j *journal) active(ctx context.Context) (*activeLog, error) {
	a := &activeLog{
		j: j, sequence: j.sequence, sum: ^uint32(0), left: j.end - j.first,
		logPosition: max(j.start, j.first), reader: j.reader(),
	}
	for a.left > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p, err := a.reader.block(a.logPosition)
		if err != nil {
			return nil, err
		}
		kind, sequence, ok := logKind(p)
		if !ok || sequence != a.sequence {
			break
		}
		a.step()
		more := false
		switch kind {
		case logDescriptor:
			more, err = true, a.descriptor(p)
		case logRevoke:
			more = true
			a.wrong = a.wrong || !j.blockGood(p)
			j.revokes(p, a.revoke)
		case logCommit:
			more = a.commit(p)
		}
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
	}
	a.copies, a.revokes = a.copies[:a.copied], a.revokes[:a.revoked]
	a.count = a.sequence - j.sequence
	return a, nil
}

func (a *activeLog) step() {
	a.logPosition = a.j.wrap(a.logPosition + 1)
	a.left--
}

func (a *activeLog) revoke(block uint64) {
	if len(a.revokes) < maxCopies {
		a.revokes = append(a.revokes, revocation{block, int32(a.sequence - a.j.sequence)})
	} else {
		a.full = true
	}
}

// descriptor takes the copies that a descriptor block announces.
func (a *activeLog) descriptor(p []byte) error {
	j := a.j
	a.wrong = a.wrong || !j.blockGood(p)
	a.tags = j.tags(a.tags[:0], p)
	if j.sumV1 != nil {
		a.sum = crc32be(j.sumV1, a.sum, p)
	}
	for i := range a.tags {
		if a.left == 0 {
			return nil
		}
		t, at := &a.tags[i], a.logPosition
		a.step()
		if j.sums || j.sumV1 != nil {
			p, err := a.reader.block(at)
			if err != nil {
				return err
			}
			if j.sumV1 != nil {
				a.sum = crc32be(j.sumV1, a.sum, p)
			}
			if !j.copyGood(t, a.sequence, p) {
				a.bad++
				continue
			}
		}
		if t.escaped {
			at |= escapedCopy
		}
		if len(a.copies) >= maxCopies {
			a.full = true
			return nil
		}
		a.copies = append(a.copies, blockCopy{t.block, int32(a.sequence - j.sequence), at})
	}
	return nil
}

// commit ends a transaction. It gives false where the log ends: the commit is
// a stale one, or damaged.
func (a *activeLog) commit(p []byte) bool {
	j, at := a.j, commitTime(p).Sec
	good := !a.wrong && j.commitGood(p)
	if j.sumV1 != nil {
		good = good && sumV1Good(p, a.sum)
	}
	switch {
	case good:
	case at < a.lastCommit: // left from before, not of this log
		return false
	case !a.wrong && j.async: // it was being written when all ended
		a.damage = fmt.Sprintf("transaction %d was not wholly written and is not replayed", a.sequence)
		return false
	default:
		a.damage = fmt.Sprintf("csum: transaction %d does not match its checksum: it and what follows are not replayed; the kernel would not mount the volume", a.sequence)
		return false
	}
	a.lastCommit, a.sum, a.wrong = at, ^uint32(0), false
	a.copied, a.revoked = len(a.copies), len(a.revokes)
	a.sequence++
	return true
}

// newest gives the places of the newest copy of each block that was not
// revoked later; outside and inside count copies that are left out since their
// place is outside the volume or in the journal.
func (a *activeLog) newest() (blocks []replaced, outside, inside int) {
	slices.SortFunc(a.revokes, func(x, y revocation) int {
		return cmp.Or(cmp.Compare(x.block, y.block), cmp.Compare(x.when, y.when))
	})
	slices.SortStableFunc(a.copies, func(x, y blockCopy) int {
		return cmp.Or(cmp.Compare(x.block, y.block), cmp.Compare(x.when, y.when))
	})
	for i, c := range a.copies {
		if i+1 < len(a.copies) && a.copies[i+1].block == c.block || a.revokedSince(c) {
			continue
		}
		if !a.j.fs.inVolume(c.block, 1) {
			outside++
			continue
		}
		if a.j.owns(c.block) {
			inside++
			continue
		}
		at, _ := a.j.place(c.at &^ escapedCopy)
		blocks = append(blocks, replaced{c.block, int64(at) * a.j.fs.sb.blockSize, c.at&escapedCopy != 0})
	}
	return blocks, outside, inside
}

// revokedSince says that a copy was revoked by its own or a later transaction.
func (a *activeLog) revokedSince(c blockCopy) bool {
	i, _ := slices.BinarySearchFunc(a.revokes, c.block+1, func(r revocation, at uint64) int { return cmp.Compare(r.block, at) })
	return i > 0 && a.revokes[i-1].block == c.block && a.revokes[i-1].when >= c.when
}
