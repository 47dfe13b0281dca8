package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"snapcase/evidence"
	"snapcase/evidence/respond"
	"snapcase/store"
	"snapcase/tui"
)

func openCommand(e *edge) *cobra.Command {
	var o tui.Options
	var readOnly bool
	c := &cobra.Command{
		Use:     "open CASE|BUNDLE",
		Short:   "Open the workbench on a case, or on a bundle read-only",
		Example: "snapcase open case1\nsnapcase open case1-20261124T120000Z.tar.zst",
		Args:    exactly(1, "one case or bundle"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.open(c.Context(), args[0], readOnly, o)
		},
	}
	c.Flags().BoolVar(&readOnly, "read-only", false, "no action that writes, not even the ledger")
	c.Flags().BoolVar(&o.ASCII, "ascii", false, "draw without box and block glyphs")
	c.Flags().BoolVar(&o.A11y, "a11y", os.Getenv("ACCESSIBLE") != "", "for screen readers")
	return c
}

func (e *edge) open(ctx context.Context, path string, readOnly bool, o tui.Options) error {
	if !term.IsTerminal(int(os.Stdout.Fd())) { //nolint:gosec // a descriptor fits
		return evidence.WithHint(errors.New("open: the workbench needs a terminal"), "ask with a verb instead, for example: snapcase findings %s", path)
	}
	var cs *store.Case
	var err error
	switch {
	case isBundle(path):
		cs, err = e.read(ctx, path)
	case readOnly:
		cs, err = e.readCase(ctx, path, false)
	default:
		cs, err = e.write(ctx, path)
	}
	if err != nil {
		return err
	}
	o.Now, o.Color, o.Respond = e.now, e.colorMode(), e.responder(cs)
	if !cs.ReadOnly() {
		o.Acquire, o.Index = e.acquirer(cs), func(ctx context.Context) error { return cs.Index(ctx, store.IndexOptions{}, nil) }
	}
	return errors.Join(tui.Run(ctx, cs, o), cs.Close())
}

// acquirer brings evidence in for the workbench, without a word to the terminal.
func (e *edge) acquirer(cs *store.Case) func(context.Context, tui.AcquireRequest) (evidence.Acquisition, error) {
	quiet := *e
	quiet.quiet = true
	return func(ctx context.Context, r tui.AcquireRequest) (evidence.Acquisition, error) {
		q := store.AcquireRequest{Source: r.Source, Lazy: r.Lazy, Browse: r.Browse}
		release, err := quiet.fromAWS(ctx, &account{region: r.Region}, &q)
		if err != nil {
			return evidence.Acquisition{}, err
		}
		defer release()
		return cs.Acquire(ctx, q, nil)
	}
}

// responder opens for the workbench what the verbs of respond work with.
func (e *edge) responder(cs *store.Case) func(context.Context, tui.RespondRequest) (tui.Responder, error) {
	return func(ctx context.Context, r tui.RespondRequest) (tui.Responder, error) {
		if r.Offline {
			return &respond.Session{Folder: cs.Folder(), CaseID: cs.File().ID, Now: e.now}, nil
		}
		s, err := e.session(ctx, cs, &respondFlags{region: r.Region, profile: r.Profile})
		if err != nil {
			return nil, err
		}
		s.Watch = r.Watch
		return s, nil
	}
}

// colorMode is what the terminal may show: "never", "always" or "auto".
func (e *edge) colorMode() string {
	if e.color == "auto" && os.Getenv("NO_COLOR") != "" {
		return "never"
	}
	return string(e.color)
}

// openHere opens the one case below the current folder; with several it says
// which there are.
func (e *edge) openHere(ctx context.Context) error {
	found, err := filepath.Glob("*/case.json")
	if err != nil {
		return err
	}
	if _, err := os.Stat("case.json"); err == nil {
		found = []string{"./case.json"}
	}
	switch len(found) {
	case 0:
		return evidence.WithHint(errors.New("open: there is no case below the current folder"), "make one with: snapcase new case1 --title T --examiner ID, or look at: snapcase demo")
	case 1:
		return e.open(ctx, filepath.Dir(found[0]), false, tui.Options{})
	}
	for _, f := range found {
		e.say("%s", filepath.Dir(f))
	}
	return evidence.WithHint(usageError{errors.New("open: several cases lie here")}, "name one: snapcase open %s", filepath.Dir(found[0]))
}

// colorFlag is the value of --color.
type colorFlag string

func (c *colorFlag) String() string { return string(*c) }
func (c *colorFlag) Type() string   { return "string" }
func (c *colorFlag) Set(s string) error {
	switch s {
	case "auto", "always", "never":
		*c = colorFlag(s)
		return nil
	}
	return errors.New("want auto, always or never")
}
