package tui

import (
	"strings"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"

	"snapcase/evidence/visible"
	"snapcase/tui/widget"
)

// View draws the frame and asks for the modes of the terminal.
func (m *model) View() tea.View {
	v := tea.NewView(m.frame())
	v.AltScreen = true
	v.ReportFocus = true
	v.WindowTitle = "snapcase"
	v.Cursor = m.realCursor()
	if m.mouse {
		v.MouseMode = tea.MouseModeCellMotion
	}
	return v
}

// frame draws the whole screen as styled text.
func (m *model) frame() string {
	if m.w == 0 || m.h == 0 {
		return ""
	}
	if b := m.buf.Bounds(); b.Dx() != m.w || b.Dy() != m.h {
		m.buf = uv.NewScreenBuffer(m.w, m.h)
	}
	m.buf.Clear()
	c := widget.NewCanvas(m.buf, m.st)
	f := m.cut()
	if f.mode == tooSmall {
		c.Text(0, 0, m.w, widget.Warn, visible.Sprintf("terminal %d×%d, needs 60×15", m.w, m.h))
		c.Text(0, 1, m.w, widget.Dim, visible.Lit("q leaves"))
		return m.buf.Render()
	}
	s, panes, at := m.current()
	m.header(c.Sub(f.header), f.mode)
	m.crumbs(c.Sub(f.crumbs), s, f.mode)
	if f.nav.Dx() > 0 {
		m.nav(c.Sub(f.nav))
	}
	for i, p := range panes {
		if (s.focusOf().zoom || m.o.A11y) && i != at {
			continue
		}
		m.pane(c, p, i == at && m.top() == nil)
	}
	m.status(c.Sub(f.status), s, panes[at])
	m.hints(c.Sub(f.hints), panes[at])
	for _, o := range m.overlays {
		o.draw(m, c)
	}
	return m.buf.Render()
}

// realCursor stands on the row with the focus, for screen readers.
func (m *model) realCursor() *tea.Cursor {
	if !m.o.A11y || m.top() != nil || m.w == 0 || m.h == 0 {
		return nil
	}
	_, panes, at := m.current()
	if p := panes[at]; p.table != nil && p.state.kind == isReady {
		return tea.NewCursor(p.area.Min.X, p.area.Min.Y+1+p.table.CursorRow())
	}
	return nil
}

// badge says under which rule the evidence is open: always exactly one.
func (m *model) badge() visible.Text {
	switch {
	case m.c.Bundle():
		return visible.Lit("[BUNDLE READ-ONLY]")
	case m.readOnly:
		return visible.Lit("[READ-ONLY]")
	case m.response().running != nil, m.at == secRespond && m.response().act:
		return visible.Lit("[LIVE AWS]")
	}
	return visible.Lit("[EVIDENCE RO]")
}

func (m *model) header(c widget.Canvas, md mode) {
	w, _ := c.Size()
	c.Fill(widget.Quiet)
	at := w - 1
	right := func(r widget.Role, t visible.Text, gap int) {
		n := widget.Width(t)
		c.Text(at-n, 0, n, r, t)
		at -= n + gap
	}
	if !m.now.IsZero() {
		form := "2006-01-02 15:04:05Z"
		if md == small {
			form = "15:04:05Z"
		}
		right(widget.Normal, visible.Escape(m.now.UTC().Format(form)), 2)
	}
	if md != small {
		who := visible.Escape(m.file.Examiner)
		right(widget.Normal, visible.Part(who, clip(who.String(), 24)), 1)
		right(widget.Dim, visible.Lit("examiner"), 2)
	}
	right(widget.Badge, m.badge(), 2)
	x := 1 + c.Text(1, 0, at, widget.Title, visible.Lit("snapcase")) + 2
	x += c.Text(x, 0, at-x, widget.Info, visible.Escape(m.file.Title))
	if n := len(m.facts.stats.val); n > 0 && x+16 < at {
		c.Text(x, 0, at-x, widget.Dim, visible.Sprintf("  %d exhibits", n))
	}
	c.Tint(0, widget.Quiet)
	c.Text(at+2, 0, widget.Width(m.badge()), widget.Badge, m.badge())
}

// incomplete names the exhibits that are not sealed, above every screen.
func (m *model) incomplete() (l widget.Line) {
	for _, s := range m.facts.stats.val {
		if s.Incomplete != nil {
			l = append(l, span(widget.Warn, visible.Sprintf("! %s not complete, %d %%  ", s.Exhibit, acquired(s))))
		}
	}
	return l
}

// clip is the first n runes of s.
func clip(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

func (m *model) crumbs(c widget.Canvas, s screen, md mode) {
	w, _ := c.Size()
	parts := widget.Line{span(widget.Title, m.at.title())}
	for _, t := range s.crumbs() {
		parts = append(parts, span(widget.Dim, visible.Lit(" › ")), span(widget.Normal, t))
	}
	room := w - 2
	if md == small {
		c.Right(w-1, 0, 14, widget.Dim, visible.Lit("0: sections"))
		room -= 14
	}
	if part := m.incomplete(); len(part) > 0 {
		n := min(room-20, part.Width())
		c.At(1+room-n, 0, n, 1).Line(0, 0, n, part)
		room -= n + 1
	}
	x := 1 + c.Line(1, 0, room, parts)
	for _, ch := range s.chips() {
		x += 2
		x += c.Line(x, 0, room-x, widget.Line{span(widget.Chip, ch.label), span(widget.Dim, visible.Lit(" ✕"))})
	}
}

// navCount is what stands beside a section.
func (m *model) navCount(s section) visible.Text {
	f := m.facts
	switch s {
	case secRespond:
		return m.response().navCount()
	case secJobs:
		return m.acquisitions().navCount()
	default:
	}
	switch { // a count is not shown before it is known
	case s == secKeys && f.keys.err != nil, s == secFindings && f.findings.err != nil, s == secExhibits && f.stats.err != nil:
		return visible.Lit("!")
	case s == secKeys && !f.keys.done, s == secFindings && !f.findings.done, s != secKeys && s != secFindings && !f.stats.done:
		return widget.Blank
	}
	switch s {
	case secExhibits:
		return short(int64(len(m.facts.stats.val)))
	case secKeys:
		return short(int64(len(m.facts.keys.val)))
	case secFindings:
		return short(int64(len(m.facts.findings.val)))
	case secFiles, secEvents, secFlows:
		var files, events, flows int64
		for _, x := range m.facts.stats.val {
			switch x.Kind {
			case "cloudtrail":
				events += x.Distinct
			case "flowlog":
				flows += x.Records
			default:
				for _, v := range x.Volumes {
					files += v.Entries
				}
			}
		}
		return short(map[section]int64{secFiles: files, secEvents: events, secFlows: flows}[s])
	default:
		return widget.Blank
	}
}

func (m *model) nav(c widget.Canvas) {
	in := widget.Pane(c, widget.Line{span(widget.Label, visible.Lit("CASE"))}, false)
	w, h := in.Size()
	_, lower := m.facts.partial()
	for s := secOverview; s < sections; s++ {
		y := int(s)
		role := widget.Normal
		if s == m.at {
			in.Text(0, y, 1, widget.Focus, visible.Lit("▸"))
			role = widget.Focus
		} else if s < 9 {
			in.Text(0, y, 1, widget.Dim, visible.Sprintf("%d", y+1))
		}
		in.Text(2, y, 10, role, s.title())
		in.Right(w, y, 4, widget.Dim, m.navCount(s))
		if s == m.at {
			in.Tint(y, widget.Quiet)
		}
	}
	if lower && h > int(sections)+2 {
		in.Text(0, int(sections)+1, w, widget.Warn, visible.Lit("! partial (P)"))
	}
}

// pane draws a pane in its state.
func (m *model) pane(c widget.Canvas, p pane, focused bool) {
	outer := c.Sub(p.area)
	in := widget.Pane(outer, p.title, focused)
	w, h := in.Size()
	if len(p.footer) > 0 && p.state.kind == isReady && h > 2 {
		in.Line(1, h-1, w-2, p.footer)
		in = in.At(0, 0, w, h-1)
	}
	switch {
	case p.state.kind == isError:
		inner := in.At(2, 1, w-4, h-1)
		lines := failure(p.state.err)
		y := 0
		for _, l := range lines {
			for _, t := range widget.Wrap(l[0].Text, max(w-4, 1)) {
				inner.Text(0, y, w-4, l[0].Role, t)
				y++
			}
		}
		inner.Text(0, y+1, w-4, widget.Label, visible.Lit("r asks again"))
	case p.state.kind == isLoading:
		m.waiting(in, p)
	case p.state.kind == isEmpty:
		inner := in.At(2, 1, w-4, h-1)
		y := 0
		for i, s := range p.state.words {
			role := widget.Normal
			if i > 0 {
				role = widget.Dim
			}
			for _, t := range widget.Wrap(visible.Escape(s), max(w-4, 1)) {
				inner.Text(0, y, w-4, role, t)
				y++
			}
		}
	case p.table != nil:
		p.table.Draw(in, focused)
		if !m.o.A11y {
			p.table.DrawScroll(outer)
		}
	case p.doc != nil:
		top := max(0, min(p.doc.top, len(p.doc.lines)-h))
		in.At(1, 0, w-2, h).Lines(p.doc.lines[top:])
		widget.Scroll(outer, int64(top), int64(h), int64(len(p.doc.lines)))
	case p.draw != nil:
		p.draw(in, focused)
	}
}

// waiting is a pane whose first rows are under way: nothing for a moment, then
// a skeleton.
func (m *model) waiting(in widget.Canvas, p pane) {
	w, h := in.Size()
	if !p.state.slow {
		return
	}
	if p.table == nil || len(p.table.Cols) == 0 {
		in.Text(2, 1, w-4, widget.Gap, visible.Lit("░░░░░░░░░░░░░░░░  ░░░░░░░░░░"))
		in.Text(2, 2, w-4, widget.Gap, visible.Lit("░░░░░░░░░░  ░░░░░░░░░░░░░"))
	} else {
		x := 3
		for _, col := range p.table.Cols {
			n := min(max(col.Width-2, 1), 40)
			if x+n >= w {
				break
			}
			in.Text(x, 0, n+2, widget.Label, col.Title)
			for y := 1; y < min(4, h-2); y++ {
				in.Text(x, y, n, widget.Gap, visible.Escape(strings.Repeat("░", n)))
			}
			x += col.Width + 1
		}
	}
	in.Text(2, h-1, w-4, widget.Dim, visible.Lit("reading… esc stops, every other key works"))
}

// idle is the mark at the end of the status line when nothing is under way;
// busy the one when something is.
const (
	idle = "● idle"
	busy = "○ busy"
)

func (m *model) status(c widget.Canvas, s screen, p pane) {
	w, _ := c.Size()
	mark, role := visible.Lit(idle), widget.Dim
	if m.ask.pending > 0 {
		mark, role = visible.Lit(busy), widget.Info
	}
	c.Right(w-1, 0, 8, role, mark)
	room := w - 11
	if len(m.message) > 0 {
		c.Line(1, 0, room, m.message)
		return
	}
	var l widget.Line
	add := func(r widget.Role, t visible.Text) {
		if t.String() != "" {
			if len(l) > 0 {
				l = append(l, span(widget.Normal, visible.Lit("   ")))
			}
			l = append(l, span(r, t))
		}
	}
	if p.table != nil {
		add(widget.Normal, rowStatus(p.table))
		if n := p.table.Marks(); n > 0 {
			add(widget.Mark, visible.Sprintf("%d marked", n))
		}
	}
	for _, sp := range s.status() {
		add(sp.Role, sp.Text)
	}
	if _, lower := m.facts.partial(); lower {
		add(widget.Warn, visible.Lit("! partial: counts are lower bounds (P)"))
	}
	c.Line(1, 0, room, l)
}

// hints are the keys of the focused pane, from the key table.
func (m *model) hints(c widget.Canvas, p pane) {
	w, _ := c.Size()
	x := 1
	shown := 0
	for _, b := range m.hinted(p) {
		key, label := visible.Escape(b.show), visible.Escape(b.label)
		n := widget.Width(key) + 1 + widget.Width(label)
		if x+n > w-1 || shown == 10 {
			break
		}
		x += c.Text(x, 0, w-x, widget.KeyID, key)
		x += c.Text(x, 0, w-x, widget.Dim, visible.Lit(":"))
		x += c.Text(x, 0, w-x, widget.Dim, label) + 2
		shown++
	}
}

// hinted are the bindings of the hint line: help and commands, then what is
// special to this pane, then the rest.
func (m *model) hinted(p pane) []binding {
	var first, own, rest []binding
	for _, b := range m.keys.in(m.scopes(p)) {
		switch {
		case b.label == "":
		case b.act == actHelp || b.act == actPalette || b.act == actBack || b.act == actNextPane || b.act == actFilter:
			first = append(first, b)
		case b.in == everywhere:
			rest = append(rest, b)
		default:
			own = append(own, b)
		}
	}
	return append(append(first, own...), rest...)
}
