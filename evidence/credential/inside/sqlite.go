package inside

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The database file format is described at
// https://www.sqlite.org/fileformat2.html.
const (
	sqliteHead    = 100
	sqliteHeld    = 32 << 20 // of a database inside a container
	sqlitePayload = 64 << 20
	leafTable     = 0x0d
	leafIndex     = 0x0a
	innerIndex    = 0x02
)

// sqlite puts the payloads together that are spread over overflow pages.
func (d *Decoder) sqlite(f *flow, path, mark string, depth int) {
	if path == "" {
		d.database(&database{ReaderAt: d.src, size: d.src.Size()}, path, mark, depth)
		return
	}
	b, err := io.ReadAll(io.LimitReader(f, sqliteHeld+1))
	if err != nil {
		d.damage(path, int64(len(b)), err)
	}
	if len(b) > sqliteHeld {
		d.damage(path, sqliteHeld, fmt.Errorf("a database of more than %d bytes inside a container: its overflow pages are not put together", sqliteHeld))
		rest := &flow{Reader: d.free.reader(io.MultiReader(bytes.NewReader(b), f)), in: f.in, plain: f.plain}
		d.leaf(rest, path, maxDepth)
		d.free.keepReader(rest.Reader)
		return
	}
	d.take.Whole(path, f.plain, b)
	d.database(&database{ReaderAt: bytes.NewReader(b), size: int64(len(b))}, path, mark, depth)
}

// database is where pages are read from.
type database struct {
	io.ReaderAt
	size   int64
	page   int64 // bytes
	usable int   // bytes of a page, without what is reserved
	spent  int64 // bytes of payloads so far
}

func (d *Decoder) database(db *database, path, mark string, depth int) {
	var h [sqliteHead]byte
	if _, err := db.ReadAt(h[:], 0); err != nil {
		d.damage(path, 0, fmt.Errorf("sqlite: the header is cut off: %w", cut(err)))
		return
	}
	page, reserved := pageSize(h[:])
	db.page, db.usable = int64(page), page-reserved
	if !sqliteHeader(h[:]) {
		d.damage(path, 16, errors.New("sqlite: the header is not what it was"))
		return
	}
	b := make([]byte, db.page)
	for n := int64(1); n <= db.size/db.page && d.stopped() == nil; n++ {
		if path == "" {
			d.stop(d.budget.Spend(db.page))
		}
		if _, err := db.ReadAt(b, (n-1)*db.page); err != nil && !errors.Is(err, io.EOF) {
			d.damage(path, (n-1)*db.page, err)
			continue
		}
		if err := d.cells(db, b, n, path, mark, depth); err != nil {
			d.damage(path, (n-1)*db.page, err)
			return
		}
	}
}

// pageSize is the size of pages, and how much at the end of each is reserved.
func pageSize(h []byte) (page, reserved int) {
	if page = int(binary.BigEndian.Uint16(h[16:])); page == 1 {
		page = 65536
	}
	return page, int(h[20])
}

// cells gives the payloads of one page that go on elsewhere.
func (d *Decoder) cells(db *database, b []byte, page int64, path, mark string, depth int) error {
	h := b
	if page == 1 {
		h = b[sqliteHead:]
	}
	kind, head := h[0], 8
	switch kind {
	case innerIndex:
		head = 12
	case leafTable, leafIndex:
	default:
		return nil
	}
	count := int(binary.BigEndian.Uint16(h[3:]))
	for i := range min(count, (len(h)-head)/2) {
		at := int(binary.BigEndian.Uint16(h[head+2*i:]))
		local, first, size := db.cell(b, kind, at)
		if size == 0 {
			continue
		}
		if db.spent += size; db.spent > 2*db.size {
			return errors.New("sqlite: the payloads are more than twice the file: not read further")
		}
		name := fmt.Sprintf("%spage-%d-cell-%d", mark, page, i)
		chain := &overflow{db: db, rest: local, next: first, left: size}
		d.chain(chain, name, depth)
		if chain.err != nil {
			d.damage(path, (page-1)*db.page+int64(at), chain.err)
		}
	}
	return nil
}

// cell reads the cell at byte at of a page: the part of its payload that lies
// there, the number of its first overflow page, and the length of the payload,
// 0 when it lies there whole or makes no sense.
func (db *database) cell(b []byte, kind byte, at int) (local []byte, first uint32, size int64) {
	if kind == innerIndex {
		at += 4
	}
	if at <= 0 || at >= db.usable {
		return nil, 0, 0
	}
	p, n := bigVarint(b[at:db.usable])
	at += n
	most := (db.usable-12)*64/255 - 23
	if kind == leafTable {
		_, n := bigVarint(b[at:db.usable])
		at, most = at+n, db.usable-35
	}
	if p <= uint64(most) || p > sqlitePayload { //nolint:gosec // not negative
		return nil, 0, 0
	}
	least := (db.usable-12)*32/255 - 23
	k := least + (int(p)-least)%(db.usable-4)
	if k > most {
		k = least
	}
	if at+k+4 > db.usable {
		return nil, 0, 0
	}
	return b[at : at+k], binary.BigEndian.Uint32(b[at+k:]), int64(p) //nolint:gosec // bounded
}

// bigVarint reads a number of up to nine bytes, high ones first.
func bigVarint(b []byte) (v uint64, n int) {
	for n < len(b) && n < 8 {
		c := b[n]
		n++
		v = v<<7 | uint64(c&0x7f)
		if c < 0x80 {
			return v, n
		}
	}
	if n < len(b) && n == 8 {
		return v<<8 | uint64(b[8]), 9
	}
	return v, n
}

// overflow reads a payload along its pages.
type overflow struct {
	db   *database
	rest []byte
	next uint32
	left int64
	read int64
	page []byte
	err  error // the chain is broken
}

func (o *overflow) count() int64 { return o.read }

func (o *overflow) Read(p []byte) (int, error) {
	for len(o.rest) == 0 {
		if o.left == 0 || o.err != nil {
			return 0, io.EOF
		}
		o.turn()
	}
	n := copy(p, o.rest[:min(int64(len(o.rest)), o.left)])
	o.rest, o.left, o.read = o.rest[n:], o.left-int64(n), o.read+int64(n)
	if o.left == 0 {
		o.rest = nil
	}
	return n, nil
}

// turn reads the next page of the chain.
func (o *overflow) turn() {
	at := (int64(o.next) - 1) * o.db.page
	if o.next == 0 || at+o.db.page > o.db.size {
		o.err = fmt.Errorf("sqlite: an overflow page %d that the file does not have, %d bytes before the end of a payload", o.next, o.left)
		return
	}
	if o.page == nil {
		o.page = make([]byte, o.db.usable)
	}
	if _, err := o.db.ReadAt(o.page, at); err != nil && !errors.Is(err, io.EOF) {
		o.err = err
		return
	}
	o.next, o.rest = binary.BigEndian.Uint32(o.page), o.page[4:]
}

// chain decodes a payload.
func (d *Decoder) chain(o *overflow, name string, depth int) {
	in := d.decoded(o, o)
	defer d.free.keepReader(in.Reader)
	d.guarded(name, func() { d.leaf(in, name, depth) })
}
