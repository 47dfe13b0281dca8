package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/aws/awstest"
	"snapcase/imaging"
)

const lookedUp = "AKIAIOSFODNN7LOOKUP0"

// history has events of one key and of another in three regions.
func history(c *cloud) *awstest.EventHistory {
	h := &awstest.EventHistory{Now: c.now, Events: map[string][]awstest.TrailEvent{}, Denied: map[string]bool{}}
	for region, n := range map[string]int{"eu-west-1": 203, "us-east-1": 50, "ap-east-1": 0} {
		for i := range 2 * n {
			key := lookedUp
			if i%2 == 1 {
				key = "AKIAIOSFODNN7OTHER00"
			}
			at := c.now().Add(-time.Duration(i+1) * time.Minute)
			h.Events[region] = append(h.Events[region], awstest.TrailEvent{
				ID: fmt.Sprintf("%s-%d", region, i), Time: at, Attributes: map[string]string{"AccessKeyId": key, "EventName": "N"},
				Record: fmt.Sprintf(`{"eventID":"%s-%d","eventName":"N","eventSource":"s","eventTime":%q,"awsRegion":%q,"userIdentity":{"accessKeyId":%q}}`, region, i, at.Format(time.RFC3339), region, key),
			})
		}
	}
	old := awstest.TrailEvent{ID: "old", Time: c.now().Add(-91 * 24 * time.Hour), Attributes: map[string]string{"AccessKeyId": lookedUp}}
	h.Events["eu-west-1"] = append(h.Events["eu-west-1"], old)
	c.Serve("cloudtrail", h)
	return h
}

var lookupRegions = []string{"ap-east-1", "eu-west-1", "us-east-1"}

// TestLookup asks three regions, and reads every page again.
func TestLookup(t *testing.T) {
	c := newCloud(t, 1, nil)
	h := history(c)
	l, err := c.account(t).Lookup(t.Context(), LookupOptions{Attribute: "AccessKeyId", Value: lookedUp, Regions: lookupRegions, Spool: filepath.Join(t.TempDir(), "spool")})
	must(t, err)
	list, err := l.List(t.Context())
	must(t, err)
	events := map[string]bool{}
	for _, o := range list {
		r, err := l.Open(t.Context(), o)
		must(t, err)
		b, err := io.ReadAll(r)
		must(t, err)
		if int64(len(b)) != o.Size || o.Request == "" || !o.Modified.Set || !strings.Contains(o.Asked, lookedUp) || r.Object().Key != o.Key {
			t.Errorf("%+v", o)
		}
		var page struct{ Events []struct{ EventID string } }
		must(t, json.Unmarshal([]byte(strings.ReplaceAll(string(b), "EventId", "EventID")), &page))
		for _, e := range page.Events {
			events[e.EventID] = true
		}
	}
	if len(list) != 5+1+1 || len(events) != 253 {
		t.Errorf("%d pages with %d events, want 7 and 253", len(list), len(events))
	}
	if h.Slow > 0 {
		t.Errorf("%d calls were too fast", h.Slow)
	}
	calls := c.Count("cloudtrail", "LookupEvents")
	again, err := l.List(t.Context())
	must(t, err)
	if len(again) != len(list) || c.Count("cloudtrail", "LookupEvents") != calls {
		t.Error("a second list asked again")
	}
	if o := l.Origin(); o.Reads != 7 || o.Service != "cloudtrail" || o.CallerAccount != "111122223333" || !strings.Contains(o.Selected, lookedUp) {
		t.Errorf("%+v", o)
	}
}

// TestLookupResumes stops a lookup and goes on, at another time: with the same
// question, and without those regions that were finished.
func TestLookupResumes(t *testing.T) {
	c := newCloud(t, 1, nil)
	h := history(c)
	o := LookupOptions{Attribute: "AccessKeyId", Value: lookedUp, Regions: lookupRegions, Spool: filepath.Join(t.TempDir(), "spool")}
	c.Break(awstest.Fault{Service: "cloudtrail", Action: "LookupEvents", Kind: awstest.Expired, First: 5})
	l, err := c.account(t).Lookup(t.Context(), o)
	must(t, err)
	if _, err := l.List(t.Context()); err == nil {
		t.Fatal("expired credentials were not told")
	}
	c.Mend()
	first := l.Origin().Selected
	must(t, c.sleep(context.Background(), time.Hour))
	l, err = c.account(t).Lookup(t.Context(), o)
	must(t, err)
	list, err := l.List(t.Context())
	must(t, err)
	if l.Origin().Selected != first || len(list) != 7 || h.Slow > 0 {
		t.Errorf("%d pages of %q, first asked %q; %d too fast", len(list), l.Origin().Selected, first, h.Slow)
	}
	must(t, l.Forget())
	if _, err := l.Open(t.Context(), list[0]); err == nil {
		t.Error("the spool is still there")
	}
}

// TestLookupRefused keeps what a region says in place of events.
func TestLookupRefused(t *testing.T) {
	c := newCloud(t, 1, nil)
	history(c).Denied["us-east-1"] = true
	l, err := c.account(t).Lookup(t.Context(), LookupOptions{Attribute: "AccessKeyId", Value: lookedUp, Regions: lookupRegions, From: c.now().Add(-100 * 24 * time.Hour), Spool: filepath.Join(t.TempDir(), "spool")})
	must(t, err)
	list, err := l.List(t.Context())
	must(t, err)
	notes := fmt.Sprint(l.Origin().Notes)
	if len(list) != 7 || list[6].Key != "lookup-events/us-east-1/refused.json" || !strings.Contains(notes, "us-east-1 refused") || !strings.Contains(notes, "the last 90 days") {
		t.Errorf("%+v\n%s", list, notes)
	}
	if _, err := c.account(t).Lookup(t.Context(), LookupOptions{Attribute: "Key", Value: "x"}); !errors.Is(err, evidence.ErrUsage) {
		t.Errorf("an attribute that is none: %v", err)
	}
	if _, err := l.Open(t.Context(), evidence.Object{Key: list[0].Key, ETag: "other", Modified: imaging.Time{}}); !errors.Is(err, evidence.ErrBroken) {
		t.Errorf("a page that changed: %v", err)
	}
}
