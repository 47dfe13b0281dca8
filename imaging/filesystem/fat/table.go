package fat

import "fmt"

const (
	pageSize = 4096
	pages    = 64
	// surveyBytes is how much of the FAT is compared between its copies.
	surveyBytes = 64 << 20
)

// state is what the FAT says of a cluster.
type state uint8

const (
	next   state = iota // the number of another one follows
	free                // in no file
	last                // the last of its chain
	bad                 // marked as not usable
	beyond              // the number of no cluster follows
	unread              // this part of the FAT lies past the end of the image
)

// table reads the FAT that is followed. It is for one goroutine.
type table struct {
	fs    *FS
	slots [pages]page
}

// page is a piece of the FAT.
type page struct {
	number int64 // plus one; 0: not in use
	data   []byte
	have   int // bytes that the image has
}

func (fs *FS) table() *table { return &table{fs: fs} }

// bytes gives up to four bytes at an offset of the FAT; ok is false when the
// image does not have them.
func (t *table) bytes(off int64, n int) (v uint32, ok bool, err error) {
	for i := range n {
		at := off + int64(i)
		p := &t.slots[at/pageSize%pages]
		if p.number != at/pageSize+1 {
			if p.data == nil {
				p.data = make([]byte, pageSize)
			}
			p.number = 0
			start := at / pageSize * pageSize
			g := &t.fs.g
			if p.have, err = readZero(t.fs.src, p.data, g.fatStart+g.active*g.fatBytes+start); err != nil {
				return 0, false, err
			}
			p.number = at/pageSize + 1
		}
		if int(at%pageSize) >= p.have {
			return 0, false, nil
		}
		v |= uint32(p.data[at%pageSize]) << (8 * i)
	}
	return v, true, nil
}

// get gives what the FAT says of cluster c, which must be valid.
func (t *table) get(c uint32) (n uint32, s state, err error) {
	kind := t.fs.g.kind
	var ok bool
	switch kind {
	case 12:
		n, ok, err = t.bytes(int64(c)*3/2, 2)
		n = n >> (4 * (c & 1)) & 0xfff
	case 16:
		n, ok, err = t.bytes(int64(c)*2, 2)
	default:
		n, ok, err = t.bytes(int64(c)*4, 4)
		n &= 0x0fffffff
	}
	if err != nil || !ok {
		return 0, unread, err
	}
	top := uint32(1)<<min(kind, 28) - 1
	switch {
	case n == 0:
		s = free
	case n >= top-7:
		s = last
	case n == top-8:
		s = bad
	case !t.fs.g.valid(n):
		s = beyond
	default:
		s = next
	}
	return n, s, nil
}

// set is a set of clusters.
type set []uint64

func (fs *FS) newSet() set { return make(set, (uint64(fs.g.clusters)+2+63)/64) }

func (s set) has(c uint32) bool { return s[c/64]&(1<<(c%64)) != 0 }
func (s set) add(c uint32)      { s[c/64] |= 1 << (c % 64) }

// survey reads the FAT once: it counts what is marked bad, which may hide
// data, and compares the copies, which are equal on a sound volume.
func (fs *FS) survey() error {
	g := &fs.g
	length := min(g.fatBytes, (int64(g.clusters)+2)*int64(g.kind)/8+1)
	if length > surveyBytes {
		fs.note("the copies of the FAT were not compared: each has %d bytes", length)
		return nil
	}
	t := fs.table()
	marked := 0
	for c := uint32(2); g.valid(c); c++ {
		_, s, err := t.get(c)
		if err != nil {
			return err
		}
		if s == unread {
			fs.note("the FAT is cut: what it says of cluster %d and those behind it lies past the end of the image", c)
			break
		}
		if s == bad {
			marked++
		}
	}
	if marked > 0 {
		fs.note("%d clusters are marked bad: what lies there belongs to no file", marked)
	}
	if _, s, err := t.first(); err != nil {
		return err
	} else if s != "" {
		fs.note("%s", s)
	}
	for copy := range g.fats {
		if copy == g.active || !g.mirrored {
			continue
		}
		n, at, err := fs.compare(copy, length)
		if err != nil {
			return err
		}
		if n > 0 {
			fs.note("copies %d and %d of the FAT differ in %d bytes, the first at byte %d of them: copy %d is followed", g.active+1, copy+1, n, at, g.active+1)
		}
	}
	return nil
}

// first reads the flags that the second entry of the FAT keeps.
func (t *table) first() (uint32, string, error) {
	switch t.fs.g.kind {
	case 16:
		n, ok, err := t.bytes(2, 2)
		return n, flags(ok, n&0x8000 == 0, n&0x4000 == 0), err
	case 32:
		n, ok, err := t.bytes(4, 4)
		return n, flags(ok, n&0x08000000 == 0, n&0x04000000 == 0), err
	}
	return 0, "", nil
}

func flags(ok, dirty, failed bool) string {
	switch {
	case !ok:
		return ""
	case dirty && failed:
		return "the FAT says that it was not unmounted cleanly and that the medium had errors"
	case dirty:
		return "the FAT says that it was not unmounted cleanly"
	case failed:
		return "the FAT says that the medium had errors"
	}
	return ""
}

// compare counts the bytes in which a copy differs from the active one.
func (fs *FS) compare(copy, length int64) (n int, at int64, err error) {
	g := &fs.g
	a, b := make([]byte, 256<<10), make([]byte, 256<<10)
	for off := int64(0); off < length; off += int64(len(a)) {
		want := int(min(int64(len(a)), length-off))
		ha, err := readZero(fs.src, a[:want], g.fatStart+g.active*g.fatBytes+off)
		if err != nil {
			return n, at, err
		}
		hb, err := readZero(fs.src, b[:want], g.fatStart+copy*g.fatBytes+off)
		if err != nil {
			return n, at, err
		}
		for i := range min(ha, hb) {
			if a[i] != b[i] {
				if n++; n == 1 {
					at = off + int64(i)
				}
			}
		}
	}
	return n, at, nil
}

// chain is what following a file through the FAT gave.
type chain struct {
	count   uint32 // clusters
	missing uint32 // of those, past the end of the image
	damage  string
	shared  bool   // it ends where another chain was met
	met     uint32 // that cluster
}

// follow goes through the chain from c and marks what it meets in seen, where
// a cluster that is marked already ends it. each, when not nil, is given each
// cluster.
func (t *table) follow(c uint32, seen set, each func(uint32)) (chain, error) {
	var ch chain
	g, from := &t.fs.g, c
	if !g.valid(c) {
		ch.damage = fmt.Sprintf("range: cluster %d does not exist", c)
		return ch, nil
	}
	for {
		if seen.has(c) {
			ch.shared, ch.met = true, c
			looped, err := t.leads(from, c, ch.count)
			if looped {
				ch.damage = fmt.Sprintf("loop: its chain comes back to cluster %d", c)
			} else {
				ch.damage = fmt.Sprintf("overlap: cluster %d belongs to another chain too", c)
			}
			return ch, err
		}
		n, s, err := t.get(c)
		if err != nil {
			return ch, err
		}
		if s == free && ch.count == 0 {
			ch.damage = fmt.Sprintf("range: its first cluster %d is free", c)
			return ch, nil
		}
		if s == free {
			ch.damage = fmt.Sprintf("range: its chain leads to cluster %d, which is free", c)
			return ch, nil
		}
		seen.add(c)
		ch.count++
		if g.offset(c)+g.cluster > t.fs.src.Size() {
			ch.missing++
		}
		if each != nil {
			each(c)
		}
		switch s {
		case last:
			return ch, nil
		case next:
			c = n
		case bad:
			ch.damage = fmt.Sprintf("range: its chain leads to cluster %d, which is marked bad", c)
			return ch, nil
		case beyond:
			ch.damage = fmt.Sprintf("range: behind cluster %d its chain leads to cluster %d, which does not exist", c, n)
			return ch, nil
		default:
			ch.damage = fmt.Sprintf("truncated: what the FAT says of cluster %d lies past the end of the image", c)
			return ch, nil
		}
	}
}

// leads says whether the chain from c meets goal in its first n clusters.
func (t *table) leads(c, goal, n uint32) (bool, error) {
	for ; n > 0; n-- {
		if c == goal {
			return true, nil
		}
		link, s, err := t.get(c)
		if err != nil || s != next {
			return false, err
		}
		c = link
	}
	return false, nil
}

// contiguous counts the free clusters from c on, up to n. Where the first one
// is in use the count is 0.
func (t *table) contiguous(c, n uint32) (count uint32, err error) {
	for ; count < n && t.fs.g.valid(c+count); count++ {
		_, s, err := t.get(c + count)
		if err != nil {
			return count, err
		}
		if s != free {
			break
		}
	}
	return count, nil
}

// clustersOf is how many clusters hold size bytes.
func (g *geometry) clustersOf(size int64) uint32 {
	return uint32((size + g.cluster - 1) / g.cluster)
}
