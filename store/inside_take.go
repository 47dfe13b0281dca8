package store

import (
	"context"
	"errors"
	"fmt"
	"io"

	"snapcase/evidence/credential"
	"snapcase/imaging"
)

// insideTaker takes the decoded streams of one source.
type insideTaker struct {
	s       *insideScan
	f       *insideSource
	hits    []insideHit
	paths   int
	omitted int64
}

// Whole implements decode.Taker.
func (t *insideTaker) Whole(path string, at int64, b []byte) {
	t.found(path, at, credential.Find(t.s.key, b))
}

// Stream implements decode.Taker.
func (t *insideTaker) Stream(path string, at int64) io.WriteCloser {
	return t.stream(path, at)
}

func (t *insideTaker) stream(path string, at int64) *insideStream {
	return &insideStream{t: t, path: path, at: at, scan: credential.NewScanner(t.s.key)}
}

// Damage implements decode.Taker.
func (t *insideTaker) Damage(path string, at int64, reason string) {
	if t.f.quiet {
		return
	}
	if at >= 0 {
		reason = fmt.Sprintf("at byte %d of it: %s", at, reason)
	}
	t.s.l.gap(t.f.address+path, max(0, t.f.first), "looking inside for access keys: "+reason)
}

// found keeps the hits of a stream that lies at byte at of the content as it is,
// -1 for one that was decoded.
func (t *insideTaker) found(path string, at int64, hits []credential.Hit) {
	if len(hits) == 0 {
		return
	}
	if len(t.hits)+len(hits) > insideMost || t.paths+len(path) > insidePaths {
		t.omitted += int64(len(hits))
		return
	}
	t.paths += len(path)
	for _, h := range hits {
		plain := int64(-1)
		if at >= 0 {
			plain = at + h.Offset
		}
		t.hits = append(t.hits, insideHit{Hit: h, key: t.f.key, first: t.f.first, plain: plain, path: path})
	}
}

// holeLeast is how many zeros are passed over: a secret is found beside an id
// behind fewer.
const holeLeast = 4096

// content scans the source itself, but for its holes. The error is cancellation
// or decode.ErrBudget.
func (t *insideTaker) content(ctx context.Context, src imaging.Source) error {
	out := t.stream("", 0)
	defer out.end()
	b := make([]byte, 256<<10)
	for off := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		start, end, ok := imaging.NextData(src, off)
		if !ok {
			return nil
		}
		if start-off >= holeLeast {
			out.jump(start)
			off = start
		}
		n, err := src.ReadAt(b[:min(int64(len(b)), end-off)], off)
		if err := t.s.budget.Spend(int64(n)); err != nil {
			return err
		}
		if _, err := out.Write(b[:n]); err != nil {
			return err
		}
		if off += int64(n); n == 0 || err != nil && !errors.Is(err, io.EOF) {
			t.Damage("", off, fmt.Sprintf("it cannot be read further: %v", err))
			return nil
		}
	}
}

// insideStream scans a long stream.
type insideStream struct {
	t    *insideTaker
	path string
	at   int64 // where it lies in the content, -1 for what is decoded
	scan *credential.Scanner
	off  int64
}

func (s *insideStream) Write(b []byte) (int, error) {
	s.scan.Scan(b, s.off)
	s.off += int64(len(b))
	return len(b), nil
}

// Close ends the stream.
func (s *insideStream) Close() error {
	s.end()
	return nil
}

func (s *insideStream) end() {
	s.t.found(s.path, s.at, s.scan.Hits())
	s.t.omitted += s.scan.Omitted()
}

// jump goes on at byte off of the stream, behind zeros that are not given.
func (s *insideStream) jump(off int64) {
	s.end()
	s.scan, s.off = credential.NewScanner(s.t.s.key), off
}
