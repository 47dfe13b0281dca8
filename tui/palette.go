package tui

import (
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"snapcase/evidence"
	"snapcase/evidence/visible"
	"snapcase/tui/widget"
)

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
	seen := map[string]bool{"": true}
	for _, b := range ownFirst(keys) {
		if seen[b.name] {
			continue
		}
		seen[b.name] = true
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
		entry{"respond", "0 " + secRespond.letter(), "INSTANCE: preserve and contain it; without one, that of this row", func(m *model, args string) tea.Cmd {
			if args == "" {
				args = instanceOf(m.screens[m.at].pick())
			}
			if args == "" {
				return m.show(secRespond)
			}
			return goRespond(args)
		}},
		entry{"command", "", "the verb that says what this screen shows", func(m *model, _ string) tea.Cmd {
			if m.at == secRespond {
				return say(widget.Info, m.response().command())
			}
			return say(widget.Info, visible.Sprintf("snapcase %s CASE --json", m.at.verb()))
		}},
	)
	for s := secOverview; s < sections; s++ {
		if s == secTrace || s == secRespond {
			continue // :trace takes an entity, :respond an instance
		}
		p.all = append(p.all, entry{strings.ToLower(s.title().String()), "0 " + s.letter(), "go to the section", func(m *model, _ string) tea.Cmd { return m.show(s) }})
	}
	return p
}

// instanceOf is the instance that a row is about; "" for none.
func instanceOf(p pick) string {
	if strings.HasPrefix(p.entity, "i-") {
		return p.entity
	}
	if e, ok := p.row.(evidence.Event); ok {
		for _, r := range e.Resources {
			if strings.HasPrefix(r.Name, "i-") {
				return r.Name
			}
		}
	}
	return ""
}

// goTyped goes to a time that the examiner typed.
func goTyped(s string) tea.Cmd {
	t, err := parseTime(s)
	if err != nil {
		return say(widget.Warn, visible.Sprintf("warn: %v", err))
	}
	return tea.Sequence(goMoment(t, ""), say(widget.Info, visible.Sprintf("understood as %s", clockFull(t))))
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
	if n, err := strconv.ParseInt(typed, 0, 64); err == nil && n >= 0 {
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
	if f, ok := m.screens[m.at].(*fileScreen); ok && p.table == nil {
		return f.view.goOffset(strconv.FormatInt(n, 10))
	}
	if p.table == nil {
		return say(widget.Warn, visible.Lit("warn: this pane has no rows"))
	}
	return m.settled(p, p.table.GoRow(n))
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
