package acquire

import (
	"context"
	"errors"

	"snapcase/evidence"

	"golang.org/x/sync/errgroup"
)

// sparse is a source that knows where it has bytes at all.
type sparse interface {
	// NextData gives the first range at or behind off that is not known to be
	// zeros; start is Size where there is none.
	NextData(off int64) (start, end int64)
}

// read reads all blocks: those that are on disk already from there, the others
// from the source, some at once where the source is a service.
func (m *imager) read(ctx context.Context) error {
	defer func() {
		close(m.work)
		for _, c := range m.ordered {
			close(c)
		}
	}()
	readers, reading := errgroup.WithContext(ctx)
	todo := make(chan *block)
	for range m.readers {
		readers.Go(func() error {
			for b := range todo {
				if err := m.fill(reading, b); err != nil {
					return err
				}
				m.pass(b)
			}
			return nil
		})
	}
	given := m.give(reading, todo)
	close(todo)
	if err := readers.Wait(); err != nil {
		return err
	}
	return given
}

// give hands out the blocks in order: to read, or as they are.
func (m *imager) give(ctx context.Context, todo chan<- *block) error {
	for n, off := int64(0), int64(0); off < m.size; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m.begun <- struct{}{}:
		}
		b, err := m.blank(ctx)
		if err != nil {
			return err
		}
		b.n, b.off, b.zeros, b.data, b.errs, b.summed = n, off, m.zerosAt(off), b.buf[:min(m.block, m.size-off)], nil, false
		b.sum, b.parts = evidence.Digest{}, nil
		n, off = n+max(1, b.zeros), off+b.length()
		if b.kept, err = m.kept.load(m.out, b); err != nil {
			return err
		}
		b.over = !b.kept && b.off < m.kept.end
		if b.kept || b.zeros > 0 {
			m.pass(b)
			continue
		}
		if m.unsaid != nil {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case m.unsaid <- struct{}{}:
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case todo <- b:
		}
	}
	return nil
}

// blank waits for a block that is free.
func (m *imager) blank(ctx context.Context) (*block, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case b := <-m.free:
		return b, ctx.Err()
	}
}

// zerosAt is how many whole blocks from off the source knows to be zeros, as
// many as one line of the journal may stand for.
func (m *imager) zerosAt(off int64) int64 {
	s, ok := m.src.(sparse)
	if !ok || m.pack != nil || m.kept.part > 0 { // a packed copy has no holes, and zeros no parts
		return 0
	}
	start, _ := s.NextData(off)
	return max(0, min(min(start, m.size)-off, runBytes)/m.block)
}

// fill reads a block from the source.
func (m *imager) fill(ctx context.Context, b *block) error {
	d := &damage{src: m.src}
	var c *checking
	if s, ok := m.src.(summing); ok {
		c = &checking{src: s}
		d.src = c
	}
	if err := d.read(ctx, b.data, b.off); err != nil {
		return err
	}
	b.errs = append(d.errors, gapsIn(m.src, b.off, b.length())...)
	if b.summed = c != nil && c.sum != nil && len(b.errs) == 0; b.summed {
		b.sum = *c.sum
	}
	return nil
}

// summing is a source that had to hash what it gives.
type summing interface {
	// ReadBlock is ReadAt. sum is the SHA-256 of p as it lies in memory, where
	// all of it was read and hashed; else it is nil.
	ReadBlock(p []byte, off int64) (n int, sum *evidence.Digest, err error)
}

// checking keeps the digest of the last read.
type checking struct {
	src summing
	sum *evidence.Digest
}

func (c *checking) ReadAt(p []byte, off int64) (n int, err error) {
	n, c.sum, err = c.src.ReadBlock(p, off)
	return n, err
}

// pass gives a block to the stages: to the workers at once, to the hashes when
// its turn has come.
func (m *imager) pass(b *block) {
	b.left.Store(int32(1 + len(m.ordered))) //nolint:gosec // a handful
	if m.pack != nil {
		b.left.Add(1) // the one that appends it
	}
	m.work <- b // has room for every block there is, as the others
	m.turn.Lock()
	defer m.turn.Unlock()
	m.early[b.n] = b
	for b, ok := m.early[m.next]; ok; b, ok = m.early[m.next] {
		delete(m.early, m.next)
		m.next += max(1, b.zeros)
		for _, c := range m.ordered {
			c <- b
		}
	}
}

// errNotZero says that a place of the copy that must be a hole has bytes.
var errNotZero = errors.New("something wrote into the copy")
