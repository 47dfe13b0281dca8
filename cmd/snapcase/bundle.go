package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"snapcase/evidence"
	"snapcase/evidence/bundle"
	"snapcase/evidence/credential"
	"snapcase/evidence/custody"
	"snapcase/store"
)

func bundleCommand(e *edge) *cobra.Command {
	var plan bundle.Plan
	var redact bool
	c := &cobra.Command{
		Use:   "bundle CASE -o FILE|DIR",
		Short: "The case for somebody else: a sealed BagIt bag",
		Long: "bundle writes the case as a BagIt bag with a signed seal: a folder, or one archive (.tar.zst, with --to\n" +
			".tar.zst.age). Anyone checks it with snapcase verify, or with its own VERIFY.sh, which needs only\n" +
			"coreutils and OpenSSH.",
		Example: "snapcase bundle case1 -o case1.tar.zst\nsnapcase bundle case1 -o case1.tar.zst.age --to age1…",
		Args:    exactly(1, "one case"),
		RunE: func(c *cobra.Command, args []string) error {
			if plan.Out == "" {
				return usageOf(c, "-o FILE|DIR")
			}
			if redact {
				return evidence.WithHint(errors.New("bundle: --redact is not in this version"), "leave exhibits out with --without EX-…")
			}
			cs, err := e.write(c.Context(), args[0])
			if err != nil {
				return err
			}
			r, err := e.bundle(c, cs, plan)
			if err = errors.Join(err, cs.Close()); err != nil {
				return err
			}
			if e.json {
				return emit(e.stdout, r)
			}
			w := e.out()
			row(w, "bundle", plan.Out, size(r.Bytes), fmt.Sprintf("%d files", r.Files))
			row(w, "id    ", custody.GroupHead(r.ID))
			row(w, "check ", "snapcase verify "+plan.Out+" --signers SIGNERS")
			return w.Flush()
		},
	}
	f := c.Flags()
	f.StringVarP(&plan.Out, "out", "o", "", "archive (.tar.zst, .tar.zst.age) or folder; must not exist")
	f.StringArrayVar(&plan.To, "to", nil, "age recipient (repeatable)")
	f.StringArrayVar(&plan.Without, "without", nil, "leave this exhibit's files out (repeatable)")
	f.BoolVar(&redact, "redact", false, "withhold ledger lines (not in this version)")
	return c
}

// bundle writes the reports afresh, then packs and seals.
func (e *edge) bundle(c *cobra.Command, cs *store.Case, plan bundle.Plan) (bundle.Result, error) {
	var none bundle.Result
	tmp, err := os.MkdirTemp("", "snapcase-bundle-")
	if err != nil {
		return none, fmt.Errorf("bundle: %w", err)
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // a temporary folder
	plan.Reports, plan.Exports = filepath.Join(tmp, "reports"), filepath.Join(tmp, "exports")
	p, end := e.progress()
	defer end()
	if err := e.writeReport(c.Context(), cs, plan.Reports, plan.Exports); err != nil {
		return none, err
	}
	plan.Folder, plan.Ledger, plan.Contact = cs.Folder(), cs.Ledger(), cs.File().Examiner
	plan.Version, plan.Now, plan.Scan, plan.Progress = version, e.now, credential.FindSecret, p
	return bundle.Write(c.Context(), plan)
}
