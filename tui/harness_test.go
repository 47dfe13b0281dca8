package tui

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

// rig drives a model without a program: commands run at once, one after the
// other, and ticks never come.
type rig struct {
	t    testing.TB
	m    *model
	quit bool
	msgs []string
}

func newRig(t testing.TB, f *fakeCase, w, h int, o Options) *rig {
	r := &rig{t: t, m: newModel(context.Background(), f, o)}
	r.m.now = time.Date(2026, 11, 23, 1, 30, 12, 0, time.UTC)
	r.m.ask.after = func(_ time.Duration, m tea.Msg) tea.Cmd {
		if _, ok := m.(fieldMsg); ok {
			return func() tea.Msg { return m }
		}
		return nil
	}
	r.m.Update(tea.WindowSizeMsg{Width: w, Height: h})
	r.run(r.m.Init())
	return r
}

// run runs a command and all that follow from it.
func (r *rig) run(cmd tea.Cmd) {
	for todo := []tea.Cmd{cmd}; len(todo) > 0; {
		c := todo[0]
		todo = todo[1:]
		if c == nil {
			continue
		}
		msg := c()
		if v := reflect.ValueOf(msg); v.IsValid() && v.Kind() == reflect.Slice && v.Type().Elem() == reflect.TypeFor[tea.Cmd]() {
			for i := range v.Len() {
				todo = append(todo, v.Index(i).Interface().(tea.Cmd))
			}
			continue
		}
		if _, ok := msg.(tea.QuitMsg); ok {
			r.quit = true
			continue
		}
		if msg != nil {
			r.msgs = append(r.msgs, reflect.TypeOf(msg).String())
			_, next := r.m.Update(msg)
			todo = append(todo, next)
		}
	}
}

// keys of more than one letter, in Bubble Tea's spelling.
var named = map[string]tea.KeyPressMsg{
	"enter": {Code: tea.KeyEnter}, "tab": {Code: tea.KeyTab}, "esc": {Code: tea.KeyEscape}, "down": {Code: tea.KeyDown}, "up": {Code: tea.KeyUp}, "left": {Code: tea.KeyLeft}, "right": {Code: tea.KeyRight},
	"pgdown": {Code: tea.KeyPgDown}, "pgup": {Code: tea.KeyPgUp}, "space": {Code: tea.KeySpace, Text: " "}, "backspace": {Code: tea.KeyBackspace}, "f2": {Code: tea.KeyF2}, "home": {Code: tea.KeyHome}, "end": {Code: tea.KeyEnd},
	"ctrl+o": {Code: 'o', Mod: tea.ModCtrl}, "ctrl+c": {Code: 'c', Mod: tea.ModCtrl}, "ctrl+d": {Code: 'd', Mod: tea.ModCtrl}, "ctrl+u": {Code: 'u', Mod: tea.ModCtrl}, "ctrl+l": {Code: 'l', Mod: tea.ModCtrl},
	`ctrl+\`: {Code: '\\', Mod: tea.ModCtrl}, "shift+tab": {Code: tea.KeyTab, Mod: tea.ModShift},
}

func keyMsg(k string) tea.KeyPressMsg {
	if m, ok := named[k]; ok {
		return m
	}
	c := []rune(k)[0]
	return tea.KeyPressMsg{Code: c, Text: k}
}

// press presses keys, parted by blanks.
func (r *rig) press(keys string) *rig {
	for _, k := range strings.Fields(keys) {
		_, cmd := r.m.Update(keyMsg(k))
		r.run(cmd)
	}
	return r
}

// typed types text.
func (r *rig) typed(s string) *rig {
	for _, c := range s {
		_, cmd := r.m.Update(tea.KeyPressMsg{Code: c, Text: string(c)})
		r.run(cmd)
	}
	return r
}

// screen is the frame as plain text, checked: every line is as wide as the
// terminal and holds no control byte.
func (r *rig) screen() string {
	r.t.Helper()
	text := ansi.Strip(r.m.frame())
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		l = strings.TrimSuffix(l, "\r")
		lines[i] = l
		if n := ansi.StringWidthWc(l); n != r.m.w {
			r.t.Errorf("line %d has %d cells, want %d: %q", i, n, r.m.w, l)
		}
		for _, c := range l {
			if c < 0x20 || c >= 0x7f && c < 0xa0 {
				r.t.Errorf("line %d holds the control byte %#x: %q", i, c, l)
			}
		}
	}
	if len(lines) != r.m.h {
		r.t.Errorf("%d lines, want %d", len(lines), r.m.h)
	}
	return strings.Join(lines, "\n")
}

func (r *rig) has(words ...string) *rig {
	r.t.Helper()
	s := r.screen()
	for _, w := range words {
		if !strings.Contains(s, w) {
			r.t.Errorf("%q is not on the screen:\n%s", w, s)
		}
	}
	return r
}

func (r *rig) lacks(words ...string) *rig {
	r.t.Helper()
	s := r.screen()
	for _, w := range words {
		if strings.Contains(s, w) {
			r.t.Errorf("%q is on the screen:\n%s", w, s)
		}
	}
	return r
}
