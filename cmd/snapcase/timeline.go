package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"snapcase/evidence/report"
	"snapcase/store"
)

func timelineCommand(e *edge) *cobra.Command {
	var q store.TimelineQuery
	var from, to, sources, format, out string
	c := &cobra.Command{
		Use:     "timeline CASE",
		Short:   "The merged timeline of all sources",
		Example: "snapcase timeline case1 --from 2026-10-14 --source cloudtrail,fs\nsnapcase timeline case1 --format timesketch -o case1.jsonl",
		Args:    exactly(1, "one case or bundle"),
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if q.From, err = parseTime("--from", from); err != nil {
				return err
			}
			if q.To, err = parseTime("--to", to); err != nil {
				return err
			}
			if sources != "" {
				q.Sources = strings.Split(sources, ",")
				for _, s := range q.Sources {
					if !slices.Contains([]string{"fs", "cloudtrail", "flow", "packet", "host"}, s) {
						return usageError{fmt.Errorf("--source %q: want fs, cloudtrail, flow, packet or host", s)}
					}
				}
			}
			if !slices.Contains([]string{"", "jsonl", "timesketch", "bodyfile", "csv"}, format) {
				return usageError{fmt.Errorf("--format %q: want jsonl, timesketch, bodyfile or csv", format)}
			}
			cs, err := e.read(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer cs.Close() //nolint:errcheck // read-only
			if err := e.timelineTo(c, cs, q, format, out); err != nil {
				return err
			}
			h, err := cs.Histogram(c.Context(), q, 1)
			if err != nil {
				return err
			}
			if h.Untimed > 0 {
				e.say("warning: %d records have no time and are not on the timeline (snapcase events and flows list them)", h.Untimed)
			}
			return e.gaps(c.Context(), cs, "")
		},
	}
	f := c.Flags()
	f.StringVar(&from, "from", "", "first time, RFC 3339 or a date; it belongs")
	f.StringVar(&to, "to", "", "last time; it belongs")
	f.StringVar(&sources, "source", "", "fs, cloudtrail, flow, packet, host, with commas between")
	f.StringVar(&q.Text, "text", "", "words in the summary")
	f.StringVar(&q.Tag, "tag", "", "only moments with this tag")
	f.StringVar(&format, "format", "", "jsonl, timesketch, bodyfile or csv")
	f.StringVarP(&out, "out", "o", "", "write to this file, which must not exist")
	return c
}

func (e *edge) timelineTo(c *cobra.Command, cs *store.Case, q store.TimelineQuery, format, out string) (err error) {
	w := e.stdout
	if out == "" && e.terminal() && format != "" {
		lines := &harmless{w: w}
		defer func() { err = errors.Join(err, lines.flush()) }()
		w = lines
	}
	if out != "" {
		f, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return fmt.Errorf("timeline: %w", err)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		w = f
		if format == "" {
			format = "jsonl"
		}
	}
	moments := cs.Timeline(c.Context(), q)
	switch format {
	case "bodyfile":
		return report.Bodyfile(w, cs.Files(c.Context(), store.FileQuery{}))
	case "timesketch":
		return report.Timesketch(w, moments)
	case "csv":
		return report.TimelineCSV(w, moments)
	}
	b := e.out()
	if out != "" {
		b.Reset(w)
	}
	for m, err := range moments {
		if err != nil {
			return err
		}
		if format == "jsonl" || e.json {
			if err := emit(b, m); err != nil {
				return err
			}
			continue
		}
		row(b, fmt.Sprintf("%-30s", stamp(m.Time)), fmt.Sprintf("%-10s", m.Source), fmt.Sprintf("%-24s", m.Type), text(m.Actor), m.Summary, m.Record)
	}
	return b.Flush()
}
