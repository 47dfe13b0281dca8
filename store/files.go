package store

import (
	"context"
	"errors"
	"iter"
	"snapcase/evidence"
	"snapcase/imaging"
)

var errUnbuilt = errors.New("not built yet")

func (c *Case) Files(ctx context.Context, q FileQuery) iter.Seq2[evidence.FileEntry, error] {
	return func(yield func(evidence.FileEntry, error) bool) { yield(evidence.FileEntry{}, errUnbuilt) }
}

func (c *Case) FilePage(ctx context.Context, q FileQuery, r PageRequest) (Page[evidence.FileEntry], error) {
	return Page[evidence.FileEntry]{}, errUnbuilt
}

func (c *Case) FileCount(ctx context.Context, q FileQuery, limit int64) (int64, error) {
	return 0, errUnbuilt
}

func (c *Case) OpenEntry(ctx context.Context, a evidence.Address) (imaging.Source, evidence.FileEntry, error) {
	return nil, evidence.FileEntry{}, errUnbuilt
}

func (c *Case) OpenImage(ctx context.Context, exhibit string) (imaging.Source, error) {
	return nil, errUnbuilt
}

func (q *question) moments(ctx context.Context, at []position) ([]evidence.Moment, error) {
	return nil, errUnbuilt
}
