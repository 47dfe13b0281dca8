package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"snapcase/evidence"
	"snapcase/evidence/visible"
	"snapcase/store"
)

func eventsCommand(e *edge) *cobra.Command {
	var q store.EventQuery
	var readOnly, from, to string
	var raw bool
	c := &cobra.Command{
		Use:     "events CASE",
		Short:   "Events of CloudTrail by the eight attributes of its own lookup, combined freely",
		Example: "snapcase events case1 --key AKIA2OGYBAH6QLWVZT7M --event-name RunInstances\nsnapcase events case1 --user Marc_the_Intern --from 2026-10-01 --json",
		Args:    exactly(1, "one case or bundle"),
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if q.From, err = parseTime("--from", from); err != nil {
				return err
			}
			if q.To, err = parseTime("--to", to); err != nil {
				return err
			}
			if q.Limit < 0 {
				return usageError{fmt.Errorf("--limit %d: want a number of events, or 0 for all", q.Limit)}
			}
			switch readOnly {
			case "":
			case "true", "false":
				v := readOnly == "true"
				q.ReadOnly = &v
			default:
				return usageError{fmt.Errorf("--read-only %q: want true or false", readOnly)}
			}
			cs, err := e.read(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer cs.Close() //nolint:errcheck // read-only
			return e.events(c, cs, q, raw)
		},
	}
	f := c.Flags()
	f.StringVar(&q.User, "user", "", "Username")
	f.StringVar(&q.Name, "event-name", "", "EventName")
	f.StringVar(&q.ResourceType, "resource-type", "", "ResourceType")
	f.StringVar(&q.ResourceName, "resource-name", "", "ResourceName: a name, an ARN or the last part of one")
	f.StringVar(&q.Source, "event-source", "", "EventSource: ec2.amazonaws.com")
	f.StringVar(&q.EventID, "event-id", "", "EventId")
	f.StringVar(&q.Key, "key", "", "AccessKeyId")
	f.StringVar(&readOnly, "read-only", "", "ReadOnly: true or false")
	f.StringVar(&q.Region, "region", "", "region")
	f.StringVar(&q.Error, "error", "", "error code")
	f.StringVar(&q.IP, "ip", "", "source address")
	f.StringVar(&q.ARN, "arn", "", "ARN of the principal")
	f.StringVar(&q.Text, "text", "", "words in any of the fields listed, not in request or response bodies (for those: --raw, and search its output)")
	f.StringVar(&from, "from", "", "first time, RFC 3339 or a date; it belongs")
	f.StringVar(&to, "to", "", "last time; it belongs")
	f.StringVar(&q.Exhibit, "exhibit", "", "only this exhibit")
	f.Int64Var(&q.Limit, "limit", 0, "at most so many; 0 for all")
	f.BoolVar(&raw, "raw", false, "the record's own JSON, one a line")
	return c
}

func (e *edge) events(c *cobra.Command, cs *store.Case, q store.EventQuery, raw bool) error {
	w := e.out()
	for ev, err := range cs.Events(c.Context(), q) {
		if err != nil {
			return err
		}
		switch {
		case raw:
			b, err := cs.Raw(c.Context(), ev.Record)
			if err != nil {
				return err
			}
			if b, err = oneLine(b); err != nil {
				return fmt.Errorf("events: %s: %w", ev.Record, err)
			}
			if e.terminal() {
				b = []byte(visible.Escape(string(b)).String())
			}
			if _, err := w.Write(append(b, '\n')); err != nil {
				return err
			}
		case e.json:
			if err := emit(w, ev); err != nil {
				return err
			}
		default:
			row(w, fmt.Sprintf("%-20s", stamp(ev.Time)), fmt.Sprintf("%-14s", ev.Region), fmt.Sprintf("%-28s", ev.Name), fmt.Sprintf("%-20s", ev.User), fmt.Sprintf("%-20s", ev.AccessKeyID), fmt.Sprintf("%-15s", ev.SourceIP), orDash(ev.ErrorCode), ev.Record.String())
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return e.gaps(c.Context(), cs, q.Exhibit, evidence.KindCloudTrail)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// oneLine removes line ends and blanks between the tokens of JSON text;
// values keep their own spelling.
func oneLine(b []byte) ([]byte, error) {
	var out bytes.Buffer
	out.Grow(len(b))
	err := json.Compact(&out, b)
	return out.Bytes(), err
}
