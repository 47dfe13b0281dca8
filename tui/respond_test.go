package tui

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"snapcase/evidence/respond"
)

// respondRig is a rig over a case and an account, in the section.
func respondRig(t testing.TB, f *fakeCase, w, h int) *rig {
	f.aws.keep(t)
	r := newRig(t, f, w, h, Options{Respond: f.aws.open})
	r.run(goTo[screen](secRespond, nil))
	return r
}

func (r *rig) plans() *rig {
	return r.typed(victim).press("enter")
}

// respondStates bring the section into each of its states.
var respondStates = map[string]struct {
	f    func() *fakeCase
	then func(r *rig)
}{
	"form": {func() *fakeCase { return &fakeCase{} }, func(r *rig) {
		r.typed(victim).press("down").typed("eu-west-1").press("down down down down space down space up")
	}},
	"memory":  {func() *fakeCase { return &fakeCase{} }, func(r *rig) { r.typed(victim).press("up space down").typed("evidence") }},
	"planned": {func() *fakeCase { return &fakeCase{} }, func(r *rig) { r.plans().press("j j j") }},
	"board":   {func() *fakeCase { return &fakeCase{} }, func(r *rig) { r.plans().press("]") }},
	"partial-plan": {func() *fakeCase { return &fakeCase{aws: fakeAWS{refused: true}} }, func(r *rig) {
		r.plans().press("G k k k")
	}},
	"credentials": {func() *fakeCase { return &fakeCase{aws: fakeAWS{fail: errNoCredentials}} }, func(r *rig) { r.plans() }},
	"confirm":     {func() *fakeCase { return &fakeCase{} }, func(r *rig) { r.plans().press("R") }},
	"wrong":       {func() *fakeCase { return &fakeCase{} }, func(r *rig) { r.plans().press("R").typed("i-0bbb").press("enter") }},
	"running":     {func() *fakeCase { return &fakeCase{response: "begun"} }, runningNow},
	"stopping":    {func() *fakeCase { return &fakeCase{response: "begun"} }, func(r *rig) { runningNow(r); r.press("X enter") }},
	"leaving":     {func() *fakeCase { return &fakeCase{response: "begun"} }, func(r *rig) { runningNow(r); r.press("q") }},
	"begun":       {func() *fakeCase { return &fakeCase{response: "begun", aws: fakeAWS{begun: "begun"}} }, nil},
	"done":        {func() *fakeCase { return &fakeCase{response: "done"} }, func(r *rig) { runs(r, nil) }},
	"gaps":        {func() *fakeCase { return &fakeCase{response: "partial", aws: fakeAWS{begun: "partial"}} }, func(r *rig) { runs(r, errRunGaps) }},
	"stopped":     {func() *fakeCase { return &fakeCase{response: "begun", aws: fakeAWS{begun: "begun"}} }, func(r *rig) { runs(r, context.Canceled) }},
	"expired":     {func() *fakeCase { return &fakeCase{response: "begun", aws: fakeAWS{begun: "begun"}} }, func(r *rig) { runs(r, errNoCredentials) }},
	"undo":        {func() *fakeCase { return &fakeCase{response: "done", aws: fakeAWS{begun: "done"}} }, func(r *rig) { r.press("U") }},
	"undone":      {func() *fakeCase { return &fakeCase{response: "undone", aws: fakeAWS{begun: "undone"}} }, nil},
	"bundle": {func() *fakeCase {
		return &fakeCase{bundle: true, response: "partial", aws: fakeAWS{begun: "partial", bare: true}}
	}, func(r *rig) { r.press("j j j j j j") }},
	"readonly": {func() *fakeCase {
		return &fakeCase{readOnly: true, response: "partial", aws: fakeAWS{begun: "partial"}}
	}, func(r *rig) { r.press("j j j") }},
}

// runningNow is a run that is in the midst of a step.
func runningNow(r *rig) {
	r.press("e").press("enter")
	s := r.m.response()
	s.running = newRunning(context.Background(), "run")
	p := respond.Progress{Step: "isolate", Call: "isolate/eni-1/closed", What: "calling"}
	s.running.watch(p)
	r.run(s.heard(answer{val: happened{ended: true, events: []respond.Progress{
		{Step: "identify", What: "done"}, {Step: "describe", What: "done"}, {Step: "protect", What: "done"}, {Step: "group", What: "not done: \x1b[31m"}, {Step: "isolate", What: "begins"}, p,
	}}}))
	s.tab = tabLog
	s.refill()
	r.press("j j j j")
}

// runs runs the plan with an end.
func runs(r *rig, err error) {
	f := &r.m.c.(*fakeCase).aws
	f.run = err
	r.press("e").press("enter")
	r.press("R").typed(victim).press("enter")
}

// TestGoldenRespond compares each state in each size with its frame.
func TestGoldenRespond(t *testing.T) {
	for name, st := range respondStates {
		for _, size := range goldenSizes {
			full := fmt.Sprintf("respond-%s-%dx%d", name, size[0], size[1])
			t.Run(full, func(t *testing.T) {
				r := respondRig(t, st.f(), size[0], size[1])
				if st.then != nil {
					st.then(r)
				}
				golden(t, full, r.screen())
			})
		}
	}
}

// TestRespondTyped: another id than that of the instance runs nothing and undoes
// nothing, and it is said; esc neither.
func TestRespondTyped(t *testing.T) {
	f := &fakeCase{}
	r := respondRig(t, f, 120, 36)
	r.has("[LIVE AWS]").plans().has("nothing has been changed", "plan only")
	r.press("R").typed(victim[:10]).press("enter").has("✗ i-0aaaaaaa is not " + victim + ": nothing was done").press("esc")
	r.press("R enter").has("nothing was done").press("esc")
	r.press("R").typed(victim).press("esc")
	if got := strings.Join(f.aws.made, ","); got != "plan "+victim {
		t.Fatalf("made %s", got)
	}
	r.press("R").typed(victim).press("enter").has("The run is done")
	r.press("U").typed("i-0").press("enter").has("nothing was done").press("esc")
	f.response = "done"
	if got := strings.Join(f.aws.made, ","); got != "plan "+victim+",run "+victim {
		t.Fatalf("made %s", got)
	}
	r.press("U").typed(victim).press("enter").has("Undone")
	if got := strings.Join(f.aws.made, ","); got != "plan "+victim+",run "+victim+",undo "+victim {
		t.Fatalf("made %s", got)
	}
}

// TestRespondReadOnly: a read-only case and a bundle show what was done, and
// have no key that asks AWS for anything.
func TestRespondReadOnly(t *testing.T) {
	for _, f := range []*fakeCase{{readOnly: true}, {bundle: true}} {
		f.response, f.aws.begun = "done", "done"
		r := respondRig(t, f, 120, 36)
		r.has(victim, "ONLY]", "snapcase respond status").lacks("LIVE AWS")
		r.press("e R X U").typed(victim).press("enter")
		if len(f.aws.made) > 0 {
			t.Errorf("made %v", f.aws.made)
		}
		for _, b := range r.m.keys {
			if b.in == inRespond {
				t.Errorf("%s is in the key table", b.show)
			}
		}
	}
}

// TestRespondWithout: without a way to AWS the section says so, and shows what
// the ledger has.
func TestRespondWithout(t *testing.T) {
	r := newRig(t, &fakeCase{}, 120, 36, Options{})
	r.run(goTo[screen](secRespond, nil))
	r.has("No response in this case yet.", "cannot reach AWS")
	r = newRig(t, &fakeCase{response: "partial"}, 120, 36, Options{})
	r.run(goTo[screen](secRespond, nil))
	r.press("j j j j j j").has("snapshot", "quota exceeded", "isolate").lacks("R:run")
}

// TestRespondFrom: the palette takes the instance of a row, or one that is
// typed, into the request.
func TestRespondFrom(t *testing.T) {
	f := &fakeCase{n: 50}
	r := newRig(t, f, 120, 36, Options{Respond: f.aws.open})
	r.press("7 :").typed("respond").press("enter").has("i-0b20aa11bb22cc33d", "Request")
	r.run(goTo[screen](secExhibits, nil))
	r.press(":").typed("respond "+victim).press("enter").has(victim, "Request")
	r.press("enter").has("web-1 ␛]0;pwned␇‹U+202E›")
}

// TestRunningStops: a stop waits for the outcome of the call under way; the
// second one does not.
func TestRunningStops(t *testing.T) {
	r := newRunning(context.Background(), "run")
	r.watch(respond.Progress{What: "calling"})
	r.stop()
	if r.ctx.Err() != nil {
		t.Fatal("stopped within a call")
	}
	r.watch(respond.Progress{What: "done"})
	if r.ctx.Err() == nil {
		t.Fatal("not stopped after the call")
	}
	r = newRunning(context.Background(), "run")
	r.watch(respond.Progress{What: "calling"})
	r.stop()
	r.stop()
	if r.ctx.Err() == nil {
		t.Fatal("the second stop waits")
	}
	r = newRunning(context.Background(), "run")
	r.watch(respond.Progress{What: "waiting"})
	r.stop()
	if r.ctx.Err() == nil {
		t.Fatal("a wait is no call")
	}
	r.wait()
	if err := r.do(func(context.Context) error { t.Error("began after the end"); return nil }); err == nil {
		t.Fatal("work began while the program was left")
	}
}

// TestRespondStop: esc gives planning up; r plans again.
func TestRespondStop(t *testing.T) {
	f := &fakeCase{aws: fakeAWS{block: make(chan struct{})}}
	r := respondRig(t, f, 120, 36)
	r.typed(victim)
	r.m.Update(keyMsg("enter"))
	for _, x := range r.m.ask.slots {
		x.slow = x.busy
	}
	golden(t, "respond-planning-120x36", r.screen())
	r.press("esc").has("stopped before it was answered")
	close(f.aws.block)
	r.press("r").has("nothing has been changed")
}

// TestRespondProgram runs the real program: it does not end before the run
// that it left has ended.
func TestRespondProgram(t *testing.T) {
	f := &fakeCase{}
	gate, gone := make(chan struct{}), false
	open := func(ctx context.Context, r RespondRequest) (Responder, error) {
		s, err := f.aws.open(ctx, r)
		return gatedResponse{s, r, gate, &gone}, err
	}
	m := newModel(t.Context(), f, Options{Respond: open})
	m.ask.after = func(time.Duration, tea.Msg) tea.Cmd { return nil }
	s := m.response()
	s.instance = victim
	cmd := s.start("run", "eu-west-1", func(ctx context.Context, r Responder) error { return r.Run(ctx, nil) })
	done := make(chan struct{})
	go func() { collect(cmd); close(done) }()
	<-gate
	m.halt()
	if !gone {
		t.Fatal("the program ended before its run")
	}
	<-done
}

type gatedResponse struct {
	Responder
	r    RespondRequest
	gate chan struct{}
	gone *bool
}

func (g gatedResponse) Run(ctx context.Context, _ *respond.Plan) error {
	close(g.gate)
	<-ctx.Done()
	*g.gone = true
	return ctx.Err()
}
