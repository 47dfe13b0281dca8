package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"snapcase/evidence"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

// applicationID marks index.db as ours: "snap" in ASCII.
const applicationID = 0x736e6170

// loaderVersion changes when the same exhibit would give other rows; what an
// older one loaded is derived again.
const loaderVersion = 5

func dsn(path, params string) string {
	u := url.URL{Scheme: "file", Path: path}
	if !filepath.IsAbs(path) {
		u = url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}
	}
	u.RawQuery = "_pragma=busy_timeout(5000)&_pragma=trusted_schema(0)&_pragma=cell_size_check(1)&_pragma=foreign_keys(1)" + params
	return u.String()
}

// openWriter opens index.db to write, makes it where it is missing, and brings
// its tables up to date.
func openWriter(ctx context.Context, path string) (*sql.DB, error) {
	if fi, err := os.Lstat(path); err == nil && !fi.Mode().IsRegular() {
		return nil, indexError(path, errors.New("it is no regular file"))
	}
	db, err := sql.Open("sqlite", dsn(path, "&_txlock=immediate&_pragma=page_size(16384)&_journal_mode=WAL&_pragma=synchronous(FULL)&_pragma=cache_size(-16384)&_pragma=wal_autocheckpoint(0)&_pragma=temp_store(1)"))
	if err != nil {
		return nil, fmt.Errorf("open index %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	if err := migrate(ctx, db); err != nil {
		return nil, errors.Join(indexError(path, err), db.Close())
	}
	return db, nil
}

// openReaders opens index.db for questions: read-only, a few connections.
func openReaders(ctx context.Context, path string) (*sql.DB, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open index %s: %w", path, err)
	}
	params := "&mode=ro&_pragma=query_only(1)&_pragma=cache_size(-16384)&_pragma=mmap_size(268435456)"
	if !writable(filepath.Dir(path)) {
		params += "&immutable=1"
	}
	db, err := sql.Open("sqlite", dsn(path, params))
	if err != nil {
		return nil, fmt.Errorf("open index %s: %w", path, err)
	}
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(4)
	version, err := indexVersion(ctx, db)
	if err == nil && version < len(versions()) {
		err = evidence.WithHint(errors.New("it was made by an older snapcase"), "run: snapcase index CASE")
	}
	if err != nil {
		return nil, errors.Join(indexError(path, err), db.Close())
	}
	return db, nil
}

// writable says whether files can be made in dir.
func writable(dir string) bool {
	f, err := os.CreateTemp(dir, ".snapcase-*")
	if err != nil {
		return false
	}
	name := f.Name()
	return errors.Join(f.Close(), os.Remove(name)) == nil
}

func indexError(path string, err error) error {
	if evidence.Canceled(err) {
		return err
	}
	err = fmt.Errorf("open index %s: %w", path, err)
	var h evidence.Hinted
	if errors.As(err, &h) {
		return evidence.WithHint(err, "%s", h.Hint())
	}
	return evidence.WithHint(err, "index.db is derived: delete it and run: snapcase index CASE")
}

// indexVersion is the number of migrations that the database has seen.
func indexVersion(ctx context.Context, db *sql.DB) (int, error) {
	var app, version, tables int
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&app); err != nil {
		return 0, err
	}
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return 0, err
	}
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return 0, err
	}
	switch {
	case app == 0 && version == 0 && tables == 0:
		return 0, nil
	case app != applicationID:
		return 0, fmt.Errorf("it is not an index of snapcase (application id %#x)", app)
	case version > len(versions()):
		return 0, fmt.Errorf("it has version %d, this snapcase knows %d", version, len(versions()))
	}
	return version, nil
}

// versions are the migrations, in order.
func versions() []string {
	names, err := migrations.ReadDir("migrations")
	if err != nil {
		return nil
	}
	var all []string
	for _, n := range names {
		if strings.HasSuffix(n.Name(), ".sql") {
			all = append(all, n.Name())
		}
	}
	return all
}

// migrate runs what the database has not seen yet, one transaction each.
func migrate(ctx context.Context, db *sql.DB) error {
	have, err := indexVersion(ctx, db)
	if err != nil {
		return err
	}
	for i, name := range versions() {
		if i < have {
			continue
		}
		text, err := migrations.ReadFile("migrations/" + name)
		if err != nil {
			return err
		}
		script := fmt.Sprintf("%s;\nPRAGMA application_id = %d;\nPRAGMA user_version = %d;", text, applicationID, i+1)
		if err := inTx(ctx, db, func(t *tx) error { return t.exec(ctx, script) }); err != nil {
			return fmt.Errorf("migration %s: %w", name, err)
		}
	}
	return nil
}

// tx is one open transaction of the writer.
type tx struct{ conn *sql.Conn }

func (t *tx) exec(ctx context.Context, query string, args ...any) error {
	_, err := t.conn.ExecContext(ctx, query, args...)
	return err
}

// inTx runs f in one transaction; an error, cancelling included, rolls it back.
func inTx(ctx context.Context, db *sql.DB, f func(*tx) error) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := f(&tx{conn}); err != nil {
		_, back := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		return errors.Join(err, back)
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return err
}
