package tui

import (
	"context"
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"

	"snapcase/evidence"
	"snapcase/evidence/visible"
	"snapcase/store"
	"snapcase/tui/widget"
)

type traceSource interface {
	Trace(ctx context.Context, entity string) (evidence.Trace, error)
}

// traceScreen tells what one entity did and touched, over all exhibits.
type traceScreen struct {
	focus
	a       *asker
	c       traceSource
	entity  string
	trace   loaded[evidence.Trace]
	regions widget.Table
	calls   widget.Table
	chain   widget.Table
	tabs    [traceTabs]widget.Table
	tab     int
	mode    mode
}

// The tabs of a trace. In a small terminal the other panes are tabs as well.
const (
	tabCreated = iota
	tabInstances
	tabPeers
	tabICMP
	tabFound
	tabAddresses
	traceTabs
)

func newTrace(a *asker, c traceSource) *traceScreen {
	s := &traceScreen{a: a, c: c}
	s.trace.slot = "trace"
	num := func(t visible.Text, w, drop int) widget.Column {
		return widget.Column{Title: t, Width: w, Right: true, Drop: drop}
	}
	col := func(t visible.Text, w, drop int) widget.Column { return widget.Column{Title: t, Width: w, Drop: drop} }
	s.regions.Cols = []widget.Column{col(visible.Lit("REGION"), 14, 0), col(visible.Lit(""), 2, 0), num(visible.Lit("EVENTS"), 7, 0), num(visible.Lit("FAILED"), 6, 1), col(visible.Lit("FIRST (UTC)"), 20, 2), {Width: 12}}
	s.calls.Cols = []widget.Column{num(visible.Lit("OK"), 7, 0), num(visible.Lit("FAILED"), 6, 0), col(visible.Lit("CALL"), 16, 0)}
	s.chain.Cols = []widget.Column{col(visible.Lit("KEYS: WHO ISSUED WHAT"), 20, 0)}
	s.tabs[tabCreated].Cols = []widget.Column{col(visible.Lit("TIME (UTC)"), 20, 0), col(visible.Lit("REGION"), 14, 2), col(visible.Lit("TYPE"), 14, 1), col(visible.Lit("ID"), 16, 0)}
	s.tabs[tabInstances].Cols = []widget.Column{col(visible.Lit("INSTANCE"), 19, 0), col(visible.Lit("REGION"), 14, 1), col(visible.Lit("INTERFACES"), 21, 2), col(visible.Lit("ADDRESSES"), 16, 0)}
	s.tabs[tabPeers].Cols = []widget.Column{col(visible.Lit("PEER"), 15, 0), col(visible.Lit("PROTO"), 6, 0), num(visible.Lit("OUT"), 8, 0), num(visible.Lit("IN"), 8, 0), num(visible.Lit("PACKETS"), 9, 1), col(visible.Lit("FIRST (UTC)"), 20, 2), col(visible.Lit("LISTS"), 6, 0)}
	s.tabs[tabICMP].Cols = icmpColumns()
	s.tabs[tabFound].Cols = []widget.Column{
		{Title: visible.Lit("EXHIBIT"), Width: 7},
		{Title: visible.Lit("STATUS"), Width: 11},
		{Title: visible.Lit("OFFSET"), Width: 14, Right: true, Drop: 1},
		{Title: visible.Lit("SECRET"), Width: 6, Drop: 2},
		{Title: visible.Lit("WHERE"), Width: 16},
	}
	s.tabs[tabAddresses].Cols = []widget.Column{num(visible.Lit("EVENTS"), 7, 0), col(visible.Lit("FIRST (UTC)"), 20, 2), col(visible.Lit("LAST (UTC)"), 20, 1), col(visible.Lit("ADDRESS"), 16, 0)}
	return s
}

func (s *traceScreen) enter() tea.Cmd { return nil }

// of traces an entity.
func (s *traceScreen) of(entity string) tea.Cmd {
	if entity == s.entity && s.trace.done && s.trace.err == nil {
		return nil
	}
	s.entity, s.pane = entity, 0
	s.trace = loaded[evidence.Trace]{slot: s.trace.slot}
	return ask(s.a, secTrace, s.trace.slot, func(ctx context.Context) (evidence.Trace, error) { return s.c.Trace(ctx, entity) })
}

func (s *traceScreen) take(m answer) tea.Cmd {
	if s.trace.take(m) {
		s.fill()
	}
	return nil
}

func (s *traceScreen) fill() {
	t := s.trace.val
	var most int64 = 1
	for _, r := range t.Regions {
		most = max(most, r.Events)
	}
	var rows []widget.Row
	for i, r := range t.Regions {
		sign, role := widget.Blank, widget.Chart1
		if r.Unusual {
			sign, role = visible.Lit("▲"), widget.Bad
		}
		failed := widget.Dim
		if r.Failed > 0 {
			failed = widget.Warn
		}
		rows = append(rows, row(i, r, pick{at: r.First, copy: r.Region, row: r, events: s.inRegion(r.Region)},
			widget.Cell{Text: esc(r.Region)}, widget.Cell{Role: widget.Bad, Text: sign}, widget.Cell{Text: count(r.Events)}, widget.Cell{Role: failed, Text: count(r.Failed)},
			widget.Cell{Text: clock(r.First)}, widget.Cell{Role: role, Share: [2]int64{r.Events, most}}))
	}
	s.regions.SetRows(rows)
	rows = nil
	for i, c := range t.Calls {
		role := widget.Dim
		if c.Failed > 0 {
			role = widget.Bad
		}
		rows = append(rows, row(i, c, pick{copy: c.Name, row: c, events: s.named(c.Name)}, widget.Cell{Text: count(c.OK)}, widget.Cell{Role: role, Text: count(c.Failed)}, widget.Cell{Text: esc(c.Name)}))
	}
	s.calls.SetRows(rows)
	s.chain.SetRows(chainRows(t))
	s.fillTabs(t)
}

// row is a row whose Data is what the keys work on.
func row(i int, _ any, p pick, cells ...widget.Cell) widget.Row {
	return widget.Row{Key: widget.Key(fmt.Sprintf("%06d", i)), Data: p, Cells: cells}
}

// events is the question for the events of the entity, nil where there is none.
func (s *traceScreen) events() *store.EventQuery { return eventsOf(s.entity) }

func (s *traceScreen) inRegion(r string) *store.EventQuery {
	q := s.events()
	if q != nil {
		q.Region = r
	}
	return q
}

func (s *traceScreen) named(n string) *store.EventQuery {
	q := s.events()
	if q != nil {
		q.Name = n
	}
	return q
}

// chainRows draws the keys that led to the entity and those that it issued.
func chainRows(t evidence.Trace) []widget.Row {
	var rows []widget.Row
	add := func(depth int, k evidence.IssuedKey, id string, what visible.Text) {
		indent := visible.Escape(strings.Repeat("   ", max(min(depth-1, 8), 0)))
		stem := visible.Lit("└─ ")
		role := widget.KeyID
		if k.Permanent {
			role = widget.Bad
		}
		name := id
		if name == "" {
			name = k.Principal
		}
		p := pick{entity: name, copy: name, at: k.Time, row: k, events: eventsOf(name)}
		rows = append(rows, row(len(rows), k, p, widget.Cell{Role: role, Text: visible.Join("", indent, stem, visible.Sprintf("%s  ", name), what)}))
	}
	for i := len(t.IssuedBy) - 1; i >= 0; i-- {
		k := t.IssuedBy[i]
		add(1, k, k.KeyID, visible.Sprintf("%s at %s (up %d)", k.EventName, clock(k.Time), k.Depth))
	}
	rows = append(rows, row(len(rows), t.Entity, pick{entity: t.Entity.ID, copy: t.Entity.ID, at: t.First, events: eventsOf(t.Entity.ID)},
		widget.Cell{Role: widget.Focus, Text: visible.Sprintf("● %s", t.Entity.ID)}))
	for _, k := range t.Issued {
		lasting := widget.Blank
		if k.Permanent {
			lasting = visible.Lit("  ▲ persistent")
		}
		add(k.Depth+1, k, k.KeyID, visible.Sprintf("%s %s  %s events%s", k.EventName, clock(k.Time), count(k.Events), lasting))
	}
	return rows
}

func (s *traceScreen) fillTabs(t evidence.Trace) {
	var rows [traceTabs][]widget.Row
	for i, c := range t.Created {
		rows[tabCreated] = append(rows[tabCreated], row(i, c, pick{at: c.Time, entity: c.ID, copy: c.ID, record: c.Record.String(), row: c, events: &store.EventQuery{EventID: c.EventID}},
			widget.Cell{Text: clock(c.Time)}, widget.Cell{Text: esc(c.Region)}, widget.Cell{Text: esc(c.Type)}, widget.Cell{Role: widget.Link, Text: esc(c.ID)}))
	}
	for i, n := range t.Instances {
		rows[tabInstances] = append(rows[tabInstances], row(i, n, pick{entity: n.ID, copy: n.ID, row: n, events: eventsOf(n.ID)},
			widget.Cell{Role: widget.Link, Text: esc(n.ID)}, widget.Cell{Text: esc(n.Region)}, widget.Cell{Text: esc(strings.Join(n.Interfaces, " "))},
			widget.Cell{Text: esc(strings.Join(append(append([]string{}, n.PrivateIPs...), n.PublicIPs...), " "))}))
	}
	for i, p := range t.Peers {
		lists, role := widget.Blank, widget.Dim
		if len(p.Lists) > 0 {
			lists, role = visible.Sprintf("▲ %s", strings.Join(p.Lists, " ")), widget.Bad
		}
		out := size(p.BytesOut)
		if p.Lower {
			out = visible.Sprintf("%s+", out)
		}
		rows[tabPeers] = append(rows[tabPeers], row(i, p, pick{at: p.First, entity: p.IP, copy: p.IP, row: p, events: eventsOf(p.IP)},
			widget.Cell{Role: widget.Link, Text: esc(p.IP)}, widget.Cell{Text: esc(p.Protocol)}, widget.Cell{Text: out}, widget.Cell{Text: size(p.BytesIn)},
			widget.Cell{Text: count(p.Packets)}, widget.Cell{Text: clock(p.First)}, widget.Cell{Role: role, Text: lists}))
	}
	for i, p := range t.ICMP {
		rows[tabICMP] = append(rows[tabICMP], icmpRow(i, p))
	}
	for i, p := range t.FoundAt {
		r := placeRow(p)
		r.Key = widget.Key(fmt.Sprintf("%06d", i))
		rows[tabFound] = append(rows[tabFound], r)
	}
	for i, a := range t.Addresses {
		rows[tabAddresses] = append(rows[tabAddresses], row(i, a, pick{at: a.First, entity: a.IP, copy: a.IP, row: a, events: &store.EventQuery{IP: a.IP}},
			widget.Cell{Text: count(a.Events)}, widget.Cell{Text: clock(a.First)}, widget.Cell{Text: clock(a.Last)}, widget.Cell{Role: widget.Link, Text: esc(a.IP)}))
	}
	for i := range s.tabs {
		s.tabs[i].SetRows(rows[i])
	}
}

func icmpColumns() []widget.Column {
	num := func(t visible.Text, w, drop int) widget.Column {
		return widget.Column{Title: t, Width: w, Right: true, Drop: drop}
	}
	return []widget.Column{
		{Title: visible.Lit("LOCAL"), Width: 15, Drop: 4},
		{Title: visible.Lit("PEER"), Width: 15},
		num(visible.Lit("REQUESTS"), 8, 2), num(visible.Lit("REPLIES"), 8, 3),
		num(visible.Lit("PAYLOAD"), 8, 0), num(visible.Lit("BITS/BYTE"), 9, 1),
		{Title: visible.Lit("VERDICT"), Width: 10},
		{Title: visible.Lit("WHY"), Width: 10},
	}
}

func icmpRow(i int, p evidence.ICMPPair) widget.Row {
	role, sign := widget.OK, visible.Lit("✓")
	switch p.Verdict {
	case "tunnel":
		role, sign = widget.Bad, visible.Lit("▲")
	case "unusual":
		role, sign = widget.Warn, visible.Lit("!")
	}
	return row(i, p, pick{at: p.First, entity: p.Peer, copy: p.Peer, row: p, events: eventsOf(p.Peer)},
		widget.Cell{Text: esc(p.Local)}, widget.Cell{Role: widget.Link, Text: esc(p.Peer)}, widget.Cell{Text: count(p.Requests)}, widget.Cell{Text: count(p.Replies)},
		widget.Cell{Text: size(p.PayloadBytes)}, widget.Cell{Text: visible.Sprintf("%.2f", p.Entropy)}, widget.Cell{Role: role, Text: visible.Sprintf("%s %s", sign, p.Verdict)}, widget.Cell{Role: widget.Dim, Text: esc(strings.Join(p.Reasons, "; "))})
}

func (s *traceScreen) panes(body uv.Rectangle, m mode) []pane {
	s.mode = m
	t := s.trace.val
	state := s.trace.state(s.a, false)
	if s.entity == "" {
		state = paneState{kind: isEmpty, words: []string{"Nothing is traced yet.", "enter on a key, event, instance or address traces it; so does :trace ENTITY"}}
	}
	sc := []scope{inList, withKeys}
	head := append(title(visible.Lit("Regions"), int64(len(t.Regions)), s.trace.done), span(widget.Bad, visible.Lit("  ▲ nobody acted there before")))
	regions := pane{title: head, scopes: sc, table: &s.regions, state: state}
	calls := pane{title: title(visible.Lit("Calls"), int64(len(t.Calls)), s.trace.done), scopes: sc, table: &s.calls, state: state}
	chain := pane{title: title(visible.Lit("Keys it issued"), int64(len(t.Issued)), s.trace.done), scopes: sc, table: &s.chain, state: state}
	names := []visible.Text{visible.Lit("created"), visible.Lit("instances"), visible.Lit("peers"), visible.Lit("ICMP"), visible.Lit("found at"), visible.Lit("from")}
	if s.trace.done {
		names = []visible.Text{
			visible.Sprintf("created %d", len(t.Created)), visible.Sprintf("instances %d", len(t.Instances)), visible.Sprintf("peers %d", len(t.Peers)),
			visible.Sprintf("ICMP %d", len(t.ICMP)), visible.Sprintf("found at %d", len(t.FoundAt)), visible.Sprintf("from %d", len(t.Addresses)),
		}
	}
	tabs := pane{title: widget.Tabs(s.tab, names...), scopes: append(sc, inMarks), table: &s.tabs[s.tab], state: state}
	if state.kind == isReady && s.tabs[s.tab].Empty() {
		tabs.state = paneState{kind: isEmpty, words: []string{"Nothing of this kind in the evidence.", "[ ] other tabs"}}
	}
	switch m {
	case small:
		top, low := widget.Stack(body, body.Dy()/2)
		tabs.area = low
		regions.area, chain.area = widget.Split(top, top.Dx()/2)
		return []pane{regions, chain, tabs}
	default:
		rows := max(len(t.Regions), len(t.Calls), 5)
		top, low := widget.Stack(body, min(body.Dy()*45/100, rows+4))
		regions.area, calls.area = widget.Split(top, top.Dx()*60/100)
		tabs.area, chain.area = widget.Split(low, low.Dx()*52/100)
	}
	return []pane{regions, calls, tabs, chain}
}

// focused is the table with the keys.
func (s *traceScreen) focused() *widget.Table {
	order := []*widget.Table{&s.regions, &s.calls, &s.tabs[s.tab], &s.chain}
	if s.mode == small {
		order = []*widget.Table{&s.regions, &s.chain, &s.tabs[s.tab]}
	}
	return order[max(0, min(s.pane, len(order)-1))]
}

func (s *traceScreen) do(a action) (tea.Cmd, bool) {
	switch a {
	case actNextTab:
		s.tab = (s.tab + 1) % traceTabs
	case actPrevTab:
		s.tab = (s.tab + traceTabs - 1) % traceTabs
	case actRetry:
		s.trace.done = false
		return s.of(s.entity), true
	case actOpen:
		if p, ok := rowOf[evidence.Place](s.focused()); ok {
			return openPlace(p), true
		}
		if p := s.pick(); p.events != nil && (p.entity == "" || p.entity == s.entity) {
			return goEvents(*p.events), true
		}
		return nil, false
	default:
		return nil, false
	}
	return nil, true
}

func (s *traceScreen) crumbs() []visible.Text {
	if s.entity == "" {
		return nil
	}
	out := []visible.Text{visible.Escape(s.entity)}
	if t := s.trace.val; s.trace.done && s.trace.err == nil {
		out[0] = visible.Sprintf("%s %s", t.Entity.Type, t.Entity.ID)
	}
	return out
}

func (s *traceScreen) pick() pick {
	p, _ := rowOf[pick](s.focused())
	return p
}

func (s *traceScreen) status() widget.Line {
	t := s.trace.val
	if !s.trace.done || s.trace.err != nil {
		return nil
	}
	return widget.Line{span(widget.Normal, visible.Sprintf("%s events", count(t.Events))), span(widget.Dim, visible.Sprintf("%s – %s", clock(t.First), clock(t.Last)))}
}

func (s *traceScreen) place() func() tea.Cmd {
	entity, tab, at := s.entity, s.tab, s.pane
	return func() tea.Cmd {
		s.tab = tab
		if entity == "" {
			return nil
		}
		cmd := s.of(entity)
		s.pane = at
		return cmd
	}
}
