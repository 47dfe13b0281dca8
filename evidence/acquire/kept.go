package acquire

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"slices"

	"snapcase/evidence"
)

const (
	// lookahead is how many lines of a journal lie at most between where one is
	// and where it would be; mostAhead how many blocks are begun behind one that
	// is not done. A run that is killed leaves its gaps to the next, so that they
	// add up: lookahead is for some of them.
	lookahead = 8 * mostAhead
	mostAhead = 512
	mostDrops = 4096 // one for each resume that found damage
	// runBytes is how many bytes of zeros one line of a journal stands for at most.
	runBytes = 64 << 20
)

// keptBlocks are the blocks that the journal says are on disk. It reads the
// journal along with those who ask, in constant memory.
type keptBlocks struct {
	size, block int64
	part        int64 // length of the parts of a block that have digests, 0 where a block has one
	log         *journal
	cutAt       int64 // of the journal: what lies behind is not believed
	drops       []drop
	end         int64 // of the image: no kept block lies behind
	packed      bool  // the copy is
	packedEnd   int64 // of the copy, where it is packed
	ended       bool

	next  func() (keptBlock, bool)
	stop  func()
	ahead map[int64]keptBlock // read before their turn
	done  int64               // blocks before it were asked for
	twice int64               // lines of blocks that another line had, or whose turn was over
	err   error               // of reading the journal
}

// drop says that what the journal has of blocks from n on, before at, is void.
type drop struct{ n, at int64 }

type keptBlock struct {
	blockLine
	errs []errorLine
	// packedAt is where its frames begin, in a copy that is packed.
	packedAt int64
}

// count is how many blocks a line stands for.
func (b *blockLine) count() int64 { return max(1, b.Zeros) }

// keptBlocks reads the journal of an image once, to find where it is torn and
// what was dropped.
func (x *exhibit) keptBlocks(size, block, part int64) (*keptBlocks, error) {
	if part < 0 || part > 0 && (part < leastPart || block%part != 0) {
		return nil, fmt.Errorf("the journal has parts of %d bytes in blocks of %d", part, block)
	}
	k := &keptBlocks{size: size, block: block, part: part, log: x.log, packed: x.head.Format == formatZst, ahead: map[int64]keptBlock{}}
	turn := int64(0) // of the lines of a packed copy, which come in order
	err := x.log.read(func(e entry, end int64) bool {
		switch {
		case k.cutAt == 0:
			k.cutAt = end
			return e.Header != nil
		case e.Error != nil: // believed with its block
			return true
		case e.Drop != nil && *e.Drop >= 0 && len(k.drops) < mostDrops:
			k.drops = append(k.drops, drop{*e.Drop, end})
			k.end, turn = min(k.end, *e.Drop*block), min(turn, *e.Drop)
		case e.Block != nil && k.sane(e.Block) && (!k.packed || e.Block.N == turn):
			k.end, turn = max(k.end, e.Block.N*block+e.Block.Length), turn+1
		default:
			return false
		}
		k.cutAt = end
		return true
	})
	if err == nil {
		err = x.log.cut(k.cutAt)
	}
	if k.packed {
		for b := range k.lines {
			k.packedEnd = b.packedAt + b.packedSize()
		}
	}
	k.next, k.stop = iter.Pull(k.lines)
	return k, err
}

// sane says whether a line is of a block that the image has.
func (k *keptBlocks) sane(b *blockLine) bool {
	if n := b.packedSize(); n < 0 || (n > 0) != k.packed {
		return false
	}
	if b.N < 0 || b.N > (k.size-1)/k.block || b.Zeros < 0 || b.Zeros > max(1, runBytes/k.block) {
		return false
	}
	if k.part > 0 && (b.Zeros > 0 || int64(len(b.Parts)) != (b.Length+k.part-1)/k.part*sha256.Size) {
		return false
	}
	if b.Zeros > 0 {
		return b.Length == b.Zeros*k.block && b.Length <= k.size-b.N*k.block
	}
	return b.Length == min(k.block, k.size-b.N*k.block)
}

// lines yields the lines that count, as they lie.
func (k *keptBlocks) lines(yield func(keptBlock) bool) {
	var errs []errorLine
	packedAt := int64(0)
	k.err = k.log.read(func(e entry, end int64) bool {
		if end > k.cutAt {
			return false
		}
		if e.Error != nil {
			errs = append(errs, *e.Error)
			return true
		}
		if e.Block == nil {
			return true
		}
		b := keptBlock{blockLine: *e.Block, errs: errs, packedAt: packedAt}
		errs = nil
		for _, d := range k.drops {
			if d.at > end && b.N+b.count() > d.n {
				return true
			}
		}
		packedAt += b.packedSize()
		return yield(b)
	})
}

// take gives what the journal has of block n. Blocks are asked for in order.
func (k *keptBlocks) take(n int64) (keptBlock, bool) {
	k.done = n
	for len(k.ahead) < lookahead {
		if b, ok := k.ahead[n]; ok {
			delete(k.ahead, n)
			return b, true
		}
		b, ok := k.next()
		if !ok {
			return b, false
		}
		if _, known := k.ahead[b.N]; known || b.N < k.done {
			k.twice++
		}
		if b.N >= k.done {
			k.ahead[b.N] = b
		}
	}
	b, ok := k.ahead[n]
	delete(k.ahead, n)
	return b, ok
}

// load reads block b from the copy, if the journal has it and its bytes have
// their digest. The first that does not ends what is kept: it and all behind it
// are dropped from copy and journal, to be read from the source again.
func (k *keptBlocks) load(out *imageFile, b *block) (bool, error) {
	if k.ended {
		return false, nil
	}
	want, ok := k.take(b.n)
	if !ok {
		return false, k.err
	}
	cut := b.off
	switch {
	case k.packed:
		cut = want.packedAt
		ok = k.loadPacked(out, b, &want)
	case b.zeros > 0 || want.Zeros > 0:
		if b.zeros == want.Zeros && out.isHole(b.off, b.length()) {
			return true, nil
		}
		ok = false
	default:
		n, _ := out.plain.ReadAt(b.data, b.off)
		ok = n == len(b.data) && k.holds(b.data, &want)
	}
	if ok {
		b.sum, b.parts, b.errs = want.SHA256, want.Parts, want.errs
		return true, nil
	}
	k.ended, k.end = true, b.off
	st, err := out.plain.Stat()
	if err == nil {
		// Nobody writes behind here: blocks come in order.
		n := b.n
		err = out.plain.Truncate(cut)
		if !k.packed {
			err = errors.Join(err, out.plain.Truncate(st.Size()))
		}
		err = errors.Join(err, k.log.append(entry{Drop: &n}))
	}
	if err != nil {
		return false, fmt.Errorf("drop what is damaged of the copy: %w", err)
	}
	return false, nil
}

// holds says whether p has the digest of the block, or its parts theirs.
func (k *keptBlocks) holds(p []byte, want *keptBlock) bool {
	if k.part > 0 {
		return bytes.Equal(partDigests(p, k.part), want.Parts)
	}
	return sha256.Sum256(p) == want.SHA256
}

// all yields every block of a finished image in order, in parts where those have
// the digests, zeros one by one; stored says whether the source had bytes for it. Each must be there once.
func (k *keptBlocks) all(yield func(off, length int64, sum evidence.Digest, stored bool) error) error {
	var off int64
	for n := int64(0); off < k.size; {
		b, ok := k.take(n)
		if !ok || k.twice > 0 {
			return errors.Join(k.err, fmt.Errorf("the journal has block %d not at all or twice", n))
		}
		for range b.count() {
			if err := k.each(&b, off, yield); err != nil {
				return err
			}
			off += min(k.block, k.size-off)
		}
		n += b.count()
	}
	if _, more := k.next(); more || len(k.ahead) > 0 {
		return errors.New("the journal has more blocks than the image")
	}
	return k.err
}

// each yields the block at off with its digest, or each of its parts.
func (k *keptBlocks) each(b *keptBlock, off int64, yield func(off, length int64, sum evidence.Digest, stored bool) error) error {
	end := off + min(k.block, k.size-off)
	if k.part == 0 {
		return yield(off, end-off, b.SHA256, b.Zeros == 0)
	}
	for sum := range slices.Chunk(b.Parts, sha256.Size) {
		n := min(k.part, end-off)
		if err := yield(off, n, evidence.Digest(sum), true); err != nil {
			return err
		}
		off += n
	}
	return nil
}
