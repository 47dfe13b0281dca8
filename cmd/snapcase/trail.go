package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"snapcase/evidence"
	"snapcase/store"
)

func cloudtrailCommand(e *edge) *cobra.Command {
	c := &cobra.Command{
		Use:   "cloudtrail",
		Short: "Prove the log files of CloudTrail, and ask it for events",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(validateCommand(e), lookupCommand(e))
	return c
}

func validateCommand(e *edge) *cobra.Command {
	var r store.ValidateRequest
	c := &cobra.Command{
		Use:   "validate CASE",
		Short: "Check log files against CloudTrail's signed digests, offline",
		Long: "validate checks the chains of digest files that lie in the case: the signature of each, that they follow one\n" +
			"another without a hole, and that every log file is there and is what was signed. valid is said only where all\n" +
			"of that was done: without a public key or a signature a digest is unproved, and so are its log files.\n" +
			"The keys are those that AWS gave when s3://… was acquired, or public-keys.json of a folder (the answer of\n" +
			"ListPublicKeys); --public-keys names others. Exit code 3: something was changed or taken away; 4: not all\n" +
			"could be checked.",
		Example: "snapcase cloudtrail validate case1\nsnapcase cloudtrail validate case1 --public-keys keys.json --json",
		Args:    exactly(1, "one case or bundle"),
		RunE: func(c *cobra.Command, args []string) error {
			cs, err := e.validating(c.Context(), args[0])
			if err != nil {
				return err
			}
			p, end := e.progress()
			v, err := cs.ValidateTrail(c.Context(), r, p)
			end()
			if err = errors.Join(err, cs.Close()); err != nil {
				return err
			}
			w := e.out()
			if e.json {
				err = emit(w, &v)
			} else {
				validationText(w, &v)
			}
			if err = errors.Join(err, w.Flush()); err != nil {
				return err
			}
			return v.Err()
		},
	}
	c.Flags().StringSliceVar(&r.Keys, "public-keys", nil, "files with answers of ListPublicKeys, in place of the keys in the exhibits")
	return c
}

// validating opens a case so that the result is recorded, and a bundle, which
// is never written to.
func (e *edge) validating(ctx context.Context, path string) (*store.Case, error) {
	if isBundle(path) {
		return e.read(ctx, path)
	}
	return e.write(ctx, path)
}

func validationText(w io.Writer, v *evidence.TrailValidation) {
	row(w, "Digests    ", fmt.Sprintf("%d valid, %d invalid, %d missing, %d not checked", v.Digests.Valid, v.Digests.Invalid, v.Digests.Missing, v.Digests.Unproved))
	row(w, "Log files  ", fmt.Sprintf("%d valid, %d invalid, %d missing, %d unlisted, %d not checked", v.Logs.Valid, v.Logs.Invalid, v.Logs.Missing, v.Logs.Unlisted, v.Logs.Unproved))
	for _, c := range v.Chains {
		kind := ""
		if c.Backfill {
			kind = "backfill  "
		}
		row(w, "Chain      ", c.Account, c.Region, c.Trail, fmt.Sprintf("%s%d digests", kind, c.Digests), "the valid ones between "+stamp(c.First)+" and "+stamp(c.Last))
	}
	for _, k := range v.Keys {
		row(w, "Key        ", k.Fingerprint, k.From)
	}
	for _, f := range v.Failures {
		row(w, "FAILED     ", f.Code, f.Path)
		row(w, "           ", f.Reason)
		if f.From.Set || f.To.Set {
			row(w, "           ", stamp(f.From)+" to "+stamp(f.To))
		}
	}
	for _, n := range v.Notes {
		row(w, "note       ", n)
	}
	row(w, map[string]string{
		evidence.TrailValid:   "VALID  for the times above; nothing is said of what was before and after",
		evidence.TrailInvalid: "INVALID  log files or digests are not what CloudTrail delivered", evidence.TrailIncomplete: "INCOMPLETE  not everything could be checked",
	}[v.Verdict])
}
