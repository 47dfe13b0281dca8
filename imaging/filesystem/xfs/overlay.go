package xfs

import (
	"cmp"
	"slices"

	"snapcase/imaging"
)

// overlay is a source in which some units of 512 bytes are replaced.
type overlay struct {
	imaging.Source
	units map[int64][]byte
	order []int64 // their numbers, sorted; nil while units change
}

func newOverlay(src imaging.Source) *overlay {
	return &overlay{Source: src, units: make(map[int64][]byte)}
}

// put replaces whole units from one on; a shorter last one is left alone.
func (o *overlay) put(at int64, p []byte) {
	for ; len(p) >= basic; p = p[basic:] {
		u, ok := o.units[at]
		if !ok {
			u = make([]byte, basic)
			o.units[at] = u
		}
		copy(u, p)
		at++
	}
	o.order = nil
}

// settle sorts the units: then the overlay may be read concurrently.
func (o *overlay) settle() {
	o.order = make([]int64, 0, len(o.units))
	for at := range o.units {
		o.order = append(o.order, at)
	}
	slices.Sort(o.order)
}

// ReadAt reads what the source would hold if the units stood in it.
func (o *overlay) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.Source.ReadAt(p, off)
	if n == 0 || off < 0 {
		return n, err
	}
	first, last := off/basic, (off+int64(n)-1)/basic
	if o.order == nil {
		for at := first; at <= last; at++ {
			o.patch(p[:n], off, at)
		}
		return n, err
	}
	i, _ := slices.BinarySearchFunc(o.order, first, cmp.Compare[int64])
	for ; i < len(o.order) && o.order[i] <= last; i++ {
		o.patch(p[:n], off, o.order[i])
	}
	return n, err
}

func (o *overlay) patch(p []byte, off, at int64) {
	u, ok := o.units[at]
	if !ok {
		return
	}
	start := at*basic - off
	if start < 0 {
		u, start = u[-start:], 0
	}
	copy(p[start:], u)
}
