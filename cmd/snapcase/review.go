package main

import (
	"errors"

	"github.com/spf13/cobra"

	"snapcase/evidence/custody"
)

// written is the JSON of a line of the ledger that a verb wrote.
func written(r custody.Record) map[string]any {
	return map[string]any{"record": r.Seq, "hash": r.Hash, "type": r.Type, "time": r.Time}
}

func tagCommand(e *edge) *cobra.Command {
	var tag string
	var remove bool
	c := &cobra.Command{
		Use:     "tag CASE RECORD... --tag NAME",
		Short:   "Mark records with a word; it is a ledger record",
		Example: "snapcase tag case1 'EX-002/AWSLogs/…/file.json.gz#12' --tag bad",
		Args:    atLeast(2, "a case and at least one record or address"),
		RunE: func(c *cobra.Command, args []string) error {
			if tag == "" {
				return usageOf(c, "--tag")
			}
			cs, err := e.write(c.Context(), args[0])
			if err != nil {
				return err
			}
			all, err := cs.Tag(c.Context(), args[1:], tag, remove)
			err = errors.Join(err, cs.Close())
			if e.json {
				for _, r := range all {
					m := written(r)
					for _, k := range []string{"tag", "action", "records"} {
						m[k] = r.Data[k]
					}
					err = errors.Join(err, emit(e.stdout, m))
				}
			}
			return err
		},
	}
	c.Flags().StringVar(&tag, "tag", "", "the word")
	c.Flags().BoolVar(&remove, "remove", false, "take the tag away again, by a record that says so")
	return c
}

func noteCommand(e *edge) *cobra.Command {
	var words string
	c := &cobra.Command{
		Use:     "note CASE [RECORD] --text T",
		Short:   "Write the examiner's own words into the ledger",
		Example: "snapcase note case1 --text \"owner confirms: not his doing\"",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			if words == "" {
				return usageOf(c, "--text")
			}
			about := ""
			if len(args) == 2 {
				about = args[1]
			}
			cs, err := e.write(c.Context(), args[0])
			if err != nil {
				return err
			}
			r, err := cs.Note(c.Context(), about, words)
			if err = errors.Join(err, cs.Close()); err != nil || !e.json {
				return err
			}
			m := written(r)
			m["about"], m["text"] = nil, words
			if about != "" {
				m["about"] = about
			}
			return emit(e.stdout, m)
		},
	}
	c.Flags().StringVar(&words, "text", "", "the words")
	return c
}
