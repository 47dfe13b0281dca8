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

// fastRows fills one or more tables of the index through a rowFile. Where that
// cannot be, rows are inserted one by one: SQLite attaches up to ten files to a
// connection, and one that a transaction has read stays until it ends.
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

// attachedRows is how many row files one transaction has at most.
const attachedRows = 8

// newFastRows begins to fill tables.
func newFastRows(ctx context.Context, t *tx) (*fastRows, error) {
	f := &fastRows{t: t}
	list, err := t.conn.QueryContext(ctx, "SELECT name, file FROM pragma_database_list")
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	var index string
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
	if err := errors.Join(list.Err(), list.Close()); err != nil {
		return nil, err
	}
	for i := range attachedRows {
		name := fmt.Sprintf("rows%d", i)
		// What another transaction left is let go; what this one has read stays.
		if used[name] && t.exec(ctx, "DETACH "+name) != nil {
			continue
		}
		f.name, f.path = name, index+"-"+name
		break
	}
	if f.name == "" || index == "" {
		return f, nil
	}
	f.file, err = newRowFile(f.path)
	return f, err
}

// alone says that one table must be filled after the other.
func (f *fastRows) alone() bool { return f.file == nil }

// begin begins a table. columns are all of its columns in order, blobs last;
// numbered says that the first is the number of the row. Tables may be filled
// at the same time where alone is false.
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

func (f *fastRows) copy(ctx context.Context) error {
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
