package tui

import (
	tea "charm.land/bubbletea/v2"

	"snapcase/evidence/visible"
	"snapcase/tui/widget"
)

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
		if s.NotAcquired > 0 {
			lines = append(lines, widget.Line{span(widget.Warn, visible.Sprintf("! %s ", s.Exhibit)), span(widget.Normal,
				visible.Sprintf("%s of %s were not acquired: only what changed since %s was", size(s.NotAcquired), size(s.Bytes), esc(s.Since)))})
		}
		if !s.Indexed {
			lines = append(lines, widget.Line{span(widget.Warn, visible.Sprintf("! %s ", s.Exhibit)), span(widget.Normal, visible.Lit("is not indexed yet: snapcase index CASE"))})
		}
	}
	for _, g := range gaps {
		lines = append(lines, widget.Line{
			span(widget.Warn, visible.Sprintf("! %s ", g.Exhibit)), span(widget.Normal, visible.Sprintf("%s  ", g.Reason)),
			span(widget.Dim, visible.Sprintf("%s, offset %d", g.Place, g.Offset)),
		})
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
