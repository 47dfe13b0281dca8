package widget

import (
	uv "github.com/charmbracelet/ultraviolet"

	"snapcase/evidence/visible"
)

// Pane draws a border with a title into c and gives the canvas inside. The
// border of the pane with focus has another colour and a heavy corner sign.
// With A11y there is no border: the title is a line of its own.
func Pane(c Canvas, title Line, focused bool) Canvas {
	w, h := c.Size()
	if c.St.A11y {
		if h > 0 {
			c.Line(0, 0, w, title)
		}
		return c.At(0, 1, w, h-1)
	}
	if w < 4 || h < 2 {
		return c.At(0, 0, 0, 0)
	}
	st := c.St.Style(Border)
	if focused {
		st = c.St.Style(Focus)
	}
	put := func(x, y int, g string) { c.glyph(x, y, c.St.plain(g), 1, st) }
	for x := 1; x < w-1; x++ {
		put(x, 0, "─")
		put(x, h-1, "─")
	}
	for y := 1; y < h-1; y++ {
		put(0, y, "│")
		put(w-1, y, "│")
	}
	put(0, 0, "╭")
	put(w-1, 0, "╮")
	put(0, h-1, "╰")
	put(w-1, h-1, "╯")
	if len(title) > 0 && w > 8 {
		c.Text(2, 0, 1, Normal, visible.Lit(" "))
		n := c.Line(3, 0, w-6, title)
		c.Text(3+n, 0, 1, Normal, visible.Lit(" "))
	}
	return c.At(1, 1, w-2, h-2)
}

// Scroll draws where a window of size rows from top stands among total, on the
// right border of a pane of outer size; nothing where all is shown.
func Scroll(c Canvas, top, size, total int64) {
	w, h := c.Size()
	track := int64(h - 2)
	if c.St.A11y || track < 2 || total <= size || total <= 0 {
		return
	}
	length := max(1, track*size/total)
	at := min(track-length, top*track/total)
	st := c.St.Style(Dim)
	for i := range length {
		c.glyph(w-1, int(1+at+i), c.St.plain("┃"), 1, st)
	}
}

// Tabs is a title of tabs, the one at active between ‹ ›.
func Tabs(active int, names ...visible.Text) Line {
	var l Line
	for i, n := range names {
		if i > 0 {
			l = append(l, Span{Normal, visible.Lit(" ")})
		}
		if i == active {
			l = append(l, Span{Focus, visible.Sprintf("‹%s›", n)})
		} else {
			l = append(l, Span{Dim, n})
		}
	}
	return l
}

// Split cuts r at n cells from its left.
func Split(r uv.Rectangle, n int) (left, right uv.Rectangle) {
	n = max(0, min(n, r.Dx()))
	left, right = r, r
	left.Max.X = r.Min.X + n
	right.Min.X = left.Max.X
	return left, right
}

// Stack cuts r at n rows from its top.
func Stack(r uv.Rectangle, n int) (top, bottom uv.Rectangle) {
	n = max(0, min(n, r.Dy()))
	top, bottom = r, r
	top.Max.Y = r.Min.Y + n
	bottom.Min.Y = top.Max.Y
	return top, bottom
}
