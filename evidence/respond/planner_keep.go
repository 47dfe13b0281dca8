package respond

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"snapcase/evidence"
)

// olderSessions is the policy by which AWS revokes sessions: everything is
// denied to tokens that were issued before.
const (
	olderSessionsName = "AWSRevokeOlderSessions"
	olderSessions     = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":["*"],"Resource":["*"],"Condition":{"DateLessThan":{"aws:TokenIssueTime":"${now}"}}}]}`
)

// credentials cuts the role off (the profile first: the other way round the
// instance would be handed a newer token in between) and disables keys.
func (b *builder) credentials(ctx context.Context) (Step, error) {
	st := Step{ID: stepCredentials, Title: "Take the credentials away", Checks: []string{"the association, the policy and the key are read back"}}
	if b.o.RevokeRole {
		if err := b.revoke(ctx, &st); err != nil {
			return st, err
		}
	}
	for _, key := range b.o.DisableKeys {
		if err := b.disable(ctx, &st, key); err != nil {
			return st, err
		}
	}
	return st, nil
}

func (b *builder) revoke(ctx context.Context, st *Step) error {
	s := b.subject
	if s.Profile == "" {
		st.Warnings = append(st.Warnings, "the instance has no profile: there is no role to revoke")
		return nil
	}
	if lastPart(s.Profile) != b.o.DenyProfile {
		found, err := one(ctx, b.s.Cloud, "iam", "GetInstanceProfile", map[string]any{"InstanceProfileName": b.o.DenyProfile})
		if err != nil && !passable(err) {
			return err
		}
		if err == nil && len(found) == 0 {
			st.Cannot = "there is no instance profile " + b.o.DenyProfile + " (--deny-profile); make one with a role that denies everything, then run again: aws iam create-role, put-role-policy, create-instance-profile, add-role-to-instance-profile"
			return nil
		}
		st.Calls = append(st.Calls, b.call("credentials/profile", "ec2", "ReplaceIamInstanceProfileAssociation", map[string]any{
			"AssociationId": "${association:" + b.o.Instance + "}", "IamInstanceProfile": map[string]any{"Name": b.o.DenyProfile}, instanceNote: b.o.Instance,
		}))
	}
	if len(s.Roles) == 0 {
		st.Warnings = append(st.Warnings, "the roles of "+s.Profile+" could not be read: older sessions are not revoked")
	}
	for _, role := range s.Roles {
		st.Calls = append(st.Calls, b.call("credentials/role/"+role, "iam", "PutRolePolicy", map[string]any{
			"RoleName": role, "PolicyName": olderSessionsName, "PolicyDocument": olderSessions,
		}))
		st.Warnings = append(st.Warnings, "every older session of "+role+" ends, wherever it is used; it takes effect within minutes")
	}
	st.Warnings = append(st.Warnings, "undo leaves the policy that revokes sessions in place unless the role is named: taking it away revives them")
	return nil
}

func (b *builder) disable(ctx context.Context, st *Step, key string) error {
	m, err := one(ctx, b.s.Cloud, "iam", "GetAccessKeyLastUsed", map[string]any{"AccessKeyId": key})
	if err != nil && !passable(err) {
		return err
	}
	user := text(m, "UserName")
	switch {
	case user == "":
		st.Warnings = append(st.Warnings, key+": no user of this account has this key, or the caller may not ask: it is not disabled")
		return nil
	case strings.HasSuffix(b.caller.Arn, ":user/"+user):
		st.Warnings = append(st.Warnings, key+" belongs to "+user+", who is making these calls: it is not disabled, since the response would lock itself out")
		return nil
	}
	st.Calls = append(st.Calls,
		b.call("credentials/key/"+key, "iam", "UpdateAccessKey", map[string]any{"UserName": user, "AccessKeyId": key, "Status": "Inactive"}),
		b.call("credentials/user/"+user+"/"+key, "iam", "PutUserPolicy", map[string]any{"UserName": user, "PolicyName": olderSessionsName, "PolicyDocument": olderSessions}))
	st.Warnings = append(st.Warnings, key+" is set inactive, never deleted; undo makes it active again only where it is named (--enable-key)")
	return nil
}

func (b *builder) snapshot() Step {
	st := Step{ID: stepSnapshot, Whitepaper: 3, Title: "One crash-consistent set of snapshots over all volumes", Checks: []string{"each volume has a snapshot of this case"}}
	if len(b.subject.Volumes) == 0 {
		st.Cannot = "the instance has no EBS volume"
		return st
	}
	const id = "snapshot/create"
	st.Calls = append(st.Calls, b.call(id, "ec2", "CreateSnapshots", map[string]any{
		"Description":           "snapcase " + b.case8() + " " + b.o.Instance,
		"InstanceSpecification": map[string]any{"InstanceId": b.o.Instance, "ExcludeBootVolume": false},
		"TagSpecifications":     b.tagged("snapshot", id),
		volumesNote:             list(ids(b.subject.Volumes, func(v Volume) string { return v.ID })...),
	}))
	var gib int64
	for _, v := range b.subject.Volumes {
		gib += v.GiB
		if b.o.Lock > 0 {
			st.Calls = append(st.Calls, b.call("snapshot/lock/"+v.ID, "ec2", "LockSnapshot", map[string]any{
				"SnapshotId": "${" + id + "." + v.ID + "}", "LockMode": "governance", "LockDuration": int64(b.o.Lock),
			}))
		}
	}
	st.Warnings = append(st.Warnings, fmt.Sprintf("%d GiB: snapshots are billed by what is stored, for as long as they are kept; undo deletes none", gib), "instance-store volumes are in no snapshot, and are lost when the instance stops")
	return st
}

// share hands the snapshots to the security account. A snapshot under the
// account's default key cannot be shared: it is copied to another key first.
func (b *builder) share() Step {
	st := Step{ID: stepShare, Whitepaper: 5, Title: "Share with account " + b.o.ShareWith, Checks: []string{"the list of each snapshot holds exactly " + b.o.ShareWith}}
	for _, v := range b.subject.Volumes {
		snap := "${snapshot/create." + v.ID + "}"
		if v.DefaultKey {
			if b.o.KMSKey == "" {
				st.Warnings = append(st.Warnings, v.ID+" is encrypted with the default key aws/ebs: its snapshot cannot be shared. Name a key of your own with --kms-key; the snapshot is then copied to it")
				continue
			}
			id := "share/copy/" + v.ID
			st.Calls = append(st.Calls, b.call(id, "ec2", "CopySnapshot", map[string]any{
				"SourceRegion": b.s.Region, "SourceSnapshotId": snap, "Encrypted": true, "KmsKeyId": b.o.KMSKey,
				"Description": "snapcase " + b.case8() + " copy for sharing", "TagSpecifications": b.tagged("snapshot", id),
			}))
			snap = "${" + id + ".SnapshotId}"
		}
		if v.Encrypted {
			st.Warnings = append(st.Warnings, v.ID+" is encrypted: the policy of its key must let "+b.o.ShareWith+" DescribeKey, CreateGrant, Decrypt, ReEncrypt* and GenerateDataKey*")
		}
		st.Calls = append(st.Calls, b.call("share/"+v.ID, "ec2", "ModifySnapshotAttribute", map[string]any{
			"SnapshotId": snap, "Attribute": "createVolumePermission", "OperationType": "add", "UserIds": list(b.o.ShareWith),
		}))
	}
	if len(st.Calls) == 0 {
		st.Cannot = "no snapshot can be shared as things are"
	}
	st.Warnings = append(st.Warnings, "the other account should copy them to its own key at once: a share can be withdrawn")
	return st
}

// volume makes a volume of each snapshot in the zone of the examiner's host.
func (b *builder) volume(ctx context.Context) (Step, error) {
	st := Step{ID: stepVolume, Whitepaper: 6, Title: "A volume from each snapshot", Checks: []string{"each volume is available"}}
	cloud := b.s.Cloud
	if b.s.Examiner != nil {
		cloud = b.s.Examiner
	}
	host, err := look(ctx, cloud, b.o.HostInstance)
	if passable(err) {
		st.Cannot = "the host " + b.o.HostInstance + ": " + err.Error()
		return st, nil
	}
	if err != nil {
		return st, err
	}
	for _, v := range b.subject.Volumes {
		id := "volume/" + v.ID
		snap := "${snapshot/create." + v.ID + "}"
		if v.DefaultKey && b.o.KMSKey != "" && b.o.ShareWith != "" {
			snap = "${share/copy/" + v.ID + ".SnapshotId}"
		}
		c := b.call(id, "ec2", "CreateVolume", map[string]any{
			"AvailabilityZone": host.Zone, "SnapshotId": snap, "VolumeType": "gp3", "ClientToken": "${token}", "TagSpecifications": b.tagged("volume", id),
		})
		c.Examiner = true
		st.Calls = append(st.Calls, c)
	}
	st.Warnings = append(st.Warnings, "the volume is a copy to work on; the snapshot is the evidence. Its first read is slow; acquire snap-… needs no volume", "undo detaches the volumes and deletes none")
	return st, nil
}

func (b *builder) attach() Step {
	st := Step{ID: stepAttach, Whitepaper: 7, Title: "Attach to " + b.o.HostInstance, Checks: []string{"each volume is attached to it"}}
	for i, v := range b.subject.Volumes {
		if i > 'p'-'f' {
			st.Warnings = append(st.Warnings, v.ID+": no device name is left for it")
			continue
		}
		c := b.call("attach/"+v.ID, "ec2", "AttachVolume", map[string]any{
			"VolumeId": "${volume/" + v.ID + ".VolumeId}", "InstanceId": b.o.HostInstance, "Device": "/dev/sd" + string(rune('f'+i)),
		})
		c.Examiner = true
		st.Calls = append(st.Calls, c)
	}
	st.Warnings = append(st.Warnings, "never mount it; snapcase acquire vol-… finds the device by its serial and sets it read-only")
	return st
}

func (b *builder) mirror() Step {
	st := Step{ID: stepMirror, Title: "Copy the traffic of every interface to " + b.o.Mirror, Checks: []string{"each interface has a mirror session of this case"}}
	const target, flt = "mirror/target", "mirror/filter"
	st.Calls = append(st.Calls,
		b.call(target, "ec2", "CreateTrafficMirrorTarget", map[string]any{"NetworkInterfaceId": b.o.Mirror, "Description": "snapcase " + b.case8(), "ClientToken": "${token}", "TagSpecifications": b.tagged("traffic-mirror-target", target)}),
		b.call(flt, "ec2", "CreateTrafficMirrorFilter", map[string]any{"Description": "snapcase: everything", "ClientToken": "${token}", "TagSpecifications": b.tagged("traffic-mirror-filter", flt)}))
	for i, r := range [][2]string{{"ingress", "0.0.0.0/0"}, {"ingress", "::/0"}, {"egress", "0.0.0.0/0"}, {"egress", "::/0"}} {
		id := fmt.Sprintf("mirror/rule-%s-%d", r[0], i)
		st.Calls = append(st.Calls, b.call(id, "ec2", "CreateTrafficMirrorFilterRule", map[string]any{
			"TrafficMirrorFilterId": "${" + flt + ".TrafficMirrorFilterId}", "TrafficDirection": r[0], "RuleNumber": int64(100 + i), "RuleAction": "accept",
			"SourceCidrBlock": r[1], "DestinationCidrBlock": r[1], "ClientToken": "${token}",
		}))
	}
	for _, n := range b.subject.Interfaces {
		id := "mirror/session/" + n.ID
		st.Calls = append(st.Calls, b.call(id, "ec2", "CreateTrafficMirrorSession", map[string]any{
			"NetworkInterfaceId": n.ID, "TrafficMirrorTargetId": "${" + target + ".TrafficMirrorTargetId}", "TrafficMirrorFilterId": "${" + flt + ".TrafficMirrorFilterId}",
			"SessionNumber": int64(1), "Description": "snapcase " + b.case8(), "ClientToken": "${token}", "TagSpecifications": b.tagged("traffic-mirror-session", id),
		}))
	}
	st.Warnings = append(st.Warnings, "packets that a group or network ACL drops are not mirrored; many instance types cannot mirror, and say so when they are asked")
	return st
}

// residual is what stays open, or may, after the plan.
func residual(s *Subject, o *Options, isolated bool) []Residual {
	tracked := Residual{Channel: "tracked connections", State: "open", Why: "a new group does not end flows that are being tracked; they live until they time out (established TCP 432,000 s, 350 s on Nitro v6)", Remedy: "--cut-established, --nacl, or stopping the instance"}
	if o.CutEstablished {
		tracked.State, tracked.Why, tracked.Remedy = "unknown", "flows through NAT, load balancers, Global Accelerator, PrivateLink, transit gateways and Network Firewall stay tracked; that the others end is AWS's own practice, not its documentation", "look at the flow logs after isolation; --nacl cuts at once"
	}
	if o.NACL {
		tracked.State, tracked.Why, tracked.Remedy, tracked.Step = "closed", "a network ACL without rules drops every packet that enters or leaves the subnet", "", stepIsolate
	}
	all := []Residual{
		tracked,
		{Channel: "DNS to the VPC resolver", State: "open", Why: "security groups do not touch it: data can leave in queries", Remedy: "Route 53 Resolver DNS Firewall, or enableDnsSupport off for the VPC"},
		{Channel: "instance metadata, DHCP, time service", State: "open", Why: "link-local services are not subject to security groups", Remedy: "the profile's credentials end with --revoke-role"},
		{Channel: "hosts in the same subnet", State: "unknown", Why: "endpoints and neighbours whose groups allow it can still send; what they send is dropped by the closed group", Remedy: "look at the flow logs"},
	}
	role := Residual{Channel: "credentials of the role, used elsewhere", State: "open", Why: "sessions that were taken from the instance live up to 36 hours", Remedy: "--revoke-role"}
	switch {
	case s.Profile == "":
		role.State, role.Why, role.Remedy = "closed", "the instance has no role", ""
	case o.RevokeRole:
		role.Step, role.State, role.Why, role.Remedy = stepCredentials, "closed", "sessions issued before are denied everything, within minutes", ""
	}
	all = append(all, role)
	if s.ASG != "" {
		r := Residual{Channel: "Auto Scaling group " + s.ASG, State: "open", Why: "a failed health check ends the instance", Remedy: "--detach-asg"}
		if o.DetachASG {
			r.Step, r.State, r.Why, r.Remedy = stepProtect, "closed", "the instance stands by: the group neither checks nor ends it", ""
		}
		all = append(all, r)
	}
	if !isolated {
		all = append(all, Residual{Channel: "the network as a whole", State: "open", Why: "the plan does not isolate", Remedy: "run it with the step isolate"})
	}
	if n := len(s.Interfaces); isolated && n > 0 {
		what := "the interface"
		if n > 1 {
			what = fmt.Sprintf("%d interfaces", n)
		}
		all = append(all, Residual{Channel: what, State: "closed", Why: "every one gets the closed group", Step: stepIsolate})
	}
	return all
}

// asDone is the residual channels as they are now: what a step closes is open
// until that step is done.
func asDone(all []Residual, steps []StepStatus) []Residual {
	out := slices.Clone(all)
	for i := range out {
		r := &out[i]
		if r.State != "closed" || r.Step == "" {
			continue
		}
		state := "not in the plan"
		for j := range steps {
			if steps[j].ID == r.Step {
				state = steps[j].State
			}
		}
		if state == "ok" {
			continue
		}
		r.State, r.Remedy = "open", "run again; it goes on at "+r.Step
		if state == "begun" || state == "partial" {
			r.State = "unknown"
		}
		if r.Why = fmt.Sprintf("the step %s, which closes it, is %s", r.Step, state); state == "failed" {
			r.Why = fmt.Sprintf("the step %s, which closes it, has failed", r.Step)
		}
	}
	return out
}

// board asks by DryRun which calls would be allowed. Calls that hold ids which
// do not exist yet, and services without DryRun, stay unknown.
func (s *Session) board(ctx context.Context, p *Plan) {
	probe := evidence.CloudCall{Service: "ec2", Action: "DescribeInstances", Params: map[string]any{"DryRun": true, "InstanceIds": list(p.Instance)}}
	if _, err := s.Cloud.Read(ctx, probe); !isDryRun(err) {
		return // this endpoint does not know DryRun, and might do what it is only asked about
	}
	for i := range p.Steps {
		for j := range p.Steps[i].Calls {
			c := &p.Steps[i].Calls[j]
			if c.Service != "ec2" || !c.Mutates || c.Examiner || placeholder.MatchString(fmt.Sprint(c.Params)) {
				continue
			}
			c.Allowed = s.Allowed(ctx, evidence.CloudCall{Service: c.Service, Action: c.Action, Params: c.Params})
		}
	}
}

// Allowed asks by DryRun whether an ec2 call would be allowed: yes, no or
// unknown. It goes to the service as a read: nothing is changed by it.
func (s *Session) Allowed(ctx context.Context, c evidence.CloudCall) string {
	params := map[string]any{"DryRun": true}
	for k, v := range c.Params {
		if !strings.HasPrefix(k, "_") {
			params[k] = v
		}
	}
	c.Params = params
	_, err := s.Cloud.Read(ctx, c)
	kind, ok := evidence.CloudKind(err)
	switch {
	case ok && kind == evidence.CloudDryRun:
		return "yes"
	case ok && kind == evidence.CloudDenied:
		return "no"
	}
	return "unknown"
}

// Permission is what DryRun said of a call: yes, no, unknown.
type Permission struct {
	Call    string `json:"call"`
	Allowed string `json:"allowed"`
}

// ReadBoard asks by DryRun which of the calls of ec2 that read are allowed.
func (s *Session) ReadBoard(ctx context.Context) []Permission {
	var all []Permission
	for _, name := range readCalls {
		if service, action, _ := strings.Cut(name, ":"); service == "ec2" {
			all = append(all, Permission{name, s.Allowed(ctx, evidence.CloudCall{Service: service, Action: action})})
		}
	}
	return all
}

func isDryRun(err error) bool {
	var ce *evidence.CloudError
	return errors.As(err, &ce) && ce.Kind == evidence.CloudDryRun
}
