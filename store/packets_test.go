package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/evidence"
)

// frames makes a classic pcap of Ethernet frames, one a millisecond.
type frames struct{ b []byte }

func newFrames() *frames {
	f := &frames{}
	f.b = binary.LittleEndian.AppendUint32(f.b, 0xa1b2c3d4)
	f.b = binary.LittleEndian.AppendUint16(f.b, 2)
	f.b = binary.LittleEndian.AppendUint16(f.b, 4)
	f.b = append(f.b, make([]byte, 8)...)
	f.b = binary.LittleEndian.AppendUint32(f.b, 262144)
	f.b = binary.LittleEndian.AppendUint32(f.b, 1)
	return f
}

func (f *frames) frame(ms int, b []byte) {
	le := binary.LittleEndian
	f.b = le.AppendUint32(f.b, uint32(1767225600+ms/1000))
	f.b = le.AppendUint32(f.b, uint32(ms%1000*1000))
	f.b = le.AppendUint32(f.b, uint32(len(b)))
	f.b = le.AppendUint32(f.b, uint32(len(b)))
	f.b = append(f.b, b...)
}

// ip4 is an Ethernet frame with an IPv4 packet.
func ip4(src, dst string, proto byte, payload []byte) []byte {
	b := append(make([]byte, 12), 8, 0)
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(20+len(payload)))
	b = append(b, 0, 0, 0, 0, 64, proto, 0, 0)
	s, d := netip.MustParseAddr(src).As4(), netip.MustParseAddr(dst).As4()
	return append(append(append(b, s[:]...), d[:]...), payload...)
}

func udp4(src, dst string, sport, dport uint16, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, sport)
	b = binary.BigEndian.AppendUint16(b, dport)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	return ip4(src, dst, 17, append(append(b, 0, 0), payload...))
}

// echo is an ICMP echo request (8) or reply (0).
func echo(src, dst string, typ byte, id, seq uint16, payload string) []byte {
	b := []byte{typ, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, id)
	b = binary.BigEndian.AppendUint16(b, seq)
	return ip4(src, dst, 1, append(b, payload...))
}

func vxlan(vni byte, inner []byte) []byte {
	return udp4("10.9.0.1", "10.9.0.2", 50000, 4789, append([]byte{8, 0, 0, 0, 0, 0, vni, 0}, inner...))
}

// question is a DNS question for the A record of evil.example.
var dnsQuestion = []byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04evil\x07example\x00\x00\x01\x00\x01")

// ping is the payload of a Linux ping, sent at a second.
func ping(sec int) string {
	b := binary.LittleEndian.AppendUint64(nil, uint64(1767225600+sec))
	b = binary.LittleEndian.AppendUint64(b, 1234)
	for i := 0x10; len(b) < 56; i++ {
		b = append(b, byte(i))
	}
	return string(b)
}

func TestPackets(t *testing.T) {
	f := newFrames()
	f.frame(0, echo("10.0.0.5", "192.0.2.1", 8, 7, 1, ping(1)))
	f.frame(1, echo("192.0.2.1", "10.0.0.5", 0, 7, 1, ping(1)))
	f.frame(2, udp4("10.0.0.5", "10.0.0.2", 5353, 53, dnsQuestion))
	f.frame(3, udp4("10.0.0.5", "198.51.100.9", 5000, 6000, []byte("nothing of note")))
	f.frame(4, vxlan(42, echo("10.0.0.6", "192.0.2.1", 8, 7, 1, ping(1))))
	c := newTestCase(t)
	ctx := t.Context()
	bring(t, c, evidence.KindPcap, map[string]string{"a.pcap": string(f.b)})
	all := collect(t, c.Packets(ctx, PacketQuery{}))
	if len(all) != 5 || all[4].Record.String() != "EX-001/a.pcap#5" || optText(all[4].Src) != "10.0.0.6" || *all[4].VNI != 42 || all[2].DNS.Name != "evil.example" {
		t.Fatalf("%s", encoded(t, all))
	}
	vni, other := int64(42), int64(43)
	for _, q := range []struct {
		q    PacketQuery
		want int
	}{
		{PacketQuery{IP: "192.0.2.1"}, 3},
		{PacketQuery{IP: "10.9.0.1"}, 1},
		{PacketQuery{Protocol: "icmp"}, 3},
		{PacketQuery{Protocol: "17"}, 2},
		{PacketQuery{Protocol: "arp"}, 0},
		{PacketQuery{VNI: &vni}, 1},
		{PacketQuery{VNI: &other}, 0},
		{PacketQuery{Exhibit: "EX-002"}, 0},
	} {
		if got := collect(t, c.Packets(ctx, q.q)); len(got) != q.want {
			t.Errorf("%+v gives %d frames, want %d", q.q, len(got), q.want)
		}
	}
	for _, err := range c.Packets(ctx, PacketQuery{IP: "nonsense"}) {
		if !errors.Is(err, evidence.ErrUsage) {
			t.Error(err)
		}
	}
	raw, err := c.Raw(ctx, all[3].Record)
	must(t, err)
	if !strings.HasSuffix(string(raw), "nothing of note") {
		t.Errorf("raw %q", raw)
	}
	var got []string
	for _, m := range collect(t, c.Timeline(ctx, TimelineQuery{})) {
		got = append(got, m.Type+" "+m.Summary+" "+m.Record)
	}
	want := []string{
		"icmp 10.0.0.5 → 192.0.2.1 icmp request id 7 seq 1, payload of 56 bytes EX-001/a.pcap#1",
		"icmp 192.0.2.1 → 10.0.0.5 icmp reply id 7 seq 1, payload of 56 bytes EX-001/a.pcap#2",
		"dns 10.0.0.5:5353 → 10.0.0.2:53 dns A evil.example EX-001/a.pcap#3",
		"icmp 10.0.0.6 → 192.0.2.1 icmp request id 7 seq 1, payload of 56 bytes vni 42 EX-001/a.pcap#5",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("timeline:\n%s", strings.Join(got, "\n"))
	}
	if m := collect(t, c.Timeline(ctx, TimelineQuery{Text: "EVIL.example"})); len(m) != 1 {
		t.Errorf("by text: %d", len(m))
	}
	st, err := c.Stats(ctx)
	must(t, err)
	if s := st[0]; s.Records != 5 || s.Distinct != 5 || s.BadRecords != 0 || len(s.Gaps) != 0 {
		t.Errorf("stats %+v", s)
	}
}

// TestPacketsTshark compares frames with what tshark says of the same file.
func TestPacketsTshark(t *testing.T) {
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip("no tshark")
	}
	path := writeFrames(t, 2000)
	c := newTestCase(t)
	bringPath(t, c, evidence.KindPcap, filepath.Dir(path))
	out, err := exec.Command("tshark", "-r", path, "-T", "fields", "-e", "frame.number", "-e", "ip.src", "-e", "ip.dst", "-e", "ip.proto", "-e", "frame.len").Output()
	must(t, err)
	var b strings.Builder
	for _, p := range collect(t, c.Packets(t.Context(), PacketQuery{})) {
		n, err := protocolNumber(optText(p.Protocol))
		must(t, err)
		fmt.Fprintf(&b, "%d\t%s\t%s\t%d\t%d\n", p.Record.N, optText(p.Src), optText(p.Dst), n, p.Length)
	}
	if b.String() != string(out) {
		t.Errorf("tshark gives %d bytes of text, we %d", len(out), b.Len())
	}
	// Conversations, from the index, add up to the file.
	q, err := c.ask(t.Context())
	must(t, err)
	defer q.end()
	n, _, err := q.number(t.Context(), "SELECT sum(packets) FROM conversations")
	must(t, err)
	if n != 2000 {
		t.Errorf("conversations hold %d frames", n)
	}
}

// TestEchoes judges over all captures: a reply may be in another one, and a
// capture that comes later changes the verdict.
func TestEchoes(t *testing.T) {
	asks, answers := newFrames(), newFrames()
	for i := range 20 {
		asks.frame(i*1000, echo("10.0.0.5", "192.0.2.1", 8, 7, uint16(i+1), ping(i)))
		answers.frame(i*1000+5, echo("192.0.2.1", "10.0.0.5", 0, 7, uint16(i+1), fmt.Sprintf("uid=0(root) gid=0(root) %032d", i)))
	}
	c := newTestCase(t)
	ctx := t.Context()
	bring(t, c, evidence.KindPcap, map[string]string{"a.pcap": string(asks.b)})
	first, err := c.ICMP(ctx)
	must(t, err)
	if len(first) != 1 || first[0].Verdict != "ordinary" || first[0].Requests != 20 || first[0].Replies != 0 {
		t.Fatalf("%s", encoded(t, first))
	}
	bring(t, c, evidence.KindPcap, map[string]string{"b.pcap": string(answers.b)})
	both, err := c.ICMP(ctx)
	must(t, err)
	if len(both) != 1 || both[0].Verdict != "tunnel" || both[0].Requests != 20 || both[0].Replies != 20 || both[0].Local != "10.0.0.5" || both[0].Peer != "192.0.2.1" {
		t.Fatalf("%s", encoded(t, both))
	}
	if !strings.Contains(fmt.Sprint(both[0].Records), "EX-002/b.pcap#") {
		t.Errorf("frames: %v", both[0].Records)
	}
	// Derived again in one run, nothing is read twice, and the verdict is the same.
	must(t, c.Index(ctx, IndexOptions{Rebuild: true}, nil))
	again, err := c.ICMP(ctx)
	must(t, err)
	if encoded(t, again) != encoded(t, both) {
		t.Errorf("%s\n%s", encoded(t, again), encoded(t, both))
	}
	// What was cancelled before it was judged is not answered, and judged by the next run.
	db, err := openWriter(ctx, c.indexPath())
	must(t, err)
	_, err = db.Exec("DELETE FROM icmp WHERE id = 0")
	must(t, errors.Join(err, db.Close()))
	if _, err := c.ICMP(ctx); err == nil {
		t.Error("pairs that may be stale are answered")
	}
	must(t, c.Index(ctx, IndexOptions{}, nil))
	if again, err = c.ICMP(ctx); err != nil || encoded(t, again) != encoded(t, both) {
		t.Errorf("%v %s", err, encoded(t, again))
	}
}

// TestPacketsBounded keeps the index of a flood small, and says so.
func TestPacketsBounded(t *testing.T) {
	f := newFrames()
	for i := range icmpRows + 500 {
		f.frame(i, echo("10.0.0.5", "192.0.2.1", 8, 7, uint16(i), ping(i)))
	}
	c := newTestCase(t)
	bring(t, c, evidence.KindPcap, map[string]string{"a.pcap": string(f.b)})
	m := collect(t, c.Timeline(t.Context(), TimelineQuery{}))
	if len(m) != icmpRows || !strings.HasSuffix(m[icmpRows-1].Summary, "(later ones of this pair are counted, not listed here)") || strings.Contains(m[icmpRows-2].Summary, "later") {
		t.Errorf("%d moments, the last is %s", len(m), encoded(t, m[len(m)-1]))
	}
	if n := len(collect(t, c.Packets(t.Context(), PacketQuery{}))); n != icmpRows+500 {
		t.Errorf("%d frames", n)
	}
	tr, err := c.Trace(t.Context(), "10.0.0.5")
	must(t, err)
	if len(tr.Peers) != 1 || tr.Peers[0].Packets != icmpRows+500 {
		t.Errorf("%s", encoded(t, tr.Peers))
	}
}

// TestPacketsDamaged brings captures that are cut or absurd: what can be read
// is, the rest is told.
func TestPacketsDamaged(t *testing.T) {
	f := newFrames()
	for i := range 10 {
		f.frame(i, echo("10.0.0.5", "192.0.2.1", 8, 7, uint16(i), ping(i)))
	}
	absurd := append([]byte{}, f.b...)
	binary.LittleEndian.PutUint32(absurd[24+8:], 0xfffffff0) // the first frame claims 4 GiB
	for name, test := range map[string]struct {
		text  string
		least int64
	}{
		"cut":    {string(f.b[:len(f.b)-20]), 9},
		"absurd": {string(absurd), 0},
		"text":   {"this is no capture at all, whatever its name says", 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestCase(t)
			bring(t, c, evidence.KindPcap, map[string]string{"a.pcap": test.text})
			st, err := c.Stats(t.Context())
			must(t, err)
			if s := st[0]; s.Records < test.least || s.BadRecords == 0 || len(s.Gaps) == 0 {
				t.Errorf("stats %+v", s)
			}
			if n := int64(len(collect(t, c.Packets(t.Context(), PacketQuery{})))); n != st[0].Records {
				t.Errorf("%d frames, stats say %d", n, st[0].Records)
			}
			if err := c.Index(t.Context(), IndexOptions{Rebuild: true}, nil); !errors.Is(err, evidence.ErrGaps) {
				t.Errorf("index: %v", err)
			}
		})
	}
}

// TestTracePeers counts no traffic twice: an interface's own flow log goes
// before another's, and a flow log before a capture.
func TestTracePeers(t *testing.T) {
	line := func(eni, src, dst string, bytes int) string {
		return fmt.Sprintf("2 1 %s %s %s 1 2 6 1 %d 1767225600 1767225659 ACCEPT OK\n", eni, src, dst, bytes)
	}
	c := newTestCase(t)
	ctx := t.Context()
	bring(t, c, evidence.KindFlowLog, map[string]string{flowFile("fl-0a", "0000"): gzipped(t, headV2+
		line("eni-a", "10.0.0.5", "10.0.0.6", 1000)+line("eni-a", "10.0.0.5", "192.0.2.1", 500)+
		line("eni-b", "10.0.0.5", "10.0.0.6", 1000)+line("eni-b", "192.0.2.1", "10.0.0.6", 70))})
	f := newFrames()
	f.frame(0, udp4("10.0.0.5", "192.0.2.1", 1, 2, make([]byte, 100)))
	f.frame(1, udp4("10.0.0.77", "192.0.2.1", 1, 2, make([]byte, 100)))
	bring(t, c, evidence.KindPcap, map[string]string{"a.pcap": string(f.b)})
	for entity, want := range map[string]string{
		"10.0.0.5":  "10.0.0.6 tcp out 1000 in 0, 192.0.2.1 tcp out 500 in 0",
		"10.0.0.6":  "10.0.0.5 tcp out 0 in 1000, 192.0.2.1 tcp out 0 in 70",
		"192.0.2.1": "10.0.0.5 tcp out 0 in 500, 10.0.0.6 tcp out 70 in 0",
		"10.0.0.77": "192.0.2.1 udp out 142 in 0",
	} {
		tr, err := c.Trace(ctx, entity)
		must(t, err)
		var got []string
		for _, p := range tr.Peers {
			got = append(got, fmt.Sprintf("%s %s out %d in %d", p.IP, p.Protocol, p.BytesOut, p.BytesIn))
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%s: %s\nwant %s", entity, s, want)
		}
	}
}

// writeFrames makes a capture of n TCP and ICMP frames of about 500 bytes and
// gives its path.
func writeFrames(t testing.TB, n int) string {
	t.Helper()
	f := newFrames()
	payload := make([]byte, 470)
	payload[12] = 5 << 4 // of TCP: the header is 20 bytes
	for i := range n {
		src, dst := fmt.Sprintf("10.0.%d.%d", i%3, i%50+1), fmt.Sprintf("198.51.100.%d", i%200+1)
		if i%2 == 1 {
			src, dst = dst, src
		}
		if i%20 == 0 {
			f.frame(i, echo(src, dst, 8, 7, uint16(i), ping(i)))
			continue
		}
		f.frame(i, ip4(src, dst, 6, payload))
	}
	path := filepath.Join(t.TempDir(), "large.pcap")
	must(t, os.WriteFile(path, f.b, 0o644))
	return path
}

// BenchmarkIndexFrames derives the index of 200,000 frames.
func BenchmarkIndexFrames(b *testing.B) {
	path := writeFrames(b, 200_000)
	c := newTestCase(b)
	_, err := c.Acquire(b.Context(), AcquireRequest{Source: filepath.Dir(path), Kind: evidence.KindPcap, NoIndex: true}, nil)
	must(b, err)
	for b.Loop() {
		must(b, c.Index(b.Context(), IndexOptions{Rebuild: true}, nil))
	}
	b.ReportMetric(200_000*float64(b.N)/b.Elapsed().Seconds(), "frames/s")
}

// TestCapturesOfCorpus indexes real captures: counts add up, every record
// gives the bytes of its frame, nothing is lost that is not told.
func TestCapturesOfCorpus(t *testing.T) {
	corpus := os.Getenv("SNAPCASE_CORPUS")
	if corpus == "" {
		t.Skip("SNAPCASE_CORPUS names no corpus")
	}
	c := newTestCase(t)
	bringPath(t, c, evidence.KindPcap, filepath.Join(corpus, "pcap"))
	st, err := c.Stats(t.Context())
	must(t, err)
	all := collect(t, c.Packets(t.Context(), PacketQuery{}))
	if int64(len(all)) != st[0].Records || len(all) == 0 {
		t.Errorf("%d frames, stats say %d", len(all), st[0].Records)
	}
	for i := range all {
		raw, err := c.Raw(t.Context(), all[i].Record)
		must(t, err)
		if int64(len(raw)) != all[i].Captured {
			t.Errorf("%s: %d bytes, %d were captured", all[i].Record, len(raw), all[i].Captured)
		}
	}
	q, err := c.ask(t.Context())
	must(t, err)
	defer q.end()
	n, _, err := q.number(t.Context(), "SELECT sum(packets) FROM conversations")
	must(t, err)
	if n != st[0].Records {
		t.Errorf("conversations hold %d frames of %d", n, st[0].Records)
	}
	for _, g := range st[0].Gaps {
		if !strings.Contains(g.Place, "INDEX.md") {
			t.Errorf("gap %+v", g)
		}
	}
}
