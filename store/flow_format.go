package store

import (
	"context"

	"snapcase/evidence"
)

func (q *question) flowsWithFormat(ctx context.Context, l *listing, f FlowQuery, yield func(evidence.Flow, error) bool) error {
	return errUnbuilt
}
