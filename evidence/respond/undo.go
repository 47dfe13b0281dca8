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

// taking is a call that was made and what takes it back.
type taking struct {
	id string
	*takeBack
	past *past
}

// takeBacks lists what takes back the calls of this history, in the order in
// which they are to be made: the last call first. Of several calls that changed
// the same, the state before the first counts, at the place of the last.
func (h *history) takeBacks() []taking {
	first := map[string]*takeBack{}
	last := map[string]string{}
	for _, id := range h.order {
		p := h.calls[id]
		if p.undo == nil {
			continue
		}
		key := p.key(id)
		if first[key] == nil {
			first[key] = p.undo
		}
		if p.done || p.open {
			last[key] = id
		}
	}
	var all []taking
	for _, id := range h.order {
		if p := h.calls[id]; p.undo != nil && last[p.key(id)] == id {
			all = append(all, taking{id, first[p.key(id)], p})
		}
	}
	slices.Reverse(all)
	return all
}

// key tells apart what calls changed; what a call made is its own.
func (p *past) key(id string) string {
	if strings.Contains(p.undo.Target, "${this.") {
		return id
	}
	return p.undo.Target
}

// UndoOptions say what undo may bring back that it leaves alone otherwise.
type UndoOptions struct {
	Named []string // access keys to make active again; roles and users whose older sessions are to live again
}

// Undo brings back what a run changed, the last change first: groups, addresses,
// profile, attributes, network ACLs; the isolation group is deleted last. It
// never deletes a snapshot, a log or an exhibit, and what revives credentials it
// does only where it is named. The error is evidence.ErrGaps (wrapped) when
// something could not be brought back; the same call goes on.
func (s *Session) Undo(ctx context.Context, instance string, o UndoOptions) error {
	if err := s.undo(ctx, instance, o); err != nil {
		return fmt.Errorf("undo the response to %s: %w", instance, err)
	}
	return nil
}

func (s *Session) undo(ctx context.Context, instance string, o UndoOptions) error {
	if s.Ledger == nil {
		return evidence.ErrReadOnly
	}
	h, err := readHistory(s.Folder, instance)
	if err != nil {
		return err
	}
	id, err := s.Identify(ctx)
	if err != nil {
		return err
	}
	e := &engine{s: s, instance: instance, account: id.Account, h: h, pace: s.Pace.orDefault()}
	e.changed = func(step, call, what string) {
		if s.Watch != nil {
			s.Watch(Progress{Step: step, Call: call, What: what})
		}
	}
	all := h.takeBacks()
	for _, t := range h.kept {
		all = append(all, taking{"kept/" + t.Target, t, &past{done: true}})
	}
	if len(all) == 0 && len(h.plans) == 0 {
		return evidence.WithHint(fmt.Errorf("nothing was changed: %w", evidence.ErrNotFound), "snapcase respond status shows what the ledger knows of the instance")
	}
	var failed, left, done []string
	for _, t := range all {
		if t.Named != "" && !slices.Contains(o.Named, t.Named) {
			left = append(left, t.past.targetOf(t.takeBack))
			continue
		}
		target, err := e.takeBack(ctx, t)
		switch {
		case err == nil && target != "":
			done = append(done, target)
		case err == nil:
		case passable(err):
			if target == "" {
				target = t.Target
			}
			failed = append(failed, target+": "+err.Error())
		default:
			return err
		}
	}
	return s.undone(ctx, instance, done, left, failed)
}

// undone writes how an undo ended.
func (s *Session) undone(ctx context.Context, instance string, done, left, failed []string) error {
	data := map[string]any{"instance": instance, "brought_back": list(done...), "left": list(left...)}
	r := custody.Record{Type: recordUndo, Result: "ok", Data: data}
	if len(failed) > 0 {
		r.Result = "failed"
		data["failed"] = list(failed...)
	}
	if err := s.Ledger.Append(ctx, r); err != nil {
		return err
	}
	if len(failed) > 0 {
		return fmt.Errorf("not brought back: %s: %w", strings.Join(failed, "; "), evidence.ErrGaps)
	}
	return nil
}

// takeBack makes the call that takes another back. target is "" where there
// turned out to be nothing to take back.
func (e *engine) takeBack(ctx context.Context, t taking) (target string, err error) {
	cloud := e.s.Cloud
	if t.past.examiner && e.s.Examiner != nil {
		cloud = e.s.Examiner
	}
	this := t.past.result
	if t.past.open && !t.past.done && strings.Contains(t.Target, "${this.") { // it may have made something: look
		state, done, err := e.settled(ctx, cloud, deeds[t.past.service+":"+t.past.action], t.past.intent, true)
		if err != nil || !done {
			return "", err
		}
		this = state
	}
	if target, err = e.fillText(ctx, t.Target, this); err != nil {
		return "", err
	}
	c := &Call{ID: "undo/" + t.id, Service: t.Service, Action: t.Action, Mutates: true, Examiner: t.past.examiner}
	d, ok := deeds[c.Name()]
	if !ok {
		return "", fmt.Errorf("%s: the playbook has no such call", c.Name())
	}
	params, err := e.resolve(ctx, t.Params, this)
	if err != nil {
		return "", err
	}
	return target, e.until(ctx, "undo", c, d, params, target)
}

// giveBack makes the undo of one call, within a run.
func (r *runner) giveBack(ctx context.Context, id string) error {
	p := r.h.calls[id]
	if p == nil || p.undo == nil {
		return nil
	}
	c := &Call{ID: backPrefix + id, Service: p.undo.Service, Action: p.undo.Action, Mutates: true}
	params, err := r.resolve(ctx, p.undo.Params, p.result)
	if err != nil {
		return err
	}
	return r.until(ctx, stepIsolate, c, deeds[c.Name()], params, "")
}

// writeUndo writes undo.sh: the same undo as commands of the AWS CLI.
func (r *runner) writeUndo() error {
	var b strings.Builder
	fmt.Fprintf(&b, "#!/bin/sh\n# Takes back what snapcase changed on %s, for the day when snapcase is not at hand.\n", r.instance)
	fmt.Fprintf(&b, "# snapcase respond undo does the same and writes it to the ledger. Run only one of the two.\nset -eu\nexport AWS_REGION=%s AWS_DEFAULT_REGION=%s\n", r.s.Region, r.s.Region)
	for _, t := range r.h.takeBacks() {
		line := r.command(t)
		if t.Named != "" {
			line = "# revives credentials; only if it is meant:\n# " + line
		}
		b.WriteString(line + "\n")
	}
	path := filepath.Join(r.s.Dir(r.instance), "undo.sh")
	if err := writeSynced(path, []byte(b.String())); err != nil {
		return err
	}
	return os.Chmod(path, 0o700)
}

// command writes a call that takes another back as a line for a shell. What
// stands in it is JSON in single quotes, with every single quote escaped.
func (r *runner) command(t taking) string {
	params := map[string]any{}
	for k, v := range t.Params {
		if !strings.HasPrefix(k, "_") {
			params[k] = v
		}
	}
	v, err := r.fillShell(params, t.past.result)
	if err != nil {
		return "# " + t.id + ": the id is not known: the call had no answer; snapcase respond undo looks for it"
	}
	return fmt.Sprintf("aws %s %s --cli-input-json '%s'", t.Service, kebab(t.Action), v)
}

// fillShell is params as JSON, with ids that change turned into commands that
// ask for them.
func (r *runner) fillShell(params, this map[string]any) (string, error) {
	var missing error
	b, err := jsonText(params)
	if err != nil {
		return "", err
	}
	s := strings.ReplaceAll(b, "'", `\u0027`)
	return placeholder.ReplaceAllStringFunc(s, func(m string) string {
		name := m[2 : len(m)-1]
		if i, ok := strings.CutPrefix(name, "association:"); ok {
			return `'"$(aws ec2 describe-iam-instance-profile-associations --filters Name=instance-id,Values=` + i + ` Name=state,Values=associated --query 'IamInstanceProfileAssociations[0].AssociationId' --output text)"'`
		}
		if n, ok := strings.CutPrefix(name, "acl-association:"); ok {
			return `'"$(aws ec2 describe-network-acls --filters Name=association.subnet-id,Values=` + n + ` --query "NetworkAcls[0].Associations[?SubnetId=='` + n + `'].NetworkAclAssociationId | [0]" --output text)"'`
		}
		if k, ok := strings.CutPrefix(name, "this."); ok && text(this, k) != "" {
			return text(this, k)
		}
		missing = errors.New("unknown id")
		return m
	}), missing
}

// kebab turns an API's action into the command of the AWS CLI.
func kebab(action string) string {
	var b strings.Builder
	for i, c := range action {
		if c >= 'A' && c <= 'Z' {
			if i > 0 {
				b.WriteByte('-')
			}
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}
