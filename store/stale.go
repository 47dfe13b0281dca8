package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

	"snapcase/evidence"
)

// Stale says why the index of a case folder does not fit the exhibits that are
// there now: "" where it does, or where there is no index. Nothing is written,
// not even beside the database.
func Stale(ctx context.Context, f evidence.Folder) (why string, err error) {
	if _, err := os.Stat(f.Index()); errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	all, err := (&Case{folder: f}).exhibits()
	if err != nil {
		return "", fmt.Errorf("compare index.db with the exhibits: %w", err)
	}
	db, err := sql.Open("sqlite", dsn(f.Index(), "&mode=ro&immutable=1&_pragma=query_only(1)"))
	if err != nil {
		return "", fmt.Errorf("open index %s: %w", f.Index(), err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	why, err = stale(ctx, db, all)
	if err != nil && !evidence.Canceled(err) {
		return "it cannot be read: " + err.Error(), nil
	}
	return why, err
}

func stale(ctx context.Context, db *sql.DB, all []evidence.Acquisition) (string, error) {
	version, err := indexVersion(ctx, db)
	if err != nil {
		return "", err
	}
	if version < len(versions()) {
		return "it was made by an older snapcase", nil
	}
	loaded := map[string]string{}
	rows, err := db.QueryContext(ctx, "SELECT exhibit, sha256 || ' ' || kind || ' ' || loader FROM loads")
	if err != nil {
		return "", err
	}
	defer rows.Close() //nolint:errcheck // Err is asked
	for rows.Next() {
		var id, what string
		if err := rows.Scan(&id, &what); err != nil {
			return "", err
		}
		loaded[id] = what
	}
	if err := rows.Err(); err != nil {
		return "", err
	}
	for _, a := range all {
		was, ok := loaded[a.Exhibit]
		delete(loaded, a.Exhibit)
		switch {
		case !ok && a.Unsealed:
		case !ok:
			return fmt.Sprintf("%s is not in it: run snapcase index CASE", a.Exhibit), nil
		case was != loadedAs(a):
			return fmt.Sprintf("it was derived from another %s than is there now: run snapcase index CASE", a.Exhibit), nil
		}
	}
	for id := range loaded {
		return fmt.Sprintf("it holds %s, which is not there any more: run snapcase index CASE", id), nil
	}
	return "", nil
}

// loadedAs is how an exhibit is told from another one under the same id.
func loadedAs(a evidence.Acquisition) string {
	return fmt.Sprintf("%s %s %d", sumText(&a), a.Kind, loaderVersion)
}
