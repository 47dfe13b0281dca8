package tui

import (
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

// box is the frame of an overlay.
func box(m *model, c widget.Canvas, title visible.Text) widget.Canvas {
	return boxIn(c.Sub(layout(m.w, m.h).overlay), title)
}

// boxIn is box on a canvas of its own size.
func boxIn(o widget.Canvas, title visible.Text) widget.Canvas {
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
