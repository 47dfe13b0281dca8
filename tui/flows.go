package tui

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"

	"snapcase/evidence"
	"snapcase/evidence/visible"
	"snapcase/imaging"
	"snapcase/store"
	"snapcase/tui/widget"
)

type flowSource interface {
	FlowPage(ctx context.Context, q store.FlowQuery, r store.PageRequest) (store.Page[evidence.Flow], error)
	FlowPeers(ctx context.Context, q store.FlowQuery) ([]evidence.FlowPeer, error)
	ICMP(ctx context.Context) ([]evidence.ICMPPair, error)
	Histogram(ctx context.Context, q store.TimelineQuery, n int) (store.Histogram, error)
}

// The tabs of the section.
const (
	tabFlows = iota
	tabTalkers
	tabEcho
	flowTabs
)

// flowScreen is the flow records, who talked to whom, and the echo traffic of
// the captures.
type flowScreen struct {
	focus
	a       *asker
	c       flowSource
	q       store.FlowQuery
	tab     int
	asked   bool
	list    paged[evidence.Flow]
	peers   loaded[[]evidence.FlowPeer]
	icmp    loaded[[]evidence.ICMPPair]
	hist    loaded[store.Histogram]
	talkers widget.Table
	echo    widget.Table
	info    doc
	width   int
}

func newFlows(a *asker, c flowSource) *flowScreen {
	s := &flowScreen{a: a, c: c}
	s.list.a, s.list.to, s.list.name, s.list.row = a, secFlows, "flows.list", flowRow
	s.peers.slot, s.icmp.slot, s.hist.slot = "flows.peers", "flows.icmp", "flows.hist"
	num := func(t visible.Text, w, drop int) widget.Column {
		return widget.Column{Title: t, Width: w, Right: true, Drop: drop}
	}
	s.list.Cell = true
	s.list.Cols = []widget.Column{
		{Title: visible.Lit("WINDOW START (UTC)"), Width: 20},
		num(visible.Lit("+s"), 4, 2),
		{Title: visible.Lit("SOURCE"), Width: 15},
		num(visible.Lit("PORT"), 5, 4),
		{Title: visible.Lit("DESTINATION"), Width: 15},
		num(visible.Lit("PORT"), 5, 0),
		{Title: visible.Lit("PROTO"), Width: 5},
		num(visible.Lit("PACKETS"), 9, 3), num(visible.Lit("BYTES"), 8, 1),
		{Title: visible.Lit("INTERFACE"), Width: 21, Drop: 5},
		{Title: visible.Lit("ACTION"), Width: 7},
	}
	s.talkers.Cols = []widget.Column{
		{Title: visible.Lit("PEER"), Width: 15},
		{Title: visible.Lit("PROTO"), Width: 6},
		num(visible.Lit("RECORDS"), 8, 3), num(visible.Lit("OUT"), 9, 0), num(visible.Lit("IN"), 9, 0),
		num(visible.Lit("REJECTED"), 8, 4),
		{Title: visible.Lit("FIRST (UTC)"), Width: 20, Drop: 1},
		{Title: visible.Lit("LAST (UTC)"), Width: 20, Drop: 5},
		{Title: visible.Lit("PORTS, LISTS"), Width: 12},
	}
	s.echo.Cols = icmpColumns()
	return s
}

// number is a value that the record may not have.
func number(n *int64, f func(int64) visible.Text) visible.Text {
	if n == nil {
		return none
	}
	return f(*n)
}

func flowRow(f evidence.Flow) widget.Row {
	action, role := escPtr(f.Action), widget.OK
	if f.Action != nil && *f.Action == "REJECT" {
		role = widget.Bad
	}
	if f.Status != nil && *f.Status != "OK" {
		action, role = esc(*f.Status), widget.Warn
	}
	if f.Copy {
		action, role = visible.Lit("copy"), widget.Dim
	}
	seconds := none
	if f.Start.Set && f.End.Set {
		seconds = visible.Sprintf("%d", f.End.Sec-f.Start.Sec)
	}
	plain := func(n int64) visible.Text { return visible.Sprintf("%d", n) }
	return widget.Row{Cells: []widget.Cell{
		{Text: clock(f.Start)},
		{Role: widget.Dim, Text: seconds},
		{Text: escPtr(f.Src)},
		{Role: widget.Dim, Text: number(f.SrcPort, plain)},
		{Text: escPtr(f.Dst)},
		{Text: number(f.DstPort, plain)},
		{Text: escPtr(f.Protocol)},
		{Text: number(f.Packets, count)},
		{Text: number(f.Bytes, size)},
		{Role: widget.Dim, Text: escPtr(f.Interface)},
		{Role: role, Text: action},
	}}
}

func (s *flowScreen) enter() tea.Cmd {
	if !s.asked {
		return s.ask(s.q)
	}
	return s.need()
}

// ask shows the flow records that q selects.
func (s *flowScreen) ask(q store.FlowQuery) tea.Cmd {
	s.q, s.asked = q, true
	s.peers.done, s.hist.done = false, false
	port := "any"
	if q.Port != nil {
		port = strconv.FormatInt(*q.Port, 10)
	}
	id := q
	id.Port = nil
	return tea.Batch(s.list.query(fmt.Sprintf("%+v %s", id, port), fetchOf(s.c.FlowPage, q), nil), s.need())
}

// need asks for what the tab shows.
func (s *flowScreen) need() tea.Cmd {
	q := s.q
	var cmds []tea.Cmd
	if !s.hist.done {
		cmds = append(cmds, ask(s.a, secFlows, s.hist.slot, func(ctx context.Context) (store.Histogram, error) {
			return s.c.Histogram(ctx, store.TimelineQuery{Sources: []string{"flow", "packet"}, From: q.From, To: q.To}, histBuckets)
		}))
	}
	if s.tab == tabTalkers && !s.peers.done {
		cmds = append(cmds, ask(s.a, secFlows, s.peers.slot, func(ctx context.Context) ([]evidence.FlowPeer, error) { return s.c.FlowPeers(ctx, q) }))
	}
	if s.tab == tabEcho && !s.icmp.done {
		cmds = append(cmds, ask(s.a, secFlows, s.icmp.slot, s.c.ICMP))
	}
	return tea.Batch(cmds...)
}

func (s *flowScreen) take(m answer) tea.Cmd {
	switch {
	case s.hist.take(m):
	case s.peers.take(m):
		s.fillTalkers()
	case s.icmp.take(m):
		var rows []widget.Row
		for i, p := range s.icmp.val {
			rows = append(rows, icmpRow(i, p))
		}
		s.echo.SetRows(rows)
	default:
		cmd, _ := s.list.take(m)
		s.describe()
		return cmd
	}
	s.describe()
	return nil
}

func (s *flowScreen) fillTalkers() {
	var rows []widget.Row
	for i, p := range s.peers.val {
		var ports []string
		for _, n := range p.Ports {
			ports = append(ports, strconv.FormatInt(n, 10))
		}
		what, role := esc(strings.Join(ports, " ")), widget.Dim
		if len(p.Lists) > 0 {
			what, role = visible.Sprintf("▲ %s  %s", strings.Join(p.Lists, " "), what), widget.Bad
		}
		rejected := widget.Dim
		if p.Rejected > 0 {
			rejected = widget.Warn
		}
		rows = append(rows, row(i, p, pick{at: p.First, entity: p.Peer, copy: p.Peer, row: p, events: eventsOf(p.Peer)},
			widget.Cell{Role: widget.Link, Text: esc(p.Peer)}, widget.Cell{Text: esc(p.Protocol)}, widget.Cell{Text: count(p.Records)}, widget.Cell{Text: size(p.BytesOut)}, widget.Cell{Text: size(p.BytesIn)},
			widget.Cell{Role: rejected, Text: count(p.Rejected)}, widget.Cell{Text: clock(p.First)}, widget.Cell{Text: clock(p.Last)}, widget.Cell{Role: role, Text: what}))
	}
	s.talkers.SetRows(rows)
}

func (s *flowScreen) panes(body uv.Rectangle, m mode) []pane {
	hist := pane{
		scopes: []scope{inTimes},
		state:  s.hist.state(s.a, s.hist.done && len(s.hist.val.Buckets) == 0, "No flow record or packet has a time."),
		draw:   func(c widget.Canvas, focused bool) { drawHist(c, s.hist.val, -1, -1, -1, focused) },
	}
	list := pane{title: widget.Tabs(s.tab, visible.Lit("flows"), visible.Lit("talkers"), visible.Lit("ICMP")), moved: s.describe}
	switch s.tab {
	case tabFlows:
		list.table, list.want = &s.list.Table, s.list.want
		list.scopes = []scope{inList, inCells, inMarks, inTimes, withKeys}
		words := []string{"No flow record in this case yet.", "snapcase acquire CASE FOLDER --as flowlog"}
		if len(s.chips()) > 0 {
			words = []string{"No flow record matches.", "esc drops the last filter · E drops all"}
		}
		list.state = s.list.state(words...)
	case tabTalkers:
		list.table, list.scopes = &s.talkers, []scope{inList, withKeys}
		list.state = s.peers.state(s.a, s.peers.done && len(s.peers.val) == 0, "No traffic matches.")
	default:
		list.table, list.scopes = &s.echo, []scope{inList, withKeys}
		list.state = s.icmp.state(s.a, s.icmp.done && len(s.icmp.val) == 0, "No echo traffic in the captures.", "snapcase acquire CASE FILE.pcap --as pcap")
	}
	det := pane{title: widget.Plain(widget.Title, visible.Lit("detail")), scopes: []scope{inList}, doc: &s.info}
	if m == small {
		list.area, det.area = detail(body, m)
		s.fit(det.area.Dx() - 4)
		return []pane{list, det}
	}
	hist.area, body = widget.Stack(body, max(7, body.Dy()*22/100))
	hist.title = histTitle(s.hist.val, visible.Lit("Records over time (UTC)"), hist.area.Dx()-2)
	if m == wide {
		list.area, det.area = widget.Split(body, body.Dx()*60/100)
	} else {
		list.area, det.area = widget.Stack(body, body.Dy()*62/100)
	}
	s.fit(det.area.Dx() - 4)
	return []pane{list, det, hist}
}

// fit writes the detail again when its width changed.
func (s *flowScreen) fit(w int) {
	if w != s.width {
		s.width = w
		s.describe()
	}
}

func (s *flowScreen) do(a action) (tea.Cmd, bool) {
	switch a {
	case actNextTab, actPrevTab:
		step := 1
		if a == actPrevTab {
			step = flowTabs - 1
		}
		s.tab = (s.tab + step) % flowTabs
		s.describe()
		return s.need(), true
	case actFilter:
		return openPrompt(&prompt{label: visible.Lit("/ address, protocol, port, ACCEPT, REJECT, eni-…, i-…: "), done: s.filter}), true
	case actKeep:
		return s.keep(), true
	case actGoTime:
		return openPrompt(timePrompt(func(t imaging.Time) tea.Cmd {
			return s.list.want(s.list.GoTime(widget.Moment{Sec: t.Sec, Nsec: t.Nsec, Set: true}))
		})), true
	case actRangeFrom, actRangeTo:
		f, ok := s.list.value()
		if !ok || !f.Start.Set {
			return nil, true
		}
		q := s.q
		if a == actRangeFrom {
			q.From = f.Start
		} else {
			q.To = f.Start
		}
		return s.ask(q), true
	case actOpen:
		if f, ok := s.list.value(); ok && s.tab == tabFlows && s.pane == 0 {
			return goTrace(remote(f)), true
		}
		return nil, false
	case actRetry:
		s.icmp.done = false
		return tea.Batch(s.list.reload(), s.need()), false
	default:
		return nil, false
	}
}

// remote is the end of a flow that is not on a private network, or the
// destination.
func remote(f evidence.Flow) string {
	for _, p := range []*string{f.PktDst, f.PktSrc, f.Dst, f.Src} {
		if p == nil {
			continue
		}
		if a, err := netip.ParseAddr(*p); err == nil && !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast() {
			return *p
		}
	}
	if f.Dst != nil {
		return *f.Dst
	}
	return ""
}

// filter reads words: an address, a protocol, a port, an action, an interface
// or an instance.
func (s *flowScreen) filter(text string) tea.Cmd {
	q := store.FlowQuery{From: s.q.From, To: s.q.To}
	for _, w := range strings.Fields(text) {
		if _, err := netip.ParseAddr(w); err == nil {
			if q.IP == "" {
				q.IP = w
			} else {
				q.Peer = w
			}
			continue
		}
		switch n, err := strconv.ParseInt(w, 10, 64); {
		case err == nil:
			q.Port = &n
		case strings.EqualFold(w, "accept"), strings.EqualFold(w, "reject"):
			q.Action = strings.ToUpper(w)
		case strings.HasPrefix(w, "eni-"):
			q.Interface = w
		case strings.HasPrefix(w, "i-"):
			q.Instance = w
		default:
			q.Protocol = strings.ToLower(w)
		}
	}
	return s.ask(q)
}

func (s *flowScreen) keep() tea.Cmd {
	f, ok := s.list.value()
	if !ok {
		return nil
	}
	q := s.q
	set := func(to *string, v *string) {
		if v != nil {
			*to = *v
		}
	}
	switch s.list.At() {
	case 0:
		q.From, q.To = f.Start, f.Start
	case 2:
		set(&q.IP, f.Src)
	case 3:
		q.Port = f.SrcPort
	case 4:
		set(&q.Peer, f.Dst)
	case 5:
		q.Port = f.DstPort
	case 6:
		set(&q.Protocol, f.Protocol)
	case 9:
		set(&q.Interface, f.Interface)
	case 10:
		set(&q.Action, f.Action)
	default:
		return say(widget.Warn, visible.Lit("warn: this column cannot be kept"))
	}
	return s.ask(q)
}

func (s *flowScreen) chips() []chip {
	var out []chip
	add := func(name, v string, drop func(q *store.FlowQuery)) {
		if v != "" {
			out = append(out, chip{visible.Sprintf("%s=%s", name, v), func() tea.Cmd { q := s.q; drop(&q); return s.ask(q) }})
		}
	}
	add("ip", s.q.IP, func(q *store.FlowQuery) { q.IP = "" })
	add("peer", s.q.Peer, func(q *store.FlowQuery) { q.Peer = "" })
	add("interface", s.q.Interface, func(q *store.FlowQuery) { q.Interface = "" })
	add("instance", s.q.Instance, func(q *store.FlowQuery) { q.Instance = "" })
	add("protocol", s.q.Protocol, func(q *store.FlowQuery) { q.Protocol = "" })
	add("action", s.q.Action, func(q *store.FlowQuery) { q.Action = "" })
	if s.q.Port != nil {
		add("port", strconv.FormatInt(*s.q.Port, 10), func(q *store.FlowQuery) { q.Port = nil })
	}
	add("from", s.q.From.String(), func(q *store.FlowQuery) { q.From = imaging.Time{} })
	add("to", s.q.To.String(), func(q *store.FlowQuery) { q.To = imaging.Time{} })
	return out
}

func (s *flowScreen) pick() pick {
	switch s.tab {
	case tabFlows:
		f, ok := s.list.value()
		if !ok {
			return pick{}
		}
		ip := remote(f)
		p := pick{at: f.Start, entity: ip, record: f.Record.String(), copy: ip, row: f, events: eventsOf(ip)}
		for _, r := range s.list.Marked() {
			if m, ok := r.Data.(evidence.Flow); ok {
				p.marked = append(p.marked, m.Record.String())
			}
		}
		return p
	case tabTalkers:
		p, _ := rowOf[pick](&s.talkers)
		return p
	}
	p, _ := rowOf[pick](&s.echo)
	return p
}

func (s *flowScreen) status() widget.Line {
	if s.list.err != nil {
		return widget.Line{span(widget.Bad, visible.Sprintf("error: %v", s.list.err))}
	}
	return nil
}

func (s *flowScreen) place() func() tea.Cmd {
	q, home, tab := s.q, s.list.Home(), s.tab
	return func() tea.Cmd {
		s.list.SetHome(home)
		s.tab = tab
		return s.ask(q)
	}
}
