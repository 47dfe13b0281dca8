package tui

import (
	"context"

	tea "charm.land/bubbletea/v2"

	"snapcase/evidence"
	"snapcase/evidence/respond"
	"snapcase/evidence/visible"
	"snapcase/tui/widget"
)

// stoppedByExaminer says whether an error is the end that was asked for.
func stoppedByExaminer(err error) bool { return evidence.Canceled(err) }

// askRun shows what a run would change and wants the id typed.
func (s *respondScreen) askRun() tea.Cmd {
	k := s.know()
	switch {
	case s.running != nil:
		return say(widget.Warn, visible.Lit("warn: it is under way; X stops it"))
	case k.anew:
		return tea.Batch(s.doPlan(), say(widget.Info, visible.Lit("planned anew, since some steps could not be done then; R runs it")))
	case k.plan == nil || s.state().kind != isReady:
		return say(widget.Warn, visible.Lit("warn: plan first: e fills in the request, enter plans"))
	}
	p := k.plan
	title := visible.Sprintf("run the response to %s", p.Instance)
	if k.begun {
		title = visible.Sprintf("go on with the response to %s", p.Instance)
	}
	return openConfirm(&confirm{
		title: title, lines: runLines(p), want: p.Instance, ask: visible.Sprintf("type %s to run:", p.Instance),
		done: func() tea.Cmd {
			return s.start("run", p.Region, func(ctx context.Context, r Responder) error { return r.Run(ctx, p) })
		},
	})
}

// runLines say what a run would change.
func runLines(p *respond.Plan) []widget.Line {
	n := widget.Normal
	open := 0
	for _, r := range p.Residual {
		if r.State != "closed" {
			open++
		}
	}
	undo := widget.Line{span(widget.OK, visible.Lit("✓ undo brings back everything that it changes"))}
	if !p.UndoComplete {
		undo = widget.Line{span(widget.Warn, visible.Lit("! undo leaves revoked sessions and disabled keys as they are"))}
	}
	l := []widget.Line{
		field(visible.Lit("instance"), n, visible.Sprintf("%s  %s  %s  %s", p.Instance, esc(p.Subject.Type), esc(p.Subject.State), esc(p.Subject.Name))),
		field(visible.Lit("account"), n, visible.Sprintf("%s  %s", p.Account, p.Region)),
		field(visible.Lit("as"), n, esc(p.Caller)),
		{span(widget.Title, visible.Sprintf("%s to AWS, %s", several(int64(p.Changes()), "change", "changes"), p.Order))},
		undo,
		{span(widget.Warn, visible.Sprintf("! %s stay open, or may", several(int64(open), "way in or out", "ways in or out")))},
		nil,
	}
	for i := range p.Steps {
		st := &p.Steps[i]
		c := 0
		for j := range st.Calls {
			if st.Calls[j].Mutates {
				c++
			}
		}
		if c == 0 && st.Cannot == "" {
			continue
		}
		role, what := n, visible.Escape(st.Title)
		if st.Cannot != "" {
			role, what = widget.Warn, visible.Sprintf("! left out: %s", st.Cannot)
		}
		l = append(l, widget.Line{span(widget.Label, visible.Sprintf("%-11s ", st.ID)), span(widget.Info, visible.Sprintf("%3d ", c)), span(role, what)})
	}
	return l
}

// askUndo shows what would be brought back and wants the id typed.
func (s *respondScreen) askUndo() tea.Cmd {
	k := s.know()
	switch {
	case s.running != nil:
		return say(widget.Warn, visible.Lit("warn: it is under way; X stops it"))
	case k.status == nil || len(k.status.Undo) == 0 && !k.begun:
		return say(widget.Warn, visible.Lit("warn: nothing was changed that could be undone"))
	}
	l := []widget.Line{widget.Plain(widget.Normal, visible.Lit("Brings back, the last change first:"))}
	for _, u := range k.status.Undo {
		l = append(l, widget.Line{span(widget.Dim, visible.Lit("· ")), span(widget.Normal, visible.Escape(u))})
	}
	l = append(l, nil, widget.Plain(widget.Dim, visible.Lit("Snapshots, shares, logs and exhibits are kept.")),
		widget.Plain(widget.Dim, visible.Lit("Revoked sessions and disabled keys stay so, unless they are named:")),
		widget.Plain(widget.Dim, visible.Lit("snapcase respond undo --allow-role, --enable-key")))
	instance, region := s.instance, s.form.region
	if k.plan != nil {
		region = k.plan.Region
	}
	return openConfirm(&confirm{
		title: visible.Sprintf("undo the response to %s", instance), lines: l, want: instance, ask: visible.Sprintf("type %s to undo:", instance),
		done: func() tea.Cmd {
			return s.start("undo", region, func(ctx context.Context, r Responder) error { return r.Undo(ctx, instance, respond.UndoOptions{}) })
		},
	})
}

// askStop asks before a run is stopped.
func (s *respondScreen) askStop() tea.Cmd {
	if s.running == nil {
		return say(widget.Warn, visible.Lit("warn: nothing is under way"))
	}
	run := s.running
	u := &confirm{title: visible.Sprintf("stop the %s", run.what), done: func() tea.Cmd { run.stop(); return nil }}
	if run.isStopping() {
		u.lines = []widget.Line{
			widget.Plain(widget.Normal, visible.Lit("It stops when the call under way was answered.")),
			widget.Plain(widget.Warn, visible.Lit("At once: the call may have been made; the next run asks AWS about it.")),
		}
		u.ask = visible.Lit("enter stops at once, within the call")
		return openConfirm(u)
	}
	u.lines = []widget.Line{
		widget.Plain(widget.Normal, visible.Lit("What was done stays done and is in the ledger. The instance may be only")),
		widget.Plain(widget.Normal, visible.Lit("half contained until the run goes on. R goes on and repeats nothing.")),
	}
	u.ask = visible.Lit("enter stops between two calls")
	return openConfirm(u)
}

// askLeave asks before the program ends with a run under way.
func (s *respondScreen) askLeave() tea.Cmd {
	run := s.running
	return openConfirm(&confirm{
		title: visible.Sprintf("leave with the %s under way", run.what),
		lines: append([]widget.Line{
			widget.Plain(widget.Normal, visible.Sprintf("The response to %s is stopped between two calls first.", s.instance)),
			widget.Plain(widget.Normal, visible.Lit("The same screen, or the command, goes on and repeats nothing:")), nil,
		}, wrapped(70, s.command())...),
		ask: visible.Lit("enter stops and leaves"),
		done: func() tea.Cmd {
			s.leaving = true
			if s.running == nil {
				return tea.Quit
			}
			run.stop()
			return nil
		},
	})
}

func wrapped(w int, t visible.Text) []widget.Line {
	var l []widget.Line
	for _, x := range widget.Wrap(t, w) {
		l = append(l, widget.Plain(widget.Normal, x))
	}
	return l
}
