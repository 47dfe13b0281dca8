package tui

import (
	uv "github.com/charmbracelet/ultraviolet"

	"snapcase/tui/widget"
)

// mode is how much room there is.
type mode uint8

// The modes, by the breakpoints of the design.
const (
	tooSmall mode = iota // below 60×15: a card
	small                // 60–99 columns or 15–29 rows: no navigation, a detail of 6 rows
	medium               // 100–159 columns: the detail below
	wide                 // from 160 columns: the detail to the right
)

const navWidth = 19

// frame is the screen cut into its parts.
type frame struct {
	mode                   mode
	w, h                   int
	header, crumbs         uv.Rectangle
	nav, body              uv.Rectangle
	status, hints, overlay uv.Rectangle
}

// layout decides where everything is from the size alone.
func layout(w, h int) frame {
	f := frame{w: w, h: h}
	switch {
	case w < 60 || h < 15:
		return f
	case w < 100 || h < 30:
		f.mode = small
	case w < 160:
		f.mode = medium
	default:
		f.mode = wide
	}
	all := uv.Rect(0, 0, w, h)
	f.header, all = widget.Stack(all, 1)
	f.crumbs, all = widget.Stack(all, 1)
	all, bottom := widget.Stack(all, all.Dy()-2)
	f.status, f.hints = widget.Stack(bottom, 1)
	f.body = all
	if f.mode != small {
		f.nav, f.body = widget.Split(all, navWidth)
	}
	ow, oh := min(w-4, 76), min(h-6, 28)
	f.overlay = uv.Rect((w-ow)/2, max(2, (h-oh)/3), ow, oh)
	return f
}

// detail cuts a body into the main part and the detail, where the mode has it.
func detail(body uv.Rectangle, m mode) (main, below uv.Rectangle) {
	switch m {
	case wide:
		return widget.Split(body, body.Dx()*58/100)
	case medium:
		return widget.Stack(body, body.Dy()*60/100)
	default:
		return widget.Stack(body, body.Dy()-6)
	}
}
