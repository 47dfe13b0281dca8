package tui

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"snapcase/evidence"
)

// allKeys are the keys of the table and some that are in none.
func allKeys() []string {
	var out []string
	for _, b := range table {
		for _, k := range b.keys {
			switch k {
			case "q", "ctrl+z", "ctrl+c", "ctrl+l":
			default:
				out = append(out, k)
			}
		}
	}
	return append(out, "x", "é", "2", "7", "enter", "esc", "tab", "esc", "-")
}

// TestRandomKeys presses random keys at random sizes while answers come late
// and out of order. Nothing panics, every frame is whole, and a read-only case
// writes nothing.
func TestRandomKeys(t *testing.T) {
	seeds := uint64(30)
	if testing.Short() {
		seeds = 4
	}
	keys := allKeys()
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 7))
		f := &fakeCase{n: int64(r.IntN(3000)), empty: seed%5 == 4, readOnly: seed%2 == 0}
		if seed%6 == 5 {
			f.fail = errFake
		}
		m := newModel(context.Background(), f, Options{ASCII: seed%3 == 1, A11y: seed%4 == 3})
		m.ask.after = func(time.Duration, tea.Msg) tea.Cmd { return nil }
		g := &rig{t: t, m: m}
		m.Update(tea.WindowSizeMsg{Width: 120, Height: 36})
		var late []tea.Msg
		hold := func(cmd tea.Cmd) { late = append(late, collect(cmd)...) }
		hold(m.Init())
		for range 250 {
			switch k := r.IntN(12); {
			case k == 0:
				m.Update(tea.WindowSizeMsg{Width: r.IntN(251), Height: r.IntN(81)})
			case k == 1:
				_, cmd := m.Update(tea.PasteMsg{Content: "pasted \x1b[31m\ntext"})
				hold(cmd)
			case k == 2:
				_, cmd := m.Update(tea.MouseClickMsg{X: r.IntN(200), Y: r.IntN(60), Button: tea.MouseLeft})
				hold(cmd)
			case k == 3:
				_, cmd := m.Update(tea.MouseWheelMsg{X: r.IntN(200), Y: r.IntN(60), Button: tea.MouseWheelDown})
				hold(cmd)
			case k < 7 && len(late) > 0:
				i := r.IntN(len(late))
				msg := late[i]
				late = append(late[:i], late[i+1:]...)
				_, cmd := m.Update(msg)
				hold(cmd)
			default:
				_, cmd := m.Update(keyMsg(keys[r.IntN(len(keys))]))
				hold(cmd)
			}
			if m.w > 0 && m.h > 0 {
				g.screen()
			}
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		if f.readOnly && len(f.wrote) > 0 {
			t.Fatalf("seed %d: a read-only case wrote %v", seed, f.wrote)
		}
	}
}

// collect runs a command and gives the messages that it makes.
func collect(cmd tea.Cmd) []tea.Msg {
	if cmd == nil {
		return nil
	}
	msg := cmd()
	switch msg := msg.(type) {
	case nil:
		return nil
	case tea.BatchMsg:
		var out []tea.Msg
		for _, c := range msg {
			out = append(out, collect(c)...)
		}
		return out
	case answer, slowMsg, goMsg, sayMsg, copyMsg, fieldMsg:
		return []tea.Msg{msg}
	}
	return nil
}

// TestEverySize draws every section at every size up to 250×80: nothing
// panics, and what is large enough is whole.
func TestEverySize(t *testing.T) {
	step := 7
	if testing.Short() {
		step = 31
	}
	r := newRig(t, &fakeCase{n: 300}, 120, 36, Options{})
	r.run(goTrace("AKIAIOSFODNN7EXAMPLE"))
	for s := secOverview; s < sections; s++ {
		r.run(goTo[screen](s, nil))
		for w := 0; w <= 250; w += step {
			for h := 0; h <= 80; h += step {
				_, cmd := r.m.Update(tea.WindowSizeMsg{Width: w, Height: h})
				r.run(cmd)
				if w > 0 && h > 0 {
					r.screen()
				}
			}
		}
		if t.Failed() {
			t.Fatalf("section %s", s.title())
		}
	}
}

// TestLayout: for every size the parts lie inside the terminal and do not
// cover one another.
func TestLayout(t *testing.T) {
	for w := range 251 {
		for h := range 81 {
			f := layout(w, h)
			if f.mode == tooSmall {
				continue
			}
			area := 0
			for _, r := range []struct{ dx, dy, x, y int }{
				{f.header.Dx(), f.header.Dy(), f.header.Max.X, f.header.Max.Y},
				{f.crumbs.Dx(), f.crumbs.Dy(), f.crumbs.Max.X, f.crumbs.Max.Y},
				{f.nav.Dx(), f.nav.Dy(), f.nav.Max.X, f.nav.Max.Y},
				{f.body.Dx(), f.body.Dy(), f.body.Max.X, f.body.Max.Y},
				{f.status.Dx(), f.status.Dy(), f.status.Max.X, f.status.Max.Y},
				{f.hints.Dx(), f.hints.Dy(), f.hints.Max.X, f.hints.Max.Y},
			} {
				area += r.dx * r.dy
				if r.x > w || r.y > h {
					t.Fatalf("%d×%d: a part ends at %d,%d", w, h, r.x, r.y)
				}
			}
			if area != w*h {
				t.Fatalf("%d×%d: the parts cover %d cells of %d", w, h, area, w*h)
			}
		}
	}
}

// TestStaleAnswer: an answer of an older question is dropped.
func TestStaleAnswer(t *testing.T) {
	m := newModel(context.Background(), &fakeCase{n: 10}, Options{})
	m.ask.after = func(time.Duration, tea.Msg) tea.Cmd { return nil }
	one := ask(m.ask, shell, "keys", func(context.Context) ([]evidence.Key, error) { return []evidence.Key{{KeyID: "old"}}, nil })
	two := ask(m.ask, shell, "keys", func(context.Context) ([]evidence.Key, error) { return []evidence.Key{{KeyID: "new"}}, nil })
	newer, older := collect(two), collect(one)
	m.Update(newer[0])
	m.Update(older[0])
	if got := m.facts.keys.val; len(got) != 1 || got[0].KeyID != "new" {
		t.Fatalf("the older answer won: %v", got)
	}
}
