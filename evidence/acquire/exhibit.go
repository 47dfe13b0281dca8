package acquire

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"snapcase/evidence"

	"golang.org/x/sys/unix"
)

// exhibit is one acquisition under way. It holds the lock of the journal.
type exhibit struct {
	*Job
	id   string
	head header
	log  *journal
	// resuming says that the journal was there before.
	resuming bool
	// sealed is set when the exhibit was sealed by a run before, which did not
	// come to its end.
	sealed *evidence.Acquisition
}

func (x *exhibit) dir() string             { return x.Folder.Exhibit(x.id) }
func (x *exhibit) path(name string) string { return filepath.Join(x.dir(), name) }

func (x *exhibit) close() {
	if x.log != nil {
		x.log.close() //nolint:errcheck,gosec // it was synced at every line; closing gives the lock back
	}
}

var exhibitID = regexp.MustCompile(`^EX-[0-9]{3,6}$`)

// exhibitIDs lists the folders of exhibits, in order.
func exhibitIDs(f evidence.Folder) ([]string, error) {
	names, err := os.ReadDir(f.Exhibits())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var ids []string
	for _, n := range names {
		if n.IsDir() && exhibitID.MatchString(n.Name()) {
			ids = append(ids, n.Name())
		}
	}
	slices.SortFunc(ids, func(a, b string) int { return number(a) - number(b) })
	return ids, nil
}

func number(id string) int {
	n, err := strconv.Atoi(id[len("EX-"):])
	if err != nil {
		return 0
	}
	return n
}

// claim finds the unfinished exhibit of the source that h describes, or makes
// the next one. Claims of several processes come one after the other.
func (j *Job) claim(ctx context.Context, h header) (*exhibit, error) {
	if err := os.MkdirAll(j.Folder.Exhibits(), 0o755); err != nil {
		return nil, err
	}
	unlock, err := lockFolder(j.Folder.Exhibits())
	if err != nil {
		return nil, err
	}
	defer unlock()
	ids, err := exhibitIDs(j.Folder)
	if err != nil {
		return nil, err
	}
	next := 1
	for _, id := range ids {
		next = max(next, number(id)+1)
		x, err := j.reclaim(ctx, id, h)
		if x != nil || err != nil {
			return x, err
		}
	}
	x := &exhibit{Job: j, id: fmt.Sprintf("EX-%03d", next), head: h}
	if err := os.Mkdir(x.dir(), 0o755); err != nil {
		return nil, err
	}
	return x, x.begin()
}

// begin starts the journal of a new exhibit.
func (x *exhibit) begin() error {
	var err error
	if x.log, err = openJournal(x.path(journalName)); err != nil {
		return err
	}
	err = errors.Join(x.log.cut(0), x.log.append(entry{Header: &x.head}), syncFolder(x.dir()), syncFolder(x.Folder.Exhibits()))
	if err != nil {
		x.close()
		return diskFull(err)
	}
	return nil
}

// reclaim opens the unfinished exhibit id if it is of the source that h
// describes. One without a header was never begun; it is free for anybody. One
// that is sealed is the source's as long as that did not change.
func (j *Job) reclaim(ctx context.Context, id string, h header) (*exhibit, error) {
	x := &exhibit{Job: j, id: id, head: h}
	sealed, err := readAcquisition(j.Folder, id)
	if err != nil {
		return nil, err
	}
	path := x.path(journalName)
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		if sealed != nil || !holdsOnly(x.dir()) {
			return nil, nil
		}
		return x, x.begin()
	}
	was, busy, err := peek(path)
	if err != nil || was != nil && (was.Source != h.Source || was.Label != h.Label || j.Kind != "" && was.Kind != j.Kind) {
		return nil, err
	}
	if busy {
		if was == nil {
			return nil, nil
		}
		return nil, evidence.WithHint(fmt.Errorf("%s: %w", id, errBusy), "wait for it, or end it; then the same command resumes")
	}
	if was == nil {
		if sealed != nil || !holdsOnly(x.dir(), journalName) {
			return nil, nil // something lies there that this journal does not explain: it stays
		}
		return x, x.begin()
	}
	if x.log, err = openJournal(path); err != nil {
		return nil, err
	}
	x.head, x.resuming = *was, true
	if sealed != nil {
		if sameSource(was.Identity, h.Identity) != nil || was.Format != h.Format || !slices.Equal(was.Hashes, h.Hashes) {
			x.close()
			return nil, nil
		}
		x.sealed, sealed.Again = sealed, true
		err = x.settle(ctx, sealed)
	} else if changed := sameSource(was.Identity, h.Identity); changed != nil {
		err = evidence.WithHint(fmt.Errorf("%s is unfinished, and since then %w", id, changed), "bring the source back as it was to resume, or give another --label to begin a new exhibit")
	} else if was.Format != h.Format {
		err = evidence.WithHint(fmt.Errorf("%s is unfinished, with format %s: %w", id, cmp.Or(was.Format, formatRaw), evidence.ErrUsage), "ask for the same format to resume it")
	} else if !slices.Equal(was.Hashes, h.Hashes) {
		err = evidence.WithHint(fmt.Errorf("%s is unfinished, with hashes %v: %w", id, was.Hashes, evidence.ErrUsage), "ask for the same hashes to resume it")
	}
	if err != nil {
		x.close()
		return nil, err
	}
	return x, nil
}

// peek reads the header of a journal, and says whether somebody holds it.
func peek(path string) (h *header, busy bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	l := &journal{f: f}
	defer l.close() //nolint:errcheck // read-only
	if h, err = l.header(); err != nil {
		return nil, false, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return h, true, nil
	} else if err != nil {
		return nil, false, err
	}
	return h, false, nil // closing gives the lock back
}

// holdsOnly says that a folder has no other files than these.
func holdsOnly(dir string, names ...string) bool {
	all, err := os.ReadDir(dir)
	return err == nil && !slices.ContainsFunc(all, func(e os.DirEntry) bool { return !slices.Contains(names, e.Name()) })
}

// readAcquisition reads acquisition.json; nil when the exhibit is not sealed.
func readAcquisition(f evidence.Folder, id string) (*evidence.Acquisition, error) {
	b, err := os.ReadFile(f.Acquisition(id))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var a evidence.Acquisition
	if err := json.Unmarshal(b, &a); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Acquisition(id), err)
	}
	return &a, nil
}

// lockFolder keeps other processes' claims out until it is unlocked.
func lockFolder(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, nil //nolint:errcheck,gosec // a folder; closing unlocks
}

// syncFolder makes names in dir durable.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// diskFull gives the hint for a full disk.
func diskFull(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return noRoom(err)
	}
	return err
}
