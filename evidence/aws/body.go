package aws

import (
	"context"
	"crypto/md5" //nolint:gosec // an ETag is one
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"regexp"
	"time"

	"snapcase/evidence"
)

// body reads an object. Where a read breaks off it asks for the rest. At the end
// the length must be the listed one, and the MD5 the ETag where it is one.
type body struct {
	bucket *Bucket
	ctx    context.Context //nolint:containedctx // of all reads: io.Reader has none
	object evidence.Object
	at     int64
	breaks int
	r      io.ReadCloser
	md5    hash.Hash // nil where the ETag is none
	failed error
}

var errETag = errors.New("the object does not have its ETag")

// plainETag is an ETag that is the MD5 of the object.
var plainETag = regexp.MustCompile(`^[0-9a-f]{32}$`)

// open asks for the object from where it is.
func (b *body) open() error {
	out, err := b.bucket.get(b.ctx, &b.object, b.at)
	if err != nil {
		return err
	}
	if b.at == 0 {
		describe(&b.object, out)
		b.md5 = nil
		if plainETag.MatchString(b.object.ETag) && b.object.KMSKey == "" && (b.object.SSE == "" || b.object.SSE == "AES256") {
			b.md5 = md5.New() //nolint:gosec // an ETag is one
		}
	}
	b.r = out.Body
	return nil
}

// Object is all that is known of the object.
func (b *body) Object() evidence.Object { return b.object }

// Close ends the read.
func (b *body) Close() error {
	if b.r == nil {
		return nil
	}
	return b.r.Close()
}

// Read reads on, over breaks.
func (b *body) Read(p []byte) (n int, err error) {
	if b.failed != nil {
		return 0, b.failed
	}
	n, err = b.read(p)
	b.failed = err
	return n, err
}

func (b *body) read(p []byte) (int, error) {
	for {
		n, err := b.r.Read(p)
		if n > 0 {
			if b.md5 != nil {
				b.md5.Write(p[:n])
			}
			if b.at += int64(n); b.at > b.object.Size {
				return 0, fmt.Errorf("more than the %d bytes that were listed", b.object.Size)
			}
			return n, nil
		}
		if errors.Is(err, io.EOF) && b.at == b.object.Size {
			if b.md5 != nil && hex.EncodeToString(b.md5.Sum(nil)) != b.object.ETag {
				return 0, errETag
			}
			return 0, io.EOF
		}
		if err == nil {
			continue
		}
		if b.ctx.Err() != nil {
			return 0, b.ctx.Err()
		}
		if b.breaks++; b.breaks >= tries || b.at == b.object.Size {
			return 0, fmt.Errorf("broke off after %d of %d bytes: %w", b.at, b.object.Size, err)
		}
		if err := b.again(); err != nil {
			return 0, err
		}
	}
}

// again waits, and asks for the rest.
func (b *body) again() error {
	_ = b.r.Close() // it broke off
	b.r = nil
	pause := time.Duration(b.bucket.account.random() * float64(min(longest, firstPause<<b.breaks)))
	if err := b.bucket.account.sleep(b.ctx, pause); err != nil {
		return err
	}
	return b.open()
}
