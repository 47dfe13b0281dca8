package awstest

import (
	"net/url"
	"slices"
	"strings"
)

func (e *EC2) describeAssociations(f url.Values, here bool) (string, error) {
	var all []thing
	for _, i := range e.Instances {
		if i.Profile == "" {
			continue
		}
		all = append(all, thing{id: i.ProfileAssociation, xml: associationXML(i), attrs: map[string][]string{"instance-id": {i.ID}, "state": {"associated"}}})
	}
	return e.show(f, here, "iamInstanceProfileAssociationSet", "AssociationId", "InvalidAssociationID.NotFound", all)
}

func associationXML(i *Instance) string {
	return txt("associationId", i.ProfileAssociation) + txt("instanceId", i.ID) + txt("state", "associated") + el("iamInstanceProfile", txt("arn", i.Profile), txt("id", "AIPA"))
}

func (e *EC2) replaceProfile(f url.Values, _ bool) (string, error) {
	for _, i := range e.Instances {
		if i.ProfileAssociation != f.Get("AssociationId") {
			continue
		}
		if arn := f.Get("IamInstanceProfile.Arn"); arn != "" {
			i.Profile = arn
		} else {
			i.Profile = "arn:aws:iam::" + e.Account + ":instance-profile/" + f.Get("IamInstanceProfile.Name")
		}
		i.ProfileAssociation = e.fresh("iip-assoc")
		e.unseen[i.ProfileAssociation] = 0
		return el("iamInstanceProfileAssociation", associationXML(i)), nil
	}
	return "", bad("InvalidAssociationID.NotFound", "An invalid association-id of '%s' was given", f.Get("AssociationId"))
}

func (e *EC2) describeAddresses(f url.Values, here bool) (string, error) {
	var all []thing
	for _, a := range e.Addresses {
		x := txt("allocationId", a.Allocation) + txt("publicIp", a.Public) + txt("domain", "vpc")
		if a.Association != "" {
			x += txt("associationId", a.Association) + txt("networkInterfaceId", a.Net) + txt("privateIpAddress", a.Private)
		}
		all = append(all, thing{id: a.Allocation, xml: x, attrs: map[string][]string{"association-id": {a.Association}, "network-interface-id": {a.Net}}})
	}
	return e.show(f, here, "addressesSet", "AllocationId", "InvalidAllocationID.NotFound", all)
}

func (e *EC2) disassociateAddress(f url.Values, _ bool) (string, error) {
	for _, a := range e.Addresses {
		if id := f.Get("AssociationId"); id != "" && a.Association == id {
			a.Association, a.Net, a.Private = "", "", ""
			return txt("return", true), nil
		}
	}
	return "", bad("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", f.Get("AssociationId"))
}

func (e *EC2) associateAddress(f url.Values, _ bool) (string, error) {
	a := e.Addresses[f.Get("AllocationId")]
	if a == nil {
		return "", bad("InvalidAllocationID.NotFound", "The allocation ID '%s' does not exist", f.Get("AllocationId"))
	}
	a.Association, a.Net, a.Private = e.fresh("eipassoc"), f.Get("NetworkInterfaceId"), f.Get("PrivateIpAddress")
	return txt("return", true) + txt("associationId", a.Association), nil
}

func (e *EC2) describeACLs(f url.Values, here bool) (string, error) {
	var all []thing
	for _, a := range e.ACLs {
		var assoc []string
		for _, s := range keysOf(a.Associations) {
			assoc = append(assoc, el("item", txt("networkAclAssociationId", a.Associations[s]), txt("networkAclId", a.ID), txt("subnetId", s)))
		}
		x := txt("networkAclId", a.ID) + txt("vpcId", a.VPC) + el("associationSet", assoc...) + tagSet(a.Tags)
		all = append(all, thing{id: a.ID, xml: x, tags: a.Tags, attrs: map[string][]string{"association.subnet-id": keysOf(a.Associations), "vpc-id": {a.VPC}}})
	}
	return e.show(f, here, "networkAclSet", "NetworkAclId", "InvalidNetworkAclID.NotFound", all)
}

func (e *EC2) createACL(f url.Values, _ bool) (string, error) {
	id, made := e.once(f, "acl")
	if made {
		e.ACLs[id] = &ACL{ID: id, VPC: f.Get("VpcId"), Associations: map[string]string{}, Tags: tagsIn(f)}
	}
	return el("networkAcl", txt("networkAclId", id)), nil
}

func (e *EC2) deleteACL(f url.Values, _ bool) (string, error) {
	a := e.ACLs[f.Get("NetworkAclId")]
	if a == nil {
		return "", bad("InvalidNetworkAclID.NotFound", "The network ACL '%s' does not exist", f.Get("NetworkAclId"))
	}
	if len(a.Associations) > 0 {
		return "", bad("DependencyViolation", "The network ACL '%s' has dependencies", a.ID)
	}
	delete(e.ACLs, a.ID)
	return txt("return", true), nil
}

func (e *EC2) replaceACL(f url.Values, _ bool) (string, error) {
	to := e.ACLs[f.Get("NetworkAclId")]
	if to == nil {
		return "", bad("InvalidNetworkAclID.NotFound", "The network ACL '%s' does not exist", f.Get("NetworkAclId"))
	}
	for _, a := range e.ACLs {
		for subnet, id := range a.Associations {
			if id == f.Get("AssociationId") {
				delete(a.Associations, subnet)
				to.Associations[subnet] = e.fresh("aclassoc")
				return txt("newAssociationId", to.Associations[subnet]), nil
			}
		}
	}
	return "", bad("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", f.Get("AssociationId"))
}

// mirrors describes targets, filters or sessions.
func mirrors(kind, set, idParam string) ec2Call {
	name := strings.ToLower(idParam[:1]) + idParam[1:]
	return func(e *EC2, f url.Values, here bool) (string, error) {
		var all []thing
		for _, m := range e.Mirrors {
			if m.Kind != kind {
				continue
			}
			var in, out []string
			for _, r := range m.Rules {
				way, cidr, _ := strings.Cut(r, " ")
				x := el("item", txt("trafficDirection", way), txt("destinationCidrBlock", cidr), txt("sourceCidrBlock", cidr), txt("ruleAction", "accept"))
				if way == "ingress" {
					in = append(in, x)
				} else {
					out = append(out, x)
				}
			}
			x := txt(name, m.ID) + el("ingressFilterRuleSet", in...) + el("egressFilterRuleSet", out...) + tagSet(m.Tags)
			all = append(all, thing{id: m.ID, xml: x, tags: m.Tags})
		}
		return e.show(f, here, set, idParam, "InvalidTrafficMirror"+strings.ToUpper(kind[:1])+kind[1:]+"Id.NotFound", all)
	}
}

func (e *EC2) createMirror(f url.Values, _ bool) (string, error) {
	action := f.Get("Action")
	kind := strings.ToLower(strings.TrimPrefix(action, "CreateTrafficMirror"))
	id, made := e.once(f, map[string]string{"target": "tmt", "filter": "tmf", "session": "tms"}[kind])
	if made {
		m := &Mirror{ID: id, Kind: kind, Net: f.Get("NetworkInterfaceId"), Target: f.Get("TrafficMirrorTargetId"), Filter: f.Get("TrafficMirrorFilterId"), Tags: tagsIn(f)}
		if kind == "session" && (e.Mirrors[m.Target] == nil || e.Mirrors[m.Filter] == nil) {
			return "", bad("InvalidParameterValue", "no such target or filter")
		}
		e.Mirrors[id] = m
	}
	return el("trafficMirror"+strings.ToUpper(kind[:1])+kind[1:], txt("trafficMirror"+strings.ToUpper(kind[:1])+kind[1:]+"Id", id)), nil
}

func (e *EC2) createMirrorRule(f url.Values, _ bool) (string, error) {
	m := e.Mirrors[f.Get("TrafficMirrorFilterId")]
	if m == nil {
		return "", bad("InvalidTrafficMirrorFilterId.NotFound", "no such filter")
	}
	r := f.Get("TrafficDirection") + " " + f.Get("DestinationCidrBlock")
	if !slices.Contains(m.Rules, r) {
		m.Rules = append(m.Rules, r)
	}
	return el("trafficMirrorFilterRule", txt("trafficMirrorFilterRuleId", "tmfr-1")), nil
}

func (e *EC2) deleteMirror(f url.Values, _ bool) (string, error) {
	kind := strings.TrimPrefix(f.Get("Action"), "DeleteTrafficMirror")
	id := f.Get("TrafficMirror" + kind + "Id")
	if e.Mirrors[id] == nil {
		return "", bad("InvalidTrafficMirror"+kind+"Id.NotFound", "no such mirror")
	}
	for _, m := range e.Mirrors {
		if m.Target == id || m.Filter == id {
			return "", bad("TrafficMirror"+kind+"InUse", "%s is in use", id)
		}
	}
	delete(e.Mirrors, id)
	return txt("trafficMirror"+kind+"Id", id), nil
}
