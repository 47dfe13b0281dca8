package xfs

import (
	"fmt"

	"snapcase/imaging/filesystem"
)

// record is one inode on its way out: its entry without a name.
type record struct {
	e       filesystem.Entry
	i       int    // its number in the chunk
	head    uint32 // its last name plus one
	live    bool   // the kernel would show it
	taken   bool   // the inode tree says that it is in use
	missing bool   // it lies outside the image, or there is no inode at its place
	blank   bool   // it was never used
	// metadata: the file system keeps the inode for itself
	metadata bool
	stray    bool   // its chunk was freed, it stands there as it was before
	past     bool   // what it was before it was freed is known from the log
	local    []byte // content that it held itself then
	raw      inode  // set where the map is still to be read
}

func addDamage(e *filesystem.Entry, damage string) {
	switch {
	case damage == "":
	case e.Damage == "":
		e.Damage = damage
	default:
		e.Damage += "; " + damage
	}
}

// inodeDamage is what is wrong with an inode by itself.
func (fs *FS) inodeDamage(ino uint64, in inode) string {
	switch {
	case !in.magic():
		return "range: there is no inode at its place"
	case in.version() < 3:
		return ""
	case in.number() != ino:
		return fmt.Sprintf("range: the inode says that it is %d", in.number())
	case !crcGood(in, 100):
		return "csum: the inode does not match its checksum"
	}
	return ""
}

// record makes the record of an inode. m is a map of the worker's own; maps
// that need further reading are left to the consumer, which has the budget.
func (fs *FS) record(ino uint64, in inode, taken bool, m *blockMap) (record, error) {
	r := record{live: in.live(), taken: taken, missing: !in.magic()}
	e := &r.e
	e.Ref, e.First = filesystem.Ref{Inode: ino}, -1
	addDamage(e, fs.inodeDamage(ino, in))
	if r.missing {
		return r, nil
	}
	e.Ref.Generation, e.Links = in.gen(), in.links()
	e.UID, e.GID = in.uid(), in.gid()
	r.blank = in.blank()
	r.metadata = fs.sb.incompat&incompatMetadir != 0 && in.flags2()&flags2Metadata != 0
	if r.blank {
		return r, nil
	}
	e.Type, e.Mode = in.kind(), in.mode()
	if !in.times(e) {
		addDamage(e, "range: a time has more than a second of nanoseconds; they are left out")
	}
	if !r.live {
		r.raw = append(inode(nil), in...)
		return r, nil
	}
	size, ok := in.bounded()
	if e.Size = size; !ok {
		addDamage(e, sizeDamage(in))
	}
	switch e.Type {
	case filesystem.TypeChar, filesystem.TypeBlock:
		e.Rdev = in.rdev()
	case filesystem.TypeUnknown:
		addDamage(e, fmt.Sprintf("range: the mode 0%o is of no type", in.mode()))
	case filesystem.TypeFile, filesystem.TypeDir, filesystem.TypeSymlink:
		return r, fs.place(&r, ino, in, m)
	case filesystem.TypeFIFO, filesystem.TypeSocket:
	}
	return r, nil
}

// place sets what depends on where the content lies: First, the target of a
// link, damage of the map.
func (fs *FS) place(r *record, ino uint64, in inode, m *blockMap) error {
	switch in.format() {
	case formatLocal:
		if r.e.Size > 0 {
			ag, agino, _ := fs.sb.splitInode(ino)
			r.e.First = fs.inodePlace(ag, agino) + int64(in.core())
		}
		if r.e.Type == filesystem.TypeSymlink {
			n := min(int(r.e.Size), len(in.data()))
			if int64(n) < r.e.Size {
				addDamage(&r.e, fmt.Sprintf("truncated: %d of %d bytes of the link's target are in the inode", n, r.e.Size))
				r.e.Size = int64(n)
			}
			r.e.Link = string(in.data()[:n])
		}
		return nil
	case formatBtree:
		r.raw = append(inode(nil), in...)
		return nil
	case formatExtents:
		return fs.complete(r, ino, in, m)
	}
	addDamage(&r.e, fmt.Sprintf("range: the content has the impossible format %d", in.format()))
	return nil
}

// complete reads the map of a record and what hangs on it.
func (fs *FS) complete(r *record, ino uint64, in inode, m *blockMap) error {
	e := &r.e
	if err := m.load(ino, in); err != nil {
		return err
	}
	addDamage(e, m.damage)
	e.First = m.first()
	if in.flags()&flagRealtime != 0 && e.Type == filesystem.TypeFile {
		e.First = -1
		addDamage(e, "partial: the content lies on the realtime device")
	}
	if e.Type != filesystem.TypeSymlink || e.Size == 0 {
		return nil
	}
	text, damage, err := fs.target(ino, e.Size, m.runs)
	addDamage(e, damage)
	e.Link, e.Size = string(text), int64(len(text))
	return err
}

// reserved says that the file system keeps the inode for itself: the realtime
// bitmap and summary, the quotas.
func (fs *FS) reserved(ino uint64) bool {
	raw := fs.sb.raw
	for _, off := range []int{64, 72, 160, 168} {
		if ino == be.Uint64(raw[off:]) {
			return true
		}
	}
	return fs.sb.crc() && ino == be.Uint64(raw[232:])
}
