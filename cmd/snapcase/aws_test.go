package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/aws/awstest"
)

const (
	snapshotID = "snap-0123456789abcdef0"
	volumeID   = "vol-0123456789abcdef0"
)

const cloudTrail = `{"Records":[{"eventVersion":"1.08","eventTime":"2026-11-20T09:00:00Z","eventSource":"ec2.amazonaws.com","eventName":"RunInstances","awsRegion":"eu-west-1","eventID":"6f1f7ad2-4a1e-4c1b-9d55-1f2f7c1f0a11","eventType":"AwsApiCall","userIdentity":{"type":"IAMUser","accessKeyId":"AKIAIOSFODNN7EXAMPLE"}}]}`

// ext4 is a disk image of 1 GiB with a file system that holds so many MiB of noise.
func ext4(t *testing.T, mib int) string {
	t.Helper()
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		t.Skip("needs mkfs.ext4")
	}
	dir := t.TempDir()
	root, image := filepath.Join(dir, "root"), filepath.Join(dir, "disk.raw")
	must(t, os.Mkdir(root, 0o755))
	noise := awstest.Noise{Seed: 3, Size: int64(mib) << 20}
	for i := range int32(mib * 2) { //nolint:gosec // a few
		noise.Listed = append(noise.Listed, i)
	}
	f, err := os.Create(filepath.Join(root, "noise.bin"))
	must(t, err)
	_, err = io.Copy(f, io.NewSectionReader(&noise, 0, noise.Size))
	must(t, err)
	must(t, f.Close())
	must(t, os.WriteFile(filepath.Join(root, "notes.txt"), []byte("AKIAIOSFODNN7EXAMPLE\n"), 0o644))
	f, err = os.Create(image)
	must(t, err)
	must(t, f.Truncate(1<<30))
	must(t, f.Close())
	do(t, "mkfs.ext4", "-q", "-F", "-d", root, image)
	return image
}

// cloud serves an image as a snapshot.
func cloud(t *testing.T, image string) (*awstest.Server, *awstest.EBS) {
	t.Helper()
	f, err := os.Open(image)
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) })
	s := &awstest.Snapshot{ID: snapshotID, VolumeID: volumeID, Owner: "111122223333", Region: "eu-west-1", State: "completed", Progress: "100%", GiB: 1, Data: f}
	b := make([]byte, awstest.BlockSize)
	for i := range int32(1 << 30 / awstest.BlockSize) {
		_, err := f.ReadAt(b, int64(i)*awstest.BlockSize)
		must(t, err)
		if !bytes.Equal(b, make([]byte, len(b))) {
			s.Listed = append(s.Listed, i)
		}
	}
	ec2 := awstest.NewEC2("eu-west-1", "111122223333", time.Now)
	ec2.Snapshots[snapshotID] = s
	ebs := awstest.NewEBS(ec2.Snapshots, time.Now)
	buckets := awstest.NewBuckets()
	buckets.Buckets["trail"] = &awstest.Bucket{Region: "eu-west-1", Objects: map[string]*awstest.Object{
		"AWSLogs/111122223333/CloudTrail/eu-west-1/2026/11/20/a.json": {Data: []byte(cloudTrail), Modified: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)},
		"AWSLogs/111122223333/CloudTrail/eu-west-1/2026/11/20/b.json": {Data: []byte(cloudTrail), Modified: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC), Class: "DEEP_ARCHIVE"},
	}}
	server := awstest.New(1, time.Now, map[string]awstest.Service{"s3": buckets, "ec2": ec2, "ebs": ebs, "sts": &awstest.STS{Arn: "arn:aws:iam::111122223333:user/jdoe"}})
	t.Cleanup(server.Close)
	for k, v := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_REGION": "eu-west-1", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(k, v)
	}
	return server, ebs
}

// TestSnapshot reads a snapshot in place and acquires it: both as the disk.
func TestSnapshot(t *testing.T) {
	image := ext4(t, 220)
	server, ebs := cloud(t, image)
	home := t.TempDir()
	type shown struct {
		Bytes   int64
		Volumes json.RawMessage
	}
	var disk, snap shown
	must(t, json.Unmarshal(output(t, home, []int{0}, "image", image, "--json"), &disk))
	must(t, json.Unmarshal(output(t, home, []int{0}, "image", snapshotID, "--json"), &snap))
	if !reflect.DeepEqual(disk, snap) || snap.Bytes != 1<<30 {
		t.Errorf("in place %s, the disk %s", snap.Volumes, disk.Volumes)
	}
	if n := len(ebs.Got); n > 100 {
		t.Errorf("%d blocks were read to look at the volumes", n)
	}

	// What cannot be reached is no damage.
	server.Break(awstest.Fault{Service: "ebs", Action: "GetSnapshotBlock", Kind: awstest.Denied, First: 20, Last: 1 << 30})
	output(t, home, []int{1}, "image", snapshotID)
	server.Mend()

	cs := filepath.Join(t.TempDir(), "case")
	output(t, home, []int{0}, "new", cs, "--title", "T", "--examiner", "jdoe")
	server.Break(awstest.Fault{Service: "ebs", Action: "GetSnapshotBlock", Kind: awstest.Expired, First: 200, Last: 1 << 30})
	c := command(t, home, "acquire", cs, snapshotID, "--json", "--region", "eu-west-1")
	var errs bytes.Buffer
	c.Stderr = &errs
	if err := c.Run(); err == nil || c.ProcessState.ExitCode() != 1 {
		t.Fatalf("with credentials that expire: %v", err)
	}
	for _, w := range []string{"less than $0.01", "the credentials have expired", "are on disk and are kept", "hint: renew them"} {
		if !strings.Contains(errs.String(), w) {
			t.Errorf("no %q in %s", w, errs.String())
		}
	}
	t.Log(errs.String())
	server.Mend()
	c = command(t, home, "acquire", cs, snapshotID, "--json")
	out, err := c.Output()
	must(t, err)
	if u, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
		t.Logf("maximum resident set %d MiB", u.Maxrss>>10)
	}
	var got evidence.Acquisition
	must(t, json.Unmarshal(out, &got))
	if got.SHA256.String() != sum(t, image) || got.ResumedFrom == 0 || got.Source != snapshotID {
		t.Errorf("%+v, want %s", got, sum(t, image))
	}
	files := output(t, home, []int{0}, "files", cs, "--json", "--hash")
	if !bytes.Contains(files, []byte(`"/noise.bin"`)) || !bytes.Contains(files, []byte(`"/notes.txt"`)) {
		t.Errorf("files: %s", files)
	}
	if keys := output(t, home, []int{0}, "keys", cs); !bytes.Contains(keys, []byte("AKIAIOSFODNN7EXAMPLE")) {
		t.Errorf("keys: %s", keys)
	}
	output(t, home, []int{5}, "verify", cs)
	bag := filepath.Join(t.TempDir(), "bag")
	output(t, home, []int{0, 5}, "bundle", cs, "-o", bag)
	output(t, home, []int{5}, "verify", bag)
	custody := output(t, home, []int{0}, "custody", cs, "--json")
	for _, w := range []string{volumeID, "ebs-direct", "111122223333", "linear_sha256"} {
		if !bytes.Contains(custody, []byte(w)) {
			t.Errorf("no %s in the ledger", w)
		}
	}
}

// TestBucket acquires the logs under a prefix and asks them.
func TestBucket(t *testing.T) {
	image := filepath.Join(t.TempDir(), "disk.raw")
	f, err := os.Create(image)
	must(t, err)
	must(t, f.Truncate(1<<30))
	must(t, f.Close())
	cloud(t, image)
	home, cs := t.TempDir(), filepath.Join(t.TempDir(), "case")
	output(t, home, []int{0}, "new", cs, "--title", "T", "--examiner", "jdoe")
	out := output(t, home, []int{4}, "acquire", cs, "s3://trail/AWSLogs/", "--json")
	var got evidence.Acquisition
	must(t, json.Unmarshal(out, &got))
	if got.Kind != evidence.KindCloudTrail || len(got.ReadErrors) != 1 || !strings.Contains(got.ReadErrors[0].Error, "archived (DEEP_ARCHIVE)") {
		t.Errorf("%s", out)
	}
	if events := output(t, home, []int{0, 4}, "events", cs, "--json"); !bytes.Contains(events, []byte("RunInstances")) || !bytes.Contains(events, []byte("EX-001/AWSLogs/111122223333/CloudTrail/eu-west-1/2026/11/20/a.json#1")) {
		t.Errorf("events: %s", events)
	}
	output(t, home, []int{4, 5}, "verify", cs)
	bag := filepath.Join(t.TempDir(), "bag")
	output(t, home, []int{0, 4, 5}, "bundle", cs, "-o", bag)
	output(t, home, []int{4, 5}, "verify", bag)
	if _, err := os.Stat(filepath.Join(bag, "data", "exhibits", "EX-001", "objects.jsonl")); err != nil {
		t.Error(err)
	}
	var picked evidence.Acquisition
	must(t, json.Unmarshal(output(t, home, []int{4}, "acquire", cs, "s3://trail", "--account", "111122223333", "--log-region", "eu-west-1", "--from", "2026-11-20", "--to", "2026-11-20", "--versions", "--label", "picked", "--json", "--no-index"), &picked))
	output(t, home, []int{1}, "acquire", cs, "s3://trail", "--account", "000000000000")
	output(t, home, []int{2}, "acquire", cs, "s3://trail", "--account", "somebody")
	output(t, home, []int{2}, "acquire", cs, image, "--from", "2026-11-20")
	output(t, home, []int{2}, "acquire", cs, "s3://")
	output(t, home, []int{1}, "acquire", cs, "s3://other/")
	output(t, home, []int{1}, "acquire", cs, "vol-0123456789abcdef0")
	output(t, home, []int{2}, "acquire", cs, snapshotID, "--as", "pcap")
}
