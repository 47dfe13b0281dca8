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
	return packedBetween(ctx, q, packedTable[moment]{"moments", unpackMoments, func(m *moment) int64 { return m.id }}, first, lo, hi, backward)
}

// packedTable is a table that holds anchorEvery things in a row.
type packedTable[T any] struct {
	name string
	// unpack appends the things of the row whose first has the number first.
	unpack func(first int64, b []byte, rows []T) ([]T, error)
	number func(*T) int64
}

// packedBetween yields the things lo to hi of a span that begins at first, up
// or down.
func packedBetween[T any](ctx context.Context, q *question, t packedTable[T], first, lo, hi int64, backward bool) iter.Seq2[T, error] {
	const atOnce = 64 // rows of the table in one statement
	return func(yield func(T, error) bool) {
		way, from, to := "ASC", first+(lo-first)/anchorEvery*anchorEvery, hi
		if backward {
			way = "DESC"
		}
		query := "SELECT id, rows FROM " + t.name + " WHERE id >= ? AND id <= ? ORDER BY id " + way + " LIMIT ?"
		var rows []T
		for some := 1; from <= to && lo <= hi; some = min(4*some, atOnce) {
			rows = rows[:0]
			last, n := int64(0), 0
			err := q.rows(ctx, query, []any{from, to, some}, func(r *sql.Rows) error {
				var b sql.RawBytes
				if err := r.Scan(&last, &b); err != nil {
					return err
				}
				n++
				at := len(rows)
				var err error
				if rows, err = t.unpack(last, b, rows); backward {
					slices.Reverse(rows[at:])
				}
				return err
			})
			if err != nil {
				var none T
				yield(none, fmt.Errorf("%s: %w", t.name, err))
				return
			}
			for i := range rows {
				if k := t.number(&rows[i]); k >= lo && k <= hi && !yield(rows[i], nil) {
					return
				}
			}
			if n < some {
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
