package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
)

// bulk inserts rows of one table, many in one statement, straight through the
// driver: the conversions of database/sql cost as much as the insert.
type bulk struct {
	t    *tx
	head string
	left string // values that are the same in every row, each with a comma
	cols int
	rows int
	many driver.Stmt
	args []driver.NamedValue
	line *line // where statements run; nil: at once
}

// newBulk makes a bulk insert into table; columns are separated by commas.
func newBulk(t *tx, table, columns string) (*bulk, error) {
	b := &bulk{t: t, head: "INSERT INTO " + table + " (" + columns + ") VALUES ", cols: strings.Count(columns, ",") + 1}
	b.rows = max(1, min(50, 2000/b.cols))
	b.args = make([]driver.NamedValue, 0, b.cols*b.rows)
	var err error
	b.many, err = b.prepare(b.rows)
	return b, err
}

func (b *bulk) prepare(rows int) (stmt driver.Stmt, err error) {
	one := "(" + b.left + "?" + strings.Repeat(",?", b.cols-1) + ")"
	err = b.t.conn.Raw(func(c any) error {
		dc, ok := c.(driver.Conn)
		if !ok {
			return fmt.Errorf("insert: the driver's connection is a %T", c)
		}
		stmt, err = dc.Prepare(b.head + one + strings.Repeat(","+one, rows-1))
		return err
	})
	return stmt, err
}

// add inserts one row, sooner or later. Values are int64, string, []byte or
// nil.
func (b *bulk) add(ctx context.Context, row ...driver.Value) error {
	for _, v := range row {
		b.args = append(b.args, driver.NamedValue{Ordinal: len(b.args) + 1, Value: v})
	}
	if len(b.args) < b.cols*b.rows {
		return nil
	}
	if b.line == nil {
		err := b.exec(ctx, b.many)
		b.args = b.args[:0]
		return err
	}
	full := *b
	b.args = make([]driver.NamedValue, 0, cap(b.args))
	return b.line.do(func() error { return full.exec(ctx, full.many) })
}

func (b *bulk) exec(ctx context.Context, s driver.Stmt) error {
	x, ok := s.(driver.StmtExecContext)
	if !ok {
		return fmt.Errorf("insert: the driver's statement is a %T", s)
	}
	_, err := x.ExecContext(ctx, b.args)
	return err
}

// end inserts what is left.
func (b *bulk) end(ctx context.Context) error {
	err := b.many.Close()
	if len(b.args) == 0 || err != nil {
		return err
	}
	last, err := b.prepare(len(b.args) / b.cols)
	if err != nil {
		return err
	}
	err = b.exec(ctx, last)
	b.args = nil
	return errors.Join(err, last.Close())
}

// null is a number of the dictionary for a column that may be missing.
func null[T int64 | uint32](id T) driver.Value {
	if id == 0 {
		return nil
	}
	return int64(id)
}

// nullText is text for a column that may be missing.
func nullText(s string) driver.Value {
	if s == "" {
		return nil
	}
	return s
}
