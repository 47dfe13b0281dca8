package ntfs

import (
	"fmt"
	"hash/maphash"
	"maps"
	"slices"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// An index block is INDX, fixups as in a record, then at 24 where the entries
// begin and at 28 where they end (both count from 24). An entry is the
// reference of the file at 0, its own length at 8, that of the name at 10, and
// the $FILE_NAME from 16 on. What the entries leave of the block is slack: the
// entries of names that are gone stand there until they are written over.

const (
	indexHead  = 24
	entryHead  = 16
	nameHead   = 66
	dirFlag    = 0x10000000
	maxIndex   = 64 << 10 // bytes of a block
	dayOne     = 1 << 56  // FILETIME of 1829: earlier ones are taken for noise
	dayLast    = 3 << 56  // of 2285
	noRef      = "\x00"   // the stream of a name whose file is not known
	slackFrom  = "index-slack"
	slackExtra = 64 << 20
)

// slack gives the names that stand in the slack of directories and that no
// record has any more.
type slack struct {
	*walker
	room   int64 // bytes of index blocks that may still be read
	number uint64
	dir    dir
	at     place
	seen   map[uint64]struct{} // hashes of what is in use or was given
}

func (w *walker) slack() error {
	s := &slack{walker: w, room: 2*w.fs.src.Size() + slackExtra}
	for _, n := range slices.Sorted(maps.Keys(w.paths.dirs)) {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if err := s.directory(n); err != nil {
			return err
		}
		if s.room < 0 {
			e := filesystem.Entry{Ref: filesystem.Ref{Inode: n, Generation: uint32(s.dir.seq)}, Path: s.at.path + "/", First: -1}
			err := &imaging.FormatError{Format: "ntfs", Offset: s.fs.mftPlace(int64(n) * s.fs.boot.record), Reason: "the directories claim more index blocks than the volume has: the slack of this and later ones was not searched"} //nolint:gosec // inside the MFT
			if !w.yield(e, err) {
				return errEnough
			}
			return nil
		}
	}
	return nil
}

// directory searches one directory: first what is in use, then the slack.
func (s *slack) directory(n uint64) error {
	f, err := s.fs.file(n, &s.budget)
	if err != nil || f == nil {
		return err
	}
	index := f.stream(typeIndex, indexName)
	root := f.stream(typeIndexRoot, indexName)
	if index == nil || root == nil || len(root.resident) < 32 {
		return nil
	}
	size := int64(le.Uint32(root.resident[8:]))
	if size < 512 || size > maxIndex || size&(size-1) != 0 {
		return nil
	}
	s.number, s.dir = n, s.paths.dirs[n]
	s.seen = make(map[uint64]struct{})
	s.at = s.paths.of(n, 0)
	s.used(root.resident[16:], int(min(le.Uint32(root.resident[16:]), maxIndex)), int(min(le.Uint32(root.resident[20:]), maxIndex)))
	var free bitmap
	if b := f.stream(typeBitmap, indexName); b != nil {
		free.c = s.fs.content(b)
	}
	known := func(p []byte, used bool) error { return s.search(p, used, true) }
	rest := func(p []byte, used bool) error { return s.search(p, used, false) }
	for _, look := range []func([]byte, bool) error{s.live, known, rest} {
		if err := s.blocks(s.fs.content(index), size, &free, look); err != nil {
			return err
		}
	}
	return nil
}

// blocks calls look with each block that lies in clusters, its fixups undone.
func (s *slack) blocks(c *Content, size int64, free *bitmap, look func([]byte, bool) error) error {
	cs := s.fs.boot.cluster
	p := make([]byte, size)
	next := int64(0)
	for _, r := range c.runs {
		if r.lcn < 0 {
			continue
		}
		end := min(int64(r.vcn+r.n)*cs, c.size)                                //nolint:gosec // bounded by maxClusters
		for at := max(next, int64(r.vcn)*cs/size*size); at < end; at += size { //nolint:gosec // bounded by maxClusters
			next = at + size
			if s.room -= size; s.room < 0 {
				return nil
			}
			if _, err := c.ReadAt(p, at); err != nil && !isEOF(err) {
				if isFormat(err) {
					continue
				}
				return err
			}
			if string(p[:4]) != "INDX" {
				continue
			}
			(&record{raw: p}).fixup()                // a torn block is searched as it is
			used, err := free.get(uint64(at / size)) //nolint:gosec // not negative
			if err != nil {
				return err
			}
			if err := look(p, used || free.c == nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// key is a hash of a name with the reference of its file, or with the number of
// its directory.
func (w *walker) key(ref uint64, name string) uint64 {
	return maphash.String(w.hash, fmt.Sprintf("%d %s", ref, name))
}

// used notes the entries of a list that is in use.
func (s *slack) used(p []byte, at, end int) {
	end = min(end, len(p))
	for at >= 0 && at+entryHead+nameHead <= end {
		n := int(le.Uint16(p[at+8:]))
		if n < entryHead {
			return
		}
		if name, ok := parseName(p[at+entryHead : min(at+n, end)]); ok {
			ref := le.Uint64(p[at:])
			s.seen[s.key(ref, name.name)] = struct{}{}
			s.seen[s.key(0, name.name)] = struct{}{}
		}
		at += n
	}
}

// live notes the entries of a block.
func (s *slack) live(p []byte, used bool) error {
	if used {
		s.used(p[indexHead:], int(min(le.Uint32(p[indexHead:]), maxIndex)), int(min(le.Uint32(p[indexHead+4:]), maxIndex)))
	}
	return nil
}

// search looks at each place of the slack where a name may stand, for those
// that say their record or for those that do not.
func (s *slack) search(p []byte, used, known bool) error {
	at := indexHead + 40
	if used {
		at = indexHead + int(min(le.Uint32(p[indexHead+4:]), uint32(len(p)))) //nolint:gosec // at most maxIndex
	}
	for at = max(at, indexHead+16) &^ 7; at+nameHead+2 <= len(p); at += 8 {
		ref := le.Uint64(p[at:])
		if ref&(1<<48-1) != s.number || p[at+65] > 3 || p[at+65] == nameDOS || !s.dir.fits(uint16(ref>>48)) { //nolint:gosec // the top bits
			continue
		}
		n, ok := parseName(p[at:])
		if !ok {
			continue
		}
		head, size := p[at-entryHead:], nameHead+2*int(p[at+64])
		want := (entryHead + size + 7) &^ 7
		whole := int(le.Uint16(head[10:])) == size && (int(le.Uint16(head[8:])) == want || int(le.Uint16(head[8:])) == want+8)
		file := uint64(0)
		if whole && le.Uint64(head)&(1<<48-1) < s.fs.records { // else its first bytes are written over
			file = le.Uint64(head)
		}
		if known != (file != 0) || !whole && !plausible(n.value) {
			continue
		}
		if err := s.found(file, n); err != nil {
			return err
		}
	}
	return nil
}

// plausible says that the four times of a name are times.
func plausible(v []byte) bool {
	for i := 8; i < 40; i += 8 {
		if t := le.Uint64(v[i:]); t < dayOne || t > dayLast {
			return false
		}
	}
	return true
}

// found gives a name unless its record still has it.
func (s *slack) found(ref uint64, n fileName) error {
	k := s.key(ref, n.name)
	if _, ok := s.seen[k]; ok {
		return nil
	}
	s.seen[k], s.seen[s.key(0, n.name)] = struct{}{}, struct{}{}
	if _, ok := s.given[s.key(s.number, n.name)]; ok && ref == 0 {
		return nil
	}
	number, seq := ref&(1<<48-1), uint16(ref>>48) //nolint:gosec // the top bits
	v := n.value
	attrs := le.Uint32(v[56:])
	e := filesystem.Entry{
		Ref: filesystem.Ref{Inode: number, Generation: uint32(seq)}, Parent: s.number, Path: s.at.path + "/" + n.name,
		Type: filesystem.TypeFile, Size: int64(min(le.Uint64(v[48:]), 1<<62)), Status: filesystem.Deleted, From: slackFrom, First: -1, //nolint:gosec // bounded
		Born: moment(v[8:]), Modified: moment(v[16:]), Changed: moment(v[24:]), Accessed: moment(v[32:]),
	}
	if attrs&dirFlag != 0 {
		e.Type, e.Size = filesystem.TypeDir, 0
	}
	e.Mode = mode(e.Type, attrs)
	if ref == 0 {
		e.Ref.Stream = noRef
		e.Damage = "partial: the entry no longer says its record"
	} else {
		f, err := s.fs.file(number, &s.budget)
		if err != nil {
			return err
		}
		switch {
		case f == nil:
			e.Damage = fmt.Sprintf("range: record %d does not exist", number)
		case has(f, n, s.number) && (dir{seq: f.seq, inUse: f.inUse}).fits(seq):
			return nil
		case f.inUse && f.seq == seq:
			e.Damage = "reallocated: the file has another name now"
		default:
			e.Damage = "reallocated: the record was used again"
		}
	}
	if ref != 0 {
		s.given[s.key(ref, n.name)] = struct{}{}
	}
	if !s.yield(e, nil) {
		return errEnough
	}
	return nil
}

// has says that a file has the name in the directory.
func has(f *file, n fileName, parent uint64) bool {
	for _, a := range f.attrs {
		if a.kind != typeFileName || a.runs != nil {
			continue
		}
		if x, ok := parseName(a.value); ok && x.parent == parent && x.name == n.name {
			return true
		}
	}
	return false
}
