package fat

import (
	"errors"
	"fmt"
	"io"
	"sort"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// piece is clusters in a row.
type piece struct{ start, n uint32 }

// chain follows the FAT from a cluster for at most want clusters (0: to the
// end). damage says why it is shorter, longer or no chain.
func (fs *FS) chain(first uint32, want int64) (pieces []piece, damage string, err error) {
	n, c := int64(0), first
	slow := first // follows at half the speed: it is met again in a loop
	for fs.valid(c) && (want == 0 || n < want) {
		if k := len(pieces) - 1; k >= 0 && pieces[k].start+pieces[k].n == c {
			pieces[k].n++
		} else {
			pieces = append(pieces, piece{c, 1})
		}
		n++
		v, err := fs.next(c)
		if err != nil {
			return pieces, "", err
		}
		if n%2 == 0 {
			if slow, err = fs.next(slow); err != nil {
				return pieces, "", err
			}
		}
		if v == slow && n > 1 && fs.valid(v) || n > int64(fs.clusters) {
			return pieces, fmt.Sprintf("loop: cluster %d leads back into its own chain", c), nil
		}
		if c = v; !fs.valid(v) && !fs.end(v) {
			return pieces, fmt.Sprintf("range: the chain leads to cluster %d of %d", v, fs.clusters), nil
		}
	}
	if n < want {
		damage = fmt.Sprintf("truncated: the chain has %d of %d clusters", n, want)
	}
	return pieces, damage, nil
}

// free takes clusters in a row from first on as long as the FAT has them free:
// what may be left of a deleted file.
func (fs *FS) free(first uint32, want int64) (pieces []piece, damage string, err error) {
	n := int64(0)
	for ; n < want && fs.valid(first+uint32(n)); n++ { //nolint:gosec // below the number of clusters
		v, err := fs.next(first + uint32(n)) //nolint:gosec // as above
		if err != nil {
			return nil, "", err
		}
		if v != 0 {
			break
		}
	}
	if n > 0 {
		pieces = []piece{{first, uint32(n)}} //nolint:gosec // as above
	}
	switch {
	case n == 0 && want > 0:
		damage = "reallocated: its first cluster is in use again"
	case n < want:
		damage = fmt.Sprintf("partial: %d of %d clusters are still free; that they lie in one piece is assumed", n, want)
	}
	return pieces, damage, nil
}

// Content is what Open gives. It is safe for concurrent use.
type Content struct {
	fs     *FS
	pieces []piece
	starts []int64 // where each piece stands in the content, bytes
	flat   int64   // root folder of FAT12 and FAT16: where it lies, else -1
	size   int64
	damage string
}

func (fs *FS) content(pieces []piece, size int64, damage string) *Content {
	c := &Content{fs: fs, pieces: pieces, flat: -1, size: size, damage: damage}
	at := int64(0)
	for _, p := range pieces {
		c.starts = append(c.starts, at)
		at += int64(p.n) * fs.cluster
	}
	return c
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
	if c.flat >= 0 {
		_, err := c.fs.read(p, c.flat+off)
		return len(p), errors.Join(err, eof)
	}
	i := sort.Search(len(c.starts), func(i int) bool { return c.starts[i] > off }) - 1
	for done := 0; done < len(p); i++ {
		if i < 0 || i >= len(c.pieces) {
			clear(p[done:])
			break
		}
		in := off + int64(done) - c.starts[i]
		n := min(int64(len(p)-done), int64(c.pieces[i].n)*c.fs.cluster-in)
		if n <= 0 {
			continue
		}
		if _, err := c.fs.read(p[done:done+int(n)], c.fs.offset(c.pieces[i].start)+in); err != nil {
			return done, err
		}
		done += int(n)
	}
	return len(p), eof
}

// Open gives the content of an entry: of a file its bytes, of a folder its
// records.
func (fs *FS) Open(ref filesystem.Ref) (imaging.Source, error) {
	if ref.Generation != 0 || ref.Stream != "" {
		return nil, fmt.Errorf("open inode %d: FAT has no generations and no streams", ref.Inode)
	}
	if ref.Inode == rootInode {
		return fs.rootContent()
	}
	r, err := fs.record(ref.Inode)
	if err != nil {
		return nil, fmt.Errorf("open inode %d: %w", ref.Inode, err)
	}
	c, err := fs.contentOf(r)
	if err != nil {
		return nil, fmt.Errorf("open inode %d: %w", ref.Inode, err)
	}
	return c, nil
}

func (fs *FS) rootContent() (*Content, error) {
	if fs.width != 32 {
		c := fs.content(nil, fs.rootSize, "")
		c.flat = fs.rootAt
		return c, nil
	}
	pieces, damage, err := fs.chain(fs.rootClus, 0)
	if err != nil {
		return nil, fmt.Errorf("open the root folder: %w", err)
	}
	return fs.content(pieces, fs.length(pieces), damage), nil
}

func (fs *FS) length(pieces []piece) (n int64) {
	for _, p := range pieces {
		n += int64(p.n) * fs.cluster
	}
	return n
}

// contentOf maps what a record says.
func (fs *FS) contentOf(r []byte) (*Content, error) {
	first, size := fs.firstCluster(r), int64(le.Uint32(r[28:]))
	deleted, dir := r[0] == deletedMark, r[11]&attrDir != 0
	want := (size + fs.cluster - 1) / fs.cluster
	switch {
	case deleted && dir:
		want = 1
	case dir:
		pieces, damage, err := fs.chain(first, 0)
		if !fs.valid(first) {
			damage = fmt.Sprintf("range: the folder is in cluster %d of %d", first, fs.clusters)
		}
		return fs.content(pieces, fs.length(pieces), damage), err
	}
	if want == 0 {
		return fs.content(nil, 0, ""), nil
	}
	if !fs.valid(first) {
		damage := fmt.Sprintf("range: the content is in cluster %d of %d", first, fs.clusters)
		if deleted {
			size = 0
		}
		return fs.content(nil, size, damage), nil
	}
	if !deleted {
		pieces, damage, err := fs.chain(first, want)
		return fs.content(pieces, size, damage), err
	}
	pieces, damage, err := fs.free(first, want)
	if dir {
		size = fs.length(pieces)
	}
	return fs.content(pieces, min(size, fs.length(pieces)), damage), err
}

// record reads a record by its inode number.
func (fs *FS) record(inode uint64) ([]byte, error) {
	base := fs.rootAt                          // of FAT32 the first cluster: it has no room for a root
	limit := uint64(fs.size-base) / recordSize //nolint:gosec // the sizes were checked
	if inode < 3 || inode-3 >= limit {
		return nil, fmt.Errorf("the file system has inodes 2 to %d: %w", limit+2, errNoRecord)
	}
	r := make([]byte, recordSize)
	if _, err := fs.read(r, base+int64(inode-3)*recordSize); err != nil { //nolint:gosec // below limit
		return nil, err
	}
	if r[0] == 0 || r[11]&attrMask == attrLong || r[11]&attrLabel != 0 {
		return nil, errNoRecord
	}
	return r, nil
}

var errNoRecord = errors.New("no file is recorded there")

// inode is the number of the record at a byte of the volume.
func (fs *FS) inode(at int64) uint64 { return uint64(at-fs.rootAt)/recordSize + 3 } //nolint:gosec // at is behind rootAt

func (fs *FS) firstCluster(r []byte) uint32 {
	c := uint32(le.Uint16(r[26:]))
	if fs.width == 32 {
		c |= uint32(le.Uint16(r[20:])) << 16
	}
	return c
}
