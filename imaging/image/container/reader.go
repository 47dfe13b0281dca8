package container

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"snapcase/imaging"
)

const (
	cacheBytes = 32 << 20
	ahead      = 1 << 20 // how far is unpacked before it is asked for
)

// Span says where the bytes of an image from some offset on are. A Reason makes
// them a gap: with From they are given all the same, since they may be right,
// else they are zeros. What is wrong with a packed piece, Unpack says.
type Span struct {
	Length int64          // for how many bytes the answer holds, at least 1
	From   imaging.Source // plain: the bytes are in From, at At; a pointer
	At     int64
	Packed bool  // in a piece that Map.Unpack knows by Key
	Key    int64 // unique in the image
	Size   int   // bytes of the piece when unpacked
	Skip   int   // where in the piece the span starts
	Reason string
}

// Map is what a format knows. Both methods are safe for concurrent use; their
// errors are failures of the files.
type Map interface {
	// Find says where the bytes from off are; off lies within the image.
	Find(off int64) (Span, error)
	// Unpack fills dst, which has Size bytes, with a packed piece. A reason
	// says what is wrong with it; what could be had is in dst all the same,
	// and zeros for the rest.
	Unpack(key int64, dst []byte) (reason string, err error)
}

// Reader is the bytes of an image, found through a Map. It is an
// imaging.Source; ReadAt is safe for concurrent use.
type Reader struct {
	m     Map
	size  int64
	gaps  *Gaps
	cache *cache
	next  atomic.Int64 // where the last read ended
}

// NewReader reads an image of size bytes through m. Gaps that are known already
// are in gaps.
func NewReader(size int64, m Map, gaps *Gaps) *Reader {
	return &Reader{m: m, size: size, gaps: gaps, cache: newCache(cacheBytes)}
}

// Size is the length of the image in bytes.
func (r *Reader) Size() int64 { return r.size }

// Gaps lists what is known so far not to be as it was imaged.
func (r *Reader) Gaps() []Range { return r.gaps.List() }

// GapsIn lists the gaps within n bytes from off.
func (r *Reader) GapsIn(off, n int64) []Range { return r.gaps.In(off, n) }

// ReadAt reads as io.ReaderAt; see the package for what gaps read as.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read image: negative offset %d", off)
	}
	if off >= r.size {
		return 0, io.EOF
	}
	var eof error
	if int64(len(p)) > r.size-off {
		p, eof = p[:r.size-off], io.EOF
	}
	if n, err := r.read(p, off); err != nil {
		return n, err
	}
	return len(p), eof
}

// piece is a packed piece to be had: dst gets its bytes from skip on, unless
// it is unpacked ahead only.
type piece struct {
	Span
	off int64
	dst []byte
}

func (r *Reader) read(p []byte, off int64) (int, error) {
	var (
		pieces []piece
		plain  piece // joined, not yet read
	)
	for at := 0; at < len(p); {
		s, err := r.find(off + int64(at))
		if err != nil {
			return 0, err
		}
		n := int(min(s.Length, int64(len(p)-at)))
		now := piece{Span: s, off: off + int64(at), dst: p[at : at+n]}
		at += n
		switch {
		case s.Packed:
			pieces = append(pieces, now)
		case s.From == nil:
			clear(now.dst)
			if s.Reason != "" {
				r.gaps.Add(now.off, int64(n), s.Reason)
			}
		case plain.From == s.From && plain.Reason == s.Reason && plain.At+int64(len(plain.dst)) == s.At && plain.off+int64(len(plain.dst)) == now.off:
			plain.dst = p[int(plain.off-off):at]
		default:
			if err := r.plain(plain); err != nil {
				return 0, err
			}
			plain = now
		}
	}
	if err := r.plain(plain); err != nil {
		return 0, err
	}
	sequential := r.next.Swap(off+int64(len(p))) == off
	return len(p), r.unpackAll(pieces, sequential)
}

// find checks what the map says.
func (r *Reader) find(off int64) (Span, error) {
	s, err := r.m.Find(off)
	switch {
	case err != nil:
		return s, err
	case s.Length <= 0:
		return s, fmt.Errorf("read image at %d: no place is known for it", off)
	case s.Packed && (s.Size <= 0 || s.Skip < 0 || s.Length > int64(s.Size-s.Skip)):
		return s, fmt.Errorf("read image at %d: %d bytes from %d in a piece of %d", off, s.Length, s.Skip, s.Size)
	}
	return s, nil
}

// plain reads bytes that lie in a file as they are.
func (r *Reader) plain(s piece) error {
	if s.From == nil {
		return nil
	}
	have := max(min(int64(len(s.dst)), s.From.Size()-s.At), 0)
	if rest := s.dst[have:]; len(rest) > 0 {
		clear(rest)
		r.gaps.Add(s.off+have, int64(len(rest)), "the file ends before these bytes")
	}
	if have == 0 {
		return nil
	}
	if n, err := s.From.ReadAt(s.dst[:have], s.At); int64(n) < have {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read image at %d: %w", s.off+int64(n), err)
	}
	if s.Reason != "" {
		r.gaps.Add(s.off, have, s.Reason)
	}
	for _, g := range GapsIn(s.From, s.At, have) {
		r.gaps.Add(s.off+g.Offset-s.At, g.Length, g.Reason)
	}
	return nil
}

// unpackAll gives every piece its bytes. Pieces that are not at hand are
// unpacked side by side, with those that come next when the reader is
// sequential.
func (r *Reader) unpackAll(pieces []piece, sequential bool) error {
	missing := pieces[:0:0]
	for _, s := range pieces {
		if u, ok := r.cache.get(s.Key); ok {
			r.give(s, u)
		} else {
			missing = append(missing, s)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if sequential {
		missing = r.look(missing)
	}
	workers := min(runtime.GOMAXPROCS(0), len(missing))
	if workers < 2 {
		for _, s := range missing {
			if err := r.unpack(s); err != nil {
				return err
			}
		}
		return nil
	}
	var (
		wg     sync.WaitGroup
		turn   atomic.Int64
		failed = make([]error, workers)
	)
	for w := range workers {
		wg.Go(func() {
			for failed[w] == nil {
				i := int(turn.Add(1)) - 1
				if i >= len(missing) {
					return
				}
				failed[w] = r.unpack(missing[i])
			}
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

// look adds the packed pieces that follow, up to ahead.
func (r *Reader) look(missing []piece) []piece {
	last := missing[len(missing)-1]
	off := last.off + last.Length
	for budget := int64(ahead) - off + missing[0].off; budget > 0 && off < r.size; {
		s, err := r.find(off)
		if err != nil || !s.Packed {
			break
		}
		if s.Key != last.Key && !r.cache.has(s.Key) {
			missing = append(missing, piece{Span: s, off: off})
			last = missing[len(missing)-1]
		}
		off, budget = off+s.Length, budget-s.Length
	}
	return missing
}

// unpack unpacks a piece: straight to where it is wanted when all of it is.
func (r *Reader) unpack(s piece) error {
	if len(s.dst) == s.Size {
		reason, err := r.guarded(s.Key, s.dst)
		if reason != "" {
			r.gaps.Add(s.off, int64(len(s.dst)), reason)
		}
		return err
	}
	u := unpacked{data: make([]byte, s.Size)}
	var err error
	if u.reason, err = r.guarded(s.Key, u.data); err != nil {
		if s.dst == nil {
			return nil // it is read again, and fails, when it is asked for
		}
		return err
	}
	r.cache.put(s.Key, u)
	r.give(s, u)
	return nil
}

// guarded turns a panic of a decoder into damage.
func (r *Reader) guarded(key int64, dst []byte) (reason string, err error) {
	defer func() {
		if p := recover(); p != nil {
			clear(dst)
			reason, err = fmt.Sprintf("the decoder failed: %v", p), nil
		}
	}()
	return r.m.Unpack(key, dst)
}

func (r *Reader) give(s piece, u unpacked) {
	if len(s.dst) == 0 {
		return
	}
	copy(s.dst, u.data[min(s.Skip, len(u.data)):])
	if u.reason != "" {
		r.gaps.Add(s.off, int64(len(s.dst)), u.reason)
	}
}

// Plain is src as an image: a raw file that is the parent of a container.
func Plain(src imaging.Source) *Reader {
	return NewReader(src.Size(), &plain{src}, NewGaps(src.Size()))
}

type plain struct{ src imaging.Source }

// Find implements Map.
func (p *plain) Find(off int64) (Span, error) {
	return Span{Length: p.src.Size() - off, From: p.src, At: off}, nil
}

// Unpack implements Map; nothing is packed.
func (p *plain) Unpack(int64, []byte) (string, error) { return "", nil }
