package widget

import (
	"strings"

	uv "github.com/charmbracelet/ultraviolet"

	"snapcase/evidence/visible"
)

// Field is a line of text that the examiner types.
type Field struct {
	text []rune
	at   int
}

// fieldLimit is how many characters a field takes.
const fieldLimit = 4096

// String is what was typed.
func (f *Field) String() string { return string(f.text) }

// Set replaces the text; the cursor goes to its end.
func (f *Field) Set(s string) {
	f.text = nil
	f.at = 0
	f.Insert(s)
}

// Insert puts s at the cursor; line breaks become blanks.
func (f *Field) Insert(s string) {
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == '\t' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	add := []rune(s)
	add = add[:min(len(add), fieldLimit-len(f.text))]
	f.text = append(f.text[:f.at:f.at], append(add, f.text[f.at:]...)...)
	f.at += len(add)
}

// Press takes an editing key in Bubble Tea's spelling and says whether it was
// one.
func (f *Field) Press(key string) bool {
	switch key {
	case "left", "ctrl+b":
		f.at = max(f.at-1, 0)
	case "right", "ctrl+f":
		f.at = min(f.at+1, len(f.text))
	case "home", "ctrl+a":
		f.at = 0
	case "end", "ctrl+e":
		f.at = len(f.text)
	case "backspace":
		if f.at > 0 {
			f.text = append(f.text[:f.at-1], f.text[f.at:]...)
			f.at--
		}
	case "delete", "ctrl+d":
		if f.at < len(f.text) {
			f.text = append(f.text[:f.at], f.text[f.at+1:]...)
		}
	case "ctrl+u":
		f.text, f.at = f.text[f.at:], 0
	case "ctrl+k":
		f.text = f.text[:f.at]
	case "ctrl+w":
		i := f.at
		for i > 0 && f.text[i-1] == ' ' {
			i--
		}
		for i > 0 && f.text[i-1] != ' ' {
			i--
		}
		f.text, f.at = append(f.text[:i], f.text[f.at:]...), i
	default:
		return false
	}
	return true
}

// Draw draws the field on row y from x, w cells, with its cursor when it has
// the focus; what does not fit is cut at the left.
func (f *Field) Draw(c Canvas, x, y, w int, focused bool) {
	if w < 2 {
		return
	}
	role := Normal
	if focused {
		role = Focus
	}
	from := 0
	for from < f.at && Width(visible.Escape(string(f.text[from:f.at]))) > w-1 {
		from++
	}
	c.Text(x, y, w, role, visible.Escape(string(f.text[from:])))
	if !focused {
		return
	}
	at := x + Width(visible.Escape(string(f.text[from:f.at])))
	ch := " "
	if f.at < len(f.text) {
		if e := visible.Escape(string(f.text[f.at])); Width(e) == 1 {
			ch = e.String()
		}
	}
	st := c.St.Style(Focus)
	st.Attrs ^= uv.AttrReverse
	c.glyph(at, y, c.St.plain(ch), 1, st)
}

// Cursor is the cell of the cursor in a field drawn w wide.
func (f *Field) Cursor(w int) int {
	return min(Width(visible.Escape(string(f.text[:f.at]))), w-1)
}
