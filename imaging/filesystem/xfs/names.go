package xfs

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"snapcase/imaging/filesystem/inorder"
)

const (
	// spanBytes is how much of the volume is read at once for directories,
	// gapBytes how much between two of their blocks is read along.
	spanBytes = 1 << 20
	gapBytes  = 64 << 10
)

// span is a read that covers the blocks of some runs.
type span struct {
	start, end uint64 // blocks
	runs       []dirRun
}

// found is what the entries of one span are before they get numbers.
type found struct {
	entries []foundName
	text    []byte
	damage  []foundDamage
}

type foundName struct {
	ino    uint64
	dir    uint32
	size   uint8
	ftype  uint8
	flags  uint8
	dotdot bool
}

type foundDamage struct {
	dir  uint32
	text string
}

// readNames reads the blocks of all directories in the order of the volume.
func (x *index) readNames(ctx context.Context) error {
	for _, d := range x.short {
		x.merge(x.shortNames(d))
	}
	x.short = nil
	x.limitClaims()
	spans := x.spans()
	bufs := make([][]byte, inorder.Workers())
	spare := make(chan *found, 2*inorder.Workers()+1)
	err := inorder.Do(ctx, len(spans), func(w, i int) (*found, error) {
		n := int(spans[i].end-spans[i].start) * int(x.fs.sb.blockSize)
		if len(bufs[w]) < n {
			bufs[w] = make([]byte, max(n, min(2*len(bufs[w]), spanBytes)))
		}
		f := new(found)
		select {
		case f = <-spare:
		default:
		}
		return f, x.readSpan(f, &spans[i], bufs[w][:n])
	}, func(_ int, f *found) error {
		x.merge(f)
		f.entries, f.text, f.damage = f.entries[:0], f.text[:0], f.damage[:0]
		select {
		case spare <- f:
		default:
		}
		return nil
	})
	if err != nil {
		return err
	}
	x.runs = nil
	return x.readScattered(ctx)
}

// limitClaims sorts the runs and cuts those that would read a block more than
// maxClaims times.
func (x *index) limitClaims() {
	per := uint64(x.fs.sb.dirBlock / x.fs.sb.blockSize)
	slices.SortFunc(x.runs, func(a, b dirRun) int {
		return cmp.Or(cmp.Compare(a.phys, b.phys), cmp.Compare(a.dir, b.dir), cmp.Compare(a.at, b.at))
	})
	var ends [maxClaims]uint64
	kept := x.runs[:0]
	for _, r := range x.runs {
		slot := slices.Index(ends[:], slices.Min(ends[:]))
		if slices.Max(ends[:]) > r.phys {
			x.noteDir(r.dir, "overlap: block %d belongs to another directory too", r.phys)
		}
		if over := ends[slot] - min(ends[slot], r.phys); over > 0 {
			cut := min((over+per-1)/per*per, uint64(r.n))
			r.phys, r.at, r.n = r.phys+cut, r.at+cut, r.n-uint32(cut)
		}
		if r.n > 0 {
			ends[slot] = r.phys + uint64(r.n)
			kept = append(kept, r)
		}
	}
	x.runs = kept
}

// spans joins runs that lie close together; long runs are split.
func (x *index) spans() []span {
	limit, gap := uint64(spanBytes/x.fs.sb.blockSize), uint64(gapBytes/x.fs.sb.blockSize)
	var all []span
	split := make([]dirRun, 0, len(x.runs))
	for _, r := range x.runs {
		for ; uint64(r.n) > limit; r.n -= uint32(limit) {
			head := r
			head.n = uint32(limit)
			split = append(split, head)
			r.phys, r.at = r.phys+limit, r.at+limit
		}
		split = append(split, r)
	}
	slices.SortStableFunc(split, func(a, b dirRun) int { return cmp.Compare(a.phys, b.phys) })
	for i, r := range split {
		end := r.phys + uint64(r.n)
		if k := len(all) - 1; k >= 0 && r.phys <= all[k].end+gap && max(end, all[k].end)-all[k].start <= limit {
			all[k].end = max(end, all[k].end)
			all[k].runs = split[i-len(all[k].runs) : i+1]
			continue
		}
		all = append(all, span{r.phys, end, split[i : i+1]})
	}
	return all
}

// readSpan reads a span and the entries of its blocks into f.
func (x *index) readSpan(f *found, s *span, buf []byte) error {
	bs, size := x.fs.sb.blockSize, int(x.fs.sb.dirBlock)
	per := uint32(x.fs.sb.dirBlock / bs)
	have, err := x.fs.read(buf, int64(s.start)*bs)
	if err != nil {
		return err
	}
	for _, r := range s.runs {
		for i := uint32(0); i < r.n; i += per {
			off := int(r.phys+uint64(i)-s.start) * int(bs)
			if off+size > have {
				f.note(r.dir, "truncated: block %d of the directory (%d of the volume) lies outside the image", r.at+uint64(i), r.phys+uint64(i))
				break
			}
			x.readBlock(f, r.dir, r.at+uint64(i), r.phys+uint64(i), buf[off:off+size])
		}
	}
	return nil
}

// readScattered reads the directory blocks whose parts lie apart.
func (x *index) readScattered(ctx context.Context) error {
	bs := int(x.fs.sb.blockSize)
	p := make([]byte, x.fs.sb.dirBlock)
	for _, b := range x.scattered {
		if err := ctx.Err(); err != nil {
			return err
		}
		f := new(found)
		for i, phys := range b.phys {
			if _, err := x.fs.read(p[i*bs:(i+1)*bs], int64(phys)*int64(bs)); err != nil {
				return err
			}
		}
		x.readBlock(f, b.dir, b.at, b.phys[0], p)
		x.merge(f)
	}
	x.scattered = nil
	return nil
}

func (f *found) note(dir uint32, format string, args ...any) {
	if k := len(f.damage) - 1; k >= 0 && f.damage[k].dir == dir {
		return
	}
	f.damage = append(f.damage, foundDamage{dir, fmt.Sprintf(format, args...)})
}

// reader gives the reader of the entries of one directory.
func (x *index) reader(f *found, dir uint32, flags uint8) *direntReader {
	d := &x.dirs[dir]
	r := &direntReader{sb: &x.fs.sb, high: d.ino >> 32 << 32, flags: flags}
	if d.flags&dirDeleted != 0 {
		r.flags |= nameResidual
	}
	r.emit = func(e dirent) {
		n := foundName{ino: e.ino, dir: dir, size: uint8(len(e.text)), ftype: e.ftype, flags: e.flags}
		if dotName(e.text) {
			if e.flags&^nameResidual != 0 || len(e.text) == 1 {
				return
			}
			n.dotdot = true
		}
		f.entries = append(f.entries, n)
		f.text = append(f.text, e.text...)
	}
	return r
}

// readBlock reads one block of a directory.
func (x *index) readBlock(f *found, dir uint32, at, phys uint64, p []byte) {
	s := &x.fs.sb
	if x.dirs[dir].flags&dirDeleted != 0 {
		x.goneBlock(f, dir, at, p)
		return
	}
	if damage := x.reader(f, dir, 0).block(p); damage != "" {
		f.note(dir, "range: block %d of the directory (%d of the volume): %s", at, phys, damage)
		return
	}
	if !s.crc() {
		return
	}
	switch owner := be.Uint64(p[40:]); {
	case !crcGood(p, 4):
		f.note(dir, "csum: block %d of the directory (%d of the volume)", at, phys)
	case owner != x.dirs[dir].ino:
		f.note(dir, "overlap: block %d of the directory (%d of the volume) belongs to inode %d", at, phys, owner)
	case be.Uint64(p[8:]) != phys*uint64(s.blockSize/512):
		f.note(dir, "range: block %d of the directory (%d of the volume) was written for another place", at, phys)
	}
}

// goneBlock reads a block that a deleted directory had, if it is still there.
func (x *index) goneBlock(f *found, dir uint32, at uint64, p []byte) {
	ino := x.dirs[dir].ino
	switch s := &x.fs.sb; {
	case !isDirBlock(p):
	case s.crc() && be.Uint64(p[40:]) != ino:
	case !s.crc() && at == 0 && be.Uint64(p[16:]) != ino:
	default:
		x.reader(f, dir, 0).block(p)
	}
}

// shortNames reads the entries of a directory that lies in its inode.
func (x *index) shortNames(d shortDir) *found {
	f := new(found)
	size := int(min(d.raw.size(), uint64(len(d.raw))))
	parent, damage := x.reader(f, d.dir, 0).shortForm(d.raw.data(), size)
	if damage != "" {
		f.note(d.dir, "range: the directory in the inode: %s", damage)
	}
	f.entries = append(f.entries, foundName{ino: parent, dir: d.dir, dotdot: true})
	return f
}

// merge numbers the names of one span and hangs them on their inodes.
func (x *index) merge(f *found) {
	for _, d := range f.damage {
		x.noteDir(d.dir, "%s", d.text)
	}
	text := f.text
	for _, e := range f.entries {
		own := text[:e.size]
		text = text[e.size:]
		if e.dotdot {
			if x.dirs[e.dir].dotdot == 0 {
				x.dirs[e.dir].dotdot = e.ino
			}
			continue
		}
		x.addName(e, own)
	}
}

func (x *index) addName(e foundName, text []byte) {
	n := name{dir: e.dir, ftype: e.ftype, flags: e.flags, text: text}
	k, i, ok := x.find(e.ino)
	if !ok {
		if at, ok := x.names.add(&n); ok {
			x.lost = append(x.lost, lostName{at, e.ino})
		}
		return
	}
	c := &x.chunks[k]
	if c.heads == nil {
		c.heads = make([]uint32, chunkInodes)
	}
	n.next = c.heads[i]
	if at, ok := x.names.add(&n); ok {
		c.heads[i] = at + 1
	}
}
