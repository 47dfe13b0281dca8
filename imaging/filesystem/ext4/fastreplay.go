package ext4

import (
	"context"

	"snapcase/imaging/filesystem"
)

// fastCommits shows what the fast commits say that follow the last transaction
// of the journal, as the kernel replays them behind it: in the order of the
// tags, an inode takes the fields that were logged and keeps its map, ranges
// are added to and taken from maps, names to and from directories. Otherwise
// than the kernel, which has to choose them anew, it gives no times to what is
// made: a directory keeps those of the last transaction, and what lost its last
// name has no time of deletion.
func (fs *FS) fastCommits(ctx context.Context, sequence uint32) error {
	l, err := fs.log.fast(ctx, sequence)
	if err != nil {
		return err
	}
	if l.damage != "" {
		fs.note("%s", l.damage)
	}
	if l.commits == 0 {
		return nil
	}
	return fs.showFast(ctx, l)
}

// showFast makes what fast commits say the view of the volume.
func (fs *FS) showFast(ctx context.Context, l *fastLog) error {
	e := fs.newEditor()
	for i := range l.tags {
		if t := &l.tags[i]; t.kind == fastAddRange {
			r, _ := t.extent()
			e.keepOut = append(e.keepOut, blockRange{r.block(), r.block() + uint64(r.n)})
		}
	}
	e.keepOut = join(e.keepOut, fs.sb.blocks)
	for i := range l.tags {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.apply(&l.tags[i]); err != nil {
			return err
		}
	}
	view, err := e.finish()
	if err != nil {
		return err
	}
	fs.src, fs.behind = view, e.behind
	fs.note("fast commits: %d behind the last transaction (%d changes, %d blocks) are shown as the kernel would replay them; directories keep the times that they had before", l.commits, len(l.tags), len(view.order))
	if e.undone > 0 {
		fs.note("partial: %d changes of the fast commits cannot be shown; the first: %s", e.undone, e.why)
	}
	return nil
}

// extent gives the run of a tag that adds a range.
func (t *fastTag) extent() (r run, ino uint32) {
	p := t.value[4:16]
	r = run{at: le.Uint32(p), n: uint32(le.Uint16(p[4:])), phys: uint64(le.Uint32(p[8:])) | uint64(le.Uint16(p[6:]))<<32}
	if r.n > 32768 {
		r.n -= 32768
		r.phys |= unwrittenBit
	}
	return r, le.Uint32(t.value)
}

// apply makes one change.
func (e *editor) apply(t *fastTag) error {
	first := le.Uint32(t.value)
	switch t.kind {
	case fastInode:
		return e.putInode(first, t.value[4:])
	case fastAddRange:
		r, _ := t.extent()
		return e.addRange(first, r)
	case fastDelRange:
		return e.delRange(first, le.Uint32(t.value[4:]), le.Uint32(t.value[8:]))
	case fastCreate:
		return e.create(first, le.Uint32(t.value[4:]), t.value[8:])
	case fastLink:
		_, err := e.link(first, le.Uint32(t.value[4:]), t.value[8:])
		return err
	}
	return e.unlink(first, le.Uint32(t.value[4:]), t.value[8:])
}

// putInode takes an inode as it was logged. What its blocks are stays, unless
// it is no file with extents: then it holds that itself.
func (e *editor) putInode(ino uint32, raw []byte) error {
	in, err := e.inode(ino, true)
	if err != nil {
		return err
	}
	if in == nil || !e.common(ino) {
		e.fail(ino, "range: inode %d cannot be one that a fast commit changes", ino)
		return nil
	}
	raw = raw[:min(len(raw), len(in))]
	old := in.links() > 0
	copy(in[:40], raw[:40])
	copy(in[100:], raw[100:])
	switch kind := in.kind(); {
	case in.flags()&flagExtents != 0:
		if le.Uint16(in.block()) != 0xf30a || !old && e.maps[ino] != nil {
			putNode(in.block(), nil, rootExtents, 0)
		}
	case in.flags()&flagInline != 0, kind != filesystem.TypeFile && kind != filesystem.TypeDir:
		copy(in[40:100], raw[40:100])
	}
	if m := e.maps[ino]; m != nil && (!old || in.flags()&flagInline != 0) {
		delete(e.maps, ino) // of the file that was there
	}
	if d := e.dirs[ino]; d != nil {
		if old && d.m != nil && in.kind() == filesystem.TypeDir {
			le.PutUint32(in[4:], max(le.Uint32(in[4:]), d.areas*uint32(e.fs.sb.blockSize)))
		} else {
			delete(e.dirs, ino)
		}
	}
	e.fs.sealInode(ino, in)
	return e.markInode(ino, true)
}

// addRange gives blocks to a file.
func (e *editor) addRange(ino uint32, r run) error {
	in, err := e.live(ino, false)
	if in == nil || err != nil {
		return err
	}
	m, err := e.mapOf(ino, in)
	if err != nil {
		return err
	}
	ok := m != nil && r.n > 0 && r.block() != 0 && e.fs.inVolume(r.block(), uint64(r.n)) && uint64(r.at)+uint64(r.n) <= 1<<32-1
	if !ok || !e.place(m, r) {
		e.fail(ino, "range: inode %d cannot have blocks %d to %d", ino, r.block(), r.block()+uint64(r.n))
	}
	return nil
}

// delRange takes blocks from a file.
func (e *editor) delRange(ino, at, n uint32) error {
	in, err := e.live(ino, false)
	if in == nil || err != nil || n == 0 {
		return err
	}
	m, err := e.mapOf(ino, in)
	if err != nil {
		return err
	}
	if m == nil || !e.place(m, run{at: at, n: n}) {
		e.fail(ino, "range: blocks of inode %d cannot be taken from it", ino)
	}
	return nil
}

// create makes the first name of an inode, and of a directory its first block.
func (e *editor) create(parent, ino uint32, text []byte) error {
	in, err := e.live(ino, true)
	if err != nil {
		return err
	}
	if in == nil {
		e.fail(ino, "range: %q in directory %d is to be inode %d, which is none", text, parent, ino)
		return nil
	}
	if err := e.markInode(ino, true); err != nil {
		return err
	}
	if in.kind() == filesystem.TypeDir && in.flags()&flagInline == 0 {
		if err := e.newDir(parent, ino, in); err != nil {
			return err
		}
	}
	_, err = e.link(parent, ino, text)
	e.setLinks(ino, in, 1) // of a directory too, when its inode does not follow
	return err
}

// newDir makes the first block of a directory.
func (e *editor) newDir(parent, ino uint32, in inode) error {
	m, err := e.mapOf(ino, in)
	if m == nil || err != nil || len(m.runs) > 0 {
		return err
	}
	d := &dirEdit{ino: ino, m: m, names: make(map[string]entryPlace)}
	if ok, err := e.grow(d); !ok || err != nil {
		e.fail(ino, "partial: there is no room for the block of directory %d", ino)
		return err
	}
	e.dirs[ino] = d
	for _, own := range []struct {
		text string
		ino  uint32
	}{{".", ino}, {"..", parent}} {
		if _, err := e.addEntry(d, []byte(own.text), own.ino, filesystem.TypeDir); err != nil {
			return err
		}
	}
	return nil
}

// link adds a name of an inode. One that is there already is not added.
func (e *editor) link(parent, ino uint32, text []byte) (made bool, err error) {
	in, err := e.live(ino, true)
	if in == nil || err != nil {
		return false, err
	}
	d, err := e.dir(parent)
	if d == nil || err != nil {
		return false, err
	}
	if made, err = e.addEntry(d, text, ino, in.kind()); made && err == nil {
		e.setLinks(ino, in, in.links()+1)
	}
	return made, err
}

// unlink takes a name of an inode away, and frees the inode when that was the
// last one. What it had stays to be read, as that of a deleted file.
func (e *editor) unlink(parent, ino uint32, text []byte) error {
	in, err := e.live(ino, true)
	if in == nil || err != nil {
		return err
	}
	d, err := e.dir(parent)
	if d == nil || err != nil {
		return err
	}
	if gone, err := e.dropEntry(d, text, ino); !gone || err != nil {
		return err
	}
	if in.links() > 1 && in.kind() != filesystem.TypeDir {
		e.setLinks(ino, in, in.links()-1)
		return nil
	}
	e.setLinks(ino, in, 0)
	delete(e.dirs, ino)
	m, err := e.mapOf(ino, in)
	if err != nil {
		return err
	}
	if m != nil {
		for _, r := range m.runs {
			e.freed = append(e.freed, blockRange{r.block(), r.block() + uint64(r.n)})
		}
		for _, b := range m.tree {
			e.freed = append(e.freed, blockRange{b, b + 1})
		}
	}
	return e.markInode(ino, false)
}
