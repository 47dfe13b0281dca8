package intel

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
)

// read gives a list as text: entries as "N what [from] [until]", others as
// "N bad".
func read(t testing.TB, s string) (out []string) {
	t.Helper()
	for e, err := range Read(strings.NewReader(s)) {
		var bad *BadEntry
		switch {
		case errors.As(err, &bad):
			out = append(out, fmt.Sprintf("%d bad", bad.N))
		case err != nil:
			out = append(out, "error")
		default:
			line := fmt.Sprintf("%d %s", e.N, e.Name)
			if e.Prefix.IsValid() {
				line = fmt.Sprintf("%d %s", e.N, e.Prefix)
			}
			if e.From.Set {
				line += " " + e.From.String()
			}
			if e.Until.Set {
				line += " to " + e.Until.String()
			}
			out = append(out, line)
		}
	}
	return out
}

func TestRead(t *testing.T) {
	for _, c := range []struct{ what, list, want string }{
		{"plain", "# list\n203.0.113.7\n\n198.51.100.0/24 ; SBL1\n2001:DB8::1\nevil.example. # c2\n203.0.113[.]9\n203.0.113.8:443\n[2001:db8::2]:443\n::ffff:203.0.113.6\n198.51.100.77/24\n", "2 203.0.113.7/32|4 198.51.100.0/24|5 2001:db8::1/128|6 evil.example|7 203.0.113.9/32|8 203.0.113.8/32|9 2001:db8::2/128|10 203.0.113.6/32|11 198.51.100.0/24"},
		{"not an entry", "nonsense\n0.0.0.0/0\n10.0.0.0/7\n203.0.113.7\n300.1.1.1\n", "1 bad|2 bad|3 bad|4 203.0.113.7/32|5 bad"},
		{"hosts", "127.0.0.1 evil.example\n0.0.0.0 Worse.Example\n127.0.0.1\n", "1 evil.example|2 worse.example|3 127.0.0.1/32"},
		{"CRLF and BOM, no end", "\xef\xbb\xbf203.0.113.7\r\n203.0.113.8", "1 203.0.113.7/32|2 203.0.113.8/32"},
		{"CSV with names in a remark", "####\n# first_seen_utc,dst_ip,dst_port,c2_status\n\"2020-01-02 03:04:05\",\"203.0.113.7\",\"443\",\"online\"\n", "3 203.0.113.7/32 2020-01-02T03:04:05Z"},
		{"CSV with names", "id;IP;valid_until\n1;203.0.113.7;2021-01-01\n2;x;\n3\n", "2 203.0.113.7/32 to 2021-01-01T00:00:00Z|3 bad|4 bad"},
		{"CSV without names", "2020-01-02,203.0.113.7,\"a, b\"\nx,y\n", "1 203.0.113.7/32|2 bad"},
		{"one named column", "domain\nevil.example\n", "2 evil.example"},
		{"a sentence in a remark", "# by us, the host, and you\n203.0.113.7\n", "2 203.0.113.7/32"},
		{"long line", strings.Repeat("a", 100_000) + "\n203.0.113.7\n", "1 bad|2 203.0.113.7/32"},
		{"empty", "", ""},
		{"STIX", `{"type":"bundle","objects":[{"type":"identity","name":"x"},
			{"type":"indicator","pattern_type":"stix","pattern":"[ipv4-addr:value = '203.0.113.7' OR ipv6-addr:value='2001:db8::1']","valid_from":"2020-01-01T00:00:00Z","valid_until":"2020-02-01T00:00:00.5Z"},
			{"type":"indicator","pattern":"[ipv4-addr:value ISSUBSET '198.51.100.0/24']"},
			{"type":"indicator","pattern":"[ipv4-addr:value = '203.0.113.8' AND network-traffic:dst_port = 443]"},
			{"type":"indicator","pattern":"[ipv4-addr:value != '203.0.113.9']"},
			{"type":"indicator","revoked":true,"pattern":"[ipv4-addr:value = '203.0.113.10']"},
			{"type":"indicator","pattern":"[file:name = 'ipv4-addr:value AND x']"},
			{"type":"indicator","pattern_type":"yara","pattern":"ipv4-addr:value = '203.0.113.11'"},
			{"type":"indicator","pattern":"[domain-name:value = 'evil.example']"}]}`, "1 203.0.113.7/32 2020-01-01T00:00:00Z to 2020-02-01T00:00:00.5Z|1 2001:db8::1/128 2020-01-01T00:00:00Z to 2020-02-01T00:00:00.5Z|2 198.51.100.0/24|3 bad|4 bad|8 evil.example"},
		{"MISP", `{"response":[{"Event":{"Attribute":[{"type":"ip-dst","value":"203.0.113.7","timestamp":"1577836800"},{"type":"ip-dst|port","value":"203.0.113.8|443","first_seen":"2020-01-02T00:00:00+00:00"},{"type":"md5","value":"x"},{"type":"ip-src","value":"nope"},{"type":"ip-src","value":"203.0.113.9","deleted":true}],
			"Object":[{"Attribute":[{"type":"domain|ip","value":"evil.example|203.0.113.10"}]}]}}]}`, "1 203.0.113.7/32 2020-01-01T00:00:00Z|2 203.0.113.8/32 2020-01-02T00:00:00Z|4 bad|6 evil.example|6 203.0.113.10/32"},
		{"JSON of another kind", `{"a":1}`, "error"},
		{"JSON that is cut", `{"type":"bundle","objects":[`, "error"},
		{"a list of one indicator", `[{"type":"indicator","pattern":"[ipv4-addr:value = '203.0.113.7']"}]`, "1 203.0.113.7/32"},
	} {
		t.Run(c.what, func(t *testing.T) {
			if got := strings.Join(read(t, c.list), "|"); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestAgainstPython holds the networks of a list against Python's ipaddress.
func TestAgainstPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3")
	}
	lines := []string{"203.0.113.7", "198.51.100.77/20", "2001:db8::ff/33", "::ffff:1.2.3.4", "1.2.3.4/32", "256.1.1.1", "1.2.3", "::1", "fe80::/10", "1.2.3.4/33", "01.2.3.4", "2001:db8:::1"}
	c := exec.Command(python, "-c", `import sys,ipaddress
for l in sys.stdin:
  try:
    n=ipaddress.ip_network(l.strip(),strict=False)
    a=n.network_address
    print(f"{a.ipv4_mapped}/{n.prefixlen-96}" if n.version==6 and a.ipv4_mapped else n)
  except ValueError: print("bad")`)
	c.Stdin = strings.NewReader(strings.Join(lines, "\n"))
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range strings.Fields(string(out)) {
		got := "bad"
		if e, err := parse(lines[i]); err == nil && e.Prefix.IsValid() {
			got = e.Prefix.String()
		}
		if got != want {
			t.Errorf("%s: %s, Python says %s", lines[i], got, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("203.0.113.7\n#a,ip\n")
	f.Add("ip,first_seen\n203.0.113.7,2020-01-01\n")
	f.Add(`{"type":"bundle","objects":[{"type":"indicator","pattern":"[ipv4-addr:value = '203.0.113.7']"}]}`)
	f.Add(`{"Event":{"Attribute":[{"type":"ip-dst|port","value":"203.0.113.8|443","timestamp":1}]}}`)
	f.Fuzz(func(t *testing.T, s string) {
		for e, err := range Read(strings.NewReader(s)) {
			if err != nil {
				continue
			}
			if (e.Name == "") == (e.Prefix == netip.Prefix{}) || e.N < 1 || e.Prefix.IsValid() && e.Prefix.Bits() < widest {
				t.Fatalf("%+v", e)
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	var s strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&s, "10.%d.%d.%d\n", i>>16, i>>8&255, i&255)
	}
	b.SetBytes(int64(s.Len()))
	for b.Loop() {
		for range Read(strings.NewReader(s.String())) { //nolint:revive // reads
		}
	}
}
