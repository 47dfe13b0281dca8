package custody

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"snapcase/evidence"
)

// lockWait is how long Append waits for other processes.
const lockWait = 10 * time.Second

// lock takes the lock between processes. It is held by an open file of its
// own, so that waiting in the kernel, where the order is fair, can be given up.
func (l *Ledger) lock(ctx context.Context) error {
	f, err := os.OpenFile(l.folder.Ledger(), os.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("lock the ledger: %w", err)
	}
	err = flock(f, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = l.wait(ctx, f)
		if err != nil {
			return err // f goes when the kernel is done with it
		}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("lock the ledger: %w", err), f.Close())
	}
	l.locked = f
	return nil
}

// wait waits for the lock; when it gives up, f is closed later.
func (l *Ledger) wait(ctx context.Context, f *os.File) error {
	got := make(chan error)
	gone := make(chan struct{})
	go func() {
		err := flock(f, unix.LOCK_EX)
		select {
		case got <- err:
		case <-gone:
			f.Close() //nolint:errcheck,gosec // nobody waits any more
		}
	}()
	t := time.NewTimer(lockWait)
	defer t.Stop()
	select {
	case err := <-got:
		if err != nil {
			return errors.Join(fmt.Errorf("lock the ledger: %w", err), f.Close())
		}
		return nil
	case <-ctx.Done():
		close(gone)
		return ctx.Err()
	case <-t.C:
		close(gone)
		return evidence.WithHint(fmt.Errorf("lock the ledger: it is held by %s", l.holder()), "wait until that process is done, or end it")
	}
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) { //nolint:gosec // a descriptor fits
			return err
		}
	}
}

func (l *Ledger) holder() string {
	b, err := readSmall(filepath.Join(string(l.folder), "case.lock"), 512)
	if s := strings.TrimSpace(string(b)); err == nil && s != "" {
		return s
	}
	return "another process"
}

func (l *Ledger) unlock() error {
	f := l.locked
	l.locked = nil
	if f == nil {
		return nil
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("unlock the ledger: %w", err)
	}
	return nil
}

// localFileSystem refuses folders where flock and fsync promise too little.
func localFileSystem(path string) error {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return fmt.Errorf("look at the file system of %s: %w", path, err)
	}
	name := map[uint32]string{0x6969: "NFS", 0x517b: "SMB", 0xfe534d42: "SMB", 0xff534d42: "CIFS", 0x01021997: "9p", 0x65735546: "FUSE"}[uint32(s.Type)] //nolint:gosec // magics have 32 bits
	if name == "" || os.Getenv("SNAPCASE_UNSAFE_FS") == "1" {
		return nil
	}
	return evidence.WithHint(fmt.Errorf("%s lies on %s, where locks and syncs promise too little for a ledger", path, name), "keep the case on a local disk, or set SNAPCASE_UNSAFE_FS=1 and be the only one who writes")
}
