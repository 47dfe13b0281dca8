package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"snapcase/evidence"
	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// Files yields the entries that q selects.
func (c *Case) Files(ctx context.Context, q FileQuery) iter.Seq2[evidence.FileEntry, error] {
	return func(yield func(evidence.FileEntry, error) bool) {
		a, l, err := c.fileListing(ctx, q)
		if err != nil {
			yield(evidence.FileEntry{}, fmt.Errorf("files: %w", err))
			return
		}
		defer a.end() //nolint:errcheck // read-only
		load := a.files
		if q.Hash {
			load = a.hashedFiles
		}
		each(ctx, l, 0, load, yield)
	}
}

// FilePage is a page of what Files yields.
func (c *Case) FilePage(ctx context.Context, q FileQuery, r PageRequest) (Page[evidence.FileEntry], error) {
	a, l, err := c.fileListing(ctx, q)
	if err != nil {
		return Page[evidence.FileEntry]{}, fmt.Errorf("files: %w", err)
	}
	defer a.end() //nolint:errcheck // read-only
	f, err := l.page(ctx, r)
	if err != nil {
		return Page[evidence.FileEntry]{}, fmt.Errorf("files: %w", err)
	}
	return toPage(ctx, f, a.files)
}

// FileCount counts what q selects, up to limit (0: all).
func (c *Case) FileCount(ctx context.Context, q FileQuery, limit int64) (int64, error) {
	a, l, err := c.fileListing(ctx, q)
	if err != nil {
		return 0, fmt.Errorf("count files: %w", err)
	}
	defer a.end() //nolint:errcheck // read-only
	return l.count(ctx, limit)
}

// fileListing is the entries that a query selects; the caller ends the
// question. Entries have no order of time: a span has them in the order of
// volume and path.
func (c *Case) fileListing(ctx context.Context, f FileQuery) (*question, *listing, error) {
	a, err := c.ask(ctx)
	if err != nil {
		return nil, nil, err
	}
	l := &listing{q: a}
	w, err := fileConditions(&f)
	if err != nil {
		a.end() //nolint:errcheck // read-only
		return nil, nil, err
	}
	for _, sp := range a.spansOf("entries", f.Exhibit) {
		s := newStream(sp, 0, "", w)
		s.time = "NULL"
		l.streams = append(l.streams, s)
	}
	if f.Name != "" || f.Path != "" {
		l.keep = a.keepFiles(&f)
	}
	return a, l, nil
}

func fileConditions(f *FileQuery) (w cond, err error) {
	if f.Volume != "" {
		w.and("dir IN (SELECT id FROM dirs WHERE volume = ?)", f.Volume)
	}
	if f.Dir != "" {
		w.and("dir IN (SELECT id FROM dirs WHERE path = ?) AND name <> ''", strings.TrimSuffix(f.Dir, "/"))
	}
	if under := strings.TrimSuffix(f.Under, "/"); under != "" {
		dir, name := splitPath(under)
		w.and("(dir IN (SELECT id FROM dirs WHERE path = ? OR path >= ? AND path < ?) OR name = ? AND dir IN (SELECT id FROM dirs WHERE path = ?))",
			under, under+"/", under+"0", name, dir)
	}
	if f.Path != "" {
		if _, err := path.Match(strings.ReplaceAll(f.Path, "**", "*"), ""); err != nil {
			return w, evidence.WithHint(fmt.Errorf("path %q: %w: %w", f.Path, err, evidence.ErrUsage), "a glob has * ? [..] within a part and ** across parts")
		}
		if fixed := fixedPart(f.Path); fixed != "" {
			w.and("dir IN (SELECT id FROM dirs WHERE path = ? OR path >= ? AND path < ?)", fixed, fixed+"/", fixed+"0")
		}
	}
	if f.Deleted {
		w.and("attrs & 3 <> 0")
	}
	if f.HideDeleted {
		w.and("attrs & 3 = 0")
	}
	if f.Dirs {
		w.and("attrs >> 2 & 63 = ?", int64(filesystem.TypeDir))
	}
	return w, nil
}

// fixedPart is the folders of a glob before its first wild part.
func fixedPart(glob string) string {
	parts := strings.Split(glob, "/")
	i := slices.IndexFunc(parts, func(p string) bool { return strings.ContainsAny(p, `*?[\`) })
	if i < 0 {
		i = len(parts) - 1
	}
	return strings.Join(parts[:max(i, 0)], "/")
}

// keepFiles asks of rows whether their path and name fit.
func (q *question) keepFiles(f *FileQuery) func(context.Context, *stream, []position) ([]bool, error) {
	name := strings.ToLower(f.Name)
	return func(ctx context.Context, _ *stream, at []position) ([]bool, error) {
		yes := map[int64]bool{}
		ids := make([]int64, len(at))
		for i, p := range at {
			ids[i] = p.id
		}
		err := q.byIDs(ctx, "SELECT e.id, d.path, e.name FROM entries e JOIN dirs d ON d.id = e.dir WHERE e.id", ids, func(r *sql.Rows) error {
			var id int64
			var dir, last string
			if err := r.Scan(&id, &dir, &last); err != nil {
				return err
			}
			yes[id] = (name == "" || strings.Contains(strings.ToLower(last), name)) && (f.Path == "" || matchPath(f.Path, dir+"/"+last))
			return nil
		})
		out := make([]bool, len(at))
		for i, p := range at {
			out[i] = yes[p.id]
		}
		return out, err
	}
}

// matchPath says whether a path fits a glob: * ? [..] within a part, ** for
// any number of parts.
func matchPath(glob, p string) bool {
	return matchParts(strings.Split(strings.TrimPrefix(glob, "/"), "/"), strings.Split(strings.TrimPrefix(p, "/"), "/"))
}

func matchParts(glob, parts []string) bool {
	// ok[j] says that the globs so far fit the first j parts.
	ok := make([]bool, len(parts)+1)
	ok[0] = true
	for _, g := range glob {
		next := make([]bool, len(parts)+1)
		for j := range ok {
			switch {
			case g == "**":
				next[j] = ok[j] || j > 0 && next[j-1]
			case j > 0 && ok[j-1]:
				m, err := path.Match(g, parts[j-1])
				next[j] = err == nil && m
			}
		}
		ok = next
	}
	return ok[len(parts)]
}

// files loads the entries at some positions.
func (q *question) files(ctx context.Context, at []position) ([]evidence.FileEntry, error) {
	ids := make([]int64, len(at))
	for i, p := range at {
		ids[i] = p.id
	}
	return q.entriesByID(ctx, ids)
}

// entryRow is an entry with what the JSON does not tell.
type entryRow struct {
	evidence.FileEntry
	stream string
	first  int64
}

const entryColumns = `SELECT e.id, d.x, d.volume, d.path, e.name, e.inode, e.gen, coalesce(m.stream, ''), e.attrs, e.owner, e.size,
	e.mtime, e.atime, e.ctime, e.btime, e.dtime, m.link, m.damage, coalesce(m.found, ''), e.first FROM entries e JOIN dirs d ON d.id = e.dir LEFT JOIN entries_more m ON m.id = e.id`

func (q *question) entriesByID(ctx context.Context, ids []int64) ([]evidence.FileEntry, error) {
	rows, err := q.entryRows(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]evidence.FileEntry, len(rows))
	for i := range rows {
		out[i] = rows[i].FileEntry
	}
	return out, nil
}

func (q *question) entryRows(ctx context.Context, ids []int64) ([]entryRow, error) {
	byID := make(map[int64]*entryRow, len(ids))
	type late struct {
		id  int64
		col string
		at  *imaging.Time
	}
	var beyond []late
	err := q.byIDs(ctx, entryColumns+" WHERE e.id", ids, func(r *sql.Rows) error {
		e, id, times, err := q.scanEntry(r)
		if err != nil {
			return err
		}
		for i, t := range []*imaging.Time{&e.Modified, &e.Accessed, &e.Changed, &e.Born, &e.DeletedAt} {
			if !times[i].Valid {
				continue
			}
			if *t = ofNano(times[i].Int64); times[i].Int64 == minNano || times[i].Int64 == maxNano {
				beyond = append(beyond, late{id, []string{"mtime", "atime", "ctime", "btime", "dtime"}[i], t})
			}
		}
		byID[id] = e
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, b := range beyond {
		ns, _ := nano(*b.at)
		if *b.at, err = q.exact(ctx, "entries", b.id, b.col, sql.NullInt64{Int64: ns, Valid: true}); err != nil {
			return nil, err
		}
	}
	out := make([]entryRow, 0, len(ids))
	for _, id := range ids {
		e := byID[id]
		if e == nil {
			return nil, fmt.Errorf("entry %d is not in the index", id)
		}
		out = append(out, *e)
	}
	return out, nil
}

// scanEntry reads a row of entryColumns.
func (q *question) scanEntry(r *sql.Rows) (e *entryRow, id int64, times [5]sql.NullInt64, err error) {
	e = &entryRow{}
	var x int
	var dir, name string
	var inode, attrs, owner int64
	if err := r.Scan(&id, &x, &e.Volume, &dir, &name, &inode, &e.Generation, &e.stream, &attrs, &owner, &e.Size,
		&times[0], &times[1], &times[2], &times[3], &times[4], &e.Link, &e.Damage, &e.From, &e.first); err != nil {
		return nil, 0, times, err
	}
	e.Exhibit, e.Path, e.Inode = q.exhibit(x), dir+"/"+name, uint64(inode) //nolint:gosec // two's complement, as stored
	e.Status, e.Type = filesystem.Status(attrs&3).String(), filesystem.Type(attrs>>2&0x3f).String()
	e.Mode, e.Links = fmt.Sprintf("%06o", attrs>>8&0xffff), uint32(attrs>>24) //nolint:gosec // see packAttrs
	e.UID, e.GID = uint32(owner>>32), uint32(owner)                           //nolint:gosec // as stored
	e.Address = evidence.Address{Exhibit: e.Exhibit, Volume: e.Volume, Inode: e.Inode, Generation: e.Generation, Path: e.Path}.String()
	if !utf8.ValidString(e.Path) {
		e.PathB64 = []byte(e.Path)
	}
	if e.Link != nil && !utf8.ValidString(*e.Link) {
		e.LinkB64 = []byte(*e.Link)
	}
	return e, id, times, nil
}

// OpenEntry gives the content of an entry and its metadata. The address may
// leave the path out; then an allocated name of the inode is taken before a
// deleted one. It is evidence.ErrNotFound where the case has no such entry.
func (c *Case) OpenEntry(ctx context.Context, a evidence.Address) (imaging.Source, evidence.FileEntry, error) {
	src, e, err := c.openEntry(ctx, a)
	if errors.Is(err, evidence.ErrNotFound) {
		err = evidence.WithHint(err, "snapcase files CASE prints the addresses there are")
	}
	if err != nil {
		return nil, e, fmt.Errorf("open %s: %w", a, err)
	}
	return src, e, nil
}

func (c *Case) openEntry(ctx context.Context, a evidence.Address) (imaging.Source, evidence.FileEntry, error) {
	q, err := c.ask(ctx)
	if err != nil {
		return nil, evidence.FileEntry{}, err
	}
	defer q.end() //nolint:errcheck // read-only
	var ids []int64
	dir, name := splitPath(a.Path)
	err = q.rows(ctx, `SELECT e.id FROM entries e JOIN dirs d ON d.id = e.dir JOIN loads l ON l.x = d.x
		WHERE e.inode = ? AND l.exhibit = ? AND d.volume = ? AND e.gen = ? AND (? = '' OR d.path = ? AND e.name = ?) ORDER BY e.attrs & 3, e.id LIMIT 1`,
		[]any{int64(a.Inode), a.Exhibit, a.Volume, int64(a.Generation), a.Path, dir, name}, func(r *sql.Rows) error { //nolint:gosec // two's complement, as stored
			var id int64
			err := r.Scan(&id)
			ids = append(ids, id)
			return err
		})
	if err != nil {
		return nil, evidence.FileEntry{}, err
	}
	if len(ids) == 0 {
		return nil, evidence.FileEntry{}, evidence.ErrNotFound
	}
	rows, err := q.entryRows(ctx, ids)
	if err != nil {
		return nil, evidence.FileEntry{}, err
	}
	e := &rows[0]
	src, err := c.content(e)
	return src, e.FileEntry, err
}

// content opens what an entry holds. What the reader says of the content goes
// with the entry's damage.
func (c *Case) content(e *entryRow) (imaging.Source, error) {
	v, err := c.volume(e.Exhibit, e.Volume)
	if err != nil {
		return nil, err
	}
	if v == nil || v.FS == nil {
		return nil, fmt.Errorf("volume %s of %s is not read any more: %w", e.Volume, e.Exhibit, evidence.ErrNotFound)
	}
	src, err := v.FS.Open(filesystem.Ref{Inode: e.Inode, Generation: e.Generation, Stream: e.stream})
	if err != nil {
		return nil, err
	}
	if d, ok := src.(interface{ Damage() string }); ok && e.Damage == nil && d.Damage() != "" {
		s := d.Damage()
		e.Damage = &s
	}
	return src, nil
}
