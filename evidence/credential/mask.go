package credential

import (
	"bytes"
	"errors"
	"io"
)

// ReadWriterAt is a file that can be changed in place.
type ReadWriterAt interface {
	io.ReaderAt
	io.WriterAt
}

// Mask writes asterisks over the secrets (as Secrets has them) in what was
// derived from evidence: a file name or the target of a link can hold one, and
// would carry it into a report. It gives the number of places. The length
// stays, and so do quotation marks, commas, tags and the ends of lines, so
// that no name can hide what is told behind it. What FindSecret still finds
// then has no mask.
func Mask(f ReadWriterAt, size int64) (places int, err error) {
	const window, keep = 256 << 10, 4 * Margin
	buf := make([]byte, window)
	for off := int64(0); off < size; {
		b := buf[:min(window, size-off)]
		if n, err := f.ReadAt(b, off); n < len(b) {
			return places, errors.Join(err, io.ErrUnexpectedEOF)
		}
		last := off+int64(len(b)) == size
		n := maskSecrets(b, last)
		if places += n; n > 0 {
			if _, err := f.WriteAt(b, off); err != nil {
				return places, err
			}
		}
		if last {
			return places, nil
		}
		off += int64(len(b) - keep)
	}
	return places, nil
}

// MaskText is s with asterisks over its secrets.
func MaskText(s string) string {
	b := []byte(s)
	if maskSecrets(b, true) == 0 {
		return s
	}
	return string(b)
}

// maskSecrets masks b, but for what begins in its last bytes when there are
// more to come: the next window has that whole.
func maskSecrets(b []byte, last bool) (places int) {
	for range 4 { // a mask can uncover what stood too near to another secret
		found := false
		for _, r := range Secrets(b) {
			if !last && r[0] >= len(b)-2*Margin {
				break
			}
			found = true
			places++
			maskRange(b, r[0], r[1])
		}
		if !found {
			break
		}
	}
	return places
}

// maskRange masks the letters of b[from:to] up to the end of the string or
// line; of a private key also the dashes that make it one.
func maskRange(b []byte, from, to int) {
	if bytes.HasSuffix(b[:from], []byte("PRIVATE KEY-----")) {
		copy(b[from-5:], "*****")
	}
	for i := from; i < to; i++ {
		switch b[i] {
		case 0:
		case '"', '<', '>', '&', ',', '|', '\n', '\r', '\\':
			return
		default:
			b[i] = '*'
		}
	}
}
