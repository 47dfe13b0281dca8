package tui

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	tea "charm.land/bubbletea/v2"

	"snapcase/evidence/custody"
	"snapcase/evidence/respond"
)

// Responder is a response to an instance; *respond.Session is one.
type Responder interface {
	Plan(ctx context.Context, o respond.Options) (*respond.Plan, error)
	Resume(o respond.Options) (*respond.Plan, error)
	Run(ctx context.Context, p *respond.Plan) error
	Undo(ctx context.Context, instance string, o respond.UndoOptions) error
	Status(ctx context.Context, instance string) (*respond.Status, error)
	Dir(instance string) string
}

// RespondRequest says which Responder a screen wants.
type RespondRequest struct {
	Region, Profile string                 // "" for what the AWS variables say
	Offline         bool                   // only Resume and Status, from the case alone: no account is opened
	Watch           func(respond.Progress) // nil: nobody watches
}

// errNotStarted stands where the program was left before the work began.
var errNotStarted = errors.New("the program was left before it began")

// running is a run or an undo under way. It outlives the frame that started it:
// the program waits for it before it ends.
type running struct {
	what   string // "run" or "undo"
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	events   []respond.Progress
	ready    chan struct{} // holds one when there are events, or when it ended
	inCall   bool          // a call is under way: an intent without an outcome
	stopping bool
	closed   bool // no work begins any more
	ended    bool
	work     sync.WaitGroup
}

func newRunning(ctx context.Context, what string) *running {
	r := &running{what: what, ready: make(chan struct{}, 1)}
	r.ctx, r.cancel = context.WithCancel(ctx)
	return r
}

// watch takes what happened. It runs within the work, so that a stop that was
// asked for during a call comes right after its outcome was recorded.
func (r *running) watch(p respond.Progress) {
	r.mu.Lock()
	r.events = append(r.events, p)
	r.inCall = p.What == "calling"
	if r.stopping && !r.inCall {
		r.cancel()
	}
	r.mu.Unlock()
	r.wake()
}

func (r *running) wake() {
	select {
	case r.ready <- struct{}{}:
	default:
	}
}

// stop ends the work between two calls; asked for twice, at once.
func (r *running) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.inCall || r.stopping {
		r.cancel()
	}
	r.stopping = true
}

func (r *running) isStopping() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopping
}

// do does the work, unless the program is being left.
func (r *running) do(f func(ctx context.Context) error) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return errNotStarted
	}
	r.work.Add(1)
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.ended = true
		r.mu.Unlock()
		r.wake()
		r.work.Done()
	}()
	return f(r.ctx)
}

// wait stops the work at once and waits for its end.
func (r *running) wait() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.work.Wait()
}

// happened is what was heard since the last look.
type happened struct {
	events []respond.Progress
	ended  bool
}

// next waits for something to happen.
func (r *running) next(ctx context.Context) (happened, error) {
	select {
	case <-r.ready:
	case <-ctx.Done():
		return happened{}, ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h := happened{r.events, r.ended}
	r.events = nil
	return h, nil
}

// known is what a case knows of the response to an instance.
type known struct {
	plan    *respond.Plan // nil where there is none, or one that must be worked out anew
	begun   bool          // the plan is that of a run which was begun
	anew    bool          // it held steps that could not be done: before it goes on it is worked out anew
	status  *respond.Status
	options *respond.Options // those of the last plan on disk
	region  string
}

// The slots of the screen's questions.
const (
	respondRecords = "respond.records"
	respondKnown   = "respond.known"
	respondPlan    = "respond.plan"
	respondTask    = "respond.task"
	respondFeed    = "respond.feed"
	respondIndex   = "respond.index"
)

// askRecords reads what the ledger has of responses.
func (s *respondScreen) askRecords() tea.Cmd {
	return ask(s.a, secRespond, respondRecords, func(ctx context.Context) ([]custody.Record, error) {
		all, err := s.c.Records(ctx)
		var out []custody.Record
		for _, r := range all {
			if strings.HasPrefix(r.Type, "respond.") {
				out = append(out, r)
			}
		}
		return out, err
	})
}

// askKnown reads what the case knows of an instance. No account is asked.
func (s *respondScreen) askKnown(instance string) tea.Cmd {
	open := s.open
	if open == nil {
		return nil
	}
	return ask(s.a, secRespond, respondKnown, func(ctx context.Context) (known, error) {
		r, err := open(ctx, RespondRequest{Offline: true})
		if err != nil {
			return known{}, err
		}
		return knownOf(ctx, r, instance)
	})
}

func knownOf(ctx context.Context, r Responder, instance string) (known, error) {
	st, err := r.Status(ctx, instance)
	if err != nil {
		return known{}, err
	}
	k := known{status: st}
	last, err := lastPlan(r.Dir(instance))
	if err != nil || last == nil || !st.Planned {
		return k, err
	}
	k.options, k.region = &last.Options, last.Region
	k.begun = true
	if k.plan, err = r.Resume(last.Options); err == nil && k.plan == nil {
		k.plan, k.anew = last, true
	}
	return k, err
}

// lastPlan reads the plan that lies in the folder of an instance, for what was
// asked for; Resume holds it against the ledger. nil: there is none.
func lastPlan(dir string) (*respond.Plan, error) {
	b, err := os.ReadFile(filepath.Join(dir, "plan.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	var p respond.Plan
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&p); err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	return &p, nil
}

// askPlan plans: only calls that change nothing. A run that was begun with the
// same options is gone on with.
func (s *respondScreen) askPlan(o respond.Options) tea.Cmd {
	open, req := s.open, RespondRequest{Region: s.form.region, Profile: s.form.profile}
	return ask(s.a, secRespond, respondPlan, func(ctx context.Context) (known, error) {
		r, err := open(ctx, req)
		if err != nil {
			return known{}, err
		}
		p, err := r.Resume(o)
		if err != nil {
			return known{}, err
		}
		k := known{plan: p, begun: p != nil, options: &o, region: req.Region}
		if p == nil {
			if k.plan, err = r.Plan(ctx, o); err != nil {
				return known{}, err
			}
		}
		offline, err := open(ctx, RespondRequest{Offline: true})
		if err != nil {
			return known{}, err
		}
		k.status, err = offline.Status(ctx, o.Instance)
		return k, err
	})
}

// start begins a run or an undo, and listens to it.
func (s *respondScreen) start(what string, region string, f func(ctx context.Context, r Responder) error) tea.Cmd {
	run := newRunning(s.a.ctx, what)
	open, req := s.open, RespondRequest{Region: region, Profile: s.form.profile, Watch: run.watch}
	s.running, s.ended, s.live, s.now, s.tab = run, nil, map[string]respond.Progress{}, respond.Progress{}, tabLog
	s.refill()
	return tea.Batch(
		ask(s.a, secRespond, respondTask, func(context.Context) (struct{}, error) {
			return struct{}{}, run.do(func(ctx context.Context) error {
				r, err := open(ctx, req)
				if err != nil {
					return err
				}
				return f(ctx, r)
			})
		}),
		s.listen(),
	)
}

// askIndex indexes what a run acquired, and then asks for the facts.
func (s *respondScreen) askIndex() tea.Cmd {
	if s.index == nil || s.did != "run" {
		return askFacts
	}
	return ask(s.a, secRespond, respondIndex, func(ctx context.Context) (struct{}, error) { return struct{}{}, s.index(ctx) })
}

func (s *respondScreen) listen() tea.Cmd {
	return ask(s.a, secRespond, respondFeed, s.running.next)
}
