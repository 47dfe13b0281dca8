package aws

import (
	"context"
	"sync"
	"time"
)

// What the rate of one snapshot's requests is kept between, in requests a
// second; the service allows 1000.
const (
	rateStart = 900
	rateLeast = 20
	rateMost  = 950
	rateUp    = 20                    // for each second without a refusal
	rateDown  = 0.7                   // for a refusal
	slack     = 50 * time.Millisecond // that may be made up for in a burst
)

// bucket spaces requests. When the service asks to slow down the rate falls at
// once, and then rises slowly. What somebody waits for goes before what was only
// to come next: it takes its place from that. It is safe for concurrent use.
type bucket struct {
	now   func() time.Time
	sleep func(context.Context, time.Duration) error

	mu      sync.Mutex
	rate    float64
	next    time.Time // of the next request
	first   time.Time // of the next one that goes before the others
	changed time.Time // when the rate last fell or rose
	fell    time.Time
}

func newBucket(a *Account, rate float64) *bucket {
	t := a.now()
	return &bucket{now: a.now, sleep: a.sleep, rate: rate, next: t, first: t, changed: t}
}

// wait returns when the next request may go, with the time it goes at. One that
// is urgent waits only for other urgent ones.
func (b *bucket) wait(ctx context.Context, urgent bool) (time.Time, error) {
	b.mu.Lock()
	now := b.now()
	if whole := now.Sub(b.changed) / time.Second; whole > 0 {
		b.rate = min(rateMost, b.rate+rateUp*float64(whole))
		b.changed = b.changed.Add(whole * time.Second)
	}
	behind, apart := now.Add(-slack), time.Duration(float64(time.Second)/b.rate)
	if b.next.Before(behind) {
		b.next = behind
	}
	if b.first.Before(behind) {
		b.first = behind
	}
	at := b.next
	if urgent {
		at, b.first = b.first, b.first.Add(apart)
	}
	b.next = b.next.Add(apart)
	b.mu.Unlock()
	if d := at.Sub(now); d > 0 {
		return at, b.sleep(ctx, d)
	}
	return now, ctx.Err()
}

// slow says that a request that went at that time was refused. Those that went
// before the last fall were refused for the same reason, and count once.
func (b *bucket) slow(at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at.Before(b.fell) {
		return
	}
	now := b.now()
	b.rate = max(rateLeast, b.rate*rateDown)
	b.fell, b.changed = now, now
}
