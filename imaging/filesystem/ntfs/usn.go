package ntfs

import (
	"fmt"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// The change journal is the stream $J of $Extend/$UsnJrnl. Its head is a hole
// that grows: a record keeps its place, which is its number (USN). A record is
// its length at 0 (a multiple of 8), its version at 4, then, in version 2, the
// reference of the file at 8, that of its directory at 16, the USN at 24, the
// time at 32, the reasons at 40, their source at 44, the attributes of the file
// at 52, length and place of the name at 56 and 58. Version 3 has references of
// 16 bytes, so that all behind them lies 16 bytes later. Version 4 says which
// ranges of a file were written; it has no name and no time, stands beside a
// record of version 3 and is passed over. No record crosses a page of 4,096
// bytes: what is left of the page is zeros.
const (
	recExtend = 11
	usnFile   = "$UsnJrnl"
	usnStream = "$J"
	usnFrom   = "usn-journal"
	usnPage   = 4096
	usnRead   = 1 << 20 // bytes that are read at once

	maxJournals = 16 // deleted ones too
)

// usnRecord is a record of version 2 or 3, or the place of one of version 4.
type usnRecord struct {
	file, dir uint64 // references: sequence number in the top 16 bits
	usn       int64
	time      imaging.Time
	reason    filesystem.Reason
	source    uint32
	attrs     uint32
	name      string
	ranges    bool // version 4: no more than usn is set
}

// parseUSN reads the record at the start of p; n is its length, 0 where none
// stands there.
func parseUSN(p []byte) (r usnRecord, n int) {
	if len(p) < 60 {
		return r, 0
	}
	n = int(min(le.Uint32(p), usnPage+1))
	version, refs := le.Uint16(p[4:]), 32
	if version == 2 {
		refs = 16
	}
	if version < 2 || version > 4 || le.Uint16(p[6:]) != 0 || n%8 != 0 || n > min(len(p), usnPage) || n < 44+refs {
		return r, 0
	}
	q := p[8+refs : n]          // 36 bytes and more
	r.usn = int64(le.Uint64(q)) //nolint:gosec // compared with its place only
	if version == 4 {
		r.ranges = true
		if le.Uint16(q[22:]) != 16 || 8+refs+24+16*int(le.Uint16(q[20:])) > n {
			return r, 0
		}
		return r, n
	}
	r.file, r.dir = le.Uint64(p[8:]), le.Uint64(p[8+refs/2:])
	r.time, r.reason, r.source, r.attrs = moment(q[8:]), filesystem.Reason(le.Uint32(q[16:])), le.Uint32(q[20:]), le.Uint32(q[28:])
	size, off := int(le.Uint16(q[32:])), int(le.Uint16(q[34:]))
	if size == 0 || size > 510 || size%2 != 0 || off < 44+refs || off+size > n {
		return r, 0
	}
	r.name = utf8Of(p[off : off+size])
	return r, n
}

// journal is one change journal: that of the volume, or one that was deleted
// and whose record still says where it was.
type journal struct {
	c    *Content
	live bool
}

// journals are those that the MFT has; usn are the records with their name.
func (s *scanner) journals() (all []journal, err error) {
	for _, n := range s.usn {
		f, err := s.fs.file(n, &s.budget)
		if err != nil {
			return nil, err
		}
		if f == nil {
			continue
		}
		if j := f.stream(typeData, usnStream); j != nil {
			all = append(all, journal{s.fs.content(j), f.inUse})
		}
	}
	return all, nil
}

// isJournal says that a record has the name of the change journal.
func isJournal(r *record) bool {
	for _, a := range r.attrs {
		if a.kind != typeFileName || a.runs != nil || len(a.value) != nameHead+2*len(usnFile) {
			continue
		}
		if n, ok := parseName(a.value); ok && n.parent == recExtend && n.name == usnFile {
			return true
		}
	}
	return false
}

// ranges calls do with the parts of the stream that have clusters and were
// written, those that meet taken together.
func (c *Content) ranges(do func(from, to int64) error) error {
	if c.small != nil {
		return do(0, int64(len(c.small)))
	}
	cs := c.fs.boot.cluster
	from, to := int64(0), int64(0)
	for _, r := range c.runs {
		if r.lcn < 0 {
			continue
		}
		first := int64(r.vcn) * cs              //nolint:gosec // bounded by maxClusters
		end := min(first+int64(r.n)*cs, c.init) //nolint:gosec // as above
		switch {
		case end <= first:
		case first == to:
			to = end
		default:
			if to > from {
				if err := do(from, to); err != nil {
					return err
				}
			}
			from, to = first, end
		}
	}
	if to > from {
		return do(from, to)
	}
	return nil
}

// usnReader reads the records of journals.
type usnReader struct {
	*scanner
	room int64 // bytes that may still be read: a stream may claim clusters again and again
	// found takes a record, lost what is none; at counts from the start of the
	// stream.
	found func(j *journal, at int64, r *usnRecord) error
	lost  func(j *journal, at, n int64, why string) error

	bad, badEnd int64 // bytes without a record, not yet told
}

func newUSNReader(s *scanner) *usnReader {
	return &usnReader{scanner: s, room: 2*s.fs.src.Size() + slackExtra}
}

// read reads a journal. Of one that was deleted only what stands at its own
// place is a record: its clusters may be in use again.
func (u *usnReader) read(j *journal) error {
	buf := make([]byte, usnRead)
	return j.c.ranges(func(from, to int64) error {
		for at := from; at < to; {
			if err := u.ctx.Err(); err != nil {
				return err
			}
			p := buf[:min(int64(len(buf)), to-at)]
			if u.room -= int64(len(p)); u.room < 0 {
				return u.lost(j, at, to-at, "the change journal claims more than the volume has: the rest was not read")
			}
			if _, err := j.c.ReadAt(p, at); err != nil && !isEOF(err) {
				if isFormat(err) {
					return u.lost(j, at, to-at, fmt.Sprintf("the change journal: %v", err))
				}
				return err
			}
			n, err := u.records(j, p, at, at+int64(len(p)) == to)
			if err != nil {
				return err
			}
			at += n
		}
		return u.tell(j)
	})
}

// records reads p and gives how much of it; last says that nothing follows.
func (u *usnReader) records(j *journal, p []byte, at int64, last bool) (int64, error) {
	i := 0
	for i+8 <= len(p) && (last || len(p)-i >= usnPage) {
		if le.Uint64(p[i:]) == 0 {
			if err := u.tell(j); err != nil {
				return 0, err
			}
			i += 8
			continue
		}
		pos := at + int64(i)
		r, n := parseUSN(p[i:])
		if n == 0 || r.usn != pos && (!j.live || u.badEnd > u.bad) {
			if u.badEnd == u.bad {
				u.bad = pos
			}
			u.badEnd = pos + 8
			i += 8
			continue
		}
		if err := u.tell(j); err != nil {
			return 0, err
		}
		if !r.ranges {
			if err := u.found(j, pos, &r); err != nil {
				return 0, err
			}
		}
		i += n
	}
	if last {
		i = len(p)
	}
	return int64(i), nil
}

// tell says which bytes were no record, once they have an end.
func (u *usnReader) tell(j *journal) error {
	at, n := u.bad, u.badEnd-u.bad
	u.bad, u.badEnd = 0, 0
	if n == 0 || !j.live {
		return nil
	}
	return u.lost(j, at, n, fmt.Sprintf("%d bytes at byte %d of the change journal are no record", n, at))
}
