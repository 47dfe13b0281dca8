package xfs

import (
	"context"
	"fmt"

	"snapcase/imaging/filesystem"
)

// maxHistory bounds how many versions of inodes are kept of the log.
const maxHistory = 1 << 18

// history is what the whole log area, not only the part that is not yet in its
// place, tells of inodes that are free now: what they were before.
type history struct {
	inodes map[uint64][]oldInode // of each generation the most telling version
	kept   int
	full   bool                // there were more than maxHistory
	latest map[uint64]oldInode // while reading: the last version of each inode
}

// oldInode is an inode as it once was. whole says that its data fork is too.
type oldInode struct {
	raw   inode
	whole bool
}

// oldName is a name in a directory's block or inode, as the log has it.
type oldName struct {
	dir, ino uint64
	text     []byte // valid until the next one
	ftype    uint8
}

// past gives what the log tells of inodes; it is read once.
func (fs *FS) past(ctx context.Context) (*history, error) {
	fs.pastMutex.Lock()
	defer fs.pastMutex.Unlock()
	if fs.pastKept != nil {
		return fs.pastKept, nil
	}
	h, err := fs.readPast(ctx, nil)
	if err == nil {
		fs.pastKept = h
	}
	return h, err
}

// readPast reads the log area and gives each name in it to names, often more
// than once.
func (fs *FS) readPast(ctx context.Context, names func(oldName)) (*history, error) {
	t, err := fs.table(ctx)
	if err != nil {
		return nil, err
	}
	r := &pastReader{fs: fs, table: t, names: names, h: &history{inodes: make(map[uint64][]oldInode), latest: make(map[uint64]oldInode)}}
	j, ok, _ := fs.journal()
	if !ok {
		return r.h, nil
	}
	head, ok, err := j.head()
	if err != nil || !ok {
		return r.h, err
	}
	a := &assembler{open: make(map[uint32]*transaction), loose: true, use: r.remember}
	if _, err := j.records(ctx, head, head, true, a.add); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	r.h.latest = nil
	r.h.full = r.h.full || a.dropped
	return r.h, nil
}

// pastReader takes from transactions what they tell of the past.
type pastReader struct {
	fs    *FS
	table *chunkTable
	names func(oldName)
	h     *history
}

// remember takes inodes and names from a transaction.
func (r *pastReader) remember(t *transaction) error {
	for i := range t.items {
		it := &t.items[i]
		switch it.kind {
		case itemInode:
			if !r.wanted(t, it) {
				continue
			}
			if v, ok := t.inode(it); ok {
				r.inode(&v)
			}
		case itemBuffer:
			if r.names == nil {
				continue
			}
			if b, ok := t.buffer(it); ok && b.flags&(bufferInodes|bufferCancel) == 0 {
				if err := r.block(&b, it.regions[1:]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// wanted says that an item's inode is free now, or has names of a directory
// within it.
func (r *pastReader) wanted(t *transaction, it *logItem) bool {
	ino, ok := t.inodeOf(it)
	if !ok {
		return false
	}
	if k, i, ok := r.table.find(ino); !ok || r.table.chunks[k].free&(1<<i) != 0 {
		return true
	}
	return r.names != nil && t.order.Uint32(it.regions[0][4:])&fieldData != 0 && len(it.regions) > 1 &&
		len(it.regions[1]) > 4 && t.order.Uint16(it.regions[1][2:])&0xf000 == 0x4000
}

// inode adds a version. A fork that was not logged is that of the version
// before, if the log has one of the same generation.
func (r *pastReader) inode(v *inodeVersion) {
	fs, h := r.fs, r.h
	if _, _, ok := fs.sb.splitInode(v.ino); !ok || len(v.core) > fs.sb.inodeSize {
		return
	}
	o := oldInode{raw: make(inode, fs.sb.inodeSize), whole: v.data != nil || v.fields&fieldDevice != 0}
	raw := o.raw
	if before, ok := h.latest[v.ino]; ok && before.raw.gen() == be.Uint32(v.core[92:]) {
		copy(raw, before.raw)
		o.whole = o.whole || before.whole
	}
	be.PutUint32(raw[96:], noUnlinked)
	v.write(raw, &fs.sb)
	if len(h.latest) < maxHistory {
		h.latest[v.ino] = o
	}
	if raw.kind() == filesystem.TypeUnknown {
		return
	}
	if raw.kind() == filesystem.TypeDir && raw.format() == formatLocal && v.data != nil {
		r.short(v.ino, raw)
	}
	if k, i, ok := r.table.find(v.ino); ok && r.table.chunks[k].free&(1<<i) == 0 {
		return
	}
	h.keep(v.ino, o)
}

// telling orders versions: one with content and its place says most.
func (o *oldInode) telling() int {
	switch {
	case o.raw.size() == 0:
		return 0
	case !o.whole:
		return 1
	}
	return 2
}

func (h *history) keep(ino uint64, o oldInode) {
	list := h.inodes[ino]
	for i := range list {
		if list[i].raw.gen() == o.raw.gen() {
			if o.telling() >= list[i].telling() {
				list[i] = o
			}
			return
		}
	}
	if h.kept >= maxHistory || len(list) >= 64 {
		h.full = true
		return
	}
	h.kept++
	h.inodes[ino] = append(list, o)
}

// before gives the last life of an inode which is free now and has the
// generation gen: freeing adds one.
func (h *history) before(ino uint64, gen uint32) *oldInode {
	for i := range h.inodes[ino] {
		if o := &h.inodes[ino][i]; o.raw.gen()+1 == gen {
			return o
		}
	}
	return nil
}

// only gives what is known of an inode that the log knows in one life alone;
// nil otherwise.
func (h *history) only(ino uint64) *oldInode {
	if list := h.inodes[ino]; len(list) == 1 && !h.full {
		return &list[0]
	}
	return nil
}

// reader gives a reader whose entries are names of the directory dir.
func (r *pastReader) reader(dir uint64) *direntReader {
	d := &direntReader{sb: &r.fs.sb, high: dir >> 32 << 32}
	d.emit = func(e dirent) {
		if d.sound(&e) {
			r.names(oldName{dir: dir, ino: e.ino, text: e.text, ftype: e.ftype})
		}
	}
	return d
}

// short takes the names of a directory that lay in its inode.
func (r *pastReader) short(ino uint64, raw inode) {
	if r.names != nil {
		r.reader(ino).shortForm(raw.data(), int(min(raw.size(), uint64(len(raw)))))
	}
}

// block takes the names from the logged parts of a directory's block. Whose
// block it is stands in its header, which is logged with nearly every change,
// or else in the block that lies there now.
func (r *pastReader) block(b *bufferItem, regions [][]byte) error {
	var header []byte
	b.parts(regions, func(off int, p []byte) {
		if off == 0 {
			header = p
		}
	})
	fs := r.fs
	if len(header) >= 8 && !isDirBlock(header) {
		return nil
	}
	if !fs.sb.crc() || int64(b.units)*basic != fs.sb.dirBlock {
		return nil // without a header nobody knows whose block it is
	}
	if len(header) < 64 {
		header = make([]byte, 64)
		if _, err := fs.read(header, b.at*basic); err != nil {
			return err
		}
		if !isDirBlock(header) || be.Uint64(header[8:]) != uint64(b.at) {
			return nil
		}
	}
	dir := be.Uint64(header[40:])
	if _, _, ok := fs.sb.splitInode(dir); !ok {
		return nil
	}
	d := r.reader(dir)
	b.parts(regions, func(off int, p []byte) { d.pieces(p, off) })
	return nil
}

// pieces takes every entry from a part of a block that begins at the place
// base of the block. Entries must say their own place.
func (r *direntReader) pieces(p []byte, base int) {
	start := 0
	if base < r.sb.dataHeader() {
		start = r.sb.dataHeader() - base
	}
	for off := start; off+16 <= len(p); {
		d, tag, ok := r.parse(p, off)
		if !ok || tag != base+off || d.ino == 0 || !r.plausible(&d) {
			off += 8
			continue
		}
		r.emit(d)
		off += r.sb.direntLen(len(d.text))
	}
}
