package tui

import (
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"

	"snapcase/evidence/respond"
	"snapcase/evidence/visible"
	"snapcase/tui/widget"
)

// parts gives the steps that show and how they stand: those of the plan, or
// what the ledger alone tells.
func (s *respondScreen) parts() ([]respond.Step, []respond.StepStatus) {
	k := s.know()
	if k.plan != nil {
		if k.status != nil {
			return k.plan.Steps, k.status.Steps
		}
		return k.plan.Steps, nil
	}
	return stepsOfLedger(s.records.val, s.instance)
}

func stepStatus(all []respond.StepStatus, id string) *respond.StepStatus {
	for i := range all {
		if all[i].ID == id {
			return &all[i]
		}
	}
	return nil
}

// refill writes the rows anew; cursors stay on their rows.
func (s *respondScreen) refill() {
	steps, states := s.parts()
	if s.instance == "" || s.state().kind != isReady {
		steps = nil
	}
	var rows []widget.Row
	for i := range steps {
		st := &steps[i]
		look := s.stepLook(st, stepStatus(states, st.ID))
		number, n := widget.Blank, 0
		if st.Whitepaper > 0 {
			number = visible.Sprintf("%d", st.Whitepaper)
		}
		for j := range st.Calls {
			if st.Calls[j].Mutates {
				n++
			}
		}
		calls := visible.Lit("–")
		if n > 0 {
			calls = visible.Sprintf("%d", n)
		}
		rows = append(rows, widget.Row{Key: widget.Key(st.ID), Data: *st, Cells: []widget.Cell{
			{Role: look.role, Text: look.sign}, {Role: widget.Dim, Text: number}, {Role: roleOfName(look), Text: esc(st.ID)}, {Role: widget.Dim, Text: calls}, {Role: widget.Dim, Text: visible.Escape(st.Title)},
		}})
	}
	s.steps.SetRows(rows)
	rows = nil
	for _, l := range logOf(s.records.val, s.instance) {
		if s.filter != "" && !strings.Contains(strings.ToLower(l.what.String()+" "+dataText(l.record, "request_id")), strings.ToLower(s.filter)) {
			continue
		}
		rows = append(rows, widget.Row{Key: widget.Key(l.record.Hash), Data: l, Cells: []widget.Cell{
			{Role: widget.Dim, Text: visible.Escape(l.record.Time.Std().Format("15:04:05Z"))}, {Role: l.role, Text: l.sign}, {Role: widget.Dim, Text: digest(dataText(l.record, "request_id"))}, {Text: visible.Escape(masked(l.what.String()))},
		}})
	}
	atEnd := s.log.Position() == int64(len(s.log.Cached()))
	s.log.SetRows(rows)
	if atEnd {
		s.log.Move(widget.Last)
	}
	s.rewrite()
}

// roleOfName lets a step that waits be plain, and one under way stand out.
func roleOfName(l stateLook) widget.Role {
	if l.role == widget.Info {
		return widget.Focus
	}
	return widget.Normal
}

// moved shows another step from its top.
func (s *respondScreen) moved() tea.Cmd {
	s.rewrite()
	s.info.top = 0
	return nil
}

// rewrite breaks the texts for the widths of their panes. What was scrolled
// stays where it is.
func (s *respondScreen) rewrite() {
	keep := func(d *doc, l []widget.Line) { d.lines, d.top = l, max(0, min(d.top, len(l)-1)) }
	steps, states := s.parts()
	keep(&s.info, s.detailLines(states, s.size[0]-4))
	switch s.shownTab() {
	case tabStays:
		var all []respond.Residual
		if k := s.know(); k.plan != nil {
			all = k.plan.Residual
		} else if k.status != nil {
			all = k.status.Residual
		}
		keep(&s.lower, staysLines(all, s.size[1]-4))
	case tabPermissions:
		keep(&s.lower, boardLines(steps, s.size[1]-4))
	case tabCommand:
		keep(&s.lower, s.commandLines(s.size[1]-4))
	case tabLog, respondTabs:
	}
	keep(&s.cmd, s.commandLines(s.size[2]-4))
}

// detailLines are those of the step under the cursor, below what is to be said
// about the response as a whole.
func (s *respondScreen) detailLines(states []respond.StepStatus, w int) []widget.Line {
	l := s.banner(w)
	if st, ok := rowOf[respond.Step](&s.steps); ok {
		if len(l) > 0 {
			l = append(l, nil)
		}
		l = append(l, s.stepLines(&st, stepStatus(states, st.ID), w)...)
	}
	return l
}

// banner says how the response as a whole ended.
func (s *respondScreen) banner(w int) []widget.Line {
	k := s.know()
	var l []widget.Line
	say := func(r widget.Role, sign, t visible.Text) {
		l = append(l, bullet(w, r, sign, widget.Normal, t)...)
	}
	switch {
	case s.ended == nil && s.did == "run":
		say(widget.OK, visible.Lit("✓"), visible.Lit("The run is done: every step held its proof. What stays open stands below."))
	case s.ended == nil:
	case partial(s.ended):
		say(widget.Warn, visible.Lit("!"), visible.Sprintf("The %s went through, and not all could be done: %v", s.did, s.ended))
	case stoppedByExaminer(s.ended):
		say(widget.Warn, visible.Lit("!"), visible.Sprintf("The %s was stopped between two calls. %s goes on where it stopped, and repeats nothing.", s.did, map[string]string{"run": "R", "undo": "U"}[s.did]))
	default:
		for _, f := range failure(s.ended) {
			r := f[0].Role
			for _, t := range widget.Wrap(f[0].Text, max(w, 8)) {
				l = append(l, widget.Plain(r, t))
			}
		}
		say(widget.Dim, visible.Lit("·"), visible.Lit("The ledger has all that was done. R goes on and repeats nothing."))
	}
	if s.undone() {
		say(widget.OK, visible.Lit("✓"), visible.Lit("Undone: what was changed is as it was before. Snapshots, shares, logs and exhibits are kept."))
		for _, t := range k.status.Left {
			say(widget.Warn, visible.Lit("!"), visible.Sprintf("left, since nobody named it: %s (snapcase respond undo --allow-role, --enable-key)", t))
		}
	}
	if k.anew {
		say(widget.Warn, visible.Lit("!"), visible.Lit("Some steps could not be done when this was planned. R plans anew before it goes on; what is done is not repeated."))
	}
	if k.status != nil && s.running == nil {
		for _, u := range k.status.Unsettled {
			say(widget.Warn, visible.Lit("?"), visible.Sprintf("%s had no answer: the next run asks AWS before it repeats anything", u))
		}
	}
	return l
}

// undone says whether the last thing done to the instance was to take all back.
func (s *respondScreen) undone() bool {
	k := s.know()
	return k.plan == nil && k.status != nil && k.status.Undone > 0 && k.status.Begun == ""
}

// command is the verb that says the same as the screen.
func (s *respondScreen) command() visible.Text {
	k, verb, o := s.know(), "plan", s.form.o
	switch {
	case !s.act:
		verb = "status"
	case s.running != nil && s.running.what == "undo":
		verb = "undo"
	case s.running != nil || k.begun && s.instance != "":
		verb = "run"
	case s.undone():
		verb = "status"
	}
	region := s.form.region
	if s.instance != "" && !s.editing {
		o.Instance = s.instance
		if k.plan != nil {
			o, region = k.plan.Options, k.plan.Region
		}
	}
	if o.Instance == "" {
		o.Instance = "i-…"
	}
	return respondLine(verb, o, region, s.form.profile)
}

func (s *respondScreen) commandLines(w int) []widget.Line {
	l := []widget.Line{widget.Plain(widget.Label, visible.Lit("As a command"))}
	for _, t := range widget.Wrap(s.command(), max(w, 8)) {
		l = append(l, widget.Plain(widget.Normal, t))
	}
	if !s.act {
		return l
	}
	l = append(l, nil, widget.Plain(widget.Label, visible.Lit("Every step")))
	for _, t := range []visible.Text{visible.Lit("shows its calls before"), visible.Lit("is a ledger record"), visible.Lit("resumes, never twice"), visible.Lit("is undone where it can be")} {
		l = append(l, widget.Line{span(widget.Dim, visible.Lit("· ")), span(widget.Dim, t)})
	}
	return l
}

// tabs are those that the layout has: wide screens have the log beside.
func (s *respondScreen) tabs() []respondTab {
	switch s.mode {
	case wide:
		return []respondTab{tabStays, tabPermissions}
	case medium:
		return []respondTab{tabLog, tabStays, tabPermissions}
	default:
		return []respondTab{tabLog, tabStays, tabPermissions, tabCommand}
	}
}

func (s *respondScreen) shownTab() respondTab {
	if t := s.tabs(); !slices.Contains(t, s.tab) {
		return t[0]
	}
	return s.tab
}

func (s *respondScreen) panes(body uv.Rectangle, m mode) []pane {
	s.mode, s.logAt, s.steps.Cols = m, 0, stepColumns
	if m != wide {
		s.steps.Cols = stepColumns[:4]
	}
	side := map[mode]int{small: 28, medium: 31, wide: 62}[m]
	left, right := widget.Split(body, side)
	if s.instance == "" {
		return s.choosing(left, right)
	}
	steps := pane{title: s.planTitle(), area: left, scopes: s.scopes(), table: &s.steps, moved: s.moved, footer: s.footer()}
	command := pane{title: widget.Plain(widget.Title, visible.Lit("Command")), scopes: s.scopes(), doc: &s.cmd}
	if m != small {
		steps.area, command.area = widget.Stack(left, max(min(int(s.steps.Total().N)+5, left.Dy()-9), 8))
	}
	var out []pane
	switch {
	case s.editing:
		out = []pane{steps, s.formPane(right)}
		s.fit(right, right, command.area)
	case s.state().kind != isReady:
		out = []pane{{title: steps.title, area: left, scopes: steps.scopes, doc: &s.cmd}, {title: s.stepTitle(), area: right, scopes: s.scopes(), state: s.state(), doc: &s.info}}
		s.fit(right, right, left)
		return out
	default:
		out = append([]pane{steps}, s.results(right, m, command.area)...)
	}
	if m != small {
		out = append(out, command)
	}
	return out
}

// scopes are those of every pane but the request: with nothing to act on, the
// keys that act are not there.
func (s *respondScreen) scopes() []scope {
	if !s.act {
		return []scope{inList}
	}
	return []scope{inList, inRespond}
}

// choosing is the list of instances beside the request.
func (s *respondScreen) choosing(left, right uv.Rectangle) []pane {
	words := []string{"No response in this case yet.", "Name an instance at the right. Planning changes nothing."}
	if !s.act {
		words[1] = "The case is read-only: nothing can be planned here."
		if s.open == nil {
			words[1] = "This program cannot reach AWS here: snapcase respond can."
		}
	}
	list := pane{
		title: title(visible.Lit("Responses"), s.cases.Total().N, s.records.done && s.records.err == nil), area: left, scopes: s.scopes(), table: &s.cases,
		state: s.records.state(s.a, s.records.done && s.cases.Empty(), words...),
	}
	s.fit(right, right, left)
	if !s.act {
		list.area = left.Union(right)
		return []pane{list}
	}
	return []pane{list, s.formPane(right)}
}

func (s *respondScreen) formPane(area uv.Rectangle) pane {
	t := widget.Line{span(widget.Title, visible.Lit("Request"))}
	return pane{title: t, area: area, scopes: []scope{inForm}, draw: s.form.draw, field: s.form.focused()}
}

// results are the step, and below it the log and what stays.
func (s *respondScreen) results(right uv.Rectangle, m mode, command uv.Rectangle) []pane {
	share := map[mode]int{small: 58, medium: 56, wide: 60}[m]
	top, bottom := widget.Stack(right, right.Dy()*share/100)
	var logArea uv.Rectangle
	lowerArea := bottom
	if m == wide {
		lowerArea, logArea = widget.Split(bottom, bottom.Dx()*46/100)
	}
	s.fit(top, lowerArea, command)
	both := s.scopes()
	log := pane{title: title(visible.Lit("Log"), s.log.Total().N, s.records.done), area: logArea, scopes: both, table: &s.log, state: s.records.state(s.a, s.log.Empty(), "Nothing was done yet.", "Each call stands here with its request id, as the ledger has it.")}
	lower := pane{title: s.tabTitle(), area: lowerArea, scopes: both, doc: &s.lower}
	out := []pane{{title: s.stepTitle(), area: top, scopes: both, doc: &s.info}}
	switch {
	case m == wide:
		s.logAt = 3
		return append(out, lower, log)
	case s.shownTab() == tabLog:
		s.logAt = 2
		log.title, log.area = lower.title, lowerArea
		return append(out, log)
	}
	return append(out, lower)
}

func (s *respondScreen) fit(info, lower, command uv.Rectangle) {
	if size := [3]int{info.Dx(), lower.Dx(), command.Dx()}; size != s.size {
		s.size = size
		s.rewrite()
	}
}

func (s *respondScreen) tabTitle() widget.Line {
	var all []visible.Text
	for _, t := range s.tabs() {
		all = append(all, [...]visible.Text{visible.Lit("log"), visible.Lit("stays open"), visible.Lit("permissions"), visible.Lit("command")}[t])
	}
	return widget.Tabs(slices.Index(s.tabs(), s.shownTab()), all...)
}

func (s *respondScreen) planTitle() widget.Line {
	t := widget.Line{span(widget.Title, visible.Lit("Plan"))}
	if s.undone() {
		return append(t, span(widget.Dim, visible.Lit(" (undone)")))
	}
	if p := s.plan(); p != nil {
		t = append(t, span(widget.Dim, visible.Sprintf(" (%s)", several(int64(p.Changes()), "change", "changes"))))
	}
	return t
}

func (s *respondScreen) stepTitle() widget.Line {
	st, ok := rowOf[respond.Step](&s.steps)
	if !ok {
		return widget.Plain(widget.Title, visible.Sprintf("Response to %s", s.instance))
	}
	t := visible.Sprintf("%s", st.Title)
	if st.Title == "" {
		t = visible.Escape(st.ID)
	}
	if st.Whitepaper > 0 {
		t = visible.Sprintf("(%d) %s", st.Whitepaper, t)
	}
	return widget.Plain(widget.Title, t)
}

// footer says under the steps what comes next.
func (s *respondScreen) footer() widget.Line {
	k := s.know()
	line := func(r widget.Role, t visible.Text) widget.Line { return widget.Plain(r, t) }
	done := k.status != nil && allDone(k.status)
	switch {
	case s.running != nil && s.running.isStopping():
		return line(widget.Warn, visible.Lit("stopping after this call"))
	case s.running != nil && s.running.what == "undo":
		return line(widget.Info, visible.Lit("▶ undoing   X stops"))
	case s.running != nil:
		return line(widget.Info, visible.Lit("▶ running   X stops"))
	case !s.act:
		return nil
	case s.undone():
		return line(widget.OK, visible.Lit("✓ undone    e plans anew"))
	case k.plan == nil:
		return nil
	case !k.begun:
		return line(widget.Dim, visible.Lit("plan only   R runs it"))
	case done:
		return line(widget.OK, visible.Lit("✓ done      U undoes it"))
	}
	return line(widget.Warn, visible.Lit("begun       R goes on"))
}

// allDone says whether every step of a begun plan ended well.
func allDone(st *respond.Status) bool {
	return len(st.Steps) > 0 && !slices.ContainsFunc(st.Steps, func(x respond.StepStatus) bool { return x.State != "ok" })
}

func (s *respondScreen) status() widget.Line {
	k := s.know()
	switch {
	case s.running != nil:
		return s.runningStatus()
	case s.instance == "" || s.state().kind != isReady || k.plan == nil:
		return nil
	}
	p := k.plan
	l := widget.Line{span(widget.Normal, visible.Sprintf("%s, %s", several(int64(p.Changes()), "change", "changes"), p.Order))}
	cannot, denied := 0, 0
	for i := range p.Steps {
		if p.Steps[i].Cannot != "" {
			cannot++
		}
		for _, c := range p.Steps[i].Calls {
			if c.Mutates && c.Allowed == "no" {
				denied++
			}
		}
	}
	if cannot > 0 {
		l = append(l, span(widget.Warn, visible.Sprintf("! %s cannot be done", several(int64(cannot), "step", "steps"))))
	}
	if denied > 0 {
		l = append(l, span(widget.Warn, visible.Sprintf("! %s not allowed", several(int64(denied), "call", "calls"))))
	}
	if !k.begun {
		return append(l, span(widget.Dim, visible.Lit("nothing has been changed")))
	}
	if n := len(k.status.Undo); n > 0 {
		l = append(l, span(widget.Dim, visible.Sprintf("%s to undo", several(int64(n), "change", "changes"))))
	}
	return l
}

func (s *respondScreen) runningStatus() widget.Line {
	p := s.now
	at := 0
	if plan := s.plan(); plan != nil {
		at = 1 + slices.IndexFunc(plan.Steps, func(st respond.Step) bool { return st.ID == p.Step })
		if at > 0 && s.running.what == "run" {
			l := widget.Line{span(widget.Info, visible.Sprintf("▶ step %d/%d %s", at, len(plan.Steps), p.Step))}
			return append(l, span(widget.Normal, progressText(p)))
		}
	}
	return widget.Line{span(widget.Info, visible.Sprintf("▶ %s under way", s.running.what)), span(widget.Normal, progressText(p))}
}

func progressText(p respond.Progress) visible.Text {
	switch {
	case p.What == "waiting" && p.Total > 0:
		return visible.Sprintf("waiting, %d %%: %s", 100*p.Done/p.Total, p.Call)
	case p.Call != "":
		return visible.Sprintf("%s %s", p.What, p.Call)
	}
	return visible.Escape(p.What)
}

// navCount is what stands beside the section: a run under way, or how many
// instances the ledger knows.
func (s *respondScreen) navCount() visible.Text {
	switch {
	case s.running != nil:
		return visible.Lit("▶")
	case s.records.err != nil:
		return visible.Lit("!")
	case !s.records.done || s.cases.Empty():
		return widget.Blank
	}
	return short(s.cases.Total().N)
}
