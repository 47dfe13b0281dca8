package store

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"snapcase/evidence"
	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// OpenEntry gives the content of the entry that a names, from the sealed
// image, and what the index says of it. Damage of the entry is what the index
// says or, where that is silent, what reading the content found; the entry has
// its extended attributes. The path of a
// may be missing: then the first name of that inode and generation counts,
// those in use before deleted ones. The source is valid until Close.
func (c *Case) OpenEntry(ctx context.Context, a evidence.Address) (imaging.Source, evidence.FileEntry, error) {
	e, err := c.findEntry(ctx, a)
	if err != nil {
		return nil, evidence.FileEntry{}, fmt.Errorf("open %s: %w", a, err)
	}
	v, err := c.volume(ctx, e.Exhibit, e.Volume)
	if err != nil {
		return nil, e.FileEntry, fmt.Errorf("open %s: %w", a, err)
	}
	missing := c.begun()
	src, err := v.FS.Open(e.ref())
	if broken := cmp.Or(c.broken(e.Exhibit), missing()); broken != nil {
		return nil, e.FileEntry, fmt.Errorf("open %s: %w", a, broken)
	}
	if err != nil {
		if e.Status != filesystem.Allocated.String() {
			err = evidence.WithHint(err, "the entry is %s: its content is not to be had any more", e.Status)
		}
		return nil, e.FileEntry, fmt.Errorf("open %s: %w", a, err)
	}
	e.damaged(damageOf(src))
	one := []entryRow{e}
	if err := c.readAttributes(ctx, one); err != nil {
		return nil, e.FileEntry, fmt.Errorf("open %s: %w", a, err)
	}
	if err := missing(); err != nil {
		return nil, e.FileEntry, fmt.Errorf("open %s: %w", a, err)
	}
	return src, one[0].FileEntry, nil
}

// OpenImage gives the sealed image of a disk or memory exhibit, or what of it can
// be had before it is sealed. The source is valid until Close.
func (c *Case) OpenImage(ctx context.Context, exhibit string) (imaging.Source, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	all, err := c.exhibits()
	if err != nil {
		return nil, fmt.Errorf("open image of %s: %w", exhibit, err)
	}
	for _, x := range all {
		switch {
		case x.Exhibit != exhibit:
		case !x.Kind.Image():
			return nil, fmt.Errorf("open image of %s: it is a folder of kind %s: %w", exhibit, x.Kind, evidence.ErrUsage)
		default:
			return c.disks.image(c, &x)
		}
	}
	return nil, evidence.WithHint(fmt.Errorf("open image of %s: %w", exhibit, evidence.ErrNotFound), "snapcase stats CASE lists the exhibits")
}

// broken is the breach of an image that was read and that the volumes of the
// exhibit lie on, as an error; nil for none.
func (c *Case) broken(exhibit string) error {
	if i := c.disks.last(exhibit); i != nil {
		if err := i.failed(); err != nil {
			return err
		}
	}
	return c.disks.broken(exhibit)
}

// findEntry looks an address up in the index.
func (c *Case) findEntry(ctx context.Context, a evidence.Address) (entryRow, error) {
	q, err := c.ask(ctx)
	if err != nil {
		return entryRow{}, err
	}
	defer q.end() //nolint:errcheck // read-only
	all, err := q.inodeRows(ctx, a)
	if err != nil {
		return entryRow{}, err
	}
	e, err := chooseEntry(all, a)
	if err != nil {
		return entryRow{}, err
	}
	return *e, nil
}

const findHint = "snapcase files CASE prints the addresses"

// chooseEntry is the one of the names of an inode that an address means.
func chooseEntry(all []entryRow, a evidence.Address) (*entryRow, error) {
	var best *entryRow
	var other []string
	for i := range all {
		e := &all[i]
		switch {
		case e.Generation != a.Generation:
			if g := fmt.Sprint(e.Generation); len(other) == 0 || other[len(other)-1] != g {
				other = append(other, g)
			}
		case a.Path != "" && e.path != a.Path && asJSON(e.path) != a.Path:
		case best == nil || rankOf(e, a) < rankOf(best, a):
			best = e
		}
	}
	switch {
	case best != nil:
		return best, nil
	case len(all) == 0:
		return nil, evidence.WithHint(fmt.Errorf("no such inode in the index: %w", evidence.ErrNotFound), findHint)
	case strings.Contains(a.Path, "!"):
		return nil, evidence.WithHint(fmt.Errorf("inode %d has no such name: %w", a.Inode, evidence.ErrNotFound), "what stands behind a ! lies inside the file before it: snapcase cat prints it, or extract that file and unpack it")
	case len(other) > 0 && len(all) == 1:
		return nil, evidence.WithHint(fmt.Errorf("inode %d has generation %s, not %d: %w", a.Inode, other[0], a.Generation, evidence.ErrNotFound), findHint)
	}
	return nil, evidence.WithHint(fmt.Errorf("inode %d has %d names, none with that generation and path: %w", a.Inode, len(all), evidence.ErrNotFound), findHint)
}

// rankOf orders names that an address could mean: the very bytes of the path
// first, then what is in use, then what has its own content.
func rankOf(e *entryRow, a evidence.Address) int {
	n := 0
	if a.Path != "" && e.path != a.Path {
		n += 4
	}
	if e.Status == filesystem.Deleted.String() {
		n += 2
	}
	if e.stream != "" {
		n++
	}
	return n
}

// asJSON is a path as the JSON of an address shows it: every byte that is not
// UTF-8 becomes U+FFFD.
func asJSON(path string) string {
	var b strings.Builder
	for _, r := range path {
		b.WriteRune(r)
	}
	return b.String()
}
