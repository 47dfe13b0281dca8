package disk

import "snapcase/imaging"

// NextData is as imaging.NextData says: what the reader of the file system knows
// of the holes of the content.
func (c *content) NextData(off int64) (start, end int64, ok bool) {
	defer func() {
		if r := recover(); r != nil {
			start, end, ok = off, c.size, off < c.size
		}
	}()
	return imaging.NextData(c.src, off)
}
