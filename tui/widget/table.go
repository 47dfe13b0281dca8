package widget

import "snapcase/evidence/visible"

// Key names one row of one order: the keyset tuple, encoded by whoever has the
// rows. It is opaque, comparable and stable; "" names none.
type Key string

// Flags are facts about a row that every table shows the same way.
type Flags uint8

// The flags.
const (
	Tagged     Flags = 1 << iota // the examiner tagged it
	IsDeleted                    // the thing is deleted
	TimeUnsure                   // its time is inferred
	Escaped                      // its text had to be escaped
)

// Cell is one cell of a row: text, or with Share a bar of Share[0] out of
// Share[1] over the width of its column.
type Cell struct {
	Role  Role
	Text  visible.Text
	Share [2]int64
}

// Row is one row: its cells, one a column, and what the screen wants to find
// again in it.
type Row struct {
	Key   Key
	Cells []Cell
	Flags Flags
	Data  any
}

// Moment is a time as a table passes it on.
type Moment struct {
	Sec  int64
	Nsec int32
	Set  bool
}

// Want is what a table asks for: at most Rows rows after From (before it with
// Forward false), From itself too when Inclusive. With Row the page begins at
// that row number, with At at the first row at or after that time. From ""
// means the first rows, or the last ones.
type Want struct {
	Generation uint64
	From       Key
	Inclusive  bool
	Forward    bool
	Rows       int
	Row        int64 // from 1; 0 for none
	At         Moment
}

// Page is an answer to a Want. Rows come in the order of the table.
type Page struct {
	Want          Want
	Rows          []Row
	Before, After bool  // more rows lie on that side
	Ordinal       int64 // row number of Rows[0] from 1, 0 when not known
}

// Motion is a way to move the cursor.
type Motion uint8

// The motions.
const (
	Down Motion = iota
	Up
	PageDown
	PageUp
	HalfDown
	HalfUp
	First
	Last
)

// Sizes of the window over the rows.
const (
	PageRows  = 256
	cacheRows = 5 * PageRows
	nearEdge  = 64
	farGap    = 4096 // how far the cursor runs ahead of the rows when the end is not known
	keptTurns = 3    // queries whose window is kept
)

// window is a run of cached rows with the cursor. cursor and top count from
// rows[0]; they may lie outside the rows where rows are still to come.
type window struct {
	rows          []Row
	before, after bool
	ordinal       int64
	cursor, top   int
}

// Table is a window over rows that are asked for by key and direction. It
// draws and asks; the screen turns what it asks for into commands and gives
// the answers to Take.
type Table struct {
	Cols []Column
	Cell bool // the cursor has a column

	window
	id      string // the query whose rows these are
	gen     uint64
	home    Key  // the row that the examiner put the cursor on
	moved   bool // home is to be set when the cursor's row arrives
	landing bool // the first page of this generation is under way
	settle  bool // rows that come before the cursor keep it lead rows from the top
	lead    int
	waiting [2]bool // a request backward, forward is under way
	width   int
	height  int // rows that show
	col     int
	marks   map[Key]Row
	anchor  Key // where a range of marks began
	kept    []keptWindow

	total Total
}

// Total is how many rows a query has.
type Total struct {
	N     int64
	Known bool // false: not counted yet
	More  bool // counting stopped at N: there are at least so many
	Lower bool // something is missing, so that N is a lower bound
}

type keptWindow struct {
	id string
	w  window
	t  Total
}

// Generation is the generation that answers must carry.
func (t *Table) Generation() uint64 { return t.gen }

// Requery turns the table to another query, named by id. Its cursor stays on
// the row that the examiner put it on, or the nearest following one.
func (t *Table) Requery(id string) []Want {
	if t.gen > 0 && !t.landing && len(t.rows) > 0 {
		t.keep()
	}
	t.id = id
	t.anchor = ""
	t.total = Total{}
	for i, k := range t.kept {
		if k.id == id && t.restore(k) {
			t.kept = append(t.kept[:i], t.kept[i+1:]...)
			t.clamp()
			return t.wants()
		}
	}
	return t.land(Want{From: t.home, Inclusive: t.home != "", Forward: true})
}

// Reload asks for the rows of the same query again, around the cursor.
func (t *Table) Reload() []Want {
	t.kept = nil
	if r := t.Current(); r != nil {
		t.home = r.Key
	}
	return t.land(Want{From: t.home, Inclusive: t.home != "", Forward: true})
}

func (t *Table) keep() {
	for i, k := range t.kept {
		if k.id == t.id {
			t.kept = append(t.kept[:i], t.kept[i+1:]...)
			break
		}
	}
	t.kept = append(t.kept, keptWindow{t.id, t.window, t.total})
	if len(t.kept) > keptTurns {
		t.kept = t.kept[1:]
	}
}

// restore takes a kept window back when the examiner's row is in it.
func (t *Table) restore(k keptWindow) bool {
	at := k.w.find(t.home)
	if at < 0 {
		if t.home != "" {
			return false
		}
		at = 0
	}
	t.gen++
	t.window, t.total = k.w, k.t
	t.top += at - t.cursor
	t.cursor, t.landing, t.waiting = at, false, [2]bool{}
	return true
}

func (w *window) find(k Key) int {
	for i := range w.rows {
		if w.rows[i].Key == k {
			return i
		}
	}
	return -1
}

// land starts a new window at what w names.
func (t *Table) land(w Want) []Want {
	t.gen++
	t.lead = max(0, min(t.cursor-t.top, t.height-1))
	if len(t.rows) == 0 {
		t.lead = t.height / 3
	}
	t.window = window{}
	t.landing, t.settle, t.moved, t.waiting = true, false, false, [2]bool{}
	w.Generation, w.Rows = t.gen, PageRows
	return []Want{w}
}

// Go moves the cursor to the row with this key.
func (t *Table) Go(k Key) []Want {
	t.home = k
	if at := t.find(k); at >= 0 && !t.landing {
		t.cursor = at
		return t.arrive()
	}
	return t.land(Want{From: k, Inclusive: true, Forward: true})
}

// GoRow moves the cursor to row n, from 1.
func (t *Table) GoRow(n int64) []Want {
	if t.total.Known && !t.total.More {
		n = min(n, t.total.N)
	}
	n = max(n, 1)
	if t.ordinal > 0 && n >= t.ordinal && n < t.ordinal+int64(len(t.rows)) && !t.landing {
		t.cursor = int(n - t.ordinal)
		t.moved = true
		return t.arrive()
	}
	w := t.land(Want{Row: n, Forward: true})
	t.moved = true
	return w
}

// GoTime moves the cursor to the first row at or after m.
func (t *Table) GoTime(m Moment) []Want {
	w := t.land(Want{At: m, Forward: true})
	t.moved = true
	return w
}

// Move moves the cursor at once, over rows that are still to come too, and
// says what it needs.
func (t *Table) Move(m Motion) []Want {
	page := max(t.height-1, 1)
	switch m {
	case Down:
		t.cursor++
	case Up:
		t.cursor--
	case PageDown:
		t.cursor += page
	case PageUp:
		t.cursor -= page
	case HalfDown:
		t.cursor += max(page/2, 1)
	case HalfUp:
		t.cursor -= max(page/2, 1)
	case First:
		if t.before || t.landing {
			w := t.land(Want{Forward: true})
			t.moved = true
			return w
		}
		t.cursor = 0
	case Last:
		if t.after || t.landing {
			w := t.land(Want{Forward: false})
			t.moved = true
			return w
		}
		t.cursor = len(t.rows) - 1
	}
	t.moved = true
	if t.landing {
		return nil // counted from where the first page will put the cursor
	}
	return t.arrive()
}

// arrive settles the cursor after it moved.
func (t *Table) arrive() []Want {
	t.settle = false
	t.clamp()
	t.rest()
	return t.wants()
}

// rest takes the row under the cursor as the examiner's own.
func (t *Table) rest() {
	if r := t.Current(); t.moved && r != nil {
		t.home, t.moved = r.Key, false
	}
}

// clamp keeps the cursor where rows are or may come, and the window around it.
func (t *Table) clamp() {
	lo, hi := 0, len(t.rows)-1
	if t.before {
		lo = -farGap
		if t.ordinal > 0 {
			lo = int(max(1-t.ordinal, -1<<30))
		}
	}
	if t.after {
		hi += farGap
		if t.ordinal > 0 && t.total.Known && !t.total.More {
			hi = int(min(t.total.N-t.ordinal, 1<<30))
		}
	}
	t.cursor = max(lo, min(t.cursor, hi))
	h := max(t.height, 1)
	t.top = max(t.cursor-h+1, min(t.top, t.cursor))
	if !t.after {
		t.top = min(t.top, max(len(t.rows)-h, lo))
	}
	t.top = max(t.top, lo)
}

// wants are the requests that the window needs now: at most one a direction.
func (t *Table) wants() []Want {
	if t.landing || len(t.rows) == 0 {
		return nil
	}
	var out []Want
	if low := max(t.cursor, t.top+t.height); t.after && !t.waiting[1] && low+nearEdge >= len(t.rows) {
		t.waiting[1] = true
		n := max(PageRows, min(low+nearEdge-len(t.rows), cacheRows))
		out = append(out, Want{Generation: t.gen, From: t.rows[len(t.rows)-1].Key, Forward: true, Rows: n})
	}
	if high := min(t.cursor, t.top); t.before && !t.waiting[0] && high < nearEdge {
		t.waiting[0] = true
		n := max(PageRows, min(nearEdge-high, cacheRows))
		out = append(out, Want{Generation: t.gen, From: t.rows[0].Key, Rows: n})
	}
	return out
}

// Take takes an answer. An answer of another generation, or one that does not
// join the rows, is dropped.
func (t *Table) Take(p Page) []Want {
	if p.Want.Generation != t.gen {
		return nil
	}
	if t.landing {
		return t.takeFirst(p)
	}
	if p.Want.Forward {
		t.waiting[1] = false
		if len(t.rows) > 0 && p.Want.From == t.rows[len(t.rows)-1].Key {
			t.rows = append(t.rows[:len(t.rows):len(t.rows)], p.Rows...)
			t.after = p.After && len(p.Rows) > 0
			t.evictFront()
		}
	} else {
		t.waiting[0] = false
		if len(t.rows) > 0 && p.Want.From == t.rows[0].Key {
			t.prepend(p)
			t.evictBack()
		}
	}
	t.clamp()
	t.rest()
	return t.wants()
}

func (t *Table) takeFirst(p Page) []Want {
	if len(p.Rows) == 0 && p.Want.Forward && p.Before {
		w := t.land(Want{From: p.Want.From, Forward: false}) // nothing follows: the last row before
		t.moved = p.Want.Row > 0 || p.Want.At.Set
		return w
	}
	moved, ahead := t.moved, t.cursor
	t.landing = false
	t.window = window{rows: p.Rows, before: p.Before, after: p.After && len(p.Rows) > 0, ordinal: p.Ordinal}
	t.settle = p.Want.Forward && p.Before
	if !p.Want.Forward {
		t.cursor = max(len(p.Rows)-1, 0)
		t.top = t.cursor - t.height + 1
	}
	t.cursor += ahead
	t.clamp()
	t.moved = moved
	t.rest()
	return t.wants()
}

func (t *Table) prepend(p Page) {
	n := len(p.Rows)
	rows := make([]Row, 0, n+len(t.rows))
	t.rows = append(append(rows, p.Rows...), t.rows...)
	t.before = p.Before && n > 0
	t.cursor += n
	t.top += n
	if t.ordinal > 0 {
		t.ordinal -= int64(n)
	} else {
		t.ordinal = p.Ordinal
	}
	if t.ordinal < 1 {
		t.ordinal = 0
	}
	if t.settle {
		t.top = t.cursor - t.lead
		t.settle = false
	}
}

func (t *Table) evictFront() {
	n := min(len(t.rows)-cacheRows, min(t.cursor, t.top)-PageRows)
	if n <= 0 {
		return
	}
	t.rows = append([]Row(nil), t.rows[n:]...)
	t.cursor -= n
	t.top -= n
	t.before = true
	if t.ordinal > 0 {
		t.ordinal += int64(n)
	}
}

func (t *Table) evictBack() {
	n := max(cacheRows, max(t.cursor, t.top+t.height)+PageRows)
	if n < len(t.rows) {
		t.rows = append([]Row(nil), t.rows[:n]...)
		t.after = true
	}
}
