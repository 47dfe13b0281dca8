package xfs

import (
	"context"
	"fmt"

	"snapcase/imaging/filesystem"
)

// maxHistory bounds how many names and how many inodes are kept of the log.
const maxHistory = 1 << 20

// history is what the whole log area, not only the part that is not yet in its
// place, tells of the past: inodes before they were freed, names before they
// were removed.
type history struct {
	inodes map[uint64][]oldInode // of each generation the most telling version
	names  []oldName
	seen   map[string]struct{}
	full   bool
	latest map[uint64]oldInode // while reading: the last version of each inode
}

// oldInode is an inode as it once was. whole says that its data fork is too.
type oldInode struct {
	raw   inode
	lsn   uint64
	whole bool
}

// oldName is a name in a directory's block or inode.
type oldName struct {
	dir, ino uint64
	text     string
	ftype    uint8
}

// past reads the log area once.
func (fs *FS) past(ctx context.Context) (*history, error) {
	fs.pastMutex.Lock()
	defer fs.pastMutex.Unlock()
	if fs.pastKept != nil {
		return fs.pastKept, nil
	}
	h := &history{inodes: make(map[uint64][]oldInode), seen: make(map[string]struct{}), latest: make(map[uint64]oldInode)}
	if err := fs.readPast(ctx, h); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	h.seen, h.latest = nil, nil
	fs.pastKept = h
	return h, nil
}

func (fs *FS) readPast(ctx context.Context, h *history) error {
	j, ok := fs.journal()
	if !ok {
		return nil
	}
	head, ok, err := j.head()
	if err != nil || !ok {
		return err
	}
	a := &assembler{open: make(map[uint32]*transaction), loose: true, use: func(t *transaction) error { return fs.remember(h, t) }}
	if _, err := j.records(ctx, head, head, true, a.add); err != nil {
		return err
	}
	return nil
}

// remember takes inodes and names from a transaction.
func (fs *FS) remember(h *history, t *transaction) error {
	for i := range t.items {
		it := &t.items[i]
		switch it.kind {
		case itemInode:
			if v, ok := t.inode(it); ok {
				h.inode(fs, &v, t.lsn)
			}
		case itemBuffer:
			if b, ok := t.buffer(it); ok && b.flags&(bufferInodes|bufferCancel) == 0 {
				if err := fs.oldBlock(h, &b, it.regions[1:]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// inode adds a version. A fork that was not logged is that of the version
// before, if the log has one of the same generation.
func (h *history) inode(fs *FS, v *inodeVersion, lsn uint64) {
	if _, _, ok := fs.sb.splitInode(v.ino); !ok || len(v.core) > fs.sb.inodeSize {
		return
	}
	o := oldInode{raw: make(inode, fs.sb.inodeSize), lsn: lsn, whole: v.data != nil || v.fields&fieldDevice != 0}
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
		h.short(fs, v.ino, raw)
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
	if len(h.inodes) >= maxHistory || len(list) >= 64 {
		h.full = true
		return
	}
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

func (h *history) add(n oldName) {
	key := fmt.Sprintf("%x %x %x %s", n.dir, n.ino, n.ftype, n.text)
	if _, again := h.seen[key]; again {
		return
	}
	if len(h.names) >= maxHistory {
		h.full = true
		return
	}
	h.seen[key] = struct{}{}
	h.names = append(h.names, n)
}

// reader gives a reader whose entries are names of the directory dir.
func (h *history) reader(fs *FS, dir uint64) *direntReader {
	r := &direntReader{sb: &fs.sb, high: dir >> 32 << 32}
	r.emit = func(d dirent) {
		if _, _, ok := fs.sb.splitInode(d.ino); ok && r.sound(&d) {
			h.add(oldName{dir: dir, ino: d.ino, text: string(d.text), ftype: d.ftype})
		}
	}
	return r
}

// short takes the names of a directory that lay in its inode.
func (h *history) short(fs *FS, ino uint64, raw inode) {
	h.reader(fs, ino).shortForm(raw.data(), int(min(raw.size(), uint64(len(raw)))))
}

// oldBlock takes the names from the logged parts of a directory's block. Whose
// block it is stands in its header, which is logged with nearly every change,
// or else in the block that lies there now.
func (fs *FS) oldBlock(h *history, b *bufferItem, regions [][]byte) error {
	var header []byte
	b.parts(regions, func(off int, p []byte) {
		if off == 0 {
			header = p
		}
	})
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
	r := h.reader(fs, dir)
	b.parts(regions, func(off int, p []byte) { r.pieces(p, off) })
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
