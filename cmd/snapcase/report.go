package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"snapcase/evidence"
	"snapcase/evidence/credential"
	"snapcase/evidence/custody"
	"snapcase/evidence/report"
	"snapcase/store"
)

func reportCommand(e *edge) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:     "report CASE -o DIR",
		Short:   "One self-contained HTML page, and the tables as CSV",
		Example: "snapcase report case1 -o report/",
		Args:    exactly(1, "one case or bundle"),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return usageOf(c, "-o DIR")
			}
			cs, err := e.access(c, args[0])
			if err != nil {
				return err
			}
			var r custody.Record
			err = e.writeReport(c.Context(), cs, out, "")
			if err == nil {
				r, err = cs.Derived(c.Context(), "report", out)
			}
			if err = errors.Join(err, cs.Close()); err != nil {
				return err
			}
			if e.json {
				return emit(e.stdout, reportJSON(out, r))
			}
			e.say("report written: %s", filepath.Join(out, "index.html"))
			return nil
		},
	}
	c.Flags().StringVarP(&out, "out", "o", "", "folder to write to; made when it is not there")
	return c
}

// reportJSON tells of a report that was written: record is null where a bundle
// has no ledger to add to.
func reportJSON(out string, r custody.Record) map[string]any {
	m := map[string]any{"out": out, "page": filepath.Join(out, "index.html"), "record": nil, "hash": nil, "time": nil}
	if r.Hash != "" {
		m["record"], m["hash"], m["time"] = r.Seq, r.Hash, r.Time
	}
	return m
}

// writeReport writes the report of a case to dir, and with exports the files
// that other tools import.
func (e *edge) writeReport(ctx context.Context, cs *store.Case, dir, exports string) error {
	in, err := e.reportInput(ctx, cs)
	if err != nil {
		return err
	}
	in.Masked = func(file string, places int) {
		e.say("warning: %s: text from evidence holds what looks like a secret in %d places; masked with asterisks", file, places)
	}
	if n := maskMoments(in.Timeline); n > 0 {
		in.Masked("timeline", n)
	}
	if err := report.Write(ctx, dir, in); err != nil {
		return err
	}
	if exports == "" {
		return nil
	}
	if err := os.MkdirAll(exports, 0o755); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return errors.Join(
		toFile(filepath.Join(exports, "timeline.timesketch.jsonl"), in.Masked, func(f *os.File) error {
			return report.Timesketch(f, cs.Timeline(ctx, store.TimelineQuery{}))
		}),
		toFile(filepath.Join(exports, "timeline.bodyfile"), in.Masked, func(f *os.File) error {
			return report.Bodyfile(f, cs.Files(ctx, store.FileQuery{}))
		}),
		toFile(filepath.Join(exports, "case.jsonld"), in.Masked, func(f *os.File) error { return report.CASE(f, in) }),
	)
}

func toFile(path string, masked func(file string, places int), write func(*os.File) error) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	err = write(f)
	if err == nil {
		err = report.MaskFile(f, masked)
	}
	return errors.Join(err, f.Close())
}

// reportInput asks the case everything that a report tells.
func (e *edge) reportInput(ctx context.Context, cs *store.Case) (report.Input, error) {
	in := report.Input{Case: cs.File(), Version: version, Made: e.now()}
	var err error
	if in.Exhibits, err = cs.Stats(ctx); err != nil {
		return in, err
	}
	for _, s := range in.Exhibits {
		if s.Incomplete != nil {
			return in, evidence.WithHint(fmt.Errorf("report: %s is %s: %w", s.Exhibit, incompleteText(s), evidence.ErrIncomplete), "run the command that acquires it to its end; snapcase index CASE --rebuild leaves out what is not sealed")
		}
	}
	if in.Findings, err = cs.Findings(ctx); err != nil {
		return in, err
	}
	if in.Keys, err = cs.Keys(ctx, false); err != nil {
		return in, err
	}
	if in.Records, err = cs.Records(ctx); err != nil {
		return in, err
	}
	in.Form = custody.FormOf(in.Records)
	for _, k := range in.Keys {
		if k.Events == 0 {
			continue
		}
		t, err := cs.Trace(ctx, k.KeyID)
		if err != nil {
			return in, err
		}
		in.Traces = append(in.Traces, t)
	}
	in.Timeline, in.Cut, err = aroundFindings(ctx, cs, in.Findings)
	return in, err
}

// maskMoments masks secrets in the text of moments before a page breaks it into
// lines, and says in how many.
func maskMoments(all []evidence.Moment) (masked int) {
	for i := range all {
		m := &all[i]
		was := *m
		m.Summary, m.Record = credential.MaskText(m.Summary), credential.MaskText(m.Record)
		changed := m.Summary != was.Summary || m.Record != was.Record
		if m.Actor != nil {
			if actor := credential.MaskText(*m.Actor); actor != *m.Actor {
				m.Actor, changed = &actor, true
			}
		}
		if changed {
			masked++
		}
	}
	return masked
}

// aroundFindings is the part of the timeline that a reader of the report
// needs: what happened from an hour before the first finding to an hour after
// the last, without flows: at most reportMoments lines; cut says that there are
// more.
func aroundFindings(ctx context.Context, cs *store.Case, findings []evidence.Finding) (out []evidence.Moment, cut bool, err error) {
	const reportMoments, hour = 50_000, 3600
	q := store.TimelineQuery{Sources: []string{"fs", "cloudtrail", "host"}}
	for _, f := range findings {
		if f.First.Set && (!q.From.Set || f.First.Compare(q.From) < 0) {
			q.From = f.First
		}
		if f.Last.Set && (!q.To.Set || f.Last.Compare(q.To) > 0) {
			q.To = f.Last
		}
	}
	if q.From.Set {
		q.From.Sec -= hour
	}
	if q.To.Set {
		q.To.Sec += hour
	}
	for m, err := range cs.Timeline(ctx, q) {
		if err != nil {
			return nil, false, err
		}
		if len(out) == reportMoments {
			return out, true, nil
		}
		out = append(out, m)
	}
	return out, false, nil
}
