package store

import (
	"bytes"
	"compress/gzip"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"snapcase/evidence"
	"snapcase/imaging"
)

const (
	headV2 = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n"
	headV5 = "instance-id interface-id version srcaddr dstaddr pkt-srcaddr pkt-dstaddr srcport dstport protocol tcp-flags packets bytes start end action flow-direction region traffic-path log-status\n"
)

// flowFile is the name of a file of a flow log.
func flowFile(log, minute string) string {
	return "AWSLogs/1/vpcflowlogs/us-east-1/1_vpcflowlogs_us-east-1_" + log + "_20260101T" + minute + "Z_00000000.log.gz"
}

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	must(t, errors.Join(err, z.Close()))
	return b.String()
}

func encoded(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return string(b)
}

func TestFlows(t *testing.T) {
	c := newTestCase(t)
	ctx := t.Context()
	bring(t, c, evidence.KindFlowLog, map[string]string{
		flowFile("fl-0a", "0000"): gzipped(t, headV2+
			"2 111122223333 eni-a 10.0.0.5 198.51.100.7 40000 443 6 10 1000 1767225660 1767225719 ACCEPT OK\n"+
			"2 111122223333 eni-a 198.51.100.7 10.0.0.5 443 40000 6 8 800 1767225600 1767225659 REJECT OK\n"+
			"not a record\n"+
			"2 111122223333 eni-a 203.0.113.9 10.0.0.5 0 0 1 2 168 1767225700 1767225759 ACCEPT OK\n"+
			"2 111122223333 eni-a - - - - - - - 1767225800 1767225859 - NODATA\n"),
		flowFile("fl-0b", "0005"): gzipped(t, headV5+
			"i-b eni-b 5 10.0.0.6 192.0.2.1 10.0.0.66 192.0.2.1 5000 53 17 19 3 300 1767225650 1767225659 ACCEPT egress us-east-1 8 OK\n"),
	})
	all := collect(t, c.Flows(ctx, FlowQuery{}))
	var order []string
	for _, f := range all {
		order = append(order, f.Record.File[len(f.Record.File)-28:len(f.Record.File)-16]+fmt.Sprint(f.Record.N))
	}
	if got := fmt.Sprint(len(all), all[0].Record.N, all[2].Record.N, all[3].Record.N, all[4].Record.N); got != "5 2 1 4 5" {
		t.Fatalf("order: %s %v", got, order)
	}
	want := `{"record":"EX-001/` + flowFile("fl-0b", "0005") + `#1","start":"2026-01-01T00:00:50Z","end":"2026-01-01T00:00:59Z","version":5,"account":null,"interface":"eni-b","instance":"i-b","vpc":null,"subnet":null,` +
		`"src":"10.0.0.6","dst":"192.0.2.1","pkt_src":"10.0.0.66","pkt_dst":"192.0.2.1","src_port":5000,"dst_port":53,"protocol":"udp","packets":3,"bytes":300,"action":"ACCEPT","status":"OK","tcp_flags":19,"direction":"egress","region":"us-east-1","other":{"traffic-path":"8"}}`
	if got := encoded(t, all[1]); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	raw, err := c.Raw(ctx, all[2].Record)
	must(t, err)
	if !strings.HasPrefix(string(raw), "2 111122223333 eni-a 10.0.0.5 198.51.100.7 40000") {
		t.Errorf("raw: %q", raw)
	}
	port := func(n int64) *int64 { return &n }
	for _, q := range []struct {
		q    FlowQuery
		want int
	}{
		{FlowQuery{IP: "198.51.100.7"}, 2},
		{FlowQuery{Peer: "10.0.0.66"}, 1},
		{FlowQuery{IP: "10.0.0.5", Peer: "203.0.113.9"}, 1},
		{FlowQuery{IP: "8.8.8.8"}, 0},
		{FlowQuery{Interface: "eni-a"}, 4},
		{FlowQuery{Instance: "i-b"}, 1},
		{FlowQuery{Instance: "eni-b"}, 0},
		{FlowQuery{Protocol: "icmp"}, 1},
		{FlowQuery{Protocol: "6"}, 2},
		{FlowQuery{Port: port(443)}, 2},
		{FlowQuery{Port: port(0)}, 1},
		{FlowQuery{Action: "REJECT"}, 1},
		{FlowQuery{From: at(t, "2026-01-01T00:01:00Z")}, 3},
		{FlowQuery{To: at(t, "2026-01-01T00:00:50Z")}, 2},
	} {
		if got := collect(t, c.Flows(ctx, q.q)); len(got) != q.want {
			t.Errorf("%+v gives %d records, want %d", q.q, len(got), q.want)
		}
		p, err := c.FlowPage(ctx, q.q, PageRequest{Rows: 3})
		must(t, err)
		if len(p.Rows) != min(3, q.want) || p.After != (q.want > 3) {
			t.Errorf("%+v: page of %d rows", q.q, len(p.Rows))
		}
	}
	for _, q := range []FlowQuery{{IP: "nonsense"}, {Protocol: "tpc"}} {
		if _, err := c.FlowPage(ctx, q, PageRequest{}); !errors.Is(err, evidence.ErrUsage) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	st, err := c.Stats(ctx)
	must(t, err)
	if s := st[0]; s.Records != 5 || s.Distinct != 5 || s.BadRecords != 1 || s.NoData != 1 || s.SkipData != 0 || len(s.Gaps) != 1 || !strings.HasSuffix(s.Gaps[0].Place, "#3") {
		t.Errorf("stats %+v", s)
	}
	m := collect(t, c.Timeline(ctx, TimelineQuery{Text: "192.0.2.1 EGRESS"}))
	if len(m) != 1 || m[0].Source != "flow" || m[0].Type != "ACCEPT" || m[0].Summary != "10.0.0.66:5000 → 192.0.2.1:53 udp 3 packets 300 bytes" || optText(m[0].Uncertain) != "9 s window" || optText(m[0].Actor) != "i-b" {
		t.Errorf("moments %s", encoded(t, m))
	}
}

func at(t testing.TB, s string) (v imaging.Time) {
	t.Helper()
	must(t, json.Unmarshal([]byte(`"`+s+`"`), &v))
	return v
}

// peerLine is a peer in one line, without what the oracle does not know.
func peerLine(p *evidence.FlowPeer) string {
	return fmt.Sprintf("%s %s %d %d %d %d %d %d", p.Peer, p.Protocol, p.Records, p.PacketsIn, p.BytesIn, p.PacketsOut, p.BytesOut, p.Rejected)
}

// TestFlowPeersAwk compares sums by peer, from the sums that are kept and from
// the records, with awk's over the same files.
func TestFlowPeersAwk(t *testing.T) {
	if _, err := exec.LookPath("awk"); err != nil {
		t.Skip("no awk")
	}
	dir := writeFlows(t, 20_000, 7)
	c := newTestCase(t)
	bringPath(t, c, evidence.KindFlowLog, dir)
	out, err := exec.Command("sh", "-c", `zcat `+dir+`/*.gz | awk '$1 == 2 { me = $4 ~ /^10\./; k = me ? $5 : $4; n[k]++; if (me) { po[k] += $9; bo[k] += $10 } else { pi[k] += $9; bi[k] += $10 }; if ($13 == "REJECT") r[k]++ }
		END { for (k in n) printf "%s tcp %d %d %d %d %d %d\n", k, n[k], pi[k], bi[k], po[k], bo[k], r[k] }' | sort`).Output()
	must(t, err)
	for _, q := range []FlowQuery{{}, {From: at(t, "1980-01-01T00:00:00Z")}} {
		peers, err := c.FlowPeers(t.Context(), q)
		must(t, err)
		lines := make([]string, 0, len(peers))
		for i := range peers {
			lines = append(lines, peerLine(&peers[i]))
			if i > 0 && peers[i].BytesIn+peers[i].BytesOut > peers[i-1].BytesIn+peers[i-1].BytesOut {
				t.Error("peers out of order")
			}
		}
		cmd := exec.Command("sort")
		cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
		got, err := cmd.Output()
		must(t, err)
		if !bytes.Equal(got, out) {
			t.Errorf("%+v: %d lines, awk has %d", q, bytes.Count(got, []byte("\n")), bytes.Count(out, []byte("\n")))
		}
	}
	if n := len(collect(t, c.Flows(t.Context(), FlowQuery{}))); n != 7*(20_000/7) {
		t.Errorf("%d records", n)
	}
}

// TestFlowSumsAgree holds the kept sums to the records for every kind of
// filter that both know.
func TestFlowSumsAgree(t *testing.T) {
	c := newTestCase(t)
	bringPath(t, c, evidence.KindFlowLog, writeFlows(t, 5000, 3))
	for _, q := range []FlowQuery{{}, {Interface: "eni-0000000000000003"}, {IP: "10.0.0.7"}, {Protocol: "tcp"}, {Protocol: "udp"}, {Exhibit: "EX-001"}} {
		kept, err := c.FlowPeers(t.Context(), q)
		must(t, err)
		q.From = at(t, "1980-01-01T00:00:00Z")
		read, err := c.FlowPeers(t.Context(), q)
		must(t, err)
		if !reflect.DeepEqual(kept, read) {
			t.Errorf("%+v: %d kept, %d read", q, len(kept), len(read))
		}
	}
}

func TestFlowCopies(t *testing.T) {
	one := "2 1 eni-a 10.0.0.5 198.51.100.7 40000 443 6 10 1000 1767225600 1767225659 ACCEPT OK\n"
	near := strings.Replace(one, " 1000 ", " 1001 ", 1)
	v5 := "- eni-a 5 10.0.0.5 198.51.100.7 10.0.0.5 198.51.100.7 40000 443 6 0 10 1000 1767225600 1767225659 ACCEPT egress us-east-1 - OK\n"
	for _, test := range []struct {
		name     string
		exhibits []map[string]string
		records  int64 // that are summed
		copies   int64
	}{
		{"twice in one log", []map[string]string{{flowFile("fl-0a", "0000"): headV2 + one + one, flowFile("fl-0a", "0005"): headV2 + one}}, 3, 0},
		{"in another log", []map[string]string{{flowFile("fl-0a", "0000"): headV2 + one + near, flowFile("fl-0b", "0000"): headV5 + v5}}, 2, 1},
		{"in another log of another exhibit", []map[string]string{{flowFile("fl-0a", "0000"): headV2 + near + one}, {flowFile("fl-0b", "0000"): headV5 + v5 + v5}}, 2, 2},
		{"the same file again", []map[string]string{{flowFile("fl-0a", "0000"): headV2 + one}, {"x/" + flowFile("fl-0a", "0000"): headV2 + one}}, 1, 1},
		{"twice in one of two logs", []map[string]string{{flowFile("fl-0a", "0000"): headV2 + one + one, flowFile("fl-0b", "0000"): headV2 + near}}, 3, 0},
		{"twice in each of two logs", []map[string]string{{"a.log": headV2 + one, flowFile("fl-0a", "0000"): headV2 + one + one, flowFile("fl-0b", "0000"): headV2 + one + one}}, 3, 2},
		{"logs without a name", []map[string]string{{"a.log": headV2 + one, "b.log": headV2 + one}, {flowFile("fl-0b", "0000"): headV2 + one}}, 3, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newTestCase(t)
			for _, files := range test.exhibits {
				for name, text := range files {
					files[name] = gzipped(t, text)
				}
				bring(t, c, evidence.KindFlowLog, files)
			}
			peers, err := c.FlowPeers(t.Context(), FlowQuery{})
			must(t, err)
			st, err := c.Stats(t.Context())
			must(t, err)
			var copies int64
			for _, s := range st {
				copies += s.Duplicates
				if s.Records != s.Distinct+s.Duplicates {
					t.Errorf("counts do not add up: %+v", s)
				}
			}
			if len(peers) != 1 || peers[0].Records != test.records || copies != test.copies {
				t.Errorf("%d copies, peers %s", copies, encoded(t, peers))
			}
			if got := int64(len(collect(t, c.Flows(t.Context(), FlowQuery{})))); got != test.records+test.copies {
				t.Errorf("%d records are listed", got)
			}
		})
	}
}

// TestFlowInstance tells the instance of an interface by another flow log.
func TestFlowInstance(t *testing.T) {
	c := newTestCase(t)
	one := " 10.0.0.5 198.51.100.7 40000 443 6 10 1000 1767225600 1767225659 ACCEPT OK\n"
	bring(t, c, evidence.KindFlowLog, map[string]string{flowFile("fl-0a", "0000"): gzipped(t, headV2+"2 1 eni-a"+one+"2 1 eni-both"+one)})
	bring(t, c, evidence.KindFlowLog, map[string]string{flowFile("fl-0b", "0000"): gzipped(t, headV5+
		"i-a eni-a 5 10.0.0.5 198.51.100.7 - - 1 2 6 0 1 40 1767225700 1767225759 ACCEPT egress us-east-1 - OK\n"+
		"i-x eni-both 5 10.0.0.5 198.51.100.7 - - 1 2 6 0 1 40 1767225700 1767225759 ACCEPT egress us-east-1 - OK\n"+
		"i-y eni-both 5 10.0.0.5 198.51.100.7 - - 1 2 6 0 1 40 1767225900 1767225959 ACCEPT egress us-east-1 - OK\n")})
	all := collect(t, c.Flows(t.Context(), FlowQuery{Exhibit: "EX-001"}))
	if len(all) != 2 || optText(all[0].Instance) != "i-a" || all[1].Instance != nil {
		t.Errorf("%s", encoded(t, all))
	}
	peers, err := c.FlowPeers(t.Context(), FlowQuery{Instance: "i-a"})
	must(t, err)
	if len(peers) != 1 || peers[0].BytesOut != 1040 || peers[0].Peer != "198.51.100.7" {
		t.Errorf("%s", encoded(t, peers))
	}
}

// TestFlowSides tells in from out: by direction, by the own address, by what
// the case knows, and not at all.
func TestFlowSides(t *testing.T) {
	line := func(eni, src, dst string) string {
		return "2 1 " + eni + " " + src + " " + dst + " 1 2 6 1 100 1767225600 1767225659 ACCEPT OK\n"
	}
	c := newTestCase(t)
	bring(t, c, evidence.KindFlowLog, map[string]string{
		flowFile("fl-0a", "0000"): gzipped(t, headV2+
			line("eni-own", "10.0.0.5", "10.0.0.9")+line("eni-own", "10.0.0.8", "10.0.0.5")+ // 10.0.0.5 is on every record
			line("eni-6", "2001:db8::5", "2001:db8::9")+line("eni-6", "2001:db8::8", "2001:db8::5")+line("eni-6", "10.1.0.1", "192.0.2.6")+
			line("eni-private", "10.0.1.1", "192.0.2.1")+ // one record: the private side is the interface's
			line("eni-dark", "10.0.2.1", "10.0.2.2")+ // nothing tells
			line("eni-far", "10.0.3.1", "10.0.3.2")), // the other exhibit tells
		flowFile("fl-0a", "0005"): gzipped(t, headV5+"- eni-nat 5 10.0.4.1 10.0.4.2 10.0.4.1 192.0.2.4 1 2 6 0 1 100 1767225600 1767225659 ACCEPT egress us-east-1 - OK\n"),
	})
	bring(t, c, evidence.KindFlowLog, map[string]string{flowFile("fl-0a", "0010"): gzipped(t, headV2+line("eni-far", "10.0.3.2", "10.0.3.3")+line("eni-far", "10.0.3.4", "10.0.3.2"))})
	for _, test := range []struct{ eni, want string }{
		{"eni-own", "10.0.0.8 in 100 out 0, 10.0.0.9 in 0 out 100"},
		{"eni-6", "192.0.2.6 in 0 out 100, 2001:db8::8 in 100 out 0, 2001:db8::9 in 0 out 100"},
		{"eni-private", "192.0.2.1 in 0 out 100"},
		{"eni-dark", "10.0.2.1 in 100 out 0, 10.0.2.2 in 0 out 100"},
		{"eni-far", "10.0.3.1 in 100 out 0, 10.0.3.3 in 0 out 100, 10.0.3.4 in 100 out 0"},
		{"eni-nat", "192.0.2.4 in 0 out 100"},
	} {
		for _, q := range []FlowQuery{{Interface: test.eni}, {Interface: test.eni, Action: "ACCEPT"}} {
			peers, err := c.FlowPeers(t.Context(), q)
			must(t, err)
			var got []string
			for _, p := range peers {
				got = append(got, fmt.Sprintf("%s in %d out %d", p.Peer, p.BytesIn, p.BytesOut))
			}
			if s := strings.Join(got, ", "); s != test.want {
				t.Errorf("%+v: %s\nwant %s", q, s, test.want)
			}
		}
	}
}

// TestFlowsDamaged reads a flow log of which something is lost: what is there
// is answered, what is not is told, and sums are lower bounds.
func TestFlowsDamaged(t *testing.T) {
	good := "2 1 eni-a 10.0.0.5 198.51.100.7 1 443 6 1 100 1767225600 1767225659 ACCEPT OK\n"
	r := rand.New(rand.NewPCG(3, 4))
	var long strings.Builder
	for range 3000 {
		fmt.Fprintf(&long, "2 1 eni-a 10.0.0.5 198.51.100.%d %d 443 6 1 100 1767225600 1767225659 ACCEPT OK\n", r.IntN(250), r.IntN(60000))
	}
	whole := gzipped(t, headV2+long.String())
	for _, test := range []struct {
		name, text string
		skip, bad  int64
		lower      bool
	}{
		{"whole", gzipped(t, headV2+good), 0, 0, false},
		{"skipped", gzipped(t, headV2+good+"2 1 eni-a - - - - - - - 1767225700 1767225759 - SKIPDATA\n"), 1, 0, true},
		{"skipped elsewhere", gzipped(t, headV2+good+"2 1 eni-b - - - - - - - 1767225700 1767225759 - SKIPDATA\n"), 1, 0, false},
		{"cut", whole[:len(whole)/2], 0, 1, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newTestCase(t)
			bring(t, c, evidence.KindFlowLog, map[string]string{flowFile("fl-0a", "0000"): test.text})
			st, err := c.Stats(t.Context())
			must(t, err)
			s := st[0]
			if s.Records == 0 || s.SkipData != test.skip || s.BadRecords < test.bad || (s.BadRecords > 0) != (test.bad > 0) {
				t.Errorf("stats %+v", s)
			}
			if n := int64(len(collect(t, c.Flows(t.Context(), FlowQuery{})))); n != s.Records {
				t.Errorf("%d records, stats say %d", n, s.Records)
			}
			peers, err := c.FlowPeers(t.Context(), FlowQuery{Interface: "eni-a"})
			must(t, err)
			if len(peers) == 0 || peers[0].Lower != test.lower {
				t.Errorf("%s", encoded(t, peers))
			}
			if err := c.Index(t.Context(), IndexOptions{Rebuild: true}, nil); errors.Is(err, evidence.ErrGaps) != (test.bad > 0) {
				t.Errorf("index: %v", err)
			}
		})
	}
}

// TestFlowFormat reads a file that has no header with a format of the caller.
func TestFlowFormat(t *testing.T) {
	c := newTestCase(t)
	bring(t, c, evidence.KindFlowLog, map[string]string{
		"cloudwatch.log":          "eni-x 10.0.0.5 198.51.100.7 6 1767225630 1767225689 OK\neni-x 198.51.100.7 10.0.0.5 6 1767225601 1767225660 OK\n",
		flowFile("fl-0a", "0000"): gzipped(t, headV2+"2 1 eni-a 10.0.0.5 198.51.100.7 1 443 6 1 100 1767225610 1767225659 ACCEPT OK\n"),
	})
	format := strings.Fields("interface-id srcaddr dstaddr protocol start end log-status")
	all := collect(t, c.Flows(t.Context(), FlowQuery{Format: format}))
	var got []string
	for _, f := range all {
		got = append(got, fmt.Sprintf("%s#%d", *f.Interface, f.Record.N))
	}
	if fmt.Sprint(got) != "[eni-x#2 eni-a#1 eni-x#1]" {
		t.Errorf("%v", got)
	}
	if some := collect(t, c.Flows(t.Context(), FlowQuery{Format: format, Interface: "eni-x", To: at(t, "2026-01-01T00:00:01Z")})); len(some) != 1 || some[0].Packets != nil {
		t.Errorf("%s", encoded(t, some))
	}
	peers, err := c.FlowPeers(t.Context(), FlowQuery{Format: format})
	must(t, err)
	if len(peers) != 1 || peers[0].Peer != "198.51.100.7" || peers[0].Records != 3 || peers[0].BytesOut != 100 {
		t.Errorf("%s", encoded(t, peers))
	}
	if plain := collect(t, c.Flows(t.Context(), FlowQuery{})); len(plain) != 1 {
		t.Errorf("without the format there are %d", len(plain))
	}
}

// TestRowFile holds rows that were written as pages to rows that were
// inserted, over several levels of pages and values of every width.
func TestRowFile(t *testing.T) {
	var paths [2]string
	for i := range paths {
		paths[i] = filepath.Join(t.TempDir(), "index.db")
		db, err := openWriter(t.Context(), paths[i])
		must(t, err)
		must(t, inTx(t.Context(), db, func(x *tx) error {
			rows := fewRows + 1
			if i == 1 {
				rows = 0
			}
			fast, err := newFastRows(t.Context(), x, 2, rows)
			must(t, err)
			if fast[0].inserts() != (i == 1) {
				t.Errorf("%d rows are inserted: %v", rows, i == 0)
			}
			fillRows(t, fast)
			return errors.Join(fast[0].end(t.Context(), nil), fast[1].end(t.Context(), nil))
		}))
		var ok string
		must(t, db.QueryRow("PRAGMA integrity_check").Scan(&ok))
		if ok != "ok" {
			t.Error(ok)
		}
		must(t, db.Close())
		if left, _ := filepath.Glob(paths[i] + "-rows*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	var sums [2]string
	for i, p := range paths {
		db, err := openWriter(t.Context(), p)
		must(t, err)
		rows, err := db.Query("SELECT count(*), min(id), max(id), sum(ts), sum(te % 1000), sum(n), count(peer), sum(length(packets)) FROM flows UNION ALL SELECT count(*), sum(x), sum(records), sum(first % 1000), sum(length(ports)), count(ports), sum(iface), sum(length(hex(ports))) FROM flow_sums")
		must(t, err)
		for rows.Next() {
			v := make([]int64, 8)
			must(t, rows.Scan(&v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]))
			sums[i] += fmt.Sprintln(v)
		}
		must(t, errors.Join(rows.Err(), rows.Close(), db.Close()))
	}
	if sums[0] != sums[1] || !strings.HasPrefix(sums[0], "[120000 5 120004 ") {
		t.Errorf("pages: %s\nrows:  %s", sums[0], sums[1])
	}
}

func fillRows(t testing.TB, fast []*fastRows) {
	t.Helper()
	r := rand.New(rand.NewPCG(5, 6))
	flows, err := fast[0].begin(t.Context(), "flows", true, flowColumnsInOrder)
	must(t, err)
	sums, err := fast[1].begin(t.Context(), "flow_sums", false, flowSumColumns)
	must(t, err)
	for i := range int64(120_000) {
		row := make([]sql.NullInt64, 28)
		for j := range row {
			wide := int64(r.Uint64()) >> (8 * r.IntN(8)) //nolint:gosec // any bits
			row[j] = sql.NullInt64{Int64: wide, Valid: r.IntN(3) > 0}
		}
		for _, j := range []int{0, 3, 4, 27} {
			row[j] = is(i)
		}
		row[1], row[2] = is(i*1000), is(int64(r.Uint64()))
		must(t, flows.add(t.Context(), i+5, row))
	}
	for i := range int64(300) {
		row := make([]sql.NullInt64, 17)
		for j := range row {
			row[j] = is(i << (2 * j))
		}
		var ports []byte
		if i%7 > 0 {
			ports = bytes.Repeat([]byte{byte(i)}, int(i*i)) // the last ones fit into no page
		}
		must(t, sums.add(t.Context(), 0, row, ports))
	}
	must(t, errors.Join(flows.end(t.Context()), sums.end(t.Context())))
}

// TestFlowPages holds every kind of page to the one order.
func TestFlowPages(t *testing.T) {
	c := newTestCase(t)
	bringPath(t, c, evidence.KindFlowLog, writeFlows(t, 2000, 4))
	bringPath(t, c, evidence.KindFlowLog, writeFlows(t, 600, 2))
	for _, q := range []FlowQuery{{}, {Interface: "eni-0000000000000003"}, {IP: "10.0.0.9", Action: "ACCEPT"}} {
		all := collect(t, c.Flows(t.Context(), q))
		var got []evidence.Flow
		r := PageRequest{Rows: 37}
		for {
			p, err := c.FlowPage(t.Context(), q, r)
			must(t, err)
			got = append(got, p.Rows...)
			if !p.After {
				break
			}
			r.From = p.Cursors[len(p.Cursors)-1]
		}
		if len(all) == 0 || encoded(t, all) != encoded(t, got) {
			t.Errorf("%+v: %d records, in pages %d", q, len(all), len(got))
		}
		for i := 1; i < len(all); i++ {
			if byFlowOrder(&all[i-1], &all[i]) >= 0 {
				t.Fatalf("%+v: record %d out of order", q, i)
			}
		}
		p, err := c.FlowPage(t.Context(), q, PageRequest{Row: int64(len(all)) / 2, Rows: 5})
		must(t, err)
		if encoded(t, p.Rows) != encoded(t, all[len(all)/2-1:len(all)/2+4]) {
			t.Errorf("%+v: another page at row %d", q, len(all)/2)
		}
	}
}

// TestManyFlowExhibits loads more exhibits in one transaction than SQLite
// attaches files, and in as many transactions: to the same answers.
func TestManyFlowExhibits(t *testing.T) {
	c := newTestCase(t)
	ctx := t.Context()
	const exhibits = 7
	for i := range exhibits {
		dir := writeFlows(t, fewRows+2, 1)
		old, err := filepath.Glob(dir + "/*")
		must(t, err)
		must(t, os.Rename(old[0], filepath.Join(dir, fmt.Sprintf("%d.log.gz", i)))) // of no named flow log: no copies
		bringPath(t, c, evidence.KindFlowLog, dir)
	}
	one, err := c.FlowPeers(ctx, FlowQuery{})
	must(t, err)
	must(t, c.Index(ctx, IndexOptions{Rebuild: true}, nil))
	two, err := c.FlowPeers(ctx, FlowQuery{})
	must(t, err)
	if !reflect.DeepEqual(one, two) {
		t.Error("the same exhibits, other sums")
	}
	var records int64
	for _, p := range two {
		records += p.Records
	}
	if want := int64(exhibits * (fewRows + 2)); records != want {
		t.Errorf("%d records of %d", records, want)
	}
	db, err := openWriter(ctx, c.indexPath())
	must(t, err)
	var ok string
	must(t, errors.Join(db.QueryRow("PRAGMA integrity_check").Scan(&ok), db.Close()))
	if ok != "ok" {
		t.Error(ok)
	}
	if left, _ := filepath.Glob(c.indexPath() + "-rows*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestFlowSpelling: a status in other letters counts as what it says, and an
// IPv4 address is one address, however a log or a question writes it. The raw
// record stays as it was written.
func TestFlowSpelling(t *testing.T) {
	c := newTestCase(t)
	line := "2 1 eni-a ::ffff:10.0.0.5 ::ffff:198.51.100.7 1 443 6 1 100 1767225600 1767225659 accept ok"
	bring(t, c, evidence.KindFlowLog, map[string]string{flowFile("fl-0a", "0000"): gzipped(t, headV2+line+"\n"+
		"2 1 eni-a 10.0.0.5 198.51.100.7 1 443 6 1 100 1767225660 1767225719 ACCEPT OK\n"+
		"2 1 eni-b - - - - - - - 1767225660 1767225719 - SkipData\n"+
		"2 1 eni-b - - - - - - - 1767225660 1767225719 - nodata\n")})
	st, err := c.Stats(t.Context())
	must(t, err)
	if s := st[0]; s.SkipData != 1 || s.NoData != 1 || s.BadRecords != 0 {
		t.Errorf("stats %+v", s)
	}
	for _, ip := range []string{"", "198.51.100.7", "::ffff:198.51.100.7"} {
		for _, q := range []FlowQuery{{IP: ip}, {IP: ip, Action: "ACCEPT"}} {
			peers, err := c.FlowPeers(t.Context(), q)
			must(t, err)
			if len(peers) != 1 || peers[0].Peer != "198.51.100.7" || peers[0].BytesOut != 200 || peers[0].Accepted != 2 {
				t.Errorf("%+v: %s", q, encoded(t, peers))
			}
		}
	}
	all := collect(t, c.Flows(t.Context(), FlowQuery{IP: "::ffff:10.0.0.5"}))
	if len(all) != 2 || *all[0].Src != "10.0.0.5" || *all[0].Status != "OK" {
		t.Fatalf("%s", encoded(t, all))
	}
	raw, err := c.Raw(t.Context(), all[0].Record)
	must(t, err)
	if strings.TrimSuffix(string(raw), "\n") != line {
		t.Errorf("raw: %q", raw)
	}
}
