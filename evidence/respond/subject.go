package respond

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"snapcase/evidence"
)

// Subject is the instance as it was found.
type Subject struct {
	Instance   string      `json:"instance"`
	Name       string      `json:"name"` // of its Name tag
	State      string      `json:"state"`
	Type       string      `json:"type"`
	Hypervisor string      `json:"hypervisor"`
	Platform   string      `json:"platform"` // "windows", or ""
	Zone       string      `json:"zone"`
	VPC        string      `json:"vpc"`
	RootDevice string      `json:"root_device_type"` // ebs or instance-store
	Spot       bool        `json:"spot"`
	ASG        string      `json:"auto_scaling_group,omitempty"`
	Profile    string      `json:"profile_arn,omitempty"`
	ProfileID  string      `json:"profile_association,omitempty"`
	Roles      []string    `json:"roles,omitempty"`
	Interfaces []Interface `json:"interfaces"`
	Volumes    []Volume    `json:"volumes"`
}

// Interface is a network interface of the instance.
type Interface struct {
	ID          string    `json:"id"`
	Index       int64     `json:"device_index"`
	Subnet      string    `json:"subnet"`
	VPC         string    `json:"vpc"`
	Groups      []string  `json:"groups"`
	IPv4        []string  `json:"ipv4"`
	IPv6        []string  `json:"ipv6"`
	Public      string    `json:"public_ip,omitempty"`
	Elastic     []Elastic `json:"elastic,omitempty"`
	SourceCheck bool      `json:"source_dest_check"`
}

// Elastic is an Elastic IP address associated with an interface.
type Elastic struct {
	Allocation  string `json:"allocation"`
	Association string `json:"association"`
	Public      string `json:"public"`
	Private     string `json:"private"`
}

// Volume is an EBS volume attached to the instance.
type Volume struct {
	ID                  string `json:"id"`
	Device              string `json:"device"`
	DeleteOnTermination bool   `json:"delete_on_termination"`
	GiB                 int64  `json:"gib"`
	Encrypted           bool   `json:"encrypted"`
	KMSKey              string `json:"kms_key,omitempty"`
	DefaultKey          bool   `json:"default_key,omitempty"` // the key is aws/ebs: its snapshots cannot be shared
}

// read makes a read call and decodes every page into a T of its own.
func read[T any](ctx context.Context, c Cloud, service, action string, params map[string]any) ([]T, error) {
	answers, err := c.Read(ctx, evidence.CloudCall{Service: service, Action: action, Params: params})
	if err != nil {
		return nil, err
	}
	all := make([]T, len(answers))
	for i, a := range answers {
		if err := json.Unmarshal(a.Body, &all[i]); err != nil {
			return nil, fmt.Errorf("%s:%s: decode the answer: %w", service, action, err)
		}
	}
	return all, nil
}

// filter is a Filters parameter of ec2, from name and value pairs.
func filter(pairs ...string) []any {
	var f []any
	for i := 0; i+1 < len(pairs); i += 2 {
		f = append(f, map[string]any{"Name": pairs[i], "Values": []any{pairs[i+1]}})
	}
	return f
}

// list turns strings into a JSON list.
func list(all ...string) []any {
	l := make([]any, len(all))
	for i, s := range all {
		l[i] = s
	}
	return l
}

// plain brings a value to what JSON knows, with whole numbers as int64, so
// that it can stand in the ledger and compare equal after being read back.
func plain(v any) (any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var out any
	if err := d.Decode(&out); err != nil {
		return nil, err
	}
	return whole(out), nil
}

// whole turns numbers into int64 and leaves nulls out.
func whole(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		return v.String()
	case map[string]any:
		for k, x := range v {
			if x == nil {
				delete(v, k)
			} else {
				v[k] = whole(x)
			}
		}
	case []any:
		for i := range v {
			v[i] = whole(v[i])
		}
	}
	return v
}

// object is plain for a map.
func object(v any) (map[string]any, error) {
	p, err := plain(v)
	if err != nil {
		return nil, err
	}
	m, ok := p.(map[string]any)
	if !ok {
		return map[string]any{}, nil
	}
	return m, nil
}

type tags []struct{ Key, Value string }

func (t tags) get(key string) string {
	for _, kv := range t {
		if kv.Key == key {
			return kv.Value
		}
	}
	return ""
}

type describedInstances struct {
	Reservations []struct {
		Instances []describedInstance
	}
}

type describedInstance struct {
	InstanceID        string `json:"InstanceId"`
	InstanceType      string
	Hypervisor        string
	Platform          string
	RootDeviceType    string
	InstanceLifecycle string
	VpcID             string `json:"VpcId"`
	State             struct{ Name string }
	Placement         struct{ AvailabilityZone string }
	Tags              tags
	NetworkInterfaces []struct {
		NetworkInterfaceID string `json:"NetworkInterfaceId"`
		Attachment         struct{ DeviceIndex int64 }
	}
	BlockDeviceMappings []struct {
		DeviceName string
		Ebs        *struct {
			VolumeID            string `json:"VolumeId"`
			DeleteOnTermination bool
		}
	}
}

// look reads the instance, its interfaces, volumes and profile.
func look(ctx context.Context, c Cloud, instance string) (Subject, error) {
	s := Subject{Instance: instance}
	pages, err := read[describedInstances](ctx, c, "ec2", "DescribeInstances", map[string]any{"InstanceIds": list(instance)})
	if err != nil {
		return s, err
	}
	var found *describedInstance
	for i := range pages {
		for j := range pages[i].Reservations {
			for k := range pages[i].Reservations[j].Instances {
				found = &pages[i].Reservations[j].Instances[k]
			}
		}
	}
	if found == nil || found.InstanceID != instance {
		return s, &evidence.CloudError{Call: "ec2:DescribeInstances", Kind: evidence.CloudNotFound, Code: "InvalidInstanceID.NotFound", Message: "the answer does not hold " + instance}
	}
	s.Name, s.State, s.Type, s.Hypervisor = found.Tags.get("Name"), found.State.Name, found.InstanceType, found.Hypervisor
	s.Platform, s.Zone, s.VPC, s.RootDevice = strings.ToLower(found.Platform), found.Placement.AvailabilityZone, found.VpcID, found.RootDeviceType
	s.Spot, s.ASG = found.InstanceLifecycle == "spot", found.Tags.get("aws:autoscaling:groupName")
	var enis, vols []string
	for _, n := range found.NetworkInterfaces {
		enis = append(enis, n.NetworkInterfaceID)
	}
	for _, m := range found.BlockDeviceMappings {
		if m.Ebs != nil {
			vols = append(vols, m.Ebs.VolumeID)
			s.Volumes = append(s.Volumes, Volume{ID: m.Ebs.VolumeID, Device: m.DeviceName, DeleteOnTermination: m.Ebs.DeleteOnTermination})
		}
	}
	if s.Interfaces, err = interfaces(ctx, c, enis); err != nil {
		return s, err
	}
	if err := s.volumes(ctx, c, vols); err != nil {
		return s, err
	}
	return s, s.profile(ctx, c)
}

type describedInterfaces struct {
	NetworkInterfaces []struct {
		NetworkInterfaceID string `json:"NetworkInterfaceId"`
		SubnetID           string `json:"SubnetId"`
		VpcID              string `json:"VpcId"`
		Groups             []struct {
			GroupID string `json:"GroupId"`
		}
		Ipv6Addresses      []struct{ Ipv6Address string }
		SourceDestCheck    bool
		Attachment         struct{ DeviceIndex int64 }
		PrivateIPAddresses []struct {
			PrivateIPAddress string `json:"PrivateIpAddress"`
			Association      *struct {
				AllocationID  string `json:"AllocationId"`
				AssociationID string `json:"AssociationId"`
				PublicIP      string `json:"PublicIp"`
			}
		} `json:"PrivateIpAddresses"`
	}
}

// interfaces reads interfaces by id, in the order of their device index.
func interfaces(ctx context.Context, c Cloud, ids []string) ([]Interface, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	pages, err := read[describedInterfaces](ctx, c, "ec2", "DescribeNetworkInterfaces", map[string]any{"NetworkInterfaceIds": list(ids...)})
	if err != nil {
		return nil, err
	}
	var all []Interface
	for _, p := range pages {
		for _, n := range p.NetworkInterfaces {
			if !slices.Contains(ids, n.NetworkInterfaceID) {
				continue
			}
			f := Interface{ID: n.NetworkInterfaceID, Index: n.Attachment.DeviceIndex, Subnet: n.SubnetID, VPC: n.VpcID, SourceCheck: n.SourceDestCheck}
			for _, g := range n.Groups {
				f.Groups = append(f.Groups, g.GroupID)
			}
			slices.Sort(f.Groups)
			for _, a := range n.Ipv6Addresses {
				f.IPv6 = append(f.IPv6, a.Ipv6Address)
			}
			for _, a := range n.PrivateIPAddresses {
				f.IPv4 = append(f.IPv4, a.PrivateIPAddress)
				if a.Association == nil {
					continue
				}
				f.Public = a.Association.PublicIP
				if a.Association.AllocationID != "" {
					f.Elastic = append(f.Elastic, Elastic{a.Association.AllocationID, a.Association.AssociationID, a.Association.PublicIP, a.PrivateIPAddress})
				}
			}
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b Interface) int {
		if a.Index != b.Index {
			return int(a.Index - b.Index)
		}
		return strings.Compare(a.ID, b.ID)
	})
	if len(all) != len(ids) {
		return nil, fmt.Errorf("ec2:DescribeNetworkInterfaces: asked for %d interfaces, got %d", len(ids), len(all))
	}
	return all, nil
}

type describedVolumes struct {
	Volumes []struct {
		VolumeID    string `json:"VolumeId"`
		Size        int64
		Encrypted   bool
		KmsKeyID    string `json:"KmsKeyId"`
		State       string
		Attachments []struct {
			InstanceID string `json:"InstanceId"`
			Device     string
			State      string
		}
		Tags tags
	}
}

// volumes fills in what the instance's own description does not say.
func (s *Subject) volumes(ctx context.Context, c Cloud, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	pages, err := read[describedVolumes](ctx, c, "ec2", "DescribeVolumes", map[string]any{"VolumeIds": list(ids...)})
	if err != nil {
		return err
	}
	for _, p := range pages {
		for _, d := range p.Volumes {
			for i := range s.Volumes {
				if v := &s.Volumes[i]; v.ID == d.VolumeID {
					v.GiB, v.Encrypted, v.KMSKey = d.Size, d.Encrypted, d.KmsKeyID
				}
			}
		}
	}
	asked := map[string]bool{}
	for i := range s.Volumes {
		v := &s.Volumes[i]
		if !v.Encrypted {
			continue
		}
		is, seen := asked[v.KMSKey]
		if !seen {
			is = defaultKey(ctx, c, v.KMSKey)
			asked[v.KMSKey] = is
		}
		v.DefaultKey = is
	}
	return nil
}

// defaultKey says whether a key is managed by AWS. Where that may not be asked,
// the key counts as the customer's own: sharing then says itself that it is not.
func defaultKey(ctx context.Context, c Cloud, key string) bool {
	if key == "" {
		return true
	}
	pages, err := read[struct{ KeyMetadata struct{ KeyManager string } }](ctx, c, "kms", "DescribeKey", map[string]any{"KeyId": key})
	return err == nil && len(pages) > 0 && pages[0].KeyMetadata.KeyManager == "AWS"
}

type describedAssociations struct {
	IamInstanceProfileAssociations []struct {
		AssociationID      string `json:"AssociationId"`
		InstanceID         string `json:"InstanceId"`
		State              string
		IamInstanceProfile struct{ Arn string }
	}
}

// profile finds the instance profile and its roles: names and paths of the two
// may differ, so the roles are asked for.
func (s *Subject) profile(ctx context.Context, c Cloud) error {
	id, arn, err := association(ctx, c, s.Instance)
	if err != nil || arn == "" {
		return err
	}
	s.ProfileID, s.Profile = id, arn
	pages, err := read[struct {
		InstanceProfile struct{ Roles []struct{ RoleName string } }
	}](ctx, c, "iam", "GetInstanceProfile", map[string]any{"InstanceProfileName": lastPart(arn)})
	if kind, ok := evidence.CloudKind(err); ok && (kind == evidence.CloudDenied || kind == evidence.CloudNotFound || kind == evidence.CloudMissing) {
		return nil // the roles stay unknown: the credentials step says so
	}
	if err != nil {
		return err
	}
	for _, p := range pages {
		for _, r := range p.InstanceProfile.Roles {
			s.Roles = append(s.Roles, r.RoleName)
		}
	}
	return nil
}

// association is the profile that an instance has now.
func association(ctx context.Context, c Cloud, instance string) (id, arn string, err error) {
	pages, err := read[describedAssociations](ctx, c, "ec2", "DescribeIamInstanceProfileAssociations", map[string]any{"Filters": filter("instance-id", instance)})
	if err != nil {
		return "", "", err
	}
	for _, p := range pages {
		for _, a := range p.IamInstanceProfileAssociations {
			if a.InstanceID == instance && (a.State == "associated" || a.State == "associating") {
				id, arn = a.AssociationID, a.IamInstanceProfile.Arn
			}
		}
	}
	return id, arn, nil
}

// lastPart is the name at the end of an ARN or path.
func lastPart(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }
