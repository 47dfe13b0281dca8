package iso9660

import (
	"errors"
	"fmt"
	"io"
	"sort"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// partsMost is how many extents of one file are followed: 1 TiB and more.
const partsMost = 1024

// piece is a run of content: pos in it, n bytes, from off of the image.
type piece struct{ pos, off, n int64 }

// Content is what Open gives. It is safe for concurrent use.
type Content struct {
	src    imaging.Source
	small  []byte // the target of a link
	runs   []piece
	size   int64
	damage string
}

var _ imaging.Source = (*Content)(nil)

// Open gives the content of an entry: of a file its bytes, of a directory its
// records, of a symbolic link its target. What the image does not have reads as
// zeros, and Damage says so.
func (fs *FS) Open(ref filesystem.Ref) (imaging.Source, error) {
	c, err := fs.content(ref)
	if err != nil {
		return nil, fmt.Errorf("open inode %d: %w", ref.Inode, err)
	}
	return c, nil
}

func (fs *FS) content(ref filesystem.Ref) (*Content, error) {
	if ref.Stream != "" || uint64(ref.Generation) >= uint64(len(fs.trees)) || ref.Inode >= uint64(fs.src.Size()) {
		return nil, errors.New("the image has no such record")
	}
	t := fs.trees[ref.Generation]
	r, err := fs.record(int64(ref.Inode))
	if err != nil {
		return nil, err
	}
	if r.length == 0 {
		return nil, &imaging.FormatError{Format: "iso9660", Offset: int64(ref.Inode), Reason: "no directory record stands there"}
	}
	spare := int64(2 * entriesMost)
	n, err := fs.node(r, t, &spare)
	if err != nil {
		return nil, err
	}
	if n.kind == filesystem.TypeSymlink {
		return &Content{small: []byte(n.rock.link), size: int64(len(n.rock.link))}, nil
	}
	if n.refused != "" {
		return nil, errors.New(n.refused)
	}
	return &Content{src: fs.src, runs: n.runs, size: n.size, damage: n.damage}, nil
}

// node is a record with all that belongs to it.
type node struct {
	record
	rock     rock
	kind     filesystem.Type
	runs     []piece
	size     int64
	after    int64 // the byte behind its last record
	damage   string
	refused  string // why its content is not given
	relinked bool   // a directory that was moved away
}

// node reads what Rock Ridge says of a record, and finds its content.
func (fs *FS) node(r record, t tree, spare *int64) (n node, err error) {
	n = node{record: r, kind: filesystem.TypeFile, damage: r.damage, after: r.at + int64(r.length)}
	n.rock.child = -1
	if t.kind == rockRidge {
		if n.rock, err = fs.rock(r, t, spare); err != nil {
			return n, err
		}
		n.damage = also(n.damage, n.rock.damage)
		if n.rock.hasMode {
			n.kind = kindOf(n.rock.mode)
		}
	}
	if n.rock.child >= 0 && !r.dir() {
		return n, fs.relocated(&n, t, spare)
	}
	if r.dir() {
		n.kind = filesystem.TypeDir
	} else if n.kind == filesystem.TypeDir {
		n.damage = also(n.damage, "range: its mode says that it is a directory, its record that it is none")
		n.kind = filesystem.TypeFile
	}
	switch n.kind {
	case filesystem.TypeFile, filesystem.TypeDir:
		if err := fs.extents(&n, t); err != nil {
			return n, err
		}
	case filesystem.TypeSymlink:
		n.size = int64(len(n.rock.link))
	default:
	}
	fs.named(&n)
	return n, nil
}

// named says what cannot be given.
func (fs *FS) named(n *node) {
	switch {
	case n.rock.sparse:
		n.refused = "it is stored as a sparse file (SF), which is not read"
	case n.unit != 0 || n.gap != 0:
		n.refused = fmt.Sprintf("it is interleaved: %d blocks, then a gap of %d, which is not read", n.unit, n.gap)
	case n.rock.compressed:
		n.damage = also(n.damage, fmt.Sprintf("partial: it is compressed by zisofs, and its %d bytes are given as they are stored; uncompressed it has %d", n.size, n.rock.real))
	}
	if n.refused != "" {
		n.damage = also(n.damage, "partial: "+n.refused)
	}
}

// extents adds up the records of a file: all but the last say that more follow.
func (fs *FS) extents(n *node, t tree) error {
	r := n.record
	for k := 0; ; k++ {
		if r.size > 0 {
			n.runs = append(n.runs, piece{n.size, r.start(t.block), int64(r.size)})
			n.size += int64(r.size)
		}
		if r.flags&flagMore == 0 || r.dir() {
			break
		}
		if k == partsMost {
			n.damage = also(n.damage, fmt.Sprintf("range: it has more than %d extents: the rest is not given", partsMost))
			break
		}
		next, err := fs.record(n.after)
		if err == nil && next.length == 0 { // in the next sector
			next, err = fs.record((n.after + sector - 1) / sector * sector)
		}
		if err != nil {
			return err
		}
		if next.length == 0 || next.name != r.name || next.dir() {
			n.damage = also(n.damage, "truncated: the record of its next extent is missing")
			break
		}
		n.after, r = next.at+int64(next.length), next
	}
	missing := int64(0)
	for _, p := range n.runs {
		missing += max(0, min(p.n, p.off+p.n-fs.src.Size()))
	}
	if missing > 0 {
		n.damage = also(n.damage, fmt.Sprintf("truncated: %d of its bytes lie past the end of the image", missing))
	}
	return nil
}

// relocated makes of a record that stands for a directory that was moved away
// that directory: its own first record has its size and attributes.
func (fs *FS) relocated(n *node, t tree, spare *int64) error {
	n.kind, n.relinked = filesystem.TypeDir, true
	at := n.rock.child * t.block
	self, err := fs.record(at)
	if err != nil {
		return err
	}
	if self.length == 0 || !self.dir() || self.name != "\x00" {
		n.damage = also(n.damage, fmt.Sprintf("range: no directory stands at block %d, where it was moved to", n.rock.child))
		return nil
	}
	rock, err := fs.rock(self, t, spare)
	if err != nil {
		return err
	}
	rock.name, rock.hasName, rock.child, rock.moved = n.rock.name, n.rock.hasName, n.rock.child, false
	n.rock = rock
	n.flags |= flagDir
	n.when = self.when
	n.runs, n.size = []piece{{0, at, int64(self.size)}}, int64(self.size)
	if rest := at + n.size - fs.src.Size(); rest > 0 {
		n.damage = also(n.damage, fmt.Sprintf("truncated: %d of its bytes lie past the end of the image", min(rest, n.size)))
	}
	return nil
}

// kindOf is the type in a mode.
func kindOf(mode uint32) filesystem.Type {
	switch mode & 0o170000 {
	case 0o100000:
		return filesystem.TypeFile
	case 0o040000:
		return filesystem.TypeDir
	case 0o120000:
		return filesystem.TypeSymlink
	case 0o010000:
		return filesystem.TypeFIFO
	case 0o140000:
		return filesystem.TypeSocket
	case 0o020000:
		return filesystem.TypeChar
	case 0o060000:
		return filesystem.TypeBlock
	}
	return filesystem.TypeFile
}

// Size is the length in bytes.
func (c *Content) Size() int64 { return c.size }

// Damage is "" or what is wrong with the content, in the words of Entry.Damage.
func (c *Content) Damage() string { return c.damage }

// ReadAt reads the content; what the image does not have is zeros.
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
	i := sort.Search(len(c.runs), func(i int) bool { return c.runs[i].pos+c.runs[i].n > off })
	for done := 0; done < len(p); i++ {
		r, pos := c.runs[i], off+int64(done)
		n := min(int64(len(p)-done), r.pos+r.n-pos)
		if _, err := readZero(c.src, p[done:done+int(n)], r.off+pos-r.pos); err != nil {
			return done, err
		}
		done += int(n)
	}
	return len(p), eof
}
