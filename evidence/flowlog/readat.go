package flowlog

import (
	"errors"
	"fmt"
	"io"

	"snapcase/imaging"
)

// ReadAt reads one line again, without its end, from the Offset and with the
// Length that its Record gave, in a file that is plain or gzip. A gzip file
// is unpacked up to the place; a plain one is read there alone where r can
// seek.
func ReadAt(r io.Reader, offset, length int64) ([]byte, error) {
	if offset < 0 || length <= 0 || length > maxLine {
		return nil, &imaging.FormatError{Format: "flowlog", Offset: offset, Reason: fmt.Sprintf("no record is %d bytes long", length)}
	}
	var s source
	err := s.start(r)
	if err == nil {
		err = s.forward(r, offset)
	}
	text := make([]byte, length)
	if err == nil {
		if _, err = io.ReadFull(s.r, text); errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read flow log record at offset %d: %w", offset, err)
	}
	return text, nil
}

// forward goes to an offset of the text.
func (s *source) forward(r io.Reader, offset int64) error {
	if seek, ok := r.(io.Seeker); ok && !s.packed {
		if _, err := seek.Seek(offset, io.SeekStart); err == nil {
			s.in.Reset(&s.raw)
			return nil
		}
	}
	n, err := io.CopyN(io.Discard, s.r, offset)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the text ends at %d: %w", n, io.ErrUnexpectedEOF)
	}
	return err
}
