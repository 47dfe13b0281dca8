package ext4

import (
	"slices"

	"snapcase/imaging/filesystem"
)

// doubtful is the damage of a name that may have been that of another file.
const doubtful = "partial: that the name was this file's, and not that of an earlier one with the same inode, is likely and not certain"

// formerly is the entry of a name that is no longer live. own says that it
// tells what the inode says.
func (w *walker) formerly(ino uint32, r *record, at uint32) (e filesystem.Entry, own bool, err error) {
	found := w.x.names.at(at)
	n := &found
	l, ok := w.x.fromLog[at]
	if !ok {
		e, own = w.dropped(ino, r, n)
		if own {
			w.fromPast(&e, r)
			addDamage(&e, doubtful)
		}
		w.x.doubt(&e, n)
		return e, own, nil
	}
	gen, past := r.e.Ref.Generation, int32(0)
	switch {
	case l.other:
		e = reused(ino, n, gen, "reallocated: the inode was used again since; nothing else is known of the file")
	case l.gen != gen || r.e.Type == filesystem.TypeUnknown:
		if e, past, err = w.lifeEntry(ino, l.gen, n); err != nil {
			return e, false, err
		}
	case r.missing:
		e = bare(ino, n)
		e.Damage = r.e.Damage
	case r.live:
		e = reused(ino, n, gen, "reallocated: the inode is in use under another name: renamed, or one of several links was removed")
	case r.used: // open when its name went: what it is is given as an orphan too
		e = r.e
	default:
		e, own, past = r.e, true, r.past
	}
	if kind := fileKind(n.ftype); own && kind != filesystem.TypeUnknown && kind != e.Type {
		e, own = reused(ino, n, gen, "reallocated: the inode was freed again as a "+e.Type.String()), false
	}
	if !l.sure && !l.other && (own || e.Ref.Stream == "") {
		addDamage(&e, doubtful)
	}
	w.x.doubt(&e, n)
	e.Status, e.From = filesystem.Deleted, w.x.past.h.origin(l.when)
	if past != 0 && past != l.when {
		e.From += "+" + w.x.past.h.origin(past)
	}
	e.Path, e.Parent = w.paths.of(n), uint64(w.x.dirs[n.dir].ino)
	if own {
		w.deletion(&e, r)
		w.dirDamage(&e)
	}
	return e, own, nil
}

// reused is the entry of a name whose inode is another file's.
func reused(ino uint32, n *name, gen uint32, damage string) filesystem.Entry {
	e := bare(ino, n)
	e.Ref.Generation, e.Ref.Stream, e.Damage = gen, reallocated, damage
	return e
}

// fromPast adds to From which transaction told what the inode was.
func (w *walker) fromPast(e *filesystem.Entry, r *record) {
	if r.past != 0 {
		e.From += "+" + w.x.past.h.origin(r.past)
	}
}

// lifeEntry is the entry of a life of an inode that has another one now, and
// the transaction that tells it; n is its name or nil.
func (w *walker) lifeEntry(ino, gen uint32, n *name) (e filesystem.Entry, past int32, err error) {
	l := w.x.past.h.life(ino, gen)
	if l == nil {
		return reused(ino, n, gen, "reallocated: the inode was used again since; nothing else is left of the file"), 0, nil
	}
	w.told = append(w.told, gen)
	r, err := w.x.fs.lifeRecord(l, &w.tree, w.x.past)
	if err != nil {
		return r.e, 0, err
	}
	if n != nil && fileKind(n.ftype) != filesystem.TypeUnknown && fileKind(n.ftype) != r.e.Type {
		return reused(ino, n, gen, "reallocated: the inode was used again since; the journal says that it was a "+r.e.Type.String()), 0, nil
	}
	addDamage(&r.e, "reallocated: the inode was used again since")
	return r.e, l.when, nil
}

// namelessLives gives out the lives of an inode that are over and that no name
// was given out for.
func (w *walker) namelessLives(ino uint32, r *record) error {
	if w.x.fs.reserved(ino) {
		return nil
	}
	h := w.x.past.h
	for _, l := range h.livesOf(ino) {
		if l.gen == r.e.Ref.Generation && r.e.Type != filesystem.TypeUnknown || slices.Contains(w.told, l.gen) {
			continue
		}
		e, past, err := w.lifeEntry(ino, l.gen, nil)
		if err != nil {
			return err
		}
		e.Path, e.From = nameless(ino), h.origin(past)
		if err := w.give(&e); err != nil {
			return err
		}
	}
	return nil
}
