package digest_test

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/cloudtrail/digest"
	"snapcase/evidence/cloudtrail/digest/digesttest"
)

// TestChain validates a chain that nobody touched, and 26 that somebody did.
func TestChain(t *testing.T) {
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	const hours = 10 // hours 4 and 9 are quiet: 16 logs
	tests := []struct {
		name    string
		do      func(m *bucket)
		codes   string // of the failures
		digests evidence.DigestCounts
		logs    evidence.LogCounts
	}{
		{"untouched", func(*bucket) {}, "", evidence.DigestCounts{Valid: 10}, evidence.LogCounts{Valid: 16}},
		{"copied to a folder", func(m *bucket) { m.Copied = true }, "", evidence.DigestCounts{Valid: 10}, evidence.LogCounts{Valid: 16}},
		{
			"log changed", func(m *bucket) { m.Objects[m.LogsOf(3)[1]].Data = digesttest.Pack([]byte(`{"Records":[]}`)) },
			"LOG_HASH",
			evidence.DigestCounts{Valid: 10},
			evidence.LogCounts{Valid: 15, Invalid: 1},
		},
		{
			"log cut", func(m *bucket) { o := m.Objects[m.LogsOf(3)[1]]; o.Data = o.Data[:len(o.Data)-9] },
			"LOG_HASH",
			evidence.DigestCounts{Valid: 10},
			evidence.LogCounts{Valid: 15, Invalid: 1},
		},
		{
			"member behind a log", func(m *bucket) {
				o := m.Objects[m.LogsOf(3)[1]]
				o.Data = append(o.Data, digesttest.Pack([]byte(`{"Records":[{}]}`))...)
			},
			"LOG_TRAILING",
			evidence.DigestCounts{Valid: 10},
			evidence.LogCounts{Valid: 15, Invalid: 1},
		},
		{
			"log removed", func(m *bucket) { delete(m.Objects, m.LogsOf(0)[0]) },
			"LOG_MISSING",
			evidence.DigestCounts{Valid: 10},
			evidence.LogCounts{Valid: 15, Missing: 1},
		},
		{
			"log renamed", func(m *bucket) {
				k := m.LogsOf(0)[0]
				m.Objects[strings.Replace(k, "0000.json", "0009.json", 1)] = m.Objects[k]
				delete(m.Objects, k)
			},
			"LOG_MISSING LOG_UNLISTED",
			evidence.DigestCounts{Valid: 10},
			evidence.LogCounts{Valid: 15, Missing: 1, Unlisted: 1},
		},
		{
			"log added", func(m *bucket) {
				m.Objects[m.LogKey(m.Start.Add(90*time.Minute), 7)] = &digesttest.Object{Data: digesttest.Pack(nil)}
			},
			"LOG_UNLISTED",
			evidence.DigestCounts{Valid: 10},
			evidence.LogCounts{Valid: 16, Unlisted: 1},
		},
		{
			"log before the first digest", func(m *bucket) {
				m.Objects[m.LogKey(m.Start.Add(-time.Minute), 7)] = &digesttest.Object{Data: digesttest.Pack(nil)}
			},
			"LOG_UNPROVED",
			evidence.DigestCounts{Valid: 10},
			evidence.LogCounts{Valid: 16, Unproved: 1},
		},
		{
			"log not covered yet", func(m *bucket) {
				m.Objects[m.LogKey(m.Start.Add(hours*time.Hour+time.Minute), 7)] = &digesttest.Object{Data: digesttest.Pack(nil)}
			},
			"LOG_UNPROVED",
			evidence.DigestCounts{Valid: 10},
			evidence.LogCounts{Valid: 16, Unproved: 1},
		},
		{
			"newest digests removed", func(m *bucket) {
				for h := 6; h < 10; h++ {
					delete(m.Objects, m.Digests[h])
				}
			},
			"DIGEST_NEWEST_MISSING LOG_UNPROVED",
			evidence.DigestCounts{Valid: 6},
			evidence.LogCounts{Valid: 10, Unproved: 6},
		},
		{
			"newest digest removed, told by the service", func(m *bucket) {
				delete(m.Objects, m.Digests[9])
				m.Status = []digest.Status{{Account: "111122223333", Region: "eu-west-1", Trail: "my_trail", LatestDigest: m.Start.Add(hours*time.Hour + 3*time.Minute)}}
			},
			"DIGEST_NEWEST_MISSING",
			evidence.DigestCounts{Valid: 9},
			evidence.LogCounts{Valid: 16},
		},
		{
			"digest removed", func(m *bucket) { delete(m.Objects, m.Digests[5]) },
			"DIGEST_MISSING",
			evidence.DigestCounts{Valid: 9, Missing: 1},
			evidence.LogCounts{Valid: 14, Unproved: 2},
		},
		{
			"three digests and their logs removed", func(m *bucket) {
				for h := 5; h < 8; h++ {
					delete(m.Objects, m.Digests[h])
					for _, k := range m.LogsOf(h) {
						delete(m.Objects, k)
					}
				}
			},
			"DIGEST_MISSING×3",
			evidence.DigestCounts{Valid: 7, Missing: 3},
			evidence.LogCounts{Valid: 10},
		},
		{
			"digest changed", func(m *bucket) { m.Change(5, nil, func(d map[string]any) { d["logFiles"] = []any{} }) },
			"DIGEST_HASH DIGEST_SIGNATURE",
			evidence.DigestCounts{Valid: 9, Invalid: 1},
			evidence.LogCounts{Valid: 14, Unproved: 2},
		},
		{
			"newest digest changed", func(m *bucket) { m.Change(9, nil, func(d map[string]any) { d["newestEventTime"] = "x" }) },
			"DIGEST_SIGNATURE",
			evidence.DigestCounts{Valid: 9, Invalid: 1},
			evidence.LogCounts{Valid: 16},
		},
		{
			"digest signed with another key", func(m *bucket) {
				m.Change(5, other, func(d map[string]any) { d["logFiles"] = []any{} })
			},
			"DIGEST_HASH DIGEST_SIGNATURE",
			evidence.DigestCounts{Valid: 9, Invalid: 1},
			evidence.LogCounts{Valid: 14, Unproved: 2},
		},
		{
			"digest signed with another key that is named", func(m *bucket) {
				m.Change(9, other, func(d map[string]any) { d["digestPublicKeyFingerprint"] = "aa" })
			},
			"KEY_UNKNOWN",
			evidence.DigestCounts{Valid: 9, Unproved: 1},
			evidence.LogCounts{Valid: 16},
		},
		{
			"two keys under one fingerprint", func(m *bucket) { m.Public = append(m.Public, m.KeyOf(other)) },
			"KEY_UNKNOWN×10",
			evidence.DigestCounts{Unproved: 10},
			evidence.LogCounts{Unproved: 16},
		},
		{
			"no key", func(m *bucket) { m.Public = nil },
			"KEY_UNKNOWN×10",
			evidence.DigestCounts{Unproved: 10},
			evidence.LogCounts{Unproved: 16},
		},
		{
			"metadata lost", func(m *bucket) {
				for _, k := range m.Digests {
					m.Objects[k].Metadata = nil
				}
			},
			"SIGNATURE_MISSING",
			evidence.DigestCounts{Valid: 9, Unproved: 1},
			evidence.LogCounts{Valid: 16},
		},
		{
			"metadata lost and a digest changed", func(m *bucket) {
				for _, k := range m.Digests {
					m.Objects[k].Metadata = nil
				}
				m.Change(3, nil, func(d map[string]any) { d["logFiles"] = []any{} })
			},
			"DIGEST_HASH DIGEST_SIGNATURE SIGNATURE_MISSING",
			evidence.DigestCounts{Valid: 8, Invalid: 1, Unproved: 1},
			evidence.LogCounts{Valid: 14, Unproved: 2},
		},
		{
			"metadata forged", func(m *bucket) { m.Objects[m.Digests[5]].Metadata["signature"] = m.Sigs[4] },
			"DIGEST_HASH DIGEST_SIGNATURE",
			evidence.DigestCounts{Valid: 9, Invalid: 1},
			evidence.LogCounts{Valid: 14, Unproved: 2},
		},
		{
			"metadata of another algorithm", func(m *bucket) { m.Objects[m.Digests[5]].Metadata["signature-algorithm"] = "none" },
			"DIGEST_FORMAT",
			evidence.DigestCounts{Valid: 9, Invalid: 1},
			evidence.LogCounts{Valid: 14, Unproved: 2},
		},
		{
			"digest put in the place of another", func(m *bucket) { m.Objects[m.Digests[5]] = m.Objects[m.Digests[4]] },
			"DIGEST_HASH DIGEST_MOVED",
			evidence.DigestCounts{Valid: 9, Invalid: 1},
			evidence.LogCounts{Valid: 14, Unproved: 2},
		},
		{
			"bytes behind a digest", func(m *bucket) { o := m.Objects[m.Digests[5]]; o.Data = append(o.Data, 0) },
			"DIGEST_HASH DIGEST_TRAILING",
			evidence.DigestCounts{Valid: 9, Invalid: 1},
			evidence.LogCounts{Valid: 14, Unproved: 2},
		},
		{
			"no digest", func(m *bucket) {
				for _, k := range m.Digests {
					delete(m.Objects, k)
				}
			},
			"LOG_UNPROVED NO_DIGESTS",
			evidence.DigestCounts{},
			evidence.LogCounts{Unproved: 16},
		},
		{
			"oldest digests removed", func(m *bucket) { delete(m.Objects, m.Digests[0]); delete(m.Objects, m.Digests[1]) },
			"LOG_UNPROVED",
			evidence.DigestCounts{Valid: 8},
			evidence.LogCounts{Valid: 12, Unproved: 4},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := chain(t, hours)
			tt.do(m)
			v := m.Validate()
			if got := digesttest.Codes(v); got != tt.codes {
				t.Errorf("failures %q, want %q\n%+v", got, tt.codes, v.Failures)
			}
			if v.Digests != tt.digests || v.Logs != tt.logs {
				t.Errorf("digests %+v, want %+v; logs %+v, want %+v\n%+v", v.Digests, tt.digests, v.Logs, tt.logs, v.Failures)
			}
			verdict(t, v)
		})
	}
}

// verdict checks that verdict, failures, counts and error are of one mind.
func verdict(t *testing.T, v evidence.TrailValidation) {
	want, is := evidence.TrailValid, error(nil)
	for _, f := range v.Failures {
		if !slices.Contains([]string{"GAP", "LOG_UNLISTED", "LOG_UNPROVED", "KEY_UNKNOWN", "SIGNATURE_MISSING", "DIGEST_NEWEST_MISSING", "NO_DIGESTS"}, f.Code) {
			want, is = evidence.TrailInvalid, evidence.ErrBroken
			break
		}
		want, is = evidence.TrailIncomplete, evidence.ErrGaps
	}
	if v.Verdict != want || !errors.Is(v.Err(), is) {
		t.Errorf("verdict %s, error %v, want %s", v.Verdict, v.Err(), want)
	}
	if v.Verdict == evidence.TrailValid && (v.Digests.Valid == 0 || v.Digests.Invalid+v.Digests.Missing+v.Digests.Unproved+v.Logs.Invalid+v.Logs.Missing+v.Logs.Unlisted+v.Logs.Unproved > 0) {
		t.Errorf("valid with %+v and %+v", v.Digests, v.Logs)
	}
}

// TestGaps looks at chains that end and begin anew.
func TestGaps(t *testing.T) {
	m := chain(t, 4)
	m.Hour(7, true) // three hours off
	m.Hour(8, false)
	m.Objects[m.LogKey(m.Start.Add(5*time.Hour), 0)] = &digesttest.Object{Data: digesttest.Pack(nil)}
	v := m.Validate()
	if digesttest.Codes(v) != "GAP" || v.Digests.Valid != 6 || v.Logs.Unproved != 1 || v.Logs.Unlisted != 0 {
		t.Fatalf("%+v", v)
	}
	g := v.Failures[0]
	if g.From.String() != "2026-11-21T02:01:31Z" || g.To.String() != "2026-11-21T05:01:31Z" {
		t.Errorf("gap from %s to %s", g.From, g.To)
	}
	verdict(t, v)
}

// TestMissingHours wants every missing hour named with the key it would have.
func TestMissingHours(t *testing.T) {
	m := chain(t, 8)
	var want []string
	for h := 2; h < 6; h++ {
		want = append(want, "s3://trail-bucket/"+m.Digests[h])
		delete(m.Objects, m.Digests[h])
	}
	v := m.Validate()
	var got []string
	for _, f := range v.Failures {
		got = append(got, f.Path)
		if f.Code != "DIGEST_MISSING" || f.To.Std().Sub(f.From.Std()) != time.Hour {
			t.Errorf("%+v", f)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("missing %q\nwant %q", got, want)
	}
}

// TestPassedOver wants a signed digest found that the chain does not hold.
func TestPassedOver(t *testing.T) {
	m := chain(t, 4)
	at := m.Start.Add(2*time.Hour + 30*time.Minute)
	m.Digest(at.Add(-time.Hour), at, true, []any{})
	if v := m.Validate(); !strings.Contains(digesttest.Codes(v), "DIGEST_UNLINKED") || v.Digests.Invalid != 1 {
		t.Errorf("%s %+v", digesttest.Codes(v), v.Digests)
	}
}

// TestOlderVersion wants it said where an older version is what was signed.
func TestOlderVersion(t *testing.T) {
	m := chain(t, 3)
	o := m.Objects[m.LogsOf(1)[0]]
	o.Older, o.Data = o.Data, digesttest.Pack([]byte("{}"))
	v := m.Validate()
	if digesttest.Codes(v) != "LOG_HASH" || !strings.Contains(v.Failures[0].Reason, "?versionId=v1, an older version of it, is what was signed") {
		t.Errorf("%+v", v.Failures)
	}
	if v.Logs != (evidence.LogCounts{Valid: 5, Invalid: 1}) {
		t.Errorf("%+v", v.Logs)
	}
}

// TestBackfill wants backfill digests to be a chain of their own.
func TestBackfill(t *testing.T) {
	m := chain(t, 3)
	k := m.Digests[2]
	m.Change(2, m.Key, func(d map[string]any) {
		d["digestS3Object"] = strings.Replace(k, ".json", "_backfill.json", 1)
		d["previousDigestS3Bucket"], d["previousDigestS3Object"], d["previousDigestHashValue"], d["previousDigestHashAlgorithm"], d["previousDigestSignature"] = nil, nil, nil, nil, nil
	})
	v := m.Validate()
	if v.Verdict != evidence.TrailValid || len(v.Chains) != 2 || !v.Chains[1].Backfill || v.Chains[1].Digests != 1 || v.Digests.Valid != 4 {
		t.Errorf("%+v", v)
	}
}

// TestTwoCopies wants a changed copy in a second exhibit found.
func TestTwoCopies(t *testing.T) {
	m := chain(t, 3)
	in := m.Input()
	log := m.LogsOf(1)[0]
	bad := digest.File{Address: "EX-002/x", Key: "/elsewhere/" + log, Path: log + "!", Log: true}
	m.Objects[bad.Path] = &digesttest.Object{Data: digesttest.Pack([]byte("{}"))}
	in.Files = append(in.Files, bad)
	v, err := digest.Validate(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if digesttest.Codes(v) != "LOG_HASH" || v.Failures[0].Path != "EX-002/x" || v.Logs != (evidence.LogCounts{Valid: 6, Invalid: 1}) {
		t.Errorf("a changed copy was not seen: %+v", v)
	}
	m.Objects[bad.Path] = m.Objects[log]
	if v, err = digest.Validate(t.Context(), in); err != nil || v.Verdict != evidence.TrailValid || v.Logs != (evidence.LogCounts{Valid: 7}) {
		t.Errorf("a good copy: %+v, %v", v, err)
	}
}

// BenchmarkValidate validates 200 hours with 320 logs.
func BenchmarkValidate(b *testing.B) {
	m := chain(b, 200)
	in := m.Input()
	for b.Loop() {
		v, err := digest.Validate(b.Context(), in)
		if err != nil || v.Digests.Valid != 200 {
			b.Fatal(v.Digests, err)
		}
	}
}
