package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"snapcase/evidence"
)

// Stats says what was read of each exhibit and what was not. Records are
// distinct ones and duplicates; bad ones are counted apart. An exhibit that is not
// sealed is among them when the index has something of it: Incomplete says so.
func (c *Case) Stats(ctx context.Context) ([]evidence.ExhibitStats, error) {
	all, err := evidence.ReadExhibits(c.folder)
	if err != nil {
		return nil, err
	}
	under, err := c.watch.Look(c.folder)
	if err != nil {
		return nil, err
	}
	var out []evidence.ExhibitStats
	db, err := c.readers(ctx)
	if errors.Is(err, os.ErrNotExist) {
		db, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		s := evidence.ExhibitStats{}
		if db != nil {
			var early bool
			if s, early, err = loadStats(ctx, db, a.Exhibit); err != nil && !errors.Is(err, sql.ErrNoRows) {
				return nil, fmt.Errorf("stats: %w", err)
			}
			if early { // it was sealed since, and is not indexed as it is now
				s = evidence.ExhibitStats{}
			}
		}
		s.Exhibit, s.Kind, s.Label, s.Source, s.SHA256 = a.Exhibit, a.Kind, a.Label, a.Source, a.SHA256
		s.Packed = a.Packed
		s.Bytes, s.ReadErrors, s.NotAcquired = a.Bytes, int64(len(a.ReadErrors)), a.NotAcquired
		if a.Origin != nil {
			s.Since = a.Origin.Since
		}
		if !a.Kind.Image() {
			s.Files = a.Files
		}
		if s.Volumes == nil {
			s.Volumes = []evidence.VolumeStats{}
		}
		if own, err := c.OwnDigest(a); err == nil {
			s.SHA256 = own
		}
		out = append(out, s)
	}
	for i := range under {
		u := &under[i]
		if db == nil || hasExhibit(all, u.Exhibit) {
			continue
		}
		s, _, err := loadStats(ctx, db, u.Exhibit)
		if errors.Is(err, sql.ErrNoRows) {
			continue // nothing of it is shown anywhere
		}
		if err != nil {
			return nil, fmt.Errorf("stats: %w", err)
		}
		s.Exhibit, s.Kind, s.Label, s.Source, s.Bytes, s.Incomplete = u.Exhibit, u.Kind, u.Label, u.Source, u.Size, incomplete(u)
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b evidence.ExhibitStats) int { return exhibitNumber(a.Exhibit) - exhibitNumber(b.Exhibit) })
	return out, nil
}

type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// loadStats are the figures of an exhibit as it was loaded; early says that it was
// not sealed then.
func loadStats(ctx context.Context, db queryer, exhibit string) (s evidence.ExhibitStats, early bool, err error) {
	var text, sum string
	if err := db.QueryRowContext(ctx, "SELECT stats, sha256 FROM loads WHERE exhibit = ?", exhibit).Scan(&text, &sum); err != nil {
		return s, false, err
	}
	return s, sum == unsealedSum, json.Unmarshal([]byte(text), &s)
}
