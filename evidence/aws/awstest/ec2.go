package awstest

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// EC2 is the EC2 API over one region: instances with their interfaces, groups,
// volumes, snapshots, addresses, network ACLs, profiles and mirrors.
//
// What it makes is not seen by the first Lag describes that look for it, as
// with AWS. Calls in Deny are refused, with DryRun and without.
type EC2 struct {
	Region    string
	Account   string
	Now       func() time.Time
	Lag       int
	Pending   int // describes before a snapshot is completed
	Deny      map[string]bool
	FailCopy  string // StateMessage of every copy; "" for none
	Snapshots Snapshots

	Instances map[string]*Instance
	Nets      map[string]*Net
	Groups    map[string]*Group
	Volumes   map[string]*Volume
	Addresses map[string]*Address
	ACLs      map[string]*ACL
	Mirrors   map[string]*Mirror
	Flows     []*Flow
	VPCIPv6   bool // a new group also lets ::/0 out

	next   int
	unseen map[string]int
	ages   map[string]int
	tokens map[string]string
}

// Instance is a virtual machine.
type Instance struct {
	ID, Type, Zone, VPC, Subnet string
	Profile, ProfileAssociation string // ARN and id; "" for none
	DisableTermination          bool
	DisableStop                 bool
	Shutdown                    string // stop, terminate
	Nets                        []string
	Devices                     map[string]*Device // by name
	Tags                        map[string]string
	RootDeviceType, Lifecycle   string
	UserData                    string
}

// Device is a volume as an instance has it.
type Device struct {
	Volume              string
	DeleteOnTermination bool
}

// Net is a network interface.
type Net struct {
	ID, Subnet, VPC, Instance string
	Index                     int
	Groups                    []string
	IPv4                      string
	IPv6                      []string
}

// Group is a security group; rules are "protocol cidr", all ports.
type Group struct {
	ID, Name, VPC string
	In, Out       []string
	Tags          map[string]string
}

// Volume is an EBS volume.
type Volume struct {
	ID, Zone, KMSKey, Snapshot string
	GiB                        int64
	Instance, Device           string
	Tags                       map[string]string
}

// Address is an Elastic IP.
type Address struct{ Allocation, Association, Public, Net, Private string }

// ACL is a network ACL; Associations go from subnet to association id.
type ACL struct {
	ID, VPC      string
	Associations map[string]string
	Tags         map[string]string
}

// Mirror is a target, a filter or a session.
type Mirror struct {
	ID, Kind, Net, Target, Filter string
	Rules                         []string // of a filter: "ingress 0.0.0.0/0"
	Tags                          map[string]string
}

// NewEC2 is an empty region.
func NewEC2(region, account string, now func() time.Time) *EC2 {
	return &EC2{
		Region: region, Account: account, Now: now, Deny: map[string]bool{}, Snapshots: Snapshots{}, Instances: map[string]*Instance{}, Nets: map[string]*Net{},
		Groups: map[string]*Group{}, Volumes: map[string]*Volume{}, Addresses: map[string]*Address{}, ACLs: map[string]*ACL{}, Mirrors: map[string]*Mirror{},
		unseen: map[string]int{}, ages: map[string]int{}, tokens: map[string]string{}, next: 1,
	}
}

// Action names the call.
func (e *EC2) Action(r *Request) (string, bool) {
	a := r.Form.Get("Action")
	for _, p := range []string{"Describe", "Get", "List"} {
		if strings.HasPrefix(a, p) {
			return a, false
		}
	}
	return a, true
}

// Fail writes an error as ec2 does.
func (e *EC2) Fail(w http.ResponseWriter, r *Request, x *Error) {
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.WriteHeader(x.Status)
	_, _ = fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>%s</RequestID></Response>`, x.Code, html.EscapeString(x.Message), r.ID)
}

func bad(code, format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Serve answers.
func (e *EC2) Serve(w http.ResponseWriter, r *Request) error {
	if e.Deny[r.Action] {
		return &Error{Status: http.StatusForbidden, Code: "UnauthorizedOperation", Message: "You are not authorized to perform this operation."}
	}
	call, ok := ec2Calls[r.Action]
	if !ok {
		return &Error{Status: http.StatusBadRequest, Code: "InvalidAction", Message: "The action " + r.Action + " is not valid for this web service."}
	}
	if r.Form.Get("DryRun") == "true" {
		return &Error{Status: http.StatusPreconditionFailed, Code: "DryRunOperation", Message: "Request would have succeeded, but DryRun flag is set."}
	}
	body, err := call(e, r.Form, r.Region == e.Region)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	_, werr := fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><%sResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>%s</requestId>%s</%sResponse>`, r.Action, r.ID, body, r.Action)
	return werr
}

type ec2Call func(e *EC2, f url.Values, here bool) (string, error)

// el is an XML element; text is escaped, nested is not.
func el(name string, nested ...string) string {
	return "<" + name + ">" + strings.Join(nested, "") + "</" + name + ">"
}

func txt(name string, v any) string { return el(name, html.EscapeString(fmt.Sprint(v))) }

func tagSet(t map[string]string) string {
	var all []string
	for _, k := range keysOf(t) {
		all = append(all, el("item", txt("key", k), txt("value", t[k])))
	}
	return el("tagSet", all...)
}

func keysOf[V any](m map[string]V) []string {
	all := make([]string, 0, len(m))
	for k := range m {
		all = append(all, k)
	}
	sort.Strings(all)
	return all
}

// listed reads Name.1, Name.2, …
func listed(f url.Values, name string) []string {
	var all []string
	for i := 1; f.Has(name + "." + strconv.Itoa(i)); i++ {
		all = append(all, f.Get(name+"."+strconv.Itoa(i)))
	}
	return all
}

// tagsIn reads the first TagSpecification.
func tagsIn(f url.Values) map[string]string {
	t := map[string]string{}
	for i := 1; ; i++ {
		k := fmt.Sprintf("TagSpecification.1.Tag.%d.", i)
		if !f.Has(k + "Key") {
			return t
		}
		t[f.Get(k+"Key")] = f.Get(k + "Value")
	}
}

// thing is one element of a listing.
type thing struct {
	id    string
	attrs map[string][]string // by filter name
	tags  map[string]string
	xml   string
}

// show answers a describe call: by id what is not seen yet is not found, by
// filter it is left out.
func (e *EC2) show(f url.Values, here bool, set, idParam, absent string, all []thing) (string, error) {
	want := listed(f, idParam)
	if !here {
		all = nil
	}
	sort.Slice(all, func(i, j int) bool { return all[i].id < all[j].id })
	var out []string
	found := map[string]bool{}
	for _, t := range all {
		if len(want) > 0 && !slices.Contains(want, t.id) || !matches(f, t) {
			continue
		}
		if e.unseen[t.id] > 0 {
			e.unseen[t.id]--
			continue
		}
		found[t.id] = true
		out = append(out, el("item", t.xml))
	}
	for _, id := range want {
		if !found[id] {
			return "", bad(absent, "The ID '%s' does not exist", id)
		}
	}
	return el(set, out...), nil
}

// matches says whether a thing passes every filter.
func matches(f url.Values, t thing) bool {
	for i := 1; f.Has(fmt.Sprintf("Filter.%d.Name", i)); i++ {
		name, values := f.Get(fmt.Sprintf("Filter.%d.Name", i)), listed(f, fmt.Sprintf("Filter.%d.Value", i))
		have := t.attrs[name]
		if k, ok := strings.CutPrefix(name, "tag:"); ok {
			if v, has := t.tags[k]; has {
				have = []string{v}
			}
		}
		if !slices.ContainsFunc(have, func(v string) bool { return slices.Contains(values, v) }) {
			return false
		}
	}
	return true
}

// fresh makes an id that is not seen at once.
func (e *EC2) fresh(prefix string) string {
	id := fmt.Sprintf("%s-0%016x", prefix, e.next)
	e.next++
	e.unseen[id] = e.Lag
	return id
}

// once gives the id that a client token stands for, or makes it.
func (e *EC2) once(f url.Values, prefix string) (id string, made bool) {
	t := f.Get("ClientToken")
	if id, ok := e.tokens[t]; ok && t != "" {
		return id, false
	}
	id = e.fresh(prefix)
	if t != "" {
		e.tokens[t] = id
	}
	return id, true
}

var ec2Calls = map[string]ec2Call{
	"DescribeInstances":                      (*EC2).describeInstances,
	"DescribeInstanceAttribute":              (*EC2).describeInstanceAttribute,
	"DescribeNetworkInterfaces":              (*EC2).describeNets,
	"DescribeSecurityGroups":                 (*EC2).describeGroups,
	"DescribeVolumes":                        (*EC2).describeVolumes,
	"DescribeSnapshots":                      (*EC2).describeSnapshots,
	"DescribeSnapshotAttribute":              (*EC2).describeSnapshotAttribute,
	"DescribeLockedSnapshots":                (*EC2).describeLocked,
	"DescribeIamInstanceProfileAssociations": (*EC2).describeAssociations,
	"DescribeAddresses":                      (*EC2).describeAddresses,
	"DescribeNetworkAcls":                    (*EC2).describeACLs,
	"DescribeTrafficMirrorTargets":           mirrors("target", "trafficMirrorTargetSet", "TrafficMirrorTargetId"),
	"DescribeTrafficMirrorFilters":           mirrors("filter", "trafficMirrorFilterSet", "TrafficMirrorFilterId"),
	"DescribeTrafficMirrorSessions":          mirrors("session", "trafficMirrorSessionSet", "TrafficMirrorSessionId"),
	"DescribeInstanceStatus":                 empty("instanceStatusSet"),
	"DescribeTags":                           empty("tagSet"),
	"DescribeSubnets":                        empty("subnetSet"),
	"DescribeVpcs":                           empty("vpcSet"),
	"DescribeRouteTables":                    empty("routeTableSet"),
	"DescribeSecurityGroupRules":             empty("securityGroupRuleSet"),
	"DescribeFlowLogs":                       empty("flowLogSet"),
	"GetConsoleOutput":                       (*EC2).console,
	"GetConsoleScreenshot":                   (*EC2).screenshot,

	"ModifyInstanceAttribute":              (*EC2).modifyInstance,
	"ModifyNetworkInterfaceAttribute":      (*EC2).modifyNet,
	"CreateSecurityGroup":                  (*EC2).createGroup,
	"DeleteSecurityGroup":                  (*EC2).deleteGroup,
	"RevokeSecurityGroupEgress":            (*EC2).revokeEgress,
	"AuthorizeSecurityGroupEgress":         (*EC2).authorizeEgress,
	"AuthorizeSecurityGroupIngress":        (*EC2).authorizeIngress,
	"CreateSnapshots":                      (*EC2).createSnapshots,
	"CopySnapshot":                         (*EC2).copySnapshot,
	"LockSnapshot":                         (*EC2).lockSnapshot,
	"ModifySnapshotAttribute":              (*EC2).modifySnapshot,
	"CreateVolume":                         (*EC2).createVolume,
	"AttachVolume":                         (*EC2).attachVolume,
	"DetachVolume":                         (*EC2).detachVolume,
	"ReplaceIamInstanceProfileAssociation": (*EC2).replaceProfile,
	"DisassociateAddress":                  (*EC2).disassociateAddress,
	"AssociateAddress":                     (*EC2).associateAddress,
	"CreateNetworkAcl":                     (*EC2).createACL,
	"DeleteNetworkAcl":                     (*EC2).deleteACL,
	"ReplaceNetworkAclAssociation":         (*EC2).replaceACL,
	"CreateTrafficMirrorTarget":            (*EC2).createMirror,
	"CreateTrafficMirrorFilter":            (*EC2).createMirror,
	"CreateTrafficMirrorSession":           (*EC2).createMirror,
	"CreateTrafficMirrorFilterRule":        (*EC2).createMirrorRule,
	"DeleteTrafficMirrorTarget":            (*EC2).deleteMirror,
	"DeleteTrafficMirrorFilter":            (*EC2).deleteMirror,
	"DeleteTrafficMirrorSession":           (*EC2).deleteMirror,
}

func empty(set string) ec2Call {
	return func(*EC2, url.Values, bool) (string, error) { return el(set), nil }
}

func (e *EC2) console(f url.Values, _ bool) (string, error) {
	return txt("instanceId", f.Get("InstanceId")) + txt("output", "Ym9vdGVkCg=="), nil
}

func (e *EC2) screenshot(f url.Values, _ bool) (string, error) {
	if f.Get("WakeUp") == "true" {
		return "", bad("InvalidParameterValue", "a key was pressed on the evidence")
	}
	return txt("instanceId", f.Get("InstanceId")) + txt("imageData", "/9j/2Q=="), nil
}
