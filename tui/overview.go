package tui

import (
	"context"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"

	"snapcase/evidence"
	"snapcase/evidence/custody"
	"snapcase/evidence/visible"
	"snapcase/store"
	"snapcase/tui/widget"
)

type overviewSource interface {
	Histogram(ctx context.Context, q store.TimelineQuery, n int) (store.Histogram, error)
	Records(ctx context.Context) ([]custody.Record, error)
}

// overview is the section that a case opens with: exhibits, what needs
// attention, events over time, findings. All of it is asked for once.
type overview struct {
	focus
	a     *asker
	c     overviewSource
	facts *facts

	exhibits, attention, findings widget.Table
	hist                          loaded[store.Histogram]
	records                       loaded[[]custody.Record]
	cursor                        int
}

func newOverview(a *asker, c overviewSource, f *facts) *overview {
	s := &overview{a: a, c: c, facts: f, cursor: -1}
	s.hist.slot, s.records.slot = "overview.hist", "overview.records"
	s.exhibits.Cols = []widget.Column{
		{Title: visible.Lit("EXHIBIT"), Width: 7},
		{Title: visible.Lit("KIND"), Width: 10, Drop: 2},
		{Title: visible.Lit("SIZE"), Width: 6, Right: true},
		{Title: visible.Lit("STATE"), Width: 10},
		{Title: visible.Lit("WHAT"), Width: 10},
	}
	s.attention.Cols = []widget.Column{{Title: visible.Lit("LEVEL"), Width: 8}, {Title: visible.Lit("WHAT"), Width: 20}}
	s.findings.Cols = []widget.Column{{Title: visible.Lit("ID"), Width: 4}, {Title: visible.Lit("LEVEL"), Width: 8}, {Title: visible.Lit("FINDING"), Width: 20}}
	return s
}

func (s *overview) enter() tea.Cmd {
	var cmds []tea.Cmd
	if !s.hist.done {
		cmds = append(cmds, ask(s.a, secOverview, s.hist.slot, func(ctx context.Context) (store.Histogram, error) {
			return s.c.Histogram(ctx, store.TimelineQuery{}, histBuckets)
		}))
	}
	if !s.records.done {
		cmds = append(cmds, ask(s.a, secOverview, s.records.slot, s.c.Records))
	}
	return tea.Batch(cmds...)
}

func (s *overview) take(m answer) tea.Cmd {
	if s.hist.take(m) || s.records.take(m) {
		s.factsChanged()
	}
	return nil
}

func (s *overview) factsChanged() {
	var ex, at, fi []widget.Row
	for _, x := range s.facts.stats.val {
		ex = append(ex, exhibitLine(x))
		at = append(at, worries(x)...)
	}
	for _, f := range s.facts.findings.val {
		fi = append(fi, widget.Row{Key: widget.Key(f.ID), Data: f, Cells: []widget.Cell{
			{Role: widget.Dim, Text: visible.Escape(f.ID)}, {Role: levelRole(f.Level), Text: levelText(f.Level)}, {Text: visible.Escape(f.Title)},
		}})
	}
	if n := s.hist.val.Untimed; n > 0 {
		at = append(at, worry("untimed", widget.Warn, visible.Lit("! note"), visible.Sprintf("%s no time and on no axis", several(n, "moment with", "moments with")), nil))
	}
	unseen := 0
	for _, k := range s.facts.keys.val {
		if k.Events == 0 {
			unseen++
		}
	}
	if unseen > 0 {
		at = append(at, worry("unseen", widget.Info, visible.Lit("● keys"), visible.Sprintf("%s the evidence never seen in CloudTrail", several(int64(unseen), "key in", "keys in")), secKeys))
	}
	if s.facts.stats.done && s.facts.stats.err == nil && len(at) == 0 {
		at = append(at, worry("fine", widget.OK, visible.Lit("✓"), visible.Lit("everything acquired could be read and decoded"), nil))
	}
	s.exhibits.SetRows(ex)
	s.attention.SetRows(at)
	s.findings.SetRows(fi)
}

func worry(key string, r widget.Role, level, what visible.Text, to any) widget.Row {
	return widget.Row{Key: widget.Key(key), Data: to, Cells: []widget.Cell{{Role: r, Text: level}, {Text: what}}}
}

// worries are the lines that an exhibit needs attention for.
func worries(x evidence.ExhibitStats) []widget.Row {
	var out []widget.Row
	add := func(what visible.Text) {
		out = append(out, worry(x.Exhibit+what.String(), widget.Warn, visible.Sprintf("! %s", x.Exhibit), what, secExhibits))
	}
	if x.Incomplete != nil {
		add(visible.Sprintf("not complete: %d %% acquired, %s", acquired(x), x.Incomplete.State))
	}
	if !x.Indexed {
		add(visible.Lit("is not indexed: snapcase index CASE"))
	}
	if x.ReadErrors > 0 {
		add(visible.Sprintf("%s of the source not read", several(x.ReadErrors, "range", "ranges")))
	}
	if x.NotAcquired > 0 {
		add(visible.Sprintf("%s not acquired: only what changed since %s", size(x.NotAcquired), esc(x.Since)))
	}
	if x.BadRecords > 0 {
		add(visible.Sprintf("%s not decoded", several(x.BadRecords, "record", "records")))
	}
	if x.SkipData > 0 {
		add(visible.Sprintf("%s SKIPDATA: traffic is missing", several(x.SkipData, "record", "records")))
	}
	for _, v := range x.Volumes {
		if v.Error != nil {
			add(visible.Sprintf("volume %s: %s", v.ID, *v.Error))
		}
		if v.Damaged > 0 {
			add(visible.Sprintf("volume %s: %s damaged", v.ID, several(v.Damaged, "entry", "entries")))
		}
	}
	if n := len(x.Gaps); n > 0 {
		add(visible.Sprintf("%s, the first: %s", several(int64(n), "gap", "gaps"), x.Gaps[0].Reason))
	}
	return out
}

// stateOf is the state of an exhibit in a word.
func stateOf(x evidence.ExhibitStats) (widget.Role, visible.Text) {
	switch {
	case x.Incomplete != nil:
		return widget.Warn, visible.Sprintf("! %d %%", acquired(x))
	case !x.Indexed:
		return widget.Info, visible.Lit("○ sealed")
	case len(worries(x)) > 0:
		return widget.Warn, visible.Lit("! partial")
	}
	return widget.OK, visible.Lit("✓ indexed")
}

func exhibitLine(x evidence.ExhibitStats) widget.Row {
	role, state := stateOf(x)
	what := x.Label
	if what == "" {
		what = x.Source
	}
	return widget.Row{Key: widget.Key(x.Exhibit), Data: x, Cells: []widget.Cell{
		{Text: visible.Escape(x.Exhibit)},
		{Role: widget.Dim, Text: visible.Escape(string(x.Kind))},
		{Text: size(x.Bytes)},
		{Role: role, Text: state},
		{Text: esc(what)},
	}}
}

// levelRole is how a level of a finding looks, levelText its word with a sign.
func levelRole(level string) widget.Role {
	switch level {
	case "critical", "high":
		return widget.Bad
	case "medium":
		return widget.Warn
	case "low":
		return widget.Info
	}
	return widget.Dim
}

func levelText(level string) visible.Text {
	switch level {
	case "critical", "high":
		return visible.Sprintf("▲ %s", level)
	case "medium":
		return visible.Sprintf("! %s", level)
	}
	return visible.Sprintf("· %s", level)
}

func (s *overview) panes(body uv.Rectangle, m mode) []pane {
	scopes := []scope{inList}
	hist := pane{
		scopes: []scope{inHist},
		state:  s.hist.state(s.a, s.hist.done && len(s.hist.val.Buckets) == 0, "No moment has a time yet.", "acquire and index evidence first"),
		draw:   func(c widget.Canvas, focused bool) { drawHist(c, s.hist.val, s.cursor, -1, -1, focused) },
	}
	ex := pane{
		title: title(visible.Lit("Exhibits"), int64(len(s.facts.stats.val)), s.facts.stats.done), scopes: scopes, table: &s.exhibits,
		state: s.facts.stats.state(s.a, s.facts.stats.done && len(s.facts.stats.val) == 0, "No exhibit in this case yet.", "snapcase acquire CASE SOURCE…"),
	}
	at := pane{title: title(visible.Lit("Needs attention"), s.attention.Total().N, s.facts.stats.done && s.facts.keys.done), scopes: scopes, table: &s.attention, state: s.facts.stats.state(s.a, false)}
	fi := pane{
		title: title(visible.Lit("Findings"), int64(len(s.facts.findings.val)), s.facts.findings.done), scopes: append(scopes, withKeys), table: &s.findings,
		state: s.facts.findings.state(s.a, s.facts.findings.done && len(s.facts.findings.val) == 0, "Nothing was detected.", "that is no proof of absence"),
	}
	switch m {
	case small:
		top, rest := widget.Stack(body, body.Dy()/3)
		mid, low := widget.Stack(rest, rest.Dy()/2)
		fi.area, hist.area, ex.area = top, mid, low
		hist.title = histTitle(s.hist.val, visible.Lit("Events over time (UTC)"), hist.area.Dx()-2)
		return []pane{fi, hist, ex}
	case wide:
		left, right := widget.Split(body, body.Dx()*60/100)
		hist.area, ex.area = widget.Stack(left, left.Dy()*45/100)
		fi.area, at.area = widget.Stack(right, right.Dy()/2)
	default:
		top, rest := widget.Stack(body, body.Dy()*30/100)
		mid, low := widget.Stack(rest, rest.Dy()*50/100)
		ex.area, at.area = widget.Split(top, top.Dx()/2)
		hist.area, fi.area = mid, low
	}
	hist.title = histTitle(s.hist.val, visible.Lit("Events over time, all sources (UTC)"), hist.area.Dx()-2)
	return []pane{fi, hist, ex, at}
}

// title is a pane's title with a number, once it is known.
func title(t visible.Text, n int64, known bool) widget.Line {
	l := widget.Line{span(widget.Title, t)}
	if known {
		l = append(l, span(widget.Dim, visible.Sprintf(" (%s)", count(n))))
	}
	return l
}

func (s *overview) do(a action) (tea.Cmd, bool) {
	if s.pane == 1 {
		if cmd, ok := s.doHist(a); ok {
			return cmd, true
		}
	}
	switch a {
	case actOpen:
		return s.open(), true
	case actRetry:
		s.hist.done, s.records.done = false, false
		return s.enter(), false
	default:
		return nil, false
	}
}

func (s *overview) doHist(a action) (tea.Cmd, bool) {
	n := len(s.hist.val.Buckets)
	switch a {
	case actLeft:
		s.cursor = max(s.cursor-1, 0)
	case actRight:
		s.cursor = min(s.cursor+1, n-1)
	case actOpen, actTimeline:
		if s.cursor >= 0 && s.cursor < n {
			return goMoment(s.hist.val.Buckets[s.cursor].Start, ""), true
		}
	default:
		return nil, false
	}
	return nil, true
}

func (s *overview) open() tea.Cmd {
	switch s.pane {
	case 0:
		if f, ok := rowOf[evidence.Finding](&s.findings); ok {
			return goTo(secFindings, func(t *findingScreen) tea.Cmd { return t.show(f.ID) })
		}
	case 2:
		if x, ok := rowOf[evidence.ExhibitStats](&s.exhibits); ok {
			return goTo(secExhibits, func(t *exhibitScreen) tea.Cmd { return t.show(x.Exhibit) })
		}
	case 3:
		if to, ok := rowOf[section](&s.attention); ok {
			return goTo[screen](to, nil)
		}
	}
	return nil
}

// rowOf is the T of the row under the cursor of a table.
func rowOf[T any](t *widget.Table) (v T, ok bool) {
	if r := t.Current(); r != nil {
		v, ok = r.Data.(T)
	}
	return v, ok
}

func (s *overview) pick() pick {
	if f, ok := rowOf[evidence.Finding](&s.findings); ok && s.pane == 0 {
		return findingPick(f)
	}
	if x, ok := rowOf[evidence.ExhibitStats](&s.exhibits); ok && s.pane == 2 {
		return pick{copy: x.SHA256.String(), at: x.First, row: x}
	}
	return pick{}
}

func (s *overview) status() widget.Line {
	var l widget.Line
	if n := len(s.records.val); n > 0 {
		last := s.records.val[n-1]
		l = append(l, span(widget.Normal, visible.Sprintf("%d ledger records", n)), span(widget.Dim, visible.Sprintf("head %s", digest(last.Hash))))
	}
	return l
}

func (s *overview) place() func() tea.Cmd { return nil }
