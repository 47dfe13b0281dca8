package store

import (
	"context"
	"database/sql"
	"path"
	"regexp"
	"slices"

	"snapcase/evidence/flowlog"
)

// Two flow logs over one interface describe the same traffic. A record that is
// equal to one of another flow log (its fl- id is in the name of the file) in
// interface, addresses, ports, protocol, packets, bytes, start, end, action
// and status is a copy of it: it is listed and not summed. So is an equal
// record of a second copy of the same file: those names end in a hash of the
// file. Equal records of one flow log are two records, and a file whose name
// tells no flow log is never taken for another one. Of copies the first counts, by exhibit
// and then by the file's name.

// flowSource is the flow log that a file is of.
type flowSource struct {
	log  string // fl-…; "" where the name tells none
	base string // name without folders
}

var flowLogID = regexp.MustCompile(`_(fl-[0-9a-zA-Z]+)_`)

func flowSourceOf(name string) flowSource {
	s := flowSource{base: path.Base(name)}
	if m := flowLogID.FindStringSubmatch(s.base); m != nil {
		s.log = m[1]
	}
	return s
}

// other says that equal records of two files are the same record.
func (s flowSource) other(o flowSource) bool {
	return s.log != "" && o.log != "" && (s.log != o.log || s.base == o.base)
}

// flowKey is what copies have in common, beside their start.
type flowKey struct {
	iface, src, dst, action, status uint32
	sport, dport, proto             int32
	packets, bytes, end             int64
	ended                           bool
}

// findCopies marks the rows that are copies of a row before them, or of one of
// an earlier exhibit. Rows with the same start lie together, so only those are
// compared.
func (l *flowLoad) findCopies(ctx context.Context) error {
	sources := make([]flowSource, len(l.files))
	logs, bases, several := map[string]struct{}{}, map[string]struct{}{}, false
	for i, f := range l.files {
		s := flowSourceOf(f.name)
		sources[i] = s
		if s.log == "" {
			continue
		}
		_, again := bases[s.base]
		several = several || again
		logs[s.log], bases[s.base] = struct{}{}, struct{}{}
	}
	if len(logs) == 0 {
		return nil
	}
	if several || len(logs) > 1 {
		l.ownCopies(sources)
	}
	earlier, err := l.earlierFlows(ctx)
	if err != nil {
		return err
	}
	for _, sp := range earlier {
		if err := l.copiesOf(ctx, sp, sources); err != nil {
			return err
		}
	}
	return nil
}

func (l *flowLoad) key(ref rowRef) flowKey {
	r := l.at(ref)
	k := &l.workers[ref.w].kinds[r.kind]
	return flowKey{k.iface, r.src, r.dst, k.action, k.status, r.sport, r.dport, r.proto, r.packets, r.bytes, r.end, r.flags&flowEnd != 0}
}

// starts are the rows, in order, of one start each; rows without a start, or
// with one that does not fit into 64 bits of nanoseconds, are in none.
func (l *flowLoad) starts(yield func(ts int64, rows []rowRef) bool) {
	for i := 0; i < len(l.order); {
		first := l.at(l.order[i])
		if first.flags&flowStart == 0 {
			return
		}
		j := i + 1
		for j < len(l.order) && l.at(l.order[j]).flags&flowStart != 0 && l.at(l.order[j]).start == first.start {
			j++
		}
		if ns, exact := nano(flowTime(first.start, true)); exact && !yield(ns, l.order[i:j]) {
			return
		}
		i = j
	}
}

// originals are the files that hold an equal record: nearly always one.
type originals struct {
	first uint32
	more  []uint32
}

// copied says that one of them holds the original of an equal record of file:
// never file itself, where equal records are as many records.
func (o *originals) copied(file uint32, sources []flowSource) bool {
	of := func(f uint32) bool { return f != file && sources[file].other(sources[f]) }
	return of(o.first) || slices.ContainsFunc(o.more, of)
}

func (l *flowLoad) ownCopies(sources []flowSource) {
	seen := map[flowKey]originals{}
	for _, rows := range l.starts {
		clear(seen)
		for _, ref := range rows {
			r, k := l.at(ref), l.key(ref)
			o, ok := seen[k]
			switch {
			case !ok:
				o.first = r.file
			case o.copied(r.file, sources):
				r.flags |= flowCopy
				continue
			case sources[o.first].log != "" || o.first == r.file || slices.Contains(o.more, r.file):
				continue
			default:
				o.more = append(o.more, r.file)
			}
			seen[k] = o
		}
	}
}

// earlierFlows are the spans of the exhibits of flow logs before this one.
func (l *flowLoad) earlierFlows(ctx context.Context) ([]span, error) {
	rows, err := l.t.conn.QueryContext(ctx, "SELECT x, tbl, lo, hi, timed FROM ranges WHERE tbl = 'flows' AND x < ? AND timed >= lo ORDER BY x", l.x)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err is asked
	var all []span
	for rows.Next() {
		var s span
		if err := rows.Scan(&s.x, &s.tbl, &s.lo, &s.hi, &s.timed); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// copiesOf marks what an earlier exhibit holds. Both are in order of start:
// they are read side by side.
func (l *flowLoad) copiesOf(ctx context.Context, sp span, sources []flowSource) error {
	theirs, err := l.sourcesOf(ctx, sp.x)
	if err != nil {
		return err
	}
	rows, err := l.t.conn.QueryContext(ctx, "SELECT ts, te, file, iface, src, dst, action, status, sport, dport, proto, packets, bytes FROM flows WHERE id BETWEEN ? AND ? ORDER BY id", sp.lo, sp.timed)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // Err is asked
	next := earlierRow{}
	more, err := next.scan(rows)
	seen := map[flowKey][]int64{}
	for ts, mine := range l.starts {
		for more && err == nil && next.ts < ts {
			more, err = next.scan(rows)
		}
		clear(seen)
		for more && err == nil && next.ts == ts {
			seen[next.key] = append(seen[next.key], next.file)
			more, err = next.scan(rows)
		}
		if err != nil || !more && len(seen) == 0 {
			break
		}
		for _, ref := range mine {
			r := l.at(ref)
			for _, f := range seen[l.key(ref)] {
				if sources[r.file].other(theirs[f]) {
					r.flags |= flowCopy
				}
			}
		}
	}
	return err
}

func (l *flowLoad) sourcesOf(ctx context.Context, x int) (map[int64]flowSource, error) {
	rows, err := l.t.conn.QueryContext(ctx, "SELECT id, name FROM files WHERE x = ?", x)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err is asked
	all := map[int64]flowSource{}
	for rows.Next() {
		var id int64
		var name string
		if err := rows.Scan(&id, &name); err != nil {
			return nil, err
		}
		all[id] = flowSourceOf(name)
	}
	return all, rows.Err()
}

// earlierRow is a row of an earlier exhibit while it is compared.
type earlierRow struct {
	ts, file int64
	key      flowKey
}

func (e *earlierRow) scan(rows *sql.Rows) (bool, error) {
	if !rows.Next() {
		return false, rows.Err()
	}
	var te sql.NullInt64
	var w [5]sql.NullInt64 // iface, src, dst, action, status
	var n [5]sql.NullInt64 // sport, dport, proto, packets, bytes
	if err := rows.Scan(&e.ts, &te, &e.file, &w[0], &w[1], &w[2], &w[3], &w[4], &n[0], &n[1], &n[2], &n[3], &n[4]); err != nil {
		return false, err
	}
	for i := range n {
		if !n[i].Valid {
			n[i].Int64 = flowlog.Null
		}
	}
	word := func(i int) uint32 { return uint32(w[i].Int64) } //nolint:gosec // a case holds fewer strings
	e.key = flowKey{word(0), word(1), word(2), word(3), word(4), small(n[0].Int64), small(n[1].Int64), small(n[2].Int64), n[3].Int64, n[4].Int64, ofNano(te.Int64).Sec, te.Valid}
	if !te.Valid {
		e.key.end = 0
	}
	return true, nil
}
