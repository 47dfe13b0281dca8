package respond

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Status is what the ledger knows of the response to an instance.
type Status struct {
	Instance  string           `json:"instance"`
	Planned   bool             `json:"planned"`
	Undone    int              `json:"undone"` // complete undos before
	Begun     string           `json:"begun"`  // time of the first record; "" for none
	Steps     []StepStatus     `json:"steps"`
	Unsettled []string         `json:"unsettled"` // calls without an answer: the next run asks AWS about them
	Snapshots []SnapshotStatus `json:"snapshots"`
	Undo      []string         `json:"undo"` // what undo would bring back, in its order
	Left      []string         `json:"left"` // what earlier undos left, since nobody named it
	Residual  []Residual       `json:"residual"`
}

// StepStatus is how far a step is.
type StepStatus struct {
	ID      string       `json:"id"`
	Title   string       `json:"title"`
	State   string       `json:"state"` // waiting, begun, ok, partial, failed
	Why     string       `json:"why"`
	Exhibit string       `json:"exhibit"`
	Checks  []string     `json:"checks"`
	Calls   []CallStatus `json:"calls"`
}

// CallStatus is a call that changes something.
type CallStatus struct {
	ID        string            `json:"id"`
	Call      string            `json:"call"`
	State     string            `json:"state"` // waiting, unsettled, done, refused
	RequestID string            `json:"request_id"`
	Made      map[string]string `json:"made"` // ids
	Error     string            `json:"error"`
	Attempts  int               `json:"attempts"`
}

// SnapshotStatus is how far a snapshot is; State is "unknown" where AWS was not
// asked.
type SnapshotStatus struct {
	ID       string `json:"id"`
	Volume   string `json:"volume"`
	State    string `json:"state"`
	Progress int    `json:"progress"` // percent
}

// Status tells what is known, and changes nothing. With a Cloud the progress of
// the snapshots is asked for; without one it stays unknown.
func (s *Session) Status(ctx context.Context, instance string) (*Status, error) {
	h, err := readHistory(s.Folder, instance)
	if err != nil {
		return nil, fmt.Errorf("status of %s: %w", instance, err)
	}
	st := &Status{Instance: instance, Undone: h.undos, Begun: h.started, Steps: []StepStatus{}, Unsettled: []string{}, Snapshots: []SnapshotStatus{}, Undo: []string{}, Left: []string{}, Residual: []Residual{}}
	for id, p := range h.calls {
		if p.open {
			st.Unsettled = append(st.Unsettled, id)
		}
	}
	slices.Sort(st.Unsettled)
	for _, t := range h.takeBacks() {
		st.Undo = append(st.Undo, t.Service+":"+t.Action+" "+t.past.targetOf(t.takeBack))
	}
	for _, t := range h.kept {
		st.Left = append(st.Left, t.Target)
	}
	p, err := s.saved(h, instance)
	if err != nil {
		return nil, fmt.Errorf("status of %s: %w", instance, err)
	}
	if p == nil {
		return st, nil
	}
	st.Planned = true
	for i := range p.Steps {
		st.Steps = append(st.Steps, h.stepStatus(&p.Steps[i]))
	}
	st.Residual = asDone(p.Residual, st.Steps)
	return st, s.snapshots(ctx, st, h)
}

func (h *history) stepStatus(p *Step) StepStatus {
	s := StepStatus{ID: p.ID, Title: p.Title, State: "waiting", Exhibit: h.exhibits[p.ID], Checks: []string{}, Calls: []CallStatus{}}
	for i := range p.Calls {
		c := &p.Calls[i]
		if !c.Mutates {
			continue
		}
		cs := CallStatus{ID: c.ID, Call: c.Name(), State: "waiting", Made: map[string]string{}}
		if q := h.calls[c.ID]; q != nil {
			s.State = "begun"
			cs.RequestID, cs.Error, cs.Attempts = q.request, q.err, q.again
			for k := range q.result {
				if v := text(q.result, k); v != "" {
					cs.Made[k] = v
				}
			}
			switch {
			case q.done:
				cs.State, cs.Error = "done", ""
			case q.open:
				cs.State = "unsettled"
			case q.err != "":
				cs.State = "refused"
			}
		}
		s.Calls = append(s.Calls, cs)
	}
	if o := h.steps[p.ID]; o != nil {
		s.State, s.Why = o.result, o.why
		s.Checks = append(s.Checks, o.checks...)
	}
	return s
}

// snapshots lists the snapshots of a run with their progress.
func (s *Session) snapshots(ctx context.Context, st *Status, h *history) error {
	p := h.calls["snapshot/create"]
	if p == nil || !p.done {
		return nil
	}
	for v := range p.result {
		st.Snapshots = append(st.Snapshots, SnapshotStatus{ID: text(p.result, v), Volume: v, State: "unknown"})
	}
	slices.SortFunc(st.Snapshots, func(a, b SnapshotStatus) int { return strings.Compare(a.Volume, b.Volume) })
	if s.Cloud == nil {
		return nil
	}
	all, err := every(ctx, s.Cloud, "ec2", "DescribeSnapshots", "Snapshots", map[string]any{"SnapshotIds": list(ids(st.Snapshots, func(x SnapshotStatus) string { return x.ID })...)})
	if err != nil {
		return fmt.Errorf("status of %s: %w", st.Instance, err)
	}
	for _, m := range all {
		for i := range st.Snapshots {
			if x := &st.Snapshots[i]; x.ID == text(m, "SnapshotId") {
				x.State = text(m, "State")
				x.Progress, _ = strconv.Atoi(strings.TrimSuffix(text(m, "Progress"), "%"))
				if x.State == "completed" {
					x.Progress = 100
				}
			}
		}
	}
	return nil
}

func jsonText(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}
