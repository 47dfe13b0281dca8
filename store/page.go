package store

import (
	"context"
	"database/sql"
	"slices"

	"snapcase/imaging"
)

// pageRows is how many rows a page has when none are asked for.
const pageRows = 256

// found is a run of a listing.
type found struct {
	at            []position
	before, after bool
	ordinal       int64 // row number of at[0] from 1; 0 when it is not known
}

// page finds the rows that r asks for.
func (l *listing) page(ctx context.Context, r PageRequest) (f found, err error) {
	n := r.Rows
	if n <= 0 {
		n = pageRows
	}
	if r.Row > 0 && !l.plain() {
		return l.filteredRow(ctx, r.Row, n)
	}
	starts, backward, err := l.where(ctx, r)
	if err != nil {
		return f, err
	}
	m := l.read(starts, backward, n+1)
	for len(f.at) <= n {
		p, ok, err := m.next(ctx)
		if err != nil {
			return f, err
		}
		if !ok {
			break
		}
		f.at = append(f.at, p)
	}
	more := len(f.at) > n
	if more {
		f.at = f.at[:n]
	}
	beyond, err := l.behind(ctx, starts, backward)
	if err != nil {
		return f, err
	}
	f.before, f.after = beyond, more
	if backward {
		slices.Reverse(f.at)
		f.before, f.after = more, beyond
	}
	return f, l.number(ctx, &f)
}

// where gives the numbers at which a page begins, one a stream.
func (l *listing) where(ctx context.Context, r PageRequest) (starts []int64, backward bool, err error) {
	var p position
	switch {
	case r.Row > 0:
		starts, err = l.row(ctx, r.Row-1)
		return starts, false, err
	case r.At.Set:
		p.ts, _ = nano(r.At)
		p.rank, p.x = -1, -1
	case r.From != "":
		if p, err = parseCursor(r.From); err != nil {
			return nil, false, err
		}
		if !r.Backward && !r.Inclusive || r.Backward && r.Inclusive {
			p.id++ // behind the row itself
		}
		backward = r.Backward
	case r.Backward:
		for _, s := range l.streams {
			starts = append(starts, s.hi)
		}
		return starts, true, nil
	default:
		return l.starts(), false, nil
	}
	for _, s := range l.streams {
		id, err := l.start(ctx, s, p)
		if err != nil {
			return nil, false, err
		}
		if backward {
			id--
		}
		starts = append(starts, id)
	}
	return starts, backward, nil
}

// behind says whether rows of the listing lie on the other side of starts.
func (l *listing) behind(ctx context.Context, starts []int64, backward bool) (bool, error) {
	other := slices.Clone(starts)
	for i, s := range l.streams {
		if backward {
			other[i]++
			if l.plain() && !s.where.none && other[i] <= s.hi {
				return true, nil
			}
			continue
		}
		other[i]--
		if l.plain() && !s.where.none && other[i] >= s.lo {
			return true, nil
		}
	}
	if l.plain() {
		return false, nil
	}
	_, ok, err := l.read(other, !backward, 1).next(ctx)
	return ok, err
}

// number sets the row number of the first row, where that needs no counting.
func (l *listing) number(ctx context.Context, f *found) error {
	switch {
	case len(f.at) == 0:
		return nil
	case !f.before:
		f.ordinal = 1
		return nil
	case !l.plain():
		return nil
	}
	f.ordinal = 1
	for _, s := range l.streams {
		if s.where.none {
			continue
		}
		id, err := l.start(ctx, s, f.at[0])
		if err != nil {
			return err
		}
		f.ordinal += id - s.lo
	}
	return nil
}

// row gives the starts of the row with n rows before it, when nothing is
// filtered.
func (l *listing) row(ctx context.Context, n int64) ([]int64, error) {
	if n >= l.total() {
		var ends []int64
		for _, s := range l.streams {
			ends = append(ends, s.hi+1)
		}
		return ends, nil
	}
	if starts, ok := l.untimed(n); ok {
		return starts, nil
	}
	// The latest time that has at most n rows before it.
	lo, hi := int64(minNano), int64(maxNano)
	for lo < hi {
		d := uint64(hi) - uint64(lo)
		mid := lo + int64(d/2+d&1) //nolint:gosec // two's complement
		before, _, err := l.rowsBefore(ctx, mid)
		if err != nil {
			return nil, err
		}
		if before <= n {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	before, starts, err := l.rowsBefore(ctx, lo)
	if err != nil {
		return nil, err
	}
	return l.skip(ctx, starts, lo, n-before)
}

func (l *listing) rowsBefore(ctx context.Context, ts int64) (n int64, starts []int64, err error) {
	for _, s := range l.streams {
		id, err := l.q.since(ctx, s, ts)
		if err != nil {
			return 0, nil, err
		}
		starts = append(starts, id)
		n += max(0, id-s.lo)
	}
	return n, starts, nil
}

// skip passes over n rows from starts. Streams without a tie lie one behind
// the other within one time; otherwise rows are read and passed.
func (l *listing) skip(ctx context.Context, starts []int64, ts, n int64) ([]int64, error) {
	tied := slices.ContainsFunc(l.streams, func(s *stream) bool { return s.tie != "" })
	for i := 0; i < len(l.streams) && n > 0 && !tied && ts < maxNano; i++ {
		end, err := l.q.since(ctx, l.streams[i], ts+1)
		if err != nil {
			return nil, err
		}
		k := min(n, max(0, end-starts[i]))
		starts[i] += k
		n -= k
	}
	m := l.read(starts, false, int(min(n+1, 4096)))
	for ; n > 0; n-- {
		p, ok, err := m.next(ctx)
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		for i, s := range l.streams {
			if s.rank == p.rank && s.x == p.x {
				starts[i] = p.id + 1
			}
		}
	}
	return starts, nil
}

// filteredRow reads from the first row on to row number row.
func (l *listing) filteredRow(ctx context.Context, row int64, n int) (f found, err error) {
	m := l.read(l.starts(), false, 4096)
	for i := int64(1); len(f.at) <= n; i++ {
		p, ok, err := m.next(ctx)
		if err != nil {
			return f, err
		}
		if !ok {
			break
		}
		if i >= row {
			f.at = append(f.at, p)
		} else {
			f.before = true
		}
	}
	if len(f.at) > n {
		f.at, f.after = f.at[:n], true
	}
	if len(f.at) > 0 {
		f.ordinal = row
	}
	return f, nil
}

// toPage turns positions into a page; load gives their values, in order.
func toPage[T any](ctx context.Context, f found, load func(context.Context, []position) ([]T, error)) (Page[T], error) {
	rows, err := load(ctx, f.at)
	if err != nil {
		return Page[T]{}, err
	}
	p := Page[T]{Rows: rows, Before: f.before, After: f.after, Ordinal: f.ordinal}
	for _, at := range f.at {
		p.Cursors = append(p.Cursors, at.cursor())
	}
	return p, nil
}

// each yields the values of a whole listing, in order.
func each[T any](ctx context.Context, l *listing, limit int64, load func(context.Context, []position) ([]T, error), yield func(T, error) bool) {
	const atOnce = 2048
	m := l.read(l.starts(), false, atOnce)
	var none T
	for n := int64(0); limit == 0 || n < limit; {
		var at []position
		for len(at) < atOnce && (limit == 0 || n < limit) {
			p, ok, err := m.next(ctx)
			if err != nil {
				yield(none, err)
				return
			}
			if !ok {
				break
			}
			at = append(at, p)
			n++
		}
		if len(at) == 0 {
			return
		}
		rows, err := load(ctx, at)
		if err != nil {
			yield(none, err)
			return
		}
		for _, v := range rows {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// byIDs reads rows of one table by number: about in order, in as few
// statements as their spread allows.
func (q *question) byIDs(ctx context.Context, query string, ids []int64, scan func(*sql.Rows) error) error {
	if len(ids) == 0 {
		return nil
	}
	sorted := slices.Clone(ids)
	slices.Sort(sorted)
	lo, hi := sorted[0], sorted[len(sorted)-1]
	if hi-lo < int64(len(ids))+int64(len(ids))/4 {
		return q.rows(ctx, query+" BETWEEN ? AND ?", []any{lo, hi}, scan)
	}
	return q.rows(ctx, query+" IN (SELECT value FROM json_each(?))", []any{list(sorted)}, scan)
}

// exact is a time of the index: the value of a column, or what times_beyond
// holds where that does not fit.
func (q *question) exact(ctx context.Context, table string, id int64, col string, ts sql.NullInt64) (imaging.Time, error) {
	if !ts.Valid {
		return imaging.Time{}, nil
	}
	if !far(ts.Int64) {
		return ofNano(ts.Int64), nil
	}
	t := ofNano(ts.Int64)
	err := q.rows(ctx, "SELECT sec, nsec FROM times_beyond WHERE tbl = ? AND id = ? AND col = ?", []any{table, id, col}, func(r *sql.Rows) error {
		return r.Scan(&t.Sec, &t.Nsec)
	})
	return t, err
}
