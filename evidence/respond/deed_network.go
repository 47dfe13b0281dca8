package respond

import (
	"context"
	"slices"

	"snapcase/evidence"
)

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
	// a network ACL that was just made is not seen at once, nor what it has
	return "", "", &evidence.CloudError{Call: "ec2:DescribeNetworkAcls", Kind: evidence.CloudNotFound, Message: "no network ACL has " + subnet}
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
