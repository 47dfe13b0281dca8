package tui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	tea "charm.land/bubbletea/v2"

	"snapcase/evidence"
	"snapcase/evidence/credential"
	"snapcase/evidence/visible"
	"snapcase/imaging"
	"snapcase/tui/widget"
)

// masked is text with the secrets in it masked.
func masked(s string) string {
	b := []byte(s)
	return string(widget.Masked(b, credential.Secrets(b)))
}

// Sizes of what the viewer holds, bytes.
const (
	chunkSize   = 128 << 10 // what is shown without asking again
	maskMargin  = 16 << 10  // what is read around it, so that a secret across the edge is masked
	findStep    = 1 << 20   // of a search
	findPattern = 256       // longest pattern
)

// The tabs of the viewer.
const (
	tabMeta = iota
	tabHex
	tabText
	tabStrings
	viewTabs
)

// viewer shows the bytes of an entry or of an image: a window of them at a
// time, with every secret masked.
type viewer struct {
	a      *asker
	c      fileSource
	entry  *evidence.FileEntry
	addr   string
	src    imaging.Source
	opened string // the address that src belongs to
	tab    int
	off    int64 // of the chunk
	chunk  []byte
	masks  [][2]int
	top    int64 // hex: offset of the first row that shows
	mark   [2]int64
	text   doc // of the tabs text, strings and meta
	width  int
	height int
	err    error
	gap    error // the chunk is not whole
	want   []byte
}

// opening is what a command found when it opened an entry.
type opening struct {
	src   imaging.Source
	entry *evidence.FileEntry
	addr  string
	chunk chunkAnswer
}

type chunkAnswer struct {
	off   int64
	b     []byte
	masks [][2]int
	gap   error
}

const viewSlot = "files.view"

// preview shows the metadata of an entry without reading its content; nil shows
// nothing.
func (v *viewer) preview(e *evidence.FileEntry) {
	if e != nil && v.opened == e.Address {
		return
	}
	v.entry, v.src, v.opened, v.chunk, v.masks, v.err, v.gap = e, nil, "", nil, nil, nil, nil
	v.mark, v.top, v.off, v.tab = [2]int64{}, 0, 0, tabMeta
	v.a.cancel(viewSlot)
	v.addr = ""
	if e != nil {
		v.addr = e.Address
	}
	v.render()
}

// open reads the content of an address from offset on; an exhibit id alone
// opens its image.
func (v *viewer) open(addr string, offset int64, length int64) tea.Cmd {
	v.preview(nil)
	v.addr, v.err = addr, nil
	v.mark = [2]int64{offset, offset + length}
	c := v.c
	return ask(v.a, secFiles, viewSlot, func(ctx context.Context) (opening, error) {
		o := opening{addr: addr}
		a, err := evidence.ParseAddress(addr)
		if err == nil {
			var e evidence.FileEntry
			o.src, e, err = c.OpenEntry(ctx, a)
			o.entry = &e
		} else {
			a.Exhibit = addr
			o.src, err = c.OpenImage(ctx, addr)
		}
		if err != nil {
			return o, err
		}
		if err := c.Accessed(ctx, a.Exhibit, "shown in the workbench"); err != nil {
			return o, fmt.Errorf("record that %s was shown: %w", a.Exhibit, err)
		}
		o.chunk = readChunk(o.src, offset-min(offset, 4096))
		return o, nil
	})
}

// readChunk reads a window and finds the secrets in and around it. off is
// taken down to a multiple of 16.
func readChunk(src imaging.Source, off int64) chunkAnswer {
	off = max(min(off, src.Size()-1), 0) &^ 15
	from := max(off-maskMargin, 0)
	b := make([]byte, min(src.Size()-from, off-from+chunkSize+maskMargin))
	n, err := src.ReadAt(b, from)
	b = b[:n]
	out := chunkAnswer{off: off}
	if err != nil && !errors.Is(err, io.EOF) {
		out.gap = err
	}
	lead := int(min(off-from, int64(n)))
	for _, m := range credential.Secrets(b) {
		out.masks = append(out.masks, [2]int{m[0] - lead, m[1] - lead})
	}
	b = b[lead:]
	out.b = b[:min(len(b), chunkSize)]
	return out
}

func (v *viewer) take(m answer) (tea.Cmd, bool) {
	switch m.slot {
	case viewSlot:
		o, _ := m.val.(opening)
		v.err = m.err
		v.entry = o.entry
		if m.err != nil {
			v.render()
			return nil, true
		}
		v.src, v.opened = o.src, o.addr
		v.tab = tabText
		if bytes.IndexByte(o.chunk.b[:min(len(o.chunk.b), 512)], 0) >= 0 || o.entry == nil || v.mark[1] > v.mark[0] {
			v.tab = tabHex
		}
		v.takeChunk(o.chunk)
		v.top = v.mark[0] &^ 15
		v.top = max(0, v.top-32)
		return nil, true
	case viewSlot + ".chunk":
		if c, ok := m.val.(chunkAnswer); ok && m.err == nil {
			v.takeChunk(c)
		}
		return nil, true
	case viewSlot + ".find":
		return v.takeFind(m), true
	}
	return nil, false
}

func (v *viewer) takeChunk(c chunkAnswer) {
	v.off, v.chunk, v.masks, v.gap = c.off, c.b, c.masks, c.gap
	v.render()
}

// load asks for the window around an offset.
func (v *viewer) load(off int64) tea.Cmd {
	src := v.src
	if src == nil {
		return nil
	}
	return ask(v.a, secFiles, viewSlot+".chunk", func(context.Context) (chunkAnswer, error) { return readChunk(src, off), nil })
}

// fit tells the viewer how much of it shows.
func (v *viewer) fit(w, h int) {
	if w == v.width && h == v.height {
		return
	}
	v.width, v.height = w, h
	top := v.text.top
	v.render()
	v.text.top = top
}

// render makes the lines of the tab.
func (v *viewer) render() {
	var lines []widget.Line
	w := max(v.width, 20)
	switch v.tab {
	case tabMeta:
		lines = v.meta(w)
	case tabText:
		b := widget.Masked(v.chunk, v.masks)
		for l := range strings.Lines(string(b)) {
			t := visible.Escape(strings.TrimSuffix(l, "\n"))
			parts := widget.Wrap(t, w)
			if len(parts) == 0 {
				parts = []visible.Text{widget.Blank}
			}
			for _, p := range parts {
				lines = append(lines, widget.Plain(widget.Normal, p))
			}
		}
	case tabStrings:
		lines = stringLines(widget.Masked(v.chunk, v.masks), v.off)
	}
	v.text.set(lines)
}

// stringLines are the printable runs of at least four characters, with their
// offsets.
func stringLines(b []byte, off int64) []widget.Line {
	var out []widget.Line
	start := -1
	for i := 0; i <= len(b); i++ {
		if i < len(b) && b[i] >= 0x20 && b[i] < 0x7f {
			if start < 0 {
				start = i
			}
			continue
		}
		if start >= 0 && i-start >= 4 {
			out = append(out, widget.Line{span(widget.Dim, visible.Sprintf("%08x  ", off+int64(start))), span(widget.Normal, visible.Escape(string(b[start:i])))})
		}
		start = -1
	}
	return out
}

// title is what stands on the border.
func (v *viewer) title() widget.Line {
	names := []visible.Text{visible.Lit("meta"), visible.Lit("hex"), visible.Lit("text"), visible.Lit("strings")}
	l := append(widget.Tabs(v.tab, names...), span(widget.Normal, visible.Lit("  ")))
	if v.entry != nil && v.entry.Status != "allocated" {
		l = append(l, span(widget.Deleted, visible.Sprintf("%s ", v.entry.Status)))
	}
	if v.src != nil && len(v.chunk) > 0 {
		at := v.off
		if v.tab == tabHex {
			at = v.top
		}
		l = append(l, span(widget.Dim, visible.Sprintf("%#x of %#x  ", at, v.src.Size())))
	}
	return append(l, span(widget.Dim, visible.Escape(v.addr)))
}

func (v *viewer) draw(c widget.Canvas, _ bool) {
	w, h := c.Size()
	if v.tab != tabHex {
		top := max(0, min(v.text.top, len(v.text.lines)-h))
		c.At(1, 0, w-2, h).Lines(v.text.lines[top:])
		return
	}
	from := max(v.top-v.off, 0)
	if from >= int64(len(v.chunk)) {
		return
	}
	x := widget.Hex{Offset: v.off + from, Bytes: v.chunk[from:]}
	for _, m := range v.masks {
		x.Masks = append(x.Masks, [2]int{m[0] - int(from), m[1] - int(from)})
	}
	x.Mark = [2]int{int(v.mark[0] - v.off - from), int(v.mark[1] - v.off - from)}
	in := c.At(1, 0, w-2, h)
	x.Draw(in)
	if len(v.masks) > 0 && w > widget.HexWidth+24 {
		in.Text(widget.HexWidth+2, 0, 30, widget.Dim, visible.Lit("•• a secret, masked"))
	}
}

func (v *viewer) state() paneState {
	waits, slow := v.a.busy(viewSlot)
	switch {
	case waits:
		return paneState{kind: isLoading, slow: slow}
	case v.err != nil && !evidence.Canceled(v.err):
		return paneState{kind: isError, err: v.err}
	case v.entry == nil && v.src == nil:
		return paneState{kind: isEmpty, words: []string{"enter on a file shows its bytes."}}
	case v.tab != tabMeta && len(v.chunk) == 0 && v.gap != nil:
		return paneState{kind: isError, err: v.gap}
	case v.tab != tabMeta && len(v.chunk) == 0 && v.src != nil:
		return paneState{kind: isEmpty, words: []string{"This entry has no bytes."}}
	}
	return paneState{}
}

// do is the viewer's part of the keys.
func (v *viewer) do(a action) (tea.Cmd, bool) {
	switch a {
	case actNextTab, actPrevTab:
		step := 1
		if a == actPrevTab {
			step = viewTabs - 1
		}
		v.tab = (v.tab + step) % viewTabs
		v.render()
		if v.tab != tabMeta && v.src == nil && v.entry != nil && v.entry.Type == "file" {
			tab := v.tab
			cmd := v.open(v.entry.Address, 0, 0)
			v.tab = tab
			return cmd, true
		}
		return nil, true
	case actOffset:
		return openPrompt(&prompt{label: visible.Lit("go to offset: "), done: v.goOffset}), true
	case actFind:
		return openPrompt(&prompt{label: visible.Lit("find bytes (hex:ff d8, or text): "), done: v.find}), true
	case actFindNext, actFindPrev:
		return v.findFrom(a == actFindNext), true
	default:
	}
	if _, ok := motions[a]; ok {
		return v.scroll(a), true
	}
	return nil, false
}

func (v *viewer) scroll(a action) tea.Cmd {
	h := max(v.height, 1)
	if v.tab != tabHex {
		before := v.text.top
		v.text.move(a, h)
		end := v.off + int64(len(v.chunk))
		if v.src == nil || v.tab == tabMeta || v.text.top != before {
			return nil
		}
		switch {
		case (a == actDown || a == actPageDown) && end < v.src.Size():
			return v.load(end)
		case (a == actUp || a == actPageUp) && v.off > 0:
			return v.load(max(v.off-chunkSize, 0))
		}
		return nil
	}
	if v.src == nil {
		return nil
	}
	last := max((v.src.Size()-1)&^15-int64(h-1)*16, 0)
	switch a {
	case actDown:
		v.top += 16
	case actUp:
		v.top -= 16
	case actPageDown, actHalfDown:
		v.top += int64(h) * 16
	case actPageUp, actHalfUp:
		v.top -= int64(h) * 16
	case actFirst:
		v.top = 0
	case actLast:
		v.top = last
	default:
	}
	v.top = max(0, min(v.top, last))
	return v.cover()
}

// cover asks for the window when what shows leaves it.
func (v *viewer) cover() tea.Cmd {
	end := v.top + int64(max(v.height, 1))*16
	if v.top >= v.off && min(end, v.src.Size()) <= v.off+int64(len(v.chunk)) {
		return nil
	}
	return v.load(max(v.top-chunkSize/2, 0))
}
