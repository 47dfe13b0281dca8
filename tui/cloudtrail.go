package tui

import (
	"context"
	"fmt"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"

	"snapcase/evidence"
	"snapcase/evidence/visible"
	"snapcase/imaging"
	"snapcase/store"
	"snapcase/tui/widget"
)

type eventSource interface {
	EventPage(ctx context.Context, q store.EventQuery, r store.PageRequest) (store.Page[evidence.Event], error)
	EventCount(ctx context.Context, q store.EventQuery, limit int64) (int64, error)
	Raw(ctx context.Context, r evidence.Record) ([]byte, error)
}

// eventScreen is the CloudTrail events: a query of the eight lookups and more,
// which combine, the events it selects, and one of them in full.
type eventScreen struct {
	focus
	a      *asker
	c      eventSource
	facts  *facts
	q      store.EventQuery
	asked  bool
	form   queryForm
	filled bool // the form shows over the list in a small terminal
	list   paged[evidence.Event]
	detail eventDetail
	mode   mode
}

// The columns of the list, by number.
const (
	colTime = iota
	colRegion
	colName
	colUser
	colIP
	colKey
	colSource
	colError
)

func newEvents(a *asker, c eventSource, f *facts) *eventScreen {
	s := &eventScreen{a: a, c: c, facts: f, detail: eventDetail{a: a, c: c}}
	s.list.a, s.list.to, s.list.name, s.list.row = a, secEvents, "events.list", eventRow
	s.list.Cell = true
	s.list.Cols = eventColumns()
	s.detail.related.Cols = eventColumns()
	return s
}

func eventColumns() []widget.Column {
	return []widget.Column{
		{Title: visible.Lit("TIME (UTC)"), Width: 20},
		{Title: visible.Lit("REGION"), Width: 14, Drop: 1},
		{Title: visible.Lit("EVENT"), Width: 22},
		{Title: visible.Lit("USER"), Width: 15},
		{Title: visible.Lit("IP"), Width: 15, Drop: 2},
		{Title: visible.Lit("ACCESS KEY"), Width: 20, Drop: 4},
		{Title: visible.Lit("SOURCE"), Width: 22, Drop: 5},
		{Title: visible.Lit("ERROR"), Width: 12},
	}
}

func eventRow(e evidence.Event) widget.Row {
	role := widget.Dim
	if e.ErrorCode != "" {
		role = widget.Bad
	}
	name := widget.Normal
	if e.ReadOnly != nil && !*e.ReadOnly {
		name = widget.Warn
	}
	r := widget.Row{Cells: []widget.Cell{
		{Text: clock(e.Time)},
		{Text: esc(e.Region)},
		{Role: name, Text: esc(e.Name)},
		{Text: esc(userOf(e))},
		{Text: esc(e.SourceIP)},
		{Role: widget.KeyID, Text: esc(e.AccessKeyID)},
		{Role: widget.Dim, Text: esc(e.Source)},
		{Role: role, Text: esc(e.ErrorCode)},
	}}
	for _, c := range r.Cells {
		if c.Text.Changed() {
			r.Flags |= widget.Escaped
		}
	}
	return r
}

// userOf is who made the call, in the shortest form the record has.
func userOf(e evidence.Event) string {
	switch {
	case e.User != "":
		return e.User
	case e.ARN != "":
		return baseOf(e.ARN)
	case e.PrincipalID != "":
		return e.PrincipalID
	}
	return e.PrincipalType
}

func (s *eventScreen) enter() tea.Cmd {
	if s.asked {
		return nil
	}
	return s.ask(s.q)
}

// ask shows the events that q selects.
func (s *eventScreen) ask(q store.EventQuery) tea.Cmd {
	s.q, s.asked, s.filled, s.pane = q, true, false, 0
	s.form.fill(q)
	return s.list.query(queryID(q), fetchOf(s.c.EventPage, q), countOf(s.c.EventCount, q))
}

// queryID names a query.
func queryID(q store.EventQuery) string {
	read := "any"
	if q.ReadOnly != nil {
		read = fmt.Sprint(*q.ReadOnly)
		q.ReadOnly = nil
	}
	return fmt.Sprintf("%+v %s", q, read)
}

func (s *eventScreen) take(m answer) tea.Cmd {
	if cmd, ok := s.detail.take(m); ok {
		return cmd
	}
	cmd, _ := s.list.take(m)
	return tea.Batch(cmd, s.moved())
}

func (s *eventScreen) moved() tea.Cmd {
	e, ok := s.list.value()
	if !ok {
		if !s.list.Fetching() {
			s.detail.clear()
		}
		return nil
	}
	return s.detail.show(e)
}

func (s *eventScreen) panes(body uv.Rectangle, m mode) []pane {
	s.mode = m
	form := pane{
		title:  widget.Line{span(widget.Title, visible.Lit("Query")), span(widget.Dim, visible.Lit("  the lookups combine   tab next field   enter run   esc leave"))},
		scopes: []scope{inForm}, draw: s.form.draw, field: &s.form.fields[s.form.at],
	}
	_, lower := s.facts.partial(evidence.KindCloudTrail)
	t := widget.Line{span(widget.Title, visible.Lit("Events")), span(widget.Dim, visible.Sprintf(" (%s)", s.list.totals(lower)))}
	if len(s.chips()) > 0 {
		t[1].Text = visible.Sprintf(" (%s of %s)", s.list.totals(lower), count(s.events()))
	}
	words := []string{"No CloudTrail event in this case yet.", "snapcase acquire CASE FOLDER --as cloudtrail"}
	if len(s.chips()) > 0 {
		words = []string{fmt.Sprintf("0 of %s events match.", count(s.events())), "esc drops the last filter · E drops all · f changes the query"}
	}
	list := pane{title: t, scopes: []scope{inList, inCells, inMarks, inTimes, inEvents, withKeys}, table: &s.list.Table, want: s.list.want, moved: s.moved, state: s.list.state(words...)}
	det := s.detail.pane()
	if m == small {
		list.area, det.area = detail(body, m)
		if s.filled {
			form.area, list.area = body, uv.Rectangle{}
			return []pane{form}
		}
		s.detail.fit(det.area)
		return []pane{list, det}
	}
	form.area, body = widget.Stack(body, 7)
	if m == wide {
		list.area, det.area = widget.Split(body, body.Dx()*60/100)
	} else {
		list.area, det.area = widget.Stack(body, body.Dy()*58/100)
	}
	s.detail.fit(det.area)
	return []pane{list, det, form}
}

// events is how many events the case has.
func (s *eventScreen) events() int64 {
	var n int64
	for _, x := range s.facts.stats.val {
		if x.Kind == evidence.KindCloudTrail {
			n += x.Distinct
		}
	}
	return n
}

// inForm says whether the form has the keys.
func (s *eventScreen) inForm() bool {
	return s.filled && s.mode == small || s.mode != small && s.pane == 2
}

func (s *eventScreen) do(a action) (tea.Cmd, bool) {
	if s.inForm() {
		return s.doForm(a)
	}
	switch a {
	case actForm:
		s.filled = s.mode == small
		s.pane = map[bool]int{true: 0, false: 2}[s.mode == small]
		return nil, true
	case actFilter:
		return filterPrompt(s.q.Text, func(t string) tea.Cmd { q := s.q; q.Text = t; return s.ask(q) }), true
	case actKeep:
		return s.keep(), true
	case actNextTab, actPrevTab:
		return s.detail.turn(a == actNextTab), true
	case actGoTime:
		return openPrompt(timePrompt(func(t imaging.Time) tea.Cmd {
			return s.list.want(s.list.GoTime(widget.Moment{Sec: t.Sec, Nsec: t.Nsec, Set: true}))
		})), true
	case actRangeFrom, actRangeTo:
		e, ok := s.list.value()
		if !ok || !e.Time.Set {
			return nil, true
		}
		q := s.q
		if a == actRangeFrom {
			q.From = e.Time
		} else {
			q.To = e.Time
		}
		return s.ask(q), true
	case actRetry:
		return s.list.reload(), false
	default:
		return nil, false
	}
}

func (s *eventScreen) doForm(a action) (tea.Cmd, bool) {
	switch a {
	case actNextPane, actDown:
		s.form.move(1)
	case actPrevPane, actUp:
		s.form.move(-1)
	case actSubmit:
		q, err := s.form.read(s.q.Exhibit)
		if err != nil {
			return say(widget.Warn, visible.Sprintf("warn: %v", err)), true
		}
		return s.ask(q), true
	case actBack:
		s.filled, s.pane = false, 0
		s.form.fill(s.q)
	default:
		return nil, false
	}
	return nil, true
}

// keep adds the value of the cell under the cursor to the query.
func (s *eventScreen) keep() tea.Cmd {
	e, ok := s.list.value()
	if !ok {
		return nil
	}
	q := s.q
	switch s.list.At() {
	case colTime:
		q.From, q.To = e.Time, e.Time
	case colRegion:
		q.Region = e.Region
	case colName:
		q.Name = e.Name
	case colUser:
		if e.User != "" {
			q.User = e.User
		} else {
			q.ARN = e.ARN
		}
	case colIP:
		q.IP = e.SourceIP
	case colKey:
		q.Key = e.AccessKeyID
	case colSource:
		q.Source = e.Source
	case colError:
		q.Error = e.ErrorCode
	}
	if queryID(q) == queryID(s.q) {
		return say(widget.Warn, visible.Lit("warn: this cell has no value to keep"))
	}
	return s.ask(q)
}

func (s *eventScreen) chips() []chip {
	var out []chip
	for _, t := range attributes {
		if v := t.get(&s.q); v != "" {
			out = append(out, chip{visible.Sprintf("%s=%s", t.chip, v), func() tea.Cmd {
				q := s.q
				if err := t.set(&q, ""); err != nil {
					return nil
				}
				return s.ask(q)
			}})
		}
	}
	return out
}

func (s *eventScreen) pick() pick {
	e, ok := s.list.value()
	if s.pane == 1 && s.detail.tab == tabRelated {
		e, ok = rowOf[evidence.Event](&s.detail.related)
	}
	if !ok {
		return pick{}
	}
	p := pick{at: e.Time, record: e.Record.String(), copy: e.EventID, row: e, entity: entityOf(e)}
	if e.AccessKeyID != "" {
		p.events = &store.EventQuery{Key: e.AccessKeyID}
	}
	for _, r := range s.list.Marked() {
		if m, ok := r.Data.(evidence.Event); ok {
			p.marked = append(p.marked, m.Record.String())
		}
	}
	return p
}

// entityOf is what the trace of an event is of: the key that made the call, or
// who did.
func entityOf(e evidence.Event) string {
	for _, s := range []string{e.AccessKeyID, e.ARN, e.User, e.SourceIP} {
		if s != "" {
			return s
		}
	}
	return ""
}

func (s *eventScreen) status() widget.Line {
	if s.list.err != nil {
		return widget.Line{span(widget.Bad, visible.Sprintf("error: %v", s.list.err))}
	}
	if e, ok := s.list.value(); ok && e.Copies > 1 {
		return widget.Line{span(widget.Dim, visible.Sprintf("delivered %d ×", e.Copies))}
	}
	return nil
}

func (s *eventScreen) place() func() tea.Cmd {
	q, home := s.q, s.list.Home()
	return func() tea.Cmd {
		s.list.SetHome(home)
		return s.ask(q)
	}
}
