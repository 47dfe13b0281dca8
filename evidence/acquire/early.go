package acquire

import (
	"container/list"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"

	"snapcase/evidence"
)

const (
	earlyCache = 64 << 20 // bytes of blocks that were asked for last
	earlyAhead = 16       // blocks that are fetched behind one that a sequential reader asked for
	earlySlots = 16       // of those, at once
)

// Early is an image that is being acquired, to be read before it is whole. What
// is asked for and is not here yet is fetched before what the acquisition would
// read next, kept, and not fetched again. Every byte that it gives belongs to a
// block that has its digest. It is safe for concurrent use, and lives until
// Close, longer than the acquisition where need be.
type Early struct {
	// Exhibit is its id.
	Exhibit string

	src   Input
	stock *stock
	zero  []byte
	slots chan struct{}
	door  *door

	mu      sync.Mutex
	flights map[int64]*flight
	last    *lastBlocks
	over    chan struct{} // closed when the acquisition has ended
	ended   bool
	closed  bool
	ahead   sync.WaitGroup
}

// flight is a block that is on its way: somebody asked for it, or the
// acquisition did and has not written it yet.
type flight struct {
	own  bool // the acquisition's
	done chan struct{}
	data []byte // nil: look on the stock
	err  error
}

// newEarly opens the image of x early.
func newEarly(x *exhibit, src Input, block int64) (*Early, error) {
	s, err := openStock(x, src.Size(), block, true)
	if err != nil {
		return nil, err
	}
	s.listing(src)
	if err := s.writeListing(x.path(earlyListName)); err != nil {
		return nil, errors.Join(err, s.close())
	}
	e := &Early{
		Exhibit: x.id, src: src, stock: s, zero: make([]byte, block), slots: make(chan struct{}, earlySlots),
		flights: map[int64]*flight{}, last: newLastBlocks(earlyCache / block), over: make(chan struct{}),
	}
	e.door = openDoor(x, e)
	return e, nil
}

// Size is the length of the image in bytes.
func (e *Early) Size() int64 { return e.stock.size }

// Err is why the source could not be read on, where that was so: readers of file
// systems take it for damage.
func (e *Early) Err() error {
	if s, ok := e.src.(interface{ Err() error }); ok {
		return s.Err()
	}
	return nil
}

// NextData is that of the source.
func (e *Early) NextData(off int64) (start, end int64) {
	if s, ok := e.src.(sparse); ok {
		return s.NextData(off)
	}
	return off, e.Size()
}

// end is called when the acquisition does not go on.
func (e *Early) end() {
	e.mu.Lock()
	e.ended = true
	close(e.over)
	last := e.closed
	e.mu.Unlock()
	e.door.close()
	if last {
		_ = e.stock.close() // nothing is buffered
	}
}

// Close ends the reading; the acquisition goes on. It does not close the source.
func (e *Early) Close() error {
	e.mu.Lock()
	first, last := !e.closed, e.ended
	e.closed = true
	e.mu.Unlock()
	if !first {
		return nil
	}
	e.door.close()
	e.ahead.Wait()
	if !last {
		return nil
	}
	return e.stock.close()
}

// ReadAt reads the image. A block that could not be had is an
// *imaging.RangeError, or what package aws says of the whole source.
func (e *Early) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read %s: negative offset %d", e.Exhibit, off)
	}
	if off >= e.Size() {
		return 0, io.EOF
	}
	all, eof := e.stock.pieces(p, off)
	for _, c := range all {
		b, err := e.get(c.n, true)
		if err != nil {
			return n, err
		}
		n += copy(c.p, b[c.from:])
	}
	if eof {
		err = io.EOF
	}
	return n, err
}

// get gives block n. The bytes must not be changed.
func (e *Early) get(n int64, goesOn bool) ([]byte, error) {
	if !e.stock.has(n) {
		return e.zero[:e.stock.length(n)], nil
	}
	for {
		if p := e.last.get(n); p != nil {
			return p, nil
		}
		e.mu.Lock()
		f := e.flights[n]
		if f == nil {
			f = e.depart(n, false)
			e.mu.Unlock()
			fetched := false
			f.data, fetched, f.err = e.fetch(n)
			if f.err == nil {
				e.last.put(n, f.data)
			}
			e.arrive(n, f)
			if fetched && goesOn && e.last.get(n-1) != nil {
				e.readAhead(n)
			}
			return f.data, f.err
		}
		e.mu.Unlock()
		select {
		case <-f.done:
		case <-e.over:
			select {
			case <-f.done:
			default: // the acquisition asked for it and will not write it
				e.drop(n, f)
				continue
			}
		}
		if f.err != nil {
			return nil, f.err
		}
		if f.data != nil {
			return f.data, nil
		}
	}
}

// depart notes that block n is on its way; e.mu is held.
func (e *Early) depart(n int64, own bool) *flight {
	f := &flight{own: own, done: make(chan struct{})}
	e.flights[n] = f
	return f
}

func (e *Early) drop(n int64, f *flight) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.flights[n] == f {
		delete(e.flights, n)
	}
}

// arrive ends a flight.
func (e *Early) arrive(n int64, f *flight) {
	e.drop(n, f)
	close(f.done)
}

// fetch reads block n from the stock, or from the source before its turn.
func (e *Early) fetch(n int64) (p []byte, fetched bool, err error) {
	p = make([]byte, e.stock.length(n))
	switch where, _ := e.stock.load(p, n); where {
	case inImage, inEarly:
		return p, false, nil
	case isLost:
		return nil, false, e.stock.lostBlock(n)
	}
	k, err := e.src.ReadAt(p, n*e.stock.block)
	if k < len(p) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, true, err
	}
	// Where it cannot be kept it is read twice; a disk that is full ends the
	// acquisition itself.
	_ = e.stock.put(p, n, sha256.Sum256(p))
	return p, true, nil
}

// readAhead fetches what lies behind block n, for a reader that goes on.
func (e *Early) readAhead(n int64) {
	for i := n + 1; i <= n+earlyAhead && i*e.stock.block < e.Size(); i++ {
		if !e.stock.has(i) {
			continue
		}
		select {
		case e.slots <- struct{}{}:
		default:
			return
		}
		e.mu.Lock()
		if e.closed {
			e.mu.Unlock()
			<-e.slots
			return
		}
		e.ahead.Add(1)
		e.mu.Unlock()
		go func() {
			defer e.ahead.Done()
			defer func() { <-e.slots }()
			_, _ = e.get(i, false) // a guess: who needs the block gets the error
		}()
	}
}

// ReadBlock gives the acquisition its next block: from the stock where somebody
// asked for it before, else from the source. sum is as package aws has it.
func (e *Early) ReadBlock(p []byte, off int64) (n int, sum *evidence.Digest, err error) {
	b := off / e.stock.block
	if off%e.stock.block != 0 || int64(len(p)) != e.stock.length(b) {
		n, err = e.src.ReadAt(p, off)
		return n, nil, err
	}
	for {
		e.mu.Lock()
		f := e.flights[b]
		if f == nil {
			f = e.depart(b, true)
			e.mu.Unlock()
			return e.next(p, b, f)
		}
		e.mu.Unlock()
		<-f.done
		if f.data != nil && f.err == nil {
			own := evidence.Digest(sha256.Sum256(f.data))
			return copy(p, f.data), &own, nil
		}
	}
}

// next reads block b for the acquisition. Who wants it meanwhile waits until it
// is written.
func (e *Early) next(p []byte, b int64, f *flight) (n int, sum *evidence.Digest, err error) {
	if where, own := e.stock.load(p, b); where == inImage || where == inEarly {
		e.arrive(b, f)
		return len(p), &own, nil
	}
	if s, ok := e.src.(summing); ok {
		n, sum, err = s.ReadBlock(p, b*e.stock.block)
	} else {
		n, err = e.src.ReadAt(p, b*e.stock.block)
	}
	if n < len(p) {
		// The acquisition may try again. Whoever waited asks for itself.
		e.arrive(b, f)
	}
	return n, sum, err
}

// written is said of a block that lies in the copy, or that could not be read.
func (e *Early) written(b *block) error {
	where := byte(inImage)
	if len(b.errs) > 0 {
		where = isLost
	}
	err := e.stock.note(b.n, where, 0, b.sum)
	e.mu.Lock()
	f := e.flights[b.n]
	e.mu.Unlock()
	if f != nil && f.own {
		e.arrive(b.n, f)
	}
	return err
}

// lastBlocks are the blocks that were used last. It is safe for concurrent use.
type lastBlocks struct {
	most   int64
	mu     sync.Mutex
	blocks map[int64]*list.Element
	order  *list.List // of *lastBlock, the newest in front
}

type lastBlock struct {
	n    int64
	data []byte
}

func newLastBlocks(most int64) *lastBlocks {
	return &lastBlocks{most: max(4, most), blocks: map[int64]*list.Element{}, order: list.New()}
}

// get is block n; nil where it is not here. The bytes must not be changed.
func (l *lastBlocks) get(n int64) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.blocks[n]
	if at == nil {
		return nil
	}
	l.order.MoveToFront(at)
	return at.Value.(*lastBlock).data //nolint:forcetypeassert // nothing else is in it
}

func (l *lastBlocks) put(n int64, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.blocks[n] != nil {
		return
	}
	l.blocks[n] = l.order.PushFront(&lastBlock{n, data})
	for int64(l.order.Len()) > l.most {
		old := l.order.Remove(l.order.Back()).(*lastBlock) //nolint:forcetypeassert // nothing else is in it
		delete(l.blocks, old.n)
	}
}
