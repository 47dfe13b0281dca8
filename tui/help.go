package tui

import (
	"cmp"
	"slices"

	tea "charm.land/bubbletea/v2"

	"snapcase/evidence/visible"
	"snapcase/tui/widget"
)

// help lists the keys that work here.
type help struct {
	all   []binding
	at    section
	field widget.Field
	top   int
}

func newHelp(all []binding, at section) *help { return &help{all: ownFirst(all), at: at} }

// ownFirst puts what is special to the pane before what works everywhere.
func ownFirst(all []binding) []binding {
	out := slices.Clone(all)
	slices.SortStableFunc(out, func(a, b binding) int { return cmp.Compare(rank(a), rank(b)) })
	return out
}

func rank(b binding) int {
	if b.in == everywhere {
		return 1
	}
	return 0
}

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
