package exfat

import (
	"context"
	"errors"
	"fmt"
)

const (
	// rootMost is how many records of the root directory are looked at for the
	// label and the tables, zonesMost how many files for their zone.
	rootMost  = 1 << 18
	zonesMost = 1 << 18
)

// readRoot takes the bitmap, the table of upper case, the label and the
// identifier from the root directory.
func (fs *FS) readRoot() error {
	t := fs.table()
	ch, err := fs.root(t, fs.g.newSet())
	if err != nil {
		return err
	}
	w := &tree{fs: fs, ctx: context.Background(), t: t}
	l := &level{runs: ch.head()}
	var bitmaps [][]byte
	labelled, upcase := false, false
	for range rootMost {
		r, _, err := w.step(l)
		if err != nil {
			return err
		}
		if r == nil || r[0] == 0 {
			break
		}
		switch r[0] {
		case inUse | typeBitmap:
			bitmaps = append(bitmaps, r)
		case inUse | typeUpcase:
			if upcase {
				continue
			}
			upcase = true
			if err := fs.loadUpcase(r); err != nil {
				return err
			}
		case inUse | typeLabel:
			if !labelled {
				n := min(int(r[1]), 11)
				u := make([]uint16, n)
				for i := range u {
					u[i] = le.Uint16(r[2+2*i:])
				}
				fs.info.Label, labelled = encode(u), true
			}
		case inUse | typeGUID:
			fs.note("the volume has the GUID %08x-%04x-%04x-%x-%x", le.Uint32(r[6:]), le.Uint16(r[10:]), le.Uint16(r[12:]), r[14:16], r[16:22])
		}
	}
	if err := fs.loadBitmaps(bitmaps); err != nil {
		return err
	}
	if fs.used == nil {
		fs.note("the bitmap of clusters in use is missing: which clusters are free is not known")
	}
	return nil
}

// upcaseMost is the largest table of upper case: two bytes for each of 65,536
// characters.
const upcaseMost = 128 << 10

// loadUpcase finds the table of upper case and checks its checksum. Names are
// not compared here, so it is used for nothing else.
func (fs *FS) loadUpcase(r []byte) error {
	first, size := le.Uint32(r[20:]), le.Uint64(r[24:])
	if !fs.g.valid(first) || size > upcaseMost {
		fs.note("the table of upper case has %d bytes and begins at cluster %d", size, first)
		return nil
	}
	ch, err := fs.table().follow(first, fs.g.clustersOf(int64(size)), fs.g.newSet())
	if err != nil {
		return err
	}
	fs.tables = append(fs.tables, ch.runs...)
	b := make([]byte, size)
	if _, err := fs.made(ch.runs, int64(size), int64(size), "").ReadAt(b, 0); err != nil && size > 0 {
		return fmt.Errorf("read the table of upper case: %w", err)
	}
	var sum uint32
	for _, c := range b {
		sum = sum<<31 | sum>>1
		sum += uint32(c)
	}
	if sum != le.Uint32(r[4:]) {
		fs.note("the checksum of the table of upper case is wrong")
	}
	return nil
}

// countZones counts the files in use whose times have no offset from UTC.
func (fs *FS) countZones() error {
	w := fs.walker(context.Background())
	files, local := 0, 0
	w.visit = func(f *found) ([]run, error) {
		if files++; files > zonesMost {
			return nil, errEnough
		}
		if h := f.head; h != nil && (!zoned(h[22]) || !zoned(h[23]) || !zoned(h[24])) {
			local++
		}
		if !f.dir() || f.stream == nil {
			return nil, nil
		}
		ch, err := w.t.resolve(fs.span(f.stream, true), false, w.dirs)
		if len(w.path)+len(f.name) > maxPath {
			return nil, err
		}
		return ch.head(), err
	}
	ch, err := fs.root(w.t, w.dirs)
	if err == nil {
		err = w.walk(level{parent: rootInode, runs: ch.head()}, "", false)
	}
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if local > 0 {
		fs.note("%d of the %d files looked at do not record how far their times are from UTC: those are local times of the system that wrote them, shown as if they were UTC", local, min(files, zonesMost))
	}
	return nil
}
