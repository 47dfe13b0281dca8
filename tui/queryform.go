package tui

import (
	"strings"

	"snapcase/evidence/visible"
	"snapcase/imaging"
	"snapcase/store"
	"snapcase/tui/widget"
)

// attribute is one field of the query: how it is read and written.
type attribute struct {
	label visible.Text
	chip  string
	at    func(q *store.EventQuery) *string // nil for those below
	kind  attributeKind
}

type attributeKind uint8

const (
	plainText attributeKind = iota
	yesNo
	fromTime
	toTime
)

// attributes are the eight that CloudTrail's own LookupEvents has, in its
// order of use, then what only an index can ask.
var attributes = []attribute{
	{visible.Lit("User"), "user", func(q *store.EventQuery) *string { return &q.User }, plainText},
	{visible.Lit("Event name"), "name", func(q *store.EventQuery) *string { return &q.Name }, plainText},
	{visible.Lit("Source"), "source", func(q *store.EventQuery) *string { return &q.Source }, plainText},
	{visible.Lit("Resource type"), "resource-type", func(q *store.EventQuery) *string { return &q.ResourceType }, plainText},
	{visible.Lit("Resource"), "resource", func(q *store.EventQuery) *string { return &q.ResourceName }, plainText},
	{visible.Lit("Event id"), "event-id", func(q *store.EventQuery) *string { return &q.EventID }, plainText},
	{visible.Lit("Access key"), "key", func(q *store.EventQuery) *string { return &q.Key }, plainText},
	{visible.Lit("Read only"), "read-only", nil, yesNo},
	{visible.Lit("Region"), "region", func(q *store.EventQuery) *string { return &q.Region }, plainText},
	{visible.Lit("From"), "from", nil, fromTime},
	{visible.Lit("To"), "to", nil, toTime},
	{visible.Lit("Error"), "error", func(q *store.EventQuery) *string { return &q.Error }, plainText},
	{visible.Lit("IP"), "ip", func(q *store.EventQuery) *string { return &q.IP }, plainText},
	{visible.Lit("ARN"), "arn", func(q *store.EventQuery) *string { return &q.ARN }, plainText},
	{visible.Lit("Words"), "text", func(q *store.EventQuery) *string { return &q.Text }, plainText},
}

// get is the attribute of q as the examiner types it.
func (t attribute) get(q *store.EventQuery) string {
	switch t.kind {
	case yesNo:
		switch {
		case q.ReadOnly == nil:
			return ""
		case *q.ReadOnly:
			return "yes"
		}
		return "no"
	case fromTime:
		return q.From.String()
	case toTime:
		return q.To.String()
	default:
		return *t.at(q)
	}
}

// set writes what the examiner typed.
func (t attribute) set(q *store.EventQuery, s string) error {
	s = strings.TrimSpace(s)
	var at imaging.Time
	var err error
	if s != "" && (t.kind == fromTime || t.kind == toTime) {
		if at, err = parseTime(s); err != nil {
			return err
		}
	}
	switch t.kind {
	case yesNo:
		q.ReadOnly = nil
		if s != "" {
			yes := strings.HasPrefix(strings.ToLower(s), "y") || strings.EqualFold(s, "true")
			q.ReadOnly = &yes
		}
	case fromTime:
		q.From = at
	case toTime:
		q.To = at
	default:
		*t.at(q) = s
	}
	return nil
}

// queryForm is the query pane: a field an attribute.
type queryForm struct {
	fields [15]widget.Field
	at     int
}

func (f *queryForm) fill(q store.EventQuery) {
	for i, t := range attributes {
		f.fields[i].Set(t.get(&q))
	}
}

func (f *queryForm) read(exhibit string) (store.EventQuery, error) {
	q := store.EventQuery{Exhibit: exhibit}
	for i, t := range attributes {
		if err := t.set(&q, f.fields[i].String()); err != nil {
			return q, err
		}
	}
	return q, nil
}

func (f *queryForm) move(by int) {
	f.at = (f.at + by + len(f.fields)) % len(f.fields)
}

// draw puts the fields in three columns, or in one where there is no room.
func (f *queryForm) draw(c widget.Canvas, focused bool) {
	w, h := c.Size()
	columns := 3
	if w < 90 {
		columns = 1 + w/60
	}
	each := w / columns
	const label = 14
	for i, t := range attributes {
		x, y := (i%columns)*each, i/columns
		if y >= h {
			return
		}
		on := focused && i == f.at
		role := widget.Label
		if on {
			role = widget.Focus
		}
		c.Text(x+1, y, label, role, t.label)
		room := each - label - 5
		c.Text(x+label+1, y, 1, widget.Border, visible.Lit("["))
		c.Text(x+label+3+room, y, 1, widget.Border, visible.Lit("]"))
		if !on && f.fields[i].String() == "" {
			c.Text(x+label+2, y, room, widget.Gap, visible.Lit("any"))
			continue
		}
		f.fields[i].Draw(c, x+label+2, y, room, on)
	}
}
