package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"snapcase/evidence"
	decode "snapcase/evidence/credential/inside"
)

// CopyInside writes what a file hides to w: the decoded stream whose address,
// as the places of keys give it, is that of the file, "!" and the name inside.
// The entry is that of the file. Where its Damage is set, what was written is
// not whole. Of several streams of one name the first is given, and Damage says
// so. It is evidence.ErrNotFound when no part of a before a "!" is an entry, or
// nothing inside it has that name.
func (c *Case) CopyInside(ctx context.Context, a evidence.Address, w io.Writer) (evidence.FileEntry, error) {
	fail := func(err error) (evidence.FileEntry, error) {
		return evidence.FileEntry{}, fmt.Errorf("open %s: %w", a, err)
	}
	for i := strings.IndexByte(a.Path, '!'); i >= 0; {
		outer := a
		outer.Path = a.Path[:i]
		src, e, err := c.OpenEntry(ctx, outer)
		switch {
		case err == nil:
			t := &insideCopy{w: w, name: a.Path[i:]}
			d := decode.NewDecoder(decode.NewBudget(insideLeast))
			if err := d.Walk(ctx, src, t); err != nil && !errors.Is(err, decode.ErrBudget) {
				return fail(err)
			}
			if t.err != nil {
				return fail(t.err)
			}
			if t.found == 0 {
				return fail(evidence.WithHint(fmt.Errorf("nothing inside %s is called that: %w", outer, evidence.ErrNotFound), "extract %s and unpack it", outer))
			}
			row := entryRow{FileEntry: e}
			for _, damage := range t.damage {
				row.damaged(damage)
			}
			if t.found > 1 {
				row.damaged(fmt.Sprintf("%d streams inside have that name: this is the first", t.found))
			}
			return row.FileEntry, nil
		case !errors.Is(err, evidence.ErrNotFound):
			return fail(err)
		}
		next := strings.IndexByte(a.Path[i+1:], '!')
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return fail(evidence.WithHint(evidence.ErrNotFound, findHint))
}

// insideCopy takes the first stream of a name.
type insideCopy struct {
	w      io.Writer
	name   string
	found  int
	damage []string
	err    error
}

func (t *insideCopy) wanted(path string) bool {
	if path != t.name && asJSON(path) != t.name {
		return false
	}
	t.found++
	return t.found == 1
}

// Whole implements decode.Taker.
func (t *insideCopy) Whole(path string, _ int64, b []byte) {
	if t.wanted(path) && t.err == nil {
		_, t.err = t.w.Write(b)
	}
}

// Stream implements decode.Taker.
func (t *insideCopy) Stream(path string, _ int64) io.WriteCloser {
	if t.wanted(path) {
		return unclosed{t.w}
	}
	return unclosed{io.Discard}
}

// Damage implements decode.Taker.
func (t *insideCopy) Damage(path string, _ int64, reason string) {
	if path == t.name || asJSON(path) == t.name || strings.HasPrefix(t.name, path) {
		t.damage = append(t.damage, reason)
	}
}

// unclosed is a writer that somebody else closes.
type unclosed struct{ io.Writer }

// Close does nothing.
func (unclosed) Close() error { return nil }
