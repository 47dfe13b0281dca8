package acquire

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/credential"

	"golang.org/x/sys/unix"
)

// fileLine says, in the journal, that a file is in the exhibit whole.
type fileLine struct {
	nameLine
	Size   int64             `json:"size"`
	MTime  int64             `json:"mtime_ns"`
	SHA256 evidence.Digest   `json:"sha256"`
	Hashes map[string]string `json:"hashes,omitempty"`
	Errors []errorLine       `json:"errors,omitempty"`
	Object *evidence.Object  `json:"object,omitempty"` // of a bucket
}

// skipped is a line of skipped.jsonl: something in the source that was not
// copied, or not as it was.
type skipped struct {
	Name    string `json:"name"`
	NameB64 []byte `json:"name_b64,omitempty"`
	Type    string `json:"type"`
	Reason  string `json:"reason"`
	Target  string `json:"target,omitempty"` // of a symbolic link
}

// copier copies the files of a source into an exhibit.
type copier struct {
	*exhibit
	tree     originals
	kept     map[string]fileLine // by original name: what the journal has
	keptEnd  int64
	lines    []entry
	unsynced int64
	buf      []byte

	files   []fileLine
	skipped []skipped
	errors  []errorLine
	hits    []credential.Hit
	omitted int64
	done    int64
	total   int64
	resumed int64
	lost    int64 // bytes that could not be read

	notCopied []objectLine // objects
}

func (x *exhibit) acquireFiles(ctx context.Context) (evidence.Acquisition, error) {
	c := &copier{exhibit: x, kept: map[string]fileLine{}, buf: make([]byte, 1<<20)}
	if err := c.copyAll(ctx); err != nil {
		return evidence.Acquisition{}, err
	}
	slices.SortFunc(c.files, func(a, b fileLine) int { return strings.Compare(a.Stored, b.Stored) })
	var manifest strings.Builder
	var names []nameLine
	for _, f := range c.files {
		fmt.Fprintf(&manifest, "%s  %s\n", f.SHA256, f.Stored)
		if f.original() != f.Stored {
			names = append(names, f.nameLine)
		}
	}
	err := errors.Join(
		x.writeNew(manifestName, func(w io.Writer) error {
			_, err := io.WriteString(w, manifest.String())
			return err
		}),
		x.writeList(namesName, len(names), func(w io.Writer) error { return writeLines(w, names) }),
		x.writeList(skippedName, len(c.skipped), func(w io.Writer) error { return writeLines(w, c.skipped) }),
		x.writeReadErrors(c.errors))
	if err == nil && c.Objects != nil {
		err = x.writeNew(objectsName, func(w io.Writer) error { return writeLines(w, c.objectLines()) })
	}
	if err == nil && scanned(x.head.Kind) {
		err = x.writeNew(hitsName, func(w io.Writer) error { return credential.WriteHits(w, c.hits, c.omitted) })
	}
	if err != nil {
		return evidence.Acquisition{}, err
	}
	method := "copied file by file, SHA-256; links are not followed"
	if c.Objects != nil {
		_, method = c.Objects.how()
		if o := c.Objects.Store.Origin(); o.Versions > 0 {
			method += fmt.Sprintf("; every version: %d, and %d delete markers", o.Versions, o.DeleteMarkers)
		}
		if n := len(c.Objects.with); n > 0 {
			method += fmt.Sprintf("; %d answers of CloudTrail (public keys, status of trails) are kept as files", n)
		}
	}
	a := x.acquisition(method, c.errors)
	a.SHA256 = sha256.Sum256([]byte(manifest.String()))
	a.Bytes, a.Files, a.DataBytes, a.ResumedFrom = c.done, int64(len(c.files)), c.done-c.lost, c.resumed
	if x.head.Identity.API == apiFile && len(c.files) == 1 {
		a.Hashes = c.files[0].Hashes
	}
	return a, nil
}

// writeList writes a list that is left out when it is empty.
func (x *exhibit) writeList(name string, n int, write func(io.Writer) error) error {
	if n == 0 {
		return nil
	}
	return x.writeNew(name, write)
}

// scanned says whether files of a kind are searched for access keys here. What
// the log readers read is searched by them, record by record.
func scanned(k evidence.Kind) bool {
	return k == evidence.KindFile || k == evidence.KindFindings || k == evidence.KindPcap
}

func (c *copier) copyAll(ctx context.Context) error {
	var err error
	if c.Objects != nil {
		c.tree = openShelf(ctx, c.Objects, func(key string) bool { _, kept := c.kept[key]; return kept })
	} else if c.tree, err = openTree(c.Source, c.head.Identity.API); err != nil {
		return err
	}
	defer c.tree.close()
	if err := c.readKept(); err != nil {
		return err
	}
	items, err := c.tree.items(ctx)
	if err != nil {
		return err
	}
	regular := 0
	for _, it := range items {
		if it.gap == "" {
			c.total += it.size
			regular++
		}
	}
	if regular == 0 && len(c.kept) == 0 {
		return evidence.WithHint(errors.New("the folder holds no files"), "check the path")
	}
	if err := errors.Join(room(string(c.Folder), c.total-c.keptBytes()), os.MkdirAll(c.path(filesName), 0o755)); err != nil {
		return err
	}
	n := namer{taken: map[string]bool{}, folders: map[string]bool{}}
	for _, it := range items {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, c.sync())
		}
		if err := c.one(ctx, it, &n); err != nil {
			return errors.Join(err, c.sync())
		}
	}
	c.gone()
	if c.Objects != nil {
		if err := c.Objects.later(ctx); err != nil {
			return errors.Join(err, c.sync())
		}
	}
	return c.sync()
}

// readKept reads what the journal has.
func (c *copier) readKept() error {
	err := c.log.read(func(e entry, end int64) bool {
		if e.File != nil {
			c.kept[e.File.original()] = *e.File
		} else if e.Header == nil {
			return false
		}
		c.keptEnd = end
		return true
	})
	if err != nil {
		return err
	}
	return c.log.cut(c.keptEnd)
}

func (c *copier) keptBytes() (n int64) {
	for _, f := range c.kept {
		n += f.Size
	}
	return n
}

// one brings in one item.
func (c *copier) one(ctx context.Context, it item, n *namer) error {
	if it.gap != "" {
		c.skip(it)
		return nil
	}
	stored := n.stored(it.name)
	if was, ok := c.kept[it.name]; ok {
		delete(c.kept, it.name)
		if was.Stored == stored && was.Size == it.size && was.MTime == it.mtime && sameObject(was.Object, it.object) && c.intact(ctx, was) {
			c.resumed += was.Size
			c.took(was, false)
			return nil
		}
	}
	f, err := c.tree.open(it)
	if err != nil {
		if stops(ctx, err) {
			return err
		}
		it.gap, it.harm = errnoText(err), true
		c.skip(it)
		return nil
	}
	defer f.Close() //nolint:errcheck // read-only
	line, err := c.copyFile(ctx, f, it, stored)
	if err != nil {
		return fmt.Errorf("copy %q: %w", it.name, err)
	}
	c.took(line, true)
	if c.unsynced >= syncEvery || len(c.lines) >= 512 {
		return c.sync()
	}
	return nil
}

// sameObject says whether two listings of an object are of the same bytes.
func sameObject(a, b *evidence.Object) bool {
	return a == nil && b == nil || a != nil && b != nil && a.ETag == b.ETag && a.ETag != ""
}

func (c *copier) took(f fileLine, fresh bool) {
	c.files = append(c.files, f)
	c.done += f.Size
	for _, e := range f.Errors {
		c.lost += e.Length
		e.Error = fmt.Sprintf("%q: %s", f.original(), e.Error)
		c.errors = append(c.errors, e)
	}
	if fresh {
		c.lines = append(c.lines, entry{File: &f})
		c.unsynced += f.Size
	}
	c.Progress.Report(evidence.Step{What: "acquire " + c.id, Done: c.done, Total: c.total, Unit: "B"})
}

func (c *copier) skip(it item) {
	l := newNameLine("", it.name)
	c.skipped = append(c.skipped, skipped{Name: l.Name, NameB64: l.NameB64, Type: it.kind, Reason: it.gap, Target: strings.ToValidUTF8(it.link, "\ufffd")})
	if it.harm {
		e := errorLine{ReadError: evidence.ReadError{Length: 0, Error: fmt.Sprintf("%q: %s", it.name, it.gap)}}
		if it.kind == "file" {
			// Nothing of it lies in the exhibit, so it is no part of its bytes.
			e.Length = it.size
		}
		c.errors = append(c.errors, e)
	}
	if it.object != nil {
		c.notCopied = append(c.notCopied, objectLine{Gap: it.gap, Object: *it.object})
	}
}

// gone keeps the files that were copied before an interruption and that the
// source does not have any more: they are evidence.
func (c *copier) gone() {
	for _, f := range c.kept {
		if c.intact(context.Background(), f) {
			c.took(f, false)
			c.skip(item{name: f.original(), kind: "changed", gap: "copied, then gone from the source", harm: true})
		}
	}
}

// sync makes the copies durable, then says so in the journal.
func (c *copier) sync() error {
	if len(c.lines) == 0 {
		return nil
	}
	d, err := os.Open(c.path(filesName))
	if err != nil {
		return err
	}
	// One flush for many small files.
	if err := errors.Join(unix.Syncfs(int(d.Fd())), d.Close()); err != nil {
		return fmt.Errorf("sync the copies: %w", err)
	}
	err = c.log.append(c.lines...)
	c.lines, c.unsynced = nil, 0
	return err
}

// target is the path of a stored file.
func (c *copier) target(stored string) string { return c.path(filepath.Join(filesName, stored)) }

// copyFile copies an open file as long as it is now.
func (c *copier) copyFile(ctx context.Context, f original, it item, stored string) (fileLine, error) {
	line := fileLine{nameLine: newNameLine(stored, it.name)}
	var err error
	if line.Size, line.MTime, err = f.stat(); err != nil {
		return line, err
	}
	path := c.target(stored)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return line, err
	}
	// What an interruption left half-written is written anew.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return line, err
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return line, err
	}
	r := c.newReading(it.name, c.head.Hashes)
	d := &damage{src: f}
	err = r.all(ctx, d, line.Size, c.buf, out)
	mtime := time.Unix(0, line.MTime)
	err = errors.Join(err, out.Chmod(0o444), out.Close())
	if err == nil {
		err = os.Chtimes(path, mtime, mtime)
	}
	if err != nil {
		return line, err
	}
	line.SHA256, line.Errors = r.sum(), d.errors
	line.ofObject(f)
	if c.tree.single() {
		line.Hashes = hexSums(r.hashes)
	}
	c.keepHits(r)
	if size, mtime, err := f.stat(); err != nil || size != line.Size || mtime != line.MTime {
		c.skip(item{name: it.name, kind: "changed", gap: "changed while it was read: " + strconv.FormatInt(line.Size, 10) + " bytes were copied", harm: true})
	}
	return line, nil
}

// ofObject adds what is known of an object, and whether its bytes are in doubt.
func (l *fileLine) ofObject(f original) {
	var o evidence.Object
	var doubt error
	switch f := f.(type) {
	case *held:
		o, doubt = f.object, f.doubt
	case *flow:
		if o = f.r.Object(); len(l.Errors) == 0 {
			doubt = f.doubt()
		}
	default:
		return
	}
	l.Object = &o
	if doubt != nil {
		l.Errors = append(l.Errors, errorLine{ReadError: evidence.ReadError{Error: plainText(doubt.Error())}, Retries: objectTries - 1})
	}
}

// intact reads a stored file again; it has what the journal says or it is
// copied anew.
func (c *copier) intact(ctx context.Context, was fileLine) bool {
	f, err := os.OpenFile(c.target(was.Stored), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // read-only
	st, err := f.Stat()
	if err != nil || st.Size() != was.Size {
		return false
	}
	r := c.newReading(was.original(), nil)
	d := &damage{src: f}
	if r.all(ctx, d, was.Size, c.buf, io.Discard) != nil || len(d.errors) > 0 || r.sum() != was.SHA256 {
		return false
	}
	c.keepHits(r)
	return true
}

// reading is what is made of a file's bytes.
type reading struct {
	name    string
	sha     hash.Hash
	hashes  map[string]hash.Hash
	scanner *credential.Scanner // nil when its kind is not scanned
}

func (c *copier) newReading(name string, hashes []string) *reading {
	r := &reading{name: name, sha: sha256.New(), hashes: map[string]hash.Hash{}}
	for _, h := range hashes {
		r.hashes[h] = newHash(h)
	}
	if scanned(c.head.Kind) {
		r.scanner = credential.NewScanner(c.CaseKey)
	}
	return r
}

func (r *reading) sum() evidence.Digest { return evidence.Digest(r.sha.Sum(nil)) }

// all reads size bytes of d and writes them to out.
func (r *reading) all(ctx context.Context, d *damage, size int64, buf []byte, out io.Writer) error {
	for off := int64(0); off < size; {
		p := buf[:min(int64(len(buf)), size-off)]
		if err := errors.Join(ctx.Err(), d.read(ctx, p, off)); err != nil {
			return err
		}
		r.sha.Write(p)
		for _, h := range r.hashes {
			h.Write(p)
		}
		if r.scanner != nil {
			r.scanner.Scan(p, off)
		}
		if _, err := out.Write(p); err != nil {
			return err
		}
		off += int64(len(p))
	}
	return nil
}

// keepHits takes the hits of a file, as many as a scanner of one stream would.
func (c *copier) keepHits(r *reading) {
	if r.scanner == nil {
		return
	}
	l := newNameLine("", r.name)
	for _, h := range r.scanner.Hits() {
		if len(c.hits) >= credential.MaxHits {
			c.omitted++
			continue
		}
		h.File, h.FileB64 = l.Name, l.NameB64
		c.hits = append(c.hits, h)
	}
	c.omitted += r.scanner.Omitted()
}
