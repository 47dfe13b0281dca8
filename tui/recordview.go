package tui

import (
	"context"

	tea "charm.land/bubbletea/v2"

	"snapcase/evidence"
	"snapcase/evidence/visible"
	"snapcase/tui/widget"
)

// recordView shows one record of a log in its own words, secrets masked.
type recordView struct {
	record evidence.Record
	raw    loaded[[]byte]
	top    int
}

const recordSlot = "record"

// showRecord opens a record over the screen.
func showRecord(r evidence.Record) tea.Cmd {
	return func() tea.Msg {
		return goMsg{func(m *model) tea.Cmd {
			m.open(&recordView{record: r, raw: loaded[[]byte]{slot: recordSlot}})
			return ask(m.ask, shell, recordSlot, func(ctx context.Context) ([]byte, error) { return m.c.Raw(ctx, r) })
		}}
	}
}

func (u *recordView) press(m *model, key, _ string) (tea.Cmd, bool) {
	a := m.keys.find(key, []scope{inList})
	if _, ok := motions[a]; ok {
		d := doc{lines: u.lines(m), top: u.top}
		d.move(a, m.boxRows())
		u.top = d.top
		return nil, false
	}
	if a == actCopy {
		return m.copy(u.record.String()), false
	}
	return nil, key == "esc" || key == "enter" || key == "q"
}

func (u *recordView) focus() *widget.Field { return nil }
func (u *recordView) typed() tea.Cmd       { return nil }

// boxRows is how many lines an overlay shows.
func (m *model) boxRows() int { return max(layout(m.w, m.h).overlay.Dy()-4, 1) }

func (u *recordView) lines(m *model) []widget.Line {
	switch {
	case u.raw.err != nil:
		return failure(u.raw.err)
	case !u.raw.done:
		return []widget.Line{widget.Plain(widget.Dim, visible.Lit("reading…"))}
	}
	return jsonLines(u.raw.val, max(layout(m.w, m.h).overlay.Dx()-4, 20))
}

func (u *recordView) draw(m *model, c widget.Canvas) {
	in := box(m, c, visible.Escape(u.record.String()))
	w, h := in.Size()
	lines := u.lines(m)
	in.At(1, 0, w-2, h-1).Lines(lines[min(u.top, len(lines)):])
	in.Text(1, h-1, w-2, widget.Dim, visible.Lit("j k scroll   y copy the record's name   esc close   secrets are masked"))
}
