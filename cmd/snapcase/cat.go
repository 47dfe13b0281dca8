package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"snapcase/evidence"
	"snapcase/store"
)

func catCommand(e *edge) *cobra.Command {
	return &cobra.Command{
		Use:     "cat CASE ADDRESS",
		Short:   "The content of an entry to stdout, byte for byte",
		Example: "snapcase cat case1 EX-001/p2/131:7/home/ec2-user/.aws/config > config",
		Args:    exactly(2, "a case and an address"),
		RunE: func(c *cobra.Command, args []string) error {
			cs, err := e.access(c, args[0])
			if err != nil {
				return err
			}
			return errors.Join(e.cat(c, cs, args[1]), cs.Close())
		},
	}
}

// access opens a case so that looking at content is recorded in its ledger;
// a bundle, or a case whose key is not here, is opened read-only.
func (e *edge) access(c *cobra.Command, path string) (*store.Case, error) {
	if isBundle(path) {
		return e.read(c.Context(), path)
	}
	return e.write(c.Context(), path)
}

func (e *edge) cat(c *cobra.Command, cs *store.Case, address string) error {
	rec, noRecord := evidence.ParseRecord(address)
	a, err := evidence.ParseAddress(address)
	if err != nil && noRecord == nil {
		return e.catRecord(c, cs, rec)
	}
	if err != nil {
		return err
	}
	src, entry, err := cs.OpenEntry(c.Context(), a)
	if errors.Is(err, evidence.ErrNotFound) && noRecord == nil { // a record of a file whose folder looks like an inode
		if e.catRecord(c, cs, rec) == nil {
			return nil
		}
	}
	if errors.Is(err, evidence.ErrNotFound) && strings.Contains(a.Path, "!") {
		return e.catInside(c, cs, a)
	}
	if err != nil {
		return err
	}
	if err := cs.Accessed(c.Context(), a.Exhibit, "cat "+address); err != nil {
		return err
	}
	if _, err := io.Copy(e.stdout, io.NewSectionReader(src, 0, src.Size())); err != nil {
		return fmt.Errorf("cat %s: %w", address, err)
	}
	return e.partial(entry)
}

// catInside prints what a file hides, as keys names it.
func (e *edge) catInside(c *cobra.Command, cs *store.Case, a evidence.Address) error {
	if err := cs.Accessed(c.Context(), a.Exhibit, "cat "+a.String()); err != nil {
		return err
	}
	entry, err := cs.CopyInside(c.Context(), a, e.stdout)
	if err != nil {
		return err
	}
	return e.partial(entry)
}

func (e *edge) catRecord(c *cobra.Command, cs *store.Case, rec evidence.Record) error {
	raw, err := cs.Raw(c.Context(), rec)
	if err != nil {
		return err
	}
	_, err = e.stdout.Write(raw)
	return err
}

// partial is evidence.ErrGaps for an entry whose content is not whole.
func (e *edge) partial(f evidence.FileEntry) error {
	if f.Damage == nil {
		return nil
	}
	e.say("warning: %s: %s", f.Address, *f.Damage)
	return evidence.ErrGaps
}

func extractCommand(e *edge) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:     "extract CASE ADDRESS... --out DIR",
		Short:   "Copy entries out, under names that the evidence cannot choose",
		Example: "snapcase extract case1 EX-001/p2/131:7/home/ec2-user/.aws/config --out /tmp/out",
		Args:    atLeast(2, "a case and at least one address"),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return usageOf(c, "--out")
			}
			cs, err := e.access(c, args[0])
			if err != nil {
				return err
			}
			all, err := cs.Extract(c.Context(), args[1:], out)
			w := e.out()
			for _, x := range all {
				if e.json {
					err = errors.Join(err, emit(w, x))
				} else {
					row(w, x.File, x.SHA256, fmt.Sprint(x.Bytes), x.Address)
				}
			}
			return errors.Join(err, w.Flush(), cs.Close())
		},
	}
	c.Flags().StringVar(&out, "out", "", "folder to write to; made when it is not there")
	return c
}
