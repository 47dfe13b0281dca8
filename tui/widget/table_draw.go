package widget

import "snapcase/evidence/visible"

// Column is one column of a table. Text from evidence of any length stands in
// the last one, which takes the rest of the line.
type Column struct {
	Title visible.Text
	Width int
	Right bool // numbers end at the right
	Drop  int  // the highest goes first when the line is narrow; 0 stays
	Need  int  // of the last column: cells it should have before others stay
}

// prefix is the cells before the first column: cursor, sign, blank.
const prefix = 3

// fit gives the width of every column on a line of w cells; 0 for those that
// are left out.
func (t *Table) fit(w int) []int {
	widths := make([]int, len(t.Cols))
	if len(t.Cols) == 0 {
		return widths
	}
	last := len(t.Cols) - 1
	sum := prefix + max(t.Cols[last].Width, t.Cols[last].Need)
	for i, c := range t.Cols[:last] {
		widths[i] = c.Width
		sum += c.Width + 1
	}
	for sum > w {
		worst := -1
		for i, c := range t.Cols[:last] {
			if widths[i] > 0 && c.Drop > 0 && (worst < 0 || c.Drop >= t.Cols[worst].Drop) {
				worst = i
			}
		}
		if worst < 0 {
			break
		}
		sum -= widths[worst] + 1
		widths[worst] = 0
	}
	used := prefix
	for _, n := range widths {
		if n > 0 {
			used += n + 1
		}
	}
	widths[last] = max(0, w-used-1)
	if t.Cols[last].Right {
		widths[last] = min(widths[last], t.Cols[last].Width)
	}
	return widths
}

// Draw draws the header and the rows that show.
func (t *Table) Draw(c Canvas, focused bool) {
	w, h := c.Size()
	if w < 4 || h < 1 {
		return
	}
	widths := t.fit(w)
	t.drawHeader(c, widths, focused)
	for y := 1; y < h; y++ {
		at := t.top + y - 1
		switch {
		case at >= 0 && at < len(t.rows):
			t.drawRow(c, y, &t.rows[at], widths, at == t.cursor, focused)
		case t.landing || at < 0 && t.before || at >= len(t.rows) && t.after && t.expected(at):
			t.drawGap(c, y, widths, at == t.cursor && !t.landing, focused)
		}
	}
}

// expected says whether row at of the window is known to exist, or may.
func (t *Table) expected(at int) bool {
	if t.ordinal > 0 && t.total.Known && !t.total.More {
		return t.ordinal+int64(at) <= t.total.N
	}
	return true
}

func (t *Table) drawHeader(c Canvas, widths []int, focused bool) {
	x := prefix
	for i, col := range t.Cols {
		if widths[i] == 0 {
			continue
		}
		role := Label
		if t.Cell && focused && i == t.col {
			role = Focus
		}
		if col.Right {
			c.Right(x+widths[i], 0, widths[i], role, col.Title)
		} else {
			c.Text(x, 0, widths[i], role, col.Title)
		}
		x += widths[i] + 1
	}
}

func (t *Table) drawRow(c Canvas, y int, r *Row, widths []int, at, focused bool) {
	if at {
		role := Dim
		if focused {
			role = Focus
		}
		c.Text(0, y, 1, role, visible.Lit("▸"))
	}
	if _, on := t.marks[r.Key]; on {
		c.Text(1, y, 1, Mark, visible.Lit("●"))
	} else if r.Flags&Tagged != 0 {
		c.Text(1, y, 1, Mark, visible.Lit("#"))
	} else if r.Flags&Escaped != 0 {
		c.Text(1, y, 1, Warn, visible.Lit("!"))
	} else if r.Flags&TimeUnsure != 0 {
		c.Text(1, y, 1, Inferred, visible.Lit("~"))
	}
	x := prefix
	for i := range t.Cols {
		if widths[i] == 0 || i >= len(r.Cells) {
			continue
		}
		role := r.Cells[i].Role
		if role == Normal && r.Flags&IsDeleted != 0 {
			role = Deleted
		}
		switch share := r.Cells[i].Share; {
		case share[1] > 0 && c.St.A11y: // the number stands beside it
		case share[1] > 0:
			Meter(c, x, y, min(widths[i], 40), role, share[0], share[1])
		case t.Cols[i].Right:
			c.Right(x+widths[i], y, widths[i], role, r.Cells[i].Text)
		default:
			c.Text(x, y, widths[i], role, r.Cells[i].Text)
		}
		x += widths[i] + 1
	}
	if at {
		ground := Quiet
		if focused {
			ground = Selection
		}
		c.Tint(y, ground)
	}
}

func (t *Table) drawGap(c Canvas, y int, widths []int, at, focused bool) {
	if at {
		c.Text(0, y, 1, Focus, visible.Lit("▸"))
	}
	x := prefix
	for _, n := range widths {
		if n == 0 {
			continue
		}
		c.Text(x, y, min(n, 5), Gap, visible.Lit("·····"))
		x += n + 1
	}
	if at && focused {
		c.Tint(y, Selection)
	}
}

// DrawScroll draws where the window stands on the border of the outer canvas.
func (t *Table) DrawScroll(outer Canvas) {
	if t.landing || len(t.rows) == 0 {
		return
	}
	total, first := t.total.N, t.ordinal
	if !t.total.Known || t.total.More || first == 0 {
		if t.before || t.after {
			return // the place is not known
		}
		total, first = int64(len(t.rows)), 1
	}
	Scroll(outer, max(first-1+int64(t.top), 0), int64(t.height), total)
}
