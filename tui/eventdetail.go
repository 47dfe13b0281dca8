package tui

import (
	"context"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"

	"snapcase/evidence"
	"snapcase/evidence/visible"
	"snapcase/imaging"
	"snapcase/store"
	"snapcase/tui/widget"
)

// The tabs of an event.
const (
	tabFields = iota
	tabJSON
	tabRelated
	eventTabs
)

// relatedSpan is how far around an event its related ones lie, seconds.
const relatedSpan = 600

// eventDetail is one event in full: its fields, the record's own JSON with
// secrets masked, and what the same key did around it.
type eventDetail struct {
	a       *asker
	c       eventSource
	event   evidence.Event
	has     bool
	tab     int
	doc     doc
	raw     loaded[[]byte]
	around  loaded[[]evidence.Event]
	related widget.Table
	width   int
}

func (d *eventDetail) clear() {
	d.has, d.event = false, evidence.Event{}
	d.doc.set(nil)
}

// show turns to another event.
func (d *eventDetail) show(e evidence.Event) tea.Cmd {
	if d.has && d.event.Record == e.Record {
		return nil
	}
	d.event, d.has = e, true
	d.raw, d.around = loaded[[]byte]{slot: "events.raw"}, loaded[[]evidence.Event]{slot: "events.around"}
	d.a.cancel(d.raw.slot)
	d.a.cancel(d.around.slot)
	d.render()
	return d.need()
}

// need asks for what the tab shows.
func (d *eventDetail) need() tea.Cmd {
	e, c := d.event, d.c
	switch {
	case !d.has:
	case d.tab == tabJSON && !d.raw.done:
		return ask(d.a, secEvents, d.raw.slot, func(ctx context.Context) ([]byte, error) { return c.Raw(ctx, e.Record) })
	case d.tab == tabRelated && !d.around.done:
		q := store.EventQuery{Key: e.AccessKeyID}
		if q.Key == "" {
			q.ARN = e.ARN
		}
		if e.Time.Set {
			q.From, q.To = imaging.Time{Sec: e.Time.Sec - relatedSpan, Set: true}, imaging.Time{Sec: e.Time.Sec + relatedSpan, Set: true}
		}
		return ask(d.a, secEvents, d.around.slot, func(ctx context.Context) ([]evidence.Event, error) {
			g, err := c.EventPage(ctx, q, store.PageRequest{})
			return g.Rows, err
		})
	}
	return nil
}

func (d *eventDetail) take(m answer) (tea.Cmd, bool) {
	switch {
	case d.raw.slot == m.slot && m.slot != "":
		d.raw.take(m)
		d.render()
	case d.around.slot == m.slot && m.slot != "":
		d.around.take(m)
		var rows []widget.Row
		for _, e := range d.around.val {
			r := eventRow(e)
			r.Key, r.Data = widget.Key(e.Record.String()), e
			rows = append(rows, r)
		}
		d.related.SetRows(rows)
		d.related.Go(widget.Key(d.event.Record.String()))
	default:
		return nil, false
	}
	return nil, true
}

func (d *eventDetail) turn(forward bool) tea.Cmd {
	step := 1
	if !forward {
		step = eventTabs - 1
	}
	d.tab = (d.tab + step) % eventTabs
	d.render()
	return d.need()
}

func (d *eventDetail) fit(area uv.Rectangle) {
	if w := area.Dx() - 4; w != d.width {
		d.width = w
		top := d.doc.top
		d.render()
		d.doc.top = top
	}
}

func (d *eventDetail) render() {
	switch {
	case !d.has:
		d.doc.set(nil)
	case d.tab == tabFields:
		d.doc.set(eventFields(d.event, max(d.width, 30)))
	case d.tab == tabJSON:
		d.doc.set(jsonLines(d.raw.val, max(d.width, 30)))
	}
}

func eventFields(e evidence.Event, w int) []widget.Line {
	n := widget.Normal
	l := []widget.Line{
		field(visible.Lit("event"), n, visible.Sprintf("%s   %s   %s", esc(e.Name), esc(e.Source), esc(e.Type))),
		field(visible.Lit("time"), n, visible.Sprintf("%s   %s", clockFull(e.Time), esc(e.Region))),
	}
	if e.ErrorCode != "" {
		l = append(l, fields(w, visible.Lit("error"), widget.Bad, visible.Sprintf("✗ %s  %s", e.ErrorCode, e.ErrorMessage))...)
	}
	l = append(l, fields(w, visible.Lit("principal"), n, visible.Sprintf("%s   %s", esc(e.PrincipalType), esc(e.ARN)))...)
	l = append(l, field(visible.Lit("user"), n, visible.Sprintf("%s   account %s   id %s", esc(e.User), esc(e.Account), esc(e.PrincipalID))))
	l = append(l, widget.Line{span(widget.Label, visible.Sprintf("%-11s ", "key")), span(widget.KeyID, esc(e.AccessKeyID)), span(widget.Dim, visible.Sprintf("   mfa %s   read only %s", tri(e.MFA), tri(e.ReadOnly)))})
	if e.SessionIssuer != "" {
		l = append(l, fields(w, visible.Lit("issued by"), n, visible.Escape(e.SessionIssuer))...)
	}
	l = append(l, field(visible.Lit("from"), n, esc(e.SourceIP)))
	l = append(l, fields(w, visible.Lit("user agent"), widget.Dim, esc(e.UserAgent))...)
	for i, r := range e.Resources {
		l = append(l, fields(w, first(i, visible.Lit("resources")), n, visible.Sprintf("%s  %s", esc(r.Name), r.Type))...)
	}
	l = append(l, field(visible.Lit("event id"), widget.Dim, visible.Sprintf("%s   request %s", esc(e.EventID), esc(e.RequestID))))
	return append(l, fields(w, visible.Lit("record"), widget.Dim, visible.Sprintf("%s   delivered %d ×", e.Record, e.Copies))...)
}

func tri(b *bool) visible.Text {
	switch {
	case b == nil:
		return none
	case *b:
		return visible.Lit("yes")
	}
	return visible.Lit("no")
}

func (d *eventDetail) pane() pane {
	p := pane{title: widget.Tabs(d.tab, visible.Lit("fields"), visible.Lit("JSON"), visible.Lit("related")), scopes: []scope{inList}, doc: &d.doc}
	if d.has {
		p.title = append(p.title, span(widget.Dim, visible.Sprintf("  %s", d.event.Record)))
	}
	switch {
	case !d.has:
		p.state = paneState{kind: isEmpty, words: []string{"No event is chosen."}}
	case d.tab == tabJSON:
		p.state = d.raw.state(d.a, false)
	case d.tab == tabRelated:
		p.doc, p.table = nil, &d.related
		p.scopes = []scope{inList, withKeys}
		p.state = d.around.state(d.a, d.around.done && len(d.around.val) == 0, "Nothing else by the same key within ten minutes.")
	}
	return p
}
