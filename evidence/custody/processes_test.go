package custody

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"snapcase/evidence"
)

// child is a process of this test that appends records to a case.
func child(t *testing.T, f evidence.Folder, key string, n int) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^TestChild$")
	c.Env = append(os.Environ(), "CUSTODY_CHILD="+string(f), "CUSTODY_KEY="+key, "CUSTODY_N="+strconv.Itoa(n))
	c.Stderr = os.Stderr
	return c
}

func TestChild(t *testing.T) {
	dir := os.Getenv("CUSTODY_CHILD")
	if dir == "" {
		t.Skip("is run by other tests")
	}
	s, err := LoadSigner(os.Getenv("CUSTODY_KEY"))
	must(t, err)
	l, err := Open(evidence.Folder(dir), Options{Actor: "alice@example.org", Signer: s, Host: "h", Now: time.Now, Tool: Tool{Args: []string{}, Name: "snapcase", Version: "0"}})
	must(t, err)
	n, err := strconv.Atoi(os.Getenv("CUSTODY_N"))
	must(t, err)
	for i := range n {
		text := fmt.Sprintf("%d %d", os.Getpid(), i)
		must(t, l.Append(context.Background(), note(text)))
		fmt.Println("acknowledged " + text)
	}
	must(t, l.Close())
}

// caseForChildren makes a case whose key lies in a file.
func caseForChildren(t *testing.T) (evidence.Folder, string) {
	t.Helper()
	f, key := evidence.Folder(t.TempDir()), filepath.Join(t.TempDir(), "key")
	must(t, MakeKey(key, "test"))
	s, err := LoadSigner(key)
	must(t, err)
	o := options(t, newClock())
	o.Signer, o.Now, o.Boot = s, time.Now, nil
	l, err := Create(f, testCase, o)
	must(t, err)
	must(t, l.Append(t.Context(), Record{Type: "case.open"}))
	must(t, l.Close())
	return f, key
}

func acknowledged(out []byte) []string {
	var all []string
	for line := range strings.Lines(string(out)) {
		if text, ok := strings.CutPrefix(line, "acknowledged "); ok && strings.HasSuffix(text, "\n") {
			all = append(all, strings.TrimSpace(text))
		}
	}
	return all
}

func notes(t *testing.T, f evidence.Folder) map[string]int {
	t.Helper()
	all := map[string]int{}
	for r, err := range Records(f) {
		must(t, err)
		if s, ok := r.Data["text"].(string); ok {
			all[s]++
		}
	}
	return all
}

func TestEightProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("needs some seconds")
	}
	const processes, each = 8, 100
	f, key := caseForChildren(t)
	var wait sync.WaitGroup
	outs := make([][]byte, processes)
	errs := make([]error, processes)
	for i := range processes {
		c := child(t, f, key, each)
		wait.Go(func() { outs[i], errs[i] = c.Output() })
	}
	wait.Wait()
	have := notes(t, f)
	for i := range processes {
		must(t, errs[i])
		for _, text := range acknowledged(outs[i]) {
			if have[text] != 1 {
				t.Errorf("%q is there %d times", text, have[text])
			}
		}
	}
	if len(have) != processes*each {
		t.Errorf("%d records", len(have))
	}
	if r := verify(t, f, allowedSigners(f)); r.Verdict != Intact {
		t.Fatalf("%+v", r)
	}
}

func TestKilledInAppend(t *testing.T) {
	if testing.Short() {
		t.Skip("needs some seconds")
	}
	f, key := caseForChildren(t)
	var acked []string
	for i := range 40 {
		c := child(t, f, key, 100000)
		var out bytes.Buffer
		c.Stdout = &out
		must(t, c.Start())
		time.Sleep(time.Duration(20+i*7%60) * time.Millisecond)
		must(t, c.Process.Kill())
		c.Wait() //nolint:errcheck // it was killed
		acked = append(acked, acknowledged(out.Bytes())...)
		r := verify(t, f, allowedSigners(f))
		if r.Verdict != Intact && r.Verdict != Partial {
			t.Fatalf("after kill %d: %+v", i, r)
		}
	}
	c := child(t, f, key, 1)
	if out, err := c.Output(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	have := notes(t, f)
	for _, text := range acked {
		if have[text] != 1 {
			t.Errorf("%q was acknowledged and is there %d times", text, have[text])
		}
	}
	if r := verify(t, f, allowedSigners(f)); r.Verdict != Intact {
		t.Fatalf("%+v", r)
	}
	if len(acked) < 40 {
		t.Errorf("only %d acknowledged: the test killed too early to show anything", len(acked))
	}
}

func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a small tmpfs")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("needs to mount a tmpfs: %v", err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH) //nolint:errcheck // a test's mount
	f, c := evidence.Folder(filepath.Join(dir, "case")), newClock()
	must(t, os.Mkdir(string(f), 0o755))
	l, err := Create(f, testCase, options(t, c))
	must(t, err)
	n, long := 0, strings.Repeat("x", 20000)
	for ; n < 100; n++ {
		if err = l.Append(t.Context(), note(long)); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("%d appends, then %v", n, err)
	}
	b, err := os.ReadFile(f.Ledger())
	must(t, err)
	if b[len(b)-1] != '\n' || bytes.Count(b, []byte("\n")) != n {
		t.Fatalf("%d lines after %d appends", bytes.Count(b, []byte("\n")), n)
	}
	must(t, syscall.Mount("", dir, "tmpfs", syscall.MS_REMOUNT, "size=2m"))
	must(t, l.Append(t.Context(), note("there is room again")))
	must(t, l.Close())
	if r := verify(t, f, allowedSigners(f)); r.Verdict != Intact || r.Records != int64(n+1) {
		t.Fatalf("%+v", r)
	}
}
