package widget

import (
	uv "github.com/charmbracelet/ultraviolet"

	"snapcase/evidence/visible"
)

// Bar is one bar of a histogram: a count a series, in the order of the series.
type Bar struct {
	Parts [5]int64
	Label visible.Text // of the axis; empty for most bars
	Gap   bool         // nothing is known of this time, which is not zero
}

// Count is the height of the bar.
func (b Bar) Count() int64 {
	var n int64
	for _, p := range b.Parts {
		n += p
	}
	return n
}

// Hist is a histogram over time, with a cursor and a range.
type Hist struct {
	Bars   []Bar
	Cursor int // -1 for none
	From   int // first and last bar of the range that is being made, -1 for none
	To     int
	Top    visible.Text // the count of the highest bar, in words
}

// axisCells are the cells left of the bars.
const axisCells = 7

// HistWidth is how many bars fit on w cells.
func HistWidth(w int) int { return max(w-axisCells-1, 0) }

// Draw draws the bars over an axis with its labels, or the numbers with A11y.
func (g Hist) Draw(c Canvas, focused bool) {
	w, h := c.Size()
	if c.St.A11y {
		g.numbers(c)
		return
	}
	bars := h - 2
	if bars < 1 || w < axisCells+4 || len(g.Bars) == 0 {
		return
	}
	room := HistWidth(w)
	var top int64 = 1
	for _, b := range g.Bars {
		top = max(top, b.Count())
	}
	c.Right(axisCells-2, 0, axisCells-2, Label, g.Top)
	for y := range bars {
		c.Text(axisCells-1, y, 1, Border, visible.Lit("┤"))
	}
	if bars > 1 {
		c.Right(axisCells-2, bars, 5, Label, visible.Lit("0"))
	}
	for i, b := range g.Bars {
		from, to := g.place(i, room)
		for x := from; x < to; x++ {
			g.column(c, axisCells+x, bars, i, b, top, x == to-1 && to-from > 2)
		}
	}
	g.axis(c, bars, room, focused)
}

// place is the cells of bar i, from and to, when the bars share room cells.
func (g Hist) place(i, room int) (from, to int) {
	n := len(g.Bars)
	if n >= room {
		return i, i + 1
	}
	return i * room / n, (i + 1) * room / n
}

// column draws one column of cells of bar i.
func (g Hist) column(c Canvas, x, bars, i int, b Bar, top int64, last bool) {
	ground := Normal
	if g.From >= 0 && i >= min(g.From, g.To) && i <= max(g.From, g.To) {
		ground = Quiet
	}
	if i == g.Cursor {
		ground = Selection
	}
	bg := c.St.Style(ground)
	if ground != Normal {
		for y := range bars {
			c.glyph(x, y, " ", 1, uv.Style{Bg: bg.Bg, Attrs: bg.Attrs})
		}
	}
	if b.Gap {
		c.glyph(x, bars-1, c.St.plain("░"), 1, c.St.Style(Gap))
		return
	}
	n := b.Count()
	if n == 0 || last {
		return
	}
	eighths := max(1, int(n*int64(bars)*8/top))
	for y := range bars {
		fill := min(eighths-y*8, 8)
		if fill <= 0 {
			return
		}
		// the series that holds the middle of this cell colours it
		level := min(n-1, (int64(y*8+fill/2)*top)/int64(bars*8))
		st := c.St.Style(Chart1 + Role(b.series(level)))
		st.Bg = bg.Bg
		st.Attrs |= bg.Attrs
		c.glyph(x, bars-1-y, c.St.plain(blocks[fill]), 1, st)
	}
}

func (b Bar) series(level int64) int {
	for i, p := range b.Parts {
		if level < p {
			return i
		}
		level -= p
	}
	return 0
}

func (g Hist) axis(c Canvas, bars, room int, focused bool) {
	w, _ := c.Size()
	c.Text(axisCells-1, bars, 1, Border, visible.Lit("┼"))
	for x := axisCells; x < axisCells+room; x++ {
		c.Text(x, bars, 1, Border, visible.Lit("─"))
	}
	free := 0
	for i, b := range g.Bars {
		x, _ := g.place(i, room)
		x += axisCells
		if b.Label.String() == "" || x < free {
			continue
		}
		if x+Width(b.Label) > w {
			continue
		}
		c.Text(x, bars, 1, Border, visible.Lit("┬"))
		free = x + c.Text(x, bars+1, w-x, Label, b.Label) + 2
	}
	if g.Cursor >= 0 && focused {
		for x, to := g.place(g.Cursor, room); x < to; x++ {
			c.Text(axisCells+x, bars, 1, Focus, visible.Lit("▲"))
		}
	}
}

// numbers writes the bars as a table for a screen reader.
func (g Hist) numbers(c Canvas) {
	w, h := c.Size()
	y := 0
	for i, b := range g.Bars {
		if y >= h {
			return
		}
		n := b.Count()
		if n == 0 && !b.Gap && i != g.Cursor {
			continue
		}
		t := visible.Sprintf("bar %d: %d  %s", i+1, n, b.Label)
		if b.Gap {
			t = visible.Sprintf("bar %d: nothing known  %s", i+1, b.Label)
		}
		r := Normal
		if i == g.Cursor {
			r = Focus
		}
		c.Text(0, y, w, r, t)
		y++
	}
}

// Meter draws n of total as a bar of at most w cells, in eighths.
func Meter(c Canvas, x, y, w int, r Role, n, total int64) {
	if total <= 0 || n <= 0 || w <= 0 {
		return
	}
	eighths := max(1, int(float64(n)/float64(total)*float64(w*8)))
	st := c.St.Style(r)
	for i := range w {
		fill := min(eighths-i*8, 8)
		if fill <= 0 {
			return
		}
		g := "█"
		if fill < 8 {
			g = string(rune(0x2590 - fill)) // ▏ to ▉
			if c.St.ASCII {
				g = "-"
			}
		}
		c.glyph(x+i, y, c.St.plain(g), 1, st)
	}
}
