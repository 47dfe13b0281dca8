package tui

import (
	"context"
	"fmt"
	"slices"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"

	"snapcase/evidence"
	"snapcase/evidence/visible"
	"snapcase/imaging"
	"snapcase/store"
	"snapcase/tui/widget"
)

type timelineSource interface {
	TimelinePage(ctx context.Context, q store.TimelineQuery, r store.PageRequest) (store.Page[evidence.Moment], error)
	TimelineCount(ctx context.Context, q store.TimelineQuery, limit int64) (int64, error)
	Histogram(ctx context.Context, q store.TimelineQuery, n int) (store.Histogram, error)
	Raw(ctx context.Context, r evidence.Record) ([]byte, error)
}

// timelineScreen is the moments of all sources in time order: how many over
// time, the rows, and one of them in full.
type timelineScreen struct {
	focus
	a      *asker
	c      timelineSource
	q      store.TimelineQuery
	asked  bool
	seek   string // the record to put the cursor on when its rows come
	list   paged[evidence.Moment]
	hist   loaded[store.Histogram]
	cursor int // bucket
	raw    loaded[[]byte]
	shown  string // the record that raw belongs to
	info   doc
	width  int
}

func newTimeline(a *asker, c timelineSource) *timelineScreen {
	s := &timelineScreen{a: a, c: c, cursor: -1}
	s.list.a, s.list.to, s.list.name, s.list.row = a, secTimeline, "timeline.list", momentRow
	s.hist.slot, s.raw.slot = "timeline.hist", "timeline.raw"
	s.list.Cols = []widget.Column{
		{Title: visible.Lit("TIME (UTC)"), Width: 24},
		{Title: visible.Lit("±"), Width: 6, Drop: 3},
		{Title: visible.Lit("SOURCE"), Width: 10},
		{Title: visible.Lit("EXH."), Width: 6, Drop: 2},
		{Title: visible.Lit("TYPE"), Width: 8, Drop: 4},
		{Title: visible.Lit("TAGS"), Width: 10, Drop: 5},
		{Title: visible.Lit("SUMMARY"), Width: 24, Need: 32},
	}
	return s
}

func momentRow(m evidence.Moment) widget.Row {
	r := widget.Row{}
	unsure := visible.Lit("–")
	if m.Uncertain != nil {
		unsure = esc(*m.Uncertain)
		r.Flags |= widget.TimeUnsure
	}
	var tags []visible.Text
	for _, t := range m.Tags {
		tags = append(tags, visible.Escape(t))
	}
	if len(tags) > 0 {
		r.Flags |= widget.Tagged
	}
	source := widget.Chart1 + widget.Role(max(slices.Index(sources, m.Source), 0))
	summary := esc(m.Summary)
	if summary.Changed() {
		r.Flags |= widget.Escaped
	}
	r.Cells = []widget.Cell{
		{Text: clockMilli(m.Time)},
		{Role: widget.Inferred, Text: unsure},
		{Role: source, Text: esc(m.Source)},
		{Role: widget.Dim, Text: esc(m.Exhibit)},
		{Text: esc(m.Type)},
		{Role: widget.Mark, Text: visible.Join(" ", tags...)},
		{Text: summary},
	}
	return r
}

func (s *timelineScreen) enter() tea.Cmd {
	if s.asked {
		return nil
	}
	return s.ask(s.q)
}

// ask shows the moments that q selects.
func (s *timelineScreen) ask(q store.TimelineQuery) tea.Cmd {
	s.q, s.asked = q, true
	return tea.Batch(
		s.list.query(fmt.Sprintf("%+v", q), fetchOf(s.c.TimelinePage, q), countOf(s.c.TimelineCount, q)),
		ask(s.a, secTimeline, s.hist.slot, func(ctx context.Context) (store.Histogram, error) { return s.c.Histogram(ctx, q, histBuckets) }),
	)
}

// at shows the moment t, on the row of a record where the rows at t hold it; a
// filter that may leave it out is dropped.
func (s *timelineScreen) at(t imaging.Time, record string) tea.Cmd {
	q := s.q
	s.seek = record
	if record != "" {
		q.Sources, q.Text, q.Tag = nil, "", ""
	}
	if q.From.Set && t.Compare(q.From) < 0 || q.To.Set && t.Compare(q.To) > 0 {
		q.From, q.To = imaging.Time{}, imaging.Time{}
	}
	s.pane = 0
	return tea.Batch(s.ask(q), s.list.want(s.list.GoTime(widget.Moment{Sec: t.Sec, Nsec: t.Nsec, Set: true})))
}

func (s *timelineScreen) take(m answer) tea.Cmd {
	switch {
	case s.hist.take(m):
		s.followRow()
		return nil
	case s.raw.take(m):
		s.describe()
		return nil
	}
	cmd, _ := s.list.take(m)
	return tea.Batch(cmd, s.found(), s.moved())
}

// found puts the cursor on the row that is looked for, when it came.
func (s *timelineScreen) found() tea.Cmd {
	v, ok := s.list.value()
	if !ok || s.seek == "" || s.list.Loading() {
		return nil
	}
	want := s.seek
	s.seek = ""
	for _, r := range s.list.Cached() {
		if m, ok := r.Data.(evidence.Moment); ok && m.Record == want && m.Time == v.Time {
			return s.list.want(s.list.Go(r.Key))
		}
	}
	return nil
}

// followRow puts the bucket cursor on the bucket of the row.
func (s *timelineScreen) followRow() {
	if v, ok := s.list.value(); ok {
		s.cursor = bucketOf(s.hist.val, v.Time)
	}
}

func (s *timelineScreen) moved() tea.Cmd {
	v, ok := s.list.value()
	if !ok {
		return nil
	}
	s.followRow()
	if v.Record == s.shown {
		return nil
	}
	s.shown = v.Record
	s.raw = loaded[[]byte]{slot: s.raw.slot}
	s.a.cancel(s.raw.slot)
	s.describe()
	r, err := evidence.ParseRecord(v.Record)
	if err != nil || v.Source == "fs" {
		return nil
	}
	return ask(s.a, secTimeline, s.raw.slot, func(ctx context.Context) ([]byte, error) { return s.c.Raw(ctx, r) })
}

func (s *timelineScreen) describe() {
	v, ok := s.list.value()
	if !ok {
		s.info.set(nil)
		return
	}
	w, n := max(s.width, 30), widget.Normal
	l := fields(w, visible.Lit("what"), n, esc(v.Summary))
	l = append(l,
		field(visible.Lit("time"), n, visible.Sprintf("%s   %s", clockFull(v.Time), unsureWords(v))),
		field(visible.Lit("source"), n, visible.Sprintf("%s   %s   by %s", v.Source, esc(v.Type), escPtr(v.Actor))),
	)
	l = append(l, fields(w, visible.Lit("record"), widget.Dim, visible.Escape(v.Record))...)
	if len(v.Tags) > 0 {
		l = append(l, field(visible.Lit("tags"), widget.Mark, visible.Escape(fmt.Sprint(v.Tags))))
	}
	switch {
	case s.raw.err != nil && !evidence.Canceled(s.raw.err):
		l = append(append(l, nil), failure(s.raw.err)...)
	case v.Source == "packet" && len(s.raw.val) > 0:
		l = append(append(l, nil), hexLines(s.raw.val)...)
	case len(s.raw.val) > 0:
		l = append(append(l, nil), jsonLines(s.raw.val, w)...)
	}
	s.info.set(l)
}

func unsureWords(v evidence.Moment) visible.Text {
	if v.Uncertain == nil {
		return widget.Blank
	}
	return visible.Sprintf("± %s", *v.Uncertain)
}

func (s *timelineScreen) panes(body uv.Rectangle, m mode) []pane {
	h := s.hist.val
	head := visible.Lit("Timeline")
	var all int64
	for _, b := range h.Buckets {
		for _, n := range b.Count {
			all += n
		}
	}
	if s.hist.done {
		head = visible.Sprintf("%s moments", count(all))
	}
	hist := pane{
		scopes: []scope{inHist, inTimes, inZoom},
		state:  s.hist.state(s.a, s.hist.done && len(h.Buckets) == 0, "Nothing in this span has a time.", "Z widens, E drops all filters"),
		draw:   func(c widget.Canvas, focused bool) { drawHist(c, h, s.cursor, -1, -1, focused) },
	}
	words := []string{"No moment in this case yet.", "acquire and index evidence first"}
	if len(s.chips()) > 0 {
		words = []string{"No moment matches.", "esc drops the last filter · E drops all · Z widens the time"}
	}
	list := pane{
		title:  widget.Line{span(widget.Title, visible.Lit("Events")), span(widget.Dim, visible.Sprintf(" (%s)", s.list.totals(h.Lower)))},
		scopes: []scope{inList, inMarks, inTimes, inZoom, withKeys}, table: &s.list.Table, want: s.list.want, moved: s.moved, state: s.list.state(words...),
	}
	det := pane{title: widget.Plain(widget.Title, visible.Lit("detail")), scopes: []scope{inList}, doc: &s.info}
	if v, ok := s.list.value(); ok {
		det.title = widget.Plain(widget.Title, visible.Escape(v.Record))
	}
	if m == small {
		hist.area, body = widget.Stack(body, max(5, body.Dy()/4))
		list.area, det.area = widget.Stack(body, body.Dy()-6)
	} else {
		hist.area, body = widget.Stack(body, max(8, body.Dy()*24/100))
		if m == wide {
			list.area, det.area = widget.Split(body, body.Dx()*62/100)
		} else {
			list.area, det.area = widget.Stack(body, body.Dy()*62/100)
		}
	}
	hist.title = histTitle(h, head, hist.area.Dx()-2)
	if w := det.area.Dx() - 4; w != s.width {
		s.width = w
		s.describe()
	}
	return []pane{list, det, hist}
}

func (s *timelineScreen) do(a action) (tea.Cmd, bool) {
	if s.pane == 2 {
		if cmd, ok := s.doHist(a); ok {
			return cmd, true
		}
	}
	switch a {
	case actFilter:
		return filterPrompt(s.q.Text, func(t string) tea.Cmd { q := s.q; q.Text = t; return s.ask(q) }), true
	case actSources:
		q := s.q
		q.Sources = nextSource(q.Sources)
		return s.ask(q), true
	case actZoomIn, actZoomOut:
		return s.zoomTime(a == actZoomIn), true
	case actRangeFrom, actRangeTo:
		return s.rangeEnd(a == actRangeFrom), true
	case actGoTime:
		return openPrompt(timePrompt(func(t imaging.Time) tea.Cmd { return s.at(t, "") })), true
	case actOpen:
		p := s.pick()
		if p.address == "" && p.entity == "" && s.pane == 0 {
			s.pane = 1
			return nil, true
		}
		return nil, false
	case actTimeline:
		return nil, true
	case actRetry:
		return s.list.reload(), false
	default:
		return nil, false
	}
}

// nextSource is the source after this one; nil is all of them.
func nextSource(now []string) []string {
	if len(now) == 0 {
		return sources[:1]
	}
	i := slices.Index(sources, now[0]) + 1
	if i >= len(sources) {
		return nil
	}
	return sources[i : i+1]
}

func (s *timelineScreen) doHist(a action) (tea.Cmd, bool) {
	n := len(s.hist.val.Buckets)
	switch a {
	case actLeft:
		s.cursor = max(s.cursor-1, 0)
	case actRight:
		s.cursor = min(s.cursor+1, n-1)
	case actOpen:
		if s.cursor < 0 || s.cursor >= n {
			return nil, true
		}
		return s.at(s.hist.val.Buckets[s.cursor].Start, ""), true
	default:
		return nil, false
	}
	return nil, true
}

// middle is the moment that zooming keeps: the bucket with the cursor, or the
// row.
func (s *timelineScreen) middle() (imaging.Time, bool) {
	if b := s.hist.val.Buckets; s.pane == 2 && s.cursor >= 0 && s.cursor < len(b) {
		return b[s.cursor].Start, true
	}
	v, ok := s.list.value()
	return v.Time, ok && v.Time.Set
}

// zoomTime shows a quarter of the span around the middle, or four times it.
func (s *timelineScreen) zoomTime(in bool) tea.Cmd {
	h := s.hist.val
	mid, ok := s.middle()
	if !ok || !h.From.Set || !h.To.Set {
		return nil
	}
	span := h.To.Sec - h.From.Sec
	q := s.q
	if in {
		span = max(span/4, 8)
	} else if !q.From.Set && !q.To.Set {
		return say(0, visible.Lit("this is the whole span"))
	} else {
		span *= 4
	}
	q.From, q.To = imaging.Time{Sec: mid.Sec - span/2, Set: true}, imaging.Time{Sec: mid.Sec + span/2, Set: true}
	return s.ask(q)
}

func (s *timelineScreen) rangeEnd(from bool) tea.Cmd {
	t, ok := s.middle()
	if !ok {
		return nil
	}
	q := s.q
	if from {
		q.From = t
	} else {
		q.To = t
	}
	if q.From.Set && q.To.Set && q.From.Compare(q.To) > 0 {
		q.From, q.To = q.To, q.From
	}
	return s.ask(q)
}

func (s *timelineScreen) chips() []chip {
	var out []chip
	add := func(t visible.Text, f func(q *store.TimelineQuery)) {
		out = append(out, chip{t, func() tea.Cmd { q := s.q; f(&q); return s.ask(q) }})
	}
	if len(s.q.Sources) > 0 {
		add(visible.Sprintf("source=%s", s.q.Sources[0]), func(q *store.TimelineQuery) { q.Sources = nil })
	}
	if s.q.Text != "" {
		add(visible.Sprintf("text:%s", s.q.Text), func(q *store.TimelineQuery) { q.Text = "" })
	}
	if s.q.From.Set || s.q.To.Set {
		add(visible.Sprintf("%s … %s", clock(s.q.From), clock(s.q.To)), func(q *store.TimelineQuery) { q.From, q.To = imaging.Time{}, imaging.Time{} })
	}
	return out
}

func (s *timelineScreen) pick() pick {
	v, ok := s.list.value()
	if !ok {
		return pick{}
	}
	p := pick{at: v.Time, record: v.Record, copy: v.Record, row: v}
	switch v.Source {
	case "fs":
		p.address = v.Record
	case "cloudtrail":
		p.events = &store.EventQuery{From: v.Time, To: v.Time}
		if v.Actor != nil {
			p.entity = *v.Actor
		}
	}
	for _, r := range s.list.Marked() {
		if m, ok := r.Data.(evidence.Moment); ok {
			p.marked = append(p.marked, m.Record)
		}
	}
	return p
}

func (s *timelineScreen) status() widget.Line {
	var l widget.Line
	if s.list.err != nil {
		l = append(l, span(widget.Bad, visible.Sprintf("error: %v", s.list.err)))
	}
	if n := s.hist.val.Untimed; n > 0 {
		l = append(l, span(widget.Warn, visible.Sprintf("%s untimed", count(n))))
	}
	return append(l, span(widget.Dim, visible.Lit("rows inside one ± have no proven order")))
}

func (s *timelineScreen) place() func() tea.Cmd {
	q, home := s.q, s.list.Home()
	return func() tea.Cmd {
		s.list.SetHome(home)
		return s.ask(q)
	}
}
