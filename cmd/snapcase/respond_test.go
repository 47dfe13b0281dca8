package main

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/aws/awstest"
)

const respondVictim = "i-0aaaaaaaaaaaaaaaa"

// respondAccount is a stand-in for AWS with an instance of two volumes and two
// interfaces.
func respondAccount(t *testing.T) (*awstest.Server, *awstest.EC2) {
	t.Helper()
	e := awstest.NewEC2("eu-west-1", "111122223333", time.Now)
	e.VPCIPv6 = true
	e.Groups["sg-web"] = &awstest.Group{ID: "sg-web", Name: "web", VPC: "vpc-1", Out: []string{"-1 0.0.0.0/0"}}
	e.Nets["eni-1"] = &awstest.Net{ID: "eni-1", Subnet: "subnet-1", VPC: "vpc-1", Instance: respondVictim, Groups: []string{"sg-web"}, IPv4: "10.0.0.5"}
	e.Nets["eni-2"] = &awstest.Net{ID: "eni-2", Subnet: "subnet-1", VPC: "vpc-1", Instance: respondVictim, Index: 1, Groups: []string{"sg-web"}, IPv4: "10.0.0.6"}
	e.ACLs["acl-1"] = &awstest.ACL{ID: "acl-1", VPC: "vpc-1", Associations: map[string]string{"subnet-1": "aclassoc-1"}}
	e.Volumes["vol-1"] = &awstest.Volume{ID: "vol-1", Zone: "eu-west-1a", GiB: 8, Instance: respondVictim}
	e.Volumes["vol-2"] = &awstest.Volume{ID: "vol-2", Zone: "eu-west-1a", GiB: 8, Instance: respondVictim}
	e.Instances[respondVictim] = &awstest.Instance{
		ID: respondVictim, Type: "m5.large", Zone: "eu-west-1a", VPC: "vpc-1", Subnet: "subnet-1", Shutdown: "stop", RootDeviceType: "ebs", Nets: []string{"eni-1", "eni-2"},
		Devices: map[string]*awstest.Device{"/dev/xvda": {Volume: "vol-1", DeleteOnTermination: true}, "/dev/sdf": {Volume: "vol-2", DeleteOnTermination: true}},
		Tags:    map[string]string{"Name": "web-1\u202e"}, // turns the text that follows around
	}
	trails := &awstest.JSON{Calls: map[string]func(map[string]any) (any, error){
		"DescribeTrails": func(map[string]any) (any, error) { return map[string]any{"trailList": []any{}}, nil },
	}}
	keys := &awstest.JSON{Calls: map[string]func(map[string]any) (any, error){
		"DescribeKey": func(in map[string]any) (any, error) {
			return map[string]any{"KeyMetadata": map[string]any{"KeyId": in["KeyId"], "KeyManager": "AWS"}}, nil
		},
	}}
	s := awstest.New(1, time.Now, map[string]awstest.Service{"ec2": e, "iam": awstest.NewIAM("111122223333"), "sts": &awstest.STS{Arn: "arn:aws:iam::111122223333:user/responder"}, "cloudtrail": trails, "kms": keys})
	t.Cleanup(s.Close)
	return s, e
}

// onAWS is snapcase as a process against the stand-in.
func onAWS(t *testing.T, s *awstest.Server, home string, args ...string) *exec.Cmd {
	t.Helper()
	c := command(t, home, args...)
	c.Env = append(c.Env, "AWS_ENDPOINT_URL="+s.URL, "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=AKIATESTTESTTESTTEST", "AWS_SECRET_ACCESS_KEY=secret", "AWS_EC2_METADATA_DISABLED=true")
	return c
}

func runAWS(t *testing.T, s *awstest.Server, home string, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	c := onAWS(t, s, home, args...)
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	if c.ProcessState.ExitCode() != code {
		t.Fatalf("snapcase %q: %v, want %d\n%s%s", args, err, code, out.Bytes(), errs.Bytes())
	}
	return out.String(), errs.String()
}

func TestRespondCommand(t *testing.T) {
	s, e := respondAccount(t)
	home := t.TempDir()
	cs := filepath.Join(home, "case")
	runAWS(t, s, home, 0, "new", cs, "--title", "T", "--examiner", "alice")
	on := func(verb string, more ...string) []string {
		return append([]string{"respond", verb, cs, "--instance", respondVictim}, more...)
	}
	out, _ := runAWS(t, s, home, 0, on("plan", "--share-with", "444455556666", "--json")...)
	var p struct {
		Instance, Region, Account, Caller, Order, Reason string
		Steps                                            []struct {
			ID    string
			Calls []struct {
				Service, Action, Permission, Allowed, Undo string
				Mutates                                    bool
			}
		}
		Residual     []struct{ Channel, State, Why, Remedy string }
		UndoComplete bool `json:"undo_complete"`
	}
	if err := json.Unmarshal([]byte(out), &p); err != nil || p.Account != "111122223333" || len(p.Residual) == 0 || !p.UndoComplete || p.Order != "contain-first" {
		t.Fatalf("plan: %v\n%s", err, out)
	}
	var planned []string
	for _, st := range p.Steps {
		for _, c := range st.Calls {
			if c.Mutates {
				planned = append(planned, c.Action)
			}
		}
	}
	if n := len(s.Journal()); n != 0 {
		t.Fatalf("plan made %d changes", n)
	}
	for _, c := range s.DryRuns() { // an endpoint that is not AWS may make what it is only asked about
		if !strings.HasPrefix(c.Action, "Describe") {
			t.Errorf("plan tried %s", c.Action)
		}
	}
	text, _ := runAWS(t, s, home, 0, on("plan")...)
	if strings.Contains(text, "\u202e") || !strings.Contains(text, "web-1") {
		t.Errorf("a tag reached the terminal as it is: %q", text)
	}
	_, errs := runAWS(t, s, home, 2, on("run", "--share-with", "444455556666")...)
	if !strings.Contains(errs, "--yes") || len(s.Journal()) != 0 {
		t.Errorf("run without a terminal: %s", errs)
	}
	out, _ = runAWS(t, s, home, 0, on("run", "--share-with", "444455556666", "--yes", "--json")...)
	if !json.Valid([]byte(out)) {
		t.Errorf("run: %s", out)
	}
	var made []string
	for _, c := range s.Journal() {
		made = append(made, c.Action)
	}
	if strings.Join(made, " ") != strings.Join(planned, " ") {
		t.Errorf("made    %v\nplanned %v", made, planned)
	}
	if out, _ = runAWS(t, s, home, 0, on("status", "--json")...); !strings.Contains(out, `"state":"completed"`) {
		t.Errorf("status: %s", out)
	}
	undo, err := os.ReadFile(filepath.Join(cs, "respond", respondVictim, "undo.sh"))
	if err != nil || !strings.Contains(string(undo), "aws ec2 modify-network-interface-attribute --cli-input-json '{\"Groups\":[\"sg-web\"]") {
		t.Errorf("undo.sh: %v\n%s", err, undo)
	}
	if _, err := exec.LookPath("sh"); err != nil {
		t.Log("undo.sh is not parsed: no sh here")
	} else if err := exec.Command("sh", "-n", filepath.Join(cs, "respond", respondVictim, "undo.sh")).Run(); err != nil {
		t.Errorf("undo.sh is no script: %v", err)
	}
	runAWS(t, s, home, 0, on("undo", "--yes")...)
	if g := e.Nets["eni-2"].Groups; len(g) != 1 || g[0] != "sg-web" || len(e.Groups) != 1 || len(e.Snapshots) != 2 {
		t.Errorf("after undo: eni-2 %v, %d groups, %d snapshots", g, len(e.Groups), len(e.Snapshots))
	}
	if out, _ = runAWS(t, s, home, 0, "verify", cs, "--json", "--signers", filepath.Join(cs, "allowed_signers")); !strings.Contains(out, `"intact"`) {
		t.Errorf("verify: %s", out)
	}
	_, errs = runAWS(t, s, home, 1, "respond", "plan", cs, "--instance", "i-0ffffffffffffffff")
	if !strings.Contains(errs, "InvalidInstanceID.NotFound") || !strings.Contains(errs, "hint: look at the id, the region") {
		t.Errorf("unknown instance: %s", errs)
	}
}

// kill -9 at random moments; the same command goes on and makes nothing twice.
func TestRespondKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	s, e := respondAccount(t)
	e.Lag, e.Pending = 1, 2
	s.Latency = func(*awstest.Request) time.Duration { return 3 * time.Millisecond }
	home := t.TempDir()
	cs := filepath.Join(home, "case")
	runAWS(t, s, home, 0, "new", cs, "--title", "T", "--examiner", "alice")
	args := []string{"respond", "run", cs, "--instance", respondVictim, "--cut-established", "--nacl", "--yes", "--quiet"}
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a seed
	kills := 0
	for try := 0; ; try++ {
		c := onAWS(t, s, home, args...)
		var errs bytes.Buffer
		c.Stderr = &errs
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Wait() }()
		wait := time.Duration(100+r.IntN(900)) * time.Millisecond
		if try >= 12 {
			wait = 10 * time.Minute
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("run: %v\n%s", err, errs.Bytes())
			}
			t.Logf("%d kills", kills)
			made := map[string]int{}
			for _, j := range s.Journal() {
				made[j.Action]++
			}
			if made["CreateSecurityGroup"] != 2 || made["CreateSnapshots"] != 1 || made["CreateNetworkAcl"] != 1 || len(e.Snapshots) != 2 || len(e.Groups) != 3 {
				t.Errorf("made %v", made)
			}
			sealed, err := evidence.ReadExhibits(evidence.Folder(cs))
			if err != nil || len(sealed) != 2 {
				t.Errorf("%d exhibits, want the configuration and the proof: %v", len(sealed), err)
			}
			return
		case <-time.After(wait):
			by := syscall.SIGKILL
			if try%3 == 2 {
				by = syscall.SIGINT
			}
			if err := c.Process.Signal(by); err != nil {
				t.Fatal(err)
			}
			<-ended
			if code := c.ProcessState.ExitCode(); by == syscall.SIGINT && code != 130 && code != 0 && code != -1 { // -1: before it listened
				t.Errorf("interrupted: exit code %d\n%s", code, errs.Bytes())
			}
			kills++
		}
	}
}
