package respond

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

// What a respond.call record says of an answer.
const (
	outcomeDone    = "done"    // the service said so
	outcomeSettled = "settled" // no answer came; the service was asked, and it was done
	outcomeAlready = "already" // it was so before
	outcomeRefused = "refused" // the service said no
	outcomeUnknown = "unknown" // no answer came
)

// errDoubt says that something is not as the playbook left it, or cannot be
// known: it stops.
var errDoubt = errors.New("stopped at a doubt")

// needError says that a call needs an id which an earlier call did not give.
type needError struct{ name string }

func (e *needError) Error() string {
	return "needs " + e.name + ", which an earlier call did not give"
}

// Pace says how long the playbook waits between two looks. Tests give
// milliseconds; the zero value is what AWS wants.
type Pace struct {
	Look   time.Duration // between looks at something just made (2 s)
	Looks  int           // how many of them (60)
	Wait   time.Duration // between looks at a snapshot or an upload (15 s)
	Limit  time.Duration // of such a wait (24 h)
	Back   time.Duration // first wait after throttling; doubles up to 20 s (1 s)
	Settle int           // looks before a call without an answer counts as not made (30)
}

func (p Pace) orDefault() Pace {
	pick := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	pick(&p.Look, 2*time.Second)
	pick(&p.Wait, 15*time.Second)
	pick(&p.Limit, 24*time.Hour)
	pick(&p.Back, time.Second)
	if p.Looks == 0 {
		p.Looks = 60
	}
	if p.Settle == 0 {
		p.Settle = 30
	}
	return p
}

// attempts bounds how often one call is made again, for throttling and lost
// answers together.
const attempts = 10

// engine makes calls, each between two records of the ledger.
type engine struct {
	s        *Session
	instance string
	account  string
	h        *history
	acted    bool // something was changed by this engine
	pace     Pace
	changed  func(step, call, what string) // tells whoever watches
}

// perform makes sure that a call of the plan has been made, once, and gives
// its result.
func (e *engine) perform(ctx context.Context, step string, c *Call) error {
	p := e.h.past(c.ID)
	if p.done {
		return nil
	}
	d, ok := deeds[c.Name()]
	if !ok {
		return fmt.Errorf("%s: the playbook has no such call", c.Name())
	}
	params := p.intent
	if !p.open || params == nil {
		resolved, err := e.resolve(ctx, c.Params, nil)
		if err != nil {
			return err
		}
		params = resolved
	}
	return e.until(ctx, step, c, d, params, "")
}

// until makes the call until its outcome is known. target is set for a call
// that takes another back.
func (e *engine) until(ctx context.Context, step string, c *Call, d deed, params map[string]any, target string) error {
	p := e.h.past(c.ID)
	cloud := e.cloud(c)
	back := e.pace.Back
	for try := 1; ; try++ {
		state, done, err := e.settled(ctx, cloud, d, params, p.open)
		if err != nil {
			return err
		}
		if done {
			out := outcomeAlready
			if p.open {
				out = outcomeSettled
			}
			return e.record(ctx, step, c, custodyOutcome{outcome: out, result: resultOf(d, state), target: target})
		}
		if try > attempts {
			return fmt.Errorf("%s: no clear answer after %d attempts: %w", c.ID, attempts, errDoubt)
		}
		if err := e.intend(ctx, step, c, d, params, state); err != nil {
			return err
		}
		out, err := e.outgoing(ctx, c, params)
		if err != nil {
			return err
		}
		answer, err := cloud.Change(ctx, out)
		if err == nil {
			return e.answered(ctx, step, c, d, params, answer, target)
		}
		again, err := e.failed(ctx, step, c, d, err, target)
		if err != nil || !again {
			return err
		}
		if err := sleep(ctx, back); err != nil {
			return err
		}
		back = min(2*back, 20*time.Second)
	}
}

// settled asks whether a call has been made already. Where one may have been
// made without an answer, it asks again for a while: what was just made is not
// seen at once.
func (e *engine) settled(ctx context.Context, cloud Cloud, d deed, params map[string]any, open bool) (state map[string]any, done bool, err error) {
	looks := 1
	if open && d.made != nil {
		looks = e.pace.Settle
	}
	for i := 0; ; i++ {
		state, err = e.state(ctx, cloud, d, params)
		if err != nil {
			return nil, false, err
		}
		if d.done(params, state) {
			return state, true, nil
		}
		if i+1 >= looks {
			return state, open && d.some != nil && d.some(params, state), nil
		}
		if err := sleep(ctx, e.pace.Look); err != nil {
			return nil, false, err
		}
	}
}

// state asks for the state that a call changes, patient with ids that are not
// seen yet and with endpoints that answer badly.
func (e *engine) state(ctx context.Context, cloud Cloud, d deed, params map[string]any) (map[string]any, error) {
	for i := 0; ; i++ {
		state, err := d.state(ctx, cloud, params)
		if err == nil {
			return object(state)
		}
		kind, ok := evidence.CloudKind(err)
		if ctx.Err() != nil || !ok || kind != evidence.CloudNotFound && kind != evidence.CloudThrottled && kind != evidence.CloudLost || i+1 >= e.pace.Looks {
			return nil, err
		}
		if err := sleep(ctx, e.pace.Look); err != nil {
			return nil, err
		}
	}
}

// answered writes what came back, before anything is waited for, and then looks
// whether the service shows what the call was for.
func (e *engine) answered(ctx context.Context, step string, c *Call, d deed, params map[string]any, a evidence.CloudAnswer, target string) error {
	result := map[string]any{}
	if d.made != nil {
		m, err := answerMap(a)
		if err != nil {
			return fmt.Errorf("%s: %w", c.ID, err)
		}
		if result, err = object(d.made(m)); err != nil {
			return fmt.Errorf("%s: %w", c.ID, err)
		}
	}
	if err := e.record(ctx, step, c, custodyOutcome{outcome: outcomeDone, result: result, answer: &a, target: target}); err != nil {
		return err
	}
	return e.confirm(ctx, e.cloud(c), c.ID, d, params)
}

// confirm reads back until the service shows what a call was for.
func (e *engine) confirm(ctx context.Context, cloud Cloud, id string, d deed, params map[string]any) error {
	for i := 0; i < e.pace.Looks; i++ {
		state, err := e.state(ctx, cloud, d, params)
		if err != nil {
			return err
		}
		if d.done(params, state) || i+1 == e.pace.Looks && d.some != nil && d.some(params, state) {
			return nil
		}
		if err := sleep(ctx, e.pace.Look); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: the call was answered, and the service does not show what it was for: %w", id, errDoubt)
}

// failed writes down how a call failed and says whether to make it again.
func (e *engine) failed(ctx context.Context, step string, c *Call, d deed, err error, target string) (again bool, _ error) {
	if ctx.Err() != nil {
		return false, errors.Join(err, ctx.Err()) // the intent stays open: the next run asks
	}
	var ce *evidence.CloudError
	if !errors.As(err, &ce) {
		ce = &evidence.CloudError{Call: c.Name(), Kind: evidence.CloudLost, Err: err}
	}
	o := custodyOutcome{outcome: outcomeRefused, err: ce, target: target}
	lost := ce.Kind == evidence.CloudLost || slices.Contains(d.already, ce.Code)
	if lost {
		o.outcome = outcomeUnknown
	}
	if rerr := e.record(ctx, step, c, o); rerr != nil {
		return false, rerr
	}
	if lost || ce.Kind == evidence.CloudThrottled || patient[ce.Code] {
		return true, nil
	}
	return false, err
}

// patient are refusals that pass: something made a moment ago is not known
// everywhere yet, or a dependence is just being dissolved.
var patient = map[string]bool{
	"InvalidGroup.NotFound": true, "InvalidGroupId.NotFound": true, "InvalidSnapshot.NotFound": true, "InvalidVolume.NotFound": true,
	"DependencyViolation": true, "IncorrectState": true, "SnapshotCreationPerVolumeRateExceeded": true, "ConcurrentModification": true,
}

// intend writes, before a call, what it will do and what would take it back.
func (e *engine) intend(ctx context.Context, step string, c *Call, d deed, params, before map[string]any) error {
	data := map[string]any{
		"instance": e.instance, "step": step, "call": c.ID, "service": c.Service, "action": c.Action,
		"params": params, "before": before,
	}
	p := e.h.past(c.ID)
	if c.Examiner {
		data["examiner"] = true
	}
	if d.undo != nil && p.undo == nil {
		if u := d.undo(params, before); u != nil {
			m, err := object(u)
			if err != nil {
				return err
			}
			data["undo"], p.undo = m, u
		}
	}
	if err := e.s.Ledger.Append(ctx, custody.Record{Type: recordIntent, Data: data}); err != nil {
		return err
	}
	p.open, p.intent, p.examiner = true, params, c.Examiner
	p.service, p.action, p.step = c.Service, c.Action, step
	p.again++
	e.changed(step, c.ID, "calling")
	return nil
}

type custodyOutcome struct {
	outcome string
	result  map[string]any
	answer  *evidence.CloudAnswer
	err     *evidence.CloudError
	target  string
}

// record writes the outcome of a call.
func (e *engine) record(ctx context.Context, step string, c *Call, o custodyOutcome) error {
	data := map[string]any{
		"instance": e.instance, "step": step, "call": c.ID, "service": c.Service, "action": c.Action, "outcome": o.outcome,
		"account": e.account, "region": e.s.Region,
	}
	r := custody.Record{Type: recordCall, Result: "ok", Data: data}
	if o.result != nil {
		data["result"] = o.result
	}
	if o.target != "" {
		data["target"] = o.target
	}
	if o.answer != nil {
		data["request_id"] = o.answer.RequestID
		r.Clock = map[string]any{"aws_skew_ms": o.answer.SkewMS}
	}
	if o.err != nil {
		r.Result = "failed"
		data["error"], data["code"], data["request_id"] = o.err.Error(), o.err.Code, o.err.RequestID
	}
	if err := e.s.Ledger.Append(ctx, r); err != nil {
		return err
	}
	p := e.h.past(c.ID)
	p.open = o.outcome == outcomeUnknown
	p.done = o.err == nil
	p.service, p.action, p.step = c.Service, c.Action, step
	p.request = text(data, "request_id")
	if o.err == nil {
		p.result, p.err = o.result, ""
		e.acted = e.acted || o.outcome != outcomeAlready
		e.h.after(p, c.ID, o.target)
	} else {
		p.err = o.err.Error()
	}
	e.changed(step, c.ID, o.outcome)
	return nil
}

// resultOf is a state as the result of a call that made it.
func resultOf(d deed, state map[string]any) map[string]any {
	if d.made == nil {
		return map[string]any{}
	}
	return state
}

func answerMap(a evidence.CloudAnswer) (map[string]any, error) {
	var m map[string]any
	if err := decode(a.Body, &m); err != nil {
		return nil, fmt.Errorf("decode the answer: %w", err)
	}
	return m, nil
}

// outgoing is a call as it goes out: notes (names that begin with "_") stay
// here, and what no record may hold is put in.
func (e *engine) outgoing(ctx context.Context, c *Call, params map[string]any) (evidence.CloudCall, error) {
	p := maps.Clone(params)
	maps.DeleteFunc(p, func(k string, _ any) bool { return strings.HasPrefix(k, "_") })
	if l, ok := p["Parameters"].(map[string]any); ok && c.Action == "SendCommand" && strings.Contains(fmt.Sprint(l["commands"]), memoryScriptName) {
		script, err := e.memoryScript(ctx, params)
		if err != nil {
			return evidence.CloudCall{}, err
		}
		p["Parameters"] = map[string]any{"commands": list(script), "executionTimeout": l["executionTimeout"]}
	}
	return evidence.CloudCall{Service: c.Service, Action: c.Action, Params: p}, nil
}

// cloud is the account that a call is made with.
func (e *engine) cloud(c *Call) Cloud {
	if c.Examiner && e.s.Examiner != nil {
		return e.s.Examiner
	}
	return e.s.Cloud
}

var placeholder = regexp.MustCompile(`\$\{([^}]+)\}`)

// resolve fills the names in ${…}: results of earlier calls as ${CALL.NAME},
// ${this.NAME} of the call that is taken back, ${now}, ${token}, and ids that change with
// each replacement, which are asked for.
func (e *engine) resolve(ctx context.Context, params map[string]any, this map[string]any) (map[string]any, error) {
	v, err := e.fill(ctx, params, this)
	if err != nil {
		return nil, err
	}
	return object(v)
}

func (e *engine) fill(ctx context.Context, v any, this map[string]any) (any, error) {
	switch v := v.(type) {
	case string:
		return e.fillText(ctx, v, this)
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			y, err := e.fill(ctx, x, this)
			if err != nil {
				return nil, err
			}
			out[k] = y
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			y, err := e.fill(ctx, x, this)
			if err != nil {
				return nil, err
			}
			out[i] = y
		}
		return out, nil
	}
	return v, nil
}

func (e *engine) fillText(ctx context.Context, s string, this map[string]any) (string, error) {
	var err error
	out := placeholder.ReplaceAllStringFunc(s, func(m string) string {
		if err != nil {
			return m
		}
		var v string
		v, err = e.lookup(ctx, m[2:len(m)-1], this)
		return v
	})
	return out, err
}

func (e *engine) lookup(ctx context.Context, name string, this map[string]any) (string, error) {
	if "${"+name+"}" == memoryScriptName {
		return memoryScriptName, nil // holds signed addresses: put in when it is sent
	}
	if name == "token" { // the intent keeps it: whoever makes the call again uses the same
		return sha([]byte(e.s.CaseID + e.instance + stampOf(e.s.Now()) + strconv.Itoa(len(e.h.order))))[:32], nil
	}
	if name == "now" {
		return e.s.Now().UTC().Format(time.RFC3339), nil
	}
	if instance, ok := strings.CutPrefix(name, "association:"); ok {
		id, _, err := association(ctx, e.s.Cloud, instance)
		if err == nil && id == "" {
			err = &needError{"the profile association of " + instance}
		}
		return id, err
	}
	if subnet, ok := strings.CutPrefix(name, "acl-association:"); ok {
		id, _, err := aclAssociation(ctx, e.s.Cloud, subnet)
		return id, err
	}
	if key, ok := strings.CutPrefix(name, "this."); ok {
		if v := text(this, key); v != "" {
			return v, nil
		}
		return "", &needError{name}
	}
	i := strings.LastIndexByte(name, '.')
	if i > 0 {
		if p := e.h.calls[name[:i]]; p != nil && p.done {
			if v := text(p.result, name[i+1:]); v != "" {
				return v, nil
			}
		}
	}
	return "", &needError{name}
}

// sleep waits, or ends with the context.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
