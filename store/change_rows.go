package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"snapcase/evidence"
	"snapcase/imaging/filesystem"
)

// changeMoments are the records of change journals at some positions as lines
// of the timeline. The record of a line is the address of the file without its
// path, which may be another one now.
func (q *question) changeMoments(ctx context.Context, at []position) ([]evidence.Moment, error) {
	ids := make([]int64, len(at))
	for i, p := range at {
		ids[i] = p.id
	}
	type stored struct {
		ts, volume, dir sql.NullInt64
		x               int
		inode           int64
		generation      uint32
		reason          filesystem.Reason
		name            string
		rest            changeRest
	}
	rows, words := make(map[int64]*stored, len(ids)), lookup{}
	err := q.byIDs(ctx, "SELECT id, x, ts, volume, inode, generation, dir, name, reason, rest FROM changes WHERE id", ids, func(r *sql.Rows) error {
		s := &stored{}
		var id int64
		var rest sql.RawBytes
		if err := r.Scan(&id, &s.x, &s.ts, &s.volume, &s.inode, &s.generation, &s.dir, &s.name, &s.reason, &rest); err != nil {
			return err
		}
		rows[id] = s
		words.want(s.volume, s.dir)
		var err error
		s.rest, err = unpackChange(rest)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := q.texts(ctx, words); err != nil {
		return nil, err
	}
	out := make([]evidence.Moment, 0, len(ids))
	for _, id := range ids {
		s := rows[id]
		if s == nil {
			return nil, fmt.Errorf("change %d is not in the index", id)
		}
		a := evidence.Address{Exhibit: q.exhibit(s.x), Volume: words.of(s.volume), Inode: uint64(s.inode), Generation: s.generation} //nolint:gosec // two's complement
		m := evidence.Moment{Source: "fs", Type: "usn: " + s.reason.Word(), Exhibit: a.Exhibit, Record: a.String()}
		m.Summary = fmt.Sprintf("%s/%s: %s (file %d:%d in %d:%d, usn %d)", words.of(s.dir), s.name, s.reason, a.Inode, s.rest.generation, s.rest.parent, s.rest.parentSeq, s.rest.usn)
		if s.rest.damage != "" {
			m.Summary += "; " + s.rest.damage
		}
		if m.Time, err = q.exact(ctx, "changes", id, "ts", s.ts); err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// changeCondition asks that a word stands in the path or in the reasons of a
// change.
func changeCondition(w *cond, word string) {
	const dirs = "dir IN (SELECT id FROM dict WHERE cols & ? AND text LIKE ? ESCAPE '\\')"
	text, args := `(name LIKE ? ESCAPE '\' OR `+dirs, []any{like(word), colDir, like(word)}
	if i := strings.LastIndexByte(word, '/'); i >= 0 {
		text += ` OR name LIKE ? ESCAPE '\' AND `
		args = append(args, strings.TrimPrefix(like(word[i+1:]), "%"))
		if word[:i] == "" {
			text += "dir >= 0" // the root has no text
		} else {
			text += dirs
			args = append(args, colDir, strings.TrimSuffix(like(word[:i]), "%"))
		}
	}
	if r := filesystem.ReasonsNamed(word); r != 0 {
		text += " OR reason & ? <> 0"
		args = append(args, int64(r))
	}
	w.and(text+")", args...)
}

// fileKey names a file in all its generations but this one.
func fileKey(a evidence.Address) string { a.Path = ""; return a.String() }

// taggedChanges adds the changes of tagged files.
func (q *question) taggedChanges(ctx context.Context, t *taggedRows, files map[string]struct{}, inodes []int64) error {
	if len(inodes) == 0 {
		return nil
	}
	slices.Sort(inodes)
	return q.rows(ctx, "SELECT c.id, c.x, d.text, c.inode, c.generation FROM changes c JOIN dict d ON d.id = c.volume WHERE c.inode IN (SELECT value FROM json_each(?))", []any{list(slices.Compact(inodes))}, func(r *sql.Rows) error {
		var id, inode int64
		var x int
		var a evidence.Address
		if err := r.Scan(&id, &x, &a.Volume, &inode, &a.Generation); err != nil {
			return err
		}
		a.Exhibit, a.Inode = q.exhibit(x), uint64(inode) //nolint:gosec // two's complement
		if _, ok := files[a.String()]; ok {
			t.ids["changes"] = append(t.ids["changes"], id)
		}
		return nil
	})
}

// tagsOfFiles are the tags by fileKey.
func tagsOfFiles(tags map[string][]string) map[string][]string {
	out := map[string][]string{}
	for place, words := range tags {
		a, err := evidence.ParseAddress(place)
		if err != nil {
			continue
		}
		k := fileKey(a)
		out[k] = append(out[k], words...)
		slices.Sort(out[k])
		out[k] = slices.Compact(out[k])
	}
	return out
}
