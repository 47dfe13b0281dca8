package inside

import (
	"errors"
	"io"

	"snapcase/imaging"
)

// sparse says whether the source has holes that it knows of.
func (d *Decoder) sparse() bool {
	start, end, ok := imaging.NextData(d.src, 0)
	return !ok || start > 0 || end < d.src.Size()
}

// surface looks for base64 in the data of the source itself and passes over its
// holes: they are zeros, where every run ends. f is the source, of which the
// first bytes were read already.
func (d *Decoder) surface(f *flow) {
	block := d.free.block()
	defer d.free.keepBlock(block)
	runs := &runs{d: d}
	defer runs.close()
	paid := f.in.count()
	for d.stopped() == nil {
		start, end, ok := imaging.NextData(d.src, runs.pos)
		if !ok {
			return
		}
		if start > runs.pos {
			runs.jump(start)
		}
		n, err := d.src.ReadAt(block[:min(int64(len(block)), end-start)], start)
		if over := start + int64(n) - max(start, paid); over > 0 {
			if e := d.budget.Spend(over); e != nil {
				d.stop(e)
				return
			}
		}
		runs.look(block[:n])
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			d.damage("", runs.pos, err)
			return
		case n == 0:
			d.damage("", runs.pos, io.ErrNoProgress)
			return
		}
	}
}
