package tui

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"snapcase/evidence/visible"
	"snapcase/imaging"
	"snapcase/tui/widget"
)

func (v *viewer) goOffset(s string) tea.Cmd {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 0, 64)
	if err != nil || n < 0 || v.src == nil || n >= v.src.Size() {
		return say(widget.Warn, visible.Sprintf("warn: %q is no offset of these bytes", s))
	}
	v.tab, v.top, v.mark = tabHex, n&^15, [2]int64{n, n + 1}
	return v.cover()
}

func (v *viewer) find(s string) tea.Cmd {
	b := []byte(s)
	if digits, ok := strings.CutPrefix(s, "hex:"); ok {
		var err error
		if b, err = hex.DecodeString(strings.ReplaceAll(digits, " ", "")); err != nil {
			return say(widget.Warn, visible.Sprintf("warn: %q are no hexadecimal digits", digits))
		}
	}
	if len(b) == 0 || len(b) > findPattern {
		return nil
	}
	v.want = b
	v.mark[1] = v.mark[0]
	return v.findFrom(true)
}

// findFrom searches from the mark on, forward or backward, to the end.
func (v *viewer) findFrom(forward bool) tea.Cmd {
	src, want, at := v.src, v.want, v.mark[0]
	if src == nil || len(want) == 0 {
		return nil
	}
	if v.mark[1] > v.mark[0] && forward {
		at++
	}
	return ask(v.a, secFiles, viewSlot+".find", func(ctx context.Context) (int64, error) {
		if forward {
			return search(ctx, src, want, at)
		}
		return searchBack(ctx, src, want, at)
	})
}

func search(ctx context.Context, src imaging.Source, want []byte, at int64) (int64, error) {
	b := make([]byte, findStep)
	for ; at < src.Size(); at += findStep - int64(len(want)) + 1 {
		if err := ctx.Err(); err != nil {
			return -1, err
		}
		n, err := src.ReadAt(b, at)
		if i := bytes.Index(b[:n], want); i >= 0 {
			return at + int64(i), nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return -1, err
		}
	}
	return -1, nil
}

func searchBack(ctx context.Context, src imaging.Source, want []byte, end int64) (int64, error) {
	b := make([]byte, findStep)
	end = min(end+int64(len(want))-1, src.Size())
	for end > 0 {
		if err := ctx.Err(); err != nil {
			return -1, err
		}
		from := max(end-findStep, 0)
		n, err := src.ReadAt(b[:end-from], from)
		if i := bytes.LastIndex(b[:n], want); i >= 0 {
			return from + int64(i), nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return -1, err
		}
		if from == 0 {
			break
		}
		end = from + int64(len(want)) - 1
	}
	return -1, nil
}

func (v *viewer) takeFind(m answer) tea.Cmd {
	at, _ := m.val.(int64)
	switch {
	case m.err != nil:
		return say(widget.Bad, visible.Sprintf("error: %v", m.err))
	case at < 0:
		return say(widget.Warn, visible.Lit("no further match"))
	case v.src == nil:
		return nil
	}
	v.tab, v.top, v.mark = tabHex, max(at&^15-32, 0), [2]int64{at, at + int64(len(v.want))}
	return v.cover()
}
