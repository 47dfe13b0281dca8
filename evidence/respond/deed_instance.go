package respond

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"snapcase/evidence"
)

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
