package store

import (
	"context"
	"fmt"
	"slices"

	"snapcase/evidence"
	"snapcase/imaging/disk"
	"snapcase/imaging/filesystem"
)

// This file is of bytes of an exhibit that belong to a volume which is listed
// under another: an LV whose second half lies here.

// volumeOf is the volume of an owner, nil where there is none.
func (l *imageLoad) volumeOf(o *disk.Owner) *disk.Volume {
	if o.Image == l.disk.Name {
		return l.disk.Volume(o.Volume)
	}
	for _, v := range l.disk.Foreign() {
		if v.ID == o.Volume && v.Image == o.Image {
			return v
		}
	}
	return nil
}

// nameForeign finds the names of the files that hits were found in and that are
// listed under another exhibit: of each the first one in the order of the
// listing, allocated ones first.
func (l *imageLoad) nameForeign(ctx context.Context) error {
	for _, v := range l.disk.Foreign() {
		left := 0
		for k := range l.wanted {
			if k.image == v.Image && k.volume == v.ID {
				left++
			}
		}
		if left == 0 || v.FS == nil {
			continue
		}
		for e, err := range v.FS.Walk(ctx) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				if evidence.Canceled(err) {
					return err
				}
				if e.Path == "" {
					l.gap(v.Image+"/"+v.ID, v.Start, fmt.Sprintf("names of files whose bytes lie in %s: %v", l.acq.Exhibit, err))
				}
			}
			if n := l.wanted[ownerKey{v.Image, v.ID, e.Ref}]; n != nil && e.Path != "" {
				n.better(&e)
			}
		}
	}
	return ctx.Err()
}

// better takes the name of an entry where it comes before the one that is
// known.
func (n *ownerName) better(e *filesystem.Entry) {
	path, rank := e.Path, e.Status
	if path[0] != '/' {
		path = "/" + path
	}
	if rank == filesystem.Deleted {
		rank = filesystem.Orphan + 1 // behind what is in use
	}
	if !n.found || rank < n.rank || rank == n.rank && path < n.path {
		*n = ownerName{path: path, found: true, rank: rank}
	}
}

// planDisks opens the disks of what is in the index or will be, and adds to the
// plan the exhibits whose volumes are put together in another way than when
// they were loaded: another exhibit that holds a part of them came or went.
func (c *Case) planDisks(ctx context.Context, db queryer, all, plan []evidence.Acquisition, stale []int) ([]evidence.Acquisition, *diskSet, error) {
	isDisk := func(a evidence.Acquisition) bool { return a.Kind == evidence.KindDisk }
	if len(stale) == 0 && !slices.ContainsFunc(plan, isDisk) {
		return plan, nil, nil
	}
	was := map[string]string{}
	rows, err := db.QueryContext(ctx, "SELECT exhibit, "+shapeColumn+" FROM loads")
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close() //nolint:errcheck // Err is asked
	for rows.Next() {
		var exhibit, shape string
		if err := rows.Scan(&exhibit, &shape); err != nil {
			return nil, nil, err
		}
		was[exhibit] = shape
	}
	if err := rows.Err(); err != nil {
		return nil, nil, err
	}
	planned := map[string]bool{}
	for _, a := range plan {
		planned[a.Exhibit] = true
	}
	var disks []evidence.Acquisition
	for _, a := range all {
		if _, loaded := was[a.Exhibit]; isDisk(a) && (loaded || planned[a.Exhibit]) {
			disks = append(disks, a)
		}
	}
	c.mu.Lock()
	fresh := c.fresh
	c.mu.Unlock()
	s := openDisks(disks, func(a *evidence.Acquisition) (*sealedImage, error) {
		i, err := c.openImage(a)
		switch {
		case err != nil:
		case a.Exhibit == fresh:
			i.trust()
		default:
			i.checkLater()
		}
		return i, err
	})
	for _, a := range disks {
		if !planned[a.Exhibit] && !a.Unsealed && s.disks[a.Exhibit] != nil && s.shape(a.Exhibit) != was[a.Exhibit] {
			plan = append(plan, a)
		}
	}
	slices.SortFunc(plan, func(a, b evidence.Acquisition) int { return exhibitNumber(a.Exhibit) - exhibitNumber(b.Exhibit) })
	return plan, s, nil
}
