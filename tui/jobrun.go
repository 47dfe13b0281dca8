package tui

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	tea "charm.land/bubbletea/v2"

	"snapcase/evidence"
	"snapcase/evidence/visible"
	"snapcase/tui/widget"
)

// AcquireRequest is what the workbench wants acquired.
type AcquireRequest struct {
	Source string // as of snapcase acquire
	Region string // of what lies in a cloud account; "" for what the AWS variables say
	Lazy   bool   // list the files of a snapshot first
	// Browse is called when the files of a snapshot are listed, or could not be.
	Browse func(exhibit string, err error)
}

// ownJob is an acquisition of this program.
type ownJob struct {
	source  string
	run     *running
	listed  atomic.Bool // its files came into the index; a look takes it
	done    bool
	exhibit string // when it is done
	err     error
}

func (o *ownJob) runs() bool { return o != nil && !o.done }

// The slots of the screen's questions.
const (
	jobsLook = "jobs.look"
	jobsTask = "jobs.task"
)

// look looks at the acquisitions.
func (s *jobScreen) look() tea.Cmd {
	own, now := s.own, s.now
	return ask(s.a, secJobs, jobsLook, func(ctx context.Context) (looked, error) {
		all, err := s.c.Acquisitions(ctx)
		return looked{at: now(), all: all, listed: own != nil && own.listed.Swap(false)}, err
	})
}

// askSource asks what to acquire.
func (s *jobScreen) askSource() tea.Cmd {
	switch {
	case s.begin == nil:
		return say(widget.Warn, visible.Sprintf("warn: %v", errNoAcquire))
	case s.own.runs():
		return say(widget.Warn, visible.Sprintf("warn: %s is being acquired here: wait for it, or X", esc(s.own.source)))
	}
	p := &prompt{label: visible.Lit("acquire (snap-… vol-… s3://… or a path, then a region): "), done: s.askBegin}
	if j, ok := rowOf[job](&s.rows); ok && (j.state == jobInterrupted || j.state == jobFailed) {
		p.field.Set(j.source)
	}
	return func() tea.Msg { return goMsg{func(m *model) tea.Cmd { m.open(p); return nil }} }
}

// askBegin says what will be done and begins it when that is confirmed.
func (s *jobScreen) askBegin(text string) tea.Cmd {
	words := strings.Fields(text)
	if len(words) == 0 {
		return say(widget.Dim, visible.Lit("nothing was done"))
	}
	r := AcquireRequest{Source: strings.TrimSpace(text)}
	if cloud(words[0]) {
		r.Source = words[0]
		if len(words) > 1 {
			r.Region = words[1]
		}
	}
	r.Lazy = strings.HasPrefix(r.Source, "snap-")
	command := "snapcase acquire CASE " + r.Source
	if r.Region != "" {
		command += " --region " + r.Region
	}
	how := visible.Lit("It is read once, hashed, copied, sealed and indexed.")
	if r.Lazy {
		command += " --lazy"
		how = visible.Lit("Its files are listed first and can be read while the image follows.")
	}
	return openConfirm(&confirm{
		title: visible.Lit("acquire"), ask: visible.Lit("enter begins"),
		lines: append([]widget.Line{
			field(visible.Lit("source"), widget.Normal, esc(r.Source)), widget.Plain(widget.Normal, how),
			widget.Plain(widget.Normal, visible.Lit("Nothing is changed in the account or at the source.")),
			widget.Plain(widget.Dim, visible.Lit("What was interrupted goes on from where it was. The same as:")),
		}, wrapped(70, visible.Escape(command))...),
		done: func() tea.Cmd { return s.start(r) },
	})
}

// cloud says whether a source is no path.
func cloud(source string) bool {
	return strings.HasPrefix(source, "snap-") || strings.HasPrefix(source, "vol-") || strings.HasPrefix(source, "s3://")
}

// start begins an acquisition.
func (s *jobScreen) start(r AcquireRequest) tea.Cmd {
	if s.own.runs() {
		return nil
	}
	own := &ownJob{source: r.Source, run: newRunning(s.a.ctx, "acquire")}
	s.own = own
	r.Browse = func(_ string, err error) {
		if err == nil || errors.Is(err, evidence.ErrGaps) {
			own.listed.Store(true)
		}
	}
	begin := s.begin
	return tea.Batch(
		ask(s.a, secJobs, jobsTask, func(context.Context) (a evidence.Acquisition, err error) {
			err = own.run.do(func(ctx context.Context) error {
				a, err = begin(ctx, r)
				return err
			})
			return a, err
		}),
		s.look(),
		say(widget.Info, visible.Sprintf("acquiring %s", esc(r.Source))),
	)
}

// finish takes the end of an acquisition.
func (s *jobScreen) finish(m answer) tea.Cmd {
	o := s.own
	o.run.cancel()
	a, _ := m.val.(evidence.Acquisition)
	o.done, o.exhibit, o.err = true, a.Exhibit, m.err
	if s.leaving {
		return tea.Quit
	}
	word := say(widget.OK, visible.Sprintf("✓ %s is sealed", a.Exhibit))
	switch {
	case evidence.Canceled(m.err):
		word = say(widget.Warn, visible.Sprintf("paused: a goes on with %s", esc(o.source)))
	case errors.Is(m.err, evidence.ErrGaps):
		word = say(widget.Warn, visible.Sprintf("warn: %s is sealed; something could not be read (P)", a.Exhibit))
	case m.err != nil:
		word = say(widget.Bad, visible.Sprintf("error: %v", m.err))
	}
	return tea.Batch(s.look(), askFacts, word)
}

// askStop asks before an acquisition is paused.
func (s *jobScreen) askStop() tea.Cmd {
	if !s.own.runs() {
		return say(widget.Warn, visible.Lit("warn: nothing is being acquired here"))
	}
	run := s.own.run
	return openConfirm(&confirm{
		title: visible.Lit("pause the acquisition"), ask: visible.Lit("enter pauses it"),
		lines: []widget.Line{
			widget.Plain(widget.Normal, visible.Lit("What was read is kept. a, or the same command, goes on from there.")),
			widget.Plain(widget.Normal, visible.Lit("Until it has come to its end there is no digest and nothing is sealed.")),
		},
		done: func() tea.Cmd { run.stop(); return nil },
	})
}

// askLeave asks before the program ends with an acquisition under way.
func (s *jobScreen) askLeave() tea.Cmd {
	run := s.own.run
	return openConfirm(&confirm{
		title: visible.Lit("leave with an acquisition under way"), ask: visible.Lit("enter pauses it and leaves"),
		lines: append([]widget.Line{
			widget.Plain(widget.Normal, visible.Lit("It is paused first. What was read is kept; the same command goes on:")), nil,
		}, wrapped(70, visible.Sprintf("snapcase acquire CASE %s", s.own.source))...),
		done: func() tea.Cmd {
			s.leaving = true
			if !s.own.runs() {
				return tea.Quit
			}
			run.stop()
			return nil
		},
	})
}
