package respond

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
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
	"ec2:DeleteSecurityGroup":                  {state: groupByID, done: not(has("GroupId"))},
	"ec2:ModifyNetworkInterfaceAttribute":      {state: interfaceState, done: sameGroups, undo: interfaceUndo},
	"ec2:DisassociateAddress":                  {state: addressState, done: not(has("AssociationId")), undo: addressUndo, already: []string{"InvalidAssociationID.NotFound"}},
	"ec2:AssociateAddress":                     {state: addressState, done: sameAddress},
	"ec2:CreateNetworkAcl":                     {also: []string{"ec2:CreateTags"}, state: tagged("DescribeNetworkAcls", "NetworkAcls", "NetworkAclId"), done: has("NetworkAclId"), made: pickIn("NetworkAcl", "NetworkAclId"), undo: deletes("DeleteNetworkAcl", "NetworkAclId")},
	"ec2:DeleteNetworkAcl":                     {state: byID("DescribeNetworkAcls", "NetworkAclIds", "NetworkAcls", "NetworkAclId"), done: not(has("NetworkAclId"))},
	"ec2:ReplaceNetworkAclAssociation":         {state: aclState, done: same("NetworkAclId"), undo: aclUndo},
	"ec2:CreateSnapshots":                      {also: []string{"ec2:CreateTags"}, state: snapshotsState, done: allVolumes, some: notEmpty, made: snapshotsMade},
	"ec2:LockSnapshot":                         {state: lockState, done: has("LockState")},
	"ec2:CopySnapshot":                         {also: []string{"ec2:CreateTags", "kms:DescribeKey", "kms:CreateGrant", "kms:Decrypt", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncrypt*"}, state: tagged("DescribeSnapshots", "Snapshots", "SnapshotId"), done: has("SnapshotId"), made: pick("SnapshotId")},
	"ec2:ModifySnapshotAttribute":              {state: shareState, done: sharedWith},
	"ec2:CreateVolume":                         {also: []string{"ec2:CreateTags", "kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncrypt*"}, state: tagged("DescribeVolumes", "Volumes", "VolumeId"), done: has("VolumeId"), made: pick("VolumeId")},
	"ec2:AttachVolume":                         {state: attachState, done: same("InstanceId"), undo: attachUndo, already: []string{"VolumeInUse"}},
	"ec2:DetachVolume":                         {state: attachState, done: not(has("InstanceId"))},
	"ec2:CreateTrafficMirrorTarget":            {also: []string{"ec2:CreateTags"}, state: tagged("DescribeTrafficMirrorTargets", "TrafficMirrorTargets", "TrafficMirrorTargetId"), done: has("TrafficMirrorTargetId"), made: pickIn("TrafficMirrorTarget", "TrafficMirrorTargetId"), undo: deletes("DeleteTrafficMirrorTarget", "TrafficMirrorTargetId")},
	"ec2:CreateTrafficMirrorFilter":            {also: []string{"ec2:CreateTags"}, state: tagged("DescribeTrafficMirrorFilters", "TrafficMirrorFilters", "TrafficMirrorFilterId"), done: has("TrafficMirrorFilterId"), made: pickIn("TrafficMirrorFilter", "TrafficMirrorFilterId"), undo: deletes("DeleteTrafficMirrorFilter", "TrafficMirrorFilterId")},
	"ec2:CreateTrafficMirrorFilterRule":        {state: mirrorRules, done: holdsMirrorRule},
	"ec2:CreateTrafficMirrorSession":           {also: []string{"ec2:CreateTags"}, state: tagged("DescribeTrafficMirrorSessions", "TrafficMirrorSessions", "TrafficMirrorSessionId"), done: has("TrafficMirrorSessionId"), made: pickIn("TrafficMirrorSession", "TrafficMirrorSessionId"), undo: deletes("DeleteTrafficMirrorSession", "TrafficMirrorSessionId")},
	"ec2:DeleteTrafficMirrorTarget":            {state: byID("DescribeTrafficMirrorTargets", "TrafficMirrorTargetIds", "TrafficMirrorTargets", "TrafficMirrorTargetId"), done: not(has("TrafficMirrorTargetId"))},
	"ec2:DeleteTrafficMirrorFilter":            {state: byID("DescribeTrafficMirrorFilters", "TrafficMirrorFilterIds", "TrafficMirrorFilters", "TrafficMirrorFilterId"), done: not(has("TrafficMirrorFilterId"))},
	"ec2:DeleteTrafficMirrorSession":           {state: byID("DescribeTrafficMirrorSessions", "TrafficMirrorSessionIds", "TrafficMirrorSessions", "TrafficMirrorSessionId"), done: not(has("TrafficMirrorSessionId"))},
	"ec2:ReplaceIamInstanceProfileAssociation": {also: []string{"iam:PassRole"}, state: profileState, done: sameProfile, undo: profileUndo},
	"iam:PutRolePolicy":                        {state: policyState("GetRolePolicy", "RoleName"), done: samePolicy, undo: policyUndo("Role")},
	"iam:PutUserPolicy":                        {state: policyState("GetUserPolicy", "UserName"), done: samePolicy, undo: policyUndo("User")},
	"iam:DeleteRolePolicy":                     {state: policyState("GetRolePolicy", "RoleName"), done: not(has("PolicyDocument"))},
	"iam:DeleteUserPolicy":                     {state: policyState("GetUserPolicy", "UserName"), done: not(has("PolicyDocument"))},
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

// ---- instance attributes

// attributeOf is the attribute that a ModifyInstanceAttribute call sets, with
// the names of DescribeInstanceAttribute.
func attributeOf(p map[string]any) (field, attribute string) {
	for _, a := range [][2]string{{"DisableApiTermination", "disableApiTermination"}, {"DisableApiStop", "disableApiStop"}, {"InstanceInitiatedShutdownBehavior", "instanceInitiatedShutdownBehavior"}} {
		if p[a[0]] != nil {
			return a[0], a[1]
		}
	}
	return "BlockDeviceMappings", "blockDeviceMapping"
}

func attributeState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	field, attribute := attributeOf(p)
	if field == "BlockDeviceMappings" {
		return deviceState(ctx, c, p)
	}
	m, err := one(ctx, c, "ec2", "DescribeInstanceAttribute", map[string]any{"InstanceId": p["InstanceId"], "Attribute": attribute})
	if err != nil {
		return nil, err
	}
	return map[string]any{field: m[field]}, nil
}

func deviceState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	pages, err := read[describedInstances](ctx, c, "ec2", "DescribeInstances", map[string]any{"InstanceIds": list(text(p, "InstanceId"))})
	if err != nil {
		return nil, err
	}
	device := deviceOf(p)
	for _, page := range pages {
		for _, r := range page.Reservations {
			for _, i := range r.Instances {
				for _, m := range i.BlockDeviceMappings {
					if m.DeviceName == device && m.Ebs != nil {
						return map[string]any{"DeviceName": device, "DeleteOnTermination": m.Ebs.DeleteOnTermination}, nil
					}
				}
			}
		}
	}
	return map[string]any{}, nil
}

func deviceOf(p map[string]any) string {
	l, _ := p["BlockDeviceMappings"].([]any)
	if len(l) != 1 {
		return ""
	}
	m, _ := l[0].(map[string]any)
	return text(m, "DeviceName")
}

func attributeDone(p, state map[string]any) bool {
	field, _ := attributeOf(p)
	if field == "BlockDeviceMappings" {
		l := p[field].([]any)
		ebs, _ := l[0].(map[string]any)["Ebs"].(map[string]any)
		return state["DeleteOnTermination"] == ebs["DeleteOnTermination"]
	}
	want, _ := p[field].(map[string]any)
	got, _ := state[field].(map[string]any)
	return got != nil && got["Value"] == want["Value"]
}

func attributeUndo(p, before map[string]any) *takeBack {
	field, _ := attributeOf(p)
	params := map[string]any{"InstanceId": p["InstanceId"]}
	target := text(p, "InstanceId") + " " + field
	if field == "BlockDeviceMappings" {
		if before["DeleteOnTermination"] == nil {
			return nil
		}
		params[field] = []any{map[string]any{"DeviceName": before["DeviceName"], "Ebs": map[string]any{"DeleteOnTermination": before["DeleteOnTermination"]}}}
		target += " " + text(before, "DeviceName")
	} else {
		was, _ := before[field].(map[string]any)
		if was["Value"] == nil {
			return nil
		}
		params[field] = map[string]any{"Value": was["Value"]}
	}
	return &takeBack{Service: "ec2", Action: "ModifyInstanceAttribute", Params: params, Target: target}
}

// ---- groups and their rules

func groupState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	f := append(filter("group-name", text(p, "GroupName"), "vpc-id", text(p, "VpcId")), tagFilters(p)...)
	m, err := find(ctx, c, "DescribeSecurityGroups", "SecurityGroups", "GroupName", text(p, "GroupName"), map[string]any{"Filters": f})
	if err != nil || text(m, "GroupId") == "" || text(m, "VpcId") != text(p, "VpcId") || !ours(m, p) {
		return map[string]any{}, err
	}
	return map[string]any{"GroupId": m["GroupId"]}, nil
}

func groupByID(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	m, err := find(ctx, c, "DescribeSecurityGroups", "SecurityGroups", "GroupId", text(p, "GroupId"), map[string]any{"GroupIds": list(text(p, "GroupId"))})
	if err != nil || text(m, "GroupId") == "" {
		return map[string]any{}, err
	}
	return m, nil
}

func groupUndo(_, _ map[string]any) *takeBack {
	return &takeBack{Service: "ec2", Action: "DeleteSecurityGroup", Params: map[string]any{"GroupId": "${this.GroupId}"}, Target: "group ${this.GroupId}"}
}

// rulesState gives the rules of a group one way. A group that is not seen yet
// is told by the missing GroupId.
func rulesState(way string) func(context.Context, Cloud, map[string]any) (map[string]any, error) {
	return func(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
		m, err := groupByID(ctx, c, p)
		if err != nil {
			return nil, err
		}
		if len(m) == 0 {
			return nil, &evidence.CloudError{Call: "ec2:DescribeSecurityGroups", Kind: evidence.CloudNotFound, Code: "InvalidGroup.NotFound", Message: text(p, "GroupId") + " is not seen yet"}
		}
		rules, err := ruleSet(m[way])
		if err != nil {
			return nil, err
		}
		return map[string]any{"Rules": list(rules...)}, nil
	}
}

type permission struct {
	IPProtocol string `json:"IpProtocol"`
	FromPort   *int64
	ToPort     *int64
	IPRanges   []struct {
		CidrIP string `json:"CidrIp"`
	} `json:"IpRanges"`
	Ipv6Ranges    []struct{ CidrIpv6 string }
	PrefixListIDs []struct {
		PrefixListID string `json:"PrefixListId"`
	} `json:"PrefixListIds"`
	UserIDGroupPairs []struct {
		GroupID string `json:"GroupId"`
	} `json:"UserIdGroupPairs"`
}

// ruleSet writes IpPermissions as one text a rule, sorted: "-1 all 0.0.0.0/0".
func ruleSet(v any) ([]string, error) {
	if v == nil {
		return nil, nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var all []permission
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("decode the rules of a group: %w", err)
	}
	var out []string
	for _, p := range all {
		ports := "all"
		if p.FromPort != nil && p.ToPort != nil && (*p.FromPort != -1 || *p.ToPort != -1) {
			ports = fmt.Sprintf("%d-%d", *p.FromPort, *p.ToPort)
		}
		add := func(to string) { out = append(out, p.IPProtocol+" "+ports+" "+to) }
		for _, r := range p.IPRanges {
			add(r.CidrIP)
		}
		for _, r := range p.Ipv6Ranges {
			add(r.CidrIpv6)
		}
		for _, r := range p.PrefixListIDs {
			add(r.PrefixListID)
		}
		for _, r := range p.UserIDGroupPairs {
			add(r.GroupID)
		}
	}
	slices.Sort(out)
	return out, nil
}

func holdsRule(p, state map[string]any) bool {
	want, err := ruleSet(p["IpPermissions"])
	have, _ := state["Rules"].([]any)
	if err != nil || len(want) == 0 {
		return false
	}
	for _, w := range want {
		if !slices.Contains(have, any(w)) {
			return false
		}
	}
	return true
}

// ---- interfaces, addresses, network ACLs

func interfaceState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	all, err := interfaces(ctx, c, []string{text(p, "NetworkInterfaceId")})
	if err != nil {
		return nil, err
	}
	return map[string]any{"Groups": list(all[0].Groups...)}, nil
}

func sameGroups(p, state map[string]any) bool {
	return slices.Equal(sorted(p["Groups"]), sorted(state["Groups"]))
}

func sorted(v any) []string {
	l, _ := v.([]any)
	out := make([]string, 0, len(l))
	for _, x := range l {
		s, _ := x.(string)
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

func interfaceUndo(p, before map[string]any) *takeBack {
	id := text(p, "NetworkInterfaceId")
	return &takeBack{Service: "ec2", Action: "ModifyNetworkInterfaceAttribute", Params: map[string]any{"NetworkInterfaceId": id, "Groups": before["Groups"]}, Target: id + " groups"}
}

func addressState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	key, params := "AssociationId", map[string]any{"Filters": filter("association-id", text(p, "AssociationId"))}
	if id := text(p, "AllocationId"); id != "" {
		key, params = "AllocationId", map[string]any{"AllocationIds": list(id)}
	}
	m, err := find(ctx, c, "DescribeAddresses", "Addresses", key, text(p, key), params)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for _, k := range []string{"AllocationId", "AssociationId", "NetworkInterfaceId", "PrivateIpAddress"} {
		if text(m, k) != "" {
			out[k] = m[k]
		}
	}
	return out, nil
}

func sameAddress(p, state map[string]any) bool {
	return text(state, "AssociationId") != "" && text(p, "NetworkInterfaceId") == text(state, "NetworkInterfaceId") && text(p, "PrivateIpAddress") == text(state, "PrivateIpAddress")
}

func addressUndo(_, before map[string]any) *takeBack {
	if text(before, "AllocationId") == "" {
		return nil
	}
	return &takeBack{Service: "ec2", Action: "AssociateAddress", Params: map[string]any{
		"AllocationId": before["AllocationId"], "NetworkInterfaceId": before["NetworkInterfaceId"], "PrivateIpAddress": before["PrivateIpAddress"],
	}, Target: "address " + text(before, "AllocationId")}
}

// aclAssociation finds the network ACL of a subnet and its association.
func aclAssociation(ctx context.Context, c Cloud, subnet string) (association, acl string, err error) {
	all, err := every(ctx, c, "ec2", "DescribeNetworkAcls", "NetworkAcls", map[string]any{"Filters": filter("association.subnet-id", subnet)})
	if err != nil {
		return "", "", err
	}
	for _, m := range all {
		l, _ := m["Associations"].([]any)
		for _, x := range l {
			a, _ := x.(map[string]any)
			if text(a, "SubnetId") == subnet {
				return text(a, "NetworkAclAssociationId"), text(m, "NetworkAclId"), nil
			}
		}
	}
	return "", "", fmt.Errorf("ec2:DescribeNetworkAcls: no network ACL has %s", subnet)
}

// aclState goes by the association: an id that has been replaced is not found,
// so the call is done when its subnet, kept beside, has the new ACL.
func aclState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	_, acl, err := aclAssociation(ctx, c, text(p, subnetNote))
	if err != nil {
		return nil, err
	}
	return map[string]any{"NetworkAclId": acl}, nil
}

// subnetNote is a note beside the params of ReplaceNetworkAclAssociation: names
// that begin with "_" are never sent.
const subnetNote = "_subnet"

func aclUndo(p, before map[string]any) *takeBack {
	subnet := text(p, subnetNote)
	return &takeBack{Service: "ec2", Action: "ReplaceNetworkAclAssociation", Params: map[string]any{
		"AssociationId": "${acl-association:" + subnet + "}", "NetworkAclId": before["NetworkAclId"], subnetNote: subnet,
	}, Target: subnet + " network ACL"}
}

// ---- snapshots and volumes

// snapshotsState maps each volume to its snapshot of this case.
func snapshotsState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	all, err := every(ctx, c, "ec2", "DescribeSnapshots", "Snapshots", map[string]any{"Filters": tagFilters(p), "OwnerIds": list("self")})
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for _, m := range all {
		if ours(m, p) {
			out[text(m, "VolumeId")] = m["SnapshotId"]
		}
	}
	return out, nil
}

// volumesNote lists the volumes beside the params of CreateSnapshots.
const volumesNote = "_volumes"

// allVolumes says whether each volume has its snapshot: what was just made is
// not seen all at once.
func allVolumes(p, state map[string]any) bool {
	for _, v := range sorted(p[volumesNote]) {
		if text(state, v) == "" {
			return false
		}
	}
	return len(state) > 0
}

func snapshotsMade(a map[string]any) map[string]any {
	out := map[string]any{}
	l, _ := a["Snapshots"].([]any)
	for _, x := range l {
		m, _ := x.(map[string]any)
		out[text(m, "VolumeId")] = m["SnapshotId"]
	}
	return out
}

func lockState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	m, err := find(ctx, c, "DescribeLockedSnapshots", "Snapshots", "SnapshotId", text(p, "SnapshotId"), map[string]any{"SnapshotIds": list(text(p, "SnapshotId"))})
	if err != nil || text(m, "LockState") == "" || text(m, "LockState") == "expired" {
		return map[string]any{}, err
	}
	return map[string]any{"LockState": m["LockState"]}, nil
}

// shareState lists the accounts that may use a snapshot; "all" is everybody.
func shareState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	m, err := one(ctx, c, "ec2", "DescribeSnapshotAttribute", map[string]any{"SnapshotId": p["SnapshotId"], "Attribute": "createVolumePermission"})
	if err != nil {
		return nil, err
	}
	l, _ := m["CreateVolumePermissions"].([]any)
	var who []string
	for _, x := range l {
		v, _ := x.(map[string]any)
		if id := text(v, "UserId"); id != "" {
			who = append(who, id)
		} else if g := text(v, "Group"); g != "" {
			who = append(who, g)
		}
	}
	slices.Sort(who)
	return map[string]any{"Accounts": list(who...)}, nil
}

func sharedWith(p, state map[string]any) bool {
	have := sorted(state["Accounts"])
	for _, id := range sorted(p["UserIds"]) {
		if !slices.Contains(have, id) {
			return false
		}
	}
	return true
}

func attachState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	m, err := find(ctx, c, "DescribeVolumes", "Volumes", "VolumeId", text(p, "VolumeId"), map[string]any{"VolumeIds": list(text(p, "VolumeId"))})
	if err != nil {
		return nil, err
	}
	l, _ := m["Attachments"].([]any)
	for _, x := range l {
		a, _ := x.(map[string]any)
		if s := text(a, "State"); s == "attached" || s == "attaching" {
			return map[string]any{"InstanceId": a["InstanceId"], "Device": a["Device"]}, nil
		}
	}
	return map[string]any{}, nil
}

func attachUndo(p, _ map[string]any) *takeBack {
	return &takeBack{Service: "ec2", Action: "DetachVolume", Params: map[string]any{"VolumeId": p["VolumeId"], "InstanceId": p["InstanceId"]}, Target: "attachment " + text(p, "VolumeId")}
}

// ---- mirroring

func mirrorRules(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	m, err := find(ctx, c, "DescribeTrafficMirrorFilters", "TrafficMirrorFilters", "TrafficMirrorFilterId", text(p, "TrafficMirrorFilterId"), map[string]any{"TrafficMirrorFilterIds": list(text(p, "TrafficMirrorFilterId"))})
	if err != nil {
		return nil, err
	}
	var have []string
	for _, way := range []string{"IngressFilterRules", "EgressFilterRules"} {
		l, _ := m[way].([]any)
		for _, x := range l {
			r, _ := x.(map[string]any)
			have = append(have, text(r, "TrafficDirection")+" "+text(r, "DestinationCidrBlock"))
		}
	}
	return map[string]any{"Rules": list(have...)}, nil
}

func holdsMirrorRule(p, state map[string]any) bool {
	return slices.Contains(sorted(state["Rules"]), text(p, "TrafficDirection")+" "+text(p, "DestinationCidrBlock"))
}

// ---- credentials

func profileState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	_, arn, err := association(ctx, c, text(p, instanceNote))
	if err != nil {
		return nil, err
	}
	return map[string]any{"Arn": arn}, nil
}

// instanceNote names the instance beside the params of a profile's replacement.
const instanceNote = "_instance"

func sameProfile(p, state map[string]any) bool {
	want, _ := p["IamInstanceProfile"].(map[string]any)
	if arn := text(want, "Arn"); arn != "" {
		return arn == text(state, "Arn")
	}
	return text(want, "Name") == lastPart(text(state, "Arn"))
}

func profileUndo(p, before map[string]any) *takeBack {
	instance := text(p, instanceNote)
	return &takeBack{Service: "ec2", Action: "ReplaceIamInstanceProfileAssociation", Params: map[string]any{
		"AssociationId": "${association:" + instance + "}", "IamInstanceProfile": map[string]any{"Arn": before["Arn"]}, instanceNote: instance,
	}, Target: instance + " profile"}
}

// policyState reads an inline policy. IAM gives the document URL-encoded.
func policyState(action, who string) func(context.Context, Cloud, map[string]any) (map[string]any, error) {
	return func(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
		m, err := one(ctx, c, "iam", action, map[string]any{who: p[who], "PolicyName": p["PolicyName"]})
		if err != nil {
			return nil, err
		}
		doc := text(m, "PolicyDocument")
		if doc == "" {
			return map[string]any{}, nil
		}
		if d, err := url.QueryUnescape(doc); err == nil && strings.HasPrefix(doc, "%7B") {
			doc = d
		}
		return map[string]any{"PolicyDocument": doc}, nil
	}
}

func samePolicy(p, state map[string]any) bool {
	var a, b any
	if json.Unmarshal([]byte(text(p, "PolicyDocument")), &a) != nil || json.Unmarshal([]byte(text(state, "PolicyDocument")), &b) != nil {
		return false
	}
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// policyUndo brings back what stood under the name before, or nothing. It revives
// sessions that were cut off, so it is made only where it is named.
func policyUndo(of string) func(p, before map[string]any) *takeBack {
	return func(p, before map[string]any) *takeBack {
		who := of + "Name"
		t := &takeBack{Service: "iam", Action: "Delete" + of + "Policy", Params: map[string]any{who: p[who], "PolicyName": p["PolicyName"]}, Target: of + " " + text(p, who) + " " + text(p, "PolicyName"), Named: text(p, who)}
		if doc := text(before, "PolicyDocument"); doc != "" {
			t.Action = "Put" + of + "Policy"
			t.Params["PolicyDocument"] = doc
		}
		return t
	}
}

func keyState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	all, err := every(ctx, c, "iam", "ListAccessKeys", "AccessKeyMetadata", map[string]any{"UserName": p["UserName"]})
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if text(m, "AccessKeyId") == text(p, "AccessKeyId") {
			return map[string]any{"Status": m["Status"]}, nil
		}
	}
	return map[string]any{}, nil
}

func keyUndo(p, before map[string]any) *takeBack {
	if text(before, "Status") == "" {
		return nil
	}
	return &takeBack{Service: "iam", Action: "UpdateAccessKey", Params: map[string]any{"UserName": p["UserName"], "AccessKeyId": p["AccessKeyId"], "Status": before["Status"]}, Target: "key " + text(p, "AccessKeyId"), Named: text(p, "AccessKeyId")}
}

// ---- memory

func uploadState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	all, err := every(ctx, c, "s3", "ListMultipartUploads", "Uploads", map[string]any{"Bucket": p["Bucket"], "Prefix": p["Key"]})
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if text(m, "Key") == text(p, "Key") {
			return map[string]any{"UploadId": m["UploadId"]}, nil
		}
	}
	return map[string]any{}, nil
}

// commandState finds the command that this case sent by its comment.
func commandState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	ids, _ := p["InstanceIds"].([]any)
	if len(ids) == 0 {
		return map[string]any{}, nil
	}
	all, err := every(ctx, c, "ssm", "ListCommands", "Commands", map[string]any{"InstanceId": ids[0]})
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if text(m, "Comment") == text(p, "Comment") {
			return map[string]any{"CommandId": m["CommandId"]}, nil
		}
	}
	return map[string]any{}, nil
}

func objectState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	m, err := one(ctx, c, "s3", "HeadObject", map[string]any{"Bucket": p["Bucket"], "Key": p["Key"]})
	if err != nil || m["ContentLength"] == nil {
		return map[string]any{}, err
	}
	return map[string]any{"ContentLength": m["ContentLength"]}, nil
}
