package tui

import (
	"context"
	"errors"
	"slices"

	tea "charm.land/bubbletea/v2"

	"snapcase/evidence"
	"snapcase/evidence/custody"
	"snapcase/evidence/respond"
	"snapcase/evidence/visible"
	"snapcase/tui/widget"
)

// respondScreen preserves and contains an instance: a plan of exact calls, run
// only after the id was typed, stopped and gone on with, and taken back. Where
// the case is read-only or nothing can reach AWS it shows what the ledger has
// of past responses.
type respondScreen struct {
	focus
	a    *asker
	c    custodySource
	open func(ctx context.Context, r RespondRequest) (Responder, error) // nil: nothing can be asked
	act  bool                                                           // plan, run and undo are offered
	// index indexes what a run acquired; nil leaves that to the verb.
	index func(ctx context.Context) error

	records  loaded[[]custody.Record]
	cases    widget.Table // instances that the ledger knows
	form     respondForm
	editing  bool
	instance string // that shows; "" for the list of them
	at       loaded[known]
	planned  loaded[known]

	running *running
	ended   error // of the last run or undo, with what it was
	did     string
	live    map[string]respond.Progress // last word on a step or a call while running
	now     respond.Progress
	leaving bool // the program ends with the run

	steps  widget.Table
	info   doc
	log    widget.Table
	lower  doc
	cmd    doc
	tab    respondTab
	filter string
	mode   mode
	size   [3]int // widths that the texts are broken for: detail, lower, command
	logAt  int    // number of the pane with the log
}

// respondTab is what the lower pane shows.
type respondTab uint8

const (
	tabLog respondTab = iota
	tabStays
	tabPermissions
	tabCommand
	respondTabs
)

// stepColumns are those of the plan; only a wide screen has the last.
var stepColumns = []widget.Column{
	{Title: visible.Lit(""), Width: 1},
	{Title: visible.Lit("WP"), Width: 2, Right: true},
	{Title: visible.Lit("STEP"), Width: 11},
	{Title: visible.Lit("CALLS"), Width: 5, Right: true},
	{Title: visible.Lit("WHAT"), Width: 10},
}

func newRespond(a *asker, c custodySource, open func(ctx context.Context, r RespondRequest) (Responder, error), readOnly bool) *respondScreen {
	s := &respondScreen{a: a, c: c, open: open, act: open != nil && !readOnly, live: map[string]respond.Progress{}, tab: tabStays}
	s.records.slot, s.at.slot, s.planned.slot = respondRecords, respondKnown, respondPlan
	s.cases.Cols = []widget.Column{
		{Title: visible.Lit("INSTANCE"), Width: 19},
		{Title: visible.Lit("BEGAN"), Width: 20, Drop: 1},
		{Title: visible.Lit("STATE"), Width: 7},
	}
	s.steps.Cols = stepColumns
	s.log.Cols = []widget.Column{
		{Title: visible.Lit("TIME"), Width: 9},
		{Title: visible.Lit(""), Width: 1},
		{Title: visible.Lit("REQUEST"), Width: 13, Drop: 1},
		{Title: visible.Lit("WHAT"), Width: 20},
	}
	return s
}

func (s *respondScreen) enter() tea.Cmd {
	if s.records.done {
		return nil
	}
	return s.askRecords()
}

// take takes an answer.
func (s *respondScreen) take(m answer) tea.Cmd {
	var cmd tea.Cmd
	switch m.slot {
	case respondRecords:
		cmd = s.tookRecords(m)
	case respondKnown:
		if s.at.take(m) && m.err == nil {
			s.adopt(s.at.val)
		}
	case respondPlan:
		s.planned.take(m)
		if m.err == nil {
			s.editing, s.pane, s.tab = false, 0, tabStays
			s.at.val, s.at.done, s.at.err = s.planned.val, true, nil
		}
	case respondFeed:
		cmd = s.heard(m)
	case respondTask:
		cmd = s.finish(m.err)
	case respondIndex:
		cmd = askFacts
		if m.err != nil && !errors.Is(m.err, evidence.ErrGaps) && !evidence.Canceled(m.err) {
			cmd = tea.Batch(cmd, say(widget.Bad, visible.Sprintf("error: index what was acquired: %v; snapcase index CASE does it", m.err)))
		}
	}
	s.refill()
	return cmd
}

// adopt takes the options of a plan that was begun into the form.
func (s *respondScreen) adopt(k known) {
	if k.options != nil {
		s.form.fill(*k.options, k.region)
	}
	if k.status != nil && (k.status.Begun != "" || k.status.Undone > 0) {
		s.tab = tabLog
	}
}

// tookRecords lists the instances of the ledger. The only one shows at once.
func (s *respondScreen) tookRecords(m answer) tea.Cmd {
	first := !s.records.done
	s.records.take(m)
	var rows []widget.Row
	for _, p := range pastResponses(s.records.val) {
		rows = append(rows, widget.Row{Key: widget.Key(p.instance), Data: p, Cells: []widget.Cell{
			{Text: esc(p.instance)}, {Role: widget.Dim, Text: clock(p.began)}, {Role: p.role, Text: p.state},
		}})
	}
	s.cases.SetRows(rows)
	if first && len(rows) == 1 && s.instance == "" && !s.editing {
		p, _ := rows[0].Data.(pastResponse)
		return s.openInstance(p.instance)
	}
	if first && s.act && s.instance == "" {
		s.form.stand(0)
		s.editing = true
		if len(rows) == 0 {
			s.pane = 1
		}
	}
	return nil
}

// openInstance shows what the case knows of an instance.
func (s *respondScreen) openInstance(instance string) tea.Cmd {
	s.a.cancel(respondPlan)
	s.instance, s.editing, s.pane = instance, false, 0
	s.at, s.planned = loaded[known]{slot: respondKnown}, loaded[known]{slot: respondPlan}
	s.form.fill(respond.Options{Instance: instance}, "")
	s.ended, s.did = nil, ""
	if s.open == nil {
		s.at.done, s.tab = true, tabLog
	}
	s.refill()
	return s.askKnown(instance)
}

// begin takes an instance from another section into the request.
func (s *respondScreen) begin(instance string) tea.Cmd {
	if s.running != nil {
		return say(widget.Warn, visible.Sprintf("warn: the response to %s is under way", s.instance))
	}
	for _, r := range s.cases.Cached() {
		if r.Key == widget.Key(instance) {
			return s.openInstance(instance)
		}
	}
	if !s.act {
		return say(widget.Warn, visible.Sprintf("warn: nothing can be done about %s here: the case is read-only", instance))
	}
	s.instance, s.at, s.planned = "", loaded[known]{slot: respondKnown}, loaded[known]{slot: respondPlan}
	s.form.fill(respond.Options{Instance: instance}, s.form.region)
	s.edit()
	s.refill()
	return nil
}

func (s *respondScreen) edit() {
	s.editing, s.pane = true, 1
	s.form.stand(0)
}

// heard takes what happened in a run.
func (s *respondScreen) heard(m answer) tea.Cmd {
	h, ok := m.val.(happened)
	if s.running == nil || !ok {
		return nil
	}
	outcome := false
	for _, p := range h.events {
		s.now = p
		if p.Call == "" || p.What == "waiting" {
			s.live[p.Step] = p
		} else {
			s.live[p.Call] = p
		}
		outcome = outcome || p.What != "calling" && p.What != "waiting"
	}
	var cmds []tea.Cmd
	if outcome {
		cmds = append(cmds, s.askRecords())
	}
	if !h.ended {
		cmds = append(cmds, s.listen())
	}
	return tea.Batch(cmds...)
}

// finish reads what the ledger has after a run or an undo.
func (s *respondScreen) finish(err error) tea.Cmd {
	s.did, s.ended = s.running.what, err
	s.running.cancel()
	s.running, s.live, s.now = nil, map[string]respond.Progress{}, respond.Progress{}
	if s.leaving {
		return tea.Quit
	}
	if s.did == "undo" && err == nil {
		s.planned = loaded[known]{slot: respondPlan}
	}
	s.tab = tabLog
	return tea.Batch(s.askRecords(), s.askKnown(s.instance), s.askIndex())
}

// doPlan plans what the form asks for.
func (s *respondScreen) doPlan() tea.Cmd {
	if s.running != nil {
		return say(widget.Warn, visible.Lit("warn: wait for the run, or stop it (X)"))
	}
	o := s.form.read()
	if o.Instance == "" {
		return say(widget.Warn, visible.Lit("warn: name the instance: i-…"))
	}
	s.instance, s.ended, s.did = o.Instance, nil, ""
	s.at, s.planned = loaded[known]{slot: respondKnown}, loaded[known]{slot: respondPlan}
	s.editing, s.pane = false, 1 // what is waited for: esc stops it
	s.refill()
	return s.askPlan(o)
}

// know is what is known of the instance that shows.
func (s *respondScreen) know() known { return s.at.val }

// plan is the plan that shows, nil where there is none.
func (s *respondScreen) plan() *respond.Plan { return s.at.val.plan }

func (s *respondScreen) do(a action) (tea.Cmd, bool) {
	if s.inForm() {
		return s.doForm(a)
	}
	switch a {
	case actOpen:
		return s.enterRow(), true
	case actEditRequest:
		if s.running != nil {
			return say(widget.Warn, visible.Lit("warn: wait for the run, or stop it (X)")), true
		}
		s.edit()
		return nil, true
	case actRun:
		return s.askRun(), true
	case actUndo:
		return s.askUndo(), true
	case actCancelRun:
		return s.askStop(), true
	case actNextTab, actPrevTab:
		s.turnTab(a == actNextTab)
		return nil, true
	case actFilter:
		return filterPrompt(s.filter, s.setFilter), true
	case actBack:
		return s.backOut()
	case actRetry:
		return s.again(), true
	default:
		return nil, false
	}
}

// backOut leaves the instance for the list of them, or for an empty request.
func (s *respondScreen) backOut() (tea.Cmd, bool) {
	loading := s.state().kind == isLoading && s.state().stop != nil
	if s.instance == "" || s.zoom || s.pane > 0 || s.running != nil || loading || s.filter != "" {
		return nil, false
	}
	if s.cases.Total().N < 2 && (!s.act || s.plan() == nil && s.at.err == nil && s.planned.err == nil) {
		return nil, false
	}
	s.instance, s.at, s.planned, s.ended, s.did = "", loaded[known]{slot: respondKnown}, loaded[known]{slot: respondPlan}, nil, ""
	if s.act {
		s.editing, s.pane = true, 0
	}
	s.refill()
	return nil, true
}

// again asks anew: for the plan where one was made, else for what is known.
func (s *respondScreen) again() tea.Cmd {
	switch {
	case s.running != nil:
		return s.askRecords()
	case s.instance == "":
		return s.askRecords()
	case s.planned.done && s.act:
		return tea.Batch(s.askRecords(), s.doPlan())
	}
	s.at = loaded[known]{slot: respondKnown}
	return tea.Batch(s.askRecords(), s.askKnown(s.instance))
}

func (s *respondScreen) enterRow() tea.Cmd {
	if s.instance == "" {
		if p, ok := rowOf[pastResponse](&s.cases); ok {
			return s.openInstance(p.instance)
		}
		return nil
	}
	if s.pane == 0 {
		s.pane = 1
	}
	return nil
}

func (s *respondScreen) doForm(a action) (tea.Cmd, bool) {
	switch a {
	case actSubmit:
		return s.doPlan(), true
	case actDown:
		s.form.move(1)
	case actUp:
		s.form.move(-1)
	case actToggle:
		s.form.toggle()
	case actBack:
		s.form.leave()
		if s.instance == "" && s.cases.Empty() {
			return nil, false
		}
		if s.instance == "" {
			s.pane = 0
			return nil, true
		}
		s.editing, s.pane = false, 0
	case actNextPane, actPrevPane:
		s.form.leave()
		return nil, false
	default:
		return nil, false
	}
	return nil, true
}

func (s *respondScreen) inForm() bool { return s.editing && s.pane == 1 }

// turnTab goes to the next tab that this layout has.
func (s *respondScreen) turnTab(forward bool) {
	tabs := s.tabs()
	i := max(0, slices.Index(tabs, s.tab))
	if forward {
		i++
	} else {
		i += len(tabs) - 1
	}
	s.tab = tabs[i%len(tabs)]
	s.rewrite()
}

func (s *respondScreen) setFilter(f string) tea.Cmd {
	s.filter = f
	if f != "" {
		s.tab = tabLog
	}
	s.refill()
	return nil
}

// state is that of the right side while there is no plan to show.
func (s *respondScreen) state() paneState {
	if w, _ := s.a.busy(respondPlan); w || s.planned.done && s.planned.err != nil {
		return s.planned.state(s.a, true)
	}
	if s.open == nil {
		return paneState{}
	}
	return s.at.state(s.a, false)
}

func (s *respondScreen) chips() []chip {
	if s.filter == "" {
		return nil
	}
	return []chip{{visible.Sprintf("log:%s", s.filter), func() tea.Cmd { return s.setFilter("") }}}
}

func (s *respondScreen) crumbs() []visible.Text {
	if s.instance == "" {
		return nil
	}
	if p := s.plan(); p != nil && p.Subject.Name != "" {
		return []visible.Text{visible.Sprintf("%s  %s", s.instance, p.Subject.Name)}
	}
	return []visible.Text{visible.Escape(s.instance)}
}

func (s *respondScreen) pick() pick {
	switch {
	case s.instance == "":
		if p, ok := rowOf[pastResponse](&s.cases); ok {
			return pick{copy: p.instance, at: p.began, entity: p.instance}
		}
	case s.pane > 1 && s.pane == s.logAt:
		if l, ok := rowOf[logLine](&s.log); ok {
			return pick{copy: l.record.Hash, row: l.record, at: l.record.Time}
		}
	default:
		if st, ok := rowOf[respond.Step](&s.steps); ok {
			return pick{copy: s.command().String(), row: st}
		}
	}
	return pick{}
}

func (s *respondScreen) place() func() tea.Cmd { return nil }

// partial says whether an error means that all was gone through and something
// could not be done.
func partial(err error) bool { return errors.Is(err, evidence.ErrGaps) }
