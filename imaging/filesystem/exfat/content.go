package exfat

import (
	"errors"
	"fmt"
	"io"
	"sort"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// piece is a run of content: pos in it, n bytes, from off of the volume.
type piece struct{ pos, off, n int64 }

// Content is what Open gives. It is safe for concurrent use.
type Content struct {
	fs          *FS
	runs        []piece
	size, valid int64
	damage      string
}

var _ imaging.Source = (*Content)(nil)

// pieces gives runs with their places.
func (g *geometry) pieces(runs []run) []piece {
	list := make([]piece, 0, len(runs))
	pos := int64(0)
	for _, r := range runs {
		list = append(list, piece{pos, g.offset(r.first), int64(r.n) * g.cluster})
		pos += int64(r.n) * g.cluster
	}
	return list
}

// Open gives the content of an entry: of a file its bytes, of a directory its
// clusters. What lies behind the length that was written, what a chain does not
// have, or the image, reads as zeros; of the last two Damage tells. Of what is
// not in use it is what the clusters hold now, and Damage says how many are in
// use again.
func (fs *FS) Open(ref filesystem.Ref) (imaging.Source, error) {
	if ref.Stream != "" {
		return nil, fmt.Errorf("open inode %d: no stream %q: exFAT has none", ref.Inode, ref.Stream)
	}
	c, err := fs.content(ref)
	if err != nil {
		return nil, fmt.Errorf("open inode %d: %w", ref.Inode, err)
	}
	return c, nil
}

func (fs *FS) content(ref filesystem.Ref) (*Content, error) {
	t := fs.table()
	switch {
	case ref.Inode == rootInode && ref.Generation == 0:
		ch, err := fs.root(t, fs.g.newSet())
		size := int64(ch.count) * fs.g.cluster
		return fs.made(ch.runs, size, size, ch.damage), err
	case ref.Inode >= lostInode && ref.Inode <= lostInode+1<<32-1:
		c, n := uint32(ref.Inode-lostInode), ref.Generation>>1
		if !fs.g.valid(c) || n == 0 || n > fs.g.clusters-(c-2) {
			return nil, errors.New("the volume has no such clusters")
		}
		size := int64(n) * fs.g.cluster
		return fs.made([]run{{c, n}}, size, size, fs.missing([]run{{c, n}})), nil
	}
	off, ok := fs.recordAt(ref.Inode)
	if !ok || ref.Generation > 3 {
		return nil, errors.New("the volume has no such record")
	}
	head, stream, err := fs.pair(t, off, ref.Generation&2 != 0)
	if err != nil {
		return nil, err
	}
	dead := ref.Generation&1 != 0
	if head[0]&inUse == 0 && !dead {
		return nil, &imaging.FormatError{Format: "exfat", Offset: off, Reason: "the record there is not in use"}
	}
	if stream == nil {
		return fs.made(nil, 0, 0, "partial: the record of its content is gone"), nil
	}
	s := fs.span(stream, head[0]&^inUse == typeFile && le.Uint16(head[4:])&attrDir != 0)
	ch, err := t.resolve(s, dead, fs.g.newSet())
	if err != nil {
		return nil, err
	}
	return fs.made(ch.runs, s.size, s.valid, also(s.damage, ch.damage)), nil
}

func (fs *FS) made(runs []run, size, valid int64, damage string) *Content {
	return &Content{fs: fs, runs: fs.g.pieces(runs), size: size, valid: valid, damage: damage}
}

// pair reads the first record of a set and that of its stream, which follows
// it: in the same cluster, in the one behind, or where the FAT leads.
func (fs *FS) pair(t *table, off int64, behind bool) (head, stream []byte, err error) {
	b := make([]byte, 2*recordSize)
	head, stream = b[:recordSize], b[recordSize:]
	n, err := readZero(fs.src, head, off)
	if err != nil {
		return nil, nil, err
	}
	kind := head[0] &^ inUse
	if n < recordSize || kind != typeFile && kind != typeStream && kind != typeName {
		return nil, nil, &imaging.FormatError{Format: "exfat", Offset: off, Reason: "no record of a file stands there"}
	}
	switch kind {
	case typeStream:
		return head, head, nil
	case typeName:
		return head, nil, nil
	}
	c := fs.g.clusterAt(off)
	at := off + recordSize
	if at == fs.g.offset(c)+fs.g.cluster && !behind {
		n, s, err := t.get(c)
		if err != nil {
			return nil, nil, err
		}
		if s != next {
			return head, nil, nil
		}
		at = fs.g.offset(n)
	}
	if _, err = readZero(fs.src, stream, at); err != nil {
		return nil, nil, err
	}
	if stream[0]&^inUse != typeStream || stream[0]&inUse != head[0]&inUse {
		return head, nil, nil
	}
	return head, stream, nil
}

// resolve gives the clusters of a content and what is wrong with them. Those of
// what is in use are marked in seen.
func (t *table) resolve(s span, dead bool, seen *set) (ch chain, err error) {
	g := &t.fs.g
	need := g.clustersOf(s.size)
	if need == 0 {
		return ch, nil
	}
	if !g.valid(s.first) {
		ch.damage = fmt.Sprintf("range: its first cluster %d does not exist", s.first)
		return ch, nil
	}
	switch {
	case s.flat:
		n := min(need, g.clusters-(s.first-2))
		ch.runs, ch.count = []run{{s.first, n}}, n
		if n < need {
			ch.damage = fmt.Sprintf("range: %d of its %d clusters lie behind the last one", need-n, need)
		}
		if !dead {
			if ch.fresh = seen.claim(s.first, n); ch.fresh < n {
				ch.damage = also(ch.damage, fmt.Sprintf("overlap: cluster %d belongs to another file too", s.first+ch.fresh))
			}
		}
	case dead:
		ch, err = t.trace(s.first, need)
	default:
		ch, err = t.follow(s.first, need, seen)
		if ch.count < need && ch.damage == "" {
			ch.damage = fmt.Sprintf("truncated: its chain has %d clusters, its size needs %d: what is missing reads as zeros", ch.count, need)
		}
	}
	ch.damage = also(ch.damage, also(t.fs.usage(ch, dead), t.fs.missing(ch.runs)))
	return ch, err
}

// usage compares clusters with the bitmap.
func (fs *FS) usage(ch chain, dead bool) string {
	if fs.used == nil {
		if dead {
			return "reallocated: whether its clusters are in use again is not known"
		}
		return ""
	}
	taken := uint32(0)
	for _, r := range ch.runs {
		taken += fs.used.count(r.first, r.n)
	}
	switch {
	case dead && taken > 0:
		return fmt.Sprintf("reallocated: %d of %d clusters are in use again", taken, ch.count)
	case !dead && taken < ch.count:
		return fmt.Sprintf("range: %d of its %d clusters are free according to the bitmap", ch.count-taken, ch.count)
	}
	return ""
}

// missing says how much of clusters the image does not have.
func (fs *FS) missing(runs []run) string {
	bytes := int64(0)
	for _, r := range runs {
		n := int64(r.n) * fs.g.cluster
		bytes += max(0, min(n, fs.g.offset(r.first)+n-fs.src.Size()))
	}
	if bytes == 0 {
		return ""
	}
	return fmt.Sprintf("truncated: %d bytes of its clusters lie past the end of the image", bytes)
}

// also joins two words of damage.
func also(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// Size is the length in bytes.
func (c *Content) Size() int64 { return c.size }

// Damage is "" or what is wrong with the content, in the words of Entry.Damage.
func (c *Content) Damage() string { return c.damage }

// ReadAt reads the content; what was never written, or no cluster holds, is
// zeros.
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
	written := min(int64(len(p)), max(0, c.valid-off))
	clear(p[written:])
	i := sort.Search(len(c.runs), func(i int) bool { return c.runs[i].pos+c.runs[i].n > off })
	for done := int64(0); done < written; i++ {
		if i == len(c.runs) {
			clear(p[done:written])
			break
		}
		r, pos := c.runs[i], off+done
		n := min(written-done, r.pos+r.n-pos)
		if _, err := readZero(c.fs.src, p[done:done+n], r.off+pos-r.pos); err != nil {
			return int(done), err
		}
		done += n
	}
	return len(p), eof
}
