package tui

import (
	"regexp"
	"strings"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"

	"snapcase/evidence"
	"snapcase/evidence/visible"
	"snapcase/store"
	"snapcase/tui/widget"
)

// findingScreen lists what was detected, with what is observed kept apart from
// what it does not show.
type findingScreen struct {
	focus
	a     *asker
	facts *facts
	rows  widget.Table
	links widget.Table
	info  doc
	width int
}

func newFindings(a *asker, f *facts) *findingScreen {
	s := &findingScreen{a: a, facts: f}
	s.rows.Cols = []widget.Column{
		{Title: visible.Lit("ID"), Width: 4},
		{Title: visible.Lit("LEVEL"), Width: 10},
		{Title: visible.Lit("FIRST (UTC)"), Width: 20, Drop: 1},
		{Title: visible.Lit("FINDING"), Width: 30, Need: 40},
	}
	s.links.Cols = []widget.Column{{Title: visible.Lit("RECORD OR ENTITY"), Width: 20}}
	return s
}

func (s *findingScreen) enter() tea.Cmd        { return nil }
func (s *findingScreen) take(_ answer) tea.Cmd { return nil }

func (s *findingScreen) factsChanged() {
	var rows []widget.Row
	for _, f := range s.facts.findings.val {
		rows = append(rows, widget.Row{Key: widget.Key(f.ID), Data: f, Cells: []widget.Cell{
			{Role: widget.Dim, Text: visible.Escape(f.ID)}, {Role: levelRole(f.Level), Text: levelText(f.Level)}, {Text: clock(f.First)}, {Text: visible.Escape(f.Title)},
		}})
	}
	s.rows.SetRows(rows)
	s.describe()
}

func (s *findingScreen) show(id string) tea.Cmd {
	s.rows.Go(widget.Key(id))
	s.pane = 0
	return s.describe()
}

func (s *findingScreen) describe() tea.Cmd {
	f, ok := rowOf[evidence.Finding](&s.rows)
	if !ok {
		s.info.set(nil)
		s.links.SetRows(nil)
		return nil
	}
	w := max(s.width-4, 30)
	source := visible.Sprintf("   rule %s", esc(f.Rule))
	if f.Record != nil {
		source = visible.Sprintf("   found by %s, record %d", esc(f.By), *f.Record)
	}
	l := []widget.Line{
		{span(levelRole(f.Level), visible.Sprintf("%s  %s", f.ID, levelText(f.Level))), span(widget.Dim, source)},
		field(visible.Lit("window"), widget.Normal, visible.Sprintf("%s – %s", clockFull(f.First), clockFull(f.Last))), nil,
		widget.Plain(widget.Label, visible.Lit("Observed (facts)")),
	}
	for _, t := range widget.Wrap(esc(f.Observed), w-2) {
		l = append(l, widget.Line{span(widget.Normal, visible.Lit("  ")), span(widget.Normal, t)})
	}
	l = append(l, nil, widget.Plain(widget.Label, visible.Lit("Limits (what it does not show)")))
	for _, t := range widget.Wrap(esc(f.Limits), w-2) {
		l = append(l, widget.Line{span(widget.Normal, visible.Lit("  ")), span(widget.Normal, t)})
	}
	s.info.set(l)
	var rows []widget.Row
	for _, e := range f.Entities {
		rows = append(rows, widget.Row{Key: widget.Key("e" + e), Data: pick{entity: e, copy: e, at: f.First, events: eventsOf(e)}, Cells: []widget.Cell{{Role: widget.Link, Text: visible.Escape(e)}}})
	}
	for _, e := range f.Events {
		p := pick{record: e, copy: e, at: f.First}
		if _, err := evidence.ParseAddress(e); err == nil {
			p.address = e
		}
		rows = append(rows, widget.Row{Key: widget.Key("r" + e), Data: p, Cells: []widget.Cell{{Text: visible.Escape(e)}}})
	}
	s.links.SetRows(rows)
	return nil
}

func (s *findingScreen) panes(body uv.Rectangle, m mode) []pane {
	var main, side, links uv.Rectangle
	switch m {
	case small:
		main, side = detail(body, m)
		side, links = widget.Split(side, side.Dx()*60/100)
	default:
		main, side = widget.Split(body, body.Dx()*48/100)
		side, links = widget.Stack(side, side.Dy()*60/100)
	}
	if side.Dx() != s.width {
		s.width = side.Dx()
		s.describe()
	}
	name := visible.Lit("finding")
	if f, ok := rowOf[evidence.Finding](&s.rows); ok {
		name = visible.Escape(f.Title)
	}
	state := s.facts.findings.state(s.a, s.facts.findings.done && len(s.facts.findings.val) == 0, "Nothing was detected.", "That is no proof of absence: P lists what could not be read.")
	return []pane{
		{title: title(visible.Lit("Findings"), int64(len(s.facts.findings.val)), s.facts.findings.done), area: main, scopes: []scope{inList, withKeys}, table: &s.rows, moved: s.describe, state: state},
		{title: widget.Plain(widget.Title, name), area: side, scopes: []scope{inList}, doc: &s.info},
		{title: title(visible.Lit("Entities and records"), s.links.Total().N, s.facts.findings.done), area: links, scopes: []scope{inList, inMarks, withKeys}, table: &s.links},
	}
}

func (s *findingScreen) do(a action) (tea.Cmd, bool) {
	if a == actOpen && s.pane == 2 {
		p := s.pick()
		if p.entity == "" && p.record != "" {
			return goRecord(p.record), true
		}
	}
	if a == actOpen && s.pane == 0 {
		s.pane = 2
		return nil, true
	}
	return nil, false
}

func (s *findingScreen) pick() pick {
	if s.pane == 2 {
		p, _ := rowOf[pick](&s.links)
		for _, r := range s.links.Marked() {
			if q, ok := r.Data.(pick); ok && q.record != "" {
				p.marked = append(p.marked, q.record)
			}
		}
		return p
	}
	if f, ok := rowOf[evidence.Finding](&s.rows); ok {
		return findingPick(f)
	}
	return pick{}
}

func findingPick(f evidence.Finding) pick {
	p := pick{at: f.First, copy: f.ID + " " + f.Title, row: f}
	for _, e := range f.Entities {
		if q := eventsOf(e); q != nil {
			p.events, p.entity = q, e
			break
		}
	}
	return p
}

var keyID = regexp.MustCompile(`^A[A-Z0-9]{19}$`)

// eventsOf is the question for the events of an entity, nil where CloudTrail
// cannot be asked for one.
func eventsOf(e string) *store.EventQuery {
	switch {
	case keyID.MatchString(e):
		return &store.EventQuery{Key: e}
	case strings.HasPrefix(e, "arn:"):
		return &store.EventQuery{ARN: e}
	case strings.HasPrefix(e, "i-"), strings.HasPrefix(e, "vol-"), strings.HasPrefix(e, "snap-"):
		return &store.EventQuery{ResourceName: e}
	case strings.Count(e, ".") == 3 || strings.Count(e, ":") > 1:
		return &store.EventQuery{IP: e}
	case e == "":
		return nil
	}
	return &store.EventQuery{User: e}
}

func (s *findingScreen) status() widget.Line   { return nil }
func (s *findingScreen) place() func() tea.Cmd { return nil }
