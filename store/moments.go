package store

import (
	"context"
	"database/sql"

	"snapcase/evidence"
	"snapcase/imaging"
)

// moments renders the times of entries for the timeline.
func (q *question) moments(ctx context.Context, at []position) ([]evidence.Moment, error) {
	ids := make([]int64, len(at))
	for i, p := range at {
		ids[i] = p.id
	}
	type row struct{ entry, macb, ts int64 }
	byID := make(map[int64]row, len(at))
	err := q.byIDs(ctx, "SELECT id, what >> 5, what & 31, ts FROM moments WHERE id", ids, func(r *sql.Rows) error {
		var id int64
		var m row
		err := r.Scan(&id, &m.entry, &m.macb, &m.ts)
		byID[id] = m
		return err
	})
	if err != nil {
		return nil, err
	}
	entries := make([]int64, len(at))
	for i, id := range ids {
		entries[i] = byID[id].entry
	}
	list, err := q.entriesByID(ctx, entries)
	if err != nil {
		return nil, err
	}
	out := make([]evidence.Moment, len(at))
	for i, id := range ids {
		m, e := byID[id], &list[i]
		out[i] = evidence.Moment{Time: momentTime(e, m.macb, m.ts), Source: "fs", Type: letters(m.macb), Summary: e.Path, Exhibit: e.Exhibit, Record: e.Address}
		switch e.Status {
		case "deleted":
			out[i].Summary += " (deleted)"
		case "orphan":
			out[i].Summary += " (orphan)"
		}
	}
	return out, nil
}

// momentTime is the entry's own time, which is exact where the index's is not.
func momentTime(e *evidence.FileEntry, macb, ts int64) imaging.Time {
	switch {
	case macb&letterM != 0:
		return e.Modified
	case macb&letterA != 0:
		return e.Accessed
	case macb&letterC != 0:
		return e.Changed
	case macb&letterB != 0:
		return e.Born
	case macb&letterD != 0:
		return e.DeletedAt
	}
	return ofNano(ts)
}

// letters are the MACB letters of a moment, with a D behind them for the time
// of deletion.
func letters(macb int64) string {
	b := []byte("....")
	for i, l := range []struct {
		bit  int64
		char byte
	}{{letterM, 'M'}, {letterA, 'A'}, {letterC, 'C'}, {letterB, 'B'}} {
		if macb&l.bit != 0 {
			b[i] = l.char
		}
	}
	if macb&letterD != 0 {
		b = append(b, 'D')
	}
	return string(b)
}
