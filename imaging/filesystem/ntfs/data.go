package ntfs

// NextData gives the first run of the content at or behind byte off that may
// hold other bytes than zeros, as bytes start to end of it; ok is false where
// none follows. It ends where the content was ever written; of a compressed
// stream a run is of whole units.
func (c *Content) NextData(off int64) (start, end int64, ok bool) {
	if c.small != nil {
		return off, c.size, off < c.size
	}
	cs := c.fs.boot.cluster
	unit := max(c.unit, cs)
	for i := c.find(off / cs); i < len(c.runs); i++ {
		r := c.runs[i]
		start = max(off, int64(r.vcn)*cs/unit*unit)               //nolint:gosec // bounded by maxClusters
		end = min(c.init, (int64(r.vcn+r.n)*cs+unit-1)/unit*unit) //nolint:gosec // bounded by maxClusters
		if start >= c.init {
			break
		}
		if r.lcn >= 0 && start < end {
			return start, end, true
		}
	}
	return 0, 0, false
}
