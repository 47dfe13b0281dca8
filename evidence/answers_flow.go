package evidence

import "snapcase/imaging"

// Flow is one record of a VPC flow log. Pointers are null where the record
// has "-" or its format has no such field.
type Flow struct {
	Record    Record            `json:"record"`
	Start     imaging.Time      `json:"start"`
	End       imaging.Time      `json:"end"`
	Version   *int64            `json:"version"`
	Account   *string           `json:"account"`
	Interface *string           `json:"interface"`
	Instance  *string           `json:"instance"`
	VPC       *string           `json:"vpc"`
	Subnet    *string           `json:"subnet"`
	Src       *string           `json:"src"`
	Dst       *string           `json:"dst"`
	PktSrc    *string           `json:"pkt_src"`
	PktDst    *string           `json:"pkt_dst"`
	SrcPort   *int64            `json:"src_port"`
	DstPort   *int64            `json:"dst_port"`
	Protocol  *string           `json:"protocol"`
	Packets   *int64            `json:"packets"`
	Bytes     *int64            `json:"bytes"`
	Action    *string           `json:"action"`
	Status    *string           `json:"status"`
	TCPFlags  *int64            `json:"tcp_flags"`
	Direction *string           `json:"direction"`
	Region    *string           `json:"region"`
	Other     map[string]string `json:"other,omitempty"` // what else the header names
	// Copy marks a record that another flow log of the case holds too, which is
	// the one that is summed.
	Copy bool `json:"copy,omitempty"`
}

// FlowPeer sums flow records by remote address and protocol.
type FlowPeer struct {
	Peer       string       `json:"peer"`
	Protocol   string       `json:"protocol"`
	Records    int64        `json:"records"`
	PacketsIn  int64        `json:"packets_in"`
	PacketsOut int64        `json:"packets_out"`
	BytesIn    int64        `json:"bytes_in"`
	BytesOut   int64        `json:"bytes_out"`
	Accepted   int64        `json:"accepted"`
	Rejected   int64        `json:"rejected"`
	First      imaging.Time `json:"first"`
	Last       imaging.Time `json:"last"`
	Ports      []int64      `json:"ports"`
	Country    *string      `json:"country"`
	ASN        *int64       `json:"asn"`
	Lists      []string     `json:"lists"` // names of lists of hostile addresses
	Listed     []Listed     `json:"listed,omitempty"`
	Lower      bool         `json:"lower_bound,omitempty"`
}

// Listed is an entry of a list of hostile addresses that lists an address. An
// address that a list held once says little about another time: From and Until
// are the entry's own dates.
type Listed struct {
	List   string       `json:"list"`
	Entry  string       `json:"entry"` // the address or network that stands there
	From   imaging.Time `json:"from"`
	Until  imaging.Time `json:"until"`
	Record Record       `json:"record"` // line or number in the file of the list
}

// Packet is one frame of a capture, described by its innermost packet.
type Packet struct {
	Record    Record       `json:"record"`
	Time      imaging.Time `json:"time"`
	Length    int64        `json:"length"`
	Captured  int64        `json:"captured"`
	Truncated bool         `json:"truncated"`
	VNI       *int64       `json:"vni"`
	VNIs      []int64      `json:"vnis"`
	OuterSrc  *string      `json:"outer_src"`
	OuterDst  *string      `json:"outer_dst"`
	Src       *string      `json:"src"`
	Dst       *string      `json:"dst"`
	Protocol  *string      `json:"protocol"`
	SrcPort   *int64       `json:"src_port"`
	DstPort   *int64       `json:"dst_port"`
	ICMP      *ICMP        `json:"icmp"`
	DNS       *DNS         `json:"dns"`
	SNI       *string      `json:"sni"`
	HTTPHost  *string      `json:"http_host"`
}

// ICMP is the head of an ICMP or ICMPv6 packet. ID and Seq are set for echo.
type ICMP struct {
	Type         int64  `json:"type"`
	Code         int64  `json:"code"`
	ID           *int64 `json:"id"`
	Seq          *int64 `json:"seq"`
	PayloadBytes int64  `json:"payload_bytes"` // as the IP length declares
}

// DNS is one question with the answers of the same message.
type DNS struct {
	Name    string   `json:"name"`
	Type    string   `json:"type"`
	Answers []string `json:"answers"`
}
