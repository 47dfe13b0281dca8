package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"snapcase/evidence"
	"snapcase/evidence/custody"
	"snapcase/store"
)

func newCommand(e *edge) *cobra.Command {
	var n store.NewCase
	c := &cobra.Command{
		Use:     "new CASE --title T --examiner ID",
		Short:   "Make a case folder with its custody ledger",
		Example: "snapcase new case1 --title \"Marc the intern\" --examiner jdoe@example.org --authority TICKET-991",
		Args:    exactly(1, "one case folder"),
		RunE: func(c *cobra.Command, args []string) error {
			if n.Title == "" || n.Examiner == "" {
				return usageOf(c, "--title and --examiner")
			}
			made, err := e.newCase(c, args[0], n)
			if err != nil {
				return err
			}
			file := made.File()
			if err := made.Close(); err != nil {
				return err
			}
			if e.json {
				return emit(e.stdout, map[string]any{"case": file.ID, "folder": args[0], "title": file.Title, "examiner": file.Examiner, "key": file.Key})
			}
			e.say("case %s made in %s, signed by %s", file.ID, args[0], file.Key)
			return nil
		},
	}
	c.Flags().StringVar(&n.Title, "title", "", "what the case is called")
	c.Flags().StringVar(&n.Examiner, "examiner", "", "who acts: the id that every ledger record carries")
	c.Flags().StringVar(&n.Authority, "authority", "", "warrant or ticket that allows the work")
	c.Flags().StringVar(&n.Key, "key", "", "OpenSSH Ed25519 key file, or a public key held by ssh-agent (default ~/.config/snapcase/examiner_ed25519, made on first use)")
	return c
}

// newCase makes a case, and the examiner's key where there is none yet.
func (e *edge) newCase(c *cobra.Command, dir string, n store.NewCase) (*store.Case, error) {
	if n.Key == "" {
		conf, err := os.UserConfigDir()
		if err != nil {
			return nil, evidence.WithHint(fmt.Errorf("find a place for the signing key: %w", err), "name one with --key")
		}
		n.Key = filepath.Join(conf, "snapcase", "examiner_ed25519")
		if _, err := os.Stat(n.Key); errors.Is(err, os.ErrNotExist) {
			if err := custody.MakeKey(n.Key, n.Examiner); err != nil {
				return nil, err
			}
			e.say("made a signing key: %s", n.Key)
		}
	}
	abs, err := filepath.Abs(n.Key)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", n.Key, err)
	}
	n.Key = abs
	signer, err := custody.LoadSigner(n.Key)
	if err != nil {
		return nil, err
	}
	o, err := e.actor(evidence.CaseFile{Examiner: n.Examiner}, signer)
	if err != nil {
		return nil, err
	}
	return store.Create(c.Context(), dir, n, store.Options{Custody: o})
}
