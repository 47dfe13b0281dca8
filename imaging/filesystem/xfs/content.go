package xfs

import (
	"context"
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
// For a deleted inode it is what the inode still names, although a block may
// hold something newer: Damage says that too. Where ref is of a name whose
// inode was reused, or its generation is not the inode's, the error is
// ErrReused.
func (fs *FS) Open(ref filesystem.Ref) (imaging.Source, error) {
	c, err := fs.open(ref)
	if err != nil {
		return nil, fmt.Errorf("open inode %d: %w", ref.Inode, err)
	}
	return c, nil
}

func (fs *FS) open(ref filesystem.Ref) (*Content, error) {
	in, err := fs.inodeOf(ref)
	if err == nil {
		return fs.content(ref.Inode, in)
	}
	if _, _, ok := fs.sb.splitInode(ref.Inode); ok && ref.Stream == "" {
		if c, failed := fs.fromLog(ref); c != nil || failed != nil {
			return c, failed
		}
	}
	return nil, err
}

// inodeOf reads the inode that ref names.
func (fs *FS) inodeOf(ref filesystem.Ref) (inode, error) {
	ag, agino, ok := fs.sb.splitInode(ref.Inode)
	if !ok {
		return nil, errors.New("the file system has no such inode")
	}
	if ref.Stream == reallocated {
		return nil, ErrReused
	}
	if ref.Stream != "" {
		return nil, fmt.Errorf("no stream %q: XFS has none", ref.Stream)
	}
	in := make(inode, fs.sb.inodeSize)
	off := fs.inodePlace(ag, agino)
	n, err := fs.read(in, off)
	if err != nil {
		return nil, err
	}
	if n < len(in) {
		return nil, &imaging.FormatError{Format: "xfs", Offset: fs.src.Size(), Reason: "the inode lies outside the image"}
	}
	if !in.magic() {
		return nil, &imaging.FormatError{Format: "xfs", Offset: off, Reason: "there is no inode"}
	}
	if g := in.gen(); g != ref.Generation {
		return nil, fmt.Errorf("generation is %d, asked for %d: %w", g, ref.Generation, ErrReused)
	}
	return in, nil
}

// content maps an inode, live or not.
func (fs *FS) content(ino uint64, in inode) (*Content, error) {
	t, err := fs.table(context.Background())
	if err != nil {
		return nil, err
	}
	if !in.live() || t.dropped(ino) {
		return fs.residue(ino, in)
	}
	size, ok := in.bounded()
	c := &Content{fs: fs, size: size}
	if !ok {
		c.damage = sizeDamage(in)
	}
	if size == 0 {
		return c, nil
	}
	if in.format() == formatLocal {
		c.small = append([]byte(nil), in.data()[:min(int(size), len(in.data()))]...)
		c.size = int64(len(c.small))
		return c, nil
	}
	m := blockMap{fs: fs, spend: fs.newBudget()}
	if err := m.load(ino, in); err != nil {
		return nil, err
	}
	if m.damage != "" {
		c.damage = m.damage
	}
	if in.kind() == filesystem.TypeSymlink {
		target, damage, err := fs.target(ino, size, m.runs)
		if damage != "" {
			c.damage = damage
		}
		c.small, c.size = target, int64(len(target))
		return c, err
	}
	if in.kind() == filesystem.TypeFile && in.flags()&flagRealtime != 0 {
		c.damage = "partial: the content lies on the realtime device"
		return c, nil
	}
	c.runs = append([]run(nil), m.runs...)
	return c, nil
}

func sizeDamage(in inode) string {
	return fmt.Sprintf("range: the stored size %d is more than the inode can have", in.size())
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
		copy(p, c.small[off:])
		return len(p), eof
	}
	bs := c.fs.sb.blockSize
	i := sort.Search(len(c.runs), func(i int) bool { return int64(c.runs[i].at+uint64(c.runs[i].n))*bs > off })
	for done := 0; done < len(p); {
		pos := off + int64(done)
		rest := p[done:]
		if i == len(c.runs) {
			clear(rest)
			break
		}
		r := c.runs[i]
		start, end := int64(r.at)*bs, int64(r.at+uint64(r.n))*bs
		if pos < start {
			n := min(int64(len(rest)), start-pos)
			clear(rest[:n])
			done += int(n)
			continue
		}
		n := min(int64(len(rest)), end-pos)
		if r.unwritten() {
			clear(rest[:n])
		} else if _, err := c.fs.read(rest[:n], int64(r.phys)*bs+pos-start); err != nil {
			return done, err
		}
		done += int(n)
		i++
	}
	return len(p), eof
}
