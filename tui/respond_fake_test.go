package tui

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"snapcase/evidence"
	"snapcase/evidence/custody"
	"snapcase/evidence/respond"
)

const victim = "i-0aaaaaaaaaaaaaaaa"

// fakeAWS opens responses whose answers are always the same.
type fakeAWS struct {
	fail    error         // of Plan
	run     error         // of Run and Undo
	block   chan struct{} // Plan waits for it
	refused bool          // a Describe was refused: a step cannot be done, a call is not allowed
	begun   string        // what the case knows: "", "begun", "done", "partial", "undone"
	events  []respond.Progress
	bare    bool   // the case has no plan.json
	dir     string // where it lies

	mu   sync.Mutex
	made []string
}

func (f *fakeAWS) did(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made = append(f.made, fmt.Sprintf(format, args...))
}

func (f *fakeAWS) open(_ context.Context, r RespondRequest) (Responder, error) {
	return fakeResponse{f, r}, nil
}

type fakeResponse struct {
	f *fakeAWS
	r RespondRequest
}

var _ Responder = (*respond.Session)(nil)

func (s fakeResponse) Dir(string) string { return s.f.dir }

func (s fakeResponse) Resume(o respond.Options) (*respond.Plan, error) {
	if s.f.begun == "" || s.f.begun == "undone" || s.f.refused {
		return nil, nil
	}
	return fakePlan(o, false), nil
}

// keep puts the plan where a run puts it.
func (f *fakeAWS) keep(t testing.TB) {
	t.Helper()
	f.dir = t.TempDir()
	if f.bare {
		return
	}
	b, err := fakePlan(respond.Options{Instance: victim}, f.refused).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.dir, "plan.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s fakeResponse) Plan(ctx context.Context, o respond.Options) (*respond.Plan, error) {
	if s.f.block != nil {
		select {
		case <-s.f.block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if s.f.fail != nil {
		return nil, s.f.fail
	}
	s.f.did("plan %s", o.Instance)
	return fakePlan(o, s.f.refused), nil
}

func (s fakeResponse) Run(_ context.Context, p *respond.Plan) error {
	s.f.did("run %s", p.Instance)
	for _, e := range s.f.events {
		s.r.Watch(e)
	}
	if s.f.run == nil {
		s.f.begun = "done"
	}
	return s.f.run
}

func (s fakeResponse) Undo(_ context.Context, instance string, _ respond.UndoOptions) error {
	s.f.did("undo %s", instance)
	if s.f.run == nil {
		s.f.begun = "undone"
	}
	return s.f.run
}

func (s fakeResponse) Status(_ context.Context, instance string) (*respond.Status, error) {
	return fakeStatus(instance, s.f.begun), nil
}

func fakeCall(id, service, action, allowed, undo string, params map[string]any) respond.Call {
	return respond.Call{ID: id, Service: service, Action: action, Mutates: true, Params: params, Permission: service + ":" + action, Allowed: allowed, Undo: undo}
}

// fakePlan is a plan as the planner makes one; the Name tag is the attacker's.
func fakePlan(o respond.Options, refused bool) *respond.Plan {
	tags := []any{map[string]any{"ResourceType": "security-group", "Tags": []any{map[string]any{"Key": "snapcase:case", "Value": "urn:uuid:6f1f7ad2"}}}}
	p := &respond.Plan{
		Case: "urn:uuid:6f1f7ad2-4a1e-4c1b-9d55-1f2f7c1f0a11", Instance: o.Instance, Region: "eu-west-1", Account: "111122223333", Caller: "arn:aws:sts::111122223333:assumed-role/snapcase-preserve/alice",
		Order: respond.ContainFirst, Reason: "no memory is asked for", Options: o, UndoComplete: false,
		Subject: respond.Subject{Instance: o.Instance, Name: "web-1 \x1b]0;pwned\x07\u202e", State: "running", Type: "m5.large"},
		Residual: []respond.Residual{
			{Channel: "tracked connections", State: "open", Why: "a new group does not end flows that are being tracked; they live until they time out (established TCP 432,000 s, 350 s on Nitro v6)", Remedy: "--cut-established, --nacl, or stopping the instance"},
			{Channel: "DNS to the VPC resolver", State: "open", Why: "security groups do not touch it: data can leave in queries", Remedy: "Route 53 Resolver DNS Firewall, or enableDnsSupport off for the VPC"},
			{Channel: "hosts in the same subnet", State: "unknown", Why: "endpoints and neighbours whose groups allow it can still send", Remedy: "look at the flow logs"},
			{Channel: "credentials of the role, used elsewhere", State: "closed", Why: "sessions issued before are denied everything, within minutes"},
		},
		Steps: []respond.Step{
			{ID: "identify", Title: "Who acts, on what, with which permissions", Checks: []string{"the caller, the instance and its state before are on disk"}},
			{ID: "describe", Title: "Configuration of the instance and all that it hangs on", Checks: []string{"each answer lies in an exhibit as it came, with its digest, request id and time"}, Calls: []respond.Call{
				{ID: "describe/instance.json", Service: "ec2", Action: "DescribeInstances", Params: map[string]any{"InstanceIds": []any{o.Instance}}, Permission: "ec2:DescribeInstances", Allowed: "unknown"},
				{ID: "describe/console.json", Service: "ec2", Action: "GetConsoleOutput", Params: map[string]any{"InstanceId": o.Instance}, Permission: "ec2:GetConsoleOutput", Allowed: "unknown"},
			}},
			{ID: "protect", Title: "Keep the instance and its volumes from being deleted", Checks: []string{"each attribute reads as set"}, Warnings: []string{"the instance belongs to the Auto Scaling group web\x1b[31m: put it into standby first"}, Calls: []respond.Call{
				fakeCall("protect/termination", "ec2", "ModifyInstanceAttribute", "yes", "ModifyInstanceAttribute", map[string]any{"InstanceId": o.Instance, "DisableApiTermination": map[string]any{"Value": true}}),
				fakeCall("protect/vol-1", "ec2", "ModifyInstanceAttribute", "yes", "ModifyInstanceAttribute", map[string]any{"InstanceId": o.Instance, "BlockDeviceMappings": []any{map[string]any{"DeviceName": "/dev/xvda", "Ebs": map[string]any{"DeleteOnTermination": false}}}}),
			}},
			{ID: "group", Whitepaper: 1, Title: "A security group that lets nothing in or out", Checks: []string{"no ingress rule", "no egress rule", "described before it is put on anything"}, Calls: []respond.Call{
				fakeCall("group/closed/vpc-1", "ec2", "CreateSecurityGroup", "yes", "DeleteSecurityGroup", map[string]any{"GroupName": "snapcase-6f1f7ad2-" + o.Instance, "Description": "snapcase isolation: nothing in, nothing out", "VpcId": "vpc-1", "TagSpecifications": tags}),
				fakeCall("group/closed-ipv4/vpc-1", "ec2", "RevokeSecurityGroupEgress", "unknown", "DeleteSecurityGroup", map[string]any{"GroupId": "${group/closed/vpc-1.GroupId}", "IpPermissions": []any{map[string]any{"IpProtocol": "-1", "IpRanges": []any{map[string]any{"CidrIp": "0.0.0.0/0"}}}}}),
			}},
			{ID: "isolate", Whitepaper: 2, Title: "Put it on every interface", Checks: []string{"each interface is described and holds only the closed group"}, Warnings: []string{"connections that are being tracked live on until they time out (established TCP: 432,000 s, or 350 s on Nitro v6); --cut-established ends those that can be ended"}, Calls: []respond.Call{
				fakeCall("isolate/eni-1/closed", "ec2", "ModifyNetworkInterfaceAttribute", "unknown", "ModifyNetworkInterfaceAttribute", map[string]any{"NetworkInterfaceId": "eni-1", "Groups": []any{"${group/closed/vpc-1.GroupId}"}}),
			}},
			{ID: "credentials", Title: "Take the credentials away", Checks: []string{"the association, the policy and the key are read back"}, Calls: []respond.Call{
				fakeCall("credentials/role/web-role", "iam", "PutRolePolicy", "unknown", "DeleteRolePolicy", map[string]any{"RoleName": "web-role", "PolicyName": "AWSRevokeOlderSessions", "PolicyDocument": `{"Version":"2012-10-17"}`}),
			}},
			{ID: "snapshot", Whitepaper: 3, Title: "One crash-consistent set of snapshots over all volumes", Checks: []string{"each volume has a snapshot of this case"}, Warnings: []string{"108 GiB: snapshots are billed by what is stored"}, Calls: []respond.Call{
				fakeCall("snapshot/create", "ec2", "CreateSnapshots", "yes", "", map[string]any{"InstanceSpecification": map[string]any{"InstanceId": o.Instance, "ExcludeBootVolume": false}}),
			}},
			{ID: "complete", Title: "Wait until every snapshot is complete", Checks: []string{"each volume has a completed snapshot"}},
			{ID: "after", Title: "Proof of the state after", Checks: []string{"after.json and its difference to before.json are an exhibit"}},
		},
	}
	if refused {
		p.Steps[5].Cannot = "there is no instance profile snapcase-deny (--deny-profile); make one with a role that denies everything, then run again"
		p.Steps[6].Calls[0].Allowed = "no"
	}
	return p
}

// fakeStatus is what the ledger knows.
func fakeStatus(instance, begun string) *respond.Status {
	st := &respond.Status{Instance: instance}
	if begun == "undone" {
		st.Undone, st.Left = 1, []string{"policy AWSRevokeOlderSessions of role web-role"}
		return st
	}
	if begun == "" {
		return st
	}
	st.Planned, st.Begun = true, at(0, 0).String()
	p := fakePlan(respond.Options{Instance: instance}, false)
	st.Residual = p.Residual
	st.Undo = []string{"ec2:ModifyNetworkInterfaceAttribute interface eni-1", "ec2:DeleteSecurityGroup group sg-0new", "ec2:ModifyInstanceAttribute termination of " + instance}
	for i, x := range p.Steps {
		y := respond.StepStatus{ID: x.ID, Title: x.Title, State: "ok", Checks: []string{x.Checks[0]}}
		if begun == "begun" && i > 4 {
			y.State = map[bool]string{true: "begun", false: "waiting"}[i == 5]
		}
		if begun == "partial" && x.ID == "snapshot" {
			y.State, y.Why, y.Checks = "failed", "snapshot/create: ec2:CreateSnapshots: SnapshotLimitExceeded: quota exceeded \x1b[2J", nil
		}
		for j, c := range x.Calls {
			if !c.Mutates {
				continue
			}
			z := respond.CallStatus{ID: c.ID, Call: c.Name(), State: "done", RequestID: fmt.Sprintf("6f3a%04d-91bb-4c1d-8e2f-0123456789ab", i*10+j), Made: map[string]string{}}
			if c.Action == "CreateSecurityGroup" {
				z.Made["GroupId"] = "sg-0new"
			}
			switch y.State {
			case "waiting":
				z.State, z.RequestID = "waiting", ""
			case "begun":
				z.State, z.RequestID = "unsettled", ""
				st.Unsettled = append(st.Unsettled, c.ID)
			case "failed":
				z.State, z.Error = "refused", "ec2:CreateSnapshots: SnapshotLimitExceeded: quota exceeded"
			}
			y.Calls = append(y.Calls, z)
		}
		st.Steps = append(st.Steps, y)
	}
	return st
}

// respondRecords are the ledger's records of a response in a state.
func responseRecords(instance, begun string) []custody.Record {
	if begun == "" {
		return nil
	}
	var out []custody.Record
	add := func(kind, result string, data map[string]any) {
		data["instance"] = instance
		n := int64(len(out) + 43)
		out = append(out, custody.Record{V: 1, Seq: n, Time: at(n*7, 0), Type: kind, Actor: "jdoe", Result: result, Hash: fmt.Sprintf("%064x", n*7919+12345), Data: data})
	}
	known := begun
	if begun == "undone" {
		known = "done"
	}
	st := fakeStatus(instance, known)
	p := fakePlan(respond.Options{Instance: instance}, false)
	add("respond.plan", "", map[string]any{"calls": int64(7), "order": "contain-first", "caller": "arn:aws:sts::111122223333:assumed-role/snapcase-preserve/alice"})
	for i, s := range st.Steps {
		for _, c := range s.Calls {
			plan := p.Steps[i]
			for _, k := range plan.Calls {
				if k.ID == c.ID && c.State != "waiting" {
					add("respond.intent", "", map[string]any{"step": s.ID, "call": c.ID, "service": k.Service, "action": k.Action, "params": k.Params, "undo": map[string]any{"action": k.Undo}})
				}
				if k.ID != c.ID || c.State != "done" && c.State != "refused" {
					continue
				}
				d := map[string]any{"step": s.ID, "call": c.ID, "service": k.Service, "action": k.Action, "request_id": c.RequestID, "outcome": "done", "result": map[string]any{}}
				for n, v := range c.Made {
					d["result"] = map[string]any{n: v}
				}
				if c.State == "refused" {
					d["outcome"], d["error"] = "refused", c.Error+" \x1b[31m"
					delete(d, "result")
					add("respond.call", "failed", d)
				} else {
					add("respond.call", "ok", d)
				}
			}
		}
		if s.State == "ok" || s.State == "failed" {
			d := map[string]any{"step": s.ID}
			if s.Why != "" {
				d["why"] = s.Why
			}
			add("respond.step", s.State, d)
		}
	}
	if begun == "undone" {
		add("respond.undo", "ok", map[string]any{"brought_back": []any{"interface eni-1", "group sg-0new", "termination of " + instance}, "left": []any{"policy AWSRevokeOlderSessions of role web-role"}})
	}
	return out
}

var (
	errNoCredentials = fmt.Errorf("plan the response to %s in eu-west-1: %w", victim, &evidence.CloudError{Call: "sts:GetCallerIdentity", Kind: evidence.CloudCredentials, Code: "ExpiredToken", Message: "The security token included in the request is expired", RequestID: "8f0c"})
	errRunGaps       = fmt.Errorf("respond to %s: snapshot: snapshot/create: quota exceeded: %w", victim, evidence.ErrGaps)
)
