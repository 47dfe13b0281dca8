package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"snapcase/evidence"
	"snapcase/imaging"
)

// hashedFiles loads entries with the SHA-256 of the content of regular files,
// read in the order of the disk on all CPUs. Content that cannot be read is
// damage of its entry, which then has no digest.
func (q *question) hashedFiles(ctx context.Context, at []position) ([]evidence.FileEntry, error) {
	ids := make([]int64, len(at))
	for i, p := range at {
		ids[i] = p.id
	}
	rows, err := q.entryRows(ctx, ids)
	if err != nil {
		return nil, err
	}
	var todo []*entryRow
	for i := range rows {
		if rows[i].Type == "file" && rows[i].stream != "reallocated" {
			todo = append(todo, &rows[i])
		}
	}
	slices.SortStableFunc(todo, func(a, b *entryRow) int { return cmp.Compare(a.first, b.first) })
	bufs := make([][]byte, parallel(len(todo)))
	err = inParallel(ctx, len(todo), func(ctx context.Context, w, i int) error {
		if bufs[w] == nil {
			bufs[w] = make([]byte, 1<<20)
		}
		return q.c.hashEntry(ctx, todo[i], bufs[w])
	})
	if err != nil {
		return nil, err
	}
	out := make([]evidence.FileEntry, len(rows))
	for i := range rows {
		out[i] = rows[i].FileEntry
	}
	return out, nil
}

func (c *Case) hashEntry(ctx context.Context, e *entryRow, buf []byte) error {
	src, err := c.content(e)
	if err == nil {
		e.SHA256, err = hashSource(ctx, src, buf)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		s := fmt.Sprintf("content: %v", err)
		if e.Damage != nil {
			s = *e.Damage + "; " + s
		}
		e.Damage = &s
	}
	return nil
}

func hashSource(ctx context.Context, src imaging.Source, buf []byte) (string, error) {
	h := sha256.New()
	for off := int64(0); off < src.Size(); {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := src.ReadAt(buf[:min(int64(len(buf)), src.Size()-off)], off)
		h.Write(buf[:n])
		off += int64(n)
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		if n == 0 {
			return "", io.ErrUnexpectedEOF
		}
	}
	return evidence.Digest(h.Sum(nil)).String(), nil
}
