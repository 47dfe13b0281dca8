package tui

import (
	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"

	"snapcase/evidence"
	"snapcase/evidence/visible"
	"snapcase/tui/widget"
)

// exhibitScreen lists the exhibits with what was read of each and what was not.
type exhibitScreen struct {
	focus
	a     *asker
	facts *facts
	rows  widget.Table
	info  doc
}

func newExhibits(a *asker, f *facts) *exhibitScreen {
	s := &exhibitScreen{a: a, facts: f}
	s.rows.Cols = []widget.Column{
		{Title: visible.Lit("ID"), Width: 7},
		{Title: visible.Lit("KIND"), Width: 10},
		{Title: visible.Lit("SIZE"), Width: 6, Right: true},
		{Title: visible.Lit("RECORDS"), Width: 10, Right: true, Drop: 2},
		{Title: visible.Lit("STATE"), Width: 10},
		{Title: visible.Lit("SHA-256"), Width: 11, Drop: 1},
		{Title: visible.Lit("FIRST"), Width: 20, Drop: 4},
		{Title: visible.Lit("LAST"), Width: 20, Drop: 5},
		{Title: visible.Lit("WHAT"), Width: 20},
	}
	return s
}

func (s *exhibitScreen) enter() tea.Cmd        { return nil }
func (s *exhibitScreen) take(_ answer) tea.Cmd { return nil }

func (s *exhibitScreen) factsChanged() {
	var rows []widget.Row
	for _, x := range s.facts.stats.val {
		role, state := stateOf(x)
		n := x.Records
		for _, v := range x.Volumes {
			n += v.Entries
		}
		what := x.Label
		if what == "" {
			what = x.Source
		}
		rows = append(rows, widget.Row{Key: widget.Key(x.Exhibit), Data: x, Cells: []widget.Cell{
			{Text: visible.Escape(x.Exhibit)},
			{Text: visible.Escape(string(x.Kind))},
			{Text: size(x.Bytes)},
			{Text: count(n)},
			{Role: role, Text: state},
			{Role: widget.Dim, Text: sumOf(x)},
			{Text: clock(x.First)},
			{Text: clock(x.Last)},
			{Text: esc(what)},
		}})
	}
	s.rows.SetRows(rows)
	s.describe()
}

// describe writes the detail of the exhibit under the cursor.
func (s *exhibitScreen) describe() tea.Cmd {
	x, ok := rowOf[evidence.ExhibitStats](&s.rows)
	if !ok {
		s.info.set(nil)
		return nil
	}
	n := widget.Normal
	l := []widget.Line{
		field(visible.Lit("source"), n, esc(x.Source)), field(visible.Lit("label"), n, esc(x.Label)),
		field(visible.Lit("bytes"), n, visible.Sprintf("%s (%s)", count(x.Bytes), size(x.Bytes))),
		field(visible.Lit("SHA-256"), n, fullSumOf(x)),
		field(visible.Lit("read"), n, visible.Sprintf("%s files, %s records, %s distinct, %s duplicates", count(x.Files), count(x.Records), count(x.Distinct), count(x.Duplicates))),
	}
	bad := widget.Normal
	if x.BadRecords+x.SkipData+x.NoData+x.ReadErrors > 0 {
		bad = widget.Warn
	}
	l = append(l, field(visible.Lit("not read"), bad, visible.Sprintf("%s bad records, %s SKIPDATA, %s NODATA, %s read errors", count(x.BadRecords), count(x.SkipData), count(x.NoData), count(x.ReadErrors))))
	if x.NotAcquired > 0 {
		l = append(l, field(visible.Lit("not acquired"), widget.Warn, visible.Sprintf("%s of %s: only what changed since %s was; map.jsonl says which", size(x.NotAcquired), size(x.Bytes), esc(x.Since))))
	}
	if x.First.Set {
		l = append(l, field(visible.Lit("time"), n, visible.Sprintf("%s – %s", clockFull(x.First), clockFull(x.Last))))
	}
	if len(x.Regions) > 0 {
		var t []visible.Text
		for _, r := range x.Regions {
			t = append(t, visible.Escape(r))
		}
		l = append(l, field(visible.Lit("regions"), n, visible.Join(" ", t...)))
	}
	for _, v := range x.Volumes {
		l = append(l, nil, widget.Line{span(widget.Info, visible.Sprintf("%-11s ", v.ID)), span(n, visible.Sprintf("%s %s %s  %s at %s  %s entries, %s deleted, %s damaged  %s", esc(v.Type), esc(v.FS), size(v.Size), esc(v.Label), count(v.Start), count(v.Entries), count(v.Deleted), count(v.Damaged), v.UUID))})
		for _, st := range v.State {
			l = append(l, field(visible.Lit(""), widget.Warn, visible.Sprintf("! %s", st)))
		}
		if v.Error != nil {
			l = append(l, field(visible.Lit(""), widget.Bad, visible.Sprintf("✗ %s", *v.Error)))
		}
	}
	for i, g := range x.Gaps {
		if i == 0 {
			l = append(l, nil, widget.Plain(widget.Label, visible.Sprintf("%d gaps", len(x.Gaps))))
		}
		l = append(l, widget.Line{span(widget.Warn, visible.Lit("! ")), span(n, visible.Sprintf("%s  ", g.Reason)), span(widget.Dim, visible.Sprintf("%s, offset %d", g.Place, g.Offset))})
	}
	l = append(l, nil, widget.Plain(widget.Dim, visible.Lit("An exhibit is acquired once and never changed. snapcase verify CASE reads it again and compares.")))
	s.info.set(l)
	return nil
}

// sumOf is the short digest of an exhibit, fullSumOf the whole; one that is not
// sealed has none.
func sumOf(x evidence.ExhibitStats) visible.Text {
	if x.Incomplete != nil {
		return visible.Lit("–")
	}
	return digest(x.SHA256.String())
}

func fullSumOf(x evidence.ExhibitStats) visible.Text {
	if x.Incomplete != nil {
		return visible.Sprintf("none yet: not complete, %d %% acquired, %s", acquired(x), x.Incomplete.State)
	}
	return visible.Escape(x.SHA256.String())
}

// show puts the cursor on an exhibit.
func (s *exhibitScreen) show(id string) tea.Cmd {
	s.rows.Go(widget.Key(id))
	s.pane = 0
	return s.describe()
}

func (s *exhibitScreen) panes(body uv.Rectangle, m mode) []pane {
	main, below := detail(body, m)
	if m == medium {
		main, below = widget.Stack(body, min(body.Dy()/2, len(s.rows.Cached())+6))
	}
	list := pane{
		title: title(visible.Lit("Exhibits"), int64(len(s.facts.stats.val)), s.facts.stats.done), area: main, scopes: []scope{inList}, table: &s.rows, moved: s.describe,
		state: s.facts.stats.state(s.a, s.facts.stats.done && len(s.facts.stats.val) == 0, "No exhibit in this case yet.", "snapcase acquire CASE SOURCE…"),
	}
	name := visible.Lit("exhibit")
	if x, ok := rowOf[evidence.ExhibitStats](&s.rows); ok {
		name = visible.Sprintf("%s  %s", x.Exhibit, x.Kind)
	}
	return []pane{list, {title: widget.Plain(widget.Title, name), area: below, scopes: []scope{inList}, doc: &s.info}}
}

func (s *exhibitScreen) do(a action) (tea.Cmd, bool) {
	x, ok := rowOf[evidence.ExhibitStats](&s.rows)
	if !ok {
		return nil, false
	}
	if a == actOpen {
		switch x.Kind {
		case evidence.KindDisk:
			return goTo(secFiles, func(f *fileScreen) tea.Cmd { return f.exhibit(x.Exhibit) }), true
		case evidence.KindCloudTrail:
			return goTo[screen](secEvents, nil), true
		case evidence.KindFlowLog, evidence.KindPcap:
			return goTo[screen](secFlows, nil), true
		default:
			return goTo[screen](secTimeline, nil), true
		}
	}
	return nil, false
}

func (s *exhibitScreen) pick() pick {
	if x, ok := rowOf[evidence.ExhibitStats](&s.rows); ok {
		return pick{copy: x.SHA256.String(), row: x, at: x.First}
	}
	return pick{}
}

func (s *exhibitScreen) status() widget.Line { return nil }

func (s *exhibitScreen) place() func() tea.Cmd { return nil }
