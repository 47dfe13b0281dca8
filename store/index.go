package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"snapcase/evidence"
)

// Index derives index.db from exhibits and ledger. Each exhibit is loaded in
// one transaction: after a crash it is there as it was or as it will be. What
// is loaded already, under the same digest, is passed over unless Rebuild is
// set, or a volume of it lies on another exhibit too that came or went. It waits
// while another process indexes the case. It is evidence.ErrGaps when an
// exhibit could not be read whole; Stats tells what.
func (c *Case) Index(ctx context.Context, o IndexOptions, p evidence.Progress) (err error) {
	if c.o.ReadOnly && !c.o.Bundle {
		return fmt.Errorf("index: %w", evidence.ErrReadOnly)
	}
	l, err := waitLock(ctx, c.lockPath(), "index", p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.release()) }()
	return c.index(ctx, o, p)
}

// index is Index for who has the lock.
func (c *Case) index(ctx context.Context, o IndexOptions, p evidence.Progress) (err error) {
	all, err := c.exhibits()
	if err != nil {
		return err
	}
	if o.Exhibit != "" && !hasExhibit(all, o.Exhibit) {
		return evidence.WithHint(fmt.Errorf("index %s: %w", o.Exhibit, evidence.ErrNotFound), "snapcase stats CASE lists the exhibits")
	}
	db, err := openWriter(ctx, c.indexPath())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.closeWriter(ctx, db)) }()
	plan, stale, err := c.plan(ctx, db, all, o)
	if err != nil {
		return err
	}
	plan, disks, err := c.planDisks(ctx, db, all, plan, stale)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disks.close()) }()
	if o.Rebuild && o.Exhibit == "" {
		err = c.rebuild(ctx, db, plan, disks, p)
	} else {
		err = c.loadEach(ctx, db, plan, stale, disks, p)
	}
	if err != nil {
		return err
	}
	if err := c.judgeEchoes(ctx, db, p); err != nil {
		return err
	}
	return c.gaps(ctx, db, plan)
}

func hasExhibit(all []evidence.Acquisition, id string) bool {
	for _, a := range all {
		if a.Exhibit == id {
			return true
		}
	}
	return false
}

// closeWriter moves what was written into index.db itself and makes it
// durable.
func (c *Case) closeWriter(ctx context.Context, db *sql.DB) error {
	var busy, log, moved int
	ctx = context.WithoutCancel(ctx)
	err := db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &log, &moved)
	return errors.Join(err, db.Close())
}

// plan says which exhibits to load, in order, and which numbers to take out
// because their exhibit is gone. Events and flows are told from their copies
// in earlier exhibits, so a change reaches the later ones of the same kind.
func (c *Case) plan(ctx context.Context, db *sql.DB, all []evidence.Acquisition, o IndexOptions) (plan []evidence.Acquisition, stale []int, err error) {
	have := map[int]string{}
	rows, err := db.QueryContext(ctx, "SELECT x, sha256 || ' ' || kind || ' ' || loader FROM loads")
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close() //nolint:errcheck // Err is asked
	for rows.Next() {
		var x int
		var what string
		if err := rows.Scan(&x, &what); err != nil {
			return nil, nil, err
		}
		have[x] = what
	}
	if err := rows.Err(); err != nil {
		return nil, nil, err
	}
	changed := map[evidence.Kind]bool{}
	for _, a := range all {
		x := exhibitNumber(a.Exhibit)
		was, ok := have[x]
		delete(have, x)
		same := was == loadedAs(a)
		wanted := o.Exhibit == "" && !a.Unsealed || o.Exhibit == a.Exhibit
		cascade := ok && changed[a.Kind] && (a.Kind == evidence.KindCloudTrail || a.Kind == evidence.KindFlowLog)
		if wanted && (!same || o.Rebuild) || cascade {
			plan = append(plan, a)
			changed[a.Kind] = true
		}
	}
	for x := range have {
		stale = append(stale, x)
	}
	return plan, stale, nil
}

// exhibitNumber is 2 for EX-002.
func exhibitNumber(id string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(id, "EX-"))
	if err != nil {
		return 0
	}
	return n
}

// exhibitID is EX-002 for 2.
func exhibitID(x int) string { return fmt.Sprintf("EX-%03d", x) }

// rebuild derives everything again in one transaction: until it is done, the
// old index answers.
func (c *Case) rebuild(ctx context.Context, db *sql.DB, plan []evidence.Acquisition, disks *diskSet, p evidence.Progress) error {
	return inTx(ctx, db, func(t *tx) error {
		for _, table := range append([]string{"dict", "loads"}, derivedTables...) {
			if err := t.exec(ctx, "DELETE FROM "+table); err != nil {
				return err
			}
		}
		if err := dropIndexes(ctx, t); err != nil {
			return err
		}
		d, err := loadDict(ctx, t)
		if err != nil {
			return err
		}
		for _, a := range plan {
			if err := c.loadOne(ctx, t, d, a, disks, p); err != nil {
				return err
			}
		}
		if err := c.finish(ctx, t, d); err != nil {
			return err
		}
		return makeIndexes(ctx, t)
	})
}

// loadEach loads exhibits one by one, each in a transaction of its own.
func (c *Case) loadEach(ctx context.Context, db *sql.DB, plan []evidence.Acquisition, stale []int, disks *diskSet, p evidence.Progress) error {
	if len(stale) > 0 {
		if err := inTx(ctx, db, func(t *tx) error {
			for _, x := range stale {
				if err := removeExhibit(ctx, t, x); err != nil {
					return err
				}
				if err := os.Remove(c.setPath(exhibitID(x))); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
			return t.exec(ctx, "UPDATE generation SET n = n + 1")
		}); err != nil {
			return err
		}
	}
	for i, a := range plan {
		if err := inTx(ctx, db, func(t *tx) error {
			// What depends on this exhibit goes with it, to come again after it.
			for _, b := range plan[i:] {
				if b.Exhibit == a.Exhibit || b.Kind == a.Kind {
					if err := removeExhibit(ctx, t, exhibitNumber(b.Exhibit)); err != nil {
						return err
					}
				}
			}
			d, err := loadDict(ctx, t)
			if err != nil {
				return err
			}
			if err := c.freshIndexes(ctx, t); err != nil {
				return err
			}
			if err := c.loadOne(ctx, t, d, a, disks, p); err != nil {
				return err
			}
			if err := c.finish(ctx, t, d); err != nil {
				return err
			}
			return makeIndexes(ctx, t)
		}); err != nil {
			return err
		}
	}
	return nil
}

func (c *Case) loadOne(ctx context.Context, t *tx, d *dict, a evidence.Acquisition, disks *diskSet, p evidence.Progress) error {
	l := &load{c: c, t: t, dict: d, acq: a, disks: disks, x: exhibitNumber(a.Exhibit), progress: p, early: a.Unsealed}
	return l.run(ctx)
}

// finish writes what concerns the whole case.
func (c *Case) finish(ctx context.Context, t *tx, d *dict) error {
	return d.save(ctx, t)
}

// derivedTables hold rows that carry the number of their exhibit.
var derivedTables = []string{
	"ranges", "files", "dirs", "entries", "moments", "changes", "hits", "events", "copies", "resources", "name_parts", "issues", "sessions",
	"mentions", "created", "instances", "uses", "flows", "flow_sums", "flow_gaps", "packets", "conversations", "icmp", "times_beyond", "digests",
}

// removeExhibit takes out every row that exhibit x gave.
func removeExhibit(ctx context.Context, t *tx, x int) error {
	for _, q := range []string{
		"UPDATE events SET copies = copies - (SELECT count(*) FROM copies c WHERE c.event = events.id AND c.x = ?1) WHERE id IN (SELECT event FROM copies WHERE x = ?1) AND x <> ?1",
		"DELETE FROM resources WHERE event BETWEEN (SELECT lo FROM ranges WHERE x = ?1 AND tbl = 'events') AND (SELECT hi FROM ranges WHERE x = ?1 AND tbl = 'events')",
		"DELETE FROM times_beyond WHERE EXISTS (SELECT 1 FROM ranges r WHERE r.x = ?1 AND r.tbl = times_beyond.tbl AND times_beyond.id BETWEEN r.lo AND r.hi)",
	} {
		if err := t.exec(ctx, q, x); err != nil {
			return err
		}
	}
	for _, table := range append([]string{"loads"}, derivedTables...) {
		switch table {
		case "resources", "times_beyond", "name_parts", "icmp":
			continue
		}
		if err := t.exec(ctx, "DELETE FROM "+table+" WHERE x = ?", x); err != nil {
			return err
		}
	}
	return nil
}

// The indexes that are made behind the rows.
var lateIndexes = []struct{ name, on string }{
	{"events_key", "events (key) WHERE key IS NOT NULL"},
	{"events_name", "events (name)"},
	{"events_ip", "events (ip)"},
	{"resources_name", "resources (name, event)"},
	{"copies_event", "copies (event)"},
	{"issues_caller", "issues (caller)"},
	{"issues_issued", "issues (issued)"},
	{"issues_event", "issues (event)"},
	{"issues_assumed", "issues (assumed, ts)"},
	{"created_event", "created (event)"},
	{"sessions_pid", "sessions (pid, created)"},
	{"flow_sums_iface", "flow_sums (iface)"},
}

// freshIndexes drops the indexes where the tables are empty, so that a first
// load fills the tables without them.
func (c *Case) freshIndexes(ctx context.Context, t *tx) error {
	var n int64
	if err := t.conn.QueryRowContext(ctx, "SELECT count(*) FROM loads").Scan(&n); err != nil || n > 0 {
		return err
	}
	return dropIndexes(ctx, t)
}

func dropIndexes(ctx context.Context, t *tx) error {
	for _, i := range lateIndexes {
		if err := t.exec(ctx, "DROP INDEX IF EXISTS "+i.name); err != nil {
			return err
		}
	}
	return nil
}

func makeIndexes(ctx context.Context, t *tx) error {
	for _, i := range lateIndexes {
		if err := t.exec(ctx, "CREATE INDEX IF NOT EXISTS "+i.name+" ON "+i.on); err != nil {
			return err
		}
	}
	return nil
}

// gaps is evidence.ErrGaps when one of the exhibits was not read whole.
func (c *Case) gaps(ctx context.Context, db *sql.DB, loaded []evidence.Acquisition) error {
	for _, a := range loaded {
		s, _, err := loadStats(ctx, db, a.Exhibit)
		if err != nil {
			return err
		}
		if hasGaps(s) {
			return fmt.Errorf("index: %w", evidence.ErrGaps)
		}
	}
	return nil
}

func hasGaps(s evidence.ExhibitStats) bool {
	if s.BadRecords > 0 || s.ReadErrors > 0 || len(s.Gaps) > 0 {
		return true
	}
	for _, v := range s.Volumes {
		if v.Error != nil {
			return true
		}
	}
	return false
}
