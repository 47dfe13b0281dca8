package aws

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"snapcase/evidence"
)

// mostTrails bounds how many trails are asked about: anybody who may write to a
// bucket can make up names.
const mostTrails = 200

// digestName is the name of a digest: account, region, trail, the trail's home.
var digestName = regexp.MustCompile(`^([0-9]{12})_CloudTrail-Digest_([a-z0-9-]+)_([A-Za-z0-9._-]{1,128})_([a-z0-9-]+)_[0-9]{8}T[0-9]{6}Z(?:_backfill)?\.json\.gz$`)

// trailID is a trail as one region has it.
type trailID struct{ account, region, name, home string }

// trailsOf are the trails whose digests are in a list, sorted; those of an
// organisation are left out: their account is not in the names.
func trailsOf(list []evidence.Object) []trailID {
	known := map[trailID]bool{}
	for i := range list {
		m := digestName.FindStringSubmatch(path.Base(list[i].Key))
		if m == nil || !regionName.MatchString(m[2]) || !regionName.MatchString(m[4]) || strings.Contains(list[i].Key, "AWSLogs/o-") {
			continue
		}
		known[trailID{m[1], m[2], m[3], m[4]}] = true
	}
	all := make([]trailID, 0, len(known))
	for t := range known {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b trailID) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return all
}

// trailStatus asks GetTrailStatus of each trail of the caller's account, in each
// region: when its last digest was delivered shows whether the newest ones were
// taken away. An answer is kept below ACCOUNT/REGION/TRAIL, which it does not say
// itself.
func (b *Bucket) trailStatus(ctx context.Context, list []evidence.Object) ([]evidence.Companion, error) {
	var all []evidence.Companion
	trails := trailsOf(list)
	if len(trails) > mostTrails {
		b.origin.Notes = append(b.origin.Notes, fmt.Sprintf("cloudtrail:GetTrailStatus was asked of %d of %d trails", mostTrails, len(trails)))
		trails = trails[:mostTrails]
	}
	partition := "aws"
	if parts := strings.Split(b.origin.Caller, ":"); len(parts) > 1 && parts[1] != "" {
		partition = parts[1]
	}
	for _, t := range trails {
		name := strings.Join([]string{t.account, t.region, t.name}, "/")
		if t.account != b.origin.CallerAccount {
			b.origin.Notes = append(b.origin.Notes, fmt.Sprintf("cloudtrail:GetTrailStatus was not asked of %s, which is of another account", name))
			continue
		}
		a := *b.account
		a.Region, a.config = t.region, b.account.config.Copy()
		a.config.Region = t.region
		arn := fmt.Sprintf("arn:%s:cloudtrail:%s:%s:trail/%s", partition, t.home, t.account, t.name)
		pages, err := a.Calls(CallOptions{Attempts: 3}).Read(ctx, evidence.CloudCall{Service: "cloudtrail", Action: "GetTrailStatus", Params: map[string]any{"Name": arn}})
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err != nil || len(pages) != 1 {
			b.origin.Notes = append(b.origin.Notes, fmt.Sprintf("cloudtrail:GetTrailStatus of %s: %v", name, err))
			continue
		}
		all = append(all, evidence.Companion{
			Name: "cloudtrail-trail-status/" + name + "/trail-status.json", Request: pages[0].RequestID,
			Data: fmt.Appendf(nil, "{%q:%s}\n", name, pages[0].Raw), What: "cloudtrail:GetTrailStatus " + t.region + " " + arn,
		})
	}
	return all, nil
}
