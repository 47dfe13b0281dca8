package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"snapcase/evidence"
)

func ownerCommand(e *edge) *cobra.Command {
	return &cobra.Command{
		Use:   "owner CASE EX-001@OFFSET...",
		Short: "Who owns a byte of an image: a file, slack, the journal, metadata, nobody",
		Long: "owner answers for each OFFSET in bytes of the image (EX-001@OFFSET) or of a volume (EX-001/p2@OFFSET),\n" +
			"decimal or hexadecimal behind 0x, by the file systems' own maps.",
		Example: "snapcase owner case1 EX-001@0x8100400 EX-001/p2@4096 --json",
		Args:    atLeast(2, "a case and at least one EX-001@OFFSET"),
		RunE: func(c *cobra.Command, args []string) error {
			var places []evidence.Bytes
			for _, s := range args[1:] {
				b, err := evidence.ParseBytes(s + "+1")
				if err != nil {
					return evidence.WithHint(fmt.Errorf("%q: %w", s, evidence.ErrUsage), "an offset looks like EX-001@OFFSET or EX-001/p2@OFFSET")
				}
				places = append(places, b)
			}
			cs, err := e.read(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer cs.Close() //nolint:errcheck // read-only
			w := e.out()
			var doubt error
			for i, b := range places {
				o, err := cs.Owner(c.Context(), b)
				if err != nil {
					return errors.Join(err, w.Flush())
				}
				if o.Doubt != "" {
					e.say("warning: %s: %s", args[i+1], o.Doubt)
					doubt = evidence.ErrGaps
				}
				if e.json {
					err = emit(w, o)
				} else {
					row(w, args[i+1], ownerText(o))
				}
				if err != nil {
					return err
				}
			}
			return errors.Join(w.Flush(), doubt)
		},
	}
}

// ownerText is an owner for a person.
func ownerText(o evidence.ByteOwner) string {
	s := o.Status
	if o.Area != "" {
		s += " (" + o.Area + ")"
	}
	if o.Volume != nil && o.VolumeOffset != nil {
		s += fmt.Sprintf("  byte %d of %s", *o.VolumeOffset, *o.Volume)
	}
	if o.Address != nil {
		s += "  " + *o.Address
	}
	if o.FileOffset != nil {
		s += fmt.Sprintf("  byte %d of it", *o.FileOffset)
	}
	return s
}
