package ext4

import (
	"fmt"

	"snapcase/imaging/filesystem"
)

// record is one inode on its way out: its entry without a name.
type record struct {
	e       filesystem.Entry
	head    uint32 // its last name plus one
	used    bool   // the inode bitmap says so
	live    bool   // the kernel would show it
	missing bool   // it lies outside the image
	blank   bool   // it was never used
	dtime   uint32
	// attribute: the inode holds the value of an extended attribute
	attribute bool
	raw       inode  // set where the map is still to be read
	small     []byte // content that the inode itself holds
	past      int32  // the transaction whose copy tells the content; 0: none
}

// usable says that a live name of the inode is a name in use. A name that
// leads to an inode which was never used counts as one: nothing was freed.
func (r *record) usable() bool { return r.live || r.used || r.missing || r.blank }

func addDamage(e *filesystem.Entry, damage string) {
	switch {
	case damage == "":
	case e.Damage == "":
		e.Damage = damage
	default:
		e.Damage += "; " + damage
	}
}

// record makes r, which is empty, the record of an inode. m is a map of the
// worker's own.
func (fs *FS) record(r *record, ino uint32, in inode, used bool, m *blockMap) error {
	r.used, r.live, r.dtime, r.attribute = used, in.live(), in.dtime(), in.flags()&flagEAInode != 0
	e := &r.e
	stored, size := fs.size(in)
	e.Ref = filesystem.Ref{Inode: uint64(ino), Generation: in.generation()}
	e.Type, e.Mode, e.UID, e.GID = in.kind(), in.mode(), in.uid(), in.gid()
	e.Links, e.Size, e.First = in.links(), size, -1
	r.blank = !used && in.mode() == 0 && in.dtime() == 0 && in.links() == 0
	if !r.blank && !in.times(e) {
		addDamage(e, "range: a time has more than a second of nanoseconds; they are left out")
	}
	if !fs.inodeGood(ino, in) {
		addDamage(e, "csum: the inode does not match its checksum")
	}
	if len(in) > 128 && le.Uint16(in[128:]) != 0 && in.extraSize() == 0 {
		addDamage(e, "range: the size of the inode's further fields makes no sense")
	}
	switch {
	case r.blank:
		addDamage(e, "range: the inode was never used")
	case e.Type == filesystem.TypeUnknown:
		addDamage(e, fmt.Sprintf("range: the mode 0%o is of no type", in.mode()))
	}
	if uint64(size) < stored && (e.Type == filesystem.TypeFile || e.Type == filesystem.TypeDir || e.Type == filesystem.TypeSymlink) {
		addDamage(e, sizeDamage(stored))
	}
	if in.flags()&flagEncrypt != 0 && (e.Type == filesystem.TypeFile || e.Type == filesystem.TypeSymlink) {
		addDamage(e, "encrypted: the content is as stored")
	}
	if e.Type == filesystem.TypeChar || e.Type == filesystem.TypeBlock {
		e.Rdev = in.rdev()
	}
	addDamage(e, fs.lag(ino))
	return fs.place(r, ino, in, m)
}

// lag is the damage of an inode that a fast commit changes in a way that is not
// shown.
func (fs *FS) lag(ino uint32) string {
	if _, ok := fs.behind[ino]; ok {
		return "partial: a fast commit changes it in a way that cannot be shown"
	}
	return ""
}

// place sets what depends on where the content lies: First, the target of a
// link, damage of the map. Of an inode that is not in use, or whose map has
// blocks of its own, it leaves that to the consumer, which has the budget.
func (fs *FS) place(r *record, ino uint32, in inode, m *blockMap) error {
	off, _ := fs.inodeOffset(ino)
	free := !r.live && !r.used
	switch {
	case !mapped(in), !free && fs.within(r, in, off):
		return nil
	case free, deep(in):
		r.raw = append(inode(nil), in...)
		return nil
	}
	return fs.complete(r, ino, in, m)
}

// within takes content that the inode itself holds: a short link, inline data.
// at is where the inode lies, -1 when it is a copy of one.
func (fs *FS) within(r *record, in inode, at int64) bool {
	e := &r.e
	switch {
	case e.Type == filesystem.TypeSymlink && fs.fast(in):
		e.Link = string(in.block()[:e.Size])
		r.small = in.block()[:e.Size]
	case in.flags()&flagInline != 0 && mapped(in):
		content, damage := in.inline(e.Size)
		addDamage(e, damage)
		if e.Type == filesystem.TypeSymlink {
			e.Link = string(content)
		}
		if e.Size > 0 && at >= 0 {
			e.First = at + 40
		}
		r.small = content
	default:
		return false
	}
	return true
}

// deep says that the map has blocks of its own.
func deep(in inode) bool {
	if in.flags()&flagExtents != 0 {
		return le.Uint16(in.block()[6:]) != 0
	}
	b := in.block()
	return le.Uint32(b[48:])|le.Uint32(b[52:])|le.Uint32(b[56:]) != 0
}

// complete reads the map of a record and what hangs on it.
func (fs *FS) complete(r *record, ino uint32, in inode, m *blockMap) error {
	off, _ := fs.inodeOffset(ino)
	if fs.within(r, in, off) || !mapped(in) {
		return nil
	}
	if err := m.load(ino, in); err != nil {
		return err
	}
	addDamage(&r.e, m.damage)
	return fs.mappedContent(r, m)
}

// mappedContent sets what the map of a record says.
func (fs *FS) mappedContent(r *record, m *blockMap) error {
	e := &r.e
	if len(m.runs) > 0 {
		e.First = int64(m.runs[0].block()) * fs.sb.blockSize
	}
	if e.Type != filesystem.TypeSymlink || e.Size == 0 || e.Size > 65536 {
		return nil
	}
	if len(m.runs) == 0 {
		addDamage(e, "truncated: the target of the link has no block")
		return nil
	}
	c := Content{fs: fs, runs: m.runs, size: e.Size}
	p := make([]byte, e.Size)
	if _, err := c.ReadAt(p, 0); err != nil {
		return err
	}
	e.Link = string(p)
	return nil
}

// bare is the entry of a name whose inode says nothing about it.
func bare(ino uint32, n *name) filesystem.Entry {
	return filesystem.Entry{Ref: filesystem.Ref{Inode: uint64(ino)}, Type: fileKind(n.ftype), First: -1}
}

// reserved says that the file system keeps the inode for itself.
func (fs *FS) reserved(ino uint32) bool {
	switch ino {
	case 3, 4, 7, 8: // quotas, resize, journal
		return true
	case le.Uint32(fs.sb.raw[0x280:]):
		return fs.sb.compat&compatOrphanFile != 0
	case le.Uint32(fs.sb.raw[224:]):
		return fs.sb.compat&compatJournal != 0
	case le.Uint32(fs.sb.raw[0x26c:]):
		return fs.sb.rocompat&roProject != 0
	}
	return false
}

// worth says whether an inode without a name is given out. In parts of a table
// that were never used anything may stand: there it must make sense.
func (fs *FS) worth(ino uint32, in inode, used, unused bool) bool {
	switch {
	case fs.reserved(ino):
		return false
	case in.kind() == filesystem.TypeUnknown:
		return used && in.mode() != 0 || in.links() > 0 && used
	case used || !unused:
		return true
	}
	if fs.sb.rocompat&roMetaCsum != 0 && fs.inodeGood(ino, in) {
		return true
	}
	b := in.block()
	if in.flags()&flagExtents != 0 {
		return le.Uint16(b) == 0xf30a && le.Uint16(b[4:]) <= 4 && le.Uint16(b[6:]) <= 5
	}
	if !mapped(in) || in.flags()&flagInline != 0 || in.kind() == filesystem.TypeSymlink {
		return in.links() < 1000 && (len(in) == 128 || in.extraSize() > 0)
	}
	for i := 0; i < 60; i += 4 {
		if uint64(le.Uint32(b[i:])) >= fs.sb.blocks {
			return false
		}
	}
	return true
}
