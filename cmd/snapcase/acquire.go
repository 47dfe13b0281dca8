package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"snapcase/evidence"
	"snapcase/evidence/aws"
	"snapcase/store"
)

var kinds = []evidence.Kind{evidence.KindDisk, evidence.KindMemory, evidence.KindCloudTrail, evidence.KindFlowLog, evidence.KindPcap, evidence.KindFindings, evidence.KindFile}

func acquireCommand(e *edge) *cobra.Command {
	var as, label, hash, format string
	var raw bool
	var from account
	var noIndex, lazy bool
	c := &cobra.Command{
		Use:   "acquire CASE SOURCE...",
		Short: "Bring evidence in, once: hash, scan, copy, seal, index",
		Long: "acquire reads each SOURCE once, from start to end: a file, a folder of logs or captures, a block\n" +
			"device, an EBS snapshot (snap-…, through the EBS direct API, every block against its checksum), an\n" +
			"EBS volume that is attached to this host (vol-…), or the objects under a prefix of a bucket\n" +
			"(s3://bucket/prefix; with --account, --log-region, --from and --to those of the layout in which AWS\n" +
			"delivers logs; the public keys of CloudTrail for their regions and days come along, so that digests can\n" +
			"be checked without the account). The same read feeds the SHA-256, the credential scanner and the sealed copy.\n" +
			"Unreadable ranges are recorded and filled with zeros. Run again after an interruption, it resumes.\n" +
			"With --lazy the files of a snapshot are listed first, from the blocks that takes, and files that mostly\n" +
			"hold access keys are searched; the image follows behind. Meanwhile files, cat, keys and open work\n" +
			"from another terminal: what they read is fetched first, and they say that EX-… is not complete.\n" +
			"--changed-since reads of a snapshot only what is not as it was in an older one of the same volume, and the\n" +
			"metadata of its file systems: all files can be listed, files --changed lists those that changed, and to read\n" +
			"what was left out is an error, never zeros. --versions takes every version of the objects of a bucket.\n" +
			"--format zst seals an image compressed: the digest is that of the bytes of the disk all the same, and\n" +
			"that of the file stands beside it in the manifest.",
		Example: "snapcase acquire case1 /evidence/disk.raw\nsnapcase acquire case1 /dev/nvme1n1 --as disk --label \"web-1 root\" --format zst\nsnapcase acquire case1 logs/ --as cloudtrail\nsnapcase acquire case1 snap-0123456789abcdef0 --region eu-west-1\nsnapcase acquire case1 snap-0123456789abcdef0 --lazy\nsnapcase acquire case1 snap-0fedcba9876543210 --changed-since snap-0123456789abcdef0\nsnapcase acquire case1 s3://trail-bucket/AWSLogs/ --profile audit\nsnapcase acquire case1 s3://trail-bucket --account 111122223333 --log-region eu-west-1 --from 2026-11-01\nsnapcase acquire case1 s3://trail-bucket/AWSLogs/ --versions",
		Args:    atLeast(2, "a case and at least one source"),
		RunE: func(c *cobra.Command, args []string) error {
			kind := evidence.Kind(as)
			if format != "raw" && format != "zst" {
				return usageError{fmt.Errorf("--format %q: want raw or zst", format)}
			}
			if as != "" && !slices.Contains(kinds, kind) {
				return usageError{fmt.Errorf("--as %q: want disk, memory, cloudtrail, flowlog, pcap, findings or file", as)}
			}
			if err := lazySources(lazy, noIndex, args[1:]); err != nil {
				return err
			}
			cs, err := e.write(c.Context(), args[0])
			if err != nil {
				return err
			}
			var hashes []string
			if hash != "" {
				hashes = strings.Split(hash, ",")
			}
			err = e.acquireAll(c.Context(), cs, &from, args[1:], store.AcquireRequest{Kind: kind, Label: label, Hashes: hashes, NoIndex: noIndex, Raw: raw, Format: format, Lazy: lazy})
			return errors.Join(err, cs.Close())
		},
	}
	c.Flags().StringVar(&as, "as", "", "disk, memory, cloudtrail, flowlog, pcap, findings or file (detected when absent)")
	c.Flags().StringVar(&label, "label", "", "what the exhibit is called")
	c.Flags().StringVar(&hash, "hash", "sha256", "hashes of the image: sha256, and md5, sha1, blake3 beside it")
	c.Flags().BoolVar(&raw, "raw", false, "take the bytes of an image container (E01, qcow2, VMDK, VHD, LiME, AVML) as they are, not the disk or memory in it")
	c.Flags().StringVar(&format, "format", "raw", "the sealed copy of an image: raw, or zst (seekable zstd, image.raw.zst: zstd -d gives image.raw)")
	from.flags(c)
	c.Flags().BoolVar(&lazy, "lazy", false, "list the files of a snapshot first, to be read while its image is acquired")
	c.Flags().StringVar(&from.since, "changed-since", "", "of a snapshot: acquire only the blocks that changed since this older snapshot of the same volume, and those that the file tree needs; the rest is not-acquired in map.jsonl, and the exhibit partial (exit 4)")
	c.Flags().BoolVar(&from.versions, "versions", false, "of a bucket: every version of every object, older ones too; delete markers are counted and listed in objects.jsonl")
	c.Flags().StringSliceVar(&from.accounts, "account", nil, "of a bucket: only logs of these accounts (AWSLogs/ACCOUNT/SERVICE/REGION/YEAR/MONTH/DAY/)")
	c.Flags().StringSliceVar(&from.regions, "log-region", nil, "of a bucket: only logs of these regions; --region is that of the bucket")
	c.Flags().StringVar(&from.from, "from", "", "of a bucket: only logs of this day and later")
	c.Flags().StringVar(&from.to, "to", "", "of a bucket: only logs up to this time, by whole days, and of the two hours after it")
	c.Flags().BoolVar(&noIndex, "no-index", false, "do not index yet")
	return c
}

func (e *edge) acquireAll(ctx context.Context, cs *store.Case, from *account, sources []string, r store.AcquireRequest) error {
	var gap error
	var done []string
	r.Hold = true // all of them: what is sealed when a later one is interrupted is not acquired again
	for _, s := range sources {
		r.Source, r.Remote, r.Objects, r.Origin = s, nil, nil, nil
		release, err := e.fromAWS(ctx, from, &r)
		if err != nil {
			return err
		}
		p, end := e.progress()
		if r.Lazy {
			r.Browse = func(exhibit string, err error) { e.browse(cs, exhibit, err) }
		}
		a, err := cs.Acquire(ctx, r, p)
		end()
		release()
		if a.Exhibit != "" && !a.Ended.Set {
			return err
		}
		if err != nil && !errors.Is(err, evidence.ErrGaps) {
			return err
		}
		if slices.Contains(done, a.Exhibit) {
			e.say("%s is given twice: it is one exhibit, %s", s, a.Exhibit)
			continue
		}
		done = append(done, a.Exhibit)
		if a.Again {
			e.say("%s was sealed by a run of this command that was interrupted: the source was not read again", a.Exhibit)
		}
		if err := e.acquired(cs, a); err != nil {
			return err
		}
		if err != nil {
			if gap = e.gaps(ctx, cs, a.Exhibit); gap == nil {
				gap = evidence.ErrGaps
			}
		}
	}
	return errors.Join(gap, cs.Acquired(done...))
}

// lazySources refuses --lazy for what is not read in place.
func lazySources(lazy, noIndex bool, sources []string) error {
	if !lazy {
		return nil
	}
	if noIndex {
		return usageError{errors.New("--lazy lists the files and --no-index does not: leave one out")}
	}
	for _, s := range sources {
		if !aws.IsSnapshot(s) {
			return evidence.WithHint(usageError{fmt.Errorf("--lazy: %s is no snapshot", s)}, "only snap-… is read in place: leave out --lazy")
		}
	}
	return nil
}

// browse says that the files of an exhibit can be read before it is acquired.
func (e *edge) browse(cs *store.Case, exhibit string, err error) {
	if err != nil && !errors.Is(err, evidence.ErrGaps) {
		e.say("warning: %s: its files cannot be listed before it is acquired: %v", exhibit, err)
		return
	}
	e.say("%s: its files are listed and can be read; it is not complete and has no digest yet: snapcase open %s, or snapcase files %s --exhibit %s", exhibit, cs.Folder(), cs.Folder(), exhibit)
}

func (e *edge) acquired(cs *store.Case, a evidence.Acquisition) error {
	sum, err := cs.OwnDigest(a)
	if err != nil {
		return err
	}
	if a.ReadErrors == nil {
		a.ReadErrors = []evidence.ReadError{}
	}
	var versions, markers int64
	if o := a.Origin; o != nil {
		versions, markers = o.Versions, o.DeleteMarkers
		for _, n := range o.Notes {
			if strings.HasPrefix(n, "cloudtrail:") {
				e.say("warning: %s: %s", a.Exhibit, n)
			}
		}
	}
	if e.json {
		return emit(e.stdout, struct {
			Exhibit     string               `json:"exhibit"`
			Kind        evidence.Kind        `json:"kind"`
			Source      string               `json:"source"`
			Bytes       int64                `json:"bytes"`
			SHA256      evidence.Digest      `json:"sha256"`
			Hashes      map[string]string    `json:"hashes,omitempty"`
			ReadErrors  []evidence.ReadError `json:"read_errors"`
			ResumedFrom int64                `json:"resumed_from"`
			Files       int64                `json:"files"`
			Packed      *evidence.Packed     `json:"packed,omitempty"`
			NotAcquired int64                `json:"not_acquired_bytes,omitempty"`
			Versions    int64                `json:"versions,omitempty"`
			Markers     int64                `json:"delete_markers,omitempty"`
			Again       bool                 `json:"sealed_before,omitempty"`
		}{a.Exhibit, a.Kind, a.Source, a.Bytes, sum, a.Hashes, a.ReadErrors, a.ResumedFrom, a.Files, a.Packed, a.NotAcquired, versions, markers, a.Again})
	}
	w := e.out()
	row(w, a.Exhibit, string(a.Kind), size(a.Bytes), "sha256 "+sum.String(), a.Source)
	if p := a.Packed; p != nil {
		row(w, "", "packed", size(p.Bytes), "sha256 "+p.SHA256.String(), p.File)
	}
	if versions+markers > 0 {
		row(w, "", fmt.Sprintf("%d versions and %d delete markers: objects.jsonl has each", versions, markers))
	}
	if a.NotAcquired > 0 {
		row(w, "", "not acquired", fmt.Sprintf("%d of %d bytes: map.jsonl says which", a.NotAcquired, a.Bytes))
	}
	for _, r := range a.ReadErrors {
		row(w, "", "unreadable", fmt.Sprintf("offset %d", r.Offset), fmt.Sprintf("%d bytes", r.Length), r.Error)
	}
	return w.Flush()
}

func indexCommand(e *edge) *cobra.Command {
	var o store.IndexOptions
	c := &cobra.Command{
		Use:     "index CASE",
		Short:   "Derive index.db from the exhibits and the ledger",
		Long:    "index reads the exhibits and derives index.db, which every question asks. It can be deleted and made again at any time: nothing is lost.",
		Example: "snapcase index case1\nsnapcase index case1 --rebuild",
		Args:    exactly(1, "one case"),
		RunE: func(c *cobra.Command, args []string) error {
			cs, err := e.write(c.Context(), args[0])
			if err != nil {
				return err
			}
			p, end := e.progress()
			err = cs.Index(c.Context(), o, p)
			end()
			if err == nil || errors.Is(err, evidence.ErrGaps) {
				if g := e.gaps(c.Context(), cs, o.Exhibit); g != nil {
					err = g
				}
				err = errors.Join(err, e.indexed(c.Context(), cs, o.Exhibit))
			}
			return errors.Join(err, cs.Close())
		},
	}
	c.Flags().StringVar(&o.Exhibit, "exhibit", "", "only this exhibit")
	c.Flags().BoolVar(&o.Rebuild, "rebuild", false, "derive again what is there already")
	return c
}

// indexed prints, as JSON, what is in the index: a line an exhibit.
func (e *edge) indexed(ctx context.Context, cs *store.Case, exhibit string) error {
	if !e.json {
		return nil
	}
	all, err := cs.Stats(ctx)
	if err != nil {
		return err
	}
	w := e.out()
	for _, s := range all {
		if exhibit != "" && s.Exhibit != exhibit {
			continue
		}
		entries := int64(0)
		for _, v := range s.Volumes {
			entries += v.Entries
		}
		if err := emit(w, map[string]any{"exhibit": s.Exhibit, "kind": s.Kind, "indexed": s.Indexed, "files": s.Files, "records": s.Records, "bad_records": s.BadRecords, "volumes": len(s.Volumes), "entries": entries}); err != nil {
			return err
		}
	}
	return w.Flush()
}
