package store

import (
	"bufio"
	"database/sql"
	"encoding/binary"
	"errors"
	"os"
	"sync"
)

// rowFile writes rows of tables into a database file of SQLite, without
// SQLite: rows whose numbers ascend fill the pages of a table's tree from left
// to right, and the pages above them follow. SQLite then copies such a table
// into an empty or a growing one page by page, in a quarter of the time that
// inserting the rows takes.
//
// The format is https://www.sqlite.org/fileformat2.html: a database header and
// the schema in page 1; behind it, for each table, its leaves (§1.6, type 13)
// and its inner pages (type 5), level by level, the root last. Each row is a
// record (§2.1): the length of its header, a serial type for each column, the
// values. Rows that do not fit into a page are not taken. Nothing here outlives
// the load: SQLite reads the file once.
//
// Several tables can be filled at the same time: their pages lie mixed.
type rowFile struct {
	f      *os.File
	mu     sync.Mutex
	w      *bufio.Writer
	pages  uint32 // that were written, page 1 included
	schema [][]byte
}

const rowPage = 32 << 10

func newRowFile(path string) (*rowFile, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	r := &rowFile{f: f, w: bufio.NewWriterSize(f, 1<<20), pages: 1}
	if _, err := r.w.Write(make([]byte, rowPage)); err != nil { // page 1 is written at the end
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

func (r *rowFile) page(b []byte) (uint32, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pages++
	_, err := r.w.Write(b)
	return r.pages, err
}

// rowTable is one table of a rowFile while it is filled.
type rowTable struct {
	r         *rowFile
	name, sql string
	leaf      leafPage
	children  []treeChild
	head      []byte
	body      []byte
	cell      []byte
}

// treeChild is a page with the number of its last row.
type treeChild struct {
	page uint32
	last int64
}

// table begins a table; sql is the statement that makes it.
func (r *rowFile) table(name, sql string) *rowTable {
	t := &rowTable{r: r, name: name, sql: sql}
	t.leaf.reset(0)
	return t
}

// add takes a row: a NULL for the column that is the row's number, if there is
// one, then integers, then blobs (nil: NULL). It says false, and takes
// nothing, when the row does not fit into a page.
func (t *rowTable) add(id int64, numbered bool, numbers []sql.NullInt64, blobs ...[]byte) (bool, error) {
	t.record(numbered, numbers, blobs)
	if len(t.cell) > rowPage-100 {
		return false, nil
	}
	t.head = binaryVarint(t.head[:0], uint64(len(t.cell)))
	t.head = binaryVarint(t.head, uint64(id)) //nolint:gosec // two's complement
	if !t.leaf.fits(len(t.head) + len(t.cell)) {
		if err := t.flush(); err != nil {
			return false, err
		}
	}
	t.leaf.add(id, t.head, t.cell)
	return true, nil
}

// record makes the payload of a row in t.cell.
func (t *rowTable) record(numbered bool, numbers []sql.NullInt64, blobs [][]byte) {
	head, body := t.head[:0], t.body[:0]
	if numbered {
		head = append(head, 0)
	}
	for _, n := range numbers {
		if !n.Valid {
			head = append(head, 0)
			continue
		}
		v := n.Int64
		switch {
		case v == 0 || v == 1:
			head = append(head, byte(8+v))
		case v == int64(int8(v)):
			head, body = append(head, 1), append(body, byte(v))
		case v == int64(int16(v)):
			head, body = append(head, 2), append(body, byte(v>>8), byte(v))
		case v<<40>>40 == v:
			head, body = append(head, 3), append(body, byte(v>>16), byte(v>>8), byte(v))
		case v == int64(int32(v)):
			head, body = append(head, 4), append(body, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
		case v<<16>>16 == v:
			head, body = append(head, 5), append(body, byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
		default:
			head, body = append(head, 6), binary.BigEndian.AppendUint64(body, uint64(v)) //nolint:gosec // two's complement
		}
	}
	for _, b := range blobs {
		if b == nil {
			head = append(head, 0)
			continue
		}
		head, body = binaryVarint(head, uint64(len(b))*2+12), append(body, b...)
	}
	size := len(head) + 1
	if size > 127 {
		size++ // the length of the header is two bytes
	}
	t.cell = binaryVarint(t.cell[:0], uint64(size)) //nolint:gosec // not negative
	t.cell = append(append(t.cell, head...), body...)
	t.head, t.body = head, body
}

// binaryVarint appends n as SQLite writes it: 7 bits a byte, the highest
// first, and 8 in the ninth.
func binaryVarint(b []byte, n uint64) []byte {
	if n < 0x80 {
		return append(b, byte(n))
	}
	var t [9]byte
	if n>>56 != 0 {
		t[8] = byte(n)
		n >>= 8
		for i := 7; i >= 0; i-- {
			t[i] = byte(n) | 0x80
			n >>= 7
		}
		return append(b, t[:]...)
	}
	i := 8
	t[i] = byte(n & 0x7f)
	for n >>= 7; n > 0; n >>= 7 {
		i--
		t[i] = byte(n) | 0x80
	}
	return append(b, t[i:]...)
}

func (t *rowTable) flush() error {
	n, err := t.r.page(t.leaf.close(0))
	t.children = append(t.children, treeChild{n, t.leaf.last})
	t.leaf.reset(0)
	return err
}

// end writes what is left of the table, and the pages above its leaves.
func (t *rowTable) end() error {
	if err := t.flush(); err != nil {
		return err
	}
	level := t.children
	for len(level) > 1 {
		var above []treeChild
		groups := (len(level) + innerChildren - 1) / innerChildren
		for g := range groups {
			some := level[len(level)*g/groups : len(level)*(g+1)/groups]
			n, err := t.r.page(innerPage(some))
			if err != nil {
				return err
			}
			above = append(above, treeChild{n, some[len(some)-1].last})
		}
		level = above
	}
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	t.r.schema = append(t.r.schema, schemaRow(t.name, level[0].page, t.sql))
	return nil
}

// innerChildren is how many children an inner page surely has room for.
const innerChildren = (rowPage - 12) / (2 + 4 + 9)

func innerPage(children []treeChild) []byte {
	b := make([]byte, rowPage)
	at := rowPage
	n := len(children) - 1
	var cell []byte
	for i, c := range children[:n] {
		cell = binaryVarint(binary.BigEndian.AppendUint32(cell[:0], c.page), uint64(c.last)) //nolint:gosec // two's complement
		at -= len(cell)
		copy(b[at:], cell)
		binary.BigEndian.PutUint16(b[12+2*i:], uint16(at)) //nolint:gosec // within a page
	}
	b[0] = 5
	binary.BigEndian.PutUint16(b[3:], uint16(n))  //nolint:gosec // within a page
	binary.BigEndian.PutUint16(b[5:], uint16(at)) //nolint:gosec // within a page
	binary.BigEndian.PutUint32(b[8:], children[n].page)
	return b
}

// leafPage is a leaf while it is filled: pointers from the front, cells from
// the back.
type leafPage struct {
	b    [rowPage]byte
	at   int // of the cell that was put last
	n    int
	skip int // bytes before the page's own header
	last int64
}

func (l *leafPage) reset(skip int) { l.at, l.n, l.skip = rowPage, 0, skip }

func (l *leafPage) fits(size int) bool { return l.skip+8+2*(l.n+1)+size <= l.at }

func (l *leafPage) add(id int64, head, cell []byte) {
	l.at -= len(cell)
	copy(l.b[l.at:], cell)
	l.at -= len(head)
	copy(l.b[l.at:], head)
	binary.BigEndian.PutUint16(l.b[l.skip+8+2*l.n:], uint16(l.at)) //nolint:gosec // within a page
	l.n++
	l.last = id
}

// close completes the page; what lies between pointers and cells is zeros.
func (l *leafPage) close(skip int) []byte {
	clear(l.b[skip+8+2*l.n : l.at])
	h := l.b[skip : skip+8]
	h[0], h[1], h[2], h[7] = 13, 0, 0, 0
	binary.BigEndian.PutUint16(h[3:], uint16(l.n))  //nolint:gosec // within a page
	binary.BigEndian.PutUint16(h[5:], uint16(l.at)) //nolint:gosec // within a page
	return l.b[:]
}

// schemaRow is the record of a table in the schema: type, name, table, root,
// statement.
func schemaRow(name string, root uint32, sql string) []byte {
	var head, body []byte
	for _, s := range []string{"table", name, name} {
		head, body = binaryVarint(head, uint64(len(s))*2+13), append(body, s...)
	}
	head, body = append(head, 4), binary.BigEndian.AppendUint32(body, root)
	head, body = binaryVarint(head, uint64(len(sql))*2+13), append(body, sql...)
	return append(append([]byte{byte(len(head) + 1)}, head...), body...)
}

// end writes page 1 and closes the file.
func (r *rowFile) end() error {
	var l leafPage
	l.reset(100)
	for i, row := range r.schema {
		head := binaryVarint(binaryVarint(nil, uint64(len(row))), uint64(i+1)) //nolint:gosec // a few tables
		if !l.fits(len(head) + len(row)) {
			return errors.Join(errors.New("write rows: the schema does not fit"), r.f.Close())
		}
		l.add(int64(i+1), head, row)
	}
	b := l.close(100)
	copy(b, "SQLite format 3\x00")
	be := binary.BigEndian
	be.PutUint16(b[16:], rowPage)
	b[18], b[19] = 1, 1              // no write-ahead log
	b[21], b[22], b[23] = 64, 32, 32 // fixed by the format
	be.PutUint32(b[24:], 1)          // change counter
	be.PutUint32(b[28:], r.pages)
	be.PutUint32(b[40:], 1) // schema cookie
	be.PutUint32(b[44:], 4) // schema format
	be.PutUint32(b[56:], 1) // UTF-8
	be.PutUint32(b[92:], 1) // the change counter that the size is of
	be.PutUint32(b[96:], 3_040_000)
	err := r.w.Flush()
	if err == nil {
		_, err = r.f.WriteAt(b, 0)
	}
	return errors.Join(err, r.f.Close())
}
