package respond_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/acquire"
	"snapcase/evidence/aws"
	"snapcase/evidence/aws/awstest"
	"snapcase/evidence/custody"
	"snapcase/evidence/respond"
)

const (
	victim   = "i-0aaaaaaaaaaaaaaaa"
	host     = "i-0bbbbbbbbbbbbbbbb"
	account  = "111122223333"
	security = "444455556666"
	caseID   = "urn:uuid:6f1f7ad2-4a1e-4c1b-9d55-1f2f7c1f0a11"
)

// world is an account with a compromised instance, and a case.
type world struct {
	t      testing.TB
	server *awstest.Server
	ec2    *awstest.EC2
	iam    *awstest.IAM
	ssm    *awstest.Commands
	scale  *awstest.Scaling
	folder evidence.Folder
	calls  *aws.Calls
	ledger *custody.Ledger
	s      *respond.Session
	mu     sync.Mutex
	events []respond.Progress
}

// clock runs by a second a look, so that every record has a time of its own.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(time.Millisecond)
	return c.at
}

func newWorld(t testing.TB, seed uint64) *world {
	t.Helper()
	c := &clock{at: time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)}
	w := &world{t: t, ec2: awstest.NewEC2("eu-west-1", account, c.now), iam: awstest.NewIAM(account), ssm: &awstest.Commands{}, scale: awstest.NewScaling()}
	w.fill()
	trails := &awstest.JSON{Calls: map[string]func(map[string]any) (any, error){
		"DescribeTrails": func(map[string]any) (any, error) {
			return map[string]any{"trailList": []any{map[string]any{"Name": "main", "TrailARN": "arn:aws:cloudtrail:eu-west-1:111122223333:trail/main"}}}, nil
		},
		"GetTrailStatus":    func(map[string]any) (any, error) { return map[string]any{"IsLogging": true}, nil },
		"GetEventSelectors": func(map[string]any) (any, error) { return map[string]any{"EventSelectors": []any{}}, nil },
	}}
	keys := &awstest.JSON{Calls: map[string]func(map[string]any) (any, error){
		"DescribeKey": func(in map[string]any) (any, error) {
			manager := "CUSTOMER"
			if in["KeyId"] == awstest.DefaultKey {
				manager = "AWS"
			}
			return map[string]any{"KeyMetadata": map[string]any{"KeyId": in["KeyId"], "KeyManager": manager}}, nil
		},
	}}
	w.server = awstest.New(seed, c.now, map[string]awstest.Service{
		"ec2": w.ec2, "iam": w.iam, "sts": &awstest.STS{Arn: "arn:aws:iam::111122223333:user/responder"}, "ssm": awstest.NewSSM(w.ssm), "cloudtrail": trails, "kms": keys, "autoscaling": w.scale, "elasticloadbalancing": w.scale,
	})
	t.Cleanup(w.server.Close)
	t.Setenv("AWS_ENDPOINT_URL", w.server.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIATESTTESTTESTTEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	a, err := aws.Open(t.Context(), aws.Options{Region: "eu-west-1", Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	w.calls = a.Calls(aws.CallOptions{Backoff: time.Millisecond, DryRuns: true})
	w.open(c)
	return w
}

// fill makes an instance with two volumes and two interfaces, IPv4 and IPv6.
func (w *world) fill() {
	e := w.ec2
	e.VPCIPv6 = true
	e.Groups["sg-web"] = &awstest.Group{ID: "sg-web", Name: "web", VPC: "vpc-1", In: []string{"-1 0.0.0.0/0"}, Out: []string{"tcp 0.0.0.0/0", "-1 0.0.0.0/0", "-1 ::/0"}}
	e.Groups["sg-db"] = &awstest.Group{ID: "sg-db", Name: "db", VPC: "vpc-1", Out: []string{"-1 0.0.0.0/0", "-1 ::/0"}}
	e.Volumes["vol-1"] = &awstest.Volume{ID: "vol-1", Zone: "eu-west-1a", GiB: 8, Instance: victim, Device: "/dev/xvda"}
	e.Volumes["vol-2"] = &awstest.Volume{ID: "vol-2", Zone: "eu-west-1a", GiB: 100, Instance: victim, Device: "/dev/sdf"}
	e.Nets["eni-1"] = &awstest.Net{ID: "eni-1", Subnet: "subnet-1", VPC: "vpc-1", Instance: victim, Index: 0, Groups: []string{"sg-web", "sg-db"}, IPv4: "10.0.0.5", IPv6: []string{"2001:db8::5"}}
	e.Nets["eni-2"] = &awstest.Net{ID: "eni-2", Subnet: "subnet-2", VPC: "vpc-1", Instance: victim, Index: 1, Groups: []string{"sg-db"}, IPv4: "10.0.1.5", IPv6: []string{"2001:db8::6"}}
	e.Nets["eni-9"] = &awstest.Net{ID: "eni-9", Subnet: "subnet-1", VPC: "vpc-1", Instance: host, Index: 0, Groups: []string{"sg-web"}, IPv4: "10.0.0.9"}
	e.Addresses["eipalloc-1"] = &awstest.Address{Allocation: "eipalloc-1", Association: "eipassoc-1", Public: "198.51.100.7", Net: "eni-1", Private: "10.0.0.5"}
	e.ACLs["acl-default"] = &awstest.ACL{ID: "acl-default", VPC: "vpc-1", Associations: map[string]string{"subnet-1": "aclassoc-1", "subnet-2": "aclassoc-2"}}
	e.Instances[victim] = &awstest.Instance{
		ID: victim, Type: "m5.large", Zone: "eu-west-1a", VPC: "vpc-1", Subnet: "subnet-1", Shutdown: "terminate", RootDeviceType: "ebs",
		Profile: "arn:aws:iam::111122223333:instance-profile/app/web-profile", ProfileAssociation: "iip-assoc-1", Nets: []string{"eni-1", "eni-2"},
		Devices: map[string]*awstest.Device{"/dev/xvda": {Volume: "vol-1", DeleteOnTermination: true}, "/dev/sdf": {Volume: "vol-2"}}, Tags: map[string]string{"Name": "web-1", "aws:autoscaling:groupName": "web"},
	}
	w.scale.Members[victim] = &awstest.Member{Group: "web", State: "InService"}
	w.scale.Targets["arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/web/1"] = map[string]bool{victim + ":443": true, host + ":443": true}
	w.scale.Targets["arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/other/2"] = map[string]bool{host + ":80": true}
	e.Instances[host] = &awstest.Instance{ID: host, Type: "m5.large", Zone: "eu-west-1a", VPC: "vpc-1", Subnet: "subnet-1", RootDeviceType: "ebs", Nets: []string{"eni-9"}, Devices: map[string]*awstest.Device{}}
	w.iam.Profiles["web-profile"] = []string{"web-role"}
	w.iam.Profiles["snapcase-deny"] = []string{"snapcase-deny"}
	w.iam.Roles["web-role"] = map[string]string{"app": `{"Version":"2012-10-17","Statement":[]}`}
	w.iam.Users["marc"] = map[string]string{}
	w.iam.Keys["AKIAMARCMARCMARCMARC"] = &awstest.Key{User: "marc", Status: "Active"}
}

// open makes the case and a session on it.
func (w *world) open(c *clock) {
	t := w.t
	dir := t.TempDir()
	w.folder = evidence.Folder(filepath.Join(dir, "case"))
	if err := os.MkdirAll(string(w.folder), 0o700); err != nil {
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
	began := c.at
	boot := func() (string, int64) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return "boot", c.at.Sub(began).Nanoseconds() + 1
	}
	w.ledger, err = custody.Create(w.folder, caseID, custody.Options{Actor: "alice", Signer: signer, Tool: custody.Tool{Args: []string{}, Name: "snapcase", SHA256: strings.Repeat("0", 64), Version: "t"}, Host: "h", Now: c.now, Boot: boot})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.ledger.Append(t.Context(), custody.Record{Type: "case.open", Data: map[string]any{"title": "t"}}); err != nil {
		t.Fatal(err)
	}
	caseKey := make([]byte, 32)
	if _, err := rand.Read(caseKey); err != nil {
		t.Fatal(err)
	}
	w.s = &respond.Session{
		Folder: w.folder, CaseID: caseID, Region: "eu-west-1", Cloud: w.calls, Presigner: w.calls, Library: w.calls, Ledger: w.ledger, Scratch: filepath.Join(dir, "scratch"), Now: c.now,
		Pace: respond.Pace{Look: time.Millisecond, Looks: 20, Wait: time.Millisecond, Back: time.Millisecond, Settle: 8},
		Exhibit: func(ctx context.Context, dir, label string) (evidence.Acquisition, error) {
			return acquire.Run(ctx, acquire.Job{Folder: w.folder, Source: dir, Kind: evidence.KindFile, Label: label, Ledger: w.ledger, CaseKey: caseKey, Now: c.now})
		},
		Watch: func(p respond.Progress) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, p)
		},
	}
}

func (w *world) plan(o respond.Options) *respond.Plan {
	w.t.Helper()
	if o.Instance == "" {
		o.Instance = victim
	}
	p, err := w.s.Plan(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// journal is what the service was told to change, in order.
func (w *world) journal() []string {
	var all []string
	for _, c := range w.server.Journal() {
		all = append(all, c.Service+":"+c.Action)
	}
	return all
}

// planned is what the plan says it may change, in order.
func planned(p *respond.Plan) []string {
	var all []string
	for _, st := range p.Steps {
		for _, c := range st.Calls {
			if c.Mutates {
				all = append(all, c.Service+":"+c.Action)
			}
		}
	}
	return all
}

// state is what undo must bring back, as the service has it.
func (w *world) state() string {
	var b strings.Builder
	w.server.Locked(func() {
		e := w.ec2
		i := e.Instances[victim]
		fmt.Fprintln(&b, i.DisableTermination, i.DisableStop, i.Shutdown, i.Profile)
		for _, d := range []string{"/dev/xvda", "/dev/sdf"} {
			fmt.Fprintln(&b, *i.Devices[d])
		}
		for _, n := range []string{"eni-1", "eni-2", "eni-9"} {
			g := slices.Sorted(slices.Values(e.Nets[n].Groups))
			fmt.Fprintln(&b, n, g)
		}
		fmt.Fprintln(&b, *w.scale.Members[victim], w.scale.Targets)
		a := e.Addresses["eipalloc-1"]
		fmt.Fprintln(&b, a.Net, a.Private)
		fmt.Fprintln(&b, len(e.Groups), len(e.ACLs), len(e.Mirrors))
		for _, s := range []string{"subnet-1", "subnet-2"} {
			for id, acl := range e.ACLs {
				if acl.Associations[s] != "" {
					fmt.Fprintln(&b, s, id)
				}
			}
		}
		for _, v := range e.Volumes {
			if v.Instance == host {
				fmt.Fprintln(&b, "attached", v.ID)
			}
		}
	})
	return b.String()
}

func (w *world) records(kind string) []custody.Record {
	var all []custody.Record
	for r, err := range custody.Records(w.folder) {
		if err != nil {
			w.t.Fatal(err)
		}
		if r.Type == kind {
			all = append(all, r)
		}
	}
	return all
}
