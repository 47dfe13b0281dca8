// Package tui is the workbench on a terminal: sections over one case, drawn on
// cells, driven by one key table.
//
// The policy of the code:
//
//  1. One tea.Model. Screens and widgets are structs with methods; they do not
//     nest models and do not pass messages on.
//  2. State changes only in update. draw is a function of state: same state,
//     same frame.
//  3. No input or output, no clock, no random numbers in update or draw.
//     Reading is a command made in ask.go; time comes as a message.
//  4. A command never touches the model; it returns a message with the
//     generation it was asked for. An answer of another generation is dropped.
//  5. Widgets take visible.Text, roles and rectangles. They know no evidence,
//     no store and no keys of their own.
//  6. tui uses *store.Case as it is. Each screen declares, in its own file, the
//     methods it calls.
//  7. An action that writes is a method of the case that the verb calls too;
//     in a read-only case it is not in the key table.
//  8. No init, no package variables that change, no context bag.
//
// Text from evidence reaches a cell, the clipboard or a message only as a
// visible.Text. Bytes in which credential.Secrets finds a secret are masked in
// every tab, and so are copies. The program opens no pager, editor or browser.
//
// Respond is the one section that can change something outside the case: an
// account on AWS. It plans first, shows every call, wants the id of the instance
// typed, and the program does not end before a run that it stopped has ended.
//
// Jobs acquires, and shows what other processes acquire; a snapshot can be read
// while that goes on, and everything that shows something of it says so.
//
// What it does not do: it reports and bundles nothing (the verbs do), and it keeps
// no settings.
package tui

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"snapcase/evidence"
	"snapcase/store"
)

// Options say how the workbench is drawn.
type Options struct {
	ASCII bool             // no box or block glyphs
	A11y  bool             // for screen readers: no borders, charts as numbers, one pane at a time
	Now   func() time.Time // the clock of the header; it decides nothing else
	Color string           // auto, always or never
	// Respond opens what acts on an account; nil where nothing can, and then the
	// screen says so. A read-only case asks it for Offline ones only.
	Respond func(ctx context.Context, r RespondRequest) (Responder, error)
	// Acquire brings evidence into the case and indexes it; nil where nothing can
	// be acquired. It must not write to the terminal.
	Acquire func(ctx context.Context, r AcquireRequest) (evidence.Acquisition, error)
	// Index indexes what a response acquired; nil leaves it to snapcase index.
	Index func(ctx context.Context) error
}

// Run shows the case until the examiner leaves. It needs a terminal on
// standard input and output; it changes nothing but what the examiner asks to
// be recorded (tags, notes, and that content of an exhibit was shown), and what
// Respond was confirmed to change.
func Run(ctx context.Context, c *store.Case, o Options) error {
	opts := []tea.ProgramOption{tea.WithContext(ctx)}
	switch {
	case o.Color == "never" || os.Getenv("TERM") == "dumb":
		opts = append(opts, tea.WithColorProfile(colorprofile.ASCII))
	case o.Color == "always":
		opts = append(opts, tea.WithColorProfile(colorprofile.TrueColor))
	}
	m := newModel(ctx, c, o)
	_, err := tea.NewProgram(m, opts...).Run()
	m.halt()
	if err != nil && !errors.Is(err, tea.ErrInterrupted) {
		return fmt.Errorf("workbench: %w", err)
	}
	return nil
}
