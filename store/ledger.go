package store

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"snapcase/evidence"
	"snapcase/evidence/acquire"
	"snapcase/evidence/custody"
)

// createLedger makes the ledger of a new case and says who opened it.
func (c *Case) createLedger(ctx context.Context) error {
	l, err := custody.Create(c.folder, c.file.ID, c.o.Custody)
	if err != nil {
		return err
	}
	c.ledger = l
	return l.Append(ctx, custody.Record{Type: "case.open", Authority: c.file.Authority, Data: map[string]any{"title": c.file.Title, "new": true}})
}

// openLedger opens the ledger to append, and ends what a crash left between an
// exhibit's seal and its record.
func (c *Case) openLedger(ctx context.Context) error {
	l, err := custody.Open(c.folder, c.o.Custody)
	if err != nil {
		return err
	}
	c.ledger = l
	if err := acquire.Recover(ctx, c.folder, l); err != nil {
		c.ledger = nil
		return errors.Join(err, l.Close())
	}
	return nil
}

func (c *Case) closeLedger() error {
	if c.ledger == nil {
		return nil
	}
	err := c.ledger.Close()
	c.ledger = nil
	return err
}

// Records is the whole ledger, oldest first. A line that cannot be read ends
// it with an error; what stands before is given.
func (c *Case) Records(ctx context.Context) ([]custody.Record, error) {
	var all []custody.Record
	for r, err := range custody.Records(c.folder) {
		if err != nil {
			return all, fmt.Errorf("read the ledger: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return all, err
		}
		all = append(all, r)
	}
	return all, nil
}

// AcquireRequest says what to bring in.
type AcquireRequest struct {
	Source  string
	Kind    evidence.Kind // "" to detect it
	Label   string
	Hashes  []string // beside sha256: md5, sha1, blake3
	Raw     bool     // the bytes of the file as they are, also where it is an image container
	Format  string   // of an image's sealed copy: raw (or "") or zst
	NoIndex bool
	// Remote is the source where it lies in a cloud account; Source is then its id.
	Remote *acquire.Remote
	// Objects is the source where it lies in a bucket; Source is then its URL.
	Objects *acquire.Objects
	// Origin is set for a path that came from a cloud account.
	Origin *evidence.Origin
	// Hold is set where the command does more than this: until Acquired is told,
	// the same request, of a source that did not change, gives the same exhibit.
	Hold bool
	// Lazy lists the files of a Remote first, from the blocks that takes, so that
	// they can be read while the acquisition goes on. Browse, where it is not nil,
	// is called when they are listed, or could not be.
	Lazy   bool
	Browse func(exhibit string, err error)
}

// Acquire brings evidence in and indexes it. The error is evidence.ErrGaps
// when something could not be read or decoded; then the exhibit is sealed all
// the same and the Acquisition has an end. After an interruption, that of the
// index too, the same request goes on where it was: an exhibit that was sealed
// is not acquired again.
func (c *Case) Acquire(ctx context.Context, r AcquireRequest, p evidence.Progress) (a evidence.Acquisition, err error) {
	if c.ledger == nil {
		return a, fmt.Errorf("acquire: %w", evidence.ErrReadOnly)
	}
	if err := noSecret(r.Label); err != nil {
		return a, fmt.Errorf("acquire: label: %w", err)
	}
	key, err := os.ReadFile(c.folder.CaseKey())
	if err != nil {
		return a, fmt.Errorf("acquire: read the case's key: %w", err)
	}
	job := acquire.Job{Hold: true, Folder: c.folder, Source: r.Source, Kind: r.Kind, Label: r.Label, Hashes: r.Hashes, Raw: r.Raw, Format: r.Format, Remote: r.Remote, Objects: r.Objects, Origin: r.Origin, Ledger: c.ledger, CaseKey: key, Progress: p, Now: c.o.Custody.Now}
	listed := func() {}
	if r.Lazy {
		job.Early, listed = c.lazily(ctx, &r)
	}
	a, err = acquire.Run(ctx, job)
	listed()
	sealed := err == nil || errors.Is(err, evidence.ErrGaps) && a.Ended.Set
	if sealed && !r.NoIndex {
		if !a.Again {
			c.setFresh(a.Exhibit) // its bytes were hashed a moment ago
		}
		index := c.Index(ctx, IndexOptions{Exhibit: a.Exhibit}, p)
		c.setFresh("")
		sealed = index == nil || errors.Is(index, evidence.ErrGaps)
		err = errors.Join(err, index)
	}
	if !sealed || r.Hold {
		return a, err
	}
	return a, errors.Join(err, c.Acquired(a.Exhibit))
}

// Acquired says that what Hold was set for is done with these exhibits.
func (c *Case) Acquired(exhibits ...string) error {
	for _, id := range exhibits {
		if err := acquire.Done(c.folder, id); err != nil {
			return fmt.Errorf("end the acquisition of %s: %w", id, err)
		}
	}
	return nil
}

func (c *Case) setFresh(exhibit string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fresh = exhibit
}

// Tag marks records and addresses with a word; remove takes it away again. It
// gives the lines of the ledger that say so: one for each 200 records.
func (c *Case) Tag(ctx context.Context, records []string, tag string, remove bool) ([]custody.Record, error) {
	if c.ledger == nil {
		return nil, fmt.Errorf("tag: %w", evidence.ErrReadOnly)
	}
	if tag == "" || len(records) == 0 {
		return nil, fmt.Errorf("tag: a word and at least one record are needed: %w", evidence.ErrUsage)
	}
	if strings.HasPrefix(tag, findingTag) {
		return nil, fmt.Errorf("tag %s: such tags come from findings: %w", tag, evidence.ErrUsage)
	}
	if err := noSecret(append(slices.Clone(records), tag)...); err != nil {
		return nil, fmt.Errorf("tag: %w", err)
	}
	var out []custody.Record
	for part := range slices.Chunk(records, mostRecords) {
		list := make([]any, len(part))
		for i, r := range part {
			if err := c.placed(ctx, r, remove); err != nil {
				return out, fmt.Errorf("tag %s: %w", r, err)
			}
			list[i] = r
		}
		action := "add"
		if remove {
			action = "remove"
		}
		r, err := c.ledger.Add(ctx, custody.Record{Type: "review.tag", Result: "ok", Data: map[string]any{"tag": tag, "action": action, "records": list}})
		if err != nil {
			return out, err
		}
		out = append(out, r)
	}
	return out, nil
}

// mostRecords is how many records one line of the ledger names: it has 64 KiB.
const mostRecords = 200

// Note records the examiner's words, about a record or (with "") the case, and
// gives the line of the ledger.
func (c *Case) Note(ctx context.Context, record, text string) (custody.Record, error) {
	var none custody.Record
	if c.ledger == nil {
		return none, fmt.Errorf("note: %w", evidence.ErrReadOnly)
	}
	if err := noSecret(text, record); err != nil {
		return none, fmt.Errorf("note: %w", err)
	}
	data := map[string]any{"text": text}
	if record != "" {
		if err := c.placed(ctx, record, false); err != nil {
			return none, fmt.Errorf("note on %s: %w", record, err)
		}
		data["record"] = record
	}
	return c.ledger.Add(ctx, custody.Record{Type: "review.note", Result: "ok", Data: data})
}

// tagCache keeps what the ledger says of tags, as long as it does not grow.
type tagCache struct {
	mu    sync.Mutex
	size  int64
	words map[string][]string // by record: its tags, sorted
}

// tagsOf reads the tags out of the ledger. The map is shared: do not change it.
func (c *Case) tagsOf(ctx context.Context) (map[string][]string, error) {
	c.tags.mu.Lock()
	defer c.tags.mu.Unlock()
	fi, err := os.Stat(c.folder.Ledger())
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	if c.tags.words != nil && fi.Size() == c.tags.size {
		return c.tags.words, nil
	}
	words := map[string][]string{}
	var own ownList
	for r, err := range custody.Records(c.folder) {
		if err != nil {
			return nil, fmt.Errorf("read the ledger: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if r.Type == "review.tag" {
			applyTag(words, r)
		}
		own.take(r)
	}
	own.tag(words)
	c.tags.size, c.tags.words = fi.Size(), words
	return words, nil
}

func applyTag(words map[string][]string, r custody.Record) {
	tag, _ := r.Data["tag"].(string)
	list, _ := r.Data["records"].([]any)
	for _, v := range list {
		rec := placeOf(v)
		if rec == "" || tag == "" {
			continue
		}
		at, has := slices.BinarySearch(words[rec], tag)
		switch {
		case r.Data["action"] == "remove" && has:
			words[rec] = slices.Delete(slices.Clone(words[rec]), at, at+1)
		case r.Data["action"] != "remove" && !has:
			words[rec] = slices.Insert(slices.Clone(words[rec]), at, tag)
		}
	}
}

// placeOf is a record or an address as the ledger holds it: text, or an object
// with the base64 of what is not UTF-8.
func placeOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case map[string]any:
		s, _ := v["b64"].(string)
		b, err := base64.StdEncoding.DecodeString(s)
		if err == nil {
			return string(b)
		}
	}
	return ""
}
