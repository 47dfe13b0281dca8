package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"snapcase/evidence"
	"snapcase/evidence/credential"
	"snapcase/imaging"
)

// Keys are the access keys that were found in disks, memory and files, with
// their use in the logs; all adds the key ids that only logs know. Those used
// most come first. A key's places in logs are one a exhibit, the first.
func (c *Case) Keys(ctx context.Context, all bool) ([]evidence.Key, error) {
	q, err := c.ask(ctx)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	defer q.end() //nolint:errcheck // read-only
	keys, err := q.keys(ctx, all)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return keys, nil
}

func (q *question) keys(ctx context.Context, all bool) ([]evidence.Key, error) {
	ids := map[int64]bool{} // found elsewhere than in a log
	var first []int64
	err := q.rows(ctx, "SELECT DISTINCT key, status <> 'log' FROM hits", nil, func(r *sql.Rows) error {
		var id int64
		var found bool
		if err := r.Scan(&id, &found); err != nil {
			return err
		}
		if found || all {
			ids[id] = ids[id] || found
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if all {
		err := q.rows(ctx, "SELECT key FROM uses WHERE key IS NOT NULL UNION SELECT issued FROM issues UNION SELECT key FROM mentions", nil, func(r *sql.Rows) error {
			var id int64
			if err := r.Scan(&id); err != nil {
				return err
			}
			if _, ok := ids[id]; !ok {
				ids[id] = false
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for id := range ids {
		first = append(first, id)
	}
	keys, err := q.describeKeys(ctx, first)
	if err != nil {
		return nil, err
	}
	inEvidence := func(k *evidence.Key) int {
		if slices.ContainsFunc(k.Places, func(p evidence.Place) bool { return p.Status != "log" }) {
			return 0
		}
		return 1
	}
	slices.SortFunc(keys, func(a, b evidence.Key) int {
		return cmp.Or(cmp.Compare(inEvidence(&a), inEvidence(&b)), cmp.Compare(b.Events, a.Events), strings.Compare(a.KeyID, b.KeyID))
	})
	return keys, nil
}

// describeKeys tells of keys by their numbers, in no order.
func (q *question) describeKeys(ctx context.Context, ids []int64) ([]evidence.Key, error) {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	at := make(map[int64]*evidence.Key, len(ids))
	names := lookup{}
	for _, id := range ids {
		at[id] = &evidence.Key{Places: []evidence.Place{}, Regions: []string{}, Principals: []string{}}
		names[id] = ""
	}
	if err := q.places(ctx, ids, at); err != nil {
		return nil, err
	}
	if err := q.usesOf(ctx, ids, at); err != nil {
		return nil, err
	}
	if err := q.texts(ctx, names); err != nil {
		return nil, err
	}
	keys := make([]evidence.Key, 0, len(ids))
	for _, id := range ids {
		k := at[id]
		k.KeyID = names[id]
		k.Kind = credential.KindOf(k.KeyID)
		k.Documentation = k.Documentation || strings.Contains(k.KeyID, "EXAMPLE")
		keys = append(keys, *k)
	}
	return keys, nil
}

// places adds where keys were found: in the evidence, then in logs.
func (q *question) places(ctx context.Context, ids []int64, at map[int64]*evidence.Key) error {
	type hit struct {
		key, n int64
		file   sql.NullInt64
		evidence.Place
	}
	var hits []hit
	files := map[int64]string{}
	set := list(ids)
	err := q.rows(ctx, "SELECT key, x, off, file, address, status, file_offset, secret, fingerprint, doc, area, inner_offset FROM hits WHERE key IN (SELECT value FROM json_each(?)) ORDER BY x, id", []any{set}, func(r *sql.Rows) error {
		var h hit
		var x int
		var fp, area sql.NullString
		var doc bool
		if err := r.Scan(&h.key, &x, &h.Offset, &h.file, &h.Address, &h.Status, &h.FileOffset, &h.Secret, &fp, &doc, &area, &h.InnerOffset); err != nil {
			return err
		}
		h.Exhibit, h.Fingerprint, h.Area = q.exhibit(x), fp.String, area.String
		at[h.key].Documentation = at[h.key].Documentation || doc
		hits = append(hits, h)
		return nil
	})
	if err != nil {
		return err
	}
	err = q.rows(ctx, "SELECT key, x, file, n, off FROM mentions WHERE key IN (SELECT value FROM json_each(?)) ORDER BY x, file, n", []any{set}, func(r *sql.Rows) error {
		h := hit{Place: evidence.Place{Status: "log", Unsought: true}}
		var x int
		if err := r.Scan(&h.key, &x, &h.file, &h.n, &h.Offset); err != nil {
			return err
		}
		h.Exhibit = q.exhibit(x)
		files[h.file.Int64] = ""
		hits = append(hits, h)
		return nil
	})
	if err != nil {
		return err
	}
	if err := q.fileNames(ctx, files); err != nil {
		return err
	}
	for _, h := range hits {
		if h.n > 0 {
			s := evidence.Record{Exhibit: h.Exhibit, File: files[h.file.Int64], N: h.n}.String()
			h.Address = &s
		}
		at[h.key].Places = append(at[h.key].Places, h.Place)
	}
	return nil
}

// usesOf adds how keys were used.
func (q *question) usesOf(ctx context.Context, ids []int64, at map[int64]*evidence.Key) error {
	type use struct{ key, arn, region sql.NullInt64 }
	var uses []use
	strs := lookup{}
	err := q.rows(ctx, "SELECT key, arn, region, sum(n), min(first), max(last) FROM uses WHERE key IN (SELECT value FROM json_each(?)) GROUP BY key, arn, region", []any{list(ids)}, func(r *sql.Rows) error {
		var u use
		var n int64
		var first, last sql.NullInt64
		if err := r.Scan(&u.key, &u.arn, &u.region, &n, &first, &last); err != nil {
			return err
		}
		k := at[u.key.Int64]
		k.Events += n
		k.First, k.Last = earliest(k.First, first), latest(k.Last, last)
		strs.want(u.arn, u.region)
		uses = append(uses, u)
		return nil
	})
	if err != nil {
		return err
	}
	if err := q.texts(ctx, strs); err != nil {
		return err
	}
	for _, u := range uses {
		k := at[u.key.Int64]
		k.Regions, k.Principals = insert(k.Regions, strs.of(u.region)), insert(k.Principals, strs.of(u.arn))
	}
	return nil
}

// insert adds s to a sorted set; "" is nothing.
func insert(set []string, s string) []string {
	if i, ok := slices.BinarySearch(set, s); !ok && s != "" {
		return slices.Insert(set, i, s)
	}
	return set
}

// earliest and latest widen a span by a time of the index.
func earliest(t imaging.Time, ns sql.NullInt64) imaging.Time {
	if u := ofNano(ns.Int64); ns.Valid && (!t.Set || u.Compare(t) < 0) {
		return u
	}
	return t
}

func latest(t imaging.Time, ns sql.NullInt64) imaging.Time {
	if u := ofNano(ns.Int64); ns.Valid && (!t.Set || u.Compare(t) > 0) {
		return u
	}
	return t
}
