package flowlog

import (
	"errors"
	"fmt"
	"strings"
)

// ErrFormat says that a LogFormat given by hand cannot be used.
var ErrFormat = errors.New("no LogFormat of a flow log")

// maxFields is the most fields of a header; AWS has about 60.
const maxFields = 256

// field says where the value of a column goes.
type field uint8

const (
	other field = iota
	version
	account
	networkInterface
	src
	dst
	srcPort
	dstPort
	protocol
	packets
	octets
	start
	end
	action
	status
	vpc
	subnet
	instance
	tcpFlags
	pktSrc
	pktDst
	region
	direction
)

// known holds the names that AWS gives to fields: those with a place in
// Record, and those that only help to know a header.
var known = map[string]field{
	"version": version, "account-id": account, "interface-id": networkInterface, "srcaddr": src, "dstaddr": dst,
	"srcport": srcPort, "dstport": dstPort, "protocol": protocol, "packets": packets, "bytes": octets,
	"start": start, "end": end, "action": action, "log-status": status,
	"vpc-id": vpc, "subnet-id": subnet, "instance-id": instance, "tcp-flags": tcpFlags,
	"pkt-srcaddr": pktSrc, "pkt-dstaddr": pktDst, "region": region, "flow-direction": direction,

	"type": other, "az-id": other, "sublocation-type": other, "sublocation-id": other, // 3, 4
	"pkt-src-aws-service": other, "pkt-dst-aws-service": other, "traffic-path": other, // 5
	"resource-type": other, "tgw-id": other, "tgw-attachment-id": other, "tgw-pair-attachment-id": other, // 6: transit gateways
	"tgw-src-vpc-account-id": other, "tgw-dst-vpc-account-id": other, "tgw-src-vpc-id": other, "tgw-dst-vpc-id": other,
	"tgw-src-subnet-id": other, "tgw-dst-subnet-id": other, "tgw-src-eni": other, "tgw-dst-eni": other,
	"tgw-src-az-id": other, "tgw-dst-az-id": other, "packets-lost-no-route": other, "packets-lost-blackhole": other,
	"packets-lost-mtu-exceeded": other, "packets-lost-ttl-expired": other,
	"ecs-cluster-arn": other, "ecs-cluster-name": other, "ecs-container-instance-arn": other, // 7
	"ecs-container-instance-id": other, "ecs-container-id": other, "ecs-second-container-id": other,
	"ecs-service-name": other, "ecs-task-definition-arn": other, "ecs-task-arn": other, "ecs-task-id": other,
	"reject-reason": other, "resource-id": other, "encryption-status": other, // 8, 9, 10
	"instance-tag": other, "interface-tag": other, "asg-tag": other, "interface-type": other, // 11
	"timestamp": other, // of people who put a header above an export
}

// lookup finds a name, with "_" for "-" too. It allocates nothing.
func lookup(name []byte) (field, bool) {
	var spelt [32]byte
	if len(name) > len(spelt) {
		return other, false
	}
	for i, c := range name {
		if c == '_' {
			c = '-'
		}
		spelt[i] = c
	}
	f, ok := known[string(spelt[:len(name)])]
	return f, ok
}

// nameShaped: a letter, then letters, digits and what tags and ids have.
// Numbers, IPv4 addresses and "-", of which any useful record has some, are
// not shaped so.
func nameShaped(b []byte) bool {
	if len(b) == 0 || len(b) > 128 || !letter(b[0]) {
		return false
	}
	for _, c := range b[1:] {
		if !letter(c) && !digit(c) && !strings.ContainsRune("-_.:/@+=", rune(c)) {
			return false
		}
	}
	return true
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// origin is where a schema comes from.
type origin uint8

const (
	byDefault origin = iota // none was given: the default format, recognised strictly
	byFormat                // given by hand
	byHeader                // a line of the file
	lost                    // a header could not be read
)

// schema is the columns of the lines that follow.
type schema struct {
	from    origin
	columns []column
}

type column struct {
	name string
	to   field
	last string // the last text in this column: most columns repeat it
}

const defaultFormat = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"

// givenSchema is that of a LogFormat, or the default for none.
func givenSchema(format string) (schema, error) {
	names := strings.FieldsFunc(format, func(r rune) bool { return strings.ContainsRune(" ,\t\r\n", r) })
	if len(names) == 0 {
		s, _ := newSchema(byDefault, strings.Fields(defaultFormat))
		return s, nil
	}
	for i, name := range names {
		if inner, ok := strings.CutPrefix(name, "${"); ok && strings.HasSuffix(inner, "}") {
			names[i] = strings.TrimSuffix(inner, "}")
		}
		if !nameShaped([]byte(names[i])) {
			return schema{}, fmt.Errorf("%w: %+q is no name of a field", ErrFormat, name)
		}
	}
	s, reason := newSchema(byFormat, names)
	if reason != "" {
		return schema{}, fmt.Errorf("%w: it %s", ErrFormat, reason)
	}
	return s, nil
}

// newSchema gives a reason where the names make none.
func newSchema(from origin, names []string) (schema, string) {
	if len(names) > maxFields {
		return schema{from: lost}, fmt.Sprintf("has more than the %d fields that are read", maxFields)
	}
	s := schema{from: from, columns: make([]column, len(names))}
	seen := make(map[string]bool, len(names))
	for i, name := range names {
		plain := strings.ReplaceAll(name, "_", "-")
		if seen[plain] {
			return schema{from: lost}, "names " + plain + " twice"
		}
		seen[plain] = true
		s.columns[i] = column{name: name, to: known[plain]}
	}
	return s, ""
}
