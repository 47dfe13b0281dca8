package report

import (
	"encoding/csv"
	"errors"
	"io"
	"iter"
	"strconv"
	"strings"

	"snapcase/evidence"
	"snapcase/evidence/visible"
)

// table is one CSV file of a report.
type table struct {
	name   string
	header []string
	rows   func(row func(...string))
}

func (t table) write(w io.Writer) error {
	c := csv.NewWriter(w)
	err := c.Write(t.header)
	t.rows(func(cell ...string) {
		if err == nil {
			err = c.Write(cells(cell))
		}
	})
	c.Flush()
	return errors.Join(err, c.Error())
}

// cells makes a row safe to open in a spreadsheet: control and hidden
// characters are escaped, and what would be a formula gets a leading "'".
func cells(row []string) []string {
	for i, s := range row {
		formula := s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0]))
		if s = visible.Escape(s).String(); formula {
			s = "'" + s
		}
		row[i] = s
	}
	return row
}

// timelineHeader is the header of timeline.csv and of TimelineCSV.
var timelineHeader = []string{"time", "source", "type", "summary", "actor", "exhibit", "record", "tags", "uncertain"}

func timelineRow(m evidence.Moment) []string {
	return []string{m.Time.String(), m.Source, m.Type, m.Summary, deref(m.Actor), m.Exhibit, m.Record, strings.Join(m.Tags, " "), deref(m.Uncertain)}
}

// TimelineCSV writes moments as a table, as they come. It stops at the first
// error; what was written before it is whole rows.
func TimelineCSV(w io.Writer, moments iter.Seq2[evidence.Moment, error]) error {
	c := csv.NewWriter(w)
	err := c.Write(timelineHeader)
	for m, e := range moments {
		if err = errors.Join(err, e); err != nil {
			break
		}
		err = c.Write(cells(timelineRow(m)))
	}
	c.Flush()
	return errors.Join(err, c.Error())
}

func num(n int64) string { return strconv.FormatInt(n, 10) }

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
