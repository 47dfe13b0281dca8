package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"snapcase/evidence"
	"snapcase/evidence/cloudtrail"
	"snapcase/evidence/cloudtrail/digest"
	"snapcase/evidence/custody"
)

// ValidateRequest says how digests are checked.
type ValidateRequest struct {
	// Keys are files with answers of ListPublicKeys, which are used in place of
	// those in the exhibits; none: use those.
	Keys []string
}

// ValidateTrail checks the digest chains of CloudTrail over all sealed exhibits
// of logs and files, and records the result in the ledger of a case that may be
// written. What does not hold is in the result and not in the error.
func (c *Case) ValidateTrail(ctx context.Context, r ValidateRequest, p evidence.Progress) (v evidence.TrailValidation, err error) {
	in, notes, err := c.trailInput(ctx, r)
	if err != nil {
		return v, fmt.Errorf("validate cloudtrail: %w", err)
	}
	in.Progress = p
	if v, err = digest.Validate(ctx, in); err != nil {
		return v, fmt.Errorf("cloudtrail: %w", err)
	}
	v.Notes = append(notes, v.Notes...)
	for _, k := range v.Keys {
		if strings.HasSuffix(k.From, keyOfExhibit) {
			v.Notes = append(v.Notes, fmt.Sprintf("key %s is from a file of the evidence: whoever made that file may have made the key; compare it with ListPublicKeys of AWS", k.Fingerprint))
		}
	}
	return v, c.recordTrail(ctx, &v)
}

// How a file with public keys came.
const (
	keyOfAWS     = ", asked of AWS when the exhibit was acquired"
	keyOfExhibit = ", a file of the exhibit"
)

// recordTrail records a result.
func (c *Case) recordTrail(ctx context.Context, v *evidence.TrailValidation) error {
	if c.ledger == nil {
		return nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	keys := []any{}
	for _, k := range v.Keys {
		const most, long = 20, 1000 // a ledger line has 64 KiB
		if len(keys) < most {
			keys = append(keys, map[string]any{"fingerprint": k.Fingerprint[:min(long, len(k.Fingerprint))], "from": k.From[:min(long, len(k.From))]})
		}
	}
	count := func(all map[string]int64) map[string]any {
		out := map[string]any{}
		for name, n := range all {
			out[name] = fmt.Sprint(n)
		}
		return out
	}
	d, l := v.Digests, v.Logs
	data := map[string]any{
		"what": "cloudtrail validate", "verdict": v.Verdict, "failures": fmt.Sprint(len(v.Failures)), "keys": keys,
		"digests": count(map[string]int64{"valid": d.Valid, "invalid": d.Invalid, "missing": d.Missing, "unproved": d.Unproved}),
		"logs":    count(map[string]int64{"valid": l.Valid, "invalid": l.Invalid, "missing": l.Missing, "unlisted": l.Unlisted, "unproved": l.Unproved}),
		"outputs": []any{map[string]any{"path": "result as JSON", "sha256": evidence.Digest(sha256.Sum256(text)).String(), "bytes": fmt.Sprint(len(text))}},
	}
	result := map[string]string{evidence.TrailValid: "ok", evidence.TrailInvalid: "failed"}[v.Verdict]
	if result == "" {
		result = "partial"
	}
	return c.ledger.Append(ctx, custody.Record{Type: "evidence.derive", Result: result, Data: data})
}

// trailInput lists what is validated. notes are what may be missing.
func (c *Case) trailInput(ctx context.Context, r ValidateRequest) (in *digest.Input, notes []string, err error) {
	in = &digest.Input{Open: func(f *digest.File) (io.ReadCloser, error) { return os.Open(f.Path) }}
	in.Doubt = c.trailDoubt
	all, err := evidence.ReadExhibits(c.folder)
	if err != nil {
		return nil, nil, err
	}
	for i := range all {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		a := &all[i]
		if a.Kind != evidence.KindCloudTrail && a.Kind != evidence.KindFile {
			continue
		}
		if a.Origin != nil && a.Origin.Service == "cloudtrail" {
			notes = append(notes, a.Exhibit+": answers of LookupEvents, which no digest covers: nothing is said of them")
			continue
		}
		t := trailExhibit{c: c, acq: a, in: in, withKeys: len(r.Keys) == 0}
		err := t.list()
		if errors.Is(err, fs.ErrNotExist) && c.o.Bundle {
			notes = append(notes, fmt.Sprintf("%s: its files are not in this bundle: nothing is said of them", a.Exhibit))
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", a.Exhibit, err)
		}
		notes = append(notes, t.notes...)
	}
	for _, name := range r.Keys {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, nil, fmt.Errorf("public keys: %w", err)
		}
		keys, err := digest.ParseKeys(text, fmt.Sprintf("%s, given to this run (SHA-256 %s)", name, evidence.Digest(sha256.Sum256(text))))
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w: %w", name, err, evidence.ErrUsage)
		}
		in.Keys = append(in.Keys, keys...)
	}
	return in, notes, nil
}

// trailDoubt says that a file is not as it was sealed.
func (c *Case) trailDoubt(f *digest.File) string {
	exhibit, _, _ := strings.Cut(f.Address, "/")
	if err := c.sealed.check(c, exhibit, f.Path); err != nil {
		return "and the case itself is not whole: " + err.Error()
	}
	return ""
}

// trailExhibit is one exhibit on its way into the input.
type trailExhibit struct {
	c        *Case
	acq      *evidence.Acquisition
	in       *digest.Input
	withKeys bool
	objects  map[string]trailObject // by the path below files/; nil where it is of no bucket
	notes    []string
}

// trailObject is what is needed of an object of a bucket.
type trailObject struct {
	key      string
	older    bool
	asked    string
	metadata map[string]string
}

// mostBeside is the most that a file beside digests may have, in bytes.
const mostBeside = 16 << 20

func (t *trailExhibit) list() error {
	if err := t.readObjects(); err != nil {
		return err
	}
	files, err := exhibitFiles(t.c.folder, t.acq.Exhibit)
	if err != nil {
		return err
	}
	if want := t.acq.Files; want > 0 && int64(len(files)) < want {
		t.notes = append(t.notes, fmt.Sprintf("%s: %d of its %d files are not there: run snapcase verify", t.acq.Exhibit, want-int64(len(files)), want))
	}
	metadata := map[string]string{} // path of NAME.metadata.json by NAME
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.name, ".metadata.json"); ok {
			metadata[name] = f.path
		}
	}
	root := t.acq.Source
	if t.acq.API == "file" {
		root = path.Dir(root)
	}
	for _, f := range files {
		rel, err := filepath.Rel(t.c.folder.Files(t.acq.Exhibit), f.path)
		if err != nil {
			return err
		}
		o, ofBucket := t.objects[filepath.ToSlash(rel)]
		if done, err := t.beside(f, o, ofBucket); done || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		d := digest.File{Address: t.acq.Exhibit + "/" + f.name, Path: f.path, Log: t.acq.Kind == evidence.KindCloudTrail}
		if ofBucket {
			d.Key, d.Bucket, d.Older, d.Metadata = o.key, t.acq.Origin.Bucket, o.older, o.metadata
		} else {
			d.Key = path.Join(root, f.name)
			d.Log = d.Log && !cloudtrail.Companion(f.name)
		}
		if p, ok := metadata[f.name]; ok && d.Metadata == nil && digest.IsDigest(d.Key) {
			if d.Metadata, err = t.metadata(p); err != nil {
				t.notes = append(t.notes, fmt.Sprintf("%s: %v", t.acq.Exhibit+"/"+f.name+".metadata.json", err))
			}
		}
		t.in.Files = append(t.in.Files, d)
	}
	return nil
}

// beside takes a file that lies beside digests: public keys, the status of
// trails. Objects of a bucket are none, whatever their names: anyone who may
// write there could have put them there.
func (t *trailExhibit) beside(f logFile, o trailObject, ofBucket bool) (bool, error) {
	base := path.Base(f.name)
	keys, status := base == "public-keys.json", base == "trail-status.json"
	if ofBucket {
		keys, status = strings.HasPrefix(o.asked, "cloudtrail:ListPublicKeys"), strings.HasPrefix(o.asked, "cloudtrail:GetTrailStatus")
	}
	if !keys && !status {
		return ofBucket && o.asked != "", nil
	}
	where := t.acq.Exhibit + "/" + f.name
	text, err := t.read(f.path)
	if err != nil {
		return true, err
	}
	if status {
		s, err := digest.ParseStatus(text)
		if err != nil {
			t.notes = append(t.notes, fmt.Sprintf("%s: %v", where, err))
		}
		t.in.Status = append(t.in.Status, s...)
		return true, nil
	}
	if !t.withKeys {
		return true, nil
	}
	from := where + keyOfExhibit
	if ofBucket {
		from = where + keyOfAWS
	}
	got, err := digest.ParseKeys(text, from)
	if err != nil {
		t.notes = append(t.notes, fmt.Sprintf("%s: %v", where, err))
	}
	t.in.Keys = append(t.in.Keys, got...)
	return true, nil
}

func (t *trailExhibit) metadata(p string) (map[string]string, error) {
	text, err := t.read(p)
	if err != nil {
		return nil, err
	}
	return digest.ParseMetadata(text)
}

// read reads a small file of the exhibit that must be as it was sealed.
func (t *trailExhibit) read(p string) ([]byte, error) {
	if err := t.c.sealed.check(t.c, t.acq.Exhibit, p); err != nil {
		return nil, err
	}
	fi, err := os.Stat(p)
	if err != nil {
		return nil, err
	}
	if fi.Size() > mostBeside {
		return nil, fmt.Errorf("%d bytes are too many for what its name says", fi.Size())
	}
	return os.ReadFile(p)
}

// readObjects reads objects.jsonl, which must be as the ledger says.
func (t *trailExhibit) readObjects() error {
	if t.acq.Origin == nil || t.acq.Origin.Bucket == "" {
		return nil
	}
	const name = "objects.jsonl"
	f, err := os.Open(filepath.Join(t.c.folder.Exhibit(t.acq.Exhibit), name))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read-only
	want, err := sealedSideDigest(t.c.folder, t.acq.Exhibit, name)
	if err != nil {
		return err
	}
	h := sha256.New()
	in := io.TeeReader(f, h)
	t.objects = map[string]trailObject{}
	for dec := json.NewDecoder(in); ; {
		var o struct {
			Stored string `json:"stored"`
			evidence.Object
		}
		err := dec.Decode(&o)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return altered(fmt.Errorf("%s: %w: %w", name, err, evidence.ErrBroken))
		}
		if o.Stored == "" {
			continue
		}
		keep := trailObject{key: o.Key, older: o.Older, asked: o.Asked}
		if digest.IsDigest(o.Key) {
			keep.metadata = digest.LowerNames(o.Metadata)
		}
		t.objects[strings.TrimPrefix(o.Stored, "files/")] = keep
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	sum := evidence.Digest(h.Sum(nil)).String()
	switch {
	case want == "": // a bundle may be redacted
		t.notes = append(t.notes, t.acq.Exhibit+": the ledger does not say what objects.jsonl was: the public keys of the exhibit are not taken for those of AWS")
		for p, o := range t.objects {
			if o.asked != "" {
				delete(t.objects, p)
			}
		}
	case sum != want:
		return altered(fmt.Errorf("%s has the digest %s, the ledger says %s: %w", name, sum, want, evidence.ErrBroken))
	}
	return nil
}

// sealedSideDigest is the digest that the ledger gives of a file beside the
// evidence of an exhibit; "" where it gives none.
func sealedSideDigest(f evidence.Folder, exhibit, name string) (sum string, err error) {
	for r, err := range custody.Records(f) {
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		if err != nil {
			break // verify tells of a ledger that is damaged
		}
		if r.Exhibit == exhibit && r.Type == "evidence.acquire.end" {
			files, _ := r.Data["files_sha256"].(map[string]any) //nolint:errcheck // empty when it is not there
			sum, _ = files[name].(string)                       //nolint:errcheck // as above
		}
	}
	return sum, nil
}
