package flowlog

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// with replaces field i (from 0) of the first line of version 2.
func with(i int, value string) string {
	f := strings.Fields(v2Lines[0])
	f[i] = value
	return strings.Join(f, " ")
}

// A bad value makes its line bad, with its number and place, and only it.
func TestBadValues(t *testing.T) {
	const port, octet, whole = "is no number from 0 to 65535", "is no number from 0 to 255", "is no number from 0 to 9223372036854775807"
	for line, reason := range map[string]string{
		with(0, "-2"):                      `version "-2" ` + whole,
		with(3, "172.31.16.256"):           `srcaddr "172.31.16.256" is no IP address`,
		with(3, "172.31.16"):               `srcaddr "172.31.16" is no IP address`,
		with(3, "172.31.016.1"):            `srcaddr "172.31.016.1" is no IP address`,
		with(3, "172.31.16.1.1"):           `srcaddr "172.31.16.1.1" is no IP address`,
		with(3, "1..2.3"):                  `srcaddr "1..2.3" is no IP address`,
		with(3, "1.2.3.4."):                `srcaddr "1.2.3.4." is no IP address`,
		with(3, "10.0.0.0/8"):              `srcaddr "10.0.0.0/8" is no IP address`,
		with(4, "fe80::1%eth0"):            `dstaddr "fe80::1%eth0" is no IP address`,
		with(4, "2001:db8:::1"):            `dstaddr "2001:db8:::1" is no IP address`,
		with(4, strings.Repeat("1", 300)):  `dstaddr "` + strings.Repeat("1", 40) + `..." is no IP address`,
		with(5, "65536"):                   `srcport "65536" ` + port,
		with(5, "0x16"):                    `srcport "0x16" ` + port,
		with(6, "-22"):                     `dstport "-22" ` + port,
		with(6, "+22"):                     `dstport "+22" ` + port,
		with(7, "256"):                     `protocol "256" ` + octet,
		with(8, "-1"):                      `packets "-1" ` + whole,
		with(8, "1e3"):                     `packets "1e3" ` + whole,
		with(9, "9223372036854775808"):     `bytes "9223372036854775808" ` + whole,
		with(9, "99999999999999999999999"): `bytes "99999999999999999999999" ` + whole,
		with(10, "1418530010000"):          `start "1418530010000" is no time in Unix seconds`,
		with(11, "-1418530010"):            `end "-1418530010" is no time in Unix seconds`,
		with(11, "2014-12-14T04:06:50Z"):   `end "2014-12-14T04:06:50Z" is no time in Unix seconds`,
		with(1, "1234\x005678"):            "control character 0x00 in the line",
		with(2, "eni-\x1b[2J"):             "control character 0x1b in the line",
		with(2, "eni\r"):                   "control character 0x0d in the line",
		with(13, "OK\x7f"):                 "control character 0x7f in the line",
		with(2, "eni-\xff"):                "bytes that are no UTF-8 in the line",
		with(2, "\u202e\x1b"):              "control character 0x1b in the line",
		with(13, "OK OK"):                  "15 fields where the header has 14",
		with(13, ""):                       "13 fields where the header has 14",
		strings.Repeat("x ", 100_000):      "100000 fields where the header has 14",
		"\x00":                             "control character 0x00 in the line",
	} {
		text := defaultFormat + "\n" + v2Lines[2] + "\n" + line + "\n" + v2Lines[2] + "\n"
		got := shown(all(t, text, ""))
		expect := fmt.Sprintf("bad 2 line 3 at %d: %s", len(defaultFormat)+len(v2Lines[2])+2, reason)
		if len(got) != 3 || got[1] != expect || got[0][0] != '1' || got[2][0] != '3' {
			t.Errorf("%.60q: got %q, want %q", line, got, expect)
		}
	}
}

func TestGoodExtremes(t *testing.T) {
	text := "srcaddr dstaddr bytes srcport protocol start tcp-flags\n" +
		"0.0.0.0 255.255.255.255 9223372036854775807 65535 255 253402300799 255\n" +
		":: ::ffff:1.2.3.4 0 0 0 0 0\n" +
		" \t2001:DB8::1\t-  -  - - - -\t \n"
	want(t, all(t, text, ""),
		"1: src=0.0.0.0 dst=255.255.255.255 sport=65535 proto=255 by=9223372036854775807 start=9999-12-31T23:59:59Z flags=255",
		"2: src=:: dst=1.2.3.4 sport=0 proto=0 by=0 start=1970-01-01T00:00:00Z flags=0",
		"3: src=2001:db8::1")
}

// A header that cannot be used leaves no lines to be read by a guess.
func TestBadHeader(t *testing.T) {
	text := defaultFormat + "\n" + v2Lines[2] + "\nsrcaddr dstaddr srcaddr\n10.0.0.1 10.0.0.2 10.0.0.3\n" + v2Lines[0] + "\ndstaddr\n10.0.0.4\n"
	at := func(s string) int { return strings.Index(text, s) }
	want(t, all(t, text, ""),
		"1: v=2 acct=123456789010 eni=eni-1235b8ca123456789 start=2015-05-10T18:01:16Z end=2015-05-10T18:02:14Z status=NODATA",
		fmt.Sprintf("bad 0 line 3 at %d: the header names srcaddr twice", at("srcaddr dstaddr srcaddr")),
		fmt.Sprintf("bad 2 line 4 at %d: the header above could not be read", at("10.0.0.1")),
		fmt.Sprintf("bad 3 line 5 at %d: the header above could not be read", at(v2Lines[0])),
		"4: dst=10.0.0.4")

	got := all(t, "version "+numbered("srcaddr bytes packets n", 60)+"\n"+v2Lines[0]+"\n", "")
	if len(got) != 2 || got[0].bad == nil || got[1].bad == nil {
		t.Errorf("a header with names again and again: %q", shown(got))
	}
	wide := strings.Join(strings.Fields(strings.Repeat("start end ", maxFields)), " ")
	want(t, all(t, wide+"\n1 2\n", ""),
		"bad 0 line 1 at 0: the header has more than the 256 fields that are read",
		fmt.Sprintf("bad 1 line 2 at %d: the header above could not be read", len(wide)+1))
}

// A header glued to the line before it, as joined files have it where the
// first lacks its last line end, or cut at its front: what is below it must
// not be read by the schema before it.
func TestLostHeader(t *testing.T) {
	const swapped = "version account-id interface-id dstaddr srcaddr dstport srcport protocol packets bytes start end action log-status"
	const tail = "; it holds names of fields, so the lines below it are not read up to the next header"
	for _, c := range []struct{ name, text, reason string }{
		{"glued", defaultFormat + "\n" + v2Lines[0] + swapped + "\n", "27 fields where the header has 14" + tail},
		{"glued without a header before", v2Lines[0] + swapped + "\n", "27 fields and no header; the default format has 14" + tail},
		{"cut", swapped[5:len(swapped)-5] + "\n", ""},
		{"cut in a name", "-id" + swapped[18:] + "\n", `13 fields and no header; the default format has 14` + tail},
		{"with a NUL", strings.Replace(swapped, " end", "\x00end", 1) + "\n", "control character 0x00 in the line" + tail},
	} {
		got := all(t, c.text+v2Lines[1]+"\n"+defaultFormat+"\n"+v2Lines[2]+"\n", "")
		for _, it := range got {
			if it.bad == nil && it.rec.Src.IsValid() && c.reason != "" {
				t.Errorf("%s: %s", c.name, said(it.rec))
			}
		}
		if last := got[len(got)-1]; last.bad != nil || last.rec.Status != "NODATA" {
			t.Errorf("%s: the next header does not count: %q", c.name, shown(got))
		}
		if c.reason != "" && (len(got) != 3 || got[0].bad == nil || got[0].bad.Reason != c.reason || got[1].bad == nil) {
			t.Errorf("%s: %q", c.name, shown(got))
		}
	}
}

func TestLongLines(t *testing.T) {
	fit := with(2, strings.Repeat("e", maxLine-len(with(2, ""))))
	for _, end := range []string{"\n", "\r\n"} {
		got := all(t, fit+end+fit+"x"+end+strings.Repeat("y ", 3<<20)+end+strings.Repeat("z", 2<<20)+end+v2Lines[0]+end, "")
		if len(got) != 5 || got[0].bad != nil || got[0].rec.Length != maxLine || got[4].bad != nil {
			t.Fatalf("%d items", len(got))
		}
		at := int64(len(fit) + len(end))
		for i, size := range []int64{maxLine + 1, 6 << 20, 2 << 20} {
			b := got[i+1].bad
			reason := fmt.Sprintf("a line of %d bytes; at most %d are read", size+int64(len(end))-1, maxLine)
			if b == nil || b.Offset != at || b.Line != int64(i+2) || b.N != int64(i+2) || b.Reason != reason {
				t.Errorf("item %d: %+v, want %d: %s", i+1, b, at, reason)
			}
			at += size + int64(len(end))
		}
		if r := got[4].rec; r.N != 5 || r.Line != 5 || r.Offset != at {
			t.Errorf("behind them: %d %d %d", r.N, r.Line, r.Offset)
		}
	}
	want(t, all(t, strings.Repeat("z", 2<<20), ""), "bad 1 line 1 at 0: a line of 2097152 bytes; at most 1048576 are read")
}

// A plain text that was cut anywhere in its last line: never a wrong record
// without a word.
func TestLastLineWithoutEnd(t *testing.T) {
	const head = "srcaddr status-x log-status\n"
	want(t, all(t, head+"10.0.0.1 - OK", ""), "1: src=10.0.0.1 status=OK")
	want(t, all(t, "log-status bytes\nOK 123", ""), "1: by=123 status=OK",
		"bad 0 line 2 at 17: the text ends without a line end: the last value of record 1 may be cut")
	want(t, all(t, "log-status bytes\nOK 123\r", ""), "1: by=123 status=OK",
		"bad 0 line 2 at 17: the text ends without a line end: the last value of record 1 may be cut")
	want(t, all(t, string(pack(t, "log-status bytes\nOK 123")), ""), "1: by=123 status=OK")
	want(t, all(t, "log-status bytes\nOK", ""), "bad 1 line 2 at 17: 1 fields where the header has 2; the text ends in this line")
	want(t, all(t, "log-status bytes", ""))
	want(t, all(t, "", ""))
	want(t, all(t, "\xef\xbb\xbf", ""))
	for cut := 1; cut < len(v2Lines[2]); cut++ {
		if got := all(t, v2Lines[2][:cut], ""); len(got) != 1 || got[0].bad == nil {
			t.Errorf("cut at %d: %q", cut, shown(got))
		}
	}
}

// A cut gzip stream: the lines before the cut, then one bad record, wherever
// the cut is.
func TestCutGzip(t *testing.T) {
	var lines []string
	for i := range 400 {
		lines = append(lines, fmt.Sprintf("2 123456789010 eni-%d 10.%d.%d.7 10.0.0.1 %d 443 6 %d %d %d %d ACCEPT OK", i*7919, i*31%256, i*17%256, i*101, i, i*i*3, 1418530010+i*i, 1418530070+i*i))
	}
	text := defaultFormat + "\n" + strings.Join(lines, "\n") + "\n"
	packed := pack(t, text)
	for cut := 2; cut < len(packed); cut += 3 {
		got := all(t, string(packed[:cut]), "")
		last := got[len(got)-1]
		if last.bad == nil || last.bad.N != 0 || last.bad.Reason != "the gzip stream is cut short; the rest is not read" {
			t.Fatalf("cut at %d: %q", cut, shown(got[len(got)-1:]))
		}
		for i, it := range got[:len(got)-1] {
			if it.bad != nil || text[it.rec.Offset:it.rec.Offset+it.rec.Length] != lines[i] {
				t.Fatalf("cut at %d: record %d: %+v", cut, i+1, it)
			}
		}
		n := int64(len(got) - 1)
		if end := last.bad.Offset; end > 0 && (text[end-1] != '\n' || last.bad.Line != n+2) {
			t.Fatalf("cut at %d: the rest begins at %d, line %d", cut, end, last.bad.Line)
		}
	}
}

func TestDamagedGzip(t *testing.T) {
	text := defaultFormat + "\n" + v2Lines[2] + "\n"
	record := "1: v=2 acct=123456789010 eni=eni-1235b8ca123456789 start=2015-05-10T18:01:16Z end=2015-05-10T18:02:14Z status=NODATA"
	sum := pack(t, text)
	sum[len(sum)-6] ^= 1
	want(t, all(t, string(sum), ""), record,
		fmt.Sprintf("bad 0 line 3 at %d: the gzip stream is damaged: gzip: invalid checksum; the rest is not read", len(text)))
	want(t, all(t, string(pack(t, text))+"\x00\x00\x00\x00rubbish behind", ""), record,
		fmt.Sprintf("bad 0 line 3 at %d: the gzip stream is damaged: gzip: invalid header; the rest is not read", len(text)))
	want(t, all(t, "\x1f\x8bnot gzip at all", ""), "bad 0 line 1 at 0: the gzip stream is damaged: gzip: invalid header; the rest is not read")
	want(t, all(t, "\x1f\x8b", ""), "bad 0 line 1 at 0: the gzip stream is cut short; the rest is not read")
}

func TestForeignFiles(t *testing.T) {
	want(t, all(t, "PAR1\x15\x04\n\nPAR1", ""), "bad 0 line 1 at 0: a Parquet file, not text in UTF-8; the rest is not read")
	want(t, all(t, "\xff\xfe2\x00 \x00\n\x00", ""), "bad 0 line 1 at 0: text in UTF-16, not text in UTF-8; the rest is not read")
}

// The limit of unpacked text, with a smaller one.
func TestUnpackedLimit(t *testing.T) {
	text := defaultFormat + "\n" + strings.Repeat(v2Lines[2]+"\n", 10)
	var l lines
	l.start(strings.NewReader(string(pack(t, text))))
	l.most = int64(len(defaultFormat) + 1 + 2*(len(v2Lines[2])+1) + 5)
	n := 0
	for l.next() {
		n++
	}
	if n != 3 || l.line.at != l.most-5 || l.err == nil || !strings.Contains(l.err.Error(), "longer than") {
		t.Errorf("%d lines, rest at %d, %v", n, l.line.at, l.err)
	}
}

var errDisk = errors.New("a bad sector")

// A failing disk ends the walk with its own error, also where it fails at
// once or inside gzip.
func TestFailingReader(t *testing.T) {
	text := defaultFormat + "\n" + v2Lines[2] + "\n" + v2Lines[0]
	for name, c := range map[string]struct {
		r       io.Reader
		records int
	}{
		"plain":   {io.MultiReader(strings.NewReader(text), iotest.ErrReader(errDisk)), 1},
		"at once": {iotest.ErrReader(errDisk), 0},
		"gzip":    {io.MultiReader(strings.NewReader(string(pack(t, text)[:60])), iotest.ErrReader(errDisk)), 0},
		"header":  {io.MultiReader(strings.NewReader("\x1f\x8b\x08"), iotest.ErrReader(errDisk)), 0},
	} {
		n, failed := 0, 0
		for _, err := range Read(c.r) {
			if errors.Is(err, errDisk) {
				failed++
			} else if n++; err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n != c.records || failed != 1 {
			t.Errorf("%s: %d records, %d failures", name, n, failed)
		}
	}
	for _, err := range Read(stuck{}) {
		if !errors.Is(err, io.ErrNoProgress) {
			t.Error(err)
		}
	}
}

// stuck gives neither bytes nor an error.
type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

// The caller may stop anywhere, and a Reader forgets the file before.
func TestStopAndReuse(t *testing.T) {
	text := "srcaddr type srcaddr\nx\ndstaddr type\n10.0.0.1 IPv4\n-5\n10.0.0.2 IPv6"
	rd := NewReader()
	whole := shown(all(t, text, ""))
	for stop := 1; stop <= len(whole); stop++ {
		n := 0
		for range rd.Read(strings.NewReader(text)) {
			if n++; n == stop {
				break
			}
		}
		if n != stop {
			t.Errorf("stopped after %d, not %d", n, stop)
		}
	}
	for r, err := range rd.Read(strings.NewReader(v2Lines[2] + "\n")) {
		if err != nil || r.Dst.IsValid() || len(r.Other) > 0 || r.N != 1 || r.TCPFlags != Null {
			t.Errorf("%s %v", said(r), err)
		}
	}
}
