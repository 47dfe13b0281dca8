package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"snapcase/evidence"
)

// keysAround is how much longer than the logs, at either end, the period is for
// which public keys are asked: a digest is signed after the hour that it covers.
const keysAround = 2 * time.Hour

// period is the first and the last day of which a region has logs.
type period struct{ from, to time.Time }

// Companions asks CloudTrail for the public keys of each region that its logs
// and digests in a list come from, for the days of the list and two hours around
// them: with them the digests can be checked without the account. It asks too when
// the last digest of each trail was delivered. Each page is a file of its own, as
// it came. What may not be asked is a note of Origin.
func (b *Bucket) Companions(ctx context.Context, list []evidence.Object) ([]evidence.Companion, error) {
	regions := map[string]period{}
	for i := range list {
		p := placeOf(list[i].Key)
		if !p.whole || p.odd || p.service != "CloudTrail" && p.service != "CloudTrail-Digest" {
			continue
		}
		was, ok := regions[p.region]
		if !ok || p.day.Before(was.from) {
			was.from = p.day
		}
		if !ok || p.day.After(was.to) {
			was.to = p.day
		}
		regions[p.region] = was
	}
	names := make([]string, 0, len(regions))
	for r := range regions {
		names = append(names, r)
	}
	slices.Sort(names)
	var all []evidence.Companion
	for _, r := range names {
		got, err := b.publicKeys(ctx, r, regions[r])
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err != nil {
			b.origin.Notes = append(b.origin.Notes, fmt.Sprintf("cloudtrail:ListPublicKeys in %s: %v: digests of that region cannot be checked with this exhibit alone", r, err))
			continue
		}
		all = append(all, got...)
	}
	status, err := b.trailStatus(ctx, list)
	return append(all, status...), err
}

func (b *Bucket) publicKeys(ctx context.Context, region string, p period) ([]evidence.Companion, error) {
	a := *b.account
	a.Region, a.config = region, b.account.config.Copy()
	a.config.Region = region
	from, to := p.from.Add(-keysAround), p.to.Add(24*time.Hour+keysAround)
	pages, err := a.Calls(CallOptions{Attempts: 5, Backoff: 5 * time.Second}).Read(ctx, evidence.CloudCall{Service: "cloudtrail", Action: "ListPublicKeys", Params: map[string]any{"StartTime": from.Format(time.RFC3339), "EndTime": to.Format(time.RFC3339)}})
	if err != nil {
		return nil, err
	}
	var all []evidence.Companion
	for i := range pages {
		name := "cloudtrail-public-keys/" + region + "/"
		if i > 0 {
			name += fmt.Sprintf("%d/", i+1)
		}
		all = append(all, evidence.Companion{
			Name: name + "public-keys.json", Data: pages[i].Raw, Request: pages[i].RequestID,
			What: strings.Join([]string{"cloudtrail:ListPublicKeys", region, from.Format(time.RFC3339), to.Format(time.RFC3339)}, " "),
		})
	}
	return all, nil
}
