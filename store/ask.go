package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"snapcase/evidence"
)

// question is one question to the index: a read transaction, so that all its
// statements see the same rows, and what is known of the index at that moment.
type question struct {
	*snapshot
	c     *Case
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

// snapshot is what stays the same between two loads; it is shared by
// questions and safe for concurrent use.
type snapshot struct {
	generation int64
	exhibits   []string          // by x, ascending
	numbers    []int             // their x
	spans      map[string][]span // by table, ascending x
	words      *words
	shapes     map[string]string // how the volumes of exhibits were put together when they were loaded
	compared   map[string]bool   // that are so still; under the lock of the disks
}

// ask begins a question. end must be called.
func (c *Case) ask(ctx context.Context) (_ *question, err error) {
	db, err := c.readers(ctx)
	if errors.Is(err, os.ErrNotExist) {
		return nil, evidence.WithHint(err, "run: snapcase index %s", c.folder)
	}
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	q := &question{c: c, conn: conn, stmts: map[string]*sql.Stmt{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, q.end())
		}
	}()
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return nil, err
	}
	var n int64
	if err := conn.QueryRowContext(ctx, "SELECT n FROM generation").Scan(&n); err != nil {
		return nil, err
	}
	c.mu.Lock()
	q.snapshot = c.snap
	c.mu.Unlock()
	if q.snapshot != nil && q.generation == n {
		return q, nil
	}
	if q.snapshot, err = readSnapshot(ctx, conn, n); err != nil {
		return nil, err
	}
	c.mu.Lock()
	if c.snap == nil || c.snap.generation < n {
		c.snap = q.snapshot
	}
	c.mu.Unlock()
	return q, nil
}

// end gives the connection back.
func (q *question) end() error {
	var errs []error
	for _, s := range q.stmts {
		errs = append(errs, s.Close())
	}
	_, err := q.conn.ExecContext(context.Background(), "ROLLBACK")
	return errors.Join(append(errs, err, q.conn.Close())...)
}

func readSnapshot(ctx context.Context, conn *sql.Conn, generation int64) (*snapshot, error) {
	s := &snapshot{generation: generation, spans: map[string][]span{}, words: newWords(), shapes: map[string]string{}, compared: map[string]bool{}}
	rows, err := conn.QueryContext(ctx, "SELECT x, exhibit, "+shapeColumn+" FROM loads ORDER BY x")
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		var x int
		var id, shape string
		if err := rows.Scan(&x, &id, &shape); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		s.shapes[id] = shape
		s.numbers, s.exhibits = append(s.numbers, x), append(s.exhibits, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	if rows, err = conn.QueryContext(ctx, "SELECT x, tbl, lo, hi, timed, anchors FROM ranges ORDER BY x"); err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err is asked
	for rows.Next() {
		var p span
		var anchors []byte
		if err := rows.Scan(&p.x, &p.tbl, &p.lo, &p.hi, &p.timed, &anchors); err != nil {
			return nil, err
		}
		for ; len(anchors) >= 8; anchors = anchors[8:] {
			p.anchors = append(p.anchors, int64(binary.BigEndian.Uint64(anchors))) //nolint:gosec // two's complement
		}
		s.spans[p.tbl] = append(s.spans[p.tbl], p)
	}
	return s, rows.Err()
}

// exhibit is the id of number x.
func (s *snapshot) exhibit(x int) string {
	if i, ok := slices.BinarySearch(s.numbers, x); ok {
		return s.exhibits[i]
	}
	return exhibitID(x)
}

// known is an error for an exhibit that the index does not have; "" is all.
func (s *snapshot) known(exhibit string) error {
	if exhibit == "" || slices.Contains(s.exhibits, exhibit) {
		return nil
	}
	return evidence.WithHint(fmt.Errorf("exhibit %q is not in the index: %w", exhibit, evidence.ErrNotFound), "snapcase stats CASE lists the exhibits; snapcase index CASE indexes those that are not indexed yet")
}

// spansOf are the spans of a table, all or of one exhibit.
func (s *snapshot) spansOf(table, exhibit string) []span {
	if exhibit == "" {
		return s.spans[table]
	}
	var some []span
	for _, p := range s.spans[table] {
		if s.exhibit(p.x) == exhibit {
			some = append(some, p)
		}
	}
	return some
}

// prepare gives a statement that lives as long as the question.
func (q *question) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if s := q.stmts[query]; s != nil {
		return s, nil
	}
	s, err := q.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("%w in %s", err, query)
	}
	q.stmts[query] = s
	return s, nil
}

// rows runs a query and calls scan for every row.
func (q *question) rows(ctx context.Context, query string, args []any, scan func(*sql.Rows) error) error {
	s, err := q.prepare(ctx, query)
	if err != nil {
		return err
	}
	r, err := s.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	for r.Next() {
		if err := scan(r); err != nil {
			return errors.Join(err, r.Close())
		}
	}
	return errors.Join(r.Err(), r.Close())
}

// number is the one integer that a query gives; ok is false for no row or NULL.
func (q *question) number(ctx context.Context, query string, args ...any) (n int64, ok bool, err error) {
	s, err := q.prepare(ctx, query)
	if err != nil {
		return 0, false, err
	}
	var v sql.NullInt64
	if err := s.QueryRowContext(ctx, args...).Scan(&v); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, false, err
	}
	return v.Int64, v.Valid, nil
}

// word is the number of a string; 0 where the index has it not.
func (q *question) word(ctx context.Context, text string) (int64, error) {
	n, _, err := q.number(ctx, "SELECT id FROM dict WHERE text = ?", text)
	return n, err
}

// words keeps strings of the dictionary that were asked for. A dictionary
// only grows within one generation.
type words struct {
	mu   sync.RWMutex
	text map[int64]string
}

const keptWords = 1 << 18

func newWords() *words { return &words{text: map[int64]string{}} }

// texts gives the strings of numbers; 0 is "".
func (q *question) texts(ctx context.Context, ids map[int64]string) error {
	var missing []int64
	q.words.mu.RLock()
	for id := range ids {
		if id == 0 {
			continue
		}
		if s, ok := q.words.text[id]; ok {
			ids[id] = s
		} else {
			missing = append(missing, id)
		}
	}
	q.words.mu.RUnlock()
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	q.words.mu.Lock()
	defer q.words.mu.Unlock()
	if len(q.words.text) > keptWords {
		clear(q.words.text)
	}
	return q.rows(ctx, "SELECT id, text FROM dict WHERE id IN (SELECT value FROM json_each(?))", []any{list(missing)}, func(r *sql.Rows) error {
		var id int64
		var s string
		if err := r.Scan(&id, &s); err != nil {
			return err
		}
		ids[id], q.words.text[id] = s, s
		return nil
	})
}

// lookup collects numbers of strings, and then gives the strings.
type lookup map[int64]string

func (l lookup) want(ids ...sql.NullInt64) {
	for _, id := range ids {
		if id.Valid {
			l[id.Int64] = ""
		}
	}
}

func (l lookup) of(id sql.NullInt64) string { return l[id.Int64] }

// opt is the string of a number, nil for NULL.
func (l lookup) opt(id sql.NullInt64) *string {
	if !id.Valid {
		return nil
	}
	s := l[id.Int64]
	return &s
}

// list is a JSON array of numbers, for json_each.
func list(ids []int64) string {
	b := make([]byte, 0, 2+len(ids)*8)
	b = append(b, '[')
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, id, 10)
	}
	return string(append(b, ']'))
}

// cond is conditions of a WHERE, which all hold.
type cond struct {
	sql  []string
	args []any
	none bool // nothing can match
}

func (c *cond) and(sql string, args ...any) {
	c.sql, c.args = append(c.sql, sql), append(c.args, args...)
}

// equal asks that a dictionary column is text; "" asks nothing.
func (c *cond) equal(ctx context.Context, q *question, column, text string) error {
	if text == "" {
		return nil
	}
	id, err := q.word(ctx, text)
	if err != nil {
		return err
	}
	if id == 0 {
		c.none = true
	}
	c.and(column+" = ?", id)
	return nil
}

func (c *cond) text() string {
	if len(c.sql) == 0 {
		return ""
	}
	return " AND " + strings.Join(c.sql, " AND ")
}

// textList is a JSON array of strings, for json_each.
func textList(all []string) (string, error) {
	if all == nil {
		all = []string{}
	}
	b, err := json.Marshal(all)
	return string(b), err
}
