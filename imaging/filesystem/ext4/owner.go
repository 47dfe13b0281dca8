package ext4

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"snapcase/imaging/filesystem"
)

// Extents yields who owns which bytes: group by group the superblock and
// descriptors, the bitmaps, the inode table, then what its inodes claim, then
// what the block bitmap says is free. Content that an inode holds itself is
// cut out of the inode table. An unwritten extent has the Size of its own
// start, since none of its bytes are content: all of it is slack. Runs of
// deleted inodes may overlap those of others and what is free.
func (fs *FS) Extents(ctx context.Context) iter.Seq2[filesystem.Extent, error] {
	return func(yield func(filesystem.Extent, error) bool) {
		o := &owners{fs: fs, ctx: ctx, yield: yield, tree: blockMap{fs: fs, spend: fs.newBudget()}, used: fs.newBitmaps()}
		if err := o.walk(); err != nil && !errors.Is(err, errEnough) {
			yield(filesystem.Extent{}, fmt.Errorf("extents of ext4: %w", err))
		}
	}
}

type owners struct {
	fs    *FS
	ctx   context.Context
	yield func(filesystem.Extent, error) bool
	tree  blockMap
	used  *bitmaps
	past  *pastView
	meta  []blockRange // of the volume itself, sorted
	all   []blockRange // those, the inode tables and the room of the resize inode
	seen  map[uint64]struct{}
	free  blockRange // not yet given out
}

// blockRange is the blocks from start to before end.
type blockRange struct{ start, end uint64 }

func (o *owners) give(e filesystem.Extent) error {
	if err := o.ctx.Err(); err != nil {
		return err
	}
	limit := o.fs.src.Size()
	if e.Start >= limit || e.Length <= 0 {
		return nil
	}
	e.Length = min(e.Length, limit-e.Start)
	if !o.yield(e, nil) {
		return errEnough
	}
	return nil
}

func (o *owners) blocks(start, n uint64, kind filesystem.OwnerKind) error {
	if !o.fs.inVolume(start, n) {
		return nil
	}
	bs := o.fs.sb.blockSize
	return o.give(filesystem.Extent{Start: int64(start) * bs, Length: int64(n) * bs, Kind: kind})
}

func (o *owners) walk() error {
	h, err := o.fs.past(o.ctx)
	if err != nil {
		return err
	}
	o.past = &pastView{h, o.fs.newReuse(h, o.used)}
	o.layout()
	if o.fs.sb.firstBlock == 1 { // the boot block
		if err := o.blocks(0, 1, filesystem.OwnMeta); err != nil {
			return err
		}
	}
	for _, m := range o.meta {
		if err := o.blocks(m.start, m.end-m.start, filesystem.OwnMeta); err != nil {
			return err
		}
	}
	buf := make([]byte, stretchBytes)
	for g := range o.fs.groups {
		if err := o.table(g, buf); err != nil {
			return err
		}
		if err := o.lives(uint32(g)); err != nil {
			return err
		}
		if err := o.unallocated(g); err != nil {
			return err
		}
	}
	return o.flush()
}

// layout collects superblocks, descriptors and bitmaps. Inode tables are not
// among them: they are given out with their inodes.
func (o *owners) layout() {
	s := &o.fs.sb
	perBlock := uint64(s.blockSize) / uint64(s.descSize)
	descs := (s.groupCount + perBlock - 1) / perBlock
	plain := descs
	if s.incompat&incompatMetaBG != 0 {
		plain = min(plain, uint64(le.Uint32(s.raw[260:])))
	}
	kept := plain + uint64(le.Uint16(s.raw[206:])) // with room for growing
	if s.compat&compatResize == 0 {
		plain = kept // else the resize inode owns that room
	}
	for g := range s.groupCount {
		start := s.groupStart(g)
		if s.hasSuper(g) {
			o.meta = append(o.meta, blockRange{start, start + 1 + plain})
			o.all = append(o.all, blockRange{start, start + 1 + kept})
		}
		if meta := s.incompat&incompatMetaBG != 0 && g/perBlock >= uint64(le.Uint32(s.raw[260:])); meta {
			if k := g % perBlock; k < 2 || k == perBlock-1 {
				at := start
				if s.hasSuper(g) {
					at++
				}
				o.meta = append(o.meta, blockRange{at, at + 1})
			}
		}
		d := &o.fs.groups[g]
		o.meta = append(o.meta, blockRange{d.blockBitmap, d.blockBitmap + 1}, blockRange{d.inodeBitmap, d.inodeBitmap + 1})
	}
	if s.incompat&incompatMMP != 0 {
		b := le.Uint64(s.raw[360:])
		o.meta = append(o.meta, blockRange{b, b + 1})
	}
	for i := range o.fs.groups {
		if d := &o.fs.groups[i]; !d.noTable {
			o.all = append(o.all, blockRange{d.table, d.table + o.fs.tableBlocks()})
		}
	}
	o.all = join(append(o.all, o.meta...), s.blocks)
	o.meta = join(o.meta, s.blocks)
}

// join sorts ranges, drops what leaves the volume and joins what touches.
func join(all []blockRange, blocks uint64) []blockRange {
	slices.SortFunc(all, func(a, b blockRange) int { return cmp.Compare(a.start, b.start) })
	kept := all[:0]
	for _, r := range all {
		r.end = min(r.end, blocks)
		switch k := len(kept) - 1; {
		case r.start >= r.end:
		case k >= 0 && r.start <= kept[k].end:
			kept[k].end = max(kept[k].end, r.end)
		default:
			kept = append(kept, r)
		}
	}
	return kept
}

// table gives the inode table of a group and what its inodes claim.
func (o *owners) table(g int, buf []byte) error {
	fs := o.fs
	if fs.groups[g].noTable {
		return nil
	}
	bits, err := fs.inodeBitmapOf(g, make([]byte, (fs.sb.inodesPerGroup+7)/8))
	if err != nil {
		return err
	}
	start := int64(fs.groups[g].table) * fs.sb.blockSize
	done, size := start, fs.sb.inodeSize
	for i := 0; i < int(fs.sb.inodesPerGroup); {
		n := min(len(buf)/size, int(fs.sb.inodesPerGroup)-i)
		have, err := fs.read(buf[:n*size], start+int64(i)*int64(size))
		if err != nil {
			return err
		}
		for k := range have / size {
			in, at := inode(buf[k*size:][:size]), uint32(i+k)
			if in.mode() == 0 && in.links() == 0 && in.blocks512() == 0 {
				continue
			}
			ino := uint32(g)*fs.sb.inodesPerGroup + at + 1
			if err := o.claims(ino, in, bits[at/8]&(1<<(at%8)) != 0, start+int64(at)*int64(size), &done); err != nil {
				return err
			}
		}
		i += n
	}
	end := start + int64(fs.tableBlocks())*fs.sb.blockSize
	return o.give(filesystem.Extent{Start: done, Length: end - done, Kind: filesystem.OwnMeta})
}

// kindOf is what the content of an inode is for the owner map.
func (o *owners) kindOf(ino uint32, in inode) filesystem.OwnerKind {
	raw := o.fs.sb.raw
	switch {
	case ino == 8 || ino == le.Uint32(raw[224:]) && o.fs.sb.compat&compatJournal != 0:
		return filesystem.OwnJournal
	case o.fs.reserved(ino) || ino == 1:
		return filesystem.OwnMeta
	case in.flags()&flagEAInode != 0:
		return filesystem.OwnXattr
	case in.kind() == filesystem.TypeDir:
		return filesystem.OwnDir
	}
	return filesystem.OwnContent
}

// claims gives what one inode claims. done is up to where the inode table has
// been given out.
func (o *owners) claims(ino uint32, in inode, used bool, at int64, done *int64) error {
	fs := o.fs
	x := filesystem.Extent{
		Kind: o.kindOf(ino, in),
		Ref:  filesystem.Ref{Inode: uint64(ino), Generation: in.generation()},
	}
	_, x.Size = fs.size(in)
	if !in.live() && !used {
		if !fs.worth(ino, in, used, true) {
			return nil
		}
		x.Status = filesystem.Deleted
	}
	if mapped(in) && (in.flags()&flagInline != 0 || in.kind() == filesystem.TypeSymlink && fs.fast(in)) {
		if x.Status == filesystem.Allocated {
			return o.inside(x, in, at, done)
		}
		return nil
	}
	if acl := in.acl(); acl != 0 && fs.inVolume(acl, 1) && x.Status == filesystem.Allocated {
		if o.seen == nil {
			o.seen = make(map[uint64]struct{})
		}
		if _, again := o.seen[acl]; !again { // several inodes may share one
			o.seen[acl] = struct{}{}
			e := filesystem.Extent{Start: int64(acl) * fs.sb.blockSize, Length: fs.sb.blockSize, Kind: filesystem.OwnXattr, Ref: x.Ref, Size: fs.sb.blockSize}
			if err := o.give(e); err != nil {
				return err
			}
		}
	}
	if !mapped(in) && ino != 1 {
		return nil
	}
	return o.mapped(x, ino, in)
}

// inside gives content that the inode holds itself: up to 60 bytes where
// others have their map, the rest as an attribute.
func (o *owners) inside(x filesystem.Extent, in inode, at int64, done *int64) error {
	pieces := []filesystem.Extent{{Start: at + 40, Length: min(x.Size, 60)}}
	if value, off, ok := in.attrData(); ok && x.Size > 60 && in.flags()&flagInline != 0 {
		pieces = append(pieces, filesystem.Extent{Start: at + int64(off), Length: min(int64(len(value)), x.Size-60), FileOffset: 60})
	}
	for _, p := range pieces {
		if p.Length <= 0 {
			continue
		}
		if err := o.give(filesystem.Extent{Start: *done, Length: p.Start - *done, Kind: filesystem.OwnMeta}); err != nil {
			return err
		}
		*done = p.Start + p.Length
		p.Kind, p.Ref, p.Size = x.Kind, x.Ref, x.Size
		if err := o.give(p); err != nil {
			return err
		}
	}
	return nil
}

// mapped gives the runs of an inode and the blocks of its map.
func (o *owners) mapped(x filesystem.Extent, ino uint32, in inode) error {
	if x.Status == filesystem.Deleted {
		r := record{dtime: in.dtime()}
		r.e.Type, r.e.Size = in.kind(), x.Size
		o.tree.tree = o.tree.tree[:0]
		if err := o.fs.was(&r, ino, in, &o.tree, o.past); err != nil {
			return err
		}
		x.Size = r.e.Size
	} else if err := o.tree.load(ino, in); err != nil {
		return err
	}
	return o.runs(x)
}

// runs gives what the map that was read last says. Copies in the journal are
// the journal's.
func (o *owners) runs(x filesystem.Extent) error {
	bs := o.fs.sb.blockSize
	for _, b := range o.tree.tree {
		e := filesystem.Extent{Start: int64(b) * bs, Length: bs, Kind: filesystem.OwnMeta, Ref: x.Ref, Status: x.Status}
		if err := o.give(e); err != nil {
			return err
		}
	}
	for _, r := range o.tree.runs {
		if r.journaled() {
			continue
		}
		e := x
		e.Start, e.Length, e.FileOffset = int64(r.block())*bs, int64(r.n)*bs, int64(r.at)*bs
		if r.unwritten() {
			e.Size = e.FileOffset
		}
		if err := o.give(e); err != nil {
			return err
		}
	}
	return nil
}

// lives gives what earlier lives of the inodes of a group had.
func (o *owners) lives(g uint32) error {
	fs := o.fs
	first := g*fs.sb.inodesPerGroup + 1
	list := o.past.h.lives
	i, _ := slices.BinarySearchFunc(list, first, func(l life, at uint32) int { return cmp.Compare(l.ino, at) })
	for ; i < len(list) && list[i].ino-first < fs.sb.inodesPerGroup; i++ {
		l := &list[i]
		if in, ok, err := fs.readInode(l.ino); err != nil {
			return err
		} else if ok && in.generation() == l.gen && in.mode() != 0 {
			continue // given with the inode
		}
		o.tree.tree = o.tree.tree[:0]
		r, err := fs.lifeRecord(l, &o.tree, o.past)
		if err != nil {
			return err
		}
		kind := filesystem.OwnContent
		if r.e.Type == filesystem.TypeDir {
			kind = filesystem.OwnDir
		}
		if err := o.runs(filesystem.Extent{Kind: kind, Ref: r.e.Ref, Size: r.e.Size, Status: filesystem.Deleted}); err != nil {
			return err
		}
	}
	return nil
}
