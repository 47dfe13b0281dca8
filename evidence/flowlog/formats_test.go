package flowlog

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Lines as in the examples of the VPC user guide.
var v2Lines = []string{
	"2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK",
	"2 123456789010 eni-1235b8ca123456789 172.31.9.69 172.31.9.12 49761 3389 6 20 4249 1418530010 1418530070 REJECT OK",
	"2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA",
	"2 123456789010 eni-11111111aaaaaaaaa - - - - - - - 1431280876 1431280934 - SKIPDATA",
	"2 123456789010 eni-1235b8ca123456789 203.0.113.12 172.31.16.139 0 0 1 4 336 1432917027 1432917142 ACCEPT OK",
	"2 123456789010 eni-1235b8ca123456789 2001:db8:1234:a100:8d6e:3477:df66:f105 2001:db8:1234:a102:3304:8879:34cf:4071 34892 22 6 54 8855 1477913708 1477913820 ACCEPT OK",
}

const v5Format = "version vpc-id subnet-id instance-id interface-id account-id type srcaddr dstaddr srcport dstport pkt-srcaddr pkt-dstaddr protocol bytes packets start end action tcp-flags log-status region az-id sublocation-type sublocation-id pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path"

var v5Lines = []string{
	"5 vpc-abcdefab012345678 subnet-aaaaaaaa012345678 i-01234567890123456 eni-1235b8ca123456789 123456789010 IPv4 52.213.180.42 10.0.0.62 43416 5001 52.213.180.42 10.0.0.62 6 568 8 1566848875 1566848933 ACCEPT 2 OK eu-west-1 euw1-az1 - - EC2 - ingress -",
	"5 vpc-abcdefab012345678 subnet-aaaaaaaa012345678 i-01234567890123456 eni-1235b8ca123456789 123456789010 IPv4 10.0.0.62 52.213.180.42 5001 43416 10.0.0.62 52.213.180.42 6 376 7 1566848875 1566848933 ACCEPT 18 OK eu-west-1 euw1-az1 - - - EC2 egress 8",
	"5 vpc-abcdefab012345678 subnet-aaaaaaaa012345678 - eni-1235b8ca123456789 123456789010 - - - - - - - - - - 1566848875 1566848933 - - NODATA eu-west-1 euw1-az1 - - - - - -",
}

// said is what a test says of a record: the fields that are not null.
func said(r Record) string {
	var b strings.Builder
	put := func(name, v string) {
		if v != "" {
			fmt.Fprintf(&b, "%s=%s ", name, v)
		}
	}
	num := func(name string, v int64) {
		if v != Null {
			put(name, fmt.Sprint(v))
		}
	}
	num("v", r.Version)
	put("acct", r.Account)
	put("eni", r.Interface)
	for _, a := range []struct {
		name string
		addr interface {
			IsValid() bool
			String() string
		}
	}{{"src", r.Src}, {"dst", r.Dst}, {"psrc", r.PktSrc}, {"pdst", r.PktDst}} {
		if a.addr.IsValid() {
			put(a.name, a.addr.String())
		}
	}
	num("sport", r.SrcPort)
	num("dport", r.DstPort)
	num("proto", r.Protocol)
	num("pk", r.Packets)
	num("by", r.Bytes)
	put("start", r.Start.String())
	put("end", r.End.String())
	put("action", r.Action)
	put("status", r.Status)
	put("vpc", r.VPC)
	put("subnet", r.Subnet)
	put("i", r.Instance)
	num("flags", r.TCPFlags)
	put("region", r.Region)
	put("dir", r.Direction)
	for _, f := range r.Other {
		put("+"+f.Name, f.Value)
	}
	return strings.TrimSpace(b.String())
}

// item is what one iteration gave.
type item struct {
	rec Record
	bad *BadRecord
}

// all collects what text holds; another error than a bad record fails.
func all(t testing.TB, text, format string) []item {
	t.Helper()
	var out []item
	for r, err := range ReadFormat(strings.NewReader(text), format) {
		var bad *BadRecord
		if err != nil && !errors.As(err, &bad) {
			t.Fatal(err)
		}
		r.Other = append([]Field(nil), r.Other...)
		out = append(out, item{r, bad})
	}
	return out
}

// shown is a line for every item.
func shown(items []item) []string {
	out := []string{}
	for _, it := range items {
		if it.bad != nil {
			out = append(out, fmt.Sprintf("bad %d line %d at %d: %s", it.bad.N, it.bad.Line, it.bad.Offset, it.bad.Reason))
		} else {
			out = append(out, fmt.Sprintf("%d: %s", it.rec.N, said(it.rec)))
		}
	}
	return out
}

func want(t *testing.T, got []item, lines ...string) {
	t.Helper()
	if g := shown(got); !slices.Equal(g, lines) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(g, "\n\t"), strings.Join(lines, "\n\t"))
	}
}

// The same flow in every version of the format, in the order that AWS lists
// the fields or an own one.
func TestVersions(t *testing.T) {
	const flow = "acct=123456789010 eni=eni-1235b8ca123456789 src=172.31.16.139 dst=172.31.16.21 "
	for _, c := range []struct{ name, text, want string }{
		{
			"2", defaultFormat + "\n" + v2Lines[0] + "\n",
			"1: v=2 " + flow + "sport=20641 dport=22 proto=6 pk=20 by=4249 start=2014-12-14T04:06:50Z end=2014-12-14T04:07:50Z action=ACCEPT status=OK",
		},
		{
			"2, IPv6", defaultFormat + "\n" + v2Lines[5] + "\n",
			"1: v=2 acct=123456789010 eni=eni-1235b8ca123456789 src=2001:db8:1234:a100:8d6e:3477:df66:f105 dst=2001:db8:1234:a102:3304:8879:34cf:4071 sport=34892 dport=22 proto=6 pk=54 by=8855 start=2016-10-31T11:35:08Z end=2016-10-31T11:37:00Z action=ACCEPT status=OK",
		},
		{
			"3", "version vpc-id subnet-id instance-id interface-id account-id type srcaddr dstaddr srcport dstport pkt-srcaddr pkt-dstaddr protocol bytes packets start end action tcp-flags log-status\n" +
				"3 vpc-abcdefab012345678 subnet-aaaaaaaa012345678 i-01234567890123456 eni-1235b8ca123456789 123456789010 IPv4 52.213.180.42 10.0.0.62 43416 5001 52.213.180.42 10.0.0.62 6 568 8 1566848875 1566848933 ACCEPT 2 OK\n",
			"1: v=3 acct=123456789010 eni=eni-1235b8ca123456789 src=52.213.180.42 dst=10.0.0.62 psrc=52.213.180.42 pdst=10.0.0.62 sport=43416 dport=5001 proto=6 pk=8 by=568 start=2019-08-26T19:47:55Z end=2019-08-26T19:48:53Z action=ACCEPT status=OK vpc=vpc-abcdefab012345678 subnet=subnet-aaaaaaaa012345678 i=i-01234567890123456 flags=2 +type=IPv4",
		},
		{
			"3, NAT gateway", "instance-id interface-id srcaddr dstaddr pkt-srcaddr pkt-dstaddr\n- eni-1235b8ca123456789 10.0.1.5 10.0.0.220 10.0.1.5 203.0.113.5\n",
			"1: eni=eni-1235b8ca123456789 src=10.0.1.5 dst=10.0.0.220 psrc=10.0.1.5 pdst=203.0.113.5",
		},
		{
			"4", "region az-id sublocation-type sublocation-id version bytes log-status\nus-east-1 use1-wl1-bos-wlz1 wavelength us-east-1-wl1-bos-wlz-1 4 0 OK\n",
			"1: v=4 by=0 status=OK region=us-east-1 +az-id=use1-wl1-bos-wlz1 +sublocation-type=wavelength +sublocation-id=us-east-1-wl1-bos-wlz-1",
		},
		{
			"5", v5Format + "\n" + v5Lines[1] + "\n",
			"1: v=5 acct=123456789010 eni=eni-1235b8ca123456789 src=10.0.0.62 dst=52.213.180.42 psrc=10.0.0.62 pdst=52.213.180.42 sport=5001 dport=43416 proto=6 pk=7 by=376 start=2019-08-26T19:47:55Z end=2019-08-26T19:48:53Z action=ACCEPT status=OK vpc=vpc-abcdefab012345678 subnet=subnet-aaaaaaaa012345678 i=i-01234567890123456 flags=18 region=eu-west-1 dir=egress +type=IPv4 +az-id=euw1-az1 +pkt-dst-aws-service=EC2 +traffic-path=8",
		},
		{
			"6, transit gateway", "version resource-type account-id tgw-id tgw-attachment-id tgw-src-vpc-account-id tgw-dst-vpc-account-id tgw-src-vpc-id tgw-dst-vpc-id srcaddr dstaddr srcport dstport protocol packets bytes start end log-status type packets-lost-no-route tcp-flags region flow-direction\n" +
				"6 TransitGateway 123456789012 tgw-0d74ce26b8e0a9d9d tgw-attach-0d74ce 123456789012 - vpc-0aa - 10.0.0.1 10.1.0.2 40000 443 6 10 1000 1655400000 1655400060 OK IPv4 3 25 us-east-1 ingress\n",
			"1: v=6 acct=123456789012 src=10.0.0.1 dst=10.1.0.2 sport=40000 dport=443 proto=6 pk=10 by=1000 start=2022-06-16T17:20:00Z end=2022-06-16T17:21:00Z status=OK flags=25 region=us-east-1 dir=ingress +resource-type=TransitGateway +tgw-id=tgw-0d74ce26b8e0a9d9d +tgw-attachment-id=tgw-attach-0d74ce +tgw-src-vpc-account-id=123456789012 +tgw-src-vpc-id=vpc-0aa +type=IPv4 +packets-lost-no-route=3",
		},
		{
			"7", defaultFormat + " ecs-cluster-arn ecs-cluster-name ecs-container-instance-arn ecs-container-instance-id ecs-container-id ecs-second-container-id ecs-service-name ecs-task-definition-arn ecs-task-arn ecs-task-id\n" +
				"7" + v2Lines[0][1:] + " arn:aws:ecs:us-east-1:123456789010:cluster/c1 c1 - - 0a1b - srcaddr arn:aws:ecs:us-east-1:123456789010:task-definition/t:1 arn:aws:ecs:us-east-1:123456789010:task/c1/9f 9f\n",
			"1: v=7 " + flow + "sport=20641 dport=22 proto=6 pk=20 by=4249 start=2014-12-14T04:06:50Z end=2014-12-14T04:07:50Z action=ACCEPT status=OK +ecs-cluster-arn=arn:aws:ecs:us-east-1:123456789010:cluster/c1 +ecs-cluster-name=c1 +ecs-container-id=0a1b +ecs-service-name=srcaddr +ecs-task-definition-arn=arn:aws:ecs:us-east-1:123456789010:task-definition/t:1 +ecs-task-arn=arn:aws:ecs:us-east-1:123456789010:task/c1/9f +ecs-task-id=9f",
		},
		{
			"8", "srcaddr dstaddr action reject-reason version\n10.0.0.1 10.0.0.2 REJECT BPA 8\n",
			"1: v=8 src=10.0.0.1 dst=10.0.0.2 action=REJECT +reject-reason=BPA",
		},
		{
			"10", "encryption-status srcaddr dstaddr srcport dstport protocol traffic-path flow-direction reject-reason resource-id\n1 10.0.0.1 10.0.0.2 1 2 17 8 egress - rid\n",
			"1: src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 proto=17 dir=egress +encryption-status=1 +traffic-path=8 +resource-id=rid",
		},
		{
			"11 and names of tomorrow", "version srcaddr dstaddr interface-type instance-tag asg-tag next-hop-id brand-new\n11 10.0.0.1 10.0.0.2 nat_gateway Prod=Ä - nh-1 x\n",
			"1: v=11 src=10.0.0.1 dst=10.0.0.2 +interface-type=nat_gateway +instance-tag=Prod=Ä +next-hop-id=nh-1 +brand-new=x",
		},
		{
			"names as Parquet spells them", "pkt_srcaddr tcp_flags log_status az_id account_id\n10.9.8.7 19 OK use1-az1 unknown\n",
			"1: acct=unknown psrc=10.9.8.7 status=OK flags=19 +az_id=use1-az1",
		},
	} {
		t.Run(c.name, func(t *testing.T) { want(t, all(t, c.text, ""), c.want) })
	}
}

func TestNoDataAndSkipData(t *testing.T) {
	for _, text := range []string{defaultFormat + "\n" + v2Lines[2] + "\n" + v2Lines[3] + "\n", v2Lines[2] + "\n" + v2Lines[3] + "\n"} {
		want(t, all(t, text, ""),
			"1: v=2 acct=123456789010 eni=eni-1235b8ca123456789 start=2015-05-10T18:01:16Z end=2015-05-10T18:02:14Z status=NODATA",
			"2: v=2 acct=123456789010 eni=eni-11111111aaaaaaaaa start=2015-05-10T18:01:16Z end=2015-05-10T18:02:14Z status=SKIPDATA")
	}
}

// Fields of one header leave nothing behind under the next.
func TestJoinedFiles(t *testing.T) {
	text := defaultFormat + "\r\n" + v2Lines[0] + "\r\n\r\n  \t\n" +
		"\xef\xbb\xbfdstaddr srcaddr type\n10.0.0.2 10.0.0.1 IPv4\n" +
		"srcaddr dstaddr\n10.0.0.3 -\n"
	got := all(t, text, "")
	want(t, got,
		"1: v=2 acct=123456789010 eni=eni-1235b8ca123456789 src=172.31.16.139 dst=172.31.16.21 sport=20641 dport=22 proto=6 pk=20 by=4249 start=2014-12-14T04:06:50Z end=2014-12-14T04:07:50Z action=ACCEPT status=OK",
		"2: src=10.0.0.1 dst=10.0.0.2 +type=IPv4",
		"3: src=10.0.0.3")
	for i, line := range []int64{2, 6, 8} {
		if r := got[i].rec; r.Line != line {
			t.Errorf("record %d on line %d, want %d", r.N, r.Line, line)
		}
	}
	if r := got[0].rec; text[r.Offset:r.Offset+r.Length] != v2Lines[0] {
		t.Errorf("place %d+%d", r.Offset, r.Length)
	}
}

func TestNoHeader(t *testing.T) {
	bad := func(reason string) string { return "bad 1 line 1 at 0: " + reason }
	for text, expect := range map[string]string{
		strings.Replace(v2Lines[0], "2 ", "3 ", 1):            bad("no header, and not the default format: the version is not 2"),
		strings.Replace(v2Lines[0], "ACCEPT OK", "OK -", 1):   bad(`no header, and not the default format: action "OK"`),
		strings.Replace(v2Lines[0], "ACCEPT OK", "- FINE", 1): bad(`no header, and not the default format: status "FINE"`),
		v2Lines[0] + " x":                           bad("15 fields and no header; the default format has 14"),
		"Permission Check Successful":               bad("3 fields and no header; the default format has 14"),
		"a b c srcaddr":                             bad("4 fields and no header; the default format has 14"),
		"2014-12-14T04:06:50Z " + v2Lines[0] + " x": bad("16 fields and no header; the default format has 14"),
		"2014-12-14T04:06:50+01:00 " + v2Lines[0]:   bad("15 fields and no header; the default format has 14"),
		"2014-12-14T04:06:50.Z " + v2Lines[0]:       bad("15 fields and no header; the default format has 14"),
		"2014-12-14T04:06:50.1x3Z " + v2Lines[0]:    bad("15 fields and no header; the default format has 14"),
		"2014-12-14T04:06:50.000Z " + v2Lines[4]:    "1: v=2 acct=123456789010 eni=eni-1235b8ca123456789 src=203.0.113.12 dst=172.31.16.139 sport=0 dport=0 proto=1 pk=4 by=336 start=2015-05-29T16:30:27Z end=2015-05-29T16:32:22Z action=ACCEPT status=OK +timestamp=2014-12-14T04:06:50.000Z",
		"2014-12-14T04:06:50Z " + v2Lines[2]:        "1: v=2 acct=123456789010 eni=eni-1235b8ca123456789 start=2015-05-10T18:01:16Z end=2015-05-10T18:02:14Z status=NODATA +timestamp=2014-12-14T04:06:50Z",
	} {
		want(t, all(t, text+"\n", ""), expect)
	}
}

func TestReadFormat(t *testing.T) {
	const line = "10.0.0.1 10.0.0.2 5 - 443\n"
	const expect = "1: v=5 src=10.0.0.1 dst=10.0.0.2 dport=443"
	for _, format := range []string{
		"${srcaddr} ${dstaddr} ${version} ${bytes} ${dstport}",
		"srcaddr dstaddr version bytes dstport",
		" srcaddr,dstaddr,\n${version}\tbytes  dstport ",
	} {
		want(t, all(t, line, format), expect)
		want(t, all(t, "2026-01-02T03:04:05.678Z "+line, format), expect+" +timestamp=2026-01-02T03:04:05.678Z")
		want(t, all(t, "x "+line+"dstaddr\n10.0.0.9\n", format),
			"bad 1 line 1 at 0: 6 fields where the given format has 5", "2: dst=10.0.0.9")
	}
	want(t, all(t, v2Lines[2]+"\n", " "), "1: v=2 acct=123456789010 eni=eni-1235b8ca123456789 start=2015-05-10T18:01:16Z end=2015-05-10T18:02:14Z status=NODATA")
	for format, reason := range map[string]string{
		"srcaddr srcaddr":          "it names srcaddr twice",
		"tcp-flags tcp_flags":      "it names tcp-flags twice",
		"srcaddr ${dstaddr":        `"${dstaddr" is no name of a field`,
		"srcaddr -":                `"-" is no name of a field`,
		"srcaddr \x1b[31m":         `"\x1b[31m" is no name of a field`,
		"${}":                      `"${}" is no name of a field`,
		numbered("f", maxFields+1): "it has more than the 256 fields that are read",
	} {
		n := 0
		for _, err := range ReadFormat(strings.NewReader(line), format) {
			if n++; !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), reason) {
				t.Errorf("%.40q: %v", format, err)
			}
		}
		if n != 1 {
			t.Errorf("%.40q: %d iterations", format, n)
		}
	}
}

// numbered is n names.
func numbered(name string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s%d ", name, i)
	}
	return b.String()
}

// pack makes gzip, one member for each part.
func pack(t testing.TB, parts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, part := range parts {
		z := gzip.NewWriter(&b)
		if _, err := z.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestGzipMembersAreOneText(t *testing.T) {
	text := defaultFormat + "\n" + strings.Join(v2Lines, "\n") + "\n"
	plain := shown(all(t, text, ""))
	for _, cut := range []int{0, 1, len(defaultFormat), 300, len(text)} {
		got := all(t, string(pack(t, text[:cut], text[cut:])), "")
		if g := shown(got); !reflect.DeepEqual(g, plain) {
			t.Errorf("cut at %d: %q", cut, g)
		}
	}
}

func TestProtocolName(t *testing.T) {
	for n, name := range map[int64]string{Null: "", 0: "0", 1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 47: "47"} {
		if got := ProtocolName(n); got != name {
			t.Errorf("%d: %q", n, got)
		}
	}
}

// Strings outlive the walk, and repeated ones are one.
func TestStringsMayBeKept(t *testing.T) {
	var kept []Record
	text := manyLines(v5Format, v5Lines, 30_000)
	for r, err := range Read(bytes.NewReader(text)) {
		if err != nil {
			t.Fatal(err)
		}
		r.Other = nil
		kept = append(kept, r)
	}
	first, err := json.Marshal(kept[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(kept); i += 3 {
		r := kept[i]
		r.N, r.Line, r.Offset = kept[0].N, kept[0].Line, kept[0].Offset
		if got, _ := json.Marshal(r); !bytes.Equal(got, first) {
			t.Fatalf("record %d: %s", kept[i].N, got)
		}
	}
}
