package respond

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"snapcase/evidence"
)

// query is one question of the metadata set; its answer becomes a file.
type query struct {
	file string
	call evidence.CloudCall
}

// metadata is the set of §7: all that the instance is and hangs on.
func metadata(s *Subject) []query {
	var q []query
	add := func(file, service, action string, params map[string]any) {
		q = append(q, query{file, evidence.CloudCall{Service: service, Action: action, Params: params}})
	}
	add("caller", "sts", "GetCallerIdentity", map[string]any{})
	add("instance", "ec2", "DescribeInstances", map[string]any{"InstanceIds": list(s.Instance)})
	for _, a := range []string{"instanceType", "kernel", "ramdisk", "userData", "disableApiTermination", "disableApiStop", "instanceInitiatedShutdownBehavior", "rootDeviceName", "blockDeviceMapping", "sourceDestCheck", "groupSet", "ebsOptimized", "sriovNetSupport", "enaSupport", "enclaveOptions"} {
		add("attribute-"+a, "ec2", "DescribeInstanceAttribute", map[string]any{"InstanceId": s.Instance, "Attribute": a})
	}
	add("instance-status", "ec2", "DescribeInstanceStatus", map[string]any{"InstanceIds": list(s.Instance), "IncludeAllInstances": true})
	add("tags", "ec2", "DescribeTags", map[string]any{"Filters": filter("resource-id", s.Instance)})
	if vols := ids(s.Volumes, func(v Volume) string { return v.ID }); len(vols) > 0 {
		add("volumes", "ec2", "DescribeVolumes", map[string]any{"VolumeIds": list(vols...)})
		add("snapshots", "ec2", "DescribeSnapshots", map[string]any{"OwnerIds": list("self"), "Filters": []any{map[string]any{"Name": "volume-id", "Values": list(vols...)}}})
	}
	if enis := ids(s.Interfaces, func(n Interface) string { return n.ID }); len(enis) > 0 {
		add("interfaces", "ec2", "DescribeNetworkInterfaces", map[string]any{"NetworkInterfaceIds": list(enis...)})
		groups := unique(s.Interfaces, func(n Interface) []string { return n.Groups })
		add("groups", "ec2", "DescribeSecurityGroups", map[string]any{"GroupIds": list(groups...)})
		add("group-rules", "ec2", "DescribeSecurityGroupRules", map[string]any{"Filters": []any{map[string]any{"Name": "group-id", "Values": list(groups...)}}})
		subnets := unique(s.Interfaces, func(n Interface) []string { return []string{n.Subnet} })
		vpcs := unique(s.Interfaces, func(n Interface) []string { return []string{n.VPC} })
		add("subnets", "ec2", "DescribeSubnets", map[string]any{"SubnetIds": list(subnets...)})
		add("vpcs", "ec2", "DescribeVpcs", map[string]any{"VpcIds": list(vpcs...)})
		byVPC := []any{map[string]any{"Name": "vpc-id", "Values": list(vpcs...)}}
		add("routes", "ec2", "DescribeRouteTables", map[string]any{"Filters": byVPC})
		add("network-acls", "ec2", "DescribeNetworkAcls", map[string]any{"Filters": byVPC})
		add("addresses", "ec2", "DescribeAddresses", map[string]any{"Filters": []any{map[string]any{"Name": "network-interface-id", "Values": list(enis...)}}})
		add("flow-logs", "ec2", "DescribeFlowLogs", map[string]any{})
	}
	add("profile-associations", "ec2", "DescribeIamInstanceProfileAssociations", map[string]any{"Filters": filter("instance-id", s.Instance)})
	if s.Profile != "" {
		add("instance-profile", "iam", "GetInstanceProfile", map[string]any{"InstanceProfileName": lastPart(s.Profile)})
	}
	for _, r := range s.Roles {
		add("role-"+r, "iam", "GetRole", map[string]any{"RoleName": r})
		add("role-"+r+"-policies", "iam", "ListRolePolicies", map[string]any{"RoleName": r})
		add("role-"+r+"-attached", "iam", "ListAttachedRolePolicies", map[string]any{"RoleName": r})
	}
	add("console-output", "ec2", "GetConsoleOutput", map[string]any{"InstanceId": s.Instance, "Latest": s.Hypervisor == "nitro"})
	add("console-screenshot", "ec2", "GetConsoleScreenshot", map[string]any{"InstanceId": s.Instance, "WakeUp": false})
	add("trails", "cloudtrail", "DescribeTrails", map[string]any{})
	return q
}

func ids[T any](all []T, id func(T) string) []string {
	var out []string
	for _, x := range all {
		out = append(out, id(x))
	}
	return out
}

func unique(all []Interface, of func(Interface) []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, n := range all {
		for _, x := range of(n) {
			if x != "" && !seen[x] {
				seen[x] = true
				out = append(out, x)
			}
		}
	}
	return out
}

// answerLine is a line of index.jsonl beside the raw answers.
type answerLine struct {
	File      string         `json:"file"`
	Service   string         `json:"service"`
	Action    string         `json:"action"`
	Params    map[string]any `json:"params"`
	RequestID string         `json:"request_id,omitempty"`
	Time      string         `json:"time"`
	SHA256    string         `json:"sha256,omitempty"`
	SkewMS    int64          `json:"aws_skew_ms"`
	Error     string         `json:"error,omitempty"`
}

// collect asks every question of the set and writes each answer as it came.
// What could not be asked is a line too, and counts as a gap.
func (r *runner) collect(ctx context.Context, dir string) (gaps []string, err error) {
	questions := metadata(&r.plan.Subject)
	var index []byte
	line := func(l answerLine) error {
		b, err := json.Marshal(l)
		index = append(append(index, b...), '\n')
		return err
	}
	for n := 0; n < len(questions); n++ {
		q := questions[n]
		r.progress(stepDescribe, q.call.Name(), n, len(questions))
		answers, err := r.s.Cloud.Read(ctx, q.call)
		if err != nil {
			if ctx.Err() != nil || !passable(err) && !lost(err) {
				return nil, err
			}
			gaps = append(gaps, q.call.Name()+" ("+q.file+")")
			if err := line(answerLine{File: "", Service: q.call.Service, Action: q.call.Action, Params: q.call.Params, Time: stampOf(r.s.Now()), Error: err.Error()}); err != nil {
				return nil, err
			}
			continue
		}
		for page, a := range answers {
			name := fmt.Sprintf("%03d-%s-%s-%d%s", n+1, fileName(q.file), q.call.Action, page+1, suffix(a.Raw))
			if err := writeSynced(filepath.Join(dir, name), a.Raw); err != nil {
				return nil, err
			}
			if err := line(answerLine{name, q.call.Service, q.call.Action, q.call.Params, a.RequestID, stampOf(a.Time), sha(a.Raw), a.SkewMS, ""}); err != nil {
				return nil, err
			}
		}
		questions = append(questions, further(q, answers)...)
	}
	return gaps, writeSynced(filepath.Join(dir, "index.jsonl"), index)
}

// further are the questions that an answer raises: each inline policy, and of
// each trail whether it runs and what it selects.
func further(q query, answers []evidence.CloudAnswer) []query {
	var out []query
	for _, a := range answers {
		var v struct {
			PolicyNames []string
			TrailList   []struct {
				Name     string
				TrailARN string
			}
		}
		if json.Unmarshal(a.Body, &v) != nil {
			continue
		}
		if q.call.Action == "ListRolePolicies" {
			for _, p := range v.PolicyNames {
				out = append(out, query{q.file + "-" + p, evidence.CloudCall{Service: "iam", Action: "GetRolePolicy", Params: map[string]any{"RoleName": q.call.Params["RoleName"], "PolicyName": p}}})
			}
		}
		if q.call.Action == "DescribeTrails" {
			for _, t := range v.TrailList {
				out = append(out,
					query{"trail-" + t.Name + "-status", evidence.CloudCall{Service: "cloudtrail", Action: "GetTrailStatus", Params: map[string]any{"Name": t.TrailARN}}},
					query{"trail-" + t.Name + "-selectors", evidence.CloudCall{Service: "cloudtrail", Action: "GetEventSelectors", Params: map[string]any{"TrailName": t.TrailARN}}})
			}
		}
	}
	return out
}

func lost(err error) bool {
	kind, ok := evidence.CloudKind(err)
	return ok && kind == evidence.CloudLost
}

// fileName keeps of a name what may stand in a file name: role and policy
// names are chosen by others.
func fileName(s string) string {
	out := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, s)
	return out[:min(len(out), 80)]
}

func suffix(raw []byte) string {
	if len(raw) > 0 && raw[0] == '{' {
		return ".json"
	}
	return ".xml"
}

func stampOf(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// writeSynced writes a file of its own, whole and on disk; one that is there
// already is replaced.
func writeSynced(path string, b []byte) (err error) {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
