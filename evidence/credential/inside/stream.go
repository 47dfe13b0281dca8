package inside

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// stream looks at what f begins with and decodes it. named says that path ends
// in the mark of a compressed file, which its content has no name of its own
// behind: a tar puts its members there.
func (d *Decoder) stream(f *flow, path string, depth int, marked bool) {
	head, _ := f.Peek(headSize) // what cannot be read is told below
	kind := sniff(head)
	if kind == 0 {
		d.leaf(f, path, depth)
		return
	}
	joined := marked && (kind == kindTar || kind == kindZip)
	if depth == maxDepth && !joined {
		d.damage(path, 0, fmt.Errorf("it is %s inside %d other containers: not decoded", kind, maxDepth))
		d.leaf(f, path, depth)
		return
	}
	mark, inner := path+"!", depth+1
	if joined {
		mark, inner = path, depth
	}
	switch kind {
	case kindTar:
		d.tar(f, path, mark, inner)
	case kindZip:
		d.zip(f, path, mark, inner)
	case kindJournal:
		d.journal(f, path, mark, inner)
	case kindSQLite:
		d.sqlite(f, path, mark, inner)
	case kindZlib:
		d.zlib(f, path, mark, inner)
	case kindPack:
		d.pack(f, path, mark, inner)
	default:
		d.packed(kind, f, path, mark, inner)
	}
}

// guarded runs f; a panic is damage to what path names.
func (d *Decoder) guarded(path string, f func()) {
	defer func() {
		if r := recover(); r != nil {
			d.damage(path, -1, fmt.Errorf("the decoder failed: %v", r))
		}
	}()
	f()
}

// damage tells of an error, unless the walk ends anyway.
func (d *Decoder) damage(path string, at int64, err error) {
	if err == nil || d.stopped() != nil {
		return
	}
	d.take.Damage(path, at, err.Error())
}

// decoded is the stream that r gives, made of what is read of from.
func (d *Decoder) decoded(r io.Reader, from counter) *flow {
	b := &bounded{d: d, r: r, from: from, base: from.count()}
	return &flow{Reader: d.free.reader(b), in: b, plain: -1}
}

// within decodes what r gives, which is made of f, as the stream at path.
func (d *Decoder) within(f *flow, r io.Reader, path string, depth int, marked bool) {
	d.part(f, r, -1, path, depth, marked)
}

// part is within for what lies in the source as it is, from byte plain on.
func (d *Decoder) part(f *flow, r io.Reader, plain int64, path string, depth int, marked bool) {
	in := d.decoded(r, f.in)
	in.plain = plain
	defer d.free.keepReader(in.Reader)
	d.guarded(path, func() { d.stream(in, path, depth, marked) })
}

// leaf gives the bytes of f as they are, unless they are those of the source
// itself, and looks for base64 in them.
func (d *Decoder) leaf(f *flow, path string, depth int) {
	if path == "" && d.sparse() {
		d.surface(f)
		return
	}
	block := d.free.block()
	defer d.free.keepBlock(block)
	runs := &runs{d: d, path: path, depth: depth}
	defer runs.close()
	var out io.WriteCloser
	for {
		n, err := fill(f, block)
		last := err != nil
		switch {
		case path == "": // found by whoever reads the source
		case out == nil && last:
			if n > 0 {
				d.take.Whole(path, f.plain, block[:n])
			}
		default:
			if out == nil {
				out = d.take.Stream(path, f.plain)
			}
			_, err := out.Write(block[:n])
			d.stop(err)
		}
		if depth < maxDepth {
			runs.look(block[:n])
		}
		if !last && d.stopped() == nil {
			continue
		}
		if out != nil {
			d.stop(out.Close())
		}
		if !errors.Is(err, io.EOF) {
			d.damage(path, f.at(), err)
		}
		return
	}
}

// clip cuts a name that is longer than any path, so that names cost little.
func clip(name string) string {
	if len(name) <= maxName {
		return name
	}
	return fmt.Sprintf("%s…(%d bytes)", name[:maxName], len(name))
}

// fill reads until b is full; the error is io.EOF only where the stream ends as
// it should.
func fill(r io.Reader, b []byte) (n int, err error) {
	for idle := 0; n < len(b); {
		k, err := r.Read(b[n:])
		n += k
		if err != nil {
			return n, err
		}
		if k > 0 {
			idle = 0
		} else if idle++; idle == 100 {
			return n, io.ErrNoProgress
		}
	}
	return n, nil
}

// seek goes on to the next place where sign stands; false at the end.
func (f *flow) seek(sign string) bool {
	for {
		b, err := f.Peek(readSize)
		if i := bytes.Index(b, []byte(sign)); i >= 0 {
			_, _ = f.Discard(i) // buffered
			return true
		}
		if err != nil {
			_, _ = f.Discard(len(b))
			return false
		}
		_, _ = f.Discard(len(b) - len(sign) + 1)
	}
}
