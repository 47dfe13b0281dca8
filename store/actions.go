package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/custody"
	"snapcase/imaging"
)

// Accessed records that content of an exhibit was shown: at most one
// evidence.access a minute for each exhibit. In a read-only case it does
// nothing.
func (c *Case) Accessed(ctx context.Context, exhibit, how string) error {
	l := c.Ledger()
	if l == nil {
		return nil
	}
	records, err := c.Records(ctx)
	if err != nil {
		return err
	}
	now := imaging.TimeOf(c.now())
	for i := len(records) - 1; i >= 0 && now.Sec-records[i].Time.Sec < int64(time.Minute/time.Second); i-- {
		if records[i].Type == "evidence.access" && records[i].Exhibit == exhibit {
			return nil
		}
	}
	return l.Append(ctx, custody.Record{Type: "evidence.access", Exhibit: exhibit, Data: map[string]any{"how": how}})
}

// Derived records files that were made from the case: every file below path
// with its SHA-256, up to derivedFiles of them. It gives the line of the ledger;
// in a read-only case there is none, and the record is empty.
func (c *Case) Derived(ctx context.Context, what, path string) (custody.Record, error) {
	const derivedFiles = 200
	l := c.Ledger()
	if l == nil {
		return custody.Record{}, nil
	}
	var outputs []any
	more := 0
	err := filepath.WalkDir(path, func(p string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if len(outputs) == derivedFiles {
			more++
			return nil
		}
		sum, n, err := hashFile(p)
		if err != nil {
			return err
		}
		outputs = append(outputs, map[string]any{"path": p, "sha256": sum.String(), "bytes": fmt.Sprint(n)})
		return nil
	})
	if err != nil {
		return custody.Record{}, fmt.Errorf("record %s: %w", what, err)
	}
	return l.Add(ctx, custody.Record{Type: "evidence.derive", Result: "ok", Data: map[string]any{"what": what, "outputs": outputs, "more_outputs": fmt.Sprint(more)}})
}

func hashFile(path string) (evidence.Digest, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return evidence.Digest{}, 0, err
	}
	defer f.Close() //nolint:errcheck // read-only
	h := sha256.New()
	n, err := io.Copy(h, f)
	return evidence.Digest(h.Sum(nil)), n, err
}

// Extracted is one file that Extract wrote.
type Extracted struct {
	File    string `json:"file"` // name below the output folder
	Address string `json:"address"`
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"`
	Damage  string `json:"damage,omitempty"`
}

// Extract copies the content of entries, and bytes as evidence.Bytes names
// them, to files in dir, under names that the evidence cannot choose
// (<exhibit>-<volume>-<inode>-<n>, <exhibit>-<volume>-at-<offset>-<n>), beside a
// manifest-sha256.txt and an addresses.txt. It is evidence.ErrGaps when some
// content is not whole. Unallocated bytes come with a map (ContentRun as JSON
// Lines, <file>.map.jsonl). Existing files are never replaced.
func (c *Case) Extract(ctx context.Context, addresses []string, dir string) ([]Extracted, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("extract: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("extract: %w", err)
	}
	defer root.Close() //nolint:errcheck // nothing is buffered
	var all []Extracted
	var gap error
	for i, s := range addresses {
		if err := ctx.Err(); err != nil {
			return all, err
		}
		x, err := c.extractOne(ctx, root, s, i+1)
		if err != nil {
			// What was written before has its manifest and its record all the same.
			err = errors.Join(fmt.Errorf("extract %s: %w", s, err), writeManifest(root, all))
			if len(all) > 0 {
				_, rerr := c.Derived(ctx, "extract", dir)
				err = errors.Join(err, rerr)
			}
			return all, err
		}
		if x[0].Damage != "" {
			gap = evidence.ErrGaps
		}
		all = append(all, x...)
	}
	if err := writeManifest(root, all); err != nil {
		return all, fmt.Errorf("extract: %w", err)
	}
	_, err = c.Derived(ctx, "extract", dir)
	return all, errors.Join(gap, err)
}

func (c *Case) extractOne(ctx context.Context, root *os.Root, s string, n int) ([]Extracted, error) {
	if b, err := evidence.ParseBytes(s); err == nil {
		return c.extractBytes(ctx, root, b, n)
	}
	a, err := evidence.ParseAddress(s)
	if err != nil {
		return nil, err
	}
	src, entry, err := c.OpenEntry(ctx, a)
	if err != nil {
		return nil, err
	}
	x := Extracted{File: fmt.Sprintf("%s-%s-%d-%d", a.Exhibit, a.Volume, a.Inode, n), Address: entry.Address}
	if entry.Damage != nil {
		x.Damage = *entry.Damage
	}
	if err := x.write(ctx, root, io.NewSectionReader(src, 0, src.Size())); err != nil {
		return nil, err
	}
	return []Extracted{x}, nil
}

// extractBytes copies bytes that no entry has to own; beside unallocated ones
// comes a map of where each piece lay.
func (c *Case) extractBytes(ctx context.Context, root *os.Root, b evidence.Bytes, n int) ([]Extracted, error) {
	content, err := c.OpenBytes(ctx, b)
	if err != nil {
		return nil, err
	}
	name := b.Exhibit
	if b.Volume != "" {
		name += "-" + b.Volume
	}
	if !b.Unallocated {
		x := Extracted{File: fmt.Sprintf("%s-at-%d-%d", name, b.Offset, n), Address: b.String(), Damage: content.Damage}
		return []Extracted{x}, x.write(ctx, root, io.NewSectionReader(content, 0, content.Size()))
	}
	x := Extracted{File: fmt.Sprintf("%s-unallocated-%d", name, n), Address: b.String(), Damage: content.Damage}
	if err := x.write(ctx, root, io.NewSectionReader(content, 0, content.Size())); err != nil {
		return nil, err
	}
	places := Extracted{File: x.File + ".map.jsonl", Address: b.String()}
	r, w := io.Pipe()
	defer r.Close() //nolint:errcheck // ends the writer
	go func() { w.CloseWithError(content.WriteMap(w)) }()
	return []Extracted{x, places}, places.write(ctx, root, r)
}

// write copies content to a new file; blocks of zeros become holes.
func (x *Extracted) write(ctx context.Context, root *os.Root, content io.Reader) error {
	f, err := root.OpenFile(x.File, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444)
	if err != nil {
		return err
	}
	h := sha256.New()
	x.Bytes, err = io.CopyBuffer(io.MultiWriter(&holeWriter{f: f}, h), ctxReader{ctx, content}, make([]byte, 1<<20))
	x.SHA256 = evidence.Digest(h.Sum(nil)).String()
	if err == nil {
		err = f.Truncate(x.Bytes)
	}
	return errors.Join(err, f.Close())
}

// holeWriter writes a file in which large pieces of zeros are left out; the
// file must be given its length in the end.
type holeWriter struct{ f *os.File }

func (h *holeWriter) Write(p []byte) (int, error) {
	if len(p) < 64<<10 || !allZero(p) {
		return h.f.Write(p)
	}
	_, err := h.f.Seek(int64(len(p)), io.SeekCurrent)
	return len(p), err
}

func writeManifest(root *os.Root, all []Extracted) error {
	var sums, names strings.Builder
	for _, x := range all {
		fmt.Fprintf(&sums, "%s  %s\n", x.SHA256, x.File)
		fmt.Fprintf(&names, "%s  %q\n", x.File, x.Address)
	}
	return errors.Join(writeNew(root, "manifest-sha256.txt", sums.String()), writeNew(root, "addresses.txt", names.String()))
}

func writeNew(root *os.Root, name, text string) error {
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
