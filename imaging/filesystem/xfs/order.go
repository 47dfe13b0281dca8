package xfs

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// maxWorkers bounds the goroutines of a walk and with them its buffers.
const maxWorkers = 8

func workers() int { return min(runtime.GOMAXPROCS(0), maxWorkers) }

type result[T any] struct {
	value T
	err   error
}

// inOrder runs work for 0 to n-1 on several goroutines and hands the results
// to use in that order, on the caller's goroutine. At most two results a
// worker wait at any time. It returns the first error of work, use or ctx, and
// only after every goroutine has ended. worker numbers a goroutine, so that
// work can keep a buffer for each.
func inOrder[T any](ctx context.Context, n int, work func(worker, i int) (T, error), use func(i int, v T) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	depth := 2 * workers()
	slots := make([]chan result[T], depth)
	for i := range slots {
		slots[i] = make(chan result[T], 1)
	}
	room := make(chan struct{}, depth)
	var next atomic.Int64
	for w := range min(workers(), n) {
		wg.Go(func() {
			for {
				select {
				case room <- struct{}{}:
				case <-ctx.Done():
					return
				}
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				v, err := work(w, i)
				slots[i%depth] <- result[T]{v, err}
			}
		})
	}
	for i := range n {
		select {
		case r := <-slots[i%depth]:
			if r.err != nil {
				return r.err
			}
			if err := use(i, r.value); err != nil {
				return err
			}
			<-room
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
