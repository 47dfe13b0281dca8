package acquire

import (
	"bytes"
	"errors"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	page    = 4096
	minHole = 64 << 10
)

// imageFile is the copy while it is written. Blocks are written past the page
// cache where the file system can do that: nothing of a terabyte copied once is
// worth keeping there, and it costs less time. WriteBlock is safe for
// concurrent use on different blocks.
type imageFile struct {
	plain    *os.File
	direct   *os.File // nil when the file system cannot
	noDirect atomic.Bool
}

// openImage opens the copy at path for size bytes, keeping the first keep.
func openImage(path string, size, keep int64) (*imageFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	m := &imageFile{plain: f}
	// Everything behind keep goes, so that what is not written again is a hole.
	if err := errors.Join(f.Truncate(keep), f.Truncate(size)); err != nil {
		return nil, errors.Join(err, m.close())
	}
	if m.direct, err = os.OpenFile(path, os.O_WRONLY|unix.O_NOFOLLOW|unix.O_DIRECT, 0); err != nil {
		m.direct = nil
	}
	return m, nil
}

func (m *imageFile) close() error {
	err := m.plain.Close()
	if m.direct != nil {
		err = errors.Join(err, m.direct.Close())
	}
	return err
}

func (m *imageFile) sync() error { return unix.Fdatasync(int(m.plain.Fd())) }

// writeRuns writes the given runs of b, which lies at a multiple of page in
// memory and in the file.
func (m *imageFile) writeRuns(b []byte, off int64, runs [][2]int) error {
	for _, r := range runs {
		from, to := r[0], r[1]
		if m.direct != nil && !m.noDirect.Load() {
			whole := from + (to-from)/page*page
			n, err := m.direct.WriteAt(b[from:whole], off+int64(from))
			switch {
			case errors.Is(err, unix.EINVAL):
				m.noDirect.Store(true)
			case err != nil:
				return err
			}
			from += n / page * page
		}
		if from < to {
			if _, err := m.plain.WriteAt(b[from:to], off+int64(from)); err != nil {
				return err
			}
		}
	}
	return nil
}

// isHole says that n bytes from off hold no data: they read as zeros.
func (m *imageFile) isHole(off, n int64) bool {
	at, err := unix.Seek(int(m.plain.Fd()), off, unix.SEEK_DATA)
	return errors.Is(err, unix.ENXIO) || err == nil && at >= off+n
}

// dataRuns are the parts of a block that are not holes: holes are runs of whole
// zero pages of minHole and more, or shorter ones at the borders of the block,
// where they may go on.
func dataRuns(b []byte) [][2]int {
	var zero [page]byte
	var runs [][2]int
	for at := 0; at < len(b); {
		end := at
		for end < len(b) && bytes.Equal(b[end:min(end+page, len(b))], zero[:min(page, len(b)-end)]) {
			end = min(end+page, len(b))
		}
		if end-at >= minHole || end > at && (at == 0 || end == len(b)) {
			at = end
			continue
		}
		from := at
		if n := len(runs); n > 0 && runs[n-1][1] == from {
			from = runs[n-1][0]
			runs = runs[:n-1]
		}
		for at = end; at < len(b); at = min(at+page, len(b)) {
			if bytes.Equal(b[at:min(at+page, len(b))], zero[:min(page, len(b)-at)]) {
				break
			}
		}
		runs = append(runs, [2]int{from, at})
	}
	return runs
}

// alignedBlocks gives n buffers of size bytes at multiples of page, and what
// frees them.
func alignedBlocks(n, size int) ([][]byte, func(), error) {
	all, err := unix.Mmap(-1, 0, n*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, nil, err
	}
	_ = unix.Madvise(all, unix.MADV_HUGEPAGE) // advice only
	var out [][]byte
	for i := range n {
		out = append(out, all[i*size:(i+1)*size:(i+1)*size])
	}
	return out, func() { _ = unix.Munmap(all) }, nil
}
