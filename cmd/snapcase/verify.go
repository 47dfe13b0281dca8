package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"snapcase/evidence"
	"snapcase/evidence/bundle"
	"snapcase/evidence/custody"
	"snapcase/store"
)

func verifyCommand(e *edge) *cobra.Command {
	var o custody.VerifyOptions
	c := &cobra.Command{
		Use:   "verify CASE|BUNDLE",
		Short: "Check every hash, chain, signature and manifest",
		Long: "verify reads everything, stops at nothing, and names each failure. Intact is not trusted: without a\n" +
			"trusted signer (--signers, an OpenSSH allowed_signers file kept by whoever verifies) the exit code is 5.",
		Example: "snapcase verify case1 --signers my-signers\nsnapcase verify case.tar.zst --signers my-signers --expect-head held.txt",
		Args:    exactly(1, "one case or bundle"),
		RunE: func(c *cobra.Command, args []string) error {
			o.Now = e.now
			r, err := e.verify(c.Context(), args[0], o)
			if err != nil {
				return err
			}
			w := e.out()
			if e.json {
				err = emit(w, r)
			} else {
				verifyText(w, args[0], r)
			}
			if err != nil {
				return err
			}
			if err := w.Flush(); err != nil {
				return err
			}
			return r.Err()
		},
	}
	c.Flags().StringVar(&o.Signers, "signers", "", "OpenSSH allowed_signers file of the keys you trust")
	c.Flags().StringVar(&o.ExpectHead, "expect-head", "", "checkpoint file, or a file with a head in hex, that must be an ancestor")
	c.Flags().BoolVar(&o.Strict, "strict", false, "a warning counts as a gap")
	return c
}

func (e *edge) verify(ctx context.Context, path string, o custody.VerifyOptions) (custody.Report, error) {
	p, end := e.progress()
	defer end()
	o.Progress = p
	if isBundle(path) {
		return bundle.Verify(ctx, path, o)
	}
	if _, err := evidence.ReadCase(evidence.Folder(path)); err != nil {
		return custody.Report{}, err
	}
	var err error
	if o.Stale, err = store.Stale(ctx, evidence.Folder(path)); err != nil {
		return custody.Report{}, err
	}
	return custody.Verify(ctx, evidence.Folder(path), o)
}

func verifyText(w io.Writer, path string, r custody.Report) {
	row(w, "Checked    ", path)
	row(w, "Ledger     ", fmt.Sprintf("%d records", r.Records), "head "+custody.GroupHead(r.Head))
	row(w, "Files      ", fmt.Sprint(r.Files))
	for _, f := range r.Failures {
		s := f.Code + "  " + f.Path
		if f.Offset > 0 {
			s += fmt.Sprintf("  from offset %d", f.Offset)
		}
		row(w, "FAILED     ", s)
		if f.Expected != "" || f.Found != "" {
			row(w, "           ", "expected "+f.Expected)
			row(w, "           ", "found    "+f.Found)
		}
	}
	for _, n := range r.Notes {
		row(w, "note       ", n)
	}
	row(w, r.Summary())
}
