package netcap

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// talk is a capture in the making: echo packets of a pair, one a second.
type talk struct {
	frames []madeFrame
	now    int64
	step   int64
}

func newTalk() *talk { return &talk{now: 1767658000, step: 1} }

func (k *talk) send(request bool, id, seq int, payload []byte) {
	src, dst, kind := hostA, hostB, byte(8)
	if !request {
		src, dst, kind = hostB, hostA, 0
	}
	k.raw(ether(etherIPv4, ip4(src, dst, 1, icmpEcho(kind, id, seq, payload))))
}

func (k *talk) raw(frame []byte) {
	k.frames = append(k.frames, madeFrame{sec: k.now, b: frame})
	k.now += k.step
}

// echoed is a request and the reply that repeats it.
func (k *talk) echoed(id, seq int, payload []byte) {
	k.send(true, id, seq, payload)
	k.send(false, id, seq, payload)
}

// noise is n bytes that no ping makes.
func noise(seed, n int) (b []byte) {
	for i := 0; len(b) < n; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %d", seed, i))
		b = append(b, sum[:]...)
	}
	return b[:n]
}

func (k *talk) ping() []byte { return linuxPing(k.now, 56) }

func windowsPing(n int) (b []byte) {
	for i := range n {
		b = append(b, 'a'+byte(i%23))
	}
	return b
}

// judged reads the capture of k and gives the verdict on its first pair.
func judged(t *testing.T, frames []madeFrame) Pair {
	t.Helper()
	var j Judge
	for r, err := range Read(bytes.NewReader(makePcap(le, true, linkEthernet, frames))) {
		if err != nil {
			t.Fatal(err)
		}
		j.Add(&r, 7)
	}
	pairs := j.Pairs()
	if len(pairs) == 0 {
		t.Fatal("no pair")
	}
	return pairs[0]
}

// TestVerdicts: each rule has a capture that trips it, and one that comes near
// and does not. reason is a part of the reason that the rule gives, "!" and a
// reason one that must not be given.
func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name, verdict, reason string
		make                  func(k *talk)
	}{
		{"three of ten replies differ", Tunnel, "3 of 10 replies differ", func(k *talk) {
			for i := range 10 {
				p := k.ping()
				k.send(true, 7, i, p)
				if i < 3 {
					p = noise(i, 56)
				}
				k.send(false, 7, i, p)
			}
		}},
		{"two replies differ", Unusual, "replies that differ from their requests: 2 of 4", func(k *talk) {
			for i := range 4 {
				p := k.ping()
				k.send(true, 7, i, p)
				if i < 2 {
					p = windowsPing(56)
				}
				k.send(false, 7, i, p)
			}
		}},
		{"a fifth of the replies differ", Unusual, "replies that differ from their requests: 4 of 20", func(k *talk) {
			for i := range 20 {
				p := k.ping()
				k.send(true, 7, i, p)
				if i < 4 {
					p = windowsPing(56)
				}
				k.send(false, 7, i, p)
			}
		}},
		{"replies that are cut short, as some public resolvers do", Unusual, "replies that carry less than their requests: 10 of 10", func(k *talk) {
			for i := range 10 {
				p := linuxPing(k.now, 1000)
				k.send(true, 7, i, p)
				k.send(false, 7, i, p[:68])
			}
		}},
		{"replies longer than their requests", Tunnel, "10 of 10 replies differ", func(k *talk) {
			for i := range 10 {
				p := linuxPing(k.now, 100)
				k.send(true, 7, i, p[:80])
				k.send(false, 7, i, p)
			}
		}},
		{"six orphans", Tunnel, "6 replies have no request", func(k *talk) {
			for i := range 6 {
				k.send(false, 7, i, noise(i, 100))
			}
		}},
		{"five orphans", Unusual, "replies only, 5", func(k *talk) {
			for i := range 5 {
				k.send(false, 7, i, noise(i, 100))
			}
		}},
		{"orphans of a ping", Unusual, "replies only, 20", func(k *talk) {
			for i := range 20 {
				k.send(false, 7, i, k.ping())
			}
		}},
		{"orphans that are all alike", Unusual, "always the same", func(k *talk) {
			for i := range 20 {
				k.send(false, 7, i, []byte("are you there"))
			}
		}},
		{"six payloads of one id and sequence number", Tunnel, "id 7 with sequence number 1 came 6 times one way, with 6 different", func(k *talk) {
			for i := range 6 {
				k.echoed(7, 1, noise(i, 32))
			}
		}},
		{"five payloads of one id and sequence number", Unusual, "and the replies repeat it", func(k *talk) {
			for i := range 5 {
				k.echoed(7, 1, noise(i, 32))
			}
		}},
		{"one id and sequence number, one payload", Unusual, "!came", func(k *talk) {
			for range 50 {
				k.echoed(7, 1, noise(1, 32))
			}
		}},
		{"one id and sequence number, pings", Ordinary, "the payload of Linux ping in 40 of 40", func(k *talk) {
			for range 20 {
				k.echoed(7, 1, k.ping())
			}
		}},
		{"ptunnel", Tunnel, "the mark of ptunnel", func(k *talk) { k.echoed(7, 1, append([]byte{0xd5, 0x20, 0x08, 0x80}, noise(1, 24)...)) }},
		{"the mark of ptunnel elsewhere", Unusual, "!ptunnel", func(k *talk) { k.echoed(7, 1, append([]byte{1, 0xd5, 0x20, 0x08, 0x80}, noise(1, 24)...)) }},
		{"Pingback", Tunnel, "as Pingback has", func(k *talk) {
			for i := range 3 {
				k.send(true, 7, 1234+i, noise(i, 788))
			}
		}},
		{"Pingback the other way round", Tunnel, "as Pingback has", func(k *talk) {
			for range 3 {
				k.send(true, 7, 0xd204, noise(1, 788))
			}
		}},
		{"one more sequence number than Pingback", Unusual, "!Pingback", func(k *talk) {
			for i := range 4 {
				k.send(true, 7, 1234+i, noise(i, 788))
			}
		}},
		{"Pingback's numbers with another length", Unusual, "!Pingback", func(k *talk) {
			for i := range 3 {
				k.send(true, 7, 1234+i, noise(i, 788+i))
			}
		}},
		{"a ping that is at Pingback's numbers", Ordinary, "Linux", func(k *talk) {
			for i := range 3 {
				k.echoed(7, 1234+i, k.ping())
			}
		}},
		{"icmpdoor", Tunnel, "that of icmpdoor", func(k *talk) {
			for i := range 3 {
				k.echoed(13170, i, noise(i, 20))
			}
		}},
		{"a ping with icmpdoor's id", Ordinary, "Linux", func(k *talk) {
			for i := range 3 {
				k.echoed(13170, i, k.ping())
			}
		}},
		{"icmpdoor's id among others", Unusual, "!icmpdoor", func(k *talk) {
			for i := range 3 {
				k.echoed(13170-i, i, noise(i, 20))
			}
		}},
		{"Nachi", Tunnel, "Nachi", func(k *talk) { k.send(true, 7, 1, bytes.Repeat([]byte{0xaa}, 64)) }},
		{"one byte more than Nachi", Unusual, "!Nachi", func(k *talk) { k.send(true, 7, 1, bytes.Repeat([]byte{0xaa}, 65)) }},
		{"output of a shell", Tunnel, "1 payload reads as the text of a shell", func(k *talk) { k.echoed(7, 1, []byte("uid=0(root) gid=0(root)\n")); k.frames = k.frames[:1] }},
		{"typed commands", Tunnel, "2 payloads begin as a typed command does", func(k *talk) {
			k.send(true, 7, 1, []byte("ls -la\n"))
			k.send(true, 7, 2, []byte("cd ..\n\x00\x00"))
		}},
		{"commands without the end of their line", Unusual, "!command", func(k *talk) {
			k.send(true, 7, 1, []byte("ls -la\n"))
			k.send(true, 7, 2, []byte("cd .."))
		}},
		{"one word that is a command", Unusual, "!command", func(k *talk) { k.echoed(7, 1, []byte("id 4711 of the probe\n")); k.frames = k.frames[:1] }},
		{"one text that begins as a command", Unusual, "!command", func(k *talk) {
			for i := range 20 {
				k.echoed(7, i, []byte("ps of the monitor\n"))
			}
		}},
		{"text that is no shell", Unusual, "!shell", func(k *talk) {
			for i := range 20 {
				k.echoed(7, i, fmt.Appendf(nil, "Round-trip probe %d by the network team", i))
			}
		}},
		{"commands in bytes that are no text", Unusual, "!command", func(k *talk) {
			k.send(true, 7, 1, []byte("ls\n\x01\x02\x03"))
			k.send(true, 7, 2, []byte("id\n\x01\x02\x03"))
		}},
		{"an unknown payload, echoed", Unusual, "in 20 of 20 packets, and the replies repeat it", func(k *talk) {
			for i := range 10 {
				k.echoed(7, i, noise(i, 200))
			}
		}},
		{"an unknown payload, not answered", Unusual, "in 10 of 10 packets, without an answer", func(k *talk) {
			for i := range 10 {
				k.send(true, 7, i, noise(i, 200))
			}
		}},
		{"a ping of Linux with data for a time", Unusual, "in the place of its time something else", func(k *talk) {
			for i := range 10 {
				k.echoed(7, i, append(noise(i, 16), linuxPing(0, 56)[16:]...))
			}
		}},
		{"a ping whose clock is days off", Unusual, "in the place of its time something else", func(k *talk) {
			for i := range 10 {
				k.echoed(7, i, linuxPing(k.now-2*86400, 56))
			}
		}},
		{"a ping whose clock is hours off", Ordinary, "Linux", func(k *talk) {
			for i := range 10 {
				k.echoed(7, i, linuxPing(k.now-20*3600, 56))
			}
		}},
		{"six sizes", Unusual, "more than 5 different payload sizes", func(k *talk) {
			for i := range 6 {
				k.echoed(7, i, linuxPing(k.now, 56+i))
			}
		}},
		{"five sizes", Ordinary, "Linux", func(k *talk) {
			for i := range 5 {
				k.echoed(7, i, linuxPing(k.now, 56+i))
			}
		}},
		{"larger than a frame", Unusual, "payloads of up to 1473 bytes", func(k *talk) { k.echoed(7, 1, linuxPing(k.now, 1473)) }},
		{"as large as a frame", Ordinary, "Linux", func(k *talk) { k.echoed(7, 1, linuxPing(k.now, 1472)) }},
		{"in fragments", Unusual, "in fragments: 1 of 1", func(k *talk) {
			k.raw(ether(etherIPv4, cat(ipHead(hostA, hostB, 1, 1500, 0x2000), icmpEcho(8, 9, 9, linuxPing(k.now, 1472)))))
		}},
		{"a sweep", Unusual, "empty requests to 20 addresses from one", func(k *talk) { k.sweep(20, nil) }},
		{"too few for a sweep", Ordinary, "no payload in 1 of 1", func(k *talk) { k.sweep(19, nil) }},
		{"many addresses, ordinary pings", Ordinary, "Linux", func(k *talk) { k.sweep(30, k.ping()) }},
		{"hours", Unusual, "steady for 4 hours: active in 26 of 26 stretches of 10 minutes", func(k *talk) {
			k.step = 300
			for i := range 25 {
				k.echoed(7, i, k.ping())
			}
		}},
		{"days", Unusual, "steady for 60 hours: active in 46 of 46 stretches of 80 minutes", func(k *talk) {
			k.step = 1800
			for i := range 61 {
				k.echoed(7, i, k.ping())
			}
		}},
		{"less than four hours", Ordinary, "!steady", func(k *talk) {
			k.step = 300
			for i := range 23 {
				k.echoed(7, i, k.ping())
			}
		}},
		{"hours with pauses", Ordinary, "!steady", func(k *talk) {
			k.step = 300
			for i := range 30 {
				k.echoed(7, i, k.ping())
				if i%4 == 0 {
					k.now += 1200
				}
			}
		}},
		{"Linux", Ordinary, "the payload of Linux ping in 10 of 10", func(k *talk) {
			for i := range 5 {
				k.echoed(7, i, k.ping())
			}
		}},
		{"not answered", Ordinary, "no request was answered", func(k *talk) { k.send(true, 7, 1, k.ping()) }},
		{"Linux of 32 bits", Ordinary, "BSD", func(k *talk) {
			k.echoed(7, 1, cat(le.AppendUint32(nil, uint32(k.now)), make([]byte, 4), linuxPing(0, 56)[:0], count(8, 56)))
		}},
		{"8 bytes of time, then 0x10", Ordinary, "Linux", func(k *talk) {
			k.echoed(7, 1, cat(be.AppendUint32(nil, uint32(k.now)), []byte{0, 0, 1, 2}, count(16, 64)))
		}},
		{"macOS", Ordinary, "BSD and macOS", func(k *talk) {
			k.echoed(7, 1, cat(be.AppendUint32(nil, uint32(k.now)), []byte{0, 0, 1, 2}, count(8, 56)))
		}},
		{"Windows", Ordinary, "Windows", func(k *talk) { k.echoed(1, 1, windowsPing(32)) }},
		{"large Windows", Ordinary, "Windows", func(k *talk) { k.echoed(1, 1, windowsPing(1400)) }},
		{"Windows with a letter changed", Unusual, "no known ping", func(k *talk) { k.echoed(1, 1, append(windowsPing(31), 'x')) }},
		{"no room for a time", Ordinary, "without a time", func(k *talk) { k.echoed(1, 1, count(0, 12)) }},
		{"BusyBox", Ordinary, "BusyBox", func(k *talk) { k.echoed(1, 1, append([]byte{1, 2, 3, 4}, make([]byte, 52)...)) }},
		{"Cisco", Ordinary, "Cisco", func(k *talk) {
			k.echoed(1, 1, append([]byte{0, 0, 0, 0, 9, 8, 7, 6}, bytes.Repeat([]byte{0xab, 0xcd}, 32)...))
		}},
		{"Prometheus", Ordinary, "a monitoring tool", func(k *talk) { k.echoed(1, 1, []byte("Prometheus Blackbox Exporter")) }},
		{"Prometheus with more behind", Unusual, "no known ping", func(k *talk) { k.echoed(1, 1, []byte("Prometheus Blackbox Exporter!")) }},
		{"payload not captured", Unusual, "too little payload captured", func(k *talk) {
			k.echoed(1, 1, k.ping())
			for i := range k.frames {
				k.frames[i].length = len(k.frames[i].b)
				k.frames[i].b = k.frames[i].b[:50]
			}
		}},
		{"the head not captured whole", Unusual, "too little payload captured to tell what it is in 2 of 2", func(k *talk) {
			k.echoed(1, 1, k.ping())
			for i := range k.frames {
				k.frames[i].length = len(k.frames[i].b)
				k.frames[i].b = k.frames[i].b[:38]
			}
		}},
		{"payload captured in part", Ordinary, "captured in part: 2 of 2 packets", func(k *talk) {
			k.echoed(1, 1, k.ping())
			for i := range k.frames {
				k.frames[i].length = len(k.frames[i].b)
				k.frames[i].b = k.frames[i].b[:80-i]
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newTalk()
			c.make(k)
			p := judged(t, k.frames)
			reason, not := strings.CutPrefix(c.reason, "!")
			if p.Verdict != c.verdict || strings.Contains(strings.Join(p.Reasons, "\n"), reason) == not {
				t.Errorf("%s %q, want %s and %q", p.Verdict, p.Reasons, c.verdict, c.reason)
			}
		})
	}
}

func count(from, to int) (b []byte) {
	for i := from; i < to; i++ {
		b = append(b, byte(i))
	}
	return b
}

// sweep asks n addresses once each.
func (k *talk) sweep(n int, payload []byte) {
	for i := range n {
		k.raw(ether(etherIPv4, ip4(hostA, fmt.Sprintf("10.66.1.%d", i), 1, icmpEcho(8, 1, 0, payload))))
	}
}

// TestErrorsAreNoEcho: what an ICMP error quotes is of other packets.
func TestErrorsAreNoEcho(t *testing.T) {
	k := newTalk()
	for i := range 30 {
		k.raw(ether(etherIPv4, ip4(hostB, hostA, 1, icmpEcho(3, i, i, noise(i, 100)))))
	}
	k.echoed(7, 1, k.ping())
	if p := judged(t, k.frames); p.Verdict != Ordinary || p.Requests != 1 || p.Replies != 1 || p.PayloadBytes != 112 {
		t.Errorf("%+v", p)
	}
}

func TestSides(t *testing.T) {
	k := newTalk()
	k.echoed(7, 1, k.ping())
	if p := judged(t, k.frames); p.Local.String() != hostA || p.Peer.String() != hostB || p.First.Sec != 1767658000 || p.Last.Sec != 1767658001 {
		t.Errorf("%+v", p)
	}
	k = newTalk()
	for i := range 3 {
		k.raw(ether(etherIPv6, ip6(hostD, hostC, 58, icmpEcho(128, 1, i, k.ping()))))
	}
	k.raw(ether(etherIPv6, ip6(hostC, hostD, 58, icmpEcho(129, 1, 1, linuxPing(1767658001, 56)))))
	p := judged(t, k.frames)
	if p.Local.String() != hostD || p.Verdict != Ordinary || len(p.Frames) != 4 || p.Frames[3] != (FrameRef{7, 4}) {
		t.Errorf("%+v", p)
	}
	if a := p.Answer(); a.Local != hostD || a.Peer != hostC || a.Requests != 3 || a.Replies != 1 || a.Verdict != Ordinary {
		t.Errorf("%+v", a)
	}
}

// mixture is records of several pairs, tunnels and pings.
func mixture() (recs []Record) {
	k := newTalk()
	for i := range 300 {
		k.echoed(7, i, k.ping())
		k.echoed(8, 1, noise(i, 40))
		k.send(true, 9, i%50, noise(i, 90+i%4))
		k.send(false, 9, i%50, noise(-i, 80))
		k.raw(ether(etherIPv6, ip6(hostD, hostC, 58, icmpEcho(128, 1, i, noise(i, 70)))))
		k.raw(ether(etherIPv4, ip4("10.0.0.1", fmt.Sprintf("10.1.%d.%d", i/250, i%250), 1, icmpEcho(8, 1, i, nil))))
	}
	for r := range Read(bytes.NewReader(makePcap(le, false, linkEthernet, k.frames))) {
		i := *r.ICMP
		i.Payload = bytes.Clone(i.Payload)
		r.ICMP = &i
		recs = append(recs, r)
	}
	return recs
}

// TestOrder: the order of the frames changes nothing, not even where more was
// to be kept than may be.
func TestOrder(t *testing.T) {
	recs := mixture()
	for _, limit := range []int{pairUnits, 128, leastUnits} {
		judge := func() []Pair {
			j := Judge{pairs: map[[2]netip.Addr]*pair{}, limit: limit}
			for i := range recs {
				j.Add(&recs[i], 1)
			}
			return j.Pairs()
		}
		want := judge()
		if (limit < pairUnits) != strings.Contains(fmt.Sprint(want), "too many to keep") {
			t.Errorf("limit %d: %v", limit, want[:2])
		}
		for seed := range uint64(5) {
			rand.New(rand.NewPCG(seed, 1)).Shuffle(len(recs), func(a, b int) { recs[a], recs[b] = recs[b], recs[a] })
			if got := judge(); !reflect.DeepEqual(got, want) {
				t.Fatalf("limit %d: another order gives\n%+v, want\n%+v", limit, got[:3], want[:3])
			}
		}
	}
}

// TestBounds: more pairs and numbers than are kept are counted and said.
func TestBounds(t *testing.T) {
	var j Judge
	r := Record{N: 1, Src: netip.MustParseAddr(hostA), Protocol: "icmp", ICMP: &ICMP{Type: 8, Echo: true, Request: true}}
	bytes8 := noise(1, 8)
	for i := range maxPairs + 100 {
		r.Dst = netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)})
		for seq := range 40 {
			r.ICMP.Seq = uint16(seq)
			r.ICMP.Payload = bytes8[:1+seq%8]
			r.ICMP.PayloadBytes = int64(len(r.ICMP.Payload))
			j.Add(&r, 1)
		}
	}
	if j.Left() != 100*40 || len(j.pairs) != maxPairs || j.units > allUnits {
		t.Errorf("%d left, %d pairs, %d units", j.Left(), len(j.pairs), j.units)
	}
	units := 0
	for _, p := range j.pairs {
		for _, s := range p.match.slots {
			units += slotUnits + len(s.requests.kept) + len(s.replies.kept)
		}
	}
	if units != j.units {
		t.Errorf("%d units counted, %d kept", j.units, units)
	}
	if p := j.Pairs()[0]; p.Requests != 40 || !slices.ContainsFunc(p.Reasons, func(s string) bool { return strings.Contains(s, "too many to keep") }) {
		t.Errorf("%+v", p)
	}
}

func TestEntropy(t *testing.T) {
	p := pair{}
	p.count(count(0, 256))
	if e := p.entropy(); e != 8 {
		t.Error(e)
	}
	p.bytes[3] = 1<<32 - 1
	p.count([]byte{3})
	if e := p.entropy(); e > 0.01 || p.bytes[3] != 1<<31 || p.bytes[4] != 0 {
		t.Error(e, p.bytes[3])
	}
	if e := (&pair{}).entropy(); e != 0 {
		t.Error(e)
	}
}
