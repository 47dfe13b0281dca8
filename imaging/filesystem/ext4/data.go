package ext4

import "sort"

// NextData gives the first run of the content at or behind byte off that was
// written, as bytes start to end of it; ok is false where none follows. Holes
// and unwritten extents between them read as zeros.
func (c *Content) NextData(off int64) (start, end int64, ok bool) {
	if c.small != nil {
		return off, c.size, off < c.size
	}
	bs := c.fs.sb.blockSize
	i := sort.Search(len(c.runs), func(i int) bool { return (int64(c.runs[i].at)+int64(c.runs[i].n))*bs > off })
	for ; i < len(c.runs); i++ {
		r := c.runs[i]
		start, end = max(off, int64(r.at)*bs), min(c.size, (int64(r.at)+int64(r.n))*bs)
		if start >= end {
			break
		}
		if !r.unwritten() {
			return start, end, true
		}
	}
	return 0, 0, false
}
