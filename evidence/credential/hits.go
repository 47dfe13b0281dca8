package credential

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
)

// OmittedError is yielded by ReadHits where more ids were found than kept.
type OmittedError struct{ N int64 }

func (e *OmittedError) Error() string {
	return fmt.Sprintf("read hits: %d more access key ids were found than could be kept", e.N)
}

// line is one line of hits.jsonl: a hit, or how many were omitted.
type line struct {
	*Hit
	Omitted int64 `json:"omitted,omitempty"`
}

// WriteHits writes hits as JSON Lines, one a line, and a last line
// {"omitted":N} where n is not 0. The lines hold no secrets.
func WriteHits(w io.Writer, hits []Hit, omitted int64) error {
	b := bufio.NewWriter(w)
	e := json.NewEncoder(b)
	for i := range hits {
		if err := e.Encode(&hits[i]); err != nil {
			return fmt.Errorf("write hits: %w", err)
		}
	}
	if omitted > 0 {
		if err := e.Encode(line{Omitted: omitted}); err != nil {
			return fmt.Errorf("write hits: %w", err)
		}
	}
	return b.Flush()
}

// ReadHits yields what WriteHits wrote. A line that cannot be read comes as an
// error with its number and the walk goes on; an *OmittedError says that more
// was found than kept; any other error of the reader ends the walk.
func ReadHits(r io.Reader) iter.Seq2[Hit, error] {
	return func(yield func(Hit, error) bool) {
		in := bufio.NewReaderSize(r, 64<<10)
		for n := 1; ; n++ {
			text, err := in.ReadSlice('\n')
			switch {
			case errors.Is(err, bufio.ErrBufferFull):
				yield(Hit{}, fmt.Errorf("read hits: line %d is too long", n))
				return
			case err != nil && !errors.Is(err, io.EOF):
				yield(Hit{}, fmt.Errorf("read hits: line %d: %w", n, err))
				return
			case len(text) == 0:
				return
			}
			if !yield(readHit(text, n)) {
				return
			}
		}
	}
}

func readHit(text []byte, n int) (Hit, error) {
	var h Hit
	l := line{Hit: &h}
	if err := json.Unmarshal(text, &l); err != nil {
		return Hit{}, fmt.Errorf("read hits: line %d: %w", n, err)
	}
	if l.Omitted > 0 {
		return Hit{}, &OmittedError{N: l.Omitted}
	}
	if len(h.KeyID) != idLen || kindOf([]byte(h.KeyID[:4])) == "" || h.Offset < 0 {
		return Hit{}, fmt.Errorf("read hits: line %d: no access key id", n)
	}
	return h, nil
}
