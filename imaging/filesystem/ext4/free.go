package ext4

import (
	"cmp"
	"slices"

	"snapcase/imaging/filesystem"
)

// unallocated gives what the block bitmap of a group says is free. A group
// whose bitmap was never written has everything free but the volume's own
// blocks and the inode tables.
func (o *owners) unallocated(g int) error {
	s := &o.fs.sb
	start, n := s.groupStart(uint64(g)), s.groupBlocks(uint64(g))
	if o.fs.groups[g].flags&blockUninit != 0 {
		return o.gaps(start, start+n)
	}
	p, err := o.used.of(uint64(g))
	if err != nil || p == nil {
		return err
	}
	for c := uint64(0); c*s.clusterBlocks < n; {
		if c/8 >= uint64(len(p)) {
			break
		}
		if p[c/8] == 0xff && c%8 == 0 {
			c += 8
			continue
		}
		if p[c/8]&(1<<(c%8)) == 0 {
			at := start + c*s.clusterBlocks
			if err := o.addFree(at, min(at+s.clusterBlocks, start+n)); err != nil {
				return err
			}
		}
		c++
	}
	return nil
}

// addFree joins a free range to the one before or gives that out.
func (o *owners) addFree(start, end uint64) error {
	if o.free.end == start && o.free.end > 0 {
		o.free.end = end
		return nil
	}
	err := o.flush()
	o.free = blockRange{start, end}
	return err
}

func (o *owners) flush() error {
	f := o.free
	o.free = blockRange{}
	if f.end == f.start {
		return nil
	}
	return o.blocks(f.start, f.end-f.start, filesystem.OwnFree)
}

// gaps gives as free what lies between the volume's own blocks.
func (o *owners) gaps(start, end uint64) error {
	own := o.within(start, end)
	for _, r := range own {
		if r.start > start {
			if err := o.addFree(start, r.start); err != nil {
				return err
			}
		}
		start = max(start, r.end)
	}
	if start < end {
		return o.addFree(start, end)
	}
	return nil
}

// within gives the volume's own blocks and inode tables in a range, in order.
func (o *owners) within(start, end uint64) []blockRange {
	i, _ := slices.BinarySearchFunc(o.all, start, func(r blockRange, at uint64) int { return cmp.Compare(r.end, at+1) })
	k := i
	for k < len(o.all) && o.all[k].start < end {
		k++
	}
	return o.all[i:k]
}
