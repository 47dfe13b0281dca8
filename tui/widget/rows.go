package widget

// SetRows gives the table all its rows at once; the cursor stays on its row.
func (t *Table) SetRows(rows []Row) {
	key := t.home
	if r := t.Current(); r != nil {
		key = r.Key
	}
	t.gen++
	lead := t.cursor - t.top
	t.window = window{rows: rows, ordinal: 1}
	t.landing, t.settle, t.waiting = false, false, [2]bool{}
	if at := t.find(key); at >= 0 && key != "" {
		t.cursor, t.top = at, at-lead
	}
	t.total = Total{N: int64(len(rows)), Known: true}
	t.clamp()
}

// SetSize tells the table how many cells it will be drawn on; the header takes
// one row of them. The screen calls it whenever its layout changes.
func (t *Table) SetSize(w, h int) []Want {
	t.width, t.height = w, max(h-1, 0)
	if t.landing {
		return nil
	}
	t.clamp()
	return t.wants()
}

// SetTotal tells how many rows the query of generation gen has.
func (t *Table) SetTotal(gen uint64, n Total) {
	if gen == t.gen {
		n.Known = true
		t.total = n
		t.clamp()
	}
}

// Total is how many rows the query has, as far as that is known.
func (t *Table) Total() Total { return t.total }

// Loading says whether the first rows are still to come.
func (t *Table) Loading() bool { return t.landing || t.gen == 0 }

// Fetching says whether any rows are asked for.
func (t *Table) Fetching() bool { return t.landing || t.waiting[0] || t.waiting[1] }

// Failed tells the table that the request for w will not be answered.
func (t *Table) Failed(w Want) {
	if w.Generation != t.gen {
		return
	}
	t.landing = false
	if w.Forward {
		t.waiting[1], t.after = false, false
	} else {
		t.waiting[0], t.before = false, false
	}
	t.clamp()
}

// Empty says whether the query has no rows.
func (t *Table) Empty() bool { return !t.landing && t.gen > 0 && len(t.rows) == 0 }

// Current is the row under the cursor, nil while it is still to come.
func (t *Table) Current() *Row {
	if t.cursor < 0 || t.cursor >= len(t.rows) {
		return nil
	}
	return &t.rows[t.cursor]
}

// CursorRow is the row that the cursor is drawn on, the header being row 0.
func (t *Table) CursorRow() int { return t.cursor - t.top + 1 }

// Home is the key that the examiner put the cursor on.
func (t *Table) Home() Key { return t.home }

// SetHome puts the cursor's key before the rows are asked for.
func (t *Table) SetHome(k Key) { t.home, t.moved = k, false }

// Position is the row number of the cursor from 1, 0 when it is not known.
func (t *Table) Position() int64 {
	if t.ordinal == 0 || len(t.rows) == 0 {
		return 0
	}
	return t.ordinal + int64(t.cursor)
}

// Cached are the rows in memory.
func (t *Table) Cached() []Row { return t.rows }

// Click moves the cursor to what shows on row y of the table (0 is the header).
func (t *Table) Click(y int) []Want {
	if y < 1 || t.landing {
		return nil
	}
	at := t.top + y - 1
	if at < 0 || at >= len(t.rows) {
		return nil
	}
	t.cursor, t.moved = at, true
	return t.arrive()
}

// Column moves the column cursor.
func (t *Table) Column(by int) {
	widths := t.fit(t.width)
	for c := t.col + by; c >= 0 && c < len(t.Cols); c += by {
		if widths[c] > 0 {
			t.col = c
			return
		}
	}
}

// At is the number of the column under the cursor.
func (t *Table) At() int { return t.col }

// Mark turns the mark of the cursor's row on or off and moves down.
func (t *Table) Mark() []Want {
	r := t.Current()
	if r == nil {
		return nil
	}
	if t.marks == nil {
		t.marks = map[Key]Row{}
	}
	if _, on := t.marks[r.Key]; on {
		delete(t.marks, r.Key)
	} else {
		t.marks[r.Key] = *r
	}
	t.anchor = r.Key
	return t.Move(Down)
}

// MarkRange marks the rows from the last mark to the cursor, as far as they
// are in memory.
func (t *Table) MarkRange() {
	at := t.find(t.anchor)
	if at < 0 || t.Current() == nil {
		return
	}
	for i := min(at, t.cursor); i <= max(at, t.cursor); i++ {
		t.marks[t.rows[i].Key] = t.rows[i]
	}
}

// Unmark takes all marks away.
func (t *Table) Unmark() { t.marks, t.anchor = nil, "" }

// Marked are the marked rows, in no order.
func (t *Table) Marked() []Row {
	out := make([]Row, 0, len(t.marks))
	for _, r := range t.marks {
		out = append(out, r)
	}
	return out
}

// Marks is how many rows are marked.
func (t *Table) Marks() int { return len(t.marks) }

// Patch changes cached rows in place, for what the examiner did to them.
func (t *Table) Patch(change func(r *Row)) {
	for i := range t.rows {
		change(&t.rows[i])
	}
	for k, r := range t.marks {
		change(&r)
		t.marks[k] = r
	}
}
