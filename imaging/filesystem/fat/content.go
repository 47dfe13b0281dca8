package fat

import (
	"errors"
	"fmt"
	"io"
	"math"
	"sort"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// run is a piece of content: pos in it, off in the volume, n bytes.
type run struct{ pos, off, n int64 }

// Content is what Open gives. It is safe for concurrent use.
type Content struct {
	fs     *FS
	runs   []run
	size   int64
	damage string
}

var _ imaging.Source = (*Content)(nil)

// Open gives the content of a record: of a file its bytes, of a directory its
// clusters. What a chain in use does not have, or the image, reads as zeros,
// and Damage says so. Of what is not in use (Ref.Generation 1) it is the free
// clusters that follow one another, which may be less than Entry.Size; where
// the first is in use the error is ErrReused.
func (fs *FS) Open(ref filesystem.Ref) (imaging.Source, error) {
	if ref.Stream != "" || ref.Generation > 1 {
		return nil, fmt.Errorf("open inode %d: no generation %d, stream %q: FAT has none", ref.Inode, ref.Generation, ref.Stream)
	}
	c, err := fs.content(ref)
	if err != nil {
		return nil, fmt.Errorf("open inode %d: %w", ref.Inode, err)
	}
	return c, nil
}

func (fs *FS) content(ref filesystem.Ref) (*Content, error) {
	t := fs.table()
	dead := ref.Generation == 1
	switch {
	case ref.Inode == rootInode && !dead:
		if fs.g.kind == 32 {
			return t.whole(fs.g.rootCluster)
		}
		return &Content{fs: fs, runs: []run{{0, fs.g.rootStart, fs.g.rootBytes}}, size: fs.g.rootBytes}, nil
	case ref.Inode >= lostInode && ref.Inode <= lostInode+math.MaxUint32 && fs.g.valid(uint32(ref.Inode-lostInode)):
		if dead {
			return t.free(uint32(ref.Inode-lostInode), fs.g.cluster)
		}
		return t.whole(uint32(ref.Inode - lostInode))
	}
	off, ok := fs.recordAt(ref.Inode)
	if !ok {
		return nil, errors.New("the volume has no such record")
	}
	r := make(raw, recordSize)
	n, err := readZero(fs.src, r, off)
	if err != nil {
		return nil, err
	}
	first := r.cluster(fs.g.kind)
	switch {
	case n < recordSize:
		return nil, &imaging.FormatError{Format: "fat", Offset: off, Reason: "the record lies past the end of the image"}
	case r.end() || r.long() || r.deleted() && !dead:
		return nil, &imaging.FormatError{Format: "fat", Offset: off, Reason: "no record in use stands there"}
	case r.dir() && !dead:
		return t.whole(first)
	case r.dir():
		return t.free(first, fs.g.cluster)
	case dead:
		return t.free(first, r.size())
	}
	return t.sized(first, r.size())
}

// push adds a cluster to the runs.
func (c *Content) push(cluster uint32) {
	g := &c.fs.g
	off := g.offset(cluster)
	if k := len(c.runs) - 1; k >= 0 && c.runs[k].off+c.runs[k].n == off {
		c.runs[k].n += g.cluster
		return
	}
	pos := int64(0)
	if k := len(c.runs) - 1; k >= 0 {
		pos = c.runs[k].pos + c.runs[k].n
	}
	c.runs = append(c.runs, run{pos, off, g.cluster})
}

// covered is how many bytes the runs have.
func (c *Content) covered() int64 {
	if k := len(c.runs) - 1; k >= 0 {
		return c.runs[k].pos + c.runs[k].n
	}
	return 0
}

// whole is all of a chain, which has no size of its own.
func (t *table) whole(first uint32) (*Content, error) {
	c := &Content{fs: t.fs}
	err := t.load(c, first, math.MaxUint32)
	c.size = c.covered()
	return c, err
}

// sized is as much of a chain as size needs.
func (t *table) sized(first uint32, size int64) (*Content, error) {
	c := &Content{fs: t.fs, size: size}
	need := t.fs.g.clustersOf(size)
	if need == 0 {
		return c, nil
	}
	if err := t.load(c, first, need); err != nil {
		return nil, err
	}
	if have := c.covered(); have < size && c.damage == "" {
		c.damage = fmt.Sprintf("truncated: its chain has %d of %d bytes: the rest reads as zeros", have, size)
	}
	return c, nil
}

// free is the clusters from first on that are free, as far as size goes.
func (t *table) free(first uint32, size int64) (*Content, error) {
	c := &Content{fs: t.fs}
	need := t.fs.g.clustersOf(size)
	if need == 0 {
		return c, nil
	}
	if !t.fs.g.valid(first) {
		return nil, fmt.Errorf("its first cluster %d does not exist", first)
	}
	n, err := t.contiguous(first, need)
	switch {
	case err != nil:
		return nil, err
	case n == 0:
		return nil, ErrReused
	case n < need:
		c.damage = fmt.Sprintf("partial: %d of %d bytes: cluster %d is in use by another file", int64(n)*t.fs.g.cluster, size, first+n)
	}
	c.runs = []run{{0, t.fs.g.offset(first), int64(n) * t.fs.g.cluster}}
	c.size = min(size, c.covered())
	if end := t.fs.src.Size() - t.fs.g.offset(first); c.size > end && c.damage == "" {
		c.damage = "truncated: its end lies past the end of the image and reads as zeros"
	}
	return c, nil
}

// load follows a chain for up to n clusters. A loop is met without a record of
// what was seen by comparing with a cluster that moves on ever more rarely;
// only then the chain is followed again with one.
func (t *table) load(c *Content, first, n uint32) error {
	g := &t.fs.g
	at, mark, power, steps := first, uint32(0), uint32(1), uint32(0)
	for k := uint32(0); k < n; k++ {
		if !g.valid(at) {
			c.damage = fmt.Sprintf("range: cluster %d does not exist", at)
			return nil
		}
		if at == mark {
			c.runs = nil
			ch, err := t.follow(first, t.fs.newSet(), c.push)
			c.damage = ch.damage
			return err
		}
		if steps++; steps == power {
			mark, power, steps = at, power*2, 0
		}
		link, s, err := t.get(at)
		if err != nil {
			return err
		}
		if s == free {
			c.damage = fmt.Sprintf("range: its chain leads to cluster %d, which is free", at)
			return nil
		}
		c.push(at)
		if g.offset(at)+g.cluster > t.fs.src.Size() && c.damage == "" {
			c.damage = "truncated: a part of it lies past the end of the image and reads as zeros"
		}
		if s != next {
			return nil
		}
		at = link
	}
	return nil
}

// Size is the length in bytes.
func (c *Content) Size() int64 { return c.size }

// Damage is "" or what is wrong with the content, in the words of Entry.Damage.
func (c *Content) Damage() string { return c.damage }

// ReadAt reads the content; what no cluster holds is zeros.
func (c *Content) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("read content: negative offset")
	}
	if off >= c.size {
		return 0, io.EOF
	}
	var eof error
	if rest := c.size - off; int64(len(p)) > rest {
		p, eof = p[:rest], io.EOF
	}
	i := sort.Search(len(c.runs), func(i int) bool { return c.runs[i].pos+c.runs[i].n > off })
	for done := 0; done < len(p); i++ {
		if i == len(c.runs) {
			clear(p[done:])
			break
		}
		r, pos := c.runs[i], off+int64(done)
		n := min(int64(len(p)-done), r.pos+r.n-pos)
		if _, err := readZero(c.fs.src, p[done:done+int(n)], r.off+pos-r.pos); err != nil {
			return done, err
		}
		done += int(n)
	}
	return len(p), eof
}
