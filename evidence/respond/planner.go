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

// vpcs are the VPCs of the interfaces, each once: a group belongs to one.
func (b *builder) vpcs() []string {
	var all []string
	for _, n := range b.subject.Interfaces {
		if !slices.Contains(all, n.VPC) {
			all = append(all, n.VPC)
		}
	}
	return all
}

func (b *builder) groupName(open bool) string {
	name := "snapcase-" + b.case8() + "-" + b.o.Instance
	if open {
		name += "-open"
	}
	return name
}

func rule4() any {
	return map[string]any{"IpProtocol": "-1", "IpRanges": []any{map[string]any{"CidrIp": "0.0.0.0/0"}}}
}

func rule6() any {
	return map[string]any{"IpProtocol": "-1", "Ipv6Ranges": []any{map[string]any{"CidrIpv6": "::/0"}}}
}

func (b *builder) group(ctx context.Context) (Step, error) {
	st := Step{ID: stepGroup, Whitepaper: 1, Title: "A security group that lets nothing in or out", Checks: []string{"no ingress rule", "no egress rule", "described before it is put on anything"}}
	for _, vpc := range b.vpcs() {
		create := func(kind string, open bool, why string) string {
			id := "group/" + kind + "/" + vpc
			st.Calls = append(st.Calls, b.call(id, "ec2", "CreateSecurityGroup", map[string]any{
				"GroupName": b.groupName(open), "Description": why, "VpcId": vpc, "TagSpecifications": b.tagged("security-group", id),
			}))
			return "${" + id + ".GroupId}"
		}
		rule := func(id, action, group string, r any) {
			st.Calls = append(st.Calls, b.call("group/"+id+"/"+vpc, "ec2", action, map[string]any{"GroupId": group, "IpPermissions": []any{r}}))
		}
		closed := create("closed", false, "snapcase isolation: nothing in, nothing out")
		rule("closed-ipv4", "RevokeSecurityGroupEgress", closed, rule4())
		rule("closed-ipv6", "RevokeSecurityGroupEgress", closed, rule6())
		if b.o.CutEstablished {
			open := create("open", true, "snapcase: open both ways for a moment, to end tracked connections")
			rule("open-in-ipv4", "AuthorizeSecurityGroupIngress", open, rule4())
			rule("open-in-ipv6", "AuthorizeSecurityGroupIngress", open, rule6())
			rule("open-out-ipv4", "AuthorizeSecurityGroupEgress", open, rule4())
			rule("open-out-ipv6", "AuthorizeSecurityGroupEgress", open, rule6())
			st.Checks = append(st.Checks, "the open group lets everything through both ways, IPv4 and IPv6: only then are flows untracked")
		}
	}
	if len(b.subject.Interfaces) == 0 {
		st.Cannot = "the instance has no network interface (it is " + b.subject.State + ")"
	}
	return st, ctx.Err()
}

func (b *builder) isolate(ctx context.Context) (Step, error) {
	st := Step{ID: stepIsolate, Whitepaper: 2, Title: "Put it on every interface", Checks: []string{"each interface is described and holds only the closed group"}}
	if len(b.subject.Interfaces) == 0 {
		st.Cannot = "the instance has no network interface (it is " + b.subject.State + ")"
	}
	for _, n := range b.subject.Interfaces {
		put := func(kind string) {
			st.Calls = append(st.Calls, b.call("isolate/"+n.ID+"/"+kind, "ec2", "ModifyNetworkInterfaceAttribute", map[string]any{
				"NetworkInterfaceId": n.ID, "Groups": list("${group/" + kind + "/" + n.VPC + ".GroupId}"),
			}))
		}
		if b.o.CutEstablished {
			put("open")
		}
		put("closed")
		if b.o.DetachEIP {
			for _, e := range n.Elastic {
				st.Calls = append(st.Calls, b.call("isolate/"+n.ID+"/"+e.Allocation, "ec2", "DisassociateAddress", map[string]any{"AssociationId": e.Association}))
			}
		}
		if n.Public != "" && len(n.Elastic) == 0 && b.o.DetachEIP {
			st.Warnings = append(st.Warnings, n.ID+" has the public address "+n.Public+", which is no Elastic IP and cannot be taken off while the instance runs")
		}
	}
	if b.o.CutEstablished {
		st.Warnings = append(st.Warnings, "with --cut-established each interface stands open both ways for a moment")
	} else {
		st.Warnings = append(st.Warnings, "connections that are being tracked live on until they time out (established TCP: 432,000 s, or 350 s on Nitro v6); --cut-established ends those that can be ended")
	}
	if b.o.NACL {
		return b.acl(ctx, st)
	}
	return st, nil
}

// acl adds a network ACL that denies everything, for each subnet of the
// instance: it cuts at once, and it hits every neighbour.
func (b *builder) acl(ctx context.Context, st Step) (Step, error) {
	var seen []string
	for _, n := range b.subject.Interfaces {
		if slices.Contains(seen, n.Subnet) {
			continue
		}
		seen = append(seen, n.Subnet)
		near, err := b.neighbours(ctx, n.Subnet)
		if err != nil {
			return st, err
		}
		if len(near) > 0 {
			st.Warnings = append(st.Warnings, fmt.Sprintf("--nacl cuts off the whole subnet %s, with %d other instances: %s", n.Subnet, len(near), strings.Join(near, ", ")))
		}
		if _, _, err := aclAssociation(ctx, b.s.Cloud, n.Subnet); err != nil {
			return st, err
		}
		id := "isolate/" + n.Subnet + "/acl"
		st.Calls = append(st.Calls,
			b.call(id, "ec2", "CreateNetworkAcl", map[string]any{"VpcId": n.VPC, "TagSpecifications": b.tagged("network-acl", id)}),
			b.call("isolate/"+n.Subnet+"/associate", "ec2", "ReplaceNetworkAclAssociation", map[string]any{
				"AssociationId": "${acl-association:" + n.Subnet + "}", "NetworkAclId": "${" + id + ".NetworkAclId}", subnetNote: n.Subnet,
			}))
	}
	st.Checks = append(st.Checks, "each subnet has the network ACL without rules, which denies everything")
	return st, nil
}

// neighbours are the other instances of a subnet.
func (b *builder) neighbours(ctx context.Context, subnet string) ([]string, error) {
	pages, err := read[describedInstances](ctx, b.s.Cloud, "ec2", "DescribeInstances", map[string]any{"Filters": filter("subnet-id", subnet)})
	if err != nil {
		return nil, err
	}
	var all []string
	for _, p := range pages {
		for _, r := range p.Reservations {
			for _, i := range r.Instances {
				if i.InstanceID != b.o.Instance && i.State.Name != "terminated" {
					all = append(all, i.InstanceID)
				}
			}
		}
	}
	slices.Sort(all)
	return all, nil
}
