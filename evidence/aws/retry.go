package aws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"snapcase/imaging"
)

const (
	tries      = 8
	firstPause = 100 * time.Millisecond
	longest    = 20 * time.Second
	answerTime = 60 * time.Second // within which an answer must have come whole
)

// verdict says what a failed attempt means.
type verdict int

const (
	again    verdict = iota // try again
	slower                  // try again, and let all slow down
	relist                  // the token is stale: list again, then try again
	lost                    // this block cannot be had
	hopeless                // nothing of the snapshot can be had
)

// errBody says that a body is not what its headers say.
var errBody = errors.New("the block does not have its checksum")

func judge(err error) verdict {
	r := refused(err)
	switch {
	case errors.Is(err, imaging.ErrGone): // judged before
		return hopeless
	case errors.Is(err, errBody):
		return again
	case r.throttled():
		return slower
	case r.staleToken():
		return relist
	case r.expired(), r.unknownKey(), r.denied(), r.status == http.StatusPaymentRequired, r.status == http.StatusNotFound:
		return hopeless
	case r.status >= 500, r.status == http.StatusRequestTimeout, r.status == 0:
		return again
	case r.status >= 400:
		return lost
	}
	return again // the answer came and could not be read to its end
}

// attempt is a call that is tried until it comes right.
type attempt struct {
	*Account
	bucket *bucket
	// urgent calls go before the others of the bucket.
	urgent bool
	// stale is called when the token of the call has become stale.
	stale func()
	// retried counts the attempts after the first; it may be nil.
	retried *atomic.Int64
}

// do calls f until it comes right, with how often it was called. The verdict is
// that of the last attempt.
func (t attempt) do(ctx context.Context, f func(context.Context) error) (n int, v verdict, err error) {
	for n = 1; ; n++ {
		at, err := t.bucket.wait(ctx, t.urgent)
		if err != nil {
			return n, hopeless, err
		}
		err = t.once(ctx, f)
		if err == nil {
			return n, again, nil
		}
		if ctx.Err() != nil {
			return n, hopeless, ctx.Err()
		}
		v = judge(err)
		if v == slower {
			t.bucket.slow(at)
		}
		if v == relist && t.stale != nil {
			t.stale()
		}
		if v >= lost || n == tries {
			return n, v, err
		}
		if t.retried != nil {
			t.retried.Add(1)
		}
		pause := min(longest, firstPause<<n)
		if err := t.sleep(ctx, time.Duration(t.random()*float64(pause))); err != nil {
			return n, hopeless, err
		}
	}
}

// once gives one attempt its time. That it ran out is no cancellation.
func (t attempt) once(ctx context.Context, f func(context.Context) error) error {
	limited, stop := context.WithTimeout(ctx, answerTime)
	defer stop()
	err := f(limited)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return fmt.Errorf("no whole answer within %s", answerTime)
	}
	return err
}
