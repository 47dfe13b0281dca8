package netcap

import (
	"errors"
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
	for _, o := range []string{"ip.defragment", "ipv6.defragment", "tcp.desegment_tcp_streams"} {
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

// lineOfTshark says of a frame what lineOf says of a record.
func lineOfTshark(m map[string][]string) string {
	at := func(field string, i int) string {
		if i >= 0 && i < len(m[field]) {
			return m[field][i]
		}
		return ""
	}
	layers := strings.Split(at("frame.protocols", 0), ":")
	// The innermost packet that is reached through VXLAN alone.
	vnis, v4, v6, udp, quoted := 0, 0, 0, 0, false
	inner, index, inner4, inner6 := "", 0, 0, 0
	for _, l := range layers {
		switch l {
		case "vxlan":
			vnis, inner = vnis+1, ""
		case "gre", "geneve", "icmp", "icmpv6", "ipip":
			quoted = true
		case "ip":
			if inner == "" {
				inner, index, inner4 = "ip", v4, v4
			}
			v4++
		case "ipv6":
			if inner == "" {
				inner, index, inner6 = "ipv6", v6, v6
			}
			v6++
		case "udp":
			udp++
		}
		if quoted {
			break
		}
	}
	_ = inner4
	_ = inner6
	src, dst := at(inner+".src", index), at(inner+".dst", index)
	var ports, icmp string
	switch {
	case udp > vnis:
		ports = at("udp.srcport", vnis) + ">" + at("udp.dstport", vnis)
	case slices.Contains(layers, "tcp") && !slices.Contains(layers, "geneve") && !slices.Contains(layers, "gre"):
		ports = at("tcp.srcport", 0) + ">" + at("tcp.dstport", 0)
	}
	own := func(l string) bool {
		i := slices.Index(layers, l)
		return i > 0 && (layers[i-1] == inner || strings.HasPrefix(layers[i-1], "ipv6.")) && !slices.Contains(layers[:i], "geneve") && !slices.Contains(layers[:i], "gre")
	}
	switch {
	case own("icmp"):
		icmp = fmt.Sprintf("%s/%s", at("icmp.type", 0), at("icmp.code", 0))
		if ty := at("icmp.type", 0); ty == "0" || ty == "8" {
			icmp += fmt.Sprintf(" %s %s", hexOr(at("icmp.ident", 0)), at("icmp.seq", 0))
		}
		if n, err := strconv.Atoi(at("ip.len", index)); err == nil && inner == "ip" {
			h, _ := strconv.Atoi(at("ip.hdr_len", index))
			icmp += fmt.Sprintf(" %d", max(n-h-8, 0))
		}
	case own("icmpv6"):
		icmp = fmt.Sprintf("%s/%s", at("icmpv6.type", 0), at("icmpv6.code", 0))
		if ty := at("icmpv6.type", 0); ty == "128" || ty == "129" {
			icmp += fmt.Sprintf(" %s %s", hexOr(at("icmpv6.echo.identifier", 0)), at("icmpv6.echo.sequence_number", 0))
			icmp += " " + at("ipv6.plen", index) + "-8"
		}
	}
	var dns string
	if slices.Contains(layers, "dns") && !quoted && at("dns.qry.name", 0) != "" {
		ty, _ := strconv.Atoi(at("dns.qry.type", 0))
		answers := slices.Concat(m["dns.a"], m["dns.aaaa"], m["dns.cname"])
		slices.Sort(answers)
		dns = at("dns.qry.name", 0) + " " + dnsType(uint16(ty)) + " " + strings.Join(answers, ",")
	}
	stamp := at("frame.time_epoch", 0)
	return fmt.Sprintf("%s len %s cap %s vni %v %s>%s ports %s icmp %s dns %s sni %s host %s", stamp, at("frame.len", 0), at("frame.cap_len", 0),
		m["vxlan.vni"], src, dst, ports, icmp, dns, at("tls.handshake.extensions_server_name", 0), at("http.host", 0))
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
		switch {
		case r.Protocol == "icmp":
			icmp += fmt.Sprintf(" %d", i.PayloadBytes)
		case i.Echo:
			icmp += fmt.Sprintf(" %d-8", i.PayloadBytes+8)
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

// TestTshark compares every frame of the public captures, field by field.
func TestTshark(t *testing.T) {
	frames, same := 0, 0
	for _, path := range captures(t) {
		if filepath.Base(path) == "large.pcap" {
			continue
		}
		theirs := tshark(t, path)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for r, err := range Read(f) {
			var bad *BadFrame
			if errors.As(err, &bad) {
				t.Errorf("%s: %v", path, bad)
				continue
			} else if err != nil {
				t.Fatal(err)
			}
			for n < len(theirs) && theirs[n]["frame.protocols"][0] == "data" && len(theirs[n]["frame.time_epoch"]) == 0 {
				n++
			}
			if n >= len(theirs) {
				t.Errorf("%s: tshark has %d frames", path, len(theirs))
				break
			}
			frames++
			if want, got := lineOfTshark(theirs[n]), lineOf(&r); want != got {
				t.Errorf("%s frame %d: %v\n got %s\nwant %s", path, r.N, theirs[n]["frame.protocols"], got, want)
			} else {
				same++
			}
			n++
		}
		f.Close()
	}
	t.Logf("%d of %d frames are the same", same, frames)
}
