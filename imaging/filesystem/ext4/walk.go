package ext4

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/inorder"
)

// Walk yields every entry in the order that the package comment gives. It
// reads the volume anew each time.
func (fs *FS) Walk(ctx context.Context) iter.Seq2[filesystem.Entry, error] {
	return func(yield func(filesystem.Entry, error) bool) {
		err := fs.walk(ctx, yield)
		if err != nil && !errors.Is(err, errEnough) {
			yield(filesystem.Entry{}, fmt.Errorf("walk ext4: %w", err))
		}
	}
}

func (fs *FS) walk(ctx context.Context, yield func(filesystem.Entry, error) bool) error {
	x := fs.newIndex()
	if err := x.load(ctx); err != nil {
		return err
	}
	w := &walker{
		x: x, ctx: ctx, yield: yield, paths: paths{x: x, cache: make(map[uint32]string)},
		tree: blockMap{fs: fs, spend: fs.newBudget()},
	}
	x.stretches[0].upTo = max(x.stretches[0].upTo, rootInode)
	for round := range 2 {
		w.round = round
		if err := w.run(); err != nil {
			return err
		}
	}
	if err := w.lost(); err != nil {
		return err
	}
	if x.past.h.full || x.full {
		return errors.New("the journal tells more of the past than is kept: some of it is left out")
	}
	if x.names.full {
		return errors.New("the volume has more than 4 GiB of names: the rest is left out")
	}
	return nil
}

// load reads all that a walk needs before it gives out the first entry. The
// journal is read along with the directories.
func (x *index) load(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	if err := x.scan(ctx); err != nil {
		return err
	}
	now := x.now
	x.now = nil
	wg.Go(func() {
		// what fails here fails again where it is needed
		_, _ = x.fs.pastOf(ctx, now)
	})
	for _, step := range []func(context.Context) error{x.readNames, x.loadPast} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	x.resolve()
	return nil
}

// walker gives out entries; it runs on the consumer's goroutine.
type walker struct {
	x     *index
	ctx   context.Context
	yield func(filesystem.Entry, error) bool
	paths paths
	tree  blockMap
	round int // 0: allocated, 1: the rest
	live  []uint32
	dead  []uint32
	told  []uint32 // generations of the inode that names were given out for
}

// batch is the records of one stretch and, in the first round, the inodes
// without a name, which the second gives out.
type batch struct {
	records  []record
	nameless []uint32
}

func (w *walker) run() error {
	var todo []int
	for k := range w.x.stretches {
		if st := &w.x.stretches[k]; st.upTo > 0 && (w.round == 0 || w.x.pending[k] != nil) {
			todo = append(todo, k)
		}
	}
	n := inorder.Workers()
	bufs, bits, maps := make([][]byte, n), make([][]byte, n), make([]blockMap, n)
	spare := make(chan *batch, 2*n+1)
	return inorder.Do(w.ctx, len(todo), func(worker, i int) (*batch, error) {
		if bufs[worker] == nil {
			bufs[worker] = make([]byte, int(w.x.perInodes)*w.x.fs.sb.inodeSize)
			bits[worker] = make([]byte, (w.x.fs.sb.inodesPerGroup+7)/8)
			maps[worker] = blockMap{fs: w.x.fs, spend: new(budget)}
		}
		var b *batch
		select {
		case b = <-spare:
			b.records, b.nameless = b.records[:0], b.nameless[:0]
		default:
			b = &batch{records: make([]record, 0, w.x.perInodes)}
		}
		return b, w.fill(b, todo[i], bufs[worker], bits[worker], &maps[worker])
	}, func(i int, b *batch) error {
		for _, at := range b.nameless {
			w.x.later(todo[i], int(at))
		}
		for r := range b.records {
			if err := w.inode(todo[i], &b.records[r]); err != nil {
				return err
			}
		}
		select {
		case spare <- b:
		default:
		}
		return nil
	})
}

// fill reads a stretch and makes its records.
func (w *walker) fill(b *batch, k int, buf, bits []byte, m *blockMap) error {
	fs, st := w.x.fs, &w.x.stretches[k]
	p, have, err := w.x.readStretch(k, st.upTo, buf)
	if err != nil {
		return err
	}
	g := k / w.x.perGroup
	bits, err = fs.inodeBitmapOf(g, bits)
	if err != nil {
		return err
	}
	base := (st.first - 1) % fs.sb.inodesPerGroup
	var pending []uint64
	if w.round == 1 {
		pending = w.x.pending[k]
	}
	for i := range st.upTo {
		ino, in := st.first+uint32(i), inode(p[i*fs.sb.inodeSize:][:fs.sb.inodeSize])
		at := base + uint32(i)
		used := bits[at/8]&(1<<(at%8)) != 0
		var head uint32
		if st.heads != nil {
			head = st.heads[i]
		}
		switch {
		case w.round == 1 && pending[i/64]&(1<<(i%64)) == 0:
			continue
		case head == 0 && ino != rootInode && w.round == 0:
			unused := fs.groups[g].flags&inodeUninit != 0 || at >= fs.sb.inodesPerGroup-min(fs.groups[g].unused, fs.sb.inodesPerGroup)
			if i < have && fs.worth(ino, in, used, unused) {
				b.nameless = append(b.nameless, uint32(i))
			}
			continue
		}
		b.records = append(b.records, record{head: head, missing: i >= have})
		if err := fs.record(&b.records[len(b.records)-1], ino, in, used, m); err != nil {
			return err
		}
	}
	return nil
}

// give yields one entry.
func (w *walker) give(e *filesystem.Entry) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if !w.yield(*e, nil) {
		return errEnough
	}
	return nil
}

// inode gives out what of an inode belongs to this round.
func (w *walker) inode(k int, r *record) error {
	ino := uint32(r.e.Ref.Inode)
	w.live, w.dead = w.live[:0], w.dead[:0]
	for at := r.head; at != 0; {
		n := w.x.names.at(at - 1)
		if n.flags == 0 {
			w.live = append(w.live, at-1)
		} else {
			w.dead = append(w.dead, at-1)
		}
		at = n.next
	}
	slices.Reverse(w.live)
	slices.Reverse(w.dead)
	if err := w.complete(ino, r); err != nil {
		return err
	}
	if r.missing {
		r.e.Damage = "truncated: the inode lies outside the image"
	}
	if w.round == 1 {
		return w.second(ino, r)
	}
	if len(w.dead) > 0 || len(w.live) == 0 && ino != rootInode {
		w.x.later(k, int((ino-1)%w.x.fs.sb.inodesPerGroup%w.x.perInodes))
	}
	if ino == rootInode {
		e := r.e
		e.Path, e.Parent = "/", rootInode
		w.dirDamage(&e)
		if err := w.give(&e); err != nil {
			return err
		}
	}
	for _, at := range w.live {
		n := w.x.names.at(at)
		if w.status(r, &n) != filesystem.Allocated {
			w.x.later(k, int((ino-1)%w.x.fs.sb.inodesPerGroup%w.x.perInodes))
			continue
		}
		e := w.named(r, &n)
		if err := w.give(&e); err != nil {
			return err
		}
	}
	return nil
}

// complete reads what a worker left. What an inode that is not in use was is
// told in the second round.
func (w *walker) complete(ino uint32, r *record) error {
	in := r.raw
	r.raw = nil
	switch {
	case in == nil:
		return nil
	case r.live || r.used:
		return w.x.fs.complete(r, ino, in, &w.tree)
	case w.round == 0:
		return nil
	}
	return w.x.fs.was(r, ino, in, &w.tree, w.x.past)
}

// status of a live name.
func (w *walker) status(r *record, n *name) filesystem.Status {
	switch {
	case !r.usable():
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
	if n, ok := w.x.dirOf(uint32(e.Ref.Inode), e.Ref.Generation); ok {
		addDamage(e, w.x.damage[n])
	}
}

// named is the entry of a live name.
func (w *walker) named(r *record, n *name) filesystem.Entry {
	e := r.e
	d := &w.x.dirs[n.dir]
	e.Path, e.Parent = w.paths.of(n), uint64(d.ino)
	if e.Status = w.status(r, n); e.Status == filesystem.Deleted {
		e.From = "dir"
	}
	kind := fileKind(n.ftype)
	switch {
	case r.missing:
		e.Type = kind
	case r.used && !r.live && r.e.Links == 0 && e.Type != filesystem.TypeUnknown:
		addDamage(&e, "range: the name is in use, the inode has no links")
	case r.live && !r.used:
		addDamage(&e, "range: the inode bitmap says that the inode is free")
	}
	if e.Type == filesystem.TypeUnknown {
		e.Type = kind
	}
	if kind != e.Type && kind != filesystem.TypeUnknown {
		addDamage(&e, fmt.Sprintf("range: the directory says that it is a %s", kind))
	}
	w.x.doubt(&e, n)
	text := n.text
	if bytes.IndexByte(text, '/') >= 0 || bytes.IndexByte(text, 0) >= 0 {
		addDamage(&e, "range: the name contains a slash or a zero byte")
	}
	if d.flags&dirEncrypted != 0 {
		addDamage(&e, "encrypted: the name is as stored")
	}
	w.dirDamage(&e)
	return e
}

// lost gives out the names that lead to no inode.
func (w *walker) lost() error {
	for _, l := range w.x.lost {
		found := w.x.names.at(l.name)
		n := &found
		e := bare(l.ino, n)
		e.Path, e.Parent = w.paths.of(n), uint64(w.x.dirs[n.dir].ino)
		switch {
		case n.flags != 0:
			e.Status, e.From = filesystem.Deleted, origin(n)
			e.Damage = "partial: the entry no longer says its inode"
		case w.x.dirs[n.dir].flags&dirRooted == 0:
			e.Status = filesystem.Orphan
		}
		if n.flags == 0 {
			e.Damage = fmt.Sprintf("range: inode %d does not exist", l.ino)
		}
		w.x.doubt(&e, n)
		if err := w.give(&e); err != nil {
			return err
		}
	}
	return nil
}
