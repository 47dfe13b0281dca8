package respond

import (
	"context"
	"strings"

	"snapcase/evidence"
)

// A deed is what the playbook knows of a call that changes something: how to
// ask for the state that it changes, how to tell from that state that it was
// done, what it made, and what takes it back.
type deed struct {
	// also are permissions that the call needs beside its own name.
	also []string
	// state asks for what the call changes or makes. Nothing found is an empty
	// map and no error.
	state func(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error)
	// done says whether a state is what the call leaves behind.
	done func(p, state map[string]any) bool
	// some says, of a call that makes several things, whether a state holds any of
	// them: after looking for a while that counts as done. Nil where done says all.
	some func(p, state map[string]any) bool
	// made takes the ids out of an answer, by the names that state gives them;
	// nil where the call makes nothing.
	made func(answer map[string]any) map[string]any
	// undo gives the call that takes it back; its params may hold ${this.X}, X
	// of the result.
	undo func(p, before map[string]any) *takeBack
	// late marks a call whose effect is not seen at once, though it makes nothing.
	late bool
	// gone marks a call that deletes. That a thing is not shown says nothing at
	// first: what was just made is not seen at once. So the call is made, and only
	// when it has had no clear answer is it looked for.
	gone bool
	// already lists error codes that say that it was done before.
	already []string
}

// takeBack is a call that undoes another.
type takeBack struct {
	Service string         `json:"service"`
	Action  string         `json:"action"`
	Params  map[string]any `json:"params"`
	// Target names what is brought back: of several calls that changed the same,
	// the first one's undo counts.
	Target string `json:"target"`
	// Named is the word that must be given for it to be made: a key id or a role.
	Named string `json:"named,omitempty"`
}

// deeds are all calls that the playbook and its undo may make.
var deeds = map[string]deed{
	"ec2:ModifyInstanceAttribute":              {state: attributeState, done: attributeDone, undo: attributeUndo},
	"ec2:CreateSecurityGroup":                  {also: []string{"ec2:CreateTags"}, state: groupState, done: has("GroupId"), made: pick("GroupId"), undo: groupUndo, already: []string{"InvalidGroup.Duplicate"}},
	"ec2:RevokeSecurityGroupEgress":            {state: rulesState("IpPermissionsEgress"), done: not(holdsRule), already: []string{"InvalidPermission.NotFound"}},
	"ec2:AuthorizeSecurityGroupEgress":         {state: rulesState("IpPermissionsEgress"), done: holdsRule, already: []string{"InvalidPermission.Duplicate"}},
	"ec2:AuthorizeSecurityGroupIngress":        {state: rulesState("IpPermissions"), done: holdsRule, already: []string{"InvalidPermission.Duplicate"}},
	"ec2:DeleteSecurityGroup":                  {gone: true, state: groupByID, done: not(has("GroupId"))},
	"ec2:ModifyNetworkInterfaceAttribute":      {state: interfaceState, done: sameGroups, undo: interfaceUndo},
	"ec2:DisassociateAddress":                  {state: addressState, done: not(has("AssociationId")), undo: addressUndo, already: []string{"InvalidAssociationID.NotFound"}},
	"ec2:AssociateAddress":                     {state: addressState, done: sameAddress},
	"ec2:CreateNetworkAcl":                     {also: []string{"ec2:CreateTags"}, state: tagged("DescribeNetworkAcls", "NetworkAcls", "NetworkAclId"), done: has("NetworkAclId"), made: pickIn("NetworkAcl", "NetworkAclId"), undo: deletes("DeleteNetworkAcl", "NetworkAclId")},
	"ec2:DeleteNetworkAcl":                     {gone: true, state: byID("DescribeNetworkAcls", "NetworkAclIds", "NetworkAcls", "NetworkAclId"), done: not(has("NetworkAclId"))},
	"ec2:ReplaceNetworkAclAssociation":         {state: aclState, done: same("NetworkAclId"), undo: aclUndo},
	"ec2:CreateSnapshots":                      {also: []string{"ec2:CreateTags"}, state: snapshotsState, done: allVolumes, some: notEmpty, made: snapshotsMade},
	"ec2:LockSnapshot":                         {state: lockState, done: has("LockState"), late: true},
	"ec2:CopySnapshot":                         {also: []string{"ec2:CreateTags", "kms:DescribeKey", "kms:CreateGrant", "kms:Decrypt", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncrypt*"}, state: tagged("DescribeSnapshots", "Snapshots", "SnapshotId"), done: has("SnapshotId"), made: pick("SnapshotId")},
	"ec2:ModifySnapshotAttribute":              {state: shareState, done: sharedWith},
	"ec2:CreateVolume":                         {also: []string{"ec2:CreateTags", "kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncrypt*"}, state: tagged("DescribeVolumes", "Volumes", "VolumeId"), done: has("VolumeId"), made: pick("VolumeId")},
	"ec2:AttachVolume":                         {state: attachState, done: same("InstanceId"), undo: attachUndo, already: []string{"VolumeInUse"}},
	"ec2:DetachVolume":                         {state: attachState, done: not(has("InstanceId"))},
	"ec2:CreateTrafficMirrorTarget":            {also: []string{"ec2:CreateTags"}, state: tagged("DescribeTrafficMirrorTargets", "TrafficMirrorTargets", "TrafficMirrorTargetId"), done: has("TrafficMirrorTargetId"), made: pickIn("TrafficMirrorTarget", "TrafficMirrorTargetId"), undo: deletes("DeleteTrafficMirrorTarget", "TrafficMirrorTargetId")},
	"ec2:CreateTrafficMirrorFilter":            {also: []string{"ec2:CreateTags"}, state: tagged("DescribeTrafficMirrorFilters", "TrafficMirrorFilters", "TrafficMirrorFilterId"), done: has("TrafficMirrorFilterId"), made: pickIn("TrafficMirrorFilter", "TrafficMirrorFilterId"), undo: deletes("DeleteTrafficMirrorFilter", "TrafficMirrorFilterId")},
	"ec2:CreateTrafficMirrorFilterRule":        {state: mirrorRules, done: holdsMirrorRule},
	"ec2:CreateTrafficMirrorSession":           {also: []string{"ec2:CreateTags"}, state: tagged("DescribeTrafficMirrorSessions", "TrafficMirrorSessions", "TrafficMirrorSessionId"), done: has("TrafficMirrorSessionId"), made: pickIn("TrafficMirrorSession", "TrafficMirrorSessionId"), undo: deletes("DeleteTrafficMirrorSession", "TrafficMirrorSessionId")},
	"ec2:DeleteTrafficMirrorTarget":            {gone: true, state: byID("DescribeTrafficMirrorTargets", "TrafficMirrorTargetIds", "TrafficMirrorTargets", "TrafficMirrorTargetId"), done: not(has("TrafficMirrorTargetId"))},
	"ec2:DeleteTrafficMirrorFilter":            {gone: true, state: byID("DescribeTrafficMirrorFilters", "TrafficMirrorFilterIds", "TrafficMirrorFilters", "TrafficMirrorFilterId"), done: not(has("TrafficMirrorFilterId"))},
	"ec2:DeleteTrafficMirrorSession":           {gone: true, state: byID("DescribeTrafficMirrorSessions", "TrafficMirrorSessionIds", "TrafficMirrorSessions", "TrafficMirrorSessionId"), done: not(has("TrafficMirrorSessionId"))},
	"ec2:ReplaceIamInstanceProfileAssociation": {also: []string{"iam:PassRole"}, state: profileState, done: sameProfile, undo: profileUndo},
	"iam:PutRolePolicy":                        {state: policyState("GetRolePolicy", "RoleName"), done: samePolicy, undo: policyUndo("Role")},
	"iam:PutUserPolicy":                        {state: policyState("GetUserPolicy", "UserName"), done: samePolicy, undo: policyUndo("User")},
	"iam:DeleteRolePolicy":                     {gone: true, state: policyState("GetRolePolicy", "RoleName"), done: not(has("PolicyDocument"))},
	"iam:DeleteUserPolicy":                     {gone: true, state: policyState("GetUserPolicy", "UserName"), done: not(has("PolicyDocument"))},
	"iam:UpdateAccessKey":                      {state: keyState, done: same("Status"), undo: keyUndo},
	"autoscaling:SetInstanceProtection":        {state: scalingState, done: same("ProtectedFromScaleIn"), undo: protectionUndo},
	"autoscaling:EnterStandby":                 {state: scalingState, done: standing, undo: standbyUndo},
	"autoscaling:ExitStandby":                  {state: scalingState, done: not(standing)},
	"elasticloadbalancing:DeregisterTargets":   {state: targetState, done: not(registered), undo: targetUndo},
	"elasticloadbalancing:RegisterTargets":     {state: targetState, done: registered},
	"s3:CreateMultipartUpload":                 {also: []string{"s3:PutObject"}, state: uploadState, done: has("UploadId"), made: pick("UploadId")},
	"ssm:SendCommand":                          {state: commandState, done: has("CommandId"), made: pickIn("Command", "CommandId")},
	"s3:CompleteMultipartUpload":               {also: []string{"s3:PutObject"}, state: objectState, done: has("ContentLength")},
}

// text gives a string out of a map; "" where there is none.
func text(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}

func has(key string) func(p, state map[string]any) bool {
	return func(_, state map[string]any) bool { return state[key] != nil }
}

func same(key string) func(p, state map[string]any) bool {
	return func(p, state map[string]any) bool { return text(p, key) != "" && text(p, key) == text(state, key) }
}

func not(f func(p, state map[string]any) bool) func(p, state map[string]any) bool {
	return func(p, state map[string]any) bool { return !f(p, state) }
}

func notEmpty(_, state map[string]any) bool { return len(state) > 0 }

func pick(key string) func(map[string]any) map[string]any {
	return func(a map[string]any) map[string]any { return map[string]any{key: a[key]} }
}

func pickIn(outer, key string) func(map[string]any) map[string]any {
	return func(a map[string]any) map[string]any {
		in, _ := a[outer].(map[string]any)
		return map[string]any{key: in[key]}
	}
}

// every asks and gives all elements of a list in the answer.
func every(ctx context.Context, c Cloud, service, action, of string, params map[string]any) ([]map[string]any, error) {
	pages, err := read[map[string]any](ctx, c, service, action, params)
	if kind, ok := evidence.CloudKind(err); ok && kind == evidence.CloudNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []map[string]any
	for _, p := range pages {
		l, _ := p[of].([]any)
		for _, x := range l {
			if m, err := object(x); err == nil {
				all = append(all, m)
			}
		}
	}
	return all, nil
}

// find gives the element of a list in the answer whose key is value: a service
// that overlooks a filter must not pass off another one as it.
func find(ctx context.Context, c Cloud, action, of, key, value string, params map[string]any) (map[string]any, error) {
	all, err := every(ctx, c, "ec2", action, of, params)
	if err != nil {
		return map[string]any{}, err
	}
	for _, m := range all {
		if value != "" && text(m, key) == value {
			return m, nil
		}
	}
	return map[string]any{}, nil
}

// ours says whether a thing carries every tag of this program that p gives it.
func ours(m, p map[string]any) bool {
	have := map[string]string{}
	l, _ := m["Tags"].([]any)
	for _, x := range l {
		t, _ := x.(map[string]any)
		have[text(t, "Key")] = text(t, "Value")
	}
	want := tagsOf(p)
	for i := 0; i < len(want); i += 2 {
		if v, ok := have[want[i]]; !ok || v != want[i+1] {
			return false
		}
	}
	return len(want) > 0
}

// one asks and gives the whole answer as a map; what is not found is empty.
func one(ctx context.Context, c Cloud, service, action string, params map[string]any) (map[string]any, error) {
	pages, err := read[map[string]any](ctx, c, service, action, params)
	if kind, ok := evidence.CloudKind(err); ok && kind == evidence.CloudNotFound {
		return map[string]any{}, nil
	}
	if err != nil || len(pages) == 0 {
		return map[string]any{}, err
	}
	return object(pages[0])
}

// tagged looks for what a call made by the tags that it gave it.
func tagged(action, of, id string) func(context.Context, Cloud, map[string]any) (map[string]any, error) {
	return func(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
		params := map[string]any{"Filters": tagFilters(p)}
		if of == "Snapshots" {
			params["OwnerIds"] = list("self")
		}
		all, err := every(ctx, c, "ec2", action, of, params)
		if err != nil {
			return nil, err
		}
		for _, m := range all {
			if text(m, id) != "" && ours(m, p) && text(m, "State") != "deleting" {
				return map[string]any{id: m[id]}, nil
			}
		}
		return map[string]any{}, nil
	}
}

// tagsOf lists key and value of each tag of this program that p gives.
func tagsOf(p map[string]any) []string {
	var all []string
	specs, _ := p["TagSpecifications"].([]any)
	for _, s := range specs {
		m, _ := s.(map[string]any)
		tags, _ := m["Tags"].([]any)
		for _, t := range tags {
			kv, _ := t.(map[string]any)
			if strings.HasPrefix(text(kv, "Key"), "snapcase:") {
				all = append(all, text(kv, "Key"), text(kv, "Value"))
			}
		}
	}
	return all
}

// tagFilters are the filters that find what the TagSpecifications of p mark.
func tagFilters(p map[string]any) []any {
	t := tagsOf(p)
	for i := 0; i < len(t); i += 2 {
		t[i] = "tag:" + t[i]
	}
	return filter(t...)
}

// byID asks for one thing by its id, which p names by key.
func byID(action, param, of, key string) func(context.Context, Cloud, map[string]any) (map[string]any, error) {
	return func(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
		m, err := find(ctx, c, action, of, key, text(p, key), map[string]any{param: list(text(p, key))})
		if err != nil || text(m, key) == "" || text(m, "State") == "deleted" {
			return map[string]any{}, err
		}
		return map[string]any{key: m[key]}, nil
	}
}

func deletes(action, key string) func(p, before map[string]any) *takeBack {
	return func(_, _ map[string]any) *takeBack {
		return &takeBack{Service: "ec2", Action: action, Params: map[string]any{key: "${this." + key + "}"}, Target: action + " ${this." + key + "}"}
	}
}
