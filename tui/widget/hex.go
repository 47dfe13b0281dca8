package widget

import "snapcase/evidence/visible"

// Hex is bytes as hexadecimal digits and characters, sixteen a row, with ranges
// that are masked and one that is marked.
type Hex struct {
	Offset int64    // of Bytes[0], a multiple of 16
	Bytes  []byte   // what shows
	Masks  [][2]int // ranges of Bytes that must not be read: from, to
	Mark   [2]int   // a range of Bytes that stands out; empty for none
}

const digits = "0123456789abcdef"

// HexWidth is the cells of a row of sixteen bytes.
const HexWidth = 10 + 16*3 + 2 + 18

// Draw draws as many rows as fit.
func (x Hex) Draw(c Canvas) {
	_, h := c.Size()
	for y := range h {
		at := y * 16
		if at >= len(x.Bytes) {
			return
		}
		x.row(c, y, at)
	}
}

func (x Hex) row(c Canvas, y, at int) {
	c.Text(0, y, 10, Dim, visible.Sprintf("%08x", x.Offset+int64(at)))
	border := c.St.Style(Border)
	text := 10 + 16*3 + 2
	c.glyph(text-1, y, c.St.plain("│"), 1, border)
	for i := range 16 {
		cell := 10 + i*3
		if i >= 8 {
			cell++
		}
		if at+i >= len(x.Bytes) {
			continue
		}
		b := x.Bytes[at+i]
		hi, lo, ch, r := string(digits[b>>4]), string(digits[b&15]), ".", Normal
		switch {
		case inside(x.Masks, at+i):
			hi, lo, ch, r = "•", "•", "•", Bad
		case b >= 0x20 && b < 0x7f:
			ch = string(rune(b))
		case b == 0:
			r = Gap
		default:
			r = Dim
		}
		if r != Bad && at+i >= x.Mark[0] && at+i < x.Mark[1] {
			r = Mark
		}
		st := c.St.Style(r)
		c.glyph(cell, y, c.St.plain(hi), 1, st)
		c.glyph(cell+1, y, c.St.plain(lo), 1, st)
		c.glyph(text+i, y, c.St.plain(ch), 1, st)
	}
	c.glyph(text+16, y, c.St.plain("│"), 1, border)
}

func inside(ranges [][2]int, at int) bool {
	for _, r := range ranges {
		if at >= r[0] && at < r[1] {
			return true
		}
	}
	return false
}

// Masked gives b with every masked byte replaced by an asterisk.
func Masked(b []byte, masks [][2]int) []byte {
	if len(masks) == 0 {
		return b
	}
	out := append([]byte(nil), b...)
	for _, m := range masks {
		for i := max(m[0], 0); i < min(m[1], len(out)); i++ {
			out[i] = '*'
		}
	}
	return out
}
