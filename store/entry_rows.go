package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"

	"snapcase/evidence"
	"snapcase/imaging/filesystem"
)

// Entries are packed for the same reason as moments: anchorEvery of them, in
// the order of their numbers, are one row of entries. It holds for each the
// distance of its directory from that of the one before as a varint, the name
// behind its length, and what packEntry makes of the rest behind its length.

// listedEntry is an entry as it stands in a row. Its bytes are those of the
// row.
type listedEntry struct {
	id, dir int64
	name    []byte
	rest    []byte // packEntry
}

// kind is the type and the status; rest begins with them, behind one byte.
func (e *listedEntry) kind() (filesystem.Type, filesystem.Status) {
	if len(e.rest) < 3 {
		return 0, 0
	}
	return filesystem.Type(e.rest[1]), filesystem.Status(e.rest[2])
}

// inode follows them.
func (e *listedEntry) inode() uint64 {
	if len(e.rest) < 3 {
		return 0
	}
	n, _ := binary.Uvarint(e.rest[3:])
	return n
}

// entryPacker collects entries to rows.
type entryPacker struct {
	b   []byte
	n   int
	dir int64
}

func (p *entryPacker) add(dir int64, name, rest []byte) {
	p.b = binary.AppendVarint(p.b, dir-p.dir)
	p.b = append(binary.AppendUvarint(p.b, uint64(len(name))), name...)
	p.b = append(binary.AppendUvarint(p.b, uint64(len(rest))), rest...)
	p.dir = dir
	p.n++
}

// take gives the row and begins another.
func (p *entryPacker) take() []byte {
	b := p.b
	*p = entryPacker{b: make([]byte, 0, len(b)+len(b)/8)}
	return b
}

// entryRowReader reads the entries of a row one by one.
type entryRowReader struct {
	p packed
	e listedEntry // the last one read
}

// readEntryRow reads a row whose first entry has the number first.
func readEntryRow(first int64, b []byte) entryRowReader {
	return entryRowReader{p: packed{b: b}, e: listedEntry{id: first - 1}}
}

// next reads an entry; false is the end of the row, or a row that is cut, which
// failed tells.
func (r *entryRowReader) next() bool {
	if len(r.p.b) == 0 {
		return false
	}
	r.e.id++
	r.e.dir += r.p.signed()
	r.e.name, r.e.rest = r.p.bytes(), r.p.bytes()
	return !r.p.short
}

func (r *entryRowReader) failed() error {
	if r.p.short {
		return fmt.Errorf("entry %d: %w", r.e.id, errCut)
	}
	return nil
}

// unpackEntries gives the entries of a row whose first has the number first.
func unpackEntries(first int64, b []byte, rows []listedEntry) ([]listedEntry, error) {
	r := readEntryRow(first, bytes.Clone(b))
	for r.next() {
		rows = append(rows, r.e)
	}
	return rows, r.failed()
}

// entriesBase is the number of the first entry of exhibit x: rows are counted
// from there.
func (q *question) entriesBase(x int) int64 {
	for _, s := range q.spans["entries"] {
		if s.x == x {
			return s.lo
		}
	}
	return 1
}

// entryRowOf is the number of the row that holds entry id.
func (q *question) entryRowOf(id int64) (int64, bool) {
	for _, s := range q.spans["entries"] {
		if s.lo <= id && id <= s.hi {
			return s.lo + (id-s.lo)/anchorEvery*anchorEvery, true
		}
	}
	return 0, false
}

// entriesBetween yields the entries lo to hi of an exhibit whose entries begin
// at first, up or down.
func (q *question) entriesBetween(ctx context.Context, first, lo, hi int64, backward bool) iter.Seq2[listedEntry, error] {
	return packedBetween(ctx, q, packedTable[listedEntry]{"entries", unpackEntries, func(e *listedEntry) int64 { return e.id }}, first, lo, hi, backward)
}

// entriesAt calls found for each of some entries, in the order of their
// numbers, each once. What it gets holds until it returns.
func (q *question) entriesAt(ctx context.Context, ids []int64, found func(x int, e *listedEntry) error) error {
	wanted := slices.Clone(ids)
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	var rows []int64
	for _, id := range wanted {
		row, ok := q.entryRowOf(id)
		if !ok {
			return fmt.Errorf("entry %d is not in the index", id)
		}
		if n := len(rows); n == 0 || rows[n-1] != row {
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	where, args := "id IN (SELECT value FROM json_each(?))", []any{list(rows)}
	if n := int64(len(rows)); (rows[n-1]-rows[0])/anchorEvery < n+n/4 {
		where, args = "id BETWEEN ? AND ?", []any{rows[0], rows[n-1]}
	}
	err := q.rows(ctx, "SELECT id, x, rows FROM entries WHERE "+where+" ORDER BY id", args, func(r *sql.Rows) error {
		var first int64
		var x int
		var b sql.RawBytes
		if err := r.Scan(&first, &x, &b); err != nil {
			return err
		}
		row := readEntryRow(first, b)
		for len(wanted) > 0 && row.next() {
			if row.e.id != wanted[0] {
				continue
			}
			wanted = wanted[1:]
			if err := found(x, &row.e); err != nil {
				return err
			}
		}
		return row.failed()
	})
	if err == nil && len(wanted) > 0 {
		err = fmt.Errorf("entry %d is not in the index", wanted[0])
	}
	return err
}

// directory is where entries lie.
type directory struct{ volume, path string }

// directories gives directories by number.
func (q *question) directories(ctx context.Context, ids []int64) (map[int64]directory, error) {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	all := make(map[int64]directory, len(ids))
	err := q.byIDs(ctx, "SELECT id, volume, path FROM dirs WHERE id", ids, func(r *sql.Rows) error {
		var id int64
		var d directory
		err := r.Scan(&id, &d.volume, &d.path)
		all[id] = d
		return err
	})
	for _, id := range ids {
		if _, ok := all[id]; !ok && err == nil {
			err = fmt.Errorf("directory %d is not in the index", id)
		}
	}
	return all, err
}

// entriesWith are the entries whose path holds each of some words: in its name,
// in its folder, or across the slash between them. Capital letters of ASCII
// count as small ones.
func (q *question) entriesWith(ctx context.Context, words []string) (*idSet, error) {
	var all []wordInPath
	for _, word := range words {
		w, err := q.wordInPath(ctx, word)
		if err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	set := &idSet{}
	for _, s := range q.spans["entries"] {
		for e, err := range q.entriesBetween(ctx, s.lo, s.lo, s.hi, false) {
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(all, func(w wordInPath) bool { return !w.in(&e) }) {
				set.add(e.id)
			}
		}
	}
	return set, nil
}

// wordInPath is a word that a path shall hold.
type wordInPath struct {
	word  string // lower case
	below *idSet // directories whose path holds it
	begin string // what a name begins with, if the word has a slash
	ends  *idSet // directories whose path ends with what stands before that; nil without a slash
}

func (q *question) wordInPath(ctx context.Context, word string) (w wordInPath, err error) {
	w.word = lower(word)
	if w.below, err = q.directoriesLike(ctx, like(word)); err != nil {
		return w, err
	}
	if i := strings.LastIndexByte(word, '/'); i >= 0 {
		w.begin = lower(word[i+1:])
		w.ends, err = q.directoriesLike(ctx, strings.TrimSuffix(like(word[:i]), "%"))
	}
	return w, err
}

func (q *question) directoriesLike(ctx context.Context, pattern string) (*idSet, error) {
	s := &idSet{}
	err := q.rows(ctx, `SELECT id FROM dirs WHERE path LIKE ? ESCAPE '\'`, []any{pattern}, func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		s.add(id)
		return err
	})
	return s, err
}

func (w *wordInPath) in(e *listedEntry) bool {
	if w.below.has(e.dir) {
		return true
	}
	name := lower(string(e.name))
	return strings.Contains(name, w.word) || w.ends != nil && w.ends.has(e.dir) && strings.HasPrefix(name, w.begin)
}

// lower makes the capital letters of ASCII small.
func lower(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// inodeRows are the names of the inode of an address, of any generation.
func (q *question) inodeRows(ctx context.Context, a evidence.Address) ([]entryRow, error) {
	if a.Exhibit == "" {
		return nil, nil
	}
	var ids []int64
	for _, s := range q.spansOf(volumeTable(a.Volume), a.Exhibit) {
		for e, err := range q.entriesBetween(ctx, q.entriesBase(s.x), s.lo, s.hi, false) {
			if err != nil {
				return nil, err
			}
			if e.inode() == a.Inode {
				ids = append(ids, e.id)
			}
		}
	}
	return q.entryRows(ctx, ids)
}
