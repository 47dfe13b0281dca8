package ext4

import (
	"slices"
	"sort"
)

const (
	// maxPieces is how many runs a map that is edited may have.
	maxPieces = 1 << 17
	// maxMoved bounds how many runs are moved to make room among them.
	maxMoved = 1 << 30
)

// fileMap is where the content of an inode lies while it is edited.
type fileMap struct {
	runs    []run
	tree    []uint64
	changed bool
}

// mapOf gives the map of an inode; nil when it cannot be edited.
func (e *editor) mapOf(ino uint32, in inode) (*fileMap, error) {
	if m, ok := e.maps[ino]; ok {
		return m, nil
	}
	b := blockMap{fs: e.fs, spend: e.spend}
	if err := b.load(ino, in); err != nil {
		return nil, err
	}
	if b.damage != "" || len(b.runs) > maxPieces || in.flags()&flagInline != 0 {
		return nil, nil
	}
	m := &fileMap{runs: b.runs, tree: b.tree}
	e.maps[ino] = m
	return m, nil
}

// place puts r, or nothing when its place is 0, where blocks of the content
// were; what was there is free.
func (e *editor) place(m *fileMap, r run) bool {
	if len(m.runs) >= maxPieces || e.moved > maxMoved {
		return false
	}
	i := sort.Search(len(m.runs), func(i int) bool { return m.runs[i].at > r.at })
	e.moved += len(m.runs) - i
	var gone []run
	m.runs, gone = replaceRuns(m.runs, r)
	for _, g := range gone {
		e.freed = append(e.freed, blockRange{g.block(), g.block() + uint64(g.n)})
	}
	m.changed = true
	return true
}

// replaceRuns puts r in the place of what runs have for its part of the
// content, or takes that away when r.phys is 0. gone is what was there.
func replaceRuns(runs []run, r run) (after, gone []run) {
	start, end := uint64(r.at), uint64(r.at)+uint64(r.n)
	i := sort.Search(len(runs), func(i int) bool { return uint64(runs[i].at)+uint64(runs[i].n) > start })
	var middle []run
	k := i
	var rest run
	for ; k < len(runs) && uint64(runs[k].at) < end; k++ {
		old := runs[k]
		from, to := uint64(old.at), uint64(old.at)+uint64(old.n)
		if from < start {
			middle = append(middle, run{old.at, uint32(start - from), old.phys})
		}
		lo, hi := max(from, start), min(to, end)
		gone = append(gone, run{uint32(lo), uint32(hi - lo), old.phys + lo - from})
		if to > end {
			rest = run{uint32(end), uint32(to - end), old.phys + end - from}
		}
	}
	if r.phys != 0 {
		if len(middle) == 0 && i > 0 && follows(runs[i-1], r) {
			i--
			r = run{runs[i].at, runs[i].n + r.n, runs[i].phys}
		}
		middle = append(middle, r)
	}
	if rest.n > 0 {
		middle = append(middle, rest)
	}
	return slices.Replace(runs, i, k, middle...), gone
}

// follows says that b goes on where a ends.
func follows(a, b run) bool {
	return uint64(a.at)+uint64(a.n) == uint64(b.at) && a.phys+uint64(a.n) == b.phys && uint64(a.n)+uint64(b.n) < 1<<32
}

// rootExtents is how many extents an inode itself has room for.
const rootExtents = 4

// writeMap writes a map as a tree of extents.
func (e *editor) writeMap(ino uint32, m *fileMap) error {
	in, err := e.inode(ino, true)
	if in == nil || err != nil {
		return err
	}
	entries := extentsOf(m.runs)
	depth := 0
	for len(entries) > 12*rootExtents {
		if entries, err = e.writeLevel(entries, depth, e.fs.owner(ino, in.generation())); err != nil {
			return err
		}
		if entries == nil {
			e.fail(ino, "partial: there is no room for the map of inode %d", ino)
			return nil
		}
		depth++
	}
	for _, b := range m.tree {
		e.freed = append(e.freed, blockRange{b, b + 1})
	}
	le.PutUint32(in[32:], in.flags()|flagExtents)
	putNode(in.block(), entries, rootExtents, depth)
	e.fs.sealInode(ino, in)
	return nil
}

// extentsOf writes runs as extents of 12 bytes.
func extentsOf(runs []run) []byte {
	var p []byte
	for _, r := range runs {
		limit, flag := uint32(32768), uint16(0)
		if r.unwritten() {
			limit, flag = 32767, 32768
		}
		for at := uint32(0); at < r.n; {
			n := min(limit, r.n-at)
			phys := r.block() + uint64(at)
			p = le.AppendUint32(p, r.at+at)
			p = le.AppendUint16(p, uint16(n)+flag)
			p = le.AppendUint16(p, uint16(phys>>32))
			p = le.AppendUint32(p, uint32(phys))
			at += n
		}
	}
	return p
}

// writeLevel writes entries into blocks and gives the entries that lead to
// them; nil when there is no room.
func (e *editor) writeLevel(entries []byte, depth int, owner uint32) (above []byte, err error) {
	room := int(e.fs.sb.blockSize)/12 - 1
	for len(entries) > 0 {
		n := min(12*room, len(entries))
		block, err := e.allocate()
		if err != nil {
			return nil, err
		}
		p, err := e.edit(block)
		if p == nil || block == 0 || err != nil {
			return nil, err
		}
		clear(p)
		putNode(p, entries[:n], room, depth)
		if e.fs.sb.rocompat&roMetaCsum != 0 {
			le.PutUint32(p[12+12*room:], crc32c(owner, p[:12+12*room]))
		}
		above = append(above, entries[:4]...)
		above = le.AppendUint32(above, uint32(block))
		above = le.AppendUint16(above, uint16(block>>32))
		above = append(above, 0, 0)
		entries = entries[n:]
	}
	return above, nil
}

// putNode writes a node of an extent tree.
func putNode(p, entries []byte, room, depth int) {
	clear(p[:12+12*room])
	le.PutUint16(p, 0xf30a)
	le.PutUint16(p[2:], uint16(len(entries)/12))
	le.PutUint16(p[4:], uint16(room))
	le.PutUint16(p[6:], uint16(depth))
	copy(p[12:], entries)
}
