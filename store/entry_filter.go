package store

import (
	"context"
	"fmt"
	"strings"

	"snapcase/imaging/filesystem"
)

// entryFilter says which entries belong to a listing; the zero value lets all
// of them.
type entryFilter struct {
	deleted, allocated, folders bool
	path                        *glob
	name                        string         // folded; "" for any
	in                          map[int64]bool // directories; nil for all
	root                        bool           // they are roots, which do not lie in themselves
	dir                         int64          // whose path is dirPath
	dirPath                     string
}

// all says that nothing is left out.
func (f *entryFilter) all() bool {
	return !f.deleted && !f.allocated && !f.folders && f.path == nil && f.name == "" && f.in == nil
}

// has says whether an entry belongs to the listing.
func (f *entryFilter) has(ctx context.Context, q *question, e *listedEntry) (bool, error) {
	kind, status := e.kind()
	switch {
	case f.deleted && status == filesystem.Allocated,
		f.allocated && status != filesystem.Allocated,
		f.folders && kind != filesystem.TypeDir,
		f.in != nil && !f.in[e.dir],
		f.in != nil && f.root && len(e.name) == 0 && kind == filesystem.TypeDir && status == filesystem.Allocated,
		f.path != nil && f.path.last != "" && string(e.name) != f.path.last,
		f.name != "" && !strings.Contains(fold(string(e.name)), f.name):
		return false, nil
	}
	if f.path == nil {
		return true, nil
	}
	if f.dir != e.dir {
		d, err := q.directories(ctx, []int64{e.dir})
		if err != nil {
			return false, fmt.Errorf("entry %d: %w", e.id, err)
		}
		f.dir, f.dirPath = e.dir, d[e.dir].path
	}
	return f.path.match(f.dirPath + "/" + string(e.name)), nil
}
