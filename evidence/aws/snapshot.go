package aws

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"sync/atomic"

	"snapcase/evidence"
	"snapcase/imaging"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// What a block and a thousand requests cost, in US dollars.
const (
	priceOfBlocks = 0.003 / 1000
	priceOfLists  = 0.0006 / 1000
)

var snapshotID = regexp.MustCompile(`^snap-([0-9a-f]{8}|[0-9a-f]{17})$`)

// IsSnapshot says whether s is the id of a snapshot.
func IsSnapshot(s string) bool { return snapshotID.MatchString(s) }

// Snapshot is the volume in an EBS snapshot, as an imaging.Source: ReadAt is
// safe for concurrent use, and each block that it gives has its checksum.
// Close ends what is under way.
type Snapshot struct {
	// ID is the snapshot's.
	ID string

	account *Account
	client  *ebs.Client
	ctx     context.Context //nolint:containedctx // of all reads: io.ReaderAt has none
	stop    context.CancelFunc
	size    int64
	block   int64 // bytes
	listed  *imaging.Bitmap
	tokens  *tokens
	bucket  *bucket
	lists   *bucket
	cache   *cache
	slots   chan struct{} // as many requests at once
	urgent  chan struct{} // and as many that somebody waits for

	origin  evidence.Origin
	mu      sync.Mutex // of origin.Requests
	reads   atomic.Int64
	retried atomic.Int64
	listing atomic.Int64
	good    atomic.Int64 // blocks that were had
	failed  atomic.Pointer[error]
}

// Snapshot describes the snapshot and lists its blocks. What keeps it from being
// read is an error with a hint.
func (a *Account) Snapshot(ctx context.Context, id string) (*Snapshot, error) {
	if !IsSnapshot(id) {
		return nil, evidence.WithHint(fmt.Errorf("snapshot %q: %w", id, evidence.ErrUsage), "a snapshot's id is snap- and 17 hexadecimal digits")
	}
	s := &Snapshot{
		ID: id, account: a, bucket: newBucket(a, rateStart), lists: newBucket(a, rateLists), slots: make(chan struct{}, workers), urgent: make(chan struct{}, workers),
		client: ebs.NewFromConfig(a.config, func(o *ebs.Options) { o.Retryer = sdk.NopRetryer{} }),
		origin: evidence.Origin{Service: "ebs", Region: a.Region, Snapshot: id},
	}
	s.ctx, s.stop = context.WithCancel(ctx)
	err := s.describe(s.ctx)
	if err == nil {
		err = s.list(s.ctx)
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// Close ends all reads.
func (s *Snapshot) Close() error {
	s.stop()
	return nil
}

// Err is why the snapshot could not be read on, where that was so: readers of
// file systems take it for damage.
func (s *Snapshot) Err() error {
	if e := s.failed.Load(); e != nil {
		return *e
	}
	return nil
}

// Size is the volume's length in bytes.
func (s *Snapshot) Size() int64 { return s.size }

// BlockSize is the length of a block in bytes.
func (s *Snapshot) BlockSize() int { return int(s.block) }

// Workers is how many reads make sense at once.
func (s *Snapshot) Workers() int { return workers }

// DataBytes is the length of all blocks that were ever written.
func (s *Snapshot) DataBytes() int64 { return s.listed.Count() * s.block }

// NextData gives the first range at or behind off that the service has blocks
// for; start is Size where there is none.
func (s *Snapshot) NextData(off int64) (start, end int64) {
	from := s.listed.Next(off/s.block, true)
	to := s.listed.Next(from, false)
	return min(s.size, max(off, from*s.block)), min(s.size, to*s.block)
}

// Price is what reading everything costs in US dollars, at the prices of 2023,
// and how long it takes at least, in seconds.
func (s *Snapshot) Price() (dollars, seconds float64) {
	n := float64(s.listed.Count())
	return n*priceOfBlocks + 2*float64(s.listing.Load())*priceOfLists, n / rateMost
}

// Origin says where the bytes come from, with the figures so far.
func (s *Snapshot) Origin() evidence.Origin {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.origin
	o.Requests = append([]string(nil), o.Requests...)
	o.Lists, o.Reads, o.Retries = s.listing.Load(), s.reads.Load(), s.retried.Load()
	return o
}

// mostRequests bounds the request ids that are kept: the first ones.
const mostRequests = 64

// describe asks EC2 what the snapshot is. Who may read blocks need not be
// allowed to ask that: then what is not known stays empty.
func (s *Snapshot) describe(ctx context.Context) error {
	doing := "look up " + s.ID
	if caller, err := s.account.Caller(ctx); err == nil {
		s.origin.Caller, s.origin.CallerAccount = caller.ARN, caller.Account
	} else if r := refused(err); r.expired() || r.unknownKey() || r.status == 0 || evidence.Canceled(err) {
		return err
	}
	out, err := ec2.NewFromConfig(s.account.config).DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{s.ID}})
	if err != nil {
		r := refused(err)
		switch {
		case r.code == "InvalidSnapshot.NotFound":
			return s.unknown(err)
		case r.denied() && !r.expired():
			s.origin.Notes = append(s.origin.Notes, "ec2:DescribeSnapshots is not allowed: volume, owner and key are not known")
			return nil
		}
		return s.account.explain(doing, err)
	}
	if id, ok := middleware.GetRequestIDMetadata(out.ResultMetadata); ok {
		s.keep("ec2:DescribeSnapshots", id)
	}
	if len(out.Snapshots) != 1 {
		return s.unknown(errors.New("no snapshot came back"))
	}
	return s.understand(&out.Snapshots[0])
}

func (s *Snapshot) unknown(err error) error {
	return evidence.WithHint(&gone{fmt.Sprintf("%s is not known in %s", s.ID, s.account.Region), err},
		"snapshots belong to one region: give the right one with --region; or the snapshot is another account's and not shared with this one")
}

// understand keeps what EC2 says of the snapshot, and refuses what cannot be read.
func (s *Snapshot) understand(d *types.Snapshot) error {
	o := &s.origin
	o.Volume, o.Owner, o.Description = sdk.ToString(d.VolumeId), sdk.ToString(d.OwnerId), sdk.ToString(d.Description)
	o.Encrypted, o.KMSKey = sdk.ToBool(d.Encrypted), sdk.ToString(d.KmsKeyId)
	if d.StartTime != nil {
		o.Taken = imaging.TimeOf(*d.StartTime)
	}
	what := fmt.Sprintf("%s in %s", s.ID, s.account.Region)
	switch d.State {
	case types.SnapshotStatePending:
		return evidence.WithHint(fmt.Errorf("%s is not complete yet: %s done", what, sdk.ToString(d.Progress)), "wait until it is complete (aws ec2 wait snapshot-completed --snapshot-ids %s), then run the same command again", s.ID)
	case types.SnapshotStateError:
		return evidence.WithHint(fmt.Errorf("%s has failed: %s", what, sdk.ToString(d.StateMessage)), "take another snapshot; if it is a copy, the reason is often a key that may not be used")
	case types.SnapshotStateRecoverable, types.SnapshotStateRecovering:
		return evidence.WithHint(fmt.Errorf("%s lies in the recycle bin", what), "restore it first (aws ec2 restore-snapshot-from-recycle-bin)")
	case types.SnapshotStateCompleted:
	}
	if d.StorageTier == types.StorageTierArchive {
		return evidence.WithHint(fmt.Errorf("%s lies in the archive tier", what), "restore it first (aws ec2 restore-snapshot-tier); that takes hours")
	}
	if sdk.ToString(d.OutpostArn) != "" {
		return evidence.WithHint(fmt.Errorf("%s lies on an Outpost", what), "copy it to the region first: the EBS direct API does not read it there")
	}
	return nil
}

func (s *Snapshot) keep(operation, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.origin.Requests) < mostRequests && id != "" {
		s.origin.Requests = append(s.origin.Requests, operation+" "+id)
	}
}
