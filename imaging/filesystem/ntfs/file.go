package ntfs

import (
	"cmp"
	"math"
	"slices"
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

// file reads a base record with all that belongs to it; nil when that number
// has no signature of a record or belongs to another.
func (fs *FS) file(n uint64, budget *int64) (*file, error) {
	r, err := fs.record(n)
	if err != nil || r == nil || !r.file || r.base != 0 && r.base != n {
		return nil, err
	}
	return fs.gather(r, budget)
}

// gather follows the $ATTRIBUTE_LIST. budget is how many bytes of lists may
// still be read.
func (fs *FS) gather(r *record, budget *int64) (*file, error) {
	f := &file{record: r, attrs: r.attrs, damage: r.damage, clusters: fs.boot.clusters}
	i := slices.IndexFunc(r.attrs, func(a attribute) bool { return a.kind == typeList })
	if i < 0 {
		return f, nil
	}
	f.spread = true
	s := f.stream(typeList, "")
	c := fs.content(s)
	if c.damage != "" {
		join(&f.damage, "the attribute list: %s", c.damage)
	}
	if c.size > maxList || *budget < c.size {
		join(&f.damage, "range: the attribute list has %d bytes: parts are lost", c.size)
		return f, nil
	}
	*budget -= c.size
	list := make([]byte, c.size)
	if _, err := c.ReadAt(list, 0); err != nil && !isEOF(err) {
		return nil, err
	}
	return f, fs.members(f, list)
}

// members adds the attributes of the records that a list names.
func (fs *FS) members(f *file, list []byte) error {
	var numbers []uint64
	for at := 0; at+26 <= len(list); {
		n := int(le.Uint16(list[at+4:]))
		if n < 26 || n > len(list)-at {
			join(&f.damage, "range: the attribute list breaks off at byte %d", at)
			break
		}
		numbers = append(numbers, le.Uint64(list[at+16:])&(1<<48-1))
		at += n
	}
	slices.Sort(numbers)
	stray := 0
	f.attrs = slices.Clone(f.attrs)
	for _, n := range slices.Compact(numbers) {
		if n == f.number {
			continue
		}
		m, err := fs.record(n)
		if err != nil {
			return err
		}
		if m == nil || !m.file || m.base != f.number || m.inUse != f.inUse {
			if stray++; stray > maxStray {
				join(&f.damage, "partial: more than %d records of the attribute list are not of this file", maxStray)
				break
			}
			if f.inUse || m == nil || !m.file {
				join(&f.damage, "partial: record %d of the attribute list is not of this file", n)
			} else {
				join(&f.damage, "reallocated: record %d of the attribute list was used again", n)
			}
			continue
		}
		if m.damage != "" {
			join(&f.damage, "record %d: %s", n, m.damage)
		}
		f.attrs = append(f.attrs, m.attrs...)
	}
	return nil
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
