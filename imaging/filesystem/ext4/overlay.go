package ext4

import (
	"cmp"
	"fmt"
	"slices"

	"snapcase/imaging"
)

// overlay is a source in which some blocks are replaced by copies of them that
// lie elsewhere in it, or on the device of its journal. It keeps the places, not
// the blocks, and may be read concurrently.
type overlay struct {
	imaging.Source
	log    imaging.Source // has the copies
	size   int64          // of a block
	blocks []replaced
}

// replaced is one block, sorted by its number.
type replaced struct {
	block   uint64
	from    int64 // bytes from the start of what has the copies
	escaped bool  // the copy lacks the journal's magic at its start
}

// ReadAt reads what the source would hold if the copies stood in their place.
func (o *overlay) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.Source.ReadAt(p, off)
	if n == 0 || off < 0 {
		return n, err
	}
	first, last := uint64(off/o.size), uint64((off+int64(n)-1)/o.size)
	i, _ := slices.BinarySearchFunc(o.blocks, first, func(r replaced, at uint64) int { return cmp.Compare(r.block, at) })
	for ; i < len(o.blocks) && o.blocks[i].block <= last; i++ {
		if err := o.patch(p[:n], off, &o.blocks[i]); err != nil {
			return 0, err
		}
	}
	return n, err
}

// patch writes into p, which begins at off, what of a block lies in it.
func (o *overlay) patch(p []byte, off int64, r *replaced) error {
	start := int64(r.block)*o.size - off
	skip := max(0, -start)
	part := p[start+skip : min(start+o.size, int64(len(p)))]
	if _, err := readZero(o.log, part, r.from+skip); err != nil {
		return fmt.Errorf("block %d in the journal: %w", r.block, err)
	}
	if r.escaped && skip < 4 {
		copy(part, be.AppendUint32(nil, journalMagic)[skip:])
	}
	return nil
}
