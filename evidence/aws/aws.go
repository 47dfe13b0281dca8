// Package aws reads evidence out of an AWS account: EBS snapshots through the
// EBS direct API, and objects of S3. It is the only package that imports the
// AWS SDK; the rest of the program sees plain values and imaging.Source.
//
// # Snapshots
//
// Account.Snapshot lists the blocks of a snapshot and gives an imaging.Source
// of the volume. A block of 512 KiB is one GetSnapshotBlock; its length, its
// algorithm and the SHA-256 of its body are checked against the answer's
// headers (the SDK does not do that), and what does not hold is read again.
// Blocks that the service does not list were never written and are zeros.
//
//	list    ListSnapshotBlocks, 10,000 a page, until there is no token;
//	        an empty page with a token is no end; indexes ascend
//	keep    one bit a block (32 MiB at most), and the newest block tokens
//	read    GetSnapshotBlock with the token; where tokens were dropped or have
//	        expired, the same part is listed again and must name the same blocks
//
// Worked example: snap-0123456789abcdef0 has a volume of 8 GiB and lists the
// blocks 0, 1 and 9000. ReadAt(p, 524288*9000) is one request; ReadAt(p,
// 1048576) is none and gives zeros; NextData(1048576) is 4718592000, 4719116288.
//
// # Rate and retries
//
// One token bucket a snapshot, 900 requests a second at first; × 0.7 when the
// service throttles, + 20 for each second without, between 20 and 950 (the
// service allows 1000 a snapshot). A request is tried 8 times, with exponential
// waits of full jitter up to 20 seconds; the SDK's own retries are off here.
//
// # What a failure means
//
// A block that cannot be had while others can is an *imaging.RangeError: its
// range is lost, reading goes on. What hits the whole snapshot (permissions, a
// deleted snapshot, expired credentials, a service out of reach) is imaging.ErrGone:
// reading stops, nothing is recorded as unreadable, and the same command resumes.
//
// What it does not do: change anything in the account, read public or archived
// snapshots, or keep credentials.
package aws

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"snapcase/evidence"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
)

// Options say how to reach an account. Empty values come from the usual AWS
// variables and files.
type Options struct {
	Region  string
	Profile string
	// Now is the clock. Sleep waits; nil is for real.
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
	// Progress hears of long listings; it may be nil.
	Progress evidence.Progress
}

// Account is the door to one account in one region. It is safe for concurrent
// use.
type Account struct {
	// Region is the one that all calls go to.
	Region string

	config   sdk.Config
	now      func() time.Time
	sleep    func(context.Context, time.Duration) error
	random   func() float64 // [0,1)
	progress evidence.Progress
	custom   bool // an endpoint of the user's own is set
}

// Open finds credentials and the region. It makes no call to the account
// itself; credentials are asked for at the first.
func Open(ctx context.Context, o Options) (*Account, error) {
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 4*workers, 2*workers
		t.WriteBufferSize, t.ReadBufferSize = 16<<10, 64<<10
	})
	set := []func(*config.LoadOptions) error{
		config.WithHTTPClient(client),
		config.WithLogger(logging.Nop{}), // what matters is in errors
		config.WithRetryer(func() sdk.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.RateLimiter = 10, noQuota{} })
		}),
	}
	if o.Region != "" {
		set = append(set, config.WithRegion(o.Region))
	}
	if o.Profile != "" {
		set = append(set, config.WithSharedConfigProfile(o.Profile))
	}
	c, err := config.LoadDefaultConfig(ctx, set...)
	if err != nil {
		return nil, evidence.WithHint(fmt.Errorf("open AWS: %w", err), "check --profile, AWS_PROFILE and ~/.aws/config")
	}
	if c.Region == "" {
		return nil, evidence.WithHint(fmt.Errorf("open AWS: no region is known: %w", evidence.ErrUsage), "give --region, or set AWS_REGION")
	}
	a := &Account{Region: c.Region, config: c, now: o.Now, sleep: o.Sleep, random: rand.Float64, progress: o.Progress, custom: os.Getenv("AWS_ENDPOINT_URL") != ""}
	if a.now == nil {
		return nil, fmt.Errorf("open AWS: a clock is needed: %w", evidence.ErrUsage)
	}
	if a.sleep == nil {
		a.sleep = sleep
	}
	return a, nil
}

// noQuota takes away the SDK's client-wide quota of retries, which a burst of
// refusals empties.
type noQuota struct{}

func (noQuota) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}
func (noQuota) AddTokens(uint) error { return nil }

// Caller is who the credentials are.
type Caller struct {
	Account string
	ARN     string
	UserID  string
}

// Caller asks STS who the credentials are.
func (a *Account) Caller(ctx context.Context) (Caller, error) {
	out, err := sts.NewFromConfig(a.config).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return Caller{}, a.explain("ask whose the credentials are", err)
	}
	return Caller{Account: sdk.ToString(out.Account), ARN: sdk.ToString(out.Arn), UserID: sdk.ToString(out.UserId)}, nil
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// done says whether err is only the end of ctx.
func done(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, ctx.Err()) || evidence.Canceled(err))
}
