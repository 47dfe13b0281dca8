package xfs

import "fmt"

// maxLevels bounds the depth of every B+tree; XFS itself allows nine.
const maxLevels = 10

// treeWalk reads one B+tree of a group.
type treeWalk struct {
	fs     *FS
	ag     uint32
	t      tree
	seen   map[uint32]struct{}
	damage string
	// use gets each leaf's records; block each block of the tree.
	use   func(recs []byte)
	block func(agbno uint32)
}

// walkTree gives the records of the leaves from left to right, and says what
// was wrong. An error is a failure of the source.
func (fs *FS) walkTree(ag uint32, t tree, use func(recs []byte), block func(agbno uint32)) (damage string, err error) {
	w := &treeWalk{fs: fs, ag: ag, t: t, seen: make(map[uint32]struct{}), use: use, block: block}
	if t.level == 0 || t.level > maxLevels {
		w.note("range: the %s of group %d has %d levels", t.kind.word, ag, t.level)
		return w.damage, nil
	}
	err = w.down(t.root, int(t.level)-1)
	return w.damage, err
}

func (w *treeWalk) note(format string, args ...any) {
	if w.damage == "" {
		w.damage = fmt.Sprintf(format, args...)
	}
}

// header is the length of a block's header in a B+tree of a group.
func (s *superblock) shortHeader() int {
	if s.crc() {
		return 56
	}
	return 16
}

// down reads a block that must be of the given level.
func (w *treeWalk) down(agbno uint32, level int) error {
	fs := w.fs
	s, kind := &fs.sb, &w.t.kind
	if uint64(agbno) >= s.groupLen(uint64(w.ag)) || agbno == 0 {
		w.note("range: the %s of group %d names block %d, which the group does not have", kind.word, w.ag, agbno)
		return nil
	}
	if _, again := w.seen[agbno]; again {
		w.note("loop: block %d of group %d stands twice in the %s", agbno, w.ag, kind.word)
		return nil
	}
	w.seen[agbno] = struct{}{}
	p := make([]byte, s.blockSize)
	n, err := fs.read(p, fs.offset(w.ag, uint64(agbno)))
	if err != nil {
		return err
	}
	if n < len(p) {
		w.note("truncated: block %d of group %d (%s) lies outside the image", agbno, w.ag, kind.word)
		return nil
	}
	if m := be.Uint32(p); m != kind.v4 && m != kind.v5 || int(be.Uint16(p[4:])) != level {
		w.note("range: block %d of group %d is no block of the %s at level %d", agbno, w.ag, kind.word, level)
		return nil
	}
	if w.block != nil {
		w.block(agbno)
	}
	if s.crc() && !crcGood(p, 52) {
		w.note("csum: block %d of group %d (%s) does not match its checksum", agbno, w.ag, kind.word)
	}
	return w.records(p, agbno, level)
}

func (w *treeWalk) records(p []byte, agbno uint32, level int) error {
	kind, head := &w.t.kind, w.fs.sb.shortHeader()
	count := int(be.Uint16(p[6:]))
	size := kind.rec
	if level > 0 {
		size = kind.key + kind.ptr
	}
	room := (len(p) - head) / size
	if count > room {
		w.note("range: block %d of group %d (%s) says %d entries and has room for %d", agbno, w.ag, kind.word, count, room)
		count = room
	}
	if level == 0 {
		w.use(p[head : head+count*size])
		return nil
	}
	ptrs := p[head+room*kind.key:]
	for i := range count {
		if err := w.down(be.Uint32(ptrs[i*4:]), level-1); err != nil {
			return err
		}
	}
	return nil
}
