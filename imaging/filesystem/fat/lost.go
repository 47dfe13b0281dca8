package fat

import (
	"fmt"

	"snapcase/imaging/filesystem"
)

// lost gives the chains of the FAT that no record leads to: directories first,
// since their records lead to others, then the rest as files of whole clusters.
func (w *walker) lost() error {
	heads, err := w.heads()
	if err != nil {
		return err
	}
	for _, dirs := range []bool{true, false} {
		for c := uint32(2); w.fs.g.valid(c); c++ {
			if !heads.has(c) || w.files.has(c) || w.dirs.has(c) {
				continue
			}
			is, err := w.begins(c)
			if err != nil {
				return err
			}
			if is != dirs {
				continue
			}
			if err := w.lostChain(c, is); err != nil {
				return err
			}
		}
	}
	return w.circles()
}

// heads marks the clusters in use that nothing claims and nothing unclaimed
// leads to.
func (w *walker) heads() (set, error) {
	heads, pointed := w.fs.newSet(), w.fs.newSet()
	for c := uint32(2); w.fs.g.valid(c); c++ {
		if w.files.has(c) || w.dirs.has(c) {
			continue
		}
		n, s, err := w.t.get(c)
		if err != nil {
			return nil, err
		}
		switch s {
		case free, bad, unread:
			continue
		case next:
			pointed.add(n)
		case last, beyond:
		}
		heads.add(c)
	}
	for i := range heads {
		heads[i] &^= pointed[i]
	}
	return heads, nil
}

// circles gives what is left: chains that lead in a circle.
func (w *walker) circles() error {
	for c := uint32(2); w.fs.g.valid(c); c++ {
		if w.files.has(c) || w.dirs.has(c) {
			continue
		}
		_, s, err := w.t.get(c)
		if err != nil {
			return err
		}
		if s == next || s == last || s == beyond {
			if err := w.lostChain(c, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// lostChain gives one chain and, of a directory, what lies in it.
func (w *walker) lostChain(c uint32, dir bool) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	g := &w.fs.g
	ino := lostInode + uint64(c)
	e := filesystem.Entry{
		Ref: filesystem.Ref{Inode: ino}, Path: nameless(ino), Type: filesystem.TypeFile, Mode: 0o100777,
		Status: filesystem.Orphan, From: "fat-chain", First: g.offset(c),
	}
	seen := w.files
	if dir {
		e.Type, e.Mode, seen = filesystem.TypeDir, 0o40777, w.dirs
	}
	ch, err := w.t.follow(c, seen, w.claims(e, c))
	if err != nil {
		return err
	}
	e.Size = int64(ch.count) * g.cluster
	hurt(&e, ch.damage)
	w.cut(&e, ch)
	if !dir {
		hurt(&e, "partial: no record gives its name and size: whole clusters are given")
	}
	if err := w.give(e); err != nil || !dir {
		return err
	}
	return w.enter(level{parent: ino, first: c, cluster: c, left: ch.count - 1, origin: inLost}, e.Path)
}

// enter goes through a directory that has no way from the root.
func (w *walker) enter(l level, path string) error {
	for _, second := range []bool{false, true} {
		w.second = second
		if l.dead && !second {
			continue
		}
		w.path = append(w.path[:0], path...)
		l.path = len(w.path)
		again := l
		w.stack = append(w.stack[:0], &again)
		if err := w.tree.run(); err != nil {
			return err
		}
	}
	return nil
}

// stray gives free clusters that begin like a directory and belong to none
// that was given.
func (w *walker) stray() error {
	g := &w.fs.g
	for c := uint32(2); g.valid(c); c++ {
		if w.dead.has(c) {
			continue
		}
		_, s, err := w.t.get(c)
		if err != nil {
			return err
		}
		if s != free {
			continue
		}
		if err := w.strayBlock(c); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) strayBlock(c uint32) error {
	g := &w.fs.g
	var head [2 * recordSize]byte // without the window, which would be read for each cluster
	if c%256 == 0 && w.ctx.Err() != nil {
		return w.ctx.Err()
	}
	if n, err := readZero(w.fs.src, head[:], g.offset(c)); err != nil || n < len(head) || head[0] != '.' || raw(head[:recordSize]).cluster(g.kind) != c {
		return err
	}
	n, err := w.deadDir(c)
	if err != nil || n == 0 {
		return err
	}
	ino := lostInode + uint64(c)
	e := filesystem.Entry{
		Ref: filesystem.Ref{Inode: ino, Generation: 1}, Path: nameless(ino), Type: filesystem.TypeDir, Mode: 0o40777,
		Status: filesystem.Deleted, From: "stray-block", First: g.offset(c), Size: int64(n) * g.cluster,
		Damage: fmt.Sprintf("partial: a directory without a name, which lay in the one of cluster %d", raw(head[recordSize:]).cluster(g.kind)),
	}
	raw(head[:recordSize]).times(&e)
	if each := w.claims(e, c); each != nil {
		for i := range n {
			each(c + i)
		}
	}
	if err := w.give(e); err != nil {
		return err
	}
	return w.enter(level{parent: ino, first: c, cluster: c, left: n - 1, dead: true, origin: inStray}, e.Path)
}
