package respond

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"snapcase/evidence"
)

// Proof is the state that the playbook changes, as AWS tells it: before.json
// and after.json.
type Proof struct {
	Instance   string                       `json:"instance"`
	Account    string                       `json:"account"`
	Region     string                       `json:"region"`
	Caller     string                       `json:"caller"`
	Time       string                       `json:"time"`
	Subject    Subject                      `json:"subject"`
	Attributes map[string]any               `json:"attributes"`
	Groups     map[string]map[string]any    `json:"groups"`        // by id: name, rules in, rules out
	ACLs       map[string]string            `json:"network_acls"`  // by subnet
	Policies   map[string]map[string]string `json:"role_policies"` // by role and name: SHA-256 of the document
	Unread     []string                     `json:"unread"`
}

// proof reads the state. What the caller may not read is named in it.
func (r *runner) proof(ctx context.Context) (*Proof, error) {
	s, err := look(ctx, r.s.Cloud, r.instance)
	if err != nil {
		return nil, err
	}
	p := &Proof{
		Instance: r.instance, Account: r.account, Region: r.s.Region, Caller: r.plan.Caller, Time: stampOf(r.s.Now()), Subject: s,
		Attributes: map[string]any{}, Groups: map[string]map[string]any{}, ACLs: map[string]string{}, Policies: map[string]map[string]string{}, Unread: []string{},
	}
	steps := []func(context.Context, *Proof) error{r.proofAttributes, r.proofGroups, r.proofACLs, r.proofPolicies}
	for _, f := range steps {
		if err := f(ctx, p); err != nil {
			if !passable(err) {
				return nil, err
			}
			p.Unread = append(p.Unread, err.Error())
		}
	}
	return p, nil
}

func (r *runner) proofAttributes(ctx context.Context, p *Proof) error {
	for _, a := range [][2]string{{"DisableApiTermination", "disableApiTermination"}, {"DisableApiStop", "disableApiStop"}, {"InstanceInitiatedShutdownBehavior", "instanceInitiatedShutdownBehavior"}} {
		m, err := one(ctx, r.s.Cloud, "ec2", "DescribeInstanceAttribute", map[string]any{"InstanceId": r.instance, "Attribute": a[1]})
		if err != nil {
			return err
		}
		v, _ := m[a[0]].(map[string]any)
		p.Attributes[a[0]] = v["Value"]
	}
	return nil
}

func (r *runner) proofGroups(ctx context.Context, p *Proof) error {
	ids := unique(p.Subject.Interfaces, func(n Interface) []string { return n.Groups })
	if len(ids) == 0 {
		return nil
	}
	all, err := every(ctx, r.s.Cloud, "ec2", "DescribeSecurityGroups", "SecurityGroups", map[string]any{"GroupIds": list(ids...)})
	if err != nil {
		return err
	}
	for _, m := range all {
		in, err := ruleSet(m["IpPermissions"])
		if err != nil {
			return err
		}
		out, err := ruleSet(m["IpPermissionsEgress"])
		if err != nil {
			return err
		}
		p.Groups[text(m, "GroupId")] = map[string]any{"name": text(m, "GroupName"), "in": in, "out": out}
	}
	return nil
}

func (r *runner) proofACLs(ctx context.Context, p *Proof) error {
	for _, n := range p.Subject.Interfaces {
		_, acl, err := aclAssociation(ctx, r.s.Cloud, n.Subnet)
		if err != nil {
			p.Unread = append(p.Unread, err.Error())
			continue
		}
		p.ACLs[n.Subnet] = acl
	}
	return nil
}

func (r *runner) proofPolicies(ctx context.Context, p *Proof) error {
	for _, role := range r.plan.Subject.Roles {
		p.Policies[role] = map[string]string{}
		state, err := deeds["iam:PutRolePolicy"].state(ctx, r.s.Cloud, map[string]any{"RoleName": role, "PolicyName": olderSessionsName})
		if err != nil {
			return err
		}
		if doc := text(state, "PolicyDocument"); doc != "" {
			p.Policies[role][olderSessionsName] = sha([]byte(doc))
		}
	}
	return nil
}

// identify writes the state before anything is changed. It is never written
// again: a run that goes on keeps the first.
func (r *runner) identify(ctx context.Context) error {
	p, err := r.proof(ctx)
	if err != nil {
		return err
	}
	return r.keep("before.json", p)
}

func (r *runner) keep(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(r.s.Dir(r.instance), name), append(b, '\n')); err != nil {
		return err
	}
	if r.files == nil {
		r.files = map[string]any{}
	}
	r.files[name] = sha(append(b, '\n'))
	return nil
}

// describe makes the exhibit of raw answers, with before.json among them.
func (r *runner) describe(ctx context.Context) (why string, err error) {
	dir := r.s.scratch(r.instance, r.times(stepDescribe))
	if a, err := r.sealed(dir); err != nil {
		return "", err
	} else if a.Exhibit != "" { // all but the record of the step was there
		return r.described(a)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	gapsFile := filepath.Join(dir, "gaps.json")
	var gaps []string
	if b, err := os.ReadFile(gapsFile); err == nil { // the answers are whole; only the exhibit was not
		if err := json.Unmarshal(b, &gaps); err != nil {
			return "", fmt.Errorf("%s: %w", gapsFile, err)
		}
	} else {
		if gaps, err = r.collect(ctx, dir); err != nil {
			return "", err
		}
		if err := copyFile(filepath.Join(r.s.Dir(r.instance), "before.json"), filepath.Join(dir, "before.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		b, err := json.Marshal(append([]string{}, gaps...))
		if err != nil {
			return "", err
		}
		if err := writeSynced(gapsFile, append(b, '\n')); err != nil {
			return "", err
		}
	}
	if err := r.seal(ctx, dir, "configuration of "+r.instance); err != nil {
		return "", err
	}
	if len(gaps) > 0 {
		return "could not be read: " + strings.Join(gaps, ", "), nil
	}
	return "", nil
}

// described takes up an exhibit of the configuration that was sealed before the
// run was broken off; what could not be read is in its gaps.json.
func (r *runner) described(a evidence.Acquisition) (why string, err error) {
	r.exhibit = a.Exhibit
	r.held("exhibit %s, %d files, manifest %s", a.Exhibit, a.Files, a.SHA256)
	b, err := os.ReadFile(filepath.Join(r.s.Folder.Files(a.Exhibit), "gaps.json"))
	if err != nil {
		return "", err
	}
	var gaps []string
	if err := json.Unmarshal(b, &gaps); err != nil {
		return "", fmt.Errorf("gaps.json of %s: %w", a.Exhibit, err)
	}
	if len(gaps) > 0 {
		why = "could not be read: " + strings.Join(gaps, ", ")
	}
	return why, nil
}

// times names the folder of a step's answers: the same until the step has come to
// its end.
func (r *runner) times(step string) string {
	return fmt.Sprintf("%s-%d-%d-%d", step, r.h.undos+1, len(r.h.plans), r.h.ended[step])
}

// seal makes an exhibit of a folder and takes the folder away. A folder that was
// sealed before the run was broken off is not sealed again.
func (r *runner) seal(ctx context.Context, dir, label string) error {
	a, err := r.sealed(dir)
	if err != nil {
		return err
	}
	if a.Exhibit == "" {
		a, err = r.s.Exhibit(ctx, dir, label)
	}
	if err != nil && (!errors.Is(err, evidence.ErrGaps) || !a.Ended.Set) {
		return err
	}
	r.exhibit = a.Exhibit
	r.held("exhibit %s, %d files, manifest %s", a.Exhibit, a.Files, a.SHA256)
	return os.RemoveAll(dir)
}

// sealed finds the exhibit that a folder was made into before.
func (r *runner) sealed(dir string) (evidence.Acquisition, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return evidence.Acquisition{}, err
	}
	all, err := evidence.ReadExhibits(r.s.Folder)
	if err != nil {
		return evidence.Acquisition{}, err
	}
	for _, a := range all {
		if a.Source == path && a.Ended.Set {
			return a, nil
		}
	}
	return evidence.Acquisition{}, nil
}

// after writes the state as it is now and what differs from before.
func (r *runner) after(ctx context.Context) (string, error) {
	dir := r.s.scratch(r.instance, r.times(stepAfter))
	if a, err := r.sealed(dir); err != nil || a.Exhibit != "" { // all but the record of the step was there
		r.exhibit = a.Exhibit
		return "", err
	}
	p, err := r.proof(ctx)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if err := r.keep("after.json", p); err != nil {
		return "", err
	}
	home := r.s.Dir(r.instance)
	before, err := os.ReadFile(filepath.Join(home, "before.json"))
	if err != nil {
		return "", err
	}
	after, err := os.ReadFile(filepath.Join(home, "after.json"))
	if err != nil {
		return "", err
	}
	diff, err := Difference(before, after)
	if err != nil {
		return "", err
	}
	if err := writeSynced(filepath.Join(dir, "difference.txt"), []byte(strings.Join(diff, "\n")+"\n")); err != nil {
		return "", err
	}
	for _, n := range []string{"before.json", "after.json", "plan.json"} {
		if err := copyFile(filepath.Join(home, n), filepath.Join(dir, n)); err != nil {
			return "", err
		}
	}
	for _, d := range diff {
		r.tell(Progress{Step: stepAfter, What: d})
	}
	return "", r.seal(ctx, dir, "before and after of "+r.instance)
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return writeSynced(to, b)
}

// Difference lists what differs between before.json and after.json, one line a
// value: "subject.interfaces.0.groups.0: sg-1 -> sg-2". The times of the two are
// left out.
func Difference(before, after []byte) ([]string, error) {
	var a, b any
	if err := decode(before, &a); err != nil {
		return nil, fmt.Errorf("read before.json: %w", err)
	}
	if err := decode(after, &b); err != nil {
		return nil, fmt.Errorf("read after.json: %w", err)
	}
	x, y := map[string]string{}, map[string]string{}
	flatten("", a, x)
	flatten("", b, y)
	var names []string
	for k := range x {
		names = append(names, k)
	}
	for k := range y {
		if _, ok := x[k]; !ok {
			names = append(names, k)
		}
	}
	sort.Strings(names)
	var out []string
	for _, k := range slices.Compact(names) {
		if x[k] != y[k] && k != "time" {
			out = append(out, fmt.Sprintf("%s: %s -> %s", k, or(x[k]), or(y[k])))
		}
	}
	return out, nil
}

func or(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

func flatten(at string, v any, out map[string]string) {
	sub := func(k string) string {
		if at == "" {
			return k
		}
		return at + "." + k
	}
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			flatten(sub(k), x, out)
		}
	case []any:
		for i, x := range v {
			flatten(sub(fmt.Sprint(i)), x, out)
		}
	case nil:
	default:
		out[at] = fmt.Sprint(v)
	}
}
