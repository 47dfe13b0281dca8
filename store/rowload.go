package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"strings"
)

// fastRows fills one table of the index through a rowFile. Where that cannot
// be, rows are inserted one by one: SQLite attaches up to ten files to a
// connection, and one that a transaction has read stays until it ends. So few
// rows are always inserted.
type fastRows struct {
	t    *tx
	file *rowFile // nil: rows are inserted
	path string
	name string // under which it is attached
	made []*fastTable
}

// fastTable is one table while it is filled.
type fastTable struct {
	rows     *fastRows
	table    string
	numbered bool
	fast     *rowTable
	bulk     *bulk
	next     int64
	cols     []string
	big      []bigRow
}

type bigRow struct {
	numbers []sql.NullInt64
	blobs   [][]byte
}

const (
	attachedRows = 10     // how many row files one transaction has at most
	fewRows      = 10_000 // up to as many are inserted
)

// newFastRows begins to fill n tables that have about so many rows.
func newFastRows(ctx context.Context, t *tx, n, rows int) ([]*fastRows, error) {
	all := make([]*fastRows, n)
	for i := range all {
		all[i] = &fastRows{t: t}
	}
	if rows <= fewRows {
		return all, nil
	}
	var index string
	used := map[string]bool{}
	list, err := t.conn.QueryContext(ctx, "SELECT name, file FROM pragma_database_list")
	if err != nil {
		return nil, err
	}
	for list.Next() {
		var name string
		var file sql.NullString
		if err := list.Scan(&name, &file); err != nil {
			return nil, errors.Join(err, list.Close())
		}
		if used[name] = true; name == "main" {
			index = file.String
		}
	}
	if err := errors.Join(list.Err(), list.Close()); err != nil || index == "" {
		return all, err
	}
	var free []string
	for i := 0; i < attachedRows && len(free) < n; i++ {
		name := fmt.Sprintf("rows%d", i)
		// What another transaction left is let go; what this one has read stays.
		if !used[name] || t.exec(ctx, "DETACH "+name) == nil {
			free = append(free, name)
		}
	}
	if len(free) < n {
		return all, nil
	}
	for i, f := range all {
		f.name, f.path = free[i], index+"-"+free[i]
		if f.file, err = newRowFile(f.path); err != nil {
			for _, o := range all[:i] {
				err = errors.Join(err, o.file.f.Close(), os.Remove(o.path))
			}
			return nil, err
		}
	}
	return all, nil
}

// inserts says that rows are inserted while the table is filled: by who has
// the connection, and nobody else.
func (f *fastRows) inserts() bool { return f.file == nil }

// begin begins a table. columns are all of its columns in order, blobs last;
// numbered says that the first is the number of the row.
func (f *fastRows) begin(ctx context.Context, table string, numbered bool, columns string) (*fastTable, error) {
	t := &fastTable{rows: f, table: table, numbered: numbered, cols: strings.Split(columns, ",")}
	var err error
	if f.file == nil {
		t.bulk, err = newBulk(f.t, table, columns)
		return t, err
	}
	var text string
	if err := f.t.conn.QueryRowContext(ctx, "SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND name = ?", table).Scan(&text); err != nil {
		return nil, err
	}
	t.fast = f.file.table(table, text)
	f.made = append(f.made, t)
	return t, nil
}

// add takes a row. In a numbered table id is its number and numbers begins
// with the second column.
func (t *fastTable) add(ctx context.Context, id int64, numbers []sql.NullInt64, blobs ...[]byte) error {
	if t.fast == nil {
		return t.insert(ctx, id, numbers, blobs)
	}
	if !t.numbered {
		t.next++
		id = t.next
	}
	ok, err := t.fast.add(id, t.numbered, numbers, blobs...)
	if err == nil && !ok {
		t.big = append(t.big, bigRow{append([]sql.NullInt64(nil), numbers...), blobs})
	}
	return err
}

func (t *fastTable) insert(ctx context.Context, id int64, numbers []sql.NullInt64, blobs [][]byte) error {
	row := make([]driver.Value, 0, len(t.cols))
	if t.numbered {
		row = append(row, id)
	}
	for _, n := range numbers {
		if n.Valid {
			row = append(row, n.Int64)
		} else {
			row = append(row, nil)
		}
	}
	for _, b := range blobs {
		if b == nil {
			row = append(row, nil)
		} else {
			row = append(row, b)
		}
	}
	return t.bulk.add(ctx, row...)
}

// end ends a table.
func (t *fastTable) end(ctx context.Context) error {
	if t.fast != nil {
		return t.fast.end()
	}
	return t.bulk.end(ctx)
}

// end copies the tables into the index, unless filling them failed.
func (f *fastRows) end(ctx context.Context, failed error) error {
	if f.file == nil {
		return nil
	}
	err := f.file.end()
	if err == nil && failed == nil {
		err = f.copy(ctx)
	}
	// Where a file that is open cannot be removed, the next load writes over it.
	if gone := os.Remove(f.path); gone != nil && err != nil {
		err = errors.Join(err, gone)
	}
	return err
}

func (f *fastRows) copy(ctx context.Context) (err error) {
	// Rows come in order: pages that are full are not asked for again.
	if err := f.t.exec(ctx, "PRAGMA main.cache_size = -4096"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.t.exec(ctx, "PRAGMA main.cache_size = -65536")) }()
	if err := f.t.exec(ctx, "ATTACH ? AS "+f.name, dsn(f.path, "&mode=ro&immutable=1")); err != nil {
		return fmt.Errorf("read rows: %w", err)
	}
	for _, t := range f.made {
		if err := f.t.exec(ctx, "INSERT INTO main."+t.table+" SELECT * FROM "+f.name+"."+t.table); err != nil {
			return fmt.Errorf("read rows of %s: %w", t.table, err)
		}
		if len(t.big) == 0 {
			continue
		}
		var err error
		if t.bulk, err = newBulk(f.t, t.table, strings.Join(t.cols, ",")); err != nil {
			return err
		}
		for _, r := range t.big {
			if err := t.insert(ctx, 0, r.numbers, r.blobs); err != nil {
				return err
			}
		}
		if err := t.bulk.end(ctx); err != nil {
			return err
		}
	}
	return nil
}
