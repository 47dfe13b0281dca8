package ext4

import (
	"bytes"
	"cmp"
	"slices"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// second gives out the deleted and orphaned entries of an inode.
func (w *walker) second(ino uint32, r *record) error {
	for _, at := range w.live {
		n := w.x.names.at(at)
		if w.status(r, &n) == filesystem.Allocated {
			continue
		}
		e := w.named(r, &n)
		w.deletion(&e, r)
		if err := w.give(&e); err != nil {
			return err
		}
	}
	told := len(w.live) > 0 || ino == rootInode
	w.told = w.told[:0]
	for _, at := range w.distinct(r.e.Ref.Generation) {
		e, own, err := w.formerly(ino, r, at)
		if err != nil {
			return err
		}
		told = told || own
		if err := w.give(&e); err != nil {
			return err
		}
	}
	if err := w.namelessLives(ino, r); err != nil {
		return err
	}
	if told || r.missing || !w.x.fs.worthRecord(ino, r) {
		return nil
	}
	e := r.e
	e.Path, e.From, e.Status = nameless(ino), "inode", filesystem.Deleted
	_, listed := w.x.orphans[ino]
	if r.used && (r.live || listed || !w.x.fs.deletionTime(r.dtime)) {
		e.Status = filesystem.Orphan
		if listed {
			e.From = "orphan-list"
		} else if r.attribute {
			e.From = "ea-inode"
		}
	}
	w.fromPast(&e, r)
	w.deletion(&e, r)
	w.dirDamage(&e)
	return w.give(&e)
}

// deletionTime says that a dtime is a time and not the next inode of the
// orphan list.
func (fs *FS) deletionTime(t uint32) bool { return t > fs.sb.maxInode() }

// deletion sets the time of deletion of an entry that is deleted.
func (w *walker) deletion(e *filesystem.Entry, r *record) {
	if e.Status == filesystem.Deleted && w.x.fs.deletionTime(r.dtime) {
		e.Deleted = imaging.Time{Sec: int64(r.dtime), Set: true}
	}
}

// worthRecord repeats worth for an inode whose names, if any, were told
// without it.
func (fs *FS) worthRecord(ino uint32, r *record) bool {
	return !fs.reserved(ino) && (r.e.Type != filesystem.TypeUnknown || r.used && r.e.Mode != 0)
}

// origin is the word of Entry.From for a name that is not live.
func origin(n *name) string {
	switch {
	case n.flags&nameResidual != 0:
		return "dir-residual"
	case n.flags&nameSalvaged != 0:
		return "dir-damage"
	}
	return "dir-slack"
}

// dropped is the entry of a name that is no longer live. own says that the
// entry tells what the inode says.
func (w *walker) dropped(ino uint32, r *record, n *name) (e filesystem.Entry, own bool) {
	kind := fileKind(n.ftype)
	e = bare(ino, n)
	e.Ref.Generation = r.e.Ref.Generation
	switch {
	case r.missing:
		e.Damage = r.e.Damage
	case r.live || r.used:
		e.Ref.Stream = reallocated
		e.Damage = "reallocated: the inode is in use under another name: renamed, or freed and used again"
	case r.e.Type == filesystem.TypeUnknown:
		e.Damage = "partial: the inode is empty"
	case kind != filesystem.TypeUnknown && kind != r.e.Type:
		e.Ref.Stream = reallocated
		e.Damage = "reallocated: the inode was freed again as a " + r.e.Type.String()
	default:
		e, own = r.e, true
	}
	e.Status, e.From = filesystem.Deleted, origin(n)
	e.Path, e.Parent = w.paths.of(n), uint64(w.x.dirs[n.dir].ino)
	if own {
		w.deletion(&e, r)
		w.dirDamage(&e)
	}
	return e, own
}

// distinct gives w.dead without stale copies: of names of the same life of the
// inode, which has the generation gen now, that are live in the same directory,
// and of one another. Directories that grow an index leave many.
func (w *walker) distinct(gen uint32) []uint32 {
	if len(w.dead) == 0 {
		return nil
	}
	all := append(append(make([]uint32, 0, len(w.live)+len(w.dead)), w.live...), w.dead...)
	t := &w.x.names
	name := func(a, b uint32) int {
		x, y := t.at(a), t.at(b)
		return cmp.Or(cmp.Compare(x.dir, y.dir), bytes.Compare(x.text, y.text))
	}
	same := func(a, b uint32) int { return cmp.Or(name(a, b), cmp.Compare(w.lifeOf(a, gen), w.lifeOf(b, gen))) }
	slices.SortStableFunc(all, same) // live names stay before dead ones
	kept := w.dead[:0]
	for i, at := range all {
		if i > 0 && (same(all[i-1], at) == 0 || w.lifeOf(at, gen) == lifeUnknown && name(all[i-1], at) == 0) {
			continue // an unknown life is told only where the name says nothing else
		}
		if t.at(at).flags != 0 {
			kept = append(kept, at)
		}
	}
	slices.Sort(kept)
	return kept
}

// lifeUnknown is what lifeOf gives for an earlier life that none knows.
const lifeUnknown = 1 << 32

// lifeOf numbers the lives of an inode that a name may belong to: 0 is the
// last one.
func (w *walker) lifeOf(at, gen uint32) uint64 {
	l, ok := w.x.fromLog[at]
	switch {
	case !ok || l.gen == gen && !l.other:
		return 0
	case l.other:
		return lifeUnknown
	}
	return 1<<33 | uint64(l.gen)
}
