package netcap

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// captures are the public captures, or the test is skipped.
func captures(t testing.TB) []string {
	t.Helper()
	dir := os.Getenv("SNAPCASE_CORPUS")
	if dir == "" {
		t.Skip("needs SNAPCASE_CORPUS, a folder of public captures")
	}
	var files []string
	err := filepath.WalkDir(filepath.Join(dir, "pcap"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(filepath.Ext(path), ".pcap") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

var tsharkFields = []string{
	"frame.number", "frame.time_epoch", "frame.len", "frame.cap_len", "frame.protocols", "vxlan.vni",
	"ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "ip.proto", "ip.len", "ip.hdr_len", "ip.frag_offset",
	"tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport",
	"icmp.type", "icmp.code", "icmp.ident", "icmp.seq", "icmpv6.type", "icmpv6.code", "icmpv6.echo.identifier", "icmpv6.echo.sequence_number",
	"dns.qry.name", "dns.qry.type", "dns.a", "dns.aaaa", "dns.cname", "tls.handshake.extensions_server_name", "http.host", "ipv6.plen",
}

// tshark reads the fields of each frame, as lists.
func tshark(t testing.TB, path string) []map[string][]string {
	t.Helper()
	bin, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("needs tshark")
	}
	args := []string{"-n", "-r", path, "-T", "fields", "-E", "separator=/t", "-E", "occurrence=a", "-E", "aggregator=|"}
	for _, o := range []string{"ip.defragment", "ipv6.defragment", "tcp.desegment_tcp_streams", "tcp.analyze_sequence_numbers"} {
		args = append(args, "-o", o+":FALSE")
	}
	for _, f := range tsharkFields {
		args = append(args, "-e", f)
	}
	out, err := exec.Command(bin, args...).Output()
	if err != nil {
		t.Logf("tshark %s: %v", path, err)
	}
	var frames []map[string][]string
	for line := range strings.Lines(string(out)) {
		values := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		m := map[string][]string{}
		for i, f := range tsharkFields {
			if values[i] != "" {
				m[f] = strings.Split(values[i], "|")
			}
		}
		frames = append(frames, m)
	}
	return frames
}

// lineOfTshark says of a frame what lineOf says of a record. tshark looks
// further than this package: into GRE and Geneve, into what errors quote. Of
// its layers, those count that are reached through VXLAN alone.
func lineOfTshark(m map[string][]string) string {
	at := func(field string, i int) string {
		if i >= 0 && i < len(m[field]) {
			return m[field][i]
		}
		return ""
	}
	layers := strings.Split(at("frame.protocols", 0), ":")
	if i := slices.IndexFunc(layers, func(l string) bool { return l == "gre" || l == "geneve" || l == "fr" }); i >= 0 {
		layers = layers[:i]
	}
	if i := slices.IndexFunc(layers, func(l string) bool { return l == "icmp" || l == "icmpv6" }); i >= 0 {
		layers = layers[:i+1]
	}
	last := func(l string) bool {
		return slices.Contains(layers[min(len(layers), 1+lastIndex(layers, "vxlan")):], l)
	}
	count := func(l string) (n int) {
		for _, x := range layers {
			if x == l {
				n++
			}
		}
		return n
	}
	inner := ""
	for _, ip := range []string{"ip", "ipv6"} {
		if last(ip) {
			inner = ip
		}
	}
	index := count(inner) - 1
	var ports, icmp, dns, sni, host string
	switch {
	case last("udp"):
		ports = at("udp.srcport", count("udp")-1) + ">" + at("udp.dstport", count("udp")-1)
	case last("tcp"):
		ports = at("tcp.srcport", 0) + ">" + at("tcp.dstport", 0)
		sni, host = at("tls.handshake.extensions_server_name", 0), at("http.host", 0)
	}
	switch {
	case last("icmp"):
		icmp = tsharkEcho(at("icmp.type", 0), at("icmp.code", 0), at("icmp.ident", 0), at("icmp.seq", 0))
		if n, err := strconv.Atoi(at("ip.len", index)); err == nil && inner == "ip" {
			h, _ := strconv.Atoi(at("ip.hdr_len", index))
			icmp += fmt.Sprintf(" %d", max(n-h-8, 0))
		}
	case last("icmpv6"):
		icmp = tsharkEcho(at("icmpv6.type", 0), at("icmpv6.code", 0), at("icmpv6.echo.identifier", 0), at("icmpv6.echo.sequence_number", 0))
	}
	if last("dns") && at("dns.qry.name", 0) != "" {
		ty, _ := strconv.Atoi(at("dns.qry.type", 0))
		answers := slices.Concat(m["dns.a"], m["dns.aaaa"], m["dns.cname"])
		slices.Sort(answers)
		dns = at("dns.qry.name", 0) + " " + dnsType(uint16(ty)) + " " + strings.Join(answers, ",")
	}
	return fmt.Sprintf("%s len %s cap %s vni %v %s>%s ports %s icmp %s dns %s sni %s host %s", at("frame.time_epoch", 0), at("frame.len", 0), at("frame.cap_len", 0),
		m["vxlan.vni"][:count("vxlan")], at(inner+".src", index), at(inner+".dst", index), ports, icmp, dns, sni, host)
}

func lastIndex(s []string, x string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == x {
			return i
		}
	}
	return -1
}

// tsharkEcho is an ICMP head. tshark shows an id whose seq was cut off.
func tsharkEcho(kind, code, id, seq string) string {
	if id == "" || seq == "" {
		return kind + "/" + code
	}
	return kind + "/" + code + " " + hexOr(id) + " " + hexOr(seq)
}

func hexOr(s string) string {
	n, err := strconv.ParseUint(s, 0, 16)
	if err != nil {
		return s
	}
	return strconv.FormatUint(n, 10)
}

func addr(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

func lineOf(r *Record) string {
	var stamp, ports, icmp, dns string
	p := r.Packet()
	if r.Time.Set {
		stamp = fmt.Sprintf("%d.%09d", r.Time.Sec, r.Time.Nsec)
	}
	if r.HasPorts {
		ports = fmt.Sprintf("%d>%d", r.SrcPort, r.DstPort)
	}
	if i := r.ICMP; i != nil {
		icmp = fmt.Sprintf("%d/%d", i.Type, i.Code)
		if i.Echo {
			icmp += fmt.Sprintf(" %d %d", i.ID, i.Seq)
		}
		if r.Protocol == "icmp" {
			icmp += fmt.Sprintf(" %d", i.PayloadBytes)
		}
	}
	if r.DNS != nil {
		answers := slices.Clone(r.DNS.Answers)
		slices.Sort(answers)
		dns = r.DNS.Name + " " + r.DNS.Type + " " + strings.Join(answers, ",")
	}
	vnis := []string{}
	for _, v := range r.VNIs {
		vnis = append(vnis, fmt.Sprint(v))
	}
	return fmt.Sprintf("%s len %d cap %d vni %v %s>%s ports %s icmp %s dns %s sni %s host %s", stamp, r.Length, r.Captured,
		vnis, addr(p.Src), addr(p.Dst), ports, icmp, dns, r.SNI, r.Host)
}

// compare compares every frame of a capture with tshark, field by field.
func compare(t *testing.T, path string) (frames int) {
	t.Helper()
	theirs := slices.DeleteFunc(tshark(t, path), func(m map[string][]string) bool { // tshark counts custom blocks as frames
		return m["frame.protocols"][0] == "data" && len(m["frame.time_epoch"]) == 0
	})
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for r, err := range Read(f) {
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if n == len(theirs) {
			t.Fatalf("%s: tshark has %d frames", path, n)
		}
		if want, got := lineOfTshark(theirs[n]), lineOf(&r); want != got && theirs[n]["frame.protocols"][0][:2] != "fr" {
			t.Errorf("%s frame %d: %v\n got %s\nwant %s", path, r.N, theirs[n]["frame.protocols"], got, want)
		}
		n++
		frames++
	}
	if n != len(theirs) {
		t.Errorf("%s: %d frames, tshark has %d", path, n, len(theirs))
	}
	return frames
}

func TestTsharkCorpus(t *testing.T) {
	frames := 0
	for _, path := range captures(t) {
		if filepath.Base(path) != "large.pcap" {
			frames += compare(t, path)
		}
	}
	t.Logf("%d frames compared", frames)
}

// TestTsharkMade compares the captures that these tests make.
func TestTsharkMade(t *testing.T) {
	dir := t.TempDir()
	for link, frames := range linkFrames() {
		path := filepath.Join(dir, fmt.Sprintf("link-%d.pcap", link))
		if err := os.WriteFile(path, makePcap(binary.BigEndian, true, link, frames), 0o600); err != nil {
			t.Fatal(err)
		}
		compare(t, path)
	}
	ng, _ := sampleNG()
	path := filepath.Join(dir, "sections.pcapng")
	if err := os.WriteFile(path, ng, 0o600); err != nil {
		t.Fatal(err)
	}
	compare(t, path)
}
