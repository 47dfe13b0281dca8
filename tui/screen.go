package tui

import (
	"context"
	"fmt"
	"slices"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"

	"snapcase/evidence"
	"snapcase/evidence/visible"
	"snapcase/imaging"
	"snapcase/store"
	"snapcase/tui/widget"
)

// section is one entry of the navigation.
type section int8

// The sections, in the order of the navigation. shell is the program itself.
const (
	shell section = iota - 1
	secOverview
	secExhibits
	secRespond
	secCustody
	secFiles
	secKeys
	secEvents
	secTrace
	secFlows
	secTimeline
	secFindings
	secJobs
	sections
)

// title is the name of a section, key its letter in the menu, verb the command
// that says the same.
func (s section) title() visible.Text {
	return [...]visible.Text{
		visible.Lit("Overview"), visible.Lit("Exhibits"), visible.Lit("Respond"), visible.Lit("Custody"), visible.Lit("Files"), visible.Lit("Keys"),
		visible.Lit("CloudTrail"), visible.Lit("Trace"), visible.Lit("Flows"), visible.Lit("Timeline"), visible.Lit("Findings"), visible.Lit("Jobs"),
	}[s]
}

func (s section) letter() string { return "oxrcfketlmij"[s : s+1] }

func (s section) verb() string {
	return [...]string{"stats", "stats", "respond status", "custody", "files", "keys", "events", "trace", "flows", "timeline", "findings", "acquire"}[s]
}

// screen is one section: it asks, keeps what was answered, and describes its
// panes. It changes only in take, do and the functions that it hands out.
type screen interface {
	enter() tea.Cmd                          // shown: ask for what is not there
	take(m answer) tea.Cmd                   // an answer to one of its questions
	do(a action) (cmd tea.Cmd, handled bool) // an action that the shell does not do itself
	panes(body uv.Rectangle, m mode) []pane  // what shows, at least one
	crumbs() []visible.Text                  // where in the section
	chips() []chip                           // the filters
	status() widget.Line                     // what the status line says
	pick() pick                              // what is under the cursor
	place() func() tea.Cmd                   // comes back to what shows now
	factsChanged()                           // the shared facts were answered
	focusOf() *focus
}

// focus is where the keys of a screen go.
type focus struct {
	pane int
	zoom bool
}

func (f *focus) focusOf() *focus { return f }

// Screens without these embed nothing.
func (f *focus) crumbs() []visible.Text { return nil }
func (f *focus) chips() []chip          { return nil }
func (f *focus) factsChanged()          {}

// chip is one active filter.
type chip struct {
	label visible.Text
	drop  func() tea.Cmd
}

// pick is what the row under the cursor is about, for the keys that work in
// every section.
type pick struct {
	at      imaging.Time // T
	entity  string       // enter: trace
	record  string       // t, A: the record or address to tag
	address string       // enter: the bytes
	copy    string       // y
	row     any          // Y
	events  *store.EventQuery
	marked  []string // records of the marked rows
}

// paneState is exactly one of the states of the design.
type paneState struct {
	kind  stateKind
	err   error
	slow  bool
	stop  func()   // gives the question up, while loading
	words []string // what would fill it
}

type stateKind uint8

const (
	isReady stateKind = iota
	isLoading
	isEmpty
	isError
)

// pane is one rectangle of a screen.
type pane struct {
	title  widget.Line
	area   uv.Rectangle
	scopes []scope
	state  paneState
	table  *widget.Table // with want: rows that move
	want   func([]widget.Want) tea.Cmd
	doc    *doc // lines that scroll
	draw   func(c widget.Canvas, focused bool)
	moved  func() tea.Cmd // after the cursor of table moved
	field  *widget.Field  // a text field that has the keys
	footer widget.Line    // last line inside
}

// doc is lines that scroll.
type doc struct {
	lines []widget.Line
	top   int
}

func (d *doc) set(lines []widget.Line) { d.lines, d.top = lines, 0 }

func (d *doc) move(a action, h int) {
	switch a {
	case actDown:
		d.top++
	case actUp:
		d.top--
	case actPageDown:
		d.top += h - 1
	case actPageUp:
		d.top -= h - 1
	case actHalfDown:
		d.top += h / 2
	case actHalfUp:
		d.top -= h / 2
	case actFirst:
		d.top = 0
	case actLast:
		d.top = len(d.lines)
	default:
	}
	d.top = max(0, min(d.top, len(d.lines)-h))
}

// facts are the answers that several sections show.
type facts struct {
	stats    loaded[[]evidence.ExhibitStats]
	keys     loaded[[]evidence.Key]
	findings loaded[[]evidence.Finding]
}

// partial lists what is missing, of all exhibits or of those of some kinds.
func (f *facts) partial(kinds ...evidence.Kind) (gaps []evidence.Gap, lower bool) {
	for _, s := range f.stats.val {
		if len(kinds) > 0 && !slices.Contains(kinds, s.Kind) {
			continue
		}
		gaps = append(gaps, s.Gaps...)
		if s.Incomplete != nil {
			gaps = append(gaps, evidence.Gap{Exhibit: s.Exhibit, Place: s.Exhibit, Reason: incompleteText(s)})
		}
		if s.BadRecords > 0 || s.SkipData > 0 || s.ReadErrors > 0 || s.NotAcquired > 0 || !s.Indexed {
			lower = true
		}
		for _, v := range s.Volumes {
			if v.Error != nil {
				lower = true
				gaps = append(gaps, evidence.Gap{Exhibit: s.Exhibit, Place: v.ID, Reason: *v.Error})
			}
		}
	}
	return gaps, lower || len(gaps) > 0 || f.stats.err != nil
}

// incompleteText says how much of an exhibit is there that is not sealed.
func incompleteText(x evidence.ExhibitStats) string {
	return fmt.Sprintf("not complete: %d %% acquired, %s; no digest yet, what is shown of it is preliminary", acquired(x), x.Incomplete.State)
}

// acquired is how much of an exhibit that is not sealed is there, in percent.
func acquired(x evidence.ExhibitStats) int64 {
	if x.Bytes <= 0 {
		return 0
	}
	return min(99, x.Incomplete.Acquired*100/x.Bytes)
}

type factSource interface {
	Stats(ctx context.Context) ([]evidence.ExhibitStats, error)
	Keys(ctx context.Context, all bool) ([]evidence.Key, error)
	Findings(ctx context.Context) ([]evidence.Finding, error)
}

// The messages that screens send to the shell.
type (
	goMsg  struct{ run func(m *model) tea.Cmd }
	sayMsg struct {
		role widget.Role
		text visible.Text
	}
	copyMsg struct{ text string }
)

// goTo shows a section after apply set it up; nil keeps it as it is.
func goTo[S screen](to section, apply func(s S) tea.Cmd) tea.Cmd {
	return func() tea.Msg {
		return goMsg{func(m *model) tea.Cmd {
			cmd := m.show(to)
			if s, ok := m.screens[to].(S); ok && apply != nil {
				return tea.Batch(apply(s), cmd)
			}
			return cmd
		}}
	}
}

func say(r widget.Role, t visible.Text) tea.Cmd {
	return func() tea.Msg { return sayMsg{r, t} }
}

// goTrace traces an entity.
func goTrace(entity string) tea.Cmd {
	return goTo(secTrace, func(s *traceScreen) tea.Cmd { return s.of(entity) })
}

// goRespond takes an instance into the request of a response.
func goRespond(instance string) tea.Cmd {
	return goTo(secRespond, func(s *respondScreen) tea.Cmd { return s.begin(instance) })
}

// goEvents shows the events that q selects.
func goEvents(q store.EventQuery) tea.Cmd {
	return goTo(secEvents, func(s *eventScreen) tea.Cmd { return s.ask(q) })
}

// goBytes opens the content of an entry at an offset, or the image of an
// exhibit where address names only that.
func goBytes(address string, offset int64) tea.Cmd {
	return goTo(secFiles, func(s *fileScreen) tea.Cmd { return s.openAddress(address, offset) })
}

// goMoment shows the timeline at t, on the row of a record where one has it.
func goMoment(t imaging.Time, record string) tea.Cmd {
	return goTo(secTimeline, func(s *timelineScreen) tea.Cmd { return s.at(t, record) })
}

// goRecord opens what a finding or a place names: bytes for an address, its
// own words for a record of a log.
func goRecord(ref string) tea.Cmd {
	if _, err := evidence.ParseAddress(ref); err == nil {
		return goBytes(ref, 0)
	}
	r, err := evidence.ParseRecord(ref)
	if err != nil {
		return say(widget.Warn, visible.Sprintf("warn: %v", err))
	}
	return showRecord(r)
}
