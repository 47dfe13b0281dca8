package tui

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"snapcase/evidence"
	"snapcase/evidence/respond"
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
		f.response = []string{"", "begun", "done", "partial", "undone"}[r.IntN(5)]
		f.aws = fakeAWS{begun: f.response, refused: seed%3 == 0}
		f.aws.keep(t)
		m := newModel(context.Background(), f, Options{ASCII: seed%3 == 1, A11y: seed%4 == 3, Respond: f.aws.open})
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
				_, cmd := m.Update(tea.PasteMsg{Content: []string{"pasted \x1b[31m\ntext", victim}[r.IntN(2)]})
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
		if f.readOnly && len(f.wrote)+len(f.aws.made) > 0 {
			t.Fatalf("seed %d: a read-only case wrote %v, %v", seed, f.wrote, f.aws.made)
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

// TestRandomResponse presses random keys in Respond alone, with ids pasted now
// and then: nothing panics, every frame is whole, and AWS is changed only after
// a plan.
func TestRandomResponse(t *testing.T) {
	seeds := uint64(40)
	if testing.Short() {
		seeds = 5
	}
	keys := []string{"e", "R", "X", "U", "enter", "enter", "esc", "tab", "down", "up", "space", "j", "k", "]", "[", "r", "+", "/", "y", "T", "G"}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 11))
		f := &fakeCase{readOnly: seed%7 == 6, response: []string{"", "begun", "done", "partial", "undone"}[seed%5]}
		f.aws = fakeAWS{begun: f.response, refused: seed%2 == 0, events: []respond.Progress{{Step: "protect", What: "begins"}, {Step: "protect", Call: "protect/vol-1", What: "calling"}, {Step: "protect", What: "done"}}}
		if seed%4 == 3 {
			f.aws.run = errRunGaps
		}
		g := respondRig(t, f, 120, 36)
		for range 150 {
			switch r.IntN(10) {
			case 0:
				_, cmd := g.m.Update(tea.PasteMsg{Content: victim})
				g.run(cmd)
			case 1:
				_, cmd := g.m.Update(tea.WindowSizeMsg{Width: 60 + r.IntN(150), Height: 15 + r.IntN(60)})
				g.run(cmd)
			default:
				g.press(keys[r.IntN(len(keys))])
			}
			if g.m.at != secRespond {
				g.run(goTo[screen](secRespond, nil))
			}
			g.screen()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		if f.readOnly && len(f.aws.made) > 0 {
			t.Fatalf("seed %d: a read-only case made %v", seed, f.aws.made)
		}
	}
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
