package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"snapcase/evidence"
)

// Stats says what was read of each exhibit and what was not. Records are
// distinct ones and duplicates; bad ones are counted apart.
func (c *Case) Stats(ctx context.Context) ([]evidence.ExhibitStats, error) {
	all, err := evidence.ReadExhibits(c.folder)
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
			if s, err = loadStats(ctx, db, a.Exhibit); err != nil && !errors.Is(err, sql.ErrNoRows) {
				return nil, fmt.Errorf("stats: %w", err)
			}
		}
		s.Exhibit, s.Kind, s.Label, s.Source, s.SHA256 = a.Exhibit, a.Kind, a.Label, a.Source, a.SHA256
		s.Packed = a.Packed
		s.Bytes, s.ReadErrors = a.Bytes, int64(len(a.ReadErrors))
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
	return out, nil
}

type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func loadStats(ctx context.Context, db queryer, exhibit string) (s evidence.ExhibitStats, err error) {
	var text string
	if err := db.QueryRowContext(ctx, "SELECT stats FROM loads WHERE exhibit = ?", exhibit).Scan(&text); err != nil {
		return s, err
	}
	return s, json.Unmarshal([]byte(text), &s)
}
