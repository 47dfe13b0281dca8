// Package report renders what a case knows for people and for other tools: one
// self-contained HTML page with the custody form, tables as CSV, and exports
// (bodyfile of The Sleuth Kit 3, Timesketch JSON Lines, CASE/UCO JSON-LD).
//
// The page needs no script and no network, and its policy forbids both. Text
// from evidence goes through package visible and then through html/template;
// a CSV cell that a spreadsheet would take for a formula gets a leading "'".
// Limits and gaps are part of the page and cannot be left out. The package
// knows no SQL, reads no evidence, and is given no secret.
package report

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"strings"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/custody"
	"snapcase/evidence/visible"
	"snapcase/imaging"
)

// Input is everything that a report tells, as plain values.
type Input struct {
	Case     evidence.CaseFile
	Version  string    // of the program
	Made     time.Time // when the report is made
	Exhibits []evidence.ExhibitStats
	Findings []evidence.Finding
	Keys     []evidence.Key   // found in the evidence
	Traces   []evidence.Trace // of the keys that were used
	Timeline []evidence.Moment
	Cut      bool // the timeline goes on after its last line
	Records  []custody.Record
	Form     custody.FormData
}

//go:embed report.html
var page string

// Write renders in to dir: index.html and the CSV tables. Files of an earlier
// report in dir are replaced.
func Write(ctx context.Context, dir string, in Input) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	t, err := template.New("report").Funcs(words).Parse(page)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := file(dir, "index.html", func(f *os.File) error { return t.Execute(f, in) }); err != nil {
		return err
	}
	for _, table := range tables(in) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := file(dir, table.name, table.write); err != nil {
			return err
		}
	}
	return nil
}

func file(dir, name string, write func(*os.File) error) error {
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		return fmt.Errorf("write report: %s: %w", name, err)
	}
	return nil
}

// words are the functions of the page. Each string that may come from
// evidence passes "v".
var words = template.FuncMap{
	"v":      func(s string) string { return visible.Escape(s).String() },
	"p":      func(s *string) string { return visible.Escape(orDash(s)).String() },
	"join":   func(s []string) string { return visible.Escape(strings.Join(s, ", ")).String() },
	"time":   stamp,
	"utc":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") },
	"bytes":  size,
	"group":  group,
	"list":   func(s ...string) []string { return s },
	"indent": func(depth int) int { return max(0, depth-1) * 2 },
	"used":   used,
	"gaps":   gaps,
	"upper":  strings.ToUpper,
	"inc":    func(i int) int { return i + 1 },
	"text":   func(d any) string { return visible.Escape(fmt.Sprint(d)).String() },
}

func orDash(s *string) string {
	if s == nil || *s == "" {
		return "–"
	}
	return *s
}

// stamp is a time for a person: UTC, RFC 3339 with a blank for the T.
func stamp(t imaging.Time) string {
	if !t.Set {
		return "–"
	}
	return strings.Replace(t.String(), "T", " ", 1)
}

func size(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n), -1
	for v >= 1024 && i < 5 {
		v /= 1024
		i++
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGTPE"[i])
}

// group parts a digest into fours, to be read aloud or compared by eye.
func group(hex string) string {
	var b strings.Builder
	for i := 0; i < len(hex); i += 4 {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(hex[i:min(i+4, len(hex))])
	}
	return b.String()
}

// used are the keys that made calls.
func used(keys []evidence.Key) []evidence.Key {
	var out []evidence.Key
	for _, k := range keys {
		if k.Events > 0 {
			out = append(out, k)
		}
	}
	return out
}

// Missing is one line of what the evidence does not hold.
type Missing struct{ Exhibit, What string }

// gaps says, exhibit by exhibit, what could not be read.
func gaps(all []evidence.ExhibitStats) []Missing {
	var out []Missing
	add := func(id, format string, args ...any) {
		out = append(out, Missing{id, visible.Escape(fmt.Sprintf(format, args...)).String()})
	}
	for _, s := range all {
		if s.ReadErrors > 0 {
			add(s.Exhibit, "%d ranges of the source could not be read; they stand in the image as zeros", s.ReadErrors)
		}
		if s.BadRecords > 0 {
			add(s.Exhibit, "%d records could not be decoded", s.BadRecords)
		}
		if s.SkipData > 0 {
			add(s.Exhibit, "%d capture windows lost flow records (SKIPDATA); sums over them are lower bounds", s.SkipData)
		}
		for _, v := range s.Volumes {
			if v.Error != nil {
				add(s.Exhibit, "volume %s (%s): %s", v.ID, v.FS, *v.Error)
			}
			for _, st := range v.State {
				add(s.Exhibit, "volume %s: %s", v.ID, st)
			}
		}
		for _, g := range s.Gaps {
			add(s.Exhibit, "%s, offset %d: %s", g.Place, g.Offset, g.Reason)
		}
	}
	return out
}
