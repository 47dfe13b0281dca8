package xfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/inorder"
)

// Walk yields every entry in the order that the package comment gives. It
// reads the volume anew each time.
func (fs *FS) Walk(ctx context.Context) iter.Seq2[filesystem.Entry, error] {
	return func(yield func(filesystem.Entry, error) bool) {
		err := fs.walk(ctx, yield)
		if err != nil && !errors.Is(err, errEnough) {
			yield(filesystem.Entry{}, fmt.Errorf("walk xfs: %w", err))
		}
	}
}

// load reads all that a walk needs before it gives out the first entry.
func (x *index) load(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		x.loadChunks, x.loadUnlinked, x.scan, x.readNames, x.sweepFree, x.loadPast,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	x.resolve()
	return nil
}

func (fs *FS) walk(ctx context.Context, yield func(filesystem.Entry, error) bool) error {
	x := fs.newIndex()
	if err := x.load(ctx); err != nil {
		return err
	}
	w := &walker{
		x: x, ctx: ctx, yield: yield, paths: paths{x: x, cache: make(map[uint32]string)},
		tree: blockMap{fs: fs, spend: x.spend}, stretches: x.stretches(),
	}
	if err := w.start(); err != nil {
		return err
	}
	for round := range 2 {
		w.round = round
		if err := w.run(); err != nil {
			return err
		}
	}
	if err := w.lost(); err != nil {
		return err
	}
	if x.past.full {
		return errors.New("the log tells of more freed inodes than are kept: what some of them were is left out")
	}
	if x.names.full {
		return errors.New("the volume has more than 4 GiB of names: the rest is left out")
	}
	return nil
}

// walker gives out entries; it runs on the consumer's goroutine.
type walker struct {
	x         *index
	ctx       context.Context
	yield     func(filesystem.Entry, error) bool
	paths     paths
	tree      blockMap
	stretches []stretch
	round     int // 0: allocated, 1: the rest
	live      []uint32
	dead      []uint32
}

// batch is the records of one stretch, chunk by chunk: ends says where the
// records of each chunk end.
type batch struct {
	records []record
	ends    []int
}

// start reports damaged inode trees and gives the root.
func (w *walker) start() error {
	for _, d := range w.x.broken {
		e := filesystem.Entry{Path: "/", Type: filesystem.TypeUnknown, Status: filesystem.Orphan, From: "inode-tree", Damage: d.text, First: -1}
		if !w.yield(e, fmt.Errorf("inodes of group %d: %s", d.ag, d.text)) {
			return errEnough
		}
	}
	fs, root := w.x.fs, w.x.fs.sb.root
	e := filesystem.Entry{Ref: filesystem.Ref{Inode: root}, Path: "/", Parent: root, Type: filesystem.TypeDir, First: -1}
	ag, agino, ok := fs.sb.splitInode(root)
	if !ok {
		e.Damage = fmt.Sprintf("range: the root inode %d does not exist", root)
		return w.give(&e)
	}
	in := make(inode, fs.sb.inodeSize)
	if _, err := fs.read(in, fs.inodePlace(ag, agino)); err != nil {
		return err
	}
	r, err := fs.record(root, in, true, &w.tree)
	if err == nil && r.raw != nil {
		err = w.complete(root, &r)
	}
	if err != nil {
		return err
	}
	kind := r.e.Type
	r.e.Path, r.e.Parent, r.e.Type = e.Path, e.Parent, filesystem.TypeDir
	if kind != filesystem.TypeDir && !r.missing {
		addDamage(&r.e, "range: the root inode is no directory")
	}
	w.dirDamage(&r.e)
	return w.give(&r.e)
}

func (w *walker) run() error {
	todo := w.stretches
	if w.round == 1 {
		todo = slices.DeleteFunc(slices.Clone(todo), func(s stretch) bool {
			return !slices.ContainsFunc(w.x.chunks[s.first:s.first+s.n], func(c chunk) bool { return c.pending != 0 })
		})
	}
	n := inorder.Workers()
	bufs, maps := make([][]byte, n), make([]blockMap, n)
	spare := make(chan *batch, 2*n+1)
	return inorder.Do(w.ctx, len(todo), func(worker, i int) (*batch, error) {
		maps[worker].fs, maps[worker].spend = w.x.fs, new(budget)
		b := new(batch)
		select {
		case b = <-spare:
		default:
		}
		b.records, b.ends = b.records[:0], b.ends[:0]
		return b, w.fill(b, &todo[i], &bufs[worker], &maps[worker])
	}, func(i int, b *batch) error {
		at := 0
		for k, end := range b.ends {
			for ; at < end; at++ {
				if err := w.inode(&w.x.chunks[todo[i].first+k], &b.records[at]); err != nil {
					return err
				}
			}
		}
		select {
		case spare <- b:
		default:
		}
		return nil
	})
}

// fill reads a stretch and makes its records. In the second round it makes
// those that the first left.
func (w *walker) fill(b *batch, s *stretch, buf *[]byte, m *blockMap) error {
	fs := w.x.fs
	p, have, err := w.x.readStretch(s, buf)
	if err != nil {
		return err
	}
	size := fs.sb.inodeSize
	for k := s.first; k < s.first+s.n; k++ {
		c := &w.x.chunks[k]
		base := int(fs.inodePlace(c.ag, c.start) - s.off)
		for i := range chunkInodes {
			bit := uint64(1) << i
			if c.holes&bit != 0 || w.round == 1 && c.pending&bit == 0 {
				continue
			}
			var head uint32
			if c.heads != nil {
				head = c.heads[i]
			}
			at := base + i*size
			in := inode(p[at : at+size : at+size])
			if at+size > have {
				in = make(inode, size) // no magic
			}
			if head == 0 && (!in.magic() || in.blank()) && (c.free&bit != 0 || !in.magic()) {
				continue // nothing was ever here, and nothing says so
			}
			if c.origin == chunkNamed && in.live() {
				b.records = append(b.records, w.stray(fs.sb.inodeNumber(c.ag, c.start+uint32(i)), i, head, in))
				continue
			}
			r, err := fs.record(fs.sb.inodeNumber(c.ag, c.start+uint32(i)), in, c.free&bit == 0, m)
			if err != nil {
				return err
			}
			r.i, r.head = i, head
			if at+size > have {
				r.e.Damage = "truncated: the inode lies outside the image"
			}
			b.records = append(b.records, r)
		}
		b.ends = append(b.ends, len(b.records))
	}
	return nil
}

// stray is the record of an inode whose chunk was freed while it was in use or
// before it was written back: all of it stands there as it was.
func (w *walker) stray(ino uint64, i int, head uint32, in inode) record {
	r := record{i: i, head: head, stray: true, raw: append(inode(nil), in...)}
	r.e = filesystem.Entry{
		Ref: filesystem.Ref{Inode: ino, Generation: in.gen()}, Links: in.links(), UID: in.uid(), GID: in.gid(), First: -1,
		Type: in.kind(), Mode: in.mode(),
	}
	if !in.times(&r.e) {
		addDamage(&r.e, "range: a time has more than a second of nanoseconds; they are left out")
	}
	return r
}

func (w *walker) give(e *filesystem.Entry) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if !w.yield(*e, nil) {
		return errEnough
	}
	return nil
}

// sort parts the names of a record into live and dead ones, oldest first. A
// name that was found behind damage is live when the inode is and has no
// other.
func (w *walker) sort(r *record) {
	w.live, w.dead = w.live[:0], w.dead[:0]
	salvaged := -1
	for at := r.head; at != 0; {
		n := w.x.names.at(at - 1)
		if n.flags == 0 {
			w.live = append(w.live, at-1)
		} else {
			if n.flags == nameSalvaged {
				salvaged = len(w.dead)
			}
			w.dead = append(w.dead, at-1)
		}
		at = n.next
	}
	if len(w.live) == 0 && salvaged >= 0 && r.live {
		w.live = append(w.live, w.dead[salvaged])
		w.dead = slices.Delete(w.dead, salvaged, salvaged+1)
	}
	slices.Reverse(w.live)
	slices.Reverse(w.dead)
}

// inode gives out the entries of one record that belong to this round.
func (w *walker) inode(c *chunk, r *record) error {
	if r.metadata {
		return nil
	}
	w.sort(r)
	ino := r.e.Ref.Inode
	if r.raw != nil {
		if err := w.complete(ino, r); err != nil {
			return err
		}
	}
	if w.round == 1 {
		return w.second(ino, r)
	}
	if len(w.dead) > 0 || len(w.live) == 0 && ino != w.x.fs.sb.root {
		c.pending |= 1 << r.i
	}
	for _, at := range w.live {
		live := w.x.names.at(at)
		n := &live
		if w.status(r, n) != filesystem.Allocated {
			c.pending |= 1 << r.i
			continue
		}
		e := w.named(r, n)
		if err := w.give(&e); err != nil {
			return err
		}
	}
	return nil
}

// complete reads what a worker left.
func (w *walker) complete(ino uint64, r *record) error {
	in := r.raw
	r.raw = nil
	if r.live {
		return w.x.fs.complete(r, ino, in, &w.tree)
	}
	if w.round == 0 {
		return nil // it is given out in the second round
	}
	return w.x.fs.was(r, ino, in, w.x.past, &w.tree, w.x.space)
}

// status of a live name.
func (w *walker) status(r *record, n *name) filesystem.Status {
	switch {
	case !r.live && !r.missing && !r.taken && !r.blank:
		return filesystem.Deleted
	case w.x.dirs[n.dir].flags&dirRooted == 0:
		return filesystem.Orphan
	}
	return filesystem.Allocated
}

// dirDamage adds what was found when a directory was read.
func (w *walker) dirDamage(e *filesystem.Entry) {
	if e.Type != filesystem.TypeDir || len(w.x.damage) == 0 {
		return
	}
	if n, ok := w.x.dirOf(e.Ref.Inode); ok {
		addDamage(e, w.x.damage[n])
	}
}

// named is the entry of a live name.
func (w *walker) named(r *record, n *name) filesystem.Entry {
	e := r.e
	e.Path, e.Parent = w.paths.of(n), w.x.dirs[n.dir].ino
	if e.Status = w.status(r, n); e.Status == filesystem.Deleted {
		e.From = "dir"
	}
	kind := fileKind(n.ftype)
	switch {
	case r.missing:
	case r.live && !r.taken:
		addDamage(&e, "range: the inode tree says that the inode is free")
	case !r.live && e.Status != filesystem.Deleted:
		addDamage(&e, "range: the name is in use, the inode is free")
	case r.live && e.Links == 0:
		addDamage(&e, "range: the name is in use, the inode has no links")
	}
	if e.Type == filesystem.TypeUnknown {
		e.Type = kind
	}
	if kind != e.Type && kind != filesystem.TypeUnknown {
		addDamage(&e, fmt.Sprintf("range: the directory says that it is a %s", kind))
	}
	text := n.text
	if bytes.IndexByte(text, '/') >= 0 || bytes.IndexByte(text, 0) >= 0 {
		addDamage(&e, "range: the name contains a slash or a zero byte")
	}
	if n.flags&nameSalvaged != 0 {
		addDamage(&e, "range: the name stands behind damage in its directory")
	}
	w.dirDamage(&e)
	return e
}

// fromLog fills the entry of a name whose inode's chunk was freed with what the
// log knows of the inode, where it knows of one life only: of several it would
// be a guess which of them had the name.
func (w *walker) fromLog(e *filesystem.Entry, ino uint64) error {
	o := w.x.past.only(ino)
	if o == nil || e.Type != filesystem.TypeUnknown && e.Type != o.raw.kind() {
		return nil
	}
	e.Ref.Generation, e.Type, e.Mode = o.raw.gen(), o.raw.kind(), o.raw.mode()
	e.UID, e.GID, e.Links = o.raw.uid(), o.raw.gid(), o.raw.links()
	o.raw.times(e)
	if e.From != "log" {
		e.From += "+log"
	}
	e.Damage = "partial: the inode's chunk was freed: all of it comes from the log"
	_, err := w.x.fs.lastLife(e, ino, o, &w.tree, w.x.space)
	return err
}

// lost gives out the names that lead to no inode.
func (w *walker) lost() error {
	for _, l := range w.x.lost {
		lost := w.x.names.at(l.name)
		n := &lost
		e := bare(l.ino, n)
		e.Path, e.Parent = w.paths.of(n), w.x.dirs[n.dir].ino
		switch {
		case n.flags != 0:
			e.Status, e.From = filesystem.Deleted, origin(n)
			e.Damage = "partial: the inode's chunk was freed"
			if err := w.fromLog(&e, l.ino); err != nil {
				return err
			}
		case w.x.dirs[n.dir].flags&dirRooted == 0:
			e.Status = filesystem.Orphan
		}
		if n.flags == 0 {
			e.Damage = fmt.Sprintf("range: inode %d does not exist", l.ino)
		}
		if err := w.give(&e); err != nil {
			return err
		}
	}
	return nil
}
