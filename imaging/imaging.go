// Package imaging holds what every reader of evidence bytes shares: a Source
// of bytes with a length, a Section of one, and the error that names a place.
//
// Nothing in this floor writes to a Source. Offsets and sizes are in bytes.
// The package does not cache, does not retry and does not know any format.
package imaging

import (
	"errors"
	"fmt"
	"io"
)

// Source is bytes with a constant length. ReadAt is safe for concurrent use.
// A read that crosses Size returns the bytes before it and io.EOF.
type Source interface {
	io.ReaderAt
	// Size is the length in bytes; it never changes.
	Size() int64
}

// FormatError says that bytes are not what their format demands.
type FormatError struct {
	Format string // "gpt", "ext4", "cloudtrail"
	Offset int64  // bytes from the start of the source the reader was given
	Reason string // lower case, no full stop
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("%s: offset %d: %s", e.Format, e.Offset, e.Reason)
}

type section struct {
	src       Source
	off, size int64
}

// Section is the n bytes of src from off. Where the range leaves src it is cut
// to what src has, so that a truncated image still gives its readable part.
func Section(src Source, off, n int64) Source {
	if off < 0 || n < 0 || off > src.Size() {
		return &section{src: src, off: 0, size: 0}
	}
	return &section{src: src, off: off, size: min(n, src.Size()-off)}
}

func (s *section) Size() int64 { return s.size }

func (s *section) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read section: negative offset %d", off)
	}
	if off >= s.size {
		return 0, io.EOF
	}
	if rest := s.size - off; int64(len(p)) > rest {
		n, err := s.src.ReadAt(p[:rest], s.off+off)
		if err == nil {
			err = io.EOF
		}
		return n, err
	}
	return s.src.ReadAt(p, s.off+off)
}

// ErrGone says, wrapped, that a whole source cannot be read any more: reading
// other parts of it is pointless, and nothing follows about the bytes there.
var ErrGone = errors.New("the source is out of reach")

// RangeError says that a source has lost the Length bytes from Offset for good:
// it was tried as often as makes sense, in the only pieces there are. Bytes
// beside it can be read.
type RangeError struct {
	Offset, Length int64
	Tries          int // how often it was tried
	Err            error
}

func (e *RangeError) Error() string {
	return fmt.Sprintf("%d bytes at %d, tried %d times: %v", e.Length, e.Offset, e.Tries, e.Err)
}

func (e *RangeError) Unwrap() error { return e.Err }
