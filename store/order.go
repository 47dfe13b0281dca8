package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"iter"
	"slices"
	"strings"

	"snapcase/imaging"
)

// stream is the rows of one exhibit in one table that a listing may show:
// numbers lo to hi, in order of time up to timed, then those without a time.
type stream struct {
	span
	rank  int    // of the table, where a listing merges several
	first int64  // number of the first row of the whole span
	tie   string // column that orders rows of the same time over exhibits; "" for none
	time  string // column of the time; NULL for rows that have none
	where cond
	// of a stream of moments, whose rows are packed: the entries that belong
	// to the listing, nil for all
	entries *idSet
	without *idSet // moments that do not, nil for none
	// of a stream of entries, which are packed too: those that belong to the
	// listing, nil for all
	filter *entryFilter
}

// packed says that the rows are moments.
func (s *stream) packed() bool { return s.tbl == "moments" }

// listed says that the rows are entries.
func (s *stream) listed() bool { return s.tbl == "entries" }

// filtered says that not every row need belong to the listing.
func (s *stream) filtered() bool {
	return len(s.where.sql) > 0 || s.entries != nil || s.without != nil || s.filter != nil
}

// moments yields those that belong to the listing, lo to hi, up or down.
func (s *stream) moments(ctx context.Context, q *question, lo, hi int64, backward bool) iter.Seq2[moment, error] {
	return func(yield func(moment, error) bool) {
		for m, err := range q.momentsBetween(ctx, s.first, lo, hi, backward) {
			if (err != nil || s.entries.has(m.entry) && (s.without == nil || !s.without.has(m.id))) && !yield(m, err) {
				return
			}
		}
	}
}

// files yields the numbers of the entries that belong to the listing, lo to hi,
// up or down.
func (s *stream) files(ctx context.Context, q *question, lo, hi int64, backward bool) iter.Seq2[int64, error] {
	if s.filter == nil {
		return numbers(lo, hi, backward)
	}
	return func(yield func(int64, error) bool) {
		for e, err := range q.entriesBetween(ctx, s.first, lo, hi, backward) {
			ok := err != nil
			if !ok {
				ok, err = s.filter.has(ctx, q, &e)
			}
			if (ok || err != nil) && !yield(e.id, err) {
				return
			}
		}
	}
}

// numbers yields lo to hi, up or down.
func numbers(lo, hi int64, backward bool) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		for i := int64(0); i <= hi-lo; i++ {
			n := lo + i
			if backward {
				n = hi - i
			}
			if !yield(n, nil) {
				return
			}
		}
	}
}

// position is the place of a row in a listing: time, tie, rank, exhibit,
// number. What has no time comes last.
type position struct {
	ts      int64
	untimed bool
	tie     string
	rank, x int
	id      int64
}

func (p position) compare(o position) int {
	if p.untimed != o.untimed {
		if o.untimed {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(p.ts, o.ts), strings.Compare(p.tie, o.tie), cmp.Compare(p.rank, o.rank), cmp.Compare(p.x, o.x), cmp.Compare(p.id, o.id))
}

// cursor is the text form of a position.
func (p position) cursor() Cursor {
	u := 0
	if p.untimed {
		u = 1
	}
	return Cursor(fmt.Sprintf("%d %d %d %d %d %s", p.ts, u, p.rank, p.x, p.id, p.tie))
}

func parseCursor(c Cursor) (p position, err error) {
	f := strings.SplitN(string(c), " ", 6)
	if len(f) != 6 {
		return p, fmt.Errorf("page: malformed cursor %q", string(c))
	}
	var u int
	if _, err := fmt.Sscan(strings.Join(f[:5], " "), &p.ts, &u, &p.rank, &p.x, &p.id); err != nil {
		return p, fmt.Errorf("page: malformed cursor %q", string(c))
	}
	p.untimed, p.tie = u == 1, f[5]
	return p, nil
}

// listing is an order over streams. keep, where it is set, is asked which of
// some rows of a stream belong to it.
type listing struct {
	q       *question
	streams []*stream
	keep    func(ctx context.Context, s *stream, at []position) ([]bool, error)
}

// newStream makes a stream of a whole span.
func newStream(sp span, rank int, tie string, where cond) *stream {
	where.sql, where.args = slices.Clip(where.sql), slices.Clip(where.args) // streams add conditions of their own
	return &stream{span: sp, rank: rank, first: sp.lo, tie: tie, time: "ts", where: where}
}

// plain says that every row of every stream belongs to the listing.
func (l *listing) plain() bool {
	if l.keep != nil {
		return false
	}
	for _, s := range l.streams {
		if s.filtered() {
			return false
		}
	}
	return true
}

// between narrows the listing to times from and to, both belonging to it;
// then rows without a time do not.
func (l *listing) between(ctx context.Context, from, to imaging.Time) error {
	for _, s := range l.streams {
		if (from.Set || to.Set) && s.hi > s.timed {
			s.hi = s.timed
		}
		if from.Set {
			ns, _ := nano(from)
			id, err := l.q.since(ctx, s, ns)
			if err != nil {
				return err
			}
			s.lo = max(s.lo, id)
			if far(ns) && from.Nsec > 0 {
				if err := l.q.cut(ctx, s, from.Sec, "nsec < ?", int64(from.Nsec)); err != nil {
					return err
				}
			}
		}
		if to.Set {
			ns, _ := nano(to)
			id, err := l.q.since(ctx, s, ns+1)
			if err != nil {
				return err
			}
			s.hi = min(s.hi, id-1)
			if far(ns) {
				if err := l.q.cut(ctx, s, to.Sec, "nsec > ?", int64(to.Nsec)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// cut takes from s the rows of a second beyond what the index counts in
// nanoseconds, whose nanoseconds meet a condition: their numbers do not tell.
func (q *question) cut(ctx context.Context, s *stream, sec int64, condition string, nsec int64) error {
	const of = "SELECT id FROM times_beyond WHERE tbl = ? AND col = 'ts' AND sec = ? AND "
	if !s.packed() {
		s.where.and("id NOT IN ("+of+condition+")", s.tbl, sec, nsec)
		return nil
	}
	if s.without == nil {
		s.without = &idSet{}
	}
	return q.rows(ctx, of+condition, []any{s.tbl, sec, nsec}, func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		s.without.add(id)
		return err
	})
}

// since is the number of the first row of s at or after ts, lo to timed+1.
func (q *question) since(ctx context.Context, s *stream, ts int64) (int64, error) {
	j, _ := slices.BinarySearch(s.anchors, ts) // first anchor at or after ts
	lo, hi := s.first, min(s.timed+1, s.hi+1)
	if j > 0 {
		lo = s.first + int64(j-1)*anchorEvery
	}
	if j < len(s.anchors) {
		hi = min(hi, s.first+int64(j)*anchorEvery)
	}
	if lo >= hi {
		return min(max(hi, s.lo), max(s.lo, s.hi+1)), nil
	}
	id, ok, err := q.firstSince(ctx, s, lo, hi, ts)
	if err != nil {
		return 0, err
	}
	if !ok {
		id = hi
	}
	return min(max(id, s.lo), max(s.lo, min(s.timed+1, s.hi+1))), nil
}

// firstSince is the first of the rows lo to hi-1 that has a time at or after ts.
func (q *question) firstSince(ctx context.Context, s *stream, lo, hi, ts int64) (id int64, ok bool, err error) {
	if !s.packed() {
		return q.number(ctx, "SELECT min(id) FROM "+s.tbl+" WHERE id >= ? AND id < ? AND ts >= ?", lo, hi, ts)
	}
	for m, err := range q.momentsBetween(ctx, s.first, lo, hi-1, false) {
		if err != nil || m.ts >= ts {
			return m.id, true, err
		}
	}
	return 0, false, nil
}

// start is the number of the first row of s that does not come before p.
func (l *listing) start(ctx context.Context, s *stream, p position) (int64, error) {
	if s.rank == p.rank && s.x == p.x {
		return min(max(p.id, s.lo), s.hi+1), nil
	}
	from, to := s.timed+1, s.hi+1
	if !p.untimed {
		var err error
		if from, err = l.q.since(ctx, s, p.ts); err != nil {
			return 0, err
		}
		if to, err = l.q.since(ctx, s, p.ts+1); p.ts == maxNano {
			to = min(s.timed, s.hi) + 1
		}
		if err != nil {
			return 0, err
		}
	}
	from, to = max(from, s.lo), max(to, s.lo)
	if s.tie == "" {
		if cmp.Or(cmp.Compare(s.rank, p.rank), cmp.Compare(s.x, p.x)) < 0 {
			return to, nil
		}
		return from, nil
	}
	at := to // rows from..to-1 have the time of p: their ties decide
	err := l.q.rows(ctx, "SELECT id, "+s.tie+" FROM "+s.tbl+" WHERE id >= ? AND id < ? ORDER BY id", []any{from, to}, func(r *sql.Rows) error {
		var id int64
		var tie any
		if err := r.Scan(&id, &tie); err != nil {
			return err
		}
		if at == to && (position{ts: p.ts, untimed: p.untimed, tie: unpackID(tie), rank: s.rank, x: s.x, id: id}).compare(p) >= 0 {
			at = id
		}
		return nil
	})
	return at, err
}

// reader reads one stream in one direction.
type reader struct {
	l        *listing
	s        *stream
	at       int64 // next number
	backward bool
	have     []position
	done     bool
}

// fill reads the next rows that belong to the listing, up to about n.
func (r *reader) fill(ctx context.Context, n int) error {
	for len(r.have) == 0 && !r.done {
		got, err := r.chunk(ctx, n)
		if err != nil {
			return err
		}
		if r.l.keep == nil || len(got) == 0 {
			r.have = got
			continue
		}
		yes, err := r.l.keep(ctx, r.s, got)
		if err != nil {
			return err
		}
		for i, p := range got {
			if yes[i] {
				r.have = append(r.have, p)
			}
		}
	}
	return nil
}

func (r *reader) chunk(ctx context.Context, n int) ([]position, error) {
	s := r.s
	tie := "NULL"
	if s.tie != "" {
		tie = s.tie
	}
	way, lo, hi := "ASC", r.at, s.hi
	if r.backward {
		way, lo, hi = "DESC", s.lo, r.at
	}
	if lo > hi || s.where.none {
		r.done = true
		return nil, nil
	}
	if r.l.keep != nil {
		n = max(n, 1024)
	}
	got, err := r.rows(ctx, way, tie, lo, hi, n)
	if err != nil {
		return nil, err
	}
	if len(got) < n {
		r.done = true
		return got, nil
	}
	r.at = got[len(got)-1].id + 1
	if r.backward {
		r.at = got[len(got)-1].id - 1
	}
	return got, nil
}

// rows reads the first n of the rows lo to hi that belong to the stream.
func (r *reader) rows(ctx context.Context, way, tie string, lo, hi int64, n int) ([]position, error) {
	s := r.s
	got := make([]position, 0, n)
	if s.packed() {
		for m, err := range s.moments(ctx, r.l.q, lo, hi, r.backward) {
			if err != nil {
				return nil, err
			}
			if got = append(got, position{ts: m.ts, rank: s.rank, x: s.x, id: m.id}); len(got) == n {
				break
			}
		}
		return got, nil
	}
	if s.listed() {
		for id, err := range s.files(ctx, r.l.q, lo, hi, r.backward) {
			if err != nil {
				return nil, err
			}
			if got = append(got, position{untimed: true, rank: s.rank, x: s.x, id: id}); len(got) == n {
				break
			}
		}
		return got, nil
	}
	query := "SELECT id, " + s.time + ", " + tie + " FROM " + s.tbl + " WHERE id >= ? AND id <= ?" + s.where.text() + " ORDER BY id " + way + " LIMIT ?"
	err := r.l.q.rows(ctx, query, slices.Concat([]any{lo, hi}, s.where.args, []any{n}), func(row *sql.Rows) error {
		p := position{rank: s.rank, x: s.x}
		var ts sql.NullInt64
		var t any
		if err := row.Scan(&p.id, &ts, &t); err != nil {
			return err
		}
		p.ts, p.untimed, p.tie = ts.Int64, !ts.Valid, unpackID(t)
		got = append(got, p)
		return nil
	})
	return got, err
}

// merged reads streams as one, in order.
type merged struct {
	readers []*reader
	n       int // rows that a read asks for
	sign    int
}

// next is the next position; ok is false at the end.
func (m *merged) next(ctx context.Context) (p position, ok bool, err error) {
	best := -1
	for i, r := range m.readers {
		if len(r.have) == 0 {
			if err := r.fill(ctx, m.n); err != nil {
				return p, false, err
			}
			if len(r.have) == 0 {
				continue
			}
		}
		if best < 0 || m.sign*r.have[0].compare(m.readers[best].have[0]) < 0 {
			best = i
		}
	}
	if best < 0 {
		return p, false, nil
	}
	p = m.readers[best].have[0]
	m.readers[best].have = m.readers[best].have[1:]
	return p, true, nil
}

// read begins to read at the given numbers, one a stream.
func (l *listing) read(starts []int64, backward bool, n int) *merged {
	m := &merged{n: n, sign: 1}
	if backward {
		m.sign = -1
	}
	for i, s := range l.streams {
		m.readers = append(m.readers, &reader{l: l, s: s, at: starts[i], backward: backward})
	}
	return m
}

// total is how many rows the streams have when nothing is filtered.
func (l *listing) total() (n int64) {
	for _, s := range l.streams {
		if !s.where.none {
			n += max(0, s.hi-s.lo+1)
		}
	}
	return n
}

// count is how many rows belong to the listing, up to limit (0: all).
func (l *listing) count(ctx context.Context, limit int64) (n int64, err error) {
	if l.plain() {
		n = l.total()
		if limit > 0 {
			n = min(n, limit)
		}
		return n, nil
	}
	if l.keep != nil {
		m := l.read(l.starts(), false, 4096)
		for limit == 0 || n < limit {
			_, ok, err := m.next(ctx)
			if err != nil || !ok {
				return n, err
			}
			n++
		}
		return n, nil
	}
	for _, s := range l.streams {
		if s.where.none {
			continue
		}
		rest := int64(-1)
		if limit > 0 {
			rest = limit - n
		}
		k, err := l.countStream(ctx, s, rest)
		if err != nil {
			return 0, err
		}
		if n += k; limit > 0 && n >= limit {
			return n, nil
		}
	}
	return n, nil
}

// countStream counts the rows of a stream up to most; -1 is all.
func (l *listing) countStream(ctx context.Context, s *stream, most int64) (n int64, err error) {
	if s.packed() {
		for _, err := range s.moments(ctx, l.q, s.lo, s.hi, false) {
			if err != nil {
				return n, err
			}
			if n++; n == most {
				break
			}
		}
		return n, nil
	}
	if s.listed() {
		for _, err := range s.files(ctx, l.q, s.lo, s.hi, false) {
			if err != nil {
				return n, err
			}
			if n++; n == most {
				break
			}
		}
		return n, nil
	}
	n, _, err = l.q.number(ctx, "SELECT count(*) FROM (SELECT 1 FROM "+s.tbl+" WHERE id >= ? AND id <= ?"+s.where.text()+" LIMIT ?)", slices.Concat([]any{s.lo, s.hi}, s.where.args, []any{most})...)
	return n, err
}

func (l *listing) starts() []int64 {
	at := make([]int64, len(l.streams))
	for i, s := range l.streams {
		at[i] = s.lo
	}
	return at
}
