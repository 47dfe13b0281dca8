package main

import (
	"github.com/spf13/cobra"

	"snapcase/evidence/respond"
)

func policyCommand(e *edge) *cobra.Command {
	return &cobra.Command{
		Use:   "policy [read|preserve|contain|examiner]",
		Short: "The least-privilege IAM policy of a role",
		Long: "policy prints what a role of the response needs in AWS and nothing more: read looks, preserve makes and\n" +
			"shares snapshots, contain isolates (for a short time, with MFA), examiner reads snapshots and buckets in the\n" +
			"security account and can destroy nothing. Names in capitals are to be filled in.",
		Example:   "snapcase policy read > read.json\naws iam create-policy --policy-name snapcase-read --policy-document file://read.json",
		ValidArgs: respond.Roles,
		Args:      cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			role := respond.RoleRead
			if len(args) == 1 {
				role = args[0]
			}
			b, err := respond.Policy(role)
			if err != nil {
				return err
			}
			_, err = e.stdout.Write(b)
			return err
		},
	}
}
