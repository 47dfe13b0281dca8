package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"snapcase/evidence"
	"snapcase/evidence/custody"
	"snapcase/imaging"
)

// typeFinding is the record of a finding that the examiner made. Its data:
// action (add), title, level, text, limits, records, entities, first and last
// (RFC 3339); or action (withdraw), reason, and corrects names the record that
// it takes back.
const typeFinding = "review.finding"

// findingTag begins the tag that the records of such a finding carry, so that
// the timeline shows it: finding:E7.
const findingTag = "finding:"

// levels are the levels of findings, the gravest first.
var levels = []string{"critical", "high", "medium", "low", "informational"}

// NewFinding is what the examiner found.
type NewFinding struct {
	Title, Level string
	Records      []string // records and addresses that show it
	Entities     []string // keys, ARNs, addresses, instances that it concerns
	Text         string   // what the evidence shows
	Limits       string   // what it does not show
	First, Last  imaging.Time
}

// AddFinding records a finding of the examiner, and gives its id with the line
// of the ledger. Where First and Last are not set, they are the times of the
// log records that it names.
func (c *Case) AddFinding(ctx context.Context, n NewFinding) (id string, r custody.Record, err error) {
	if c.ledger == nil {
		return "", r, fmt.Errorf("add a finding: %w", evidence.ErrReadOnly)
	}
	switch {
	case n.Title == "":
		return "", r, fmt.Errorf("add a finding: it has no title: %w", evidence.ErrUsage)
	case !slices.Contains(levels, n.Level):
		return "", r, evidence.WithHint(fmt.Errorf("add a finding: level %q: %w", n.Level, evidence.ErrUsage), "levels are: %s", strings.Join(levels, " "))
	case len(n.Records) > mostRecords || len(n.Entities) > mostRecords:
		return "", r, evidence.WithHint(fmt.Errorf("add a finding: at most %d records and %d entities: %w", mostRecords, mostRecords, evidence.ErrUsage), "tag the records, and let the finding name the tag")
	case n.First.Set && n.Last.Set && n.Last.Compare(n.First) < 0:
		return "", r, fmt.Errorf("add a finding: its last time is before its first: %w", evidence.ErrUsage)
	}
	words := slices.Concat(n.Entities, []string{n.Title, n.Text, n.Limits})
	if slices.ContainsFunc(words, func(s string) bool { return !utf8.ValidString(s) }) {
		return "", r, fmt.Errorf("add a finding: its words are no UTF-8: %w", evidence.ErrUsage)
	}
	if err := noSecret(append(words, n.Records...)...); err != nil {
		return "", r, fmt.Errorf("add a finding: %w", err)
	}
	for _, place := range n.Records {
		if err := c.placed(ctx, place, false); err != nil {
			return "", r, fmt.Errorf("add a finding on %s: %w", place, err)
		}
	}
	if err := c.span(ctx, &n); err != nil {
		return "", r, fmt.Errorf("add a finding: %w", err)
	}
	if r, err = c.ledger.Add(ctx, custody.Record{Type: typeFinding, Result: "ok", Data: n.data()}); err != nil {
		return "", r, err
	}
	return ownID(r.Seq), r, nil
}

// WithdrawFinding takes a finding of the examiner back, by a record that says
// so and why; the old one stays in the ledger.
func (c *Case) WithdrawFinding(ctx context.Context, id, reason string) (custody.Record, error) {
	var none custody.Record
	if c.ledger == nil {
		return none, fmt.Errorf("withdraw %s: %w", id, evidence.ErrReadOnly)
	}
	if err := noSecret(reason); err != nil {
		return none, fmt.Errorf("withdraw %s: %w", id, err)
	}
	own, err := c.ownFindings(ctx)
	if err != nil {
		return none, fmt.Errorf("withdraw %s: %w", id, err)
	}
	i := slices.IndexFunc(own, func(o ownFinding) bool { return o.ID == id && !o.withdrawn })
	if i < 0 {
		return none, evidence.WithHint(fmt.Errorf("withdraw %s: no such finding of the examiner: %w", id, evidence.ErrNotFound), "snapcase findings lists them: E7, E12, …")
	}
	seq := own[i].seq
	return c.ledger.Add(ctx, custody.Record{Type: typeFinding, Result: "ok", Corrects: &seq, Data: map[string]any{"action": "withdraw", "reason": reason}})
}

func (n *NewFinding) data() map[string]any {
	data := map[string]any{"action": "add", "title": n.Title, "level": n.Level, "records": anyList(n.Records), "entities": anyList(n.Entities)}
	for k, v := range map[string]string{"text": n.Text, "limits": n.Limits, "first": timeText(n.First), "last": timeText(n.Last)} {
		if v != "" {
			data[k] = v
		}
	}
	return data
}

func anyList(all []string) []any {
	out := make([]any, len(all))
	for i, s := range all {
		out[i] = s
	}
	return out
}

func timeText(t imaging.Time) string {
	if !t.Set {
		return ""
	}
	return t.String()
}

// span fills the times of a finding from the log records that it names.
func (c *Case) span(ctx context.Context, n *NewFinding) error {
	if n.First.Set && n.Last.Set || len(n.Records) == 0 {
		return nil
	}
	q, err := c.ask(ctx)
	if err != nil {
		return err
	}
	defer q.end() //nolint:errcheck // read-only
	var first, last imaging.Time
	for _, place := range n.Records {
		r, err := evidence.ParseRecord(place)
		if err != nil {
			continue
		}
		t, err := q.timeOfRecord(ctx, r)
		if err != nil {
			return err
		}
		if t.Set {
			if !first.Set || t.Compare(first) < 0 {
				first = t
			}
			last = maxTime(last, t)
		}
	}
	if !n.First.Set {
		n.First = first
	}
	if !n.Last.Set {
		n.Last = last
	}
	if n.First.Set && n.Last.Set && n.Last.Compare(n.First) < 0 {
		return fmt.Errorf("its last time, %s, is before its first, %s: %w", n.Last, n.First, evidence.ErrUsage)
	}
	return nil
}

// timeOfRecord is when a log record says that it was; not set for what has no
// time.
func (q *question) timeOfRecord(ctx context.Context, r evidence.Record) (imaging.Time, error) {
	const of = "file = (SELECT f.id FROM loads l JOIN files f ON f.x = l.x WHERE l.exhibit = ? AND f.name = ?) AND n = ?"
	var ts sql.NullInt64
	err := q.rows(ctx, "SELECT min(ts) FROM (SELECT ts FROM events WHERE "+of+
		" UNION ALL SELECT ts FROM events WHERE id IN (SELECT event FROM copies WHERE "+of+")"+
		" UNION ALL SELECT ts FROM flows WHERE "+of+" UNION ALL SELECT ts FROM packets WHERE "+of+")",
		[]any{r.Exhibit, r.File, r.N, r.Exhibit, r.File, r.N, r.Exhibit, r.File, r.N, r.Exhibit, r.File, r.N},
		func(rows *sql.Rows) error { return rows.Scan(&ts) })
	if err != nil || !ts.Valid {
		return imaging.Time{}, err
	}
	return ofNano(ts.Int64), nil
}

// ownID is the id of a finding by the number of its record.
func ownID(seq int64) string { return fmt.Sprintf("E%d", seq) }

// ownFinding is a finding of the examiner, as the ledger has it.
type ownFinding struct {
	evidence.Finding
	seq       int64
	withdrawn bool
}

// ownList are the findings of the examiner in the order of the ledger. E7 is
// that of record 7, so that ids stay when others are withdrawn or withheld.
type ownList []ownFinding

// take follows one record of the ledger.
func (l *ownList) take(r custody.Record) {
	if r.Type != typeFinding {
		return
	}
	if r.Data["action"] == "withdraw" {
		for i := range *l {
			if o := &(*l)[i]; r.Corrects != nil && o.seq == *r.Corrects {
				o.withdrawn = true
			}
		}
		return
	}
	word := func(key string) string { return placeOf(r.Data[key]) }
	o := ownFinding{seq: r.Seq}
	seq := r.Seq
	o.Finding = evidence.Finding{
		ID: ownID(r.Seq), Title: word("title"), Level: word("level"), Rule: "examiner", By: r.Actor, Record: &seq,
		Events: placesOf(r.Data["records"]), Entities: placesOf(r.Data["entities"]), Observed: word("text"), Limits: word("limits"),
		First: timeOfText(word("first")), Last: timeOfText(word("last")),
	}
	if !slices.Contains(levels, o.Level) {
		o.Level = "informational"
	}
	if o.Limits == "" {
		o.Limits = fmt.Sprintf("it is the judgement of %s, written %s; no rule found it", r.Actor, r.Time)
	}
	*l = append(*l, o)
}

// tag puts the tag of each finding on its records.
func (l *ownList) tag(words map[string][]string) {
	for _, o := range *l {
		if o.withdrawn {
			continue
		}
		tag := findingTag + o.ID
		for _, rec := range o.Events {
			if at, has := slices.BinarySearch(words[rec], tag); !has {
				words[rec] = slices.Insert(slices.Clone(words[rec]), at, tag)
			}
		}
	}
}

// ownFindings reads the findings of the examiner out of the ledger.
func (c *Case) ownFindings(ctx context.Context) (ownList, error) {
	var all ownList
	records, err := c.Records(ctx)
	for _, r := range records {
		all.take(r)
	}
	return all, err
}

func placesOf(v any) []string {
	list, _ := v.([]any)
	out := make([]string, 0, len(list))
	for _, x := range list {
		if s := placeOf(x); s != "" {
			out = append(out, s)
		}
	}
	return out
}

func timeOfText(s string) (t imaging.Time) {
	if s == "" || t.UnmarshalJSON([]byte(strconv.Quote(s))) != nil {
		return imaging.Time{}
	}
	return t
}
