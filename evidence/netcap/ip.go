package netcap

import (
	"encoding/binary"
	"net/netip"
	"strconv"
)

// IP protocol numbers.
const (
	protoHopByHop = 0
	protoICMP     = 1
	protoTCP      = 6
	protoUDP      = 17
	protoRouting  = 43
	protoFragment = 44
	protoAuth     = 51
	protoICMPv6   = 58
	protoOptions  = 60
)

const vxlanPort = 4789

var protocolNames = func() (names [256]string) {
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	names[protoICMP], names[protoTCP], names[protoUDP], names[protoICMPv6] = "icmp", "tcp", "udp", "icmpv6"
	return names
}()

// fragment is the place of a packet among its fragments.
type fragment struct {
	more  bool // further ones follow
	later bool // it is not the first
}

// ipv4 decodes a packet. A total length of 0 is what a host sees of packets
// that its network card will cut: they go to the end of the frame.
func (d *decoder) ipv4(p span) (inner span, ok bool) {
	d.rec.Protocol = ""
	if len(p.b) < 20 || p.b[0]>>4 != 4 || p.b[0]&15 < 5 {
		return inner, false
	}
	d.rec.Src = netip.AddrFrom4([4]byte(p.b[12:16]))
	d.rec.Dst = netip.AddrFrom4([4]byte(p.b[16:20]))
	head, total := int(p.b[0]&15)*4, int64(binary.BigEndian.Uint16(p.b[2:]))
	if total == 0 {
		total = p.wire
	}
	flags := binary.BigEndian.Uint16(p.b[6:])
	f := fragment{more: flags&0x2000 != 0, later: flags&0x1fff != 0}
	proto := p.b[9]
	p = p.first(total)
	if len(p.b) < head {
		d.rec.Protocol = protocolNames[proto]
		return inner, false
	}
	return d.transport(proto, p.from(head), f, false)
}

// ipv6 decodes a packet. A payload length of 0 stands in jumbograms and in
// packets that the network card will cut: they go to the end of the frame.
func (d *decoder) ipv6(p span) (inner span, ok bool) {
	d.rec.Protocol = ""
	if len(p.b) < 40 || p.b[0]>>4 != 6 {
		return inner, false
	}
	d.rec.Src = netip.AddrFrom16([16]byte(p.b[8:24]))
	d.rec.Dst = netip.AddrFrom16([16]byte(p.b[24:40]))
	proto, length := p.b[6], int64(binary.BigEndian.Uint16(p.b[4:]))
	p = p.from(40)
	if length == 0 {
		length = p.wire
	}
	return d.transport(proto, p.first(length), fragment{}, true)
}

// transport goes through extension headers to what the packet carries.
func (d *decoder) transport(proto byte, p span, f fragment, v6 bool) (inner span, ok bool) {
	for !f.later {
		n := 0
		switch {
		case v6 && (proto == protoHopByHop || proto == protoRouting || proto == protoOptions):
			if len(p.b) >= 2 {
				n = 8 + 8*int(p.b[1])
			}
		case proto == protoAuth:
			if len(p.b) >= 2 {
				n = 8 + 4*int(p.b[1])
			}
		case v6 && proto == protoFragment:
			if n = 8; len(p.b) >= n {
				place := binary.BigEndian.Uint16(p.b[2:])
				f.more = f.more || place&1 != 0
				f.later = place&^7 != 0
			}
		default:
			return d.carried(proto, p, f)
		}
		if n == 0 || len(p.b) < n {
			return inner, false // what it carries cannot be known
		}
		proto, p = p.b[0], p.from(n)
	}
	d.rec.Protocol = protocolNames[proto]
	return inner, false
}

// carried decodes the head of what an IP packet carries.
func (d *decoder) carried(proto byte, p span, f fragment) (inner span, ok bool) {
	d.rec.Protocol = protocolNames[proto]
	switch proto {
	case protoICMP, protoICMPv6:
		d.echo(proto, p, f)
	case protoTCP:
		d.tcp(p)
	case protoUDP:
		return d.udp(p)
	}
	return inner, false
}

// echo decodes ICMP and ICMPv6.
func (d *decoder) echo(proto byte, p span, f fragment) {
	if len(p.b) < 4 {
		return
	}
	d.icmp = ICMP{Type: p.b[0], Code: p.b[1], PayloadBytes: max(p.wire-8, 0), Fragment: f.more}
	d.rec.ICMP = &d.icmp
	if len(p.b) < 8 {
		return
	}
	d.icmp.Payload = p.b[8:]
	request, reply := byte(8), byte(0)
	if proto == protoICMPv6 {
		request, reply = 128, 129
	}
	if t := p.b[0]; t == request || t == reply {
		d.icmp.Echo, d.icmp.Request = true, t == request
		d.icmp.ID, d.icmp.Seq = binary.BigEndian.Uint16(p.b[4:]), binary.BigEndian.Uint16(p.b[6:])
	}
}

// ports reads the two ports that TCP and UDP begin with.
func (d *decoder) ports(b []byte) {
	if len(b) >= 4 {
		d.rec.HasPorts = true
		d.rec.SrcPort, d.rec.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	}
}

// udp decodes a datagram. The frame inside VXLAN is given back, and the
// record then begins anew.
func (d *decoder) udp(p span) (inner span, ok bool) {
	d.ports(p.b)
	if len(p.b) < 8 {
		return inner, false
	}
	length := int64(binary.BigEndian.Uint16(p.b[4:]))
	if length >= 8 && length <= p.wire {
		p = p.first(length)
	}
	p = p.from(8)
	switch {
	case d.rec.DstPort == vxlanPort && len(p.b) >= 8 && p.b[0]&8 != 0:
		if len(d.vnis) == 0 {
			d.rec.OuterSrc, d.rec.OuterDst = d.rec.Src, d.rec.Dst
		}
		d.vnis = append(d.vnis, binary.BigEndian.Uint32(p.b[4:])>>8)
		d.rec = Record{OuterSrc: d.rec.OuterSrc, OuterDst: d.rec.OuterDst}
		return p.from(8), true
	case d.rec.SrcPort == 53 || d.rec.DstPort == 53:
		d.rec.DNS = parseDNS(p.b)
	}
	return inner, false
}

// tcp decodes a segment.
func (d *decoder) tcp(p span) {
	d.ports(p.b)
	if len(p.b) < 20 {
		return
	}
	head := int(p.b[12]>>4) * 4
	if head < 20 || len(p.b) <= head {
		return
	}
	data := p.b[head:]
	switch {
	case (d.rec.SrcPort == 53 || d.rec.DstPort == 53) && len(data) > 2:
		message := data[2:]
		d.rec.DNS = parseDNS(message[:min(len(message), int(binary.BigEndian.Uint16(data)))])
	case data[0] == tlsHandshake:
		d.rec.SNI = serverName(data)
	default:
		d.rec.Host = httpHost(data)
	}
}
