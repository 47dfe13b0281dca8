package aws

import "github.com/aws/aws-sdk-go-v2/service/iam"

func readsOfIAM(c *iam.Client) map[string]operation {
	return map[string]operation{
		"iam:GetAccessKeyLastUsed":     op(c.GetAccessKeyLastUsed),
		"iam:GetInstanceProfile":       op(c.GetInstanceProfile),
		"iam:GetRole":                  op(c.GetRole),
		"iam:GetRolePolicy":            op(c.GetRolePolicy),
		"iam:GetUserPolicy":            op(c.GetUserPolicy),
		"iam:ListAccessKeys":           op(c.ListAccessKeys),
		"iam:ListAttachedRolePolicies": op(c.ListAttachedRolePolicies),
		"iam:ListRolePolicies":         op(c.ListRolePolicies),
	}
}

func changesOfIAM(c *iam.Client) map[string]operation {
	return map[string]operation{
		"iam:DeleteRolePolicy": op(c.DeleteRolePolicy),
		"iam:DeleteUserPolicy": op(c.DeleteUserPolicy),
		"iam:PutRolePolicy":    op(c.PutRolePolicy),
		"iam:PutUserPolicy":    op(c.PutUserPolicy),
		"iam:UpdateAccessKey":  op(c.UpdateAccessKey),
	}
}
