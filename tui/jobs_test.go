package tui

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/acquire"
)

// TestJobsShow looks at every state of an acquisition.
func TestJobsShow(t *testing.T) {
	r := newRig(t, &fakeCase{n: 10}, 120, 36, Options{}).press("J")
	r.has("EX-005  ○ running", "37 %", "EX-006  ! interrupted", "EX-007  ✗ failed", "EX-008  ○ running", "EX-001  ✓ sealed", "100 %",
		"37.0G of 100.0G: 17.0G data, 20.0G never written", "34,816 of 83,968 blocks got, 41.0G in all", "not complete: no digest, not sealed")
	r.press("down").has("unreadable  4.0K", "goes on with the same command", "snapcase acquire CASE /dev/nvme1n1")
	r.press("down").has("✗ read block 41 of snap-0fedcba9876543210", "the credentials have expired")
	r.press("down").has("8,841 files, 1.0G")
	r.press("down").has("Complete, hashed and sealed")
	newRig(t, &fakeCase{n: 10}, 80, 24, Options{}).press("J").has("EX-005", "○ running", "37 %")
}

// TestJobsRate: rate and time left come from what was seen, and go when it stands.
func TestJobsRate(t *testing.T) {
	now, done := day, int64(0)
	f := &fakeCase{n: 10, under: func() []acquire.Underway {
		return []acquire.Underway{{Exhibit: "EX-005", Kind: evidence.KindDisk, Source: "snap-0123456789abcdef0", Size: 10 << 30, Data: done, Running: true}}
	}}
	r := newRig(t, f, 120, 36, Options{})
	r.m.acquisitions().now = func() time.Time { return now }
	r.press("J").lacks("M/s")
	for range 5 {
		now, done = now.Add(time.Second), done+100<<20
		r.press("r")
	}
	r.has("100.0M/s", "1m37s")
	for range 130 { // it stands
		now = now.Add(time.Second)
		r.press("r")
	}
	r.lacks("M/s", "1m37s")
}

// acquirer is a program's acquisition that the test ends.
type acquirer struct {
	got   []AcquireRequest
	began chan struct{}
	end   chan error
}

func newAcquirer() *acquirer {
	return &acquirer{began: make(chan struct{}, 9), end: make(chan error, 9)}
}

func (a *acquirer) acquire(ctx context.Context, r AcquireRequest) (evidence.Acquisition, error) {
	a.got = append(a.got, r)
	a.began <- struct{}{}
	if r.Browse != nil {
		r.Browse("EX-009", nil)
	}
	select {
	case err := <-a.end:
		return evidence.Acquisition{Exhibit: "EX-009"}, err
	case <-ctx.Done():
		return evidence.Acquisition{Exhibit: "EX-009"}, ctx.Err()
	}
}

// TestAcquireHere begins an acquisition, and sees its end.
func TestAcquireHere(t *testing.T) {
	a := newAcquirer()
	a.end <- nil
	r := newRig(t, &fakeCase{n: 10}, 120, 36, Options{Acquire: a.acquire}).press("J a")
	r.typed("snap-00112233445566778 eu-west-1").press("enter")
	r.has("snapcase acquire CASE snap-00112233445566778 --region eu-west-1 --lazy", "can be read while the image follows")
	if len(a.got) != 0 {
		t.Fatal("it began before it was confirmed")
	}
	r.press("enter").has("EX-009 is sealed")
	if len(a.got) != 1 || !a.got[0].Lazy || a.got[0].Source != "snap-00112233445566778" || a.got[0].Region != "eu-west-1" {
		t.Errorf("%+v", a.got)
	}
	a.end <- evidence.WithHint(errors.New("look up the caller: no AWS credentials were found"), "set AWS_PROFILE")
	r.press("a").typed("/srv/a disk.raw").press("enter enter").has("no AWS credentials were found")
	if a.got[1].Lazy || a.got[1].Source != "/srv/a disk.raw" {
		t.Errorf("%+v", a.got[1])
	}
}

// TestLeaveWhileAcquiring asks first, and waits for the pause.
func TestLeaveWhileAcquiring(t *testing.T) {
	a := newAcquirer()
	r := newRig(t, &fakeCase{n: 10}, 120, 36, Options{Acquire: a.acquire}).press("J")
	s := r.m.acquisitions()
	cmd := s.start(AcquireRequest{Source: "snap-1"})
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-a.began
	}()
	finished := make(chan struct{})
	go func() { defer close(finished); r.run(cmd) }()
	<-done
	s.own.run.wait()
	<-finished
	if !s.own.done || !evidence.Canceled(s.own.err) {
		t.Errorf("%+v", s.own.err)
	}
	r.has("paused")
	s.own = &ownJob{source: "snap-1", run: newRunning(t.Context(), "acquire")}
	r.press("q").has("leave with an acquisition under way", "snapcase acquire CASE snap-1")
	if r.quit {
		t.Error("it left")
	}
	r.press("esc X").has("pause the acquisition")
}

// TestReadOnlyAcquiresNothing: neither the key nor the offer is there.
func TestReadOnlyAcquiresNothing(t *testing.T) {
	a := newAcquirer()
	r := newRig(t, &fakeCase{n: 10, readOnly: true}, 120, 36, Options{Acquire: a.acquire}).press("J a")
	if r.m.top() != nil || strings.Contains(r.screen(), "acquire (snap") {
		t.Error(r.screen())
	}
}

// TestIncompleteShows: an exhibit that is not sealed is said to be so in the header
// of every section, among the exhibits and in what is missing.
func TestIncompleteShows(t *testing.T) {
	r := newRig(t, &fakeCase{n: 10, early: true}, 120, 36, Options{})
	for _, keys := range []string{"1", "2", "5", "6", "J"} {
		r.press(keys).has("EX-005 not complete, 37 %")
	}
	r.press("2 G").has("! 37 %", "none yet: not complete, 37 % acquired, running")
	r.press("P").has("not complete: 37 % acquired")
}

// TestIndexAfterRespond: what a run acquired is indexed after it.
func TestIndexAfterRespond(t *testing.T) {
	indexed := 0
	r := newRig(t, &fakeCase{n: 10}, 120, 36, Options{Index: func(context.Context) error { indexed++; return nil }})
	s := r.m.response()
	for _, what := range []string{"run", "undo"} {
		s.running = newRunning(t.Context(), what)
		r.run(s.finish(nil))
	}
	if indexed != 1 {
		t.Errorf("indexed %d times", indexed)
	}
}
