package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"snapcase/imaging"
)

// Histogram counts moments over time in at most n buckets; from and to may be
// unset for the whole span.
func (c *Case) Histogram(ctx context.Context, t TimelineQuery, n int) (Histogram, error) {
	q, l, err := c.timeListing(ctx, t)
	if err != nil {
		return Histogram{}, fmt.Errorf("histogram: %w", err)
	}
	defer q.end() //nolint:errcheck // read-only
	h, err := l.histogram(ctx, t, max(1, n))
	if err != nil {
		return h, fmt.Errorf("histogram: %w", err)
	}
	if h.Untimed, err = q.untimed(ctx, t); err != nil {
		return h, fmt.Errorf("histogram: %w", err)
	}
	h.Lower, err = q.lower(ctx)
	return h, err
}

// widths are the seconds of a bucket: of 1, 2, 5 … of each unit.
var widths = []int64{
	1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 2 * 3600, 3 * 3600, 6 * 3600, 12 * 3600,
	86400, 2 * 86400, 7 * 86400, 14 * 86400, 30 * 86400, 91 * 86400, 182 * 86400, 365 * 86400, 730 * 86400, 3650 * 86400, 36500 * 86400,
}

func (l *listing) histogram(ctx context.Context, t TimelineQuery, n int) (h Histogram, err error) {
	from, to, err := l.ends(ctx)
	if err != nil {
		return h, err
	}
	if t.From.Set {
		from = t.From
	}
	if t.To.Set {
		to = t.To
	}
	if !from.Set || !to.Set || to.Compare(from) < 0 {
		return h, nil
	}
	i := 0
	for i < len(widths)-1 && floor(to.Sec, widths[i])/widths[i]-floor(from.Sec, widths[i])/widths[i]+1 > int64(n) {
		i++
	}
	h.From, h.To, h.Width = from, to, widths[i]
	start := floor(from.Sec, h.Width)
	for s := start; s <= to.Sec; s += h.Width {
		h.Buckets = append(h.Buckets, Bucket{Start: imaging.Time{Sec: s, Set: true}, Count: map[string]int64{}})
	}
	for _, s := range l.streams {
		if s.where.none || s.lo > s.hi {
			continue
		}
		if s.filtered() {
			err = l.scanBuckets(ctx, s, &h)
		} else {
			err = l.countBuckets(ctx, s, &h)
		}
		if err != nil {
			return h, err
		}
	}
	return h, nil
}

// floor is the largest multiple of width at or below sec.
func floor(sec, width int64) int64 {
	m := sec % width
	if m < 0 {
		m += width
	}
	return sec - m
}

// ends are the times of the first and the last row that belong to the listing.
func (l *listing) ends(ctx context.Context) (from, to imaging.Time, err error) {
	for _, s := range l.streams {
		if s.where.none || s.lo > s.hi {
			continue
		}
		for _, backward := range []bool{false, true} {
			ts, ok, err := l.end(ctx, s, backward)
			if err != nil {
				return from, to, err
			}
			if at := ofNano(ts); ok {
				from, to = minTime(from, at), maxTime(to, at)
			}
		}
	}
	return from, to, nil
}

// end is the time of the first row of a stream, or of the last.
func (l *listing) end(ctx context.Context, s *stream, backward bool) (ts int64, ok bool, err error) {
	r := reader{l: l, s: s, at: s.lo, backward: backward}
	if backward {
		r.at = s.hi
	}
	got, err := r.chunk(ctx, 1)
	if err != nil || len(got) == 0 {
		return 0, false, err
	}
	return got[0].ts, true, nil
}

// countBuckets counts by bisection: no row is read but those at the edges.
func (l *listing) countBuckets(ctx context.Context, s *stream, h *Histogram) error {
	source := sources[s.rank].name
	at := s.lo
	for i := range h.Buckets {
		end, _ := nano(imaging.Time{Sec: h.Buckets[i].Start.Sec + h.Width, Set: true})
		next, err := l.q.since(ctx, s, end)
		if err != nil {
			return err
		}
		if next > at {
			h.Buckets[i].Count[source] += next - at
			at = next
		}
		if at > s.hi {
			return nil
		}
	}
	if last := len(h.Buckets) - 1; at <= s.hi && last >= 0 { // times at the very end of what fits
		h.Buckets[last].Count[source] += s.hi - at + 1
	}
	return nil
}

func (l *listing) scanBuckets(ctx context.Context, s *stream, h *Histogram) error {
	source := sources[s.rank].name
	first := h.Buckets[0].Start.Sec
	count := func(i, n int64) { h.Buckets[min(max(i, 0), int64(len(h.Buckets)-1))].Count[source] += n }
	if s.packed() {
		for m, err := range s.moments(ctx, l.q, s.lo, s.hi, false) {
			if err != nil {
				return err
			}
			count((ofNano(m.ts).Sec-first)/h.Width, 1)
		}
		return nil
	}
	return l.q.rows(ctx, "SELECT ("+secondsOf("ts")+" - ?) / ?, count(*) FROM "+s.tbl+" WHERE id >= ? AND id <= ?"+s.where.text()+" GROUP BY 1",
		slices.Concat([]any{first, h.Width, s.lo, s.hi}, s.where.args), func(r *sql.Rows) error {
			var i, n int64
			if err := r.Scan(&i, &n); err != nil {
				return err
			}
			count(i, n)
			return nil
		})
}

// untimed counts what has no time and so is not on the timeline.
func (q *question) untimed(ctx context.Context, t TimelineQuery) (n int64, err error) {
	for rank, s := range sources {
		if s.table == "" || len(t.Sources) > 0 && !slices.Contains(t.Sources, s.name) {
			continue
		}
		w, entries, err := q.momentConditions(ctx, s.table, t.Text)
		if err != nil {
			return n, err
		}
		l := &listing{q: q}
		for _, sp := range q.spans[s.table] {
			st := newStream(sp, rank, "", w)
			st.entries = entries
			st.lo = st.timed + 1
			l.streams = append(l.streams, st)
		}
		k, err := l.count(ctx, 0)
		if err != nil {
			return n, err
		}
		n += k
	}
	return n, nil
}

// lower says that something of the case could not be read, so that counts are
// lower bounds.
func (q *question) lower(ctx context.Context) (bool, error) {
	for _, id := range q.exhibits {
		s, _, err := loadStats(ctx, q.conn, id)
		if err != nil {
			return false, err
		}
		if hasGaps(s) || s.SkipData > 0 {
			return true, nil
		}
	}
	return false, nil
}
