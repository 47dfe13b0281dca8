// Package report renders what a case knows for people and for other tools: one
// self-contained HTML page with the custody form, tables as CSV, and exports
// (bodyfile of The Sleuth Kit 3, Timesketch JSON Lines, CASE/UCO JSON-LD).
//
// # The page
//
// It begins with the answer (who, what, when, where, how sure), computed from
// the traces of the keys that were used, and goes on with the evidence, the
// method, and every table behind the answer. It needs no script and no
// network, and its policy forbids both. Text from evidence goes through
// package visible and then through html/template; an evidence address never
// becomes a link. Long tables end with how many rows are left out and which
// CSV file has them. Limits and gaps are part of the page and cannot be left
// out.
//
// # What it does not do
//
// The package knows no SQL, reads no evidence, decides no verdict, and is
// given no secret. It says what records show and what they are consistent
// with; it names keys and addresses, not persons.
package report

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"strings"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/credential"
	"snapcase/evidence/custody"
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
	Masked   func(file string, places int) // if set, told where a name that held a secret was masked
}

//go:embed page/*.html page/style.css
var pages embed.FS

// Write renders in to dir, which is made when it is not there: index.html and
// the CSV tables. Files of an earlier report are replaced, each at once; other
// files are left alone. Secrets in names and other text from evidence are
// masked (credential.Mask).
func Write(ctx context.Context, dir string, in Input) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	defer root.Close() //nolint:errcheck // nothing is buffered
	t, err := template.New("page.html").Funcs(words).ParseFS(pages, "page/*.html")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := in.file(root, "index.html", func(f *os.File) error { return t.Execute(f, newView(in)) }); err != nil {
		return err
	}
	for _, table := range tables(in) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		if err := in.file(root, table.name, func(f *os.File) error { return table.write(f) }); err != nil {
			return err
		}
	}
	return nil
}

// file replaces name by what write gives; half a file never bears the name.
func (in Input) file(root *os.Root, name string, write func(*os.File) error) error {
	tmp := name + ".part"
	f, err := root.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	err = write(f)
	if err == nil {
		err = MaskFile(f, in.Masked)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write report: %s: %w", name, errors.Join(err, root.Remove(tmp)))
	}
	if err := root.Rename(tmp, name); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// MaskFile masks the secrets in a report or export that was written to f, and
// tells of them.
func MaskFile(f *os.File, masked func(file string, places int)) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	n, err := credential.Mask(f, fi.Size())
	if n > 0 && masked != nil {
		masked(strings.TrimSuffix(filepath.Base(f.Name()), ".part"), n)
	}
	return err
}
