package aws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"snapcase/evidence"
	"snapcase/imaging"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Bucket is the objects under a prefix of an S3 bucket.
type Bucket struct {
	Name, Prefix string
	// Versions asks for every version of every object, and for delete markers.
	Versions bool
	// Select says which logs are wanted; its zero value wants everything.
	Select Selection

	left    int64 // objects that were listed last and are not wanted
	account *Account
	client  *s3.Client
	origin  evidence.Origin
}

// ParseBucket takes s3://bucket/prefix apart.
func ParseBucket(s string) (name, prefix string, ok bool) {
	rest, ok := strings.CutPrefix(s, "s3://")
	name, prefix, _ = strings.Cut(rest, "/")
	return name, prefix, ok && name != ""
}

// Bucket finds the bucket's region, and what it promises of its objects:
// versions, Object Lock, policy. What of that may not be asked is a note.
func (a *Account) Bucket(ctx context.Context, name, prefix string) (*Bucket, error) {
	b := &Bucket{Name: name, Prefix: prefix, account: a, origin: evidence.Origin{Service: "s3", Region: a.Region, Bucket: name, Prefix: prefix}}
	b.client = a.s3(a.Region)
	where, err := b.client.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: &name})
	switch r := refused(err); {
	case err == nil:
		if b.origin.Region = string(where.LocationConstraint); b.origin.Region == "" {
			b.origin.Region = "us-east-1"
		}
		b.client = a.s3(b.origin.Region)
	case r.code == "NoSuchBucket":
		return nil, evidence.WithHint(fmt.Errorf("s3://%s: there is no such bucket: %w", name, evidence.ErrNotFound), "check the name; aws s3 ls lists the buckets of the account")
	case r.denied() && !r.expired() && !r.unknownKey():
		b.note("s3:GetBucketLocation", err)
	default:
		return nil, a.explain("look up s3://"+name, err)
	}
	if caller, err := a.Caller(ctx); err == nil {
		b.origin.Caller, b.origin.CallerAccount = caller.ARN, caller.Account
	}
	b.promises(ctx)
	return b, ctx.Err()
}

// s3 is a client for a region; an endpoint of the user's own wants the bucket in
// the path.
func (a *Account) s3(region string) *s3.Client {
	return s3.NewFromConfig(a.config, func(o *s3.Options) { o.Region, o.UsePathStyle = region, a.custom })
}

func (b *Bucket) note(what string, err error) {
	b.origin.Notes = append(b.origin.Notes, what+": "+plain(err).Error())
}

// promises asks what the bucket says of its objects.
func (b *Bucket) promises(ctx context.Context) {
	if v, err := b.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &b.Name}); err != nil {
		b.note("s3:GetBucketVersioning", err)
	} else if b.origin.Versioning = string(v.Status); v.Status == "" {
		b.origin.Versioning = "never enabled"
	}
	l, err := b.client.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &b.Name})
	switch r := refused(err); {
	case r.code == "ObjectLockConfigurationNotFoundError":
		b.origin.ObjectLock = "none"
	case err != nil:
		b.note("s3:GetObjectLockConfiguration", err)
	case l.ObjectLockConfiguration != nil:
		b.origin.ObjectLock = string(l.ObjectLockConfiguration.ObjectLockEnabled)
		if r := l.ObjectLockConfiguration.Rule; r != nil && r.DefaultRetention != nil {
			b.origin.ObjectLock += fmt.Sprintf(", %s for %d days %d years", r.DefaultRetention.Mode, sdk.ToInt32(r.DefaultRetention.Days), sdk.ToInt32(r.DefaultRetention.Years))
		}
	}
	p, err := b.client.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: &b.Name})
	switch r := refused(err); {
	case r.code == "NoSuchBucketPolicy":
	case err != nil:
		b.note("s3:GetBucketPolicy", err)
	default:
		b.origin.Notes = append(b.origin.Notes, "bucket policy: "+sdk.ToString(p.Policy))
	}
}

// Origin says where the objects come from.
func (b *Bucket) Origin() evidence.Origin {
	o := b.origin
	o.Notes = slices.Clone(o.Notes)
	if o.Selected = b.Select.String(); b.left > 0 {
		o.Notes = append(o.Notes, fmt.Sprintf("%d objects were listed and are not of the selection", b.left))
	}
	return o
}

// Open reads an object as it was listed, and says all that the service says of
// it. A read that breaks off goes on where it was. An error that is not
// imaging.ErrGone is of this object alone.
func (b *Bucket) Open(ctx context.Context, o evidence.Object) (evidence.ObjectReader, error) {
	r := &body{bucket: b, ctx: ctx, object: o}
	if err := r.open(); err != nil {
		return nil, err
	}
	return r, nil
}

// get asks for an object from an offset.
func (b *Bucket) get(ctx context.Context, o *evidence.Object, from int64) (*s3.GetObjectOutput, error) {
	in := &s3.GetObjectInput{Bucket: &b.Name, Key: &o.Key, ChecksumMode: types.ChecksumModeEnabled}
	if b.Versions && o.Version != "" {
		in.VersionId = &o.Version
	}
	if o.ETag != "" {
		in.IfMatch = sdk.String(`"` + o.ETag + `"`)
	}
	if from > 0 {
		in.Range = sdk.String(fmt.Sprintf("bytes=%d-", from))
	}
	out, err := b.client.GetObject(ctx, in)
	if err == nil {
		return out, nil
	}
	if evidence.Canceled(err) && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	switch r := refused(err); {
	case r.code == "InvalidObjectState":
		return nil, fmt.Errorf("archived (%s): restore it first", o.Class)
	case r.status == http.StatusPreconditionFailed:
		return nil, errors.New("changed since it was listed")
	case r.status == http.StatusNotFound:
		return nil, errors.New("gone since it was listed")
	case r.expired(), r.unknownKey(), r.status == 0, r.status >= 500, r.throttled():
		return nil, b.account.explain(fmt.Sprintf("read s3://%s/%s", b.Name, o.Key), err)
	case r.denied():
		return nil, fmt.Errorf("forbidden: %w", plain(err))
	}
	return nil, plain(err)
}

// describe adds what an answer says of an object.
func describe(o *evidence.Object, out *s3.GetObjectOutput) {
	if v := sdk.ToString(out.VersionId); v != "" || o.Version == "" {
		o.Version = v
	}
	o.SSE, o.KMSKey = string(out.ServerSideEncryption), sdk.ToString(out.SSEKMSKeyId)
	o.Type, o.Encoding, o.Metadata = sdk.ToString(out.ContentType), sdk.ToString(out.ContentEncoding), out.Metadata
	o.Request, _ = middleware.GetRequestIDMetadata(out.ResultMetadata)
	if out.ObjectLockMode != "" {
		o.Lock = string(out.ObjectLockMode)
		if d := out.ObjectLockRetainUntilDate; d != nil {
			o.Lock += " until " + imaging.TimeOf(*d).String()
		}
	}
	o.Checksums = nil
	for _, c := range []struct {
		name  string
		value *string
	}{{"sha256", out.ChecksumSHA256}, {"sha1", out.ChecksumSHA1}, {"crc64nvme", out.ChecksumCRC64NVME}, {"crc32c", out.ChecksumCRC32C}, {"crc32", out.ChecksumCRC32}} {
		if c.value != nil {
			o.Checksums = append(o.Checksums, c.name+" "+*c.value)
		}
	}
}
