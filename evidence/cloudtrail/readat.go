package cloudtrail

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"snapcase/imaging"
)

// ReadAt reads one record again: its own JSON (Record.Raw) from the place
// that Record gave, in a file that is plain or gzip. A gzip file is unpacked
// up to the place; a plain one is read there alone where r can seek.
func ReadAt(r io.Reader, offset, length int64) ([]byte, error) {
	if offset < 0 || length <= 0 || length > maxRecord+midWindow {
		return nil, &imaging.FormatError{Format: "cloudtrail", Offset: offset, Reason: fmt.Sprintf("no record is %d bytes long", length)}
	}
	var s source
	err := s.start(r)
	if err == nil {
		err = s.forward(r, offset)
	}
	text := make([]byte, length)
	if err == nil {
		_, err = io.ReadFull(s.r, text)
	}
	if err != nil {
		return nil, fmt.Errorf("read cloudtrail record at offset %d: %w", offset, err)
	}
	rec, err := alone(text)
	if err != nil {
		return nil, fmt.Errorf("read cloudtrail record at offset %d: %w", offset, err)
	}
	return rec.Raw, nil
}

// forward goes to an offset of the text.
func (s *source) forward(r io.Reader, offset int64) error {
	if seek, ok := r.(io.Seeker); ok && s.r == io.Reader(&s.in) {
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

// ReadNumber reads record n of a file again. Its slices may be kept. A number
// that the file does not have is an error.
func ReadNumber(r io.Reader, n int64) (Record, error) {
	for rec, err := range Read(r) {
		var bad *BadRecord
		switch {
		case errors.As(err, &bad):
			if bad.N == n {
				return Record{}, err
			}
		case err != nil:
			return Record{}, err
		case rec.N == n:
			rec.Raw = bytes.Clone(rec.Raw)
			return rec, nil
		}
	}
	return Record{}, fmt.Errorf("read cloudtrail record %d: the file has no such record", n)
}

// Parse reads the record that text holds, with nothing but white space
// around it: what ReadAt gives, or a line of a file.
func Parse(text []byte) (Record, error) { return alone(bytes.Clone(text)) }

func alone(text []byte) (Record, error) {
	p := newParser()
	lead := len(text) - len(trimSpace(text))
	end, what, err := p.object(text[lead:], false, true)
	switch {
	case err != nil:
		return Record{}, &BadRecord{N: 1, Offset: int64(lead), Reason: err.Error()}
	case what != isRecord:
		return Record{}, &BadRecord{N: 1, Offset: int64(lead), Reason: noRecord}
	case len(trimSpace(text[lead+end:])) > 0:
		return Record{}, &BadRecord{N: 1, Offset: int64(lead + end), Reason: "text stands behind the record"}
	}
	p.rec.N, p.rec.Offset, p.rec.Length = 1, int64(lead), int64(end)
	return p.rec, nil
}

// Canonical is the SHA-256 of the content of a record, whatever the order of
// its names, its white space and its escapes. Two records with one event id
// are copies of one event where it is equal. Numbers count as written, so
// 1 and 1.0 differ. raw is Record.Raw; what is no JSON counts as it stands.
func Canonical(raw []byte) [32]byte {
	if b, err := sorted(raw); err == nil {
		return sha256.Sum256(b)
	}
	return sha256.Sum256(raw)
}
