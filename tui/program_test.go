package tui

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/vt"
)

// terminal is an emulator that the real program writes to. What it wrote is
// kept as well.
type terminal struct {
	emu *vt.SafeEmulator
	mu  sync.Mutex
	raw bytes.Buffer
}

// Write turns \n into \r\n, as the tty would.
func (e *terminal) Write(p []byte) (int, error) {
	e.mu.Lock()
	e.raw.Write(p)
	e.mu.Unlock()
	_, err := e.emu.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n")))
	return len(p), err
}

func (e *terminal) text() string {
	var b strings.Builder
	for y := range e.emu.Height() {
		for x := 0; x < e.emu.Width(); x++ {
			c := e.emu.CellAt(x, y)
			switch {
			case c == nil:
				b.WriteByte(' ')
			case c.Content == "" && c.Width == 0:
			case c.Content == "":
				b.WriteByte(' ')
			default:
				b.WriteString(c.Content)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// start runs the program over f; stop leaves it with q and waits.
func start(t *testing.T, f *fakeCase, w, h int, profile colorprofile.Profile) (e *terminal, p *tea.Program, stop func()) {
	t.Helper()
	e = &terminal{emu: vt.NewSafeEmulator(w, h)}
	go io.Copy(io.Discard, e.emu) // its answers
	p = tea.NewProgram(newModel(context.Background(), f, Options{}), tea.WithOutput(e), tea.WithInput(nil), tea.WithWindowSize(w, h),
		tea.WithColorProfile(profile), tea.WithoutSignals(), tea.WithEnvironment([]string{"TERM=xterm-256color"}))
	done := make(chan error, 1)
	go func() { _, err := p.Run(); done <- err }()
	return e, p, func() {
		p.Send(keyMsg("q"))
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("the program ended with %v", err)
			}
		case <-time.After(20 * time.Second):
			p.Kill()
			t.Error("q does not leave")
		}
	}
}

// until waits for text on the screen: for it, not for a time.
func (e *terminal) until(t *testing.T, want string) {
	t.Helper()
	for range 2000 {
		if strings.Contains(e.text(), want) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%q did not come:\n%s", want, e.text())
}

// TestProgramEscapes: file names made of escape sequences go through the real
// program; the terminal shows them escaped and obeys none of them, and the
// bytes that reach it are sequences of our own.
func TestProgramEscapes(t *testing.T) {
	e, p, stop := start(t, &fakeCase{n: 100}, 120, 60, colorprofile.TrueColor)
	e.until(t, "● idle")
	p.Send(goMsg{func(m *model) tea.Cmd {
		cmd := m.show(secFiles)
		return tea.Batch(cmd, m.screens[secFiles].(*fileScreen).dir("EX-001", "p2", "/home/ec2-user"))
	}})
	for _, want := range []string{"␛[31mred␛[0m", "␛]52;c;aGk=␇", "inv‹U+202E›fdp.exe", `‹\x9b›31m`, "‹U+009B›2J", "␛P1;2|x␛\\", "two␊lines␍and␉tab", "日本語.txt"} {
		e.until(t, want)
	}
	p.Send(tea.WindowSizeMsg{Width: 80, Height: 24})
	p.Send(tea.WindowSizeMsg{Width: 120, Height: 60})
	e.until(t, "␛[31mred␛[0m")
	stop()
	e.mu.Lock()
	defer e.mu.Unlock()
	raw := e.raw.Bytes()
	for _, bad := range []string{"\x1b]52", "\x1b]0;", "\x1bP1;2|x", "\x9b31m", "\u009b", "\u202e", "\x1b[31mred", "fdp.exe\x1b]8", "aGk=\x07"} {
		if i := bytes.Index(raw, []byte(bad)); i >= 0 {
			t.Errorf("%q reached the terminal: %q", bad, raw[max(0, i-20):min(len(raw), i+40)])
		}
	}
}

// TestProgramNoColor: without colour no colour is written, and the selection
// shows all the same.
func TestProgramNoColor(t *testing.T) {
	e, _, stop := start(t, &fakeCase{n: 100}, 100, 30, colorprofile.ASCII)
	e.until(t, "● idle")
	stop()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, bad := range []string{"\x1b[38;", "\x1b[48;", ";38;", ";48;", "\x1b[31m", "\x1b[94m"} {
		if bytes.Contains(e.raw.Bytes(), []byte(bad)) {
			t.Errorf("%q was written without colour", bad)
		}
	}
	if !bytes.Contains(e.raw.Bytes(), []byte("\x1b[7")) && !bytes.Contains(e.raw.Bytes(), []byte(";7")) {
		t.Error("nothing is reversed: the selection does not show")
	}
}

// TestProgramCopy: y writes OSC 52 with what the row names.
func TestProgramCopy(t *testing.T) {
	e, p, stop := start(t, &fakeCase{n: 100}, 120, 36, colorprofile.TrueColor)
	e.until(t, "● idle")
	p.Send(keyMsg("6"))
	e.until(t, "Places of AKIAIOSFODNN7EXAMPLE")
	p.Send(keyMsg("y"))
	e.until(t, "✓ copied AKIAIOSFODNN7EXAMPLE")
	stop()
	e.mu.Lock()
	defer e.mu.Unlock()
	if !bytes.Contains(e.raw.Bytes(), []byte("\x1b]52;c;QUtJQUlPU0ZPRE5ON0VYQU1QTEU=")) {
		t.Error("the clipboard was not written")
	}
}

// TestProgramReplies: what the terminal answers to questions never reaches a
// field.
func TestProgramReplies(t *testing.T) {
	e := &terminal{emu: vt.NewSafeEmulator(120, 36)}
	go io.Copy(io.Discard, e.emu)
	in, keys := io.Pipe()
	p := tea.NewProgram(newModel(context.Background(), &fakeCase{n: 100}, Options{}), tea.WithOutput(e), tea.WithInput(in), tea.WithWindowSize(120, 36),
		tea.WithColorProfile(colorprofile.TrueColor), tea.WithoutSignals(), tea.WithEnvironment([]string{"TERM=xterm-256color"}))
	done := make(chan error, 1)
	go func() { _, err := p.Run(); done <- err }()
	e.until(t, "● idle")
	for _, s := range []string{"4", "/", "\x1b]11;rgb:1111/1111/1111\x1b\\", "\x1b[?62;22c", "\x1b[?2026;2$y", "\x1bP>|tmux 3.3a\x1b\\", "\x1b[I", "acq"} {
		if _, err := io.WriteString(keys, s); err != nil {
			t.Fatal(err)
		}
		time.Sleep(60 * time.Millisecond) // longer than an escape key waits for the rest of a sequence
	}
	e.until(t, "/ acq")
	e.until(t, "(14 of 42)")
	p.Quit()
	if err := <-done; err != nil {
		t.Error(err)
	}
	keys.Close()
}
