package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"snapcase/evidence"
)

func keysCommand(e *edge) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "keys CASE",
		Short: "Access keys found in the evidence, and where they were used",
		Long: "keys lists the access keys found in the evidence. Secrets are never shown: a fingerprint under the case's own key lets two finds be compared.\n\n" +
			"A place inside a compressed file, archive, journal, database or base64 is the address of that file, an exclamation mark and the name inside; inner_offset counts in what was decoded, offset is where the file starts in the image, null where that is not known.\n\n" +
			"secret says whether a secret was found beside the key. It is null in a record of CloudTrail: no secret is sought there.",
		Example: "snapcase keys case1\nsnapcase keys case1 --all --json",
		Args:    exactly(1, "one case or bundle"),
		RunE: func(c *cobra.Command, args []string) error {
			cs, err := e.read(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer cs.Close() //nolint:errcheck // read-only
			keys, err := cs.Keys(c.Context(), all)
			if err != nil {
				return err
			}
			w := e.out()
			for _, k := range keys {
				if e.json {
					if err := emit(w, k); err != nil {
						return err
					}
					continue
				}
				keyText(w, k)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			if len(keys) == 0 {
				e.say("no access key was found")
			}
			return e.gaps(c.Context(), cs, "")
		},
	}
	c.Flags().BoolVar(&all, "all", false, "also the key ids that only the logs know")
	return c
}

func keyText(w io.Writer, k evidence.Key) {
	doc := ""
	if k.Documentation {
		doc = "(documentation)"
	}
	row(w, k.KeyID, k.Kind, fmt.Sprintf("%d events", k.Events), stamp(k.First)+" to "+stamp(k.Last), strings.Join(k.Regions, " "), strings.Join(k.Principals, " "), doc)
	for _, p := range k.Places {
		row(w, "   ", placeText(p))
	}
}

func placeText(p evidence.Place) string {
	s := fmt.Sprintf("%-11s offset %d", p.Status, p.Offset)
	if p.InnerOffset != nil {
		s = fmt.Sprintf("%-11s inside, at byte %d of", p.Status, *p.InnerOffset)
		if p.Offset >= 0 {
			s = fmt.Sprintf("%-11s offset %d, inside, at byte %d of", p.Status, p.Offset, *p.InnerOffset)
		}
	}
	if p.Address != nil {
		s += "  " + *p.Address
	} else {
		s += "  " + p.Exhibit
	}
	if p.Area != "" {
		s += "  (" + p.Area + ")"
	}
	switch {
	case p.Unsought:
		s += "  (no secret was sought beside it)"
	case p.Secret:
		s += "  secret beside it, fingerprint " + p.Fingerprint
	}
	return s
}
