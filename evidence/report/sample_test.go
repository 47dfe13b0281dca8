package report

import (
	"iter"
	"strings"
	"testing"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/custody"
	"snapcase/imaging"
)

func when(s string) imaging.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return imaging.TimeOf(t)
}

func ptr[T any](v T) *T { return &v }

func seqOf[T any](all []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range all {
			if !yield(v, nil) {
				return
			}
		}
	}
}

func digest(c string) evidence.Digest {
	d, err := evidence.ParseDigest(strings.Repeat(c, 32))
	if err != nil {
		panic(err)
	}
	return d
}

// sample is a small case with something in every part of the page.
func sample() Input {
	const key, s1, s2, spare = "AKIARZPUZDIKM7NHULL7", "ASIARZPUZDIKI24YWWOE", "ASIARZPUZDIKGA3ARJXZ", "ASIARZPUZDIKB5IXI3GI"
	const file = "AWSLogs/123456789012/CloudTrail/ap-northeast-3/2026/10/14/123456789012_CloudTrail_ap-northeast-3_20261014T0205Z_x.json.gz"
	marc := "arn:aws:iam::123456789012:user/Marc_the_Intern"
	session := "arn:aws:sts::123456789012:assumed-role/BuildDeploy/marc-test"
	rec := func(n int64) evidence.Record { return evidence.Record{Exhibit: "EX-002", File: file, N: n} }
	in := Input{
		Case:    evidence.CaseFile{Version: 1, ID: "urn:uuid:6f1f7ad2-4a1e-4c1b-9d55-1f2f7c1f0a11", Title: "Marc the intern", Examiner: "alice@example.org", Authority: "internal audit, TICKET-991", Created: when("2026-11-23T09:00:00Z")},
		Version: "0.1.0", Made: time.Date(2026, 11, 23, 10, 30, 0, 0, time.UTC),
	}
	in.Exhibits = []evidence.ExhibitStats{
		{Exhibit: "EX-001", Kind: evidence.KindDisk, Label: "web-1, system volume", Source: "/dev/nvme1n1", SHA256: digest("3a"), Files: 1, Bytes: 67108864, Indexed: true, First: when("2026-03-01T07:00:00Z"), Last: when("2026-10-15T08:20:00Z"), Volumes: []evidence.VolumeStats{
			{ID: "p1", Type: "efi", FS: "vfat", Label: "EFI", UUID: "5A17-CA5E", Start: 1048576, Size: 8388608, Entries: 8, Deleted: 1},
			{ID: "p2", Type: "linux", FS: "ext4", Label: "/", UUID: "7c0d4a4e-9b0e-4f6a-9d53-21a6f0e5b2c4", Start: 9437184, Size: 56623104, Entries: 320, Deleted: 3, State: []string{"needs journal recovery"}},
		}},
		{Exhibit: "EX-002", Kind: evidence.KindCloudTrail, Label: "CloudTrail, all regions", Source: "/cases/in/cloudtrail", SHA256: digest("b4"), Files: 926, Records: 3956, Distinct: 3689, Duplicates: 267, Bytes: 1843000, Indexed: true, First: when("2026-10-06T00:04:26Z"), Last: when("2026-10-20T01:43:57Z"), Regions: []string{"eu-central-1", "us-east-1", "ap-northeast-3"}},
		{Exhibit: "EX-003", Kind: evidence.KindFlowLog, Label: "VPC flow logs", Source: "/cases/in/flowlogs", SHA256: digest("0c"), Files: 10, Records: 2237, Distinct: 2237, SkipData: 1, NoData: 1, Bytes: 301204, Indexed: true, First: when("2026-10-13T12:00:13Z"), Last: when("2026-10-16T09:29:40Z"), Gaps: []evidence.Gap{{Exhibit: "EX-003", Place: "AWSLogs/x.log.gz#41", Offset: 4417, Reason: "24 fields, the header names 25"}}},
	}
	places := []evidence.Place{
		{Exhibit: "EX-001", Address: ptr("EX-001/p2/314:2117930903/home/ec2-user/.aws/credentials"), Offset: 18489374, Status: "allocated", Secret: true, Fingerprint: "5b1f0c9e77a2d310"},
		{Exhibit: "EX-001", Address: ptr("EX-001/p2/322:1894277301/home/marc/.bash_history"), Offset: 18522266, Status: "deleted", Secret: true, Fingerprint: "5b1f0c9e77a2d310"},
	}
	in.Keys = []evidence.Key{
		{KeyID: key, Kind: "long-term", Places: places, Events: 6, First: when("2026-10-14T01:12:09Z"), Last: when("2026-10-14T01:15:02Z"), Regions: []string{"us-east-1"}, Principals: []string{marc}},
		{KeyID: "AKIAIOSFODNN7EXAMPLE", Kind: "long-term", Places: []evidence.Place{{Exhibit: "EX-001", Offset: 40112233, Status: "unallocated"}}, Documentation: true},
	}
	in.Traces = []evidence.Trace{sampleTrace(key, s1, s2, spare, marc, session, places, rec)}
	in.Findings = []evidence.Finding{
		{ID: "F1", Title: "Access key on a disk was used in CloudTrail", Level: "high", Rule: "key-on-disk-used", Events: []string{*places[0].Address, rec(3).String()}, First: when("2026-10-14T01:12:09Z"), Last: when("2026-10-14T01:15:02Z"), Entities: []string{key, marc}, Observed: "The key lies at 2 places of EX-001 and made 6 calls from 203.0.113.66.", Limits: "Does not show who copied it, or that no other copy exists."},
		{ID: "F2", Title: "A region was used for the first time", Level: "high", Rule: "region-first-use", Events: []string{rec(1).String()}, First: when("2026-10-14T01:58:11Z"), Last: when("2026-10-14T02:04:53Z"), Entities: []string{"ap-northeast-3", s1}, Observed: "14 calls in ap-northeast-3; nobody else acted there in the 8 days before.", Limits: "Older logs were not acquired."},
		{ID: "F3", Title: "ICMP payloads that are no ping", Level: "critical", Rule: "icmp-tunnel", Events: []string{"EX-004/mirror.pcapng#1"}, First: when("2026-10-16T09:00:02.118204Z"), Last: when("2026-10-16T09:05:33.332353Z"), Entities: []string{"198.51.100.77", key}, Observed: "44 of 44 replies differ from their requests; 42,045 payload bytes at 7.97 bits a byte.", Limits: "Consistent with a tunnel; the contents are not decoded."},
	}
	in.Timeline = []evidence.Moment{
		{Time: when("2026-10-13T23:51:25.204877391Z"), Source: "fs", Type: ".A..", Summary: "/home/ec2-user/.aws/credentials", Exhibit: "EX-001", Record: *places[0].Address},
		{Time: when("2026-10-14T01:12:09Z"), Source: "cloudtrail", Type: "GetCallerIdentity", Summary: "GetCallerIdentity in us-east-1 from 203.0.113.66", Actor: ptr(marc), Exhibit: "EX-002", Record: rec(3).String()},
		{Time: when("2026-10-14T02:03:27Z"), Source: "cloudtrail", Type: "RunInstances", Summary: "RunInstances in ap-northeast-3 from 203.0.113.191", Actor: ptr(session), Exhibit: "EX-002", Record: rec(1).String(), Tags: []string{"bad"}},
		{Time: when("2026-10-14T02:20:41Z"), Source: "flow", Type: "icmp", Summary: "172.31.38.114 → 198.51.100.77, 54 packets, 36,720 bytes", Exhibit: "EX-003", Record: "EX-003/x.log.gz#12", Uncertain: ptr("60s window")},
		{Time: when("2026-10-14T04:47:31Z"), Source: "fs", Type: "D", Summary: "/home/marc/.bash_history (deleted)", Exhibit: "EX-001", Record: *places[1].Address},
	}
	in.Records = sampleRecords(in)
	return in
}

func sampleTrace(key, s1, s2, spare, marc, session string, places []evidence.Place, rec func(int64) evidence.Record) evidence.Trace {
	t := evidence.Trace{
		Entity: evidence.Entity{Type: "access-key", ID: key}, FoundAt: places, Events: 6, First: when("2026-10-14T01:12:09Z"), Last: when("2026-10-14T01:15:02Z"),
		IssuedBy: []evidence.IssuedKey{{KeyID: "ASIARZPUZDIKWX3KJ2PL", By: key, ByEvent: "6b0e9d0a-70e8-4c8f-9a1c-0f9e2a1d7c55", EventName: "CreateAccessKey", Principal: marc, Join: "key-id", Depth: 1, Time: when("2026-10-08T16:05:48Z"), Permanent: true}},
		Issued: []evidence.IssuedKey{
			{KeyID: s1, By: key, ByEvent: "0d9ce5a1-1f0a-4f57-9a38-5a70c9a0d2b1", EventName: "AssumeRole", Principal: session, Join: "key-id", Depth: 1, Time: when("2026-10-14T01:15:02Z"), Events: 33},
			{KeyID: s2, By: s1, ByEvent: "e1c5b2d4-95a4-4d0e-8f7b-2c1a40b7e6f2", EventName: "AssumeRole", Principal: "arn:aws:sts::123456789012:assumed-role/DataPipelineReader/etl-0", Join: "key-id", Depth: 2, Time: when("2026-10-14T02:31:40Z"), Events: 6},
			{KeyID: spare, By: s1, ByEvent: "7f2f4a36-0a53-4b4b-8f07-b1f3c6a9d0e4", EventName: "AssumeRole", Principal: session, Join: "key-id", Depth: 2, Time: when("2026-10-14T02:40:03Z")},
		},
		Regions: []evidence.RegionUse{
			{Region: "us-east-1", Events: 21, Failed: 8, First: when("2026-10-14T01:12:09Z"), Last: when("2026-10-14T02:40:03Z")},
			{Region: "eu-central-1", Events: 10, Failed: 8, First: when("2026-10-14T01:15:57Z"), Last: when("2026-10-14T02:32:30Z")},
			{Region: "ap-northeast-3", Events: 14, First: when("2026-10-14T01:58:11Z"), Last: when("2026-10-14T02:04:53Z"), Unusual: true},
		},
		Calls:     []evidence.CallCount{{Name: "AssumeRole", OK: 3}, {Name: "DescribeInstances", OK: 7}, {Name: "GetCallerIdentity", OK: 3}, {Name: "RunInstances", OK: 1, Failed: 2}},
		Addresses: []evidence.AddressUse{{IP: "203.0.113.66", Events: 7, First: when("2026-10-14T01:12:09Z"), Last: when("2026-10-14T01:15:21Z")}, {IP: "203.0.113.191", Events: 38, First: when("2026-10-14T01:15:40Z"), Last: when("2026-10-14T02:40:03Z")}},
		Instances: []evidence.Instance{{ID: "i-0d980f462ad001bd0", Region: "ap-northeast-3", PrivateIPs: []string{"172.31.38.114"}, PublicIPs: []string{"192.0.2.199"}, Interfaces: []string{"eni-0628ab4c338acf59b"}}},
		Created: []evidence.Created{
			{Type: "AWS::EC2::KeyPair", ID: "osaka-1", Region: "ap-northeast-3", EventID: "a", Time: when("2026-10-14T01:59:25Z"), Record: rec(4)},
			{Type: "AWS::EC2::SecurityGroup", ID: "sg-0b1d1c2f9a8e77c10", Region: "ap-northeast-3", EventID: "b", Time: when("2026-10-14T01:59:52Z"), Record: rec(5)},
			{Type: "AWS::EC2::Instance", ID: "i-0d980f462ad001bd0", Region: "ap-northeast-3", EventID: "c", Time: when("2026-10-14T02:03:27Z"), Record: rec(1)},
		},
		Peers: []evidence.TracePeer{
			{IP: "198.51.100.77", Protocol: "icmp", BytesOut: 12105991, BytesIn: 8729501, Packets: 33952, First: when("2026-10-14T02:20:41Z"), Last: when("2026-10-16T09:29:40Z"), Lower: true, Country: ptr("NL"), ASN: ptr(int64(64500)), Lists: []string{"abuse-2026"}},
			{IP: "203.0.113.191", Protocol: "tcp", BytesOut: 76224, BytesIn: 58088, Packets: 948, First: when("2026-10-14T02:09:12Z"), Last: when("2026-10-14T23:32:03Z")},
			{IP: "203.0.113.20", Protocol: "tcp", BytesOut: 166310, BytesIn: 703412, Packets: 2390, First: when("2026-10-14T02:10:31Z"), Last: when("2026-10-16T09:20:11Z")},
		},
		ICMP: []evidence.ICMPPair{
			{Local: "172.31.38.114", Peer: "198.51.100.77", Requests: 44, Replies: 44, PayloadBytes: 42045, Entropy: 7.971, Verdict: "tunnel", Reasons: []string{"44 of 44 replies differ from their requests", "payloads of 181 to 698 bytes that no known ping makes"}, First: when("2026-10-16T09:00:02.118204Z"), Last: when("2026-10-16T09:05:33.332353Z")},
			{Local: "172.31.38.114", Peer: "192.0.2.53", Requests: 12, Replies: 12, PayloadBytes: 1344, Entropy: 5.3, Verdict: "ordinary", Reasons: []string{"the payload of Linux ping, echoed"}, First: when("2026-10-16T09:01:37Z"), Last: when("2026-10-16T09:01:48Z")},
		},
	}
	return t
}

func sampleRecords(in Input) []custody.Record {
	hash := func(n int64) string { return strings.Repeat(num(n%10), 64) }
	tool := custody.Tool{Name: "snapcase", Version: "0.1.0", SHA256: strings.Repeat("ea", 32)}
	var out []custody.Record
	add := func(at, kind, exhibit, result string, data map[string]any) {
		n := int64(len(out))
		prev := strings.Repeat("0", 64)
		if n > 0 {
			prev = out[n-1].Hash
		}
		out = append(out, custody.Record{V: 1, Seq: n, Prev: prev, Case: in.Case.ID, Time: when(at), Type: kind, Actor: "alice@example.org", Key: "SHA256:GQcxQcMtF0GQuoBa5Iu7TKYZBwP0YO9EEs0oJuxu43A", Tool: tool, Host: "sift-01", Exhibit: exhibit, Result: result, Data: data, Hash: hash(n + 1)})
	}
	add("2026-11-23T09:00:00Z", "case.open", "", "", map[string]any{"title": in.Case.Title})
	for i, x := range in.Exhibits {
		m := string(rune('1' + i))
		add("2026-11-23T09:0"+m+":05.25Z", "evidence.acquire.start", x.Exhibit, "", map[string]any{"kind": string(x.Kind), "source": x.Source, "instance": "i-04f44ac417583f725", "region": "eu-central-1"})
		add("2026-11-23T09:0"+m+":41.5Z", "evidence.acquire.end", x.Exhibit, "ok", map[string]any{"bytes": num(x.Bytes), "sha256": x.SHA256.String(), "api": "file", "reread": "match", "read_errors": []any{}})
	}
	add("2026-11-23T09:20:00Z", "review.note", "", "", map[string]any{"text": "owner confirms: not his doing"})
	add("2026-11-23T09:30:00Z", "evidence.verify", "EX-001", "ok", map[string]any{"verdict": "intact"})
	add("2026-11-23T09:40:00Z", "custody.release", "EX-001", "", map[string]any{"from": map[string]any{"name": "Alice Ames", "id": "4711", "organisation": "Acme IR"}, "to": "Bob Byrd", "reason": "court order 12/26", "medium": "courier, sealed bag 88", "seal": hash(7), "hash_before": in.Exhibits[0].SHA256.String()})
	add("2026-11-23T09:55:00Z", "custody.receive", "EX-001", "ok", map[string]any{"from": "Alice Ames", "to": "Bob Byrd", "hash_after": in.Exhibits[0].SHA256.String(), "match": true})
	return out
}

func write(t testing.TB, in Input) string {
	t.Helper()
	dir := t.TempDir()
	if err := Write(t.Context(), dir, in); err != nil {
		t.Fatal(err)
	}
	return dir
}
