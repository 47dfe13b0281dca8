package store

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"slices"
	"strings"

	"snapcase/evidence"
	"snapcase/imaging"
)

// The sources of the timeline, in the order of moments of one time.
var sources = []struct{ name, table string }{
	{"fs", "moments"}, {"cloudtrail", "events"}, {"flow", "flows"}, {"packet", "packets"}, {"host", ""},
}

// Timeline yields the moments that q selects.
func (c *Case) Timeline(ctx context.Context, q TimelineQuery) iter.Seq2[evidence.Moment, error] {
	return func(yield func(evidence.Moment, error) bool) {
		a, l, err := c.timeListing(ctx, q)
		if err != nil {
			yield(evidence.Moment{}, fmt.Errorf("timeline: %w", err))
			return
		}
		defer a.end() //nolint:errcheck // read-only
		each(ctx, l, 0, a.timeline, yield)
	}
}

// TimelinePage is a page of what Timeline yields.
func (c *Case) TimelinePage(ctx context.Context, q TimelineQuery, r PageRequest) (Page[evidence.Moment], error) {
	a, l, err := c.timeListing(ctx, q)
	if err != nil {
		return Page[evidence.Moment]{}, fmt.Errorf("timeline: %w", err)
	}
	defer a.end() //nolint:errcheck // read-only
	f, err := l.page(ctx, r)
	if err != nil {
		return Page[evidence.Moment]{}, fmt.Errorf("timeline: %w", err)
	}
	return toPage(ctx, f, a.timeline)
}

// TimelineCount counts what q selects, up to limit (0: all).
func (c *Case) TimelineCount(ctx context.Context, q TimelineQuery, limit int64) (int64, error) {
	a, l, err := c.timeListing(ctx, q)
	if err != nil {
		return 0, fmt.Errorf("count the timeline: %w", err)
	}
	defer a.end() //nolint:errcheck // read-only
	return l.count(ctx, limit)
}

// timeListing is the moments that a query selects; the caller ends the
// question.
func (c *Case) timeListing(ctx context.Context, q TimelineQuery) (*question, *listing, error) {
	for _, s := range q.Sources {
		if !slices.ContainsFunc(sources, func(o struct{ name, table string }) bool { return o.name == s }) {
			return nil, nil, fmt.Errorf("source %q: want fs, cloudtrail, flow, packet or host: %w", s, evidence.ErrUsage)
		}
	}
	a, err := c.ask(ctx)
	if err != nil {
		return nil, nil, err
	}
	l, err := a.momentStreams(ctx, q)
	if err != nil {
		a.end() //nolint:errcheck // read-only
		return nil, nil, err
	}
	return a, l, nil
}

func (q *question) momentStreams(ctx context.Context, t TimelineQuery) (*listing, error) {
	l := &listing{q: q}
	var tagged *taggedRows
	if t.Tag != "" {
		var err error
		if tagged, err = q.taggedRows(ctx, t.Tag); err != nil {
			return nil, err
		}
	}
	for rank, s := range sources {
		if s.table == "" || len(t.Sources) > 0 && !slices.Contains(t.Sources, s.name) {
			continue
		}
		w, entries, err := q.momentConditions(ctx, s.table, t.Text)
		if err != nil {
			return nil, err
		}
		switch {
		case tagged == nil:
		case s.table == "moments":
			entries = entries.both(tagged.entries())
		default:
			tagged.condition(&w, s.table)
		}
		for _, sp := range q.spans[s.table] {
			st := newStream(sp, rank, "", w)
			st.entries = entries
			st.hi = min(st.hi, st.timed)
			l.streams = append(l.streams, st)
		}
	}
	return l, l.between(ctx, t.From, t.To)
}

// momentConditions asks that each word of text stands in a row of table; of
// moments, in the path of their entry, which is one of entries.
func (q *question) momentConditions(ctx context.Context, table, text string) (w cond, entries *idSet, err error) {
	words := strings.Fields(text)
	for _, word := range words {
		switch table {
		case "events":
			err = q.textCondition(ctx, &w, word, eventColumns)
		case "flows":
			err = q.textCondition(ctx, &w, word, flowColumns)
		case "packets":
			w.and(`summary LIKE ? ESCAPE '\'`, like(word))
		case "moments":
			pathCondition(&w, word)
		}
		if err != nil {
			return w, nil, err
		}
	}
	if table != "moments" || len(words) == 0 {
		return w, nil, nil
	}
	entries, err = q.entriesWhere(ctx, w)
	return cond{}, entries, err
}

// pathCondition asks for an entry whose path holds a word: in its name, in its
// folder, or across the slash between them.
func pathCondition(w *cond, word string) {
	path := `(name LIKE ? ESCAPE '\' OR dir IN (SELECT id FROM dirs WHERE path LIKE ? ESCAPE '\')`
	args := []any{like(word), like(word)}
	if i := strings.LastIndexByte(word, '/'); i >= 0 {
		path += ` OR name LIKE ? ESCAPE '\' AND dir IN (SELECT id FROM dirs WHERE path LIKE ? ESCAPE '\')`
		args = append(args, strings.TrimPrefix(like(word[i+1:]), "%"), strings.TrimSuffix(like(word[:i]), "%"))
	}
	w.and(path+")", args...)
}

// timeline renders the moments at some positions, with their tags.
func (q *question) timeline(ctx context.Context, at []position) ([]evidence.Moment, error) {
	byRank := make([][]position, len(sources))
	for _, p := range at {
		byRank[p.rank] = append(byRank[p.rank], p)
	}
	lists := make([][]evidence.Moment, len(sources))
	for rank, some := range byRank {
		if len(some) == 0 {
			continue
		}
		var err error
		switch sources[rank].table {
		case "moments":
			lists[rank], err = q.moments(ctx, some)
		case "events":
			lists[rank], err = q.eventMoments(ctx, some)
		case "flows":
			lists[rank], err = q.flowMoments(ctx, some)
		case "packets":
			lists[rank], err = q.packetMoments(ctx, some)
		}
		if err != nil {
			return nil, err
		}
	}
	tags, err := q.c.tagsOf(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]evidence.Moment, 0, len(at))
	for _, p := range at {
		m := lists[p.rank][0]
		lists[p.rank] = lists[p.rank][1:]
		if m.Tags = tags[m.Record]; m.Tags == nil {
			m.Tags = []string{}
		}
		out = append(out, m)
	}
	return out, nil
}

// eventMoments renders CloudTrail events.
func (q *question) eventMoments(ctx context.Context, at []position) ([]evidence.Moment, error) {
	events, err := q.events(ctx, at)
	if err != nil {
		return nil, err
	}
	out := make([]evidence.Moment, len(events))
	for i := range events {
		e := &events[i]
		s := e.Name
		if e.Source != "" {
			s += " (" + e.Source + ")"
		}
		for _, part := range []struct{ before, text string }{{" in ", e.Region}, {" from ", e.SourceIP}, {" with ", e.AccessKeyID}} {
			if part.text != "" {
				s += part.before + part.text
			}
		}
		if e.ErrorCode != "" || e.ErrorMessage != "" {
			s += ": failed, " + strings.TrimSpace(e.ErrorCode+" "+e.ErrorMessage)
		}
		out[i] = evidence.Moment{Time: e.Time, Source: "cloudtrail", Type: e.Name, Summary: s, Exhibit: e.Record.Exhibit, Record: e.Record.String()}
		if who := caller(e); who != "" {
			out[i].Actor = &who
		}
	}
	return out, nil
}

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
