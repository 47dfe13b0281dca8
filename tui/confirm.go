package tui

import (
	tea "charm.land/bubbletea/v2"

	"snapcase/evidence/visible"
	"snapcase/tui/widget"
)

// confirm asks before something is done that cannot be one key. With want,
// the examiner types that word; anything else does nothing, and it says so.
type confirm struct {
	title visible.Text
	lines []widget.Line
	want  string
	ask   visible.Text // before the field, or what enter does where nothing is typed
	done  func() tea.Cmd

	field widget.Field
	wrong string
}

// openConfirm opens a confirmation.
func openConfirm(u *confirm) tea.Cmd {
	return func() tea.Msg { return goMsg{func(m *model) tea.Cmd { m.open(u); return nil }} }
}

func (u *confirm) press(_ *model, key, text string) (tea.Cmd, bool) {
	switch key {
	case "esc":
		return say(widget.Dim, visible.Lit("nothing was done")), true
	case "enter":
		if u.want != "" && u.field.String() != u.want {
			u.wrong = u.field.String()
			u.field.Set("")
			return nil, false
		}
		return u.done(), true
	}
	if u.want != "" && !u.field.Press(key) && text != "" {
		u.field.Insert(text)
	}
	return nil, false
}

// focus gives no field without a word to type: what is pasted goes nowhere.
func (u *confirm) focus() *widget.Field {
	if u.want == "" {
		return nil
	}
	return &u.field
}

func (u *confirm) typed() tea.Cmd { return nil }

func (u *confirm) draw(m *model, c widget.Canvas) {
	area := layout(m.w, m.h).overlay
	area.Max.Y = min(area.Max.Y, area.Min.Y+len(u.lines)+8)
	in := boxIn(c.Sub(area), u.title)
	w, h := in.Size()
	y := 1
	for _, l := range u.lines {
		if y >= h-5 {
			in.Text(2, y, w-4, widget.Dim, visible.Lit("…"))
			break
		}
		in.Line(2, y, w-4, l)
		y++
	}
	if u.wrong != "" {
		in.Text(2, h-4, w-4, widget.Bad, visible.Sprintf("✗ %s is not %s: nothing was done", u.wrong, u.want))
	}
	n := in.Text(2, h-3, w-4, widget.Warn, u.ask)
	foot := visible.Lit("esc does nothing")
	if u.want != "" {
		u.field.Draw(in, 3+n, h-3, w-n-5, true)
		foot = visible.Lit("the id in full, then enter   esc does nothing")
	}
	in.Text(2, h-1, w-4, widget.Dim, foot)
}
