package ext4

import (
	"sort"

	"snapcase/imaging/filesystem"
)

const (
	// maxEditedBlocks bounds how many blocks of directories are read to be
	// edited, maxEditedNames how many names are kept of them.
	maxEditedBlocks = 1 << 16
	maxEditedNames  = 1 << 19
)

// dirEdit is a directory that is edited. Its areas are its blocks, or the two
// parts that it has within its inode.
type dirEdit struct {
	ino     uint32
	m       *fileMap // nil: it lies within its inode
	areas   uint32
	names   map[string]entryPlace
	next    uint32 // the area where room is looked for
	indexed bool
}

// entryPlace is where an entry stands.
type entryPlace struct {
	area, off uint32
}

// dir gives a directory to be edited; nil when it is none, or cannot be.
func (e *editor) dir(ino uint32) (*dirEdit, error) {
	if d, ok := e.dirs[ino]; ok {
		return d, nil
	}
	in, err := e.live(ino, false)
	if err != nil || in == nil || in.kind() != filesystem.TypeDir {
		return nil, err
	}
	d, err := e.openDir(ino, in)
	if d == nil && err == nil {
		e.fail(ino, "partial: directory %d is encrypted, damaged or too large to be edited", ino)
	}
	return d, err
}

func (e *editor) openDir(ino uint32, in inode) (d *dirEdit, err error) {
	if in.flags()&flagEncrypt != 0 {
		return nil, nil
	}
	d = &dirEdit{ino: ino, areas: 2, names: make(map[string]entryPlace), indexed: in.flags()&flagIndex != 0}
	if in.flags()&flagInline == 0 {
		if d.m, err = e.mapOf(ino, in); d.m == nil || err != nil {
			return nil, err
		}
		_, size := e.fs.size(in)
		blocks := uint64(size+e.fs.sb.blockSize-1) / uint64(e.fs.sb.blockSize)
		if blocks+uint64(e.scanned) > maxEditedBlocks {
			return nil, nil
		}
		e.scanned += int(blocks)
		d.areas = uint32(blocks)
	}
	for k := range d.areas {
		if err := e.index(d, k); err != nil {
			return nil, err
		}
	}
	if e.names > maxEditedNames {
		return nil, nil
	}
	e.dirs[ino] = d
	return d, nil
}

// index notes where the entries of an area stand.
func (e *editor) index(d *dirEdit, k uint32) error {
	p, err := e.area(d, k, false)
	if p == nil || err != nil {
		return err
	}
	r := direntReader{maxInode: e.fs.sb.maxInode(), filetype: e.fs.sb.incompat&incompatFiletype != 0, live: true}
	r.emit = func(f dirent) {
		if _, again := d.names[string(f.text)]; again || e.names > maxEditedNames {
			return
		}
		d.names[string(f.text)] = entryPlace{k, uint32(cap(p) - cap(f.text) - 8)} // text lies in p
		e.names++
	}
	r.block(p)
	return nil
}

// area gives a part of a directory, to be changed or not; nil where there is
// none.
func (e *editor) area(d *dirEdit, k uint32, change bool) ([]byte, error) {
	if d.m == nil {
		in, err := e.inode(d.ino, change)
		if in == nil || err != nil {
			return nil, err
		}
		if k == 0 {
			return in.block()[4:], nil
		}
		value, _, _ := in.attrData()
		return value, nil
	}
	i := sort.Search(len(d.m.runs), func(i int) bool { return uint64(d.m.runs[i].at)+uint64(d.m.runs[i].n) > uint64(k) })
	if i == len(d.m.runs) || d.m.runs[i].at > k || d.m.runs[i].unwritten() {
		return nil, nil
	}
	block := d.m.runs[i].block() + uint64(k-d.m.runs[i].at)
	if change {
		return e.edit(block)
	}
	return e.peek(block)
}

// sealArea sets the checksum of an area that was changed.
func (e *editor) sealArea(d *dirEdit, p []byte) error {
	in, err := e.inode(d.ino, true)
	if in == nil || err != nil {
		return err
	}
	if d.m == nil {
		e.fs.sealInode(d.ino, in)
	} else {
		e.fs.sealDir(e.fs.owner(d.ino, in.generation()), p)
	}
	return nil
}

// addEntry adds a name to a directory; made is false when it is there already
// or there is no room.
func (e *editor) addEntry(d *dirEdit, text []byte, ino uint32, kind filesystem.Type) (made bool, err error) {
	if _, ok := d.names[string(text)]; ok {
		return false, nil
	}
	need := (8 + len(text) + 3) &^ 3
	for ; ; d.next++ {
		if d.next == d.areas {
			if ok, err := e.grow(d); !ok || err != nil {
				e.fail(d.ino, "partial: there is no room for %q in directory %d", text, d.ino)
				return false, err
			}
		}
		p, err := e.area(d, d.next, false)
		if err != nil {
			return false, err
		}
		off, used, ok := e.gap(d, p, need)
		if !ok {
			continue
		}
		if p, err = e.area(d, d.next, true); p == nil || err != nil {
			e.fail(d.ino, "partial: there is no room for %q in directory %d", text, d.ino)
			return false, err
		}
		rec := recLen(p[off+4:])
		if used > 0 {
			putRecLen(p[off:], used)
			off, rec = off+used, rec-used
		}
		e.putEntry(p[off:], ino, rec, text, kind)
		d.names[string(text)] = entryPlace{d.next, uint32(off)}
		return true, e.sealArea(d, p)
	}
}

// gap finds an entry of a block behind which, or in which, there is room; used
// is how much the entry itself needs.
func (e *editor) gap(d *dirEdit, p []byte, need int) (off, used int, ok bool) {
	if d.indexed && d.m != nil && (d.next == 0 || len(p) > 8 && le.Uint32(p) == 0 && recLen(p[4:]) == len(p)) {
		return 0, 0, false // a block of the index
	}
	for off+12 <= len(p) {
		rec, size := recLen(p[off+4:]), int(p[off+6])
		if rec < 12 || rec%4 != 0 || rec > len(p)-off || 8+size > rec || p[off+7] == 0xde && off+12 == len(p) {
			break
		}
		if used = 0; le.Uint32(p[off:]) != 0 {
			used = (8 + size + 3) &^ 3
		}
		if rec-used >= need {
			return off, used, true
		}
		off += rec
	}
	return 0, 0, false
}

// grow adds an empty block to a directory.
func (e *editor) grow(d *dirEdit) (bool, error) {
	in, err := e.inode(d.ino, true)
	if in == nil || err != nil || d.areas >= maxEditedBlocks {
		return false, err
	}
	if d.m == nil {
		return e.unfold(d, in)
	}
	block, err := e.allocate()
	if err != nil || block == 0 {
		return false, err
	}
	p, err := e.edit(block)
	if p == nil || err != nil || !e.place(d.m, run{at: d.areas, n: 1, phys: block}) {
		return false, err
	}
	d.areas++
	le.PutUint32(in[4:], uint32(int64(d.areas)*e.fs.sb.blockSize))
	clear(p)
	end := len(p)
	if e.fs.sb.rocompat&roMetaCsum != 0 {
		end -= 12
		putRecLen(p[end:], 12)
		p[end+7] = 0xde
	}
	putRecLen(p, end)
	e.fs.sealInode(d.ino, in)
	return true, e.sealArea(d, p)
}

// unfold gives a directory that lies within its inode a block instead.
func (e *editor) unfold(d *dirEdit, in inode) (bool, error) {
	type entry struct {
		ino  uint32
		text string
		kind filesystem.Type
	}
	all := []entry{{d.ino, ".", filesystem.TypeDir}, {le.Uint32(in.block()), "..", filesystem.TypeDir}}
	r := direntReader{maxInode: e.fs.sb.maxInode(), filetype: e.fs.sb.incompat&incompatFiletype != 0, live: true}
	r.emit = func(f dirent) { all = append(all, entry{f.ino, string(f.text), fileKind(f.ftype)}) }
	for k := range d.areas {
		p, err := e.area(d, k, false)
		if err != nil {
			return false, err
		}
		r.block(p)
	}
	le.PutUint32(in[32:], in.flags()&^flagInline|flagExtents)
	putNode(in.block(), nil, rootExtents, 0)
	m := new(fileMap)
	e.maps[d.ino] = m
	*d = dirEdit{ino: d.ino, m: m, names: make(map[string]entryPlace)}
	if ok, err := e.grow(d); !ok || err != nil {
		return false, err
	}
	for _, f := range all {
		if _, err := e.addEntry(d, []byte(f.text), f.ino, f.kind); err != nil {
			return false, err
		}
	}
	d.next = 0
	return true, nil
}

// putEntry writes an entry.
func (e *editor) putEntry(p []byte, ino uint32, rec int, text []byte, kind filesystem.Type) {
	le.PutUint32(p, ino)
	putRecLen(p, rec)
	p[6], p[7] = uint8(len(text)), 0
	if e.fs.sb.incompat&incompatFiletype != 0 {
		for b := range uint8(8) {
			if fileKind(b) == kind {
				p[7] = b
			}
		}
	}
	copy(p[8:], text)
}

// putRecLen sets the length of the entry at the start of p.
func putRecLen(p []byte, n int) { le.PutUint16(p[4:], uint16(min(n, 65535))) }

// dropEntry takes a name of an inode from a directory, as kernels do that leave
// the name in the slack. It gives false when the directory has no such name;
// one that is another inode's by now stays.
func (e *editor) dropEntry(d *dirEdit, text []byte, ino uint32) (bool, error) {
	at, ok := d.names[string(text)]
	if !ok {
		return false, nil
	}
	p, err := e.area(d, at.area, true)
	if err != nil {
		return false, err
	}
	if p == nil {
		e.fail(d.ino, "partial: too many blocks are changed to take %q from directory %d", text, d.ino)
		return false, nil
	}
	if le.Uint32(p[at.off:]) != ino {
		return true, nil
	}
	delete(d.names, string(text))
	before := -1
	for off := 0; off < int(at.off); off += recLen(p[off+4:]) {
		before = off
	}
	if before < 0 {
		le.PutUint32(p, 0)
	} else {
		putRecLen(p[before:], recLen(p[before+4:])+recLen(p[at.off+4:]))
	}
	return true, e.sealArea(d, p)
}
