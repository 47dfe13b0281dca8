package cloudtrail

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

const (
	recA = `{"eventID":"a","eventName":"RunInstances","eventSource":"ec2.amazonaws.com","eventTime":"2026-01-02T03:04:05Z","awsRegion":"eu-west-1","userIdentity":{"type":"IAMUser","userName":"marc","accessKeyId":"AKIAIOSFODNN7EXAMPLE","arn":"arn:aws:iam::123456789012:user/marc"},"sourceIPAddress":"192.0.2.7","readOnly":false,"responseElements":{"instancesSet":{"items":[{"instanceId":"i-0123456789abcdef0","privateIpAddress":"10.0.0.5","networkInterfaceSet":{"items":[{"networkInterfaceId":"eni-0123"}]}}]}}}`
	recB = `{"eventID":"b","eventName":"AssumeRole","eventSource":"sts.amazonaws.com","eventTime":"2026-01-02 03:04:06.50","errorCode":"","userIdentity":{"type":"Root","accessKeyId":""},"responseElements":{"credentials":{"accessKeyId":"ASIAIOSFODNN7EXAMPLE"},"assumedRoleUser":{"assumedRoleId":"AROAX:s","arn":"arn:aws:sts::1:assumed-role/R/s"}}}`
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

// summary is what a file gives: "1:a 2:b 3:bad".
func summary(t testing.TB, r io.Reader) string {
	t.Helper()
	var out []string
	for rec, err := range Read(r) {
		var bad *BadRecord
		switch {
		case errors.As(err, &bad):
			out = append(out, fmt.Sprintf("%d:bad", bad.N))
		case err != nil:
			out = append(out, "failed")
		default:
			out = append(out, fmt.Sprintf("%d:%s", rec.N, rec.Event.EventID))
		}
	}
	return strings.Join(out, " ")
}

func TestShapes(t *testing.T) {
	wrap := func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return `{"EventId":"x","Resources":[{"ResourceType":"AWS::EC2::Instance","ResourceName":"i-1"}],"CloudTrailEvent":` + string(b) + `}`
	}
	for _, c := range []struct{ name, text, want string }{
		{"file of S3", `{"Records":[` + recA + `,` + recB + `]}`, "1:a 2:b"},
		{"white space", " {\n \"Records\" : [ \n" + recA + "\n,\n" + recB + " ] } \n", "1:a 2:b"},
		{"byte-order mark", "\ufeff" + `{"Records":[` + recA + `]}`, "1:a"},
		{"array", `[` + recA + `,` + recB + `]`, "1:a 2:b"},
		{"one object", recA, "1:a"},
		{"lines", recA + "\n" + recB + "\n", "1:a 2:b"},
		{"one after another", recA + recB, "1:a 2:b"},
		{"LookupEvents", `{"Events":[` + wrap(recA) + `,` + wrap(recB) + `],"NextToken":"n"}`, "1:a 2:b"},
		{"LookupEvents, a line each", wrap(recA) + "\n" + wrap(recB), "1:a 2:b"},
		{"nothing", "", ""},
		{"empty array", "[]", ""},
		{"empty list", `{"Records":[]}`, ""},
		{"no JSON", "hello", "1:bad"},
		{"cut in the second", `{"Records":[` + recA + `,` + recB[:50], "1:a 2:bad"},
		{"cut behind a comma", `{"Records":[` + recA + `,`, "1:a 2:bad"},
		{"no record among records", `{"Records":[` + recA + `,{"x":1},` + recB + `]}`, "1:a 2:bad 3:b"},
		{"a number among records", `{"Records":[` + recA + `,7,` + recB + `]}`, "1:a 2:bad 3:b"},
	} {
		for _, form := range []struct{ name, text string }{{"plain", c.text}, {"gzip", packed(t, c.text)}} {
			if got := summary(t, strings.NewReader(form.text)); got != c.want {
				t.Errorf("%s, %s: %q, want %q", c.name, form.name, got, c.want)
			}
			if got := summary(t, iotest.OneByteReader(strings.NewReader(form.text))); got != c.want {
				t.Errorf("%s, %s, byte by byte: %q, want %q", c.name, form.name, got, c.want)
			}
		}
	}
}

func TestFields(t *testing.T) {
	var got []string
	for r, err := range Read(strings.NewReader(recA + recB)) {
		if err != nil {
			t.Fatal(err)
		}
		e := r.Event
		got = append(got, fmt.Sprintf("%s %s user=%s key=%s ip=%s ro=%v issued=%v instances=%d", e.Time, e.Region, e.User, e.AccessKeyID, e.SourceIP, e.ReadOnly != nil, r.Issued, len(r.Instances)))
	}
	want := []string{
		"2026-01-02T03:04:05Z eu-west-1 user=marc key=AKIAIOSFODNN7EXAMPLE ip=192.0.2.7 ro=true issued=[] instances=1",
		"2026-01-02T03:04:06.5Z  user=root key= ip= ro=false issued=[{ASIAIOSFODNN7EXAMPLE AROAX:s arn:aws:sts::1:assumed-role/R/s  false}] instances=0",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestCutGzip cuts a packed file at every byte: whole records before the cut
// come back, then one bad one, and nothing is made up.
func TestCutGzip(t *testing.T) {
	var text strings.Builder
	text.WriteString(`{"Records":[`)
	for i := range 200 {
		if i > 0 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, `{"eventID":"%032x","eventName":"N%d","eventSource":"s"}`, i*2654435761, i)
	}
	text.WriteString(`]}`)
	whole := packed(t, text.String())
	for cut := 1; cut < len(whole); cut += 7 {
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
			if n++; r.N != n || r.Event.Name != fmt.Sprintf("N%d", n-1) {
				t.Fatalf("cut at %d: record %d is %s", cut, r.N, r.Event.Name)
			}
		}
		if bad != 1 {
			t.Fatalf("cut at %d of %d: %d records, %d bad", cut, len(whole), n, bad)
		}
	}
}

// TestSourceFails: a failure of the source is no damage of the file.
func TestSourceFails(t *testing.T) {
	broken := errors.New("the disk is gone")
	var last error
	for _, err := range Read(io.MultiReader(strings.NewReader(`{"Records":[`+recA+`,`), iotest.ErrReader(broken))) {
		last = err
	}
	if !errors.Is(last, broken) {
		t.Errorf("ends with %v", last)
	}
}

func TestCanonical(t *testing.T) {
	a := Canonical([]byte(`{"b":[1,{"x":"é","y":null}],"a":"t"}`))
	if b := Canonical([]byte("{ \"a\":\"t\",\n\"b\":[1, {\"y\":null,\"x\":\"\\u00e9\"}] }")); a != b {
		t.Error("order, white space or escapes count")
	}
	for _, other := range []string{`{"b":[1,{"x":"e","y":null}],"a":"t"}`, `{"b":[{"x":"é","y":null},1],"a":"t"}`, `{"b":[1,{"x":"é"}],"a":"t"}`, `{"b":[1.0,{"x":"é","y":null}],"a":"t"}`} {
		if Canonical([]byte(other)) == a {
			t.Errorf("%s is the same", other)
		}
	}
}

// FuzzRead: any bytes give records that lie where they say, in order, and are
// what a plain decoder makes of them; nothing panics.
func FuzzRead(f *testing.F) {
	for _, s := range []string{`{"Records":[` + recA + `,` + recB + `]}`, recA + "\n" + recB, `[` + recA + `,7,{}]`, `{"Events":[{"CloudTrailEvent":"{\"eventID\":\"x\"}"}]}`, "", "[", `{"Records":`, strings.Repeat("[", 2000), "\ufeff{}", packed(f, recA), packed(f, recA)[:40], `{"eventID":"a","eventID":"b"}`, `{"eventTime":"0000-00-00T00:00:00Z","eventName":"x"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		text := b
		if z, err := gzip.NewReader(bytes.NewReader(b)); err == nil {
			if text, err = io.ReadAll(io.LimitReader(z, 1<<20)); len(text) == 1<<20 {
				return
			} else if err != nil {
				text = append([]byte{}, text...)
			}
		}
		last, end := int64(0), int64(0)
		for r, err := range Read(bytes.NewReader(b)) {
			var bad *BadRecord
			if errors.As(err, &bad) {
				if bad.N < last || bad.Offset < 0 {
					t.Fatalf("bad record %d at %d behind %d", bad.N, bad.Offset, last)
				}
				last = bad.N
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if r.N <= last || r.Offset < end || r.Offset+r.Length > int64(len(text)) {
				t.Fatalf("record %d at %d+%d behind %d at %d, of %d", r.N, r.Offset, r.Length, last, end, len(text))
			}
			last, end = r.N, r.Offset+r.Length
			again, err := ReadAt(bytes.NewReader(b), r.Offset, r.Length)
			if err != nil || !bytes.Equal(again, r.Raw) {
				t.Fatalf("record %d read again: %q, %v", r.N, again, err)
			}
			var plain struct {
				EventID any `json:"eventID"`
			}
			if err := json.Unmarshal(r.Raw, &plain); err != nil {
				t.Fatalf("record %d is no JSON: %v", r.N, err)
			}
		}
	})
}
