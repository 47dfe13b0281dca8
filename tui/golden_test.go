package tui

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
)

var update = flag.Bool("update", false, "write the golden frames anew")

// sizes are those of the golden frames.
var goldenSizes = [][2]int{{80, 24}, {120, 36}, {200, 60}}

// setUps bring every section to something to see.
var setUps = map[section]string{secTrace: "6 enter"}

func goldenState(name string) *fakeCase {
	f := &fakeCase{n: 4182}
	switch name {
	case "empty":
		f.empty = true
	case "error":
		f.fail = errFake
	case "loading":
		f.block = make(chan struct{})
	}
	return f
}

// TestGolden compares every section in every state and size with its frame.
func TestGolden(t *testing.T) {
	for _, state := range []string{"ready", "empty", "error", "loading"} {
		for s := secOverview; s < sections; s++ {
			for _, size := range goldenSizes {
				name := fmt.Sprintf("%s-%s-%dx%d", strings.ToLower(s.title().String()), state, size[0], size[1])
				t.Run(name, func(t *testing.T) { golden(t, name, frameOf(t, s, state, size)) })
			}
		}
	}
}

func frameOf(t *testing.T, s section, state string, size [2]int) string {
	t.Helper()
	f := goldenState(state)
	var r *rig
	if state == "loading" {
		r = blockedRig(t, f, size[0], size[1])
		r.m.at = s
		if s == secTrace {
			r.m.screens[s].(*traceScreen).of("AKIAIOSFODNN7EXAMPLE")
		}
		r.m.screens[s].enter()
		for _, x := range r.m.ask.slots {
			x.slow = true
		}
		r.m.resize()
		return r.screen()
	}
	r = newRig(t, f, size[0], size[1], Options{})
	if keys, ok := setUps[s]; ok && state == "ready" {
		r.press(keys)
	} else {
		r.run(goTo[screen](s, nil))
	}
	if s == secTrace && state == "error" {
		r.run(goTrace("AKIAIOSFODNN7EXAMPLE"))
	}
	r.m.message = nil
	return r.screen()
}

// blockedRig is a rig whose questions are never answered.
func blockedRig(t testing.TB, f *fakeCase, w, h int) *rig {
	r := newRig(t, &fakeCase{fail: errFake}, w, h, Options{})
	n := newRig(t, &fakeCase{}, w, h, Options{}) // for its clock
	m := newModel(t.Context(), f, Options{})
	m.now, m.ask.after = n.m.now, r.m.ask.after
	m.w, m.h = w, h
	m.Init()
	return &rig{t: t, m: m}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	got = trimRight(got)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test ./tui -update writes it)", err)
	}
	if string(want) != got {
		t.Errorf("the frame changed (go test ./tui -update after looking at it):\n%s\nwant:\n%s", got, want)
	}
}

// trimRight takes the blanks at the ends of lines away; that they are there is
// checked before.
func trimRight(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

// TestGoldenStyles compares five sections with their colours and attributes.
func TestGoldenStyles(t *testing.T) {
	for _, s := range []section{secOverview, secFiles, secKeys, secTrace, secTimeline} {
		for name, o := range map[string]struct {
			p colorprofile.Profile
			o Options
		}{
			"truecolor": {colorprofile.TrueColor, Options{}}, "16colors": {colorprofile.ANSI, Options{}}, "nocolor": {colorprofile.ASCII, Options{}},
			"ascii": {colorprofile.TrueColor, Options{ASCII: true}}, "a11y": {colorprofile.TrueColor, Options{A11y: true}},
		} {
			full := strings.ToLower(s.title().String()) + "-" + name
			t.Run(full, func(t *testing.T) {
				r := newRig(t, &fakeCase{n: 4182}, 100, 30, o.o)
				r.m.Update(tea.ColorProfileMsg{Profile: o.p})
				if keys, ok := setUps[s]; ok {
					r.press(keys)
				} else {
					r.run(goTo[screen](s, nil))
				}
				r.screen()
				styled := r.m.frame()
				if o.p == colorprofile.ASCII && strings.Contains(styled, ";2;") {
					t.Error("there is a colour without colours")
				}
				golden(t, "style-"+full, strings.ReplaceAll(styled, "\x1b", "␛"))
			})
		}
	}
}
