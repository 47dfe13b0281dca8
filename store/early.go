package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"snapcase/evidence"
	"snapcase/evidence/acquire"
	"snapcase/imaging"
)

// An exhibit that is being acquired can be read before it is sealed. Its entries
// are in the index then, under no digest: Stats and everything that asks it says
// that they are preliminary, and once the exhibit is sealed they are derived again,
// from the sealed image.

// early is what a case knows of exhibits that this process acquires.
type early struct {
	mu   sync.Mutex
	live map[string]*acquire.Early
	all  []*acquire.Early // to be closed with the case
}

func (e *early) image(exhibit string) *acquire.Early {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.live[exhibit]
}

func (e *early) set(exhibit string, i *acquire.Early) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if i == nil {
		delete(e.live, exhibit)
		return
	}
	if e.live == nil {
		e.live = map[string]*acquire.Early{}
	}
	e.live[exhibit] = i
	e.all = append(e.all, i)
}

func (e *early) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	for _, i := range e.all {
		errs = append(errs, i.Close())
	}
	e.live, e.all = nil, nil
	return errors.Join(errs...)
}

// Acquisitions tells of the acquisitions that have not come to their end, of this
// process and of others.
func (c *Case) Acquisitions(ctx context.Context) ([]acquire.Underway, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return c.watch.Look(c.folder)
}

// exhibits are the sealed exhibits, and those that can be read before they are
// sealed: they have no digest and no end.
func (c *Case) exhibits() ([]evidence.Acquisition, error) {
	all, err := evidence.ReadExhibits(c.folder)
	if err != nil {
		return nil, err
	}
	under, err := c.watch.Look(c.folder)
	if err != nil {
		return nil, err
	}
	for i := range under {
		if under[i].Early && !hasExhibit(all, under[i].Exhibit) {
			all = append(all, unsealed(&under[i]))
		}
	}
	inOrder(all)
	return all, nil
}

func unsealed(u *acquire.Underway) evidence.Acquisition {
	return evidence.Acquisition{Exhibit: u.Exhibit, Kind: u.Kind, Label: u.Label, Source: u.Source, Bytes: u.Size, Started: u.Started, API: u.API, Unsealed: true}
}

// unsealedSum stands in the index for the digest of an exhibit that is not sealed.
const unsealedSum = "unsealed"

// sumText is the digest of an exhibit, as the index keeps it.
func sumText(a *evidence.Acquisition) string {
	if a.Unsealed {
		return unsealedSum
	}
	return a.SHA256.String()
}

// incomplete says how much of an exhibit is there.
func incomplete(u *acquire.Underway) *evidence.Incomplete {
	i := &evidence.Incomplete{State: "interrupted", Acquired: u.Done(), Error: u.Error}
	if u.Running {
		i.State = "running"
	}
	return i
}

// earlyImage is an image that is not sealed: each byte that it gives belongs to a
// block that had its digest.
type earlyImage struct {
	imaging.Source
	own    func() error // closes it
	source func() error // why nothing more comes from the source; nil for no reason
	// shared is set where many questions read it: what failed for one is that
	// one's, and begun tells it.
	shared bool
	fails  atomic.Int64
	last   atomic.Pointer[error]
}

// openEarly opens an exhibit that is not sealed.
func (c *Case) openEarly(exhibit string) (*sealedImage, error) {
	i := &earlyImage{}
	if e := c.early.image(exhibit); e != nil {
		i.Source, i.own, i.source = e, func() error { return nil }, e.Err
	} else {
		p, err := acquire.OpenPartial(c.folder, exhibit)
		if err != nil {
			return nil, err
		}
		i.Source, i.own, i.source = p, p.Close, func() error { return nil }
	}
	return &sealedImage{file: i, name: "image", exhibit: exhibit, early: i}, nil
}

// ReadAt reads as io.ReaderAt. That a byte is not to be had now is kept: the
// reader of a file system may take it for damage.
func (i *earlyImage) ReadAt(p []byte, off int64) (int, error) {
	n, err := i.Source.ReadAt(p, off)
	var lost *imaging.RangeError // what the source has lost is damage
	if err != nil && !errors.Is(err, io.EOF) && !errors.As(err, &lost) {
		i.last.Store(&err)
		i.fails.Add(1)
	}
	return n, err
}

// broken is why something was not to be had since fails was before.
func (i *earlyImage) broken(before int64) error {
	if i.fails.Load() > before {
		return *i.last.Load()
	}
	return i.source()
}

// begun begins to read what is shared with other questions. The function that it
// gives says why something was not to be had meanwhile, perhaps for another
// question; nil where all was.
func (c *Case) begun() func() error {
	before := c.disks.early()
	return func() error {
		for i := range c.disks.early() {
			if err := i.broken(before[i]); err != nil {
				return err
			}
		}
		return nil
	}
}

// Close closes it.
func (i *earlyImage) Close() error { return i.own() }

// lazily gives what an acquisition calls with its image when that can be read, and
// what has to be called when it came to its end.
func (c *Case) lazily(ctx context.Context, r *AcquireRequest) (begin func(*acquire.Early), end func()) {
	ctx, stop := context.WithCancel(ctx)
	var listing sync.WaitGroup
	var exhibit string
	begin = func(e *acquire.Early) {
		exhibit = e.Exhibit
		c.early.set(exhibit, e)
		c.disks.forget(exhibit)
		if r.NoIndex {
			return
		}
		listing.Go(func() {
			err := c.Index(ctx, IndexOptions{Exhibit: exhibit}, nil)
			if r.Browse != nil && ctx.Err() == nil {
				r.Browse(exhibit, err)
			}
		})
	}
	return begin, func() {
		stop() // what is sealed is listed from there
		listing.Wait()
		if exhibit != "" {
			c.early.set(exhibit, nil)
			c.disks.forget(exhibit)
		}
	}
}

// earlyMost is the most bytes of a file that is looked into before its exhibit is
// sealed.
const earlyMost = 1 << 20

// ofInterest says whether a file is one of those that hold access keys as a rule:
// settings of the AWS tools, histories of shells, environments, unit files, user
// data of cloud-init, and the state of what sets machines up.
func ofInterest(path string) bool {
	path = strings.ToLower(path)
	name := path[strings.LastIndexByte(path, '/')+1:]
	for _, part := range []string{".aws/", ".boto", ".s3cfg", ".env", "credential", "secret", "_history", ".tfstate", ".tfvars", ".npmrc", ".netrc", ".docker/config.json", "rclone.conf", "passwd-s3fs", ".git-credentials"} {
		if strings.Contains(path, part) {
			return true
		}
	}
	path = strings.TrimPrefix(path, "/")
	for _, under := range []string{"var/lib/cloud/", "etc/systemd/system/", "etc/environment", "etc/profile", "etc/cron", "var/spool/cron/"} {
		if strings.HasPrefix(path, under) {
			return true
		}
	}
	// What lies in a home itself, and is no picture, archive or program by its name.
	depth := strings.Count(path, "/")
	switch {
	case strings.HasPrefix(path, "root/") && depth == 1, strings.HasPrefix(path, "home/") && depth == 2:
		return isText(name)
	}
	return false
}

// isText says whether the name of a file is that of text, as a rule.
func isText(name string) bool {
	switch filepath.Ext(name) {
	case "", ".sh", ".py", ".rb", ".js", ".ts", ".go", ".php", ".pl", ".txt", ".md", ".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".config", ".xml", ".properties", ".tf", ".service", ".csv", ".log", ".bak", ".old":
		return true
	}
	return strings.HasPrefix(name, ".")
}

// openImage opens the image of an exhibit, sealed or not.
func (c *Case) openImage(a *evidence.Acquisition) (*sealedImage, error) {
	if a.Unsealed {
		i, err := c.openEarly(a.Exhibit)
		if !errors.Is(err, fs.ErrNotExist) {
			return i, err
		}
		// It was sealed a moment ago.
	}
	return openSealed(c.folder, a.Exhibit)
}

// inOrder sorts exhibits by their numbers.
func inOrder(all []evidence.Acquisition) {
	slices.SortFunc(all, func(a, b evidence.Acquisition) int { return exhibitNumber(a.Exhibit) - exhibitNumber(b.Exhibit) })
}
