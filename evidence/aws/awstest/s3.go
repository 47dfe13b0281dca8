package awstest

import (
	"cmp"
	"crypto/md5" //nolint:gosec // an ETag is one
	"encoding/hex"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Buckets is S3 for reading, path-style.
type Buckets struct {
	Buckets map[string]*Bucket
	// Page is the most objects of a page; 0 is 1000.
	Page int
	// Got counts the answers with an object, by bucket and key.
	Got map[string]int
}

// Bucket is one of them.
type Bucket struct {
	Region     string // "" is us-east-1
	Versioning string
	Lock       string // mode of the default retention
	Policy     string
	Objects    map[string]*Object
}

// Object is an object of a bucket.
type Object struct {
	Data      []byte
	Modified  time.Time
	Class     string // "" is STANDARD
	Version   string
	Metadata  map[string]string
	ETag      string // "" is the MD5
	SSE       string
	KMSKey    string
	Forbidden bool
	// Older are the versions behind it, the newest first. Marker says that a
	// version is a delete marker.
	Older  []*Object
	Marker bool
}

// NewBuckets is an S3 without buckets.
func NewBuckets() *Buckets { return &Buckets{Buckets: map[string]*Bucket{}, Got: map[string]int{}} }

func (o *Object) etag() string {
	if o.ETag != "" {
		return o.ETag
	}
	sum := md5.Sum(o.Data) //nolint:gosec // an ETag is one
	return hex.EncodeToString(sum[:])
}

func (o *Object) class() string {
	if o.Class == "" {
		return "STANDARD"
	}
	return o.Class
}

// Action names the call; none changes anything.
func (b *Buckets) Action(r *Request) (string, bool) {
	q := r.HTTP.URL.Query()
	for name, action := range map[string]string{"location": "GetBucketLocation", "versioning": "GetBucketVersioning", "object-lock": "GetObjectLockConfiguration", "policy": "GetBucketPolicy", "list-type": "ListObjectsV2", "versions": "ListObjectVersions"} {
		if q.Has(name) {
			return action, false
		}
	}
	return "GetObject", false
}

// Fail writes an error as XML.
func (b *Buckets) Fail(w http.ResponseWriter, r *Request, x *Error) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(x.Status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message><RequestId>%s</RequestId></Error>", x.Code, html.EscapeString(x.Message), r.ID)
}

// Serve answers.
func (b *Buckets) Serve(w http.ResponseWriter, r *Request) error {
	w.Header().Set("x-amz-request-id", r.ID)
	name, key, _ := strings.Cut(strings.TrimPrefix(r.HTTP.URL.Path, "/"), "/")
	k := b.Buckets[name]
	if k == nil {
		return &Error{Status: http.StatusNotFound, Code: "NoSuchBucket", Message: "The specified bucket does not exist"}
	}
	switch r.Action {
	case "GetBucketLocation":
		return xml(w, "<LocationConstraint>"+k.Region+"</LocationConstraint>")
	case "GetBucketVersioning":
		return xml(w, "<VersioningConfiguration><Status>"+k.Versioning+"</Status></VersioningConfiguration>")
	case "GetObjectLockConfiguration":
		if k.Lock == "" {
			return &Error{Status: http.StatusNotFound, Code: "ObjectLockConfigurationNotFoundError", Message: "none"}
		}
		return xml(w, "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>"+k.Lock+"</Mode><Days>30</Days></DefaultRetention></Rule></ObjectLockConfiguration>")
	case "GetBucketPolicy":
		if k.Policy == "" {
			return &Error{Status: http.StatusNotFound, Code: "NoSuchBucketPolicy", Message: "none"}
		}
		_, err := w.Write([]byte(k.Policy))
		return err
	case "ListObjectsV2":
		return b.list(w, r, k)
	case "ListObjectVersions":
		return b.versions(w, r, k)
	}
	return b.get(w, r, k, name, key)
}

func xml(w http.ResponseWriter, body string) error {
	w.Header().Set("Content-Type", "application/xml")
	_, err := w.Write([]byte("<?xml version=\"1.0\" encoding=\"UTF-8\"?>" + body))
	return err
}

func (b *Buckets) list(w http.ResponseWriter, r *Request, k *Bucket) error {
	q := r.HTTP.URL.Query()
	keys, folders, next := b.keys(k, q, q.Get("continuation-token"))
	x := fmt.Sprintf("<EncodingType>url</EncodingType><IsTruncated>%t</IsTruncated>", next != "")
	if next != "" {
		x += "<NextContinuationToken>" + html.EscapeString(next) + "</NextContinuationToken>"
	}
	x += folders
	for _, key := range keys {
		o := k.Objects[key]
		if o.Marker {
			continue
		}
		x += fmt.Sprintf("<Contents><Key>%s</Key><LastModified>%s</LastModified><ETag>&quot;%s&quot;</ETag><Size>%d</Size><StorageClass>%s</StorageClass></Contents>",
			url.QueryEscape(key), o.Modified.UTC().Format("2006-01-02T15:04:05.000Z"), o.etag(), len(o.Data), o.class())
	}
	return xml(w, "<ListBucketResult>"+x+"</ListBucketResult>")
}

// keys is a page of keys behind a marker, the folders among them as XML.
func (b *Buckets) keys(k *Bucket, q url.Values, after string) (keys []string, folders, next string) {
	prefix, delimiter := q.Get("prefix"), q.Get("delimiter")
	var all []string // a folder ends in the delimiter and stands for what lies in it
	isFolder := map[string]bool{}
	for key := range k.Objects {
		rest, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		if i := strings.Index(rest, delimiter); delimiter != "" && i >= 0 {
			key = prefix + rest[:i+1]
			isFolder[key] = true
		}
		if key > after && !slices.Contains(all, key) {
			all = append(all, key)
		}
	}
	slices.Sort(all)
	page := cmp.Or(b.Page, 1000)
	if len(all) > page {
		all = all[:page]
		next = all[page-1]
	}
	for _, key := range all {
		if isFolder[key] {
			folders += "<CommonPrefixes><Prefix>" + url.QueryEscape(key) + "</Prefix></CommonPrefixes>"
			continue
		}
		keys = append(keys, key)
	}
	return keys, folders, next
}

// versions lists every version, a page of keys at once.
func (b *Buckets) versions(w http.ResponseWriter, r *Request, k *Bucket) error {
	q := r.HTTP.URL.Query()
	keys, folders, next := b.keys(k, q, q.Get("key-marker"))
	x := fmt.Sprintf("<EncodingType>url</EncodingType><IsTruncated>%t</IsTruncated>", next != "")
	if next != "" {
		x += "<NextKeyMarker>" + url.QueryEscape(next) + "</NextKeyMarker><NextVersionIdMarker>v</NextVersionIdMarker>"
	}
	x += folders
	for _, key := range keys {
		for i, o := range append([]*Object{k.Objects[key]}, k.Objects[key].Older...) {
			head := fmt.Sprintf("<Key>%s</Key><VersionId>%s</VersionId><IsLatest>%t</IsLatest><LastModified>%s</LastModified>",
				url.QueryEscape(key), cmp.Or(o.Version, "null"), i == 0, o.Modified.UTC().Format("2006-01-02T15:04:05.000Z"))
			if o.Marker {
				x += "<DeleteMarker>" + head + "</DeleteMarker>"
				continue
			}
			x += fmt.Sprintf("<Version>%s<ETag>&quot;%s&quot;</ETag><Size>%d</Size><StorageClass>%s</StorageClass></Version>", head, o.etag(), len(o.Data), o.class())
		}
	}
	return xml(w, "<ListVersionsResult>"+x+"</ListVersionsResult>")
}

// version is that version of an object; nil where there is none.
func (o *Object) version(id string) *Object {
	if o == nil || id == "" || id == cmp.Or(o.Version, "null") {
		return o
	}
	for _, v := range o.Older {
		if id == cmp.Or(v.Version, "null") {
			return v
		}
	}
	return nil
}

func (b *Buckets) get(w http.ResponseWriter, r *Request, k *Bucket, name, key string) error {
	o := k.Objects[key].version(r.HTTP.URL.Query().Get("versionId"))
	switch {
	case o == nil || o.Marker:
		return &Error{Status: http.StatusNotFound, Code: "NoSuchKey", Message: "The specified key does not exist."}
	case o.Forbidden:
		return &Error{Status: http.StatusForbidden, Code: "AccessDenied", Message: "Access Denied"}
	case o.Class == "GLACIER" || o.Class == "DEEP_ARCHIVE":
		return &Error{Status: http.StatusForbidden, Code: "InvalidObjectState", Message: "The operation is not valid for the object's storage class"}
	}
	if m := strings.Trim(r.HTTP.Header.Get("If-Match"), `"`); m != "" && m != o.etag() {
		return &Error{Status: http.StatusPreconditionFailed, Code: "PreconditionFailed", Message: "At least one of the pre-conditions you specified did not hold"}
	}
	h := w.Header()
	for n, v := range o.Metadata {
		h.Set("x-amz-meta-"+n, v)
	}
	for n, v := range map[string]string{"x-amz-version-id": o.Version, "x-amz-server-side-encryption": o.SSE, "x-amz-server-side-encryption-aws-kms-key-id": o.KMSKey} {
		if v != "" {
			h.Set(n, v)
		}
	}
	h.Set("ETag", `"`+o.etag()+`"`)
	h.Set("Last-Modified", o.Modified.UTC().Format(http.TimeFormat))
	h.Set("Content-Type", "application/octet-stream")
	b.Got[name+"/"+key]++
	data := o.Data
	if from, ok := strings.CutPrefix(r.HTTP.Header.Get("Range"), "bytes="); ok {
		n, err := strconv.Atoi(strings.TrimSuffix(from, "-"))
		if err != nil || n > len(data) {
			return &Error{Status: http.StatusRequestedRangeNotSatisfiable, Code: "InvalidRange", Message: "The requested range is not satisfiable"}
		}
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", n, len(data)-1, len(data)))
		w.WriteHeader(http.StatusPartialContent)
		data = data[n:]
	}
	_, err := w.Write(data)
	return err
}
