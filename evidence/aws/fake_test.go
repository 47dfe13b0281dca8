package aws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"snapcase/evidence/aws/awstest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// clock is a clock that only sleeping moves.
type clock struct {
	mu  sync.Mutex
	at  time.Time
	all time.Duration // slept
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d > 0 {
		c.at = c.at.Add(d)
		c.all += d
	}
	return ctx.Err()
}

// desk answers as much of ec2 and sts as reading a snapshot needs.
type desk struct {
	all awstest.Snapshots
	sts bool
}

func (d desk) Action(r *awstest.Request) (string, bool) { return r.Form.Get("Action"), false }

func (d desk) Fail(w http.ResponseWriter, _ *awstest.Request, e *awstest.Error) {
	w.WriteHeader(e.Status)
	if d.sts {
		fmt.Fprintf(w, "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>", e.Code, e.Message)
		return
	}
	fmt.Fprintf(w, "<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>r</RequestID></Response>", e.Code, e.Message)
}

func (d desk) Serve(w http.ResponseWriter, r *awstest.Request) error {
	if d.sts {
		fmt.Fprintf(w, "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::%s:user/examiner</Arn><UserId>AIDA</UserId><Account>%s</Account></GetCallerIdentityResult></GetCallerIdentityResponse>", r.Account, r.Account)
		return nil
	}
	s := d.all[r.Form.Get("SnapshotId.1")]
	if s == nil || s.Region != r.Region || s.Owner != r.Account && !slices.Contains(s.SharedWith, r.Account) {
		return &awstest.Error{Status: 400, Code: "InvalidSnapshot.NotFound", Message: "The snapshot does not exist."}
	}
	fmt.Fprintf(w, "<DescribeSnapshotsResponse><requestId>r</requestId><snapshotSet><item><snapshotId>%s</snapshotId><volumeId>%s</volumeId><status>%s</status><progress>%s</progress><ownerId>%s</ownerId><volumeSize>%d</volumeSize><encrypted>%t</encrypted><kmsKeyId>%s</kmsKeyId><startTime>2026-11-20T08:00:00.000Z</startTime></item></snapshotSet></DescribeSnapshotsResponse>",
		s.ID, s.VolumeID, s.State, s.Progress, s.Owner, s.GiB, s.KMSKey != "", s.KMSKey)
	return nil
}

const (
	testRegion   = "eu-west-1"
	testSnapshot = "snap-0123456789abcdef0"
)

// cloud is a fake account with one snapshot.
type cloud struct {
	*awstest.Server
	*clock
	ebs   *awstest.EBS
	snap  *awstest.Snapshot
	noise *awstest.Noise
}

// newCloud has a snapshot of so many GiB with these blocks.
func newCloud(t testing.TB, gib int64, listed []int32) *cloud {
	t.Helper()
	c := &cloud{clock: newClock(), noise: &awstest.Noise{Seed: 7, Size: gib << 30, Listed: listed}}
	c.snap = &awstest.Snapshot{ID: testSnapshot, VolumeID: "vol-0123456789abcdef0", Owner: "111122223333", Region: testRegion, State: "completed", Progress: "100%", GiB: gib, Data: c.noise, Listed: listed}
	all := awstest.Snapshots{testSnapshot: c.snap}
	c.ebs = awstest.NewEBS(all, c.now)
	c.Server = awstest.New(3, c.now, map[string]awstest.Service{"ebs": c.ebs, "ec2": desk{all: all}, "sts": desk{sts: true}})
	t.Cleanup(c.Close)
	for k, v := range map[string]string{
		"AWS_ENDPOINT_URL": c.URL, "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		if set, ok := t.(interface{ Setenv(key, value string) }); ok {
			set.Setenv(k, v)
		}
	}
	return c
}

func (c *cloud) account(t testing.TB) *Account {
	t.Helper()
	a, err := Open(t.Context(), Options{Region: testRegion, Now: c.now, Sleep: c.sleep})
	must(t, err)
	return a
}

func (c *cloud) open(t testing.TB) *Snapshot {
	t.Helper()
	s, err := c.account(t).Snapshot(t.Context(), testSnapshot)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// span is the indexes from lo up to hi.
func span(lo, hi int32) (all []int32) {
	for i := lo; i < hi; i++ {
		all = append(all, i)
	}
	return all
}

func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}
