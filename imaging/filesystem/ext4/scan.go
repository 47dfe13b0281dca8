package ext4

import (
	"context"
	"errors"

	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/inorder"
)

// stretchBytes is how much of an inode table is read at once.
const stretchBytes = 512 << 10

// stretch is a part of one group's inode table.
type stretch struct {
	first uint32 // inode number
	n     int    // inodes
	upTo  int    // how many from the first on are worth reading again
	// heads has for each inode the number of its last name plus one; nil
	// where no name leads here.
	heads []uint32
}

// index is what one walk keeps in memory.
type index struct {
	fs        *FS
	stretches []stretch
	perGroup  int // stretches of a group
	perInodes uint32
	dirs      []dir // by inode
	runs      []dirRun
	inline    []inlineDir
	names     nameTable
	used      *bitmaps
	lost      []lostName
	orphans   map[uint32]struct{}
	damage    map[uint32]string // of directories, by number
	pending   map[int][]uint64  // stretch to a bit for each inode left for the second round
	found     int               // of dirs: those that inodes are now, by inode; the rest are in gone
	gone      map[dirKey]uint32 // directories that are known from the journal alone
	dirRuns   []dirRun          // by block, of directories that are in use
	past      *pastView
	now       *inodesNow         // while the tables and the journal are read
	fromLog   map[uint32]logName // what is known of a name that the journal has
	full      bool               // there were more of those than are kept
}

// dir is a directory, live or deleted.
type dir struct {
	ino        uint32
	generation uint32
	dotdot     uint32
	first      uint32 // its name that leads to the root, plus one
	flags      uint16
}

const (
	dirDeleted  = 1 << iota // the inode is free: only names that look sound are taken
	dirHashed               // entries carry 8 bytes of hash behind the name
	dirRooted               // its names lead to the root
	dirResolved             // paths know it
	dirBroken               // its path starts at itself: a loop or too deep
	dirClimbing             // on the way up now
	dirEncrypted
	dirIndexed
	dirDoubtful // its path is likely and not certain
)

// dirRun is consecutive blocks of a directory.
type dirRun struct {
	phys uint64
	n    uint32
	at   uint32 // block of the directory
	dir  uint32
	past bool // behind the end of the directory
}

type inlineDir struct {
	dir uint32
	raw inode
}

// rawDir is a directory inode found in a stretch.
type rawDir struct {
	ino uint32
	raw inode
}

// scanned is what the first reading of a stretch gives.
type scanned struct {
	upTo int
	dirs []rawDir
	gens []uint32
	live []bool
}

func (fs *FS) newIndex() *index {
	x := &index{
		fs: fs, orphans: make(map[uint32]struct{}), damage: make(map[uint32]string),
		pending: make(map[int][]uint64), used: fs.newBitmaps(),
		gone: make(map[dirKey]uint32), fromLog: make(map[uint32]logName),
	}
	x.perInodes = uint32(min(stretchBytes/fs.sb.inodeSize, int(fs.sb.inodesPerGroup)))
	x.perGroup = int((fs.sb.inodesPerGroup + x.perInodes - 1) / x.perInodes)
	x.stretches = make([]stretch, 0, x.perGroup*len(fs.groups))
	for g := range fs.groups {
		first := uint64(g)*uint64(fs.sb.inodesPerGroup) + 1
		for i := uint32(0); i < fs.sb.inodesPerGroup; i += x.perInodes {
			x.stretches = append(x.stretches, stretch{first: uint32(first + uint64(i)), n: int(min(x.perInodes, fs.sb.inodesPerGroup-i))})
		}
	}
	return x
}

// place says in which stretch inode ino is, and where.
func (x *index) place(ino uint32) (k, i int, ok bool) {
	if ino == 0 {
		return 0, 0, false
	}
	g, in := (ino-1)/x.fs.sb.inodesPerGroup, (ino-1)%x.fs.sb.inodesPerGroup
	k = int(g)*x.perGroup + int(in/x.perInodes)
	return k, int(in % x.perInodes), int(g) < len(x.fs.groups)
}

// readStretch reads the first n inodes of stretch k into buf and says how many
// of them the image has.
func (x *index) readStretch(k, n int, buf []byte) (p []byte, have int, err error) {
	p = buf[:n*x.fs.sb.inodeSize]
	off, ok := x.fs.inodeOffset(x.stretches[k].first)
	if !ok {
		clear(p)
		return p, 0, nil
	}
	got, err := x.fs.read(p, off)
	return p, got / x.fs.sb.inodeSize, err
}

// scan reads all inode tables and collects the directories.
func (x *index) scan(ctx context.Context) error {
	if err := x.loadOrphans(ctx); err != nil {
		return err
	}
	bufs := make([][]byte, inorder.Workers())
	if x.fs.log != nil {
		x.now = x.newNow()
	}
	m := &blockMap{fs: x.fs, spend: x.fs.newBudget()}
	defer func() { x.found = len(x.dirs) }()
	return inorder.Do(ctx, len(x.stretches), func(w, k int) (scanned, error) {
		if bufs[w] == nil {
			bufs[w] = make([]byte, int(x.perInodes)*x.fs.sb.inodeSize)
		}
		return x.scanStretch(k, bufs[w])
	}, func(k int, s scanned) error {
		x.stretches[k].upTo = s.upTo
		if x.now != nil {
			x.now.gens[k], x.now.live[k] = s.gens, s.live
		}
		for _, d := range s.dirs {
			if err := x.addDir(d, m); err != nil {
				return err
			}
		}
		return nil
	})
}

func (x *index) scanStretch(k int, buf []byte) (scanned, error) {
	st := &x.stretches[k]
	if x.fs.groups[k/x.perGroup].noTable {
		return scanned{}, nil
	}
	p, have, err := x.readStretch(k, st.n, buf)
	if err != nil {
		return scanned{}, err
	}
	var s scanned
	size := x.fs.sb.inodeSize
	for i := range have {
		in := inode(p[i*size:][:size])
		if in.mode() == 0 && in.links() == 0 && in.dtime() == 0 {
			continue
		}
		s.upTo = i + 1
		if in.kind() == filesystem.TypeDir {
			s.dirs = append(s.dirs, rawDir{st.first + uint32(i), append(inode(nil), in...)})
		}
	}
	if x.now != nil {
		s.gens, s.live = make([]uint32, s.upTo), make([]bool, s.upTo)
		for i := range s.upTo {
			in := inode(p[i*size:][:size])
			s.gens[i], s.live[i] = in.generation(), in.live()
		}
	}
	return s, nil
}

// dirFlags is what an inode says about the directory that it is.
func dirFlags(in inode) (flags uint16) {
	if in.flags()&flagIndex != 0 {
		flags |= dirIndexed
	}
	if in.flags()&flagEncrypt != 0 {
		flags |= dirEncrypted
		if in.flags()&flagCasefold != 0 {
			flags |= dirHashed
		}
	}
	return flags
}

// addDir notes where the blocks of a directory are.
func (x *index) addDir(r rawDir, m *blockMap) error {
	d := dir{ino: r.ino, generation: r.raw.generation(), flags: dirFlags(r.raw)}
	flags := r.raw.flags()
	if !r.raw.live() && r.ino != rootInode {
		d.flags |= dirDeleted
	}
	n := uint32(len(x.dirs))
	x.dirs = append(x.dirs, d)
	if flags&flagInline != 0 {
		x.inline = append(x.inline, inlineDir{n, r.raw})
		return nil
	}
	if err := m.load(r.ino, r.raw); err != nil {
		return err
	}
	if m.damage != "" {
		x.noteDir(n, m.damage)
	}
	if d.flags&dirDeleted != 0 {
		if err := x.keepFree(r.raw, m); err != nil {
			return err
		}
	}
	_, size := x.fs.size(r.raw)
	blocks := uint64(size+x.fs.sb.blockSize-1) / uint64(x.fs.sb.blockSize)
	if blocks == 0 && len(m.runs) > 0 && d.flags&dirDeleted == 0 {
		x.noteDir(n, "range: the directory has blocks and the size 0")
		blocks = 1 << 32
	}
	limit := int(x.fs.src.Size()/x.fs.sb.blockSize)*maxClaims + 64
	for _, r := range m.runs {
		if len(x.runs) > limit {
			x.noteDir(n, "partial: directories have more pieces than the image has blocks; the rest of this one is left out")
			break
		}
		x.addRun(r, n, blocks)
	}
	return nil
}

// keepFree leaves of a deleted directory's map what nothing else uses.
func (x *index) keepFree(in inode, m *blockMap) error {
	if in.flags()&flagExtents != 0 && len(m.runs) == 0 {
		x.fs.staleExtents(in.block(), m)
	}
	var free []run
	for _, r := range m.runs {
		n, err := x.used.used(r.block(), uint64(r.n))
		if err != nil {
			return err
		}
		if n == 0 {
			free = append(free, r)
		}
	}
	m.runs = free
	return nil
}

// addRun splits a run at the end of the directory.
func (x *index) addRun(r run, n uint32, blocks uint64) {
	whole := dirRun{phys: r.block(), n: r.n, at: r.at, dir: n}
	if r.unwritten() {
		whole.past = true
	}
	if in := blocks - min(blocks, uint64(r.at)); in < uint64(r.n) && !whole.past {
		rest := whole
		rest.phys, rest.at, rest.n, rest.past = whole.phys+in, whole.at+uint32(in), whole.n-uint32(in), true
		whole.n = uint32(in)
		x.runs = append(x.runs, rest)
	}
	if whole.n > 0 {
		x.runs = append(x.runs, whole)
	}
}

func (x *index) noteDir(n uint32, damage string) {
	if x.damage[n] == "" {
		x.damage[n] = damage
	}
}

// errEnough ends a walk whose consumer has left.
var errEnough = errors.New("the consumer left")
