package store

import (
	"bufio"
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// spill sorts records of bytes in flat memory: what does not fit is sorted in
// runs on a file that has no name, and merged from there.
type spill struct {
	compare func(a, b []byte) int
	dir     string
	limit   int // bytes of a run

	buf  []byte
	at   []uint32 // where the records of buf begin, at their length
	file *os.File
	runs []run
	end  int64 // of file
}

type run struct{ from, to int64 }

const spillBytes = 32 << 20

// newSpill makes a sorter; its file, if it needs one, lies in dir.
func newSpill(dir string, compare func(a, b []byte) int) *spill {
	return &spill{compare: compare, dir: dir, limit: spillBytes}
}

func (s *spill) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// add takes a copy of a record.
func (s *spill) add(rec []byte) error {
	if len(s.buf) > 0 && len(s.buf)+len(rec)+4 > s.limit {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.at = append(s.at, uint32(len(s.buf))) //nolint:gosec // below limit, or one record
	s.buf = binary.LittleEndian.AppendUint32(s.buf, uint32(len(rec)))
	s.buf = append(s.buf, rec...)
	return nil
}

func (s *spill) record(at uint32) []byte {
	n := binary.LittleEndian.Uint32(s.buf[at:])
	return s.buf[at+4:][:n]
}

// sort orders what is in memory, halves at once.
func (s *spill) sort() {
	by := func(a, b uint32) int {
		if c := s.compare(s.record(a), s.record(b)); c != 0 {
			return c
		}
		return int(int64(a) - int64(b)) // as they came
	}
	half := len(s.at) / 2
	var wg sync.WaitGroup
	wg.Go(func() { slices.SortFunc(s.at[:half], by) })
	slices.SortFunc(s.at[half:], by)
	wg.Wait()
	if half == 0 || by(s.at[half-1], s.at[half]) < 0 {
		return
	}
	out := make([]uint32, 0, len(s.at))
	a, b := s.at[:half], s.at[half:]
	for len(a) > 0 && len(b) > 0 {
		if by(a[0], b[0]) < 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	s.at = append(append(out, a...), b...)
}

// flush writes what is in memory as a run.
func (s *spill) flush() error {
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
	s.sort()
	w := bufio.NewWriterSize(s.file, 1<<20)
	for _, at := range s.at {
		if _, err := w.Write(s.buf[at:][:4+len(s.record(at))]); err != nil {
			return fmt.Errorf("sort on disk in %s: %w", filepath.Dir(s.file.Name()), err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("sort on disk in %s: %w", filepath.Dir(s.file.Name()), err)
	}
	s.runs = append(s.runs, run{s.end, s.end + int64(len(s.buf))})
	s.end += int64(len(s.buf))
	s.buf, s.at = s.buf[:0], s.at[:0]
	return nil
}

// each calls f for every record in order; equal ones come as they were added.
// The bytes are f's until it returns.
func (s *spill) each(ctx context.Context, f func(rec []byte) error) error {
	if len(s.runs) == 0 {
		s.sort()
		for i, at := range s.at {
			if i%4096 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if err := f(s.record(at)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	s.buf, s.at = nil, nil
	m := &runs{compare: s.compare}
	for i, r := range s.runs {
		c := &runReader{n: i, r: bufio.NewReaderSize(io.NewSectionReader(s.file, r.from, r.to-r.from), 128<<10)}
		if err := c.next(); errors.Is(err, io.EOF) {
			continue
		} else if err != nil {
			return fmt.Errorf("sort: %w", err)
		}
		m.all = append(m.all, c)
	}
	heap.Init(m)
	for n := 0; len(m.all) > 0; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		c := m.all[0]
		if err := f(c.rec); err != nil {
			return err
		}
		switch err := c.next(); {
		case errors.Is(err, io.EOF):
			heap.Pop(m)
		case err != nil:
			return fmt.Errorf("sort: %w", err)
		default:
			heap.Fix(m, 0)
		}
	}
	return nil
}

// runReader reads one run.
type runReader struct {
	n   int
	r   *bufio.Reader
	rec []byte
}

func (c *runReader) next() error {
	var size [4]byte
	if _, err := io.ReadFull(c.r, size[:]); err != nil {
		return err
	}
	n := int(binary.LittleEndian.Uint32(size[:]))
	c.rec = slices.Grow(c.rec[:0], n)[:n]
	_, err := io.ReadFull(c.r, c.rec)
	return err
}

// runs is a heap of runs by their next records.
type runs struct {
	compare func(a, b []byte) int
	all     []*runReader
}

func (m *runs) Len() int { return len(m.all) }
func (m *runs) Less(i, j int) bool {
	c := m.compare(m.all[i].rec, m.all[j].rec)
	return c < 0 || c == 0 && m.all[i].n < m.all[j].n
}
func (m *runs) Swap(i, j int) { m.all[i], m.all[j] = m.all[j], m.all[i] }
func (m *runs) Push(x any)    { m.all = append(m.all, x.(*runReader)) } //nolint:forcetypeassert // heap.Interface
func (m *runs) Pop() any {
	last := m.all[len(m.all)-1]
	m.all = m.all[:len(m.all)-1]
	return last
}
