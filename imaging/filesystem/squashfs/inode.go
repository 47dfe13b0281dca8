package squashfs

import (
	"errors"
	"fmt"
	"io"
	"math"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

const (
	typeDir = 1 + iota
	typeFile
	typeSymlink
	typeBlock
	typeChar
	typeFIFO
	typeSocket
	extended = 7 // added to the type of one with more fields

	linkMost = 4096 // bytes of a link target, as in the kernel
	// scanMost bounds how much of the table of inodes is unpacked to find one.
	scanMost = 1 << 30
)

// inode is one inode.
type inode struct {
	at       uint64 // its place
	kind     filesystem.Type
	number   uint32
	mode     uint32
	uid, gid uint32
	mtime    uint32
	links    uint32
	rdev     uint32
	link     string
	damage   string

	size      uint64 // of a file; of a directory with its three bytes for . and ..
	start     uint64 // of its blocks, or of the piece of its list
	offset    uint32 // in the fragment, or in that piece
	fragment  uint32
	blockList *cursor // where the lengths of its blocks follow
}

// kinds are the types of entries and the bits of their modes.
var kinds = [...]struct {
	kind filesystem.Type
	mode uint32
}{
	typeDir: {filesystem.TypeDir, 0o040000}, typeFile: {filesystem.TypeFile, 0o100000}, typeSymlink: {filesystem.TypeSymlink, 0o120000},
	typeBlock: {filesystem.TypeBlock, 0o060000}, typeChar: {filesystem.TypeChar, 0o020000}, typeFIFO: {filesystem.TypeFIFO, 0o010000},
	typeSocket: {filesystem.TypeSocket, 0o140000},
}

// inodeAt reads the inode at a place.
func (fs *FS) inodeAt(ref uint64) (*inode, error) {
	return fs.readInode(fs.cursor(fs.sb.inodeTable, fs.sb.dirTable, ref>>16, int(ref&0xffff)), ref)
}

// readInode reads the inode where a cursor stands, up to the list of blocks.
func (fs *FS) readInode(c *cursor, ref uint64) (*inode, error) {
	h := make([]byte, 16)
	if err := c.read(h); err != nil {
		return nil, err
	}
	kind := le.Uint16(h)
	base := kind
	if kind > extended {
		base -= extended
	}
	if base == 0 || int(base) >= len(kinds) {
		return nil, bad(c.at, "an inode of type %d", kind)
	}
	in := &inode{
		at: ref, kind: kinds[base].kind, mode: kinds[base].mode | uint32(le.Uint16(h[2:])&0o7777),
		mtime: le.Uint32(h[8:]), number: le.Uint32(h[12:]), links: 1, fragment: none,
	}
	in.uid, in.gid = fs.owner(in, le.Uint16(h[4:])), fs.owner(in, le.Uint16(h[6:]))
	var err error
	switch base {
	case typeDir:
		err = in.readDir(c, kind > extended)
	case typeFile:
		err = in.readFile(c, kind > extended)
	case typeSymlink:
		err = in.readLink(c, kind > extended)
	default:
		err = in.readOther(c, base, kind > extended)
	}
	return in, err
}

func (fs *FS) owner(in *inode, i uint16) uint32 {
	if int(i) >= len(fs.ids) {
		in.damage = also(in.damage, fmt.Sprintf("range: its owner has number %d of %d and is shown as 0", i, len(fs.ids)))
		return 0
	}
	return fs.ids[i]
}

func (in *inode) readDir(c *cursor, ext bool) error {
	b := make([]byte, 24)
	if !ext {
		if err := c.read(b[:16]); err != nil {
			return err
		}
		in.start, in.links, in.size, in.offset = uint64(le.Uint32(b)), le.Uint32(b[4:]), uint64(le.Uint16(b[8:])), uint32(le.Uint16(b[10:]))
		return nil
	}
	if err := c.read(b); err != nil {
		return err
	}
	in.links, in.size, in.start, in.offset = le.Uint32(b), uint64(le.Uint32(b[4:])), uint64(le.Uint32(b[8:])), uint32(le.Uint16(b[18:]))
	return in.skipIndex(c, int(le.Uint16(b[16:])))
}

// skipIndex goes over the index of a large directory, so that the next inode
// can be read.
func (in *inode) skipIndex(c *cursor, n int) error {
	b := make([]byte, 12)
	for range n {
		if err := c.read(b); err != nil {
			return err
		}
		size := le.Uint32(b[8:])
		if size > 255 {
			return bad(c.at, "the index of a directory has a name of %d bytes", size)
		}
		if err := c.read(make([]byte, size+1)); err != nil {
			return err
		}
	}
	return nil
}

func (in *inode) readFile(c *cursor, ext bool) error {
	b := make([]byte, 40)
	if ext {
		if err := c.read(b); err != nil {
			return err
		}
		in.start, in.size, in.links = le.Uint64(b), le.Uint64(b[8:]), le.Uint32(b[24:])
		in.fragment, in.offset = le.Uint32(b[28:]), le.Uint32(b[32:])
	} else {
		if err := c.read(b[:16]); err != nil {
			return err
		}
		in.start, in.fragment, in.offset, in.size = uint64(le.Uint32(b)), le.Uint32(b[4:]), le.Uint32(b[8:]), uint64(le.Uint32(b[12:]))
	}
	if in.size > math.MaxInt64 {
		in.damage = also(in.damage, fmt.Sprintf("range: its size is %d", in.size))
		in.size = 0
	}
	in.blockList = c
	return nil
}

func (in *inode) readLink(c *cursor, ext bool) error {
	b := make([]byte, 8)
	if err := c.read(b); err != nil {
		return err
	}
	in.links = le.Uint32(b)
	n := le.Uint32(b[4:])
	if n > linkMost {
		return bad(c.at, "a link target of %d bytes", n)
	}
	target := make([]byte, n)
	if err := c.read(target); err != nil {
		return err
	}
	in.link, in.size = string(target), uint64(n)
	if ext {
		return c.read(b[:4])
	}
	return nil
}

func (in *inode) readOther(c *cursor, base uint16, ext bool) error {
	b := make([]byte, 4)
	if err := c.read(b); err != nil {
		return err
	}
	in.links = le.Uint32(b)
	if base == typeBlock || base == typeChar {
		if err := c.read(b); err != nil {
			return err
		}
		in.rdev = le.Uint32(b)
	}
	if ext {
		return c.read(b)
	}
	return nil
}

// blocks is how many whole or last blocks a file has, without what lies in a
// fragment.
func (fs *FS) blocks64(in *inode) uint64 {
	n, block := in.size, uint64(fs.sb.block)
	if in.fragment != none {
		return n / block
	}
	return n/block + min(1, n%block)
}

// find gives the inode that a Ref names.
func (fs *FS) find(ref filesystem.Ref) (*inode, error) {
	if ref.Inode > math.MaxUint32 || ref.Generation != 0 {
		return nil, errors.New("no such inode")
	}
	var at uint64
	if ref.Stream != "" {
		if n, err := fmt.Sscanf(ref.Stream, "at %d", &at); n != 1 || err != nil || streamOf(at) != ref.Stream {
			return nil, fmt.Errorf("no stream %q: a file has one", ref.Stream)
		}
	} else {
		var err error
		if at, err = fs.locate(uint32(ref.Inode)); err != nil {
			return nil, err
		}
	}
	in, err := fs.inodeAt(at)
	if err == nil && uint64(in.number) != ref.Inode {
		err = bad(int64(fs.sb.inodeTable), "the inode that the index names has the number %d", in.number)
	}
	return in, err
}

func streamOf(at uint64) string { return fmt.Sprintf("at %d", at) }

// locate gives the place of an inode by its number: from the export table or,
// of an image without one, from the table of inodes.
func (fs *FS) locate(number uint32) (uint64, error) {
	if fs.sb.exportTable != noTable {
		b := make([]byte, 8)
		if number == 0 || number > fs.sb.inodes {
			return 0, bad(0, "inode %d of %d", number, fs.sb.inodes)
		}
		err := fs.tableEntry(fs.sb.exportTable, uint64(number-1), b)
		return le.Uint64(b), err
	}
	var failed error
	fs.scan.Do(func() {
		index := map[uint32]uint64{}
		failed = fs.scanInodes(func(in *inode) error {
			if _, ok := index[in.number]; !ok {
				index[in.number] = in.at
			}
			return nil
		})
		fs.index = index
	})
	if failed != nil && !isDamage(failed) {
		return 0, failed
	}
	at, ok := fs.index[number]
	if !ok {
		return 0, bad(int64(fs.sb.inodeTable), "inode %d is not in the table", number)
	}
	return at, nil
}

// scanInodes goes through the table of inodes, up to the first damage, which it
// gives.
func (fs *FS) scanInodes(each func(*inode) error) error {
	c := fs.cursor(fs.sb.inodeTable, fs.sb.dirTable, 0, 0)
	skip := make([]byte, 4096)
	for total, n := uint64(0), uint32(0); n < fs.sb.inodes; n++ {
		at, err := c.place(fs.sb.inodeTable)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		in, err := fs.readInode(c, at)
		if err != nil {
			return err
		}
		if err := each(in); err != nil {
			return err
		}
		if in.kind != filesystem.TypeFile {
			continue
		}
		for left := fs.blocks64(in) * 4; left > 0; {
			k := min(left, uint64(len(skip)))
			if total += k; total > scanMost {
				return bad(c.at, "the table of inodes is too large to be searched")
			}
			if err := c.read(skip[:k]); err != nil {
				return err
			}
			left -= k
		}
	}
	return nil
}

// Open gives the content of an entry: of a file its bytes, of a symbolic link
// its target; all else is empty. What does not unpack is an error of the read
// that meets it.
func (fs *FS) Open(ref filesystem.Ref) (imaging.Source, error) {
	in, err := fs.find(ref)
	if err != nil {
		return nil, fmt.Errorf("open inode %d: %w", ref.Inode, err)
	}
	c, err := fs.content(in)
	if err != nil {
		return nil, fmt.Errorf("open inode %d: %w", ref.Inode, err)
	}
	return c, nil
}
