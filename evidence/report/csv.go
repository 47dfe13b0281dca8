package report

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"snapcase/evidence"
	"snapcase/evidence/visible"
)

type table struct {
	name  string
	write func(*os.File) error
}

// tables are the CSV files of a report.
func tables(in Input) []table {
	return []table{
		{"exhibits.csv", func(f *os.File) error { return exhibitsCSV(f, in.Exhibits) }},
		{"findings.csv", func(f *os.File) error { return findingsCSV(f, in.Findings) }},
		{"keys.csv", func(f *os.File) error { return keysCSV(f, in.Keys) }},
		{"traces.csv", func(f *os.File) error { return tracesCSV(f, in.Traces) }},
		{"custody.csv", func(f *os.File) error { return custodyCSV(f, in) }},
	}
}

// cells makes a row safe to open in a spreadsheet: control characters are
// escaped, and what would be a formula gets a leading "'".
func cells(row ...string) []string {
	for i, s := range row {
		first := s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0]))
		s = visible.Escape(s).String()
		if first || s != "" && strings.ContainsRune("=+-@", rune(s[0])) {
			s = "'" + s
		}
		row[i] = s
	}
	return row
}

func exhibitsCSV(w io.Writer, all []evidence.ExhibitStats) error {
	c := csv.NewWriter(w)
	c.Write([]string{"exhibit", "kind", "label", "source", "bytes", "sha256", "files", "records", "distinct", "duplicates", "bad_records", "skipdata", "read_errors"}) //nolint:errcheck // Error reports it
	for _, s := range all {
		c.Write(cells(s.Exhibit, string(s.Kind), s.Label, s.Source, num(s.Bytes), s.SHA256.String(), num(s.Files), num(s.Records), num(s.Distinct), num(s.Duplicates), num(s.BadRecords), num(s.SkipData), num(s.ReadErrors))) //nolint:errcheck // Error reports it
	}
	c.Flush()
	return c.Error()
}

func findingsCSV(w io.Writer, all []evidence.Finding) error {
	c := csv.NewWriter(w)
	c.Write([]string{"id", "level", "title", "rule", "first", "last", "entities", "observed", "limits", "records"}) //nolint:errcheck // Error reports it
	for _, f := range all {
		c.Write(cells(f.ID, f.Level, f.Title, f.Rule, f.First.String(), f.Last.String(), strings.Join(f.Entities, " "), f.Observed, f.Limits, strings.Join(f.Events, " "))) //nolint:errcheck // Error reports it
	}
	c.Flush()
	return c.Error()
}

func keysCSV(w io.Writer, all []evidence.Key) error {
	c := csv.NewWriter(w)
	c.Write([]string{"key_id", "kind", "exhibit", "status", "address", "offset", "secret", "secret_fingerprint", "events", "first", "last", "regions", "principals"}) //nolint:errcheck // Error reports it
	for _, k := range all {
		for _, p := range k.Places {
			addr := ""
			if p.Address != nil {
				addr = *p.Address
			}
			c.Write(cells(k.KeyID, k.Kind, p.Exhibit, p.Status, addr, num(p.Offset), fmt.Sprint(p.Secret), p.Fingerprint, num(k.Events), k.First.String(), k.Last.String(), strings.Join(k.Regions, " "), strings.Join(k.Principals, " "))) //nolint:errcheck // Error reports it
		}
	}
	c.Flush()
	return c.Error()
}

func tracesCSV(w io.Writer, all []evidence.Trace) error {
	c := csv.NewWriter(w)
	c.Write([]string{"entity", "relation", "type", "id", "region", "time", "detail"}) //nolint:errcheck // Error reports it
	for _, t := range all {
		for _, i := range t.Issued {
			c.Write(cells(t.Entity.ID, "issued", i.EventName, i.KeyID, "", i.Time.String(), i.Principal)) //nolint:errcheck // Error reports it
		}
		for _, x := range t.Created {
			c.Write(cells(t.Entity.ID, "created", x.Type, x.ID, x.Region, x.Time.String(), x.Record.String())) //nolint:errcheck // Error reports it
		}
		for _, p := range t.Peers {
			c.Write(cells(t.Entity.ID, "peer", p.Protocol, p.IP, "", p.First.String(), fmt.Sprintf("%d packets, %d bytes out, %d bytes in", p.Packets, p.BytesOut, p.BytesIn))) //nolint:errcheck // Error reports it
		}
		for _, p := range t.ICMP {
			c.Write(cells(t.Entity.ID, "icmp", p.Verdict, p.Peer, "", p.First.String(), strings.Join(p.Reasons, "; "))) //nolint:errcheck // Error reports it
		}
	}
	c.Flush()
	return c.Error()
}

func custodyCSV(w io.Writer, in Input) error {
	c := csv.NewWriter(w)
	c.Write([]string{"seq", "time", "type", "exhibit", "result", "actor", "host", "hash", "prev"}) //nolint:errcheck // Error reports it
	for _, r := range in.Records {
		c.Write(cells(num(r.Seq), r.Time.String(), r.Type, r.Exhibit, r.Result, r.Actor, r.Host, r.Hash, r.Prev)) //nolint:errcheck // Error reports it
	}
	c.Flush()
	return c.Error()
}

// TimelineCSV writes moments as a table.
func TimelineCSV(w io.Writer, moments iter.Seq2[evidence.Moment, error]) error {
	c := csv.NewWriter(w)
	c.Write([]string{"time", "source", "type", "summary", "actor", "exhibit", "record", "tags", "uncertain"}) //nolint:errcheck // Error reports it
	for m, err := range moments {
		if err != nil {
			return errors.Join(err, flush(c))
		}
		c.Write(cells(m.Time.String(), m.Source, m.Type, m.Summary, deref(m.Actor), m.Exhibit, m.Record, strings.Join(m.Tags, " "), deref(m.Uncertain))) //nolint:errcheck // Error reports it
	}
	return flush(c)
}

func flush(c *csv.Writer) error {
	c.Flush()
	return c.Error()
}

func num(n int64) string { return fmt.Sprint(n) }

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
