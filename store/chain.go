package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"snapcase/evidence"
)

// link is one edge of the chain of keys: an answer that held a key.
type link struct {
	event, issued, caller, assumed, principal int64
	ts                                        sql.NullInt64
	permanent                                 bool
}

const linkColumns = "event, issued, coalesce(caller, 0), coalesce(assumed, 0), coalesce(principal, 0), ts, permanent"

func (q *question) links(ctx context.Context, where string, args ...any) (all []link, err error) {
	err = q.rows(ctx, "SELECT "+linkColumns+" FROM issues WHERE "+where+" ORDER BY event", args, func(r *sql.Rows) error {
		var l link
		if err := r.Scan(&l.event, &l.issued, &l.caller, &l.assumed, &l.principal, &l.ts, &l.permanent); err != nil {
			return err
		}
		all = append(all, l)
		return nil
	})
	return all, err
}

// step is a link as it is told: the key that was reached, and from which.
type step struct {
	link
	key, by int64 // by is 0 where a chain begins with a session, not with a key
	session bool  // joined by session, not by key id
	depth   int
}

// uses counts the calls made with keys.
func (q *question) uses(ctx context.Context, keys []int64) (map[int64]int64, error) {
	n := make(map[int64]int64, len(keys))
	err := q.rows(ctx, "SELECT key, sum(n) FROM uses WHERE key IN (SELECT value FROM json_each(?)) GROUP BY key", []any{list(keys)}, func(r *sql.Rows) error {
		var k, c int64
		if err := r.Scan(&k, &c); err != nil {
			return err
		}
		n[k] = c
		return nil
	})
	return n, err
}

// down follows the keys that a set of keys issued, to any depth. first are
// links that begin a chain without a key.
func (q *question) down(ctx context.Context, from []int64, first []link) ([]step, error) {
	seen := map[int64]bool{}
	for _, k := range from {
		seen[k] = true
	}
	var all []step
	for depth := 1; len(from) > 0 || depth == 1 && len(first) > 0; depth++ {
		links, err := q.links(ctx, "caller IN (SELECT value FROM json_each(?))", list(from))
		if err != nil {
			return nil, err
		}
		if depth == 1 {
			links = append(links, first...)
		}
		steps, err := q.reach(ctx, links)
		if err != nil {
			return nil, err
		}
		from = nil
		for _, s := range steps {
			if seen[s.key] {
				continue
			}
			seen[s.key] = true
			s.depth = depth
			all, from = append(all, s), append(from, s.key)
		}
	}
	return all, nil
}

// reach tells which keys links lead to: the key in the answer, and where that
// was never used the keys that were, of the same session.
func (q *question) reach(ctx context.Context, links []link) ([]step, error) {
	issued := make([]int64, 0, len(links))
	for _, l := range links {
		issued = append(issued, l.issued)
	}
	used, err := q.uses(ctx, issued)
	if err != nil {
		return nil, err
	}
	var all []step
	for _, l := range links {
		all = append(all, step{link: l, key: l.issued, by: l.caller})
	}
	for _, l := range links {
		if used[l.issued] > 0 || l.assumed == 0 || !l.ts.Valid {
			continue
		}
		keys, err := q.sessionKeys(ctx, l.assumed, ofNano(l.ts.Int64).Sec)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			all = append(all, step{link: l, key: k, by: l.caller, session: true})
		}
	}
	return all, nil
}

// sessionKeys are the temporary keys in use by a session, by its principalId
// and the second it was made, that no answer in the evidence holds.
func (q *question) sessionKeys(ctx context.Context, principal, second int64) (keys []int64, err error) {
	err = q.rows(ctx, `SELECT DISTINCT s.key FROM sessions s JOIN dict d ON d.id = s.key WHERE s.pid = ? AND s.created = ? AND substr(d.text, 1, 4) = 'ASIA'
		AND NOT EXISTS (SELECT 1 FROM issues i WHERE i.issued = s.key) ORDER BY d.text`, []any{principal, second}, func(r *sql.Rows) error {
		var k int64
		if err := r.Scan(&k); err != nil {
			return err
		}
		keys = append(keys, k)
		return nil
	})
	return keys, err
}

// up follows back who issued the keys.
func (q *question) up(ctx context.Context, from []int64) ([]step, error) {
	seen := map[int64]bool{}
	for _, k := range from {
		seen[k] = true
	}
	var all []step
	for depth := 1; len(from) > 0; depth++ {
		var next []int64
		for _, k := range from {
			steps, err := q.issuers(ctx, k)
			if err != nil {
				return nil, err
			}
			for _, s := range steps {
				s.depth = depth
				if s.key == 0 {
					all = append(all, s) // a principal without a key: the chain ends
					continue
				}
				if !seen[s.key] {
					seen[s.key] = true
					all, next = append(all, s), append(next, s.key)
				}
			}
		}
		from = next
	}
	return all, nil
}

// issuers are the links that lead to a key, told from its side: key is who
// called, by the key itself.
func (q *question) issuers(ctx context.Context, k int64) ([]step, error) {
	links, err := q.links(ctx, "issued = ?", k)
	if err != nil {
		return nil, err
	}
	var all []step
	for _, l := range links {
		all = append(all, step{link: l, key: l.caller, by: k})
	}
	if len(all) > 0 {
		return all, nil
	}
	links, err = q.links(ctx, `event IN (SELECT i.event FROM sessions s JOIN dict d ON d.id = s.key JOIN issues i ON i.assumed = s.pid AND i.ts >= s.created * 1000000000 AND i.ts < (s.created + 1) * 1000000000
		WHERE s.key = ? AND substr(d.text, 1, 4) = 'ASIA')`, k)
	if err != nil || len(links) == 0 {
		return nil, err
	}
	issued := make([]int64, 0, len(links))
	for _, l := range links {
		issued = append(issued, l.issued)
	}
	used, err := q.uses(ctx, issued)
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		if used[l.issued] == 0 {
			all = append(all, step{link: l, key: l.caller, by: k, session: true})
		}
	}
	return all, nil
}

// issuedKeys tells steps in the words of a trace.
func (q *question) issuedKeys(ctx context.Context, steps []step, upwards bool) ([]evidence.IssuedKey, error) {
	out := []evidence.IssuedKey{}
	if len(steps) == 0 {
		return out, nil
	}
	var events, keys []int64
	strs := lookup{}
	for _, s := range steps {
		events, keys = append(events, s.event), append(keys, s.key)
		strs[s.key], strs[s.by], strs[s.principal] = "", "", ""
	}
	slices.Sort(events)
	events = slices.Compact(events)
	if err := q.texts(ctx, strs); err != nil {
		return nil, err
	}
	used, err := q.uses(ctx, keys)
	if err != nil {
		return nil, err
	}
	list, err := q.eventsByID(ctx, events)
	if err != nil {
		return nil, err
	}
	byID := make(map[int64]*evidence.Event, len(list))
	for i, id := range events {
		byID[id] = &list[i]
	}
	for _, s := range steps {
		e := byID[s.event]
		k := evidence.IssuedKey{KeyID: strs[s.key], By: strs[s.by], ByEvent: e.EventID, EventName: e.Name, Principal: strs[s.principal], Join: "key-id", Depth: s.depth, Time: e.Time, Events: used[s.key], Permanent: s.permanent}
		if s.session {
			k.Join = "session"
		}
		if upwards || k.Principal == "" {
			k.Principal = caller(e)
		}
		out = append(out, k)
	}
	slices.SortStableFunc(out, func(a, b evidence.IssuedKey) int {
		return cmp.Or(cmp.Compare(a.Depth, b.Depth), a.Time.Compare(b.Time), strings.Compare(a.KeyID, b.KeyID))
	})
	return out, nil
}

// caller names who made a call: the ARN, else the user, the principal, the
// service.
func caller(e *evidence.Event) string {
	return cmp.Or(e.ARN, e.User, e.PrincipalID, e.SourceIP, e.PrincipalType)
}

var errNoEntity = fmt.Errorf("the evidence knows no such key, user, session, instance, address or snapshot: %w", evidence.ErrNotFound)
