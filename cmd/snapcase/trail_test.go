package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/aws/awstest"
	"snapcase/evidence/cloudtrail/digest/digesttest"
)

func validation(t *testing.T, out []byte) (v evidence.TrailValidation) {
	t.Helper()
	must(t, json.Unmarshal(out, &v))
	return v
}

// lay puts a bucket into a folder as the design of the verb says it may be laid
// out by hand.
func lay(t *testing.T, m *digesttest.Bucket, keys bool) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "copy")
	write := func(name string, b []byte) {
		p := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		must(t, os.WriteFile(p, b, 0o644))
	}
	for key, o := range m.Objects {
		write(key, o.Data)
		if o.Metadata != nil {
			b, err := json.Marshal(map[string]any{"Metadata": o.Metadata, "VersionId": "null"})
			must(t, err)
			write(key+".metadata.json", b)
		}
	}
	if keys {
		write("public-keys.json", digesttest.Answer(m.Key))
	}
	return dir
}

// TestValidateFolder validates a folder laid out by hand: untouched, with a log
// changed, and without a key; then with the key given; and looks into the ledger.
func TestValidateFolder(t *testing.T) {
	home := t.TempDir()
	made := func(name string, keys bool, change func(m *digesttest.Bucket)) string {
		m := digesttest.Chain(t, 6)
		change(m)
		cs := filepath.Join(home, name)
		output(t, home, []int{0}, "new", cs, "--title", "T", "--examiner", "jdoe")
		output(t, home, []int{0}, "acquire", cs, lay(t, m, keys), "--as", "cloudtrail")
		return cs
	}
	good := made("good", true, func(*digesttest.Bucket) {})
	v := validation(t, output(t, home, []int{0}, "cloudtrail", "validate", good, "--json"))
	if v.Verdict != "valid" || v.Digests != (evidence.DigestCounts{Valid: 6}) || v.Logs != (evidence.LogCounts{Valid: 10}) || len(v.Keys) != 1 || !strings.Contains(fmt.Sprint(v.Notes), "is from a file of the evidence") {
		t.Errorf("%+v", v)
	}
	if text := string(output(t, home, []int{0}, "custody", good, "--json")); !strings.Contains(text, `"what":"cloudtrail validate"`) || !strings.Contains(text, `"verdict":"valid"`) {
		t.Error("the ledger does not have the result")
	}
	output(t, home, []int{0, 5}, "verify", good)
	bad := made("bad", true, func(m *digesttest.Bucket) { m.Objects[m.LogsOf(2)[0]].Data = digesttest.Pack([]byte(`{"Records":[]}`)) })
	v = validation(t, output(t, home, []int{3}, "cloudtrail", "validate", bad, "--json"))
	if v.Verdict != "invalid" || digesttest.Codes(v) != "LOG_HASH" || v.Logs.Valid != 9 || v.Logs.Invalid != 1 {
		t.Errorf("%+v", v)
	}
	blind := made("blind", false, func(*digesttest.Bucket) {})
	v = validation(t, output(t, home, []int{4}, "cloudtrail", "validate", blind, "--json"))
	if v.Verdict != "incomplete" || v.Digests.Unproved != 6 || v.Logs.Unproved != 10 || v.Logs.Valid != 0 {
		t.Errorf("%+v", v)
	}
	keys := filepath.Join(home, "keys.json")
	must(t, os.WriteFile(keys, digesttest.Answer(digesttest.TheKey()), 0o600))
	v = validation(t, output(t, home, []int{0}, "cloudtrail", "validate", blind, "--json", "--public-keys", keys))
	if v.Verdict != "valid" || !strings.Contains(v.Keys[0].From, "given to this run") {
		t.Errorf("%+v", v)
	}
	bag := filepath.Join(home, "good.tar.zst")
	output(t, home, []int{0}, "bundle", good, "-o", bag)
	if v := validation(t, output(t, home, []int{0}, "cloudtrail", "validate", bag, "--json")); v.Verdict != "valid" {
		t.Errorf("in a bundle: %+v", v)
	}
	// A log that is changed in the case is not blamed on the bucket alone.
	victim := filepath.Join(good, "exhibits", "EX-001", "files")
	var log string
	must(t, filepath.WalkDir(victim, func(p string, _ os.DirEntry, err error) error {
		if strings.Contains(filepath.Base(p), "_CloudTrail_") {
			log = p
		}
		return err
	}))
	must(t, os.Chmod(log, 0o644))
	must(t, os.WriteFile(log, digesttest.Pack([]byte("{}")), 0o644))
	v = validation(t, output(t, home, []int{3}, "cloudtrail", "validate", good, "--json"))
	if digesttest.Codes(v) != "LOG_HASH" || !strings.Contains(v.Failures[0].Reason, "the case itself is not whole") {
		t.Errorf("%+v", v)
	}
}

// TestValidateBucket acquires a bucket with all versions and the keys that AWS
// gives, of which somebody put others into the bucket.
func TestValidateBucket(t *testing.T) {
	m := digesttest.Chain(t, 6)
	at := m.Start.Add(8 * time.Hour)
	forged := digesttest.Pack([]byte(`{"Records":[{"eventID":"x","eventName":"n","eventSource":"s"}]}`))
	objects := map[string]*awstest.Object{
		"cloudtrail-public-keys/eu-west-1/public-keys.json": {Data: []byte(`{"PublicKeyList":[{"Fingerprint":"` + digesttest.Fingerprint + `","Value":"YQo="}]}`), Modified: at, Version: "null"},
	}
	for key, o := range m.Objects {
		objects[key] = &awstest.Object{Data: o.Data, Metadata: o.Metadata, Modified: at, Version: "v1"}
	}
	log := m.LogsOf(2)[0]
	objects[log] = &awstest.Object{Data: forged, Modified: at, Version: "v2", Older: []*awstest.Object{objects[log]}}
	buckets := awstest.NewBuckets()
	buckets.Buckets[m.Name] = &awstest.Bucket{Region: "eu-west-1", Objects: objects, Versioning: "Enabled"}
	var answer map[string]any
	must(t, json.Unmarshal(digesttest.Answer(m.Key), &answer))
	server := awstest.New(1, time.Now, map[string]awstest.Service{"s3": buckets, "sts": &awstest.STS{Arn: "arn:aws:iam::111122223333:user/jdoe"}, "cloudtrail": &awstest.JSON{Calls: map[string]func(map[string]any) (any, error){
		"ListPublicKeys": func(map[string]any) (any, error) { return answer, nil },
		"GetTrailStatus": func(in map[string]any) (any, error) {
			if in["Name"] != "arn:aws:cloudtrail:eu-west-1:111122223333:trail/my_trail" {
				return nil, &awstest.Error{Status: 400, Code: "TrailNotFoundException", Message: fmt.Sprint(in["Name"])}
			}
			return map[string]any{"IsLogging": true, "LatestDigestDeliveryTime": m.Start.Add(7*time.Hour + 3*time.Minute).Unix()}, nil
		},
	}}})
	t.Cleanup(server.Close)
	for k, v := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_REGION": "eu-west-1", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(k, v)
	}
	home := t.TempDir()
	cs := filepath.Join(home, "case")
	output(t, home, []int{0}, "new", cs, "--title", "T", "--examiner", "jdoe")
	output(t, home, []int{0, 4}, "acquire", cs, "s3://"+m.Name+"/", "--as", "cloudtrail", "--versions")
	v := validation(t, output(t, home, []int{3}, "cloudtrail", "validate", cs, "--json"))
	if v.Digests != (evidence.DigestCounts{Valid: 6}) || v.Logs.Valid != 9 || v.Logs.Invalid != 1 || len(v.Keys) != 1 || !strings.Contains(v.Keys[0].From, "asked of AWS") {
		t.Errorf("%+v", v)
	}
	if all := digesttest.Codes(v); all != "DIGEST_NEWEST_MISSING LOG_HASH LOG_UNPROVED" || strings.Contains(fmt.Sprint(v.Notes), "no trail-status.json") {
		t.Errorf("%s, notes %q", all, v.Notes)
	}
	if !strings.Contains(v.Failures[0].Reason, "an older version of it, is what was signed") {
		t.Errorf("%+v", v.Failures)
	}
}

// TestLookup asks a live account what a key did; one of two regions refuses.
func TestLookup(t *testing.T) {
	const key = "AKIAIOSFODNN7LOOKUP0"
	h := &awstest.EventHistory{Now: time.Now, Denied: map[string]bool{"us-east-1": true}, Events: map[string][]awstest.TrailEvent{}}
	for i := range 60 {
		at := time.Now().Add(-time.Duration(i+1) * time.Minute).UTC()
		h.Events["eu-west-1"] = append(h.Events["eu-west-1"], awstest.TrailEvent{
			ID: fmt.Sprint(i), Time: at, Attributes: map[string]string{"AccessKeyId": key},
			Record: fmt.Sprintf(`{"eventID":"%d","eventName":"RunInstances","eventSource":"ec2.amazonaws.com","eventTime":%q,"awsRegion":"eu-west-1","userIdentity":{"accessKeyId":%q}}`, i, at.Format(time.RFC3339), key),
		})
	}
	server := awstest.New(1, time.Now, map[string]awstest.Service{"sts": &awstest.STS{Arn: "arn:aws:iam::111122223333:user/jdoe"}, "cloudtrail": h})
	t.Cleanup(server.Close)
	for k, v := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_REGION": "eu-west-1", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(k, v)
	}
	home := t.TempDir()
	cs := filepath.Join(home, "case")
	output(t, home, []int{0}, "new", cs, "--title", "T", "--examiner", "jdoe")
	output(t, home, []int{2}, "cloudtrail", "lookup", cs)
	line := output(t, home, []int{0}, "cloudtrail", "lookup", cs, "--key", key, "--log-region", "eu-west-1", "--json")
	if !strings.Contains(string(line), `"exhibit":"EX-001","kind":"cloudtrail"`) {
		t.Errorf("%s", line)
	}
	if n := strings.Count(string(output(t, home, []int{0}, "events", cs, "--key", key, "--json")), "\n"); n != 60 {
		t.Errorf("%d events, want 60", n)
	}
	output(t, home, []int{4}, "cloudtrail", "lookup", cs, "--key", key, "--log-region", "eu-west-1,us-east-1", "--json")
	output(t, home, []int{0, 5}, "verify", cs)
	b, err := os.ReadFile(filepath.Join(cs, "exhibits", "EX-001", "objects.jsonl"))
	must(t, err)
	if !strings.Contains(string(b), "cloudtrail:LookupEvents eu-west-1 page 2") || !strings.Contains(string(b), `"request":`) {
		t.Errorf("%s", b)
	}
	if v := validation(t, output(t, home, []int{4}, "cloudtrail", "validate", cs, "--json")); digesttest.Codes(v) != "NO_DIGESTS" || !strings.Contains(fmt.Sprint(v.Notes), "which no digest covers") {
		t.Errorf("%+v", v)
	}
}
