// Package widget draws: text, panes, tables over pages, trees, histograms,
// heat maps, bytes and fields, on cells of one screen buffer. A widget takes
// visible.Text, roles and rectangles. It knows no evidence, no store, no keys
// and no clock, does no input or output, and draws the same frame from the
// same state.
//
// A Canvas is a rectangle of the buffer with the styles; what is drawn outside
// it is cut. Coordinates are cells from the canvas's own corner.
//
// The package does not decide what is shown and never turns a string into
// cells by itself: only a visible.Text gets there.
package widget

import (
	"unicode"
	"unicode/utf8"

	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"

	"snapcase/evidence/visible"
)

// Span is a run of text in one role.
type Span struct {
	Role Role
	Text visible.Text
}

// Line is spans beside one another.
type Line []Span

// Plain is a line of one span.
func Plain(r Role, t visible.Text) Line { return Line{{r, t}} }

// Width is the number of cells of the line.
func (l Line) Width() int {
	n := 0
	for _, s := range l {
		n += Width(s.Text)
	}
	return n
}

// Width is the number of cells that t takes.
func Width(t visible.Text) int {
	s := t.String()
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return runesWidth(s)
		}
	}
	return len(s)
}

func runesWidth(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

func runeWidth(r rune) int {
	switch {
	case r < 0x7f, r >= 0x2500 && r < 0x2600, r >= 0xa1 && r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	}
	return ansi.WcWidth.StringWidth(string(r))
}

// Canvas is a rectangle to draw on.
type Canvas struct {
	buf  uv.ScreenBuffer
	area uv.Rectangle
	St   *Styles
}

// NewCanvas is a canvas over the whole of buf.
func NewCanvas(buf uv.ScreenBuffer, st *Styles) Canvas {
	return Canvas{buf: buf, area: buf.Bounds(), St: st}
}

// Size is the width and height in cells.
func (c Canvas) Size() (w, h int) { return c.area.Dx(), c.area.Dy() }

// Sub is the part of c that r (in c's coordinates) covers.
func (c Canvas) Sub(r uv.Rectangle) Canvas {
	c.area = r.Add(c.area.Min).Intersect(c.area)
	return c
}

// At is Sub by corner and size.
func (c Canvas) At(x, y, w, h int) Canvas {
	return c.Sub(uv.Rect(x, y, max(w, 0), max(h, 0)))
}

// Fill gives every cell of c a blank in role r.
func (c Canvas) Fill(r Role) {
	cell := uv.Cell{Content: " ", Width: 1, Style: c.St.Style(r)}
	c.buf.FillArea(&cell, c.area)
}

// Tint puts a ground under what row y shows already; the text keeps its colour.
func (c Canvas) Tint(y int, r Role) {
	st := c.St.Style(r)
	for x := c.area.Min.X; x < c.area.Max.X; x++ {
		cell := c.buf.CellAt(x, c.area.Min.Y+y)
		if cell == nil || y < 0 || y >= c.area.Dy() {
			continue
		}
		if st.Bg != nil {
			cell.Style.Bg = st.Bg
		}
		cell.Style.Attrs |= st.Attrs
	}
}

// glyph puts one cell; it says how wide it is.
func (c Canvas) glyph(x, y int, s string, w int, st uv.Style) {
	if x < 0 || y < 0 || y >= c.area.Dy() || x+w > c.area.Dx() {
		return
	}
	c.buf.SetCell(c.area.Min.X+x, c.area.Min.Y+y, &uv.Cell{Content: s, Width: w, Style: st})
}

// cellLimit is how much of one text is looked at for one line, bytes.
const cellLimit = 4096

// Text draws t from x on row y, at most w cells; what does not fit ends in an
// ellipsis. It says how many cells it took.
func (c Canvas) Text(x, y, w int, r Role, t visible.Text) int {
	w = min(w, c.area.Dx()-x)
	if w <= 0 || y < 0 || y >= c.area.Dy() {
		return 0
	}
	s := t.String()
	if len(s) > cellLimit {
		cut := cellLimit
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut]
	}
	fits := len(s) <= w || runesWidth(s) <= w
	return c.run(x, y, w, s, c.St.Style(r), fits)
}

func (c Canvas) run(x, y, w int, s string, st uv.Style, fits bool) int {
	limit := w
	if !fits {
		limit = w - 1
	}
	used := 0
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		end := i + n
		for end < len(s) && s[end] >= utf8.RuneSelf { // marks join the cell before them
			m, k := utf8.DecodeRuneInString(s[end:])
			if runeWidth(m) != 0 {
				break
			}
			end += k
		}
		rw := max(runeWidth(r), 1)
		if used+rw > limit {
			break
		}
		c.glyph(x+used, y, c.St.plain(s[i:end]), rw, st)
		used += rw
		i = end
	}
	if !fits {
		c.glyph(x+used, y, c.St.Ellipsis(), 1, st)
		used++
	}
	return used
}

// Line draws l from x on row y, at most w cells, and says how many it took.
func (c Canvas) Line(x, y, w int, l Line) int {
	used := 0
	for _, s := range l {
		if used >= w {
			break
		}
		used += c.Text(x+used, y, w-used, s.Role, s.Text)
	}
	return used
}

// Right draws t so that it ends before column x.
func (c Canvas) Right(x, y, w int, r Role, t visible.Text) {
	c.Text(x-min(Width(t), w), y, w, r, t)
}

// Lines draws lines from row 0, as many as fit.
func (c Canvas) Lines(lines []Line) {
	w, h := c.Size()
	for y, l := range lines[:min(len(lines), h)] {
		c.Line(0, y, w, l)
	}
}

// Wrap breaks t into lines of at most w cells, at blanks where there are some.
func Wrap(t visible.Text, w int) []visible.Text {
	if w < 1 {
		return nil
	}
	var out []visible.Text
	s := t.String()
	for s != "" {
		cut, blank, used := len(s), -1, 0
		for i, r := range s {
			if used += runeWidth(r); used > w {
				cut = i
				break
			}
			if r == ' ' {
				blank = i
			}
		}
		if cut == 0 { // one glyph wider than the line
			_, cut = utf8.DecodeRuneInString(s)
		}
		if cut < len(s) && blank > 0 {
			out = append(out, visible.Part(t, s[:blank]))
			s = s[blank+1:]
			continue
		}
		out = append(out, visible.Part(t, s[:cut]))
		s = s[cut:]
	}
	return out
}
