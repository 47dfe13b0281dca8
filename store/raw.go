package store

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"snapcase/evidence"
	"snapcase/evidence/cloudtrail"
	"snapcase/evidence/flowlog"
	"snapcase/evidence/netcap"

	"github.com/klauspost/compress/gzip"
)

// Raw is the record's own text, read from the exhibit: the JSON of a
// CloudTrail record, the line of a flow log, the bytes of a frame.
func (c *Case) Raw(ctx context.Context, r evidence.Record) (b []byte, err error) {
	q, err := c.ask(ctx)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", r, err)
	}
	defer q.end() //nolint:errcheck // read-only
	if b, err = c.raw(ctx, q.conn, r); err != nil {
		return nil, fmt.Errorf("read %s: %w", r, err)
	}
	return b, nil
}

// rawOf is the text of event id.
func (c *Case) rawOf(ctx context.Context, db queryer, id int64) ([]byte, error) {
	var r evidence.Record
	var x int
	if err := db.QueryRowContext(ctx, "SELECT e.x, f.name, e.n FROM events e JOIN files f ON f.id = e.file WHERE e.id = ?", id).Scan(&x, &r.File, &r.N); err != nil {
		return nil, err
	}
	r.Exhibit = exhibitID(x)
	return c.raw(ctx, db, r)
}

// raw reads a record by its place in the index that db has.
func (c *Case) raw(ctx context.Context, db queryer, r evidence.Record) ([]byte, error) {
	var places []byte
	var kind string
	err := db.QueryRowContext(ctx, "SELECT f.places, l.kind FROM loads l JOIN files f ON f.x = l.x WHERE l.exhibit = ? AND f.name = ?", r.Exhibit, r.File).Scan(&places, &kind)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, evidence.WithHint(evidence.ErrNotFound, "snapcase events, flows and packets print the records there are")
	}
	if err != nil {
		return nil, err
	}
	path, err := c.filePath(r.Exhibit, r.File)
	if err != nil {
		return nil, err
	}
	if err := c.sealed.check(c, r.Exhibit, path); err != nil {
		return nil, err
	}
	if evidence.Kind(kind) == evidence.KindPcap {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // read-only
		_, frame, err := netcap.ReadFrame(ctxReader{ctx, f}, r.N)
		return frame, err
	}
	offset, length, ok := place(places, r.N)
	if !ok {
		return nil, evidence.WithHint(evidence.ErrNotFound, "record %d of the file could not be read: snapcase stats says why", r.N)
	}
	text, err := c.unpack.text(ctx, path)
	if err != nil {
		return nil, err
	}
	var from io.Reader = bytes.NewReader(text)
	if text == nil { // too large to keep
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // read-only
		from = ctxReader{ctx, f}
	}
	if evidence.Kind(kind) == evidence.KindFlowLog {
		return flowlog.ReadAt(from, offset, length)
	}
	return cloudtrail.ReadAt(from, offset, length)
}

// filePath is where a file of an exhibit lies, by the name it had at the
// source.
func (c *Case) filePath(exhibit, name string) (string, error) {
	files, err := c.filesOf(exhibit)
	if err != nil {
		return "", err
	}
	p, ok := files[name]
	if !ok {
		return "", evidence.WithHint(fmt.Errorf("file %q: %w", name, evidence.ErrNotFound), "the exhibit is not complete: run snapcase verify CASE")
	}
	return p, nil
}

// filesOf are the paths of an exhibit's files by their names. An exhibit
// never changes, so they are listed once.
func (c *Case) filesOf(exhibit string) (map[string]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.paths[exhibit]; m != nil {
		return m, nil
	}
	all, err := exhibitFiles(c.folder, exhibit)
	if err != nil {
		return nil, err
	}
	m := make(map[string]string, len(all))
	for _, f := range all {
		m[f.name] = f.path
	}
	if c.paths == nil {
		c.paths = map[string]map[string]string{}
	}
	c.paths[exhibit] = m
	return m, nil
}

// unpacked keeps the texts of the files that were read last, up to 64 MiB, so
// that a list of records unpacks each file once.
type unpacked struct {
	mu    sync.Mutex
	files []unpackedFile // the one used last comes last
	size  int64
}

type unpackedFile struct {
	path string
	text []byte
}

const unpackedBytes = 64 << 20

// text is the unpacked text of a file; nil where it is too large to keep. A
// stream that is cut gives what comes before the cut.
func (u *unpacked) text(ctx context.Context, path string) ([]byte, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, f := range u.files {
		if f.path == path {
			u.files = append(slices.Delete(u.files, i, i+1), f)
			return f.text, nil
		}
	}
	var b bytes.Buffer
	whole, err := readText(ctx, path, &b)
	if err != nil || !whole {
		return nil, err
	}
	text := bytes.Clone(b.Bytes())
	if text == nil {
		text = []byte{}
	}
	u.files = append(u.files, unpackedFile{path, text})
	for u.size += int64(len(text)); u.size > unpackedBytes && len(u.files) > 1; u.files = u.files[1:] {
		u.size -= int64(len(u.files[0].text))
	}
	return text, nil
}

// readText unpacks a file into b, which it clears first; whole is false where
// it is too large to keep.
func readText(ctx context.Context, path string, b *bytes.Buffer) (whole bool, err error) {
	b.Reset()
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // read-only
	in := bufio.NewReaderSize(ctxReader{ctx, f}, 64<<10)
	var r io.Reader = in
	if head, err := in.Peek(2); err == nil && head[0] == 0x1f && head[1] == 0x8b {
		z, err := gzip.NewReader(in)
		if err != nil {
			return true, ctx.Err() // the reader of records says what is wrong with it
		}
		r = z
	}
	// A stream that is cut gives what stands before the cut; the places of
	// records behind it are refused.
	b.ReadFrom(io.LimitReader(r, unpackedBytes+1)) //nolint:errcheck,gosec // see above
	return b.Len() <= unpackedBytes, ctx.Err()
}
