package store

import (
	"context"
	"database/sql"
	"errors"

	"snapcase/evidence"
)

// placed says whether s is a record or an address of the case; with formOnly
// it may be one that is not there (any more). What the examiner says of
// something must be of something.
func (c *Case) placed(ctx context.Context, s string, formOnly bool) error {
	rec, noRecord := evidence.ParseRecord(s)
	addr, noAddress := evidence.ParseAddress(s)
	if noRecord != nil && noAddress != nil {
		return noAddress
	}
	if formOnly {
		return nil
	}
	q, err := c.ask(ctx)
	if err != nil {
		return err
	}
	defer q.end() //nolint:errcheck // read-only
	if noAddress == nil {
		all, err := q.inodeRows(ctx, addr)
		if err != nil {
			return err
		}
		_, err = chooseEntry(all, addr)
		if err == nil || noRecord != nil {
			return err
		}
	}
	return q.recorded(ctx, rec)
}

// recorded is an error for a record that is not in the index. A file that is
// evidence by itself has one, number 1.
func (q *question) recorded(ctx context.Context, r evidence.Record) error {
	var packed []byte
	var kind string
	var records int64
	err := q.conn.QueryRowContext(ctx, "SELECT f.places, f.records, l.kind FROM loads l JOIN files f ON f.x = l.x WHERE l.exhibit = ? AND f.name = ?", r.Exhibit, r.File).Scan(&packed, &records, &kind)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return err
	default:
		switch evidence.Kind(kind) {
		case evidence.KindFile, evidence.KindFindings, evidence.KindHashset:
			records = 1
		case evidence.KindCloudTrail, evidence.KindFlowLog:
			records = 0
			for range places(packed) {
				records++
			}
		case evidence.KindPcap, evidence.KindDisk, evidence.KindMemory, evidence.KindIntel:
		}
		if r.N <= records {
			return nil
		}
	}
	return evidence.WithHint(evidence.ErrNotFound, "snapcase events, flows, packets and files print the records and addresses there are")
}
