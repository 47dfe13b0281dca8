package container

import (
	"errors"
	"fmt"
	"io"

	"snapcase/imaging"
)

const (
	pageSize  = 64 << 10
	pageBytes = 8 << 20
)

// Pages reads the tables of a container piece by piece and keeps the pieces
// used last, so that a table of any size takes little memory. It is safe for
// concurrent use.
type Pages struct {
	src   imaging.Source
	cache *cache
	file  int64 // tells the files apart that share the cache
}

// NewPages reads the tables in src.
func NewPages(src imaging.Source) *Pages {
	return &Pages{src: src, cache: newCache(pageBytes)}
}

// Of reads the tables in another file of the same image with the same memory.
// n tells the files apart; the first has 0.
func (p *Pages) Of(src imaging.Source, n int) *Pages {
	return &Pages{src: src, cache: p.cache, file: int64(n)}
}

// Read fills b with the bytes of the file at off. The reason, when there is
// one, says why they cannot be trusted: the file ends before them, or they lie
// in a gap of it. The error is a failure of the file.
func (p *Pages) Read(b []byte, off int64) (reason string, err error) {
	if off < 0 || off > p.src.Size() || int64(len(b)) > p.src.Size()-off {
		clear(b)
		return fmt.Sprintf("a table at byte %d of the file lies past its end", off), nil
	}
	for at := 0; at < len(b); {
		where := off + int64(at)
		page, err := p.page(where / pageSize)
		if err != nil {
			return "", err
		}
		skip := int(where % pageSize)
		if skip >= len(page) {
			return "", fmt.Errorf("read at %d: %w", where, io.ErrUnexpectedEOF)
		}
		at += copy(b[at:], page[skip:])
	}
	if g := GapsIn(p.src, off, int64(len(b))); len(g) > 0 {
		return fmt.Sprintf("a table at byte %d of the file lies in a gap: %s", off, g[0].Reason), nil
	}
	return "", nil
}

func (p *Pages) page(n int64) ([]byte, error) {
	const bits = 40 // of the number of a page: no file has more
	key := p.file<<bits | n
	if u, ok := p.cache.get(key); ok {
		return u.data, nil
	}
	off := n * pageSize
	u := unpacked{data: make([]byte, min(pageSize, p.src.Size()-off))}
	if err := ReadFull(p.src, u.data, off); err != nil {
		return nil, err
	}
	p.cache.put(key, u)
	return u.data, nil
}

// ReadFull reads all of b at off. A source that ends before gives
// io.ErrUnexpectedEOF.
func ReadFull(src imaging.Source, b []byte, off int64) error {
	n, err := src.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read at %d: %w", off+int64(n), err)
}
