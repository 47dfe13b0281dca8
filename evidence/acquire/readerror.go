package acquire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"snapcase/evidence"
	"snapcase/imaging"

	"golang.org/x/sys/unix"
)

const (
	sector   = 512 // to which a failing read is narrowed
	attempts = 3   // at a sector, before it is given up
)

// damage collects what could not be read.
type damage struct {
	src    io.ReaderAt
	errors []errorLine
}

// read fills p from off. What cannot be read is zeros, and a range in errors.
// The error is that of ctx, or that the source is not there any more.
func (d *damage) read(ctx context.Context, p []byte, off int64) error {
	n, err := d.src.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	n = max(0, min(n, len(p)))
	if gone(err) {
		return wentAway(off, err)
	}
	if evidence.Canceled(err) && ctx.Err() != nil {
		return ctx.Err()
	}
	var r *imaging.RangeError
	if errors.As(err, &r) {
		return d.skip(ctx, p[n:], off+int64(n), r)
	}
	if errors.Is(err, io.EOF) {
		// Once more: a short read is not the end.
		m, _ := d.src.ReadAt(p[n:], off+int64(n))
		if n += max(0, m); n < len(p) {
			d.lost(p[n:], off+int64(n), io.ErrUnexpectedEOF, 1)
		}
		return nil
	}
	n -= n % sector
	return d.narrow(ctx, p[n:], off+int64(n))
}

// skip records what a source says it has lost, and reads what lies behind it.
func (d *damage) skip(ctx context.Context, p []byte, off int64, r *imaging.RangeError) error {
	n := min(int64(len(p)), r.Offset+r.Length-off)
	if r.Offset > off || n <= 0 {
		return d.narrow(ctx, p, off) // it speaks of another place
	}
	d.lost(p[:n], off, r.Err, r.Tries-1)
	if n == int64(len(p)) {
		return nil
	}
	return d.read(ctx, p[n:], off+n)
}

// gone says whether the whole source is lost, and not a part of it.
func gone(err error) bool {
	if errors.Is(err, imaging.ErrGone) {
		return true
	}
	for _, no := range []syscall.Errno{unix.ENXIO, unix.ENODEV, unix.ENOMEDIUM, unix.ESTALE, unix.ENOTCONN, unix.ESHUTDOWN} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

func wentAway(off int64, err error) error {
	var told evidence.Hinted
	if errors.As(err, &told) {
		return err
	}
	return evidence.WithHint(fmt.Errorf("read at %d: %w", off, err), "the source went away; bring it back and run the same command again: it resumes")
}

// narrow reads p in halves until what fails is a sector.
func (d *damage) narrow(ctx context.Context, p []byte, off int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	tries := 1
	if len(p) <= sector {
		tries = attempts
	}
	var err error
	for range tries {
		var n int
		if n, err = d.src.ReadAt(p, off); n == len(p) {
			return nil
		}
		if gone(err) {
			return wentAway(off, err)
		}
	}
	if len(p) <= sector {
		d.lost(p, off, err, tries-1)
		return nil
	}
	half := (len(p)/2 + sector - 1) / sector * sector
	if err := d.narrow(ctx, p[:half], off); err != nil {
		return err
	}
	return d.narrow(ctx, p[half:], off+int64(half))
}

// lost records p as unreadable; ranges that touch and failed alike are one.
func (d *damage) lost(p []byte, off int64, err error, retries int) {
	clear(p)
	e := errorLine{ReadError: evidence.ReadError{Offset: off, Length: int64(len(p)), Error: errnoText(err)}, Retries: retries}
	d.errors = appendError(d.errors, e)
}

func appendError(all []errorLine, e errorLine) []errorLine {
	if n := len(all); n > 0 {
		if l := &all[n-1]; l.Offset+l.Length == e.Offset && l.Error == e.Error && l.Retries == e.Retries {
			l.Length += e.Length
			return all
		}
	}
	return append(all, e)
}

// errnoText names the errno of err: "EIO: input/output error".
func errnoText(err error) string {
	var no syscall.Errno
	if errors.As(err, &no) {
		return fmt.Sprintf("%s: %s", unix.ErrnoName(no), no.Error())
	}
	if err == nil {
		return "short read"
	}
	return err.Error()
}
