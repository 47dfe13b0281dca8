package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"strings"
	"unicode/utf8"

	"snapcase/evidence"
	"snapcase/evidence/visible"
)

// keywordMax is the longest keyword that Timesketch's index takes, in bytes.
const keywordMax = 32766

// sketchLine is one event as Timesketch imports it; the first three fields are
// the ones it demands.
type sketchLine struct {
	Message     string   `json:"message"`
	Datetime    string   `json:"datetime"`
	Description string   `json:"timestamp_desc"`
	Source      string   `json:"source"`
	Type        string   `json:"type"`
	Actor       string   `json:"actor,omitempty"`
	Exhibit     string   `json:"exhibit"`
	Record      string   `json:"record"`
	Tag         []string `json:"tag"`
	Uncertain   string   `json:"uncertain,omitempty"`
}

// Timesketch writes moments as the JSON Lines that Timesketch imports; the
// name of the file must end in .jsonl. Datetime is ISO 8601 with an offset and
// up to nine decimals; a moment without a time becomes 1970-01-01 with the
// description "Not a time", which is plaso's word for it. Text that is not
// UTF-8 is written as package visible shows it; a field longer than a keyword
// may be is cut, with a mark at its end.
func Timesketch(w io.Writer, moments iter.Seq2[evidence.Moment, error]) error {
	b := bufio.NewWriterSize(w, 1<<16)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	for m, err := range moments {
		if err != nil {
			return errors.Join(err, b.Flush())
		}
		line := sketchLine{
			Message: keyword(m.Summary), Datetime: strings.TrimSuffix(m.Time.String(), "Z") + "+00:00", Description: description(m),
			Source: m.Source, Type: keyword(m.Type), Actor: keyword(deref(m.Actor)), Exhibit: m.Exhibit, Record: keyword(m.Record),
			Tag: []string{}, Uncertain: keyword(deref(m.Uncertain)),
		}
		if !m.Time.Set {
			line.Datetime, line.Description = "1970-01-01T00:00:00+00:00", "Not a time"
		}
		for _, t := range m.Tags {
			line.Tag = append(line.Tag, keyword(t))
		}
		if line.Message == "" { // an empty message is refused
			line.Message = m.Source + " " + line.Type
		}
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	return b.Flush()
}

// timeWords are the MACB letters of a file-system moment in plaso's words.
var timeWords = []struct{ letter, word string }{{"M", "Content Modification Time"}, {"A", "Last Access Time"}, {"C", "Metadata Modification Time"}, {"B", "Creation Time"}, {"D", "Deletion Time"}}

// description says what kind of time it is.
func description(m evidence.Moment) string {
	switch m.Source {
	case "fs":
		if strings.HasPrefix(m.Type, "usn: ") {
			return "Change Journal Record"
		}
		var all []string
		for _, c := range timeWords {
			if strings.Contains(m.Type, c.letter) {
				all = append(all, c.word)
			}
		}
		if len(all) > 0 {
			return strings.Join(all, "; ")
		}
	case "cloudtrail":
		return "Event Logged"
	case "flow":
		return "Capture Window Start"
	}
	return "Recorded Time"
}

// keyword is s as valid UTF-8 of at most keywordMax bytes.
func keyword(s string) string {
	const mark = " …(cut)"
	if !utf8.ValidString(s) {
		s = visible.Escape(s).String()
	}
	if len(s) <= keywordMax {
		return s
	}
	n := keywordMax - len(mark)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + mark
}
