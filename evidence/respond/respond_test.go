package respond_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"snapcase/evidence"
	"snapcase/evidence/aws/awstest"
	"snapcase/evidence/respond"
)

// everything asks for all steps but memory.
func everything() respond.Options {
	return respond.Options{
		Instance: victim, ShareWith: security, WithVolume: true, HostInstance: host, Lock: 30, CutEstablished: true, NACL: true, DetachEIP: true, DetachASG: true,
		RevokeRole: true, DisableKeys: []string{"AKIAMARCMARCMARCMARC"}, Mirror: "eni-9", Order: respond.ContainFirst,
	}
}

func TestEightSteps(t *testing.T) {
	w := newWorld(t, 1)
	w.ec2.Lag, w.ec2.Pending = 2, 3
	before := w.state()
	p := w.plan(everything())
	if got := w.journal(); len(got) != 0 {
		t.Fatalf("plan changed: %v", got)
	}
	if err := w.s.Run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	// a new group here lets everything out already: those two calls are not needed
	if got, want := w.journal(), without(planned(p), "ec2:AuthorizeSecurityGroupEgress"); !slices.Equal(got, want) {
		t.Errorf("journal\n%s\nplanned\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, n := range []string{"eni-1", "eni-2"} {
		for _, v6 := range []bool{false, true} {
			if w.ec2.Allowed(n, v6, true) || w.ec2.Allowed(n, v6, false) {
				t.Errorf("%s is open, v6 %v: %v", n, v6, w.ec2.Nets[n].Groups)
			}
		}
	}
	for _, s := range w.ec2.Snapshots {
		if !slices.Equal(s.SharedWith, []string{security}) {
			t.Errorf("%s is shared with %v", s.ID, s.SharedWith)
		}
	}
	if m := w.scale.Members[victim]; m.State != "Standby" || !m.Protected || len(w.scale.Targets["arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/web/1"]) != 1 {
		t.Errorf("the group still has it: %v, %v", m, w.scale.Targets)
	}
	if k := w.iam.Keys["AKIAMARCMARCMARCMARC"].Status; k != "Inactive" {
		t.Errorf("the key is %s", k)
	}
	if got := w.ec2.Instances[victim].Profile; !strings.HasSuffix(got, "/snapcase-deny") {
		t.Errorf("profile %s", got)
	}
	if w.iam.Roles["web-role"]["AWSRevokeOlderSessions"] == "" {
		t.Error("older sessions live on")
	}
	w.checkFiles(t)
	// the same again changes nothing
	n := len(w.journal())
	again, err := w.s.Resume(everything())
	if err != nil || again == nil {
		t.Fatalf("resume: %v, %v", again, err)
	}
	if err := w.s.Run(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if m := len(w.journal()); m != n {
		t.Errorf("a second run changed %v", w.journal()[n:])
	}
	snaps := len(w.ec2.Snapshots)
	if err := w.s.Undo(t.Context(), victim, respond.UndoOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := w.state(); got != before {
		t.Errorf("after undo\n%s\nbefore\n%s", got, before)
	}
	if len(w.ec2.Snapshots) != snaps || w.iam.Keys["AKIAMARCMARCMARCMARC"].Status != "Inactive" || w.iam.Roles["web-role"]["AWSRevokeOlderSessions"] == "" {
		t.Error("undo deleted a snapshot, or revived credentials that nobody named")
	}
	if err := w.s.Undo(t.Context(), victim, respond.UndoOptions{Named: []string{"AKIAMARCMARCMARCMARC", "web-role"}}); err != nil {
		t.Fatal(err)
	}
	if w.iam.Keys["AKIAMARCMARCMARCMARC"].Status != "Active" || w.iam.Roles["web-role"]["AWSRevokeOlderSessions"] != "" {
		t.Error("undo did not revive what was named")
	}
}

// without takes one kind of call out.
func without(all []string, call string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == call })
}

// checkFiles looks at what a run leaves in the case.
func (w *world) checkFiles(t *testing.T) {
	t.Helper()
	dir := w.s.Dir(victim)
	for _, n := range []string{"plan.json", "before.json", "after.json", "undo.sh"} {
		if fi, err := os.Stat(filepath.Join(dir, n)); err != nil || fi.Size() == 0 {
			t.Errorf("%s: %v", n, err)
		}
	}
	ex, err := evidence.ReadExhibits(w.folder)
	if err != nil || len(ex) != 2 {
		t.Fatalf("%d exhibits, %v", len(ex), err)
	}
	index, err := filepath.Glob(filepath.Join(w.folder.Files(ex[0].Exhibit), "index.jsonl"))
	if err != nil || len(index) != 1 {
		t.Fatalf("index.jsonl: %v, %v", index, err)
	}
	b, err := os.ReadFile(index[0])
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	for _, l := range lines {
		var a struct {
			File, SHA256, Error string
			RequestID           string `json:"request_id"`
		}
		if err := json.Unmarshal([]byte(l), &a); err != nil || a.Error != "" || len(a.SHA256) != 64 || a.RequestID == "" {
			t.Errorf("%v: %s", err, l)
		}
	}
	if len(lines) < 30 {
		t.Errorf("%d answers", len(lines))
	}
	diff, err := os.ReadFile(filepath.Join(w.folder.Files(ex[1].Exhibit), "difference.txt"))
	if err != nil || !strings.Contains(string(diff), "subject.interfaces.1.groups.0: sg-db -> sg-0") {
		t.Errorf("difference.txt: %v\n%s", err, diff)
	}
}

// A containment that forgets IPv6 or the second interface, or the open group
// before the closed one, leaves a flow alive here.
func TestCutsWhatCanBeCut(t *testing.T) {
	for _, c := range []struct {
		name string
		cut  bool
		left int // of the six flows, how many live on: with a swap all but the untracked one
	}{{"swap", false, 5}, {"two groups", true, 2}} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 2)
			var flows []*awstest.Flow
			for _, n := range []string{"eni-1", "eni-2"} {
				for _, v6 := range []bool{false, true} {
					flows = append(flows, w.ec2.Connect(n, v6, false))
				}
				flows = append(flows, w.ec2.Connect(n, false, true)) // through NAT: always tracked
			}
			// eni-1 lets IPv4 in from anywhere: there a flow is untracked from the start
			if flows[0].Tracked || !flows[1].Tracked {
				t.Fatal("the model of tracking is not what this test is about")
			}
			if err := w.s.Run(t.Context(), w.plan(respond.Options{Instance: victim, CutEstablished: c.cut})); err != nil {
				t.Fatal(err)
			}
			alive := 0
			for _, f := range flows {
				if f.Alive {
					alive++
				}
			}
			if alive != c.left {
				t.Errorf("%d flows live on, want %d", alive, c.left)
			}
			for _, n := range []string{"eni-1", "eni-2"} {
				if w.ec2.Connect(n, false, false) != nil || w.ec2.Connect(n, true, false) != nil {
					t.Errorf("%s lets new flows out", n)
				}
			}
		})
	}
}

func TestStepsThatCannot(t *testing.T) {
	w := newWorld(t, 3)
	w.ec2.Volumes["vol-2"].KMSKey = awstest.DefaultKey
	w.ec2.Deny["ModifyInstanceAttribute"] = true
	delete(w.iam.Profiles, "snapcase-deny")
	p := w.plan(respond.Options{Instance: victim, ShareWith: security, RevokeRole: true})
	if s := p.Step("protect"); s == nil || s.Calls[0].Allowed != "no" {
		t.Errorf("the board says %v", s.Calls[0])
	}
	err := w.s.Run(t.Context(), p)
	if !errors.Is(err, evidence.ErrGaps) {
		t.Fatalf("run: %v", err)
	}
	for _, want := range []string{"protect", "credentials", "vol-2 is encrypted with aws/ebs"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	for _, n := range []string{"eni-1", "eni-2"} {
		if w.ec2.Allowed(n, false, true) {
			t.Errorf("%s is open: a refused step held up the rest", n)
		}
	}
	// the permission comes, the key is named: the same case goes on
	w.ec2.Deny["ModifyInstanceAttribute"] = false
	w.iam.Profiles["snapcase-deny"] = []string{"snapcase-deny"}
	n := len(w.ec2.Snapshots)
	p = w.plan(respond.Options{Instance: victim, ShareWith: security, RevokeRole: true, KMSKey: "arn:aws:kms:eu-west-1:111122223333:key/ours"})
	if err := w.s.Run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if len(w.ec2.Snapshots) != n+1 {
		t.Errorf("%d snapshots, want the two and one copy", len(w.ec2.Snapshots))
	}
	if !w.ec2.Instances[victim].DisableTermination || w.iam.Roles["web-role"]["AWSRevokeOlderSessions"] == "" {
		t.Error("what could not be done at first was not done later")
	}
}

// An interface that got the open group and is refused the closed one must not
// stay open.
func TestGivesBack(t *testing.T) {
	w := newWorld(t, 8)
	before := w.state()
	w.server.Break(awstest.Fault{Service: "ec2", Action: "ModifyNetworkInterfaceAttribute", Kind: awstest.Denied, First: 2, Last: 2})
	p := w.plan(respond.Options{Instance: victim, CutEstablished: true})
	if err := w.s.Run(t.Context(), p); !errors.Is(err, evidence.ErrGaps) || !strings.Contains(err.Error(), "it has its own groups back") {
		t.Fatalf("run: %v", err)
	}
	if g := w.ec2.Nets["eni-1"].Groups; !slices.Contains(g, "sg-web") || len(g) != 2 {
		t.Errorf("eni-1 holds %v", g)
	}
	flow := w.ec2.Connect("eni-1", true, false)
	if err := w.s.Run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if flow.Alive || w.ec2.Allowed("eni-1", true, true) {
		t.Error("the second run did not cut what the first could not")
	}
	if err := w.s.Undo(t.Context(), victim, respond.UndoOptions{}); err != nil || w.state() != before {
		t.Errorf("undo: %v\n%s\nbefore\n%s", err, w.state(), before)
	}
}

func TestFailedCopy(t *testing.T) {
	w := newWorld(t, 4)
	w.ec2.Volumes["vol-1"].KMSKey = awstest.DefaultKey
	w.ec2.FailCopy = "Given key ID is not accessible"
	p := w.plan(respond.Options{Instance: victim, ShareWith: security, KMSKey: "arn:aws:kms:eu-west-1:111122223333:key/bad"})
	err := w.s.Run(t.Context(), p)
	if !errors.Is(err, evidence.ErrGaps) || !strings.Contains(err.Error(), "Given key ID is not accessible") {
		t.Fatalf("run: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name, want, hint string
		o                respond.Options
		fault            *awstest.Fault
		region           string
	}{
		{name: "unknown instance", o: respond.Options{Instance: "i-0ffffffffffffffff"}, want: "InvalidInstanceID.NotFound", hint: "--region"},
		{name: "no instance id", o: respond.Options{Instance: "web-1"}, want: "wrong usage", hint: "i-0abc"},
		{name: "expired", o: respond.Options{Instance: victim}, fault: &awstest.Fault{Kind: awstest.Expired}, want: "expired", hint: "renew"},
		{name: "denied", o: respond.Options{Instance: victim}, fault: &awstest.Fault{Kind: awstest.Denied, Action: "DescribeInstances"}, want: "UnauthorizedOperation", hint: "ec2:DescribeInstances"},
		{name: "emulator", o: respond.Options{Instance: victim}, fault: &awstest.Fault{Kind: awstest.HTML, Action: "DescribeNetworkInterfaces"}, want: "does not know this call", hint: "emulator"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 5)
			if c.fault != nil {
				w.server.Break(*c.fault)
			}
			_, err := w.s.Plan(t.Context(), c.o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("plan: %v", err)
			}
			var h evidence.Hinted
			if !errors.As(err, &h) || !strings.Contains(h.Hint(), c.hint) {
				t.Errorf("hint of %v", err)
			}
		})
	}
}

func TestStatus(t *testing.T) {
	w := newWorld(t, 6)
	w.server.Break(awstest.Fault{Kind: awstest.Expired, Service: "ec2", Action: "CreateSnapshots"})
	p := w.plan(respond.Options{Instance: victim})
	err := w.s.Run(t.Context(), p)
	var h evidence.Hinted
	if err == nil || !errors.As(err, &h) || !strings.Contains(err.Error(), "done before it: identify, describe, protect, group, isolate") {
		t.Fatalf("run: %v", err)
	}
	st, err := w.s.Status(t.Context(), victim)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range st.Steps {
		want := map[string]string{"snapshot": "begun", "complete": "waiting", "after": "waiting"}[s.ID]
		if want == "" {
			want = "ok"
		}
		if s.State != want {
			t.Errorf("%s is %s, want %s", s.ID, s.State, want)
		}
	}
	if len(st.Undo) == 0 || !strings.Contains(st.Undo[len(st.Undo)-1], "ModifyInstanceAttribute") {
		t.Errorf("undo: %v", st.Undo)
	}
}
