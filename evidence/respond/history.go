package respond

import (
	"fmt"
	"strings"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

// The record types of the ledger that the playbook writes.
const (
	recordPlan   = "respond.plan"
	recordIntent = "respond.intent"
	recordCall   = "respond.call"
	recordStep   = "respond.step"
	recordUndo   = "respond.undo"
)

// history is what the ledger tells about an instance since its last complete
// undo. It alone decides what has been done: nothing else is kept.
type history struct {
	plans    []string // digests, oldest first
	calls    map[string]*past
	order    []string // ids of calls in the order of their first intent
	steps    map[string]*outcome
	ended    map[string]int  // how often each step came to an end
	undone   map[string]bool // targets that an undo has brought back
	kept     []*takeBack     // what earlier undos left, since nobody named it
	files    map[string]string
	exhibits map[string]string // by step
	undos    int               // complete ones before; each begins anew
	started  string            // time of the first record
}

// past is what the ledger tells of one call.
type past struct {
	intent   map[string]any // params as they were sent first; nil when none was
	open     bool           // the last intent has no outcome
	done     bool
	result   map[string]any
	undo     *takeBack
	request  string
	time     string
	err      string
	service  string
	action   string
	step     string
	again    int // intents
	examiner bool
}

// outcome is how a step ended last.
type outcome struct {
	result string // ok, partial, failed
	why    string
	time   string
	checks []string
}

// readHistory replays the records of one instance.
func readHistory(folder evidence.Folder, instance string) (*history, error) {
	h := newHistory(0)
	for r, err := range custody.Records(folder) {
		if err != nil {
			return nil, fmt.Errorf("read the ledger: %w", err)
		}
		if text(r.Data, "instance") != instance {
			continue
		}
		if h.started == "" {
			h.started = r.Time.String()
		}
		switch r.Type {
		case recordPlan:
			h.plans = append(h.plans, text(r.Data, "plan_sha256"))
		case recordIntent:
			h.intent(r)
		case recordCall:
			h.call(r)
		case recordStep:
			h.step(r)
		case recordUndo:
			if r.Result == "ok" {
				h = h.next()
			}
		}
	}
	return h, nil
}

func newHistory(undos int) *history {
	return &history{calls: map[string]*past{}, steps: map[string]*outcome{}, ended: map[string]int{}, undone: map[string]bool{}, files: map[string]string{}, exhibits: map[string]string{}, undos: undos}
}

// past gives what is known of a call, and remembers it from now on.
func (h *history) past(id string) *past {
	p := h.calls[id]
	if p == nil {
		p = &past{}
		h.calls[id] = p
		h.order = append(h.order, id)
	}
	return p
}

func (h *history) intent(r custody.Record) {
	p := h.past(text(r.Data, "call"))
	p.open = true
	p.again++
	p.service, p.action, p.step = text(r.Data, "service"), text(r.Data, "action"), text(r.Data, "step")
	p.intent, _ = r.Data["params"].(map[string]any)
	p.examiner, _ = r.Data["examiner"].(bool)
	if p.undo == nil { // the state before the first attempt is the state before
		if m, ok := r.Data["undo"].(map[string]any); ok {
			p.undo = takeBackOf(m)
		}
	}
}

func takeBackOf(m map[string]any) *takeBack {
	params, _ := m["params"].(map[string]any)
	return &takeBack{Service: text(m, "service"), Action: text(m, "action"), Params: params, Target: text(m, "target"), Named: text(m, "named")}
}

func (h *history) call(r custody.Record) {
	p := h.past(text(r.Data, "call"))
	p.open = text(r.Data, "outcome") == outcomeUnknown
	p.request, p.time, p.err = text(r.Data, "request_id"), r.Time.String(), text(r.Data, "error")
	p.service, p.action, p.step = text(r.Data, "service"), text(r.Data, "action"), text(r.Data, "step")
	if r.Result == "ok" {
		p.done = true
		p.result, _ = r.Data["result"].(map[string]any)
		h.after(p, text(r.Data, "call"), text(r.Data, "target"))
	}
}

// after follows a call that was made: one that takes others back makes them not
// made again.
func (h *history) after(p *past, id, target string) {
	if open, ok := strings.CutPrefix(id, backPrefix); ok {
		h.past(open).done = false
	}
	if target == "" {
		return
	}
	h.undone[target] = true
	for _, id := range h.order {
		q := h.calls[id]
		if q != p && q.undo != nil && (q.done || q.open) && q.target() == target {
			q.done, q.open = false, false
			h.forget(q.result)
		}
	}
}

// forget makes calls not made that worked on what was taken away, and that have
// nothing of their own to take back.
func (h *history) forget(gone map[string]any) {
	for k := range gone {
		id := text(gone, k)
		if id == "" {
			continue
		}
		for _, q := range h.calls {
			if q.undo == nil && q.done && strings.Contains(fmt.Sprint(q.intent), id) {
				q.done = false
			}
		}
	}
}

// target is what the call's undo brings back, with the ids of what it made.
func (p *past) target() string { return p.targetOf(p.undo) }

func (p *past) targetOf(t *takeBack) string {
	return placeholder.ReplaceAllStringFunc(t.Target, func(m string) string {
		if k, ok := strings.CutPrefix(m[2:len(m)-1], "this."); ok && text(p.result, k) != "" {
			return text(p.result, k)
		}
		return m
	})
}

// backPrefix begins the ids of calls that give an interface its groups back
// within a run.
const backPrefix = "back/"

// undoPrefix begins the ids of calls of an undo.
const undoPrefix = "undo/"

func (h *history) step(r custody.Record) {
	id := text(r.Data, "step")
	o := &outcome{result: r.Result, why: text(r.Data, "why"), time: r.Time.String()}
	if l, ok := r.Data["checks"].([]any); ok {
		for _, c := range l {
			if s, ok := c.(string); ok {
				o.checks = append(o.checks, s)
			}
		}
	}
	h.steps[id] = o
	h.ended[id]++
	if x := r.Exhibit; x != "" {
		h.exhibits[id] = x
	}
	if m, ok := r.Data["files"].(map[string]any); ok {
		for k := range m {
			h.files[k] = text(m, k)
		}
	}
}

// next begins anew after a complete undo. What it left because nobody named it
// can still be named.
func (h *history) next() *history {
	n := newHistory(h.undos + 1)
	for _, t := range h.takeBacks() {
		if t.Named != "" {
			n.kept = append(n.kept, t.takeBack)
		}
	}
	return n
}
