package squashfs

// NextData gives the first run of the content at or behind byte off that is
// stored, as bytes start to end of it; ok is false where none follows. Blocks
// that are not stored read as zeros.
func (c *Content) NextData(off int64) (start, end int64, ok bool) {
	if c.small != nil {
		return off, int64(len(c.small)), off < int64(len(c.small))
	}
	block := int64(c.fs.sb.block)
	for i := off / block; i < int64(len(c.list)); i++ {
		if c.list[i].length() > 0 {
			start, end = max(off, i*block), min(c.size, (i+1)*block)
			return start, end, start < end
		}
	}
	start = max(off, int64(len(c.list))*block)
	return start, c.size, start < c.size
}
