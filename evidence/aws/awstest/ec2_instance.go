package awstest

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

func (e *EC2) instance(f url.Values, here bool) (*Instance, error) {
	i := e.Instances[f.Get("InstanceId")]
	if i == nil || !here {
		return nil, bad("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", f.Get("InstanceId"))
	}
	return i, nil
}

func (e *EC2) describeInstances(f url.Values, here bool) (string, error) {
	var all []thing
	for _, i := range e.Instances {
		var nets, devices []string
		subnets := []string{i.Subnet}
		for _, id := range i.Nets {
			n := e.Nets[id]
			subnets = append(subnets, n.Subnet)
			nets = append(nets, el("item", txt("networkInterfaceId", id), txt("subnetId", n.Subnet), el("attachment", txt("deviceIndex", n.Index))))
		}
		for _, name := range keysOf(i.Devices) {
			d := i.Devices[name]
			devices = append(devices, el("item", txt("deviceName", name), el("ebs", txt("volumeId", d.Volume), txt("status", "attached"), txt("deleteOnTermination", d.DeleteOnTermination))))
		}
		x := el("instancesSet", el("item",
			txt("instanceId", i.ID), txt("instanceType", i.Type), txt("hypervisor", "nitro"), txt("rootDeviceType", i.RootDeviceType), txt("vpcId", i.VPC),
			txt("instanceLifecycle", i.Lifecycle), el("instanceState", txt("code", 16), txt("name", "running")), el("placement", txt("availabilityZone", i.Zone)),
			el("networkInterfaceSet", nets...), el("blockDeviceMapping", devices...), tagSet(i.Tags)))
		all = append(all, thing{id: i.ID, xml: x, tags: i.Tags, attrs: map[string][]string{"subnet-id": subnets, "vpc-id": {i.VPC}}})
	}
	return e.show(f, here, "reservationSet", "InstanceId", "InvalidInstanceID.NotFound", all)
}

func (e *EC2) describeInstanceAttribute(f url.Values, here bool) (string, error) {
	i, err := e.instance(f, here)
	if err != nil {
		return "", err
	}
	id := txt("instanceId", i.ID)
	switch f.Get("Attribute") {
	case "disableApiTermination":
		return id + el("disableApiTermination", txt("value", i.DisableTermination)), nil
	case "disableApiStop":
		return id + el("disableApiStop", txt("value", i.DisableStop)), nil
	case "instanceInitiatedShutdownBehavior":
		return id + el("instanceInitiatedShutdownBehavior", txt("value", i.Shutdown)), nil
	case "userData":
		return id + el("userData", txt("value", i.UserData)), nil
	case "blockDeviceMapping":
		var all []string
		for _, name := range keysOf(i.Devices) {
			d := i.Devices[name]
			all = append(all, el("item", txt("deviceName", name), el("ebs", txt("volumeId", d.Volume), txt("deleteOnTermination", d.DeleteOnTermination))))
		}
		return id + el("blockDeviceMapping", all...), nil
	}
	return id, nil
}

func (e *EC2) modifyInstance(f url.Values, here bool) (string, error) {
	i, err := e.instance(f, here)
	if err != nil {
		return "", err
	}
	if f.Has("GroupId.1") {
		if len(i.Nets) != 1 {
			return "", bad("InvalidInstanceID", "There are multiple interfaces attached to instance '%s'. Please specify an interface ID for the operation instead.", i.ID)
		}
		return e.regroup(e.Nets[i.Nets[0]], listed(f, "GroupId"))
	}
	if v := f.Get("DisableApiTermination.Value"); v != "" {
		i.DisableTermination = v == "true"
	}
	if v := f.Get("DisableApiStop.Value"); v != "" {
		i.DisableStop = v == "true"
	}
	if v := f.Get("InstanceInitiatedShutdownBehavior.Value"); v != "" {
		i.Shutdown = v
	}
	if name := f.Get("BlockDeviceMapping.1.DeviceName"); name != "" {
		d := i.Devices[name]
		if d == nil {
			return "", bad("InvalidInstanceAttributeValue", "No device is currently mapped at %s", name)
		}
		d.DeleteOnTermination = f.Get("BlockDeviceMapping.1.Ebs.DeleteOnTermination") == "true"
	}
	return txt("return", true), nil
}

func (e *EC2) describeNets(f url.Values, here bool) (string, error) {
	var all []thing
	for _, n := range e.Nets {
		var groups, six, assoc []string
		for _, g := range n.Groups {
			groups = append(groups, el("item", txt("groupId", g)))
		}
		for _, a := range n.IPv6 {
			six = append(six, el("item", txt("ipv6Address", a)))
		}
		for _, a := range e.Addresses {
			if a.Net == n.ID {
				assoc = append(assoc, el("association", txt("allocationId", a.Allocation), txt("associationId", a.Association), txt("publicIp", a.Public)))
			}
		}
		x := txt("networkInterfaceId", n.ID) + txt("subnetId", n.Subnet) + txt("vpcId", n.VPC) + txt("sourceDestCheck", true) +
			el("attachment", txt("deviceIndex", n.Index), txt("instanceId", n.Instance)) + el("groupSet", groups...) + el("ipv6AddressesSet", six...) +
			el("privateIpAddressesSet", el("item", append([]string{txt("privateIpAddress", n.IPv4), txt("primary", true)}, assoc...)...))
		all = append(all, thing{id: n.ID, xml: x, attrs: map[string][]string{"subnet-id": {n.Subnet}}})
	}
	return e.show(f, here, "networkInterfaceSet", "NetworkInterfaceId", "InvalidNetworkInterfaceID.NotFound", all)
}

func (e *EC2) modifyNet(f url.Values, here bool) (string, error) {
	n := e.Nets[f.Get("NetworkInterfaceId")]
	if n == nil || !here {
		return "", bad("InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '%s' does not exist", f.Get("NetworkInterfaceId"))
	}
	return e.regroup(n, listed(f, "SecurityGroupId"))
}

// regroup puts groups on an interface; what that does to its flows, Flow says.
func (e *EC2) regroup(n *Net, groups []string) (string, error) {
	for _, id := range groups {
		g := e.Groups[id]
		if g == nil {
			return "", bad("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
		}
		if g.VPC != n.VPC {
			return "", bad("InvalidParameter", "You have specified two resources that belong to different networks.")
		}
	}
	n.Groups = slices.Clone(groups)
	e.track(n)
	return txt("return", true), nil
}

func (e *EC2) describeGroups(f url.Values, here bool) (string, error) {
	var all []thing
	for _, g := range e.Groups {
		x := txt("groupId", g.ID) + txt("groupName", g.Name) + txt("vpcId", g.VPC) + txt("ownerId", e.Account) + rulesXML("ipPermissions", g.In) + rulesXML("ipPermissionsEgress", g.Out) + tagSet(g.Tags)
		all = append(all, thing{id: g.ID, xml: x, tags: g.Tags, attrs: map[string][]string{"group-name": {g.Name}, "vpc-id": {g.VPC}}})
	}
	return e.show(f, here, "securityGroupInfo", "GroupId", "InvalidGroup.NotFound", all)
}

func rulesXML(name string, rules []string) string {
	var all []string
	for _, r := range rules {
		proto, cidr, _ := strings.Cut(r, " ")
		ranges := el("ipRanges", el("item", txt("cidrIp", cidr))) + el("ipv6Ranges")
		if strings.Contains(cidr, ":") {
			ranges = el("ipRanges") + el("ipv6Ranges", el("item", txt("cidrIpv6", cidr)))
		}
		all = append(all, el("item", txt("ipProtocol", proto), ranges, el("groups"), el("prefixListIds")))
	}
	return el(name, all...)
}

func rulesIn(f url.Values) []string {
	var all []string
	for i := 1; ; i++ {
		p := "IpPermissions." + strconv.Itoa(i) + "."
		proto := f.Get(p + "IpProtocol")
		if proto == "" {
			return all
		}
		for j := 1; ; j++ {
			four, six := f.Get(p+"IpRanges."+strconv.Itoa(j)+".CidrIp"), f.Get(p+"Ipv6Ranges."+strconv.Itoa(j)+".CidrIpv6")
			if four == "" && six == "" {
				break
			}
			for _, c := range []string{four, six} {
				if c != "" {
					all = append(all, proto+" "+c)
				}
			}
		}
	}
}

func (e *EC2) createGroup(f url.Values, here bool) (string, error) {
	for _, g := range e.Groups {
		if g.Name == f.Get("GroupName") && g.VPC == f.Get("VpcId") {
			return "", bad("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", g.Name, g.VPC)
		}
	}
	if !here || f.Get("GroupDescription") == "" {
		return "", bad("MissingParameter", "The request must contain the parameter GroupDescription")
	}
	g := &Group{ID: e.fresh("sg"), Name: f.Get("GroupName"), VPC: f.Get("VpcId"), Out: []string{"-1 0.0.0.0/0"}, Tags: tagsIn(f)}
	if e.VPCIPv6 {
		g.Out = append(g.Out, "-1 ::/0")
	}
	e.Groups[g.ID] = g
	return txt("groupId", g.ID) + tagSet(g.Tags), nil
}

func (e *EC2) group(f url.Values) (*Group, error) {
	g := e.Groups[f.Get("GroupId")]
	if g == nil {
		return nil, bad("InvalidGroup.NotFound", "The security group '%s' does not exist", f.Get("GroupId"))
	}
	return g, nil
}

func (e *EC2) deleteGroup(f url.Values, _ bool) (string, error) {
	g, err := e.group(f)
	if err != nil {
		return "", err
	}
	for _, n := range e.Nets {
		if slices.Contains(n.Groups, g.ID) {
			return "", bad("DependencyViolation", "resource %s has a dependent object", g.ID)
		}
	}
	delete(e.Groups, g.ID)
	return txt("return", true), nil
}

func (e *EC2) revokeEgress(f url.Values, _ bool) (string, error) {
	g, err := e.group(f)
	if err != nil {
		return "", err
	}
	rules := rulesIn(f)
	for _, r := range rules {
		if !slices.Contains(g.Out, r) {
			return "", bad("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
		}
	}
	g.Out = slices.DeleteFunc(g.Out, func(r string) bool { return slices.Contains(rules, r) })
	e.retrack(g.ID)
	return txt("return", true), nil
}

func (e *EC2) authorizeEgress(f url.Values, _ bool) (string, error) {
	g, err := e.group(f)
	if err != nil {
		return "", err
	}
	g.Out, err = added(g.Out, rulesIn(f))
	e.retrack(g.ID)
	return txt("return", true), err
}

func (e *EC2) authorizeIngress(f url.Values, _ bool) (string, error) {
	g, err := e.group(f)
	if err != nil {
		return "", err
	}
	g.In, err = added(g.In, rulesIn(f))
	e.retrack(g.ID)
	return txt("return", true), err
}

func added(have, more []string) ([]string, error) {
	for _, r := range more {
		if slices.Contains(have, r) {
			return have, bad("InvalidPermission.Duplicate", "the specified rule already exists")
		}
	}
	return append(have, more...), nil
}
