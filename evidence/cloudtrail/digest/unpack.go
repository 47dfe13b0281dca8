package digest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

// maxDigest is the most text that one digest file may unpack to, in bytes.
const maxDigest = 64 << 20

var (
	// errTrailing says that something stands behind the one gzip member.
	errTrailing = errors.New("there are bytes behind the end of the gzip stream")
	errPacked   = errors.New("not a whole gzip stream")
	errLarge    = errors.New("it unpacks to more than can be a digest")
)

// readFailure is an error of the source, not of what it holds.
type readFailure struct{ error }

func (r readFailure) Unwrap() error { return r.error }

// watched ends with its context, and tells failures of the source from damage.
type watched struct {
	ctx context.Context //nolint:containedctx // of this one read
	r   io.Reader
	err error
}

func (w *watched) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		w.err = err
		return 0, err
	}
	n, err := w.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

// unpack copies the text of r, which must be one gzip member and nothing behind
// it, to w. An error that is not a readFailure is about the content. Standard
// readers join members, so a log could grow at its end unseen.
func unpack(ctx context.Context, r io.Reader, w io.Writer) error {
	src := &watched{ctx: ctx, r: r}
	in := bufio.NewReaderSize(src, 64<<10)
	err := unpackMember(in, w)
	if src.err != nil {
		return readFailure{src.err}
	}
	return err
}

func unpackMember(in *bufio.Reader, w io.Writer) error {
	z, err := gzip.NewReader(in)
	if err != nil {
		return fmt.Errorf("%w: %w", errPacked, err)
	}
	z.Multistream(false)
	if _, err := io.Copy(w, struct{ io.Reader }{z}); err != nil {
		if errors.Is(err, errLarge) {
			return err
		}
		return fmt.Errorf("%w: %w", errPacked, err)
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return errTrailing
	}
	return nil
}

// bounded keeps text up to maxDigest.
type bounded struct{ b bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.b.Len()+len(p) > maxDigest {
		return 0, errLarge
	}
	return b.b.Write(p)
}

// Unpack gives the text of a digest file and its SHA-256.
func Unpack(ctx context.Context, r io.Reader) ([]byte, [sha256.Size]byte, error) {
	var b bounded
	err := unpack(ctx, r, &b)
	return b.b.Bytes(), sha256.Sum256(b.b.Bytes()), err
}
