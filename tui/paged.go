package tui

import (
	"context"
	"encoding/json"

	tea "charm.land/bubbletea/v2"

	"snapcase/evidence"
	"snapcase/evidence/visible"
	"snapcase/imaging"
	"snapcase/store"
	"snapcase/tui/widget"
)

// paged is a table over pages of T: it turns what the table wants into
// commands and gives it the answers.
type paged[T any] struct {
	widget.Table
	a     *asker
	to    section
	name  string // of its slots
	fetch func(ctx context.Context, r store.PageRequest) (store.Page[T], error)
	count func(ctx context.Context, limit int64) (int64, error)
	row   func(v T) widget.Row // the cells of a row; made off the screen's thread
	err   error
}

// pageAnswer is a page with the rows made already.
type pageAnswer struct{ page widget.Page }

type countAnswer struct {
	gen   uint64
	n     int64
	exact bool
}

// countFirst is the bound of the first count.
const countFirst = 10_001

// query turns the table to another query: fetch and count answer it, id names
// it.
func (p *paged[T]) query(id string, fetch func(context.Context, store.PageRequest) (store.Page[T], error), count func(context.Context, int64) (int64, error)) tea.Cmd {
	p.fetch, p.count, p.err = fetch, count, nil
	ws := p.Requery(id)
	p.a.cancel(p.name + ".back")
	if len(ws) == 0 {
		p.a.cancel(p.name + ".fwd")
	}
	return tea.Batch(p.want(ws), p.counting(countFirst))
}

// reload asks again for what shows.
func (p *paged[T]) reload() tea.Cmd {
	if p.fetch == nil {
		return nil
	}
	p.err = nil
	return tea.Batch(p.want(p.Reload()), p.counting(countFirst))
}

func (p *paged[T]) counting(limit int64) tea.Cmd {
	if p.count == nil {
		return nil
	}
	gen, f := p.Generation(), p.count
	return ask(p.a, p.to, p.name+".count", func(ctx context.Context) (countAnswer, error) {
		n, err := f(ctx, limit)
		return countAnswer{gen, n, limit == 0 || n < limit}, err
	})
}

// want turns requests into commands, a slot a direction.
func (p *paged[T]) want(ws []widget.Want) tea.Cmd {
	var cmds []tea.Cmd
	for _, w := range ws {
		slot := p.name + ".back"
		if w.Forward {
			slot = p.name + ".fwd"
		}
		fetch, row := p.fetch, p.row
		cmds = append(cmds, ask(p.a, p.to, slot, func(ctx context.Context) (pageAnswer, error) {
			r := store.PageRequest{
				From: store.Cursor(w.From), Inclusive: w.Inclusive, Backward: !w.Forward, Row: w.Row, Rows: w.Rows,
				At: imaging.Time{Sec: w.At.Sec, Nsec: w.At.Nsec, Set: w.At.Set},
			}
			g, err := fetch(ctx, r)
			return pageAnswer{toPage(w, g, row)}, err
		}))
	}
	return tea.Batch(cmds...)
}

func toPage[T any](w widget.Want, g store.Page[T], row func(T) widget.Row) widget.Page {
	out := widget.Page{Want: w, Before: g.Before, After: g.After, Ordinal: g.Ordinal}
	for i, v := range g.Rows {
		if i >= len(g.Cursors) {
			break
		}
		r := row(v)
		r.Key, r.Data = widget.Key(g.Cursors[i]), v
		out.Rows = append(out.Rows, r)
	}
	return out
}

// take takes an answer; it says whether it was one of the table's.
func (p *paged[T]) take(m answer) (tea.Cmd, bool) {
	switch m.slot {
	case p.name + ".fwd", p.name + ".back":
		g, _ := m.val.(pageAnswer)
		if m.err != nil {
			if !evidence.Canceled(m.err) {
				p.err = m.err
			}
			p.Failed(g.page.Want)
			return nil, true
		}
		return p.want(p.Take(g.page)), true
	case p.name + ".count":
		n, _ := m.val.(countAnswer)
		if m.err != nil {
			return nil, true
		}
		p.SetTotal(n.gen, widget.Total{N: n.n, More: !n.exact})
		if !n.exact && n.gen == p.Generation() {
			return p.counting(0), true
		}
		return nil, true
	}
	return nil, false
}

// stop gives the first page up.
func (p *paged[T]) stop() {
	p.a.cancel(p.name + ".fwd")
	p.a.cancel(p.name + ".back")
	p.a.cancel(p.name + ".count")
	p.err = errStopped
}

// state is that of the pane of the table.
func (p *paged[T]) state(words ...string) paneState {
	_, slow := p.a.busy(p.name + ".fwd")
	_, slowBack := p.a.busy(p.name + ".back")
	switch {
	case p.err != nil && len(p.Cached()) == 0:
		return paneState{kind: isError, err: p.err}
	case p.Loading():
		return paneState{kind: isLoading, slow: slow || slowBack, stop: p.stop}
	case p.Empty():
		return paneState{kind: isEmpty, words: words}
	}
	return paneState{}
}

// value is the T of the row under the cursor.
func (p *paged[T]) value() (v T, ok bool) {
	if r := p.Current(); r != nil {
		v, ok = r.Data.(T)
	}
	return v, ok
}

// totals is the total of the table as its title says it.
func (p *paged[T]) totals(lower bool) visible.Text {
	if p.err != nil || p.count == nil && !p.Total().Known {
		return none
	}
	return totals(p.Total(), lower)
}

// totals is "7 of 418,220" or "at least 10,000, counting…" as the title says it.
func totals(t widget.Total, lower bool) visible.Text {
	switch {
	case !t.Known:
		return visible.Lit("counting…")
	case t.More:
		return visible.Sprintf("at least %s, counting…", count(t.N-1))
	case lower || t.Lower:
		return visible.Sprintf("at least %s", count(t.N))
	}
	return count(t.N)
}

// rowStatus is "row 12 of 42", "row 12" or nothing.
func rowStatus(t *widget.Table) visible.Text {
	n, total := t.Position(), t.Total()
	switch {
	case len(t.Cached()) == 0 || n <= 0:
		return widget.Blank
	case total.Known && !total.More:
		return visible.Sprintf("row %s/%s", count(n), count(total.N))
	}
	return visible.Sprintf("row %s", count(n))
}

// asJSON is a row for the clipboard.
func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

// fetchOf turns a question of the case with a query into a fetch.
func fetchOf[Q, T any](f func(context.Context, Q, store.PageRequest) (store.Page[T], error), q Q) func(context.Context, store.PageRequest) (store.Page[T], error) {
	return func(ctx context.Context, r store.PageRequest) (store.Page[T], error) { return f(ctx, q, r) }
}

// countOf turns a count of the case with a query into a count.
func countOf[Q any](f func(context.Context, Q, int64) (int64, error), q Q) func(context.Context, int64) (int64, error) {
	return func(ctx context.Context, limit int64) (int64, error) { return f(ctx, q, limit) }
}
