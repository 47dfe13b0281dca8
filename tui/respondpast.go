package tui

import (
	"slices"

	"snapcase/evidence/custody"
	"snapcase/evidence/respond"
	"snapcase/evidence/visible"
	"snapcase/imaging"
	"snapcase/tui/widget"
)

// pastResponse is the response to one instance, as the ledger has it.
type pastResponse struct {
	instance string
	began    imaging.Time
	state    visible.Text
	role     widget.Role
}

// words of a record's data.
func dataText(r custody.Record, name string) string {
	s, _ := r.Data[name].(string)
	return s
}

// pastResponses lists the instances of the ledger, the latest first.
func pastResponses(records []custody.Record) []pastResponse {
	var out []pastResponse
	at := map[string]int{}
	gaps := map[string]bool{}
	for _, r := range records {
		id := dataText(r, "instance")
		if id == "" {
			continue
		}
		i, seen := at[id]
		if !seen {
			i = len(out)
			at[id] = i
			out = append(out, pastResponse{instance: id, began: r.Time})
		}
		p := &out[i]
		switch {
		case r.Type == "respond.undo" && r.Result == "ok":
			p.state, p.role = visible.Lit("undone"), widget.Dim
		case r.Type == "respond.plan":
			p.state, p.role = visible.Lit("begun"), widget.Warn
			gaps[id] = false
		case r.Type == "respond.step":
			gaps[id] = gaps[id] || r.Result != "ok"
			if dataText(r, "step") == "after" {
				p.state, p.role = visible.Lit("done"), widget.OK
				if gaps[id] {
					p.state, p.role = visible.Lit("partial"), widget.Warn
				}
			}
		}
	}
	slices.Reverse(out)
	return out
}

// logLine is one line of the log: a record of the ledger.
type logLine struct {
	record custody.Record
	role   widget.Role
	sign   visible.Text
	what   visible.Text
}

// logOf makes the log of an instance. An intent shows only while it has no
// outcome.
func logOf(records []custody.Record, instance string) []logLine {
	var out []logLine
	intents := map[string]int{} // by call, in out
	for _, r := range records {
		if dataText(r, "instance") != instance {
			continue
		}
		l := logLine{record: r, role: widget.OK, sign: visible.Lit("✓")}
		name := visible.Sprintf("%s:%s", dataText(r, "service"), dataText(r, "action"))
		call := dataText(r, "call")
		switch r.Type {
		case "respond.intent":
			l.role, l.sign = widget.Warn, visible.Lit("?")
			l.what = visible.Sprintf("%s  %s: sent, no outcome yet", name, call)
			intents[call] = len(out)
		case "respond.call":
			l.what = visible.Sprintf("%s  %s", name, call)
			if made := flat(r.Data["result"]); r.Data["result"] != nil && made != "{}" {
				l.what = visible.Join("", l.what, visible.Sprintf("  %s", made))
			}
			switch o := dataText(r, "outcome"); {
			case o == "unknown":
				l.role, l.sign = widget.Warn, visible.Lit("?")
				l.what = visible.Sprintf("%s: no clear answer: %s", l.what, dataText(r, "error"))
			case r.Result != "ok":
				l.role, l.sign = widget.Bad, visible.Lit("✗")
				l.what = visible.Sprintf("%s: %s", l.what, dataText(r, "error"))
			case o != "done":
				l.what = visible.Sprintf("%s  (%s)", l.what, o)
			}
			if i, ok := intents[call]; ok {
				out = append(out[:i], out[i+1:]...)
				delete(intents, call)
				for c, j := range intents {
					if j > i {
						intents[c] = j - 1
					}
				}
			}
		default:
			l.what, l.role, l.sign = otherRecord(r)
		}
		out = append(out, l)
	}
	return out
}

// otherRecord is a plan, the end of a step, or an undo.
func otherRecord(r custody.Record) (what visible.Text, role widget.Role, sign visible.Text) {
	role, sign = widget.OK, visible.Lit("✓")
	if r.Result == "failed" || r.Result == "partial" {
		role, sign = widget.Warn, visible.Lit("!")
	}
	switch r.Type {
	case "respond.plan":
		return visible.Sprintf("plan of %s changes, %s, as %s", flat(r.Data["calls"]), dataText(r, "order"), dataText(r, "caller")), widget.Info, visible.Lit("·")
	case "respond.step":
		what = visible.Sprintf("step %s", dataText(r, "step"))
		if w := dataText(r, "why"); w != "" {
			what = visible.Sprintf("%s: %s", what, w)
		}
		if r.Exhibit != "" {
			what = visible.Sprintf("%s  %s", what, r.Exhibit)
		}
	case "respond.undo":
		what = visible.Sprintf("undo: %s", flat(r.Data["brought_back"]))
		if w := flat(r.Data["failed"]); r.Data["failed"] != nil {
			what = visible.Sprintf("%s; not brought back: %s", what, w)
		}
	default:
		what = visible.Sprintf("%s", r.Type)
	}
	return what, role, sign
}

// stepsOfLedger puts the steps of an instance together from the records alone,
// where its plan is not at hand: those since the last undo, or, where there are
// none, those before it.
func stepsOfLedger(records []custody.Record, instance string) (steps []respond.Step, states []respond.StepStatus) {
	var all []custody.Record
	for _, r := range records {
		if dataText(r, "instance") == instance {
			all = append(all, r)
		}
	}
	from := 0
	for i, r := range all {
		if r.Type == "respond.undo" && r.Result == "ok" && i+1 < len(all) {
			from = i + 1
		}
	}
	at := map[string]int{}
	for _, r := range all[from:] {
		id := dataText(r, "step")
		if id == "" || id == "undo" {
			continue
		}
		i, seen := at[id]
		if !seen {
			i = len(steps)
			at[id] = i
			steps = append(steps, respond.Step{ID: id})
			states = append(states, respond.StepStatus{ID: id, State: "begun"})
		}
		stepRecord(&steps[i], &states[i], r)
	}
	return steps, states
}

func stepRecord(st *respond.Step, state *respond.StepStatus, r custody.Record) {
	if r.Type == "respond.step" {
		state.State, state.Why, state.Exhibit = r.Result, dataText(r, "why"), r.Exhibit
		if l, ok := r.Data["checks"].([]any); ok {
			for _, c := range l {
				state.Checks = append(state.Checks, flat(c))
			}
		}
		return
	}
	id := dataText(r, "call")
	i := slices.IndexFunc(st.Calls, func(c respond.Call) bool { return c.ID == id })
	if i < 0 {
		i = len(st.Calls)
		st.Calls = append(st.Calls, respond.Call{ID: id, Service: dataText(r, "service"), Action: dataText(r, "action"), Mutates: true})
		state.Calls = append(state.Calls, respond.CallStatus{ID: id, State: "unsettled", Made: map[string]string{}})
	}
	c, cs := &st.Calls[i], &state.Calls[i]
	switch r.Type {
	case "respond.intent":
		c.Params, _ = r.Data["params"].(map[string]any)
		if u, ok := r.Data["undo"].(map[string]any); ok {
			c.Undo, _ = u["action"].(string)
		}
		cs.State = "unsettled"
	case "respond.call":
		cs.RequestID, cs.Error = dataText(r, "request_id"), dataText(r, "error")
		switch {
		case r.Result == "ok":
			cs.State, cs.Error = "done", ""
		case dataText(r, "outcome") == "refused":
			cs.State = "refused"
		}
		if m, ok := r.Data["result"].(map[string]any); ok {
			for k, v := range m {
				cs.Made[k] = flat(v)
			}
		}
	}
}
