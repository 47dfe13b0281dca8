package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"snapcase/cmd/snapcase/demo"
	"snapcase/evidence"
	"snapcase/evidence/custody"
	"snapcase/store"
	"snapcase/tui"
)

func demoCommand(e *edge) *cobra.Command {
	var dir string
	var headless bool
	var o tui.Options
	c := &cobra.Command{
		Use:   "demo",
		Short: "Build the demonstration case and open it",
		Long: "demo unpacks the evidence that is embedded in this program (a disk, CloudTrail, flow logs, a mirrored\n" +
			"capture), makes a case of it with the ordinary verbs, and opens it. With --headless it prints what\n" +
			"snapcase answer would say. It needs no network, no root and nothing installed.",
		Example: "snapcase demo\nsnapcase demo --headless --dir /tmp/demo",
		Args:    exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			if dir == "" {
				var err error
				if dir, err = os.MkdirTemp("", "snapcase-demo-"); err != nil {
					return fmt.Errorf("demo: %w", err)
				}
			}
			folder := filepath.Join(dir, "case")
			if err := e.buildDemo(c, dir, folder); err != nil {
				return err
			}
			e.say("the demonstration case is in %s", folder)
			if headless {
				return e.answer(c.Context(), folder)
			}
			return e.open(c.Context(), folder, false, o)
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "folder to build in (default: a new temporary one)")
	c.Flags().BoolVar(&headless, "headless", false, "print the answer instead of opening the workbench")
	c.Flags().BoolVar(&o.ASCII, "ascii", false, "draw without box and block glyphs")
	c.Flags().BoolVar(&o.A11y, "a11y", os.Getenv("ACCESSIBLE") != "", "for screen readers")
	return c
}

// buildDemo makes the case in folder from the embedded evidence; what is
// there already is kept, so that an interrupted build goes on.
func (e *edge) buildDemo(c *cobra.Command, dir, folder string) error {
	sources, err := demo.Write(filepath.Join(dir, "evidence"))
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	key := filepath.Join(dir, "examiner_ed25519")
	if _, err := os.Stat(key); errors.Is(err, os.ErrNotExist) {
		if err := custody.MakeKey(key, "demo examiner"); err != nil {
			return err
		}
	}
	var cs *store.Case
	if _, err := os.Stat(filepath.Join(folder, "case.json")); errors.Is(err, os.ErrNotExist) {
		cs, err = e.newCase(c, folder, store.NewCase{Title: "Marc the intern", Examiner: "examiner@example.org", Authority: "internal audit, demonstration", Key: key})
		if err != nil {
			return err
		}
	} else if cs, err = e.write(c.Context(), folder); err != nil {
		return err
	}
	return errors.Join(e.acquireDemo(c, cs, sources), cs.Close())
}

func (e *edge) acquireDemo(c *cobra.Command, cs *store.Case, sources []demo.Source) error {
	have, err := evidence.ReadExhibits(cs.Folder())
	if err != nil {
		return err
	}
	for i, s := range sources {
		if i < len(have) {
			continue
		}
		p, end := e.progress()
		_, err := cs.Acquire(c.Context(), store.AcquireRequest{Source: s.Path, Kind: evidence.Kind(s.Kind), Label: s.Label}, p)
		end()
		if err != nil && !errors.Is(err, evidence.ErrGaps) {
			return err
		}
	}
	return nil
}
