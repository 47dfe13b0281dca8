package aws

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/acquire"
	"snapcase/evidence/aws/awstest"
)

const record = `{"Records":[{"eventVersion":"1.08","eventTime":"2026-11-20T09:00:00Z","eventSource":"ec2.amazonaws.com","eventName":"RunInstances","awsRegion":"eu-west-1","eventID":"%d"}]}`

// bucketCloud has a bucket with logs and what else lies in buckets.
func bucketCloud(t testing.TB) (*cloud, *awstest.Bucket, *awstest.Buckets) {
	t.Helper()
	c := newCloud(t, 1, nil)
	k := &awstest.Bucket{Region: testRegion, Versioning: "Enabled", Lock: "COMPLIANCE", Policy: `{"Version":"2012-10-17"}`, Objects: map[string]*awstest.Object{}}
	at := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	for i := range 300 {
		k.Objects[fmt.Sprintf("AWSLogs/111122223333/CloudTrail/eu-west-1/2026/11/20/log_%03d.json", i)] = &awstest.Object{Data: fmt.Appendf(nil, record, i), Modified: at.Add(time.Duration(i) * time.Second), Version: fmt.Sprintf("v%d", i)}
	}
	k.Objects["AWSLogs/111122223333/CloudTrail-Digest/d.json"] = &awstest.Object{Data: []byte(`{"digestS3Bucket":"b","logFiles":[]}`), Modified: at, Metadata: map[string]string{"signature": "abc123", "signature-algorithm": "SHA256withRSA"}}
	k.Objects["AWSLogs/"] = &awstest.Object{Modified: at}
	k.Objects["AWSLogs/a"] = &awstest.Object{Data: []byte("file and folder"), Modified: at}
	k.Objects["AWSLogs/a/b"] = &awstest.Object{Data: []byte("in it"), Modified: at}
	k.Objects["AWSLogs/../../etc/passwd"] = &awstest.Object{Data: []byte("no path"), Modified: at}
	k.Objects["AWSLogs/ü +%20&<\x01>"] = &awstest.Object{Data: []byte("odd name"), Modified: at}
	k.Objects["AWSLogs/empty"] = &awstest.Object{Modified: at}
	k.Objects["AWSLogs/parts"] = &awstest.Object{Data: bytes.Repeat([]byte("parts"), 1000), Modified: at, ETag: "d41d8cd98f00b204e9800998ecf8427e-2"}
	large := make([]byte, 9<<20+77)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range large {
		large[i] = byte(r.Uint32())
	}
	k.Objects["AWSLogs/large"] = &awstest.Object{Data: large, Modified: at}
	all := awstest.NewBuckets()
	all.Buckets["logs"], all.Page = k, 50
	c.Close()
	c.Server = awstest.New(9, c.now, map[string]awstest.Service{"s3": all, "sts": desk{sts: true}, "cloudtrail": &awstest.JSON{Calls: map[string]func(map[string]any) (any, error){
		"ListPublicKeys": func(map[string]any) (any, error) {
			return nil, &awstest.Error{Status: 403, Code: "AccessDeniedException", Message: "not this one"}
		},
	}}})
	t.Cleanup(c.Close)
	if set, ok := t.(interface{ Setenv(key, value string) }); ok {
		set.Setenv("AWS_ENDPOINT_URL", c.URL)
	}
	return c, k, all
}

func bucketJob(t testing.TB, c *cloud, folder string, l acquire.Ledger) acquire.Job {
	t.Helper()
	b, err := c.account(t).Bucket(t.Context(), "logs", "AWSLogs/")
	must(t, err)
	return acquire.Job{Folder: evidence.Folder(folder), Source: "s3://logs/AWSLogs/", Ledger: l, Now: time.Now, CaseKey: []byte("key"), Objects: &acquire.Objects{Store: b}}
}

type objectLine struct {
	Stored, SHA256, Gap string
	evidence.Object
}

// checkObjects compares an exhibit with the bucket.
func checkObjects(t *testing.T, folder string, k *awstest.Bucket, gaps int) map[string]objectLine {
	t.Helper()
	dir := evidence.Folder(folder).Exhibit("EX-001")
	b, err := os.ReadFile(filepath.Join(dir, "objects.jsonl"))
	must(t, err)
	lines := map[string]objectLine{}
	missing := 0
	for line := range strings.Lines(string(b)) {
		var l objectLine
		must(t, json.Unmarshal([]byte(line), &l))
		lines[l.Key] = l
		if l.Gap != "" {
			missing++
			continue
		}
		got, err := os.ReadFile(filepath.Join(dir, "files", l.Stored))
		must(t, err)
		if want := k.Objects[l.Key].Data; !bytes.Equal(got, want) || l.SHA256 != fmt.Sprintf("%x", sha256.Sum256(want)) {
			t.Errorf("%q is not the object", l.Key)
		}
	}
	if len(lines) != len(k.Objects) || missing != gaps {
		t.Errorf("%d objects and %d gaps in objects.jsonl, want %d and %d", len(lines), missing, len(k.Objects), gaps)
	}
	return lines
}

func TestBucket(t *testing.T) {
	c, k, _ := bucketCloud(t)
	folder, l := t.TempDir(), &lines{}
	a, err := acquire.Run(t.Context(), bucketJob(t, c, folder, l))
	must(t, err)
	all := checkObjects(t, folder, k, 1) // the one that marks a folder
	if d := all["AWSLogs/111122223333/CloudTrail-Digest/d.json"]; d.Metadata["signature"] != "abc123" {
		t.Errorf("the signature of the digest: %+v", d)
	}
	if d := all["AWSLogs/111122223333/CloudTrail/eu-west-1/2026/11/20/log_007.json"]; d.Version != "v7" || d.Stored != d.Key || d.Request == "" {
		t.Errorf("%+v", d)
	}
	o := a.Origin
	if a.Kind != evidence.KindCloudTrail || a.API != "s3" || o.Bucket != "logs" || o.Region != testRegion || o.Versioning != "Enabled" || !strings.HasPrefix(o.ObjectLock, "Enabled, COMPLIANCE for 30") || len(o.Notes) != 2 {
		t.Errorf("%+v %+v", a, o)
	}
	must(t, acquire.Check(evidence.Folder(folder), a))
}

// TestBucketGaps: what is archived, forbidden, gone or wrong is counted.
func TestBucketGaps(t *testing.T) {
	c, k, _ := bucketCloud(t)
	name := func(i int) string {
		return fmt.Sprintf("AWSLogs/111122223333/CloudTrail/eu-west-1/2026/11/20/log_%03d.json", i)
	}
	k.Objects[name(5)].Class = "GLACIER"
	k.Objects[name(6)].Forbidden = true
	k.Objects[name(7)].ETag = strings.Repeat("0", 32)
	folder := t.TempDir()
	a, err := acquire.Run(t.Context(), bucketJob(t, c, folder, &lines{}))
	if !errors.Is(err, evidence.ErrGaps) || len(a.ReadErrors) != 3 {
		t.Fatalf("%v %+v", err, a.ReadErrors)
	}
	all := checkObjects(t, folder, k, 3)
	if !strings.Contains(all[name(5)].Gap, "archived") || !strings.Contains(all[name(6)].Gap, "forbidden") {
		t.Errorf("%q, %q", all[name(5)].Gap, all[name(6)].Gap)
	}
	if !strings.Contains(fmt.Sprint(a.ReadErrors), "does not have its ETag") {
		t.Errorf("%+v", a.ReadErrors)
	}
}

func TestBucketFaults(t *testing.T) {
	for name, kind := range map[string]awstest.FaultKind{"slow down": awstest.Throttle, "500": awstest.Unavailable, "reset": awstest.Reset, "short": awstest.ShortBody, "flipped": awstest.WrongSum, "no answer": awstest.LostAnswer} {
		c, k, _ := bucketCloud(t)
		c.Break(awstest.Fault{Service: "s3", Action: "GetObject", Kind: kind, First: 60, Last: 1 << 30, Share: 0.02})
		folder := t.TempDir()
		a, err := acquire.Run(t.Context(), bucketJob(t, c, folder, &lines{}))
		if err != nil {
			t.Errorf("%s: %v %+v", name, err, a.ReadErrors)
			continue
		}
		checkObjects(t, folder, k, 1)
	}
}

// TestBucketResumes: credentials expire, then nothing is read twice.
func TestBucketResumes(t *testing.T) {
	c, k, all := bucketCloud(t)
	folder, l := t.TempDir(), &lines{}
	c.Break(awstest.Fault{Service: "s3", Action: "GetObject", Kind: awstest.Expired, First: 150, Last: 1 << 30})
	_, err := acquire.Run(t.Context(), bucketJob(t, c, folder, l))
	if err == nil || errors.Is(err, evidence.ErrGaps) || !strings.Contains(err.Error(), "have expired") || !strings.Contains(err.Error(), "objects are on disk and are kept") {
		t.Fatal(err)
	}
	t.Log(err)
	c.Mend()
	clear(all.Got)
	a, err := acquire.Run(t.Context(), bucketJob(t, c, folder, l))
	must(t, err)
	checkObjects(t, folder, k, 1)
	if a.ResumedFrom == 0 || len(all.Got) > 300 || strings.Join(l.types, " ") != "start error start end" {
		t.Errorf("resumed from %d, %d objects read, %v", a.ResumedFrom, len(all.Got), l.types)
	}
}

// TestBucketChanges: what comes and goes meanwhile is said.
func TestBucketChanges(t *testing.T) {
	c, k, _ := bucketCloud(t)
	j := bucketJob(t, c, t.TempDir(), &lines{})
	j.Objects.Store = &meddler{j.Objects.Store, c, k}
	a, err := acquire.Run(t.Context(), j)
	if !errors.Is(err, evidence.ErrGaps) {
		t.Fatal(err)
	}
	notes := strings.Join(a.Origin.Notes, "\n")
	for _, w := range []string{"1 objects appeared while it was read: AWSLogs/new", "1 objects were changed while it was read: AWSLogs/large", "1 objects vanished while it was read: AWSLogs/parts"} {
		if !strings.Contains(notes, w) {
			t.Errorf("no %q in %s", w, notes)
		}
	}
	if !strings.Contains(fmt.Sprint(a.ReadErrors), "changed since it was listed") || !strings.Contains(fmt.Sprint(a.ReadErrors), "gone since it was listed") {
		t.Errorf("%+v", a.ReadErrors)
	}
}

// meddler changes the bucket when it was listed.
type meddler struct {
	acquire.Store
	c *cloud
	k *awstest.Bucket
}

func (m *meddler) List(ctx context.Context) ([]evidence.Object, error) {
	all, err := m.Store.List(ctx)
	m.c.Locked(func() {
		m.k.Objects["AWSLogs/new"] = &awstest.Object{Data: []byte("new")}
		m.k.Objects["AWSLogs/large"] = &awstest.Object{Data: []byte("another")}
		delete(m.k.Objects, "AWSLogs/parts")
	})
	return all, err
}

func TestNoBucket(t *testing.T) {
	c, _, _ := bucketCloud(t)
	if _, err := c.account(t).Bucket(t.Context(), "other", ""); !errors.Is(err, evidence.ErrNotFound) {
		t.Error(err)
	}
	c.Break(awstest.Fault{Service: "s3", Action: "ListObjectsV2", Kind: awstest.Denied})
	if _, err := acquire.Run(t.Context(), bucketJob(t, c, t.TempDir(), &lines{})); err == nil || !strings.Contains(hintOf(err), "s3:ListObjectsV2") {
		t.Errorf("%v, %q", err, hintOf(err))
	}
}
