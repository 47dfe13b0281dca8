package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"snapcase/evidence/aws/awstest"
)

// refusal is what goes wrong, and what a person is told of it.
type refusal struct {
	name string
	hurt func(s *awstest.Server, e *awstest.EC2)
	args []string
	code int
	says []string // what was being done, why it could not be, what next
	done []string // what respond status knows afterwards
}

func denied(action string) func(*awstest.Server, *awstest.EC2) {
	return func(s *awstest.Server, _ *awstest.EC2) {
		s.Break(awstest.Fault{Service: "ec2", Action: action, Kind: awstest.Denied, First: 1, Last: 1 << 30})
	}
}

// TestRefusals: every refusal says what was being done, what was done before it
// and what to do next, and status shows the state.
func TestRefusals(t *testing.T) {
	const host = "i-0bbbbbbbbbbbbbbbb"
	run := func(more ...string) []string {
		return append([]string{"run", "--instance", respondVictim, "--yes"}, more...)
	}
	for _, tt := range []refusal{
		{"unknown instance", nil, []string{"plan", "--instance", "i-0ffffffffffffffff"}, 1, []string{"plan the response to i-0ffffffffffffffff in eu-west-1", "InvalidInstanceID.NotFound", "hint: look at the id, the region"}, nil},
		{"wrong region", nil, []string{"plan", "--instance", respondVictim, "--region", "us-east-1"}, 1, []string{"in us-east-1", "hint: look at the id, the region"}, nil},
		{"may not look", denied("DescribeInstances"), []string{"plan", "--instance", respondVictim}, 1, []string{"UnauthorizedOperation", "hint: the caller needs the permission ec2:DescribeInstances"}, nil},
		{
			"may not snapshot", denied("CreateSnapshots"), run(), 4,
			[]string{"snapshot: snapshot/create: ec2:CreateSnapshots: UnauthorizedOperation", "hint: ask for ec2:CreateSnapshots", "repeats nothing"},
			[]string{"ok        isolate", "failed    snapshot", "closed  2 interfaces"},
		},
		{
			"may not isolate", denied("ModifyNetworkInterfaceAttribute"), run(), 4,
			[]string{"eni-1 holds sg-web", "hint: ask for ec2:ModifyNetworkInterfaceAttribute"},
			[]string{"failed    isolate", "ok        snapshot", "open  2 interfaces:  the step isolate, which closes it, has failed"},
		},
		{
			"default key", func(_ *awstest.Server, e *awstest.EC2) {
				for _, v := range e.Volumes {
					v.KMSKey = awstest.DefaultKey
				}
			}, run("--share-with", "444455556666"), 4,
			[]string{"vol-1 is encrypted with aws/ebs and no --kms-key was given", "hint:"},
			[]string{"ok        snapshot", "failed    share"},
		},
		{
			"expired in the middle", func(s *awstest.Server, _ *awstest.EC2) {
				s.Break(awstest.Fault{Service: "ec2", Action: "ModifyNetworkInterfaceAttribute", Kind: awstest.Expired, First: 2, Last: 1 << 30})
			}, run(), 1,
			[]string{"step isolate", "done before it: identify, describe, protect, group", "hint: renew the credentials", "it goes on where it stopped"},
			[]string{"ok        group", "begun     isolate", "unknown  2 interfaces"},
		},
		{
			"an emulator without the call", func(s *awstest.Server, _ *awstest.EC2) {
				s.Break(awstest.Fault{Service: "ec2", Action: "CreateSnapshots", Kind: awstest.HTML, First: 1, Last: 1 << 30})
			}, run(), 4,
			[]string{"the endpoint does not know this call", "hint: ec2:CreateSnapshots is not available here: check AWS_ENDPOINT_URL"},
			[]string{"failed    snapshot"},
		},
		{
			"another zone", func(_ *awstest.Server, e *awstest.EC2) {
				e.Instances[host] = &awstest.Instance{ID: host, Type: "m5.large", Zone: "eu-west-1b", VPC: "vpc-1", Subnet: "subnet-9", Devices: map[string]*awstest.Device{}}
			}, run("--with-volume", "--host-instance", host), 0, nil, []string{"ok        attach"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.check(t) })
	}
}

func (tt *refusal) check(t *testing.T) {
	s, e := respondAccount(t)
	home := t.TempDir()
	cs := filepath.Join(home, "case")
	runAWS(t, s, home, 0, "new", cs, "--title", "T", "--examiner", "alice")
	if tt.hurt != nil {
		tt.hurt(s, e)
	}
	_, errs := runAWS(t, s, home, tt.code, append([]string{"respond", tt.args[0], cs}, tt.args[1:]...)...)
	for _, w := range tt.says {
		if !strings.Contains(errs, w) {
			t.Errorf("no %q in %s", w, errs)
		}
	}
	s.Mend()
	if tt.args[0] != "run" {
		return
	}
	out, _ := runAWS(t, s, home, 0, "respond", "status", cs, "--instance", respondVictim)
	for _, w := range tt.done {
		if !strings.Contains(out, w) {
			t.Errorf("status: no %q in %s", w, out)
		}
	}
	for id, v := range e.Volumes { // made in the zone of the host that they are for
		if v.Instance != "" && v.Instance != respondVictim && v.Zone != e.Instances[v.Instance].Zone {
			t.Errorf("%s is in %s", id, v.Zone)
		}
	}
	if tt.code == 0 {
		return
	}
	args := slices.DeleteFunc(append([]string{"respond", "run", cs}, tt.args[1:]...), func(a string) bool { return a == "" })
	if code := 0; tt.name != "default key" {
		runAWS(t, s, home, code, args...) // once it is mended, the same command does the rest
	}
}

// TestAcquireRefused: what cannot be acquired from an account, in words.
func TestAcquireRefused(t *testing.T) {
	image := filepath.Join(t.TempDir(), "disk.raw")
	f, err := os.Create(image)
	must(t, err)
	must(t, f.Truncate(1<<30))
	must(t, f.Close())
	server, ebs := cloud(t, image)
	home, cs := t.TempDir(), filepath.Join(t.TempDir(), "case")
	output(t, home, []int{0}, "new", cs, "--title", "T", "--examiner", "jdoe")
	snap := ebs.Snapshots[snapshotID]
	for _, tt := range []struct {
		name string
		hurt func()
		args []string
		want []string
	}{
		{"wrong region", nil, []string{snapshotID, "--region", "us-east-1"}, []string{snapshotID + " is not known in us-east-1", "hint: snapshots belong to one region"}},
		{"unknown", nil, []string{"snap-00000000000000000"}, []string{"is not known in eu-west-1", "hint:"}},
		{"another account", func() { snap.Owner = "999988887777" }, []string{snapshotID}, []string{"which account 999988887777 owns", "it is not allowed", "hint: have 999988887777 share the snapshot and its key"}},
		{"may not list", func() {
			snap.Owner = "111122223333"
			server.Break(awstest.Fault{Service: "ebs", Action: "ListSnapshotBlocks", Kind: awstest.Denied, First: 1, Last: 1 << 30})
		}, []string{snapshotID}, []string{"list the blocks of " + snapshotID, "it is not allowed", "hint: ask for the permission ebs:ListSnapshotBlocks"}},
		{"no device", server.Mend, []string{volumeID}, []string{"find " + volumeID + ": no device of this host has its serial number", "hint: attach it to this instance and wait some seconds"}},
		{"no bucket", nil, []string{"s3://other/"}, []string{"s3://other: there is no such bucket", "hint: check the name"}},
		{"no credentials", func() { t.Setenv("AWS_ACCESS_KEY_ID", ""); t.Setenv("AWS_SECRET_ACCESS_KEY", "") }, []string{snapshotID}, []string{"no credentials were found", "hint: set AWS_PROFILE"}},
	} {
		if tt.hurt != nil {
			tt.hurt()
		}
		c := command(t, home, append([]string{"acquire", cs}, tt.args...)...)
		var errs bytes.Buffer
		c.Stderr = &errs
		if err := c.Run(); err == nil || c.ProcessState.ExitCode() != 1 {
			t.Errorf("%s: %v", tt.name, err)
		}
		for _, w := range tt.want {
			if !strings.Contains(errs.String(), w) {
				t.Errorf("%s: no %q in %s", tt.name, w, errs.String())
			}
		}
	}
	if n := len(output(t, home, []int{0}, "stats", cs)); n != 0 {
		t.Errorf("stats has %d bytes: something was acquired", n)
	}
}
