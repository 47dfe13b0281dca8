package flowlog

// field is a field that Record has a place for.
type field uint8

const (
	fOther field = iota
	fVersion
	fAccount
	fInterface
	fSrc
	fDst
	fSrcPort
	fDstPort
	fProtocol
	fPackets
	fBytes
	fStart
	fEnd
	fAction
	fStatus
	fVPC
	fSubnet
	fInstance
	fTCPFlags
	fPktSrc
	fPktDst
	fRegion
	fDirection
)

// version2 are the fields of the default format, in its order.
var version2 = []field{fVersion, fAccount, fInterface, fSrc, fDst, fSrcPort, fDstPort, fProtocol, fPackets, fBytes, fStart, fEnd, fAction, fStatus}

// fieldNames has every field that AWS documents; those without a place of
// their own are fOther.
var fieldNames = map[string]field{
	"version": fVersion, "account-id": fAccount, "interface-id": fInterface, "srcaddr": fSrc, "dstaddr": fDst, "srcport": fSrcPort, "dstport": fDstPort,
	"protocol": fProtocol, "packets": fPackets, "bytes": fBytes, "start": fStart, "end": fEnd, "action": fAction, "log-status": fStatus,
	"vpc-id": fVPC, "subnet-id": fSubnet, "instance-id": fInstance, "tcp-flags": fTCPFlags, "type": fOther, "pkt-srcaddr": fPktSrc, "pkt-dstaddr": fPktDst,
	"region": fRegion, "az-id": fOther, "sublocation-type": fOther, "sublocation-id": fOther,
	"pkt-src-aws-service": fOther, "pkt-dst-aws-service": fOther, "flow-direction": fDirection, "traffic-path": fOther, "reject-reason": fOther,
	"resource-id": fOther, "encryption-status": fOther,
}

// String is the name that AWS gives the field.
func (f field) String() string {
	for name, k := range fieldNames {
		if k == f && f != fOther {
			return name
		}
	}
	return "field"
}
