package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"snapcase/evidence"
	"snapcase/imaging"
	"snapcase/store"
)

func catCommand(e *edge) *cobra.Command {
	var slack bool
	c := &cobra.Command{
		Use:   "cat CASE ADDRESS",
		Short: "The content of an entry, or any bytes of an image, to stdout, byte for byte",
		Long: "ADDRESS is an entry (EX-001/p2/131:7/path), a record of a log (EX-002/FILE#N), bytes of an image\n" +
			"(EX-001@OFFSET+LENGTH) or of a volume (EX-001/p2@OFFSET+LENGTH), or all that is unallocated in a\n" +
			"volume (EX-001/p2/$Unallocated). Numbers are decimal, or hexadecimal behind 0x.",
		Example: "snapcase cat case1 EX-001/p2/131:7/home/ec2-user/.aws/config > config\n" +
			"snapcase cat case1 EX-001@0x100000+512 | xxd\n" +
			"snapcase cat case1 'EX-001/p2/$Unallocated' | strings",
		Args: exactly(2, "a case and an address"),
		RunE: func(c *cobra.Command, args []string) error {
			cs, err := e.access(c, args[0])
			if err != nil {
				return err
			}
			if slack {
				err = e.catSlack(c, cs, args[1])
			} else {
				err = e.cat(c, cs, args[1])
			}
			return errors.Join(err, e.unsealed(c.Context(), cs, args[1]), cs.Close())
		},
	}
	c.Flags().BoolVar(&slack, "slack", false, "the bytes behind the content of the entry, up to the end of its last block")
	return c
}

// unsealed says of which exhibits, named by addresses in them, nothing is final, and
// is evidence.ErrGaps where there are some.
func (e *edge) unsealed(ctx context.Context, cs *store.Case, addresses ...string) error {
	under, err := cs.Acquisitions(ctx)
	if err != nil || len(under) == 0 {
		return err
	}
	all, err := cs.Stats(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		for _, a := range addresses {
			exhibit, _, _ := strings.Cut(a, "/")
			exhibit, _, _ = strings.Cut(exhibit, "@")
			if s.Exhibit != exhibit || s.Incomplete == nil {
				continue
			}
			e.say("warning: %s: %s", s.Exhibit, incompleteText(s))
			err = evidence.ErrGaps
			break
		}
	}
	return err
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
	if b, err := evidence.ParseBytes(address); err == nil {
		content, err := cs.OpenBytes(c.Context(), b)
		if err != nil {
			return err
		}
		return e.catContent(c, cs, b.Exhibit, address, content)
	}
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
	if err := e.pour(c.Context(), src); err != nil {
		return fmt.Errorf("cat %s: %w", address, err)
	}
	return e.partial(entry)
}

// catSlack writes what lies behind the content of an entry.
func (e *edge) catSlack(c *cobra.Command, cs *store.Case, address string) error {
	a, err := evidence.ParseAddress(address)
	if err != nil {
		return err
	}
	content, _, err := cs.OpenSlack(c.Context(), a)
	if err != nil {
		return err
	}
	return e.catContent(c, cs, a.Exhibit, address+" --slack", content)
}

func (e *edge) catContent(c *cobra.Command, cs *store.Case, exhibit, what string, content *store.Content) error {
	if err := cs.Accessed(c.Context(), exhibit, "cat "+what); err != nil {
		return err
	}
	if err := e.pour(c.Context(), content); err != nil {
		return fmt.Errorf("cat %s: %w", what, err)
	}
	if content.Damage == "" {
		return nil
	}
	e.say("warning: %s: %s", what, content.Damage)
	return evidence.ErrGaps
}

// pour writes a source to stdout, until ctx ends.
func (e *edge) pour(ctx context.Context, src imaging.Source) error {
	buf := make([]byte, 1<<20)
	for off := int64(0); off < src.Size(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := src.ReadAt(buf[:min(int64(len(buf)), src.Size()-off)], off)
		if _, werr := e.stdout.Write(buf[:n]); werr != nil {
			return werr
		}
		off += int64(n)
		switch {
		case off == src.Size():
		case errors.Is(err, io.EOF):
			return fmt.Errorf("it ends at byte %d of %d: %w", off, src.Size(), io.ErrUnexpectedEOF)
		case err != nil:
			return err
		case n == 0:
			return io.ErrNoProgress
		}
	}
	return nil
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
	var unallocated bool
	c := &cobra.Command{
		Use:   "extract CASE ADDRESS... --out DIR",
		Short: "Copy entries and other bytes out, under names that the evidence cannot choose",
		Long: "ADDRESS is what cat takes, but for records of logs. With --unallocated it is a volume (EX-001/p2) or an\n" +
			"exhibit (EX-001): then what nothing in use owns there is written, beside a map of where each piece lay\n" +
			"(JSON Lines: offset in the file, offset in the volume, length).",
		Example: "snapcase extract case1 EX-001/p2/131:7/home/ec2-user/.aws/config --out /tmp/out\n" +
			"snapcase extract case1 EX-001 --unallocated --out /tmp/free",
		Args: atLeast(2, "a case and at least one address"),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return usageOf(c, "--out")
			}
			cs, err := e.access(c, args[0])
			if err != nil {
				return err
			}
			places := args[1:]
			if unallocated {
				if places, err = cs.UnallocatedOf(c.Context(), places); err != nil {
					return errors.Join(err, cs.Close())
				}
			}
			all, err := cs.Extract(c.Context(), places, out)
			w := e.out()
			for _, x := range all {
				if e.json {
					err = errors.Join(err, emit(w, x))
				} else {
					row(w, x.File, x.SHA256, fmt.Sprint(x.Bytes), x.Address)
				}
			}
			return errors.Join(err, w.Flush(), e.unsealed(c.Context(), cs, places...), cs.Close())
		},
	}
	c.Flags().BoolVar(&unallocated, "unallocated", false, "what is unallocated in volumes or exhibits, with a map")
	c.Flags().StringVar(&out, "out", "", "folder to write to; made when it is not there")
	return c
}
