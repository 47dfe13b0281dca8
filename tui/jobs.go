package tui

import (
	"context"
	"errors"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"

	"snapcase/evidence"
	"snapcase/evidence/acquire"
	"snapcase/evidence/visible"
	"snapcase/tui/widget"
)

// jobSource is what the screen asks of a case.
type jobSource interface {
	Acquisitions(ctx context.Context) ([]acquire.Underway, error)
}

// jobScreen shows what is acquired: here, by another process, what was
// interrupted, and what is sealed. It begins acquisitions where that is allowed.
type jobScreen struct {
	focus
	a     *asker
	c     jobSource
	facts *facts
	begin func(ctx context.Context, r AcquireRequest) (evidence.Acquisition, error) // nil: nothing is begun here
	now   func() time.Time

	jobs    loaded[looked]
	looks   int
	past    map[string][]sample // by exhibit
	own     *ownJob             // of this program, the last one
	leaving bool                // the program ends with it

	rows widget.Table
	info doc
}

// looked is what a look at the acquisitions gave.
type looked struct {
	at     time.Time
	all    []acquire.Underway
	listed bool // the files of the own one are listed since the last look
}

// sample is how much was dealt with at a moment.
type sample struct {
	at   time.Time
	done int64
}

// job is one row.
type job struct {
	id, kind, source string
	state            jobState
	u                acquire.Underway // of an unfinished one
	bytes            int64
	sum              string
	err              error // of one that did not get so far as to have an exhibit
}

type jobState uint8

const (
	jobRunning jobState = iota
	jobInterrupted
	jobFailed
	jobSealed
)

func (s jobState) text() (widget.Role, visible.Text) {
	switch s {
	case jobRunning:
		return widget.Info, visible.Lit("○ running")
	case jobInterrupted:
		return widget.Warn, visible.Lit("! interrupted")
	case jobFailed:
		return widget.Bad, visible.Lit("✗ failed")
	case jobSealed:
	}
	return widget.OK, visible.Lit("✓ sealed")
}

func newJobs(a *asker, c jobSource, f *facts, o Options, readOnly bool) *jobScreen {
	s := &jobScreen{a: a, c: c, facts: f, now: o.Now, past: map[string][]sample{}}
	if !readOnly {
		s.begin = o.Acquire
	}
	if s.now == nil {
		s.now = func() time.Time { return time.Time{} }
	}
	s.jobs.slot = jobsLook
	s.rows.Cols = []widget.Column{
		{Title: visible.Lit("ID"), Width: 7},
		{Title: visible.Lit("STATE"), Width: 13},
		{Title: visible.Lit("DONE"), Width: 5, Right: true},
		{Title: visible.Lit("BYTES"), Width: 6, Right: true},
		{Title: visible.Lit("RATE"), Width: 8, Right: true},
		{Title: visible.Lit("LEFT"), Width: 8, Right: true},
		{Title: visible.Lit("KIND"), Width: 10, Drop: 1},
		{Title: visible.Lit("WHAT"), Width: 20},
	}
	return s
}

func (s *jobScreen) enter() tea.Cmd {
	if waits, _ := s.a.busy(jobsLook); waits {
		return nil
	}
	return s.look()
}

func (s *jobScreen) factsChanged() { s.refill() }

// take takes an answer.
func (s *jobScreen) take(m answer) tea.Cmd {
	var cmd tea.Cmd
	switch m.slot {
	case jobsLook:
		before := len(s.jobs.val.all)
		s.jobs.take(m)
		s.looks++
		s.remember()
		if l := s.jobs.val; m.err == nil && (l.listed || len(l.all) != before || s.looks%5 == 0 && s.unlisted()) {
			cmd = askFacts
		}
		if s.lively() {
			cmd = tea.Batch(cmd, s.a.after(time.Second, goMsg{func(*model) tea.Cmd { return s.enter() }}))
		}
	case jobsTask:
		cmd = s.finish(m)
	}
	s.refill()
	return cmd
}

// unlisted says whether the files of an image may be listed meanwhile, by another
// process.
func (s *jobScreen) unlisted() bool {
	for i := range s.jobs.val.all {
		if u := &s.jobs.val.all[i]; u.Running && u.Early && !s.shown(u.Exhibit) {
			return true
		}
	}
	return false
}

// askFacts asks for what the other sections show, since it may have changed.
func askFacts() tea.Msg { return goMsg{func(m *model) tea.Cmd { return m.askFacts() }} }

// lively says whether there is something to watch.
func (s *jobScreen) lively() bool {
	for i := range s.jobs.val.all {
		if s.jobs.val.all[i].Running {
			return true
		}
	}
	return s.own.runs()
}

// remember keeps how far each acquisition was, for two minutes.
func (s *jobScreen) remember() {
	const span = 2 * time.Minute
	l, kept := s.jobs.val, map[string][]sample{}
	for i := range l.all {
		u := &l.all[i]
		past := s.past[u.Exhibit]
		if n := len(past); n > 0 && past[n-1].done > work(u) {
			past = nil
		}
		for len(past) > 0 && l.at.Sub(past[0].at) > span {
			past = past[1:]
		}
		kept[u.Exhibit] = append(past, sample{l.at, work(u)})
	}
	s.past = kept
	for i := range s.facts.stats.val { // the header shows it too
		x := &s.facts.stats.val[i]
		for k := range l.all {
			if x.Incomplete != nil && l.all[k].Exhibit == x.Exhibit {
				x.Incomplete.Acquired = l.all[k].Done()
			}
		}
	}
}

// work is how many bytes took time: where the source says what it has, those of
// that; its zeros take none.
func work(u *acquire.Underway) int64 {
	if u.Wanted > 0 {
		return u.Data + u.Lost
	}
	return u.Done()
}

// rate is bytes a second of the last two minutes; 0 where it is not known.
func (s *jobScreen) rate(exhibit string) float64 {
	past := s.past[exhibit]
	if len(past) < 2 {
		return 0
	}
	first, last := past[0], past[len(past)-1]
	took := last.at.Sub(first.at).Seconds()
	if took <= 0 {
		return 0
	}
	return float64(last.done-first.done) / took
}

// list is what shows: what is unfinished, then what is sealed.
func (s *jobScreen) list() (all []job) {
	here := map[string]bool{}
	for _, u := range s.jobs.val.all {
		j := job{id: u.Exhibit, kind: string(u.Kind), source: u.Source, u: u, bytes: u.Done(), state: jobRunning}
		switch {
		case u.Running:
		case u.Error != "" && !strings.Contains(u.Error, context.Canceled.Error()):
			j.state = jobFailed
		default:
			j.state = jobInterrupted
		}
		here[u.Exhibit] = true
		all = append(all, j)
	}
	if o := s.own; o != nil && o.err != nil && o.exhibit == "" && !evidence.Canceled(o.err) {
		all = append(all, job{id: "–", source: o.source, state: jobFailed, err: o.err})
	}
	for i := range s.facts.stats.val {
		x := &s.facts.stats.val[i]
		if x.Incomplete == nil && !here[x.Exhibit] {
			all = append(all, job{id: x.Exhibit, kind: string(x.Kind), source: x.Source, state: jobSealed, bytes: x.Bytes, sum: x.SHA256.String()})
		}
	}
	return all
}

func (s *jobScreen) refill() {
	var rows []widget.Row
	for _, j := range s.list() {
		role, state := j.state.text()
		rows = append(rows, widget.Row{Key: widget.Key(j.id), Data: j, Cells: []widget.Cell{
			{Text: visible.Escape(j.id)},
			{Role: role, Text: state},
			{Text: s.share(&j)},
			{Text: size(j.bytes)},
			{Text: s.rateText(&j)},
			{Text: s.leftText(&j)},
			{Role: widget.Dim, Text: visible.Escape(j.kind)},
			{Text: esc(j.source)},
		}})
	}
	s.rows.SetRows(rows)
	s.describe()
}

func (s *jobScreen) share(j *job) visible.Text {
	switch {
	case j.state == jobSealed:
		return visible.Lit("100 %")
	case j.u.Size <= 0:
		return none
	}
	return visible.Sprintf("%d %%", min(99, j.bytes*100/j.u.Size)) // all of it is there when it is sealed
}

func (s *jobScreen) rateText(j *job) visible.Text {
	if r := s.rate(j.id); j.state == jobRunning && r > 0 {
		return visible.Sprintf("%s/s", size(int64(r)))
	}
	return none
}

// leftText is the time that is left at the rate of the last two minutes.
func (s *jobScreen) leftText(j *job) visible.Text {
	r := s.rate(j.id)
	if j.state != jobRunning || r <= 0 || j.u.Size <= 0 {
		return none
	}
	left := j.u.Size - work(&j.u)
	if j.u.Wanted > 0 {
		left = max(0, j.u.Wanted-work(&j.u))
	}
	return visible.Sprintf("%s", time.Duration(float64(left)/r*float64(time.Second)).Round(time.Second))
}

// describe writes the detail of the row under the cursor.
func (s *jobScreen) describe() tea.Cmd {
	j, ok := rowOf[job](&s.rows)
	if !ok {
		s.info.set(nil)
		return nil
	}
	n := widget.Normal
	l := []widget.Line{field(visible.Lit("source"), n, esc(j.source))}
	switch {
	case j.err != nil:
		l = append(l, failure(j.err)...)
		l = append(l, nil, widget.Plain(widget.Dim, visible.Lit("No exhibit was made. a begins again.")))
	case j.state == jobSealed:
		l = append(l, field(visible.Lit("bytes"), n, visible.Sprintf("%s (%s)", count(j.bytes), size(j.bytes))), field(visible.Lit("SHA-256"), n, visible.Escape(j.sum)),
			widget.Plain(widget.Dim, visible.Lit("Complete, hashed and sealed. enter shows the exhibit.")))
	default:
		l = append(l, s.unfinished(&j)...)
	}
	s.info.set(l)
	return nil
}

// unfinished describes an acquisition that has not come to its end.
func (s *jobScreen) unfinished(j *job) []widget.Line {
	n, u := widget.Normal, &j.u
	l := []widget.Line{widget.Plain(widget.Warn, visible.Lit("! not complete: no digest, not sealed"))}
	if u.Size > 0 {
		lost := n
		if u.Lost > 0 {
			lost = widget.Warn
		}
		l = append(l,
			field(visible.Lit("here"), n, visible.Sprintf("%s of %s: %s data, %s never written", size(u.Done()), size(u.Size), size(u.Data), size(u.Zeros))),
			field(visible.Lit("listed"), n, s.wanted(u)),
			field(visible.Lit("unreadable"), lost, size(u.Lost)),
			field(visible.Lit("to come"), n, visible.Sprintf("%s, %s left at %s", size(u.Size-u.Done()), s.leftText(j), s.rateText(j))))
	} else {
		l = append(l, field(visible.Lit("here"), n, visible.Sprintf("%s files, %s", count(u.Files), size(u.Data))))
	}
	switch {
	case s.shown(u.Exhibit):
		l = append(l, widget.Plain(widget.Info, visible.Lit("Its files can be read already: enter. What is shown of it is preliminary.")))
	case u.Early && u.Running:
		l = append(l, widget.Plain(widget.Info, visible.Lit("Its files are being listed; then they can be read, while the image follows.")))
	}
	l = append(l, field(visible.Lit("began"), n, visible.Sprintf("%s  %s", clock(u.Started), esc(u.Label))))
	if j.state == jobRunning {
		return l
	}
	if u.Error != "" {
		l = append(l, widget.Line{span(widget.Bad, visible.Lit("✗ ")), span(n, esc(u.Error))})
	}
	return append(l, widget.Plain(n, visible.Lit("It goes on with the same command, from where it was:")), widget.Plain(widget.KeyID, s.command(j)))
}

// wanted is how much data there is to be had, where the source says so.
func (s *jobScreen) wanted(u *acquire.Underway) visible.Text {
	switch {
	case u.Wanted <= 0:
		return visible.Lit("the source does not say what of it was ever written")
	case u.Block <= 0:
		return visible.Sprintf("%s that the source has", size(u.Wanted))
	}
	return visible.Sprintf("%s of %s blocks got, %s in all", count(u.Data/u.Block), count(u.Wanted/u.Block), size(u.Wanted))
}

// command is how an acquisition is begun, and gone on with, without this screen.
func (s *jobScreen) command(j *job) visible.Text {
	lazy := ""
	if j.u.Early {
		lazy = " --lazy"
	}
	return visible.Sprintf("snapcase acquire CASE %s%s", j.source, lazy)
}

func (s *jobScreen) panes(body uv.Rectangle, m mode) []pane {
	main, below := detail(body, m)
	if n := len(s.rows.Cached()); m != wide {
		main, below = widget.Stack(body, max(6, min(body.Dy()/2, n+4)))
		if n == 0 {
			main, below = widget.Stack(body, body.Dy()-4)
		}
	}
	words := []string{"Nothing was acquired yet, and nothing is being acquired."}
	if s.begin != nil {
		words = append(words, "a brings evidence in: a snapshot, a volume, a bucket, a device, a file")
	}
	words = append(words, "snapcase acquire CASE SOURCE…")
	list := pane{
		title: title(visible.Lit("Acquisitions"), int64(len(s.rows.Cached())), s.jobs.done), area: main, scopes: []scope{inList, inJobs}, table: &s.rows, moved: s.describe,
		state: s.jobs.state(s.a, s.jobs.done && len(s.rows.Cached()) == 0, words...),
	}
	name := visible.Lit("acquisition")
	if j, ok := rowOf[job](&s.rows); ok {
		name = visible.Sprintf("%s  %s", j.id, j.kind)
	}
	return []pane{list, {title: widget.Plain(widget.Title, name), area: below, scopes: []scope{inList, inJobs}, doc: &s.info}}
}

func (s *jobScreen) do(a action) (tea.Cmd, bool) {
	switch a {
	case actOpen:
		return s.enterRow(), true
	case actRetry:
		return tea.Batch(s.look(), askFacts), true
	case actAcquire:
		return s.askSource(), true
	case actStopAcquire:
		return s.askStop(), true
	default:
		return nil, false
	}
}

// enterRow shows the files of an exhibit, or the exhibit.
func (s *jobScreen) enterRow() tea.Cmd {
	j, ok := rowOf[job](&s.rows)
	switch {
	case !ok || j.err != nil:
		return nil
	case j.state == jobSealed:
		return goTo(secExhibits, func(t *exhibitScreen) tea.Cmd { return t.show(j.id) })
	case !s.shown(j.id):
		return say(widget.Warn, visible.Sprintf("warn: %s cannot be read before it is sealed, or its files are not listed yet", j.id))
	}
	return goTo(secFiles, func(t *fileScreen) tea.Cmd { return t.exhibit(j.id) })
}

// shown says whether the index has something of an exhibit.
func (s *jobScreen) shown(id string) bool {
	for i := range s.facts.stats.val {
		if s.facts.stats.val[i].Exhibit == id {
			return true
		}
	}
	return false
}

func (s *jobScreen) pick() pick {
	if j, ok := rowOf[job](&s.rows); ok {
		return pick{copy: j.source, row: struct{ Exhibit, Source, SHA256 string }{j.id, j.source, j.sum}}
	}
	return pick{}
}

func (s *jobScreen) status() widget.Line {
	if s.own.runs() {
		return widget.Line{span(widget.Info, visible.Sprintf("acquiring %s here: X pauses it", esc(s.own.source)))}
	}
	return nil
}

func (s *jobScreen) place() func() tea.Cmd { return nil }

// navCount is a sign for what is going on.
func (s *jobScreen) navCount() visible.Text {
	switch {
	case s.lively():
		return visible.Lit(">")
	case len(s.jobs.val.all) > 0, s.jobs.err != nil:
		return visible.Lit("!")
	}
	return widget.Blank
}

var errNoAcquire = errors.New("nothing can be acquired here")
