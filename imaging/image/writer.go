package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Granule is the unit of holes, in bytes: an aligned granule of zeros is not
// written. Blocks given to Writer.WriteAt begin at a multiple of it.
const Granule = 64 << 10

// IsZero says whether all bytes of p are zero.
func IsZero(p []byte) bool {
	// Each byte equals the one before it, and the first is zero.
	return len(p) == 0 || p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}

// Writer writes a sparse copy. Write appends; WriteAt places a block, and is
// safe for concurrent use on different blocks. One Writer takes either.
type Writer struct {
	f      *os.File
	grow   sync.RWMutex // a sync that sets the length keeps writes out
	reach  atomic.Int64 // behind the last byte that was given
	stale  atomic.Int64 // up to here the file may hold data: a hole is punched
	data   atomic.Int64
	holes  atomic.Int64
	synced atomic.Int64 // data bytes at the last sync
	every  int64
	buf    []byte // of Write: less than a granule
	failed error  // of Write: what was buffered is lost, so nothing follows
}

// Create makes the file at path, which must not exist (0600). Data is made
// durable every so many bytes; 0 leaves that to Sync and Finish.
func Create(path string, every int64) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make image: %w", err)
	}
	return &Writer{f: f, every: every}, nil
}

// Resume opens an unfinished copy to go on at byte at, a multiple of Granule.
// What the file holds behind it is dropped, so that whatever is not written
// again is a hole. A file shorter than at was not synced that far: an error.
func Resume(path string, at, every int64) (*Writer, error) {
	if at < 0 || at%Granule != 0 {
		return nil, fmt.Errorf("resume image %s: offset %d is no multiple of %d", path, at, Granule)
	}
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("resume image: %w", err)
	}
	st, err := f.Stat()
	switch {
	case err != nil:
	case !st.Mode().IsRegular():
		err = errors.New("it is no regular file")
	case st.Size() < at:
		err = fmt.Errorf("it has %d bytes, fewer than the %d that were said to be done", st.Size(), at)
	default:
		err = f.Truncate(at)
	}
	if err != nil {
		return nil, fmt.Errorf("resume image %s: %w", path, errors.Join(err, f.Close()))
	}
	w := &Writer{f: f, every: every}
	w.reach.Store(at)
	w.stale.Store(at)
	return w, nil
}

// Write appends p. Where it fails, the copy must be resumed at what was synced.
func (w *Writer) Write(p []byte) (int, error) {
	if w.failed != nil {
		return 0, w.failed
	}
	given := len(p)
	if n := len(w.buf); n > 0 {
		take := min(Granule-n, len(p))
		w.buf, p = append(w.buf, p[:take]...), p[take:]
		if len(w.buf) == Granule {
			if w.failed = w.put(w.buf, w.reach.Load()); w.failed != nil {
				return 0, w.failed
			}
			w.buf = w.buf[:0]
		}
	}
	if whole := len(p) / Granule * Granule; whole > 0 {
		if w.failed = w.put(p[:whole], w.reach.Load()); w.failed != nil {
			return 0, w.failed
		}
		p = p[whole:]
	}
	if len(p) > 0 {
		w.buf = append(w.buf, p...)
	}
	return given, nil
}

// WriteAt writes a block at off, a multiple of Granule; its length is one too,
// but for the last block of the image.
func (w *Writer) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off%Granule != 0 {
		return 0, fmt.Errorf("write image: offset %d is no multiple of %d", off, Granule)
	}
	if err := w.put(p, off); err != nil {
		return 0, err
	}
	return len(p), nil
}

// put writes p at off but for its granules of zeros.
func (w *Writer) put(p []byte, off int64) error {
	for at := 0; at < len(p); {
		zero, end := w.run(p, at)
		if err := w.putRun(p[at:end], off+int64(at), zero); err != nil {
			return fmt.Errorf("write image at %d: %w", off+int64(at), err)
		}
		at = end
	}
	raise(&w.reach, off+int64(len(p)))
	if done := w.data.Load(); w.every > 0 && done-w.synced.Load() >= w.every {
		return w.sync()
	}
	return nil
}

// run finds the end of the granules from at that are all zeros or all data.
func (w *Writer) run(p []byte, at int) (zero bool, end int) {
	end = min(at+Granule, len(p))
	zero = IsZero(p[at:end])
	for end < len(p) {
		next := min(end+Granule, len(p))
		if IsZero(p[end:next]) != zero {
			break
		}
		end = next
	}
	return zero, end
}

func (w *Writer) putRun(p []byte, off int64, zero bool) error {
	end := off + int64(len(p))
	if !zero {
		w.grow.RLock()
		n, err := w.f.WriteAt(p, off)
		w.grow.RUnlock()
		if err == nil && n < len(p) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return err
		}
		raise(&w.stale, end)
		w.data.Add(int64(len(p)))
		return nil
	}
	w.holes.Add(int64(len(p)))
	if off >= w.stale.Load() {
		return nil
	}
	// Something may lie there already.
	err := unix.Fallocate(int(w.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, end-off)
	if errors.Is(err, unix.EOPNOTSUPP) {
		_, err = w.f.WriteAt(p, off)
	}
	return err
}

// raise sets v to to unless it is higher.
func raise(v *atomic.Int64, to int64) {
	for old := v.Load(); old < to; old = v.Load() {
		if v.CompareAndSwap(old, to) {
			return
		}
	}
}

// Done is up to where the copy was given, without what Write still holds back.
// After Sync it is where Resume can go on, if blocks were given in order.
func (w *Writer) Done() int64 { return w.reach.Load() }

// DataBytes is how many bytes were written; HoleBytes how many were left out.
// A block that is written twice counts twice.
func (w *Writer) DataBytes() int64 { return w.data.Load() }

// HoleBytes is how many bytes were left out as zeros.
func (w *Writer) HoleBytes() int64 { return w.holes.Load() }

// Sync makes durable what lies before Done, holes at the end included.
func (w *Writer) Sync() error {
	if err := w.sync(); err != nil {
		return fmt.Errorf("sync image: %w", err)
	}
	return nil
}

func (w *Writer) sync() error {
	data := w.data.Load()
	if err := w.lengthen(w.reach.Load()); err != nil {
		return err
	}
	if err := unix.Fdatasync(int(w.f.Fd())); err != nil {
		return err
	}
	w.synced.Store(data)
	return nil
}

// lengthen gives the file n bytes when it has fewer.
func (w *Writer) lengthen(n int64) error {
	w.grow.Lock()
	defer w.grow.Unlock()
	st, err := w.f.Stat()
	if err != nil || st.Size() >= n {
		return err
	}
	return w.f.Truncate(n)
}

// Finish writes what Write holds back, gives the file its size in bytes, makes
// all of it durable and closes it. Data behind size is an error.
func (w *Writer) Finish(size int64) error {
	err := w.failed
	if err == nil && len(w.buf) > 0 {
		err = w.put(w.buf, w.reach.Load())
		w.buf = nil
	}
	switch {
	case err != nil:
	case w.reach.Load() > size:
		err = fmt.Errorf("%d bytes were written, %d are the size of the image", w.reach.Load(), size)
	default:
		err = errors.Join(w.f.Truncate(size), w.f.Sync())
	}
	if err = errors.Join(err, w.f.Close()); err != nil {
		return fmt.Errorf("finish image: %w", err)
	}
	return nil
}

// Close closes an unfinished copy as it is, to be resumed.
func (w *Writer) Close() error { return w.f.Close() }
