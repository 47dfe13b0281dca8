package ext4

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
	ino, dir    uint32
	size, ftype uint8
	flags       uint8
	dotdot      bool
	when        int32 // the transaction, of names from the journal
}

type foundDamage struct {
	dir  uint32
	text string
}

// readNames reads the blocks of all directories in the order of the volume.
func (x *index) readNames(ctx context.Context) error {
	for _, d := range x.inline {
		x.merge(x.inlineNames(d))
	}
	x.inline = nil
	x.limitClaims()
	spans := x.spans()
	bufs := make([][]byte, inorder.Workers())
	spare := make(chan *found, 2*inorder.Workers()+1)
	err := inorder.Do(ctx, len(spans), func(w, i int) (*found, error) {
		n := int(spans[i].end-spans[i].start) * int(x.fs.sb.blockSize)
		if len(bufs[w]) < n {
			bufs[w] = make([]byte, max(n, spanBytes))
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
	x.dirRuns = slices.DeleteFunc(x.runs, func(r dirRun) bool { return r.past || x.dirs[r.dir].flags&dirDeleted != 0 })
	x.runs = nil
	return err
}

// limitClaims sorts the runs and cuts those that would read a block more than
// maxClaims times.
func (x *index) limitClaims() {
	slices.SortFunc(x.runs, func(a, b dirRun) int {
		return cmp.Or(cmp.Compare(a.phys, b.phys), cmp.Compare(a.dir, b.dir), cmp.Compare(a.at, b.at))
	})
	var ends [maxClaims]uint64
	kept := x.runs[:0]
	for _, r := range x.runs {
		slot := slices.Index(ends[:], slices.Min(ends[:]))
		if slices.Max(ends[:]) > r.phys {
			x.noteDir(r.dir, fmt.Sprintf("overlap: block %d belongs to another directory too", r.phys))
		}
		if cut := min(ends[slot]-min(ends[slot], r.phys), uint64(r.n)); cut > 0 {
			r.phys, r.at, r.n = r.phys+cut, r.at+uint32(cut), r.n-uint32(cut)
		}
		if r.n > 0 {
			ends[slot] = r.phys + uint64(r.n)
			kept = append(kept, r)
		}
	}
	slices.SortStableFunc(kept, func(a, b dirRun) int { return cmp.Compare(a.phys, b.phys) })
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
			r.phys, r.at = r.phys+limit, r.at+uint32(limit)
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
	bs := x.fs.sb.blockSize
	have, err := x.fs.read(buf, int64(s.start)*bs)
	if err != nil {
		return err
	}
	for _, r := range s.runs {
		for i := range uint64(r.n) {
			off := (r.phys + i - s.start) * uint64(bs)
			if off+uint64(bs) > uint64(have) {
				f.note(r.dir, "truncated: block %d of the directory (%d of the volume) lies outside the image", uint64(r.at)+i, r.phys+i)
				break
			}
			x.readBlock(f, r, i, buf[off:][:bs])
		}
	}
	return nil
}

func (f *found) note(dir uint32, format string, args ...any) {
	if k := len(f.damage) - 1; k >= 0 && f.damage[k].dir == dir {
		return
	}
	f.damage = append(f.damage, foundDamage{dir, fmt.Sprintf(format, args...)})
}

// reader gives the reader of the entries of one directory.
func (x *index) reader(f *found, dir uint32) *direntReader {
	d := &x.dirs[dir]
	r := &direntReader{
		maxInode: x.fs.sb.maxInode(), filetype: x.fs.sb.incompat&incompatFiletype != 0,
		hashed: d.flags&dirHashed != 0, indexed: d.flags&dirIndexed != 0,
	}
	if d.flags&dirDeleted != 0 {
		r.flags = nameResidual
	}
	r.emit = func(e dirent) {
		n := foundName{ino: e.ino, dir: dir, size: uint8(len(e.text)), ftype: e.ftype, flags: e.flags}
		if dotName(e.text) {
			if e.flags != 0 || len(e.text) == 1 {
				return
			}
			n.dotdot = true
		}
		f.entries = append(f.entries, n)
		f.text = append(f.text, e.text...)
	}
	return r
}

// readBlock reads one block of a directory. Blocks of deleted directories and
// those behind a directory's end must look like a directory's.
func (x *index) readBlock(f *found, run dirRun, i uint64, p []byte) {
	d := &x.dirs[run.dir]
	r := x.reader(f, run.dir)
	if run.past && d.flags&dirDeleted == 0 {
		r.slack(p, 0, len(p), nameSlack)
		return
	}
	if d.flags&dirDeleted != 0 {
		if uint64(run.at)+i > 0 || le.Uint32(p) == d.ino && p[6] == 1 && p[8] == '.' {
			r.block(p)
		}
		return
	}
	if damage := r.block(p); damage != "" {
		f.note(run.dir, "range: block %d of the directory (%d of the volume): %s", uint64(run.at)+i, run.phys+i, damage)
	}
	index := r.indexed && int(le.Uint16(p[16:])) == len(p)-12
	if !index && !x.fs.dirBlockGood(x.fs.owner(d.ino, d.generation), p) {
		f.note(run.dir, "csum: block %d of the directory (%d of the volume)", uint64(run.at)+i, run.phys+i)
	}
}

// inlineNames reads the entries of a directory that lies in its inode: the
// number of the parent, entries up to byte 60, more as an attribute.
func (x *index) inlineNames(d inlineDir) *found {
	f := new(found)
	_, size := x.fs.size(d.raw)
	r := x.reader(f, d.dir)
	b := d.raw.block()
	f.entries = append(f.entries, foundName{ino: le.Uint32(b), dir: d.dir, dotdot: true, size: 2})
	f.text = append(f.text, ".."...)
	if damage := r.block(b[4:]); damage != "" {
		f.note(d.dir, "range: inline directory: %s", damage)
	}
	if value, _, ok := d.raw.attrData(); ok && len(value) >= 12 {
		if damage := r.block(value); damage != "" {
			f.note(d.dir, "range: inline directory, second part: %s", damage)
		}
	} else if size > 60 {
		f.note(d.dir, "truncated: the second part of the inline directory is missing")
	}
	return f
}

// merge numbers the names of one span and hangs them on their inodes.
func (x *index) merge(f *found) {
	for _, d := range f.damage {
		x.noteDir(d.dir, d.text)
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

// addName gives the number of a name; ok is false when there is no room for it.
func (x *index) addName(e foundName, text []byte) (at uint32, ok bool) {
	n := name{dir: e.dir, ftype: e.ftype, flags: e.flags, text: text}
	k, i, ok := x.place(e.ino)
	if !ok {
		if at, ok = x.names.add(&n); ok {
			x.lost = append(x.lost, lostName{at, e.ino})
		}
		return at, ok
	}
	st := &x.stretches[k]
	if st.heads == nil {
		st.heads = make([]uint32, st.n)
	}
	n.next = st.heads[i]
	if at, ok = x.names.add(&n); !ok {
		return at, ok
	}
	st.heads[i] = at + 1
	st.upTo = max(st.upTo, i+1)
	return at, true
}
