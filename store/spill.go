package store

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// The sizes of a sorter. What it holds in memory is at most spillKept+2 full
// buffers with 16 bytes a record, two once there were more, and while it merges
// spillRead for all files.
const (
	spillBuffer = 4 << 20 // bytes of records that are sorted at once
	spillKept   = 6       // of keep
	spillRead   = 8 << 20 // bytes of read buffers, of all runs on disk together
)

// sorter gives records back in the order of the bytes of their keys; records
// with equal keys come in the order in which they were added. What does not
// fit into memory lies in a file that has no name any more, so that nothing
// stays behind whatever happens. It is for one goroutine.
type sorter struct {
	dir   string
	limit int // bytes of one buffer
	each  int // bytes of a record, about
	keep  int // sorted buffers that stay in memory while there are no more
	cur   *spillRun
	kept  []*spillRun // in the order in which they were filled, as disk
	spare *spillRun
	file  *os.File
	end   int64
	disk  [][2]int64 // from, to; before kept
	busy  chan error // of the goroutine that sorts; nil where none does
}

// spillRun is records in memory: uvarint length of the key, key, uvarint
// length of the value, value.
type spillRun struct {
	b  []byte
	at []spillItem
}

type spillItem struct {
	head uint64 // first eight bytes of the key, big endian
	off  uint32
}

func newSorter(dir string) *sorter {
	return &sorter{dir: dir, limit: spillBuffer, each: 64, keep: spillKept}
}

// add takes a record; key and value are copied.
func (s *sorter) add(key, value []byte) error {
	if len(key)+len(value) > math.MaxInt32 {
		return fmt.Errorf("sort: a record of %d bytes", len(key)+len(value))
	}
	if s.cur == nil {
		s.cur = s.fresh()
	}
	if len(s.cur.b) > 0 && len(s.cur.b)+len(key)+len(value)+10 > s.limit {
		if err := s.flush(); err != nil {
			return err
		}
	}
	r := s.cur
	r.at = append(r.at, spillItem{headAt(key), uint32(len(r.b))}) //nolint:gosec // below limit
	r.b = append(binary.AppendUvarint(r.b, uint64(len(key))), key...)
	r.b = append(binary.AppendUvarint(r.b, uint64(len(value))), value...)
	return nil
}

func (r *spillRun) key(off uint32) []byte {
	n, k := binary.Uvarint(r.b[off:])
	return r.b[int(off)+k:][:n] //nolint:gosec // written by add
}

// sort orders the records of a run. Most keys begin alike, as paths do: only
// what is equal in the eight bytes of head is looked at again, with the next
// eight, so that few keys are read more than once.
func (r *spillRun) sort() { r.sortBehind(r.at, 0) }

// sortBehind orders records whose keys are equal before depth; head is the
// eight bytes there.
func (r *spillRun) sortBehind(at []spillItem, depth int) {
	byHead(at)
	for i := 0; i < len(at); {
		j := i + 1
		for j < len(at) && at[j].head == at[i].head {
			j++
		}
		if j > i+1 {
			r.sortEqual(at[i:j], depth+8)
		}
		i = j
	}
}

// byHead orders by head, and what has the same by when it was added.
func byHead(at []spillItem) {
	slices.SortFunc(at, func(a, b spillItem) int {
		if a.head != b.head {
			return cmp.Compare(a.head, b.head)
		}
		return cmp.Compare(a.off, b.off)
	})
}

// sortEqual orders records whose keys are equal before depth, or end there
// with zeros in their place: those come first, the shorter before the longer.
func (r *spillRun) sortEqual(at []spillItem, depth int) {
	ended := 0
	for i, it := range at {
		key := r.key(it.off)
		if len(key) > depth {
			at[i].head = headAt(key[depth:])
			continue
		}
		at[i], at[ended] = at[ended], spillItem{uint64(len(key)), it.off}
		ended++
	}
	byHead(at[:ended])
	r.sortBehind(at[ended:], depth)
}

// headAt is the first eight bytes of b as a number that orders as they do;
// zeros stand for what is missing.
func headAt(b []byte) uint64 {
	if len(b) >= 8 {
		return binary.BigEndian.Uint64(b)
	}
	var head [8]byte
	copy(head[:], b)
	return binary.BigEndian.Uint64(head[:])
}

// fresh is an empty buffer, whole at once: what is not used of it costs
// nothing, growing does.
func (s *sorter) fresh() *spillRun {
	r := s.spare
	if s.spare = nil; r == nil {
		return &spillRun{b: make([]byte, 0, s.limit), at: make([]spillItem, 0, s.limit/s.each)}
	}
	r.b, r.at = r.b[:0], r.at[:0]
	return r
}

// flush gives the full buffer to a goroutine that sorts it. Once there are too
// many of them to keep, it writes them to the file, and from then on each.
func (s *sorter) flush() error {
	if err := s.wait(); err != nil {
		return err
	}
	full := s.cur
	s.cur = s.fresh()
	s.kept = append(s.kept, full)
	done := make(chan error, 1)
	s.busy = done
	go func() {
		full.sort()
		if len(s.kept) <= s.keep && len(s.disk) == 0 {
			done <- nil
			return
		}
		for _, r := range s.kept {
			if err := s.write(r); err != nil {
				done <- err
				return
			}
		}
		s.kept, s.spare = s.kept[:0], full
		clear(s.kept[:cap(s.kept)])
		done <- nil
	}()
	return nil
}

func (s *sorter) wait() error {
	if s.busy == nil {
		return nil
	}
	err := <-s.busy
	s.busy = nil
	return err
}

// write appends a sorted buffer to the file.
func (s *sorter) write(r *spillRun) error {
	if s.file == nil {
		f, err := os.CreateTemp(s.dir, ".snapcase-sort-*")
		if err != nil {
			return fmt.Errorf("sort: %w", err)
		}
		s.file = f
		if err := os.Remove(f.Name()); err != nil {
			return fmt.Errorf("sort: %w", err)
		}
	}
	w := bufio.NewWriterSize(io.NewOffsetWriter(s.file, s.end), 256<<10)
	from := s.end
	for _, it := range r.at {
		n, k := binary.Uvarint(r.b[it.off:])
		v := int(it.off) + k + int(n) //nolint:gosec // written by add
		m, j := binary.Uvarint(r.b[v:])
		end := v + j + int(m) //nolint:gosec // as above
		if _, err := w.Write(r.b[it.off:end]); err != nil {
			return fmt.Errorf("sort: %w", err)
		}
		s.end += int64(end) - int64(it.off)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("sort: %w", err)
	}
	s.disk = append(s.disk, [2]int64{from, s.end})
	return nil
}

// close gives the file and the memory back. The sorter must not be used after
// it; it may be closed again.
func (s *sorter) close() error {
	err := s.wait()
	s.cur, s.kept, s.spare = nil, nil, nil
	if s.file != nil {
		err = errors.Join(err, s.file.Close())
		s.file = nil
	}
	return err
}

// record is what a sorter gives; its bytes hold until the next one.
type record struct{ key, value []byte }

// sorted gives all records, in order, once.
func (s *sorter) sorted() iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		if err := s.wait(); err != nil {
			yield(record{}, err)
			return
		}
		m, err := s.merge()
		if err != nil {
			yield(record{}, err)
			return
		}
		for len(m) > 0 {
			if !yield(m[0].rec, nil) {
				return
			}
			if err := m.advance(); err != nil {
				yield(record{}, err)
				return
			}
		}
	}
}

func (s *sorter) merge() (spillHeap, error) {
	var m spillHeap
	add := func(c *spillCursor) error {
		c.n = len(m)
		ok, err := c.next()
		if ok {
			m = append(m, c)
		}
		return err
	}
	size := spillRead
	if len(s.disk) > 0 {
		size = max(4096, spillRead/len(s.disk))
	}
	for _, d := range s.disk {
		if err := add(&spillCursor{file: bufio.NewReaderSize(io.NewSectionReader(s.file, d[0], d[1]-d[0]), size)}); err != nil {
			return nil, err
		}
	}
	for _, r := range s.kept {
		if err := add(&spillCursor{run: r}); err != nil {
			return nil, err
		}
	}
	if s.cur != nil {
		s.cur.sort()
		if err := add(&spillCursor{run: s.cur}); err != nil {
			return nil, err
		}
	}
	for i := len(m)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	return m, nil
}

// spillCursor reads one run.
type spillCursor struct {
	n    int // order among runs
	rec  record
	run  *spillRun // in memory
	i    int
	file *bufio.Reader
	buf  []byte
}

func (c *spillCursor) next() (bool, error) {
	if c.run != nil {
		if c.i == len(c.run.at) {
			return false, nil
		}
		off := c.run.at[c.i].off
		c.i++
		c.rec.key = c.run.key(off)
		n, k := binary.Uvarint(c.run.b[off:])
		v := int(off) + k + int(n) //nolint:gosec // written by add
		m, j := binary.Uvarint(c.run.b[v:])
		c.rec.value = c.run.b[v+j:][:m]
		return true, nil
	}
	n, err := binary.ReadUvarint(c.file)
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("sort: %w", err)
	}
	c.buf = slices.Grow(c.buf[:0], int(n))[:n] //nolint:gosec // written by add
	if _, err := io.ReadFull(c.file, c.buf); err != nil {
		return false, fmt.Errorf("sort: %w", err)
	}
	m, err := binary.ReadUvarint(c.file)
	if err != nil {
		return false, fmt.Errorf("sort: %w", err)
	}
	c.buf = slices.Grow(c.buf, int(m))[:n+m] //nolint:gosec // as above
	if _, err := io.ReadFull(c.file, c.buf[n:]); err != nil {
		return false, fmt.Errorf("sort: %w", err)
	}
	c.rec = record{c.buf[:n], c.buf[n:]}
	return true, nil
}

// spillHeap has the run with the next record first.
type spillHeap []*spillCursor

func (h spillHeap) less(i, j int) bool {
	return cmp.Or(bytes.Compare(h[i].rec.key, h[j].rec.key), cmp.Compare(h[i].n, h[j].n)) < 0
}

func (h spillHeap) down(i int) {
	for {
		l := 2*i + 1
		if l >= len(h) {
			return
		}
		if r := l + 1; r < len(h) && h.less(r, l) {
			l = r
		}
		if !h.less(l, i) {
			return
		}
		h[i], h[l] = h[l], h[i]
		i = l
	}
}

// advance passes the first record.
func (h *spillHeap) advance() error {
	ok, err := (*h)[0].next()
	if err != nil {
		return err
	}
	if !ok {
		last := len(*h) - 1
		(*h)[0] = (*h)[last]
		*h = (*h)[:last]
	}
	h.down(0)
	return nil
}

// spillDir is where what does not fit into memory is put: beside the index,
// which will hold the same.
func (c *Case) spillDir() string { return filepath.Dir(c.indexPath()) }
