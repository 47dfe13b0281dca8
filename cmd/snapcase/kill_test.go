package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestKilledAtRandomMoments kills acquire, index and tag with SIGKILL at
// random moments: the case must open, its ledger verify, the same command
// resume, and the image be the source.
func TestKilledAtRandomMoments(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a minute")
	}
	dir, home := t.TempDir(), t.TempDir()
	source, cs := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "case")
	r := rand.New(rand.NewPCG(3, 4))
	bigFile(t, source, 160<<20, r)
	second := filepath.Join(dir, "second.raw")
	bigFile(t, second, 20<<20, r)
	logs := manyEvents(t, dir, 20_000)
	output(t, home, []int{0}, "new", cs, "--title", "T", "--examiner", "jdoe")
	signers := filepath.Join(cs, "allowed_signers")

	resumed := json.NewDecoder(bytes.NewReader(killAndResume(t, home, r, 12, []string{"acquire", cs, source, second, "--as", "disk", "--json"}, signers, cs)))
	var a, b struct {
		Exhibit string `json:"exhibit"`
		SHA256  string `json:"sha256"`
	}
	must(t, resumed.Decode(&a))
	must(t, resumed.Decode(&b))
	if a.Exhibit != "EX-001" || b.Exhibit != "EX-002" || resumed.More() {
		t.Fatalf("%+v, %+v: not one exhibit each", a, b)
	}
	if a.SHA256 != sum(t, source) || b.SHA256 != sum(t, second) {
		t.Fatalf("the images are %s and %s, the sources %s and %s", a.SHA256, b.SHA256, sum(t, source), sum(t, second))
	}
	output(t, home, []int{0}, "acquire", cs, logs, "--as", "cloudtrail", "--no-index")
	if got := sum(t, filepath.Join(cs, "exhibits", "EX-001", "image.raw")); got != a.SHA256 {
		t.Fatalf("image.raw is %s, the ledger says %s", got, a.SHA256)
	}
	killAndResume(t, home, r, 5, []string{"index", cs, "--rebuild"}, signers, cs)
	killAndResume(t, home, r, 3, []string{"tag", cs, "EX-003/events.json#1", "--tag", "bad"}, signers, cs)
	output(t, home, []int{0}, "verify", cs, "--signers", signers)
	if n := len(output(t, home, []int{0}, "events", cs, "--json")); n == 0 {
		t.Fatal("no events after it all")
	}
}

// killAndResume runs a command to its death n times, verifying after each,
// then once to its end.
func killAndResume(t *testing.T, home string, r *rand.Rand, n int, args []string, signers, cs string) []byte {
	t.Helper()
	took := 400 * time.Millisecond
	for range n {
		c := command(t, home, args...)
		must(t, c.Start())
		time.Sleep(time.Duration(r.Int64N(int64(took))))
		if err := c.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		c.Wait() //nolint:errcheck // it was killed
		output(t, home, []int{0, 4}, "verify", cs, "--signers", signers)
	}
	return output(t, home, []int{0, 4}, args...)
}

func bigFile(t *testing.T, path string, n int64, r *rand.Rand) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	b := make([]byte, 1<<20)
	for off := int64(0); off < n; off += int64(len(b)) {
		if r.IntN(4) == 0 {
			continue // a hole
		}
		for i := 0; i < len(b); i += 8 {
			v := r.Uint64()
			for j := range 8 {
				b[i+j] = byte(v >> (8 * j))
			}
		}
		_, err = f.WriteAt(b, off)
		must(t, err)
	}
	must(t, f.Truncate(n))
	must(t, f.Close())
}

func manyEvents(t *testing.T, dir string, n int) string {
	t.Helper()
	path := filepath.Join(dir, "events.json")
	f, err := os.Create(path)
	must(t, err)
	for i := range n {
		_, err = fmt.Fprintf(f, `{"eventVersion":"1.08","eventID":"e%06d","eventName":"DescribeInstances","eventSource":"ec2.amazonaws.com","awsRegion":"us-east-1","eventTime":"2026-10-14T%02d:%02d:%02dZ","userIdentity":{"type":"IAMUser","userName":"u%d","accessKeyId":"AKIA2OGYBAH6QLWVZT7M"}}`+"\n", i, i/3600%24, i/60%60, i%60, i%7)
		must(t, err)
	}
	must(t, f.Close())
	return path
}
