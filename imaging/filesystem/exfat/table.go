package exfat

import (
	"fmt"
	"math"
)

const (
	slotSize = 4096
	slots    = 64
)

// state is what the FAT says of a cluster.
type state uint8

const (
	next   state = iota // the number of another one follows
	none                // 0: in no chain
	last                // the last of its chain
	bad                 // marked as not usable
	beyond              // the number of no cluster follows
	unread              // this part of the FAT lies past its end or that of the image
)

// run is n clusters from first on.
type run struct{ first, n uint32 }

// table reads the FAT that is followed. It is for one goroutine.
type table struct {
	fs    *FS
	cache [slots]slot
	spare int64 // clusters that may still be followed a second time
}

// slot is a piece of the FAT.
type slot struct {
	number int64 // plus one; 0: not in use
	data   []byte
	have   int // bytes that the image has
}

func (fs *FS) table() *table { return &table{fs: fs, spare: 4*int64(fs.g.clusters) + 1<<16} }

// get gives what the FAT says of cluster c, which must be valid.
func (t *table) get(c uint32) (n uint32, s state, err error) {
	g, at := &t.fs.g, int64(c)*4
	if at+4 > g.fatBytes {
		return 0, unread, nil
	}
	p := &t.cache[at/slotSize%slots]
	if p.number != at/slotSize+1 {
		if p.data == nil {
			p.data = make([]byte, slotSize)
		}
		p.number = 0
		if p.have, err = readZero(t.fs.src, p.data, g.fat+at/slotSize*slotSize); err != nil {
			return 0, unread, err
		}
		p.number = at/slotSize + 1
	}
	i := int(at % slotSize)
	if i+4 > p.have {
		return 0, unread, nil
	}
	switch n = le.Uint32(p.data[i:]); {
	case n == 0:
		return n, none, nil
	case n == math.MaxUint32:
		return n, last, nil
	case n == 0xfffffff7:
		return n, bad, nil
	case !g.valid(n):
		return n, beyond, nil
	}
	return n, next, nil
}

// chain is what following a file through the FAT gave.
type chain struct {
	runs   []run
	count  uint32
	fresh  uint32 // as many of them, from the first on, no other had before
	damage string
}

func (ch *chain) add(c uint32) {
	if k := len(ch.runs) - 1; k >= 0 && ch.runs[k].first+ch.runs[k].n == c {
		ch.runs[k].n++
	} else {
		ch.runs = append(ch.runs, run{c, 1})
	}
	ch.count++
}

func (ch *chain) has(c uint32) bool {
	for _, r := range ch.runs {
		if c >= r.first && c-r.first < r.n {
			return true
		}
	}
	return false
}

// follow goes through the chain from c, which must be valid, for up to need
// clusters, and marks them in seen. A cluster of its own that it meets again
// ends it; one that another file has is damage, and then as many are followed
// as the table has to spare.
func (t *table) follow(c, need uint32, seen *set) (ch chain, err error) {
	shared := false
	for ch.count < need {
		switch {
		case !seen.has(c):
			seen.add(c)
			if !shared {
				ch.fresh++
			}
		case !shared && ch.has(c):
			ch.damage = fmt.Sprintf("loop: its chain comes back to cluster %d", c)
			return ch, nil
		default:
			if !shared {
				ch.damage = fmt.Sprintf("overlap: cluster %d belongs to another file too", c)
				shared = true
			}
			if t.spare--; t.spare < 0 {
				return ch, nil
			}
		}
		ch.add(c)
		n, s, err := t.get(c)
		if err != nil {
			return ch, err
		}
		why := ""
		switch s {
		case last:
			return ch, nil
		case next:
			c = n
			continue
		case none:
			why = fmt.Sprintf("range: behind cluster %d its chain is gone from the FAT", c)
		case bad:
			why = fmt.Sprintf("range: cluster %d of its chain is marked bad", c)
		case beyond:
			why = fmt.Sprintf("range: behind cluster %d its chain leads to cluster %d, which does not exist", c, n)
		case unread:
			why = fmt.Sprintf("truncated: the FAT is cut at cluster %d", c)
		}
		if ch.damage == "" {
			ch.damage = why
		}
		return ch, nil
	}
	if ch.damage == "" {
		ch.damage = fmt.Sprintf("range: its chain goes on to cluster %d behind its size", c)
	}
	return ch, nil
}

// trace goes through the chain of a deleted file. Where the FAT has lost it
// the clusters behind are taken.
func (t *table) trace(c, need uint32) (ch chain, err error) {
	g := &t.fs.g
	var seen *set // of long chains; of short ones the runs are looked through
	met := func(c uint32) bool {
		if seen != nil {
			return seen.has(c)
		}
		return ch.has(c)
	}
	for {
		ch.add(c)
		switch {
		case seen != nil:
			seen.add(c)
		case ch.count == 64:
			seen = g.newSet()
			for _, r := range ch.runs {
				seen.claim(r.first, r.n)
			}
		}
		if ch.count == need {
			return ch, nil
		}
		if t.spare--; t.spare < 0 {
			ch.damage = fmt.Sprintf("partial: its chain was followed for %d of %d clusters: too many deleted files lead to the same ones", ch.count, need)
			return ch, nil
		}
		n, s, err := t.get(c)
		if err != nil {
			return ch, err
		}
		if s == next && !met(n) {
			c = n
			continue
		}
		more := min(need-ch.count, g.clusters+1-c)
		ch.damage = fmt.Sprintf("partial: behind its cluster number %d the FAT has lost its chain: the clusters that follow are taken", ch.count)
		if more > 0 {
			ch.runs = append(ch.runs, run{c + 1, more})
			ch.count += more
		}
		return ch, nil
	}
}

// loadBitmaps takes the bitmap that the boot sector names, of the two that
// TexFAT has; the other is a table like any.
func (fs *FS) loadBitmaps(records [][]byte) error {
	active := 0
	for i, r := range records {
		if r[1]&1 == byte(fs.g.flags&1) {
			active = i
			break
		}
	}
	for i, r := range records[:min(2, len(records))] {
		if i == active {
			continue
		}
		if first := le.Uint32(r[20:]); fs.g.valid(first) {
			ch, err := fs.table().follow(first, fs.g.clustersOf(int64(min(le.Uint64(r[24:]), 1<<30))), fs.g.newSet())
			if err != nil {
				return err
			}
			fs.tables = append(fs.tables, ch.runs...)
		}
	}
	if len(records) == 0 {
		return nil
	}
	return fs.loadBitmap(records[active])
}

// loadBitmap reads the bitmap of clusters in use, whose record is given.
func (fs *FS) loadBitmap(record []byte) error {
	first, size := le.Uint32(record[20:]), le.Uint64(record[24:])
	want := (uint64(fs.g.clusters) + 7) / 8
	if !fs.g.valid(first) {
		fs.note("the bitmap of clusters in use begins at cluster %d, which does not exist", first)
		return nil
	}
	if size < want {
		fs.note("the bitmap of clusters in use has %d bytes, and %d are needed: what is behind counts as free", size, want)
	}
	ch, err := fs.table().follow(first, fs.g.clustersOf(int64(min(size, want))), fs.g.newSet())
	if err != nil {
		return err
	}
	fs.bitmap, fs.used = ch.runs, fs.g.newSet()
	if int64(ch.count)*fs.g.cluster < int64(min(size, want)) {
		fs.note("the bitmap of clusters in use is incomplete: %s", ch.damage)
	}
	whole := int64(min(size, want))
	src := fs.made(ch.runs, whole, whole, "")
	buf := make([]byte, pageBits/8)
	for off := int64(0); off < src.size; off += int64(len(buf)) {
		n, err := src.ReadAt(buf[:min(int64(len(buf)), src.size-off)], off)
		if n == 0 && err != nil {
			return err
		}
		fs.used.load(uint32(off/int64(len(buf))), buf[:n], fs.g.clusters)
	}
	fs.used.total()
	return nil
}

// load sets one page from the bytes of the bitmap. Bits behind the last of
// count clusters do not count.
func (s *set) load(number uint32, b []byte, count uint32) {
	p := new(page)
	any, all := uint64(0), ^uint64(0)
	for i := range p {
		var w uint64
		for k := range 8 {
			if 8*i+k < len(b) {
				w |= uint64(b[8*i+k]) << (8 * k)
			}
		}
		if base := uint64(number)*pageBits + uint64(i)*64; base >= uint64(count) {
			w = 0
		} else if rest := uint64(count) - base; rest < 64 {
			w &= 1<<rest - 1
		}
		p[i] = w
		any |= w
		all &= w
	}
	switch {
	case any == 0:
	case all == ^uint64(0):
		s.pages[number] = full
	default:
		s.pages[number] = p
	}
}
