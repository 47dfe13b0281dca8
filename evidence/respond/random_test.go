package respond_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"snapcase/evidence"
	"snapcase/evidence/aws/awstest"
	"snapcase/evidence/custody"
	"snapcase/evidence/respond"
)

// killer ends the process, as far as a test can: it panics before or after a
// call or a record.
type killer struct {
	left  int // operations until then; negative for never
	after bool
}

type killed struct{}

func (k *killer) tick(f func() error) error {
	k.left--
	if k.left == 0 && !k.after {
		panic(killed{})
	}
	err := f()
	if k.left == 0 {
		panic(killed{})
	}
	return err
}

type killedCloud struct {
	respond.Cloud
	k *killer
}

func (c killedCloud) Change(ctx context.Context, call evidence.CloudCall) (a evidence.CloudAnswer, err error) {
	err = c.k.tick(func() error { a, err = c.Cloud.Change(ctx, call); return err })
	return a, err
}

func (c killedCloud) Read(ctx context.Context, call evidence.CloudCall) (a []evidence.CloudAnswer, err error) {
	err = c.k.tick(func() error { a, err = c.Cloud.Read(ctx, call); return err })
	return a, err
}

type killedLedger struct {
	*custody.Ledger
	k *killer
}

func (l killedLedger) Append(ctx context.Context, r custody.Record) error {
	return l.k.tick(func() error { return l.Ledger.Append(ctx, r) })
}

// alive runs f and says whether it lived to its end.
func alive(f func() error) (err error, ok bool) { //nolint:revive // the error is f's, the flag is about f
	defer func() {
		if r := recover(); r != nil {
			if _, is := r.(killed); !is {
				panic(r)
			}
			ok = false
		}
	}()
	return f(), true
}

// runs is how many random runs the test makes; SNAPCASE_RUNS asks for more.
func runs(t *testing.T) int {
	if n, err := strconv.Atoi(os.Getenv("SNAPCASE_RUNS")); err == nil {
		return n
	}
	if testing.Short() {
		return 3
	}
	return 12
}

// Whatever fails and wherever it is killed: no call outside the plan, no step
// twice, nothing made twice, and undo brings the recorded state back.
func TestRandomFaults(t *testing.T) {
	total := struct{ kills, changes int }{}
	for seed := range runs(t) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 7)) //nolint:gosec // a seed
			w := newWorld(t, uint64(seed))
			w.ec2.Lag, w.ec2.Pending, w.ec2.VPCIPv6 = r.IntN(4), r.IntN(4), r.IntN(2) == 0
			n := 0
			w.s.Exhibit = func(context.Context, string, string) (evidence.Acquisition, error) {
				n++
				return evidence.Acquisition{Exhibit: fmt.Sprintf("EX-%03d", n)}, nil
			}
			before := w.state()
			o := everything()
			o.Skip = []string{"describe"}
			o.CutEstablished, o.NACL, o.DetachEIP = r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(2) == 0
			if r.IntN(2) == 0 {
				w.ec2.Volumes["vol-2"].KMSKey = awstest.DefaultKey
				o.KMSKey = "arn:aws:kms:eu-west-1:111122223333:key/ours"
			}
			p := w.plan(o)
			breakThings(w, r)
			total.kills += w.untilDone(t, r, func() error {
				saved, err := w.s.Resume(o) // as a new process does: from disk
				if err != nil {
					return err
				}
				if saved == nil {
					saved = p
				}
				return w.s.Run(t.Context(), saved)
			})
			w.isolated(t)
			w.onlyPlanned(t, p)
			w.madeOnce(t, p)
			changes := len(w.journal())
			total.changes += changes
			if r.IntN(3) == 0 { // an undo that was killed, and then it is run again after all
				k := &killer{left: 1 + r.IntN(60)}
				w.s.Cloud, w.s.Ledger = killedCloud{w.calls, k}, killedLedger{w.ledger, k}
				_, _ = alive(func() error { return w.s.Undo(t.Context(), victim, respond.UndoOptions{}) })
				total.kills += w.untilDone(t, r, func() error { return w.s.Run(t.Context(), p) })
				w.isolated(t)
			}
			total.kills += w.untilDone(t, r, func() error { return w.s.Undo(t.Context(), victim, respond.UndoOptions{}) })
			if got := w.state(); got != before {
				t.Errorf("after undo\n%s\nbefore\n%s\njournal %v", got, before, w.journal()[changes:])
			}
		})
	}
	t.Logf("%d runs, %d kills, %d changes", runs(t), total.kills, total.changes)
}

// breakThings adds faults of every kind that leaves the account usable.
func breakThings(w *world, r *rand.Rand) {
	for _, k := range []awstest.FaultKind{awstest.Throttle, awstest.Unavailable, awstest.Reset, awstest.LostAnswer, awstest.ShortBody} {
		if r.IntN(2) == 0 {
			w.server.Break(awstest.Fault{Kind: k, Share: 0.02 + 0.1*r.Float64()})
		}
	}
	if r.IntN(3) == 0 {
		at := 1 + r.IntN(150)
		w.server.Break(awstest.Fault{Kind: awstest.Expired, First: at, Last: at + r.IntN(3)})
	}
}

// untilDone calls f again and again, with a kill at a random place each time,
// until it ends well.
func (w *world) untilDone(t *testing.T, r *rand.Rand, f func() error) (kills int) {
	t.Helper()
	for try := range 60 {
		k := &killer{left: -1}
		if try < 40 && r.IntN(3) > 0 {
			k.left, k.after = 1+r.IntN(80), r.IntN(2) == 0
		}
		w.s.Cloud, w.s.Ledger = killedCloud{w.calls, k}, killedLedger{w.ledger, k}
		err, ok := alive(f)
		switch {
		case !ok:
			kills++
		case err == nil:
			return kills
		case errors.Is(err, evidence.ErrGaps):
			t.Logf("gaps: %.300v", err) // a fault outlasted the patience of a step: the next run does it
		}
		if try == 50 {
			w.server.Mend()
		}
		if try > 55 {
			t.Logf("still: %.300v", err)
		}
	}
	t.Fatal("it never ended well")
	return kills
}

// onlyPlanned holds the journal against the plan: every call was planned, and
// none was made more often than planned.
func (w *world) onlyPlanned(t *testing.T, p *respond.Plan) {
	t.Helper()
	left := planned(p)
	for _, c := range w.journal() {
		i := slices.Index(left, c)
		if i < 0 {
			t.Errorf("%s was not in the plan, or made twice\njournal %v", c, w.journal())
			return
		}
		left = slices.Delete(left, i, i+1)
	}
	intents := map[string]int{}
	for _, r := range w.records("respond.intent") {
		s, _ := r.Data["service"].(string)
		a, _ := r.Data["action"].(string)
		intents[s+":"+a]++
	}
	for _, c := range w.journal() {
		if intents[c]--; intents[c] < 0 {
			t.Errorf("%s was made without an intent in the ledger", c)
		}
	}
}

// isolated looks whether every interface is closed.
func (w *world) isolated(t *testing.T) {
	t.Helper()
	for _, n := range []string{"eni-1", "eni-2"} {
		for _, v6 := range []bool{false, true} {
			if w.ec2.Allowed(n, v6, true) || w.ec2.Allowed(n, v6, false) {
				t.Errorf("%s is open: %v", n, w.ec2.Nets[n].Groups)
			}
		}
	}
}

// madeOnce counts what exists.
func (w *world) madeOnce(t *testing.T, p *respond.Plan) {
	t.Helper()
	want := map[string]int{"groups": 2, "snapshots": 2, "volumes": 2, "acls": 1, "mirrors": 0}
	for _, c := range planned(p) {
		switch _, a, _ := strings.Cut(c, ":"); {
		case a == "CreateSecurityGroup":
			want["groups"]++
		case a == "CopySnapshot":
			want["snapshots"]++
		case a == "CreateVolume":
			want["volumes"]++
		case a == "CreateNetworkAcl":
			want["acls"]++
		case strings.HasPrefix(a, "CreateTrafficMirror") && a != "CreateTrafficMirrorFilterRule":
			want["mirrors"]++
		}
	}
	e := w.ec2
	got := map[string]int{"groups": len(e.Groups), "snapshots": len(e.Snapshots), "volumes": len(e.Volumes), "acls": len(e.ACLs), "mirrors": len(e.Mirrors)}
	for k := range want {
		if got[k] != want[k] {
			t.Errorf("%d %s, want %d", got[k], k, want[k])
		}
	}
}
