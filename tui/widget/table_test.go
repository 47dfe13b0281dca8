package widget

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"

	"snapcase/evidence/visible"
)

// pager is a sorted slice that answers as a store does.
type pager struct {
	all    []int // sorted, distinct
	filter func(int) bool
}

func keyOf(n int) Key { return Key(fmt.Sprintf("%012d", n)) }

func (p *pager) rows() []int {
	var out []int
	for _, n := range p.all {
		if p.filter == nil || p.filter(n) {
			out = append(out, n)
		}
	}
	return out
}

func (p *pager) answer(w Want) Page {
	all := p.rows()
	at, end := 0, 0
	switch {
	case w.Row > 0:
		at = min(int(w.Row-1), len(all))
	case w.At.Set:
		at, _ = slices.BinarySearch(all, int(w.At.Sec))
	case w.From != "":
		i, found := slices.BinarySearchFunc(all, w.From, func(n int, k Key) int { return cmp.Compare(keyOf(n), k) })
		at = i
		if found && w.Forward && !w.Inclusive {
			at++
		}
	case !w.Forward:
		at = len(all)
	}
	if w.Forward {
		end = min(at+w.Rows, len(all))
	} else {
		at, end = max(at-w.Rows, 0), at
	}
	g := Page{Want: w, Before: at > 0, After: end < len(all)}
	for _, n := range all[at:end] {
		g.Rows = append(g.Rows, Row{Key: keyOf(n), Cells: []Cell{{Text: visible.Sprintf("%d", n)}}, Data: n})
	}
	if w.Row > 0 {
		g.Ordinal = int64(at + 1)
	}
	return g
}

func numbers(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i * 10
	}
	return all
}

// settle answers everything until nothing more is asked.
func settle(t *testing.T, tb *Table, p *pager, ws []Want) {
	t.Helper()
	for range 200 {
		if len(ws) == 0 {
			return
		}
		w := ws[0]
		ws = append(ws[1:], tb.Take(p.answer(w))...)
	}
	t.Fatal("the table does not stop asking")
}

// TestAgainstSlice moves, filters and jumps at random and compares the cursor
// with a plain index into a slice (T1, T2, T3, T6, T7).
func TestAgainstSlice(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := &pager{all: numbers(1 + r.IntN(5000))}
		tb := &Table{Cols: []Column{{Width: 10}}}
		h := 1 + r.IntN(40)
		settle(t, tb, p, tb.SetSize(40, h+1))
		settle(t, tb, p, tb.Requery("all"))
		at, n := 0, len(p.all)
		for step := range 300 {
			page := max(h-1, 1)
			var ws []Want
			switch r.IntN(9) {
			case 0, 1:
				ws, at = tb.Move(Down), min(at+1, n-1)
			case 2:
				ws, at = tb.Move(Up), max(at-1, 0)
			case 3:
				ws, at = tb.Move(PageDown), min(at+page, n-1)
			case 4:
				ws, at = tb.Move(PageUp), max(at-page, 0)
			case 5:
				ws, at = tb.Move(First), 0
			case 6:
				ws, at = tb.Move(Last), n-1
			case 7:
				at = r.IntN(n)
				ws = tb.GoRow(int64(at + 1))
			case 8:
				at = r.IntN(n)
				ws = tb.GoTime(Moment{Sec: int64(p.all[at]), Set: true})
			}
			settle(t, tb, p, ws)
			got := tb.Current()
			if got == nil || got.Data.(int) != p.all[at] {
				t.Fatalf("seed %d step %d: the cursor is on %v, want %d (row %d of %d)", seed, step, got, p.all[at], at, n)
			}
			if tb.cursor < tb.top || tb.cursor >= tb.top+h || len(tb.rows) > cacheRows+PageRows+h {
				t.Fatalf("seed %d step %d: cursor %d, top %d, height %d, %d rows cached", seed, step, tb.cursor, tb.top, h, len(tb.rows))
			}
			if o := tb.Position(); o != 0 && o != int64(at+1) {
				t.Fatalf("seed %d step %d: row %d is said to be row %d", seed, step, at+1, o)
			}
		}
	}
}

// TestCursorKey: T3, T4, T5, T8. Pages come late, out of order and of old
// generations, rows are inserted between; the cursor's key never changes by
// itself.
func TestCursorKey(t *testing.T) {
	for seed := range uint64(80) {
		r := rand.New(rand.NewPCG(seed, 2))
		p := &pager{all: numbers(3000)}
		tb := &Table{Cols: []Column{{Width: 10}}}
		var pending []Want
		pending = append(pending, tb.SetSize(40, 20)...)
		pending = append(pending, tb.Requery("all")...)
		for step := range 500 {
			switch k := r.IntN(10); {
			case k < 5:
				pending = append(pending, tb.Move(Motion(r.IntN(6)))...)
			case k == 5:
				p.all = append(p.all, r.IntN(30000)*10+1)
				slices.Sort(p.all)
				p.all = slices.Compact(p.all)
			case k == 6 && r.IntN(8) == 0:
				pending = append(pending, tb.Requery(fmt.Sprint(r.IntN(4)))...)
			default:
				if len(pending) == 0 {
					continue
				}
				i := r.IntN(len(pending))
				w := pending[i]
				pending = slices.Delete(pending, i, i+1)
				before := tb.Current()
				landing := tb.landing
				more := tb.Take(p.answer(w))
				pending = append(pending, more...)
				if before != nil && !landing {
					if now := tb.Current(); now == nil || now.Key != before.Key {
						t.Fatalf("seed %d step %d: the cursor went from %s to %v by itself", seed, step, before.Key, now)
					}
				}
			}
			under := [2]int{}
			for _, w := range pending {
				if w.Generation != tb.gen {
					continue
				}
				if w.Forward {
					under[1]++
				} else {
					under[0]++
				}
			}
			if under[0] > 1 || under[1] > 1 {
				t.Fatalf("seed %d step %d: %v requests are under way", seed, step, under)
			}
			for i := 1; i < len(tb.rows); i++ {
				if tb.rows[i-1].Key >= tb.rows[i].Key {
					t.Fatalf("seed %d step %d: rows out of order", seed, step)
				}
			}
		}
	}
}

// TestFilterAndBack: T3. Filtered out, the nearest following row takes the
// cursor; when the filter goes it returns; going back asks nothing (T6).
func TestFilterAndBack(t *testing.T) {
	p := &pager{all: numbers(4000)}
	tb := &Table{Cols: []Column{{Width: 10}}}
	settle(t, tb, p, tb.SetSize(40, 20))
	settle(t, tb, p, tb.Requery("all"))
	settle(t, tb, p, tb.GoRow(2001)) // 20000
	p.filter = func(n int) bool { return n%70 == 0 }
	settle(t, tb, p, tb.Requery("sevens"))
	if got := tb.Current(); got.Data.(int) != 20020 {
		t.Fatalf("filtered, the cursor is on %v, want 20020", got.Data)
	}
	p.filter = func(n int) bool { return n < 100 }
	settle(t, tb, p, tb.Requery("small"))
	if got := tb.Current(); got.Data.(int) != 90 {
		t.Fatalf("nothing follows: the cursor is on %v, want the last, 90", got.Data)
	}
	p.filter = nil
	ws := tb.Requery("all")
	if got := tb.Current(); got == nil || got.Data.(int) != 20000 || len(ws) != 0 {
		t.Fatalf("back without the filter, the cursor is on %v after asking %v, want 20000 at once", got, ws)
	}
	p.filter = func(n int) bool { return false }
	settle(t, tb, p, tb.Requery("none"))
	if !tb.Empty() || tb.Current() != nil {
		t.Fatal("no row matches and the table does not say so")
	}
}

// TestGap: T7. The cursor is where the examiner put it before the rows are.
func TestGap(t *testing.T) {
	p := &pager{all: numbers(4000)}
	tb := &Table{Cols: []Column{{Width: 10}}}
	settle(t, tb, p, tb.SetSize(40, 51))
	first := tb.Requery("all")
	tb.Move(PageDown) // typed ahead of the first page
	late := tb.Take(p.answer(first[0]))
	if tb.Current().Data.(int) != 490 {
		t.Fatalf("the key before the first page is lost: %v", tb.Current().Data)
	}
	for range 10 {
		late = append(late, tb.Move(PageDown)...)
	}
	if tb.Current() != nil || tb.cursor != 539 {
		t.Fatalf("the cursor waits at %d, want 539", tb.cursor)
	}
	if len(late) != 1 {
		t.Fatalf("%d requests for one direction", len(late))
	}
	settle(t, tb, p, late)
	if tb.Current().Data.(int) != 5390 {
		t.Fatalf("the cursor is on %v, want 5390", tb.Current().Data)
	}
}

// TestCounts: T9.
func TestCounts(t *testing.T) {
	tb := &Table{Cols: []Column{{Width: 10}}}
	tb.Requery("a")
	old := tb.Generation()
	tb.Requery("b")
	tb.SetTotal(old, Total{N: 5})
	if tb.Total().Known {
		t.Fatal("a count of an old query was taken")
	}
	tb.SetTotal(tb.Generation(), Total{N: 10001, More: true})
	if got := tb.Total(); !got.Known || !got.More || got.N != 10001 {
		t.Fatalf("total is %+v", got)
	}
}

// TestFailed: a request that fails leaves the table usable.
func TestFailed(t *testing.T) {
	p := &pager{all: numbers(4000)}
	tb := &Table{Cols: []Column{{Width: 10}}}
	settle(t, tb, p, tb.SetSize(40, 20))
	ws := tb.Requery("all")
	tb.Failed(ws[0])
	if tb.Loading() {
		t.Fatal("a failed table says that it is loading")
	}
	settle(t, tb, p, tb.Reload())
	if tb.Current() == nil {
		t.Fatal("no rows after trying again")
	}
}

// TestShare: a bar is as long as its share of the column, in eighths, and
// never invisible.
func TestShare(t *testing.T) {
	st := &Styles{}
	for n, want := range map[int64]string{0: "", 1: "▏", 4: "████", 8: "████████", 3: "███"} {
		buf := uv.NewScreenBuffer(8, 1)
		Meter(NewCanvas(buf, st), 0, 0, 8, Normal, n, 8)
		if n == 1 { // a share too small for an eighth
			buf = uv.NewScreenBuffer(8, 1)
			Meter(NewCanvas(buf, st), 0, 0, 8, Normal, 1, 80000)
		}
		if got := strings.TrimRight(buf.String(), " "); got != want {
			t.Errorf("%d of 8 is %q, want %q", n, got, want)
		}
	}
}

// TestCells: whatever is drawn, a line has its cells: wide glyphs are cut
// whole, marks join, the ellipsis says that something is missing.
func TestCells(t *testing.T) {
	st := &Styles{}
	for in, want := range map[string]string{
		"plain": "plain ", "exactly": "exact…", "日本語": "日本語", "日本語x": "日本…", "a日本語": "a日本…", "e\u0301e\u0301": "e\u0301e\u0301    ", "": "", "\x1b[31m": "␛[31m", "\x1b[31mxy": "␛[31m…",
	} {
		buf := uv.NewScreenBuffer(6, 1)
		NewCanvas(buf, st).Text(0, 0, 6, Normal, visible.Escape(in))
		got := buf.String()
		if strings.TrimRight(got, " ") != strings.TrimRight(want, " ") || ansi.StringWidthWc(got) > 6 {
			t.Errorf("%q is drawn %q (%d cells), want %q", in, got, ansi.StringWidthWc(got), want)
		}
	}
}

// TestWrap: lines are no wider than asked and nothing is lost but blanks.
func TestWrap(t *testing.T) {
	for _, in := range []string{"a b c", "one two three four", "日本語日本語", strings.Repeat("x", 100), "", "a" + strings.Repeat(" b", 40)} {
		for w := 1; w < 20; w++ {
			var all string
			for _, l := range Wrap(visible.Escape(in), w) {
				if Width(l) > max(w, 2) {
					t.Errorf("%q at %d: line %q", in, w, l)
				}
				all += l.String()
			}
			if strings.ReplaceAll(all, " ", "") != strings.ReplaceAll(in, " ", "") {
				t.Errorf("%q at %d became %q", in, w, all)
			}
		}
	}
}

// TestField edits like a line editor and never lets a control reach a cell.
func TestField(t *testing.T) {
	var f Field
	f.Insert("hello\nwor\x1bld")
	for _, k := range []string{"home", "right", "delete", "end", "backspace", "ctrl+w"} {
		f.Press(k)
	}
	if got := f.String(); got != "hllo " {
		t.Errorf("the field holds %q", got)
	}
	f.Insert("\x1b[31m")
	buf := uv.NewScreenBuffer(20, 1)
	f.Draw(NewCanvas(buf, &Styles{}), 0, 0, 20, true)
	if got := buf.String(); strings.ContainsRune(got, 0x1b) || !strings.Contains(got, "hllo ␛[31m") {
		t.Errorf("drawn %q", got)
	}
}

// BenchmarkTable measures a move and the drawing over ten million rows.
func BenchmarkTable(b *testing.B) {
	answer := func(w Want) Page {
		at := 5_000_000
		if w.From != "" {
			fmt.Sscanf(string(w.From), "%d", &at)
			if w.Forward {
				at++
			} else {
				at -= w.Rows
			}
		}
		p := Page{Want: w, Before: true, After: true, Ordinal: int64(at + 1)}
		for i := range w.Rows {
			p.Rows = append(p.Rows, Row{Key: Key(fmt.Sprint(at + i)), Cells: []Cell{{Text: visible.Sprintf("%d", at+i)}, {Text: visible.Lit("RunInstances")}, {Text: visible.Lit("203.0.113.54")}}})
		}
		return p
	}
	for _, size := range [][2]int{{80, 24}, {132, 36}, {200, 60}} {
		b.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(b *testing.B) {
			tb := &Table{Cols: []Column{{Width: 20}, {Width: 20}, {Width: 20}}}
			pending := append(tb.SetSize(size[0], size[1]), tb.Requery("all")...)
			c := NewCanvas(uv.NewScreenBuffer(size[0], size[1]), &Styles{})
			b.ReportAllocs()
			for b.Loop() {
				pending = append(pending, tb.Move(Down)...)
				for len(pending) > 0 {
					w := pending[0]
					pending = append(pending[1:], tb.Take(answer(w))...)
				}
				tb.Draw(c, true)
			}
		})
	}
}
