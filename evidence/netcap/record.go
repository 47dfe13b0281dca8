package netcap

import (
	"fmt"
	"net/netip"

	"snapcase/evidence"
	"snapcase/imaging"
)

// Record is one frame of a capture, described by its innermost packet.
//
// A Record that Read yields is reused: its slices and pointers are valid
// until the next iteration. Packet copies what it needs.
type Record struct {
	N        int64 // frame number from 1
	Offset   int64 // of the frame's header in the file, bytes
	Time     imaging.Time
	Length   int64 // on the wire, bytes
	Captured int64 // in the file, bytes

	VNIs               []uint32   // VXLAN identifiers, outermost first
	OuterSrc, OuterDst netip.Addr // of the outermost packet; not valid without VNIs
	Src, Dst           netip.Addr // of the innermost packet; not valid for ARP and unknown frames
	Protocol           string     // icmp, tcp, udp, icmpv6, arp, an IP protocol number, "" for unknown frames
	HasPorts           bool
	SrcPort, DstPort   uint16

	ICMP *ICMP         // nil where the frame has no 4 bytes of ICMP
	DNS  *evidence.DNS // the first question with all answers
	SNI  string        // of a TLS ClientHello
	Host string        // of an HTTP request
}

// ICMP is the head of an ICMP or ICMPv6 packet and what was captured of its
// payload.
type ICMP struct {
	Type, Code   uint8
	Echo         bool // a request or a reply whose ID and Seq were captured
	Request      bool // of an echo: types 8 and 128
	ID, Seq      uint16
	Fragment     bool   // the packet goes on in fragments, which are not joined to it
	PayloadBytes int64  // after the 8-byte header, as the IP length declares
	Payload      []byte // what was captured of them
}

// Truncated says that less was captured than was on the wire.
func (r *Record) Truncated() bool { return r.Captured < r.Length }

// BadFrame is a part of a capture that gives no frame.
type BadFrame struct {
	N      int64 // the number that the frame has or would have had
	Offset int64 // in the file, bytes
	Reason string
}

func (b *BadFrame) Error() string {
	return fmt.Sprintf("capture frame %d at offset %d: %s", b.N, b.Offset, b.Reason)
}

// Packet is r in the shape of the packets verb. Its Record is left to the
// caller, who knows the file.
func (r *Record) Packet() evidence.Packet {
	p := evidence.Packet{Time: r.Time, Length: r.Length, Captured: r.Captured, Truncated: r.Truncated(), VNIs: []int64{}}
	for _, v := range r.VNIs {
		p.VNIs = append(p.VNIs, int64(v))
	}
	if n := len(p.VNIs); n > 0 {
		v := p.VNIs[n-1]
		p.VNI = &v
	}
	p.OuterSrc, p.OuterDst = addrText(r.OuterSrc), addrText(r.OuterDst)
	p.Src, p.Dst = addrText(r.Src), addrText(r.Dst)
	p.Protocol, p.SNI, p.HTTPHost = text(r.Protocol), text(r.SNI), text(r.Host)
	if r.HasPorts {
		s, d := int64(r.SrcPort), int64(r.DstPort)
		p.SrcPort, p.DstPort = &s, &d
	}
	if r.ICMP != nil {
		p.ICMP = &evidence.ICMP{Type: int64(r.ICMP.Type), Code: int64(r.ICMP.Code), PayloadBytes: r.ICMP.PayloadBytes}
		if r.ICMP.Echo {
			id, seq := int64(r.ICMP.ID), int64(r.ICMP.Seq)
			p.ICMP.ID, p.ICMP.Seq = &id, &seq
		}
	}
	if r.DNS != nil {
		d := *r.DNS
		d.Answers = append([]string{}, d.Answers...)
		p.DNS = &d
	}
	return p
}

func addrText(a netip.Addr) *string {
	if !a.IsValid() {
		return nil
	}
	s := a.String()
	return &s
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
