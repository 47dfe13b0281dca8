package image

import (
	"errors"
	"fmt"

	"snapcase/imaging"
	"snapcase/imaging/image/container"
	"snapcase/imaging/image/zst"
)

// Packed is an open image in the seekable zstd format whose bytes are a raw
// disk, whatever they look like. It is an imaging.Source; ReadAt is safe for
// concurrent use.
type Packed struct {
	file *File
	img  *container.Image
}

// OpenPacked opens the zstd file at path as what it holds. Unlike OpenAny it
// looks for no container within and for no other file, and a damaged frame is
// an error of ReadAt: it is for sealed copies, in which nothing may be damaged.
func OpenPacked(path string) (*Packed, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	img, err := zst.Open(f)
	if err == nil && len(img.Damage) > 0 {
		err = errors.New(img.Damage[0])
	}
	if err != nil {
		return nil, fmt.Errorf("open image %s: %w", path, errors.Join(err, f.Close()))
	}
	return &Packed{f, img}, nil
}

// Size is the length of the disk in bytes.
func (p *Packed) Size() int64 { return p.img.Size() }

// ReadAt reads the disk as io.ReaderAt.
func (p *Packed) ReadAt(b []byte, off int64) (int, error) {
	n, err := p.img.ReadAt(b, off)
	if gaps := p.img.GapsIn(off, int64(n)); len(gaps) > 0 {
		g := gaps[0]
		return int(max(0, g.Offset-off)), &imaging.FormatError{Format: "zst", Offset: g.Offset, Reason: g.Reason}
	}
	return n, err
}

// Close closes the file.
func (p *Packed) Close() error { return p.file.Close() }
