package acquire

import (
	"errors"
	"fmt"
	"io"
	"os"

	"snapcase/evidence"
)

// Partial is an image that another process acquires, or that was interrupted:
// what of it is on disk, and with the help of that process what is not. Bytes
// that cannot be had are an error, never zeros. It is safe for concurrent use.
type Partial struct {
	Exhibit string
	stock   *stock
	dir     *os.File
	last    *lastBlocks
	zero    []byte
}

// OpenPartial opens the unfinished image of an exhibit that is acquired to be
// read early. It is os.ErrNotExist where there is none, as when it was sealed
// meanwhile.
func OpenPartial(f evidence.Folder, id string) (*Partial, error) {
	x := &exhibit{Job: &Job{Folder: f}, id: id}
	h, _, err := peek(x.path(journalName))
	if err != nil {
		return nil, fmt.Errorf("open what is there of %s: %w", id, err)
	}
	if h == nil || h.Identity.Block <= 0 || h.Identity.Size <= 0 {
		return nil, fmt.Errorf("open what is there of %s: %w", id, os.ErrNotExist)
	}
	s, err := openStock(x, h.Identity.Size, h.Identity.Block, false)
	if err != nil {
		return nil, fmt.Errorf("open what is there of %s: %w", id, err)
	}
	p := &Partial{Exhibit: id, stock: s, last: newLastBlocks(earlyCache / s.block), zero: make([]byte, s.block)}
	if err = s.readListing(x.path(earlyListName)); err == nil {
		p.dir, err = os.Open(x.dir())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open what is there of %s: %w", id, err), s.close())
	}
	return p, nil
}

// Size is the length of the whole image in bytes.
func (p *Partial) Size() int64 { return p.stock.size }

// Close closes it.
func (p *Partial) Close() error { return errors.Join(p.stock.close(), p.dir.Close()) }

// ReadAt reads the image. What is not here and cannot be had is
// evidence.ErrIncomplete.
func (p *Partial) ReadAt(b []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read %s: negative offset %d", p.Exhibit, off)
	}
	if off >= p.Size() {
		return 0, io.EOF
	}
	all, eof := p.stock.pieces(b, off)
	for _, c := range all {
		data, err := p.get(c.n)
		if err != nil {
			return n, err
		}
		n += copy(c.p, data[c.from:])
	}
	if eof {
		err = io.EOF
	}
	return n, err
}

func (p *Partial) get(n int64) ([]byte, error) {
	if !p.stock.has(n) {
		return p.zero[:p.stock.length(n)], nil
	}
	if b := p.last.get(n); b != nil {
		return b, nil
	}
	b := make([]byte, p.stock.length(n))
	where, _ := p.stock.load(b, n)
	var why error
	if where == nowhere {
		if why = knock(p.dir, n); why == nil {
			where, _ = p.stock.load(b, n)
		}
	}
	switch where {
	case inImage, inEarly:
		p.last.put(n, b)
		return b, nil
	case isLost:
		return nil, p.stock.lostBlock(n)
	}
	err := fmt.Errorf("byte %d of %s is not here: %w", n*p.stock.block, p.Exhibit, evidence.ErrIncomplete)
	if why != nil {
		err = fmt.Errorf("byte %d of %s is not here: %w: %w", n*p.stock.block, p.Exhibit, evidence.ErrIncomplete, why)
	}
	return nil, evidence.WithHint(err, "run the command that acquires it again: it resumes, and fetches first what is asked for")
}
