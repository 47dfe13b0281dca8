package awstest

import (
	"crypto/md5" //nolint:gosec // an ETag is one
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Uploads is what S3 has for uploads in parts, path-style: whole objects are read
// and headed, parts are put, listed and put together.
type Uploads struct {
	Objects map[string][]byte // by "bucket/key"
	Begun   map[string]*Upload
	// Hurt changes a byte of every object that is put together.
	Hurt bool

	next int
}

// Upload is one that was begun.
type Upload struct {
	Key   string // "bucket/key"
	Parts map[int][]byte
}

// NewUploads is an empty store.
func NewUploads() *Uploads {
	return &Uploads{Objects: map[string][]byte{}, Begun: map[string]*Upload{}}
}

// Action names the call.
func (u *Uploads) Action(r *Request) (string, bool) {
	q := r.HTTP.URL.Query()
	switch r.HTTP.Method + " " + strconv.FormatBool(q.Has("uploads")) + " " + strconv.FormatBool(q.Has("uploadId")) {
	case "POST true false":
		return "CreateMultipartUpload", true
	case "POST false true":
		return "CompleteMultipartUpload", true
	case "PUT false true":
		return "UploadPart", true
	case "GET true false":
		return "ListMultipartUploads", false
	case "GET false true":
		return "ListParts", false
	case "HEAD false false":
		return "HeadObject", false
	case "GET false false":
		return "GetObject", false
	}
	return "Unknown", false
}

// Fail writes an error as S3 does.
func (u *Uploads) Fail(w http.ResponseWriter, r *Request, x *Error) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(x.Status)
	_, _ = fmt.Fprintf(w, "<Error>%s%s%s</Error>", txt("Code", x.Code), txt("Message", x.Message), txt("RequestId", r.ID))
}

func etag(b []byte) string {
	sum := md5.Sum(b) //nolint:gosec // an ETag is one
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// Serve answers.
func (u *Uploads) Serve(w http.ResponseWriter, r *Request) error {
	key, id := strings.TrimPrefix(r.HTTP.URL.Path, "/"), r.HTTP.URL.Query().Get("uploadId")
	up := u.Begun[id]
	if id != "" && up == nil {
		return &Error{Status: http.StatusNotFound, Code: "NoSuchUpload", Message: "The specified upload does not exist."}
	}
	switch r.Action {
	case "CreateMultipartUpload":
		u.next++
		id = fmt.Sprintf("upload-%d", u.next)
		u.Begun[id] = &Upload{Key: key, Parts: map[int][]byte{}}
		return xmlAnswer(w, el("InitiateMultipartUploadResult", txt("UploadId", id)))
	case "UploadPart":
		n, err := strconv.Atoi(r.HTTP.URL.Query().Get("partNumber"))
		if err != nil {
			return bad("InvalidArgument", "partNumber")
		}
		up.Parts[n] = slices.Clone(r.Body)
		w.Header().Set("ETag", etag(r.Body))
		return nil
	case "ListParts":
		var all []string
		for n := range 10001 {
			if b, ok := up.Parts[n]; ok {
				all = append(all, el("Part", txt("PartNumber", n), txt("ETag", etag(b)), txt("Size", len(b))))
			}
		}
		return xmlAnswer(w, el("ListPartsResult", txt("IsTruncated", false), strings.Join(all, "")))
	case "ListMultipartUploads":
		var all []string
		for _, k := range keysOf(u.Begun) {
			_, name, _ := strings.Cut(u.Begun[k].Key, "/")
			all = append(all, el("Upload", txt("Key", name), txt("UploadId", k)))
		}
		return xmlAnswer(w, el("ListMultipartUploadsResult", txt("IsTruncated", false), strings.Join(all, "")))
	case "CompleteMultipartUpload":
		var whole []byte
		for n := range 10001 {
			whole = append(whole, up.Parts[n]...)
		}
		if u.Hurt && len(whole) > 0 {
			whole[len(whole)/2] ^= 1
		}
		u.Objects[up.Key] = whole
		delete(u.Begun, id)
		return xmlAnswer(w, el("CompleteMultipartUploadResult", txt("ETag", etag(whole))))
	}
	return u.object(w, r, key)
}

func (u *Uploads) object(w http.ResponseWriter, r *Request, key string) error {
	b, ok := u.Objects[key]
	if !ok || r.Action == "Unknown" {
		return &Error{Status: http.StatusNotFound, Code: "NoSuchKey", Message: "The specified key does not exist."}
	}
	w.Header().Set("ETag", etag(b))
	if part, ok := strings.CutPrefix(r.HTTP.Header.Get("Range"), "bytes="); ok {
		var from, to int
		if n, _ := fmt.Sscanf(part, "%d-%d", &from, &to); n != 2 || from > to || from >= len(b) {
			return &Error{Status: http.StatusRequestedRangeNotSatisfiable, Code: "InvalidRange", Message: "The requested range is not satisfiable"}
		}
		to = min(to, len(b)-1)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(b)))
		w.WriteHeader(http.StatusPartialContent)
		b = b[from : to+1]
	}
	_, err := w.Write(b) // of a HEAD only its length is sent
	return err
}

func xmlAnswer(w http.ResponseWriter, body string) error {
	w.Header().Set("Content-Type", "application/xml")
	_, err := io.WriteString(w, body)
	return err
}
