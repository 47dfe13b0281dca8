package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"iter"
	"slices"
	"strings"

	"snapcase/evidence"
)

// Events yields the CloudTrail events that q selects.
func (c *Case) Events(ctx context.Context, q EventQuery) iter.Seq2[evidence.Event, error] {
	return func(yield func(evidence.Event, error) bool) {
		a, l, err := c.eventListing(ctx, q)
		if err != nil {
			yield(evidence.Event{}, fmt.Errorf("events: %w", err))
			return
		}
		defer a.end() //nolint:errcheck // read-only
		each(ctx, l, q.Limit, a.events, yield)
	}
}

// EventPage is a page of what Events yields.
func (c *Case) EventPage(ctx context.Context, q EventQuery, r PageRequest) (Page[evidence.Event], error) {
	a, l, err := c.eventListing(ctx, q)
	if err != nil {
		return Page[evidence.Event]{}, fmt.Errorf("events: %w", err)
	}
	defer a.end() //nolint:errcheck // read-only
	f, err := l.page(ctx, r)
	if err != nil {
		return Page[evidence.Event]{}, fmt.Errorf("events: %w", err)
	}
	return toPage(ctx, f, a.events)
}

// EventCount counts what q selects, up to limit (0: all).
func (c *Case) EventCount(ctx context.Context, q EventQuery, limit int64) (int64, error) {
	a, l, err := c.eventListing(ctx, q)
	if err != nil {
		return 0, fmt.Errorf("count events: %w", err)
	}
	defer a.end() //nolint:errcheck // read-only
	n, err := l.count(ctx, limit)
	if q.Limit > 0 {
		n = min(n, q.Limit)
	}
	return n, err
}

// eventListing is the events that a query selects, as a listing of a question
// that the caller ends.
func (c *Case) eventListing(ctx context.Context, q EventQuery) (*question, *listing, error) {
	a, err := c.ask(ctx)
	if err != nil {
		return nil, nil, err
	}
	l := &listing{q: a}
	w, err := a.eventConditions(ctx, q)
	if err == nil {
		err = a.known(q.Exhibit)
	}
	if err == nil {
		for _, sp := range a.spansOf("events", q.Exhibit) {
			l.streams = append(l.streams, newStream(sp, 0, "eid", w))
		}
		err = l.between(ctx, q.From, q.To)
	}
	if err != nil {
		a.end() //nolint:errcheck // read-only
		return nil, nil, err
	}
	return a, l, nil
}

func (q *question) eventConditions(ctx context.Context, e EventQuery) (cond, error) {
	var w cond
	for _, f := range []struct{ column, text string }{
		{"key", e.Key},
		{"name", e.Name},
		{"ip", e.IP},
		{"user", e.User},
		{"source", e.Source},
		{"region", e.Region},
		{"error", e.Error},
		{"arn", e.ARN},
	} {
		if err := w.equal(ctx, q, f.column, f.text); err != nil {
			return w, err
		}
	}
	if e.EventID != "" {
		w.and("eid = ?", idValue(e.EventID))
	}
	if e.ReadOnly != nil {
		want := flagReadOnlyKnown
		if *e.ReadOnly {
			want |= flagReadOnly
		}
		w.and("flags & 3 = ?", want)
	}
	if err := q.resourceCondition(ctx, &w, e.ResourceType, e.ResourceName); err != nil {
		return w, err
	}
	for _, word := range strings.Fields(e.Text) {
		if err := q.textCondition(ctx, &w, word, eventColumns); err != nil {
			return w, err
		}
	}
	return w, nil
}

// resourceCondition asks for an event with one resource of that type and that
// name; "" asks nothing. The name may be a part of an ARN.
func (q *question) resourceCondition(ctx context.Context, w *cond, typ, name string) error {
	if typ == "" && name == "" {
		return nil
	}
	var r cond
	if err := r.equal(ctx, q, "type", typ); err != nil {
		return err
	}
	if name != "" {
		id, err := q.word(ctx, name)
		if err != nil {
			return err
		}
		r.none = r.none || id == 0
		r.and("name IN (SELECT ? UNION ALL SELECT name FROM name_parts WHERE part = ?)", id, id)
	}
	w.none = w.none || r.none
	w.and("id IN (SELECT event FROM resources WHERE "+strings.Join(r.sql, " AND ")+")", r.args...)
	return nil
}

// textColumn is a column of dictionary numbers that a text search looks at.
type textColumn struct {
	bit int64
	sql string // with %s for the set of numbers
}

var eventColumns = []textColumn{
	{colName, "name IN %s"},
	{colSource, "source IN %s"},
	{colRegion, "region IN %s"},
	{colType, "type IN %s"},
	{colPrincipalType, "ptype IN %s"},
	{colPrincipalID, "pid IN %s"},
	{colARN, "arn IN %s"},
	{colAccount, "account IN %s"},
	{colUser, "user IN %s"},
	{colKey, "key IN %s"},
	{colIssuer, "issuer IN %s"},
	{colIP, "ip IN %s"},
	{colAgent, "agent IN %s"},
	{colError, "error IN %s"},
	{colMessage, "message IN %s"},
	{colResourceType, "id IN (SELECT event FROM resources WHERE type IN %s)"},
	{colResourceName, "id IN (SELECT event FROM resources WHERE name IN %s)"},
}

// textCondition asks for a word, without regard to case, in one of columns.
// Ids of events and requests match as a whole.
func (q *question) textCondition(ctx context.Context, w *cond, word string, columns []textColumn) error {
	sets := map[int64][]int64{}
	err := q.rows(ctx, `SELECT id, cols FROM dict WHERE text LIKE ? ESCAPE '\'`, []any{like(word)}, func(r *sql.Rows) error {
		var id, cols int64
		if err := r.Scan(&id, &cols); err != nil {
			return err
		}
		for _, c := range columns {
			if all := sets[c.bit]; cols&c.bit != 0 && (len(all) == 0 || all[len(all)-1] != id) { // columns may share a bit
				sets[c.bit] = append(all, id)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var some cond
	for _, c := range columns {
		if ids := sets[c.bit]; len(ids) > 0 {
			some.and(fmt.Sprintf(c.sql, "(SELECT value FROM json_each(?))"), list(ids))
		}
	}
	if id, ok := parseUUID(strings.ToLower(word)); ok && columns[0].bit == colName {
		some.and("eid = ?", id[:])
		some.and("request = ?", id[:])
		some.and("shared = ?", id[:])
	}
	if len(some.sql) == 0 {
		w.none = true
		w.and("0")
		return nil
	}
	w.and("("+strings.Join(some.sql, " OR ")+")", some.args...)
	return nil
}

// like is a pattern for text anywhere.
func like(s string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(s) + "%"
}

const eventRowColumns = "id, x, ts, eid, name, source, region, type, ptype, pid, arn, account, user, key, issuer, ip, agent, error, message, flags, request, shared, file, n, copies"

type storedEvent struct {
	id                     int64
	x                      int
	ts                     sql.NullInt64
	eid, request, shared   any
	words                  [15]sql.NullInt64 // name … message, as in eventRowColumns
	flags, file, n, copied int64
}

// events loads the events at some positions.
func (q *question) events(ctx context.Context, at []position) ([]evidence.Event, error) {
	ids := make([]int64, len(at))
	for i, p := range at {
		ids[i] = p.id
	}
	return q.eventsByID(ctx, ids)
}

func (q *question) eventsByID(ctx context.Context, ids []int64) ([]evidence.Event, error) {
	rows := make(map[int64]*storedEvent, len(ids))
	strs, files := lookup{}, map[int64]string{}
	err := q.byIDs(ctx, "SELECT "+eventRowColumns+" FROM events WHERE id", ids, func(r *sql.Rows) error {
		e := &storedEvent{}
		w := &e.words
		if err := r.Scan(&e.id, &e.x, &e.ts, &e.eid, &w[0], &w[1], &w[2], &w[3], &w[4], &w[5], &w[6], &w[7], &w[8], &w[9], &w[10], &w[11], &w[12], &w[13], &w[14],
			&e.flags, &e.request, &e.shared, &e.file, &e.n, &e.copied); err != nil {
			return err
		}
		rows[e.id] = e
		strs.want(w[:]...)
		files[e.file] = ""
		return nil
	})
	if err != nil {
		return nil, err
	}
	type pair struct{ typ, name sql.NullInt64 }
	res := map[int64][]pair{}
	err = q.byIDs(ctx, "SELECT event, type, name FROM resources WHERE event", ids, func(r *sql.Rows) error {
		var id int64
		var p pair
		if err := r.Scan(&id, &p.typ, &p.name); err != nil {
			return err
		}
		res[id] = append(res[id], p)
		strs.want(p.typ, p.name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := q.texts(ctx, strs); err != nil {
		return nil, err
	}
	if err := q.fileNames(ctx, files); err != nil {
		return nil, err
	}
	out := make([]evidence.Event, 0, len(ids))
	for _, id := range ids {
		e := rows[id]
		if e == nil {
			return nil, fmt.Errorf("event %d is not in the index", id)
		}
		ev := e.event(strs)
		ev.Record = evidence.Record{Exhibit: q.exhibit(e.x), File: files[e.file], N: e.n}
		if ev.Time, err = q.exact(ctx, "events", id, "ts", e.ts); err != nil {
			return nil, err
		}
		for _, p := range res[id] {
			ev.Resources = append(ev.Resources, evidence.Resource{Type: strs.of(p.typ), Name: strs.of(p.name)})
		}
		// Their order in the index is that of the dictionary, which no two loads share.
		slices.SortFunc(ev.Resources, func(a, b evidence.Resource) int {
			return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.Name, b.Name))
		})
		out = append(out, ev)
	}
	return out, nil
}

func (e *storedEvent) event(s lookup) evidence.Event {
	w := &e.words
	ev := evidence.Event{
		EventID: unpackID(e.eid), Name: s.of(w[0]), Source: s.of(w[1]), Region: s.of(w[2]), Type: s.of(w[3]),
		PrincipalType: s.of(w[4]), PrincipalID: s.of(w[5]), ARN: s.of(w[6]), Account: s.of(w[7]), User: s.of(w[8]),
		AccessKeyID: s.of(w[9]), SessionIssuer: s.of(w[10]), SourceIP: s.of(w[11]), UserAgent: s.of(w[12]), ErrorCode: s.of(w[13]),
		ErrorMessage: s.of(w[14]), RequestID: unpackID(e.request), SharedEventID: unpackID(e.shared), Copies: e.copied,
	}
	if e.flags&flagReadOnlyKnown != 0 {
		v := e.flags&flagReadOnly != 0
		ev.ReadOnly = &v
	}
	if e.flags&flagMFAKnown != 0 {
		v := e.flags&flagMFA != 0
		ev.MFA = &v
	}
	return ev
}

// fileNames gives the names of files by their numbers.
func (q *question) fileNames(ctx context.Context, files map[int64]string) error {
	ids := make([]int64, 0, len(files))
	for id := range files {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return q.byIDs(ctx, "SELECT id, name FROM files WHERE id", ids, func(r *sql.Rows) error {
		var id int64
		var name string
		if err := r.Scan(&id, &name); err != nil {
			return err
		}
		if _, ok := files[id]; ok {
			files[id] = name
		}
		return nil
	})
}
