package inside

import (
	"archive/tar"
	"errors"
	"io"
)

// tar decodes the members of a tar. Behind damage and behind the end of the
// archive the next header is looked for.
func (d *Decoder) tar(f *flow, path, mark string, depth int) {
	t := tar.NewReader(f.Reader)
	for d.stopped() == nil {
		h, err := t.Next()
		var limit *limitError
		switch {
		case errors.As(err, &limit):
			d.damage(path, f.at(), err)
			return
		case err != nil:
			if !errors.Is(err, io.EOF) {
				d.damage(path, f.at(), err)
			}
			if !f.seekTar() {
				return
			}
			t = tar.NewReader(f.Reader)
		case h.Size > 0:
			plain := f.here()
			if h.Typeflag == tar.TypeGNUSparse || h.PAXRecords["GNU.sparse.major"] != "" || h.PAXRecords["GNU.sparse.map"] != "" || h.PAXRecords["GNU.sparse.offset"] != "" {
				plain = -1 // its holes are left out
			}
			d.part(f, t, plain, mark+clip(h.Name), depth, false)
		}
	}
}

// seekTar goes on to the next block that is a header of tar.
func (f *flow) seekTar() bool {
	if _, err := f.Discard(int(-f.at() & (tarBlock - 1))); err != nil {
		return false
	}
	for {
		b, err := f.Peek(tarBlock)
		switch {
		case err != nil:
			return false
		case tarHeader(b):
			return true
		}
		_, _ = f.Discard(tarBlock) // buffered
	}
}
