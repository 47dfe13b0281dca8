package xfs

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"snapcase/imaging/filesystem"
)

// second gives out the deleted and orphaned entries of an inode.
func (w *walker) second(ino uint64, r *record) error {
	for _, at := range w.live {
		live := w.x.names.at(at)
		n := &live
		if w.status(r, n) == filesystem.Allocated {
			continue
		}
		e := w.named(r, n)
		w.deletion(&e, r)
		if err := w.give(&e); err != nil {
			return err
		}
	}
	told := len(w.live) > 0 || ino == w.x.fs.sb.root
	dead := w.distinct()
	for _, at := range dead {
		n := w.x.names.at(at)
		e, own := w.dropped(ino, r, &n, len(dead))
		told = told || own
		if err := w.give(&e); err != nil {
			return err
		}
	}
	if told || r.missing || r.blank && !r.taken || w.x.fs.reserved(ino) {
		return nil
	}
	e := r.e
	e.Path, e.From, e.Status = nameless(ino), "inode", filesystem.Deleted
	if r.live {
		e.Status = filesystem.Orphan
		if _, ok := w.x.unlinked[ino]; ok {
			e.From = "unlinked-list"
		}
		if !r.taken {
			addDamage(&e, "range: the inode tree says that the inode is free")
		}
	} else if r.taken {
		addDamage(&e, "range: the inode tree says that the inode is in use")
	}
	if r.past {
		e.From = "inode+log"
	}
	w.deletion(&e, r)
	w.dirDamage(&e)
	return w.give(&e)
}

// deletion sets the time of deletion of an entry that is deleted: that of the
// last change of an inode which is free.
func (w *walker) deletion(e *filesystem.Entry, r *record) {
	if e.Status == filesystem.Deleted && !r.live && !r.blank && !r.missing && !r.stray {
		e.Deleted = r.e.Changed
	}
}

// origin is the word of Entry.From for a name that is not live.
func origin(n *name) string {
	switch {
	case n.flags&nameLog != 0:
		return "log"
	case n.flags&nameStray != 0:
		return "stray-block"
	case n.flags&nameResidual != 0:
		return "dir-residual"
	case n.flags&nameSalvaged != 0:
		return "dir-damage"
	}
	return "dir-slack"
}

// dropped is the entry of a name that is no longer live; others is how many
// such names lead to the inode. own says that the entry tells what the inode
// says.
func (w *walker) dropped(ino uint64, r *record, n *name, others int) (e filesystem.Entry, own bool) {
	e = bare(ino, n)
	e.Ref.Generation = r.e.Ref.Generation
	switch {
	case r.missing:
		e.Damage = r.e.Damage
	case r.live && r.e.Links == 0:
		e.Ref.Stream = reallocated
		e.Damage = "reallocated: the inode is in use without a name: open when it was deleted, or used again"
	case r.live:
		e.Ref.Stream = reallocated
		e.Damage = "reallocated: the inode is in use under another name: renamed, or freed and used again"
	case r.blank:
		e.Damage = "partial: the inode is empty"
	case (r.past || r.stray) && fileKind(n.ftype) != r.e.Type && n.ftype != 0:
		e.Ref.Stream = reallocated
		e.Damage = "reallocated: the inode was freed again as a " + r.e.Type.String()
	default:
		e, own = r.e, true
		if !r.past && !r.stray {
			e.Type = fileKind(n.ftype)
		}
		if others > 1 {
			addDamage(&e, fmt.Sprintf("partial: %d deleted names lead to the inode; times and content are those of the last", others))
		}
	}
	if n.flags&nameHalf != 0 {
		addDamage(&e, "partial: half of the inode number is inferred from the directory")
	}
	e.Status, e.From = filesystem.Deleted, origin(n)
	if own && r.past && n.flags&nameLog == 0 {
		e.From += "+log"
	}
	e.Path, e.Parent = w.paths.of(n), w.x.dirs[n.dir].ino
	if own {
		w.deletion(&e, r)
		w.dirDamage(&e)
	}
	return e, own
}

// distinct gives w.dead without stale copies: of names that are live in the
// same directory, and of one another.
func (w *walker) distinct() []uint32 {
	if len(w.dead) == 0 {
		return nil
	}
	all := append(append(make([]uint32, 0, len(w.live)+len(w.dead)), w.live...), w.dead...)
	live := len(w.live)
	t := &w.x.names
	same := func(a, b uint32) int {
		x, y := t.at(a), t.at(b)
		return cmp.Or(cmp.Compare(x.dir, y.dir), bytes.Compare(x.text, y.text))
	}
	alive := make(map[uint32]bool, live)
	for _, at := range w.live {
		alive[at] = true
	}
	slices.SortStableFunc(all, same) // live names stay before dead ones
	kept := w.dead[:0]
	for i, at := range all {
		if (i == 0 || same(all[i-1], at) != 0) && !alive[at] {
			kept = append(kept, at)
		}
	}
	slices.Sort(kept)
	return kept
}
