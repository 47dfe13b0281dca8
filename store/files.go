package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"snapcase/evidence"
)

// Files yields the file-system entries that q selects.
func (c *Case) Files(ctx context.Context, q FileQuery) iter.Seq2[evidence.FileEntry, error] {
	return func(yield func(evidence.FileEntry, error) bool) {
		a, l, err := c.fileListing(ctx, q)
		if err != nil {
			yield(evidence.FileEntry{}, fmt.Errorf("files: %w", err))
			return
		}
		defer l.end(ctx) //nolint:errcheck // read-only
		going := true
		each(ctx, l.listing, 0, l.loader(a), func(e evidence.FileEntry, err error) bool {
			going = yield(e, err) && err == nil
			return going
		})
		if going && l.changes != nil && l.changes.more {
			yield(evidence.FileEntry{}, fmt.Errorf("files: more may have changed than is listed, since the map of owners of a volume could not be read whole: %w", evidence.ErrGaps))
		}
	}
}

// FilePage is a page of what Files yields.
func (c *Case) FilePage(ctx context.Context, q FileQuery, r PageRequest) (Page[evidence.FileEntry], error) {
	a, l, err := c.fileListing(ctx, q)
	if err != nil {
		return Page[evidence.FileEntry]{}, fmt.Errorf("files: %w", err)
	}
	defer l.end(ctx) //nolint:errcheck // read-only
	f, err := l.page(ctx, r)
	if err == nil && f.ordinal == 0 && l.inDir {
		err = l.numberInDir(ctx, &f)
	}
	if err != nil {
		return Page[evidence.FileEntry]{}, fmt.Errorf("files: %w", err)
	}
	return toPage(ctx, f, l.loader(a))
}

// FileCount counts what q selects, up to limit (0: all).
func (c *Case) FileCount(ctx context.Context, q FileQuery, limit int64) (int64, error) {
	_, l, err := c.fileListing(ctx, q)
	if err != nil {
		return 0, fmt.Errorf("count files: %w", err)
	}
	defer l.end(ctx) //nolint:errcheck // read-only
	return l.count(ctx, limit)
}

// loader gives the entries at some positions, with the digest of their content
// and their extended attributes where they are asked for.
func (l *fileListing) loader(a *question) func(context.Context, []position) ([]evidence.FileEntry, error) {
	return func(ctx context.Context, at []position) ([]evidence.FileEntry, error) {
		rows, err := l.rows(ctx, at)
		if err != nil {
			return nil, err
		}
		if l.changes != nil {
			for i := range rows {
				rows[i].Since = l.changes.of(&rows[i])
			}
		}
		if l.attributes {
			if err := a.c.readAttributes(ctx, rows); err != nil {
				return nil, err
			}
		}
		out := make([]evidence.FileEntry, len(rows))
		for i := range rows {
			out[i] = rows[i].FileEntry
		}
		return out, nil
	}
}

// rows are the entries at some positions, with digests where they are asked for.
func (l *fileListing) rows(ctx context.Context, at []position) ([]entryRow, error) {
	rows, err := l.q.entryRows(ctx, idsOf(at))
	if err == nil && l.hasher != nil {
		err = l.hasher.entries(ctx, rows)
	}
	return rows, err
}

func idsOf(at []position) []int64 {
	ids := make([]int64, len(at))
	for i, p := range at {
		ids[i] = p.id
	}
	return ids
}

// fileListing is the order of entries: exhibit, volume, path, number. Entries
// have no time of their own, so all of them are untimed rows; several streams
// of one exhibit are runs of its numbers, in order.
type fileListing struct {
	*listing
	inDir  bool    // filtered by one directory and nothing else that costs
	hasher *hasher // nil where no digests are asked for
	// attributes says that extended attributes are asked for
	attributes bool
	// changes is set where only what changed is asked for
	changes *changes
}

// end ends the question, and keeps the digests that it read.
func (l *fileListing) end(ctx context.Context) error {
	return errors.Join(l.q.end(), l.hasher.end(ctx))
}

// fileListing is the entries that a query selects, as a listing of a question
// that the caller ends.
func (c *Case) fileListing(ctx context.Context, q FileQuery) (*question, *fileListing, error) {
	a, err := c.ask(ctx)
	if err != nil {
		return nil, nil, err
	}
	l, err := a.files(ctx, q)
	if err == nil {
		l.attributes = q.Attributes
	}
	if err == nil && q.Changed {
		var m *changes
		if m, err = c.newChanges(ctx, q.Exhibit); err == nil {
			l.changedOnly(m)
		}
	}
	if err == nil && (q.Hash || q.Known != "") {
		if l.hasher, err = c.newHasher(a); err == nil {
			err = l.knownOnly(q.Known)
		}
	}
	if err != nil {
		if l == nil {
			l = &fileListing{listing: &listing{q: a}}
		}
		l.end(ctx) //nolint:errcheck // read-only
		return nil, nil, err
	}
	return a, l, nil
}

// knownOnly narrows the listing to what lists know, or none knows.
func (l *fileListing) knownOnly(role string) error {
	switch {
	case role == "":
		return nil
	case role != "good" && role != "bad" && role != knownUnknown:
		return fmt.Errorf("known %q: want good, bad or unknown: %w", role, evidence.ErrUsage)
	case len(l.hasher.sets.all) == 0:
		return evidence.WithHint(fmt.Errorf("known %s: no list of known files: %w", role, evidence.ErrNotFound), "bring one in with snapcase hashset CASE FILE --name NAME")
	}
	l.also(func(e *entryRow) bool { return knownAs(&e.FileEntry, role) })
	return nil
}

func (q *question) files(ctx context.Context, f FileQuery) (*fileListing, error) {
	if err := q.known(f.Exhibit); err != nil {
		return nil, err
	}
	if err := q.knownVolume(ctx, f); err != nil {
		return nil, err
	}
	l := &fileListing{listing: &listing{q: q}}
	keep := entryFilter{deleted: f.Deleted, allocated: f.HideDeleted, folders: f.Dirs, name: fold(f.Name)}
	if f.Path != "" {
		g, err := parseGlob(f.Path)
		if err != nil {
			return nil, err
		}
		keep.path = g
	}
	runs := q.volumeSpans(f)
	var err error
	if f.Under != "" {
		if runs, err = q.under(ctx, runs, f.Under); err != nil {
			return nil, err
		}
	}
	if keep.path != nil {
		if runs, err = q.withPrefix(ctx, runs, keep.path.literal); err != nil {
			return nil, err
		}
	}
	if f.Dir != "" {
		if runs, err = q.inDirectory(ctx, &keep, runs, f.Dir); err != nil {
			return nil, err
		}
	}
	for _, r := range runs {
		r.tbl, r.timed, r.anchors = "entries", r.lo-1, nil
		s := newStream(r, 0, "", cond{})
		s.first = q.entriesBase(r.x)
		if !keep.all() {
			s.filter = &keep
		}
		l.streams = append(l.streams, s)
	}
	l.inDir = f.Dir != "" && keep.path == nil && keep.name == ""
	return l, nil
}

// knownVolume refuses a volume that no disk has, or not the one that is asked
// for.
func (q *question) knownVolume(ctx context.Context, f FileQuery) error {
	if f.Volume == "" || len(q.spansOf(volumeTable(f.Volume), f.Exhibit)) > 0 {
		return nil
	}
	var have []string
	for _, id := range q.exhibits {
		if f.Exhibit != "" && f.Exhibit != id {
			continue
		}
		s, _, err := loadStats(ctx, q.conn, id)
		if err != nil {
			return err
		}
		for _, v := range s.Volumes {
			if v.ID == f.Volume {
				return nil // nothing is read of it: stats tells why
			}
			have = append(have, id+"/"+v.ID)
		}
	}
	return evidence.WithHint(fmt.Errorf("volume %q: %w", f.Volume, evidence.ErrNotFound), "there are %s", strings.Join(have, ", "))
}

// inDirectory narrows runs of entries to those that lie directly in dir, of
// every volume that has such a directory.
func (q *question) inDirectory(ctx context.Context, w *entryFilter, runs []span, dir string) ([]span, error) {
	var own []idRun
	var scan []int64 // directories whose numbers are not kept
	err := q.rows(ctx, "SELECT id, lo, hi, runs FROM dirs WHERE path = ?", []any{strings.TrimSuffix(dir, "/")}, func(r *sql.Rows) error {
		var id, lo, hi int64
		var b []byte
		if err := r.Scan(&id, &lo, &hi, &b); err != nil {
			return err
		}
		if b == nil {
			own, scan = append(own, idRun{lo, hi}), append(scan, id)
			return nil
		}
		of, err := unpackRuns(lo, b)
		own = append(own, of...)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(scan) > 0 {
		return q.scanDirectory(ctx, w, runs, dir)
	}
	return overlaps(runs, own), nil
}

// scanDirectory is inDirectory for directories that have too many runs: it
// asks every entry between the first and the last one.
func (q *question) scanDirectory(ctx context.Context, w *entryFilter, runs []span, dir string) ([]span, error) {
	w.in, w.root = map[int64]bool{}, strings.TrimSuffix(dir, "/") == ""
	var own []idRun
	err := q.rows(ctx, "SELECT id, lo, hi FROM dirs WHERE path = ?", []any{strings.TrimSuffix(dir, "/")}, func(r *sql.Rows) error {
		var id int64
		var o idRun
		err := r.Scan(&id, &o.lo, &o.hi)
		w.in[id] = true
		own = append(own, o)
		return err
	})
	return overlaps(runs, own), err
}

// overlaps cuts runs to the numbers that own has too, in the order of runs.
func overlaps(runs []span, own []idRun) []span {
	slices.SortFunc(own, func(a, b idRun) int { return cmp.Compare(a.lo, b.lo) })
	var out []span
	for _, r := range runs {
		i, _ := slices.BinarySearchFunc(own, r.lo, func(o idRun, lo int64) int { return cmp.Compare(o.hi, lo) })
		for ; i < len(own) && own[i].lo <= r.hi; i++ {
			n := r
			n.lo, n.hi = max(r.lo, own[i].lo), min(r.hi, own[i].hi)
			out = append(out, n)
		}
	}
	return out
}

// volumeSpans are the runs of entries of each volume, in the order of the
// listing; of each exhibit where nothing needs the volumes apart.
func (q *question) volumeSpans(f FileQuery) []span {
	if f.Volume != "" {
		return q.spansOf(volumeTable(f.Volume), f.Exhibit)
	}
	if f.Under == "" && f.Path == "" {
		return q.spansOf("entries", f.Exhibit)
	}
	var all []span
	for tbl := range q.spans {
		if strings.HasPrefix(tbl, volumeTable("")) {
			all = append(all, q.spansOf(tbl, f.Exhibit)...)
		}
	}
	slices.SortFunc(all, func(a, b span) int {
		return position{x: a.x, id: a.lo}.compare(position{x: b.x, id: b.lo})
	})
	return slices.DeleteFunc(all, func(s span) bool { return s.hi < s.lo })
}

// under narrows the runs of volumes to an entry and what lies below it: two
// runs each, because names like "a-b" come between "a" and "a/b".
func (q *question) under(ctx context.Context, runs []span, path string) ([]span, error) {
	path = strings.TrimSuffix(path, "/")
	if path == "" {
		return runs, nil
	}
	var out []span
	for _, r := range runs {
		self, err := q.pathRun(ctx, r, path, path+"\x00")
		if err != nil {
			return nil, err
		}
		below, err := q.pathRun(ctx, r, path+"/", path+"0")
		if err != nil {
			return nil, err
		}
		out = append(out, self, below)
	}
	return out, nil
}

// withPrefix narrows runs to the paths that begin with prefix.
func (q *question) withPrefix(ctx context.Context, runs []span, prefix string) ([]span, error) {
	if prefix == "" || prefix == "/" {
		return runs, nil
	}
	var out []span
	for _, r := range runs {
		n, err := q.pathRun(ctx, r, prefix, afterPrefix(prefix))
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// afterPrefix is the first string behind all that begin with s; "" for none.
func afterPrefix(s string) string {
	b := []byte(s)
	for len(b) > 0 && b[len(b)-1] == 0xff {
		b = b[:len(b)-1]
	}
	if len(b) == 0 {
		return ""
	}
	b[len(b)-1]++
	return string(b)
}

// pathRun is the run of r with paths from a on and before b; "" for b is no
// end.
func (q *question) pathRun(ctx context.Context, r span, a, b string) (span, error) {
	lo, err := q.firstPath(ctx, r.lo, r.hi, a)
	if err != nil {
		return r, err
	}
	if b != "" {
		end, err := q.firstPath(ctx, lo, r.hi, b)
		if err != nil {
			return r, err
		}
		r.hi = end - 1
	}
	r.lo = lo
	return r, nil
}

// firstPath is the first number from lo to hi whose path is not before path;
// hi+1 for none. The numbers are those of one volume, or of a part of it.
func (q *question) firstPath(ctx context.Context, lo, hi int64, path string) (int64, error) {
	for hi++; lo < hi; {
		mid := lo + (hi-lo)/2
		at, err := q.pathAt(ctx, mid)
		if err != nil {
			return 0, err
		}
		if at < path {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, nil
}

// pathAt is the path of an entry, raw bytes.
func (q *question) pathAt(ctx context.Context, id int64) (string, error) {
	var dir int64
	var name string
	err := q.entriesAt(ctx, []int64{id}, func(_ int, e *listedEntry) error {
		dir, name = e.dir, string(e.name)
		return nil
	})
	if err != nil {
		return "", err
	}
	d, err := q.directories(ctx, []int64{dir})
	return d[dir].path + "/" + name, err
}

// numberInDir counts the rows of a directory before the first of a page.
func (l *fileListing) numberInDir(ctx context.Context, f *found) error {
	if len(f.at) == 0 {
		return nil
	}
	n := int64(1)
	for _, s := range l.streams {
		end, err := l.start(ctx, s, f.at[0])
		if err != nil {
			return err
		}
		before := listing{q: l.q, streams: []*stream{newStream(s.span, 0, "", s.where)}}
		before.streams[0].hi, before.streams[0].first, before.streams[0].filter = end-1, s.first, s.filter
		k, err := before.count(ctx, 0)
		if err != nil {
			return err
		}
		n += k
	}
	f.ordinal = n
	return nil
}

// untimed gives the starts of the row with n rows before it, where no stream
// has a time: then they lie one behind the other.
func (l *listing) untimed(n int64) ([]int64, bool) {
	var starts []int64
	for _, s := range l.streams {
		if s.timed >= s.lo {
			return nil, false
		}
		k := max(0, s.hi-s.lo+1)
		if s.where.none {
			k = 0
		}
		starts = append(starts, s.lo+min(n, k))
		n -= min(n, k)
	}
	return starts, true
}
