package widget

import (
	"unicode/utf8"

	uv "github.com/charmbracelet/ultraviolet"

	"snapcase/evidence/visible"
)

// Role is what a piece of text means; the styles decide how it looks.
type Role uint8

// The roles.
const (
	Normal Role = iota
	Dim
	Title
	Focus
	Selection // a ground, laid under a row
	Quiet     // the selection of a pane without focus, and chrome grounds
	Mark
	OK
	Info
	Warn
	Bad
	Deleted
	Inferred
	KeyID
	Link
	Chart1
	Chart2
	Chart3
	Chart4
	Chart5
	Gap
	Border
	Badge
	Chip
	Label
	Roles // how many there are
)

// Styles are the looks of all roles, and the signs that go with them.
type Styles struct {
	Looks [Roles]uv.Style
	ASCII bool // borders of +-|, bars of #, signs in brackets
	A11y  bool // no borders, charts as numbers
	Mono  bool // no colour: the charts tell their series apart by shade
}

// Style is the look of a role.
func (s *Styles) Style(r Role) uv.Style {
	if r >= Roles {
		return uv.Style{}
	}
	return s.Looks[r]
}

// ascii are the stand-ins for our own signs in --ascii, one cell each.
var ascii = map[rune]string{
	'▸': ">", '▾': "v", '✓': "+", '✗': "x", '●': "*", '○': "o", '▲': "^", '▼': "v", '…': "~", '·': ".", '│': "|",
	'‹': "<", '›': ">", '±': "+", '─': "-", '╭': "+", '╮': "+", '╰': "+", '╯': "+", '├': "|", '┤': "|", '┼': "+",
	'┬': "+", '└': "`", '┴': "+", '█': "#", '▓': "#", '▒': "=", '░': "-", '▁': ".", '▂': ".", '▃': ":", '▄': ":",
	'▅': "=", '▆': "=", '▇': "#", '•': "*", '→': ">", '←': "<", '↑': "^", '↓': "v", '↔': "-", '–': "-", '×': "x",
	'▍': "|", '▎': "|", '▌': "|", '━': "=", '┃': "|", '≥': ">", '✕': "x", '┊': ":", '■': "#",
}

// plain is glyph g as this terminal may show it.
func (s *Styles) plain(g string) string {
	if !s.ASCII || len(g) == 1 {
		return g
	}
	r, _ := utf8.DecodeRuneInString(g)
	if a, ok := ascii[r]; ok {
		return a
	}
	if r >= 0x2400 && r <= 0x2421 {
		return "?"
	}
	return g
}

// Ellipsis ends what was cut.
func (s *Styles) Ellipsis() string { return s.plain("…") }

// Blocks are the eighths of a column, lowest first.
var blocks = [...]string{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}

// Blank is the empty text.
var Blank visible.Text
