package aws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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
func (b *Bucket) Origin() evidence.Origin { return b.origin }

// mostObjects bounds a list in memory.
const mostObjects = 5_000_000

// List lists the objects, by the bytes of their keys.
func (b *Bucket) List(ctx context.Context) ([]evidence.Object, error) {
	doing := fmt.Sprintf("list s3://%s/%s", b.Name, b.Prefix)
	in := &s3.ListObjectsV2Input{Bucket: &b.Name, Prefix: &b.Prefix, EncodingType: types.EncodingTypeUrl}
	var all []evidence.Object
	for empty := 0; ; {
		out, err := b.client.ListObjectsV2(ctx, in)
		if err != nil {
			return nil, b.account.explain(doing, err)
		}
		if empty++; len(out.Contents) > 0 {
			empty = 0
		}
		for i := range out.Contents {
			o, err := listedObject(&out.Contents[i], out.EncodingType)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", doing, err)
			}
			all = append(all, o)
		}
		b.account.progress.Report(evidence.Step{What: doing, Done: int64(len(all)), Unit: "objects"})
		if !sdk.ToBool(out.IsTruncated) {
			break
		}
		if in.ContinuationToken = out.NextContinuationToken; sdk.ToString(in.ContinuationToken) == "" || empty > emptyPages || len(all) > mostObjects {
			return nil, evidence.WithHint(fmt.Errorf("%s: the list does not come to its end after %d objects", doing, len(all)), "acquire a longer prefix: a day, or a region")
		}
	}
	slices.SortFunc(all, func(a, b evidence.Object) int { return strings.Compare(a.Key, b.Key) })
	for i := 1; i < len(all); i++ {
		if all[i].Key == all[i-1].Key {
			return nil, fmt.Errorf("%s: %q is listed twice", doing, all[i].Key)
		}
	}
	return all, nil
}

func listedObject(c *types.Object, encoding types.EncodingType) (evidence.Object, error) {
	o := evidence.Object{Key: sdk.ToString(c.Key), ETag: strings.Trim(sdk.ToString(c.ETag), `"`), Size: sdk.ToInt64(c.Size), Class: string(c.StorageClass)}
	if encoding == types.EncodingTypeUrl {
		key, err := url.QueryUnescape(o.Key)
		if err != nil {
			return o, fmt.Errorf("key %q: %w", o.Key, err)
		}
		o.Key = key
	}
	if c.LastModified != nil {
		o.Modified = imaging.TimeOf(*c.LastModified)
	}
	if o.Key == "" || o.Size < 0 {
		return o, fmt.Errorf("an object %q of %d bytes", o.Key, o.Size)
	}
	return o, nil
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
	o.Version, o.SSE, o.KMSKey = sdk.ToString(out.VersionId), string(out.ServerSideEncryption), sdk.ToString(out.SSEKMSKeyId)
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
