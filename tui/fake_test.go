package tui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/acquire"
	"snapcase/evidence/custody"
	"snapcase/imaging"
	"snapcase/store"
)

// fakeCase answers every question of the screens from figures, the same ones
// each time. n is how many events and moments it has.
type fakeCase struct {
	n        int64
	empty    bool
	fail     error
	block    chan struct{} // answers wait for it
	readOnly bool
	bundle   bool
	response string // state of the response that the ledger has
	under    func() []acquire.Underway
	early    bool // EX-005 is listed though it is not sealed
	aws      fakeAWS

	mu    sync.Mutex
	wrote []string
}

var (
	errFake = evidence.WithHint(errors.New("read EX-002: superblock: bad checksum"), "backups at 32768 and 98304 were tried")
	day     = time.Date(2019, 9, 4, 22, 0, 0, 0, time.UTC)
)

func at(sec int64, nsec int32) imaging.Time {
	return imaging.Time{Sec: day.Unix() + sec, Nsec: nsec, Set: true}
}

func ptr[T any](v T) *T { return &v }

func (f *fakeCase) gate(ctx context.Context) error {
	if f.block != nil {
		select {
		case <-f.block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return f.fail
}

func (f *fakeCase) File() evidence.CaseFile {
	return evidence.CaseFile{Version: 1, Title: "Marc the intern", Examiner: "jdoe@example.org", Authority: "TICKET-991", Created: at(0, 0)}
}
func (f *fakeCase) ReadOnly() bool { return f.readOnly }
func (f *fakeCase) Bundle() bool   { return f.bundle }

// pageOf is a page over n rows that a function makes.
func pageOf[T any](n int64, row func(i int64) T, when func(v T) imaging.Time, r store.PageRequest) store.Page[T] {
	size := int64(r.Rows)
	if size == 0 {
		size = 256
	}
	from, to := int64(0), int64(0)
	switch {
	case r.Row > 0:
		from = min(r.Row-1, n)
		to = min(from+size, n)
	case r.At.Set:
		from = int64(sort.Search(int(n), func(i int) bool { return when(row(int64(i))).Compare(r.At) >= 0 }))
		to = min(from+size, n)
	case r.From != "":
		var i int64
		fmt.Sscanf(string(r.From), "%d", &i)
		i = min(i, n-1) // the rows may have become fewer
		switch {
		case r.Backward:
			from, to = max(i-size, 0), max(i, 0)
		case r.Inclusive:
			from, to = max(i, 0), min(max(i, 0)+size, n)
		default:
			from, to = i+1, min(i+1+size, n)
		}
	case r.Backward:
		from, to = max(n-size, 0), n
	default:
		to = min(size, n)
	}
	g := store.Page[T]{Before: from > 0, After: to < n, Ordinal: from + 1}
	for i := from; i < to; i++ {
		g.Rows = append(g.Rows, row(i))
		g.Cursors = append(g.Cursors, store.Cursor(fmt.Sprintf("%012d", i)))
	}
	return g
}

func sliceOf[T any](all []T, when func(v T) imaging.Time, r store.PageRequest) store.Page[T] {
	return pageOf(int64(len(all)), func(i int64) T { return all[i] }, when, r)
}

func (f *fakeCase) Stats(ctx context.Context) ([]evidence.ExhibitStats, error) {
	if err := f.gate(ctx); err != nil || f.empty {
		return nil, err
	}
	d := evidence.Digest{0x9f, 0x2c, 0x4e, 31: 0x11}
	all := []evidence.ExhibitStats{
		{Exhibit: "EX-001", Kind: evidence.KindDisk, Label: "web-1 root", Source: "/srv/web-1.raw", SHA256: d, Bytes: 42949672960, Files: 1, Indexed: true, First: at(-86400*300, 0), Last: at(7200, 418_000_000), Volumes: []evidence.VolumeStats{
			{ID: "p1", Type: "efi", FS: "vfat", Label: "EFI", Start: 1048576, Size: 134217728, Entries: 12},
			{ID: "p2", Type: "linux", FS: "ext4", Label: "cloudimg-rootfs", UUID: "0b3e7a1c-2f3d-4a55-9f1e-7a0c1d2e3f40", Start: 135266304, Size: 42814406656, Entries: 1204551, Deleted: 1204, Damaged: 2},
		}},
		{
			Exhibit: "EX-002", Kind: evidence.KindCloudTrail, Label: "trail, all regions", Source: "s3://acme-trail/AWSLogs/", SHA256: d, Bytes: 1181116006, Files: 8841, Records: f.n + 12, Distinct: f.n, Duplicates: 12, BadRecords: 1, Indexed: true, First: at(-86400, 0), Last: at(86400, 0), Regions: []string{"us-east-1", "eu-west-1", "ap-southeast-1"},
			Gaps: []evidence.Gap{{Exhibit: "EX-002", Place: "us-east-1/…T1415Z.json.gz#88", Offset: 40960, Reason: "gzip: unexpected EOF"}},
		},
		{Exhibit: "EX-003", Kind: evidence.KindFlowLog, Source: "/srv/flow", SHA256: d, Bytes: 838860800, Files: 40, Records: 9804112, Distinct: 9804112, Indexed: true, First: at(0, 0), Last: at(7200, 0)},
		{Exhibit: "EX-004", Kind: evidence.KindPcap, Label: "mirror of eni-0aa", Source: "/srv/mirror.pcap", SHA256: d, Bytes: 8388608, Files: 1, Records: 4020, Distinct: 4020, Indexed: true, First: at(3000, 0), Last: at(6600, 0)},
	}
	if f.early {
		all = append(all, evidence.ExhibitStats{Exhibit: "EX-005", Kind: evidence.KindDisk, Source: "snap-0123456789abcdef0", Bytes: 100 << 30, Indexed: true, Incomplete: &evidence.Incomplete{State: "running", Acquired: 37 << 30}})
	}
	return all, nil
}

// Acquisitions are one of another process, one that was killed, one that failed and
// one of a folder.
func (f *fakeCase) Acquisitions(ctx context.Context) ([]acquire.Underway, error) {
	if err := f.gate(ctx); err != nil || f.empty {
		return nil, err
	}
	if f.under != nil {
		return f.under(), nil
	}
	return []acquire.Underway{
		{Exhibit: "EX-005", Kind: evidence.KindDisk, Label: "web-2 root", Source: "snap-0123456789abcdef0", API: "ebs-direct", Started: at(90000, 0), Size: 100 << 30, Block: 512 << 10, Wanted: 41 << 30, Data: 17 << 30, Zeros: 20 << 30, Running: true, Early: true},
		{Exhibit: "EX-006", Kind: evidence.KindDisk, Source: "/dev/nvme1n1", API: "block-device", Started: at(80000, 0), Size: 8 << 30, Data: 3 << 30, Zeros: 1 << 30, Lost: 4096},
		{Exhibit: "EX-007", Kind: evidence.KindDisk, Source: "snap-0fedcba9876543210", API: "ebs-direct", Started: at(70000, 0), Size: 8 << 30, Block: 512 << 10, Wanted: 2 << 30, Data: 1 << 30, Error: "read block 41 of snap-0fedcba9876543210 in eu-west-1: the credentials have expired"},
		{Exhibit: "EX-008", Kind: evidence.KindCloudTrail, Source: "s3://acme-trail/AWSLogs/", API: "s3", Started: at(60000, 0), Files: 8841, Data: 1 << 30, Running: true},
	}, nil
}

func (f *fakeCase) Keys(ctx context.Context, all bool) ([]evidence.Key, error) {
	if err := f.gate(ctx); err != nil || f.empty {
		return nil, err
	}
	keys := []evidence.Key{
		{
			KeyID: "AKIAIOSFODNN7EXAMPLE", Kind: "long-term", Events: 204, First: at(3793, 0), Last: at(6400, 0), Regions: []string{"us-east-1", "ap-southeast-1"}, Principals: []string{"arn:aws:iam::123456789012:user/Marc_the_Intern"}, Documentation: true,
			Places: []evidence.Place{
				{Exhibit: "EX-001", Address: ptr("EX-001/p2/131:7/home/ec2-user/.aws/credentials"), Offset: 0x11f20a40, Status: "allocated", Secret: true, Fingerprint: "3e91c07a52f0d188", FileOffset: ptr(int64(30))},
				{Exhibit: "EX-001", Address: ptr("EX-001/p2/140:1/home/ec2-user/.bash_history"), Offset: 0x11f30a40, Status: "deleted", Secret: true, Fingerprint: "3e91c07a52f0d188", FileOffset: ptr(int64(212))},
				{Exhibit: "EX-001", Offset: 0x311f20a40, Status: "unallocated"},
				{Exhibit: "EX-002", Address: ptr("EX-002/us-east-1/a.json.gz#311"), Offset: 211, Status: "log"},
			},
		},
		{
			KeyID: "ASIAIOSFODNN7EXAMPLE", Kind: "temporary", Events: 31, First: at(3900, 0), Last: at(5000, 0), Regions: []string{"ap-southeast-1"}, Principals: []string{"arn:aws:sts::123456789012:assumed-role/admin/session"},
			Places: []evidence.Place{{Exhibit: "EX-002", Address: ptr("EX-002/us-east-1/a.json.gz#312"), Offset: 400, Status: "log"}},
		},
		{KeyID: "AKIAI44QH8DHBEXAMPLE", Kind: "long-term", Places: []evidence.Place{{Exhibit: "EX-001", Offset: 0x22, Status: "slack"}}},
	}
	if all {
		keys = append(keys, evidence.Key{KeyID: "ASIAJEXAMPLEEXAMPLEQ", Kind: "temporary", Events: 3, First: at(9, 0), Last: at(10, 0), Regions: []string{"us-east-1"}})
	}
	return keys, nil
}

func (f *fakeCase) Findings(ctx context.Context) ([]evidence.Finding, error) {
	if err := f.gate(ctx); err != nil || f.empty {
		return nil, err
	}
	return []evidence.Finding{
		{ID: "F1", Title: "Access key on disk used in CloudTrail", Level: "high", Rule: "key-on-disk", Events: []string{"EX-001/p2/131:7/home/ec2-user/.aws/credentials", "EX-002/us-east-1/a.json.gz#311"}, First: at(3793, 0), Last: at(6400, 0), Entities: []string{"AKIAIOSFODNN7EXAMPLE"}, Observed: "The access key AKIAIOSFODNN7EXAMPLE lies in 3 places of EX-001, one of them a deleted shell history. It made 204 calls from 203.0.113.54 between 23:03:13Z and 23:46:40Z.", Limits: "Who typed the calls is not shown. Two copies of the key outside the evidence cannot be excluded."},
		{ID: "F2", Title: "Region never used before: ap-southeast-1", Level: "high", Rule: "new-region", Events: []string{"EX-002/ap-southeast-1/b.json.gz#88"}, First: at(4000, 0), Last: at(4300, 0), Entities: []string{"ASIAIOSFODNN7EXAMPLE", "i-0b20aa11bb22cc33d"}, Observed: "2 RunInstances calls in a region without any event before.", Limits: "Logs before 2019-09-03 were not acquired."},
		{ID: "F3", Title: "ICMP payloads that are no ping: 10.0.1.9 ↔ 198.51.100.7", Level: "medium", Rule: "icmp-payload", First: at(4500, 0), Last: at(6600, 0), Entities: []string{"198.51.100.7"}, Observed: "2,010 echo requests with 980 bytes of 7.98 bits a byte.", Limits: "Content is not decoded."},
		{ID: "F4", Title: "Root sign-in without MFA", Level: "low", Rule: "root-signin", First: at(100, 0), Last: at(100, 0)},
	}, nil
}

func (f *fakeCase) Records(ctx context.Context) ([]custody.Record, error) {
	if err := f.gate(ctx); err != nil || f.empty {
		return nil, err
	}
	types := []string{"case.create", "acquire.start", "acquire.end", "index", "note", "checkpoint"}
	var out []custody.Record
	for i := range 42 {
		r := custody.Record{
			V: 1, Seq: int64(i + 1), Time: at(int64(i*61), 0), Type: types[i%len(types)], Actor: "jdoe", Key: "SHA256:3nCr", Host: "forensic-1", Authority: "TICKET-991", Result: "ok", Exhibit: fmt.Sprintf("EX-%03d", i%4+1),
			Hash: fmt.Sprintf("%064x", i*7919+12345), Prev: fmt.Sprintf("%064x", (i-1)*7919+12345), Tool: custody.Tool{Name: "snapcase", Version: "0.1.0", SHA256: "4be1c0ffee", Args: []string{"snapcase", "acquire", "case1"}}, Data: map[string]any{"bytes": "42949672960", "source": "/srv/web-1.raw"},
		}
		out = append(out, r)
	}
	if f.aws.begun != "" && f.response != "" {
		return append(out, responseRecords(victim, f.aws.begun)...), nil
	}
	return append(out, responseRecords(victim, f.response)...), nil
}

// hostile are names that a terminal must not act on.
var hostile = []string{"\x1b]52;c;aGk=\x07", "\x1b[31mred\x1b[0m", "inv\u202efdp.exe", "two\nlines\rand\ttab", "\x9b31m", "\u009b2J", "\x1bP1;2|x\x1b\\", "日本語.txt", "\U0001f469\u200d\U0001f4bb", "e\u0301\u0301\u0301\u0301"}

func (f *fakeCase) files() []evidence.FileEntry {
	var out []evidence.FileEntry
	add := func(path, kind, status string, size int64) {
		mode := map[string]string{"dir": "040755", "symlink": "120777"}[kind]
		if mode == "" {
			mode = "100600"
		}
		n := uint64(100 + len(out))
		e := evidence.FileEntry{
			Address: fmt.Sprintf("EX-001/p2/%d:1%s", n, path), Exhibit: "EX-001", Volume: "p2", Path: path, Inode: n, Generation: 1, Type: kind, Mode: mode, UID: 1000, GID: 1000, Links: 1, Size: size, Status: status,
			Modified: at(int64(len(out))*37, 418_000_001), Accessed: at(3800, 5), Changed: at(3700, 0), Born: at(-4000, 0),
		}
		if kind == "symlink" {
			e.Link = ptr("/etc/\x1b[31mpasswd")
		}
		if status == "deleted" {
			e.DeletedAt, e.From = at(7000, 0), "inode"
		}
		out = append(out, e)
	}
	for _, d := range []string{"/boot", "/etc", "/home", "/home/ec2-user", "/home/ec2-user/.aws", "/home/ec2-user/.ssh", "/home/ec2-user/src", "/var", "/var/log"} {
		add(d, "dir", "allocated", 4096)
	}
	add("/home/ec2-user/.aws/credentials", "file", "allocated", 116)
	add("/home/ec2-user/.bash_history", "file", "deleted", 411)
	add("/home/ec2-user/deploy.sh", "file", "allocated", 2103)
	add("/home/ec2-user/link", "symlink", "allocated", 11)
	for _, h := range hostile {
		add("/home/ec2-user/"+h, "file", "allocated", 7)
	}
	for i := range 30 {
		add(fmt.Sprintf("/var/log/messages.%02d", i), "file", "allocated", int64(i)*10007)
	}
	slices.SortFunc(out, func(a, b evidence.FileEntry) int { return strings.Compare(a.Path, b.Path) })
	return out
}

func (f *fakeCase) selectFiles(q store.FileQuery) []evidence.FileEntry {
	if f.empty || q.Volume == "p1" {
		return nil
	}
	var out []evidence.FileEntry
	for _, e := range f.files() {
		ok := (q.Dir == "" || parentOf(e.Path) == q.Dir && e.Path != "/") && (q.Under == "" || strings.HasPrefix(e.Path, q.Under)) &&
			(q.Name == "" || strings.Contains(baseOf(e.Path), q.Name)) && (!q.Dirs || e.Type == "dir") && (!q.Deleted || e.Status != "allocated") && (!q.HideDeleted || e.Status == "allocated")
		if ok {
			out = append(out, e)
		}
	}
	return out
}

func (f *fakeCase) FilePage(ctx context.Context, q store.FileQuery, r store.PageRequest) (store.Page[evidence.FileEntry], error) {
	if err := f.gate(ctx); err != nil {
		return store.Page[evidence.FileEntry]{}, err
	}
	return sliceOf(f.selectFiles(q), func(e evidence.FileEntry) imaging.Time { return e.Modified }, r), nil
}

func (f *fakeCase) FileCount(ctx context.Context, q store.FileQuery, _ int64) (int64, error) {
	return int64(len(f.selectFiles(q))), f.gate(ctx)
}

// someBytes is a source over bytes.
type someBytes string

func (s someBytes) Size() int64 { return int64(len(s)) }
func (s someBytes) ReadAt(p []byte, off int64) (int, error) {
	return strings.NewReader(string(s)).ReadAt(p, off)
}

const credentials = "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\nregion = us-east-1\n\x00\x01\x02binary\xff\xfe"

func (f *fakeCase) OpenEntry(ctx context.Context, a evidence.Address) (imaging.Source, evidence.FileEntry, error) {
	for _, e := range f.files() {
		if e.Path == a.Path {
			return someBytes(credentials), e, f.gate(ctx)
		}
	}
	return nil, evidence.FileEntry{}, errors.Join(f.gate(ctx), evidence.ErrNotFound)
}

func (f *fakeCase) OpenImage(ctx context.Context, _ string) (imaging.Source, error) {
	return someBytes(strings.Repeat(credentials, 9000)), f.gate(ctx)
}

func (f *fakeCase) Accessed(context.Context, string, string) error { return nil }

var calls = []string{"DescribeInstances", "GetCallerIdentity", "ListBuckets", "AssumeRole", "RunInstances", "GetObject", "DescribeInstances", "ConsoleLogin"}

func fakeEvent(i int64) evidence.Event {
	name := calls[i%8]
	e := evidence.Event{
		EventID: fmt.Sprintf("6f8e%08d-aaaa-bbbb-cccc-%012d", i, i), Time: at(i/2-3600, 0), Name: name, Source: "ec2.amazonaws.com", Region: []string{"us-east-1", "us-east-1", "eu-west-1", "ap-southeast-1"}[i%4], Type: "AwsApiCall",
		PrincipalType: "IAMUser", PrincipalID: "AIDAEXAMPLE", ARN: "arn:aws:iam::123456789012:user/Marc_the_Intern", Account: "123456789012", User: "Marc_the_Intern", AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SourceIP: "203.0.113.54",
		UserAgent: "aws-cli/1.16 \x1b]0;title\x07 Python/3.7", ReadOnly: ptr(i%8 != 4 && i%8 != 3), Resources: []evidence.Resource{{Type: "AWS::EC2::Instance", Name: "i-0b20aa11bb22cc33d"}}, RequestID: "3a1c", Record: evidence.Record{Exhibit: "EX-002", File: "us-east-1/a.json.gz", N: i + 1}, Copies: 1 + i%2,
	}
	if i%11 == 3 {
		e.ErrorCode, e.ErrorMessage = "UnauthorizedOperation", "You are not authorized to perform this operation."
	}
	return e
}

func (f *fakeCase) eventCount(q store.EventQuery) int64 {
	switch {
	case f.empty || q.User == "nobody" || q.Text == "nothing":
		return 0
	case queryID(q) != queryID(store.EventQuery{}):
		return min(f.n, 40)
	}
	return f.n
}

func (f *fakeCase) EventPage(ctx context.Context, q store.EventQuery, r store.PageRequest) (store.Page[evidence.Event], error) {
	if err := f.gate(ctx); err != nil {
		return store.Page[evidence.Event]{}, err
	}
	return pageOf(f.eventCount(q), fakeEvent, func(e evidence.Event) imaging.Time { return e.Time }, r), nil
}

func (f *fakeCase) EventCount(ctx context.Context, q store.EventQuery, limit int64) (int64, error) {
	n := f.eventCount(q)
	if limit > 0 {
		n = min(n, limit)
	}
	return n, f.gate(ctx)
}

func (f *fakeCase) Raw(ctx context.Context, r evidence.Record) ([]byte, error) {
	return fmt.Appendf(nil, `{"eventVersion":"1.05","eventName":"GetCallerIdentity","userAgent":"\u001b[31m","n":%d,"responseElements":{"accessKey":{"accessKeyId":"AKIAIOSFODNN7EXAMPLE","secretAccessKey":"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}}}`, r.N), f.gate(ctx)
}

func (f *fakeCase) Trace(ctx context.Context, entity string) (evidence.Trace, error) {
	if err := f.gate(ctx); err != nil || f.empty {
		return evidence.Trace{}, errors.Join(err, evidence.WithHint(evidence.ErrNotFound, "snapcase keys CASE --all lists what there is"))
	}
	keys, _ := f.Keys(ctx, false)
	return evidence.Trace{
		Entity: evidence.Entity{Type: "access-key", ID: entity}, FoundAt: keys[0].Places, Events: 204, First: at(3793, 0), Last: at(6400, 0),
		Issued: []evidence.IssuedKey{
			{KeyID: "ASIAIOSFODNN7EXAMPLE", By: entity, EventName: "AssumeRole", Principal: "admin/session", Depth: 1, Time: at(3900, 0), Events: 31},
			{KeyID: "ASIAJEXAMPLEEXAMPLEQ", By: "ASIAIOSFODNN7EXAMPLE", EventName: "AssumeRole", Depth: 2, Time: at(3950, 0), Events: 12},
			{KeyID: "AKIAI44QH8DHBEXAMPLE", By: entity, EventName: "CreateAccessKey", Depth: 1, Time: at(4100, 0), Events: 3, Permanent: true},
		},
		Regions:   []evidence.RegionUse{{Region: "us-east-1", Events: 141, Failed: 12, First: at(3793, 0), Last: at(6400, 0)}, {Region: "ap-southeast-1", Events: 61, Failed: 3, First: at(4000, 0), Last: at(4300, 0), Unusual: true}, {Region: "eu-west-1", Events: 2, First: at(4200, 0), Last: at(4201, 0)}},
		Calls:     []evidence.CallCount{{Name: "DescribeInstances", OK: 170, Failed: 0}, {Name: "RunInstances", OK: 2, Failed: 3}, {Name: "GetCallerIdentity", OK: 11}, {Name: "AssumeRole", OK: 2, Failed: 12}, {Name: "CreateAccessKey", OK: 1}},
		Created:   []evidence.Created{{Type: "instance", ID: "i-0b20aa11bb22cc33d", Region: "ap-southeast-1", EventID: "6f8e", Time: at(4010, 0), Record: evidence.Record{Exhibit: "EX-002", File: "b.json.gz", N: 88}}, {Type: "access-key", ID: "AKIAI44QH8DHBEXAMPLE", Region: "us-east-1", EventID: "6f8f", Time: at(4100, 0), Record: evidence.Record{Exhibit: "EX-002", File: "a.json.gz", N: 400}}},
		Instances: []evidence.Instance{{ID: "i-0b20aa11bb22cc33d", Region: "ap-southeast-1", PrivateIPs: []string{"10.0.1.9"}, PublicIPs: []string{"203.0.113.99"}, Interfaces: []string{"eni-0aa11bb22cc33dd44"}}},
		Peers:     []evidence.TracePeer{{IP: "198.51.100.7", Protocol: "icmp", BytesOut: 1971000, BytesIn: 1970000, Packets: 4020, First: at(4500, 0), Last: at(6600, 0), Lists: []string{"threat-feed"}}, {IP: "203.0.113.54", Protocol: "tcp", BytesOut: 812000000, BytesIn: 100200, Packets: 611204, First: at(4600, 0), Last: at(6600, 0), Lower: true}},
		ICMP:      fakeICMP(),
		Addresses: []evidence.AddressUse{{IP: "203.0.113.54", Events: 200, First: at(3793, 0), Last: at(6400, 0)}},
	}, nil
}

func fakeICMP() []evidence.ICMPPair {
	return []evidence.ICMPPair{
		{Local: "10.0.1.9", Peer: "198.51.100.7", Requests: 2010, Replies: 2010, PayloadBytes: 1969800, Entropy: 7.98, Verdict: "tunnel", Reasons: []string{"payload of 980 bytes, ordinary ping has 56", "7.98 bits a byte: compressed or encrypted", "requests and replies differ"}, First: at(4500, 0), Last: at(6600, 0)},
		{Local: "10.0.1.9", Peer: "10.0.0.2", Requests: 12, Replies: 12, PayloadBytes: 672, Entropy: 4.2, Verdict: "ordinary", Reasons: []string{"payload of ping(8)"}, First: at(100, 0), Last: at(112, 0)},
	}
}

func fakeFlow(i int64) evidence.Flow {
	fl := evidence.Flow{
		Record: evidence.Record{Exhibit: "EX-003", File: "eni-0aa.log.gz", N: i + 1}, Start: at(i*3, 0), End: at(i*3+60, 0), Version: ptr(int64(2)), Account: ptr("123456789012"), Interface: ptr("eni-0aa11bb22cc33dd44"),
		Src: ptr("10.0.1.9"), Dst: ptr("203.0.113.54"), SrcPort: ptr(49152 + i%1000), DstPort: ptr(int64(443)), Protocol: ptr("tcp"), Packets: ptr(i*7 + 1), Bytes: ptr(i*6997 + 40), Action: ptr("ACCEPT"), Status: ptr("OK"),
	}
	switch i % 7 {
	case 2:
		fl.Src, fl.Dst, fl.Protocol, fl.SrcPort, fl.DstPort = ptr("10.0.1.9"), ptr("198.51.100.7"), ptr("icmp"), ptr(int64(0)), ptr(int64(0))
	case 5:
		fl.Action = ptr("REJECT")
	case 6:
		fl.Src, fl.Dst, fl.SrcPort, fl.DstPort, fl.Protocol, fl.Packets, fl.Bytes, fl.Action, fl.Status = nil, nil, nil, nil, nil, nil, nil, nil, ptr("NODATA")
	}
	return fl
}

func (f *fakeCase) FlowPage(ctx context.Context, q store.FlowQuery, r store.PageRequest) (store.Page[evidence.Flow], error) {
	if err := f.gate(ctx); err != nil || f.empty || q.IP == "192.0.2.1" {
		return store.Page[evidence.Flow]{}, err
	}
	return pageOf(2000, fakeFlow, func(v evidence.Flow) imaging.Time { return v.Start }, r), nil
}

func (f *fakeCase) FlowPeers(ctx context.Context, _ store.FlowQuery) ([]evidence.FlowPeer, error) {
	if err := f.gate(ctx); err != nil || f.empty {
		return nil, err
	}
	return []evidence.FlowPeer{
		{Peer: "203.0.113.54", Protocol: "tcp", Records: 1204, PacketsIn: 8000, PacketsOut: 611204, BytesIn: 100200, BytesOut: 812000000, Accepted: 1200, Rejected: 4, First: at(0, 0), Last: at(7000, 0), Ports: []int64{443, 22}},
		{Peer: "198.51.100.7", Protocol: "icmp", Records: 118, PacketsIn: 2010, PacketsOut: 2010, BytesIn: 1970000, BytesOut: 1971000, Accepted: 118, First: at(4500, 0), Last: at(6600, 0), Lists: []string{"threat-feed"}},
	}, nil
}

func (f *fakeCase) ICMP(ctx context.Context) ([]evidence.ICMPPair, error) {
	if err := f.gate(ctx); err != nil || f.empty {
		return nil, err
	}
	return fakeICMP(), nil
}

func fakeMoment(i int64) evidence.Moment {
	m := evidence.Moment{Time: at(i/2-3600, int32(i%3)*104_000_000), Exhibit: "EX-001", Record: fmt.Sprintf("EX-001/p2/%d:1/home/ec2-user/file%d", 100+i, i)}
	switch i % 5 {
	case 0:
		m.Source, m.Type, m.Summary = "fs", "M.C.", fmt.Sprintf("/home/ec2-user/file%d", i)
	case 1:
		m.Source, m.Type, m.Summary, m.Exhibit, m.Record, m.Actor = "cloudtrail", "GetCallerIdentity", "GetCallerIdentity in us-east-1 from 203.0.113.54", "EX-002", fmt.Sprintf("EX-002/us-east-1/a.json.gz#%d", i+1), ptr("Marc_the_Intern")
		m.Tags = []string{"bad"}
	case 2:
		m.Source, m.Type, m.Summary, m.Exhibit, m.Record, m.Uncertain = "flow", "tcp", "10.0.1.9 → 203.0.113.54:443 ACCEPT 802M", "EX-003", fmt.Sprintf("EX-003/eni-0aa.log.gz#%d", i+1), ptr("60s")
	case 3:
		m.Source, m.Type, m.Summary, m.Exhibit, m.Record = "packet", "icmp", "10.0.1.9 → 198.51.100.7 echo request, 980 bytes", "EX-004", fmt.Sprintf("EX-004/mirror.pcap#%d", i+1)
	default:
		m.Source, m.Type, m.Summary, m.Record, m.Uncertain = "host", "auth", "sshd: Accepted publickey \x1b[31mfor app\u202e", "EX-001/auth.log#7", ptr("year")
	}
	return m
}

func (f *fakeCase) momentCount(q store.TimelineQuery) int64 {
	switch {
	case f.empty || q.Text == "nothing":
		return 0
	case q.Text != "" || len(q.Sources) > 0 || q.From.Set:
		return min(f.n, 900)
	}
	return f.n
}

func (f *fakeCase) TimelinePage(ctx context.Context, q store.TimelineQuery, r store.PageRequest) (store.Page[evidence.Moment], error) {
	if err := f.gate(ctx); err != nil {
		return store.Page[evidence.Moment]{}, err
	}
	return pageOf(f.momentCount(q), fakeMoment, func(m evidence.Moment) imaging.Time { return m.Time }, r), nil
}

func (f *fakeCase) TimelineCount(ctx context.Context, q store.TimelineQuery, limit int64) (int64, error) {
	n := f.momentCount(q)
	if limit > 0 {
		n = min(n, limit)
	}
	return n, f.gate(ctx)
}

func (f *fakeCase) Histogram(ctx context.Context, q store.TimelineQuery, n int) (store.Histogram, error) {
	if err := f.gate(ctx); err != nil || f.momentCount(q) == 0 {
		return store.Histogram{}, err
	}
	h := store.Histogram{From: at(-3600, 0), To: at(int64(n)*120-3600, 0), Width: 120, Untimed: 18, Lower: true}
	for i := range n {
		c := map[string]int64{"fs": int64(i % 7), "cloudtrail": int64((i * i) % 41)}
		if i > 50 && i < 80 {
			c["flow"] = int64((i - 50) * (80 - i) / 3)
			c["packet"] = 40
		}
		if i%17 == 0 {
			c = nil
		}
		h.Buckets = append(h.Buckets, store.Bucket{Start: at(int64(i)*120-3600, 0), Count: c})
	}
	return h, nil
}

func (f *fakeCase) Tag(_ context.Context, records []string, tag string, remove bool) ([]custody.Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wrote = append(f.wrote, fmt.Sprintf("tag %v %s %v", records, tag, remove))
	return nil, f.fail
}

func (f *fakeCase) Note(_ context.Context, record, text string) (custody.Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wrote = append(f.wrote, fmt.Sprintf("note %s %s", record, text))
	return custody.Record{}, f.fail
}
