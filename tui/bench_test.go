package tui

import (
	"fmt"
	"io"
	"testing"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"
)

// BenchmarkKey measures a key press until the bytes for the terminal: update,
// drawing, parsing the frame as Bubble Tea does, the difference, and the pages
// that the key makes the table ask for.
func BenchmarkKey(b *testing.B) {
	for _, n := range []int64{1_000_000, 10_000_000} {
		for _, size := range [][2]int{{80, 24}, {120, 36}, {200, 60}} {
			for _, key := range []string{"j", "pgdown"} {
				b.Run(fmt.Sprintf("rows=%d/%dx%d/%s", n, size[0], size[1], key), func(b *testing.B) {
					benchKey(b, n, size[0], size[1], key)
				})
			}
		}
	}
}

func benchKey(b *testing.B, n int64, w, h int, key string) {
	r := newRig(b, &fakeCase{n: n}, w, h, Options{})
	r.run(goTo[screen](secEvents, nil))
	r.press(":").typed(fmt.Sprint(n / 3)).press("enter")
	out := uv.NewTerminalRenderer(io.Discard, []string{"TERM=xterm-256color", "COLORTERM=truecolor"})
	out.SetFullscreen(true)
	out.Resize(w, h)
	cells := uv.NewScreenBuffer(w, h)
	msg := keyMsg(key)
	b.ReportAllocs()
	for b.Loop() {
		_, cmd := r.m.Update(msg)
		r.run(cmd)
		v := r.m.View()
		cells.Clear()
		uv.NewStyledString(v.Content).Draw(cells, cells.Bounds())
		out.Render(cells.RenderBuffer)
		if err := out.Flush(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFrame measures the drawing of each section alone.
func BenchmarkFrame(b *testing.B) {
	for s := secOverview; s < sections; s++ {
		b.Run(s.title().String(), func(b *testing.B) {
			r := newRig(b, &fakeCase{n: 1_000_000}, 200, 60, Options{})
			r.run(goTo[screen](s, nil))
			b.ReportAllocs()
			for b.Loop() {
				_ = r.m.View()
			}
		})
	}
}

// BenchmarkStart measures from nothing to the first frame.
func BenchmarkStart(b *testing.B) {
	f := &fakeCase{n: 1_000_000}
	for b.Loop() {
		m := newModel(b.Context(), f, Options{})
		m.Update(tea.WindowSizeMsg{Width: 120, Height: 36})
		m.Init()
		_ = m.View()
	}
}
