package ntfs

// $LogFile begins with two restart pages: RSTR, fixups, the size of a page at
// 16, the place of the restart area at 24. The area has the newest log sequence
// number at 0, at 12 the first client that is at work (FFFF for none) and flags
// at 14, of which 2 says that the volume was left in order.
const (
	noClient = 0xffff
	logClean = 2
	logPage  = 4096
)

// loadLog says whether the journal was in use when the image was made.
func (fs *FS) loadLog(budget *int64) error {
	f, err := fs.file(recLogFile, budget)
	if err != nil || f == nil {
		return err
	}
	s := f.stream(typeData, "")
	if s == nil {
		return nil
	}
	c := fs.content(s)
	newest, open, found := uint64(0), false, false
	second := int64(logPage)
	for i := range 2 {
		p := make([]byte, logPage)
		if _, err := c.ReadAt(p, int64(i)*second); err != nil && !isEOF(err) {
			if isFormat(err) {
				break
			}
			return err
		}
		area := int(le.Uint16(p[24:]))
		if string(p[:4]) != "RSTR" || area > logPage-16 {
			continue
		}
		if n := int64(le.Uint32(p[16:])); i == 0 && n >= 512 && n <= 1<<16 {
			second = n
		}
		if lsn := le.Uint64(p[area:]); !found || lsn > newest {
			newest, open, found = lsn, le.Uint16(p[area+12:]) != noClient && le.Uint16(p[area+14:])&logClean == 0, true
		}
	}
	if open {
		fs.state("the journal ($LogFile) was in use: it is not replayed, so the newest changes may be missing or half made")
	}
	return nil
}
