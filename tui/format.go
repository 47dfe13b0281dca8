package tui

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/visible"
	"snapcase/imaging"
	"snapcase/tui/widget"
)

// none stands where the evidence records nothing.
var none = visible.Lit("–")

// esc is evidence text, or – where there is none.
func esc(s string) visible.Text {
	if s == "" {
		return none
	}
	return visible.Escape(s)
}

// escPtr is esc for a value that may be missing.
func escPtr(s *string) visible.Text {
	if s == nil {
		return none
	}
	return esc(*s)
}

// clock is t to the second, for lists: 2026-11-18 14:11:02Z.
func clock(t imaging.Time) visible.Text {
	if !t.Set {
		return none
	}
	return visible.Escape(t.Std().Format("2006-01-02 15:04:05Z"))
}

// clockMilli is t with up to three of its decimals, for lists.
func clockMilli(t imaging.Time) visible.Text {
	if !t.Set || t.Nsec == 0 {
		return clock(t)
	}
	return visible.Escape(t.Std().Format("2006-01-02 15:04:05.000Z"))
}

// clockFull is t with all the decimals that the source has.
func clockFull(t imaging.Time) visible.Text {
	if !t.Set {
		return none
	}
	return visible.Escape(strings.Replace(t.String(), "T", " ", 1))
}

// count is n with commas.
func count(n int64) visible.Text {
	s := strconv.FormatInt(n, 10)
	neg := strings.HasPrefix(s, "-")
	s = strings.TrimPrefix(s, "-")
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if neg {
		s = "-" + s
	}
	return visible.Escape(s)
}

// several is a number with its noun.
func several(n int64, one, many string) visible.Text {
	if n == 1 {
		return visible.Sprintf("1 %s", one)
	}
	return visible.Sprintf("%s %s", count(n), many)
}

// short is n in at most four cells: 999, 1.2k, 12k, .4M, 1.2M.
func short(n int64) visible.Text {
	switch {
	case n < 1000:
		return visible.Sprintf("%d", n)
	case n < 10_000:
		return visible.Sprintf("%.1fk", float64(n/100)/10)
	case n < 100_000:
		return visible.Sprintf("%dk", n/1000)
	case n < 1_000_000:
		return visible.Sprintf(".%dM", n/100_000)
	case n < 10_000_000:
		return visible.Sprintf("%.1fM", float64(n/100_000)/10)
	default:
		return visible.Sprintf("%dM", n/1_000_000)
	}
}

// size is n bytes in at most six cells, 1024 a step: 411, 2.1K, 30.0G.
func size(n int64) visible.Text {
	if n < 1024 {
		return visible.Sprintf("%d", n)
	}
	f, unit := float64(n), 0
	for f >= 1024 && unit < 6 {
		f /= 1024
		unit++
	}
	return visible.Sprintf("%.1f%s", f, string(" KMGTPE"[unit]))
}

// digest is the two ends of a digest.
func digest(s string) visible.Text {
	if len(s) < 12 {
		return esc(s)
	}
	return visible.Sprintf("%s…%s", s[:6], s[len(s)-4:])
}

// failure is an error as lines: what, and the hint.
func failure(err error) []widget.Line {
	lines := []widget.Line{{{Role: widget.Bad, Text: visible.Sprintf("✗ %v", err)}}}
	var h evidence.Hinted
	if errors.As(err, &h) {
		lines = append(lines, widget.Line{{Role: widget.Label, Text: visible.Sprintf("hint: %s", h.Hint())}})
	}
	return lines
}

// timeForms are what a time may look like when an examiner types it; without a
// zone it is UTC.
var timeForms = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999",
	"2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02 15:04Z07:00", "2006-01-02 15:04", "2006-01-02",
}

// parseTime reads what the examiner typed.
func parseTime(s string) (imaging.Time, error) {
	s = strings.TrimSpace(s)
	for _, f := range timeForms {
		if t, err := time.Parse(f, s); err == nil {
			return imaging.TimeOf(t), nil
		}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 100_000_000 && n < 100_000_000_000 {
		return imaging.Time{Sec: n, Set: true}, nil
	}
	return imaging.Time{}, evidence.WithHint(fmt.Errorf("time %q: %w", s, evidence.ErrUsage), "write 2019-09-04 23:00, 2019-09-04T23:00:13Z or seconds since 1970; UTC unless it says otherwise")
}

// span is a Span of role and text, to write lines shortly.
func span(r widget.Role, t visible.Text) widget.Span { return widget.Span{Role: r, Text: t} }

// field is a line of a detail: a label, then a value.
func field(label visible.Text, r widget.Role, value visible.Text) widget.Line {
	return widget.Line{span(widget.Label, visible.Sprintf("%-11s ", label)), span(r, value)}
}

// fields is field with a value that wraps at w cells.
func fields(w int, label visible.Text, r widget.Role, value visible.Text) []widget.Line {
	const left = 12
	var out []widget.Line
	for i, t := range widget.Wrap(value, max(w-left, 8)) {
		if i > 0 {
			label = widget.Blank
		}
		out = append(out, field(label, r, t))
	}
	return out
}
