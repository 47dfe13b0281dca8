package cloudtrail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// This is the one file that knows the JSON library; it moves to
// encoding/json/jsontext when a plain build of Go has it.

// maxDepth is the nesting that is followed.
const maxDepth = 1000

var (
	errMore = errors.New("the text ends inside a value")
	errDeep = fmt.Errorf("nested deeper than %d", maxDepth)
)

// scanner walks one JSON value in memory, token by token, without copying.
// Duplicate names are let through (the caller looks for those that matter)
// and bytes that are not UTF-8 read as U+FFFD.
type scanner struct {
	dec  *jsontext.Decoder
	buf  bytes.Buffer
	size int64
	// final says that nothing comes behind the text, so that an error near
	// its end is one.
	final bool
	tmp   []byte // an unescaped string
}

func (s *scanner) reset(b []byte) {
	s.buf, s.size = *bytes.NewBuffer(b), int64(len(b))
	if s.dec == nil {
		s.dec = jsontext.NewDecoder(&s.buf, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
		return
	}
	s.dec.Reset(&s.buf, s.dec.Options())
}

// kind is the first byte of the next token: { } [ ] " 0 t f n, or 0 where
// there is none (the next read tells why).
func (s *scanner) kind() byte { return byte(s.dec.PeekKind()) }

// at is the offset behind the last token.
func (s *scanner) at() int { return int(s.dec.InputOffset()) }

// step reads one brace or bracket.
func (s *scanner) step() error {
	if _, err := s.dec.ReadToken(); err != nil {
		return s.fault(err)
	}
	if s.dec.StackDepth() > maxDepth {
		return errDeep
	}
	return nil
}

// text reads a scalar (or a name): a string unescaped, a number as written,
// and nil for true, false and null. The bytes last until the next call.
func (s *scanner) text() ([]byte, error) {
	v, err := s.dec.ReadValue()
	if err != nil {
		return nil, s.fault(err)
	}
	switch {
	case v[0] == '"':
		if bytes.IndexByte(v, '\\') < 0 {
			return v[1 : len(v)-1], nil
		}
		s.tmp, _ = jsontext.AppendUnquote(s.tmp[:0], v) // fails on bad UTF-8 only, which it replaces
		return s.tmp, nil
	case v[0] == '-' || v[0] >= '0' && v[0] <= '9':
		return v, nil
	}
	return nil, nil
}

// word is text, and the words true and false for a boolean.
func (s *scanner) word() ([]byte, error) {
	k := s.kind()
	b, err := s.text()
	switch {
	case err != nil:
		return nil, err
	case k == 't':
		return []byte("true"), nil
	case k == 'f':
		return []byte("false"), nil
	}
	return b, nil
}

// skip passes over the next value.
func (s *scanner) skip() error {
	depth := s.dec.StackDepth()
	for {
		switch s.kind() {
		case '{', '[', '}', ']':
			if err := s.step(); err != nil {
				return err
			}
		default:
			if _, err := s.dec.ReadValue(); err != nil {
				return s.fault(err)
			}
		}
		if s.dec.StackDepth() <= depth {
			return nil
		}
	}
}

// fault tells text that ends early (errMore) from text that is no JSON.
func (s *scanner) fault(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errMore
	}
	var se *jsontext.SyntacticError
	if errors.As(err, &se) {
		if !s.final && se.ByteOffset >= s.size-12 { // a character or escape may be cut by the end
			return fmt.Errorf("%w: %w", errMore, se.Err)
		}
		return fmt.Errorf("no JSON at byte %d of the record: %w", se.ByteOffset, se.Err)
	}
	return err
}

// sorted is raw in one spelling: names sorted, no white space, strings
// escaped in the shortest way, numbers as written. Text that is not UTF-8
// keeps its strings as written, so that nothing unequal becomes equal.
func sorted(raw []byte) ([]byte, error) {
	return jsontext.AppendFormat(nil, raw,
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true),
		jsontext.ReorderRawObjects(true), jsontext.PreserveRawStrings(!utf8.Valid(raw)),
		jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false))
}
