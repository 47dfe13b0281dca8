package ewf

import (
	"bytes"
	"fmt"
	"slices"

	"snapcase/imaging/image/container"
)

const (
	descriptorSize = 76
	mostSearches   = 10_000  // for a sound descriptor, in one segment
	mostTables     = 1 << 20 // in all segments: of 500 MB of disk each
)

// section is a descriptor: its body lies from off+76 to end.
type section struct {
	kind     string
	off, end int64
	next     int64
}

func (s section) body() int64 { return s.off + descriptorSize }
func (s section) size() int64 { return s.end - s.body() }

var kinds = []string{
	"header2", "header", "xheader", "volume", "disk", "data", "sectors", "table", "table2",
	"next", "done", "hash", "digest", "xhash", "error2", "session", "ltree", "ltypes", "incomplete",
}

func known(kind string) bool {
	return slices.Contains(kinds, kind)
}

// parse reads the descriptor b that lies at off of a file of size bytes.
func parse(b []byte, off, size int64) (section, error) {
	kind, _, _ := bytes.Cut(b[:16], []byte{0})
	s := section{kind: string(kind), off: off}
	if !checksum(b[:descriptorSize]) {
		return s, fmt.Errorf("the descriptor at byte %d fails its checksum", off)
	}
	next, n := le.Uint64(b[16:]), le.Uint64(b[24:])
	if s.kind == "next" || s.kind == "done" {
		s.next, s.end = off, off+descriptorSize
		return s, nil
	}
	if next < uint64(off)+descriptorSize || next > 1<<62 {
		return s, fmt.Errorf("the section %q at byte %d is followed by one at %d", s.kind, off, next)
	}
	s.next = int64(next)
	s.end = min(s.next, size)
	if n >= descriptorSize && n <= uint64(s.end-off) {
		s.end = off + int64(n)
	}
	return s, nil
}

// sections follows the chain of one segment.
func (d *disk) sections(s *segment) error {
	c := chain{d: d, s: s}
	searches := 0
	for off := int64(13); ; {
		now, why, err := c.at(off)
		if err != nil {
			return err
		}
		if why != "" {
			d.img.Note("segment %s: %s", s.name, why)
			d.lost(s, why)
			c.sectors, c.table = nil, nil
			if searches++; searches > mostSearches {
				return nil
			}
			if now, err = c.search(off); err != nil || now.kind == "" {
				return err
			}
			d.img.Note("segment %s: the section %q at byte %d is the next sound one", s.name, now.kind, now.off)
		}
		if now.kind == "next" || now.kind == "done" {
			s.last = now.kind == "done"
			return nil
		}
		if err := c.take(now); err != nil {
			return err
		}
		off = now.next
	}
}

// chain is where a walk through the sections of a segment stands.
type chain struct {
	d       *disk
	s       *segment
	sectors *section // the chunks of the next table
	table   *run     // that a table2 would be the copy of
}

// at reads the descriptor at off; why says what is wrong with it.
func (c *chain) at(off int64) (now section, why string, err error) {
	size := c.s.src.Size()
	if off > size-descriptorSize {
		return now, fmt.Sprintf("it is cut off: it has %d bytes and a section should be at %d", size, off), nil
	}
	b := make([]byte, descriptorSize)
	if reason, err := c.s.pages.Read(b, off); err != nil || reason != "" {
		return now, reason, err
	}
	now, bad := parse(b, off, size)
	if bad != nil {
		return now, bad.Error(), nil
	}
	return now, "", nil
}

// search finds the next sound descriptor of a known kind behind off.
func (c *chain) search(off int64) (section, error) {
	size := c.s.src.Size()
	step := 4 << 10
	var b []byte
	for at := off + 1; at <= size-descriptorSize; at += int64(step) {
		if len(b) > 0 {
			step = min(2*step, 1<<20)
		}
		b = slices.Grow(b[:0], step+descriptorSize)[:step+descriptorSize]
		p := b[:min(int64(len(b)), size-at)]
		if err := container.ReadFull(c.s.src, p, at); err != nil {
			return section{}, err
		}
		for i := 0; i <= len(p)-descriptorSize && i < step; i++ {
			if !padded(p[i : i+descriptorSize]) {
				continue
			}
			if s, err := parse(p[i:], at+int64(i), size); err == nil && known(s.kind) {
				return s, nil
			}
		}
	}
	return section{}, nil
}

// padded is a quick test for a descriptor: a letter, and the 40 bytes of
// padding, which every writer leaves zero.
func padded(b []byte) bool {
	return b[0] >= 'd' && b[0] <= 'x' && bytes.Equal(b[32:72], zeros[:])
}

var zeros [40]byte

// take reads what a section says.
func (c *chain) take(s section) error {
	switch s.kind {
	case "sectors":
		c.sectors, c.table = &s, nil
		return nil
	case "table", "table2":
		return c.takeTable(s)
	case "header", "header2", "volume", "disk", "data", "error2", "digest", "hash":
	default:
		return nil
	}
	const most = 16 << 20 // of error2; the others are far smaller
	if s.size() > most || s.size() < 0 {
		c.d.img.Note("segment %s: the section %q at byte %d has %d bytes, more than is read", c.s.name, s.kind, s.off, s.size())
		return nil
	}
	b := make([]byte, s.size())
	reason, err := c.s.pages.Read(b, s.body())
	if err != nil {
		return err
	}
	if reason == "" {
		reason = c.d.account(s.kind, b)
	}
	if reason != "" {
		c.d.img.Note("segment %s: the section %q at byte %d: %s", c.s.name, s.kind, s.off, reason)
	}
	return nil
}
