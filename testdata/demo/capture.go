package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"log"
	"net"
	"path/filepath"
	"slices"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

const vni = 4183021

var (
	captureStart = at("2026-10-16T09:00:02.118204Z")
	captureEnd   = at("2026-10-16T09:10:00Z")
)

// wire is the mirrored interface: it collects frames and sums them as the
// flow log of the same minutes would.
type wire struct {
	w     *world
	out   []frame
	sums  map[flow]*flow
	order []flow
}

type frame struct {
	t time.Time
	b []byte
}

var (
	hostMAC   = net.HardwareAddr{0x0a, 0x5c, 0x1f, 0xd2, 0x77, 0x31}
	routerMAC = net.HardwareAddr{0x0a, 0x11, 0x9b, 0x04, 0x6e, 0x01}
	targetMAC = net.HardwareAddr{0x0a, 0x7e, 0x42, 0x90, 0x3d, 0x15}
	targetIP  = net.IP{172, 31, 40, 9}
)

func serialize(l ...gopacket.SerializableLayer) []byte {
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...); err != nil {
		log.Fatal(err)
	}
	return bytes.Clone(b.Bytes())
}

// send mirrors one packet of the machine: from it (out) or to it.
func (v *wire) send(t time.Time, peer string, out bool, l4 gopacket.SerializableLayer, payload []byte) {
	src, dst := net.ParseIP(v.w.rogue.private).To4(), net.ParseIP(peer).To4()
	eth := &layers.Ethernet{SrcMAC: hostMAC, DstMAC: routerMAC, EthernetType: layers.EthernetTypeIPv4}
	ttl := uint8(127)
	if !out {
		src, dst, eth.SrcMAC, eth.DstMAC, ttl = dst, src, routerMAC, hostMAC, 47
	}
	ip := &layers.IPv4{Version: 4, IHL: 5, TTL: ttl, SrcIP: src, DstIP: dst, Id: uint16(v.w.r.Uint32()), Flags: layers.IPv4DontFragment} //nolint:gosec // a random id
	var sport, dport int
	switch x := l4.(type) {
	case *layers.UDP:
		ip.Protocol, sport, dport = layers.IPProtocolUDP, int(x.SrcPort), int(x.DstPort)
		x.SetNetworkLayerForChecksum(ip) //nolint:errcheck // IPv4 always can
	case *layers.TCP:
		ip.Protocol, sport, dport = layers.IPProtocolTCP, int(x.SrcPort), int(x.DstPort)
		x.SetNetworkLayerForChecksum(ip) //nolint:errcheck // IPv4 always can
	default:
		ip.Protocol = layers.IPProtocolICMPv4
	}
	inner := serialize(eth, ip, l4, gopacket.Payload(payload))
	hash := sha256.Sum256([]byte(peer + ip.Protocol.String()))
	outer := &layers.IPv4{Version: 4, IHL: 5, TTL: 255, SrcIP: net.ParseIP(v.w.rogue.private).To4(), DstIP: targetIP, Protocol: layers.IPProtocolUDP}
	udp := &layers.UDP{SrcPort: layers.UDPPort(49152 + binary.BigEndian.Uint16(hash[:])%16000), DstPort: 4789}
	udp.SetNetworkLayerForChecksum(outer) //nolint:errcheck // IPv4 always can
	v.out = append(v.out, frame{t, serialize(&layers.Ethernet{SrcMAC: hostMAC, DstMAC: targetMAC, EthernetType: layers.EthernetTypeIPv4}, outer, udp, &layers.VXLAN{ValidIDFlag: true, VNI: vni}, gopacket.Payload(inner))})
	v.count(t, peer, out, sport, dport, int(ip.Protocol), len(inner)-14)
}

func (v *wire) count(t time.Time, peer string, out bool, sport, dport, proto, size int) {
	key := flow{h: v.w.rogue, src: v.w.rogue.private, dst: peer, sport: sport, dport: dport, proto: proto, start: t.Truncate(time.Minute), action: "ACCEPT", dir: "egress", status: "OK"}
	if !out {
		key.src, key.dst, key.dir = peer, v.w.rogue.private, "ingress"
	}
	f := v.sums[key]
	if f == nil {
		f = &flow{}
		*f = key
		f.start = t.Truncate(time.Second)
		if proto == 6 {
			f.flags = map[bool]int{true: 3, false: 19}[out]
		}
		v.sums[key] = f
		v.order = append(v.order, key)
	}
	f.packets++
	f.bytes += size
	f.end = t.Truncate(time.Second).Add(time.Second)
}

func echo(kind uint8, id, seq int) *layers.ICMPv4 {
	return &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(kind, 0), Id: uint16(id), Seq: uint16(seq)} //nolint:gosec // small
}

// linuxPing is the payload of ping(8): the time, then bytes that count up.
func linuxPing(t time.Time) []byte {
	b := make([]byte, 56)
	binary.LittleEndian.PutUint64(b, uint64(t.Unix()))                //nolint:gosec // after 1970
	binary.LittleEndian.PutUint64(b[8:], uint64(t.Nanosecond()/1000)) //nolint:gosec // not negative
	for i := 16; i < 56; i++ {
		b[i] = byte(i)
	}
	return b
}

// capture writes mirror.pcapng and gives the flow records of its minutes.
func (w *world) capture(dir string, facts map[string]any) []flow {
	v := &wire{w: w, sums: map[flow]*flow{}}
	var payload int
	t := captureStart
	const exchanges = 44
	for i := range exchanges {
		req, rep := w.bytes(460+w.r.IntN(240)), w.bytes(180+w.r.IntN(420))
		payload += len(req) + len(rep)
		v.send(t, peerIP, true, echo(8, 0x2b1c, i+1), req)
		v.send(t.Add(time.Duration(31000+w.r.IntN(9000))*time.Microsecond), peerIP, false, echo(0, 0x2b1c, i+1), rep)
		t = t.Add(time.Duration(900+w.r.IntN(14000)) * time.Millisecond)
	}
	ping := captureStart.Add(95 * time.Second)
	for i := range 12 {
		p := linuxPing(ping)
		v.send(ping, "192.0.2.53", true, echo(8, 0x0a41, i+1), p)
		v.send(ping.Add(1840*time.Microsecond), "192.0.2.53", false, echo(0, 0x0a41, i+1), p)
		ping = ping.Add(time.Second + 217*time.Microsecond)
	}
	v.names()
	sortFrames(v.out)
	write(filepath.Join(dir, "mirror.pcapng"), pcapng(v.out))
	facts["capture"] = obj{"frames": len(v.out), "vni": vni, "icmp_requests": exchanges, "icmp_replies": exchanges, "payload_bytes": payload, "differing_replies": exchanges, "ordinary_peer": "192.0.2.53", "ordinary_requests": 12}
	var flows []flow
	for _, k := range v.order {
		flows = append(flows, *v.sums[k])
	}
	return flows
}

// names is what the machine asked by name: DNS, then TLS to one of them.
func (v *wire) names() {
	t := captureStart.Add(33 * time.Second)
	for i, q := range []struct{ name, ip string }{{"mirrors.fedora-like.example", "203.0.113.20"}, {"time.osaka.example", "192.0.2.30"}, {"cdn.metrics-relay.example", peerIP}} {
		port := 40117 + 13*i
		ask := &layers.DNS{ID: uint16(0x51a0 + i), RD: true, Questions: []layers.DNSQuestion{{Name: []byte(q.name), Type: layers.DNSTypeA, Class: layers.DNSClassIN}}} //nolint:gosec // small
		v.send(t, "192.0.2.53", true, &layers.UDP{SrcPort: layers.UDPPort(port), DstPort: 53}, serialize(ask))
		ask.QR, ask.RA = true, true
		ask.Answers = []layers.DNSResourceRecord{{Name: []byte(q.name), Type: layers.DNSTypeA, Class: layers.DNSClassIN, TTL: 300, IP: net.ParseIP(q.ip).To4()}}
		v.send(t.Add(1700*time.Microsecond), "192.0.2.53", false, &layers.UDP{SrcPort: 53, DstPort: layers.UDPPort(port)}, serialize(ask))
		t = t.Add(41 * time.Second)
	}
	v.tls(captureStart.Add(36*time.Second), "203.0.113.20", "mirrors.fedora-like.example")
	for i := range 3 {
		ntp := make([]byte, 48)
		ntp[0] = 0x23
		u := captureStart.Add(time.Duration(70+120*i) * time.Second)
		v.send(u, "192.0.2.30", true, &layers.UDP{SrcPort: 48211, DstPort: 123}, ntp)
		ntp = bytes.Clone(ntp)
		ntp[0], ntp[1] = 0x24, 2
		v.send(u.Add(2*time.Millisecond), "192.0.2.30", false, &layers.UDP{SrcPort: 123, DstPort: 48211}, ntp)
	}
}

func (v *wire) tls(t time.Time, peer, name string) {
	seq, ack := v.w.r.Uint32(), v.w.r.Uint32()
	step := func(out bool, flags string, payload []byte) {
		p := &layers.TCP{SrcPort: 50344, DstPort: 443, Seq: seq, Ack: ack, Window: 62727}
		if !out {
			p = &layers.TCP{SrcPort: 443, DstPort: 50344, Seq: ack, Ack: seq, Window: 65160}
		}
		for _, f := range flags {
			switch f {
			case 'S':
				p.SYN = true
			case 'A':
				p.ACK = true
			case 'P':
				p.PSH = true
			case 'F':
				p.FIN = true
			}
		}
		if !p.ACK {
			p.Ack = 0
		}
		v.send(t, peer, out, p, payload)
		n := uint32(len(payload)) //nolint:gosec // small
		if p.SYN || p.FIN {
			n++
		}
		if out {
			seq += n
		} else {
			ack += n
		}
		t = t.Add(11 * time.Millisecond)
	}
	step(true, "S", nil)
	step(false, "SA", nil)
	step(true, "A", nil)
	step(true, "PA", v.hello(name))
	step(false, "A", nil)
	for range 3 {
		b := append([]byte{23, 3, 3, 1, 64}, v.w.bytes(320)...)
		step(false, "PA", b)
		step(true, "A", nil)
	}
	step(true, "FA", nil)
	step(false, "FA", nil)
	step(true, "A", nil)
}

// hello is a TLS 1.3 ClientHello that names its server.
func (v *wire) hello(name string) []byte {
	u16 := func(n int) []byte { return []byte{byte(n >> 8), byte(n)} }
	sni := append(append([]byte{0}, u16(len(name))...), name...)
	sni = append(u16(len(sni)), sni...)
	ext := append(append([]byte{0, 0}, u16(len(sni))...), sni...)
	ext = append(ext, 0, 43, 0, 3, 2, 3, 4, 0, 10, 0, 4, 0, 2, 0, 29, 0, 13, 0, 4, 0, 2, 8, 4)
	ext = append(ext, 0, 51, 0, 38, 0, 36, 0, 29, 0, 32)
	ext = append(ext, v.w.bytes(32)...)
	body := append([]byte{3, 3}, v.w.bytes(32)...)
	body = append(body, 32)
	body = append(body, v.w.bytes(32)...)
	body = append(body, 0, 6, 0x13, 1, 0x13, 2, 0x13, 3, 1, 0)
	body = append(append(body, u16(len(ext))...), ext...)
	shake := append([]byte{1, 0}, append(u16(len(body)), body...)...)
	return append(append([]byte{22, 3, 1}, u16(len(shake))...), shake...)
}

func pcapng(frames []frame) []byte {
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriterInterface(&b, pcapgo.NgInterface{Name: "ens5", LinkType: layers.LinkTypeEthernet, SnapLength: 0, TimestampResolution: 9},
		pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Hardware: "x86_64", OS: "Linux 6.1.112", Application: "tcpdump", Comment: "mirror of " + newRegion}})
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range frames {
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: f.t, CaptureLength: len(f.b), Length: len(f.b)}, f.b); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		log.Fatal(err)
	}
	return b.Bytes()
}

func sortFrames(f []frame) {
	slices.SortStableFunc(f, func(a, b frame) int { return a.t.Compare(b.t) })
}
