package ext4

import (
	"slices"

	"snapcase/imaging"
)

// patched is a source in which some blocks are replaced by others in memory. It
// may be read concurrently.
type patched struct {
	imaging.Source
	size   int64    // of a block
	order  []uint64 // the blocks, sorted
	blocks map[uint64][]byte
}

// ReadAt reads what the source would hold if the blocks stood in their place.
func (s *patched) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.Source.ReadAt(p, off)
	if n == 0 || off < 0 {
		return n, err
	}
	end := off + int64(n)
	i, _ := slices.BinarySearch(s.order, uint64(off/s.size))
	for ; i < len(s.order) && s.order[i] <= uint64((end-1)/s.size); i++ {
		start := int64(s.order[i]) * s.size
		copy(p[max(start-off, 0):n], s.blocks[s.order[i]][max(off-start, 0):])
	}
	return n, err
}
