package flowlog

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

const (
	head2 = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
	line2 = "2 123456789012 eni-0a 10.0.0.5 198.51.100.7 0 0 1 40 60000 1790000000 1790000060 ACCEPT OK"
)

func packed(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, s); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// summary is what a file gives: "1 10.0.0.5>198.51.100.7 icmp 40" or "2 bad: reason".
func summary(seq func(func(Record, error) bool)) string {
	var out []string
	for r, err := range seq {
		var bad *BadRecord
		switch {
		case errors.As(err, &bad):
			out = append(out, fmt.Sprintf("%d bad: %s", bad.N, bad.Reason))
		case err != nil:
			out = append(out, "failed: "+err.Error())
		default:
			out = append(out, fmt.Sprintf("%d %s>%s %s %d %s", r.N, r.Src, r.Dst, ProtocolName(r.Protocol), r.Packets, r.Status))
		}
	}
	return strings.Join(out, "\n")
}

func TestFormats(t *testing.T) {
	v5 := head2 + " vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id sublocation-type sublocation-id pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path"
	for _, c := range []struct{ name, text, want string }{
		{"version 2", head2 + "\n" + line2 + "\n", "1 10.0.0.5>198.51.100.7 icmp 40 OK"},
		{"no header", line2 + "\n" + line2, "1 10.0.0.5>198.51.100.7 icmp 40 OK\n2 10.0.0.5>198.51.100.7 icmp 40 OK"},
		{"export with a time", "2026-09-21T14:13:20.000Z " + line2 + "\n", "1 10.0.0.5>198.51.100.7 icmp 40 OK"},
		{"nothing", "", ""},
		{"header alone", head2 + "\n", ""},
		{"CRLF and a mark", "\ufeff" + head2 + "\r\n" + line2 + "\r\n\r\n", "1 10.0.0.5>198.51.100.7 icmp 40 OK"},
		{"other order", "dstaddr srcaddr protocol packets\n192.0.2.1 192.0.2.2 6 7\n", "1 192.0.2.2>192.0.2.1 tcp 7 "},
		{"spelled otherwise", "${srcaddr} ${dst_addr} dstaddr protocol\n192.0.2.1 x 192.0.2.2 17\n", "1 192.0.2.1>192.0.2.2 udp -1 "},
		{"two headers", head2 + "\n" + line2 + "\nsrcaddr dstaddr\n::1 ::2\n", "1 10.0.0.5>198.51.100.7 icmp 40 OK\n2 ::1>::2  -1 "},
		{"version 5", v5 + "\n5 1 eni-0a 10.0.0.5 1.1.1.1 40000 443 6 1 52 1 2 ACCEPT OK vpc-1 subnet-1 i-1 2 IPv4 10.0.0.6 1.1.1.1 eu-west-1 euw1-az1 - - - CLOUDFLARE egress 8\n", "1 10.0.0.5>1.1.1.1 tcp 1 OK"},
		{"no data", head2 + "\n2 1 eni-0a - - - - - - - 1790000000 1790000060 - NODATA\n2 1 eni-0a - - - - - - - 1 2 - SKIPDATA", "1 invalid IP>invalid IP  -1 NODATA\n2 invalid IP>invalid IP  -1 SKIPDATA"},
		{"too few", head2 + "\n2 1 eni-0a\n" + line2, "1 bad: the line has 3 of the 14 fields of its header\n2 10.0.0.5>198.51.100.7 icmp 40 OK"},
		{"too many", head2 + "\n" + line2 + " more\n", "1 bad: the line has more than the 14 fields of its header"},
		{"no header, other fields", "a b c\n", "1 bad: there is no header line, and 3 fields are not the 14 of version 2"},
		{"no address", strings.Replace(head2+"\n"+line2, "10.0.0.5", "10.0.0.500", 1), `1 bad: srcaddr is "10.0.0.500"`},
		{"negative", strings.Replace(head2+"\n"+line2, " 40 ", " -40 ", 1), `1 bad: packets is "-40"`},
		{"too large", strings.Replace(head2+"\n"+line2, " 40 ", " 9223372036854775808 ", 1), `1 bad: packets is "9223372036854775808"`},
		{"escapes", strings.Replace(head2+"\n"+line2, "40", "\x1b[31m", 1), `1 bad: packets is "\x1b[31m"`},
		{"a line too long", head2 + "\n" + strings.Repeat("x", 3<<20) + "\n" + line2, "1 bad: the line has 3145729 bytes, more than 1048576\n2 10.0.0.5>198.51.100.7 icmp 40 OK"},
	} {
		for _, form := range []struct{ name, text string }{{"plain", c.text}, {"gzip", packed(t, c.text)}, {"two members", packed(t, c.text[:len(c.text)/2]) + packed(t, c.text[len(c.text)/2:])}} {
			if form.text == "" {
				continue
			}
			if got := summary(Read(strings.NewReader(form.text))); got != c.want {
				t.Errorf("%s, %s:\n%s\nwant\n%s", c.name, form.name, got, c.want)
			}
		}
		if got := summary(Read(iotest.OneByteReader(strings.NewReader(c.text)))); got != c.want {
			t.Errorf("%s, byte by byte:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
	if got := summary(ReadFormat(strings.NewReader("6 ::1 ::2\n"), []string{"${protocol}", "srcaddr", "dstaddr"})); got != "1 ::1>::2 tcp -1 " {
		t.Errorf("with a format: %s", got)
	}
}

func TestFields(t *testing.T) {
	text := "tcp-flags az-id pkt-dstaddr flow-direction start instance-id\n18 euw1-az1 ::9 egress 1790000000 i-1\n"
	for r, err := range Read(strings.NewReader(text)) {
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprintln(r.TCPFlags, r.Other, r.PktDst, r.Direction, r.Start, r.Instance, r.End.Set, r.Line, r.Offset, r.Length)
		if want := "18 [{az-id euw1-az1}] ::9 egress 2026-09-21T14:13:20Z i-1 false 2 61 37\n"; got != want {
			t.Errorf("%swant %s", got, want)
		}
	}
}

// TestCut cuts a packed file at every byte: whole lines before the cut, one bad
// record for the rest.
func TestCut(t *testing.T) {
	var text strings.Builder
	text.WriteString(head2 + "\n")
	for i := range 300 {
		fmt.Fprintf(&text, "2 123456789012 eni-%08x 10.0.%d.%d 198.51.100.7 0 0 1 %d 60000 1790000000 1790000060 ACCEPT OK\n", i*2654435761, i/256, i%256, i)
	}
	whole := packed(t, text.String())
	for cut := 3; cut < len(whole); cut += 5 {
		n, bad := int64(0), 0
		for r, err := range Read(strings.NewReader(whole[:cut])) {
			var b *BadRecord
			if errors.As(err, &b) {
				bad++
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if n++; r.N != n || r.Packets != n-1 {
				t.Fatalf("cut at %d: record %d has %d packets", cut, r.N, r.Packets)
			}
		}
		if bad != 1 {
			t.Fatalf("cut at %d of %d: %d records, %d bad", cut, len(whole), n, bad)
		}
	}
	broken := errors.New("the disk is gone")
	got := summary(Read(io.MultiReader(strings.NewReader(head2+"\n"+line2+"\n"), iotest.ErrReader(broken))))
	if !strings.HasSuffix(got, "failed: read flow log: the disk is gone") {
		t.Errorf("%s", got)
	}
}

// TestAWK compares sums by pair of addresses with awk.
func TestAWK(t *testing.T) {
	if _, err := exec.LookPath("awk"); err != nil {
		t.Skip("needs awk")
	}
	var text strings.Builder
	text.WriteString(head2 + "\n")
	for i := range 5000 {
		fmt.Fprintf(&text, "2 1 eni-0a 10.0.0.%d 192.0.2.%d %d 443 6 %d %d 1790000000 1790000060 ACCEPT OK\n", i%7, i%11, i%60000, i%13, i*37%10007)
	}
	file := filepath.Join(t.TempDir(), "flow.log")
	if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("awk", `NR>1 {p[$4" "$5]+=$9; b[$4" "$5]+=$10} END {for (k in p) print k, p[k], b[k]}`, file).Output()
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string][2]int64{}
	for r, err := range Read(strings.NewReader(text.String())) {
		if err != nil {
			t.Fatal(err)
		}
		k := r.Src.String() + " " + r.Dst.String()
		s := sums[k]
		sums[k] = [2]int64{s[0] + r.Packets, s[1] + r.Bytes}
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(sums) {
		t.Errorf("%d pairs, awk has %d", len(sums), len(lines))
	}
	for _, l := range lines {
		var src, dst string
		var p, b int64
		fmt.Sscan(l, &src, &dst, &p, &b)
		if sums[src+" "+dst] != [2]int64{p, b} {
			t.Errorf("%s: %v", l, sums[src+" "+dst])
		}
	}
}

// FuzzRead: any bytes give records that lie where they say, in order; nothing
// panics.
func FuzzRead(f *testing.F) {
	for _, s := range []string{head2 + "\n" + line2, line2, "srcaddr dstaddr\n::1 ::2\n", "\ufeff" + line2 + "\r\n", "", "\n\n", packed(f, head2+"\n"+line2), packed(f, line2)[:30], "${srcaddr} ${dstaddr}\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		text := b
		if z, err := gzip.NewReader(bytes.NewReader(b)); err == nil {
			if text, _ = io.ReadAll(io.LimitReader(z, 1<<20)); len(text) == 1<<20 {
				return
			}
		}
		last, end := int64(0), int64(0)
		for r, err := range Read(bytes.NewReader(b)) {
			var bad *BadRecord
			if errors.As(err, &bad) {
				if bad.N != 0 && bad.N <= last {
					t.Fatalf("bad record %d behind %d", bad.N, last)
				}
				last = max(last, bad.N)
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if r.N != last+1 || r.Offset < end || r.Offset+r.Length > int64(len(text)) {
				t.Fatalf("record %d at %d+%d behind %d at %d", r.N, r.Offset, r.Length, last, end)
			}
			last, end = r.N, r.Offset+r.Length
			line, err := ReadAt(bytes.NewReader(b), r.Offset, r.Length)
			if err != nil || !bytes.Equal(line, text[r.Offset:end]) || bytes.IndexByte(line, '\n') >= 0 {
				t.Fatalf("record %d read again: %q, %v", r.N, line, err)
			}
		}
	})
}

// BenchmarkRead reads lines of version 2 in memory.
func BenchmarkRead(b *testing.B) {
	var text bytes.Buffer
	text.WriteString(head2 + "\n")
	for i := range 100_000 {
		fmt.Fprintf(&text, "2 123456789012 eni-%017x 10.0.%d.%d 192.0.2.%d %d 443 6 %d %d %d %d ACCEPT OK\n", i%50, i%4, i%250, i%200, 1024+i%60000, i%100, i%100000, 1790000000+i, 1790000060+i)
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range Read(bytes.NewReader(text.Bytes())) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 100_000 {
			b.Fatal(n)
		}
	}
	b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
