package inside

import (
	"bytes"
	"compress/bzip2"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/pierrec/lz4/v4"
)

// packed decodes a compressed file.
func (d *Decoder) packed(k kind, f *flow, path, mark string, depth int) {
	switch k {
	case kindGzip:
		z := d.free.gzip()
		d.within(f, &members{d: d, f: f, path: path, z: z}, mark, depth, true)
		d.free.keepGzip(z)
	case kindZstd:
		z, err := d.free.zstd()
		if err == nil {
			err = z.Reset(f.Reader)
		}
		if err != nil {
			d.damage(path, 0, err)
			return
		}
		d.within(f, z, mark, depth, true)
		d.free.keepZstd(z)
	case kindXZ:
		d.within(f, &xzReader{d: d, f: f}, mark, depth, true)
	case kindBzip2:
		d.within(f, bzip2.NewReader(f.Reader), mark, depth, true)
	default:
		d.within(f, lz4.NewReader(f.Reader), mark, depth, true)
	}
}

// members is what the members of a gzip file hold, one behind the other. What
// is damaged ends a member; the next one is looked for behind it.
type members struct {
	d    *Decoder
	f    *flow
	path string
	z    *gzip.Reader
	open bool
	bad  int // members that were damaged
}

// mostBad is how many damaged members of one file are gone past: behind that
// what looks like members is none.
const mostBad = 64

func (m *members) Read(p []byte) (int, error) {
	for {
		if !m.open {
			if err := m.next(); err != nil {
				return 0, err
			}
		}
		n, err := m.z.Read(p)
		switch {
		case errors.Is(err, io.EOF):
			m.open = false
		case err != nil:
			if e := m.failed(err); e != nil {
				return n, e
			}
		}
		if n > 0 {
			return n, nil
		}
	}
}

// failed tells of damage to a member. What ends the whole stream is an error.
func (m *members) failed(err error) error {
	var limit *limitError
	if errors.As(err, &limit) || m.d.stopped() != nil {
		return err
	}
	m.open = false
	m.bad++
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return err // the file is cut off
	}
	m.d.damage(m.path, m.f.at(), err)
	if m.bad == mostBad {
		return errors.New("gzip: too many damaged members: not read further")
	}
	return nil
}

// next opens the next member; zeros may stand before it.
func (m *members) next() error {
	for {
		head, err := m.f.Peek(10)
		zeros := len(head) - len(bytes.TrimLeft(head, "\x00"))
		switch {
		case len(head) == 0:
			return err
		case zeros > 0:
			_, _ = m.f.Discard(zeros) // buffered
		case bytes.HasPrefix(head, []byte("\x1f\x8b\x08")) && gzipHeader(head):
			if err := m.z.Reset(m.f.Reader); err != nil {
				if errors.Is(err, io.EOF) {
					return io.ErrUnexpectedEOF
				}
				if e := m.failed(err); e != nil {
					return e
				}
				continue
			}
			m.z.Multistream(false)
			m.open = true
			return nil
		default:
			if m.bad == 0 {
				m.bad++
				m.d.damage(m.path, m.f.at(), errors.New("gzip: what stands behind a member is none"))
			}
			_, _ = m.f.Discard(1)
			if !m.f.seek("\x1f\x8b\x08") {
				return io.EOF
			}
		}
	}
}
