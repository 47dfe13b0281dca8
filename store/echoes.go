package store

import (
	"context"

	"snapcase/evidence"
)

func (c *Case) ICMP(ctx context.Context) ([]evidence.ICMPPair, error) {
	return nil, errUnbuilt
}

func (q *question) echoes(ctx context.Context) ([]evidence.ICMPPair, error) { return nil, nil }
