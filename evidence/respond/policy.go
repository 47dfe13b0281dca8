package respond

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"snapcase/evidence"
)

// The four roles of a response: who reads, who preserves, who contains, and who
// examines what was preserved.
const (
	RoleRead     = "read"
	RolePreserve = "preserve"
	RoleContain  = "contain"
	RoleExaminer = "examiner"
)

// Roles are the four, in the order of what they may do.
var Roles = []string{RoleRead, RolePreserve, RoleContain, RoleExaminer}

// roleOf says which role makes each call that changes something. A call that two
// roles make is under the one that needs it in the instance's own account.
var roleOf = map[string]string{
	"ec2:CreateSnapshots": RolePreserve, "ec2:LockSnapshot": RolePreserve, "ec2:CopySnapshot": RolePreserve, "ec2:ModifySnapshotAttribute": RolePreserve,
	"ec2:CreateVolume": RoleExaminer, "ec2:AttachVolume": RoleExaminer, "ec2:DetachVolume": RoleExaminer,
	"s3:CreateMultipartUpload": RolePreserve, "s3:CompleteMultipartUpload": RolePreserve,
}

// readCalls are the calls that change nothing: of the plan, the metadata set and
// the checks.
var readCalls = []string{
	"autoscaling:DescribeAutoScalingInstances",
	"cloudtrail:DescribeTrails", "cloudtrail:GetEventSelectors", "cloudtrail:GetTrailStatus",
	"ec2:DescribeAddresses", "ec2:DescribeFlowLogs", "ec2:DescribeIamInstanceProfileAssociations", "ec2:DescribeInstanceAttribute", "ec2:DescribeInstanceStatus",
	"ec2:DescribeInstances", "ec2:DescribeLockedSnapshots", "ec2:DescribeNetworkAcls", "ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables",
	"ec2:DescribeSecurityGroupRules", "ec2:DescribeSecurityGroups", "ec2:DescribeSnapshotAttribute", "ec2:DescribeSnapshots", "ec2:DescribeSubnets", "ec2:DescribeTags",
	"ec2:DescribeTrafficMirrorFilters", "ec2:DescribeTrafficMirrorSessions", "ec2:DescribeTrafficMirrorTargets", "ec2:DescribeVolumes", "ec2:DescribeVpcs",
	"ec2:GetConsoleOutput", "ec2:GetConsoleScreenshot",
	"elasticloadbalancing:DescribeTargetGroups", "elasticloadbalancing:DescribeTargetHealth",
	"iam:GetAccessKeyLastUsed", "iam:GetInstanceProfile", "iam:GetRole", "iam:GetRolePolicy", "iam:GetUserPolicy", "iam:ListAccessKeys", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies",
	"kms:DescribeKey",
	"s3:HeadObject", "s3:ListMultipartUploads", "s3:ListParts",
	"ssm:GetCommandInvocation", "ssm:ListCommands",
	"sts:GetCallerIdentity",
}

// permissionNames gives the permission of calls whose name is not one.
var permissionNames = map[string]string{
	"s3:HeadObject": "s3:GetObject", "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads", "s3:ListParts": "s3:ListMultipartUploadParts",
	"s3:CreateMultipartUpload": "s3:PutObject", "s3:CompleteMultipartUpload": "s3:PutObject",
}

func permissionOf(call string) string {
	if p, ok := permissionNames[call]; ok {
		return p
	}
	return call
}

// acquisition are the permissions of the examiner's reading of snapshots,
// volumes and buckets.
var acquisition = []string{
	"ebs:GetSnapshotBlock", "ebs:ListChangedBlocks", "ebs:ListSnapshotBlocks", "ec2:CopySnapshot", "ec2:CreateTags", "ec2:DescribeInstances", "ec2:DescribeSnapshots", "ec2:DescribeVolumes",
	"kms:Decrypt", "kms:DescribeKey", "s3:GetBucketLocation", "s3:GetBucketObjectLockConfiguration", "s3:GetBucketPolicy", "s3:GetBucketVersioning",
	"s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket", "s3:ListBucketVersions", "sts:GetCallerIdentity",
}

// logReading are the permissions of reading logs where they are.
var logReading = []string{"cloudtrail:GetTrail", "cloudtrail:ListPublicKeys", "cloudtrail:LookupEvents", "ec2:DescribeRegions"}

// Permissions lists what a role may do, sorted.
func Permissions(role string) ([]string, error) {
	var all []string
	switch role {
	case RoleRead:
		for _, c := range readCalls {
			all = append(all, permissionOf(c))
		}
		all = append(all, logReading...)
	case RolePreserve, RoleContain, RoleExaminer:
		for name, d := range deeds {
			r := roleOf[name]
			if r == "" {
				r = RoleContain
			}
			if r == role {
				all = append(append(all, permissionOf(name)), d.also...)
			}
		}
		if role == RoleExaminer {
			all = append(all, acquisition...)
		}
		if role == RolePreserve {
			all = append(all, "s3:GetObject")
		}
	default:
		return nil, evidence.WithHint(fmt.Errorf("policy %q: %w", role, evidence.ErrUsage), "policies are %s", strings.Join(Roles, ", "))
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// Statement is one statement of an IAM policy.
type Statement struct {
	Sid       string
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string]string `json:",omitempty"`
}

// Policy is the least-privilege policy of a role, as IAM takes it.
func Policy(role string) ([]byte, error) {
	all, err := Permissions(role)
	if err != nil {
		return nil, err
	}
	by := map[string]*Statement{}
	var order []string
	for _, p := range all {
		sid, st := scope(role, p)
		if by[sid] == nil {
			st.Sid, st.Effect = sid, "Allow"
			by[sid] = &st
			order = append(order, sid)
		}
		by[sid].Action = append(by[sid].Action, p)
	}
	slices.Sort(order)
	doc := struct {
		Version   string
		Statement []*Statement
	}{Version: "2012-10-17"}
	for _, sid := range order {
		doc.Statement = append(doc.Statement, by[sid])
	}
	b, err := json.MarshalIndent(doc, "", "  ")
	return append(b, '\n'), err
}

// scope narrows a permission down to what the role needs it for: things of this
// program where tags can tell, the named account where a share is added.
func scope(role, permission string) (sid string, st Statement) {
	st.Resource = []string{"*"}
	ours := map[string]map[string]string{"StringLike": {"aws:ResourceTag/snapcase:case": "*"}}
	switch permission {
	case "ec2:CreateTags":
		st.Condition = map[string]map[string]string{"StringLike": {"ec2:CreateAction": "*"}}
		return "TagOnCreation", st
	case "ec2:DeleteSecurityGroup", "ec2:RevokeSecurityGroupEgress", "ec2:AuthorizeSecurityGroupIngress", "ec2:AuthorizeSecurityGroupEgress", "ec2:DeleteNetworkAcl",
		"ec2:DeleteTrafficMirrorFilter", "ec2:DeleteTrafficMirrorSession", "ec2:DeleteTrafficMirrorTarget":
		st.Condition = ours
		return "OnlyOurOwn", st
	case "ec2:ModifySnapshotAttribute":
		st.Condition = map[string]map[string]string{"StringEquals": {"ec2:Add/userId": "SECURITY_ACCOUNT_ID"}}
		return "ShareWithSecurityAccountOnly", st
	case "iam:PassRole":
		st.Resource = []string{"arn:aws:iam::*:role/snapcase-deny"}
		return "PassTheDenyRoleOnly", st
	}
	switch {
	case strings.HasPrefix(permission, "kms:") && role != RoleRead:
		st.Resource = []string{"arn:aws:kms:*:*:key/SHARE_KEY_ID"}
		return "TheKeyForSharing", st
	case strings.HasPrefix(permission, "ebs:"):
		st.Resource = []string{"arn:aws:ec2:*::snapshot/*"}
		return "ReadSnapshots", st
	}
	service, _, _ := strings.Cut(permission, ":")
	return strings.ToUpper(service[:1]) + service[1:], st
}
