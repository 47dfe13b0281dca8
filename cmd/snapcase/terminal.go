package main

import (
	"bytes"
	"io"
	"os"

	"golang.org/x/term"

	"snapcase/evidence/visible"
)

// terminal says whether stdout is one.
func (e *edge) terminal() bool {
	f, ok := e.stdout.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) //nolint:gosec // a descriptor fits
}

// harmless makes lines that are meant for a file fit for a terminal.
type harmless struct {
	w    io.Writer
	rest []byte // of a line that has not ended
}

func (h *harmless) Write(p []byte) (int, error) {
	h.rest = append(h.rest, p...)
	for {
		line, rest, ok := bytes.Cut(h.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		if _, err := io.WriteString(h.w, visible.Escape(string(line)).String()+"\n"); err != nil {
			return 0, err
		}
		h.rest = rest
	}
}

func (h *harmless) flush() error {
	_, err := io.WriteString(h.w, visible.Escape(string(h.rest)).String())
	return err
}
