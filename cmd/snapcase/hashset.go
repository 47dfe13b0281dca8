package main

import (
	"errors"

	"github.com/spf13/cobra"

	"snapcase/evidence"
	"snapcase/store"
)

func hashsetCommand(e *edge) *cobra.Command {
	var name string
	var bad bool
	c := &cobra.Command{
		Use:   "hashset CASE FILE... --name NAME",
		Short: "Bring in lists of the digests of known files",
		Long: "hashset acquires each FILE as an exhibit of its own and sorts its digests, so that files --hash and\n" +
			"--known can say which files are known. A FILE is a database of NSRL RDS version 3 (SQLite), NSRLFile.txt\n" +
			"of version 2 or another CSV that names its columns, output of sha256sum, sha1sum, md5sum or hashdeep, or\n" +
			"plain digests, one a line. The files of a list are good (known software) unless --bad is given.",
		Example: "snapcase hashset case1 RDS_modern_minimal.db --name nsrl-2026.03\nsnapcase hashset case1 implants.txt --name implants --bad\nsnapcase files case1 --known bad --json",
		Args:    atLeast(2, "a case and at least one file"),
		RunE: func(c *cobra.Command, args []string) error {
			if name == "" {
				return usageOf(c, "--name")
			}
			label, err := store.SetLabel(name, bad)
			if err != nil {
				return err
			}
			cs, err := e.write(c.Context(), args[0])
			if err != nil {
				return err
			}
			err = e.acquireAll(c.Context(), cs, &account{}, args[1:], store.AcquireRequest{Kind: evidence.KindHashset, Label: label, Raw: true})
			return errors.Join(err, cs.Close())
		},
	}
	c.Flags().StringVar(&name, "name", "", "what the list is called: letters, digits, . _ and -")
	c.Flags().BoolVar(&bad, "bad", false, "its files are known to be bad")
	return c
}
