package inside

import (
	"bytes"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
)

const (
	zipLocal     = "PK\x03\x04"
	zipEncrypted = 1
	zipLater     = 8 // lengths follow the data
)

// zip decodes the members of a zip, in the order of their local headers.
func (d *Decoder) zip(f *flow, path, mark string, depth int) {
	for f.seek(zipLocal) && d.stopped() == nil {
		at := f.at()
		m, err := f.zipMember()
		if err != nil {
			d.damage(path, at, err)
			continue
		}
		d.zipContent(f, m, path, mark, depth, at)
	}
}

// zipMember is what a local header says.
type zipMember struct {
	name    string
	flags   uint16
	method  uint16
	crc     uint32
	in, out int64 // lengths in the file and decoded; -1 where they follow the data
}

// zipMember reads a local header.
func (f *flow) zipMember() (m zipMember, err error) {
	var h [30]byte
	if _, err := io.ReadFull(f, h[:]); err != nil {
		return m, fmt.Errorf("zip: a header is cut off: %w", err)
	}
	m = zipMember{flags: le.Uint16(h[6:]), method: le.Uint16(h[8:]), crc: le.Uint32(h[14:]), in: int64(le.Uint32(h[18:])), out: int64(le.Uint32(h[22:]))}
	rest := make([]byte, int(le.Uint16(h[26:]))+int(le.Uint16(h[28:])))
	if _, err := io.ReadFull(f, rest); err != nil {
		return m, fmt.Errorf("zip: a header is cut off: %w", err)
	}
	n := int(le.Uint16(h[26:]))
	m.name = string(rest[:n])
	m.zip64(rest[n:])
	if m.flags&zipLater != 0 && m.in == 0 {
		m.in, m.out = -1, -1
	}
	return m, nil
}

// zip64 takes the lengths that do not fit into the header.
func (m *zipMember) zip64(extra []byte) {
	const none = 1<<32 - 1
	for len(extra) >= 4 {
		id, n := le.Uint16(extra), int(le.Uint16(extra[2:]))
		extra = extra[4:]
		if n > len(extra) {
			return
		}
		if b := extra[:n]; id == 1 {
			for _, v := range []*int64{&m.out, &m.in} {
				if *v == none && len(b) >= 8 {
					*v = int64(min(le.Uint64(b), 1<<62)) //nolint:gosec // bounded
					b = b[8:]
				}
			}
			return
		}
		extra = extra[n:]
	}
}

// zipContent decodes one member and goes past it.
func (d *Decoder) zipContent(f *flow, m zipMember, path, mark string, depth int, at int64) {
	name := mark + clip(m.name)
	var in io.Reader = f.Reader // flate takes no byte too many of it
	var data *io.LimitedReader
	if m.in >= 0 {
		data = &io.LimitedReader{R: f.Reader, N: m.in}
		in = data
	}
	bad := func(reason string, args ...any) {
		d.damage(path, at, fmt.Errorf("zip: the member %q: "+reason, append([]any{clip(m.name)}, args...)...))
	}
	switch {
	case m.flags&zipEncrypted != 0:
		bad("it is encrypted: not decoded")
	case m.method == 0 && data == nil:
		s := &storedReader{f: f}
		d.checked(f, s, m, name, depth)
		if !s.end {
			bad("it is stored, its length is not known, and no end of it was found")
		}
	case m.method == 0:
		d.checked(f, in, m, name, depth)
	case m.method == 8:
		z := d.free.inflater(in)
		d.checked(f, z, m, name, depth)
		d.free.keepInflater(z)
	default:
		bad("its method %d is not decoded", m.method)
	}
	if data == nil {
		return // the next header is looked for
	}
	if _, err := f.skip(data.N); err != nil && !errors.Is(err, io.EOF) {
		d.damage(path, at, err)
	} else if err != nil {
		bad("it is cut off")
	}
}

// checked decodes a member and compares its checksum where that is known.
func (d *Decoder) checked(f *flow, r io.Reader, m zipMember, name string, depth int) {
	c := &crcReader{r: r, sum: crc32.NewIEEE()}
	plain := int64(-1)
	if m.method == 0 {
		plain = f.here()
	}
	d.part(f, c, plain, name, depth, false)
	if c.end && m.out >= 0 && m.flags&zipLater == 0 && (c.sum.Sum32() != m.crc || c.n != m.out) {
		d.damage(name, c.n, errors.New("zip: it fails its checksum"))
	}
}

// storedReader is a member that is stored and followed by its length: it ends
// where a length stands that fits.
type storedReader struct {
	f   *flow
	n   int64
	end bool
}

const zipDescriptor = "PK\x07\x08" // then checksum and both lengths, 4 bytes each

func (s *storedReader) Read(p []byte) (int, error) {
	b, err := s.f.Peek(min(len(p)+16, readSize))
	if len(b) == 0 {
		return 0, err
	}
	most := min(len(p), len(b))
	if err == nil {
		most = min(most, max(1, len(b)-15)) // a length may go on behind b
	}
	for i := 0; i < most; {
		k := bytes.Index(b[i:], []byte(zipDescriptor))
		if k < 0 {
			break
		}
		i += k
		if i+16 <= len(b) && int64(le.Uint32(b[i+12:])) == s.n+int64(i) && le.Uint32(b[i+8:]) == le.Uint32(b[i+12:]) {
			if i == 0 {
				s.end = true
				return 0, io.EOF
			}
			most = min(most, i)
			break
		}
		i++
	}
	n := copy(p, b[:most])
	s.n += int64(n)
	_, _ = s.f.Discard(n) // buffered
	return n, nil
}

type crcReader struct {
	r   io.Reader
	sum hash.Hash32
	n   int64
	end bool
}

func (c *crcReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.sum.Write(p[:n])
	c.n += int64(n)
	c.end = c.end || errors.Is(err, io.EOF)
	return n, err
}

// skip goes n bytes on.
func (f *flow) skip(n int64) (int64, error) {
	for left := n; left > 0; {
		k, err := f.Discard(int(min(left, 1<<30)))
		left -= int64(k)
		if err != nil {
			return n - left, err
		}
	}
	return n, nil
}
