// Package inside decodes what hides bytes from whoever reads a file as it lies:
// compressed files, archives, journals, databases, base64. It decodes as a
// stream and hands the decoded bytes on; what is looked for in them is not its
// business.
//
// # What is decoded
//
// The content decides, never a name:
//
//	gzip      1f 8b 08           every member; behind a damaged one the next is looked for
//	zstd      28 b5 2f fd        every frame; windows up to 128 MiB
//	xz        fd 37 7a 58 5a 00  every stream and block, LZMA2; dictionaries up to 64 MiB
//	bzip2     BZh and a block    every stream
//	lz4       04 22 4d 18        every frame
//	tar       checksum of a header; behind damage the next header is looked for
//	zip       PK 03 04           members stored and deflated, by their local headers in
//	                             the order of the file; its directory is not used
//	journald  LPKSHHRH           compressed DATA objects (xz, lz4, zstd), classic and compact
//	zlib      78 and a stream    a loose object of git, for instance
//	git       PACK               the objects of a pack; of a delta what is new in it
//	SQLite    SQLite format 3    payloads that are spread over overflow pages, put together
//	base64    runs of 40 and more characters of the standard alphabet in text, over
//	          lines (indented ones too)
//
// What was decoded is looked at in the same way, three levels deep.
//
// # Paths
//
// A stream is named by the way to it: an exclamation mark for each level and
// behind it the name that the container gives, raw bytes, cut at 4 KiB:
//
//	!home/u/.aws/credentials   a member of a tar, or of a tar that is compressed
//	!                          what a compressed file holds, which is no tar
//	!app.zip!conf/keys         a member of a zip in a tar
//	!object-4213440            the DATA object at that byte of a journal, the object of a pack
//	!page-12-cell-3            a record of a database
//	!base64-1042               the run of base64 that begins at byte 1042
//
// For example, of a logs.tar.gz with home/u/.aws/credentials in it the Taker
// gets one stream "!home/u/.aws/credentials", whose bytes are those of that
// file. A tar in a compressed file is one level with it.
//
// # Bounds
//
// Evidence may be a bomb. A stream ends at 64 MiB or 32 times what went into
// it, whichever is more, and at 200 times what went into it after the first 16
// MiB; all that comes out of one source ends at 64 MiB and 200 times its size;
// and all sources share a Budget. What is cut is told to the Taker: nothing is
// left out in silence. Memory does not grow with the input: blocks of 256 KiB,
// the windows above, and a database inside a container, which is held up to
// 32 MiB. A decoder that panics has failed on that stream alone.
//
// Where xz, bzip2 or lz4 are cut off or damaged, what was decoded of the last
// block (xz: of up to 2 MiB) is lost with the rest.
//
// What it does not do: decrypt, read 7z, rar, cabinets, cpio and packages (a
// compressed cpio is given as one stream), legacy lz4 and lzma, base64 for
// URLs, a zip behind a program, deflate64 and other methods of zip, and a
// write-ahead log of SQLite.
package inside

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"snapcase/imaging"
)

// Taker takes what is decoded. The methods are called by one goroutine at a
// time, and keep no slice that they are given.
type Taker interface {
	// Whole takes a stream that fits into one block. at is the byte of the
	// source from which on the stream lies there as it is, as a member of a tar
	// does; -1 where it was decoded.
	Whole(path string, at int64, b []byte)
	// Stream takes a longer one: its bytes are written in order, and Close
	// follows the last of them. An error of either ends the walk.
	Stream(path string, at int64) io.WriteCloser
	// Damage says what could not be decoded, or was cut: in the container that
	// path names ("" is the source itself), at about that byte of it, -1 where
	// that is not known.
	Damage(path string, offset int64, reason string)
}

// Budget is how many bytes may still be read of all sources that share it, and
// come out of them beyond that. It is safe for concurrent use.
type Budget struct{ left atomic.Int64 }

// Spend takes n bytes; it is ErrBudget when there are not so many.
func (b *Budget) Spend(n int64) error {
	if b.left.Add(-n) < 0 {
		return ErrBudget
	}
	return nil
}

// NewBudget makes a Budget of n bytes.
func NewBudget(n int64) *Budget {
	b := &Budget{}
	b.left.Store(n)
	return b
}

// ErrBudget says that the Budget is used up: this source was not, or not
// wholly, looked into.
var ErrBudget = errors.New("the bound on all that is decoded of one exhibit is reached")

// The bounds of the package comment.
const (
	maxDepth  = 3
	streamMax = 64 << 20
	fairRatio = 32
	maxRatio  = 200
	freeBytes = 16 << 20
)

const (
	blockSize = 256 << 10
	readSize  = 64 << 10
	headSize  = 4096
	maxName   = 4096
)

// Decoder walks sources, one at a time. It keeps what is costly to make; use
// one for each goroutine.
type Decoder struct {
	budget *Budget
	free   free

	// Of the source that is walked:
	ctx   context.Context
	take  Taker
	src   imaging.Source
	spent int64
	most  int64
	end   error // why the walk ends
}

// NewDecoder makes a Decoder that draws on a Budget.
func NewDecoder(b *Budget) *Decoder { return &Decoder{budget: b} }

// Walk decodes what src hides and gives it to t. What src holds as it lies is
// not given. Damage is told to t; the error is cancellation, ErrBudget, or that
// of a writer of t.
func (d *Decoder) Walk(ctx context.Context, src imaging.Source, t Taker) error {
	size := src.Size()
	d.ctx, d.take, d.src, d.spent, d.end = ctx, t, src, 0, nil
	d.most = streamMax + maxRatio*min(size, 1<<50)
	in := &input{d: d, src: src}
	r := d.free.reader(in)
	defer d.free.keepReader(r)
	d.guarded("", func() { d.stream(&flow{Reader: r, in: in}, "", 0, false) })
	d.src, d.take = nil, nil
	if err := ctx.Err(); err != nil {
		return err
	}
	return d.end
}

// flow is a stream that is being read: a buffer over where it comes from.
type flow struct {
	*bufio.Reader
	in    counter
	plain int64 // byte of the source where it begins and lies as it is, -1 for what is decoded
}

// here is where the byte that is read next lies in the source as it is; -1 for
// what is decoded.
func (f *flow) here() int64 {
	if f.plain < 0 {
		return -1
	}
	return f.plain + f.at()
}

// counter says how many bytes were read of a stream so far.
type counter interface{ count() int64 }

// at is the byte of the stream that is read next.
func (f *flow) at() int64 { return f.in.count() - int64(f.Buffered()) }

// input reads the source from its start.
type input struct {
	d   *Decoder
	src imaging.Source
	off int64
}

func (i *input) count() int64 { return i.off }

func (i *input) Read(p []byte) (int, error) {
	if err := i.d.stopped(); err != nil {
		return 0, err
	}
	rest := i.src.Size() - i.off
	if rest <= 0 {
		return 0, io.EOF
	}
	n, err := i.src.ReadAt(p[:min(int64(len(p)), rest)], i.off)
	i.off += int64(n)
	if e := i.d.budget.Spend(int64(n)); e != nil {
		i.d.stop(e)
		return n, e
	}
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// limitError says at which bound a stream was cut.
type limitError struct{ reason string }

func (e *limitError) Error() string { return e.reason }

// bounded is a decoded stream that ends where the bounds are.
type bounded struct {
	d    *Decoder
	r    io.Reader
	from counter // what goes into it
	base int64   // of from, when it began
	out  int64
	paid int64 // of what came out beyond what went in
}

func (b *bounded) count() int64 { return b.out }

func (b *bounded) Read(p []byte) (int, error) {
	if err := b.d.stopped(); err != nil {
		return 0, err
	}
	in := b.from.count() - b.base
	switch {
	case b.out > freeBytes+maxRatio*in:
		return 0, &limitError{fmt.Sprintf("it grows to more than %d times what went in: not read further than byte %d of what it holds", maxRatio, b.out)}
	case b.out >= max(streamMax, fairRatio*in):
		return 0, &limitError{fmt.Sprintf("it holds more than %d bytes: not read further than byte %d of what it holds", streamMax, b.out)}
	}
	n, err := b.r.Read(p)
	b.out += int64(n)
	if due := b.out - in - b.paid; due > 0 {
		b.paid += due
		if e := b.d.spend(due); e != nil {
			return n, e
		}
	}
	return n, err
}

// stopped says why nothing more is read.
func (d *Decoder) stopped() error {
	if d.end != nil {
		return d.end
	}
	return d.ctx.Err()
}

// spend counts n bytes that came out beyond those that went in.
func (d *Decoder) spend(n int64) error {
	d.spent += n
	if d.spent > d.most {
		return &limitError{fmt.Sprintf("all that it holds is more than %d times its size: not read further", maxRatio)}
	}
	d.stop(d.budget.Spend(n))
	return d.end
}

// stop ends the walk with an error, unless it ended before.
func (d *Decoder) stop(err error) {
	if d.end == nil {
		d.end = err
	}
}
