package tui

import (
	"sort"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"snapcase/evidence/visible"
	"snapcase/imaging"
	"snapcase/tui/widget"
)

// overlay lies over the screen and has the keys.
type overlay interface {
	press(m *model, key, text string) (cmd tea.Cmd, done bool)
	focus() *widget.Field
	typed() tea.Cmd // the field changed
	draw(m *model, c widget.Canvas)
}

func (m *model) top() overlay {
	if len(m.overlays) == 0 {
		return nil
	}
	return m.overlays[len(m.overlays)-1]
}

func (m *model) open(o overlay) {
	if p, ok := o.(*prompt); ok {
		p.after = m.ask.after
	}
	m.overlays = append(m.overlays, o)
}

func (m *model) close(o overlay) {
	for i, p := range m.overlays {
		if p == o {
			m.overlays = append(m.overlays[:i:i], m.overlays[i+1:]...)
			return
		}
	}
}

// prompt is a field on the status line.
type prompt struct {
	label   visible.Text
	field   widget.Field
	changed func(s string) tea.Cmd // as the examiner types, after a moment
	done    func(s string) tea.Cmd // enter
	undo    func() tea.Cmd         // esc
	seq     int
	after   func(d time.Duration, m tea.Msg) tea.Cmd
}

// fieldMsg says that nobody typed for a moment.
type fieldMsg struct {
	from *prompt
	seq  int
}

// pause is how long typing rests before a filter runs.
const pause = 120 * time.Millisecond

func (p *prompt) press(_ *model, key, text string) (tea.Cmd, bool) {
	switch key {
	case "esc":
		if p.undo != nil {
			return p.undo(), true
		}
		return nil, true
	case "enter":
		if p.done == nil {
			return nil, true
		}
		return p.done(p.field.String()), true
	}
	if !p.field.Press(key) && text != "" {
		p.field.Insert(text)
	}
	return p.typed(), false
}

func (p *prompt) focus() *widget.Field { return &p.field }

func (p *prompt) typed() tea.Cmd {
	p.seq++
	if p.changed == nil {
		return nil
	}
	return p.after(pause, fieldMsg{p, p.seq})
}

func (p *prompt) draw(m *model, c widget.Canvas) {
	f := layout(m.w, m.h)
	line := c.Sub(f.status)
	line.Fill(widget.Quiet)
	n := line.Text(1, 0, f.w-12, widget.Label, p.label)
	p.field.Draw(line, 1+n, 0, f.w-n-2, true)
}

// help lists the keys that work here.
type help struct {
	all   []binding
	at    section
	field widget.Field
	top   int
}

func newHelp(all []binding, at section) *help { return &help{all: all, at: at} }

func (h *help) press(_ *model, key, text string) (tea.Cmd, bool) {
	switch key {
	case "esc", "enter":
		return nil, true
	case "?":
		if h.field.String() == "" {
			return nil, true
		}
	case "down":
		h.top++
		return nil, false
	case "up":
		h.top = max(h.top-1, 0)
		return nil, false
	case "pgdown":
		h.top += 10
		return nil, false
	case "pgup":
		h.top = max(h.top-10, 0)
		return nil, false
	}
	if !h.field.Press(key) && text != "" {
		h.field.Insert(text)
	}
	h.top = 0
	return nil, false
}

func (h *help) focus() *widget.Field { return &h.field }
func (h *help) typed() tea.Cmd       { return nil }

func (h *help) draw(m *model, c widget.Canvas) {
	in := box(m, c, visible.Sprintf("? keys: %s", h.at.title()))
	w, height := in.Size()
	n := in.Text(1, 0, w, widget.Label, visible.Lit("search "))
	h.field.Draw(in, 1+n, 0, w-n-2, true)
	var rows []binding
	for _, b := range h.all {
		if fuzzy(h.field.String(), b.show+" "+b.help+" "+b.name) {
			rows = append(rows, b)
		}
	}
	room := max(height-4, 1)
	top := max(0, min(h.top, len(rows)-room))
	for y, b := range rows[top:min(len(rows), top+room)] {
		in.Text(1, y+2, 11, widget.KeyID, visible.Escape(b.show))
		role := widget.Normal
		if b.writes {
			role = widget.Warn
		}
		in.Text(13, y+2, w-14, role, visible.Escape(b.help))
	}
	foot := visible.Sprintf("%d keys   ↑ ↓ scroll   esc close   as a verb: snapcase %s CASE", len(rows), h.at.verb())
	if m.readOnly {
		foot = visible.Join("", foot, visible.Lit("   read-only: nothing here writes"))
	}
	in.Text(1, height-1, w-2, widget.Dim, foot)
}

// box is the frame of an overlay.
func box(m *model, c widget.Canvas, title visible.Text) widget.Canvas {
	f := layout(m.w, m.h)
	o := c.Sub(f.overlay)
	o.Fill(widget.Normal)
	return widget.Pane(o, widget.Line{span(widget.Title, title)}, true)
}

// fuzzy says whether the letters of want stand in s in this order.
func fuzzy(want, s string) bool {
	s = strings.ToLower(s)
	for _, r := range strings.ToLower(want) {
		i := strings.IndexRune(s, r)
		if i < 0 {
			return false
		}
		s = s[i+len(string(r)):]
	}
	return true
}

// menu is all sections with a letter each.
type menu struct{ at section }

func (u *menu) press(m *model, key, _ string) (tea.Cmd, bool) {
	switch key {
	case "esc", "0", "q":
		return nil, true
	case "down", "j":
		u.at = (u.at + 1) % sections
		return nil, false
	case "up":
		u.at = (u.at + sections - 1) % sections
		return nil, false
	case "enter":
		return m.show(u.at), true
	}
	for s := secOverview; s < sections; s++ {
		if key == s.letter() {
			return m.show(s), true
		}
	}
	if len(key) == 1 && key[0] >= '1' && key[0] <= '9' {
		return m.show(section(key[0] - '1')), true
	}
	return nil, false
}

func (u *menu) focus() *widget.Field { return nil }
func (u *menu) typed() tea.Cmd       { return nil }

func (u *menu) draw(m *model, c widget.Canvas) {
	in := box(m, c, visible.Lit("sections"))
	w, _ := in.Size()
	for s := secOverview; s < sections; s++ {
		y := int(s) + 1
		role := widget.Normal
		if s == u.at {
			role = widget.Focus
			in.Text(1, y, 1, role, visible.Lit("▸"))
		}
		in.Text(3, y, 1, widget.KeyID, visible.Escape(s.letter()))
		if s < 9 {
			in.Text(5, y, 1, widget.KeyID, visible.Sprintf("%d", int(s)+1))
		}
		in.Text(8, y, 14, role, s.title())
		in.Text(22, y, 5, widget.Dim, m.navCount(s))
		in.Text(30, y, w-31, widget.Dim, visible.Sprintf("snapcase %s CASE", s.verb()))
		if s == u.at {
			in.Tint(y, widget.Selection)
		}
	}
}

// entry is one line of the palette.
type entry struct {
	name, keys, help string
	run              func(m *model, args string) tea.Cmd
}

// palette runs an action by its name.
type palette struct {
	field widget.Field
	all   []entry
	at    int
}

func newPalette(keys []binding) *palette {
	p := &palette{}
	for _, b := range keys {
		if b.name == "" {
			continue
		}
		p.all = append(p.all, entry{b.name, b.show, b.help, func(m *model, _ string) tea.Cmd {
			s, panes, at := m.current()
			return m.act(b.act, s, panes, at)
		}})
	}
	p.all = append(p.all,
		entry{"go-to-time", "@", "TIME: the timeline at this moment", func(_ *model, args string) tea.Cmd { return goTyped(args) }},
		entry{"trace", "0 " + secTrace.letter(), "ENTITY: access key, user, session, instance, address, snapshot", func(m *model, args string) tea.Cmd {
			if args == "" {
				return m.show(secTrace)
			}
			return goTrace(args)
		}},
		entry{"command", "", "the verb that says what this screen shows", func(m *model, _ string) tea.Cmd {
			return say(widget.Info, visible.Sprintf("snapcase %s CASE --json", m.at.verb()))
		}},
	)
	for s := secOverview; s < sections; s++ {
		p.all = append(p.all, entry{strings.ToLower(s.title().String()), "0 " + s.letter(), "go to the section", func(m *model, _ string) tea.Cmd { return m.show(s) }})
	}
	sort.SliceStable(p.all, func(i, j int) bool { return p.all[i].name < p.all[j].name })
	for i := 1; i < len(p.all); i++ { // two keys may have one name in different scopes
		if p.all[i].name == p.all[i-1].name {
			p.all = append(p.all[:i], p.all[i+1:]...)
			i--
		}
	}
	return p
}

// goTyped goes to a time that the examiner typed.
func goTyped(s string) tea.Cmd {
	t, err := parseTime(s)
	if err != nil {
		return say(widget.Warn, visible.Sprintf("warn: %v", err))
	}
	return tea.Sequence(goMoment(t), say(widget.Info, visible.Sprintf("understood as %s", clockFull(t))))
}

func (p *palette) matches() []entry {
	name, _, _ := strings.Cut(p.field.String(), " ")
	var first, rest []entry
	for _, e := range p.all {
		switch {
		case strings.HasPrefix(e.name, name):
			first = append(first, e)
		case fuzzy(name, e.name):
			rest = append(rest, e)
		}
	}
	return append(first, rest...)
}

func (p *palette) press(m *model, key, text string) (tea.Cmd, bool) {
	found := p.matches()
	switch key {
	case "esc":
		return nil, true
	case "down":
		p.at = min(p.at+1, max(len(found)-1, 0))
		return nil, false
	case "up":
		p.at = max(p.at-1, 0)
		return nil, false
	case "tab":
		if p.at < len(found) {
			p.field.Set(found[p.at].name + " ")
			p.at = 0
		}
		return nil, false
	case "enter":
		m.close(p)
		return p.run(m, found), true
	}
	if !p.field.Press(key) && text != "" {
		p.field.Insert(text)
	}
	p.at = 0
	return nil, false
}

func (p *palette) run(m *model, found []entry) tea.Cmd {
	typed := strings.TrimSpace(p.field.String())
	if n, err := strconv.ParseInt(typed, 10, 64); err == nil {
		return m.goRow(n)
	}
	if p.at >= len(found) || typed == "" && p.at == 0 {
		return nil
	}
	_, args, _ := strings.Cut(typed, " ")
	return found[p.at].run(m, strings.TrimSpace(args))
}

// goRow is :N.
func (m *model) goRow(n int64) tea.Cmd {
	_, panes, at := m.current()
	p := panes[at]
	if p.table == nil {
		return say(widget.Warn, visible.Lit("warn: this pane has no rows"))
	}
	var cmds []tea.Cmd
	ws := p.table.GoRow(n)
	if p.want != nil {
		cmds = append(cmds, p.want(ws))
	}
	if p.moved != nil {
		cmds = append(cmds, p.moved())
	}
	return tea.Batch(cmds...)
}

func (p *palette) focus() *widget.Field { return &p.field }
func (p *palette) typed() tea.Cmd       { p.at = 0; return nil }

func (p *palette) draw(m *model, c widget.Canvas) {
	in := box(m, c, visible.Lit(": commands"))
	w, h := in.Size()
	in.Text(1, 0, 1, widget.Focus, visible.Lit(":"))
	p.field.Draw(in, 2, 0, w-4, true)
	found := p.matches()
	room := max(h-4, 1)
	top := max(0, p.at-room+1)
	for y, e := range found[min(top, len(found)):min(len(found), top+room)] {
		in.Text(1, y+2, 22, widget.Normal, visible.Sprintf("  :%s", e.name))
		in.Text(24, y+2, 9, widget.KeyID, visible.Escape(e.keys))
		in.Text(34, y+2, w-35, widget.Dim, visible.Escape(e.help))
		if top+y == p.at {
			in.Text(1, y+2, 1, widget.Focus, visible.Lit("▸"))
			in.Tint(y+2, widget.Selection)
		}
	}
	in.Text(1, h-1, w-2, widget.Dim, visible.Sprintf("%d of %d   ↑ ↓ choose   enter run   tab complete   a number goes to that row", len(found), len(p.all)))
}

// missing lists the gaps.
type missing struct {
	doc doc
}

func newMissing(f *facts) *missing {
	gaps, lower := f.partial()
	var lines []widget.Line
	for _, s := range f.stats.val {
		if s.BadRecords > 0 || s.SkipData > 0 || s.NoData > 0 || s.ReadErrors > 0 {
			lines = append(lines, widget.Line{span(widget.Warn, visible.Sprintf("! %s ", s.Exhibit)), span(widget.Normal,
				visible.Sprintf("%d bad records, %d SKIPDATA, %d NODATA, %d read errors", s.BadRecords, s.SkipData, s.NoData, s.ReadErrors))})
		}
		if !s.Indexed {
			lines = append(lines, widget.Line{span(widget.Warn, visible.Sprintf("! %s ", s.Exhibit)), span(widget.Normal, visible.Lit("is not indexed yet: snapcase index CASE"))})
		}
	}
	for _, g := range gaps {
		lines = append(lines, widget.Line{span(widget.Warn, visible.Sprintf("! %s ", g.Exhibit)), span(widget.Normal, visible.Sprintf("%s  ", g.Reason)),
			span(widget.Dim, visible.Sprintf("%s, offset %d", g.Place, g.Offset))})
	}
	switch {
	case f.stats.err != nil:
		lines = failure(f.stats.err)
	case len(lines) == 0:
		lines = append(lines, widget.Plain(widget.OK, visible.Lit("✓ everything that was acquired could be read and decoded")))
	case lower:
		lines = append(lines, nil, widget.Plain(widget.Label, visible.Lit("Counts over these exhibits are lower bounds.")))
	}
	u := &missing{}
	u.doc.set(lines)
	return u
}

func (u *missing) press(m *model, key, _ string) (tea.Cmd, bool) {
	a := m.keys.find(key, []scope{inList})
	if _, ok := motions[a]; ok {
		u.doc.move(a, 20)
		return nil, false
	}
	return nil, key == "esc" || key == "P" || key == "enter" || key == "q"
}

func (u *missing) focus() *widget.Field { return nil }
func (u *missing) typed() tea.Cmd       { return nil }

func (u *missing) draw(m *model, c widget.Canvas) {
	in := box(m, c, visible.Lit("what is missing, and why"))
	w, h := in.Size()
	in.At(1, 1, w-2, h-2).Lines(u.doc.lines[min(u.doc.top, len(u.doc.lines)):])
}

// timePrompt asks for a moment.
func timePrompt(then func(t imaging.Time) tea.Cmd) *prompt {
	return &prompt{label: visible.Lit("go to time (UTC): "), done: func(s string) tea.Cmd {
		t, err := parseTime(s)
		if err != nil {
			return say(widget.Warn, visible.Sprintf("warn: %v", err))
		}
		return tea.Batch(then(t), say(widget.Info, visible.Sprintf("understood as %s", clockFull(t))))
	}}
}
