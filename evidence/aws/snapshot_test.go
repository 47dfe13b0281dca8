package aws

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"snapcase/evidence/acquire"
	"snapcase/evidence/aws/awstest"
	"snapcase/imaging"
)

// listed are blocks of a volume of 1 GiB: the first, the last, some between.
func listed() []int32 {
	all := span(0, 40)
	all = append(all, 63, 64, 65, 700)
	return append(all, span(2040, 2048)...)
}

func TestReadAt(t *testing.T) {
	for _, how := range []struct {
		name  string
		page  int
		empty bool
	}{{"one page", 0, false}, {"pages of 2", 2, false}, {"empty pages", 3, true}} {
		c := newCloud(t, 1, listed())
		c.ebs.Page, c.ebs.Empty = how.page, how.empty
		s := c.open(t)
		if s.Size() != 1<<30 || s.BlockSize() != 512<<10 || s.DataBytes() != int64(len(listed()))*512<<10 {
			t.Fatalf("%s: size %d, block %d, data %d", how.name, s.Size(), s.BlockSize(), s.DataBytes())
		}
		for _, at := range [][2]int64{{0, 100}, {500_000, 50_000}, {10 << 20, 30 << 20}, {1<<30 - 9<<20, 9 << 20}, {64*524288 - 7, 524288 + 14}, {350 << 20, 1}} {
			got, want := make([]byte, at[1]), make([]byte, at[1])
			n, err := s.ReadAt(got, at[0])
			must(t, err)
			_, err = c.noise.ReadAt(want, at[0])
			must(t, err)
			if n != len(want) || !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes at %d differ", how.name, at[1], at[0])
			}
		}
		if n, err := s.ReadAt(make([]byte, 100), 1<<30-10); n != 10 || !errors.Is(err, io.EOF) {
			t.Errorf("%s: at the end %d %v", how.name, n, err)
		}
		if n, err := s.ReadAt(make([]byte, 1), 1<<30); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("%s: behind the end %d %v", how.name, n, err)
		}
		if _, err := s.ReadAt(make([]byte, 1), -1); err == nil {
			t.Error("a negative offset was read")
		}
	}
}

func TestNextData(t *testing.T) {
	s := newCloud(t, 1, []int32{0, 1, 100, 2047}).open(t)
	const b = 524288
	for _, w := range [][3]int64{{0, 0, 2 * b}, {5, 5, 2 * b}, {2 * b, 100 * b, 101 * b}, {100*b + 1, 100*b + 1, 101 * b}, {101 * b, 2047 * b, 2048 * b}, {2048 * b, 2048 * b, 2048 * b}} {
		if start, end := s.NextData(w[0]); start != w[1] || end != w[2] {
			t.Errorf("NextData(%d) = %d, %d, want %d, %d", w[0], start, end, w[1], w[2])
		}
	}
}

// TestOnce: a block that many ask for in small pieces is one request.
func TestOnce(t *testing.T) {
	c := newCloud(t, 1, span(0, 8))
	s := c.open(t)
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			b := make([]byte, 1000)
			if _, err := s.ReadAt(b, int64(i)*8000); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	c.Locked(func() {
		if c.ebs.Got[0] != 1 {
			t.Errorf("block 0 was read %d times", c.ebs.Got[0])
		}
	})
}

// readAll reads the listed blocks of a snapshot and compares.
func (c *cloud) readAll(t *testing.T, s *Snapshot) error {
	t.Helper()
	got, want := make([]byte, 4<<20), make([]byte, 4<<20)
	for off := int64(0); ; {
		start, end := s.NextData(off)
		if start == s.Size() {
			return nil
		}
		n := min(end-start, int64(len(got)))
		if _, err := s.ReadAt(got[:n], start); err != nil {
			return err
		}
		_, err := c.noise.ReadAt(want[:n], start)
		must(t, err)
		if !bytes.Equal(got[:n], want[:n]) {
			t.Fatalf("the %d bytes at %d differ", n, start)
		}
		off = start + n
	}
}

// TestFaults: whatever goes wrong, what is read is what is there.
func TestFaults(t *testing.T) {
	for name, f := range map[string]awstest.Fault{
		"throttled":          {Kind: awstest.Throttle, Share: 0.3},
		"throttled, other":   {Kind: awstest.Throttle, Share: 0.3, Error: &awstest.Error{Status: 400, Code: "ThrottlingException", Message: "Rate exceeded"}},
		"429":                {Kind: awstest.Throttle, Share: 0.3, Error: &awstest.Error{Status: 429, Code: "Whatever", Message: "too many"}},
		"500":                {Kind: awstest.Unavailable, Share: 0.3},
		"503 of a proxy":     {Kind: awstest.HTML, Share: 0.2},
		"reset in the body":  {Kind: awstest.Reset, Share: 0.3},
		"no answer":          {Kind: awstest.LostAnswer, Share: 0.3},
		"short body":         {Kind: awstest.ShortBody, Share: 0.3},
		"flipped bit":        {Kind: awstest.WrongSum, Share: 0.3},
		"stale block tokens": {Kind: awstest.Throttle, Share: 0.1, Error: &awstest.Error{Status: 400, Code: "ValidationException", Reason: "INVALID_BLOCK_TOKEN", Message: "expired"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, 1, listed())
			s := c.open(t)
			f.Service, f.Action = "ebs", "GetSnapshotBlock"
			c.Break(f)
			if err := c.readAll(t, s); err != nil {
				t.Fatal(err)
			}
			if s.Origin().Retries == 0 {
				t.Error("nothing was tried again: the fault did not hit")
			}
		})
	}
}

func TestListFaults(t *testing.T) {
	for name, f := range map[string]awstest.Fault{
		"throttled":        {Kind: awstest.Throttle, Share: 0.4},
		"500":              {Kind: awstest.Unavailable, Share: 0.4},
		"reset":            {Kind: awstest.Reset, Share: 0.3},
		"short":            {Kind: awstest.ShortBody, Share: 0.3},
		"stale page token": {Kind: awstest.Throttle, First: 5, Last: 5, Error: &awstest.Error{Status: 400, Code: "ValidationException", Reason: "INVALID_PAGE_TOKEN", Message: "expired"}},
	} {
		c := newCloud(t, 1, listed())
		c.ebs.Page = 2
		f.Service, f.Action = "ebs", "ListSnapshotBlocks"
		c.Break(f)
		s, err := c.account(t).Snapshot(t.Context(), testSnapshot)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c.Mend()
		if s.DataBytes() != int64(len(listed()))*512<<10 {
			t.Errorf("%s: %d bytes listed", name, s.DataBytes())
		}
		if err := c.readAll(t, s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTokensExpire: block tokens end after a week, page tokens after an hour.
func TestTokensExpire(t *testing.T) {
	c := newCloud(t, 1, listed())
	s := c.open(t)
	must(t, c.sleep(t.Context(), 8*24*time.Hour))
	must(t, c.readAll(t, s))
	// With tokens that end before the service says so.
	c = newCloud(t, 1, listed())
	c.ebs.BlockLife = time.Minute * 2
	s = c.open(t)
	s.tokens.parts[0].expires = time.Time{}
	must(t, c.sleep(t.Context(), time.Hour))
	must(t, c.readAll(t, s))
}

// TestFewTokens: with room for none, each part is listed again when it is read.
func TestFewTokens(t *testing.T) {
	c := newCloud(t, 8, append(span(0, 20), span(8190, 8200)...))
	s := c.open(t)
	s.tokens.mu.Lock()
	for _, p := range s.tokens.parts {
		s.tokens.drop(p)
	}
	s.tokens.mu.Unlock()
	before := c.Count("ebs", "ListSnapshotBlocks")
	must(t, c.readAll(t, s))
	if n := c.Count("ebs", "ListSnapshotBlocks") - before; n != 2 {
		t.Errorf("%d listings for two parts", n)
	}
}

// TestChangedList: a snapshot never changes, so a list that does is no answer.
func TestChangedList(t *testing.T) {
	for name, now := range map[string][]int32{"more": span(0, 11), "fewer": span(0, 9), "others": append(span(0, 9), 12)} {
		c := newCloud(t, 1, span(0, 10))
		s := c.open(t)
		s.tokens.forget(0)
		c.Locked(func() { c.snap.Listed = now })
		if _, err := s.ReadAt(make([]byte, 1), 0); !errors.Is(err, imaging.ErrGone) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLostBlock: a block that cannot be had while others can is a range, the
// others are read.
func TestLostBlock(t *testing.T) {
	for name, x := range map[string]*awstest.Error{
		"500":           {Status: 500, Code: "InternalServerException", Message: "no"},
		"invalid block": {Status: 400, Code: "ValidationException", Reason: "INVALID_BLOCK", Message: "no"},
	} {
		c := newCloud(t, 1, span(0, 30))
		c.ebs.Hurt[17] = x
		s := c.open(t)
		p := make([]byte, 30*524288)
		n, err := s.ReadAt(p, 0)
		var r *imaging.RangeError
		if n != 17*524288 || !errors.As(err, &r) || r.Offset != 17*524288 || r.Length != 524288 {
			t.Fatalf("%s: %d %v", name, n, err)
		}
		if name == "500" && r.Tries != tries {
			t.Errorf("tried %d times", r.Tries)
		}
		want := make([]byte, len(p))
		_, err = c.noise.ReadAt(want, 0)
		must(t, err)
		if !bytes.Equal(p[:n], want[:n]) || !bytes.Equal(p[18*524288:], want[18*524288:]) {
			t.Errorf("%s: what is beside it differs", name)
		}
	}
}

// TestAllGone: what hits every block is no unreadable range.
func TestAllGone(t *testing.T) {
	for name, w := range map[string]struct {
		f    awstest.Fault
		hint string
	}{
		"expired":    {awstest.Fault{Kind: awstest.Expired}, "renew them"},
		"denied":     {awstest.Fault{Kind: awstest.Denied}, "ebs:GetSnapshotBlock"},
		"KMS":        {awstest.Fault{Kind: awstest.Denied, Error: &awstest.Error{Status: 403, Code: "AccessDeniedException", Reason: "DEPENDENCY_ACCESS_DENIED", Message: "kms"}}, "kms:Decrypt"},
		"quota":      {awstest.Fault{Kind: awstest.Denied, Error: &awstest.Error{Status: 402, Code: "ServiceQuotaExceededException", Message: "quota"}}, "raise the quota"},
		"deleted":    {awstest.Fault{Kind: awstest.Denied, Error: &awstest.Error{Status: 404, Code: "ResourceNotFoundException", Reason: "SNAPSHOT_NOT_FOUND", Message: "gone"}}, ""},
		"all 500":    {awstest.Fault{Kind: awstest.Unavailable}, "wait"},
		"no answers": {awstest.Fault{Kind: awstest.LostAnswer}, "network"},
		"bad sums":   {awstest.Fault{Kind: awstest.WrongSum}, ""},
		"throttled":  {awstest.Fault{Kind: awstest.Throttle}, "wait"},
	} {
		c := newCloud(t, 1, span(0, 30))
		s := c.open(t)
		w.f.Service, w.f.Action = "ebs", "GetSnapshotBlock"
		c.Break(w.f)
		_, err := s.ReadAt(make([]byte, 5*524288), 0)
		if !errors.Is(err, imaging.ErrGone) || !strings.Contains(err.Error(), "of snap-0123456789abcdef0 in eu-west-1: ") || !strings.Contains(hintOf(err), w.hint) {
			t.Errorf("%s: %v, hint %q", name, err, hintOf(err))
		}
		t.Logf("%s: %v\n  hint: %s", name, err, hintOf(err))
	}
}

// TestRefused is what keeps a snapshot from being opened at all.
func TestRefused(t *testing.T) {
	for name, w := range map[string]struct {
		change     func(*cloud)
		text, hint string
	}{
		"unknown":      {func(c *cloud) { delete(c.ebs.Snapshots, testSnapshot) }, "is not known in eu-west-1", "--region"},
		"other region": {func(c *cloud) { c.snap.Region = "us-east-1" }, "is not known in eu-west-1", "--region"},
		"pending":      {func(c *cloud) { c.snap.State, c.snap.Progress = "pending", "42%" }, "not complete yet: 42%", "snapshot-completed"},
		"failed":       {func(c *cloud) { c.snap.State = "error" }, "has failed", "another snapshot"},
		"not listed": {func(c *cloud) {
			c.snap.Owner, c.snap.SharedWith = "999988887777", []string{"111122223333"}
			c.Break(awstest.Fault{Service: "ebs", Kind: awstest.Denied})
		}, "which account 999988887777 owns", "share the snapshot"},
		"no right":     {func(c *cloud) { c.Break(awstest.Fault{Service: "ebs", Kind: awstest.Denied}) }, "it is not allowed", "ebs:ListSnapshotBlocks"},
		"expired":      {func(c *cloud) { c.Break(awstest.Fault{Kind: awstest.Expired}) }, "have expired", "renew"},
		"no such call": {func(c *cloud) { c.Break(awstest.Fault{Service: "ebs", Kind: awstest.HTML}) }, "none of this service", "AWS_ENDPOINT_URL"},
	} {
		c := newCloud(t, 1, span(0, 3))
		w.change(c)
		_, err := c.account(t).Snapshot(t.Context(), testSnapshot)
		if err == nil || !strings.Contains(err.Error(), w.text) || !strings.Contains(hintOf(err), w.hint) {
			t.Errorf("%s: %v, hint %q", name, err, hintOf(err))
		}
		t.Logf("%s: %v\n  hint: %s", name, err, hintOf(err))
	}
}

// TestWithoutDescribe: who may read blocks need not be allowed to describe.
func TestWithoutDescribe(t *testing.T) {
	c := newCloud(t, 1, span(0, 3))
	c.Break(awstest.Fault{Service: "ec2", Kind: awstest.Denied})
	s := c.open(t)
	must(t, c.readAll(t, s))
	if o := s.Origin(); len(o.Notes) != 1 || o.Volume != "" {
		t.Errorf("%+v", o)
	}
}

// TestRate: against a service that allows 1000 a second, at least 900 come, and
// what it refuses is bounded.
func TestRate(t *testing.T) {
	c := newClock()
	b := newBucket(&Account{now: c.now, sleep: c.sleep}, rateStart)
	began, done, refused := c.now(), 0, 0
	var second int64
	in := 0
	for done < 60_000 {
		at, err := b.wait(t.Context(), false)
		must(t, err)
		if s := c.now().Unix(); s != second {
			second, in = s, 0
		}
		if in++; in > 1000 {
			refused++
			b.slow(at)
			continue
		}
		done++
	}
	rate := float64(done) / c.now().Sub(began).Seconds()
	t.Logf("%.0f a second, %d refused", rate, refused)
	if rate < 900 || refused > 60 {
		t.Errorf("%.0f a second, %d refused", rate, refused)
	}
}

// TestHugeVolume: a volume of 16 TiB that is almost empty.
func TestHugeVolume(t *testing.T) {
	c := newCloud(t, 16<<10, []int32{0, 1, 5_000_000, 33_554_431})
	s := c.open(t)
	must(t, c.readAll(t, s))
	dollars, seconds := s.Price()
	if s.Size() != 16<<40 || dollars > 0.001 || seconds > 1 {
		t.Errorf("%d bytes, $%f, %f s", s.Size(), dollars, seconds)
	}
}

// TestUrgent: what somebody waits for goes before what was only to come next, at
// the same rate, and what was to come next gives way to it.
func TestUrgent(t *testing.T) {
	c := newClock()
	b := newBucket(&Account{now: c.now, sleep: func(context.Context, time.Duration) error { return nil }}, 100)
	for range 1000 { // ten seconds of work are waiting
		_, err := b.wait(t.Context(), false)
		must(t, err)
	}
	began := c.now()
	for i := range 50 {
		at, err := b.wait(t.Context(), true)
		must(t, err)
		if late := at.Sub(began); late > time.Duration(i)*10*time.Millisecond {
			t.Fatalf("request %d goes after %s", i, late)
		}
	}
	at, err := b.wait(t.Context(), false)
	must(t, err)
	if late := at.Sub(began); late < 10*time.Second {
		t.Errorf("the next of the others goes after %s: nothing gave way", late)
	}
}

// TestWrongSumNeverShown: a block that always comes with a wrong checksum is an
// error for who waits for it, never bytes.
func TestWrongSumNeverShown(t *testing.T) {
	c := newCloud(t, 1, span(0, 8))
	s := c.open(t)
	c.Break(awstest.Fault{Service: "ebs", Action: "GetSnapshotBlock", Kind: awstest.WrongSum, Share: 1})
	folder, b := t.TempDir(), make([]byte, 4096)
	j := job(s, folder, &lines{})
	j.Early = func(e *acquire.Early) {
		if n, err := e.ReadAt(b, 5*awstest.BlockSize+100); n != 0 || err == nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		must(t, e.Close())
	}
	if _, err := acquire.Run(t.Context(), j); err == nil {
		t.Error("it is said to be acquired")
	}
	c.Mend()
	a, err := acquire.Run(t.Context(), job(c.open(t), folder, &lines{}))
	must(t, err)
	c.checkImage(t, folder, a)
}
