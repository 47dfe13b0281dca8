package ntfs

import (
	"fmt"
	"maps"
	"slices"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

const (
	// maxGone bounds the files that only the change journal knows, maxStates how
	// many records of the MFT are remembered, maxGoneUp how many such
	// directories one path goes through.
	maxGone, maxStates, maxGoneUp = 1 << 19, 1 << 16, 256

	usnDirectory = 0x10  // an attribute
	usnCreate    = 0x100 // reasons
	usnDelete    = 0x200
)

// gone is the files whose records were used again and of which the change
// journal still has the name: the last one.
type gone struct {
	*scanner
	paths    *paths
	dirsOnly bool
	by       map[uint64]goneFile // by reference
	full     bool                // there are more
	states   map[uint64]dir      // of records of the MFT: sequence number and use
	places   map[uint64]string   // of directories that are gone
}

// goneFile is what the journal says of one.
type goneFile struct {
	dir     uint64 // reference
	name    string
	attrs   uint32
	born    imaging.Time
	deleted imaging.Time
}

func newGone(s *scanner, p *paths) *gone {
	return &gone{scanner: s, paths: p, by: make(map[uint64]goneFile), states: make(map[uint64]dir), places: make(map[uint64]string)}
}

// state is the sequence number of a record and whether it is in use; where
// there is none it fits nothing.
func (g *gone) state(number uint64) (dir, error) {
	if d, ok := g.states[number]; ok {
		return d, nil
	}
	d := dir{inUse: true}
	if number < g.fs.records {
		raw := make([]byte, 24)
		if _, err := g.fs.mft.ReadAt(raw, int64(number)*g.fs.boot.record); err != nil && !isEOF(err) { //nolint:gosec // inside the MFT
			return d, err
		}
		if s := string(raw[:4]); s == "FILE" || s == "BAAD" {
			d.seq, d.inUse = le.Uint16(raw[16:]), le.Uint16(raw[22:])&1 != 0
		}
	}
	if len(g.states) >= maxStates {
		clear(g.states)
	}
	g.states[number] = d
	return d, nil
}

// collect reads the journals.
func (g *gone) collect(all []journal) error {
	u := newUSNReader(g.scanner)
	u.lost = func(*journal, int64, int64, string) error { return nil } // Changes tells
	u.found = func(_ *journal, _ int64, r *usnRecord) error {
		if g.dirsOnly && r.attrs&usnDirectory == 0 {
			return nil
		}
		f, known := g.by[r.file]
		if !known {
			is, err := g.isGone(r.file)
			if err != nil || !is {
				return err
			}
			if len(g.by) == maxGone {
				g.full = true
				return nil
			}
		}
		f.dir, f.name, f.attrs = r.dir, r.name, r.attrs
		if !f.born.Set && r.reason&usnCreate != 0 {
			f.born = r.time
		}
		if r.reason&usnDelete != 0 && !f.deleted.Set {
			f.deleted = r.time
		}
		g.by[r.file] = f
		return nil
	}
	for i := range all {
		if err := u.read(&all[i]); err != nil {
			return err
		}
	}
	return nil
}

// isGone says that the record of a file was used again, or is not there.
func (g *gone) isGone(file uint64) (bool, error) {
	r := splitRef(file)
	now, err := g.state(r.number)
	return r.seq != 0 && !now.fits(r.seq), err
}

// place is the path of a directory; known is false where it is not.
func (g *gone) place(file uint64) (path string, known bool) {
	below, at := "", file
	for range maxGoneUp {
		r := splitRef(at)
		if r.number == recRoot {
			path, known = "", true
			break
		}
		if d, ok := g.paths.dirs[r.number]; ok && r.seq != 0 && d.fits(r.seq) && d.name != "" {
			path, known = g.paths.of(r.number, r.seq).path, true
			break
		}
		if path, known = g.places[at]; known {
			break
		}
		f, ok := g.by[at]
		if !ok || f.attrs&usnDirectory == 0 || len(below)+len(f.name) >= maxPath {
			break
		}
		below, at = "/"+f.name+below, f.dir
	}
	if !known {
		path = orphanage
	}
	if len(path)+len(below) > maxPath {
		return orphanage, false
	}
	if path += below; known && below != "" {
		if len(g.places) >= keptPaths {
			clear(g.places)
		}
		g.places[file] = path
	}
	return path, known
}

// journal gives an entry for each file that is gone and has a name in the
// change journal only.
func (w *walker) journal() error {
	journals, err := w.journals()
	if err != nil || len(journals) == 0 {
		return err
	}
	g := newGone(w.scanner, &w.paths)
	if err := g.collect(journals); err != nil {
		return err
	}
	for _, file := range slices.Sorted(maps.Keys(g.by)) {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		f := g.by[file]
		if _, ok := w.given[w.key(file, f.name)]; ok {
			continue // the index of its directory told more
		}
		if !w.yield(g.entry(file, f), nil) {
			return errEnough
		}
	}
	if g.full {
		err := journals[0].damage(0, fmt.Sprintf("the change journal names more than %d files that are gone: the rest are on the timeline only", maxGone))
		if !w.yield(filesystem.Entry{}, err) {
			return errEnough
		}
	}
	return nil
}

// entry is a file of which only its name and its times are known.
func (g *gone) entry(file uint64, f goneFile) filesystem.Entry {
	r, up := splitRef(file), splitRef(f.dir)
	at, known := g.place(f.dir)
	e := filesystem.Entry{
		Ref: filesystem.Ref{Inode: r.number, Generation: uint32(r.seq)}, Path: at + "/" + f.name, Type: filesystem.TypeFile,
		Status: filesystem.Deleted, From: usnFrom, First: -1, Born: f.born, Deleted: f.deleted,
		Damage: "reallocated: the record was used again: size and content are not known",
	}
	if r.number >= g.fs.records {
		e.Damage = fmt.Sprintf("range: record %d does not exist: size and content are not known", r.number)
	}
	if known {
		e.Parent = up.number
	}
	if f.attrs&usnDirectory != 0 {
		e.Type = filesystem.TypeDir
	}
	e.Mode = mode(e.Type, f.attrs)
	return e
}
