package aws

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"snapcase/evidence"
	"snapcase/imaging"
)

const (
	// lookupApart is between two calls in a region: the service allows two a second
	// and says no to the third, for everybody in the account.
	lookupApart = 500 * time.Millisecond
	lookupPage  = 50 // events of an answer, the most there are
	// lookupDays is how far back the service knows events.
	lookupDays = 90 * 24 * time.Hour
)

// LookupAttributes are the attributes of LookupEvents.
var LookupAttributes = []string{"EventId", "EventName", "ReadOnly", "Username", "ResourceType", "ResourceName", "EventSource", "AccessKeyId"}

// LookupOptions say what LookupEvents is asked.
type LookupOptions struct {
	Attribute, Value string    // one of LookupAttributes
	From, To         time.Time // zero: the last 90 days
	Regions          []string  // none: each that is enabled
	// Spool is a folder in which answers lie until they are acquired: a run that
	// was interrupted goes on with the regions that it did not finish.
	Spool string
}

// Lookup is the answers of LookupEvents, page by page as they came: a source of
// files for an acquisition. The service answers with management events of the
// last 90 days, of one region a call.
type Lookup struct {
	o       LookupOptions
	account *Account
	origin  evidence.Origin

	mu    sync.Mutex
	list  []evidence.Object
	asked bool
	calls int64
}

// lookupParams is what a spool was begun with.
type lookupParams struct {
	Attribute, Value string
	From, To         time.Time
	Regions          []string
}

// Lookup prepares a question. Nothing is asked of CloudTrail yet.
func (a *Account) Lookup(ctx context.Context, o LookupOptions) (*Lookup, error) {
	if !slices.Contains(LookupAttributes, o.Attribute) || o.Value == "" || len(o.Value) > 2000 {
		return nil, fmt.Errorf("LookupEvents by %q %q: %w", o.Attribute, o.Value, evidence.ErrUsage)
	}
	l := &Lookup{o: o, account: a, origin: evidence.Origin{Service: "cloudtrail", Region: a.Region}}
	if err := l.begin(ctx); err != nil {
		return nil, fmt.Errorf("look up events: %w", err)
	}
	if now := a.now(); l.o.From.Before(now.Add(-lookupDays - time.Hour)) {
		l.origin.Notes = append(l.origin.Notes, "LookupEvents knows the last 90 days: it says nothing of the time before "+now.Add(-lookupDays).UTC().Format(time.RFC3339))
	}
	l.origin.Notes = append(l.origin.Notes, "LookupEvents has no data events, and what it has is not covered by digests")
	l.origin.Selected = fmt.Sprintf("%s %s; regions %s; from %s; to %s", l.o.Attribute, l.o.Value, strings.Join(l.o.Regions, ", "), l.o.From.Format(time.RFC3339), l.o.To.Format(time.RFC3339))
	if caller, err := a.Caller(ctx); err == nil {
		l.origin.Caller, l.origin.CallerAccount = caller.ARN, caller.Account
	}
	return l, ctx.Err()
}

// begin takes up the question of a run that was interrupted, or makes a new one.
func (l *Lookup) begin(ctx context.Context) error {
	path := filepath.Join(l.o.Spool, "params.json")
	b, err := os.ReadFile(path)
	if err == nil {
		var p lookupParams
		if err := json.Unmarshal(b, &p); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if p.Attribute != l.o.Attribute || p.Value != l.o.Value {
			return fmt.Errorf("%s is of another question", path)
		}
		l.o.From, l.o.To, l.o.Regions = p.From, p.To, p.Regions
		return nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	now := l.account.now().UTC().Truncate(time.Second)
	if l.o.To.IsZero() {
		l.o.To = now
	}
	if l.o.From.IsZero() {
		l.o.From = now.Add(-lookupDays)
	}
	if len(l.o.Regions) == 0 {
		if l.o.Regions, err = l.account.regions(ctx); err != nil {
			return err
		}
	}
	if b, err = json.Marshal(lookupParams{l.o.Attribute, l.o.Value, l.o.From, l.o.To, l.o.Regions}); err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(l.o.Spool, 0o700), putFile(path, b))
}

// regions are the enabled regions of the account.
func (a *Account) regions(ctx context.Context) ([]string, error) {
	pages, err := a.Calls(CallOptions{}).Read(ctx, evidence.CloudCall{Service: "ec2", Action: "DescribeRegions"})
	if err != nil {
		return nil, evidence.WithHint(err, "name the regions with --log-region")
	}
	var all []string
	for i := range pages {
		var answer struct{ Regions []struct{ RegionName string } }
		if err := json.Unmarshal(pages[i].Body, &answer); err != nil {
			return nil, fmt.Errorf("ec2:DescribeRegions: %w", err)
		}
		for _, r := range answer.Regions {
			if !regionName.MatchString(r.RegionName) {
				return nil, fmt.Errorf("ec2:DescribeRegions: %q is no name of a region", r.RegionName)
			}
			all = append(all, r.RegionName)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// How says how this is acquired, for the record of it.
func (l *Lookup) How() (api, method string) {
	return "cloudtrail", "LookupEvents in each region, every page of the answer as it came, SHA-256; nothing was left out of the answers"
}

// Origin says where the answers come from.
func (l *Lookup) Origin() evidence.Origin {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.origin
	o.Notes, o.Reads = slices.Clone(o.Notes), l.calls
	return o
}

// List asks every region, several at once, and gives the pages of the answers. A
// region that refuses gives its refusal in place of pages, which no reader of logs
// takes for an event: it is a gap. Later calls give the same list.
func (l *Lookup) List(ctx context.Context) ([]evidence.Object, error) {
	if l.asked {
		return l.list, nil
	}
	lists, errs := make([][]evidence.Object, len(l.o.Regions)), make([]error, len(l.o.Regions))
	var all sync.WaitGroup
	for i, region := range l.o.Regions {
		all.Go(func() { lists[i], errs[i] = l.region(ctx, region) })
	}
	all.Wait()
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return nil, fmt.Errorf("look up events: %w", err)
	}
	l.list, l.asked = slices.Concat(lists...), true
	slices.SortFunc(l.list, func(a, b evidence.Object) int { return strings.Compare(a.Key, b.Key) })
	return l.list, nil
}

// region gives the pages of one region, from the spool where they are there.
func (l *Lookup) region(ctx context.Context, region string) ([]evidence.Object, error) {
	done := filepath.Join(l.o.Spool, region+".done.json")
	if b, err := os.ReadFile(done); err == nil {
		var list []evidence.Object
		return list, json.Unmarshal(b, &list)
	}
	if err := os.MkdirAll(filepath.Join(l.o.Spool, region), 0o700); err != nil {
		return nil, err
	}
	list, err := l.pages(ctx, region)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", region, err)
	}
	b, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	return list, putFile(done, b)
}

func (l *Lookup) pages(ctx context.Context, region string) ([]evidence.Object, error) {
	a := *l.account
	a.Region, a.config = region, l.account.config.Copy()
	a.config.Region = region
	calls := a.Calls(CallOptions{Attempts: 5})
	params := map[string]any{
		"LookupAttributes": []any{map[string]any{"AttributeKey": l.o.Attribute, "AttributeValue": l.o.Value}},
		"StartTime":        l.o.From.Format(time.RFC3339), "EndTime": l.o.To.Format(time.RFC3339), "MaxResults": lookupPage,
	}
	asked, err := json.Marshal(params)
	if err != nil {
		return nil, err
	}
	var list []evidence.Object
	last := ""
	for n := 1; n <= maxPages; n++ {
		if err := a.sleep(ctx, lookupApart); err != nil {
			return nil, err
		}
		answer, err := calls.do(ctx, calls.reads["cloudtrail:LookupEvents"], "cloudtrail:LookupEvents", params)
		var cloud *evidence.CloudError
		if errors.As(err, &cloud) && cloud.Kind == evidence.CloudDenied {
			o, err := l.refusal(region, string(asked), cloud)
			return append(list, o), err
		}
		if err != nil {
			return nil, err
		}
		o, err := l.page(fmt.Sprintf("%s/%06d.json", region, n), answer.Raw)
		if err != nil {
			return nil, err
		}
		o.Request, o.Modified = answer.RequestID, imaging.TimeOf(answer.Time)
		o.Asked = fmt.Sprintf("cloudtrail:LookupEvents %s page %d %s", region, n, asked)
		list = append(list, o)
		l.mu.Lock()
		l.calls++
		l.account.progress.Report(evidence.Step{What: "look up events", Done: l.calls, Unit: "pages"})
		l.mu.Unlock()
		more, token := next(answer.Body, params)
		switch {
		case !more:
			return list, nil
		case token == last:
			return nil, errors.New("cloudtrail:LookupEvents: the service gives the same page again and again")
		}
		last = token
	}
	return nil, fmt.Errorf("cloudtrail:LookupEvents: more than %d pages", maxPages)
}

// refusal keeps what a region answered in place of events.
func (l *Lookup) refusal(region, asked string, e *evidence.CloudError) (evidence.Object, error) {
	b, err := json.Marshal(map[string]string{"refused": e.Call, "code": e.Code, "message": e.Message, "request": e.RequestID})
	if err != nil {
		return evidence.Object{}, err
	}
	o, err := l.page(region+"/refused.json", b)
	o.Request, o.Asked = e.RequestID, "cloudtrail:LookupEvents "+region+" "+asked
	l.mu.Lock()
	l.origin.Notes = append(l.origin.Notes, fmt.Sprintf("%s refused: %v: nothing is known of this region", region, e))
	l.mu.Unlock()
	return o, err
}

// page puts an answer into the spool.
func (l *Lookup) page(name string, data []byte) (evidence.Object, error) {
	sum := sha256.Sum256(data)
	o := evidence.Object{Key: "lookup-events/" + name, Size: int64(len(data)), ETag: hex.EncodeToString(sum[:])}
	return o, putFile(filepath.Join(l.o.Spool, filepath.FromSlash(name)), data)
}

// putFile replaces a file of the spool, whole or not at all.
func putFile(path string, b []byte) error {
	if err := os.WriteFile(path+".tmp", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// Open gives a page out of the spool. What is not as it came is an error.
func (l *Lookup) Open(_ context.Context, o evidence.Object) (evidence.ObjectReader, error) {
	name := strings.TrimPrefix(o.Key, "lookup-events/")
	b, err := os.ReadFile(filepath.Join(l.o.Spool, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != o.ETag {
		return nil, fmt.Errorf("%s: it changed since it came: %w", name, evidence.ErrBroken)
	}
	return &spooled{bytes.NewReader(b), o}, nil
}

// Forget removes the spool: what it held is sealed.
func (l *Lookup) Forget() error { return os.RemoveAll(l.o.Spool) }

// Source names the question.
func (l *Lookup) Source() string {
	return fmt.Sprintf("cloudtrail:LookupEvents %s=%s", l.o.Attribute, l.o.Value)
}

// spooled is a page.
type spooled struct {
	*bytes.Reader
	object evidence.Object
}

// Close does nothing.
func (s *spooled) Close() error { return nil }

// Object is all that is known of it.
func (s *spooled) Object() evidence.Object { return s.object }
