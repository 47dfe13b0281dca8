package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

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

func (p *packed) text() string {
	n := p.count()
	if n > uint64(len(p.b)) {
		p.b, p.short = nil, true
		return ""
	}
	s := string(p.b[:n])
	p.b = p.b[n:]
	return s
}

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
		return errors.New("a row of the index is cut")
	}
	return nil
}

// entryRows writes the entries of an exhibit and collects their moments.
type entryRows struct {
	l       *imageLoad
	entries *numbered
	dirs    *bulk
	nextDir int64
	span    *span
	open    []openDir // from the root of the volume to where the last entry lay
	cur     string    // path of the last of open
}

// openDir is a directory on the way to the last entry: the first n bytes of
// its path.
type openDir struct {
	n  int
	id int64
}

func newEntryRows(ctx context.Context, l *imageLoad) (r *entryRows, err error) {
	r = &entryRows{l: l}
	if r.entries, err = newNumbered(l.t, "entries", "x", int64(l.x), "dir,name,type,status,inode,rest"); err != nil {
		return nil, err
	}
	if r.dirs, err = newBulk(l.t, "dirs", "id,x,volume,path"); err != nil {
		return nil, err
	}
	if err := l.t.conn.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) + 1 FROM dirs").Scan(&r.nextDir); err != nil {
		return nil, err
	}
	first, err := l.nextID(ctx, "entries")
	r.span = newSpan(l.x, "entries", first)
	return r, err
}

// volumeTable is the name under which ranges knows the entries of one volume.
func volumeTable(volume string) string { return "entries " + volume }

// volume writes the sorted entries of volume number n.
func (r *entryRows) volume(ctx context.Context, id string, n int64, s *sorter) error {
	r.open, r.cur = r.open[:0], ""
	part := newSpan(r.l.x, volumeTable(id), r.span.hi+1)
	var e filesystem.Entry
	for rec, err := range s.sorted() {
		if err != nil {
			return err
		}
		p := packed{b: rec.value}
		p.head(&e)
		e.Path = string(rec.key)
		r.span.row()
		part.row()
		if err := r.entry(ctx, id, &e, rec.value); err != nil {
			return err
		}
		if err := r.l.addMoments(r.span.hi, &e); err != nil {
			return err
		}
		if len(r.l.wanted) > 0 {
			if err := unpackEntry(rec.value, &e); err != nil {
				return err
			}
			r.l.owns(id, &e)
		}
		if r.span.hi%65536 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	return r.l.saveSpan(ctx, part)
}

// entry writes one row; its number is the next one.
func (r *entryRows) entry(ctx context.Context, volume string, e *filesystem.Entry, rest []byte) error {
	slash := strings.LastIndexByte(e.Path, '/')
	dir, err := r.dir(ctx, volume, e.Path[:slash])
	if err != nil {
		return err
	}
	return r.entries.add(ctx, r.span.hi, dir, e.Path[slash+1:], int64(e.Type), int64(e.Status), int64(e.Ref.Inode), slices.Clone(rest)) //nolint:gosec // two's complement
}

// dir is the number of a directory, whose row it writes at the first entry. In
// the order of paths what lies in a directory or below it comes together, so
// only the way to the last entry has to be known.
func (r *entryRows) dir(ctx context.Context, volume, path string) (int64, error) {
	same := 0
	for n := min(len(path), len(r.cur)); same < n && path[same] == r.cur[same]; {
		same++
	}
	for len(r.open) > 0 {
		top := r.open[len(r.open)-1]
		if top.n <= same && (top.n == len(path) || path[top.n] == '/') {
			break
		}
		r.open = r.open[:len(r.open)-1]
	}
	r.cur = path
	if k := len(r.open); k > 0 && r.open[k-1].n == len(path) {
		return r.open[k-1].id, nil
	}
	id := r.nextDir
	r.nextDir++
	r.open = append(r.open, openDir{len(path), id})
	return id, r.dirs.add(ctx, id, int64(r.l.x), volume, path)
}

func (r *entryRows) end(ctx context.Context) error {
	return errors.Join(r.entries.end(ctx), r.dirs.end(ctx), r.l.saveSpan(ctx, r.span))
}

// The bits of a moment: which times of the entry it is.
const (
	macbDeleted = 16
	momentBytes = 16
)

func macbBits() [5]byte { return [5]byte{8, 4, 2, 1, macbDeleted} }

// addMoments takes the distinct times of an entry. A record is the time and
// the entry with the bits, in the order in which the rows shall stand.
func (l *imageLoad) addMoments(id int64, e *filesystem.Entry) error {
	times := entryTimes(e)
	var key [momentBytes]byte
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
		ns, _ := nano(t)
		binary.BigEndian.PutUint64(key[:], uint64(ns)^1<<63)            //nolint:gosec // order of signed numbers
		binary.BigEndian.PutUint64(key[8:], uint64(id)<<8|uint64(bits)) //nolint:gosec // ids stay below 2^55
		if err := l.moments.add(key[:], nil); err != nil {
			return err
		}
	}
	return nil
}

func (l *imageLoad) insertMoments(ctx context.Context) error {
	first, err := l.nextID(ctx, "moments")
	if err != nil {
		return err
	}
	b, err := newNumbered(l.t, "moments", "x", int64(l.x), "ts,entry,macb")
	if err != nil {
		return err
	}
	sp := newSpan(l.x, "moments", first)
	for rec, err := range l.moments.sorted() {
		if err != nil {
			return fmt.Errorf("moments: %w", err)
		}
		ts := int64(binary.BigEndian.Uint64(rec.key) ^ 1<<63) //nolint:gosec // as above
		n := binary.BigEndian.Uint64(rec.key[8:])
		sp.timedRow(ts)
		if err := b.add(ctx, sp.hi, ts, int64(n>>8), int64(n&0xff)); err != nil { //nolint:gosec // as above
			return err
		}
		if sp.hi%65536 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	return errors.Join(b.end(ctx), l.saveSpan(ctx, sp))
}
