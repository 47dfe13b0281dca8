package flowlog

import (
	"fmt"
	"net/netip"

	"snapcase/imaging"
)

// Null is the value of a numeric field that is "-" or that the format of the
// log does not have. No numeric field of a flow log is negative.
const Null = -1

// Record is one data line of a flow log. An address that is not valid, a
// string that is "" and a number that is Null mean that the line has "-" or
// its format no such field. Action, Status and Direction are spelled as here
// whatever the case of their letters in the line, and an IPv4 address that the
// line writes as IPv6 (::ffff:192.0.2.1) is an IPv4 address.
//
// Strings may be kept; repeated ones share memory. Other is valid until the
// next iteration.
type Record struct {
	N      int64 // data lines from 1, headers and blank lines excluded, bad lines included
	Line   int64 // lines from 1, all lines
	Offset int64 // of the line in the unpacked stream, bytes
	Length int64 // of the line without its end, bytes

	Version   int64
	Account   string
	Interface string
	Src, Dst  netip.Addr
	SrcPort   int64
	DstPort   int64
	Protocol  int64 // IANA number
	Packets   int64
	Bytes     int64
	Start     imaging.Time
	End       imaging.Time
	Action    string // ACCEPT, REJECT
	Status    string // OK, NODATA, SKIPDATA

	VPC            string
	Subnet         string
	Instance       string
	TCPFlags       int64
	PktSrc, PktDst netip.Addr
	Region         string
	Direction      string // ingress, egress

	Other []Field // the other fields of the header, "-" left out
}

// Field is a field that has no place of its own in Record.
type Field struct {
	Name  string // as the header spells it
	Value string
}

// BadRecord is a line that could not be read. The walk goes on behind it.
type BadRecord struct {
	N      int64 // the number of the data line; 0 for a header, the unreadable rest of a stream, or a last record that may be cut
	Line   int64
	Offset int64 // in the unpacked stream, bytes
	Reason string
}

func (b *BadRecord) Error() string {
	return fmt.Sprintf("flow log line %d at offset %d: %s", b.Line, b.Offset, b.Reason)
}

// ProtocolName is icmp, tcp, udp or icmpv6, else the number as text; "" for
// Null.
func ProtocolName(n int64) string {
	switch n {
	case Null:
		return ""
	case 1:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 58:
		return "icmpv6"
	}
	return fmt.Sprint(n)
}
