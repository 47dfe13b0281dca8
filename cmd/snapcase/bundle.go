package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"snapcase/evidence/bundle"
	"snapcase/evidence/credential"
	"snapcase/evidence/custody"
	"snapcase/store"
)

func bundleCommand(e *edge) *cobra.Command {
	var plan bundle.Plan
	var redact bool
	var records []int64
	c := &cobra.Command{
		Use:   "bundle CASE -o FILE|DIR",
		Short: "The case for somebody else: a sealed BagIt bag",
		Long: "bundle writes the case as a BagIt bag with a signed seal: a folder, or one archive (.tar.zst, with --to\n" +
			".tar.zst.age). Anyone checks it with snapcase verify, or with its own VERIFY.sh, which needs only\n" +
			"coreutils and OpenSSH.\n\n" +
			"--redact leaves the examiner's own words (notes, tags, findings) out of the ledger, and --redact-record any\n" +
			"other line that the check of the evidence does not need; reports and exports stay out too. Such a line is\n" +
			"replaced by its leaf hash, so that the signed checkpoints still hold and show that nothing else is missing;\n" +
			"snapcase verify says which lines are withheld (exit code 4). Who can guess a withheld line byte for byte, its\n" +
			"time and hashes too, can tell that the guess is right.",
		Example: "snapcase bundle case1 -o case1.tar.zst\nsnapcase bundle case1 -o case1.tar.zst.age --to age1…\nsnapcase bundle case1 -o redacted.tar.zst --redact --without EX-003",
		Args:    exactly(1, "one case"),
		RunE: func(c *cobra.Command, args []string) error {
			if plan.Out == "" {
				return usageOf(c, "-o FILE|DIR")
			}
			cs, err := e.write(c.Context(), args[0])
			if err != nil {
				return err
			}
			if redact || len(records) > 0 {
				if plan.Withhold, err = withhold(c.Context(), cs, redact, records); err != nil {
					return errors.Join(err, cs.Close())
				}
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
			if r.RedactionOf != "" {
				row(w, "of    ", custody.GroupHead(r.RedactionOf))
				row(w, "withheld", fmt.Sprintf("%d records: %s", len(r.Withheld), custody.Numbers(r.Withheld)), "reports, exports")
			}
			row(w, "check ", "snapcase verify "+plan.Out+" --signers SIGNERS")
			return w.Flush()
		},
	}
	f := c.Flags()
	f.StringVarP(&plan.Out, "out", "o", "", "archive (.tar.zst, .tar.zst.age) or folder; must not exist")
	f.StringArrayVar(&plan.To, "to", nil, "age recipient (repeatable)")
	f.StringArrayVar(&plan.Without, "without", nil, "leave this exhibit's files out (repeatable)")
	f.BoolVar(&redact, "redact", false, "withhold the examiner's notes, tags and findings, reports and exports")
	f.Int64SliceVar(&records, "redact-record", nil, "withhold this line of the ledger too, by its number (repeatable)")
	return c
}

// withhold says which records stay out of a redacted bundle: the examiner's
// words where review is set, and those with the numbers given.
func withhold(ctx context.Context, cs *store.Case, review bool, numbers []int64) (func(custody.Record) bool, error) {
	records, err := cs.Records(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range numbers {
		switch {
		case n < 0 || n >= int64(len(records)):
			return nil, usageError{fmt.Errorf("--redact-record %d: the ledger has records 0 to %d", n, len(records)-1)}
		case !custody.MayWithhold(records[n].Type):
			return nil, usageError{fmt.Errorf("--redact-record %d: it is of type %s, which the check of the evidence needs", n, records[n].Type)}
		}
	}
	return func(r custody.Record) bool {
		return review && strings.HasPrefix(r.Type, "review.") || has(numbers, r.Seq)
	}, nil
}

// bundle writes the reports afresh, then packs and seals.
func (e *edge) bundle(c *cobra.Command, cs *store.Case, plan bundle.Plan) (bundle.Result, error) {
	var none bundle.Result
	tmp, err := os.MkdirTemp("", "snapcase-bundle-")
	if err != nil {
		return none, fmt.Errorf("bundle: %w", err)
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // a temporary folder
	p, end := e.progress()
	defer end()
	if plan.Withhold == nil { // reports tell what the ledger tells
		plan.Reports, plan.Exports = filepath.Join(tmp, "reports"), filepath.Join(tmp, "exports")
		if err := e.writeReport(c.Context(), cs, plan.Reports, plan.Exports); err != nil {
			return none, err
		}
	}
	plan.Folder, plan.Ledger, plan.Contact = cs.Folder(), cs.Ledger(), cs.File().Examiner
	plan.Version, plan.Now, plan.Scan, plan.Progress = version, e.now, credential.FindSecret, p
	return bundle.Write(c.Context(), plan)
}
