package aws_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"snapcase/evidence"
	"snapcase/evidence/aws"
	"snapcase/evidence/custody"
	"snapcase/evidence/respond"
)

// startMoto runs an emulator that nobody here wrote; the test is skipped where
// there is none.
func startMoto(t *testing.T) {
	t.Helper()
	path, err := exec.LookPath("moto_server")
	if err != nil {
		t.Skip("moto_server is not installed")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String()) //nolint:errcheck // it is an address
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(path, "-H", "127.0.0.1", "-p", port)
	if err := c.Start(); err != nil {
		t.Skipf("moto_server does not start: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() {
		_ = c.Process.Kill()
	})
	url := "http://127.0.0.1:" + port
	for range 300 {
		if r, err := http.Get(url + "/moto-api/"); err == nil { //nolint:noctx // loopback
			_ = r.Body.Close()
			t.Setenv("AWS_ENDPOINT_URL", url)
			t.Setenv("AWS_ACCESS_KEY_ID", "AKIATESTTESTTESTTEST")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
			t.Setenv("AWS_REGION", "eu-west-1")
			t.Setenv("AWS_DEFAULT_REGION", "eu-west-1")
			t.Setenv("AWS_CONFIG_FILE", "/dev/null")
			t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
			return
		}
		select {
		case err := <-ended:
			t.Skipf("moto_server does not run: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Skip("moto_server does not answer")
}

// scene makes an instance of two volumes and two interfaces with a role.
func scene(t *testing.T) (instance, host, key string, enis []string, web string) {
	t.Helper()
	ctx := t.Context()
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		t.Fatal(err)
	}
	e, i := ec2.NewFromConfig(c), iam.NewFromConfig(c)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	trust := sdk.String(`{"Version":"2012-10-17","Statement":[]}`)
	for _, n := range []string{"web-role", "snapcase-deny"} {
		_, err = i.CreateRole(ctx, &iam.CreateRoleInput{RoleName: sdk.String(n), AssumeRolePolicyDocument: trust})
		must(err)
		_, err = i.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: sdk.String(n)})
		must(err)
		_, err = i.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{RoleName: sdk.String(n), InstanceProfileName: sdk.String(n)})
		must(err)
	}
	vpc, err := e.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: sdk.String("10.0.0.0/16"), AmazonProvidedIpv6CidrBlock: sdk.Bool(true)})
	must(err)
	sub, err := e.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: vpc.Vpc.VpcId, CidrBlock: sdk.String("10.0.1.0/24"), AvailabilityZone: sdk.String("eu-west-1a")})
	must(err)
	g, err := e.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: sdk.String("web"), Description: sdk.String("web"), VpcId: vpc.Vpc.VpcId})
	must(err)
	web = *g.GroupId
	images, err := e.DescribeImages(ctx, &ec2.DescribeImagesInput{})
	must(err)
	run, err := e.RunInstances(ctx, &ec2.RunInstancesInput{
		ImageId: images.Images[0].ImageId, MinCount: sdk.Int32(1), MaxCount: sdk.Int32(1), InstanceType: types.InstanceTypeM5Large,
		// groups of the interface: moto shows those of the instance on every interface for ever
		NetworkInterfaces:   []types.InstanceNetworkInterfaceSpecification{{DeviceIndex: sdk.Int32(0), SubnetId: sub.Subnet.SubnetId, Groups: []string{web}}},
		IamInstanceProfile:  &types.IamInstanceProfileSpecification{Name: sdk.String("web-role")},
		BlockDeviceMappings: []types.BlockDeviceMapping{{DeviceName: sdk.String("/dev/sda1"), Ebs: &types.EbsBlockDevice{VolumeSize: sdk.Int32(8), DeleteOnTermination: sdk.Bool(true)}}, {DeviceName: sdk.String("/dev/sdf"), Ebs: &types.EbsBlockDevice{VolumeSize: sdk.Int32(9), DeleteOnTermination: sdk.Bool(true)}}},
	})
	must(err)
	instance = *run.Instances[0].InstanceId
	n, err := e.CreateNetworkInterface(ctx, &ec2.CreateNetworkInterfaceInput{SubnetId: sub.Subnet.SubnetId, Groups: []string{web}})
	must(err)
	_, err = e.AttachNetworkInterface(ctx, &ec2.AttachNetworkInterfaceInput{InstanceId: &instance, NetworkInterfaceId: n.NetworkInterface.NetworkInterfaceId, DeviceIndex: sdk.Int32(1)})
	must(err)
	_, err = i.CreateUser(ctx, &iam.CreateUserInput{UserName: sdk.String("marc")})
	must(err)
	k, err := i.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: sdk.String("marc")})
	must(err)
	ip, err := e.AllocateAddress(ctx, &ec2.AllocateAddressInput{Domain: types.DomainTypeVpc})
	must(err)
	_, err = e.AssociateAddress(ctx, &ec2.AssociateAddressInput{AllocationId: ip.AllocationId, NetworkInterfaceId: n.NetworkInterface.NetworkInterfaceId})
	must(err)
	other, err := e.RunInstances(ctx, &ec2.RunInstancesInput{ImageId: images.Images[0].ImageId, MinCount: sdk.Int32(1), MaxCount: sdk.Int32(1), SubnetId: sub.Subnet.SubnetId})
	must(err)
	return instance, *other.Instances[0].InstanceId, *k.AccessKey.AccessKeyId, []string{*run.Instances[0].NetworkInterfaces[0].NetworkInterfaceId, *n.NetworkInterface.NetworkInterfaceId}, web
}

// scaled puts the instance into an Auto Scaling group and a target group with
// the AWS CLI, which may not be there.
func scaled(t *testing.T, instance string) bool {
	t.Helper()
	cli, err := exec.LookPath("aws")
	if err != nil {
		return false
	}
	run := func(args ...string) string {
		out, err := exec.Command(cli, append(args, "--output", "text")...).Output() //nolint:gosec // of this test
		if err != nil {
			t.Logf("aws %v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	vpc := run("ec2", "describe-instances", "--instance-ids", instance, "--query", "Reservations[0].Instances[0].VpcId")
	if vpc == "" {
		return false
	}
	run("autoscaling", "create-launch-configuration", "--launch-configuration-name", "lc", "--image-id", "ami-12c6146b", "--instance-type", "t3.micro")
	run("autoscaling", "create-auto-scaling-group", "--auto-scaling-group-name", "web", "--launch-configuration-name", "lc", "--min-size", "0", "--max-size", "5", "--desired-capacity", "0", "--availability-zones", "eu-west-1a")
	run("autoscaling", "attach-instances", "--auto-scaling-group-name", "web", "--instance-ids", instance)
	arn := run("elbv2", "create-target-group", "--name", "web", "--protocol", "HTTP", "--port", "80", "--vpc-id", vpc, "--query", "TargetGroups[0].TargetGroupArn")
	run("elbv2", "register-targets", "--target-group-arn", arn, "--targets", "Id="+instance+",Port=8080")
	return strings.HasPrefix(arn, "arn:")
}

// tally counts how calls end.
type tally struct {
	respond.Cloud
	mu  sync.Mutex
	all map[string]string
}

func (c *tally) note(name string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch kind, _ := evidence.CloudKind(err); {
	case err == nil:
		c.all[name] = "ok"
	case c.all[name] == "ok":
	case kind == evidence.CloudMissing:
		c.all[name] = "not there"
	default:
		c.all[name] = err.Error()
	}
}

func (c *tally) Read(ctx context.Context, call evidence.CloudCall) ([]evidence.CloudAnswer, error) {
	a, err := c.Cloud.Read(ctx, call)
	if dry, _ := call.Params["DryRun"].(bool); !dry {
		c.note(call.Name(), err)
	}
	return a, err
}

func (c *tally) Change(ctx context.Context, call evidence.CloudCall) (evidence.CloudAnswer, error) {
	a, err := c.Cloud.Change(ctx, call)
	c.note(call.Name(), err)
	return a, err
}

// The playbook against an emulator of others. What that lacks is said and
// counted as a gap; what it has must come out as against the stand-in.
func TestRespondOnMoto(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	startMoto(t)
	instance, host, key, enis, web := scene(t)
	withScaling := scaled(t, instance)
	dir := t.TempDir()
	folder := evidence.Folder(filepath.Join(dir, "case"))
	if err := os.MkdirAll(string(folder), 0o700); err != nil {
		t.Fatal(err)
	}
	signing := filepath.Join(dir, "key")
	if err := custody.MakeKey(signing, "alice"); err != nil {
		t.Fatal(err)
	}
	signer, err := custody.LoadSigner(signing)
	if err != nil {
		t.Fatal(err)
	}
	const id = "urn:uuid:6f1f7ad2-4a1e-4c1b-9d55-1f2f7c1f0a11"
	ledger, err := custody.Create(folder, id, custody.Options{Actor: "alice", Signer: signer, Host: "h", Now: time.Now, Tool: custody.Tool{Args: []string{}, Name: "snapcase", SHA256: strings.Repeat("0", 64), Version: "t"}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := aws.Open(t.Context(), aws.Options{Region: "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	cloud := &tally{Cloud: a.Calls(aws.CallOptions{Backoff: time.Millisecond}), all: map[string]string{}}
	exhibits := 0
	s := &respond.Session{
		Folder: folder, CaseID: id, Region: "eu-west-1", Cloud: cloud, Ledger: ledger, Scratch: dir, Now: time.Now,
		Pace: respond.Pace{Look: time.Millisecond, Looks: 5, Wait: time.Millisecond, Back: time.Millisecond, Settle: 3},
		Exhibit: func(context.Context, string, string) (evidence.Acquisition, error) {
			exhibits++
			return evidence.Acquisition{Exhibit: fmt.Sprintf("EX-%03d", exhibits)}, nil
		},
	}
	p, err := s.Plan(t.Context(), respond.Options{Instance: instance, ShareWith: "444455556666", RevokeRole: true, NACL: true, CutEstablished: true, DetachEIP: true, DisableKeys: []string{key}, DetachASG: withScaling, Lock: 1, Mirror: enis[1], WithVolume: true, HostInstance: host, Order: respond.ContainFirst})
	if err != nil {
		t.Fatal(err)
	}
	answers, err := cloud.Read(t.Context(), evidence.CloudCall{Service: "ec2", Action: "DescribeNetworkAcls", Params: map[string]any{}})
	if err != nil || strings.Contains(string(answers[0].Body), "snapcase:case") {
		t.Fatalf("plan made a network ACL: %v", err)
	}
	if err := s.Run(t.Context(), p); err != nil && !errors.Is(err, evidence.ErrGaps) {
		t.Fatal(err)
	} else if err != nil {
		t.Logf("gaps: %v", err)
	}
	groups := func() (all [][]string) {
		for _, n := range enis {
			answers, err := cloud.Read(t.Context(), evidence.CloudCall{Service: "ec2", Action: "DescribeNetworkInterfaces", Params: map[string]any{"NetworkInterfaceIds": []any{n}}})
			if err != nil {
				t.Fatal(err)
			}
			_, rest, _ := strings.Cut(string(answers[0].Body), `"Groups":[`)
			part, _, _ := strings.Cut(rest, "]")
			all = append(all, []string{part})
		}
		return all
	}
	for i, g := range groups() {
		if strings.Contains(g[0], web) || strings.Count(g[0], "GroupId") != 1 || !strings.Contains(g[0], "snapcase-6f1f7ad2-"+instance) {
			t.Errorf("%s holds %s", enis[i], g[0])
		}
	}
	if err := s.Undo(t.Context(), instance, respond.UndoOptions{Named: []string{key, "web-role", "marc"}}); err != nil {
		t.Logf("undo: %v", err)
	}
	for i, g := range groups() {
		if !strings.Contains(g[0], web) || strings.Count(g[0], "GroupId") != 1 {
			t.Errorf("after undo %s holds %s", enis[i], g[0])
		}
	}
	names := make([]string, 0, len(cloud.all))
	for n := range cloud.all {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		t.Logf("%-45s %s", n, cloud.all[n])
	}
}
