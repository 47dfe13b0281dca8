package aws

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ebs/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"snapcase/evidence"
	"snapcase/evidence/acquire"
	"snapcase/evidence/aws/awstest"
)

// moto starts the independent emulator where this host has it.
func moto(t *testing.T) *Account {
	t.Helper()
	path, err := exec.LookPath("moto_server")
	if err != nil {
		t.Skip("needs moto_server")
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	port := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it listens on TCP
	must(t, l.Close())
	c := exec.Command(path, "-H", "127.0.0.1", "-p", fmt.Sprint(port))
	must(t, c.Start())
	t.Cleanup(func() {
		c.Process.Kill() //nolint:errcheck,gosec // it may have ended
		c.Wait()         //nolint:errcheck,gosec // it was killed
	})
	newCloud(t, 1, nil) // for the environment
	t.Setenv("AWS_ENDPOINT_URL", numbers(t, port))
	for range 600 {
		r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/moto-api/data.json", port)) //nolint:noctx // of this test
		if err == nil {
			must(t, r.Body.Close())
			a, err := Open(t.Context(), Options{Region: testRegion, Now: time.Now})
			must(t, err)
			return a
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Skip("moto_server does not start here")
	return nil
}

var (
	quoted    = regexp.MustCompile(`"BlockIndex": *"(\d+)"`)
	kibibytes = regexp.MustCompile(`"BlockSize": *512\b`)
)

// numbers stands before the emulator, which writes the indexes of blocks as
// strings where the service's model says numbers, which no SDK reads, and the
// length of a block in KiB.
func numbers(t *testing.T, port int) string {
	t.Helper()
	to, err := url.Parse(fmt.Sprintf("http://127.0.0.1:%d", port))
	must(t, err)
	s := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host },
		ModifyResponse: func(r *http.Response) error {
			if !strings.HasSuffix(r.Request.URL.Path, "blocks") {
				return nil
			}
			b, err := io.ReadAll(r.Body)
			b = kibibytes.ReplaceAll(quoted.ReplaceAll(b, []byte(`"BlockIndex": $1`)), []byte(`"BlockSize": 524288`))
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
			r.Header.Set("Content-Length", fmt.Sprint(len(b)))
			return err
		},
	})
	t.Cleanup(s.Close)
	return s.URL
}

// TestMoto writes a snapshot with the SDK into an emulator that nobody here
// wrote, and acquires it.
func TestMoto(t *testing.T) {
	a := moto(t)
	client := ebs.NewFromConfig(a.config)
	noise := &awstest.Noise{Seed: 5, Size: 1 << 30, Listed: append(span(0, 25), 300, 2047)}
	id := put(t, client, noise, func(int32) uint64 { return noise.Seed })
	s, err := a.Snapshot(t.Context(), id)
	must(t, err)
	t.Logf("%+v", s.Origin())
	folder := t.TempDir()
	got, err := acquire.Run(t.Context(), job(s, folder, &lines{}))
	must(t, err)
	(&cloud{noise: noise}).checkImage(t, folder, got)
	if _, err := a.Snapshot(t.Context(), "snap-00000000000000000"); evidence.Canceled(err) || err == nil {
		t.Errorf("a snapshot that is not there: %v", err)
	} else {
		t.Log(err)
	}
}

// put writes a snapshot of 1 GiB into the emulator: each listed block has the
// noise of a seed of its own.
func put(t *testing.T, client *ebs.Client, noise *awstest.Noise, seed func(int32) uint64) string {
	t.Helper()
	started, err := client.StartSnapshot(t.Context(), &ebs.StartSnapshotInput{VolumeSize: sdk.Int64(1), Description: sdk.String("made by a test")})
	must(t, err)
	for _, i := range noise.Listed {
		b := make([]byte, awstest.BlockSize)
		_, err := (&awstest.Noise{Seed: seed(i), Size: noise.Size, Listed: noise.Listed}).ReadAt(b, int64(i)*awstest.BlockSize)
		must(t, err)
		sum := sha256.Sum256(b)
		_, err = client.PutSnapshotBlock(t.Context(), &ebs.PutSnapshotBlockInput{
			SnapshotId: started.SnapshotId, BlockIndex: sdk.Int32(i), BlockData: bytes.NewReader(b), DataLength: sdk.Int32(awstest.BlockSize),
			Checksum: sdk.String(base64.StdEncoding.EncodeToString(sum[:])), ChecksumAlgorithm: types.ChecksumAlgorithmChecksumAlgorithmSha256,
		})
		must(t, err)
	}
	_, err = client.CompleteSnapshot(t.Context(), &ebs.CompleteSnapshotInput{SnapshotId: started.SnapshotId, ChangedBlocksCount: sdk.Int32(int32(len(noise.Listed)))}) //nolint:gosec // a few
	must(t, err)
	return sdk.ToString(started.SnapshotId)
}

// TestMotoChanged lists what changed between two snapshots of the emulator.
func TestMotoChanged(t *testing.T) {
	a := moto(t)
	client := ebs.NewFromConfig(a.config)
	same := func(int32) uint64 { return 5 }
	older := put(t, client, &awstest.Noise{Size: 1 << 30, Listed: append(span(0, 25), 300)}, same)
	newer := put(t, client, &awstest.Noise{Size: 1 << 30, Listed: append(span(0, 24), 300, 2047)}, func(i int32) uint64 { return 5 + uint64(i)%2 })
	s, err := a.Snapshot(t.Context(), newer)
	must(t, err)
	s.origin.Volume = "" // the emulator makes a volume up for each
	c, err := s.ChangedSince(t.Context(), older)
	must(t, err)
	want := []int32{}
	for i := range int32(2048) {
		if i < 24 && i%2 == 1 || i == 24 || i == 2047 {
			want = append(want, i)
		}
	}
	checkChanges(t, c, want)
}

// TestMotoBucket puts objects into the emulator's S3 and acquires them.
func TestMotoBucket(t *testing.T) {
	a := moto(t)
	client := a.s3(testRegion)
	name := "trail"
	_, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: testRegion}})
	must(t, err)
	want := map[string][]byte{
		"AWSLogs/111122223333/CloudTrail/eu-west-1/2026/11/20/a.json": fmt.Appendf(nil, record, 1),
		"AWSLogs/odd ü +%20&<name>":                                   []byte("odd"),
		"AWSLogs/large":                                               bytes.Repeat([]byte("0123456789abcdef"), 300_000),
		"AWSLogs/empty":                                               {},
	}
	for key, data := range want {
		_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &name, Key: &key, Body: bytes.NewReader(data), Metadata: map[string]string{"signature": "abc"}})
		must(t, err)
	}
	b, err := a.Bucket(t.Context(), name, "AWSLogs/")
	must(t, err)
	folder := t.TempDir()
	got, err := acquire.Run(t.Context(), acquire.Job{Folder: evidence.Folder(folder), Source: "s3://trail/AWSLogs/", Ledger: &lines{}, Now: time.Now, CaseKey: []byte("key"), Objects: &acquire.Objects{Store: b}})
	must(t, err)
	k := &awstest.Bucket{Objects: map[string]*awstest.Object{}}
	for key, data := range want {
		k.Objects[key] = &awstest.Object{Data: data}
	}
	for key, o := range checkObjects(t, folder, k, 0) {
		if o.Metadata["signature"] != "abc" || o.ETag == "" {
			t.Errorf("%s: %+v", key, o)
		}
	}
	t.Logf("%+v", got.Origin)
}
