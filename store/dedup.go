package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sync"

	"snapcase/evidence/cloudtrail"
)

// dedup decides which rows are events of their own, and sorts those into the
// order of the question: time, then event id, then place.
//
// Same event id and same content (equal text, or equal after sorting keys) is
// a copy of the first by place. Same event id and other content is not: both
// stay, and are marked. A row without an id is never a copy. What an earlier
// exhibit holds already is a copy of that.
func (l *eventLoad) dedup(ctx context.Context) (err error) {
	d := &eventDedup{eventLoad: l}
	if d.old, err = l.earlierEvents(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.old.close()) }()
	n := 0
	for rec, err := range l.rows.sorted() {
		if err != nil {
			return err
		}
		if n++; n%65536 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			l.report("events sorted", int64(n))
		}
		if err := d.add(ctx, rec.value); err != nil {
			return err
		}
	}
	if err := d.endGroup(ctx); err != nil {
		return err
	}
	return d.settle(ctx)
}

// eventDedup goes through rows in the order of their ids.
type eventDedup struct {
	*eventLoad
	old     *earlier
	group   eventGroup
	pending []eventGroup // texts have to be compared
	waiting int          // candidates in pending
	key     []byte
	value   []byte
}

// eventGroup is the rows of one id.
type eventGroup struct {
	id    []byte
	prior []earlierEvent
	cands []candidate
}

// candidate is the first row, by place, of those that share id and hash.
type candidate struct {
	head   eventHead
	value  []byte
	copies []uint64 // places
}

// settledAtOnce is how many candidates wait to be compared by their texts.
const settledAtOnce = 1 << 16

func (d *eventDedup) add(ctx context.Context, value []byte) error {
	p := packed{b: value}
	h := unpackHead(&p)
	if p.short {
		return errCut
	}
	g := &d.group
	if len(h.id) == 0 || !bytes.Equal(h.id, g.id) {
		if err := d.endGroup(ctx); err != nil {
			return err
		}
		g.id = append(g.id[:0], h.id...)
		var err error
		if g.prior, err = d.old.find(g.id); err != nil {
			return err
		}
	}
	for _, p := range g.prior {
		if p.hash == h.hash {
			return d.copyOf(p.id, h.place())
		}
	}
	for i := range g.cands {
		if c := &g.cands[i]; c.head.hash == h.hash {
			c.copies = append(c.copies, h.place())
			return nil
		}
	}
	c := candidate{head: h}
	if n := len(g.cands); n < cap(g.cands) { // its bytes are free again
		c.value = g.cands[:n+1][n].value[:0]
	}
	c.value = append(c.value, value...)
	g.cands = append(g.cands, c)
	return nil
}

// endGroup keeps the only candidate of an id; several wait until their texts
// are compared.
func (d *eventDedup) endGroup(ctx context.Context) error {
	g := &d.group
	switch {
	case len(g.cands) == 0:
	case len(g.cands) == 1 && len(g.prior) == 0:
		if err := d.keep(&g.cands[0]); err != nil {
			return err
		}
	default:
		d.pending = append(d.pending, *g)
		d.waiting += len(g.cands)
		*g = eventGroup{}
		if d.waiting >= settledAtOnce {
			return d.settle(ctx)
		}
	}
	g.cands, g.prior = g.cands[:0], nil
	return nil
}

// keep passes a row on as an event of its own.
func (d *eventDedup) keep(c *candidate) error {
	d.stats.Distinct++
	p := packed{b: c.value}
	h := unpackHead(&p) // its id lies in value
	d.key = h.orderKey(d.key[:0])
	d.value = append(d.value[:0], c.value...)
	d.value[0] = c.head.flags
	slices.Sort(c.copies)
	d.value = binary.AppendUvarint(d.value, uint64(len(c.copies)))
	for _, place := range c.copies {
		d.value = binary.BigEndian.AppendUint64(d.value, place)
	}
	return d.order.add(d.key, d.value)
}

// copyOf notes that the row at a place is a copy of an earlier exhibit's event.
func (d *eventDedup) copyOf(event int64, place uint64) error {
	d.priors++
	return d.prior.add(binary.BigEndian.AppendUint64(nil, place), binary.BigEndian.AppendUint64(nil, uint64(event))) //nolint:gosec // an id
}

// settle compares records that share an id and differ in their text.
func (d *eventDedup) settle(ctx context.Context) error {
	wanted := map[int]map[int64]struct{}{} // file, record
	for _, g := range d.pending {
		for _, c := range g.cands {
			file := int(c.head.file)
			if wanted[file] == nil {
				wanted[file] = map[int64]struct{}{}
			}
			wanted[file][int64(c.head.n)] = struct{}{}
		}
	}
	canon, err := d.canonical(ctx, wanted)
	if err != nil {
		return err
	}
	for i := range d.pending {
		if err := d.settleGroup(ctx, &d.pending[i], canon); err != nil {
			return err
		}
	}
	d.pending, d.waiting = nil, 0
	return nil
}

func (d *eventDedup) settleGroup(ctx context.Context, g *eventGroup, canon map[uint64][32]byte) error {
	var firsts []*candidate
	for i := range g.cands {
		c := &g.cands[i]
		sum, told := canon[c.head.place()]
		prior, is, err := d.priorCopy(ctx, g, sum, told)
		if err != nil {
			return err
		}
		if is {
			for _, place := range append(c.copies, c.head.place()) {
				if err := d.copyOf(prior, place); err != nil {
					return err
				}
			}
			continue
		}
		at := slices.IndexFunc(firsts, func(f *candidate) bool { return told && canon[f.head.place()] == sum })
		if at >= 0 {
			firsts[at].copies = append(append(firsts[at].copies, c.head.place()), c.copies...)
			continue
		}
		firsts = append(firsts, c)
	}
	if len(firsts) > 0 && len(firsts)+len(g.prior) > 1 {
		for _, f := range firsts {
			f.head.flags |= flagConflict
		}
		for _, p := range g.prior {
			if err := d.t.exec(ctx, "UPDATE events SET flags = flags | ? WHERE id = ?", flagConflict, p.id); err != nil {
				return err
			}
		}
	}
	for _, f := range firsts {
		if err := d.keep(f); err != nil {
			return err
		}
	}
	return nil
}

// priorCopy says whether a text has the content of one of the events that an
// earlier exhibit holds under the same id.
func (d *eventDedup) priorCopy(ctx context.Context, g *eventGroup, sum [32]byte, told bool) (int64, bool, error) {
	if !told {
		return 0, false, nil
	}
	for _, p := range g.prior {
		raw, err := d.c.rawOf(ctx, d.t.conn, p.id)
		if err != nil {
			return 0, false, err
		}
		if cloudtrail.Canonical(raw) == sum {
			return p.id, true, nil
		}
	}
	return 0, false, nil
}

// canonical reads the wanted records again and hashes their content, file by
// file on all CPUs. The result is by place.
func (l *eventLoad) canonical(ctx context.Context, wanted map[int]map[int64]struct{}) (map[uint64][32]byte, error) {
	out := map[uint64][32]byte{}
	var mu sync.Mutex
	files := sorted(wanted, cmp.Compare[int])
	texts := make([]bytes.Buffer, parallel(len(files)))
	err := inParallel(ctx, len(files), func(ctx context.Context, w, i int) error {
		sums, err := l.canonicalFile(ctx, files[i], wanted[files[i]], &texts[w])
		mu.Lock()
		defer mu.Unlock()
		maps.Copy(out, sums)
		return err
	})
	return out, err
}

func (l *eventLoad) canonicalFile(ctx context.Context, file int, ns map[int64]struct{}, b *bytes.Buffer) (map[uint64][32]byte, error) {
	out := make(map[uint64][32]byte, len(ns))
	whole, err := readText(ctx, l.files[file].path, b)
	if err != nil {
		return nil, err
	}
	if !whole {
		return out, l.canonicalStream(ctx, file, ns, out)
	}
	text := b.Bytes()
	n := int64(0)
	for offset, length := range places(l.places[file]) {
		n++
		if _, ok := ns[n]; !ok || length == 0 || offset+length > int64(len(text)) {
			continue
		}
		record := text[offset : offset+length]
		if bytes.Contains(record, []byte("CloudTrailEvent")) { // an answer of LookupEvents, perhaps
			r, err := cloudtrail.Parse(record)
			if err != nil {
				continue
			}
			record = r.Raw
		}
		out[placeKey(file, n)] = cloudtrail.Canonical(record)
	}
	return out, ctx.Err()
}

// placeKey is eventHead.place of a record.
func placeKey(file int, n int64) uint64 { return uint64(file)<<32 | uint64(n) } //nolint:gosec // neither is negative

// canonicalStream is for a file that is too large to be held.
func (l *eventLoad) canonicalStream(ctx context.Context, file int, ns map[int64]struct{}, out map[uint64][32]byte) error {
	f, err := l.open(file)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read-only
	for r, err := range cloudtrail.Read(ctxReader{ctx, f}) {
		var bad *cloudtrail.BadRecord
		if errors.As(err, &bad) {
			continue
		} else if err != nil {
			break // it ended here before, too
		}
		if _, ok := ns[r.N]; ok {
			out[placeKey(file, r.N)] = cloudtrail.Canonical(r.Raw)
		}
	}
	return ctx.Err()
}

// earlier gives the events of earlier exhibits in the order of their ids. The
// database sorts them, in a file where they are many.
type earlier struct {
	rows *sql.Rows
	next earlierEvent
	id   []byte // of next; nil at the end
}

type earlierEvent struct {
	id   int64
	hash [16]byte
}

func (l *eventLoad) earlierEvents(ctx context.Context) (*earlier, error) {
	rows, err := l.t.conn.QueryContext(ctx, "SELECT id, eid, hash FROM events WHERE eid IS NOT NULL ORDER BY eid, id")
	if err != nil {
		return nil, err
	}
	e := &earlier{rows: rows}
	if err := e.step(); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

func (e *earlier) close() error {
	if e == nil {
		return nil
	}
	return errors.Join(e.rows.Err(), e.rows.Close())
}

func (e *earlier) step() error {
	if e.id = nil; !e.rows.Next() {
		return e.rows.Err()
	}
	var eid any
	var hash sql.RawBytes
	if err := e.rows.Scan(&e.next.id, &eid, &hash); err != nil {
		return err
	}
	copy(e.next.hash[:], hash)
	e.id = packedOf(eid)
	return nil
}

// find are the events with an id; ids must come in their order.
func (e *earlier) find(id []byte) (found []earlierEvent, err error) {
	if len(id) == 0 {
		return nil, nil
	}
	for e.id != nil && bytes.Compare(e.id, id) < 0 {
		if err := e.step(); err != nil {
			return nil, err
		}
	}
	for e.id != nil && bytes.Equal(e.id, id) {
		found = append(found, e.next)
		if err := e.step(); err != nil {
			return nil, err
		}
	}
	return found, nil
}
