package tui

import (
	"context"
	"crypto/rand"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/vt"

	"snapcase/evidence"
	"snapcase/evidence/acquire"
	"snapcase/evidence/aws"
	"snapcase/evidence/aws/awstest"
	"snapcase/evidence/custody"
	"snapcase/evidence/respond"
)

// account is a stand-in account with a victim, and a case with a real ledger.
type account struct {
	*fakeCase
	t      *testing.T
	server *awstest.Server
	ec2    *awstest.EC2
	folder evidence.Folder
	now    func() time.Time
	ledger *custody.Ledger
	key    []byte

	mu   sync.Mutex
	hold string        // a run stands still after this event of a call
	held chan struct{} // closed when it does
	free chan struct{} // goes on when this is closed
}

func newAccount(t *testing.T) *account {
	var mu sync.Mutex
	at := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	began := at
	now := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		at = at.Add(time.Millisecond)
		return at
	}
	a := &account{fakeCase: &fakeCase{}, t: t, now: now, ec2: awstest.NewEC2("eu-west-1", "111122223333", now)}
	e := a.ec2
	e.Groups["sg-web"] = &awstest.Group{ID: "sg-web", Name: "web", VPC: "vpc-1", In: []string{"-1 0.0.0.0/0"}, Out: []string{"-1 0.0.0.0/0"}}
	e.Volumes["vol-1"] = &awstest.Volume{ID: "vol-1", Zone: "eu-west-1a", GiB: 8, Instance: victim, Device: "/dev/xvda"}
	e.Nets["eni-1"] = &awstest.Net{ID: "eni-1", Subnet: "subnet-1", VPC: "vpc-1", Instance: victim, Groups: []string{"sg-web"}, IPv4: "10.0.0.5"}
	e.Instances[victim] = &awstest.Instance{
		ID: victim, Type: "m5.large", Zone: "eu-west-1a", VPC: "vpc-1", Subnet: "subnet-1", Shutdown: "terminate", RootDeviceType: "ebs", Nets: []string{"eni-1"},
		Devices: map[string]*awstest.Device{"/dev/xvda": {Volume: "vol-1", DeleteOnTermination: true}}, Tags: map[string]string{"Name": "web\u202e"},
	}
	trails := &awstest.JSON{Calls: map[string]func(map[string]any) (any, error){
		"DescribeTrails": func(map[string]any) (any, error) { return map[string]any{"trailList": []any{}}, nil },
	}}
	a.server = awstest.New(1, now, map[string]awstest.Service{"ec2": e, "iam": awstest.NewIAM("111122223333"), "sts": &awstest.STS{Arn: "arn:aws:iam::111122223333:user/responder"}, "cloudtrail": trails})
	t.Cleanup(a.server.Close)
	for k, v := range map[string]string{"AWS_ENDPOINT_URL": a.server.URL, "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"} {
		t.Setenv(k, v)
	}
	a.open(began)
	return a
}

// open makes the case.
func (a *account) open(began time.Time) {
	t, dir := a.t, a.t.TempDir()
	a.folder = evidence.Folder(filepath.Join(dir, "case"))
	if err := os.MkdirAll(string(a.folder), 0o700); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "key")
	if err := custody.MakeKey(key, "alice"); err != nil {
		t.Fatal(err)
	}
	signer, err := custody.LoadSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	boot := func() (string, int64) { return "boot", a.now().Sub(began).Nanoseconds() }
	a.ledger, err = custody.Create(a.folder, "urn:uuid:6f1f7ad2-4a1e-4c1b-9d55-1f2f7c1f0a11", custody.Options{Actor: "alice", Signer: signer, Tool: custody.Tool{Args: []string{}, Name: "snapcase", SHA256: strings.Repeat("0", 64), Version: "t"}, Host: "h", Now: a.now, Boot: boot})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.ledger.Append(t.Context(), custody.Record{Type: "case.open", Data: map[string]any{"title": "t"}}); err != nil {
		t.Fatal(err)
	}
	a.key = make([]byte, 32)
	if _, err := rand.Read(a.key); err != nil {
		t.Fatal(err)
	}
}

// Records reads the real ledger.
func (a *account) Records(context.Context) ([]custody.Record, error) {
	var all []custody.Record
	for r, err := range custody.Records(a.folder) {
		if err != nil {
			return all, err
		}
		all = append(all, r)
	}
	return all, nil
}

// respond opens a session as the command line does.
func (a *account) respond(ctx context.Context, r RespondRequest) (Responder, error) {
	s := &respond.Session{Folder: a.folder, CaseID: "urn:uuid:6f1f7ad2-4a1e-4c1b-9d55-1f2f7c1f0a11", Now: a.now}
	if r.Offline {
		return s, nil
	}
	account, err := aws.Open(ctx, aws.Options{Region: r.Region, Now: a.now})
	if err != nil {
		return nil, err
	}
	calls := account.Calls(aws.CallOptions{Backoff: time.Millisecond})
	s.Region, s.Cloud, s.Presigner, s.Library, s.Ledger, s.Scratch = account.Region, calls, calls, calls, a.ledger, filepath.Join(filepath.Dir(string(a.folder)), "scratch")
	s.Pace = respond.Pace{Look: time.Millisecond, Looks: 20, Wait: time.Millisecond, Back: time.Millisecond, Settle: 8}
	s.Exhibit = func(ctx context.Context, dir, label string) (evidence.Acquisition, error) {
		return acquire.Run(ctx, acquire.Job{Folder: a.folder, Source: dir, Kind: evidence.KindFile, Label: label, Ledger: a.ledger, CaseKey: a.key, Now: a.now})
	}
	s.Watch = func(p respond.Progress) {
		r.Watch(p)
		a.mu.Lock()
		hold, held, free := a.hold, a.held, a.free
		if hold != "" && p.Call == hold && p.What == "calling" {
			a.hold = ""
			a.mu.Unlock()
			close(held)
			<-free
			return
		}
		a.mu.Unlock()
	}
	return s, nil
}

// standStill lets the next run stand still within a call.
func (a *account) standStill(call string) (held, free chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hold, a.held, a.free = call, make(chan struct{}), make(chan struct{})
	return a.held, a.free
}

// changes are the calls that changed something.
func (a *account) changes() []string {
	var all []string
	for _, c := range a.server.Journal() {
		all = append(all, c.Action)
	}
	return all
}

// state is what undo must bring back.
func (a *account) state() string {
	var b strings.Builder
	a.server.Locked(func() {
		i := a.ec2.Instances[victim]
		for _, s := range []any{i.DisableTermination, i.DisableStop, i.Shutdown, i.Devices["/dev/xvda"].DeleteOnTermination, a.ec2.Nets["eni-1"].Groups, slices.Sorted(maps.Keys(a.ec2.Groups))} {
			b.WriteString(flat(s) + "\n")
		}
	})
	return b.String()
}

// TestRespondStory drives the real program against the stand-in account: plan,
// a wrong id, the right one, a stop within a call, the rest of the run, undo.
func TestRespondStory(t *testing.T) {
	a := newAccount(t)
	before := a.state()
	e := &terminal{emu: vt.NewSafeEmulator(120, 36)}
	go io.Copy(io.Discard, e.emu) // its answers
	p := tea.NewProgram(newModel(t.Context(), a, Options{Respond: a.respond}), tea.WithOutput(e), tea.WithInput(nil), tea.WithWindowSize(120, 36),
		tea.WithColorProfile(colorprofile.TrueColor), tea.WithoutSignals(), tea.WithEnvironment([]string{"TERM=xterm-256color"}))
	done := make(chan error, 1)
	go func() { _, err := p.Run(); done <- err }()
	keys := func(all ...string) {
		for _, k := range all {
			if _, ok := named[k]; ok || len(k) == 1 {
				p.Send(keyMsg(k))
				continue
			}
			for _, c := range k {
				p.Send(tea.KeyPressMsg{Code: c, Text: string(c)})
			}
		}
	}
	e.until(t, "● idle")
	keys("3")
	e.until(t, "enter plans")
	keys(victim, "down", "eu-west-1", "enter")
	e.until(t, "nothing has been changed")
	e.until(t, "web‹U+202E›") // the name tag is the attacker's
	if got := a.changes(); len(got) != 0 {
		t.Fatalf("planning changed %v", got)
	}

	confirms := func(key, verb string, ids ...string) { // the question opens a moment after its key
		keys(key)
		e.until(t, "type "+victim+" to "+verb)
		for _, id := range ids {
			keys(id, "enter")
		}
	}
	confirms("R", "run", victim[:12])
	e.until(t, "✗ "+victim[:12]+" is not "+victim+": nothing was done")
	if got := a.changes(); len(got) != 0 {
		t.Fatalf("a wrong id changed %v", got)
	}

	held, free := a.standStill("isolate/eni-1/closed")
	keys(victim, "enter")
	select {
	case <-held:
	case <-time.After(30 * time.Second):
		t.Fatalf("the run did not come to its call:\n%s", e.text())
	}
	e.until(t, " isolate   calling isolate/eni-1/closed")
	keys("X")
	e.until(t, "enter stops between two calls")
	keys("enter")
	e.until(t, "stopping after this call")
	close(free)
	e.until(t, "was stopped between two calls")
	e.until(t, "R goes on")
	got := a.changes()
	if last := got[len(got)-1]; last != "ModifyNetworkInterfaceAttribute" {
		t.Errorf("stopped after %s", last)
	}

	confirms("R", "run", victim)
	e.until(t, "The run is done")
	e.until(t, "✓ done      U undoes it")
	all := a.changes()
	for i, c := range all[len(got):] {
		if c == "ModifyNetworkInterfaceAttribute" {
			t.Errorf("call %d of the resumed run repeats %s", i, c)
		}
	}
	if !slices.Contains(all, "CreateSnapshots") {
		t.Errorf("no snapshot among %v", all)
	}

	confirms("U", "undo", "i-0")
	e.until(t, "✗ i-0 is not")
	if got := a.changes(); len(got) != len(all) {
		t.Errorf("a wrong id undid %v", got[len(all):])
	}
	keys(victim, "enter")
	e.until(t, "✓ undone")
	if after := a.state(); after != before {
		t.Errorf("after undo\n%s\nbefore\n%s", after, before)
	}
	keys("q")
	if err := <-done; err != nil {
		t.Error(err)
	}
}
