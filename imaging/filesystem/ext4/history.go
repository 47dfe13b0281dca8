package ext4

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"snapcase/imaging"
)

// history is what the whole area of the journal, not only the part that is not
// yet in its place, tells of the past: where older copies of blocks lie, and
// what of inodes and directories is in them. Times are counted in transactions
// and negative: -1 is the last one that the volume shows. From 0 on they are
// what the volume does not show because it was asked not to: those tell nothing
// but which blocks were used.
type history struct {
	j       *journal
	copies  []blockCopy   // by block, then from the oldest to the newest
	revokes []revocation  // the same
	commits []commitStamp // by time
	lives   []life        // by inode, then as they were found: the newest first
	dirs    []dirVersion  // by inode, then from the newest to the oldest
	full    bool          // there was more than is kept
	steady  bool          // the times of the commits never go back
}

// commitStamp is when a transaction was committed; at is not set when it does
// not say.
type commitStamp struct {
	when int32
	at   imaging.Time
}

// past gives what the journal tells of the past; it is read once.
func (fs *FS) past(ctx context.Context) (*history, error) { return fs.pastOf(ctx, nil) }

// pastOf is past for who knows what the inodes are now; nil else.
func (fs *FS) pastOf(ctx context.Context, now *inodesNow) (*history, error) {
	fs.pastMutex.Lock()
	defer fs.pastMutex.Unlock()
	if fs.pastKept != nil {
		return fs.pastKept, nil
	}
	h := &history{j: fs.log}
	if fs.log != nil {
		s := &pastScan{j: fs.log, h: h, end: fs.logEnd, reader: fs.log.reader()}
		if now != nil && fs.log.sums { // else what is no copy any more shows by those that are newer
			s.seen = &sightings{now: now, tables: fs.tables()}
		}
		if err := s.scan(ctx); err != nil {
			return nil, err
		}
		if s.seen != nil && !s.seen.full {
			h.tell(s.seen)
		} else if err := h.readInodes(ctx); err != nil {
			return nil, err
		}
	}
	fs.pastKept = h
	return h, nil
}

// pastScan reads the area of the journal once, from its first block on. What
// follows a descriptor without a gap up to the commit of the same transaction
// is that transaction: the log is written in that order, so that of an old one
// the beginning is overwritten first.
type pastScan struct {
	j        *journal
	h        *history
	end      uint32 // the first transaction that is not of the past
	reader   *logReader
	tags     []tag
	open     bool // within a transaction
	sequence uint32
	copied   int // of copies: what comes behind belongs to the open transaction
	revoked  int
	left     uint32 // blocks of the area
	at       uint32
	seen     *sightings // nil: not asked for
	sighted  int        // of seen: what comes behind belongs to the open transaction
}

func (s *pastScan) scan(ctx context.Context) error {
	j, h := s.j, s.h
	s.at = j.first
	// A transaction that began before the end of the area goes on at its start.
	for s.left = j.end - j.first; s.left > 0 || s.open; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if s.left == 0 && s.at >= j.end-1 {
			break
		}
		p, err := s.reader.block(s.at)
		if err != nil {
			return err
		}
		kind, sequence, ok := logKind(p)
		s.step()
		switch {
		case !ok:
			s.close(false)
		case kind == logDescriptor && j.blockGood(p):
			s.begin(sequence)
			err = s.descriptor(p)
		case kind == logRevoke && j.blockGood(p):
			s.begin(sequence)
			j.revokes(p, s.revoke)
		case kind == logCommit && s.open && sequence == s.sequence && j.commitGood(p):
			s.commit(p)
		default:
			s.close(false)
		}
		if err != nil {
			return err
		}
	}
	s.close(false)
	h.sort()
	return nil
}

func (s *pastScan) step() {
	s.at = s.j.wrap(s.at + 1)
	s.left -= min(s.left, 1)
}

// begin opens a transaction unless it is the one that is open.
func (s *pastScan) begin(sequence uint32) {
	if s.open && sequence == s.sequence {
		return
	}
	s.close(false)
	s.open, s.sequence = true, sequence
}

// close ends a transaction and forgets it unless it is whole.
func (s *pastScan) close(whole bool) {
	if !whole {
		s.h.copies, s.h.revokes = s.h.copies[:s.copied], s.h.revokes[:s.revoked]
		if s.seen != nil {
			s.seen.list = s.seen.list[:s.sighted]
		}
	}
	s.open, s.copied, s.revoked = false, len(s.h.copies), len(s.h.revokes)
	if s.seen != nil {
		s.sighted = len(s.seen.list)
	}
}

// when is the time of the open transaction.
func (s *pastScan) when() int32 { return int32(s.sequence - s.end) }

func (s *pastScan) revoke(block uint64) {
	if len(s.h.revokes) >= maxCopies {
		s.h.full = true
		return
	}
	s.h.revokes = append(s.h.revokes, revocation{block, s.when()})
}

// descriptor takes the copies that a descriptor announces.
func (s *pastScan) descriptor(p []byte) error {
	j, h := s.j, s.h
	s.tags = j.tags(s.tags[:0], p)
	for i := range s.tags {
		t := &s.tags[i]
		p, err := s.reader.block(s.at)
		if err != nil {
			return err
		}
		if _, _, own := logKind(p); own {
			return nil // overwritten: what comes now is another transaction
		}
		at := s.at
		s.step()
		if _, n := j.place(at); n == 0 || !j.fs.inVolume(t.block, 1) || j.owns(t.block) || !j.copyGood(t, s.sequence, p) {
			continue
		}
		if len(h.copies) >= maxCopies {
			h.full = true
			continue
		}
		if t.escaped {
			at |= escapedCopy
		}
		h.copies = append(h.copies, blockCopy{t.block, s.when(), at})
		if s.seen != nil {
			s.seen.take(j.fs, t, p, h.copies[len(h.copies)-1])
		}
	}
	return nil
}

// commit ends a transaction. One that is not of the past of this volume is
// forgotten: it belongs to what the volume does not show yet or, where no
// checksum says whose it is, to an earlier file system in the same place.
func (s *pastScan) commit(p []byte) {
	at := commitTime(p)
	made := int64(le.Uint32(s.j.fs.sb.raw[0x108:]))
	if s.when() >= s.j.fs.logAhead || !s.j.sums && at.Set && at.Sec < made {
		s.close(false)
		return
	}
	s.h.commits = append(s.h.commits, commitStamp{s.when(), at})
	s.close(true)
}

// sort orders what was read. The part of a transaction that lies at the start
// of the area was read twice.
func (h *history) sort() {
	slices.SortFunc(h.copies, func(a, b blockCopy) int {
		return cmp.Or(cmp.Compare(a.block, b.block), cmp.Compare(a.when, b.when), cmp.Compare(a.at, b.at))
	})
	h.copies = slices.Compact(h.copies)
	slices.SortFunc(h.revokes, func(a, b revocation) int {
		return cmp.Or(cmp.Compare(a.block, b.block), cmp.Compare(a.when, b.when))
	})
	h.revokes = slices.Compact(h.revokes)
	slices.SortFunc(h.commits, func(a, b commitStamp) int { return cmp.Compare(a.when, b.when) })
	h.steady = slices.IsSortedFunc(h.commits, func(a, b commitStamp) int {
		return cmp.Or(cmp.Compare(a.at.Sec, b.at.Sec), cmp.Compare(a.at.Nsec, b.at.Nsec))
	})
}

// of gives the copies of a block, the oldest first.
func (h *history) of(block uint64) []blockCopy {
	i := h.first(block)
	n := i
	for n < len(h.copies) && h.copies[n].block == block {
		n++
	}
	return h.copies[i:n]
}

// first is the number of the first copy of a block, or of one behind it.
func (h *history) first(block uint64) int {
	i, _ := slices.BinarySearchFunc(h.copies, block, func(c blockCopy, at uint64) int { return cmp.Compare(c.block, at) })
	return i
}

// revokedBetween says that a block was freed in one of some transactions.
func (h *history) revokedBetween(block uint64, from, to int32) bool {
	i, _ := slices.BinarySearchFunc(h.revokes, revocation{block, from}, func(a, b revocation) int {
		return cmp.Or(cmp.Compare(a.block, b.block), cmp.Compare(a.when, b.when))
	})
	return i < len(h.revokes) && h.revokes[i].block == block && h.revokes[i].when <= to
}

// copyAt gives the copy that shows a block as it was behind a transaction.
func (h *history) copyAt(block uint64, when int32) (c blockCopy, ok bool) {
	list := h.of(block)
	n, _ := slices.BinarySearchFunc(list, when, func(c blockCopy, when int32) int {
		if c.when <= when {
			return -1
		}
		return 1
	})
	if n == 0 || h.revokedBetween(block, list[n-1].when, when) {
		return c, false
	}
	return list[n-1], true
}

// read fills p from a copy, from its byte off on.
func (h *history) read(p []byte, at uint32, off int64) error {
	block, _ := h.j.place(at &^ escapedCopy)
	fs := h.j.fs
	if _, err := readZero(h.j.src, p, int64(block)*fs.sb.blockSize+off); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if at&escapedCopy != 0 && off < 4 {
		copy(p, be.AppendUint32(nil, journalMagic)[off:])
	}
	return nil
}

// committed says when a transaction was committed, if that is known.
func (h *history) committed(when int32) (at imaging.Time, ok bool) {
	i, ok := slices.BinarySearchFunc(h.commits, when, func(c commitStamp, when int32) int { return cmp.Compare(c.when, when) })
	if !ok {
		return at, false
	}
	return h.commits[i].at, h.commits[i].at.Set
}

// origin is the word of Entry.From for what a transaction tells.
func (h *history) origin(when int32) string {
	return fmt.Sprintf("journal seq %d", h.j.fs.logEnd+uint32(when))
}
