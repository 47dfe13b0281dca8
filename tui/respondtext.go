package tui

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"snapcase/evidence/respond"
	"snapcase/evidence/visible"
	"snapcase/tui/widget"
)

// look of a state: sign, role and word.
type stateLook struct {
	sign visible.Text
	role widget.Role
	word visible.Text
}

var (
	lookWaiting = stateLook{visible.Lit("·"), widget.Dim, visible.Lit("not begun")}
	lookNow     = stateLook{visible.Lit("▶"), widget.Info, visible.Lit("under way")}
	lookBegun   = stateLook{visible.Lit("▶"), widget.Warn, visible.Lit("begun, not finished")}
	lookDone    = stateLook{visible.Lit("✓"), widget.OK, visible.Lit("done")}
	lookPartial = stateLook{visible.Lit("!"), widget.Warn, visible.Lit("done in part")}
	lookFailed  = stateLook{visible.Lit("!"), widget.Warn, visible.Lit("not done")}
	lookCannot  = stateLook{visible.Lit("!"), widget.Warn, visible.Lit("cannot be done as things are")}
	lookUndone  = stateLook{visible.Lit("✓"), widget.Dim, visible.Lit("was done before the undo")}
	lookDenied  = stateLook{visible.Lit("!"), widget.Warn, visible.Lit("not all of it is allowed")}
)

// stepLook is how a step stands.
func (s *respondScreen) stepLook(st *respond.Step, state *respond.StepStatus) stateLook {
	if p, ok := s.live[st.ID]; ok && s.running != nil {
		switch {
		case p.What == "done" || p.What == "done before":
			return lookDone
		case strings.HasPrefix(p.What, "not done"):
			return lookFailed
		}
		return lookNow
	}
	if state != nil {
		switch state.State {
		case "ok":
			if s.undone() {
				return lookUndone
			}
			return lookDone
		case "partial":
			return lookPartial
		case "failed":
			return lookFailed
		case "begun":
			return lookBegun
		}
	}
	if st.Cannot != "" {
		return lookCannot
	}
	for i := range st.Calls {
		if st.Calls[i].Mutates && st.Calls[i].Allowed == "no" {
			return lookDenied
		}
	}
	return lookWaiting
}

// callLook is how a changing call stands.
func (s *respondScreen) callLook(c *respond.Call, state *respond.CallStatus) stateLook {
	if p, ok := s.live[c.ID]; ok && s.running != nil {
		switch p.What {
		case "done", "already", "settled":
			return lookDone
		case "refused":
			return stateLook{visible.Lit("✗"), widget.Bad, visible.Lit("refused")}
		}
		return lookNow
	}
	if state != nil {
		switch state.State {
		case "done":
			if s.undone() {
				return lookUndone
			}
			return lookDone
		case "refused":
			return stateLook{visible.Lit("✗"), widget.Bad, visible.Lit("refused")}
		case "unsettled":
			return stateLook{visible.Lit("?"), widget.Warn, visible.Lit("no answer: the next run asks AWS before it repeats it")}
		}
	}
	return lookWaiting
}

// bullet is text behind a sign, wrapped below itself.
func bullet(w int, r widget.Role, sign visible.Text, text widget.Role, t visible.Text) []widget.Line {
	var out []widget.Line
	n := widget.Width(sign)
	for i, x := range widget.Wrap(t, max(w-n-1, 8)) {
		if i > 0 {
			sign = visible.Sprintf("%*s", n, "")
		}
		out = append(out, widget.Line{span(r, visible.Join("", sign, visible.Lit(" "))), span(text, x)})
	}
	return out
}

// stepLines is the detail of a step: how it stands, the exact calls, what is
// held against the answer.
func (s *respondScreen) stepLines(st *respond.Step, state *respond.StepStatus, w int) []widget.Line {
	look := s.stepLook(st, state)
	l := []widget.Line{{span(look.role, visible.Sprintf("%s %s", look.sign, look.word))}}
	if p, ok := s.live[st.ID]; ok && p.What == "waiting" && p.Total > 0 {
		l = append(l, widget.Line{span(widget.Info, visible.Sprintf("  waiting: %d of %d  %s", p.Done, p.Total, p.Call))})
	}
	warn := func(t string) {
		l = append(l, bullet(w, widget.Warn, visible.Lit("!"), widget.Normal, visible.Escape(t))...)
	}
	if st.Cannot != "" {
		warn(st.Cannot)
	}
	if state != nil && state.Why != "" && state.Why != st.Cannot {
		warn(state.Why)
	}
	if state != nil && state.Exhibit != "" {
		l = append(l, field(visible.Lit("exhibit"), widget.Link, visible.Escape(state.Exhibit)))
	}
	for _, t := range st.Warnings {
		warn(t)
	}
	l = append(l, s.changeLines(st, state, w)...)
	l = append(l, proofLines(st, state, w)...)
	return append(l, readLines(st, w)...)
}

func (s *respondScreen) changeLines(st *respond.Step, state *respond.StepStatus, w int) []widget.Line {
	var l []widget.Line
	for i := range st.Calls {
		c := &st.Calls[i]
		if !c.Mutates {
			continue
		}
		if l == nil {
			l = append(l, nil, widget.Line{span(widget.Label, visible.Lit("Calls, in this order"))})
		}
		l = append(l, s.callLines(c, callStatus(state, c.ID), w)...)
	}
	return l
}

func callStatus(state *respond.StepStatus, id string) *respond.CallStatus {
	if state != nil {
		for i := range state.Calls {
			if state.Calls[i].ID == id {
				return &state.Calls[i]
			}
		}
	}
	return nil
}

// callLines is one changing call with its parameters.
func (s *respondScreen) callLines(c *respond.Call, state *respond.CallStatus, w int) []widget.Line {
	look := s.callLook(c, state)
	head := widget.Line{span(look.role, visible.Sprintf("%s ", look.sign)), span(widget.KeyID, visible.Escape(c.Name()))}
	if c.Allowed != "" {
		role := map[string]widget.Role{"yes": widget.OK, "no": widget.Bad}[c.Allowed]
		if role == widget.Normal {
			role = widget.Dim
		}
		head = append(head, span(role, visible.Sprintf("  allowed: %s", c.Allowed)))
	}
	undo := visible.Lit("  undo: none")
	if c.Undo != "" {
		undo = visible.Sprintf("  undo: %s", c.Undo)
	}
	if n := head.Width() + widget.Width(undo); n <= w {
		head = append(head, span(widget.Dim, undo))
		undo = widget.Blank
	}
	l := []widget.Line{head}
	if undo.String() != "" {
		l = append(l, widget.Line{span(widget.Dim, visible.Join("", visible.Lit("  "), undo))})
	}
	if c.Examiner {
		l = append(l, widget.Line{span(widget.Dim, visible.Lit("    with the examiner's own account"))})
	}
	l = append(l, s.paramLines(c.Params, w)...)
	if state == nil {
		return l
	}
	for _, k := range slices.Sorted(mapKeys(state.Made)) {
		l = append(l, bullet(w, widget.OK, visible.Lit("    →"), widget.Normal, visible.Sprintf("%s %s", k, state.Made[k]))...)
	}
	if state.RequestID != "" {
		l = append(l, widget.Line{span(widget.Dim, visible.Sprintf("    request %s", state.RequestID))})
	}
	if state.Error != "" {
		l = append(l, bullet(w, widget.Bad, visible.Lit("    ✗"), widget.Normal, visible.Escape(masked(state.Error)))...)
	}
	return l
}

func mapKeys[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// placeholder is the name of an id that an earlier call will have made.
var placeholder = regexp.MustCompile(`\$\{([^}]+)\.([^}.]+)\}`)

// paramLines are the parameters, one a line, names in the order of the
// alphabet; an id that exists only then is named by the call that makes it.
func (s *respondScreen) paramLines(params map[string]any, w int) []widget.Line {
	var l []widget.Line
	for _, k := range names(params) {
		if strings.HasPrefix(k, "_") {
			continue // a note of the playbook, not sent
		}
		text := masked(plainJSON(params[k]))
		text = placeholder.ReplaceAllStringFunc(text, func(m string) string {
			p := placeholder.FindStringSubmatch(m)
			if st := s.madeBy(p[1]); st != nil && st.Made[p[2]] != "" {
				return st.Made[p[2]]
			}
			return "(" + p[2] + " of " + p[1] + ")"
		})
		l = append(l, paramText(w, visible.Escape(k), visible.Escape(text))...)
	}
	return l
}

// paramText is a parameter: what does not fit behind its name goes on below it.
func paramText(w int, name, value visible.Text) []widget.Line {
	const in, more = 4, 6
	lead := widget.Width(name) + 1
	parts := widget.Wrap(value, max(w-in-lead, 8))
	var first visible.Text
	if len(parts) > 0 {
		first = parts[0]
	}
	l := []widget.Line{{span(widget.Label, visible.Sprintf("    %s ", name)), span(widget.Normal, first)}}
	if len(parts) < 2 {
		return l
	}
	rest := strings.TrimPrefix(strings.TrimPrefix(value.String(), first.String()), " ")
	for _, t := range widget.Wrap(visible.Part(value, rest), max(w-more, 8)) {
		l = append(l, widget.Line{span(widget.Normal, visible.Sprintf("      %s", t))})
	}
	return l
}

// madeBy is the status of the call with an id.
func (s *respondScreen) madeBy(id string) *respond.CallStatus {
	if s.at.val.status == nil {
		return nil
	}
	for i := range s.at.val.status.Steps {
		if c := callStatus(&s.at.val.status.Steps[i], id); c != nil {
			return c
		}
	}
	return nil
}

// plainJSON is a parameter as JSON, a text without quotes.
func plainJSON(v any) string {
	if t, ok := v.(string); ok {
		return t
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSpace(b.String())
}

func proofLines(st *respond.Step, state *respond.StepStatus, w int) []widget.Line {
	l := []widget.Line{nil, {span(widget.Label, visible.Lit("Proof"))}}
	if state != nil && len(state.Checks) > 0 {
		for _, c := range state.Checks {
			l = append(l, bullet(w, widget.OK, visible.Lit("✓"), widget.Normal, visible.Escape(c))...)
		}
		return l
	}
	if len(st.Checks) == 0 {
		return nil
	}
	for _, c := range st.Checks {
		l = append(l, bullet(w, widget.Dim, visible.Lit("·"), widget.Normal, visible.Escape(c))...)
	}
	return l
}

// readLines are the calls that change nothing.
func readLines(st *respond.Step, w int) []widget.Line {
	var l []widget.Line
	for i := range st.Calls {
		c := &st.Calls[i]
		if c.Mutates {
			continue
		}
		if l == nil {
			l = append(l, nil, widget.Line{span(widget.Label, visible.Lit("Reads, which change nothing"))})
		}
		l = append(l, bullet(w, widget.Dim, visible.Lit("·"), widget.Dim, visible.Sprintf("%s %s", c.Name(), masked(plainJSON(c.Params))))...)
	}
	return l
}

// staysLines are the ways in or out that stay.
func staysLines(all []respond.Residual, w int) []widget.Line {
	if len(all) == 0 {
		return []widget.Line{widget.Plain(widget.Dim, visible.Lit("The plan says what stays open after it."))}
	}
	looks := map[string]stateLook{"open": {visible.Lit("▲"), widget.Bad, visible.Lit("open   ")}, "closed": {visible.Lit("✓"), widget.OK, visible.Lit("closed ")}}
	var l []widget.Line
	for _, state := range []string{"open", "unknown", "closed"} {
		for _, r := range all {
			if r.State != state {
				continue
			}
			k, ok := looks[r.State]
			if !ok {
				k = stateLook{visible.Lit("?"), widget.Warn, visible.Lit("unknown")}
			}
			l = append(l, widget.Line{span(k.role, visible.Sprintf("%s %s ", k.sign, k.word)), span(widget.Title, visible.Escape(r.Channel))})
			l = append(l, bullet(w, widget.Dim, visible.Lit("         "), widget.Dim, visible.Escape(r.Why))...)
			if r.Remedy != "" {
				l = append(l, bullet(w, widget.Label, visible.Lit("          remedy"), widget.Normal, visible.Escape(r.Remedy))...)
			}
		}
	}
	return l
}

// boardLines are the permissions that the plan needs: what DryRun said, no
// before unknown before yes.
func boardLines(steps []respond.Step, w int) []widget.Line {
	type need struct {
		allowed string
		steps   []string
	}
	rank := map[string]int{"no": 0, "unknown": 1, "yes": 2}
	board := map[string]*need{}
	for i := range steps {
		for _, c := range steps[i].Calls {
			if !c.Mutates || c.Permission == "" {
				continue
			}
			n := board[c.Permission]
			if n == nil {
				n = &need{allowed: c.Allowed}
				board[c.Permission] = n
			}
			if rank[c.Allowed] < rank[n.allowed] {
				n.allowed = c.Allowed
			}
			if !slices.Contains(n.steps, steps[i].ID) {
				n.steps = append(n.steps, steps[i].ID)
			}
		}
	}
	if len(board) == 0 {
		return []widget.Line{widget.Plain(widget.Dim, visible.Lit("The plan says which permissions it needs."))}
	}
	var l []widget.Line
	for _, a := range []stateLook{{visible.Lit("✗"), widget.Bad, visible.Lit("no")}, {visible.Lit("?"), widget.Warn, visible.Lit("unknown")}, {visible.Lit("✓"), widget.OK, visible.Lit("yes")}} {
		for _, name := range slices.Sorted(mapKeys(board)) {
			if n := board[name]; n.allowed == a.word.String() {
				l = append(l, widget.Line{
					span(a.role, visible.Sprintf("%s %-8s", a.sign, a.word)), span(widget.KeyID, visible.Sprintf("%-40s", name)),
					span(widget.Dim, visible.Sprintf(" %s", strings.Join(n.steps, ", "))),
				})
			}
		}
	}
	l = append(l, nil)
	return append(l, bullet(w, widget.Dim, visible.Lit("·"), widget.Dim, visible.Lit("Asked by DryRun, which changes nothing. Unknown: the service has no DryRun, or the call needs an id that does not exist yet."))...)
}
