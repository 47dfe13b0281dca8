package respond

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

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
