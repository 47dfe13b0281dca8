package respond

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"snapcase/evidence"
)

// check reads back from AWS what a step was for. A condition that does not hold
// is a doubt and stops the run, unless calls of the step are known to have been
// refused: then it is the reason why.
func (r *runner) check(ctx context.Context, st *Step) (why string, err error) {
	switch st.ID {
	case stepGroup:
		return r.checkGroups(ctx)
	case stepIsolate:
		return r.checkInterfaces(ctx, st)
	case stepSnapshot:
		return r.checkSnapshots(ctx, st)
	case stepShare:
		return r.checkShares(ctx, st)
	case stepProtect, stepCredentials, stepMirror, stepVolume, stepAttach:
		return r.checkCalls(ctx, st)
	}
	return "", nil
}

// checkCalls reads back the state of each call that was made.
func (r *runner) checkCalls(ctx context.Context, st *Step) (string, error) {
	for i := range st.Calls {
		c := &st.Calls[i]
		p := r.h.calls[c.ID]
		if p == nil || !p.done || p.intent == nil {
			continue
		}
		if err := r.confirm(ctx, r.cloud(c), c.ID, deeds[c.Name()], p.intent); err != nil {
			if passable(err) {
				return c.ID + ": " + err.Error(), nil
			}
			return "", err
		}
		r.held("%s reads as set", c.ID)
	}
	return "", nil
}

func (r *runner) held(format string, args ...any) {
	r.checks = append(r.checks, fmt.Sprintf(format, args...))
}

// groupID is the group that a call of the plan made; "" for none.
func (r *runner) groupID(kind, vpc string) string {
	if p := r.h.calls["group/"+kind+"/"+vpc]; p != nil && p.done {
		return text(p.result, "GroupId")
	}
	return ""
}

// checkGroups describes each group and compares its rules with what it is for.
func (r *runner) checkGroups(ctx context.Context) (why string, err error) {
	b := builder{subject: &r.plan.Subject}
	for _, vpc := range b.vpcs() {
		id := r.groupID("closed", vpc)
		if id == "" {
			return "the closed group of " + vpc + " is not there", nil
		}
		if w, err := r.rules(ctx, id, nil, nil); err != nil || w != "" {
			return w, err
		}
		r.held("%s has no rule in or out", id)
		if !r.plan.Options.CutEstablished {
			continue
		}
		if id = r.groupID("open", vpc); id == "" {
			return "the open group of " + vpc + " is not there", nil
		}
		all := []string{"-1 all 0.0.0.0/0", "-1 all ::/0"}
		if w, err := r.rules(ctx, id, all, all); err != nil || w != "" {
			return w, err
		}
		r.held("%s lets everything through both ways", id)
	}
	return "", nil
}

// rules reads a group until it has exactly these rules.
func (r *runner) rules(ctx context.Context, id string, in, out []string) (why string, err error) {
	var haveIn, haveOut []string
	for i := 0; i < r.pace.Looks; i++ {
		m, err := r.state(ctx, r.s.Cloud, deed{state: groupByID}, map[string]any{"GroupId": id})
		if err != nil {
			return "", err
		}
		if len(m) > 0 {
			if haveIn, err = ruleSet(m["IpPermissions"]); err != nil {
				return "", err
			}
			if haveOut, err = ruleSet(m["IpPermissionsEgress"]); err != nil {
				return "", err
			}
			if slices.Equal(haveIn, in) && slices.Equal(haveOut, out) {
				return "", nil
			}
		}
		if err := sleep(ctx, r.pace.Look); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%s lets in [%s] and out [%s], which is not what it is for", id, strings.Join(haveIn, ", "), strings.Join(haveOut, ", ")), nil
}

// checkInterfaces asks anew which interfaces the instance has: one that was
// added since the plan is a way out.
func (r *runner) checkInterfaces(ctx context.Context, st *Step) (why string, err error) {
	now, err := look(ctx, r.s.Cloud, r.instance)
	if err != nil {
		return "", err
	}
	refused := ""
	for i := range st.Calls {
		if p := r.h.calls[st.Calls[i].ID]; p == nil || !p.done {
			refused = join(refused, st.Calls[i].ID+" was not made")
		}
	}
	for _, n := range now.Interfaces {
		want := r.groupID("closed", n.VPC)
		if want != "" && slices.Equal(n.Groups, []string{want}) {
			r.held("%s holds only %s", n.ID, want)
			continue
		}
		why = join(why, fmt.Sprintf("%s holds %s", n.ID, strings.Join(n.Groups, ", ")))
		planned := slices.ContainsFunc(r.plan.Subject.Interfaces, func(x Interface) bool { return x.ID == n.ID })
		if !planned {
			why = join(why, n.ID+" was attached after the plan was made: plan and run again")
		} else if refused == "" {
			return "", evidence.WithHint(fmt.Errorf("%s: %w", why, errDoubt), "somebody else may be changing the instance; look at CloudTrail, then run again")
		}
	}
	return join(why, refused), nil
}

// checkSnapshots asks which snapshots of this case there are.
func (r *runner) checkSnapshots(ctx context.Context, st *Step) (why string, err error) {
	p := r.h.calls["snapshot/create"]
	if p == nil || !p.done {
		return "", nil
	}
	for _, v := range r.plan.Subject.Volumes {
		if id := text(p.result, v.ID); id != "" {
			r.held("%s has %s", v.ID, id)
		} else {
			why = join(why, v.ID+" has no snapshot: it was attached after the plan, or detached before the snapshot")
		}
	}
	w, err := r.checkCalls(ctx, st)
	return join(why, w), err
}

// checkShares reads the list of each shared snapshot: exactly the named account.
func (r *runner) checkShares(ctx context.Context, st *Step) (why string, err error) {
	want := []string{r.plan.Options.ShareWith}
	for i := range st.Calls {
		c := &st.Calls[i]
		p := r.h.calls[c.ID]
		if c.Action != "ModifySnapshotAttribute" || p == nil || !p.done {
			continue
		}
		params, err := r.resolve(ctx, c.Params, nil)
		if err != nil {
			return "", err
		}
		state, err := r.state(ctx, r.s.Cloud, deeds[c.Name()], params)
		if err != nil {
			return "", err
		}
		if have := sorted(state["Accounts"]); !slices.Equal(have, want) {
			why = join(why, fmt.Sprintf("%s is shared with %s", text(params, "SnapshotId"), strings.Join(have, ", ")))
			continue
		}
		r.held("%s is shared with exactly %s", text(params, "SnapshotId"), want[0])
	}
	for _, v := range r.plan.Subject.Volumes {
		if v.DefaultKey && r.plan.Options.KMSKey == "" {
			why = join(why, v.ID+" is encrypted with aws/ebs and no --kms-key was given: its snapshot is not shared")
		}
	}
	return why, nil
}
