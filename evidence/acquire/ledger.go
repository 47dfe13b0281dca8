package acquire

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

// mostErrors is how many read errors a record lists; read-errors.jsonl, whose
// digest the record has, lists all.
const mostErrors = 100

func (x *exhibit) source(data map[string]any) map[string]any {
	data["source"] = x.head.Source
	if x.head.SourceB64 != nil {
		data["source_b64"] = b64(x.head.SourceB64)
	}
	data["kind"] = string(x.head.Kind)
	if x.head.Label != "" {
		data["label"] = strings.ToValidUTF8(x.head.Label, "\ufffd")
	}
	return data
}

func (x *exhibit) recordStart(ctx context.Context) error {
	h := &x.head
	data := x.source(map[string]any{"api": h.Identity.API, "bytes": decimal(h.Identity.Size), "resumes": x.resuming})
	if h.Detected != "" {
		data["detected"] = h.Detected
	}
	if o := x.origin(); o != nil {
		data["origin"] = originData(o)
	}
	return x.Ledger.Append(ctx, custody.Record{Type: "evidence.acquire.start", Exhibit: x.id, Data: data})
}

// recordError says that an acquisition did not come to its end. It is tried
// also when the context is done.
func (x *exhibit) recordError(ctx context.Context, err error) error {
	data := x.source(map[string]any{"error": strings.ToValidUTF8(err.Error(), "\ufffd"), "resumable": true})
	kept, files := x.soFar()
	data["bytes"], data["files"] = decimal(kept), decimal(files)
	return x.Ledger.Append(context.WithoutCancel(ctx), custody.Record{Type: "evidence.acquire.error", Exhibit: x.id, Result: "failed", Data: data})
}

// soFar is what the journal says is kept of an unfinished acquisition.
func (x *exhibit) soFar() (kept, files int64) {
	if x.log == nil {
		return 0, 0
	}
	// What cannot be counted is not counted: the error itself is told.
	_ = x.log.read(func(e entry, _ int64) bool {
		switch {
		case e.Block != nil:
			kept += e.Block.Length
		case e.Drop != nil:
			kept = min(kept, *e.Drop*x.pace().block)
		case e.File != nil:
			files++
			kept += e.File.Size
		}
		return true
	})
	return kept, files
}

// withKept tells, beside why a service could not be read on, what was.
func (x *exhibit) withKept(err error) error {
	if x.Remote == nil && x.Objects == nil || evidence.Canceled(err) {
		return err
	}
	kept, files := x.soFar()
	if x.Objects != nil {
		return fmt.Errorf("%w; %d of %d objects are on disk and are kept", err, files, len(x.Objects.list))
	}
	return fmt.Errorf("%w; %d of %d bytes are on disk and are kept", err, kept, x.head.Identity.Size)
}

// origin is where the source came from; nil for what was on this host.
func (x *exhibit) origin() *evidence.Origin {
	var o evidence.Origin
	switch {
	case x.Remote != nil:
		o = x.Remote.Origin()
	case x.Objects != nil:
		o = x.Objects.Store.Origin()
		o.Notes = append(slices.Clone(o.Notes), x.Objects.notes...)
	default:
		return x.Origin
	}
	return &o
}

// originData is where a source in a cloud account came from, for the ledger.
func originData(o *evidence.Origin) map[string]any {
	data := map[string]any{}
	for k, v := range map[string]string{
		"service": o.Service, "region": o.Region, "caller": o.Caller, "owner": o.Owner, "snapshot": o.Snapshot, "volume": o.Volume,
		"kms_key": o.KMSKey, "taken": o.Taken.String(), "linear_sha256": o.LinearSHA256, "bucket": o.Bucket, "prefix": o.Prefix,
		"versioning": o.Versioning, "object_lock": o.ObjectLock, "device": o.Device, "since": o.Since, "since_taken": o.SinceTaken.String(), "selected": o.Selected,
	} {
		if v != "" {
			data[k] = strings.ToValidUTF8(v, "\ufffd")
		}
	}
	return data
}

// recordEnd makes the record from what lies in the exhibit's folder, so that it
// can be made after a crash too.
func (x *exhibit) recordEnd(ctx context.Context, a *evidence.Acquisition) error {
	if x.head.Source == "" { // recovering
		h, err := x.log.header()
		if err != nil {
			return err
		}
		if h == nil {
			h = &header{Source: a.Source, Kind: a.Kind, Label: a.Label}
		}
		x.head = *h
	}
	files, err := x.filesDigests(a.Packed)
	if err != nil {
		return err
	}
	errs, total, err := x.firstErrors()
	if err != nil {
		return err
	}
	hashes := map[string]any{}
	for name, sum := range a.Hashes {
		hashes[name] = sum
	}
	data := x.source(map[string]any{
		"bytes": decimal(a.Bytes), "sha256": a.SHA256.String(), "hashes": hashes, "files": decimal(a.Files),
		"read_errors": errs, "read_errors_total": decimal(total), "resumed_from": decimal(a.ResumedFrom),
		"data_bytes": decimal(a.DataBytes), "hole_bytes": decimal(a.HoleBytes), "unreadable_bytes": decimal(a.Bytes - a.DataBytes - a.HoleBytes - a.NotAcquired),
		"api": a.API, "reread": "skipped", "method": a.Method, "files_sha256": files,
	})
	if a.Origin != nil {
		data["origin"] = originData(a.Origin)
	}
	if own, err := x.ownDigest(a); err != nil {
		return err
	} else if own != "" {
		data["file_sha256"] = own
	}
	if a.NotAcquired > 0 {
		data["not_acquired_bytes"] = decimal(a.NotAcquired)
	}
	if sum, ok := files[mapName]; ok {
		data["map_sha256"] = sum
	}
	if a.Kind.Image() {
		data["sectors"] = decimal((a.Bytes + sector - 1) / sector)
		data["block_list_sha256"] = files[blocksName]
	}
	result := "ok"
	if len(a.ReadErrors) > 0 || a.NotAcquired > 0 {
		result = "partial"
	}
	return x.Ledger.Append(ctx, custody.Record{Type: "evidence.acquire.end", Exhibit: x.id, Result: result, Data: data})
}

// ownDigest is the SHA-256 of an exhibit that is one file of its own, as
// sha256sum gives it for the source; "" for images, whose digest is theirs
// already, and for folders.
func (x *exhibit) ownDigest(a *evidence.Acquisition) (string, error) {
	if a.Kind.Image() || a.API != apiFile {
		return "", nil
	}
	b, err := os.ReadFile(x.path(manifestName))
	if err != nil {
		return "", err
	}
	sum, _, _ := custody.ParseManifestLine(strings.TrimSuffix(string(b), "\n"))
	return sum, nil
}

// filesDigests are the digests of the exhibit's files, but for the evidence
// itself, which the manifest covers. Of a packed copy the digest is known.
func (x *exhibit) filesDigests(packed *evidence.Packed) (map[string]any, error) {
	names, err := os.ReadDir(x.dir())
	if err != nil {
		return nil, err
	}
	sums := map[string]any{}
	for _, n := range names {
		if !n.Type().IsRegular() || n.Name() == imageName || n.Name() == journalName {
			continue
		}
		if packed != nil && n.Name() == packed.File {
			sums[packed.File] = packed.SHA256.String()
			continue
		}
		if strings.HasPrefix(n.Name(), ".") { // left by a crash before its name was given
			if err := os.Remove(x.path(n.Name())); err != nil {
				return nil, err
			}
			continue
		}
		sum, err := fileDigest(x.path(n.Name()))
		if err != nil {
			return nil, err
		}
		sums[n.Name()] = sum.String()
	}
	return sums, nil
}

func (x *exhibit) firstErrors() (list []any, total int64, err error) {
	list = []any{}
	f, err := os.Open(x.path(readErrorsName))
	if errors.Is(err, os.ErrNotExist) {
		return list, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer f.Close() //nolint:errcheck // read-only
	d := json.NewDecoder(bufio.NewReader(f))
	for {
		var e errorLine
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			return list, total, nil
		} else if err != nil {
			return nil, 0, err
		}
		if total++; total > mostErrors {
			continue
		}
		text := e.Error
		if len(text) > 200 {
			text = strings.ToValidUTF8(text[:200], "") + "…"
		}
		list = append(list, map[string]any{"offset": decimal(e.Offset), "length": decimal(e.Length), "error": text, "retries": int64(e.Retries)})
	}
}
