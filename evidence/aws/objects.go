package aws

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"snapcase/evidence"
	"snapcase/imaging"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const (
	// mostObjects bounds a list in memory, mostFolders what is looked into for it.
	mostObjects = 5_000_000
	mostFolders = 1_000_000
)

// objectPage is a page of a list.
type objectPage struct {
	objects []evidence.Object
	folders []string
	more    bool
}

// pager gives the pages of a list of one prefix, one a call.
type pager func(ctx context.Context) (objectPage, error)

// List lists the objects that are wanted, by the bytes of their keys; with
// Versions every version of them and every delete marker, in the order of the
// service: the newest of a key first.
func (b *Bucket) List(ctx context.Context) ([]evidence.Object, error) {
	var all []evidence.Object
	left := int64(0)
	folders := []string{b.Prefix}
	for looked := 0; len(folders) > 0; looked++ {
		folder := folders[len(folders)-1]
		folders = folders[:len(folders)-1]
		doing := fmt.Sprintf("list s3://%s/%s", b.Name, folder)
		next := b.pages(folder, b.Select.deeper(folder))
		for empty := 0; ; {
			p, err := next(ctx)
			if errors.Is(err, errOddList) {
				return nil, fmt.Errorf("%s: %w", doing, err)
			}
			if err != nil {
				return nil, b.account.explain(doing, err)
			}
			for _, f := range p.folders {
				if b.Select.wants(f) {
					folders = append(folders, f)
				}
			}
			for _, o := range p.objects {
				if !b.Select.wants(o.Key) {
					left++
					continue
				}
				all = append(all, o)
			}
			b.account.progress.Report(evidence.Step{What: doing, Done: int64(len(all)), Unit: "objects"})
			if !p.more {
				break
			}
			if empty++; len(p.objects)+len(p.folders) > 0 {
				empty = 0
			}
			if empty > emptyPages || len(all) > mostObjects || len(folders)+looked > mostFolders {
				return nil, evidence.WithHint(fmt.Errorf("%s: the list does not come to its end after %d objects", doing, len(all)), "acquire a longer prefix: a day, or a region")
			}
		}
	}
	slices.SortStableFunc(all, func(x, y evidence.Object) int { return strings.Compare(x.Key, y.Key) })
	if err := b.count(all); err != nil {
		return nil, fmt.Errorf("list s3://%s/%s: %w", b.Name, b.Prefix, err)
	}
	b.left = left
	return all, nil
}

// errOddList says that an answer is none of a list.
var errOddList = errors.New("the list is odd")

// count counts versions, and refuses a list that names something twice.
func (b *Bucket) count(all []evidence.Object) error {
	b.origin.Versions, b.origin.DeleteMarkers = 0, 0
	seen := map[string]bool{} // versions of the present key
	for i := range all {
		o := &all[i]
		if i > 0 && o.Key != all[i-1].Key {
			clear(seen)
		}
		if seen[o.Version] {
			return fmt.Errorf("%w: %q is listed twice", errOddList, o.Key)
		}
		seen[o.Version] = true
		switch {
		case o.DeleteMarker:
			b.origin.DeleteMarkers++
		case b.Versions:
			b.origin.Versions++
		}
	}
	return nil
}

// pages lists below a prefix; by folders where deeper is set.
func (b *Bucket) pages(prefix string, deeper bool) pager {
	var delimiter *string
	if deeper {
		delimiter = sdk.String("/")
	}
	if b.Versions {
		return b.versionPages(&s3.ListObjectVersionsInput{Bucket: &b.Name, Prefix: &prefix, Delimiter: delimiter, EncodingType: types.EncodingTypeUrl})
	}
	in := &s3.ListObjectsV2Input{Bucket: &b.Name, Prefix: &prefix, Delimiter: delimiter, EncodingType: types.EncodingTypeUrl}
	return func(ctx context.Context) (p objectPage, err error) {
		out, err := b.client.ListObjectsV2(ctx, in)
		if err != nil {
			return p, err
		}
		for i := range out.Contents {
			c := &out.Contents[i]
			o := evidence.Object{Key: sdk.ToString(c.Key), ETag: sdk.ToString(c.ETag), Size: sdk.ToInt64(c.Size), Class: string(c.StorageClass)}
			if c.LastModified != nil {
				o.Modified = imaging.TimeOf(*c.LastModified)
			}
			if err := p.add(o, out.EncodingType); err != nil {
				return p, err
			}
		}
		if err := p.addFolders(out.CommonPrefixes, out.EncodingType); err != nil {
			return p, err
		}
		in.ContinuationToken = out.NextContinuationToken
		return p, p.continues(out.IsTruncated, in.ContinuationToken)
	}
}

// versionPages lists versions and delete markers.
func (b *Bucket) versionPages(in *s3.ListObjectVersionsInput) pager {
	return func(ctx context.Context) (p objectPage, err error) {
		out, err := b.client.ListObjectVersions(ctx, in)
		if err != nil {
			return p, err
		}
		for i := range out.Versions {
			c := &out.Versions[i]
			o := evidence.Object{Key: sdk.ToString(c.Key), Version: sdk.ToString(c.VersionId), ETag: sdk.ToString(c.ETag), Size: sdk.ToInt64(c.Size), Class: string(c.StorageClass), Older: !sdk.ToBool(c.IsLatest)}
			if c.LastModified != nil {
				o.Modified = imaging.TimeOf(*c.LastModified)
			}
			if err := p.add(o, out.EncodingType); err != nil {
				return p, err
			}
		}
		for i := range out.DeleteMarkers {
			c := &out.DeleteMarkers[i]
			o := evidence.Object{Key: sdk.ToString(c.Key), Version: sdk.ToString(c.VersionId), Older: !sdk.ToBool(c.IsLatest), DeleteMarker: true}
			if c.LastModified != nil {
				o.Modified = imaging.TimeOf(*c.LastModified)
			}
			if err := p.add(o, out.EncodingType); err != nil {
				return p, err
			}
		}
		if err := p.addFolders(out.CommonPrefixes, out.EncodingType); err != nil {
			return p, err
		}
		in.KeyMarker, in.VersionIdMarker = out.NextKeyMarker, out.NextVersionIdMarker
		if out.EncodingType == types.EncodingTypeUrl && in.KeyMarker != nil {
			key, err := url.QueryUnescape(*in.KeyMarker)
			if err != nil {
				return p, fmt.Errorf("%w: key %q: %w", errOddList, *in.KeyMarker, err)
			}
			in.KeyMarker = &key
		}
		return p, p.continues(out.IsTruncated, in.KeyMarker)
	}
}

// add takes an object as it was listed.
func (p *objectPage) add(o evidence.Object, encoding types.EncodingType) (err error) {
	o.ETag = strings.Trim(o.ETag, `"`)
	if encoding == types.EncodingTypeUrl {
		escaped := o.Key
		if o.Key, err = url.QueryUnescape(escaped); err != nil {
			return fmt.Errorf("%w: key %q: %w", errOddList, escaped, err)
		}
	}
	if o.Key == "" || o.Size < 0 {
		return fmt.Errorf("%w: an object %q of %d bytes", errOddList, o.Key, o.Size)
	}
	p.objects = append(p.objects, o)
	return nil
}

func (p *objectPage) addFolders(all []types.CommonPrefix, encoding types.EncodingType) (err error) {
	for _, c := range all {
		f := sdk.ToString(c.Prefix)
		if encoding == types.EncodingTypeUrl {
			escaped := f
			if f, err = url.QueryUnescape(escaped); err != nil {
				return fmt.Errorf("%w: prefix %q: %w", errOddList, escaped, err)
			}
		}
		if f == "" {
			return fmt.Errorf("%w: a folder without a name", errOddList)
		}
		p.folders = append(p.folders, f)
	}
	return nil
}

// continues notes whether there is another page.
func (p *objectPage) continues(truncated *bool, token *string) error {
	if p.more = sdk.ToBool(truncated); p.more && sdk.ToString(token) == "" {
		return fmt.Errorf("%w: it is cut off and does not say where it goes on", errOddList)
	}
	return nil
}
