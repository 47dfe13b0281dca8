package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"snapcase/evidence"
	"snapcase/evidence/visible"
	"snapcase/imaging"
)

// edge is where a verb meets the terminal: the streams, the flags that every
// verb has, and the clock.
type edge struct {
	stdout, stderr io.Writer
	args           []string
	json, quiet    bool
	color          colorFlag
	now            func() time.Time
}

// out gives a buffered stdout; the caller flushes it.
func (e *edge) out() *bufio.Writer { return bufio.NewWriterSize(e.stdout, 1<<16) }

// emit writes v as one line of JSON. Evidence stands in it as it is.
func emit(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// say writes a message to people, with text from evidence made harmless.
func (e *edge) say(format string, args ...any) {
	if !e.quiet {
		_, _ = fmt.Fprintln(e.stderr, visible.Escape(fmt.Sprintf(format, args...)))
	}
}

// row writes cells for a person, separated by two blanks, escaped.
func row(w io.Writer, cells ...string) {
	for i, c := range cells {
		if i > 0 {
			io.WriteString(w, "  ") //nolint:errcheck // the flush reports it
		}
		io.WriteString(w, visible.Escape(c).String()) //nolint:errcheck // the flush reports it
	}
	io.WriteString(w, "\n") //nolint:errcheck // the flush reports it
}

// stamp is a time for a person: RFC 3339 with a blank for the T.
func stamp(t imaging.Time) string {
	if !t.Set {
		return "-"
	}
	return strings.Replace(t.String(), "T", " ", 1)
}

// parseTime reads a --from or --to value.
func parseTime(name, s string) (imaging.Time, error) {
	if s == "" {
		return imaging.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.UTC); err == nil {
			v := imaging.TimeOf(t)
			if name == "--to" && layout == "2006-01-02" { // the whole day belongs
				v.Sec += 24*60*60 - 1
				v.Nsec = 999_999_999
			}
			return v, nil
		}
	}
	return imaging.Time{}, evidence.WithHint(fmt.Errorf("%s %q: %w", name, s, evidence.ErrUsage), "times look like 2019-09-04T23:00:13Z or 2019-09-04")
}

// progress draws steps on stderr: a bar on a terminal, else a line every few
// seconds. The returned function ends the bar.
func (e *edge) progress() (evidence.Progress, func()) {
	if e.quiet {
		return nil, func() {}
	}
	f, isFile := e.stderr.(*os.File)
	tty := isFile && term.IsTerminal(int(f.Fd())) //nolint:gosec // a descriptor fits
	p := &meter{w: e.stderr, tty: tty, now: e.now, began: e.now()}
	return p.step, p.end
}

type meter struct {
	mu          sync.Mutex
	w           io.Writer
	tty, drawn  bool
	now         func() time.Time
	began, last time.Time
	what        string
	width       int
}

func (m *meter) step(s evidence.Step) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.now()
	if s.What != m.what {
		m.what, m.began = s.What, t
	}
	every := 3 * time.Second
	if m.tty {
		every = 100 * time.Millisecond
	}
	if m.last.IsZero() {
		m.last = m.began
	}
	if t.Sub(m.last) < every && (s.Total == 0 || s.Done < s.Total || !m.tty) {
		return
	}
	m.last = t
	line := m.line(s, t.Sub(m.began))
	if !m.tty {
		_, _ = fmt.Fprintln(m.w, line)
		return
	}
	pad := max(0, m.width-len([]rune(line)))
	m.width, m.drawn = len([]rune(line)), true
	_, _ = fmt.Fprintf(m.w, "\r%s%s", line, strings.Repeat(" ", pad))
}

func (m *meter) line(s evidence.Step, took time.Duration) string {
	amount := func(n int64) string {
		if s.Unit == "B" || s.Unit == "" {
			return size(n)
		}
		return fmt.Sprintf("%d %s", n, s.Unit)
	}
	b := visible.Escape(s.What).String()
	if s.Total <= 0 {
		return fmt.Sprintf("%s  %s  %s", b, amount(s.Done), took.Round(time.Second))
	}
	share := min(1, float64(s.Done)/float64(s.Total))
	if m.tty {
		n := int(share * 24)
		b += "  " + strings.Repeat("█", n) + strings.Repeat("░", 24-n)
	}
	b += fmt.Sprintf("  %3.0f %%  %s of %s", share*100, amount(s.Done), amount(s.Total))
	if sec := took.Seconds(); sec > 1 && s.Done > 0 {
		left := time.Duration(float64(took) * (1 - share) / max(share, 1e-9))
		b += fmt.Sprintf("  %s/s  %s left", amount(int64(float64(s.Done)/sec)), left.Round(time.Second))
	}
	return b
}

func (m *meter) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tty && m.drawn {
		_, _ = fmt.Fprintf(m.w, "\r%s\r", strings.Repeat(" ", m.width))
	}
}

// size is a length in bytes for a person.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n), -1
	for v >= unit && i < 5 {
		v /= unit
		i++
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGTPE"[i])
}

// exactly and atLeast are argument checks whose failure is wrong usage.
func exactly(n int, names string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usageOf(c, names)
		}
		return nil
	}
}

func atLeast(n int, names string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < n {
			return usageOf(c, names)
		}
		return nil
	}
}

func usageOf(c *cobra.Command, names string) error {
	return evidence.WithHint(usageError{fmt.Errorf("%s: want %s", c.CommandPath(), names)}, "%s --help shows an example", c.CommandPath())
}
