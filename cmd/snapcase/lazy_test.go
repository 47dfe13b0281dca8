package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/aws/awstest"
)

// dam slows the blocks of a snapshot that are full of noise, the content of its big
// file, of which hardly one is needed to list the files; then it holds them back.
type dam struct {
	noise map[int32]bool
	mu    sync.Mutex
	slow  time.Duration
	shut  chan struct{} // nil where the dam is open
}

func newDam(t *testing.T, ebs *awstest.EBS) *dam {
	t.Helper()
	d := &dam{noise: map[int32]bool{}}
	s := ebs.Snapshots[snapshotID]
	b, zero := make([]byte, awstest.BlockSize), make([]byte, 4096)
	for _, i := range s.Listed {
		_, err := s.Data.ReadAt(b, int64(i)*awstest.BlockSize)
		must(t, err)
		d.noise[i] = !slices.ContainsFunc(slices.Collect(slices.Chunk(b, 4096)), func(p []byte) bool { return bytes.Equal(p, zero) })
	}
	return d
}

// wait is a latency of the server: that of every call, and of noise until the dam
// is open.
func (d *dam) wait(r *awstest.Request) time.Duration {
	p := strings.Split(r.HTTP.URL.Path, "/")
	n, err := strconv.Atoi(p[len(p)-1])
	d.mu.Lock()
	shut, slow := d.shut, d.slow
	d.mu.Unlock()
	if r.Action != "GetSnapshotBlock" || err != nil || !d.noise[int32(n)] { //nolint:gosec // of a test's volume
		return 2 * time.Millisecond
	}
	if shut != nil {
		select {
		case <-shut:
		case <-r.HTTP.Context().Done():
		}
	}
	return slow
}

func (d *dam) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = make(chan struct{})
}

func (d *dam) open() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.slow = 0; d.shut != nil {
		close(d.shut)
		d.shut = nil
	}
}

// TestLazy acquires a snapshot whose files are read meanwhile, by other processes,
// while some blocks come with a wrong checksum; kills it; and goes on.
func TestLazy(t *testing.T) {
	image := ext4(t, 220)
	server, ebs := cloud(t, image)
	d := newDam(t, ebs)
	d.slow = 4 * time.Second
	server.Latency = d.wait
	server.Break(awstest.Fault{Service: "ebs", Action: "GetSnapshotBlock", Kind: awstest.WrongSum, Share: 0.1})
	home, cs := t.TempDir(), filepath.Join(t.TempDir(), "case")
	output(t, home, []int{0}, "new", cs, "--title", "T", "--examiner", "jdoe")
	output(t, home, []int{2}, "acquire", cs, image, "--lazy")

	defer d.open()
	c, said := lazy(t, home, cs)
	d.close()
	if !strings.Contains(said, "it is not complete") {
		t.Errorf("it says %s", said)
	}
	checkBrowsing(t, home, cs, "running")
	must(t, c.Process.Kill())
	_ = c.Wait() // it was killed
	checkBrowsing(t, home, cs, "interrupted")
	noise := addressOf(t, home, cs, "/noise.bin")
	if out, err := command(t, home, "cat", cs, noise).CombinedOutput(); err == nil || !bytes.Contains(out, []byte("not acquired yet")) || !bytes.Contains(out, []byte("it resumes")) {
		t.Errorf("content that is not here: %v %.300s", err, out)
	}
	if out, err := command(t, home, "report", cs, "-o", filepath.Join(t.TempDir(), "r")).CombinedOutput(); err == nil || !bytes.Contains(out, []byte("not complete")) {
		t.Errorf("a report: %v %s", err, out)
	}

	d.open()
	var got evidence.Acquisition
	must(t, json.Unmarshal(output(t, home, []int{0}, "acquire", cs, snapshotID, "--lazy", "--json"), &got))
	if got.SHA256.String() != sum(t, image) || sum(t, filepath.Join(cs, "exhibits/EX-001/image.raw")) != sum(t, image) {
		t.Errorf("%+v, want %s", got, sum(t, image))
	}
	twice := 0
	server.Locked(func() {
		for _, n := range ebs.Got {
			twice += max(0, n-1)
		}
	})
	t.Logf("%d blocks were read twice, with one kill and one in ten wrong", twice)
	var stats []map[string]any
	must(t, json.Unmarshal(output(t, home, []int{0}, "stats", cs, "--json"), &stats))
	if len(stats) != 1 || stats[0]["incomplete"] != nil || stats[0]["sha256"] != got.SHA256.String() {
		t.Errorf("%v", stats)
	}
	output(t, home, []int{0, 5}, "verify", cs)
	left, err := os.ReadDir(filepath.Join(cs, "exhibits/EX-001"))
	must(t, err)
	for _, f := range left {
		if strings.HasPrefix(f.Name(), ".") {
			t.Errorf("%s is left behind", f.Name())
		}
	}
}

// lazy begins an acquisition, and returns when its files are listed.
func lazy(t *testing.T, home, cs string) (*exec.Cmd, string) {
	t.Helper()
	c := command(t, home, "acquire", cs, snapshotID, "--lazy")
	r, w, err := os.Pipe()
	must(t, err)
	c.Stderr = w
	must(t, c.Start())
	must(t, w.Close())
	t.Cleanup(func() { _ = c.Process.Kill(); _ = r.Close() })
	var said []byte
	b := make([]byte, 4096)
	for !bytes.Contains(said, []byte("its files are listed")) {
		n, err := r.Read(b)
		if said = append(said, b[:n]...); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
	}
	return c, string(said)
}

func addressOf(t *testing.T, home, cs, path string) string {
	t.Helper()
	out, err := command(t, home, "files", cs, "--path", path, "--json").Output()
	if err == nil {
		t.Error("an exhibit that is not complete gives exit code 0")
	}
	var e evidence.FileEntry
	must(t, json.Unmarshal(out, &e))
	return e.Address
}

// checkBrowsing looks at an exhibit that is not sealed as another process does.
func checkBrowsing(t *testing.T, home, cs, state string) {
	t.Helper()
	c := command(t, home, "files", cs, "--exhibit", "EX-001")
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	if err == nil || c.ProcessState.ExitCode() != 4 || !bytes.Contains(out, []byte("/notes.txt")) || !strings.Contains(said.String(), "not complete") || !strings.Contains(said.String(), state) {
		t.Errorf("%v: %s %s", err, out, said.String())
	}
	c = command(t, home, "cat", cs, addressOf(t, home, cs, "/notes.txt"))
	said.Reset()
	c.Stderr = &said
	if out, err := c.Output(); err == nil || c.ProcessState.ExitCode() != 4 || string(out) != "AKIAIOSFODNN7EXAMPLE\n" || !strings.Contains(said.String(), "not complete") {
		t.Errorf("%v: %q %s", err, out, said.String())
	}
	var stats []evidence.ExhibitStats
	must(t, json.Unmarshal(output(t, home, []int{4}, "stats", cs, "--json"), &stats))
	if len(stats) != 1 || stats[0].Incomplete == nil || stats[0].Incomplete.State != state || stats[0].SHA256 != (evidence.Digest{}) {
		t.Errorf("%+v", stats)
	}
}
