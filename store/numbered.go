package store

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
)

// numbered inserts rows whose numbers follow each other. Only the first one is
// told its number; the others take the next, which spares the database a
// search for each.
type numbered struct {
	*bulk
	table, columns string
	same           int64
	first, last    int64
}

// newNumbered makes an insert into table of the given columns, with the same
// value of one more column in every row. Statements run on a line, which must
// have ended before end.
func newNumbered(t *tx, on *line, table, column string, same int64, columns string) (*numbered, error) {
	n := &numbered{table: table, columns: column + "," + columns, same: same}
	n.bulk = &bulk{t: t, head: "INSERT INTO " + table + " (" + n.columns + ") VALUES ", left: fmt.Sprint(same) + ",", cols: strings.Count(columns, ",") + 1, line: on}
	n.rows = max(1, 600/n.cols)
	n.args = make([]driver.NamedValue, 0, n.cols*n.rows)
	var err error
	n.many, err = n.prepare(n.rows)
	return n, err
}

// add inserts a row under the number id: the one before plus one, unless it is
// the first.
func (n *numbered) add(ctx context.Context, id int64, row ...driver.Value) error {
	if n.first != 0 {
		if id != n.last+1 {
			return fmt.Errorf("insert into %s: row %d after row %d", n.table, id, n.last)
		}
		n.last = id
		return n.bulk.add(ctx, row...)
	}
	n.first, n.last = id, id
	args := append([]any{id, n.same}, make([]any, len(row))...)
	for i, v := range row {
		args[2+i] = v
	}
	return n.line.do(func() error {
		return n.t.exec(ctx, "INSERT INTO "+n.table+" (id,"+n.columns+") VALUES (?,?"+strings.Repeat(",?", len(row))+")", args...)
	})
}

// end inserts what is left, and makes sure that the numbers are what they were
// taken for.
func (n *numbered) end(ctx context.Context) error {
	if err := n.bulk.end(ctx); err != nil || n.first == 0 {
		return err
	}
	var last int64
	if err := n.t.conn.QueryRowContext(ctx, "SELECT max(id) FROM "+n.table).Scan(&last); err != nil {
		return err
	}
	if last != n.last {
		return fmt.Errorf("insert into %s: the last row is %d and should be %d", n.table, last, n.last)
	}
	return nil
}
