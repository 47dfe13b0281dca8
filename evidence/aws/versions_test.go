package aws

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"snapcase/evidence"
	"snapcase/evidence/acquire"
	"snapcase/evidence/aws/awstest"
)

// objectLines reads objects.jsonl, in order, and checks the bytes of each line.
func objectLines(t *testing.T, folder string, data func(objectLine) []byte) (all []objectLine) {
	t.Helper()
	dir := evidence.Folder(folder).Exhibit("EX-001")
	b, err := os.ReadFile(filepath.Join(dir, "objects.jsonl"))
	must(t, err)
	stored := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		var l objectLine
		must(t, json.Unmarshal([]byte(line), &l))
		if all = append(all, l); l.Gap != "" {
			continue
		}
		if stored[l.Stored] {
			t.Errorf("two objects lie in %s", l.Stored)
		}
		stored[l.Stored] = true
		got, err := os.ReadFile(filepath.Join(dir, "files", l.Stored))
		must(t, err)
		if want := data(l); !bytes.Equal(got, want) || l.SHA256 != fmt.Sprintf("%x", sha256.Sum256(want)) {
			t.Errorf("%q version %s is not the object", l.Key, l.Version)
		}
	}
	return all
}

// TestVersions acquires every version of every object, among them keys that look
// like the name of a version, and the public keys of the regions.
func TestVersions(t *testing.T) {
	c := newCloud(t, 1, nil)
	at := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	key := "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/11/20/a.json"
	text := func(n int) []byte { return fmt.Appendf(nil, record, n) }
	k := &awstest.Bucket{Region: testRegion, Versioning: "Enabled", Objects: map[string]*awstest.Object{
		key:                      {Data: text(3), Modified: at, Version: "v3", Older: []*awstest.Object{{Data: text(2), Modified: at.Add(-time.Hour), Version: "v2"}, {Data: text(1), Modified: at.Add(-2 * time.Hour), Version: "v1"}}},
		key + "?versionId=v2":    {Data: []byte("made to look like one"), Modified: at, Version: "w1"},
		key + "?versionId=v2'":   {Data: []byte("and again"), Modified: at, Version: "w2"},
		"_enc/0123456789abcdef0": {Data: []byte("as if stored"), Modified: at, Version: "w3"},
		"AWSLogs/111122223333/CloudTrail-Digest/us-east-1/2026/11/21/gone.json":      {Marker: true, Modified: at, Version: "d1", Older: []*awstest.Object{{Data: []byte("{}"), Modified: at.Add(-time.Hour), Version: "d0"}}},
		"cloudtrail-public-keys/eu-west-1/public-keys.json":                          {Data: []byte("not the keys"), Modified: at, Version: "null"},
		"AWSLogs/111122223333/CloudTrail/eu-west-1/2026/11/20/was archived [1].json": {Data: text(4), Modified: at, Version: "a2", Older: []*awstest.Object{{Data: text(5), Modified: at, Version: "a1", Class: "GLACIER"}}},
	}}
	all := awstest.NewBuckets()
	all.Buckets["logs"], all.Page = k, 2
	type asked struct{ region, from, to string }
	var calls []asked
	answers := map[string][]byte{}
	trail := &awstest.JSON{Calls: map[string]func(map[string]any) (any, error){"ListPublicKeys": func(in map[string]any) (any, error) {
		from, _ := in["StartTime"].(float64)
		to, _ := in["EndTime"].(float64)
		token, _ := in["NextToken"].(string)
		calls = append(calls, asked{token, time.Unix(int64(from), 0).UTC().Format(time.RFC3339), time.Unix(int64(to), 0).UTC().Format(time.RFC3339)})
		out := map[string]any{"PublicKeyList": []any{map[string]any{"Fingerprint": fmt.Sprintf("f%d", len(calls)), "Value": "AAAA", "ValidityStartTime": 1.0, "ValidityEndTime": 2.0}}}
		if token == "" {
			out["NextToken"] = "more"
		}
		b, _ := json.Marshal(out)
		answers[fmt.Sprint(len(calls))] = b
		return out, nil
	}}}
	c.Close()
	c.Server = awstest.New(9, c.now, map[string]awstest.Service{"s3": all, "sts": desk{sts: true}, "cloudtrail": trail})
	t.Cleanup(c.Close)
	t.Setenv("AWS_ENDPOINT_URL", c.URL)
	b, err := c.account(t).Bucket(t.Context(), "logs", "")
	must(t, err)
	b.Versions = true
	folder := t.TempDir()
	job := acquire.Job{Folder: evidence.Folder(folder), Source: "s3://logs/", Ledger: &lines{}, Now: time.Now, CaseKey: []byte("key"), Objects: &acquire.Objects{Store: b}}
	a, err := acquire.Run(t.Context(), job)
	if !errors.Is(err, evidence.ErrGaps) || len(a.ReadErrors) != 1 {
		t.Fatalf("%v %+v", err, a.ReadErrors)
	}
	keys := 0
	got := objectLines(t, folder, func(l objectLine) []byte {
		if l.Asked != "" {
			keys++
			b, err := os.ReadFile(filepath.Join(evidence.Folder(folder).Exhibit("EX-001"), "files", l.Stored))
			must(t, err)
			if l.Request == "" || !bytes.Contains(b, []byte(`"PublicKeyList"`)) || !strings.Contains(l.Asked, "2026-11-2") {
				t.Errorf("%+v: %s", l, b)
			}
			return b
		}
		o := k.Objects[l.Key]
		for _, v := range append([]*awstest.Object{o}, o.Older...) {
			if v.Version == l.Version {
				return v.Data
			}
		}
		t.Fatalf("no version %s of %q", l.Version, l.Key)
		return nil
	})
	// 7 keys with 4 older versions, one of the 11 is a marker and one archived;
	// two regions with two pages of keys each.
	if len(got) != 15 || keys != 4 || len(calls) != 4 || a.Origin.Versions != 10 || a.Origin.DeleteMarkers != 1 || a.Files != 13 {
		t.Errorf("%d lines, %d keys, %d calls, %+v", len(got), keys, len(calls), a)
	}
	if want := (asked{"", "2026-11-19T22:00:00Z", "2026-11-21T02:00:00Z"}); calls[0] != want {
		t.Errorf("asked %+v, want %+v", calls[0], want)
	}
	names, err := acquire.Names(evidence.Folder(folder), "EX-001")
	must(t, err)
	var known []string
	for stored, name := range names {
		known = append(known, name)
		if name != stored && !strings.HasPrefix(stored, "_enc/") {
			t.Errorf("%q lies in %q", name, stored)
		}
	}
	slices.Sort(known)
	if len(slices.Compact(known)) != 13 || !slices.Contains(known, key+"?versionId=v2''") || !slices.Contains(known, key+"?versionId=v1") || !slices.Contains(known, "cloudtrail-public-keys/eu-west-1/public-keys.json'") {
		t.Errorf("names: %q", known)
	}
	must(t, acquire.Check(evidence.Folder(folder), a))
}

// TestNoPublicKeys: what may not be asked is a note, and no loss of objects.
func TestNoPublicKeys(t *testing.T) {
	c, k, _ := bucketCloud(t)
	folder := t.TempDir()
	a, err := acquire.Run(t.Context(), bucketJob(t, c, folder, &lines{}))
	must(t, err)
	checkObjects(t, folder, k, 1)
	if !strings.Contains(fmt.Sprint(a.Origin.Notes), "cloudtrail:ListPublicKeys in eu-west-1") {
		t.Errorf("%q", a.Origin.Notes)
	}
}

// TestSelection takes the logs of accounts, regions and days, without looking
// into folders of others.
func TestSelection(t *testing.T) {
	c := newCloud(t, 1, nil)
	k := &awstest.Bucket{Region: testRegion, Objects: map[string]*awstest.Object{}}
	for _, account := range []string{"111122223333", "o-abcdefghij/111122223333", "444455556666"} {
		for _, service := range []string{"CloudTrail", "CloudTrail-Digest"} {
			for _, region := range []string{"eu-west-1", "us-east-1"} {
				for d := 18; d <= 22; d++ {
					k.Objects[fmt.Sprintf("org/AWSLogs/%s/%s/%s/2026/11/%02d/f.json", account, service, region, d)] = &awstest.Object{Data: []byte("{}")}
				}
			}
		}
	}
	k.Objects["org/readme"] = &awstest.Object{Data: []byte("x")}
	k.Objects["org/AWSLogs/111122223333/other"] = &awstest.Object{Data: []byte("x")}
	k.Objects["org/AWSLogs/../111122223333/CloudTrail/eu-west-1/2026/11/20/f.json"] = &awstest.Object{Data: []byte("x")}
	all := awstest.NewBuckets()
	all.Buckets["logs"], all.Page = k, 3
	c.Close()
	c.Server = awstest.New(9, c.now, map[string]awstest.Service{"s3": all, "sts": desk{sts: true}})
	t.Cleanup(c.Close)
	t.Setenv("AWS_ENDPOINT_URL", c.URL)
	b, err := c.account(t).Bucket(t.Context(), "logs", "org/")
	must(t, err)
	day := func(d, h int) time.Time { return time.Date(2026, 11, d, h, 0, 0, 0, time.UTC) }
	for _, tt := range []struct {
		s    Selection
		want int
	}{
		{Selection{}, 63},
		{Selection{Accounts: []string{"111122223333"}}, 40},
		{Selection{Regions: []string{"eu-west-1"}}, 30},
		{Selection{Accounts: []string{"444455556666"}, Regions: []string{"us-east-1"}, From: day(19, 12), To: day(20, 12)}, 4},
		{Selection{From: day(20, 0)}, 36},
		{Selection{To: day(20, 23)}, 48}, // what is told at 23:00 may be delivered on the next day
		{Selection{Accounts: []string{"000000000000"}}, 0},
	} {
		must(t, tt.s.Check())
		for _, versions := range []bool{false, true} {
			b.Select, b.Versions = tt.s, versions
			got, err := b.List(t.Context())
			must(t, err)
			if len(got) != tt.want || tt.s.String() != b.Origin().Selected {
				t.Errorf("%s (versions %t): %d objects, want %d", tt.s.String(), versions, len(got), tt.want)
			}
		}
	}
	for _, bad := range []Selection{{Accounts: []string{"1"}}, {Regions: []string{"../x"}}, {From: day(2, 0), To: day(1, 0)}} {
		if bad.Check() == nil {
			t.Errorf("%s is taken", bad.String())
		}
	}
}

// TestMotoVersions lists versions of the emulator's S3.
func TestMotoVersions(t *testing.T) {
	a := moto(t)
	client := a.s3(testRegion)
	name, key := "trail", "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/11/20/a +ü.json"
	_, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: testRegion}})
	must(t, err)
	_, err = client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{Bucket: &name, VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled}})
	must(t, err)
	want := map[string][]byte{}
	for i := range 5 {
		data := fmt.Appendf(nil, record, i)
		out, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &name, Key: &key, Body: bytes.NewReader(data)})
		must(t, err)
		want[*out.VersionId] = data
	}
	_, err = client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &name, Key: &key})
	must(t, err)
	b, err := a.Bucket(t.Context(), name, "")
	must(t, err)
	b.Versions, b.Select = true, Selection{Regions: []string{"eu-west-1"}}
	folder := t.TempDir()
	got, err := acquire.Run(t.Context(), acquire.Job{Folder: evidence.Folder(folder), Source: "s3://trail/", Ledger: &lines{}, Now: time.Now, CaseKey: []byte("key"), Objects: &acquire.Objects{Store: b}})
	must(t, err)
	if lines := objectLines(t, folder, func(l objectLine) []byte { return want[l.Version] }); len(lines) != 6 || got.Origin.Versions != 5 || got.Origin.DeleteMarkers != 1 {
		t.Errorf("%d lines, %+v", len(lines), got.Origin)
	}
	t.Logf("%+v", got.Origin)
}
