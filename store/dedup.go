package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
	"sync"

	"snapcase/evidence/cloudtrail"
)

// dedup decides which rows are events of their own and puts those in order:
// time, then event id, then place.
//
// Same event id and same content (equal text, or equal after sorting keys) is
// a copy of the first by place. Same event id and other content is not: both
// stay, and are marked. A row without an id is never a copy. What an earlier
// exhibit holds already is a copy of that.
func (l *eventLoad) dedup(ctx context.Context) error {
	all := l.byID()
	old, err := l.earlierEvents(ctx)
	if err != nil {
		return err
	}
	keep := all[:0:0]
	var groups [][]rowRef // same id, not all of one hash
	for i := 0; i < len(all); {
		j := i + 1
		for j < len(all) && l.sameID(all[i], all[j]) {
			j++
		}
		group := all[i:j]
		i = j
		prior := old.find(l.idKey(group[0]))
		if len(group) == 1 && len(prior) == 0 || l.at(group[0]).eid.kind == noID {
			keep = append(keep, group...)
			continue
		}
		if l.oneHash(group) && len(prior) == 0 {
			keep = append(keep, group[0])
			l.copies[group[0]] = group[1:]
			continue
		}
		groups = append(groups, group)
	}
	keep, err = l.settle(ctx, groups, old, keep)
	if err != nil {
		return err
	}
	l.order = l.inOrder(keep)
	l.countRows(len(all), len(keep))
	return nil
}

// sortKey is a row with the first bytes of what it is sorted by.
type sortKey struct {
	first uint64
	rowRef
}

// byID are all rows in the order of their ids, then places.
func (l *eventLoad) byID() []rowRef {
	var keys []sortKey
	for w, worker := range l.workers {
		for i := range worker.rows.n {
			k := sortKey{rowRef: rowRef{uint16(w), uint32(i)}} //nolint:gosec // few workers
			if id := &worker.rows.at(i).eid; id.kind == uuidID {
				k.first = binary.BigEndian.Uint64(id.b[:])
			} else if id.kind != noID {
				k.first = math.MaxUint64 // behind: only equal ids need to stand together
			}
			keys = append(keys, k)
		}
	}
	return sortedRefs(keys, func(a, b rowRef) int {
		x, y := l.at(a), l.at(b)
		if x.eid.kind == noID && y.eid.kind == noID {
			return l.byPlace(x, y)
		}
		return cmp.Or(l.longIDs.compare(&x.eid, &y.eid), l.byPlace(x, y))
	})
}

// inOrder sorts rows as the question lists them.
func (l *eventLoad) inOrder(rows []rowRef) []rowRef {
	keys := make([]sortKey, len(rows))
	for i, r := range rows {
		keys[i] = sortKey{math.MaxUint64, r}
		if x := l.at(r); x.timed {
			keys[i].first = uint64(x.ts) ^ 1<<63
		}
	}
	return sortedRefs(keys, l.byOrder)
}

// sortedRefs sorts by first, then by less; halves at once on two CPUs.
func sortedRefs(keys []sortKey, then func(a, b rowRef) int) []rowRef {
	by := func(a, b sortKey) int {
		if a.first != b.first {
			return cmp.Compare(a.first, b.first)
		}
		return then(a.rowRef, b.rowRef)
	}
	half := len(keys) / 2
	var wg sync.WaitGroup
	wg.Go(func() { slices.SortFunc(keys[:half], by) })
	slices.SortFunc(keys[half:], by)
	wg.Wait()
	out := make([]rowRef, 0, len(keys))
	a, b := keys[:half], keys[half:]
	for len(a) > 0 && len(b) > 0 {
		if by(a[0], b[0]) <= 0 {
			out, a = append(out, a[0].rowRef), a[1:]
		} else {
			out, b = append(out, b[0].rowRef), b[1:]
		}
	}
	for _, k := range slices.Concat(a, b) {
		out = append(out, k.rowRef)
	}
	return out
}

// byOrder is the order of the events question.
func (l *eventLoad) byOrder(a, b rowRef) int {
	x, y := l.at(a), l.at(b)
	if x.timed != y.timed {
		if x.timed {
			return -1
		}
		return 1
	}
	if c := cmp.Compare(x.ts, y.ts); c != 0 {
		return c
	}
	if x.timed && far(x.ts) {
		if c := l.workers[a.w].beyond[a.row].Compare(l.workers[b.w].beyond[b.row]); c != 0 {
			return c
		}
	}
	return cmp.Or(l.longIDs.compare(&x.eid, &y.eid), l.byPlace(x, y))
}

func (l *eventLoad) sameID(a, b rowRef) bool {
	x, y := &l.at(a).eid, &l.at(b).eid
	return x.kind != noID && l.longIDs.compare(x, y) == 0
}

func (l *eventLoad) oneHash(group []rowRef) bool {
	for _, r := range group[1:] {
		if l.at(r).hash != l.at(group[0]).hash {
			return false
		}
	}
	return true
}

// settle compares records that share an id and differ in their text.
func (l *eventLoad) settle(ctx context.Context, groups [][]rowRef, old *earlier, keep []rowRef) ([]rowRef, error) {
	wanted := map[int]map[int64]rowRef{} // file, record
	for _, g := range groups {
		if l.allKnown(g, old) {
			continue // every text is equal to one of the earlier exhibit
		}
		for _, r := range g {
			row := l.at(r)
			if wanted[int(row.file)] == nil {
				wanted[int(row.file)] = map[int64]rowRef{}
			}
			wanted[int(row.file)][int64(row.n)] = r
		}
	}
	canon, err := l.canonical(ctx, wanted)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		prior := old.find(l.idKey(g[0]))
		firsts := []rowRef{}
		for _, r := range g {
			if id, ok, err := l.priorCopy(ctx, r, prior, canon); err != nil {
				return nil, err
			} else if ok {
				l.prior[r] = id
				continue
			}
			i := slices.IndexFunc(firsts, func(f rowRef) bool {
				return l.at(f).hash == l.at(r).hash || canon[f] != [32]byte{} && canon[f] == canon[r]
			})
			if i >= 0 {
				l.copies[firsts[i]] = append(l.copies[firsts[i]], r)
				continue
			}
			firsts = append(firsts, r)
		}
		if len(firsts)+len(prior) > 1 {
			for _, f := range firsts {
				l.at(f).flags |= flagConflict
			}
			for _, p := range prior {
				if len(firsts) > 0 {
					if err := l.t.exec(ctx, "UPDATE events SET flags = flags | ? WHERE id = ?", flagConflict, p.id); err != nil {
						return nil, err
					}
				}
			}
		}
		keep = append(keep, firsts...)
	}
	return keep, nil
}

func (l *eventLoad) allKnown(g []rowRef, old *earlier) bool {
	prior := old.find(l.idKey(g[0]))
	for _, r := range g {
		if !slices.ContainsFunc(prior, func(p earlierEvent) bool { return p.hash == l.at(r).hash }) {
			return false
		}
	}
	return true
}

// priorCopy says whether r is a copy of one of the events that an earlier
// exhibit holds under the same id.
func (l *eventLoad) priorCopy(ctx context.Context, r rowRef, prior []earlierEvent, canon map[rowRef][32]byte) (int64, bool, error) {
	for _, p := range prior {
		if p.hash == l.at(r).hash {
			return p.id, true, nil
		}
	}
	for _, p := range prior {
		raw, err := l.c.rawOf(ctx, l.t.conn, p.id)
		if err != nil {
			return 0, false, err
		}
		if sum, ok := canon[r]; ok && cloudtrail.Canonical(raw) == sum {
			return p.id, true, nil
		}
	}
	return 0, false, nil
}

// canonical reads the wanted records again and hashes their content, file by
// file on all CPUs.
func (l *eventLoad) canonical(ctx context.Context, wanted map[int]map[int64]rowRef) (map[rowRef][32]byte, error) {
	out := map[rowRef][32]byte{}
	var mu sync.Mutex
	files := sorted(wanted, cmp.Compare[int])
	texts := make([]bytes.Buffer, parallel(len(files)))
	err := inParallel(ctx, len(files), func(ctx context.Context, w, i int) error {
		sums, err := l.canonicalFile(ctx, files[i], wanted[files[i]], &texts[w])
		mu.Lock()
		defer mu.Unlock()
		maps.Copy(out, sums)
		return err
	})
	return out, err
}

func (l *eventLoad) canonicalFile(ctx context.Context, file int, ns map[int64]rowRef, b *bytes.Buffer) (map[rowRef][32]byte, error) {
	out := make(map[rowRef][32]byte, len(ns))
	whole, err := readText(ctx, l.files[file].path, b)
	if err != nil {
		return nil, err
	}
	if !whole {
		return out, l.canonicalStream(ctx, file, ns, out)
	}
	text := b.Bytes()
	n := int64(0)
	for offset, length := range places(l.places[file]) {
		n++
		ref, ok := ns[n]
		if !ok || length == 0 || offset+length > int64(len(text)) {
			continue
		}
		record := text[offset : offset+length]
		if bytes.Contains(record, []byte("CloudTrailEvent")) { // an answer of LookupEvents, perhaps
			r, err := cloudtrail.Parse(record)
			if err != nil {
				continue
			}
			record = r.Raw
		}
		out[ref] = cloudtrail.Canonical(record)
	}
	return out, ctx.Err()
}

// canonicalStream is for a file that is too large to be held.
func (l *eventLoad) canonicalStream(ctx context.Context, file int, ns map[int64]rowRef, out map[rowRef][32]byte) error {
	f, err := l.open(file)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read-only
	for r, err := range cloudtrail.Read(ctxReader{ctx, f}) {
		var bad *cloudtrail.BadRecord
		if errors.As(err, &bad) {
			continue
		} else if err != nil {
			break // it ended here before, too
		}
		if ref, ok := ns[r.N]; ok {
			out[ref] = cloudtrail.Canonical(r.Raw)
		}
	}
	return ctx.Err()
}

// earlier holds the ids of the events of earlier exhibits.
type earlier struct{ byID map[string][]earlierEvent }

type earlierEvent struct {
	id   int64
	hash [16]byte
}

func (e *earlier) find(key string) []earlierEvent {
	if e == nil || key == "" {
		return nil
	}
	return e.byID[key]
}

// idKey is the id of a row for find; "" for none.
func (l *eventLoad) idKey(r rowRef) string {
	id := &l.at(r).eid
	if id.kind == uuidID {
		return string(id.b[:])
	}
	return l.longIDs.text(id)
}

// earlierEvents is nil where this is the first exhibit of events.
func (l *eventLoad) earlierEvents(ctx context.Context) (*earlier, error) {
	rows, err := l.t.conn.QueryContext(ctx, "SELECT id, eid, hash FROM events WHERE eid IS NOT NULL")
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err is asked
	var e *earlier
	for rows.Next() {
		var one earlierEvent
		var eid any
		var hash []byte
		if err := rows.Scan(&one.id, &eid, &hash); err != nil {
			return nil, err
		}
		copy(one.hash[:], hash)
		if e == nil {
			e = &earlier{byID: map[string][]earlierEvent{}}
		}
		key, ok := eid.(string)
		if !ok {
			b, _ := eid.([]byte)
			key = string(b)
		}
		e.byID[key] = append(e.byID[key], one)
	}
	return e, rows.Err()
}
