package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"snapcase/evidence"
	"snapcase/imaging/disk"
	"snapcase/imaging/image"
	"snapcase/store"
)

func imageCommand(e *edge) *cobra.Command {
	return &cobra.Command{
		Use:     "image SOURCE",
		Short:   "Volumes and file systems of an image or device, no case needed",
		Example: "snapcase image /evidence/disk.raw\nsnapcase image /dev/nvme1n1 --json",
		Args:    exactly(1, "one image or device"),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := image.OpenAny(args[0])
			if err != nil {
				return err
			}
			defer f.Close() //nolint:errcheck // read-only
			d, err := disk.Open(f)
			if err != nil {
				return err
			}
			s := evidence.ExhibitStats{Kind: evidence.KindDisk, Source: args[0], Bytes: f.Size(), Indexed: true, Volumes: store.Volumes(d)}
			w := e.out()
			if e.json {
				err = emit(w, map[string]any{"source": args[0], "format": f.Format, "segments": f.Segments, "bytes": f.Size(), "volumes": s.Volumes})
			} else {
				row(w, args[0], f.Format, size(f.Size()))
				for _, h := range f.Header {
					row(w, "    ", h.Name+":", h.Value)
				}
				for _, g := range f.Gaps() {
					row(w, "    gap", fmt.Sprintf("offset %d, %d bytes", g.Offset, g.Length), g.Reason)
				}
				for _, d := range f.Damage {
					row(w, "    damage", d)
				}
				for _, v := range s.Volumes {
					volumeText(w, v)
				}
			}
			if err != nil {
				return err
			}
			if err := w.Flush(); err != nil {
				return err
			}
			if gapsOf(s) != "" || len(f.Gaps())+len(f.Damage) > 0 {
				return evidence.ErrGaps
			}
			return nil
		},
	}
}
