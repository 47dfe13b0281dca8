package store

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"snapcase/evidence"
)

// The sources of the timeline, in the order of moments of one time.
var sources = []struct{ name, table string }{
	{"fs", "moments"}, {"fs", "changes"}, {"cloudtrail", "events"}, {"flow", "flows"}, {"packet", "packets"}, {"host", ""},
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
	if table == "moments" {
		if len(words) > 0 {
			entries, err = q.entriesWith(ctx, words)
		}
		return w, entries, err
	}
	for _, word := range words {
		switch table {
		case "events":
			err = q.textCondition(ctx, &w, word, eventColumns)
		case "flows":
			err = q.textCondition(ctx, &w, word, flowColumns)
		case "packets":
			w.and(`summary LIKE ? ESCAPE '\'`, like(word))
		case "changes":
			changeCondition(&w, word)
		}
		if err != nil {
			return w, nil, err
		}
	}
	return w, nil, nil
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
		case "changes":
			lists[rank], err = q.changeMoments(ctx, some)
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
	ofFiles := tagsOfFiles(tags)
	for _, p := range at {
		m := lists[p.rank][0]
		lists[p.rank] = lists[p.rank][1:]
		if m.Tags = tags[m.Record]; sources[p.rank].table == "changes" {
			m.Tags = ofFiles[m.Record]
		}
		if m.Tags == nil {
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
