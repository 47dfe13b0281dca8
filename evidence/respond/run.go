package respond

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

// runner carries a plan out.
type runner struct {
	engine
	plan    *Plan
	checks  []string // of the step under way, as they held
	files   map[string]any
	exhibit string
}

// Run carries a plan out, or goes on with one that was interrupted. The error is
// evidence.ErrGaps (wrapped) when all steps were gone through and one could not
// be done; on any other error it stopped, and the same call goes on.
func (s *Session) Run(ctx context.Context, p *Plan) error {
	r, err := s.runner(p)
	if err != nil {
		return fmt.Errorf("respond to %s: %w", p.Instance, err)
	}
	if err := errors.Join(r.begin(ctx), ctx.Err()); err != nil {
		return fmt.Errorf("respond to %s: %w", p.Instance, err)
	}
	if err := r.settleUndo(ctx); err != nil {
		return fmt.Errorf("respond to %s: settle an undo that was broken off: %w", p.Instance, err)
	}
	var gaps []string
	for i := range p.Steps {
		st := &p.Steps[i]
		why, err := r.step(ctx, st)
		if err != nil {
			err = fmt.Errorf("respond to %s: step %s: %w", p.Instance, st.ID, err)
			return s.stopped(err, r, st.ID)
		}
		if why != "" {
			gaps = append(gaps, st.ID+": "+why)
		}
	}
	if len(gaps) > 0 {
		err := fmt.Errorf("respond to %s: %s: %w", p.Instance, strings.Join(gaps, "; "), evidence.ErrGaps)
		return evidence.WithHint(err, "%s; every other step is done, and respond status shows each: the same command tries again what is not, and repeats nothing", r.lacking())
	}
	return nil
}

// lacking says what the refused calls of a run want.
func (r *runner) lacking() string {
	var want []string
	for _, st := range r.plan.Steps {
		for i := range st.Calls {
			c := &st.Calls[i]
			q := r.h.calls[c.ID]
			if q != nil && !q.done && strings.Contains(q.err, "does not know this call") {
				return c.Name() + " is not available here: check AWS_ENDPOINT_URL and --region"
			}
			if q == nil || q.done || !strings.Contains(q.err, "Unauthorized") && !strings.Contains(q.err, "AccessDenied") {
				continue
			}
			if p := c.Permission; p != "" && !slices.Contains(want, p) {
				want = append(want, p)
			}
		}
	}
	if len(want) == 0 {
		return "mend what each step says"
	}
	return "ask for " + strings.Join(want, ", ") + " (snapcase policy prints what each role needs)"
}

// stopped adds to an error what had been done by then, and what comes next.
func (s *Session) stopped(err error, r *runner, step string) error {
	var done []string
	for _, st := range r.plan.Steps {
		if o := r.h.steps[st.ID]; o != nil && o.result == "ok" {
			done = append(done, st.ID)
		}
	}
	what := "nothing was done before it"
	if len(done) > 0 {
		what = "done before it: " + strings.Join(done, ", ")
	}
	err = fmt.Errorf("%w (%s)", err, what)
	var h evidence.Hinted
	if errors.As(err, &h) || evidence.Canceled(err) {
		return err
	}
	return evidence.WithHint(err, "snapcase respond status shows what is known; the same command goes on at %s and repeats nothing", step)
}

func (s *Session) runner(p *Plan) (*runner, error) {
	if s.Ledger == nil {
		return nil, evidence.ErrReadOnly
	}
	if p.Case != s.CaseID || p.Region != s.Region {
		return nil, fmt.Errorf("the plan is of case %s in %s: %w", p.Case, p.Region, evidence.ErrUsage)
	}
	h, err := readHistory(s.Folder, p.Instance)
	if err != nil {
		return nil, err
	}
	r := &runner{engine: engine{s: s, instance: p.Instance, account: p.Account, h: h, pace: s.Pace.orDefault()}, plan: p}
	r.changed = func(step, call, what string) { r.tell(Progress{Step: step, Call: call, What: what}) }
	return r, nil
}

func (r *runner) tell(p Progress) {
	if r.s.Watch != nil {
		r.s.Watch(p)
	}
}

func (r *runner) progress(step, call string, done, total int) {
	r.tell(Progress{Step: step, Call: call, What: "waiting", Done: int64(done), Total: int64(total)})
}

// begin puts the plan on disk and into the ledger, before any call.
func (r *runner) begin(ctx context.Context) error {
	id, err := r.s.Identify(ctx)
	if err != nil {
		return err
	}
	if id.Account != r.plan.Account {
		return evidence.WithHint(fmt.Errorf("the credentials are of account %s, the plan of %s: %w", id.Account, r.plan.Account, evidence.ErrUsage), "use the credentials that the plan was made with")
	}
	b, err := r.plan.Encode()
	if err != nil {
		return err
	}
	dir := r.s.Dir(r.instance)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(dir, "plan.json"), b); err != nil {
		return err
	}
	digest := sha(b)
	if n := len(r.h.plans); n > 0 && r.h.plans[n-1] == digest {
		return nil
	}
	data := map[string]any{
		"instance": r.instance, "region": r.plan.Region, "account": r.plan.Account, "caller": id.Arn, "order": r.plan.Order, "reason": r.plan.Reason,
		"plan_sha256": digest, "calls": int64(r.plan.Changes()),
	}
	r.h.plans = append(r.h.plans, digest)
	return r.s.Ledger.Append(ctx, custody.Record{Type: recordPlan, Data: data})
}

// settleUndo finds out what became of calls of an undo that was broken off: what
// it took away is to be made again.
func (r *runner) settleUndo(ctx context.Context) error {
	for _, id := range slices.Clone(r.h.order) {
		p := r.h.calls[id]
		of, undo := strings.CutPrefix(id, undoPrefix)
		if !undo || !p.open {
			continue
		}
		q, d := r.h.calls[of], deeds[p.service+":"+p.action]
		if q == nil || q.undo == nil || d.state == nil {
			continue
		}
		c := &Call{ID: id, Service: p.service, Action: p.action, Examiner: p.examiner}
		made := true
		for i := 0; made && i < r.pace.Settle; i++ {
			state, err := r.state(ctx, r.cloud(c), d, p.intent)
			if err != nil {
				return err
			}
			if made = d.done(p.intent, state); !d.gone {
				break // what deletes must stay away for a while, what sets is seen at once
			}
			if err := sleep(ctx, r.pace.Look); err != nil {
				return err
			}
		}
		if !made {
			continue
		}
		if err := r.record(ctx, p.step, c, custodyOutcome{outcome: outcomeSettled, result: map[string]any{}, target: q.target()}); err != nil {
			return err
		}
	}
	return nil
}

// step carries one step out. why is not empty where it could not be done, or
// not whole; an error stops the run.
func (r *runner) step(ctx context.Context, st *Step) (why string, err error) {
	if o := r.h.steps[st.ID]; o != nil && o.result == "ok" && r.allDone(st) && (st.ID != stepAfter || !r.acted) {
		r.tell(Progress{Step: st.ID, What: "done before"})
		return "", nil
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	r.tell(Progress{Step: st.ID, What: "begins"})
	r.checks, r.files, r.exhibit = nil, nil, ""
	if st.Cannot != "" {
		why = st.Cannot
	} else if why, err = r.act(ctx, st); err != nil {
		return "", err
	}
	if why == "" || st.ID == stepSnapshot || st.ID == stepShare || st.ID == stepIsolate || st.ID == stepProtect || st.ID == stepCredentials {
		w, err := r.check(ctx, st)
		if err != nil {
			return "", err
		}
		why = join(why, w)
	}
	return why, r.ended(ctx, st, why)
}

func join(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "" || b == a:
		return a
	}
	return a + "; " + b
}

// allDone says whether the ledger holds every changing call of a step.
func (r *runner) allDone(st *Step) bool {
	for i := range st.Calls {
		if c := &st.Calls[i]; c.Mutates && (r.h.calls[c.ID] == nil || !r.h.calls[c.ID].done) {
			return false
		}
	}
	return true
}

// ended writes how a step ended.
func (r *runner) ended(ctx context.Context, st *Step, why string) error {
	data := map[string]any{"instance": r.instance, "step": st.ID}
	rec := custody.Record{Type: recordStep, Result: "ok", Data: data, Exhibit: r.exhibit}
	if why != "" {
		rec.Result = "failed"
		for i := range st.Calls {
			if p := r.h.calls[st.Calls[i].ID]; p != nil && p.done {
				rec.Result = "partial"
			}
		}
		if r.exhibit != "" {
			rec.Result = "partial"
		}
		data["why"] = why
	}
	if len(r.checks) > 0 {
		data["checks"] = list(r.checks...)
	}
	if r.files != nil {
		data["files"] = r.files
	}
	if err := r.s.Ledger.Append(ctx, rec); err != nil {
		return err
	}
	r.h.ended[st.ID]++
	r.h.steps[st.ID] = &outcome{result: rec.Result, why: why, checks: r.checks}
	if r.exhibit != "" {
		r.h.exhibits[st.ID] = r.exhibit
	}
	what := "done"
	if why != "" {
		what = "not done: " + why
	}
	r.tell(Progress{Step: st.ID, What: what})
	return r.writeUndo()
}

// act does what a step is for.
func (r *runner) act(ctx context.Context, st *Step) (why string, err error) {
	switch st.ID {
	case stepIdentify:
		return "", r.identify(ctx)
	case stepDescribe:
		return r.describe(ctx)
	case stepComplete:
		return r.complete(ctx)
	case stepMemory:
		return r.memory(ctx, st)
	case stepAfter:
		return r.after(ctx)
	case stepIsolate:
		return r.isolate(ctx, st)
	}
	return r.calls(ctx, st)
}

// calls makes the calls of a step one after the other. One that is refused
// does not keep the others from being made.
func (r *runner) calls(ctx context.Context, st *Step) (why string, err error) {
	for i := range st.Calls {
		c := &st.Calls[i]
		if !c.Mutates {
			continue
		}
		if st.ID == stepShare && c.Action == "ModifySnapshotAttribute" {
			w, err := r.waitFor(ctx, st.ID, c)
			if err != nil {
				return "", err
			}
			if w != "" {
				why = join(why, w)
				continue
			}
		}
		w, err := r.one(ctx, st, c)
		if err != nil {
			return "", err
		}
		why = join(why, w)
	}
	return why, nil
}

// one makes a call; why is not empty where it cannot be made.
func (r *runner) one(ctx context.Context, st *Step, c *Call) (why string, err error) {
	err = r.perform(ctx, st.ID, c)
	if werr := r.writeUndo(); werr != nil {
		return "", errors.Join(err, werr)
	}
	if err == nil || !passable(err) {
		return "", err
	}
	return c.ID + ": " + err.Error(), nil
}

// isolate swaps the groups interface by interface. Nothing is put on anything
// before the group was described and found closed. An interface that got the
// open group and not the closed one is given its own groups back.
func (r *runner) isolate(ctx context.Context, st *Step) (why string, err error) {
	if w, err := r.checkGroups(ctx); err != nil || w != "" {
		return w, err
	}
	opened := ""
	for i := range st.Calls {
		c := &st.Calls[i]
		w, err := r.one(ctx, st, c)
		if err != nil {
			return "", err
		}
		if w != "" && opened != "" && c.Action == "ModifyNetworkInterfaceAttribute" && strings.HasSuffix(c.ID, "/closed") {
			if err := r.giveBack(ctx, opened); err != nil {
				return "", err
			}
			w += " (it has its own groups back)"
		}
		opened = ""
		if w == "" && strings.HasSuffix(c.ID, "/open") {
			opened = c.ID
		}
		why = join(why, w)
	}
	return why, nil
}
