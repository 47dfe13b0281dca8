package store

import (
	"context"
	"database/sql"
	"slices"

	"snapcase/evidence"
)

// taggedRows are the rows that carry a tag, by table.
type taggedRows struct{ ids map[string][]int64 }

// condition asks for those rows.
func (t *taggedRows) condition(w *cond, table string) {
	ids := t.ids[table]
	if len(ids) == 0 {
		w.none = true
	}
	w.and("id IN (SELECT value FROM json_each(?))", list(ids))
}

// entries are the tagged entries.
func (t *taggedRows) entries() *idSet {
	s := &idSet{}
	for _, id := range t.ids["entries"] {
		s.add(id)
	}
	return s
}

// taggedRows finds what the ledger says of a tag in the index.
func (q *question) taggedRows(ctx context.Context, tag string) (*taggedRows, error) {
	tags, err := q.c.tagsOf(ctx)
	if err != nil {
		return nil, err
	}
	t := &taggedRows{ids: map[string][]int64{}}
	files := map[int64][]int64{} // record numbers by file
	changed, inodes := map[string]struct{}{}, []int64(nil)
	for place, words := range tags {
		if !slices.Contains(words, tag) {
			continue
		}
		if r, err := evidence.ParseRecord(place); err == nil {
			id, ok, err := q.number(ctx, "SELECT f.id FROM loads l JOIN files f ON f.x = l.x WHERE l.exhibit = ? AND f.name = ?", r.Exhibit, r.File)
			if err != nil {
				return nil, err
			}
			if ok {
				files[id] = append(files[id], r.N)
				continue
			}
		}
		a, err := evidence.ParseAddress(place)
		if err != nil {
			continue
		}
		if err := q.taggedEntries(ctx, t, a); err != nil {
			return nil, err
		}
		changed[fileKey(a)] = struct{}{}
		inodes = append(inodes, int64(a.Inode)) //nolint:gosec // two's complement
	}
	if err := q.taggedChanges(ctx, t, changed, inodes); err != nil {
		return nil, err
	}
	for file, ns := range files {
		for _, table := range []string{"events", "flows", "packets", "copies"} {
			column, as := "id", table
			if table == "copies" {
				column, as = "event", "events"
			}
			err := q.rows(ctx, "SELECT "+column+" FROM "+table+" WHERE file = ? AND n IN (SELECT value FROM json_each(?))", []any{file, list(ns)}, func(r *sql.Rows) error {
				var id int64
				if err := r.Scan(&id); err != nil {
					return err
				}
				t.ids[as] = append(t.ids[as], id)
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

// taggedEntries adds the entries of an address.
func (q *question) taggedEntries(ctx context.Context, t *taggedRows, a evidence.Address) error {
	all, err := q.inodeRows(ctx, a)
	for i := range all {
		if e := &all[i]; e.Generation == a.Generation && (a.Path == "" || e.path == a.Path || asJSON(e.path) == a.Path) {
			t.ids["entries"] = append(t.ids["entries"], e.id)
		}
	}
	return err
}
