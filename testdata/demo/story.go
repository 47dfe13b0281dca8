package main

import "time"

const (
	marc     = "Marc_the_Intern"
	marcID   = "AIDARZ3KQ5TM7YDNEXVOW"
	deploy   = "BuildDeploy"
	deployID = "AROARZ3KQ5TMXH4LPQ2GA"
	data     = "DataPipelineReader"
	dataID   = "AROARZ3KQ5TMVJ6SBNO7E"

	cliBad  = "aws-cli/2.15.30 Python/3.11.8 Linux/6.6.15-amd64 exe/x86_64.kali.2024 prompt/off command/"
	botoBad = "Boto3/1.34.51 md/Botocore#1.34.51 ua/2.0 os/linux#6.6.15-amd64 md/arch#x86_64 lang/python#3.11.8 md/pyimpl#CPython cfg/retry-mode#legacy Botocore/1.34.51"
)

func (l *trailLog) story(facts map[string]any) {
	w := l.w
	marcARN := "arn:aws:iam::" + account + ":user/" + marc

	// 8 October: Marc makes himself a key in the console, from the office.
	console := user(marc, marcID, w.key("ASIA"))
	made := at("2026-10-08T16:05:48Z")
	console["sessionContext"] = obj{"attributes": obj{"creationDate": stamp(made.Add(-9 * time.Minute)), "mfaAuthenticated": "true"}}
	desk := caller{console, officeIP, "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0", true}
	l.consoleLogin(marc, marcID, made.Add(-9*time.Minute), officeIP, desk.agent)
	l.call(desk, made.Add(-time.Minute), "us-east-1", "iam", "ListAccessKeys", obj{"userName": marc}, nil)
	l.call(desk, made, "us-east-1", "iam", "CreateAccessKey", obj{"userName": marc},
		obj{"accessKey": obj{"userName": marc, "accessKeyId": w.keyID, "status": "Active", "createDate": made.Format("Jan 2, 2006, 3:04:05 PM")}})
	facts["key_created"] = stamp(made)

	// 14 October: the key is used from an address nobody here knows.
	bad := func(ip, agent string, id map[string]any) caller { return caller{id, ip, agent, false} }
	key := user(marc, marcID, w.keyID)
	cli := func(cmd string) caller { return bad(badIP, cliBad+cmd, key) }
	first := at("2026-10-14T01:12:09Z")
	l.call(cli("sts.get-caller-identity"), first, "us-east-1", "sts", "GetCallerIdentity", nil, nil)
	facts["first_use"] = stamp(first)
	for i, n := range []string{"ListUsers", "ListAttachedUserPolicies", "GetAccountAuthorizationDetails"} {
		req := any(nil)
		if n == "ListAttachedUserPolicies" {
			req = obj{"userName": marc}
		}
		l.call(cli("iam"), first.Add(time.Duration(41+17*i)*time.Second), "us-east-1", "iam", n, req, nil, denied(marcARN, "iam:"+n))
	}
	l.call(cli("iam.list-roles"), first.Add(104*time.Second), "us-east-1", "iam", "ListRoles", nil, nil)
	assumed := at("2026-10-14T01:15:02Z")
	s1 := l.assume(cli("sts.assume-role"), assumed, "us-east-1", deploy, "", deployID, "marc-test", w.session)
	facts["assumed"] = stamp(assumed)
	l.session(s1, assumed, facts)

	// The session of the session, and one that is never used.
	py := bad(badIP2, botoBad, s1)
	t := at("2026-10-14T02:31:40Z")
	s2 := l.assume(py, t, "us-east-1", data, "", dataID, "etl-0", w.second)
	reader := bad(badIP2, botoBad, s2)
	l.call(reader, t.Add(9*time.Second), "us-east-1", "sts", "GetCallerIdentity", nil, nil)
	l.call(reader, t.Add(14*time.Second), "us-east-1", "s3", "ListBuckets", nil, nil)
	for i, b := range []string{"acme-build-artifacts", "acme-data-lake", "acme-hr-exports"} {
		l.call(reader, t.Add(time.Duration(20+6*i)*time.Second), homeRegion, "s3", "GetBucketLocation", obj{"bucketName": b, "location": ""}, nil,
			func(e *event) { e.Resources = []resource{{account, "AWS::S3::Bucket", "arn:aws:s3:::" + b}} })
	}
	l.call(reader, t.Add(50*time.Second), homeRegion, "s3", "GetBucketPolicy", obj{"bucketName": "acme-hr-exports", "policy": ""}, nil,
		denied("arn:aws:sts::"+account+":assumed-role/"+data+"/etl-0", "s3:GetBucketPolicy"))
	l.assume(py, at("2026-10-14T02:40:03Z"), "us-east-1", deploy, "", deployID, "marc-test", w.spare)
	l.responders()
}

// session is what the assumed role did: look, be refused, start a machine
// where nobody looks.
func (l *trailLog) session(s1 map[string]any, since time.Time, facts map[string]any) {
	w := l.w
	arn := "arn:aws:sts::" + account + ":assumed-role/" + deploy + "/marc-test"
	c := caller{s1, badIP, cliBad + "sts.get-caller-identity", false}
	l.call(c, since.Add(19*time.Second), "us-east-1", "sts", "GetCallerIdentity", nil, nil)
	c.ip, c.agent = badIP2, botoBad
	l.call(c, since.Add(38*time.Second), "us-east-1", "ec2", "DescribeRegions", obj{"regionSet": obj{}, "allRegions": false}, nil)
	for i, r := range []string{homeRegion, "us-east-1", "eu-west-1"} {
		l.call(c, since.Add(time.Duration(55+4*i)*time.Second), r, "ec2", "DescribeInstances", obj{"maxResults": 1000, "instancesSet": obj{}, "filterSet": obj{}}, nil)
	}
	refused := []struct{ service, name, region string }{
		{"iam", "CreateUser", "us-east-1"},
		{"iam", "CreateAccessKey", "us-east-1"},
		{"iam", "AttachUserPolicy", "us-east-1"},
		{"secretsmanager", "ListSecrets", homeRegion},
		{"ssm", "DescribeInstanceInformation", homeRegion},
		{"ssm", "DescribeParameters", homeRegion},
		{"lambda", "ListFunctions20150331", homeRegion},
		{"rds", "DescribeDBInstances", homeRegion},
		{"organizations", "ListAccounts", "us-east-1"},
		{"ec2", "RunInstances", homeRegion},
		{"ec2", "RunInstances", "us-east-1"},
		{"kms", "ListKeys", homeRegion},
	}
	for i, r := range refused {
		var req any
		switch r.name {
		case "CreateUser":
			req = obj{"userName": "svc-backup"}
		case "CreateAccessKey":
			req = obj{"userName": "terraform"}
		case "AttachUserPolicy":
			req = obj{"userName": marc, "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}
		case "RunInstances":
			req = obj{"instancesSet": obj{"items": []any{obj{"imageId": "ami-0" + w.hex(16), "minCount": 1, "maxCount": 1}}}, "instanceType": "c6i.4xlarge", "monitoring": obj{"enabled": false}}
		}
		l.call(c, since.Add(time.Duration(90+13*i)*time.Second), r.region, r.service, r.name, req, nil, denied(arn, r.service+":"+r.name))
	}
	l.newMachine(c, facts)
}

func (l *trailLog) newMachine(c caller, facts map[string]any) {
	w, m := l.w, l.w.rogue
	t := at("2026-10-14T01:58:11Z")
	ami, sg, vol := "ami-0"+w.hex(16), "sg-0"+w.hex(16), "vol-0"+w.hex(16)
	call := func(after int, name string, req, resp any) {
		l.call(c, t.Add(time.Duration(after)*time.Second), newRegion, "ec2", name, req, resp)
	}
	call(0, "DescribeVpcs", obj{"vpcSet": obj{}, "filterSet": obj{}}, nil)
	call(8, "DescribeSubnets", obj{"subnetSet": obj{}, "filterSet": obj{"items": []any{obj{"name": "vpc-id", "valueSet": obj{"items": []any{obj{"value": m.vpc}}}}}}}, nil)
	call(21, "DescribeImages", obj{"imagesSet": obj{}, "ownersSet": obj{"items": []any{obj{"owner": "amazon"}}}, "filterSet": obj{"items": []any{obj{"name": "name", "valueSet": obj{"items": []any{obj{"value": "al2023-ami-2023*-x86_64"}}}}}}}, nil)
	call(74, "CreateKeyPair", obj{"keyName": "osaka-1", "keyType": "ed25519", "keyFormat": "pem"}, obj{"keyName": "osaka-1", "keyPairId": "key-0" + w.hex(16), "keyFingerprint": "u3lN0cM1T+gIHPFGzLh2uHEgBIyFnTgp", "keyMaterial": "<sensitiveDataRemoved>"})
	call(101, "CreateSecurityGroup", obj{"groupName": "launch-wizard-9", "groupDescription": "launch-wizard-9", "vpcId": m.vpc}, obj{"_return": true, "groupId": sg})
	rule := func(proto string, port int) map[string]any {
		return obj{"ipProtocol": proto, "fromPort": port, "toPort": port, "groups": obj{}, "ipRanges": obj{"items": []any{obj{"cidrIp": "0.0.0.0/0"}}}, "ipv6Ranges": obj{}, "prefixListIds": obj{}}
	}
	for i, p := range []map[string]any{rule("tcp", 22), rule("icmp", -1)} {
		call(119+11*i, "AuthorizeSecurityGroupIngress", obj{"groupId": sg, "ipPermissions": obj{"items": []any{p}}}, obj{"_return": true, "securityGroupRuleSet": obj{"items": []any{obj{"groupOwnerId": account, "groupId": sg, "securityGroupRuleId": "sgr-0" + w.hex(16), "isEgress": false, "ipProtocol": p["ipProtocol"], "fromPort": p["fromPort"], "toPort": p["toPort"], "cidrIpv4": "0.0.0.0/0"}}}})
	}
	run := t.Add(316 * time.Second) // 02:03:27
	nic := obj{
		"networkInterfaceId": m.eni, "subnetId": m.subnet, "vpcId": m.vpc, "ownerId": account, "status": "in-use", "macAddress": "0a:5c:1f:d2:77:31", "privateIpAddress": m.private,
		"privateIpAddressesSet": obj{"item": []any{obj{"privateIpAddress": m.private, "primary": true}}}, "association": obj{"publicIp": m.public, "ipOwnerId": "amazon"},
		"groupSet": obj{"items": []any{obj{"groupId": sg, "groupName": "launch-wizard-9"}}}, "sourceDestCheck": true, "interfaceType": "interface",
	}
	call(316, "RunInstances",
		obj{"instancesSet": obj{"items": []any{obj{"imageId": ami, "minCount": 1, "maxCount": 1, "keyName": "osaka-1"}}}, "groupSet": obj{"items": []any{obj{"groupId": sg}}}, "instanceType": "c6i.4xlarge", "blockDeviceMapping": obj{}, "monitoring": obj{"enabled": false}, "disableApiTermination": false, "clientToken": w.uuid()},
		obj{"requestId": w.uuid(), "reservationId": "r-0" + w.hex(16), "ownerId": account, "groupSet": obj{}, "instancesSet": obj{"items": []any{obj{
			"instanceId": m.id, "imageId": ami, "instanceState": obj{"code": 0, "name": "pending"}, "privateDnsName": "ip-172-31-38-114." + newRegion + ".compute.internal",
			"keyName": "osaka-1", "amiLaunchIndex": 0, "instanceType": "c6i.4xlarge", "launchTime": run.UnixMilli(), "placement": obj{"availabilityZone": newRegion + "a", "tenancy": "default"},
			"monitoring": obj{"state": "disabled"}, "subnetId": m.subnet, "vpcId": m.vpc, "privateIpAddress": m.private, "stateReason": obj{"code": "pending", "message": "pending"},
			"architecture": "x86_64", "rootDeviceType": "ebs", "rootDeviceName": "/dev/xvda", "networkInterfaceSet": obj{"items": []any{nic}}, "groupSet": obj{"items": []any{obj{"groupId": sg, "groupName": "launch-wizard-9"}}},
		}}}})
	facts["run_instances"] = stamp(run)
	for i := range 4 {
		call(322+9*i, "DescribeInstances", obj{"instancesSet": obj{"items": []any{obj{"instanceId": m.id}}}, "filterSet": obj{}}, nil)
	}
	call(371, "CreateTags", obj{"resourcesSet": obj{"items": []any{obj{"resourceId": m.id}}}, "tagSet": obj{"items": []any{obj{"key": "Name", "value": "build-runner-eph"}}}}, obj{"_return": true})
	call(402, "DescribeVolumes", obj{"volumeSet": obj{"items": []any{obj{"volumeId": vol}}}, "filterSet": obj{}}, nil)
}

// responders is what the incident team did two days later, by its own role.
func (l *trailLog) responders() {
	w, m := l.w, l.w.rogue
	id, t := "AROARZ3KQ5TMF5NQ3WIRU", at("2026-10-16T08:02:44Z")
	ir := caller{role("IncidentResponse", "", id, "anna.keller", w.key("ASIA"), t.Add(-20*time.Minute), true), officeIP, "aws-cli/2.27.41 md/awscrt#0.26.1 ua/2.1 os/linux#6.8.0-1021-aws md/arch#x86_64 lang/python#3.13.4 md/pyimpl#CPython cfg/retry-mode#standard md/installer#exe", false}
	target, filter, vol := "tmt-0"+w.hex(16), "tmf-0"+w.hex(16), "vol-0"+w.hex(16)
	l.call(ir, t, newRegion, "ec2", "DescribeInstances", obj{"instancesSet": obj{"items": []any{obj{"instanceId": m.id}}}, "filterSet": obj{}}, nil)
	l.call(ir, t.Add(4*time.Minute), newRegion, "ec2", "CreateTrafficMirrorTarget", obj{"CreateTrafficMirrorTargetRequest": obj{"NetworkInterfaceId": "eni-0" + w.hex(16)}}, obj{"CreateTrafficMirrorTargetResponse": obj{"trafficMirrorTarget": obj{"trafficMirrorTargetId": target}}})
	l.call(ir, t.Add(5*time.Minute), newRegion, "ec2", "CreateTrafficMirrorFilter", obj{"CreateTrafficMirrorFilterRequest": obj{"Description": "all"}}, obj{"CreateTrafficMirrorFilterResponse": obj{"trafficMirrorFilter": obj{"trafficMirrorFilterId": filter}}})
	l.call(ir, t.Add(7*time.Minute), newRegion, "ec2", "CreateTrafficMirrorSession", obj{"CreateTrafficMirrorSessionRequest": obj{"NetworkInterfaceId": m.eni, "TrafficMirrorTargetId": target, "TrafficMirrorFilterId": filter, "SessionNumber": 1, "VirtualNetworkId": vni}}, obj{"CreateTrafficMirrorSessionResponse": obj{"trafficMirrorSession": obj{"trafficMirrorSessionId": "tms-0" + w.hex(16), "virtualNetworkId": vni}}})
	l.call(ir, at("2026-10-15T08:28:30Z"), homeRegion, "ec2", "CreateSnapshot", obj{"volumeId": vol, "description": "IR-2026-0142 " + w.web.id},
		obj{"requestId": w.uuid(), "snapshotId": "snap-0" + w.hex(16), "volumeId": vol, "status": "pending", "ownerId": account, "volumeSize": "8", "encrypted": true}, func(e *event) {
			e.Identity = role("IncidentResponse", "", id, "anna.keller", w.key("ASIA"), at("2026-10-15T08:20:12Z"), true)
		})
}
