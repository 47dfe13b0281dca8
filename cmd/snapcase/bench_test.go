package main

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// The benchmarks run snapcase as a process beside a peer, in turns, on the same
// input, and report the ratio of the best runs: the machine is noisy, the ratio
// less so. They need gigabytes of disk; run them by name, for example
// go test -run '^$' -bench Acquire -benchtime 1x ./cmd/snapcase

// BenchmarkAcquire acquires a warm 2 GiB file beside sha256sum of it.
func BenchmarkAcquire(b *testing.B) {
	dir := b.TempDir()
	source := filepath.Join(dir, "disk.raw")
	randomFile(b, source, 2<<30)
	warm(b, source)
	for b.Loop() {
		ours, peer := time.Hour, time.Hour
		for i := range 3 {
			home := filepath.Join(dir, fmt.Sprint("home", i))
			cs := filepath.Join(home, "case")
			must(b, os.MkdirAll(home, 0o755))
			output(b, home, []int{0}, "new", cs, "--title", "T", "--examiner", "jdoe", "--quiet")
			ours = min(ours, timed(b, command(b, home, "acquire", cs, source, "--as", "disk", "--no-index", "--quiet")))
			must(b, os.RemoveAll(cs))
			peer = min(peer, timed(b, exec.Command("sha256sum", source)))
		}
		b.ReportMetric(ours.Seconds(), "s/acquire")
		b.ReportMetric(peer.Seconds(), "s/sha256sum")
		b.ReportMetric(ours.Seconds()/peer.Seconds(), "ratio")
	}
}

// BenchmarkIndexExt4 indexes an ext4 of 220,000 entries beside fls -r -m /.
func BenchmarkIndexExt4(b *testing.B) {
	for _, tool := range []string{"mkfs.ext4", "fls"} {
		if _, err := exec.LookPath(tool); err != nil {
			b.Skipf("needs %s", tool)
		}
	}
	dir := b.TempDir()
	tree, image, cs := filepath.Join(dir, "tree"), filepath.Join(dir, "disk.raw"), filepath.Join(dir, "case")
	for i := range 2200 {
		d := filepath.Join(tree, fmt.Sprintf("dir%02d", i/100), fmt.Sprintf("sub%02d", i%100))
		must(b, os.MkdirAll(d, 0o755))
		for j := range 99 {
			must(b, os.WriteFile(filepath.Join(d, fmt.Sprintf("file-%04d.txt", j)), []byte("x"), 0o644))
		}
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-N", "300000", "-d", tree, image, "2G").CombinedOutput(); err != nil {
		b.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	output(b, dir, []int{0}, "new", cs, "--title", "T", "--examiner", "jdoe", "--quiet")
	output(b, dir, []int{0, 4}, "acquire", cs, image, "--as", "disk", "--quiet")
	sealed := filepath.Join(cs, "exhibits", "EX-001", "image.raw")
	warm(b, sealed)
	for b.Loop() {
		ours, peer := time.Hour, time.Hour
		var rss int64
		for range 3 {
			c := command(b, dir, "index", cs, "--rebuild", "--quiet")
			ours = min(ours, timed(b, c))
			rss = max(rss, peak(c))
			peer = min(peer, timed(b, exec.Command("fls", "-r", "-m", "/", sealed)))
		}
		b.ReportMetric(ours.Seconds(), "s/index")
		b.ReportMetric(peer.Seconds(), "s/fls")
		b.ReportMetric(ours.Seconds()/peer.Seconds(), "ratio")
		b.ReportMetric(float64(rss)/(1<<20), "MiB-peak")
	}
}

// BenchmarkIndexCloudTrail indexes 500,000 events in 340 packed files.
func BenchmarkIndexCloudTrail(b *testing.B) {
	dir := b.TempDir()
	logs, cs := filepath.Join(dir, "logs"), filepath.Join(dir, "case")
	trail(b, logs, 340, 1471)
	output(b, dir, []int{0}, "new", cs, "--title", "T", "--examiner", "jdoe", "--quiet")
	output(b, dir, []int{0}, "acquire", cs, logs, "--as", "cloudtrail", "--no-index", "--quiet")
	for b.Loop() {
		c := command(b, dir, "index", cs, "--rebuild", "--quiet")
		took := timed(b, c)
		b.ReportMetric(took.Seconds(), "s/index")
		b.ReportMetric(340*1471/took.Seconds(), "events/s")
		b.ReportMetric(float64(peak(c))/(1<<20), "MiB-peak")
	}
}

func timed(b *testing.B, c *exec.Cmd) time.Duration {
	b.Helper()
	began := time.Now()
	if out, err := c.CombinedOutput(); err != nil && c.ProcessState.ExitCode() != 4 {
		b.Fatalf("%q: %v: %s", c.Args, err, out)
	}
	return time.Since(began)
}

// peak is the largest resident size of a process that has ended, in bytes.
func peak(c *exec.Cmd) int64 {
	if u, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
		return u.Maxrss << 10
	}
	return 0
}

func warm(b *testing.B, path string) {
	b.Helper()
	if err := exec.Command("cat", path).Run(); err != nil {
		b.Fatal(err)
	}
}

func randomFile(b *testing.B, path string, n int64) {
	b.Helper()
	f, err := os.Create(path)
	must(b, err)
	r := rand.NewChaCha8([32]byte{1})
	buf := make([]byte, 4<<20)
	for off := int64(0); off < n; off += int64(len(buf)) {
		r.Read(buf) //nolint:errcheck // never fails
		_, err = f.Write(buf)
		must(b, err)
	}
	must(b, f.Close())
}

// trail writes files packed logs of events records each, with the bodies and
// the repetition that real trails have.
func trail(b *testing.B, dir string, files, events int) {
	b.Helper()
	r := rand.New(rand.NewPCG(5, 6))
	must(b, os.MkdirAll(dir, 0o755))
	names := []string{"DescribeInstances", "AssumeRole", "GetObject", "PutObject", "ListBuckets", "GetCallerIdentity", "DescribeVolumes", "Decrypt"}
	for i := range files {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("123456789012_CloudTrail_us-east-1_202610%02dT%04dZ_%016d.json.gz", i%28+1, i, i)))
		must(b, err)
		z := gzip.NewWriter(f)
		w := bufio.NewWriter(z)
		w.WriteString(`{"Records":[`) //nolint:errcheck // Flush reports it
		for j := range events {
			if j > 0 {
				w.WriteByte(',') //nolint:errcheck // Flush reports it
			}
			user, name := r.IntN(400), names[r.IntN(len(names))]
			fmt.Fprintf(w, `{"eventVersion":"1.08","userIdentity":{"type":"AssumedRole","principalId":"AROA%016d:session-%d","arn":"arn:aws:sts::123456789012:assumed-role/role-%d/session-%d","accountId":"123456789012","accessKeyId":"ASIA%016d","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROA%016d","arn":"arn:aws:iam::123456789012:role/role-%d","accountId":"123456789012","userName":"role-%d"},"attributes":{"mfaAuthenticated":"false","creationDate":"2026-10-%02dT%02d:00:00Z"}}},"eventTime":"2026-10-%02dT%02d:%02d:%02dZ","eventSource":"ec2.amazonaws.com","eventName":"%s","awsRegion":"us-east-%d","sourceIPAddress":"203.0.113.%d","userAgent":"aws-sdk-go-v2/1.30.3 os/linux lang/go#1.22.%d","requestParameters":{"instancesSet":{"items":[{"instanceId":"i-%017x"}]},"filterSet":{},"maxResults":%d},"responseElements":null,"requestID":"%08x-aaaa-bbbb-cccc-%012d","eventID":"%08x-%04x-4aaa-8bbb-%012d","readOnly":true,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"123456789012","eventCategory":"Management","tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"ec2.us-east-1.amazonaws.com"}}`,
				user, user, user%20, user, user, user%20, user%20, user%20, i%28+1, r.IntN(24), i%28+1, r.IntN(24), r.IntN(60), r.IntN(60), name, r.IntN(2)+1, r.IntN(200), user%9, r.IntN(5000), r.IntN(1000), r.Uint32(), j, r.Uint32(), i, j) //nolint:errcheck // Flush reports it
		}
		w.WriteString(`]}`) //nolint:errcheck // Flush reports it
		must(b, w.Flush())
		must(b, z.Close())
		must(b, f.Close())
	}
}
