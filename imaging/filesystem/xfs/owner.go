package xfs

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"snapcase/imaging/filesystem"
)

// Extents yields who owns which bytes: group by group the headers, the spare
// blocks and the trees, then the chunks of inodes and what their inodes claim,
// then what the tree of free extents says is free; the log in its place.
// Content that an inode holds itself is cut out of the chunk. An unwritten
// extent has the Size of its own start, since none of its bytes are content:
// all of it is slack. Blocks that files share have an extent for each. Blocks
// that were set aside for a copy on write are OwnMeta: no inode names them.
// Runs of deleted inodes may overlap those of others and what is free.
func (fs *FS) Extents(ctx context.Context) iter.Seq2[filesystem.Extent, error] {
	return func(yield func(filesystem.Extent, error) bool) {
		o := &owners{x: fs.newIndex(), fs: fs, ctx: ctx, yield: yield}
		o.tree = blockMap{fs: fs, spend: o.x.spend}
		if err := o.walk(); err != nil && !errors.Is(err, errEnough) {
			yield(filesystem.Extent{}, fmt.Errorf("extents of xfs: %w", err))
		}
	}
}

type owners struct {
	x     *index
	fs    *FS
	ctx   context.Context
	yield func(filesystem.Extent, error) bool
	tree  blockMap
	run   filesystem.Extent // of the file system itself, not yet given out
}

func (o *owners) give(e filesystem.Extent) error {
	if err := o.ctx.Err(); err != nil {
		return err
	}
	limit := o.fs.src.Size()
	if e.Start < 0 || e.Start >= limit || e.Length <= 0 {
		return nil
	}
	e.Length = min(e.Length, limit-e.Start)
	if !o.yield(e, nil) {
		return errEnough
	}
	return nil
}

// blocks gives n blocks of a group, joined with those before where they touch.
func (o *owners) blocks(ag uint32, agbno, n uint64, kind filesystem.OwnerKind) error {
	return o.bytes(o.fs.offset(ag, agbno), int64(n)*o.fs.sb.blockSize, kind)
}

func (o *owners) bytes(start, length int64, kind filesystem.OwnerKind) error {
	if o.run.Kind == kind && o.run.Start+o.run.Length == start {
		o.run.Length += length
		return nil
	}
	if err := o.flush(); err != nil {
		return err
	}
	o.run = filesystem.Extent{Start: start, Length: length, Kind: kind}
	return nil
}

func (o *owners) flush() error {
	e := o.run
	o.run = filesystem.Extent{}
	return o.give(e)
}

func (o *owners) walk() error {
	if err := o.x.loadChunks(o.ctx); err != nil {
		return err
	}
	for ag := range o.fs.groups {
		if err := o.headers(uint32(ag)); err != nil {
			return err
		}
		if err := o.trees(uint32(ag)); err != nil {
			return err
		}
	}
	if err := o.journal(); err != nil {
		return err
	}
	if err := o.chunks(); err != nil {
		return err
	}
	for ag := range o.fs.groups {
		free, _, err := o.fs.freeExtents(uint32(ag))
		if err != nil {
			return err
		}
		for _, e := range free {
			if err := o.blocks(uint32(ag), uint64(e.start), uint64(e.n), filesystem.OwnFree); err != nil {
				return err
			}
		}
	}
	return o.flush()
}

// headers gives the sectors at the start of a group, to the end of their last
// block, and the list of spare blocks.
func (o *owners) headers(ag uint32) error {
	s := &o.fs.sb
	if err := o.blocks(ag, 0, uint64((4*s.sectorSize+s.blockSize-1)/s.blockSize), filesystem.OwnMeta); err != nil {
		return err
	}
	if o.fs.groups[ag].agfBad {
		return nil
	}
	buf := make([]byte, 4*s.sectorSize)
	if _, err := o.fs.read(buf, o.fs.offset(ag, 0)); err != nil {
		return err
	}
	agf, list := buf[s.sectorSize:], buf[3*s.sectorSize:]
	if s.crc() {
		list = list[36:]
	}
	room := uint32(len(list) / 4)
	first, count := be.Uint32(agf[40:]), be.Uint32(agf[48:])
	if first >= room || count > room {
		return nil
	}
	for i := range count {
		b := be.Uint32(list[(first+i)%room*4:])
		if uint64(b) >= s.groupLen(uint64(ag)) || b == 0 {
			continue
		}
		if err := o.blocks(ag, uint64(b), 1, filesystem.OwnMeta); err != nil {
			return err
		}
	}
	return nil
}

// cowFlag marks an extent of the tree of shared blocks that was set aside for
// a copy on write.
const cowFlag = 1 << 31

// trees gives the blocks of a group's trees and what is set aside.
func (o *owners) trees(ag uint32) error {
	g := &o.fs.groups[ag]
	for _, t := range []tree{g.inodes, g.finobt, g.free, g.count, g.rmap, g.refs} {
		if t.root == 0 {
			continue
		}
		var blocks []uint32
		var aside []extentOf
		_, err := o.fs.walkTree(ag, t, func(recs []byte) {
			for ; t.kind.v5 == kindRefs.v5 && len(recs) >= 12; recs = recs[12:] {
				if b := be.Uint32(recs); b&cowFlag != 0 {
					aside = append(aside, extentOf{b &^ cowFlag, be.Uint32(recs[4:])})
				}
			}
		}, func(b uint32) { blocks = append(blocks, b) })
		if err != nil {
			return err
		}
		for _, b := range blocks {
			if err := o.blocks(ag, uint64(b), 1, filesystem.OwnMeta); err != nil {
				return err
			}
		}
		for _, e := range aside {
			if size := o.fs.sb.groupLen(uint64(ag)); uint64(e.start) >= size || uint64(e.n) > size-uint64(e.start) {
				continue
			}
			if err := o.blocks(ag, uint64(e.start), uint64(e.n), filesystem.OwnMeta); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o *owners) journal() error {
	s := &o.fs.sb
	start, ok := s.block(s.logStart, s.logBlocks)
	if s.logStart == 0 || !ok {
		return nil
	}
	return o.bytes(int64(start)*s.blockSize, int64(s.logBlocks)*s.blockSize, filesystem.OwnJournal)
}

// chunks gives the inodes of all chunks and what they claim.
func (o *owners) chunks() error {
	var buf []byte
	var failed error
	list := o.x.stretches()
	for i := range list {
		s := &list[i]
		p, have, err := o.x.readStretch(s, &buf)
		if err != nil {
			return err
		}
		o.x.inodes(s, p[:have], func(ino uint64, c *chunk, i int, in inode) {
			if failed == nil {
				failed = o.inode(ino, c, i, in)
			}
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}

// inode gives an inode's own bytes and what it claims.
func (o *owners) inode(ino uint64, c *chunk, i int, in inode) error {
	at := o.fs.inodePlace(c.ag, c.start+uint32(i))
	x := filesystem.Extent{Kind: o.kindOf(ino, in), Ref: filesystem.Ref{Inode: ino, Generation: in.gen()}}
	x.Size, _ = in.bounded()
	if !in.live() {
		x.Status, x.Size = filesystem.Deleted, 0
	}
	if in.live() && in.format() == formatLocal && x.Size > 0 {
		x.Size = min(x.Size, int64(len(in.data())))
		return o.inside(x, at, in)
	}
	if err := o.bytes(at, int64(len(in)), filesystem.OwnMeta); err != nil {
		return err
	}
	if in.live() || freed(in) {
		return o.claims(x, ino, in)
	}
	return nil
}

func (o *owners) kindOf(ino uint64, in inode) filesystem.OwnerKind {
	switch {
	case o.fs.reserved(ino) || o.fs.sb.incompat&incompatMetadir != 0 && in.flags2()&flags2Metadata != 0:
		return filesystem.OwnMeta
	case in.kind() == filesystem.TypeDir:
		return filesystem.OwnDir
	}
	return filesystem.OwnContent
}

// inside gives content that the inode holds itself, and the inode around it.
func (o *owners) inside(x filesystem.Extent, at int64, in inode) error {
	if err := o.bytes(at, int64(in.core()), filesystem.OwnMeta); err != nil {
		return err
	}
	if err := o.flush(); err != nil {
		return err
	}
	e := x
	e.Start, e.Length = at+int64(in.core()), x.Size
	if err := o.give(e); err != nil {
		return err
	}
	if err := o.bytes(e.Start+e.Length, at+int64(len(in))-e.Start-e.Length, filesystem.OwnMeta); err != nil {
		return err
	}
	return o.attributes(x, in)
}

// claims gives the runs of an inode and the blocks of its maps.
func (o *owners) claims(x filesystem.Extent, ino uint64, in inode) error {
	if x.Status == filesystem.Deleted {
		if err := o.tree.residual(ino, in); err != nil {
			return err
		}
		var err error
		if x.Size, _, err = o.tree.residualSize(o.x.space); err != nil {
			return err
		}
		return o.mapped(x)
	}
	if in.flags()&flagRealtime == 0 || in.kind() != filesystem.TypeFile {
		if err := o.tree.load(ino, in); err != nil {
			return err
		}
		if err := o.mapped(x); err != nil {
			return err
		}
	}
	return o.attributes(x, in)
}

// attributes gives what the attribute fork claims.
func (o *owners) attributes(x filesystem.Extent, in inode) error {
	if err := o.tree.loadAttr(x.Ref.Inode, in); err != nil {
		return err
	}
	x.Kind, x.Size = filesystem.OwnXattr, maxSize
	return o.mapped(x)
}

// mapped gives what o.tree has loaded.
func (o *owners) mapped(x filesystem.Extent) error {
	bs := o.fs.sb.blockSize
	if len(o.tree.runs)+len(o.tree.tree) == 0 {
		return nil
	}
	for _, b := range o.tree.tree {
		e := filesystem.Extent{Start: int64(b) * bs, Length: bs, Kind: filesystem.OwnMeta, Ref: x.Ref, Status: x.Status}
		if err := o.give(e); err != nil {
			return err
		}
	}
	for _, r := range o.tree.runs {
		e := x
		e.Start, e.Length, e.FileOffset = int64(r.block())*bs, int64(r.n)*bs, int64(r.at)*bs
		switch {
		case r.unwritten():
			e.Size = e.FileOffset
		case x.Kind == filesystem.OwnDir || x.Kind == filesystem.OwnXattr:
			e.Size = e.FileOffset + e.Length // indexes lie behind the size
		}
		if err := o.give(e); err != nil {
			return err
		}
	}
	return nil
}
