package netcap

import (
	"encoding/binary"
	"fmt"
)

// The link types that are decoded, by their numbers in files.
const (
	linkNull     = 0
	linkEthernet = 1
	linkRawA     = 12 // raw IP as some systems write it
	linkRawB     = 14
	linkRaw      = 101
	linkLoop     = 108
	linkCooked   = 113
	linkIPv4     = 228
	linkIPv6     = 229
	linkCooked2  = 276
	unknownLink  = 0xffff
)

// The EtherTypes that are followed.
const (
	etherIPv4  = 0x0800
	etherARP   = 0x0806
	etherVLAN  = 0x8100
	etherQinQ  = 0x88a8
	etherOldQ1 = 0x9100
	etherOldQ2 = 0x9200
	etherIPv6  = 0x86dd
	etherMin   = 0x0600 // below it, a length
)

const arpNetlink = 824 // the cooked header's device type whose protocol is no EtherType

// decoder turns frames into its record. It is used again for each frame.
type decoder struct {
	rec  Record
	icmp ICMP
	vnis []uint32
}

// frame describes the bytes b of a frame that was length bytes long on the
// wire. What cannot be decoded is left out of the record. The result says
// what went wrong where decoding itself failed.
func (d *decoder) frame(link uint16, b []byte, length int64) (fault string) {
	defer func() {
		if r := recover(); r != nil {
			fault = fmt.Sprintf("decoding failed: %v", r)
		}
	}()
	d.rec = Record{}
	d.vnis = d.vnis[:0]
	for p := (span{b, max(length, int64(len(b)))}); ; link = linkEthernet {
		inner, ok := d.packet(link, p)
		if !ok {
			break
		}
		p = inner
	}
	if len(d.vnis) > 0 {
		d.rec.VNIs = d.vnis
	}
	return ""
}

// span is a part of a frame: what was captured of it and how many bytes it
// had on the wire, which is never less.
type span struct {
	b    []byte
	wire int64
}

// from is s without its first n bytes, which it must hold.
func (s span) from(n int) span { return span{s.b[n:], s.wire - int64(n)} }

// first is s cut to the n bytes that a header declares.
func (s span) first(n int64) span {
	return span{s.b[:min(int64(len(s.b)), n)], n}
}

// packet decodes from the link layer on. It gives the frame inside where
// there is one.
func (d *decoder) packet(link uint16, p span) (inner span, ok bool) {
	switch link {
	case linkEthernet:
		if len(p.b) < 14 {
			return inner, false
		}
		return d.ether(binary.BigEndian.Uint16(p.b[12:]), p.from(14))
	case linkRaw, linkRawA, linkRawB:
		return d.raw(p)
	case linkIPv4:
		return d.ipv4(p)
	case linkIPv6:
		return d.ipv6(p)
	case linkNull, linkLoop:
		return d.loopback(p)
	case linkCooked:
		if len(p.b) < 16 || binary.BigEndian.Uint16(p.b[2:]) == arpNetlink {
			return inner, false
		}
		return d.ether(binary.BigEndian.Uint16(p.b[14:]), p.from(16))
	case linkCooked2:
		if len(p.b) < 20 || binary.BigEndian.Uint16(p.b[8:]) == arpNetlink {
			return inner, false
		}
		return d.ether(binary.BigEndian.Uint16(p.b), p.from(20))
	}
	return inner, false
}

// ether goes by an EtherType through VLAN tags to a packet.
func (d *decoder) ether(kind uint16, p span) (inner span, ok bool) {
	for {
		switch {
		case kind == etherIPv4:
			return d.ipv4(p)
		case kind == etherIPv6:
			return d.ipv6(p)
		case kind == etherARP:
			d.rec.Protocol = "arp"
			return inner, false
		case (kind == etherVLAN || kind == etherQinQ || kind == etherOldQ1 || kind == etherOldQ2) && len(p.b) >= 4:
			kind = binary.BigEndian.Uint16(p.b[2:])
			p = p.from(4)
		case kind < etherMin && len(p.b) >= 8 && string(p.b[:6]) == "\xaa\xaa\x03\x00\x00\x00": // SNAP
			p = p.first(min(int64(kind), p.wire))
			if len(p.b) < 8 {
				return inner, false
			}
			kind = binary.BigEndian.Uint16(p.b[6:])
			p = p.from(8)
		default:
			return inner, false
		}
	}
}

// raw tells IPv4 from IPv6 by the version.
func (d *decoder) raw(p span) (inner span, ok bool) {
	if len(p.b) == 0 {
		return inner, false
	}
	if p.b[0]>>4 == 6 {
		return d.ipv6(p)
	}
	return d.ipv4(p)
}

// loopback reads the address family before the packet, which stands in the
// byte order of the capturing machine. IPv6 has another number on each system.
func (d *decoder) loopback(p span) (inner span, ok bool) {
	if len(p.b) < 4 {
		return inner, false
	}
	family := binary.LittleEndian.Uint32(p.b)
	if family > 0xffff {
		family = binary.BigEndian.Uint32(p.b)
	}
	switch family {
	case 2:
		return d.ipv4(p.from(4))
	case 10, 24, 28, 30:
		return d.ipv6(p.from(4))
	}
	return inner, false
}
