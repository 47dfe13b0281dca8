package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"snapcase/evidence"
)

func statsCommand(e *edge) *cobra.Command {
	return &cobra.Command{
		Use:     "stats CASE",
		Short:   "What was read and what was not, per exhibit",
		Example: "snapcase stats case1 --json",
		Args:    exactly(1, "one case or bundle"),
		RunE: func(c *cobra.Command, args []string) error {
			cs, err := e.read(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer cs.Close() //nolint:errcheck // read-only
			all, err := cs.Stats(c.Context())
			if err != nil {
				return err
			}
			w := e.out()
			if e.json {
				if all == nil {
					all = []evidence.ExhibitStats{}
				}
				for i := range all {
					if all[i].Volumes == nil {
						all[i].Volumes = []evidence.VolumeStats{}
					}
				}
				err = emit(w, all)
			} else {
				for _, s := range all {
					statsText(w, s)
				}
			}
			if err != nil {
				return err
			}
			if err := w.Flush(); err != nil {
				return err
			}
			if err := e.unlisted(c.Context(), cs, "", all); err != nil {
				return err
			}
			for _, s := range all {
				if gapsOf(s) != "" {
					return evidence.ErrGaps
				}
			}
			return nil
		},
	}
}

func statsText(w io.Writer, s evidence.ExhibitStats) {
	row(w, s.Exhibit, string(s.Kind), size(s.Bytes), s.Label, s.Source)
	if s.Incomplete != nil {
		row(w, "   ", incompleteText(s))
	}
	if s.NotAcquired > 0 {
		row(w, "   ", fmt.Sprintf("partial: %s were not acquired, only what changed since", size(s.NotAcquired)), s.Since)
	}
	if s.Kind.Image() {
		for _, v := range s.Volumes {
			volumeText(w, v)
		}
	} else {
		row(w, "   ", fmt.Sprintf("%d files, %d records, %d distinct, %d duplicates, %d bad, %d skipdata", s.Files, s.Records, s.Distinct, s.Duplicates, s.BadRecords, s.SkipData), stamp(s.First)+" to "+stamp(s.Last))
	}
	gapsText(w, s.Gaps)
}

func gapsText(w io.Writer, gaps []evidence.Gap) {
	for _, g := range gaps {
		row(w, "   ", "gap", g.Place, fmt.Sprintf("offset %d", g.Offset), g.Reason)
	}
}

func volumeText(w io.Writer, v evidence.VolumeStats) {
	note := ""
	if v.Error != nil {
		note = "! " + *v.Error
	}
	row(w, "   ", fmt.Sprintf("%-3s %-12s %-8s %-14s start %-12d %10s  %d entries, %d deleted", v.ID, v.Type, v.FS, v.Label, v.Start, size(v.Size), v.Entries, v.Deleted), note)
	if v.NotAcquired > 0 {
		row(w, "       ", fmt.Sprintf("content of %d entries was not acquired", v.NotAcquired))
	}
	for _, st := range v.State {
		row(w, "       ", st)
	}
}
