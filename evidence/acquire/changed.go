package acquire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"snapcase/evidence"
	"snapcase/imaging"
	"snapcase/imaging/disk"
	"snapcase/imaging/filesystem"
)

// Changed says which part of a remote source is acquired: what changed since an
// older state of it, and what the file systems need to be listed.
type Changed struct {
	// Since is what the older state is called.
	Since string
	// Next gives the first range at or behind off that changed; start is the
	// source's size where there is none.
	Next func(off int64) (start, end int64)
}

// selection is a remote source of which only some blocks are acquired. What is
// not wanted is never asked for: it is given as zeros, for the copy and its
// digest alone, and map.jsonl says where that is.
type selection struct {
	Input
	since   string
	block   int64
	changed *imaging.Bitmap
	wanted  *imaging.Bitmap // blocks that changed or were looked at; some of them are zeros
}

// choose decides which blocks of a source are acquired. The metadata is found by
// doing with the source what the index does with the image: the table is read,
// every file system is walked, the owners of its blocks are listed, and which
// blocks that takes is noted.
func (j *Job) choose(ctx context.Context) (*selection, error) {
	r := j.Remote
	block, size := int64(r.Block), r.Input.Size()
	n := (size + block - 1) / block
	s := &selection{Input: r.Input, since: r.Changed.Since, block: block, changed: imaging.NewBitmap(n), wanted: imaging.NewBitmap(n)}
	for off := int64(0); off < size; {
		start, end := r.Changed.Next(off)
		if start >= size || end <= start {
			break
		}
		for i := start / block; i*block < end; i++ {
			s.changed.Set(i)
			s.wanted.Set(i)
		}
		off = end
	}
	look := &looker{Input: r.Input, block: block, seen: s.wanted}
	if err := look.metadata(ctx, j.Progress); err != nil {
		return nil, fmt.Errorf("find the metadata of the file systems: %w", err)
	}
	return s, nil
}

// looker notes which blocks of a source are read.
type looker struct {
	Input
	block int64
	mu    sync.Mutex
	seen  *imaging.Bitmap
}

// ReadAt reads the source.
func (l *looker) ReadAt(p []byte, off int64) (int, error) {
	l.mu.Lock()
	for i := off / l.block; off >= 0 && len(p) > 0 && i <= (min(off+int64(len(p)), l.Size())-1)/l.block; i++ {
		l.seen.Set(i)
	}
	l.mu.Unlock()
	return l.Input.ReadAt(p, off)
}

// metadata reads what it takes to list the files and the owners of blocks.
// Damage is for the index to tell; the error is that the source went away.
func (l *looker) metadata(ctx context.Context, p evidence.Progress) error {
	d, err := disk.Open(l)
	if err != nil {
		return l.gone(ctx, err)
	}
	entries := int64(0)
	for _, v := range d.Volumes {
		if v.FS == nil {
			continue
		}
		for range v.FS.Walk(ctx) { //nolint:errcheck // its damage is for the index to tell; gone tells of a source that went away
			if entries++; entries%1024 == 0 {
				p.Report(evidence.Step{What: "find the metadata", Done: entries, Unit: "entries"})
			}
			if err := l.gone(ctx, nil); err != nil {
				return err
			}
		}
		l.attributes(ctx, v)
	}
	return l.gone(ctx, nil)
}

// attributes reads the blocks of extended attributes, which a walk leaves out.
func (l *looker) attributes(ctx context.Context, v *disk.Volume) {
	m, ok := v.FS.(filesystem.Mapper)
	if !ok {
		return
	}
	one := make([]byte, 1)
	for x, err := range m.Extents(ctx) {
		if err != nil || x.Kind != filesystem.OwnXattr {
			continue
		}
		for at := x.Start; at < x.Start+x.Length; at += l.block {
			v.Source.ReadAt(one, at) //nolint:errcheck,gosec // that it was asked for is what counts; gone tells of a source that went away
		}
		v.Source.ReadAt(one, x.Start+max(0, x.Length-1)) //nolint:errcheck,gosec // as above
	}
}

// gone is why a source cannot be read on, which readers of file systems take for
// damage; else it is err where that is a failure of the source.
func (l *looker) gone(ctx context.Context, err error) error {
	if s, ok := l.Input.(interface{ Err() error }); ok && s.Err() != nil {
		return s.Err()
	}
	return errors.Join(ctx.Err(), err)
}

// absent says that the source has block i and that it is not acquired.
func (s *selection) absent(i int64) bool {
	if s.wanted.Has(i) {
		return false
	}
	src, ok := s.Input.(sparse)
	if !ok {
		return true
	}
	start, _ := src.NextData(i * s.block)
	return start < (i+1)*s.block
}

// NextData gives the first range at or behind off that is acquired and not known
// to be zeros.
func (s *selection) NextData(off int64) (start, end int64) {
	size := s.Size()
	for off < size {
		i := s.wanted.Next(off/s.block, true)
		if i >= s.wanted.Len() {
			break
		}
		from, to := max(off, i*s.block), min(size, s.wanted.Next(i, false)*s.block)
		src, ok := s.Input.(sparse)
		if !ok {
			return from, to
		}
		start, end := src.NextData(from)
		if start < to {
			return start, min(end, to)
		}
		off = start
	}
	return size, size
}

// data is how many bytes NextData gives in all.
func (s *selection) data() (n int64) {
	for off := int64(0); ; {
		start, end := s.NextData(off)
		if start >= s.Size() {
			return n
		}
		n, off = n+end-start, end
	}
}

// ReadAt reads what is wanted, and gives zeros for the rest.
func (s *selection) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read: negative offset %d", off)
	}
	if off >= s.Size() {
		return 0, io.EOF
	}
	if int64(len(p)) > s.Size()-off {
		p, err = p[:s.Size()-off], io.EOF
	}
	for n < len(p) {
		at := off + int64(n)
		i := at / s.block
		want := s.wanted.Has(i)
		to := min(off+int64(len(p)), s.wanted.Next(i, !want)*s.block)
		part := p[n : n+int(to-at)]
		if !want {
			clear(part)
		} else if k, e := s.Input.ReadAt(part, at); k < len(part) {
			return n + k, e
		}
		n += len(part)
	}
	return n, err
}

// ReadBlock is ReadAt with the digest of a source that has one.
func (s *selection) ReadBlock(p []byte, off int64) (int, *evidence.Digest, error) {
	if src, ok := s.Input.(summing); ok && off >= 0 && s.wanted.Has(off/s.block) && off/s.block == (off+max(1, int64(len(p)))-1)/s.block {
		return src.ReadBlock(p, off)
	}
	n, err := s.ReadAt(p, off)
	return n, nil, err
}
