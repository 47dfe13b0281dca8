package custody

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// SparseReader reads a file and makes the zeros of its holes itself: a read
// through the page cache is several times slower. Where the file system does
// not tell its holes, everything is read.
type SparseReader struct {
	f         *os.File
	pos, size int64
	holeUntil int64
	dataUntil int64
}

// NewSparseReader reads f from its beginning to the length that it has now.
func NewSparseReader(f *os.File) (*SparseReader, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return &SparseReader{f: f, size: fi.Size()}, nil
}

func (s *SparseReader) Read(p []byte) (int, error) {
	if s.pos >= s.size {
		return 0, io.EOF
	}
	if s.pos >= s.holeUntil && s.pos >= s.dataUntil {
		s.locate()
	}
	if s.pos < s.holeUntil {
		n := min(int64(len(p)), s.holeUntil-s.pos)
		clear(p[:n])
		s.pos += n
		return int(n), nil
	}
	n, err := s.f.ReadAt(p[:min(int64(len(p)), s.dataUntil-s.pos)], s.pos)
	s.pos += int64(n)
	if errors.Is(err, io.EOF) && n == 0 {
		err = io.ErrUnexpectedEOF // the file became shorter
	} else if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// locate finds out whether data or a hole begins here, and where it ends.
func (s *SparseReader) locate() {
	fd := int(s.f.Fd()) //nolint:gosec // a descriptor fits
	data, err := unix.Seek(fd, s.pos, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		s.holeUntil = s.size
		return
	case err != nil:
		s.dataUntil = s.size
		return
	case data > s.pos:
		s.holeUntil = min(data, s.size)
		return
	}
	hole, err := unix.Seek(fd, s.pos, unix.SEEK_HOLE)
	if err != nil || hole <= s.pos {
		hole = s.size
	}
	s.dataUntil = min(hole, s.size)
}

// Plain goes back to the beginning, and reads everything from then on.
func (s *SparseReader) Plain() { s.pos, s.holeUntil, s.dataUntil = 0, 0, s.size }
