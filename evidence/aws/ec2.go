package aws

import "github.com/aws/aws-sdk-go-v2/service/ec2"

func readsOfEC2(c *ec2.Client) map[string]operation {
	return map[string]operation{
		"ec2:DescribeAddresses":                      op(c.DescribeAddresses),
		"ec2:DescribeFlowLogs":                       op(c.DescribeFlowLogs),
		"ec2:DescribeIamInstanceProfileAssociations": op(c.DescribeIamInstanceProfileAssociations),
		"ec2:DescribeInstanceAttribute":              op(c.DescribeInstanceAttribute),
		"ec2:DescribeInstanceStatus":                 op(c.DescribeInstanceStatus),
		"ec2:DescribeInstances":                      op(c.DescribeInstances),
		"ec2:DescribeLockedSnapshots":                op(c.DescribeLockedSnapshots),
		"ec2:DescribeNetworkAcls":                    op(c.DescribeNetworkAcls),
		"ec2:DescribeNetworkInterfaces":              op(c.DescribeNetworkInterfaces),
		"ec2:DescribeRouteTables":                    op(c.DescribeRouteTables),
		"ec2:DescribeRegions":                        op(c.DescribeRegions),
		"ec2:DescribeSecurityGroupRules":             op(c.DescribeSecurityGroupRules),
		"ec2:DescribeSecurityGroups":                 op(c.DescribeSecurityGroups),
		"ec2:DescribeSnapshotAttribute":              op(c.DescribeSnapshotAttribute),
		"ec2:DescribeSnapshots":                      op(c.DescribeSnapshots),
		"ec2:DescribeSubnets":                        op(c.DescribeSubnets),
		"ec2:DescribeTags":                           op(c.DescribeTags),
		"ec2:DescribeTrafficMirrorFilters":           op(c.DescribeTrafficMirrorFilters),
		"ec2:DescribeTrafficMirrorSessions":          op(c.DescribeTrafficMirrorSessions),
		"ec2:DescribeTrafficMirrorTargets":           op(c.DescribeTrafficMirrorTargets),
		"ec2:DescribeVolumes":                        op(c.DescribeVolumes),
		"ec2:DescribeVpcs":                           op(c.DescribeVpcs),
		"ec2:GetConsoleOutput":                       op(c.GetConsoleOutput),
		"ec2:GetConsoleScreenshot":                   op(c.GetConsoleScreenshot),
	}
}

func changesOfEC2(c *ec2.Client) map[string]operation {
	return map[string]operation{
		"ec2:AssociateAddress":                     op(c.AssociateAddress),
		"ec2:AttachVolume":                         op(c.AttachVolume),
		"ec2:AuthorizeSecurityGroupEgress":         op(c.AuthorizeSecurityGroupEgress),
		"ec2:AuthorizeSecurityGroupIngress":        op(c.AuthorizeSecurityGroupIngress),
		"ec2:CopySnapshot":                         op(c.CopySnapshot),
		"ec2:CreateNetworkAcl":                     op(c.CreateNetworkAcl),
		"ec2:CreateSecurityGroup":                  op(c.CreateSecurityGroup),
		"ec2:CreateSnapshots":                      op(c.CreateSnapshots),
		"ec2:CreateTrafficMirrorFilter":            op(c.CreateTrafficMirrorFilter),
		"ec2:CreateTrafficMirrorFilterRule":        op(c.CreateTrafficMirrorFilterRule),
		"ec2:CreateTrafficMirrorSession":           op(c.CreateTrafficMirrorSession),
		"ec2:CreateTrafficMirrorTarget":            op(c.CreateTrafficMirrorTarget),
		"ec2:CreateVolume":                         op(c.CreateVolume),
		"ec2:DeleteNetworkAcl":                     op(c.DeleteNetworkAcl),
		"ec2:DeleteSecurityGroup":                  op(c.DeleteSecurityGroup),
		"ec2:DeleteTrafficMirrorFilter":            op(c.DeleteTrafficMirrorFilter),
		"ec2:DeleteTrafficMirrorSession":           op(c.DeleteTrafficMirrorSession),
		"ec2:DeleteTrafficMirrorTarget":            op(c.DeleteTrafficMirrorTarget),
		"ec2:DetachVolume":                         op(c.DetachVolume),
		"ec2:DisassociateAddress":                  op(c.DisassociateAddress),
		"ec2:LockSnapshot":                         op(c.LockSnapshot),
		"ec2:ModifyInstanceAttribute":              op(c.ModifyInstanceAttribute),
		"ec2:ModifyNetworkInterfaceAttribute":      op(c.ModifyNetworkInterfaceAttribute),
		"ec2:ModifySnapshotAttribute":              op(c.ModifySnapshotAttribute),
		"ec2:ReplaceIamInstanceProfileAssociation": op(c.ReplaceIamInstanceProfileAssociation),
		"ec2:ReplaceNetworkAclAssociation":         op(c.ReplaceNetworkAclAssociation),
		"ec2:RevokeSecurityGroupEgress":            op(c.RevokeSecurityGroupEgress),
	}
}
