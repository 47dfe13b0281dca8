package store

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// packEntry appends e without its path: a byte whose bits say which times are
// set (modified, accessed, changed, born, deleted), type, status, the inode,
// the times that are set (seconds as a signed varint, nanoseconds), generation,
// mode, uid, gid, links, size and first byte (signed), and stream, link, damage
// and origin, each behind its length. Numbers are varints.
func packEntry(b []byte, e *filesystem.Entry) []byte {
	times := entryTimes(e)
	var set byte
	for i, t := range times {
		if t.Set {
			set |= 1 << i
		}
	}
	b = binary.AppendUvarint(append(b, set, byte(e.Type), byte(e.Status)), e.Ref.Inode)
	for i, t := range times {
		if set&(1<<i) != 0 {
			b = binary.AppendUvarint(binary.AppendVarint(b, t.Sec), uint64(t.Nsec)) //nolint:gosec // not negative
		}
	}
	for _, n := range [5]uint32{e.Ref.Generation, e.Mode, e.UID, e.GID, e.Links} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	b = binary.AppendVarint(binary.AppendVarint(b, e.Size), e.First)
	for _, s := range [4]string{e.Ref.Stream, e.Link, e.Damage, e.From} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

func entryTimes(e *filesystem.Entry) [5]imaging.Time {
	return [5]imaging.Time{e.Modified, e.Accessed, e.Changed, e.Born, e.Deleted}
}

// packed reads what packEntry wrote. What is cut gives zeros, and short says
// so.
type packed struct {
	b     []byte
	short bool
}

func (p *packed) byte() byte {
	if len(p.b) == 0 {
		p.short = true
		return 0
	}
	v := p.b[0]
	p.b = p.b[1:]
	return v
}

func (p *packed) count() uint64 {
	n, k := binary.Uvarint(p.b)
	if k <= 0 {
		p.b, p.short = nil, true
		return 0
	}
	p.b = p.b[k:]
	return n
}

func (p *packed) signed() int64 {
	n, k := binary.Varint(p.b)
	if k <= 0 {
		p.b, p.short = nil, true
		return 0
	}
	p.b = p.b[k:]
	return n
}

func (p *packed) text() string { return string(p.bytes()) }

// head reads what stands first: type, status, inode and times.
func (p *packed) head(e *filesystem.Entry) {
	set := p.byte()
	e.Type, e.Status, e.Ref.Inode = filesystem.Type(p.byte()), filesystem.Status(p.byte()), p.count()
	for i, t := range [5]*imaging.Time{&e.Modified, &e.Accessed, &e.Changed, &e.Born, &e.Deleted} {
		*t = imaging.Time{}
		if set&(1<<i) != 0 {
			*t = imaging.Time{Sec: p.signed(), Nsec: int32(p.count()), Set: true} //nolint:gosec // below 1e9
		}
	}
}

// unpackEntry is the inverse of packEntry.
func unpackEntry(b []byte, e *filesystem.Entry) error {
	p := packed{b: b}
	p.head(e)
	for _, n := range [5]*uint32{&e.Ref.Generation, &e.Mode, &e.UID, &e.GID, &e.Links} {
		*n = uint32(p.count()) //nolint:gosec // was one
	}
	e.Size, e.First = p.signed(), p.signed()
	e.Ref.Stream, e.Link, e.Damage, e.From = p.text(), p.text(), p.text(), p.text()
	if p.short {
		return errCut
	}
	return nil
}

// entryRows writes the entries of an exhibit and collects their moments.
type entryRows struct {
	l       *imageLoad
	line    *line
	entries *bulk
	pack    entryPacker
	dirs    *bulk
	nextDir int64
	span    *span
	open    []openDir // from the root of the volume to where the last entry lay
	cur     []byte    // path of the last of open
}

// openDir is a directory on the way to the last entry: the first n bytes of
// its path, and the numbers of the entries that lie directly in it.
type openDir struct {
	n    int
	id   int64
	runs []idRun
	many bool // runs are not kept, but for the first number and the last
}

// idRun is the numbers lo to hi.
type idRun struct{ lo, hi int64 }

// maxRuns is how many runs of numbers a directory keeps. Between two runs lies
// what is in a directory below it.
const maxRuns = 256

// own notes that an entry lies in the directory.
func (d *openDir) own(id int64) {
	k := len(d.runs) - 1
	switch {
	case k >= 0 && (d.many || d.runs[k].hi == id-1):
		d.runs[k].hi = id
	case k+1 == maxRuns:
		d.many = true
		d.runs = append(d.runs[:0], idRun{d.runs[0].lo, id})
	default:
		d.runs = append(d.runs, idRun{id, id})
	}
}

// packRuns packs runs behind lo as pairs of varints: how many numbers lie
// between, how many follow the first.
func packRuns(lo int64, runs []idRun) []byte {
	b := make([]byte, 0, 4*len(runs))
	for _, r := range runs {
		b = binary.AppendUvarint(b, uint64(r.lo-lo))   //nolint:gosec // in order
		b = binary.AppendUvarint(b, uint64(r.hi-r.lo)) //nolint:gosec // in order
		lo = r.hi
	}
	return b
}

// unpackRuns is the inverse of packRuns.
func unpackRuns(lo int64, b []byte) ([]idRun, error) {
	p := packed{b: b}
	var runs []idRun
	for len(p.b) > 0 {
		r := idRun{lo: lo + int64(p.count())} //nolint:gosec // written by packRuns
		r.hi = r.lo + int64(p.count())        //nolint:gosec // as above
		runs, lo = append(runs, r), r.hi
	}
	if p.short {
		return nil, errCut
	}
	return runs, nil
}

var errCut = errors.New("a row of the index is cut")

func newEntryRows(ctx context.Context, l *imageLoad) (r *entryRows, err error) {
	r = &entryRows{l: l, line: newLine()}
	defer func() {
		if err != nil {
			r.line.end() //nolint:errcheck // err came first
		}
	}()
	if r.entries, err = newBulk(l.t, "entries", "id,x,rows"); err != nil {
		return nil, err
	}
	if r.dirs, err = newBulk(l.t, "dirs", "id,x,volume,path,lo,hi,runs"); err != nil {
		return nil, err
	}
	r.entries.line, r.dirs.line = r.line, r.line
	if err := l.t.conn.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) + 1 FROM dirs").Scan(&r.nextDir); err != nil {
		return nil, err
	}
	first, err := l.nextID(ctx, "entries")
	r.span = newSpan(l.x, "entries", first)
	return r, err
}

// volumeTable is the name under which ranges knows the entries of one volume.
func volumeTable(volume string) string { return "entries " + volume }

// volume writes the sorted entries of one volume.
func (r *entryRows) volume(ctx context.Context, id string, s *sorter) error {
	part := newSpan(r.l.x, volumeTable(id), r.span.hi+1)
	var e filesystem.Entry
	for rec, err := range s.sorted() {
		if err != nil {
			return err
		}
		p := packed{b: rec.value}
		p.head(&e)
		r.span.row()
		part.row()
		if err := r.entry(ctx, id, &e, rec.key, rec.value); err != nil {
			return err
		}
		if err := r.l.addMoments(r.span.hi, &e); err != nil {
			return err
		}
		if len(r.l.wanted) > 0 {
			if err := unpackEntry(rec.value, &e); err != nil {
				return err
			}
			e.Path = string(rec.key)
			r.l.owns(id, &e)
		}
		if r.span.hi%65536 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	if err := r.leave(ctx, id, 0); err != nil {
		return err
	}
	return r.line.do(func() error { return r.l.saveSpan(ctx, part) })
}

// entry writes one entry; its number is the next one.
func (r *entryRows) entry(ctx context.Context, volume string, e *filesystem.Entry, path, rest []byte) error {
	slash := bytes.LastIndexByte(path, '/')
	dir, err := r.dir(ctx, volume, path[:slash])
	if err != nil {
		return err
	}
	if len(path) > 1 || e.Type != filesystem.TypeDir || e.Status != filesystem.Allocated { // the root does not lie in itself
		dir.own(r.span.hi)
	}
	r.pack.add(dir.id, path[slash+1:], rest)
	if r.pack.n == anchorEvery {
		return r.flush(ctx)
	}
	return nil
}

// flush writes the row of the last entries.
func (r *entryRows) flush(ctx context.Context) error {
	first := r.span.hi + 1 - int64(r.pack.n)
	return r.entries.add(ctx, first, int64(r.l.x), r.pack.take())
}

// dir is a directory. In the order of paths what lies in a directory or below
// it comes together, so only the way to the last entry has to be known.
func (r *entryRows) dir(ctx context.Context, volume string, path []byte) (*openDir, error) {
	if k := len(r.open); k > 0 && r.open[k-1].n == len(path) && bytes.Equal(path, r.cur) {
		return &r.open[k-1], nil
	}
	same := 0
	for n := min(len(path), len(r.cur)); same < n && path[same] == r.cur[same]; {
		same++
	}
	keep := len(r.open)
	for ; keep > 0; keep-- {
		if n := r.open[keep-1].n; n <= same && (n == len(path) || path[n] == '/') {
			break
		}
	}
	if err := r.leave(ctx, volume, keep); err != nil {
		return nil, err
	}
	r.cur = append(r.cur[:0], path...)
	if keep == 0 || r.open[keep-1].n < len(path) {
		r.open = append(r.open, openDir{n: len(path), id: r.nextDir})
		r.nextDir++
	}
	return &r.open[len(r.open)-1], nil
}

// leave writes the directories behind the first keep of the way, in which
// nothing can follow.
func (r *entryRows) leave(ctx context.Context, volume string, keep int) error {
	for i := len(r.open) - 1; i >= keep; i-- {
		d := &r.open[i]
		lo, hi := int64(1), int64(0)
		if k := len(d.runs); k > 0 {
			lo, hi = d.runs[0].lo, d.runs[k-1].hi
		}
		var runs driver.Value
		if !d.many {
			runs = packRuns(lo, d.runs)
		}
		if err := r.dirs.add(ctx, d.id, int64(r.l.x), volume, string(r.cur[:d.n]), lo, hi, runs); err != nil {
			return err
		}
	}
	r.open = r.open[:keep]
	return nil
}

func (r *entryRows) end(ctx context.Context) error {
	if r.pack.n > 0 {
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	if err := r.line.end(); err != nil {
		return err
	}
	return errors.Join(r.entries.end(ctx), r.dirs.end(ctx), r.l.saveSpan(ctx, r.span))
}

// The bits of a moment: which times of the entry it is.
const (
	macbDeleted = 16
	momentBytes = 16
	farBytes    = 4 // nanoseconds, between time and entry, where the number of the time leaves them out
)

func macbBits() [5]byte { return [5]byte{8, 4, 2, 1, macbDeleted} }

// addMoments takes the distinct times of an entry. A record is the time and
// the entry with the bits, in the order in which the rows shall stand.
func (l *imageLoad) addMoments(id int64, e *filesystem.Entry) error {
	times := entryTimes(e)
	for i, t := range times {
		if !t.Set {
			continue
		}
		var bits byte
		for j, u := range times {
			if t == u {
				if j < i {
					bits = 0
					break
				}
				bits |= macbBits()[j]
			}
		}
		if bits == 0 {
			continue // told by an earlier one
		}
		ns, exact := nano(t)
		key := binary.BigEndian.AppendUint64(l.key[:0], uint64(ns)^1<<63) //nolint:gosec // order of signed numbers
		if !exact {
			key = binary.BigEndian.AppendUint32(key, uint32(t.Nsec)) //nolint:gosec // not negative
		}
		l.key = binary.BigEndian.AppendUint64(key, uint64(id)<<8|uint64(bits)) //nolint:gosec // ids stay below 2^55
		if err := l.moments.add(l.key, nil); err != nil {
			return err
		}
	}
	return nil
}

func (l *imageLoad) insertMoments(ctx context.Context) (err error) {
	first, err := l.nextID(ctx, "moments")
	if err != nil {
		return err
	}
	on := newLine()
	defer func() {
		if e := on.end(); err == nil {
			err = e
		}
	}()
	b, err := newBulk(l.t, "moments", "id,x,rows")
	if err != nil {
		return err
	}
	b.line = on
	var pack momentPacker
	flush := func(hi int64) error {
		n := int64(pack.n)
		return b.add(ctx, hi+1-n, int64(l.x), pack.take())
	}
	sp := newSpan(l.x, "moments", first)
	for rec, err := range l.moments.sorted() {
		if err != nil {
			return fmt.Errorf("moments: %w", err)
		}
		ts := int64(binary.BigEndian.Uint64(rec.key) ^ 1<<63) //nolint:gosec // as above
		n := binary.BigEndian.Uint64(rec.key[len(rec.key)-8:])
		sp.timedRow(ts)
		if len(rec.key) == momentBytes+farBytes {
			t := ofNano(ts)
			t.Nsec = int32(binary.BigEndian.Uint32(rec.key[8:])) //nolint:gosec // as above
			id := sp.hi
			if err := on.do(func() error { return l.beyond(ctx, "moments", id, "ts", t) }); err != nil {
				return err
			}
		}
		pack.add(ts, int64(n>>8), byte(n)) //nolint:gosec // as above
		if pack.n == anchorEvery {
			if err := flush(sp.hi); err != nil {
				return err
			}
		}
		if sp.hi%65536 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	if pack.n > 0 {
		if err := flush(sp.hi); err != nil {
			return err
		}
	}
	if err := on.end(); err != nil {
		return err
	}
	return errors.Join(b.end(ctx), l.saveSpan(ctx, sp))
}
