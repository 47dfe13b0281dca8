package main

import (
	"cmp"
	"slices"

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
			f, err := image.Open(args[0])
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
				err = emit(w, map[string]any{"source": args[0], "bytes": f.Size(), "volumes": s.Volumes})
			} else {
				row(w, args[0], size(f.Size()))
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
			if gapsOf(s) != "" {
				return evidence.ErrGaps
			}
			return nil
		},
	}
}

// volumesOf describes the volumes of a disk as stats does, without entries,
// since nothing is walked. The label is that of the file system, else that of
// the partition.
func volumesOf(d *disk.Disk) []evidence.VolumeStats {
	all := make([]evidence.VolumeStats, 0, len(d.Volumes))
	for _, v := range d.Volumes {
		s := evidence.VolumeStats{
			ID: v.ID, Type: v.Type, FS: v.FSType, Label: cmp.Or(v.FSLabel, v.Label), UUID: cmp.Or(v.FSUUID, v.UUID),
			Start: v.Start, Size: v.Size, State: slices.Clone(v.Notes),
		}
		if v.Damage != "" {
			s.State = append(s.State, "partition: "+v.Damage)
		}
		if v.Err != nil {
			text := v.Err.Error()
			s.Error = &text
		}
		all = append(all, s)
	}
	return all
}
