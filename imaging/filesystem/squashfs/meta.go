package squashfs

import (
	"io"
	"sync"
)

const (
	pieceSize = 8192
	indexSize = 8 // of an entry of the index of a table
)

// cache keeps what was unpacked last, up to most bytes. It is safe for
// concurrent use. What it gives is not to be changed.
type cache struct {
	mu    sync.Mutex
	most  int
	held  int
	items map[key]unpacked
	order []key
}

// key is where something stored starts, and the length that named it: a forged
// image may name the same place with two.
type key struct {
	at   int64
	size uint32
}

// unpacked is a piece or a block, and where the next one starts.
type unpacked struct {
	data []byte
	next int64
}

func (c *cache) get(at key) (unpacked, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u, ok := c.items[at]
	return u, ok
}

func (c *cache) put(at key, u unpacked) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.items == nil {
		c.items = map[key]unpacked{}
	}
	if _, ok := c.items[at]; ok {
		return
	}
	c.items[at] = u
	c.order = append(c.order, at)
	for c.held += len(u.data); c.held > c.most && len(c.order) > 1; c.order = c.order[1:] {
		c.held -= len(c.items[c.order[0]].data)
		delete(c.items, c.order[0])
	}
}

// piece unpacks the piece of a table that starts at a byte of the image.
func (fs *FS) piece(at int64) (unpacked, error) {
	if u, ok := fs.pieces.get(key{at: at}); ok {
		return u, nil
	}
	b := make([]byte, 2+pieceSize)
	n, err := readAll(fs.src, b, at)
	if err != nil {
		return unpacked{}, err
	}
	if n < 2 {
		return unpacked{}, bad(at, "a piece of a table lies past the end of the image")
	}
	head := le.Uint16(b)
	size := int(head & 0x7fff)
	switch {
	case size == 0 || size > pieceSize:
		return unpacked{}, bad(at, "a piece of a table with %d bytes", size)
	case n < 2+size:
		return unpacked{}, bad(at, "a piece of a table is cut at %d of %d bytes", max(0, n-2), size)
	}
	u := unpacked{data: b[2 : 2+size], next: at + 2 + int64(size)}
	if head&0x8000 == 0 {
		out := make([]byte, pieceSize)
		n, err := fs.unpack(out, u.data)
		if err != nil {
			return unpacked{}, bad(at, "a piece of a table does not unpack: %v", err)
		}
		u.data = out[:n]
	}
	fs.pieces.put(key{at: at}, u)
	return u, nil
}

// cursor reads a table from a place on. It is for one goroutine.
type cursor struct {
	fs   *FS
	at   int64 // of the current piece
	end  int64 // of the table: no piece starts there or behind
	in   int   // in what it unpacks to
	left []byte
	next int64
	open bool
}

// cursor starts at the piece that is start bytes from the beginning of a table,
// and in bytes into it.
func (fs *FS) cursor(table, end, start uint64, in int) *cursor {
	at := table + start
	if at < table || at > end {
		at = end
	}
	return &cursor{fs: fs, at: int64(min(at, 1<<62)), end: int64(min(end, 1<<62)), in: in}
}

// read fills p. It is damage where the table ends before.
func (c *cursor) read(p []byte) error {
	for len(p) > 0 {
		if !c.open {
			if c.at >= c.end {
				return bad(c.at, "it goes on behind the end of its table")
			}
			u, err := c.fs.piece(c.at)
			if err != nil {
				return err
			}
			if c.in > len(u.data) {
				return bad(c.at, "byte %d of a piece of %d bytes", c.in, len(u.data))
			}
			c.left, c.next, c.open, c.in = u.data[c.in:], u.next, true, 0
		}
		n := copy(p, c.left)
		c.left, p = c.left[n:], p[n:]
		if len(p) > 0 {
			c.at, c.open = c.next, false
		}
	}
	return nil
}

// place is where the cursor stands: the piece and the byte in it, as inodes
// are named.
func (c *cursor) place(table uint64) (ref uint64, err error) {
	for !c.open || len(c.left) == 0 {
		if c.open {
			c.at, c.open = c.next, false
		}
		if c.at >= c.end {
			return 0, io.EOF
		}
		u, err := c.fs.piece(c.at)
		if err != nil {
			return 0, err
		}
		if len(u.data) == 0 {
			return 0, bad(c.at, "an empty piece of a table")
		}
		c.left, c.next, c.open, c.in = u.data, u.next, true, 0
	}
	u, err := c.fs.piece(c.at)
	if err != nil {
		return 0, err
	}
	return uint64(c.at-int64(table))<<16 | uint64(len(u.data)-len(c.left)), nil
}

// tableEntry reads entry number i, of len(b) bytes, of a table that has an
// index of its pieces. It never crosses a piece.
func (fs *FS) tableEntry(table, i uint64, b []byte) error {
	each := uint64(pieceSize / len(b))
	at := int64(min(table, 1<<61) + i/each*indexSize)
	p, ok := fs.pieces.get(key{at, indexSize})
	if !ok {
		p.data = make([]byte, indexSize)
		n, err := readAll(fs.src, p.data, at)
		if err != nil {
			return err
		}
		if n < indexSize || uint64(at)+indexSize > fs.sb.used {
			return bad(at, "the index of a table lies past the end of the image")
		}
		fs.pieces.put(key{at, indexSize}, p)
	}
	start := le.Uint64(p.data)
	if start >= fs.sb.used {
		return bad(at, "a table has a piece at byte %d of %d", start, fs.sb.used)
	}
	u, err := fs.piece(int64(start))
	if err != nil {
		return err
	}
	from := int(i%each) * len(b)
	if from+len(b) > len(u.data) {
		return bad(int64(start), "entry %d lies behind the end of its piece", i)
	}
	copy(b, u.data[from:])
	return nil
}
