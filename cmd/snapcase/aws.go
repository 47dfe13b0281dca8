package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"snapcase/evidence"
	"snapcase/evidence/acquire"
	"snapcase/evidence/aws"
	"snapcase/store"
)

// account is how the verbs that read from AWS reach it.
type account struct {
	region, profile string
	// since is the older snapshot, where only what changed is acquired.
	since string
	// Of the objects of a bucket: every version, and which logs of it.
	versions          bool
	accounts, regions []string
	from, to          string
}

func (a *account) flags(c *cobra.Command) {
	c.Flags().StringVar(&a.region, "region", "", "AWS region of a snapshot, volume or bucket (else AWS_REGION and the profile's)")
	c.Flags().StringVar(&a.profile, "profile", "", "AWS profile (else AWS_PROFILE)")
}

func (e *edge) account(ctx context.Context, a *account, p evidence.Progress) (*aws.Account, error) {
	return aws.Open(ctx, aws.Options{Region: a.region, Profile: a.profile, Now: e.now, Progress: p})
}

// fromAWS turns a source that is an id of AWS into what acquire reads; every
// other source stays as it is. release ends what was opened.
func (e *edge) fromAWS(ctx context.Context, a *account, r *store.AcquireRequest) (release func(), err error) {
	none := func() {}
	if a.since != "" && !aws.IsSnapshot(r.Source) {
		return none, usageError{fmt.Errorf("--changed-since is for a snapshot, and %q is none", r.Source)}
	}
	if a.onlyBucket() && !strings.HasPrefix(r.Source, "s3://") {
		return none, usageError{fmt.Errorf("--versions, --account, --log-region, --from and --to are for objects of a bucket (s3://…), and %q is none", r.Source)}
	}
	switch {
	case aws.IsSnapshot(r.Source):
		return e.snapshot(ctx, a, r)
	case acquire.IsVolume(r.Source):
		return none, e.volume(ctx, a, r)
	case strings.HasPrefix(r.Source, "s3://"):
		return none, e.bucket(ctx, a, r)
	}
	return none, nil
}

// snapshot opens a snapshot, and says what reading it costs.
func (e *edge) snapshot(ctx context.Context, a *account, r *store.AcquireRequest) (release func(), err error) {
	p, end := e.progress()
	defer end()
	door, err := e.account(ctx, a, p)
	if err != nil {
		return func() {}, err
	}
	s, err := door.Snapshot(ctx, r.Source)
	if err != nil {
		return func() {}, err
	}
	dollars, seconds := s.Price()
	price := fmt.Sprintf("about $%.2f", dollars)
	if dollars < 0.01 {
		price = "less than $0.01"
	}
	it := "it"
	if a.since != "" {
		it = "all of it"
	}
	e.say("%s: %s of data in a volume of %s; %s costs %s and takes %s at least", s.ID, size(s.DataBytes()), size(s.Size()), it, price, time.Duration(math.Ceil(seconds))*time.Second)
	release = func() { s.Close() } //nolint:errcheck,gosec // it only ends reads
	r.Remote = &acquire.Remote{ID: s.ID, Input: s, Block: s.BlockSize(), Readers: s.Workers(), Data: s.DataBytes(), Origin: s.Origin}
	if a.since == "" {
		return release, nil
	}
	c, err := s.ChangedSince(ctx, a.since)
	if err != nil {
		release()
		return func() {}, err
	}
	e.say("%s: %d blocks of %s changed since %s; of the others only what it takes to list the files is read", s.ID, c.Count(), size(int64(s.BlockSize())), a.since)
	r.Remote.Changed = &acquire.Changed{Since: a.since, Next: c.Next}
	return release, nil
}

// bucket looks at a prefix of a bucket.
func (e *edge) bucket(ctx context.Context, a *account, r *store.AcquireRequest) error {
	name, prefix, ok := aws.ParseBucket(r.Source)
	if !ok {
		return evidence.WithHint(fmt.Errorf("%q: %w", r.Source, evidence.ErrUsage), "a prefix looks like s3://bucket/AWSLogs/")
	}
	door, err := e.account(ctx, a, nil)
	if err != nil {
		return err
	}
	wanted, err := a.selection()
	if err != nil {
		return err
	}
	b, err := door.Bucket(ctx, name, prefix)
	if err != nil {
		return err
	}
	b.Versions, b.Select = a.versions, wanted
	r.Objects = &acquire.Objects{Store: b}
	return nil
}

// selection is which logs of a bucket are wanted.
func (a *account) selection() (s aws.Selection, err error) {
	s = aws.Selection{Accounts: a.accounts, Regions: a.regions}
	for _, t := range []struct {
		flag, value string
		to          *time.Time
	}{{"--from", a.from, &s.From}, {"--to", a.to, &s.To}} {
		if t.value == "" {
			continue
		}
		at, err := parseTime(t.flag, t.value)
		if err != nil {
			return s, err
		}
		*t.to = at.Std()
	}
	if err := s.Check(); err != nil {
		return s, usageError{err}
	}
	return s, nil
}

// onlyBucket says whether a flag is set that only a bucket has.
func (a *account) onlyBucket() bool {
	return a.versions || len(a.accounts)+len(a.regions) > 0 || a.from != "" || a.to != ""
}

// volume finds the device of an attached volume and makes it read-only. What
// EC2 says of the volume is asked for where that is allowed.
func (e *edge) volume(ctx context.Context, a *account, r *store.AcquireRequest) error {
	id := r.Source
	v := aws.Volume{Origin: evidence.Origin{Service: "ec2", Region: a.region, Volume: id}}
	door, err := e.account(ctx, a, nil)
	if err == nil {
		var known aws.Volume
		if known, err = door.Volume(ctx, id); err == nil {
			v = known
			if v.Instance != "" {
				v.Origin.Notes = append(v.Origin.Notes, fmt.Sprintf("EC2 says: attached to %s as %s", v.Instance, v.Asked))
			}
		}
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	if err != nil {
		v.Origin.Notes = append(v.Origin.Notes, "EC2 was not asked about the volume: "+err.Error())
	}
	at, err := acquire.Host{}.FindVolume(id, v.Asked)
	if err != nil {
		return err
	}
	if err := at.Protect(); err != nil {
		return fmt.Errorf("acquire %s: %w", id, err)
	}
	if err := at.HasSize(v.Size); err != nil {
		return err
	}
	if v.Origin.Snapshot != "" && door != nil {
		if err := e.spot(ctx, door, &at, v.Origin.Snapshot); err != nil {
			return err
		}
	}
	v.Origin.Device, v.Origin.Notes = at.Path, append(v.Origin.Notes, at.Notes...)
	for _, n := range v.Origin.Notes {
		e.say("%s: %s", id, n)
	}
	r.Source, r.Origin = at.Path, &v.Origin
	return nil
}

// spot compares some blocks of an attached volume with the snapshot that it was
// made of, where that may be read. What comes of it is a note.
func (e *edge) spot(ctx context.Context, door *aws.Account, at *acquire.Attached, id string) error {
	s, err := door.Snapshot(ctx, id)
	if err != nil {
		return at.Told(id, "", err)
	}
	defer s.Close() //nolint:errcheck // it only ends reads
	note, err := at.Compare(s, id)
	return at.Told(id, note, err)
}
