package squashfs

import (
	"errors"
	"fmt"
	"io"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

const (
	plainBit = 1 << 24 // of a stored length: not compressed
	// blocksMost is how many blocks of a file are followed: 2 TiB of the
	// default size.
	blocksMost = 1 << 24
)

// stored is a block as it lies in the image; size 0 is a hole.
type stored struct {
	at   int64
	size uint32 // with plainBit
}

func (s stored) length() int64 { return int64(s.size &^ plainBit) }

// Content is what Open gives. It is safe for concurrent use.
type Content struct {
	fs     *FS
	small  []byte // the target of a link
	size   int64
	list   []stored
	tail   stored // the fragment, where it has one
	from   int64  // in what that unpacks to
	damage string
}

var _ imaging.Source = (*Content)(nil)

func (fs *FS) content(in *inode) (*Content, error) {
	c := &Content{fs: fs, damage: in.damage}
	switch in.kind {
	case filesystem.TypeSymlink:
		c.small, c.size = []byte(in.link), int64(len(in.link))
		return c, nil
	case filesystem.TypeFile:
	default:
		c.small = []byte{}
		return c, nil
	}
	c.size = int64(in.size)
	var err error
	if c.list, err = fs.blockList(in); err != nil {
		return nil, err
	}
	if in.fragment != none && in.size%uint64(fs.sb.block) != 0 {
		if c.tail, err = fs.fragment(in.fragment); err != nil {
			return nil, err
		}
		c.from = int64(in.offset)
	}
	if c.damage == "" {
		c.damage = c.missing()
	}
	return c, nil
}

// blockList reads where the blocks of a file lie.
func (fs *FS) blockList(in *inode) ([]stored, error) {
	n := fs.blocks64(in)
	if n > blocksMost {
		return nil, bad(in.blockList.at, "a file of %d blocks", n)
	}
	var list []stored
	b := make([]byte, 4)
	for at := min(in.start, 1<<61); n > 0; n-- {
		if err := in.blockList.read(b); err != nil {
			return nil, err
		}
		s := stored{int64(at), le.Uint32(b)}
		list = append(list, s)
		at += uint64(s.length())
	}
	return list, nil
}

// fragment reads entry number i of the table of fragments.
func (fs *FS) fragment(i uint32) (stored, error) {
	if i >= fs.sb.fragments {
		return stored{}, bad(0, "fragment %d of %d", i, fs.sb.fragments)
	}
	b := make([]byte, 16)
	err := fs.tableEntry(fs.sb.fragTable, uint64(i), b)
	return stored{int64(min(le.Uint64(b), 1<<61)), le.Uint32(b[8:])}, err
}

// missing says how much of the stored blocks the image does not have.
func (c *Content) missing() string {
	n := int64(0)
	for _, s := range append([]stored{c.tail}, c.list...) {
		n += max(0, min(s.length(), s.at+s.length()-c.fs.src.Size()))
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("truncated: %d bytes of its blocks lie past the end of the image", n)
}

// block unpacks a block, which must give want bytes or, of a fragment (want
// negative), any number.
func (fs *FS) block(s stored, want int) ([]byte, error) {
	if u, ok := fs.blocks.get(key(s)); ok && (want < 0 || len(u.data) == want) {
		return u.data, nil
	}
	size := s.length()
	if size > int64(fs.sb.block) {
		return nil, bad(s.at, "a block of %d bytes", size)
	}
	b := make([]byte, size)
	n, err := readAll(fs.src, b, s.at)
	if err != nil {
		return nil, err
	}
	if int64(n) < size {
		return nil, bad(s.at, "a block is cut at %d of %d bytes", n, size)
	}
	if s.size&plainBit == 0 {
		out := make([]byte, fs.sb.block)
		n, err := fs.unpack(out, b)
		if err != nil {
			return nil, bad(s.at, "a block does not unpack: %v", err)
		}
		b = out[:n]
	}
	if want >= 0 && len(b) != want {
		return nil, bad(s.at, "a block gives %d bytes, and its file needs %d", len(b), want)
	}
	fs.blocks.put(key(s), unpacked{data: b})
	return b, nil
}

// Size is the length in bytes.
func (c *Content) Size() int64 { return c.size }

// Damage is "" or what is wrong with the content, in the words of Entry.Damage.
func (c *Content) Damage() string { return c.damage }

// ReadAt reads the content; holes are zeros. A block that does not unpack is
// an *imaging.FormatError, and what comes before it is given.
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
		return copy(p, c.small[off:]), eof
	}
	block := int64(c.fs.sb.block)
	for done := 0; done < len(p); {
		pos := off + int64(done)
		i, in := pos/block, pos%block
		want := min(block, c.size-i*block)
		part := p[done:min(len(p), done+int(want-in))]
		if err := c.part(part, i, in, int(want)); err != nil {
			return done, fmt.Errorf("read content at %d: %w", pos, err)
		}
		done += len(part)
	}
	return len(p), eof
}

// part fills p from byte in of block i, which has want bytes.
func (c *Content) part(p []byte, i, in int64, want int) error {
	if i >= int64(len(c.list)) {
		b, err := c.fs.block(c.tail, -1)
		if err != nil {
			return err
		}
		if c.from+int64(want) > int64(len(b)) {
			return bad(c.tail.at, "a fragment of %d bytes, of which bytes %d to %d are needed", len(b), c.from, c.from+int64(want))
		}
		copy(p, b[c.from+in:])
		return nil
	}
	s := c.list[i]
	if s.length() == 0 {
		clear(p)
		return nil
	}
	b, err := c.fs.block(s, want)
	if err != nil {
		return err
	}
	copy(p, b[in:])
	return nil
}
