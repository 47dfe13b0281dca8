package cloudtrail

import "net/netip"

// key is a name in requestParameters and responseElements that is looked for
// at any depth.
type key uint8

const (
	kOther key = iota
	kInstance
	kImage
	kVolume
	kSnapshot
	kInterface
	kGroup
	kVPC
	kSubnet
	kKeyPair
	kBucket
	kUser
	kRole
	kRoleARN
	kPolicy
	kAccessKey
	kFunction
	kSecret
	kDatabase
	kKMSKey
	kSession
	kPrivateIP
	kPublicIP
	kAnyIP
	kARN
	kPrincipal
	kCredentials // the objects of an answer that hold a credential
	kNewKey
	kAssumed
	kFederated
)

// resourceType is the type of what stands under a key, by key.
var resourceType = [...]string{
	kInstance: "AWS::EC2::Instance", kImage: "AWS::EC2::Ami", kVolume: "AWS::EC2::Volume",
	kSnapshot: "AWS::EC2::Snapshot", kInterface: "AWS::EC2::NetworkInterface",
	kGroup: "AWS::EC2::SecurityGroup", kVPC: "AWS::EC2::VPC", kSubnet: "AWS::EC2::Subnet",
	kKeyPair: "AWS::EC2::KeyPair", kBucket: "AWS::S3::Bucket", kUser: "AWS::IAM::User",
	kRole: "AWS::IAM::Role", kRoleARN: "AWS::IAM::Role", kPolicy: "AWS::IAM::Policy",
	kAccessKey: "AWS::IAM::AccessKey", kFunction: "AWS::Lambda::Function",
	kSecret: "AWS::SecretsManager::Secret", kDatabase: "AWS::RDS::DBInstance",
	kKMSKey: "AWS::KMS::Key", kSession: "AWS::STS::AssumedRole",
}

func keyOf(name []byte) key {
	switch string(name) {
	case "instanceId":
		return kInstance
	case "imageId":
		return kImage
	case "volumeId":
		return kVolume
	case "snapshotId":
		return kSnapshot
	case "networkInterfaceId":
		return kInterface
	case "groupId":
		return kGroup
	case "vpcId":
		return kVPC
	case "subnetId":
		return kSubnet
	case "keyName":
		return kKeyPair
	case "bucketName":
		return kBucket
	case "userName":
		return kUser
	case "roleName":
		return kRole
	case "roleArn":
		return kRoleARN
	case "policyArn":
		return kPolicy
	case "accessKeyId":
		return kAccessKey
	case "functionName":
		return kFunction
	case "secretId":
		return kSecret
	case "dBInstanceIdentifier":
		return kDatabase
	case "keyId":
		return kKMSKey
	case "roleSessionName":
		return kSession
	}
	return joinKeyOf(name)
}

// joinKeyOf knows the names that are no resources and serve joins.
func joinKeyOf(name []byte) key {
	switch string(name) {
	case "privateIpAddress":
		return kPrivateIP
	case "publicIp", "publicIpAddress", "ipv6Address":
		return kPublicIP
	case "ipAddress", "iPAddress":
		return kAnyIP
	case "arn":
		return kARN
	case "assumedRoleId", "federatedUserId":
		return kPrincipal
	case "credentials":
		return kCredentials
	case "accessKey":
		return kNewKey
	case "assumedRoleUser":
		return kAssumed
	case "federatedUser":
		return kFederated
	}
	return kOther
}

// fact is something that a record says about an instance.
type fact struct {
	kind  key // kPrivateIP, kPublicIP, kInterface
	value string
}

// body walks requestParameters or responseElements.
func (p *parser) body(at *span, answer bool) error {
	kind := p.sc.kind()
	if kind != '{' && kind != '[' {
		return p.sc.skip()
	}
	at.from = p.sc.at()
	p.facts = p.facts[:0]
	err := p.branch(kOther, kOther, 0, answer)
	at.to = p.sc.at()
	return err
}

// branch walks one value: its name is k, and top is the name of the member of
// the body that it lies in, depth members down.
func (p *parser) branch(k, top key, depth int, answer bool) error {
	switch p.sc.kind() {
	case '[':
		return p.sc.array(func() error { return p.branch(kOther, top, depth+1, answer) })
	case '{':
	default:
		return p.leaf(k, top, depth, answer)
	}
	mark, id := len(p.facts), ""
	err := p.sc.object(func(name []byte) error {
		k := keyOf(name)
		if depth == 0 {
			top = k
		}
		if k == kInstance && p.sc.kind() == '"' {
			b, err := p.sc.text()
			if err != nil {
				return err
			}
			id = p.in.get(b)
			p.note(k, id)
			return nil
		}
		return p.branch(k, top, depth+1, answer)
	})
	if id != "" {
		p.claim(id, mark, answer)
	}
	return err
}

// leaf reads a scalar of a body.
func (p *parser) leaf(k, top key, depth int, answer bool) error {
	if k == kOther || p.sc.kind() != '"' {
		return p.sc.skip()
	}
	b, err := p.sc.text()
	if err != nil || len(b) == 0 {
		return err
	}
	s := p.in.get(b)
	p.note(k, s)
	if answer && depth == 2 {
		p.issue(k, top, s)
	}
	return nil
}

// note keeps a string of a body for what it says.
func (p *parser) note(k key, s string) {
	switch k {
	case kInterface, kPrivateIP, kPublicIP:
		p.facts = append(p.facts, fact{k, s})
	case kAnyIP:
		p.facts = append(p.facts, fact{sideOf(s), s})
	case kSession:
		if p.rec.RoleSessionName == "" {
			p.rec.RoleSessionName = s
		}
	default:
	}
	if int(k) < len(resourceType) && s != "" && resourceType[k] != "" {
		p.addResource(resourceType[k], s)
	}
}

// sideOf tells the private address of an instance from its public one, where
// the name does not: RunInstances calls the public address ipAddress, and
// UpdateInstanceInformation the private one iPAddress.
func sideOf(s string) key {
	if a, err := netip.ParseAddr(s); err == nil && a.IsPrivate() {
		return kPrivateIP
	}
	return kPublicIP
}

// claim gives the facts from mark on to the instance in whose object they
// stood.
func (p *parser) claim(id string, mark int, answer bool) {
	if mark == len(p.facts) && !answer {
		return
	}
	in := Instance{ID: id, inAnswer: answer}
	for _, f := range p.facts[mark:] {
		switch f.kind {
		case kPrivateIP:
			in.PrivateIPs = addOnce(in.PrivateIPs, f.value)
		case kPublicIP:
			in.PublicIPs = addOnce(in.PublicIPs, f.value)
		default:
			in.Interfaces = addOnce(in.Interfaces, f.value)
		}
	}
	p.facts = p.facts[:mark]
	p.rec.Instances = append(p.rec.Instances, in)
}

// maxFacts is how many addresses or interfaces of one instance are taken from
// one record; AWS allows 15 interfaces of 50 addresses.
const maxFacts = 1024

func addOnce(list []string, s string) []string {
	if len(list) >= maxFacts {
		return list
	}
	for _, l := range list {
		if l == s {
			return list
		}
	}
	return append(list, s)
}

// issue reads the credential that an answer holds: credentials or accessKey,
// and whom it is for.
func (p *parser) issue(k, top key, s string) {
	switch top {
	case kCredentials:
		if k == kAccessKey {
			p.issued.KeyID = s
		}
	case kNewKey:
		switch k {
		case kAccessKey:
			p.issued.KeyID, p.issued.Permanent = s, true
		case kUser:
			p.issued.User = s
		default:
		}
	case kAssumed, kFederated:
		switch k {
		case kPrincipal:
			p.issued.Principal = s
		case kARN:
			p.issued.ARN = s
		default:
		}
	default:
	}
}

// launched marks the instances that the record made and drops those of which
// it says nothing.
func (p *parser) launched() {
	made := p.rec.Event.Name == "RunInstances"
	kept := p.rec.Instances[:0]
	for _, in := range p.rec.Instances {
		in.Launched = made && in.inAnswer
		if in.Launched || len(in.PrivateIPs)+len(in.PublicIPs)+len(in.Interfaces) > 0 {
			kept = append(kept, in)
		}
	}
	p.rec.Instances = kept
}
