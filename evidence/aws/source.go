package aws

import (
	"context"
	"errors"
	"fmt"
	"io"

	"snapcase/evidence"
	"snapcase/imaging"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Object opens an object of a bucket to be read at any place, by ranges. It is
// the version that was there when it was opened: where another one takes its
// place, reading fails.
func (c *Calls) Object(ctx context.Context, bucket, key string) (imaging.Source, error) {
	client := s3Client(c.a.config)
	out, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return nil, c.a.explain(fmt.Sprintf("look up s3://%s/%s", bucket, key), err)
	}
	return &object{ctx: ctx, a: c.a, client: client, bucket: bucket, key: key, etag: sdk.ToString(out.ETag), size: sdk.ToInt64(out.ContentLength)}, nil
}

// object is an object of a bucket as a source.
type object struct {
	ctx               context.Context //nolint:containedctx // of all reads: io.ReaderAt has none
	a                 *Account
	client            *s3.Client
	bucket, key, etag string
	size              int64
}

// Size is the length of the object in bytes.
func (o *object) Size() int64 { return o.size }

// ReadAt asks for a range, and again where an answer breaks off.
func (o *object) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read: negative offset %d", off)
	}
	if off >= o.size {
		return 0, io.EOF
	}
	var end error
	if int64(len(p)) > o.size-off {
		p, end = p[:o.size-off], io.EOF
	}
	for breaks := 0; n < len(p); breaks++ {
		at := off + int64(n)
		in := &s3.GetObjectInput{Bucket: &o.bucket, Key: &o.key, Range: sdk.String(fmt.Sprintf("bytes=%d-%d", at, off+int64(len(p))-1))}
		if o.etag != "" {
			in.IfMatch = &o.etag
		}
		out, err := o.client.GetObject(o.ctx, in)
		if err != nil {
			return n, o.a.explain(fmt.Sprintf("read s3://%s/%s at %d", o.bucket, o.key, at), err)
		}
		k, err := io.ReadFull(out.Body, p[n:])
		n += k
		if cerr := out.Body.Close(); err == nil {
			err = cerr
		}
		if o.ctx.Err() != nil {
			return n, o.ctx.Err()
		}
		if n < len(p) && (breaks == tries || err == nil) {
			return n, evidence.WithHint(fmt.Errorf("read s3://%s/%s at %d: %w", o.bucket, o.key, at, errors.Join(errors.New("the answer broke off"), err)), "run the same command again")
		}
	}
	return n, end
}
