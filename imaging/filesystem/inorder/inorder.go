// Package inorder runs work on several goroutines and uses its results in the
// order of the work, on the goroutine of the caller: a file system's metadata
// is read in large parts at once, and listed as it lies.
package inorder

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// maxWorkers bounds the goroutines and with them the buffers of who uses them.
const maxWorkers = 8

// Workers is how many goroutines Do uses at most: 1 to 8, one for each core.
func Workers() int { return min(runtime.GOMAXPROCS(0), maxWorkers) }

type result[T any] struct {
	value T
	err   error
}

// Do runs work for 0 to n-1 on several goroutines and hands the results
// to use in that order, on the caller's goroutine. At most two results a
// worker wait at any time. It returns the first error of work, use or ctx, and
// only after every goroutine has ended. worker numbers a goroutine, so that
// work can keep a buffer for each.
func Do[T any](ctx context.Context, n int, work func(worker, i int) (T, error), use func(i int, v T) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	depth := 2 * Workers()
	slots := make([]chan result[T], depth)
	for i := range slots {
		slots[i] = make(chan result[T], 1)
	}
	room := make(chan struct{}, depth)
	var next atomic.Int64
	for w := range min(Workers(), n) {
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
