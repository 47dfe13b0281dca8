package tui

import (
	"context"
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"

	"snapcase/evidence/custody"
	"snapcase/evidence/visible"
	"snapcase/tui/widget"
)

type custodySource interface {
	Records(ctx context.Context) ([]custody.Record, error)
}

// custodyScreen is the ledger, newest last. Nothing in it can be changed.
type custodyScreen struct {
	focus
	a       *asker
	c       custodySource
	records loaded[[]custody.Record]
	rows    widget.Table
	info    doc
	filter  string
}

func newCustody(a *asker, c custodySource) *custodyScreen {
	s := &custodyScreen{a: a, c: c}
	s.records.slot = "custody"
	s.rows.Cols = []widget.Column{
		{Title: visible.Lit("#"), Width: 5, Right: true},
		{Title: visible.Lit("TIME (UTC)"), Width: 20},
		{Title: visible.Lit("BY"), Width: 16, Drop: 3},
		{Title: visible.Lit("TYPE"), Width: 22},
		{Title: visible.Lit("EXHIBIT"), Width: 7},
		{Title: visible.Lit("RESULT"), Width: 8, Drop: 2},
		{Title: visible.Lit("HASH"), Width: 11, Drop: 1},
		{Title: visible.Lit("WHAT"), Width: 14},
	}
	return s
}

func (s *custodyScreen) enter() tea.Cmd {
	if s.records.done {
		return nil
	}
	return ask(s.a, secCustody, s.records.slot, s.c.Records)
}

func (s *custodyScreen) take(m answer) tea.Cmd {
	first := !s.records.done
	if s.records.take(m) {
		s.fill()
		if first {
			s.rows.Move(widget.Last)
		}
		s.describe()
	}
	return nil
}

func (s *custodyScreen) fill() {
	var rows []widget.Row
	for _, r := range s.records.val {
		what := recordLine(r)
		if s.filter != "" && !strings.Contains(strings.ToLower(r.Type+" "+r.Exhibit+" "+r.Actor+" "+what), strings.ToLower(s.filter)) {
			continue
		}
		role := widget.OK
		switch r.Result {
		case "failed":
			role = widget.Bad
		case "partial":
			role = widget.Warn
		}
		rows = append(rows, widget.Row{Key: widget.Key(fmt.Sprint(r.Seq)), Data: r, Cells: []widget.Cell{
			{Role: widget.Dim, Text: visible.Sprintf("%d", r.Seq)},
			{Text: clock(r.Time)},
			{Text: esc(r.Actor)},
			{Text: esc(r.Type)},
			{Text: esc(r.Exhibit)},
			{Role: role, Text: esc(r.Result)},
			{Role: widget.Dim, Text: digest(r.Hash)},
			{Role: widget.Dim, Text: esc(what)},
		}})
	}
	s.rows.SetRows(rows)
}

// recordLine is what a record says in one line: of a hand-over who gave what to
// whom, of others their data.
func recordLine(r custody.Record) string {
	switch r.Type {
	case custody.TypeRelease, custody.TypeReceive, custody.TypeDispose:
	default:
		return dataLine(r.Data)
	}
	var out []string
	from, to := custody.PersonOf(r.Data["from"]).String(), custody.PersonOf(r.Data["to"]).String()
	if from+to != "" {
		out = append(out, from+" → "+to)
	}
	for _, k := range []string{"action", "reason", "medium"} {
		if v, ok := r.Data[k].(string); ok {
			out = append(out, v)
		}
	}
	if m, ok := r.Data["match"].(bool); ok {
		out = append(out, map[bool]string{true: "digest matches", false: "DIGEST DOES NOT MATCH"}[m])
	}
	return strings.Join(out, " · ")
}

// dataLine is the data of a record in one line, in the order of its names.
func dataLine(d map[string]any) string {
	var out []string
	for _, k := range names(d) {
		out = append(out, k+" "+flat(d[k]))
	}
	return strings.Join(out, "  ")
}

func names(d map[string]any) []string {
	var out []string
	for k := range d {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func flat(v any) string {
	switch v := v.(type) {
	case map[string]any:
		return "{" + dataLine(v) + "}"
	case []any:
		if len(v) > 3 {
			return fmt.Sprintf("%s and %d more", flat(v[:3]), len(v)-3)
		}
		var out []string
		for _, x := range v {
			out = append(out, flat(x))
		}
		return strings.Join(out, ", ")
	}
	return fmt.Sprint(v)
}

func (s *custodyScreen) describe() tea.Cmd {
	r, ok := rowOf[custody.Record](&s.rows)
	if !ok {
		s.info.set(nil)
		return nil
	}
	n := widget.Normal
	l := []widget.Line{
		field(visible.Lit("this"), n, esc(r.Hash)), field(visible.Lit("previous"), widget.Dim, esc(r.Prev)),
		field(visible.Lit("time"), n, clockFull(r.Time)),
		field(visible.Lit("by"), n, visible.Sprintf("%s   key %s   host %s", esc(r.Actor), esc(r.Key), esc(r.Host))),
		field(visible.Lit("authority"), n, visible.Sprintf("%s   purpose %s   location %s", esc(r.Authority), esc(r.Purpose), esc(r.Location))),
		field(visible.Lit("tool"), n, visible.Sprintf("%s %s   sha256 %s", r.Tool.Name, r.Tool.Version, digest(r.Tool.SHA256))),
		field(visible.Lit("command"), n, esc(strings.Join(r.Tool.Args, " "))),
	}
	if r.Corrects != nil {
		l = append(l, field(visible.Lit("corrects"), widget.Warn, visible.Sprintf("record %d", *r.Corrects)))
	}
	for _, k := range names(r.Data) {
		l = append(l, widget.Line{span(widget.Label, visible.Sprintf("%-11s ", k)), span(n, esc(masked(flat(r.Data[k]))))})
	}
	l = append(l, nil, widget.Plain(widget.Dim, visible.Lit("A record cannot be edited. A correction is a new record that names the old one.")))
	s.info.set(l)
	return nil
}

func (s *custodyScreen) panes(body uv.Rectangle, m mode) []pane {
	main, below := detail(body, m)
	t := title(visible.Lit("Ledger"), int64(len(s.records.val)), s.records.done && s.records.err == nil)
	if s.filter != "" {
		t = widget.Line{span(widget.Title, visible.Lit("Ledger")), span(widget.Dim, visible.Sprintf(" (%d of %d)", s.rows.Total().N, len(s.records.val)))}
	}
	list := pane{
		title: t, area: main, scopes: []scope{inList}, table: &s.rows, moved: s.describe,
		state: s.records.state(s.a, s.records.done && s.rows.Empty(), "No record matches.", "esc drops the filter"),
	}
	name := visible.Lit("record")
	if r, ok := rowOf[custody.Record](&s.rows); ok {
		name = visible.Sprintf("Record %d  %s", r.Seq, r.Type)
	}
	return []pane{list, {title: widget.Plain(widget.Title, name), area: below, scopes: []scope{inList}, doc: &s.info}}
}

func (s *custodyScreen) do(a action) (tea.Cmd, bool) {
	switch a {
	case actFilter:
		return filterPrompt(s.filter, s.setFilter), true
	case actRetry:
		s.records.done = false
		return s.enter(), true
	default:
		return nil, false
	}
}

func (s *custodyScreen) setFilter(f string) tea.Cmd {
	s.filter = f
	s.fill()
	return s.describe()
}

// filterPrompt opens the filter field on the status line; set runs as the
// examiner types.
func filterPrompt(now string, set func(s string) tea.Cmd) tea.Cmd {
	return func() tea.Msg {
		return goMsg{func(m *model) tea.Cmd {
			p := &prompt{label: visible.Lit("/ "), changed: set, done: set, undo: func() tea.Cmd { return set(now) }}
			p.field.Set(now)
			m.open(p)
			return nil
		}}
	}
}

// openPrompt opens a prompt.
func openPrompt(p *prompt) tea.Cmd {
	return func() tea.Msg { return goMsg{func(m *model) tea.Cmd { m.open(p); return nil }} }
}

func (s *custodyScreen) chips() []chip {
	if s.filter == "" {
		return nil
	}
	return []chip{{visible.Sprintf("text:%s", s.filter), func() tea.Cmd { return s.setFilter("") }}}
}

func (s *custodyScreen) pick() pick {
	if r, ok := rowOf[custody.Record](&s.rows); ok {
		return pick{copy: r.Hash, row: r, at: r.Time}
	}
	return pick{}
}

func (s *custodyScreen) status() widget.Line {
	n := len(s.records.val)
	if n == 0 {
		return nil
	}
	last := s.records.val[n-1]
	return widget.Line{span(widget.Normal, visible.Sprintf("head %s", digest(last.Hash))), span(widget.Dim, visible.Sprintf("last %s", clock(last.Time))), span(widget.Dim, visible.Lit("snapcase verify checks all"))}
}

func (s *custodyScreen) place() func() tea.Cmd { return nil }
