package ntfs

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"strings"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// errEnough says that the consumer has left.
var errEnough = errors.New("enough")

func isFormat(err error) bool {
	var f *imaging.FormatError
	return errors.As(err, &f)
}

// Walk yields every entry in the order that the package comment gives. It
// reads the MFT three times: for the directories, for what is allocated, and
// where there is any for what is not; then the index blocks of all directories.
// What is kept in memory is a name and about 100 bytes for each directory, 40
// bytes for each deleted file and for each of one directory at a time, and one
// bit for each record.
func (fs *FS) Walk(ctx context.Context) iter.Seq2[filesystem.Entry, error] {
	return func(yield func(filesystem.Entry, error) bool) {
		w := &walker{scanner: fs.newScanner(ctx), yield: yield, hash: maphash.MakeSeed(), given: make(map[uint64]struct{}), clusters: bitmap{c: fs.bitmap}, used: bitmap{c: fs.used}}
		if err := w.walk(); err != nil && !errors.Is(err, errEnough) {
			yield(filesystem.Entry{}, fmt.Errorf("walk ntfs: %w", err))
		}
	}
}

type walker struct {
	*scanner
	yield    func(filesystem.Entry, error) bool
	paths    paths
	clusters bitmap
	used     bitmap
	later    []uint64 // a bit for each record that has something for the second round
	second   bool
	hash     maphash.Seed
	given    map[uint64]struct{} // keys of the names given in the second round
}

func (w *walker) walk() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	dirs, err := w.directories()
	if err != nil {
		return err
	}
	w.paths = paths{dirs: dirs, kept: make(map[uint64]place)}
	w.later = make([]uint64, (w.fs.records+63)/64)
	if err := w.root(); err != nil {
		return err
	}
	if err := w.each(0, w.fs.records, w.record); err != nil {
		return err
	}
	w.second = true
	for i := range w.later {
		if w.later[i] == 0 {
			continue
		}
		first := uint64(i) * 64 //nolint:gosec // an index
		if err := w.each(first, min(first+64, w.fs.records), w.record); err != nil {
			return err
		}
	}
	if err := w.slack(); err != nil {
		return err
	}
	return w.journal()
}

// give yields an entry in the round that its status belongs to.
func (w *walker) give(e filesystem.Entry) error {
	if second := e.Status != filesystem.Allocated; second != w.second {
		if second {
			w.later[e.Ref.Inode/64] |= 1 << (e.Ref.Inode % 64)
		}
		return nil
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if !w.yield(e, nil) {
		return errEnough
	}
	return nil
}

// root gives the root and its streams first, also when its record is damaged.
func (w *walker) root() error {
	f, err := w.fs.file(recRoot, &w.budget)
	if err != nil {
		return err
	}
	if f == nil {
		return w.give(filesystem.Entry{
			Ref: filesystem.Ref{Inode: recRoot}, Parent: recRoot, Path: "/", Type: filesystem.TypeDir, Mode: modeDir | 0o777, First: -1,
			Damage: "csum: the record of the root directory is lost",
		})
	}
	e, err := w.entry(f)
	if err != nil {
		return err
	}
	e.Path, e.Parent, e.Status, e.Type = "/", recRoot, filesystem.Allocated, filesystem.TypeDir
	if err := w.give(e); err != nil {
		return err
	}
	return w.streams(f, e, "/")
}

// record gives the entries of one record.
func (w *walker) record(r *record) error {
	if r.number == recRoot {
		return nil
	}
	if !r.file {
		return w.stranger(r)
	}
	stray, err := w.fs.stray(r)
	if err != nil || r.part() && !stray || r.blank() && !r.inUse {
		return err
	}
	f, err := w.fs.gather(r, &w.budget)
	if err != nil {
		return err
	}
	f.stray = stray
	names := f.names()
	e, err := w.entry(f)
	if err != nil {
		return err
	}
	if stray {
		join(&e.Damage, "partial: it is a part of record %d, which is gone", r.base)
	}
	if len(names) == 0 {
		return w.nameless(f, e)
	}
	for i, n := range names {
		e := e
		w.name(&e, f, n)
		if w.second {
			w.given[w.key(n.parent, n.name)] = struct{}{}
		}
		if err := w.give(e); err != nil {
			return err
		}
		if i > 0 {
			continue
		}
		if err := w.streams(f, e, e.Path+":"); err != nil {
			return err
		}
	}
	return nil
}

// name sets what depends on one name of the file.
func (w *walker) name(e *filesystem.Entry, f *file, n fileName) {
	at := w.paths.of(n.parent, n.seq)
	e.Path, e.Parent = at.path+"/"+n.name, n.parent
	switch {
	case !f.inUse:
		e.Status, e.From = filesystem.Deleted, "mft"
	case !at.live || f.stray:
		e.Status, e.From = filesystem.Orphan, "mft"
		if !at.lost {
			e.Path = orphanage + e.Path
		}
	}
	if at.path == orphanage && at.lost {
		e.Parent = 0
	}
	if at.why != "" {
		join(&e.Damage, "%s", at.why)
	}
	if strings.ContainsAny(n.name, "/\x00") {
		join(&e.Damage, "range: the name contains a slash or a zero")
	}
	if !e.Modified.Set && !e.Born.Set && len(n.value) >= 40 && f.stream(typeStandard, "") == nil {
		e.Born, e.Modified, e.Changed, e.Accessed = moment(n.value[8:]), moment(n.value[16:]), moment(n.value[24:]), moment(n.value[32:])
		join(&e.Damage, "partial: the times are those of the name")
	}
}

// nameless gives a record that has no name. Records 12 to 23 are kept for
// later versions of NTFS: empty and without a name, they are passed over.
func (w *walker) nameless(f *file, e filesystem.Entry) error {
	if f.number >= 12 && f.number < firstUser && e.Size == 0 && e.Damage == "" {
		return nil
	}
	e.Path, e.Status, e.From = recordName(f.number), filesystem.Orphan, "mft"
	if !f.inUse {
		e.Status = filesystem.Deleted
	}
	if err := w.give(e); err != nil {
		return err
	}
	return w.streams(f, e, e.Path+":")
}

// stranger gives what stands where the MFT's bitmap says that a record is.
func (w *walker) stranger(r *record) error {
	set, err := w.used.get(r.number)
	if err != nil || !set {
		return err
	}
	return w.give(filesystem.Entry{
		Ref: filesystem.Ref{Inode: r.number}, Path: recordName(r.number), Status: filesystem.Orphan, From: "mft", First: -1,
		Damage: "csum: the record is in use and lacks its signature",
	})
}

// streams gives the named streams of an entry: of a file with several names
// under the first.
func (w *walker) streams(f *file, e filesystem.Entry, prefix string) error {
	if prefix == "/" {
		prefix = "/:"
	}
	var done []string
	for _, a := range f.attrs {
		if a.kind != typeData || a.name == "" || contains(done, a.name) {
			continue
		}
		if len(done) == maxStreams {
			e.Damage = fmt.Sprintf("range: more than %d streams: the rest is left out", maxStreams)
			e.Path, e.Size, e.Type, e.First, e.Ref.Stream = prefix, 0, filesystem.TypeUnknown, -1, "\x00"
			return w.give(e)
		}
		done = append(done, a.name)
		x := e
		x.Ref.Stream, x.Path, x.Type, x.Mode, x.Link, x.Damage, x.Rdev = a.name, prefix+a.name, filesystem.TypeFile, modeFile|e.Mode&0o777, "", f.damage, 0
		if err := w.content(&x, f, f.stream(typeData, a.name)); err != nil {
			return err
		}
		if err := w.give(x); err != nil {
			return err
		}
	}
	return nil
}

func contains(all []string, s string) bool {
	for _, a := range all {
		if a == s {
			return true
		}
	}
	return false
}
