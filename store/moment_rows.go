package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
)

// moment is a time of an entry: a row of the timeline of file systems.
type moment struct {
	id, ts, entry int64
	macb          byte
}

// Moments are many and small, so that a row for each would cost more than all
// else: anchorEvery of them, in the order of their numbers, are one row of
// moments. It holds for each the nanoseconds since the one before as a varint,
// the first those since 1970, the distance of the entry from that of the one
// before, and the bits of which times it is.

// momentPacker collects moments to rows.
type momentPacker struct {
	b         []byte
	n         int
	ts, entry int64
}

func (p *momentPacker) add(ts, entry int64, macb byte) {
	p.b = binary.AppendVarint(p.b, ts-p.ts) // wraps where it must, and back
	p.b = binary.AppendVarint(p.b, entry-p.entry)
	p.b = append(p.b, macb)
	p.ts, p.entry = ts, entry
	p.n++
}

// take gives the row and begins another.
func (p *momentPacker) take() []byte {
	b := p.b
	*p = momentPacker{}
	return b
}

// unpackMoments gives the moments of a row whose first has the number first.
func unpackMoments(first int64, b []byte, rows []moment) ([]moment, error) {
	p := packed{b: b}
	m := moment{id: first}
	for len(p.b) > 0 {
		m.ts += p.signed()
		m.entry += p.signed()
		m.macb = p.byte()
		if p.short {
			return rows, errCut
		}
		rows = append(rows, m)
		m.id++
	}
	return rows, nil
}

// momentsBetween yields the moments lo to hi of a span that begins at first, up
// or down.
func (q *question) momentsBetween(ctx context.Context, first, lo, hi int64, backward bool) iter.Seq2[moment, error] {
	const atOnce = 64 // rows of the table in one statement
	return func(yield func(moment, error) bool) {
		way, from, to := "ASC", first+(lo-first)/anchorEvery*anchorEvery, hi
		if backward {
			way = "DESC"
		}
		for from <= to && lo <= hi {
			var rows []moment
			last, n := int64(0), 0
			err := q.rows(ctx, "SELECT id, rows FROM moments WHERE id >= ? AND id <= ? ORDER BY id "+way+" LIMIT ?", []any{from, to, atOnce}, func(r *sql.Rows) error {
				var b sql.RawBytes
				if err := r.Scan(&last, &b); err != nil {
					return err
				}
				n++
				at := len(rows)
				var err error
				if rows, err = unpackMoments(last, b, rows); backward {
					slices.Reverse(rows[at:])
				}
				return err
			})
			if err != nil {
				yield(moment{}, fmt.Errorf("moments: %w", err))
				return
			}
			for _, m := range rows {
				if m.id >= lo && m.id <= hi && !yield(m, nil) {
					return
				}
			}
			if n < atOnce {
				return
			}
			if backward {
				to = last - 1
			} else {
				from = last + 1
			}
		}
	}
}

// idSet is numbers of rows; nil holds every number.
type idSet struct {
	bits []uint64
}

func (s *idSet) add(id int64) {
	for int64(len(s.bits)) <= id/64 {
		s.bits = append(s.bits, make([]uint64, max(1024, len(s.bits)))...)
	}
	s.bits[id/64] |= 1 << (id % 64)
}

func (s *idSet) has(id int64) bool {
	return s == nil || id/64 < int64(len(s.bits)) && s.bits[id/64]>>(id%64)&1 != 0
}

// both is what lies in s and in o.
func (s *idSet) both(o *idSet) *idSet {
	if s == nil {
		return o
	}
	n := min(len(s.bits), len(o.bits))
	out := &idSet{bits: slices.Clone(s.bits[:n])}
	for i := range out.bits {
		out.bits[i] &= o.bits[i]
	}
	return out
}

// entriesWhere are the entries for which a condition holds.
func (q *question) entriesWhere(ctx context.Context, w cond) (*idSet, error) {
	s := &idSet{}
	err := q.rows(ctx, "SELECT id FROM entries WHERE 1"+w.text(), w.args, func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		s.add(id)
		return err
	})
	return s, err
}

// momentsAt gives the moments at some positions of one rank, in their order.
func (q *question) momentsAt(ctx context.Context, at []position) ([]moment, error) {
	out := make([]moment, len(at))
	byRow := map[int64][]int{} // places in out by the number of the row
	var rows []int64
	for i, p := range at {
		k := slices.IndexFunc(q.spans["moments"], func(s span) bool { return s.x == p.x })
		if k < 0 {
			return nil, fmt.Errorf("exhibit %d has no moments in the index", p.x)
		}
		first := q.spans["moments"][k].lo
		row := first + (p.id-first)/anchorEvery*anchorEvery
		if len(byRow[row]) == 0 {
			rows = append(rows, row)
		}
		byRow[row] = append(byRow[row], i)
	}
	found := 0
	var some []moment
	err := q.rows(ctx, "SELECT id, rows FROM moments WHERE id IN (SELECT value FROM json_each(?))", []any{list(rows)}, func(r *sql.Rows) error {
		var id int64
		var b sql.RawBytes
		if err := r.Scan(&id, &b); err != nil {
			return err
		}
		var err error
		if some, err = unpackMoments(id, b, some[:0]); err != nil {
			return err
		}
		for _, i := range byRow[id] {
			if n := at[i].id - id; n < int64(len(some)) {
				out[i] = some[n]
				found++
			}
		}
		return nil
	})
	if err == nil && found != len(at) {
		err = fmt.Errorf("%d of %d moments are not in the index", len(at)-found, len(at))
	}
	return out, err
}
