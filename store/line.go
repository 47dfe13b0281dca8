package store

import "sync"

// line runs statements one after the other on a goroutine of its own, so that
// rows are made while others are written. Whoever uses one leaves the
// connection alone until end.
type line struct {
	jobs chan func() error
	gone sync.WaitGroup
	mu   sync.Mutex
	err  error
}

func newLine() *line {
	jobs := make(chan func() error, 4)
	l := &line{jobs: jobs}
	l.gone.Go(func() {
		for f := range jobs {
			if l.failed() != nil {
				continue
			}
			if err := f(); err != nil {
				l.mu.Lock()
				l.err = err
				l.mu.Unlock()
			}
		}
	})
	return l
}

func (l *line) failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// do runs f, sooner or later. The error is that of an earlier one.
func (l *line) do(f func() error) error {
	if err := l.failed(); err != nil {
		return err
	}
	l.jobs <- f
	return nil
}

// end waits for all of them. It may be called again.
func (l *line) end() error {
	if l.jobs != nil {
		close(l.jobs)
		l.jobs = nil
	}
	l.gone.Wait()
	return l.err
}
