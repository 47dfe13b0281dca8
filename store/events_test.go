package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"snapcase/evidence"
	"snapcase/imaging"
)

// randomTrail makes n events over a few hours with many equal times; every
// tenth has none, every seventh comes twice.
func randomTrail(t testing.TB, rnd *rand.Rand, n, files int, id func(i int) string) map[string]string {
	t.Helper()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	records := make([][]map[string]any, files)
	for i := range n {
		r := map[string]any{
			"eventID": id(i), "eventName": []string{"GetObject", "PutObject", "RunInstances"}[rnd.IntN(3)], "eventSource": "s3.amazonaws.com",
			"awsRegion":    []string{"us-east-1", "eu-west-1"}[rnd.IntN(2)],
			"userIdentity": map[string]any{"type": "IAMUser", "userName": fmt.Sprintf("user%d", rnd.IntN(5)), "arn": fmt.Sprintf("arn:aws:iam::1:user/user%d", rnd.IntN(5)), "accessKeyId": fmt.Sprintf("AKIA%016d", rnd.IntN(7))},
			"readOnly":     rnd.IntN(2) == 0,
		}
		if rnd.IntN(10) > 0 {
			r["eventTime"] = start.Add(time.Duration(rnd.IntN(200)) * time.Second).Format(time.RFC3339)
		}
		f := rnd.IntN(files)
		records[f] = append(records[f], r)
		if i%7 == 0 {
			g := rnd.IntN(files)
			records[g] = append(records[g], r)
		}
	}
	out := map[string]string{}
	for i, r := range records {
		out[fmt.Sprintf("f%d.json", i)] = trail(t, r...)
	}
	return out
}

func eventOrder(a, b evidence.Event) int {
	return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.EventID, b.EventID), strings.Compare(a.Record.Exhibit, b.Record.Exhibit))
}

// TestEventPages holds every kind of page against one sorted slice, over
// three exhibits whose times interleave.
func TestEventPages(t *testing.T) {
	c := newTestCase(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	for x := range 3 {
		bring(t, c, evidence.KindCloudTrail, randomTrail(t, rnd, 400, 3, func(i int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", rnd.Uint32(), x*1000+i) }))
	}
	for _, q := range []EventQuery{{}, {Name: "RunInstances"}, {Region: "us-east-1", User: "user1"}, {Exhibit: "EX-002"}, {From: sec(50), To: sec(100)}, {Text: "user3 RUNinst"}, {Key: "AKIA0000000000000003"}, {Name: "None"}} {
		all := collect(t, c.Events(t.Context(), q))
		if !slices.IsSortedFunc(all, eventOrder) {
			t.Fatalf("%+v: out of order", q)
		}
		n, err := c.EventCount(t.Context(), q, 0)
		must(t, err)
		if n != int64(len(all)) {
			t.Fatalf("%+v: counts %d, yields %d", q, n, len(all))
		}
		comparePages(t, rnd, all, func(r PageRequest) Page[evidence.Event] {
			p, err := c.EventPage(t.Context(), q, r)
			must(t, err)
			return p
		}, func(e evidence.Event) imaging.Time { return e.Time }, func(e evidence.Event) string { return e.EventID })
	}
	all := collect(t, c.Events(t.Context(), EventQuery{}))
	if len(all) != 1200 {
		t.Errorf("%d events, want 1200", len(all))
	}
}

func sec(n int64) imaging.Time {
	return imaging.Time{Sec: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Unix() + n, Set: true}
}

// comparePages asks for pages in every way and compares them with all.
func comparePages[T any](t *testing.T, rnd *rand.Rand, all []T, ask func(PageRequest) Page[T], when func(T) imaging.Time, id func(T) string) {
	t.Helper()
	cursors := map[string]Cursor{}
	var from Cursor
	for at := 0; ; {
		p := ask(PageRequest{From: from, Rows: 37})
		for i, r := range p.Rows {
			if at >= len(all) || id(r) != id(all[at]) {
				t.Fatalf("row %d is %s", at, id(r))
			}
			cursors[id(r)] = p.Cursors[i]
			at++
		}
		if !p.After {
			if at != len(all) {
				t.Fatalf("pages end at %d of %d", at, len(all))
			}
			break
		}
		from = p.Cursors[len(p.Cursors)-1]
	}
	if len(all) == 0 {
		return
	}
	check := func(what string, p Page[T], lo, hi int) {
		t.Helper()
		lo, hi = max(lo, 0), min(hi, len(all))
		if len(p.Rows) != max(0, hi-lo) {
			t.Fatalf("%s: %d rows, want %d to %d", what, len(p.Rows), lo, hi)
		}
		for i, r := range p.Rows {
			if id(r) != id(all[lo+i]) {
				t.Fatalf("%s: row %d is %s, want %s", what, lo+i, id(r), id(all[lo+i]))
			}
		}
		if len(p.Rows) > 0 && (p.Before != (lo > 0) || p.After != (hi < len(all))) {
			t.Fatalf("%s: before %v after %v for %d to %d of %d", what, p.Before, p.After, lo, hi, len(all))
		}
		if p.Ordinal != 0 && p.Ordinal != int64(lo+1) {
			t.Fatalf("%s: ordinal %d, want %d", what, p.Ordinal, lo+1)
		}
	}
	for range 60 {
		i, n := rnd.IntN(len(all)), 1+rnd.IntN(60)
		c := cursors[id(all[i])]
		check("after", ask(PageRequest{From: c, Rows: n}), i+1, i+1+n)
		check("from", ask(PageRequest{From: c, Inclusive: true, Rows: n}), i, i+n)
		check("before", ask(PageRequest{From: c, Backward: true, Rows: n}), i-n, i)
		check("up to", ask(PageRequest{From: c, Backward: true, Inclusive: true, Rows: n}), i+1-n, i+1)
		check("row", ask(PageRequest{Row: int64(i + 1), Rows: n}), i, i+n)
		check("last", ask(PageRequest{Backward: true, Rows: n}), len(all)-n, len(all))
		at := sec(int64(rnd.IntN(220) - 10))
		k, _ := slices.BinarySearchFunc(all, at, func(v T, at imaging.Time) int {
			if when(v).Compare(at) < 0 {
				return -1
			}
			return 1
		})
		check("at", ask(PageRequest{At: at, Rows: n}), k, k+n)
	}
	if p := ask(PageRequest{Row: int64(len(all) + 5)}); len(p.Rows) != 0 {
		t.Errorf("a row behind the end has %d rows", len(p.Rows))
	}
}

// TestEventLookups: each of the attributes, by a plain scan of the records.
func TestEventLookups(t *testing.T) {
	c := newTestCase(t)
	arn := "arn:aws:s3:::evil-bucket/key/last"
	bring(t, c, evidence.KindCloudTrail, map[string]string{"a.json": trail(t,
		map[string]any{"eventID": "1", "eventName": "GetObject", "eventSource": "s3.amazonaws.com", "awsRegion": "us-east-1", "eventTime": "2026-01-01T00:00:00Z", "readOnly": true, "sourceIPAddress": "192.0.2.1", "userIdentity": map[string]any{"type": "Root", "accessKeyId": ""}, "resources": []any{map[string]any{"ARN": arn, "type": "AWS::S3::Object"}}},
		map[string]any{"eventID": "2", "eventName": "RunInstances", "eventSource": "ec2.amazonaws.com", "awsRegion": "eu-west-1", "eventTime": "2026-01-01T00:00:01Z", "readOnly": "false", "errorCode": "AccessDenied", "userIdentity": map[string]any{"type": "AssumedRole", "arn": "arn:aws:sts::1:assumed-role/R/bob", "principalId": "AROAX:bob", "accessKeyId": "ASIA0000000000000001"}, "requestParameters": map[string]any{"instanceId": "i-0123456789abcdef0", "imageId": "ami-1"}},
		map[string]any{"eventID": "3", "eventName": "Old", "eventTime": "2025-01-01T00:00:01Z"},
	)})
	yes, no := true, false
	for _, w := range []struct {
		q    EventQuery
		want string
	}{
		{EventQuery{}, "3 1 2"},
		{EventQuery{User: "root"}, "1"},
		{EventQuery{User: "bob"}, "2"},
		{EventQuery{User: "Bob"}, ""},
		{EventQuery{Name: "RunInstances", Region: "eu-west-1"}, "2"},
		{EventQuery{Name: "RunInstances", Region: "us-east-1"}, ""},
		{EventQuery{Source: "s3.amazonaws.com"}, "1"},
		{EventQuery{EventID: "3"}, "3"},
		{EventQuery{Key: "ASIA0000000000000001"}, "2"},
		{EventQuery{ReadOnly: &yes}, "1"},
		{EventQuery{ReadOnly: &no}, "2"},
		{EventQuery{ResourceType: "AWS::EC2::Instance"}, "2"},
		{EventQuery{ResourceType: "AWS::S3::Object", ResourceName: "i-0123456789abcdef0"}, ""},
		{EventQuery{ResourceName: "i-0123456789abcdef0"}, "2"},
		{EventQuery{ResourceName: arn}, "1"},
		{EventQuery{ResourceName: "evil-bucket/key/last"}, "1"},
		{EventQuery{ResourceName: "last"}, "1"},
		{EventQuery{ResourceName: "evil-bucket"}, ""},
		{EventQuery{Error: "AccessDenied"}, "2"},
		{EventQuery{IP: "192.0.2.1"}, "1"},
		{EventQuery{Text: "evil"}, "1"},
		{EventQuery{Text: "RUN west"}, "2"},
		{EventQuery{Text: "100%"}, ""},
		{EventQuery{From: sec(0), To: sec(0)}, "1"},
		{EventQuery{Limit: 2}, "3 1"},
	} {
		var got []string
		for _, e := range collect(t, c.Events(t.Context(), w.q)) {
			got = append(got, e.EventID)
		}
		if strings.Join(got, " ") != w.want {
			t.Errorf("%+v gives %q, want %q", w.q, got, w.want)
		}
	}
	raw, err := c.Raw(t.Context(), evidence.Record{Exhibit: "EX-001", File: "a.json", N: 2})
	must(t, err)
	var r struct {
		EventID string `json:"eventID"`
	}
	must(t, json.Unmarshal(raw, &r))
	if r.EventID != "2" {
		t.Errorf("record 2 is %s", raw)
	}
	if _, err := c.Raw(t.Context(), evidence.Record{Exhibit: "EX-001", File: "a.json", N: 4}); err == nil {
		t.Error("record 4 is there")
	}
}

// TestRebuildIsTheSame: a new index answers as the one that grew.
func TestRebuildIsTheSame(t *testing.T) {
	c := newTestCase(t)
	rnd := rand.New(rand.NewPCG(3, 4))
	files := randomTrail(t, rnd, 300, 4, func(i int) string { return fmt.Sprint("e", i) })
	bring(t, c, evidence.KindCloudTrail, map[string]string{"f0.json": files["f0.json"], "f1.json": files["f1.json"]})
	bring(t, c, evidence.KindCloudTrail, files) // delivers the first two again
	answers := func() string {
		b, err := json.Marshal(collect(t, c.Events(context.Background(), EventQuery{})))
		must(t, err)
		keys, err := c.Keys(t.Context(), true)
		must(t, err)
		k, err := json.Marshal(keys)
		must(t, err)
		stats, err := c.Stats(t.Context())
		must(t, err)
		s, err := json.Marshal(stats)
		must(t, err)
		return string(b) + string(k) + string(s)
	}
	grown := answers()
	must(t, c.Index(t.Context(), IndexOptions{Rebuild: true}, nil))
	if rebuilt := answers(); rebuilt != grown {
		t.Errorf("a rebuilt index answers otherwise:\n%.2000s\n%.2000s", grown, rebuilt)
	}
	must(t, c.Index(t.Context(), IndexOptions{Exhibit: "EX-001", Rebuild: true}, nil))
	if again := answers(); again != grown {
		t.Error("an exhibit that was derived again answers otherwise")
	}
}

// TestUnknownExhibit: a question about an exhibit that is not there is an
// error, not an answer without rows.
func TestUnknownExhibit(t *testing.T) {
	c := newTestCase(t)
	bring(t, c, evidence.KindCloudTrail, map[string]string{"a.json": trail(t, map[string]any{"eventID": "1", "eventName": "A"})})
	for _, err := range []error{
		firstError(c.Events(t.Context(), EventQuery{Exhibit: "EX-999"})), firstError(c.Files(t.Context(), FileQuery{Exhibit: "EX-999"})), firstError(c.Flows(t.Context(), FlowQuery{Exhibit: "EX-999"})),
		firstError(c.Files(t.Context(), FileQuery{Volume: "p9"})),
	} {
		if !errors.Is(err, evidence.ErrNotFound) {
			t.Errorf("%v", err)
		}
	}
}

func firstError[T any](seq func(func(T, error) bool)) error {
	for _, err := range seq {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestTimesThatNoIndexHolds: a span never shows the end of what fits as if it
// were a time of the evidence.
func TestTimesThatNoIndexHolds(t *testing.T) {
	c := newTestCase(t)
	bring(t, c, evidence.KindCloudTrail, map[string]string{"a.json": trail(t,
		map[string]any{"eventID": "1", "eventName": "A", "eventTime": "0001-01-01T00:00:00Z", "userIdentity": map[string]any{"accessKeyId": "AKIA0000000000000001"}},
		map[string]any{"eventID": "2", "eventName": "A", "eventTime": "2026-01-01T00:00:00Z", "userIdentity": map[string]any{"accessKeyId": "AKIA0000000000000001"}},
	)})
	tr, err := c.Trace(t.Context(), "AKIA0000000000000001")
	must(t, err)
	if tr.Events != 2 || strings.HasPrefix(tr.First.String(), "1677") || tr.Last != sec(0) {
		t.Errorf("%d events, %s to %s", tr.Events, tr.First, tr.Last)
	}
}

// TestAlteredExhibit: what was changed since it was sealed gives no answers.
func TestAlteredExhibit(t *testing.T) {
	c := newTestCase(t)
	id := bring(t, c, evidence.KindCloudTrail, map[string]string{"a.json": trail(t, map[string]any{"eventID": "1", "eventName": "A"})})
	path := filepath.Join(c.Folder().Files(id), "a.json")
	must(t, os.Chmod(path, 0o644))
	must(t, os.WriteFile(path, []byte(trail(t, map[string]any{"eventID": "2", "eventName": "B"})), 0o644))
	err := c.Index(t.Context(), IndexOptions{Rebuild: true}, nil)
	if !errors.Is(err, evidence.ErrBroken) || !strings.Contains(err.Error(), "a.json") {
		t.Errorf("an altered exhibit is indexed: %v", err)
	}
	if raw, err := c.Raw(t.Context(), evidence.Record{Exhibit: id, File: "a.json", N: 1}); !errors.Is(err, evidence.ErrBroken) {
		t.Errorf("the record of an altered file: %q, %v", raw, err)
	}
	if all := collect(t, c.Events(t.Context(), EventQuery{})); len(all) != 1 || all[0].EventID != "1" {
		t.Errorf("the index that was is gone: %+v", all)
	}
}
