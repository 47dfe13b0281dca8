package ewf

import (
	"errors"
	"fmt"
	"hash/adler32"
	"sync"

	"snapcase/imaging/image/container"
)

const compressed = 1 << 31

// run is the chunks of one table, or (count 0, lost set) chunks of unknown
// number that are missing.
type run struct {
	first, count int64 // chunks
	seg          *segment
	table, copy  *table // copy nil: there is none
	limit        int64  // where the last chunk ends
	lost         string

	check sync.Once
	bad   bool // neither table nor copy is sound
	err   error
}

// table is where entries lie.
type table struct {
	off     int64 // of the first entry
	n, base int64
	hashed  bool  // a checksum follows the entries
	high    int64 // entries from here on have 32 bits of offset and are stored
}

// lost notes that chunks are missing from here on.
func (d *disk) lost(s *segment, why string) {
	d.runs = append(d.runs, &run{seg: s, lost: fmt.Sprintf("lost in segment %s: %s", s.name, why)})
}

// takeTable reads the header of a table or of its copy.
func (c *chain) takeTable(s section) error {
	var h [24]byte
	if s.size() < int64(len(h)) {
		return c.badTable(s, "it is too short")
	}
	reason, err := c.s.pages.Read(h[:], s.body())
	if err != nil {
		return err
	}
	if reason == "" && !checksum(h[:]) {
		reason = "its header fails its checksum"
	}
	if reason != "" {
		return c.badTable(s, reason)
	}
	t := &table{off: s.body() + 24, n: int64(le.Uint32(h[:])), base: int64(le.Uint64(h[8:]))}
	if t.n*4 > s.size()-24 || t.base < 0 || t.base > c.s.src.Size() {
		return c.badTable(s, fmt.Sprintf("it has no room for %d entries from base %d", t.n, t.base))
	}
	t.hashed = s.size() == 24+4*t.n+4 || s.size() > 24+4*t.n && c.sectors != nil
	t.high = t.n
	if s.kind == "table2" && c.table != nil {
		c.takeCopy(t)
		return nil
	}
	if t.n == 0 || len(c.d.runs) >= mostTables {
		c.table = nil
		if t.n != 0 {
			return c.badTable(s, fmt.Sprintf("the image has more than %d tables", mostTables))
		}
		return nil
	}
	r := &run{seg: c.s, table: t, count: t.n, limit: s.end}
	if c.sectors != nil {
		r.limit = c.sectors.end
	}
	c.d.runs = append(c.d.runs, r)
	if c.table = r; s.kind == "table2" {
		c.table = nil // a copy whose table is lost stands for itself
	}
	return nil
}

func (c *chain) takeCopy(t *table) {
	r := c.table
	c.table = nil
	switch {
	case r.table == nil: // the table itself was bad
		r.table, r.count, r.lost = t, t.n, ""
	case t.n != r.count:
		c.d.img.Note("segment %s: the table at byte %d has %d chunks, its copy %d", c.s.name, r.table.off, r.count, t.n)
	default:
		r.copy = t
	}
}

// badTable notes a table that cannot be used; its copy may follow.
func (c *chain) badTable(s section, why string) error {
	c.d.img.Note("segment %s: the section %q at byte %d: %s", c.s.name, s.kind, s.off, why)
	if s.kind == "table2" && c.table != nil {
		c.table = nil
		return nil
	}
	c.d.lost(c.s, why)
	c.table = c.d.runs[len(c.d.runs)-1]
	c.table.limit = s.end
	if c.sectors != nil {
		c.table.limit = c.sectors.end
	}
	return nil
}

// verify finds which of table and copy is sound.
func (r *run) verify() error {
	r.check.Do(func() {
		good, err := r.sound(r.table)
		if err != nil || good {
			r.err = err
			return
		}
		if r.copy == nil {
			r.bad = true
			return
		}
		good, r.err = r.sound(r.copy)
		r.bad = !good
		if good {
			r.table, r.copy = r.copy, r.table
		}
	})
	return r.err
}

// sound reads a table once: does its checksum hold, and do its offsets run into
// their highest bit? The latter is so where an offset without that bit lies
// before the one ahead of it.
func (r *run) sound(t *table) (bool, error) {
	h := adler32.New()
	b := make([]byte, min(64<<10, t.n*4))
	before := uint32(0)
	for at := int64(0); at < t.n*4; {
		p := b[:min(int64(len(b)), t.n*4-at)]
		if reason, err := r.seg.pages.Read(p, t.off+at); err != nil || reason != "" {
			return false, err
		}
		h.Write(p)
		for i := 0; i < len(p) && t.high == t.n; i += 4 {
			e := le.Uint32(p[i:])
			if e&^compressed < before && e > before {
				t.high = (at + int64(i)) / 4
			}
			before = e &^ compressed
		}
		at += int64(len(p))
	}
	if !t.hashed {
		return true, nil
	}
	var want [4]byte
	reason, err := r.seg.pages.Read(want[:], t.off+t.n*4)
	return reason == "" && h.Sum32() == le.Uint32(want[:]), err
}

// entries reads entry i and the one behind it, which is 0 at the end.
func (r *run) entries(t *table, i int64) (now, next uint32, reason string, err error) {
	var b [8]byte
	n := min(8, (t.n-i)*4)
	reason, err = r.seg.pages.Read(b[:n], t.off+i*4)
	return le.Uint32(b[:]), le.Uint32(b[4:]), reason, err
}

// locate finds the bytes of chunk i of the run.
func (r *run) locate(i int64) (off, end int64, packed bool, reason string, err error) {
	if err := r.verify(); err != nil {
		return 0, 0, false, "", err
	}
	now, next, reason, err := r.entries(r.table, i)
	if err != nil || reason != "" {
		return 0, 0, false, reason, err
	}
	if r.bad {
		reason = fmt.Sprintf("the table at byte %d of %s fails its checksum and no copy confirms where the chunk is", r.table.off, r.seg.name)
		if r.copy != nil {
			a, b, why, err := r.entries(r.copy, i)
			if err != nil {
				return 0, 0, false, "", err
			}
			if why == "" && a == now && b == next {
				reason = ""
			}
		}
	}
	off, packed = r.table.place(i, now)
	if end = r.limit; i < r.table.n-1 {
		end, _ = r.table.place(i+1, next)
	}
	return off, end, packed, reason, nil
}

// place gives the offset of chunk i from its entry.
func (t *table) place(i int64, entry uint32) (off int64, packed bool) {
	if i >= t.high {
		return t.base + int64(entry), false
	}
	return t.base + int64(entry&^compressed), entry&compressed != 0
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// unpack fills dst with chunk i of the run.
func (r *run) unpack(i int64, dst []byte, chunk int64) (string, error) {
	off, end, packed, reason, err := r.locate(i)
	if err != nil {
		clear(dst)
		return "", err
	}
	size := r.seg.src.Size()
	place := fmt.Sprintf("chunk at byte %d of %s", off, r.seg.name)
	if off < 13 || off >= size || reason != "" && end <= off {
		clear(dst)
		if reason == "" {
			reason = "the " + place + " lies outside of the file"
		}
		return reason, nil
	}
	most := chunk + chunk/8 + 1024 // a sound chunk does not grow by more
	if end <= off || end > off+most {
		end = off + most
	}
	n := min(end, size) - off
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	if int64(cap(*buf)) < n {
		*buf = make([]byte, n)
	}
	b := (*buf)[:n]
	if err := container.ReadFull(r.seg.src, b, off); err != nil {
		clear(dst)
		return "", err
	}
	bad := decode(dst, b, packed)
	if bad == nil || reason != "" {
		return reason, nil
	}
	reason = fmt.Sprintf("the %s is damaged: %v", place, bad)
	if g := container.GapsIn(r.seg.src, off, n); len(g) > 0 {
		reason += ": " + g[0].Reason
	}
	return reason, nil
}

func decode(dst, b []byte, packed bool) error {
	if packed {
		return container.InflateZlib(dst, b)
	}
	n := copy(dst, b)
	clear(dst[n:])
	switch {
	case n < len(dst):
		return fmt.Errorf("it has %d of %d bytes", n, len(dst))
	case len(b) < n+4:
		return errors.New("its checksum is cut off")
	case adler32.Checksum(dst) != le.Uint32(b[n:]):
		return errors.New("it fails its checksum")
	}
	return nil
}
