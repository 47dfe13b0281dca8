package tui

import (
	"image/color"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/colorprofile"
	uv "github.com/charmbracelet/ultraviolet"

	"snapcase/tui/widget"
)

// look is one role in true colour on a dark and on a light ground, in sixteen
// colours, and what is left without any.
type look struct {
	dark, light string      // foreground; "" for the terminal's own
	ansi        color.Color // foreground in sixteen colours
	attrs       uint8       // with colour
	mono        uint8       // without colour
	line        bool        // underlined without colour
}

// looks are the roles of the design (Okabe-Ito). Grounds are in grounds.
var looks = [widget.Roles]look{
	widget.Normal:   {"", "", nil, 0, 0, false},
	widget.Dim:      {"#8A94A6", "#5B6472", lipgloss.BrightBlack, 0, uv.AttrFaint, false},
	widget.Title:    {"", "", nil, uv.AttrBold, uv.AttrBold, false},
	widget.Focus:    {"#56B4E9", "#0060A8", lipgloss.BrightBlue, uv.AttrBold, uv.AttrBold, false},
	widget.Mark:     {"#F0E442", "#6B5D00", lipgloss.BrightYellow, uv.AttrBold, uv.AttrBold, false},
	widget.OK:       {"#56B4A9", "#00735C", lipgloss.Cyan, 0, 0, false},
	widget.Info:     {"#56B4E9", "#0060A8", lipgloss.BrightBlue, 0, uv.AttrBold, false},
	widget.Warn:     {"#E69F00", "#8A5A00", lipgloss.Yellow, 0, uv.AttrBold, false},
	widget.Bad:      {"#FF7F6E", "#B02A00", lipgloss.BrightRed, 0, 0, true},
	widget.Deleted:  {"#CC79A7", "#8F3E6C", lipgloss.Magenta, uv.AttrItalic, uv.AttrItalic, false},
	widget.Inferred: {"#8A94A6", "#5B6472", lipgloss.BrightBlack, 0, uv.AttrFaint, false},
	widget.KeyID:    {"#E8C872", "#6B5D00", lipgloss.BrightYellow, 0, uv.AttrBold, false},
	widget.Link:     {"#7FC8F0", "#0060A8", lipgloss.BrightBlue, 0, 0, true},
	widget.Chart1:   {"#56B4E9", "#0060A8", lipgloss.Blue, 0, 0, false},
	widget.Chart2:   {"#E69F00", "#8A5A00", lipgloss.Yellow, 0, 0, false},
	widget.Chart3:   {"#21B48C", "#00735C", lipgloss.Green, 0, 0, false},
	widget.Chart4:   {"#CC79A7", "#8F3E6C", lipgloss.Magenta, 0, 0, false},
	widget.Chart5:   {"#F0E442", "#6B5D00", lipgloss.Cyan, 0, 0, false},
	widget.Gap:      {"#5E6A7E", "#7A8494", lipgloss.BrightBlack, 0, uv.AttrFaint, false},
	widget.Border:   {"#4A566B", "#A0A9B8", lipgloss.BrightBlack, 0, uv.AttrFaint, false},
	widget.Badge:    {"#0B1016", "#FFFFFF", lipgloss.Black, uv.AttrBold, uv.AttrBold | uv.AttrReverse, false},
	widget.Chip:     {"#F0E442", "#6B5D00", lipgloss.BrightYellow, 0, uv.AttrBold, false},
	widget.Label:    {"#8A94A6", "#5B6472", lipgloss.BrightBlack, 0, 0, false},
}

// grounds is what some roles lie on: dark, light, sixteen colours.
var grounds = map[widget.Role]struct {
	dark, light string
	ansi        color.Color
	indexed     [2]uint8 // of 256: the nearest ones of the true colours are too loud
}{
	widget.Selection: {"#2A3B55", "#CFE3FF", nil, [2]uint8{238, 153}},
	widget.Quiet:     {"#1C2636", "#E6EDF7", nil, [2]uint8{235, 254}},
	widget.Badge:     {"#56B4A9", "#00735C", lipgloss.Cyan, [2]uint8{73, 29}},
}

// newStyles makes the looks for what the terminal can show.
func newStyles(p colorprofile.Profile, dark bool, o Options) *widget.Styles {
	s := &widget.Styles{ASCII: o.ASCII, A11y: o.A11y, Mono: p <= colorprofile.ASCII}
	for r, l := range looks {
		st := uv.Style{Attrs: l.attrs}
		switch {
		case s.Mono:
			st.Attrs = l.mono
			if l.line {
				st.Underline = uv.UnderlineSingle
			}
		case p == colorprofile.ANSI:
			st.Fg = l.ansi
		default:
			st.Fg = pick2(l.dark, l.light, dark)
		}
		s.Looks[r] = st
	}
	for r, g := range grounds {
		switch {
		case s.Mono || p == colorprofile.ANSI && g.ansi == nil:
			if r == widget.Selection {
				s.Looks[r].Attrs |= uv.AttrReverse
			}
		case p == colorprofile.ANSI:
			s.Looks[r].Bg = g.ansi
		case p == colorprofile.ANSI256:
			n := g.indexed[1]
			if dark {
				n = g.indexed[0]
			}
			s.Looks[r].Bg = lipgloss.ANSIColor(n)
		default:
			s.Looks[r].Bg = pick2(g.dark, g.light, dark)
		}
	}
	return s
}

func pick2(dark, light string, isDark bool) color.Color {
	hex := light
	if isDark {
		hex = dark
	}
	if hex == "" {
		return nil
	}
	return lipgloss.Color(hex)
}
