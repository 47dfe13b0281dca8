package tui

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"snapcase/tui/widget"
)

// everyPane calls f with every pane of every section in every mode, in states
// that give all of them.
func everyPane(t *testing.T, readOnly bool, f func(t *testing.T, r *rig, s section, p pane, at int)) {
	for _, size := range goldenSizes {
		c := &fakeCase{n: 500, readOnly: readOnly, response: "begun", aws: fakeAWS{begun: "begun"}}
		c.aws.keep(t)
		r := newRig(t, c, size[0], size[1], Options{Respond: c.aws.open})
		r.run(goTrace("AKIAIOSFODNN7EXAMPLE"))
		for s := secOverview; s < sections; s++ {
			r.run(goTo[screen](s, nil))
			for turn := range 4 { // tabs
				_, panes, _ := r.m.current()
				for at, p := range panes {
					t.Run(fmt.Sprintf("%s-%d-%d-%d", s.title(), size[0], turn, at), func(t *testing.T) { f(t, r, s, p, at) })
				}
				r.press("]")
			}
		}
		r.run(goTo[screen](secEvents, nil))
		r.press("f") // the form
		_, panes, at := r.m.current()
		f(t, r, secEvents, panes[at], at)
		r.run(goTo[screen](secRespond, nil))
		r.press("e")
		_, panes, at = r.m.current()
		f(t, r, secRespond, panes[at], at)
	}
}

// TestNoShadowedKeys: in scopes that are active together a key means one thing.
func TestNoShadowedKeys(t *testing.T) {
	everyPane(t, false, func(t *testing.T, r *rig, _ section, p pane, _ int) {
		owner := map[string]action{}
		for _, b := range r.m.keys.in(r.m.scopes(p)) {
			for _, k := range b.keys {
				if a, ok := owner[k]; ok && a != b.act {
					t.Errorf("%q means %d and %d in scopes %v", k, a, b.act, p.scopes)
				}
				owner[k] = b.act
			}
		}
	})
}

// TestKeyTable: every binding has help and keys; a read-only case has none
// that writes.
func TestKeyTable(t *testing.T) {
	writes := 0
	for _, b := range table {
		if b.help == "" || b.show == "" || len(b.keys) == 0 {
			t.Errorf("%+v has no help or no key", b)
		}
		if b.writes {
			writes++
		}
	}
	if writes == 0 {
		t.Fatal("no binding writes, so the test below proves nothing")
	}
	if slices.ContainsFunc(newKeymap(true), func(b binding) bool { return b.writes }) {
		t.Error("a read-only case has a key that writes")
	}
	if len(newKeymap(true)) != len(table)-writes {
		t.Error("a read-only case misses keys that do not write")
	}
}

// TestHintsFit: the hints of every pane fit their line and begin with help.
func TestHintsFit(t *testing.T) {
	everyPane(t, false, func(t *testing.T, r *rig, _ section, _ pane, _ int) {
		lines := strings.Split(ansi.Strip(r.m.frame()), "\n")
		last := strings.TrimRight(lines[len(lines)-1], " \r")
		if !strings.HasPrefix(last, " ?:help") || strings.Contains(last, "…") {
			t.Errorf("the hints are %q", last)
		}
	})
}

// TestEveryActionAnswers: no key of the table is dead: it changes the frame,
// asks, or says why not, in some section.
func TestEveryActionAnswers(t *testing.T) {
	quiet := map[action]bool{actNone: true, actSuspend: true, actRedraw: true, actAbort: true, actQuit: true, actMouse: true, actRetry: true, actFindNext: true, actFindPrev: true, actDropAll: true, actRange: true, actUnmark: true}
	alive := map[action]bool{}
	everyPane(t, false, func(t *testing.T, r *rig, s section, p pane, at int) {
		if p.field != nil {
			return
		}
		for _, b := range r.m.keys.in(r.m.scopes(p)) {
			if alive[b.act] || quiet[b.act] {
				continue
			}
			c := &fakeCase{n: 500, response: "begun", aws: fakeAWS{begun: "begun"}}
			c.aws.keep(t)
			n := newRig(t, c, r.m.w, r.m.h, Options{Respond: c.aws.open})
			n.run(goTrace("AKIAIOSFODNN7EXAMPLE"))
			n.run(goTo[screen](s, nil))
			n.m.screens[s].focusOf().pane = at
			n.press("j right")
			before, msgs := n.m.frame(), len(n.msgs)
			n.press(b.keys[0])
			if n.m.frame() != before || len(n.msgs) > msgs {
				alive[b.act] = true
			}
		}
	})
	for _, b := range table {
		if !alive[b.act] && !quiet[b.act] && b.in != inForm {
			t.Errorf("%s (%s) does nothing anywhere", b.show, b.help)
		}
	}
}

// TestReadOnlyWritesNothing: no key of a read-only case or of a bundle tags or
// notes.
func TestReadOnlyWritesNothing(t *testing.T) {
	for _, f := range []*fakeCase{{n: 50, readOnly: true}, {n: 50, bundle: true}} {
		r := newRig(t, f, 120, 36, Options{})
		for s := secOverview; s < sections; s++ {
			r.run(goTo[screen](s, nil))
			r.press("t b a d enter esc A x enter esc")
		}
		if len(f.wrote) > 0 {
			t.Errorf("a read-only case wrote %v", f.wrote)
		}
	}
	f := &fakeCase{n: 50}
	r := newRig(t, f, 120, 36, Options{})
	r.press("7 space space t 1 enter")
	if len(f.wrote) != 1 || !strings.Contains(f.wrote[0], " bad false") || strings.Count(f.wrote[0], "EX-002") != 2 {
		t.Errorf("two marked rows tagged with 1 gave %q", f.wrote)
	}
	r.press("A").typed("seen it").press("enter")
	if len(f.wrote) != 2 || !strings.HasSuffix(f.wrote[1], "seen it") {
		t.Errorf("a note gave %q", f.wrote)
	}
}

// TestContrast: text roles on both grounds have at least 4.5:1.
func TestContrast(t *testing.T) {
	for r, l := range looks {
		role := widget.Role(r)
		if role == widget.Border || role == widget.Gap || role == widget.Badge {
			continue // chrome, not text
		}
		for _, c := range []struct{ name, fg, bg string }{{"dark", l.dark, "#11151c"}, {"selected dark", l.dark, grounds[widget.Selection].dark}, {"light", l.light, "#ffffff"}, {"selected light", l.light, grounds[widget.Selection].light}} {
			if c.fg == "" {
				continue
			}
			if got := contrast(c.fg, c.bg); got < 4.5 && !(strings.HasPrefix(c.name, "selected") && got >= 3.5) {
				t.Errorf("role %d, %s: contrast %.2f", r, c.name, got)
			}
		}
	}
}

func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	if x < y {
		x, y = y, x
	}
	return (x + 0.05) / (y + 0.05)
}

func luminance(hex string) float64 {
	var c [3]int
	fmt.Sscanf(hex, "#%02x%02x%02x", &c[0], &c[1], &c[2])
	lin := func(v int) float64 {
		f := float64(v) / 255
		if f <= 0.03928 {
			return f / 12.92
		}
		return math.Pow((f+0.055)/1.055, 2.4)
	}
	return 0.2126*lin(c[0]) + 0.7152*lin(c[1]) + 0.0722*lin(c[2])
}
