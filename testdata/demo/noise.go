package main

import (
	"fmt"
	"time"
)

var (
	trailStart = at("2026-10-06T00:00:00Z")
	trailDays  = 14
)

const (
	agentBoto   = "Boto3/1.35.42 md/Botocore#1.35.42 ua/2.0 os/linux#6.1.112-122.189.amzn2023.x86_64 md/arch#x86_64 lang/python#3.11.6 md/pyimpl#CPython cfg/retry-mode#legacy Botocore/1.35.42"
	agentTF     = "APN/1.0 HashiCorp/1.0 Terraform/1.9.8 (+https://www.terraform.io) terraform-provider-aws/5.72.1 (+https://registry.terraform.io/providers/hashicorp/aws) aws-sdk-go-v2/1.32.2 os/linux lang/go#1.23.2 md/GOOS#linux md/GOARCH#amd64 api/"
	agentChrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36"
	agentJS     = "aws-sdk-nodejs/2.1691.0 linux/v20.18.0 exec-env/AWS_Lambda_nodejs20.x promise"
)

// noise is the ordinary life of the account: monitoring, builds, scaling,
// functions, backups, services, and people.
func (l *trailLog) noise() {
	for d := range trailDays {
		day := trailStart.AddDate(0, 0, d)
		weekend := day.Weekday() == time.Saturday || day.Weekday() == time.Sunday
		l.monitoring(day)
		l.services(day)
		l.backups(day)
		l.functions(day)
		l.scaling(day)
		if weekend {
			continue
		}
		for range 5 + l.w.r.IntN(4) {
			l.build(l.workHour(day))
		}
		l.people(day)
		l.terraform(l.workHour(day))
	}
}

func (l *trailLog) workHour(day time.Time) time.Time {
	return day.Add(7*time.Hour + time.Duration(l.w.r.IntN(10*3600))*time.Second)
}

func (l *trailLog) step(t *time.Time, max int) time.Time {
	*t = t.Add(time.Duration(1+l.w.r.IntN(max)) * time.Second)
	return *t
}

// monitoring is a partner's account that reads a little every two hours.
func (l *trailLog) monitoring(day time.Time) {
	const id, name = "AROARZ3KQ5TMQ2AYKEC5L", "MonitoringReadOnly"
	for h := 0; h < 24; h += 3 {
		t := day.Add(time.Duration(h)*time.Hour + time.Duration(l.w.r.IntN(300))*time.Second)
		partner := caller{obj{"type": "AWSAccount", "principalId": "AROAXQF6CWPPL3J2HZDKT:collector", "accountId": "210987654321"}, "192.0.2.77", agentBoto, false}
		s := l.assume(partner, t, "us-east-1", name, "", id, "collector", l.w.key("ASIA"))
		c := caller{s, "192.0.2.77", agentBoto, false}
		for _, r := range []string{homeRegion, "us-east-1", "eu-west-1"} {
			l.call(c, l.step(&t, 9), r, "ec2", "DescribeInstances", obj{"maxResults": 1000, "instancesSet": obj{}, "filterSet": obj{}}, nil)
			l.call(c, l.step(&t, 5), r, "monitoring", "DescribeAlarms", obj{"maxRecords": 100}, nil)
			if h%6 == 0 {
				l.call(c, l.step(&t, 5), r, "rds", "DescribeDBInstances", obj{"maxRecords": 100}, nil)
			}
		}
		if l.w.r.IntN(4) == 0 { // the policy of the partner never allowed this one
			l.call(c, l.step(&t, 5), homeRegion, "ce", "GetCostAndUsage", nil, nil, denied("arn:aws:sts::"+account+":assumed-role/"+name+"/collector", "ce:GetCostAndUsage"))
		}
	}
}

// services are calls that AWS makes for itself, in every region.
func (l *trailLog) services(day time.Time) {
	service := func(s string) caller {
		return caller{obj{"type": "AWSService", "invokedBy": s + ".amazonaws.com"}, s + ".amazonaws.com", s + ".amazonaws.com", false}
	}
	shared := func(e *event) { e.Shared = l.w.uuid() }
	for h := range 12 {
		t := day.Add(time.Duration(2*h)*time.Hour + time.Duration(l.w.r.IntN(7000))*time.Second)
		l.call(service("cloudtrail"), t, homeRegion, "s3", "GetBucketAcl", obj{"bucketName": "acme-trail", "Host": "acme-trail.s3." + homeRegion + ".amazonaws.com", "acl": ""}, nil, shared)
		t = l.step(&t, 900)
		// instance credentials of the machine whose disk is in evidence
		arn := "arn:aws:iam::" + account + ":role/WebInstance"
		l.call(service("ec2"), t, homeRegion, "sts", "AssumeRole", obj{"roleArn": arn, "roleSessionName": l.w.web.id}, obj{"credentials": l.w.credentials(l.w.key("ASIA"), t)}, shared, func(e *event) { e.Resources = []resource{{account, "AWS::IAM::Role", arn}} })
		t = l.step(&t, 1500)
		l.call(service("logs"), t, homeRegion, "kms", "GenerateDataKey", obj{"keySpec": "AES_256", "keyId": "arn:aws:kms:" + homeRegion + ":" + account + ":key/5f0c8a1e-7e1b-4a0c-9a54-2d7b80c1f0aa"}, nil, shared)
	}
	for _, r := range []string{homeRegion, "us-east-1", "eu-west-1", "us-west-2", "ap-southeast-2", newRegion} {
		t := day.Add(4*time.Hour + time.Duration(l.w.r.IntN(3000))*time.Second)
		l.call(service("resource-explorer-2"), t, r, "sts", "AssumeRole", obj{"roleArn": "arn:aws:iam::" + account + ":role/aws-service-role/resource-explorer-2.amazonaws.com/AWSServiceRoleForResourceExplorer", "roleSessionName": "resource-explorer-2"}, obj{"credentials": l.w.credentials(l.w.key("ASIA"), t)}, shared)
	}
}

// backups is an IAM user with a long-term key of its own, from Ireland.
func (l *trailLog) backups(day time.Time) {
	c := caller{user("backup-agent", "AIDARZ3KQ5TMU2PW6GJCF", l.longKey("backup-agent")), "192.0.2.118", agentBoto, false}
	t := day.Add(2*time.Hour + time.Duration(l.w.r.IntN(600))*time.Second)
	l.call(c, t, "eu-west-1", "sts", "GetCallerIdentity", nil, nil)
	l.call(c, l.step(&t, 4), "eu-west-1", "ec2", "DescribeVolumes", obj{"volumeSet": obj{}, "filterSet": obj{"items": []any{obj{"name": "tag:Backup", "valueSet": obj{"items": []any{obj{"value": "daily"}}}}}}}, nil)
	for range 6 {
		vol, snap := "vol-0"+l.w.hex(16), "snap-0"+l.w.hex(16)
		l.call(c, l.step(&t, 8), "eu-west-1", "ec2", "CreateSnapshot", obj{"volumeId": vol, "description": "daily " + day.Format("2006-01-02")}, obj{"requestId": l.w.uuid(), "snapshotId": snap, "volumeId": vol, "status": "pending", "ownerId": account, "volumeSize": "40", "encrypted": true})
		old := "snap-0" + l.w.hex(16)
		switch l.w.r.IntN(8) {
		case 0:
			l.call(c, l.step(&t, 8), "eu-west-1", "ec2", "DeleteSnapshot", obj{"snapshotId": old}, nil, func(e *event) {
				e.ErrorCode, e.ErrorMessage = "Client.InvalidSnapshot.NotFound", "The snapshot '"+old+"' does not exist."
			})
		default:
			l.call(c, l.step(&t, 8), "eu-west-1", "ec2", "DeleteSnapshot", obj{"snapshotId": old}, obj{"requestId": l.w.uuid(), "_return": true})
		}
	}
}

func (l *trailLog) longKey(name string) string {
	if l.w.longKeys[name] == "" {
		l.w.longKeys[name] = l.w.key("AKIA")
	}
	return l.w.longKeys[name]
}

// functions are Lambda roles that write logs, read secrets and queues.
func (l *trailLog) functions(day time.Time) {
	for i, f := range []string{"invoice-render", "image-resize", "nightly-report"} {
		id := []string{"AROARZ3KQ5TMD3XGUN5VA", "AROARZ3KQ5TMEK7HOZQ24", "AROARZ3KQ5TMB6PDLW3YI"}[i]
		for range 3 {
			t := day.Add(time.Duration(l.w.r.IntN(86000)) * time.Second)
			arn := "arn:aws:iam::" + account + ":role/service-role/" + f
			k := l.w.key("ASIA")
			l.call(caller{obj{"type": "AWSService", "invokedBy": "lambda.amazonaws.com"}, "lambda.amazonaws.com", "lambda.amazonaws.com", false}, t, homeRegion, "sts", "AssumeRole",
				obj{"roleArn": arn, "roleSessionName": f}, obj{"credentials": l.w.credentials(k, t), "assumedRoleUser": obj{"assumedRoleId": id + ":" + f, "arn": "arn:aws:sts::" + account + ":assumed-role/" + f + "/" + f}}, func(e *event) { e.Shared = l.w.uuid() })
			c := caller{role(f, "service-role/", id, f, k, t, false), fmt.Sprintf("192.0.2.%d", 130+l.w.r.IntN(12)), agentJS, false}
			stream := day.Format("2006/01/02") + "/[$LATEST]" + l.w.hex(32)
			l.call(c, l.step(&t, 3), homeRegion, "logs", "CreateLogStream", obj{"logGroupName": "/aws/lambda/" + f, "logStreamName": stream}, nil)
			l.call(c, l.step(&t, 3), homeRegion, "secretsmanager", "GetSecretValue", obj{"secretId": "prod/" + f + "/db"}, nil)
			if l.w.r.IntN(3) == 0 {
				l.call(c, l.step(&t, 3), homeRegion, "sqs", "GetQueueUrl", obj{"queueName": f + "-jobs"}, nil)
			}
		}
	}
}

// scaling is what the service roles of Auto Scaling and Config do.
func (l *trailLog) scaling(day time.Time) {
	service := func(name, id, session, s string, since time.Time) caller {
		r := role("AWSServiceRoleFor"+name, "aws-service-role/"+s+".amazonaws.com/", id, session, l.w.key("ASIA"), since, false)
		r["invokedBy"] = s + ".amazonaws.com"
		return caller{r, s + ".amazonaws.com", s + ".amazonaws.com", false}
	}
	for range 2 + l.w.r.IntN(2) {
		t := day.Add(time.Duration(l.w.r.IntN(86000)) * time.Second)
		c := service("AutoScaling", "AROARZ3KQ5TMPXAV4OTCN", "AutoScaling", "autoscaling", t.Add(-5*time.Minute))
		id, eni, ip := "i-0"+l.w.hex(16), "eni-0"+l.w.hex(16), fmt.Sprintf("10.20.%d.%d", 1+l.w.r.IntN(3), 40+l.w.r.IntN(200))
		item := obj{"instanceId": id, "imageId": "ami-0b5673b5f6e8f7fa7", "instanceState": obj{"code": 0, "name": "pending"}, "instanceType": "t3.large", "launchTime": t.UnixMilli(), "placement": obj{"availabilityZone": homeRegion + "b", "tenancy": "default"}, "subnetId": l.w.web.subnet, "vpcId": l.w.web.vpc, "privateIpAddress": ip, "networkInterfaceSet": obj{"items": []any{obj{"networkInterfaceId": eni, "privateIpAddress": ip, "subnetId": l.w.web.subnet, "vpcId": l.w.web.vpc, "status": "in-use"}}}}
		l.call(c, t, homeRegion, "ec2", "RunInstances", obj{"instancesSet": obj{"items": []any{obj{"imageId": "ami-0b5673b5f6e8f7fa7", "minCount": 1, "maxCount": 1}}}, "instanceType": "t3.large", "launchTemplate": obj{"launchTemplateId": "lt-03f0a1b6c5d1e2f70", "version": "14"}}, obj{"requestId": l.w.uuid(), "reservationId": "r-0" + l.w.hex(16), "ownerId": account, "instancesSet": obj{"items": []any{item}}})
		l.call(c, l.step(&t, 4), homeRegion, "ec2", "CreateTags", obj{"resourcesSet": obj{"items": []any{obj{"resourceId": id}}}, "tagSet": obj{"items": []any{obj{"key": "aws:autoscaling:groupName", "value": "web"}}}}, obj{"_return": true})
		t = t.Add(time.Duration(2+l.w.r.IntN(9)) * time.Hour)
		l.call(c, t, homeRegion, "ec2", "TerminateInstances", obj{"instancesSet": obj{"items": []any{obj{"instanceId": id}}}}, obj{"instancesSet": obj{"items": []any{obj{"instanceId": id, "currentState": obj{"code": 32, "name": "shutting-down"}, "previousState": obj{"code": 16, "name": "running"}}}}})
	}
	for _, r := range []string{homeRegion, "us-east-1"} {
		t := day.Add(6*time.Hour + time.Duration(l.w.r.IntN(40000))*time.Second)
		c := service("Config", "AROARZ3KQ5TMZFYQ7JKEB", "AWSConfig-Describe", "config", t)
		for _, n := range []string{"DescribeSecurityGroups", "DescribeVpcs", "DescribeSubnets", "DescribeRouteTables", "DescribeNetworkAcls"} {
			l.call(c, l.step(&t, 3), r, "ec2", n, nil, nil)
		}
	}
}

// build is one run of the build pipeline: a web identity, a session, a push.
func (l *trailLog) build(t time.Time) {
	const id = "AROARZ3KQ5TMGW7RUEX5H"
	repo := l.w.pick("acme/web", "acme/api", "acme/infra", "acme/render")
	k, session := l.w.key("ASIA"), "GitHubActions"
	who := caller{
		obj{"type": "WebIdentityUser", "principalId": "arn:aws:iam::" + account + ":oidc-provider/token.actions.githubusercontent.com:sts.amazonaws.com:repo:" + repo + ":ref:refs/heads/main", "userName": "repo:" + repo + ":ref:refs/heads/main", "identityProvider": "arn:aws:iam::" + account + ":oidc-provider/token.actions.githubusercontent.com"},
		fmt.Sprintf("192.0.2.%d", 200+l.w.r.IntN(50)), "configure-aws-credentials-for-github-actions", false,
	}
	arn := "arn:aws:iam::" + account + ":role/ci-deploy"
	l.call(who, t, homeRegion, "sts", "AssumeRoleWithWebIdentity", obj{"roleArn": arn, "roleSessionName": session, "durationSeconds": 3600},
		obj{"subjectFromWebIdentityToken": "repo:" + repo + ":ref:refs/heads/main", "credentials": l.w.credentials(k, t), "assumedRoleUser": obj{"assumedRoleId": id + ":" + session, "arn": "arn:aws:sts::" + account + ":assumed-role/ci-deploy/" + session}, "audience": "sts.amazonaws.com"},
		func(e *event) { e.Resources = []resource{{account, "AWS::IAM::Role", arn}} })
	s := role("ci-deploy", "", id, session, k, t, false)
	s["sessionContext"].(obj)["webIdFederationData"] = obj{"federatedProvider": "arn:aws:iam::" + account + ":oidc-provider/token.actions.githubusercontent.com", "attributes": obj{}}
	c := caller{s, who.ip, "aws-cli/2.17.65 md/awscrt#0.21.2 ua/2.0 os/linux#6.8.0-1014-azure md/arch#x86_64 lang/python#3.12.6 md/pyimpl#CPython cfg/retry-mode#standard md/installer#exe", false}
	l.call(c, l.step(&t, 6), homeRegion, "sts", "GetCallerIdentity", nil, nil)
	l.call(c, l.step(&t, 20), homeRegion, "ecr", "GetAuthorizationToken", nil, nil)
	for range 3 + l.w.r.IntN(4) {
		l.call(c, l.step(&t, 20), homeRegion, "ecr", l.w.pick("BatchCheckLayerAvailability", "InitiateLayerUpload", "CompleteLayerUpload"), obj{"repositoryName": repo, "registryId": account}, nil)
	}
	l.call(c, l.step(&t, 9), homeRegion, "ecr", "PutImage", obj{"repositoryName": repo, "registryId": account, "imageTag": l.w.hex(7)}, nil)
	for range 2 + l.w.r.IntN(5) {
		l.call(c, l.step(&t, 15), homeRegion, "cloudformation", "DescribeStacks", obj{"stackName": "web-prod"}, nil)
	}
	if l.w.r.IntN(3) == 0 {
		l.call(c, l.step(&t, 9), "us-east-1", "cloudfront", "CreateInvalidation", obj{"distributionId": "E2QWRUH7K3ZP9T", "invalidationBatch": obj{"callerReference": l.w.hex(10), "paths": obj{"quantity": 1, "items": []any{"/*"}}}}, nil)
	}
	if l.w.r.IntN(5) == 0 {
		l.call(c, l.step(&t, 9), homeRegion, "ssm", "GetParameter", obj{"name": "/prod/" + repo, "withDecryption": true}, nil, denied("arn:aws:sts::"+account+":assumed-role/ci-deploy/"+session, "ssm:GetParameter"))
	}
}

// terraform is a plan run by an IAM user from the office.
func (l *trailLog) terraform(t time.Time) {
	u := user("terraform", "AIDARZ3KQ5TMNVC2XDS7Q", l.longKey("terraform"))
	for _, p := range []struct{ service, name, region string }{
		{"sts", "GetCallerIdentity", homeRegion},
		{"ec2", "DescribeVpcs", homeRegion},
		{"ec2", "DescribeSubnets", homeRegion},
		{"ec2", "DescribeSecurityGroups", homeRegion},
		{"ec2", "DescribeAddresses", homeRegion},
		{"iam", "GetRole", "us-east-1"},
		{"iam", "ListRolePolicies", "us-east-1"},
		{"iam", "GetPolicy", "us-east-1"},
		{"route53", "ListHostedZones", "us-east-1"},
		{"s3", "GetBucketVersioning", homeRegion},
		{"ec2", "DescribeFlowLogs", "us-west-2"},
		{"dynamodb", "DescribeTable", homeRegion},
	} {
		var req any
		switch p.name {
		case "GetRole", "ListRolePolicies":
			req = obj{"roleName": l.w.pick("ci-deploy", "WebInstance", "BuildDeploy", "DataPipelineReader")}
		case "GetBucketVersioning":
			req = obj{"bucketName": "acme-build-artifacts"}
		case "DescribeTable":
			req = obj{"tableName": "terraform-locks"}
		}
		l.call(caller{u, officeIP, agentTF + p.service + "#1.62.0", false}, l.step(&t, 4), p.region, p.service, p.name, req, nil)
	}
}

func (l *trailLog) consoleLogin(name, id string, t time.Time, ip, agent string) {
	l.call(caller{user(name, id, ""), ip, agent, true}, t, homeRegion, "signin", "ConsoleLogin", nil, obj{"ConsoleLogin": "Success"}, func(e *event) {
		e.Additional = obj{"LoginTo": "https://console.aws.amazon.com/console/home", "MobileVersion": "No", "MFAUsed": "Yes"}
		e.Type, e.FromConsole, e.RequestID = "AwsConsoleSignIn", "", ""
	})
}

// people use the console: sometimes without the right to.
func (l *trailLog) people(day time.Time) {
	for i, name := range []string{"anna.keller", "j.ferreira", "Marc_the_Intern"} {
		if l.w.r.IntN(3) == 0 {
			continue
		}
		id := []string{"AIDARZ3KQ5TMC7LQ4HRYP", "AIDARZ3KQ5TM3NJWXG6ZD", marcID}[i]
		t := l.workHour(day)
		l.consoleLogin(name, id, t, officeIP, agentChrome)
		u := user(name, id, l.w.key("ASIA"))
		u["sessionContext"] = obj{"attributes": obj{"creationDate": stamp(t), "mfaAuthenticated": "true"}}
		c := caller{u, officeIP, agentChrome, true}
		for range 5 + l.w.r.IntN(8) {
			region := l.w.pick(homeRegion, homeRegion, homeRegion, "eu-west-1", "us-east-1")
			p := [][2]string{{"ec2", "DescribeInstances"}, {"ec2", "DescribeInstanceStatus"}, {"monitoring", "DescribeAlarms"}, {"cloudtrail", "LookupEvents"}, {"s3", "ListBuckets"}, {"rds", "DescribeDBInstances"}, {"health", "DescribeEventAggregates"}, {"notifications", "ListNotificationEvents"}, {"cloudformation", "ListStacks"}, {"logs", "DescribeLogGroups"}}[l.w.r.IntN(10)]
			l.call(c, l.step(&t, 200), region, p[0], p[1], nil, nil)
		}
		if i == 2 && l.w.r.IntN(2) == 0 {
			l.call(c, l.step(&t, 60), homeRegion, "ec2", "StopInstances", obj{"instancesSet": obj{"items": []any{obj{"instanceId": l.w.web.id}}}, "force": false}, nil, denied("arn:aws:iam::"+account+":user/"+name, "ec2:StopInstances"))
		}
	}
}
