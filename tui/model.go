package tui

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	uv "github.com/charmbracelet/ultraviolet"

	"snapcase/evidence"
	"snapcase/evidence/custody"
	"snapcase/evidence/visible"
	"snapcase/tui/widget"
)

// caseSource is what the screens together ask of a case; *store.Case has it.
type caseSource interface {
	factSource
	overviewSource
	custodySource
	fileSource
	eventSource
	traceSource
	flowSource
	timelineSource
	jobSource
	tagSource
	File() evidence.CaseFile
	ReadOnly() bool
	Bundle() bool
}

type tagSource interface {
	Tag(ctx context.Context, records []string, tag string, remove bool) ([]custody.Record, error)
	Note(ctx context.Context, record, text string) (custody.Record, error)
}

// model is the one tea.Model.
type model struct {
	c        caseSource
	o        Options
	file     evidence.CaseFile
	readOnly bool
	keys     keymap
	ask      *asker
	facts    *facts
	screens  [sections]screen
	now      time.Time

	w, h    int
	buf     uv.ScreenBuffer
	st      *widget.Styles
	profile colorprofile.Profile
	dark    bool
	mouse   bool
	focused bool // the terminal has the focus

	at       section
	places   []spot
	overlays []overlay
	message  widget.Line
	abort    bool // ctrl-c was pressed once
}

// spot is a place to come back to.
type spot struct {
	at      section
	restore func() tea.Cmd
}

type tickMsg time.Time

func newModel(ctx context.Context, c caseSource, o Options) *model {
	m := &model{
		c: c, o: o, file: c.File(), readOnly: c.ReadOnly() || c.Bundle(), ask: newAsker(ctx), facts: &facts{},
		dark: true, profile: colorprofile.TrueColor, focused: true, mouse: !o.A11y, buf: uv.NewScreenBuffer(0, 0),
	}
	if o.Color == "never" {
		m.profile = colorprofile.ASCII
	}
	m.keys = newKeymap(m.readOnly)
	m.restyle()
	m.facts.stats.slot, m.facts.keys.slot, m.facts.findings.slot = "stats", "keys", "findings"
	m.screens = [sections]screen{
		newOverview(m.ask, c, m.facts), newExhibits(m.ask, m.facts), newRespond(m.ask, c, o.Respond, m.readOnly), newCustody(m.ask, c),
		newFiles(m.ask, c, m.facts),
		newKeys(m.ask, c, m.facts), newEvents(m.ask, c, m.facts), newTrace(m.ask, c), newFlows(m.ask, c), newTimeline(m.ask, c),
		newFindings(m.ask, m.facts), newJobs(m.ask, c, m.facts, o, m.readOnly),
	}
	if !m.readOnly {
		m.response().index = o.Index
	}
	return m
}

// Init asks for the facts and for what the first section shows.
func (m *model) Init() tea.Cmd {
	return tea.Batch(tea.RequestBackgroundColor, m.tick(0), m.askFacts(), m.acquisitions().enter(), m.screens[m.at].enter())
}

func (m *model) askFacts() tea.Cmd {
	return tea.Batch(
		ask(m.ask, shell, "stats", m.c.Stats),
		ask(m.ask, shell, "keys", func(ctx context.Context) ([]evidence.Key, error) { return m.c.Keys(ctx, false) }),
		ask(m.ask, shell, "findings", m.c.Findings),
	)
}

// tick is the clock of the header; it stands still while nobody looks.
func (m *model) tick(after time.Duration) tea.Cmd {
	if m.o.Now == nil {
		return nil
	}
	now := m.o.Now
	return tea.Tick(after, func(time.Time) tea.Msg { return tickMsg(now()) })
}

func (m *model) restyle() { m.st = newStyles(m.profile, m.dark, m.o) }

// Update takes one message.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	cmd := m.update(msg)
	return m, tea.Batch(cmd, m.resize())
}

func (m *model) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.w, m.h = max(msg.Width, 0), max(msg.Height, 0)
	case tea.ColorProfileMsg:
		m.profile = msg.Profile
		m.restyle()
	case tea.BackgroundColorMsg:
		m.dark = msg.IsDark()
		m.restyle()
	case tickMsg:
		m.now = time.Time(msg)
		if m.focused {
			return m.tick(time.Second)
		}
	case tea.FocusMsg:
		if !m.focused {
			m.focused = true
			return m.tick(time.Second)
		}
	case tea.BlurMsg:
		m.focused = false
	case tea.KeyPressMsg:
		return m.press(msg)
	case tea.PasteMsg:
		return m.paste(msg.Content)
	case tea.MouseMsg:
		return m.mouseMsg(msg)
	case answer:
		return m.take(msg)
	case slowMsg:
		m.ask.late(msg)
	case goMsg:
		return msg.run(m)
	case sayMsg:
		m.message = widget.Line{span(msg.role, msg.text)}
	case copyMsg:
		return m.copy(msg.text)
	case fieldMsg:
		if o, ok := m.top().(*prompt); ok && o == msg.from && o.seq == msg.seq && o.changed != nil {
			return o.changed(o.field.String())
		}
	}
	return nil
}

// take gives an answer to whoever asked.
func (m *model) take(a answer) tea.Cmd {
	if !m.ask.accept(a) {
		return nil
	}
	if a.to != shell {
		return m.screens[a.to].take(a)
	}
	if a.slot == recordSlot {
		if u, ok := m.top().(*recordView); ok {
			u.raw.take(a)
		}
		return nil
	}
	if a.slot == "write" {
		return m.wrote(a)
	}
	if m.facts.stats.take(a) || m.facts.keys.take(a) || m.facts.findings.take(a) {
		for _, s := range m.screens {
			s.factsChanged()
		}
		return m.screens[m.at].enter()
	}
	return nil
}

func (m *model) wrote(a answer) tea.Cmd {
	what, _ := a.val.(visible.Text)
	if a.err != nil {
		m.message = widget.Line{span(widget.Bad, visible.Sprintf("error: %v", a.err))}
		return nil
	}
	m.message = widget.Line{span(widget.OK, visible.Sprintf("✓ %s, recorded in the ledger", what))}
	cmd, _ := m.screens[m.at].do(actRetry)
	return cmd
}

// show goes to a section and keeps the place before.
func (m *model) show(to section) tea.Cmd {
	m.places = append(m.places, spot{m.at, m.screens[m.at].place()})
	if len(m.places) > 50 {
		m.places = m.places[1:]
	}
	m.at = to
	m.message = nil
	m.overlays = nil
	return m.screens[to].enter()
}

// before goes back to the place before.
func (m *model) before() tea.Cmd {
	if len(m.places) == 0 {
		return say(widget.Dim, visible.Lit("there is no place before this one"))
	}
	p := m.places[len(m.places)-1]
	m.places = m.places[:len(m.places)-1]
	m.at = p.at
	m.message = nil
	var cmd tea.Cmd
	if p.restore != nil {
		cmd = p.restore()
	}
	return tea.Batch(cmd, m.screens[m.at].enter())
}

// response is the section that can change an account.
func (m *model) response() *respondScreen { return m.screens[secRespond].(*respondScreen) }

// acquisitions is the section that acquires.
func (m *model) acquisitions() *jobScreen { return m.screens[secJobs].(*jobScreen) }

// halt ends what is under way after the program left, and waits for it.
func (m *model) halt() {
	if r := m.response().running; r != nil {
		r.wait()
	}
	if o := m.acquisitions().own; o != nil {
		o.run.wait()
	}
}

// cut is the layout; with A11y there is no navigation beside the pane.
func (m *model) cut() frame {
	f := layout(m.w, m.h)
	if m.o.A11y {
		f.body = f.body.Union(f.nav)
		f.nav = uv.Rectangle{}
	}
	return f
}

// current is the section that shows, its panes and the one with the focus.
func (m *model) current() (s screen, panes []pane, at int) {
	f := m.cut()
	s = m.screens[m.at]
	fo := s.focusOf()
	if f.mode == tooSmall {
		f = layout(80, 24) // keys work all the same
	}
	panes = s.panes(f.body, f.mode)
	fo.pane = max(0, min(fo.pane, len(panes)-1))
	if fo.zoom || m.o.A11y {
		panes[fo.pane].area = f.body
	}
	return s, panes, fo.pane
}

// resize tells the tables how much of them shows.
func (m *model) resize() tea.Cmd {
	if m.w == 0 || m.h == 0 {
		return nil
	}
	_, panes, _ := m.current()
	var cmds []tea.Cmd
	for _, p := range panes {
		if p.table == nil {
			continue
		}
		foot := 0
		if len(p.footer) > 0 {
			foot = 1
		}
		ws := p.table.SetSize(max(p.area.Dx()-2, 0), max(p.area.Dy()-2-foot, 0))
		if p.want != nil && len(ws) > 0 {
			cmds = append(cmds, p.want(ws))
		}
	}
	return tea.Batch(cmds...)
}

// scopes are those of the focused pane.
func (m *model) scopes(p pane) []scope {
	return append([]scope{everywhere}, p.scopes...)
}
