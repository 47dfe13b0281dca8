package ext4

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"sort"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// Content is what Open gives. It is safe for concurrent use.
type Content struct {
	fs     *FS
	runs   []run
	small  []byte // content that the inode itself holds
	size   int64
	damage string
}

var _ imaging.Source = (*Content)(nil)

// Open gives the content of an inode: of a file its bytes, of a directory its
// blocks, of a symbolic link its target, nothing for the other types. Blocks
// that lie outside the volume or the image read as zeros, and Damage says so.
// For a deleted inode it is what the inode still names or what the journal says
// that it named, although a block may hold something newer: Damage says that
// too. Where ref is of a name whose inode was reused, or the inode has another
// generation and the journal knows nothing of that of ref, the error is
// ErrReused.
func (fs *FS) Open(ref filesystem.Ref) (imaging.Source, error) {
	var c *Content
	in, err := fs.inodeOf(ref)
	switch {
	case err == nil:
		c, err = fs.content(uint32(ref.Inode), in)
	case errors.Is(err, ErrReused) && ref.Stream == "":
		past, failed := fs.earlier(uint32(ref.Inode), ref.Generation)
		if failed != nil {
			err = failed
		} else if past != nil {
			return past, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open inode %d: %w", ref.Inode, err)
	}
	return c, nil
}

// inodeOf reads the inode that ref names.
func (fs *FS) inodeOf(ref filesystem.Ref) (inode, error) {
	if ref.Inode == 0 || ref.Inode > uint64(fs.sb.maxInode()) {
		return nil, fmt.Errorf("the file system has inodes 1 to %d", fs.sb.maxInode())
	}
	if ref.Stream == reallocated {
		return nil, ErrReused
	}
	if ref.Stream != "" {
		return nil, fmt.Errorf("no stream %q: ext4 has none", ref.Stream)
	}
	in, ok, err := fs.readInode(uint32(ref.Inode))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, &imaging.FormatError{Format: "ext4", Offset: fs.src.Size(), Reason: "the inode lies outside the image"}
	}
	if g := in.generation(); g != ref.Generation {
		return nil, fmt.Errorf("generation is %d, asked for %d: %w", g, ref.Generation, ErrReused)
	}
	return in, nil
}

// content maps an inode, live or not.
func (fs *FS) content(ino uint32, in inode) (*Content, error) {
	if !in.live() {
		used, err := fs.inodeUsed(ino)
		if err != nil {
			return nil, err
		}
		if !used {
			return fs.residue(ino, in)
		}
	}
	stored, size := fs.size(in)
	c := &Content{fs: fs, size: size, damage: fs.lag(ino)}
	switch {
	case in.kind() == filesystem.TypeSymlink && fs.fast(in):
		c.small = append([]byte(nil), in.block()[:size]...)
		return c, nil
	case in.flags()&flagInline != 0:
		var damage string
		c.small, damage = in.inline(size)
		c.damage = cmp.Or(damage, c.damage)
		return c, nil
	case !mapped(in):
		return c, nil
	}
	m := blockMap{fs: fs, spend: fs.newBudget()}
	if err := m.load(ino, in); err != nil {
		return nil, err
	}
	c.damage = cmp.Or(m.damage, c.damage)
	if uint64(size) < stored && c.damage == "" {
		c.damage = sizeDamage(stored)
	}
	c.runs = m.runs
	return c, nil
}

func sizeDamage(stored uint64) string {
	return fmt.Sprintf("range: the stored size %d is more than the inode can map", stored)
}

// mapped says whether the inode's type has content in blocks.
func mapped(in inode) bool {
	switch in.kind() {
	case filesystem.TypeFile, filesystem.TypeDir, filesystem.TypeSymlink:
		return true
	case filesystem.TypeUnknown, filesystem.TypeFIFO, filesystem.TypeSocket, filesystem.TypeChar, filesystem.TypeBlock:
	}
	return in.kind() == filesystem.TypeUnknown && in.links() > 0
}

// Size is the length in bytes.
func (c *Content) Size() int64 { return c.size }

// Damage is "" or what is wrong with the content, in the words of Entry.Damage.
func (c *Content) Damage() string { return c.damage }

// ReadAt reads the content; what no block holds is zeros.
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
	if c.small != nil {
		n := 0
		if off < int64(len(c.small)) {
			n = copy(p, c.small[off:])
		}
		clear(p[n:])
		return len(p), eof
	}
	bs := c.fs.sb.blockSize
	i := sort.Search(len(c.runs), func(i int) bool { return (int64(c.runs[i].at)+int64(c.runs[i].n))*bs > off })
	for done := 0; done < len(p); {
		pos := off + int64(done)
		rest := p[done:]
		if i == len(c.runs) {
			clear(rest)
			break
		}
		r := c.runs[i]
		start, end := int64(r.at)*bs, (int64(r.at)+int64(r.n))*bs
		if pos < start {
			n := min(int64(len(rest)), start-pos)
			clear(rest[:n])
			done += int(n)
			continue
		}
		n := min(int64(len(rest)), end-pos)
		if r.unwritten() {
			clear(rest[:n])
		} else if err := c.readRun(rest[:n], r, pos-start); err != nil {
			return done, err
		}
		done += int(n)
		i++
	}
	return len(p), eof
}

// readRun reads from byte off of a run on.
func (c *Content) readRun(p []byte, r run, off int64) error {
	src := c.fs.src
	if r.journaled() {
		src = c.fs.log.src
	}
	if _, err := readZero(src, p, int64(r.block())*c.fs.sb.blockSize+off); err != nil {
		return err
	}
	if r.phys&escapedBit != 0 && off < 4 {
		copy(p, be.AppendUint32(nil, journalMagic)[off:])
	}
	return nil
}
