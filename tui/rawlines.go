package tui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"snapcase/evidence/visible"
	"snapcase/tui/widget"
)

// detailLimit is how much of a record a detail shows, bytes.
const detailLimit = 1 << 20

// jsonLines is a record's own text, indented when it is JSON, with secrets
// masked.
func jsonLines(raw []byte, w int) []widget.Line {
	cut := len(raw) > detailLimit
	raw = raw[:min(len(raw), detailLimit)]
	text := masked(string(raw))
	var b bytes.Buffer
	if !cut && json.Indent(&b, []byte(text), "", "  ") == nil {
		text = b.String()
	}
	var out []widget.Line
	for l := range strings.Lines(text) {
		body := strings.TrimLeft(strings.TrimRight(l, "\n"), " ")
		indent := visible.Escape(strings.Repeat(" ", min(len(strings.TrimRight(l, "\n"))-len(body), 40)))
		name, value, ok := strings.Cut(body, `": `)
		for i, t := range widget.Wrap(visible.Escape(body), max(w-widget.Width(indent), 10)) {
			line := widget.Line{span(widget.Normal, indent)}
			if head := visible.Escape(name + `":`); i == 0 && ok && value != "" && strings.HasPrefix(body, `"`) && strings.HasPrefix(t.String(), head.String()) {
				line = append(line, span(widget.Info, head), span(widget.Normal, visible.Part(t, t.String()[len(head.String()):])))
			} else {
				line = append(line, span(widget.Normal, t))
			}
			out = append(out, line)
		}
	}
	if cut {
		out = append(out, widget.Plain(widget.Warn, visible.Lit("! the record is longer than 1 MiB; snapcase events --raw shows all of it")))
	}
	return out
}

// hexLines are bytes as lines of a detail, secrets masked.
func hexLines(b []byte) []widget.Line {
	b = []byte(masked(string(b[:min(len(b), 4096)])))
	var out []widget.Line
	for i := 0; i < len(b); i += 16 {
		row := b[i:min(i+16, len(b))]
		text := make([]byte, len(row))
		for k, c := range row {
			text[k] = '.'
			if c >= 0x20 && c < 0x7f {
				text[k] = c
			}
		}
		out = append(out, widget.Line{span(widget.Dim, visible.Sprintf("%04x  ", i)), span(widget.Normal, visible.Sprintf("%-48s ", fmt.Sprintf("% x", row))), span(widget.Normal, visible.Escape(string(text)))})
	}
	return out
}
