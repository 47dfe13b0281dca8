package netcap

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func ping4() []byte {
	return ip4(hostA, hostB, 1, icmpEcho(8, 7, 1, linuxPing(1767658000, 56)))
}

func ping6() []byte {
	return ip6(hostC, hostD, 58, icmpEcho(129, 7, 1, linuxPing(1767658000, 56)))
}

// ext is an IPv6 extension header of n further units of 8 bytes.
func ext(next byte, n int) []byte {
	return cat([]byte{next, byte(n), 1, byte(8*n + 4)}, make([]byte, 8*n+4))
}

func nested(depth int) []byte {
	b := ether(etherIPv4, ping4())
	for i := depth; i > 0; i-- {
		b = ether(etherIPv4, ip4(fmt.Sprintf("10.1.0.%d", i%250), "10.2.0.1", 17, vxlan(uint32(i), b)))
	}
	return b
}

// linkFrames is frames of every link type that is decoded, by its number.
func linkFrames() map[int][]madeFrame {
	answer := dnsTell("www.example", 1,
		dnsRR([]byte{0xc0, 12}, dnsCNAME, dnsName4("cdn.example")),
		dnsRR(dnsName4("cdn.example"), dnsA, []byte{203, 0, 113, 9}))
	message := cat(u16(len(answer)), answer)
	cooked := func(proto int) []byte { return cat(u16(0, 1, 6), make([]byte, 8), u16(proto)) }
	cooked2 := func(proto int) []byte {
		return cat(u16(proto, 0, 0, 2, 1), []byte{0, 6}, make([]byte, 8))
	}
	eth := frames(
		ether(etherIPv4, ping4()),
		ether(etherIPv6, ping6()),
		ether(etherVLAN, cat(u16(5, etherIPv4), ping4())),
		ether(etherQinQ, cat(u16(5, etherVLAN, 6, etherIPv6), ping6())),
		ether(8+len(ping4()), cat([]byte("\xaa\xaa\x03\x00\x00\x00"), u16(etherIPv4), ping4())),
		ether(etherARP, make([]byte, 28)),
		ether(0x88cc, []byte("something else")),
		cat(ether(etherIPv4, ip4(hostA, hostB, 1, icmpEcho(8, 7, 1, nil))), make([]byte, 18)), // padding
		ether(etherIPv4, cat(ipHead(hostA, hostB, 1, 1500, 0x2000), icmpEcho(8, 9, 9, make([]byte, 1472)))),
		ether(etherIPv4, cat(ipHead(hostA, hostB, 1, 120, 185), make([]byte, 100))),
		ether(etherIPv4, cat(ipHead(hostA, hostB, 17, 120, 185), make([]byte, 100))),
		ether(etherIPv4, ip4(hostA, hostB, 47, make([]byte, 2))),
		ether(etherIPv4, ip4(hostA, hostB, 17, udp(4000, 53, dnsAsk("www.example", 28)))),
		ether(etherIPv4, ip4(hostB, hostA, 17, udp(53, 4000, answer))),
		ether(etherIPv6, ip6(hostC, hostD, 6, tcp(53, 4000, message))),
		ether(etherIPv6, ip6(hostC, hostD, 0, cat(ext(60, 0), ext(43, 2), ext(58, 0), icmpEcho(128, 1, 2, []byte("hello"))))),
		ether(etherIPv6, ip6(hostC, hostD, 44, cat([]byte{58, 0, 0, 1, 0, 0, 0, 9}, icmpEcho(128, 1, 2, []byte("hello"))))),
		ether(etherIPv6, ip6(hostC, hostD, 44, cat([]byte{17, 0, 0, 8, 0, 0, 0, 9}, udp(1, 2, []byte("hello"))))),
		ether(etherIPv6, ip6(hostC, hostD, 51, cat([]byte{17, 4}, make([]byte, 22), udp(1000, 2000, []byte("hello"))))),
		ether(etherIPv4, ip4(hostA, hostB, 6, tcp(4000, 443, tlsHello("tls.example")))),
		ether(etherIPv4, ip4(hostA, hostB, 6, tcp(4000, 80, []byte("POST /a HTTP/1.1\r\nAccept: */*\r\nhost: web.example:80\r\n\r\nHost: no")))),
		ether(etherIPv4, ip4(hostA, hostB, 6, tcp(4000, 80, nil))),
		nested(1), nested(3),
		ether(etherIPv4, ip4("10.1.0.1", "10.1.0.2", 17, vxlan(5, ether(etherARP, make([]byte, 28))))),
		ether(etherIPv6, ip6(hostC, hostD, 17, vxlan(77, ether(etherIPv4, ip4(hostA, hostB, 17, udp(4000, 53, dnsAsk("in.example", 16))))))),
	)
	cut := madeFrame{sec: 1767659000, b: ether(etherIPv4, ping4())[:60], length: 98}
	v4, v6 := frames(ping4()), frames(ping6())
	return map[int][]madeFrame{
		linkEthernet: append(eth, cut),
		linkRaw:      slices.Concat(v4, v6), linkIPv4: v4, linkIPv6: v6,
		linkNull:    frames(cat([]byte{2, 0, 0, 0}, ping4()), cat([]byte{0, 0, 0, 2}, ping4()), cat([]byte{30, 0, 0, 0}, ping6()), cat([]byte{0, 0, 0, 24}, ping6()), cat([]byte{28, 0, 0, 0}, ping6()), cat([]byte{7, 0, 0, 0}, ping4())),
		linkLoop:    frames(cat([]byte{0, 0, 0, 2}, ping4()), cat([]byte{0, 0, 0, 24}, ping6())),
		linkCooked:  frames(cat(cooked(etherIPv4), ping4()), cat(cooked(etherIPv6), ping6()), cat(cooked(etherVLAN), u16(9, etherIPv4), ping4()), cat(cooked(etherARP), make([]byte, 28)), cat(cooked(4), ping4())),
		linkCooked2: frames(cat(cooked2(etherIPv4), ping4()), cat(cooked2(etherIPv6), ping6()), cat(cooked2(etherARP), make([]byte, 28))),
	}
}

// TestLinks: the packets of every link type are found, whatever tshark says.
func TestLinks(t *testing.T) {
	for link, want := range map[int]int{linkRaw: 2, linkIPv4: 1, linkIPv6: 1, linkNull: 5, linkLoop: 2, linkCooked: 3, linkCooked2: 2} {
		recs, bad := all(t, makePcap(le, false, link, linkFrames()[link]))
		found := 0
		for _, r := range recs {
			if r.ICMP != nil && r.ICMP.Echo && r.ICMP.ID == 7 && r.ICMP.PayloadBytes == 56 {
				found++
			}
		}
		if found != want || len(bad) != 0 {
			t.Errorf("link type %d: %d pings, want %d; %v", link, found, want, bad)
		}
	}
	for _, link := range []int{linkRawA, linkRawB} {
		if r := one(t, link, ping6()); r.Protocol != "icmpv6" {
			t.Errorf("link type %d: %+v", link, r)
		}
	}
	for _, link := range []int{2, 9, 105, 127, 195, 0xffff} {
		if r := one(t, link, ping4()); r.Protocol != "" || r.Src.IsValid() || r.Length != int64(len(ping4())) {
			t.Errorf("link type %d: %+v", link, r)
		}
	}
}

func TestVXLAN(t *testing.T) {
	r := one(t, linkEthernet, nested(3))
	if !slices.Equal(r.VNIs, []uint32{1, 2, 3}) || r.OuterSrc.String() != "10.1.0.1" || r.Src.String() != hostA || r.HasPorts || r.Protocol != "icmp" {
		t.Errorf("%+v", r)
	}
	if r := one(t, linkEthernet, nested(1000)); len(r.VNIs) != 1000 || r.Src.String() != hostA {
		t.Errorf("%d VNIs, %v", len(r.VNIs), r.Src)
	}
	// Without the I flag it is another protocol; other flags mean nothing.
	b := nested(1)
	for flags, want := range map[byte]int{0: 0, 0xf7: 0, 8: 1, 0xff: 1} {
		b[42] = flags
		if r := one(t, linkEthernet, b); len(r.VNIs) != want || r.HasPorts != (want == 0) {
			t.Errorf("flags %#x: %+v", flags, r)
		}
	}
	// What is inside may be cut or unknown: the outer pair stands, the inner
	// does not take its place.
	for _, inner := range [][]byte{nil, ether(0x88cc, nil), ether(etherIPv4, ping4())[:30]} {
		r := one(t, linkEthernet, ether(etherIPv4, ip4("10.1.0.1", "10.1.0.2", 17, vxlan(9, inner))))
		if len(r.VNIs) != 1 || r.Src.IsValid() || r.OuterDst.String() != "10.1.0.2" || r.Protocol != "" {
			t.Errorf("%+v", r)
		}
	}
}

func TestICMPHeads(t *testing.T) {
	whole := ether(etherIPv4, ping4())
	for captured, want := range map[int]string{98: "echo 56 56", 60: "echo 56 18", 42: "echo 56 0", 41: "head 56 0", 38: "head 56 0", 37: "none", 33: "none"} {
		recs, _ := all(t, makePcap(le, false, linkEthernet, []madeFrame{{b: whole[:captured], length: 98}}))
		r := recs[0]
		got := "none"
		if i := r.ICMP; i != nil {
			got = fmt.Sprintf("%s %d %d", map[bool]string{true: "echo", false: "head"}[i.Echo], i.PayloadBytes, len(i.Payload))
		}
		if got != want || captured >= 34 && r.Protocol != "icmp" {
			t.Errorf("%d bytes: %s, want %s; %+v", captured, got, want, r)
		}
	}
	first := one(t, linkEthernet, ether(etherIPv4, cat(ipHead(hostA, hostB, 1, 1500, 0x2000), icmpEcho(8, 9, 9, make([]byte, 1472)))))
	if first.ICMP == nil || !first.ICMP.Fragment || first.ICMP.PayloadBytes != 1472 {
		t.Errorf("%+v", first)
	}
	// What the IP length leaves out is no payload, and what a card will cut
	// later has no length.
	padded := one(t, linkEthernet, cat(ether(etherIPv4, ip4(hostA, hostB, 1, icmpEcho(8, 7, 1, nil))), []byte("padding")))
	if padded.ICMP.PayloadBytes != 0 || len(padded.ICMP.Payload) != 0 {
		t.Errorf("%+v", padded.ICMP)
	}
	big := cat(ipHead(hostA, hostB, 1, 0, 0), icmpEcho(8, 7, 1, make([]byte, 70000)))
	if r := one(t, linkRaw, big); r.ICMP.PayloadBytes != 70000 {
		t.Errorf("%+v", r.ICMP)
	}
	lying := one(t, linkRaw, cat(ipHead(hostA, hostB, 1, 24, 0), icmpEcho(8, 7, 1, nil)))
	if lying.ICMP == nil || lying.ICMP.Echo || lying.ICMP.PayloadBytes != 0 {
		t.Errorf("%+v", lying.ICMP)
	}
}

// TestMangled: no header that is cut or out of bounds gives more than it has.
func TestMangled(t *testing.T) {
	for _, c := range []struct {
		b         []byte
		proto     string
		addresses bool
	}{
		{[]byte{0x45}, "", false},
		{cat([]byte{0x44}, ping4()[1:]), "", false}, // header of 16 bytes
		{cat([]byte{0x4f}, ping4()[1:40]), "icmp", true},
		{ip6(hostC, hostD, 0, []byte{58}), "", true},
		{ip6(hostC, hostD, 0, ext(58, 9)[:20]), "", true},
		{ip6(hostC, hostD, 59, nil), "59", true},
		{ip4(hostA, hostB, 0, ext(58, 0)), "0", true}, // no extension headers in IPv4
		{ip4(hostA, hostB, 17, []byte{1, 2, 3}), "udp", true},
	} {
		r := one(t, linkRaw, c.b)
		if r.Protocol != c.proto || r.Src.IsValid() != c.addresses || r.HasPorts || r.ICMP != nil {
			t.Errorf("%x: %+v", c.b, r)
		}
	}
}

func TestDNSAnswers(t *testing.T) {
	q := []byte{0xc0, 12}
	soa := cat(dnsName4("ns.example"), dnsName4("root.example"), make([]byte, 16), []byte{0, 0, 0, 60})
	message := dnsTell("www.example", 255,
		dnsRR(q, dnsA, []byte{192, 0, 2, 1}),
		dnsRR(dnsName4("WWW.Example"), dnsAAAA, append([]byte{0x20, 1, 0xd, 0xb8}, make([]byte, 12)...)),
		dnsRR(q, dnsTXT, []byte("\x05v=\"a\\\x02b\x07")),
		dnsRR(q, dnsMX, cat(u16(10), dnsName4("mail.example"))),
		dnsRR(q, dnsSRV, cat(u16(1, 2, 443), dnsName4("srv.example"))),
		dnsRR(q, dnsSOA, soa),
		dnsRR(q, dnsNS, []byte{0}),
		dnsRR(q, 10, []byte{1, 2}),
		dnsRR(q, dnsA, []byte{1, 2, 3}),
		dnsRR(q, dnsCNAME, dnsName4("alias.example")),
		dnsRR(dnsName4("alias.example"), dnsA, []byte{192, 0, 2, 2}),
		dnsRR(dnsName4("other.example"), dnsA, []byte{192, 0, 2, 3}),
	)
	r := one(t, linkRaw, ip4(hostA, hostB, 17, udp(53, 4000, message)))
	want := []string{
		"192.0.2.1", "2001:db8::", `"v=\"a\\" "b\007"`, "10 mail.example", "1 2 443 srv.example", "ns.example root.example 0 0 0 0 60", ".", `\# 2 0102`, `\# 3 010203`,
		"alias.example", "192.0.2.2", "other.example A 192.0.2.3",
	}
	if r.DNS == nil || r.DNS.Name != "www.example" || r.DNS.Type != "ANY" || !slices.Equal(r.DNS.Answers, want) {
		t.Errorf("%+v", r.DNS)
	}
	if r := one(t, linkRaw, ip4(hostA, hostB, 17, udp(53, 4000, message[:60]))); r.DNS == nil || len(r.DNS.Answers) != 1 {
		t.Errorf("cut: %+v", r.DNS)
	}
}

func TestNamesOfAttackers(t *testing.T) {
	head := u16(7, 0x0100, 1, 0, 0, 0)
	for in, want := range map[string]string{
		"\x03a.b\x02\\\x1b\x04\xc3\xa4 x\x00": `a\.b.\\\027.\195\164 x`,
		"\x00":                                ".",
		"\xc0\x0c":                            "nil", // points at itself
		"\xc0\x0d\x00":                        "nil",
		"\x01a\xc0\x0c":                       "nil",
		"\x40":                                "nil",
		"\x3f":                                "nil",
		"\xc0":                                "nil",
		"\xc0\x00":                            "nil", // the header is no name that ends
		strings.Repeat("\x3f"+strings.Repeat("x", 63), 4) + "\x00": "nil",
	} {
		got := "nil"
		if d := parseDNS(cat(head, []byte(in), u16(1, 1))); d != nil {
			got = d.Name
		}
		if got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
	if d := parseDNS(cat(u16(7, 0x2800, 1, 0, 0, 0), dnsName4("a"), u16(1, 1))); d != nil {
		t.Errorf("an update is no question: %+v", d)
	}
	if got := serverName(tlsHello("evil\x1b[2J.example")); got != `evil\027[2J.example` {
		t.Error(got)
	}
	hello := tlsHello("tls.example")
	at := bytes.Index(hello, []byte("tls.example"))
	for n := range hello {
		want := ""
		if n >= at+len("tls.example") {
			want = "tls.example"
		}
		if got := serverName(hello[:n]); got != want {
			t.Errorf("hello cut at %d: %q", n, got)
		}
	}
	for in, want := range map[string]string{
		"GET / HTTP/1.0\nHost:  a.example \n\n":          "a.example",
		"GET / HTTP/1.1\r\nX-Host: no\r\nHOST: b\tc\r\n": `b\009c`,
		"GET / HTTP/1.1\r\nHost: a.exam":                 "", // the line is not whole
		"GET / HTTP/1.1\r\n\r\nHost: body.example\r\n":   "",
		"HTTP/1.1 200 OK\r\nHost: a.example\r\n":         "",
		"get / HTTP/1.1\r\nHost: a.example\r\n":          "",
		"GET /\r\nHost: a.example\r\n":                   "",
		"GET / HTTP/2\r\nHost: a.example\r\n":            "",
		"":                                               "",
	} {
		if got := httpHost([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestPacket(t *testing.T) {
	r := one(t, linkEthernet, nested(2))
	p := r.Packet()
	if len(p.VNIs) != 2 || p.VNI == nil || *p.VNI != 2 || *p.OuterSrc != "10.1.0.1" || *p.Src != hostA || *p.Protocol != "icmp" || *p.ICMP.ID != 7 || p.SrcPort != nil || p.DNS != nil || p.SNI != nil {
		t.Errorf("%+v", p)
	}
	r = one(t, linkEthernet, ether(etherARP, make([]byte, 28)))
	if p := r.Packet(); *p.Protocol != "arp" || p.Src != nil || p.VNI != nil || p.VNIs == nil {
		t.Errorf("%+v", p)
	}
}
