package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"snapcase/evidence"
	"snapcase/evidence/aws"
	"snapcase/imaging/disk"
	"snapcase/imaging/image"
	"snapcase/store"
)

func imageCommand(e *edge) *cobra.Command {
	var from account
	c := &cobra.Command{
		Use:     "image SOURCE",
		Short:   "Volumes and file systems of an image, device or snapshot, no case needed",
		Long:    "image shows what lies in an image or a device. An EBS snapshot (snap-…) is read in place: only the\nblocks that are looked at are asked for.",
		Example: "snapcase image /evidence/disk.raw\nsnapcase image /dev/nvme1n1 --json\nsnapcase image snap-0123456789abcdef0 --region eu-west-1",
		Args:    exactly(1, "one image, device or snapshot"),
		RunE: func(c *cobra.Command, args []string) error {
			if aws.IsSnapshot(args[0]) {
				return e.snapshotImage(c.Context(), &from, args[0])
			}
			f, err := image.OpenAny(args[0])
			if err != nil {
				return err
			}
			defer f.Close() //nolint:errcheck // read-only
			d, err := disk.Open(f)
			if err != nil {
				return err
			}
			s := evidence.ExhibitStats{Kind: evidence.KindDisk, Source: args[0], Bytes: f.Size(), Indexed: true, Volumes: store.Volumes(d), Gaps: tableGaps(d, args[0])}
			w := e.out()
			if e.json {
				err = emit(w, withGaps(map[string]any{"source": args[0], "format": f.Format, "segments": f.Segments, "bytes": f.Size(), "volumes": s.Volumes}, s.Gaps))
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
				gapsText(w, s.Gaps)
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
	from.flags(c)
	return c
}

// snapshotImage shows what lies in a snapshot, without copying it.
func (e *edge) snapshotImage(ctx context.Context, from *account, id string) error {
	p, end := e.progress()
	door, err := e.account(ctx, from, p)
	if err != nil {
		return err
	}
	s, err := door.Snapshot(ctx, id)
	end()
	if err != nil {
		return err
	}
	defer s.Close() //nolint:errcheck // it only ends reads
	d, err := disk.Open(s)
	if err != nil {
		return err
	}
	volumes := store.Volumes(d)
	if err := s.Err(); err != nil {
		return err
	}
	found := evidence.ExhibitStats{Kind: evidence.KindDisk, Source: id, Bytes: s.Size(), Indexed: true, Volumes: volumes, Gaps: tableGaps(d, id)}
	w, o := e.out(), s.Origin()
	if e.json {
		err = emit(w, withGaps(map[string]any{"source": id, "format": "ebs-direct", "segments": []string{}, "bytes": s.Size(), "volumes": found.Volumes, "origin": o}, found.Gaps))
	} else {
		row(w, id, "ebs-direct", size(s.Size()), size(s.DataBytes())+" written", fmt.Sprintf("%d blocks read", o.Reads))
		for _, v := range found.Volumes {
			volumeText(w, v)
		}
		gapsText(w, found.Gaps)
	}
	if err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if gapsOf(found) != "" {
		return evidence.ErrGaps
	}
	return nil
}

// tableGaps is where partition tables of a disk that is no exhibit could not be
// followed.
func tableGaps(d *disk.Disk, source string) []evidence.Gap {
	all := store.TableGaps(d)
	for i := range all {
		if all[i].Place == "" {
			all[i].Place = source
		}
	}
	return all
}

// withGaps adds the gaps to the fields of an answer, where there are any.
func withGaps(fields map[string]any, gaps []evidence.Gap) map[string]any {
	if len(gaps) > 0 {
		fields["gaps"] = gaps
	}
	return fields
}
