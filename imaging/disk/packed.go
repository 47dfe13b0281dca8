package disk

// Packed says whether the bytes of the content do not lie in the volume as they
// are read, since the file system compresses them; false when the reader does
// not say.
func (c *content) Packed() bool {
	p, ok := c.src.(interface{ Packed() bool })
	return ok && p.Packed()
}
