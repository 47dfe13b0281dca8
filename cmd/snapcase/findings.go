package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"snapcase/store"
)

func findingsCommand(e *edge) *cobra.Command {
	return &cobra.Command{
		Use:     "findings CASE",
		Short:   "What the evidence shows that should be looked at, and what the examiner found",
		Example: "snapcase findings case1 --json",
		Args:    exactly(1, "one case or bundle"),
		RunE: func(c *cobra.Command, args []string) error {
			cs, err := e.read(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer cs.Close() //nolint:errcheck // read-only
			all, err := cs.Findings(c.Context())
			if err != nil {
				return err
			}
			w := e.out()
			for _, f := range all {
				if e.json {
					if err := emit(w, f); err != nil {
						return err
					}
					continue
				}
				row(w, f.ID, f.Level, f.Title, stamp(f.First)+" to "+stamp(f.Last))
				if f.Record != nil {
					row(w, "    found by", fmt.Sprintf("%s, record %d", f.By, *f.Record))
				}
				row(w, "    observed", f.Observed)
				row(w, "    limits  ", f.Limits)
				row(w, "    records ", strings.Join(f.Events, " "))
			}
			if err := w.Flush(); err != nil {
				return err
			}
			return e.gaps(c.Context(), cs, "")
		},
	}
}

func findingCommand(e *edge) *cobra.Command {
	c := &cobra.Command{
		Use:     "finding",
		Short:   "The examiner's own findings",
		Example: "snapcase finding add case1 'EX-002/AWSLogs/…/file.json.gz#12' --title \"The key was used from abroad\" --level high",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return usageOf(c, "add or withdraw") },
	}
	c.AddCommand(findingAddCommand(e), findingWithdrawCommand(e))
	return c
}

func findingAddCommand(e *edge) *cobra.Command {
	var n store.NewFinding
	var first, last string
	c := &cobra.Command{
		Use:   "add CASE [RECORD]... --title T --level LEVEL",
		Short: "Record what the examiner found",
		Long: "add writes a finding into the ledger: a title, a level, the records and addresses that show it, whom and\n" +
			"what it concerns. It stands in findings and in the report beside what the rules found, as E7 where 7 is the\n" +
			"number of its record, and its records carry the tag finding:E7 on the timeline. Where --first and --last are\n" +
			"not given, they are the times of the log records.",
		Example: "snapcase finding add case1 'EX-002/AWSLogs/…/file.json.gz#12' EX-001/p1/131:7 --title \"The key was used from abroad\" \\\n" +
			"  --level high --entity AKIA2OGYBAH6QLWVZT7M --text \"first call from 203.0.113.7\"\nsnapcase timeline case1 --tag finding:E7",
		Args: atLeast(1, "a case, and the records that show it"),
		RunE: func(c *cobra.Command, args []string) error {
			if n.Title == "" || n.Level == "" {
				return usageOf(c, "--title and --level")
			}
			var err error
			if n.First, err = parseTime("--first", first); err != nil {
				return err
			}
			if n.Last, err = parseTime("--last", last); err != nil {
				return err
			}
			cs, err := e.write(c.Context(), args[0])
			if err != nil {
				return err
			}
			n.Records = args[1:]
			id, r, err := cs.AddFinding(c.Context(), n)
			if err = errors.Join(err, cs.Close()); err != nil {
				return err
			}
			if e.json {
				m := written(r)
				m["finding"] = id
				return emit(e.stdout, m)
			}
			e.say("finding %s: record %d", id, r.Seq)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&n.Title, "title", "", "what was found, in a line")
	f.StringVar(&n.Level, "level", "", "critical, high, medium, low or informational")
	f.StringArrayVar(&n.Entities, "entity", nil, "a key, ARN, address or instance that it concerns; may be given often")
	f.StringVar(&n.Text, "text", "", "what the evidence shows")
	f.StringVar(&n.Limits, "limits", "", "what it does not show")
	f.StringVar(&first, "first", "", "when it began, RFC 3339 or a date")
	f.StringVar(&last, "last", "", "when it ended")
	return c
}

func findingWithdrawCommand(e *edge) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:     "withdraw CASE ID --reason TEXT",
		Short:   "Take a finding back, by a record that says so",
		Example: "snapcase finding withdraw case1 E7 --reason \"the address is the office's own\"",
		Args:    exactly(2, "a case and the id of a finding"),
		RunE: func(c *cobra.Command, args []string) error {
			if reason == "" {
				return usageOf(c, "--reason")
			}
			cs, err := e.write(c.Context(), args[0])
			if err != nil {
				return err
			}
			r, err := cs.WithdrawFinding(c.Context(), args[1], reason)
			if err = errors.Join(err, cs.Close()); err != nil {
				return err
			}
			if e.json {
				m := written(r)
				m["finding"] = args[1]
				return emit(e.stdout, m)
			}
			e.say("finding %s is withdrawn: record %d", args[1], r.Seq)
			return nil
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why")
	return c
}
