package cloudtrail

import (
	"strings"

	"snapcase/evidence"
)

// making says what a call makes: the type, and the names under which the
// answer or else the request holds its id, best first.
type making struct {
	kind string
	keys []string
}

// makingOf is the making of the calls whose ids do not follow the rule of
// guess.
func makingOf(call string) (making, bool) {
	switch call {
	case "RunInstances":
		return making{"AWS::EC2::Instance", []string{"instanceId"}}, true
	case "CreateKeyPair", "ImportKeyPair":
		return making{"AWS::EC2::KeyPair", []string{"keyName"}}, true
	case "CreateSecurityGroup":
		return making{"AWS::EC2::SecurityGroup", []string{"groupId"}}, true
	case "CreateSnapshot", "CreateSnapshots", "CopySnapshot", "ImportSnapshot":
		return making{"AWS::EC2::Snapshot", []string{"snapshotId"}}, true
	case "CreateImage", "CopyImage", "RegisterImage", "ImportImage":
		return making{"AWS::EC2::Ami", []string{"imageId"}}, true
	case "CreateVolume":
		return making{"AWS::EC2::Volume", []string{"volumeId"}}, true
	case "CreateNetworkInterface":
		return making{"AWS::EC2::NetworkInterface", []string{"networkInterfaceId"}}, true
	case "AllocateAddress":
		return making{"AWS::EC2::EIP", []string{"allocationId", "publicIp"}}, true
	case "CreateVpc":
		return making{"AWS::EC2::VPC", []string{"vpcId"}}, true
	case "CreateSubnet":
		return making{"AWS::EC2::Subnet", []string{"subnetId"}}, true
	case "CreateUser":
		return making{"AWS::IAM::User", []string{"userName"}}, true
	case "CreateLoginProfile":
		return making{"iam/LoginProfile", []string{"userName"}}, true
	case "CreateAccessKey":
		return making{"AWS::IAM::AccessKey", []string{"accessKeyId"}}, true
	case "CreateRole", "CreateServiceLinkedRole":
		return making{"AWS::IAM::Role", []string{"roleName"}}, true
	case "CreatePolicy":
		return making{"AWS::IAM::Policy", []string{"arn", "policyName"}}, true
	case "CreateBucket":
		return making{"AWS::S3::Bucket", []string{"bucketName"}}, true
	case "CreateSecret":
		return making{"AWS::SecretsManager::Secret", []string{"arn", "name"}}, true
	case "CreateKey":
		return making{"AWS::KMS::Key", []string{"keyId", "arn"}}, true
	case "CreateDBInstance":
		return making{"AWS::RDS::DBInstance", []string{"dBInstanceIdentifier"}}, true
	case "CreateTrail":
		return making{"AWS::CloudTrail::Trail", []string{"trailARN", "name"}}, true
	}
	if strings.HasPrefix(call, "CreateFunction") && !strings.Contains(call, "Url") {
		return making{"AWS::Lambda::Function", []string{"functionName"}}, true
	}
	return guess(call)
}

// guess is the rule for the other calls: CreateLaunchTemplate makes something
// whose id is launchTemplateId, launchTemplateIdentifier, …Arn or …Name. Its
// type is given as service/LaunchTemplate, which is no type of AWS, because
// the record does not name one.
func guess(call string) (making, bool) {
	for _, verb := range [...]string{"Create", "Allocate", "Register", "Import"} {
		thing, ok := strings.CutPrefix(call, verb)
		thing = strings.TrimRight(thing, "0123456789_v") // the API's date
		if ok && thing != "" {
			return making{thing, []string{thing + "Id", thing + "Identifier", thing + "Arn", thing + "Name"}}, true
		}
	}
	return making{}, false
}

// created notes what a successful call made.
func (p *parser) created() {
	e := &p.rec.Event
	m, ok := makingOf(e.Name)
	if !ok {
		return
	}
	if !strings.Contains(m.kind, ":") && !strings.Contains(m.kind, "/") {
		service, _, _ := strings.Cut(e.Source, ".")
		m.kind = service + "/" + m.kind
	}
	for _, at := range [...]span{p.res, p.req} {
		if e.Name == "RunInstances" && at == p.req {
			return // a request makes nothing
		}
		for _, key := range m.keys {
			if p.gather(at, key, m.kind); len(p.rec.Created) > 0 {
				return
			}
		}
	}
}

// gather adds every string that stands under the key, whatever the case of
// its letters, in a part of the record.
func (p *parser) gather(at span, key, kind string) {
	if at.from == at.to {
		return
	}
	p.sc.reset(trimColon(p.text[at.from:at.to]))
	p.seenKey.reset()
	// The text was walked before: an error cannot come, and would end the
	// search with what was found.
	_ = p.search(key, func(id []byte) {
		if s := p.in.get(id); s != "" && p.seenKey.add("", s) {
			p.rec.Created = append(p.rec.Created, evidence.Resource{Type: kind, Name: s})
		}
	})
}

// search walks a value and gives the strings that stand under the key.
func (p *parser) search(key string, found func([]byte)) error {
	switch p.sc.kind() {
	case '[':
		return p.sc.array(func() error { return p.search(key, found) })
	case '{':
	default:
		return p.sc.skip()
	}
	return p.sc.object(func(name []byte) error {
		if p.sc.kind() != '"' || !strings.EqualFold(string(name), key) {
			return p.search(key, found)
		}
		b, err := p.sc.text()
		if err == nil {
			found(b)
		}
		return err
	})
}

// trimColon drops what stands between a name and its value.
func trimColon(b []byte) []byte {
	for b = trimSpace(b); len(b) > 0 && b[0] == ':'; {
		b = trimSpace(b[1:])
	}
	return b
}
