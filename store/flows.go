package store

import (
	"context"
	"errors"
	"iter"
	"snapcase/evidence"
)

func (c *Case) Flows(ctx context.Context, q FlowQuery) iter.Seq2[evidence.Flow, error] {
	return func(yield func(evidence.Flow, error) bool) { yield(evidence.Flow{}, errUnbuilt) }
}

func (c *Case) FlowPage(ctx context.Context, q FlowQuery, r PageRequest) (Page[evidence.Flow], error) {
	return Page[evidence.Flow]{}, errUnbuilt
}

func (c *Case) FlowPeers(ctx context.Context, q FlowQuery) ([]evidence.FlowPeer, error) {
	return nil, errUnbuilt
}

// endpoints are whose traffic is summed: numbers of dict.
var errUnbuilt = errors.New("not built yet")

type endpoints struct {
	interfaces, instances, addresses []int64
}

func (q *question) peers(ctx context.Context, e endpoints) ([]evidence.TracePeer, error) {
	return nil, nil
}

func (q *question) flows(ctx context.Context, at []position) ([]evidence.Flow, error) {
	return nil, errUnbuilt
}

var flowColumns []textColumn

func (q *question) flowMoments(ctx context.Context, at []position) ([]evidence.Moment, error) {
	return nil, errUnbuilt
}

// flowPeers is FlowPeers for who has a question open.
func (q *question) flowPeers(ctx context.Context, f FlowQuery) ([]evidence.FlowPeer, error) {
	return nil, nil
}
