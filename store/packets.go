package store

import (
	"context"
	"iter"
	"snapcase/evidence"
)

func (c *Case) Packets(ctx context.Context, q PacketQuery) iter.Seq2[evidence.Packet, error] {
	return func(yield func(evidence.Packet, error) bool) { yield(evidence.Packet{}, errUnbuilt) }
}

func (c *Case) ICMP(ctx context.Context) ([]evidence.ICMPPair, error) {
	return nil, errUnbuilt
}

func (q *question) echoes(ctx context.Context) ([]evidence.ICMPPair, error) { return nil, nil }

func (q *question) packetMoments(ctx context.Context, at []position) ([]evidence.Moment, error) {
	return nil, errUnbuilt
}
