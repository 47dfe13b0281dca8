package respond

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"snapcase/evidence"
)

// The two orders.
const (
	ContainFirst = "contain-first"
	CaptureFirst = "capture-first"
)

var (
	instanceID = regexp.MustCompile(`^i-[0-9a-f]{8,17}$`)
	accountID  = regexp.MustCompile(`^[0-9]{12}$`)
	keyID      = regexp.MustCompile(`^AKIA[A-Z0-9]{12,124}$`)
)

// check refuses options that cannot be meant.
func (o *Options) check() error {
	bad := func(hint, format string, args ...any) error {
		return evidence.WithHint(fmt.Errorf(format+": %w", append(args, evidence.ErrUsage)...), "%s", hint)
	}
	switch {
	case !instanceID.MatchString(o.Instance):
		return bad("an instance id looks like i-0abc1234def567890", "--instance %q", o.Instance)
	case o.ShareWith != "" && !accountID.MatchString(o.ShareWith):
		return bad("an account has twelve digits", "--share-with %q", o.ShareWith)
	case o.Order != "" && o.Order != "auto" && o.Order != ContainFirst && o.Order != CaptureFirst:
		return bad("orders are auto, contain-first and capture-first", "--order %q", o.Order)
	case o.Lock < 0 || o.Lock > 36500:
		return bad("days, from 1 to 36500", "--lock %d", o.Lock)
	case o.WithVolume && !instanceID.MatchString(o.HostInstance):
		return bad("--with-volume attaches to the examiner's own instance: name it with --host-instance i-…", "--host-instance %q", o.HostInstance)
	case o.WithVolume && o.HostInstance == o.Instance:
		return bad("the volumes are attached to the examiner's own instance, never to the one under examination", "--host-instance %q", o.HostInstance)
	case o.Memory && o.MemoryBucket == "":
		return bad("name the bucket that takes the image with --memory-bucket, the AVML binary in it with --avml KEY and its digest with --avml-sha256", "--memory without a bucket")
	case o.Memory && (o.AVML == "" || !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(o.AVMLSHA256)):
		return bad("--avml names the object of the bucket with the AVML binary, --avml-sha256 its SHA-256 in hex: only a pinned binary runs on the instance", "--avml and --avml-sha256")
	}
	for _, k := range o.DisableKeys {
		if !keyID.MatchString(k) {
			return bad("only long-term keys (AKIA…) can be disabled; sessions (ASIA…) are cut off by --revoke-role", "--disable-key %q", k)
		}
	}
	for _, id := range append(slices.Clone(o.Only), o.Skip...) {
		if !slices.Contains(containOrder, id) {
			return bad("steps are "+strings.Join(containOrder, ", "), "step %q", id)
		}
	}
	return nil
}

// containOrder and captureOrder are the steps in the order of each.
var (
	containOrder = []string{stepIdentify, stepDescribe, stepProtect, stepGroup, stepIsolate, stepCredentials, stepSnapshot, stepMirror, stepMemory, stepComplete, stepShare, stepVolume, stepAttach, stepAfter}
	captureOrder = []string{stepIdentify, stepDescribe, stepProtect, stepMirror, stepMemory, stepSnapshot, stepGroup, stepIsolate, stepCredentials, stepComplete, stepShare, stepVolume, stepAttach, stepAfter}
)

func (o *Options) order() (name, reason string, steps []string) {
	switch {
	case o.Order == ContainFirst:
		return ContainFirst, "asked for with --order", containOrder
	case o.Order == CaptureFirst:
		return CaptureFirst, "asked for with --order", captureOrder
	case o.Memory || o.Mirror != "":
		return CaptureFirst, "memory and traffic are the most volatile, and an isolated host reaches neither the SSM endpoints nor a mirror target; isolation follows at once when they are taken", captureOrder
	}
	return ContainFirst, "no memory is asked for: isolation costs no evidence on the disks and stops the loss first, as the whitepaper has it", containOrder
}

// wants says whether a step is to be in the plan.
func (o *Options) wants(id string) bool {
	asked := map[string]bool{
		stepCredentials: o.RevokeRole || len(o.DisableKeys) > 0, stepMirror: o.Mirror != "", stepMemory: o.Memory,
		stepShare: o.ShareWith != "", stepVolume: o.WithVolume, stepAttach: o.WithVolume,
	}
	if w, optional := asked[id]; optional && !w || slices.Contains(o.Skip, id) {
		return false
	}
	return len(o.Only) == 0 || slices.Contains(o.Only, id) || id == stepIdentify || id == stepAfter
}

// Plan works out every call that Run may make, from calls that change nothing:
// Describe, Get, List and DryRun.
func (s *Session) Plan(ctx context.Context, o Options) (*Plan, error) {
	p, err := s.plan(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("plan the response to %s in %s: %w", o.Instance, s.Region, err)
	}
	return p, nil
}

func (s *Session) plan(ctx context.Context, o Options) (*Plan, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	h := newHistory(0)
	if s.Folder != "" { // without a case the plan is only looked at
		var err error
		if h, err = readHistory(s.Folder, o.Instance); err != nil {
			return nil, err
		}
	}
	id, err := s.Identify(ctx)
	if err != nil {
		return nil, err
	}
	subject, err := look(ctx, s.Cloud, o.Instance)
	if err != nil {
		return nil, err
	}
	if err := s.asItWas(h, &subject); err != nil {
		return nil, err
	}
	if o.DenyProfile == "" {
		o.DenyProfile = "snapcase-deny"
	}
	b := &builder{s: s, o: &o, subject: &subject, run: h.undos + 1, caller: id}
	p := &Plan{Case: s.CaseID, Instance: o.Instance, Region: s.Region, Account: id.Account, Caller: id.Arn, Options: o, Subject: subject, UndoComplete: true}
	var steps []string
	p.Order, p.Reason, steps = o.order()
	for _, name := range steps {
		if !o.wants(name) {
			continue
		}
		st, err := b.step(ctx, name)
		if err != nil {
			return nil, err
		}
		p.Steps = append(p.Steps, st)
	}
	p.Residual = residual(&subject, &o, p.Step(stepIsolate) != nil)
	s.board(ctx, p)
	p.finish()
	return p, nil
}

// asItWas gives a subject, of which a plan was carried out in part, the profile
// and roles that it had before: those of the deny profile are not to be revoked.
func (s *Session) asItWas(h *history, now *Subject) error {
	if len(h.plans) == 0 {
		return nil
	}
	p, err := s.saved(h, now.Instance)
	if err != nil || p == nil {
		return err
	}
	if done := h.calls["credentials/profile"]; done != nil && done.done {
		now.Roles = p.Subject.Roles
	}
	return nil
}

// finish fills the empty lists, so that the JSON has no nulls, and tells
// whether undo brings everything back.
func (p *Plan) finish() {
	for i := range p.Steps {
		st := &p.Steps[i]
		if st.Calls == nil {
			st.Calls = []Call{}
		}
		if st.Checks == nil {
			st.Checks = []string{}
		}
		if st.Warnings == nil {
			st.Warnings = []string{}
		}
		for _, c := range st.Calls {
			if c.Action == "PutRolePolicy" || c.Action == "PutUserPolicy" || c.Action == "UpdateAccessKey" {
				p.UndoComplete = false // only where it is named
			}
		}
	}
}

// builder makes the steps of one plan.
type builder struct {
	s       *Session
	o       *Options
	subject *Subject
	run     int
	caller  Identity
}

func (b *builder) step(ctx context.Context, id string) (Step, error) {
	switch id {
	case stepIdentify:
		return Step{ID: id, Title: "Who acts, on what, with which permissions", Checks: []string{"the caller, the instance and its state before are on disk"}}, nil
	case stepDescribe:
		return b.describe(), nil
	case stepProtect:
		return b.protect(ctx)
	case stepGroup:
		return b.group(ctx)
	case stepIsolate:
		return b.isolate(ctx)
	case stepCredentials:
		return b.credentials(ctx)
	case stepSnapshot:
		return b.snapshot(), nil
	case stepComplete:
		return Step{ID: id, Title: "Wait until every snapshot is complete", Checks: []string{"each volume has a completed snapshot"}}, nil
	case stepShare:
		return b.share(), nil
	case stepVolume:
		return b.volume(ctx)
	case stepAttach:
		return b.attach(), nil
	case stepMirror:
		return b.mirror(), nil
	case stepMemory:
		return b.memory(), nil
	}
	return Step{ID: stepAfter, Title: "Proof of the state after", Checks: []string{"after.json and its difference to before.json are an exhibit"}}, nil
}

// call makes a call of the plan with its permission and what undoes it.
func (b *builder) call(id, service, action string, params map[string]any) Call {
	c := Call{ID: id, Service: service, Action: action, Mutates: true, Params: params, Permission: service + ":" + action, Allowed: "unknown"}
	switch action {
	case "CreateMultipartUpload", "CompleteMultipartUpload":
		c.Permission = "s3:PutObject"
	}
	c.Undo = undoNames[action]
	return c
}

// undoNames gives, for the plan, the action that takes one back.
var undoNames = map[string]string{
	"ModifyInstanceAttribute": "ModifyInstanceAttribute", "CreateSecurityGroup": "DeleteSecurityGroup",
	"RevokeSecurityGroupEgress": "DeleteSecurityGroup", "AuthorizeSecurityGroupEgress": "DeleteSecurityGroup", "AuthorizeSecurityGroupIngress": "DeleteSecurityGroup",
	"ModifyNetworkInterfaceAttribute": "ModifyNetworkInterfaceAttribute", "DisassociateAddress": "AssociateAddress",
	"CreateNetworkAcl": "DeleteNetworkAcl", "ReplaceNetworkAclAssociation": "ReplaceNetworkAclAssociation",
	"ReplaceIamInstanceProfileAssociation": "ReplaceIamInstanceProfileAssociation", "PutRolePolicy": "DeleteRolePolicy", "PutUserPolicy": "DeleteUserPolicy",
	"UpdateAccessKey": "UpdateAccessKey", "SetInstanceProtection": "SetInstanceProtection", "EnterStandby": "ExitStandby", "DeregisterTargets": "RegisterTargets", "AttachVolume": "DetachVolume", "CreateTrafficMirrorTarget": "DeleteTrafficMirrorTarget",
	"CreateTrafficMirrorFilter": "DeleteTrafficMirrorFilter", "CreateTrafficMirrorFilterRule": "DeleteTrafficMirrorFilter", "CreateTrafficMirrorSession": "DeleteTrafficMirrorSession",
}

// tagged are the TagSpecifications of what a call makes.
func (b *builder) tagged(resource, call string) []any {
	tag := func(k, v string) any { return map[string]any{"Key": k, "Value": v} }
	return []any{map[string]any{"ResourceType": resource, "Tags": []any{
		tag("snapcase:case", b.s.CaseID), tag("snapcase:instance", b.o.Instance), tag("snapcase:step", call), tag("snapcase:run", strconv.Itoa(b.run)),
	}}}
}

// case8 is the beginning of the case's UUID, for names.
func (b *builder) case8() string {
	s := strings.TrimPrefix(b.s.CaseID, "urn:uuid:")
	return s[:min(8, len(s))]
}

func (b *builder) describe() Step {
	st := Step{ID: stepDescribe, Title: "Configuration of the instance and all that it hangs on", Checks: []string{"each answer lies in an exhibit as it came, with its digest, request id and time"}}
	for _, q := range metadata(b.subject) {
		st.Calls = append(st.Calls, Call{ID: stepDescribe + "/" + q.file, Service: q.call.Service, Action: q.call.Action, Params: q.call.Params, Permission: permissionOf(q.call.Name()), Allowed: "unknown"})
	}
	return st
}

func (b *builder) protect(ctx context.Context) (Step, error) {
	st := Step{ID: stepProtect, Title: "Keep the instance and its volumes from being deleted", Checks: []string{"each attribute reads as set"}}
	attr := func(name, field string, value any) Call {
		return b.call("protect/"+name, "ec2", "ModifyInstanceAttribute", map[string]any{"InstanceId": b.o.Instance, field: map[string]any{"Value": value}})
	}
	var all []Call
	if b.subject.Spot {
		st.Warnings = append(st.Warnings, "a spot instance knows no termination protection: AWS or its owner may end it at any time")
	} else {
		all = append(all, attr("termination", "DisableApiTermination", true), attr("stop", "DisableApiStop", true))
		if b.subject.RootDevice != "instance-store" {
			all = append(all, attr("shutdown", "InstanceInitiatedShutdownBehavior", "stop"))
		}
	}
	if b.subject.RootDevice == "instance-store" {
		st.Warnings = append(st.Warnings, "the root device is an instance store: no snapshot holds it, and it is lost when the instance ends")
	}
	if b.subject.ASG != "" && !b.o.DetachASG {
		st.Warnings = append(st.Warnings, "the instance belongs to the Auto Scaling group "+b.subject.ASG+": without --detach-asg a failed health check ends it; termination protection does not stop Auto Scaling")
	}
	for _, v := range b.subject.Volumes {
		if v.DeleteOnTermination {
			all = append(all, b.call("protect/"+v.ID, "ec2", "ModifyInstanceAttribute", map[string]any{"InstanceId": b.o.Instance, "BlockDeviceMappings": []any{
				map[string]any{"DeviceName": v.Device, "Ebs": map[string]any{"DeleteOnTermination": false}},
			}}))
		}
	}
	if b.o.DetachASG {
		scaling, err := b.scaling(ctx, &st)
		if err != nil {
			return st, err
		}
		all = append(scaling, all...) // first: what is isolated fails its health check
	}
	// what is set already is no call
	for _, c := range all {
		d := deeds[c.Name()]
		state, err := d.state(ctx, b.s.Cloud, c.Params)
		if err != nil {
			if !passable(err) {
				return st, err
			}
			st.Calls = append(st.Calls, c)
			continue
		}
		if !d.done(c.Params, state) {
			st.Calls = append(st.Calls, c)
		}
	}
	return st, nil
}

// passable says whether a failed call is a matter of that call alone, so that
// the rest can go on.
func passable(err error) bool {
	var need *needError
	if errors.As(err, &need) {
		return true
	}
	kind, ok := evidence.CloudKind(err)
	if !ok {
		return false
	}
	switch kind {
	case evidence.CloudDenied, evidence.CloudRefused, evidence.CloudMissing, evidence.CloudNotFound:
		return true
	case evidence.CloudDryRun, evidence.CloudCredentials, evidence.CloudThrottled, evidence.CloudLost:
	}
	return false
}
