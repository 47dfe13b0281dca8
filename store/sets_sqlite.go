package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"snapcase/evidence"
	"snapcase/evidence/hashset"
)

// sqliteMagic is how a SQLite database begins.
const sqliteMagic = "SQLite format 3\x00"

// readSQLiteSet reads a database of NSRL RDS version 3: the columns sha256,
// sha1 and md5 of its table METADATA or, in the minimal sets, FILE. Each row
// gives its strongest digest. Views are not read, because what one does is up
// to whoever wrote the file; the database is opened so that nothing is written
// beside it.
func (l *load) readSQLiteSet(ctx context.Context, file int, add func(*hashset.Digest) error) (err error) {
	u := url.URL{Scheme: "file", Path: l.files[file].path, RawQuery: "mode=ro&immutable=1&_pragma=query_only(1)&_pragma=trusted_schema(0)&_pragma=cell_size_check(1)&_pragma=cache_size(-16384)"}
	if !strings.HasPrefix(u.Path, "/") {
		u = url.URL{Scheme: "file", Opaque: (&url.URL{Path: u.Path}).EscapedPath(), RawQuery: u.RawQuery}
	}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	table, columns, err := setTable(ctx, db)
	if err == nil {
		err = l.readSetTable(ctx, db, file, table, columns, add)
	}
	var own ownError
	if errors.As(err, &own) {
		return own.error
	}
	if err != nil && !evidence.Canceled(err) && ctx.Err() == nil {
		return l.gapFile(file, fmt.Errorf("read the database: %w", err))
	}
	return err
}

// ownError is a failure that is not of the database that is read.
type ownError struct{ error }

// setTable finds the table and those of its columns that hold digests, the
// strongest first.
func setTable(ctx context.Context, db *sql.DB) (table string, columns []string, err error) {
	for _, table := range []string{"METADATA", "FILE"} {
		var n int
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE", table).Scan(&n); err != nil {
			return "", nil, err
		}
		if n == 0 {
			continue
		}
		for _, c := range []string{"sha256", "sha1", "md5"} {
			if err := db.QueryRowContext(ctx, "SELECT count(*) FROM pragma_table_info(?) WHERE name = ? COLLATE NOCASE", table, c).Scan(&n); err != nil {
				return "", nil, err
			}
			if n > 0 {
				columns = append(columns, c)
			}
		}
		if len(columns) > 0 {
			return table, columns, nil
		}
	}
	return "", nil, errors.New("it has no table METADATA or FILE with a column sha256, sha1 or md5")
}

func (l *load) readSetTable(ctx context.Context, db *sql.DB, file int, table string, columns []string, add func(*hashset.Digest) error) error {
	rows, err := db.QueryContext(ctx, "SELECT "+strings.Join(columns, ", ")+" FROM "+table)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // Err is asked
	cells := make([]sql.RawBytes, len(columns))
	into := make([]any, len(columns))
	for i := range cells {
		into[i] = &cells[i]
	}
	for n := int64(1); rows.Next(); n++ {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		found := false
		for _, c := range cells {
			if d, ok := hashset.Parse(c); ok {
				if err := add(&d); err != nil {
					return ownError{err}
				}
				found = true
				break
			}
		}
		if !found {
			l.bad(file, n, 0, fmt.Sprintf("row %d of %s holds no digest", n, table))
		}
	}
	return rows.Err()
}
