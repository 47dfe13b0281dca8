package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"snapcase/evidence"
)

// lock is the case's lock: one process at a time acquires or indexes. It is a
// flock, so it ends with the process that holds it.
type lock struct{ f *os.File }

// takeLock takes the lock for what; when another process has it, the error
// says which.
func takeLock(path, what string) (*lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC|syscall.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		held, _ := io.ReadAll(io.LimitReader(f, 512)) //nolint:errcheck // only to say who
		err = errors.Join(err, f.Close())
		if errors.Is(err, syscall.EWOULDBLOCK) {
			who := strings.TrimSpace(string(held))
			if who == "" {
				who = "another process"
			}
			return nil, evidence.WithHint(fmt.Errorf("%s: %w by %s", what, errLocked, who), "wait until it is done; reading the case is possible meanwhile")
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "this host"
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt(fmt.Appendf(nil, "process %d on %s (%s)\n", os.Getpid(), host, what), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return &lock{f}, nil
}

// waitLock is takeLock for who can wait until the other process is done.
func waitLock(ctx context.Context, path, what string, p evidence.Progress) (*lock, error) {
	const every = 200 * time.Millisecond
	for {
		l, err := takeLock(path, what)
		if !errors.Is(err, errLocked) {
			return l, err
		}
		p.Report(evidence.Step{What: "wait: " + err.Error()})
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", err, ctx.Err())
		case <-time.After(every):
		}
	}
}

var errLocked = errors.New("the case is in use")

func (l *lock) release() error { return l.f.Close() }
