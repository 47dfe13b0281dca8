package ntfs

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
)

const (
	maxList   = 256 << 10 // bytes of an $ATTRIBUTE_LIST, the limit of Windows
	maxStray  = 64        // records of other files that a list may name
	maxValue  = 16 << 10  // bytes of a reparse point, the limit of Windows
	indexName = "$I30"
)

// file is a base record with the attributes of the records that belong to it.
type file struct {
	*record
	attrs    []attribute
	spread   bool // it has an $ATTRIBUTE_LIST
	stray    bool // it is a part of a record that is gone
	damage   string
	clusters uint64 // that the volume has
}

// stream is a value with all its runs.
type stream struct {
	kind     uint32
	name     string
	resident []byte // nil: in runs
	record   uint64 // that holds a resident value, at byte at
	at       int
	runs     []run
	flags    uint16
	unit     uint8
	size     uint64
	init     uint64
	mapped   uint64 // clusters that the runs map
	sizeless bool   // the part that has the size is missing
	damage   string
}

// record reads one; nil when the MFT has none of that number. Where the image
// is cut the damage says so.
func (fs *FS) record(n uint64) (*record, error) {
	if n >= fs.records {
		return nil, nil
	}
	raw := make([]byte, fs.boot.record)
	if _, err := fs.mft.ReadAt(raw, int64(n)*fs.boot.record); err != nil && !isEOF(err) { //nolint:gosec // inside the MFT
		return nil, err
	}
	return parseRecord(n, raw), nil
}

// file reads a record with all that belongs to it; nil when that number has no
// signature of a record. One that belongs to another has its own part alone.
func (fs *FS) file(n uint64, budget *int64) (*file, error) {
	r, err := fs.record(n)
	if err != nil || r == nil || !r.file {
		return nil, err
	}
	return fs.gather(r, budget)
}

// gather follows the $ATTRIBUTE_LIST. budget is how many bytes of lists may
// still be read.
func (fs *FS) gather(r *record, budget *int64) (*file, error) {
	f := &file{record: r, attrs: r.attrs, damage: r.damage, clusters: fs.boot.clusters}
	if r.part() {
		return f, nil
	}
	i := slices.IndexFunc(r.attrs, func(a attribute) bool { return a.kind == typeList })
	if i < 0 {
		return f, nil
	}
	f.spread = true
	s := f.stream(typeList, "")
	c := fs.content(s)
	var damage string
	if c.damage != "" {
		join(&damage, "the attribute list: %s", c.damage)
	}
	var numbers []uint64
	if c.size > maxList || *budget < c.size {
		join(&damage, "range: the attribute list has %d bytes", c.size)
	} else {
		*budget -= c.size
		list := make([]byte, c.size)
		if _, err := c.ReadAt(list, 0); err != nil && !isEOF(err) && !isFormat(err) {
			return nil, err
		}
		numbers = listed(list, &damage)
	}
	f.attrs = slices.Clone(f.attrs)
	if err := fs.members(f, numbers, &damage); err != nil {
		return nil, err
	}
	if damage != "" {
		if err := fs.unlisted(f, numbers, &damage); err != nil {
			return nil, err
		}
		join(&f.damage, "%s", damage)
	}
	return f, nil
}

// listed are the records that an attribute list names, in order.
func listed(list []byte, damage *string) []uint64 {
	var numbers []uint64
	for at := 0; at+26 <= len(list); {
		n := int(le.Uint16(list[at+4:]))
		if n < 26 || n > len(list)-at {
			join(damage, "range: the attribute list breaks off at byte %d", at)
			break
		}
		numbers = append(numbers, le.Uint64(list[at+16:])&(1<<48-1))
		at += n
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

// members adds the attributes of the records that are parts of the file.
func (fs *FS) members(f *file, numbers []uint64, damage *string) error {
	stray := 0
	for _, n := range numbers {
		if n == f.number {
			continue
		}
		m, err := fs.record(n)
		if err != nil {
			return err
		}
		if m == nil || !m.file || m.base != f.number || m.inUse != f.inUse {
			if stray++; stray > maxStray {
				join(damage, "partial: more than %d records of the attribute list are not of this file", maxStray)
				break
			}
			word := "reallocated"
			if f.inUse || m == nil || !m.file {
				word = "partial"
			}
			join(damage, "%s: record %d of the attribute list is not of this file", word, n)
			continue
		}
		if m.damage != "" {
			join(&f.damage, "record %d: %s", n, m.damage)
		}
		f.attrs = append(f.attrs, m.attrs...)
	}
	return nil
}

// unlisted adds the parts that say themselves that they are of the file, for
// one whose attribute list is damaged.
func (fs *FS) unlisted(f *file, known []uint64, damage *string) error {
	all, err := fs.partsOf(f.number)
	if err != nil {
		return err
	}
	var more []uint64
	for _, n := range all {
		if _, ok := slices.BinarySearch(known, n); ok {
			continue
		}
		m, err := fs.record(n)
		if err != nil {
			return err
		}
		if m != nil && m.file && m.inUse == f.inUse && (dir{seq: f.seq, inUse: f.inUse}).fits(m.bseq) {
			more = append(more, n)
		}
	}
	if len(more) == 0 {
		return nil
	}
	join(damage, "partial: %d records were found that say that they are of this file", len(more))
	return fs.members(f, more, damage)
}

// parts are the records that belong to others, by those.
type parts struct {
	mu sync.Mutex
	by map[uint64][]uint64 // nil: not read yet
}

// partsOf reads the whole MFT the first time.
func (fs *FS) partsOf(number uint64) ([]uint64, error) {
	fs.parts.mu.Lock()
	defer fs.parts.mu.Unlock()
	if fs.parts.by == nil {
		by := make(map[uint64][]uint64)
		err := fs.newScanner(context.Background()).each(0, fs.records, func(r *record) error {
			if r.file && r.part() {
				by[r.base] = append(by[r.base], r.number)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		fs.parts.by = by
	}
	return fs.parts.by[number], nil
}

// stream puts together the attributes of a type and name; nil without any.
func (f *file) stream(kind uint32, name string) *stream {
	var parts []attribute
	for _, a := range f.attrs {
		if a.kind == kind && a.name == name {
			parts = append(parts, a)
		}
	}
	if len(parts) == 0 {
		return nil
	}
	slices.SortStableFunc(parts, func(a, b attribute) int { return cmp.Compare(a.low, b.low) })
	a := parts[0]
	s := &stream{kind: kind, name: name, flags: a.flags, unit: a.unit, size: a.size, init: a.init, record: a.record}
	if a.runs == nil {
		s.resident, s.at, s.size, s.init = a.value, a.at, uint64(len(a.value)), uint64(len(a.value))
		if s.resident == nil {
			s.resident = []byte{}
		}
		if len(parts) > 1 {
			join(&s.damage, "overlap: the stream stands in %d attributes, the first is used", len(parts))
		}
		return s
	}
	s.lay(parts, f.clusters)
	return s
}

// lay decodes the runs of all parts, which are in order.
func (s *stream) lay(parts []attribute, clusters uint64) {
	next := uint64(0)
	for _, a := range parts {
		switch {
		case a.runs == nil:
			join(&s.damage, "overlap: the stream has a value in the record too")
			continue
		case a.low < next:
			join(&s.damage, "overlap: two parts of the stream begin before cluster %d", next)
			continue
		case a.low > maxClusters:
			join(&s.damage, "range: a part of the stream begins at cluster %d", a.low)
			continue
		case a.low > next:
			join(&s.damage, "partial: clusters %d to %d of the content have no runs", next, a.low-1)
			s.runs = append(s.runs, run{vcn: next, n: a.low - next, lcn: -1})
		}
		var damage string
		if s.runs, damage = appendRuns(s.runs, a.runs, a.low, clusters); damage != "" {
			join(&s.damage, "%s", damage)
		}
		next = a.low
		if k := len(s.runs); k > 0 {
			next = max(next, s.runs[k-1].vcn+s.runs[k-1].n)
		}
		if next != a.high+1 && (next != a.low || a.size != 0) && damage == "" {
			join(&s.damage, "range: runs up to cluster %d, the attribute says %d", next, a.high+1)
		}
	}
	s.mapped = next
	if parts[0].low != 0 {
		join(&s.damage, "partial: the part that has the size is missing")
		s.size, s.init, s.sizeless = math.MaxUint64, math.MaxUint64, true
	}
}

// stray says that a record is a part of one that is gone: no record stands
// there, or one that was made since, or one that was freed without it.
func (fs *FS) stray(r *record) (bool, error) {
	if !r.file || !r.part() {
		return false, nil
	}
	b, err := fs.record(r.base)
	if err != nil {
		return false, err
	}
	if b == nil || !b.file || b.part() || r.inUse && !b.inUse {
		return true, nil
	}
	d := dir{seq: b.seq, inUse: b.inUse}
	return !d.fits(r.bseq), nil
}
