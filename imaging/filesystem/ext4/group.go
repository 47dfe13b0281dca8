package ext4

import (
	"cmp"
	"fmt"
	"slices"
)

// Flags of a group descriptor, meaningful with checksums only.
const (
	inodeUninit = 0x1
	blockUninit = 0x2
)

// maxClaims is how many owners of one block the reader follows. Sound volumes
// have one; a limit keeps a hostile volume from being read a million times.
const maxClaims = 4

// group is what the reader uses of a group descriptor.
type group struct {
	blockBitmap, inodeBitmap, table uint64 // blocks
	unused                          uint32 // inodes at the end of the table
	flags                           uint16
	noTable                         bool // the table has no place that can be read
	badSum                          bool
}

func (fs *FS) parseDesc(g uint64, d []byte) group {
	v := group{
		blockBitmap: uint64(le.Uint32(d)), inodeBitmap: uint64(le.Uint32(d[4:])), table: uint64(le.Uint32(d[8:])),
		flags: le.Uint16(d[18:]), unused: uint32(le.Uint16(d[28:])),
	}
	if fs.sb.descSize >= 64 {
		v.blockBitmap |= uint64(le.Uint32(d[32:])) << 32
		v.inodeBitmap |= uint64(le.Uint32(d[36:])) << 32
		v.table |= uint64(le.Uint32(d[40:])) << 32
		v.unused |= uint32(le.Uint16(d[50:])) << 16
	}
	if !fs.sb.checksums() {
		v.flags, v.unused = 0, 0
	}
	v.noTable = v.table <= fs.sb.firstBlock || !fs.inVolume(v.table, fs.tableBlocks())
	v.badSum = !fs.descGood(g, d)
	return v
}

// tableBlocks is how many blocks the inode table of one group has.
func (fs *FS) tableBlocks() uint64 {
	return (uint64(fs.sb.inodesPerGroup)*uint64(fs.sb.inodeSize) + uint64(fs.sb.blockSize) - 1) / uint64(fs.sb.blockSize)
}

// descBlock is the block that holds part nr of the descriptors, in the copy
// that belongs to the superblock of group copyOf (0 for the primary).
func (fs *FS) descBlock(nr, perBlock, copyOf uint64) uint64 {
	s := &fs.sb
	if s.incompat&incompatMetaBG == 0 || nr < uint64(le.Uint32(s.raw[260:])) {
		if copyOf == 0 {
			return uint64(superOffset/s.blockSize) + 1 + nr
		}
		return s.groupStart(copyOf) + 1 + nr
	}
	first := nr * perBlock
	at := first
	if copyOf != 0 { // the copies stand in the second and the last group of the meta group
		at = min(first+1, s.groupCount-1)
	}
	b := s.groupStart(at)
	if s.hasSuper(at) {
		b++
	}
	if s.blockSize == 1024 && nr == 0 && s.firstBlock == 0 && at == 0 {
		b++
	}
	return b
}

// loadGroups reads the descriptors and replaces bad ones by backups.
func (fs *FS) loadGroups() error {
	s := &fs.sb
	if limit := uint64(max(fs.src.Size(), 0)) / uint64(s.descSize); s.groupCount > limit {
		fs.note("the superblock says %d groups, the image has room for the descriptors of %d", s.groupCount, limit)
		s.groupCount = max(limit, 1)
	}
	fs.groups = make([]group, s.groupCount)
	if err := fs.readDescs(s.group, func(i int, d group) { fs.groups[i] = d }); err != nil {
		return err
	}
	if err := fs.repairGroups(s.group); err != nil {
		return err
	}
	fs.dropShared()
	bad, sums := 0, 0
	for i := range fs.groups {
		if fs.groups[i].noTable {
			bad++
		}
		if fs.groups[i].badSum {
			sums++
		}
	}
	if bad > 0 {
		fs.note("%d of %d groups have no readable inode table", bad, len(fs.groups))
	}
	if sums > 0 {
		fs.note("csum: %d of %d group descriptors do not match their checksum", sums, len(fs.groups))
	}
	return nil
}

func (fs *FS) note(format string, args ...any) {
	fs.info.State = append(fs.info.State, fmt.Sprintf(format, args...))
}

// readDescs gives the descriptors of one copy in order of their groups.
func (fs *FS) readDescs(copyOf uint64, use func(int, group)) error {
	perBlock := uint64(fs.sb.blockSize) / uint64(fs.sb.descSize)
	block := make([]byte, fs.sb.blockSize)
	for g := uint64(0); g < fs.sb.groupCount; g++ {
		if g%perBlock == 0 {
			at := fs.descBlock(g/perBlock, perBlock, copyOf)
			if _, err := fs.read(block, int64(at)*fs.sb.blockSize); err != nil {
				return fmt.Errorf("group descriptors: %w", err)
			}
		}
		d := block[g%perBlock*uint64(fs.sb.descSize):][:fs.sb.descSize]
		use(int(g), fs.parseDesc(g, d))
	}
	return nil
}

// repairGroups takes from the backups what is bad in the copy read first.
func (fs *FS) repairGroups(used uint64) error {
	wrong := func(d group) bool { return d.noTable || d.badSum }
	if !slices.ContainsFunc(fs.groups, wrong) {
		return nil
	}
	tries := 0
	for c := uint64(0); c < fs.sb.groupCount && tries < 4; c++ {
		if c == used || !fs.sb.hasSuper(c) {
			continue
		}
		tries++
		n := 0
		err := fs.readDescs(c, func(i int, d group) {
			old := &fs.groups[i]
			if wrong(*old) && !d.noTable && (!d.badSum || old.noTable) {
				*old = d
				n++
			}
		})
		if err != nil {
			return err
		}
		if n > 0 {
			fs.note("%d group descriptors were bad and are taken from the copy of group %d", n, c)
		}
	}
	return nil
}

// dropShared takes the table from groups that point where maxClaims groups of
// a lower number point already.
func (fs *FS) dropShared() {
	order := make([]int, 0, len(fs.groups))
	for i := range fs.groups {
		if !fs.groups[i].noTable {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(fs.groups[a].table, fs.groups[b].table), cmp.Compare(a, b))
	})
	shared, size := 0, fs.tableBlocks()
	var ends [maxClaims]uint64
	for _, i := range order {
		g := &fs.groups[i]
		slot := slices.Index(ends[:], slices.Min(ends[:]))
		if slices.Max(ends[:]) > g.table {
			shared++
		}
		if ends[slot] > g.table {
			g.noTable = true
			continue
		}
		ends[slot] = g.table + size
	}
	if shared > 0 {
		fs.note("overlap: %d inode tables lie over others", shared)
	}
}

// noteReserved says what the bad-blocks inode claims: a place to hide data.
func (fs *FS) noteReserved() {
	in, ok, err := fs.readInode(1)
	if err != nil || !ok {
		return
	}
	if n := in.blocks512(); n > 0 {
		fs.note("the bad-blocks inode claims %d sectors", n)
	}
}

// inodeBitmapOf reads the inode bitmap of group g into p. A group that was
// never used has none on disk: all are free.
func (fs *FS) inodeBitmapOf(g int, p []byte) ([]byte, error) {
	p = p[:(fs.sb.inodesPerGroup+7)/8]
	d := &fs.groups[g]
	if d.flags&inodeUninit != 0 || !fs.inVolume(d.inodeBitmap, 1) {
		clear(p)
		return p, nil
	}
	_, err := fs.read(p, int64(d.inodeBitmap)*fs.sb.blockSize)
	return p, err
}

// inodeUsed asks the inode bitmap for one inode.
func (fs *FS) inodeUsed(ino uint32) (bool, error) {
	g, i := (ino-1)/fs.sb.inodesPerGroup, (ino-1)%fs.sb.inodesPerGroup
	if int(g) >= len(fs.groups) {
		return false, nil
	}
	p, err := fs.inodeBitmapOf(int(g), make([]byte, (fs.sb.inodesPerGroup+7)/8))
	return err == nil && p[i/8]&(1<<(i%8)) != 0, err
}
