package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"snapcase/evidence/custody"
)

func custodyCommand(e *edge) *cobra.Command {
	var form bool
	c := &cobra.Command{
		Use:     "custody CASE",
		Short:   "The custody ledger, readable; the chain-of-custody form",
		Example: "snapcase custody case1\nsnapcase custody case1 --form\nsnapcase custody checkpoint case1\nsnapcase custody release case1 EX-001 --to \"Bea Lang\" --reason analysis\nsnapcase custody countersign case.tar.zst --key second_ed25519",
		Args:    exactly(1, "one case or bundle"),
		RunE: func(c *cobra.Command, args []string) error {
			cs, err := e.read(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer cs.Close() //nolint:errcheck // read-only
			records, err := cs.Records(c.Context())
			if err != nil {
				return err
			}
			w := e.out()
			switch {
			case form:
				_, err = io.WriteString(w, custody.Form(records))
			case e.json:
				for _, r := range records {
					if err = emit(w, r); err != nil {
						break
					}
				}
			default:
				for _, r := range records {
					row(w, fmt.Sprintf("%5d", r.Seq), stamp(r.Time), fmt.Sprintf("%-22s", r.Type), fmt.Sprintf("%-7s", r.Exhibit), fmt.Sprintf("%-8s", r.Result), r.Actor, r.Hash[:min(16, len(r.Hash))])
				}
			}
			return errors.Join(err, w.Flush())
		},
	}
	c.Flags().BoolVar(&form, "form", false, "the chain-of-custody form")
	c.AddCommand(releaseCommand(e), receiveCommand(e), disposeCommand(e), checkpointCommand(e), countersignCommand(e))
	return c
}

func checkpointCommand(e *edge) *cobra.Command {
	return &cobra.Command{
		Use:     "checkpoint CASE",
		Short:   "Sign length and content of the ledger now",
		Example: "snapcase custody checkpoint case1",
		Args:    exactly(1, "one case"),
		RunE: func(c *cobra.Command, args []string) error {
			cs, err := e.write(c.Context(), args[0])
			if err != nil {
				return err
			}
			cp, err := cs.Ledger().Checkpoint(c.Context())
			if err != nil {
				return errors.Join(err, cs.Close())
			}
			if e.json {
				err = emit(e.stdout, map[string]any{"size": cp.Size, "head": cp.Head, "root": cp.Root, "file": cp.Name})
			} else {
				w := e.out()
				row(w, fmt.Sprintf("%d records", cp.Size), "head", custody.GroupHead(cp.Head))
				err = w.Flush()
			}
			return errors.Join(err, cs.Close())
		},
	}
}
