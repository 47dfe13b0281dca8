package tui

import (
	"context"

	tea "charm.land/bubbletea/v2"

	"snapcase/evidence/visible"
	"snapcase/tui/widget"
)

// press takes a key: an overlay has it first, then a text field, then the key
// table.
func (m *model) press(msg tea.KeyPressMsg) tea.Cmd {
	key := msg.String()
	if key == "ctrl+c" {
		if m.abort {
			return tea.Quit
		}
		m.abort = true
		m.message = widget.Line{span(widget.Warn, visible.Lit("ctrl-c again leaves; q leaves as well"))}
		return nil
	}
	if m.abort {
		m.abort, m.message = false, nil
	}
	if o := m.top(); o != nil {
		cmd, done := o.press(m, key, msg.Text)
		if done {
			m.close(o)
		}
		return cmd
	}
	s, panes, at := m.current()
	p := panes[at]
	if p.field != nil && m.typed(p.field, key, msg.Text) {
		return nil
	}
	a := m.keys.find(key, m.scopes(p))
	if a == actSection {
		return m.show(section(key[0] - '1'))
	}
	return m.act(a, s, panes, at)
}

// typed gives a key to a text field: it owns all but enter, tab, esc and the
// arrows up and down.
func (m *model) typed(f *widget.Field, key, text string) bool {
	switch key {
	case "enter", "tab", "shift+tab", "esc", "up", "down":
		return false
	}
	if !f.Press(key) && text != "" {
		f.Insert(text)
	}
	return true
}

// motions of the key table as those of a table.
var motions = map[action]widget.Motion{
	actDown: widget.Down, actUp: widget.Up, actPageDown: widget.PageDown, actPageUp: widget.PageUp,
	actHalfDown: widget.HalfDown, actHalfUp: widget.HalfUp, actFirst: widget.First, actLast: widget.Last,
}

// act does an action: the shell's own, a motion, or the screen's.
func (m *model) act(a action, s screen, panes []pane, at int) tea.Cmd {
	if a == actNone {
		return nil
	}
	p := panes[at]
	cmd, ok := s.do(a)
	if ok {
		return cmd
	}
	if motion, ok := motions[a]; ok {
		return m.motion(a, motion, p)
	}
	switch a {
	case actHelp:
		m.open(newHelp(m.keys.in(m.scopes(p)), m.at))
	case actPalette:
		m.open(newPalette(m.keys.in(m.scopes(p))))
	case actMenu:
		m.open(&menu{at: m.at})
	case actBack:
		return m.back(s, p)
	case actBefore:
		return m.before()
	case actNextPane, actPrevPane:
		m.turn(s, len(panes), a == actNextPane)
	case actZoom:
		s.focusOf().zoom = !s.focusOf().zoom
	case actJobs:
		return m.show(secJobs)
	case actMissing:
		m.open(newMissing(m.facts))
	case actRetry:
		return tea.Batch(cmd, m.askFacts())
	case actMouse:
		m.mouse = !m.mouse
	case actRedraw:
		return tea.ClearScreen
	case actSuspend:
		return tea.Suspend
	case actQuit:
		if m.response().running != nil {
			return m.response().askLeave()
		}
		if m.acquisitions().own.runs() {
			return m.acquisitions().askLeave()
		}
		return tea.Quit
	default:
		return m.onPick(a, s, p)
	}
	return nil
}

func (m *model) turn(s screen, n int, forward bool) {
	f := s.focusOf()
	if forward {
		f.pane = (f.pane + 1) % n
	} else {
		f.pane = (f.pane + n - 1) % n
	}
}

func (m *model) motion(a action, motion widget.Motion, p pane) tea.Cmd {
	switch {
	case p.table != nil:
		return m.settled(p, p.table.Move(motion))
	case p.doc != nil:
		p.doc.move(a, max(p.area.Dy()-2, 1))
	}
	return nil
}

// settled asks for what the table of a pane wants after its cursor moved, and
// tells the screen.
func (m *model) settled(p pane, ws []widget.Want) tea.Cmd {
	var cmds []tea.Cmd
	if p.want != nil {
		cmds = append(cmds, p.want(ws))
	}
	if p.moved != nil {
		cmds = append(cmds, p.moved())
	}
	return tea.Batch(cmds...)
}

// back closes the innermost thing.
func (m *model) back(s screen, p pane) tea.Cmd {
	f := s.focusOf()
	switch chips := s.chips(); {
	case p.state.kind == isLoading && p.state.stop != nil:
		p.state.stop()
	case f.zoom:
		f.zoom = false
	case len(m.message) > 0:
		m.message = nil
	case len(chips) > 0:
		return chips[len(chips)-1].drop()
	case f.pane > 0:
		f.pane = 0
	case len(m.places) > 0:
		return m.before()
	}
	return nil
}

// onPick does what every section offers on the row under the cursor.
func (m *model) onPick(a action, s screen, p pane) tea.Cmd {
	k := s.pick()
	switch a {
	case actOpen:
		switch {
		case k.entity != "":
			return goTrace(k.entity)
		case k.address != "":
			return goBytes(k.address, 0)
		}
	case actTimeline:
		if k.at.Set {
			return goMoment(k.at, k.record)
		}
		return say(widget.Warn, visible.Lit("warn: this row has no time"))
	case actEvents:
		if k.events != nil {
			return goEvents(*k.events)
		}
	case actCopy:
		return m.copy(k.copy)
	case actCopyRow:
		if k.row != nil {
			return m.copy(masked(asJSON(k.row)))
		}
	case actDropAll:
		var cmds []tea.Cmd
		for chips := s.chips(); len(chips) > 0; chips = s.chips() {
			before := len(chips)
			cmds = append(cmds, chips[before-1].drop())
			if len(s.chips()) >= before {
				break
			}
		}
		return tea.Batch(cmds...)
	case actMark, actRange, actUnmark, actLeft, actRight:
		return m.mark(a, p)
	case actTag, actNote:
		return m.write(a, k)
	default:
	}
	return nil
}

func (m *model) mark(a action, p pane) tea.Cmd {
	if p.table == nil {
		return nil
	}
	switch a {
	case actMark:
		return m.settled(p, p.table.Mark())
	case actRange:
		p.table.MarkRange()
	case actUnmark:
		p.table.Unmark()
	case actLeft:
		p.table.Column(-1)
	case actRight:
		p.table.Column(1)
	default:
	}
	return nil
}

// quickTags are the words of the digits.
var quickTags = map[string]string{"1": "bad", "2": "suspicious", "3": "good"}

// write asks for a tag or a note and hands it to the case.
func (m *model) write(a action, k pick) tea.Cmd {
	records := k.marked
	if len(records) == 0 && k.record != "" {
		records = []string{k.record}
	}
	if len(records) == 0 || m.readOnly {
		return nil
	}
	if a == actNote {
		m.open(&prompt{label: visible.Lit("note: "), done: func(s string) tea.Cmd {
			return m.record(visible.Sprintf("note on %s", records[0]), s, func(ctx context.Context) error {
				_, err := m.c.Note(ctx, records[0], s)
				return err
			})
		}})
		return nil
	}
	m.open(&prompt{label: visible.Sprintf("tag %d rows (1 bad, 2 suspicious, 3 good, a word, -word): ", len(records)), done: func(s string) tea.Cmd {
		word, remove := s, false
		if len(word) > 1 && word[0] == '-' {
			word, remove = word[1:], true
		}
		if q := quickTags[word]; q != "" {
			word = q
		}
		return m.record(visible.Sprintf("tag %s on %d rows", word, len(records)), word, func(ctx context.Context) error {
			_, err := m.c.Tag(ctx, records, word, remove)
			return err
		})
	}})
	return nil
}

func (m *model) record(what visible.Text, typed string, f func(ctx context.Context) error) tea.Cmd {
	if typed == "" {
		return nil
	}
	return ask(m.ask, shell, "write", func(ctx context.Context) (visible.Text, error) {
		return what, f(context.WithoutCancel(ctx))
	})
}

// clipboardLimit is how much OSC 52 carries, bytes.
const clipboardLimit = 64 << 10

// copy sends text to the terminal's clipboard, escaped as it is shown.
func (m *model) copy(text string) tea.Cmd {
	if text == "" {
		return nil
	}
	safe := visible.Escape(text).String()
	if len(safe) > clipboardLimit {
		m.message = widget.Line{span(widget.Warn, visible.Sprintf("warn: %s bytes are more than the clipboard takes (64 KiB); use the verb", count(int64(len(safe)))))}
		return nil
	}
	m.message = widget.Line{span(widget.OK, visible.Sprintf("✓ copied %s", text))}
	return tea.SetClipboard(safe)
}

// paste gives pasted text to the focused field.
func (m *model) paste(text string) tea.Cmd {
	if o := m.top(); o != nil {
		if f := o.focus(); f != nil {
			f.Insert(text)
			return o.typed()
		}
		return nil
	}
	_, panes, at := m.current()
	if f := panes[at].field; f != nil {
		f.Insert(text)
		return nil
	}
	m.message = widget.Line{span(widget.Warn, visible.Lit("warn: nothing here takes pasted text"))}
	return nil
}

// mouseMsg takes a click or a turn of the wheel.
func (m *model) mouseMsg(msg tea.MouseMsg) tea.Cmd {
	if len(m.overlays) > 0 {
		return nil
	}
	at := msg.Mouse()
	f := m.cut()
	if f.mode == tooSmall {
		return nil
	}
	s, panes, focused := m.current()
	if _, click := msg.(tea.MouseClickMsg); click && f.nav.Dx() > 0 && at.X < f.nav.Max.X {
		if n := section(at.Y - f.nav.Min.Y - 1); n >= 0 && n < sections {
			return m.show(n)
		}
		return nil
	}
	for i, p := range panes {
		zoomed := s.focusOf().zoom || m.o.A11y
		if zoomed && i != focused || at.X < p.area.Min.X || at.X >= p.area.Max.X || at.Y < p.area.Min.Y || at.Y >= p.area.Max.Y {
			continue
		}
		return m.mouseIn(msg, s, i, p, at.Y-p.area.Min.Y-1)
	}
	return nil
}

func (m *model) mouseIn(msg tea.MouseMsg, s screen, i int, p pane, y int) tea.Cmd {
	switch msg.(type) {
	case tea.MouseClickMsg:
		s.focusOf().pane = i
		if p.table == nil {
			return nil
		}
		return m.settled(p, p.table.Click(y))
	case tea.MouseWheelMsg:
		a, motion := actUp, widget.Up
		if msg.Mouse().Button == tea.MouseWheelDown {
			a, motion = actDown, widget.Down
		}
		return tea.Batch(m.motion(a, motion, p), m.motion(a, motion, p), m.motion(a, motion, p))
	}
	return nil
}
